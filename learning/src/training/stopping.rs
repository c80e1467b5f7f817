//! When training stops: at the loss of patients who validate, told every so many rounds with noise of its own.
//!
//! A loss is progress where it is smaller than at the last progress by more than the noise of both. After so many that are none, training is over, and what
//! was not spent by then is not spent. The model is the one of the smallest loss: that choice looks at noised numbers alone, and costs nothing. A look at too
//! few patients to be told from the noise says nothing: it is neither progress nor a reason to stop.

/// When to look, and how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Every so many rounds.
    pub every: u32,
    /// So many looks without a smaller loss.
    pub patience: u32,
}

impl Stopping {
    /// Whether the loss at a step's parameters is looked at, counted from 0. The first start is of no interest.
    pub(crate) fn looks(&self, step: u32) -> bool {
        step > 0 && step.is_multiple_of(self.every.max(1))
    }
}

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Looks {
    /// Each look's loss and the noise's standard deviation.
    pub(crate) course: Vec<[f64; 2]>,
    /// The place of the smallest in the course, and the parameters then.
    best: Option<(usize, Vec<f64>)>,
}

impl Looks {
    /// Takes a look at parameters.
    pub(crate) fn take(&mut self, loss: [f64; 2], theta: &[f64]) {
        let before = self.best.as_ref().and_then(|(place, _)| self.course.get(*place)).copied();
        self.course.push(loss);
        let smaller = before.is_none_or(|[best, _]| loss[0] < best);
        if smaller && loss[0].is_finite() {
            self.best = Some((self.course.len() - 1, theta.to_vec()));
        }
    }

    /// Takes a look that is lost in the noise, of a loss that is `most` at the most.
    pub(crate) fn lose(&mut self, most: f64) {
        self.course.push([most, most]);
    }

    fn is_lost(look: &[f64; 2]) -> bool {
        look[0] == look[1] && look[0] > 0.0
    }

    /// The looks that say something, each with its number from 1.
    pub(crate) fn told(&self) -> impl Iterator<Item = (u32, &[f64; 2])> {
        (1u32..).zip(&self.course).filter(|(_, look)| !Looks::is_lost(look))
    }

    /// Whether it was long enough.
    pub(crate) fn is_over(&self, stopping: Stopping) -> bool {
        let (mut last, mut since) = (None::<[f64; 2]>, 0);
        for (_, look) in self.told() {
            let progress = last.is_none_or(|[loss, sd]| look[0] < loss - look[1].hypot(sd));
            (last, since) = if progress { (Some(*look), 0) } else { (last, since + 1) };
        }
        since >= stopping.patience
    }

    /// The smallest loss and its noise.
    pub(crate) fn smallest(&self) -> Option<[f64; 2]> {
        self.best.as_ref().and_then(|(place, _)| self.course.get(*place)).copied()
    }

    /// The parameters of the smallest loss.
    pub(crate) fn best(&self) -> Option<&[f64]> {
        self.best.as_ref().map(|(_, theta)| theta.as_slice())
    }

    /// As numbers.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let mut out = vec![self.course.len() as f64];
        out.extend(self.course.iter().flatten());
        let (place, theta) = self.best.as_ref().map_or((-1.0, [].as_slice()), |(p, t)| (*p as f64, t.as_slice()));
        out.push(place);
        out.extend(theta);
        out
    }

    /// From numbers, and what is left of them; `None` where they are too few.
    pub(crate) fn read(numbers: &[f64], d: usize) -> Option<(Looks, &[f64])> {
        let (many, rest) = numbers.split_first()?;
        let (course, rest) = rest.split_at_checked((*many as usize).checked_mul(2)?)?;
        let (place, rest) = rest.split_first()?;
        let (theta, rest) = rest.split_at_checked(if *place >= 0.0 { d } else { 0 })?;
        let (pairs, _) = course.as_chunks::<2>();
        let best = (*place >= 0.0).then(|| (*place as usize, theta.to_vec()));
        Some((Looks { course: pairs.to_vec(), best }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_loss_is_kept_and_noise_is_no_progress() {
        let stopping = Stopping { every: 2, patience: 2 };
        assert_eq!([0, 1, 2, 3, 4].map(|s| stopping.looks(s)), [false, false, true, false, true]);
        let mut looks = Looks::default();
        for (i, loss) in [0.9, 0.5, 0.48, 0.2].into_iter().enumerate() {
            looks.take([loss, 0.03], &[i as f64]);
            assert!(!looks.is_over(stopping));
        }
        // 0.48 was within the noise of 0.5; 0.2 was not.
        assert_eq!(looks.best(), Some([3.0].as_slice()));
        // No progress, though the smallest so far; and one that says nothing.
        looks.take([0.19, 0.03], &[4.0]);
        looks.lose(2.8);
        assert!(!looks.is_over(stopping) && looks.told().count() == 5);
        let numbers = looks.numbers();
        assert_eq!(Looks::read(&numbers, 1), Some((looks.clone(), [].as_slice())));
        looks.take([f64::NAN, 0.03], &[5.0]);
        assert!(looks.is_over(stopping) && looks.best() == Some([4.0].as_slice()));
    }
}
