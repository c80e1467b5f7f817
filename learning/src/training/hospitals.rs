//! What the coordinator knows of each hospital that takes steps by itself: its name as a number, how many patients it has, and what corrects its
//! drift. All of it is made of what the hospital released, and a hospital that restarts has lost nothing.
//!
//! A round's parameters are θ, and for each hospital its name, its number of patients, and its correction where there is one.

use summaries::{Layout, MergedRelease, OfSite};

use super::local::{Control, Local, Way};
use super::robust::Merging;
use crate::glm::tag;

/// One hospital.
#[derive(Clone, Debug, PartialEq)]
struct Hospital {
    tag: f64,
    patients: f64,
    /// Of variates its mean gradient; of ends where it ended.
    state: Vec<f64>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hospitals {
    all: Vec<Hospital>,
    /// Of variates, the mean gradient of all.
    mean: Vec<f64>,
}

/// What one hospital finds in the parameters: what its sums are divided by, the number of all patients, its correction.
pub(crate) struct Found {
    pub(crate) patients: [f64; 2],
    pub(crate) correction: Vec<f64>,
}

/// Where a round's ways lead together.
pub(crate) struct Together {
    /// The mean way.
    pub(crate) way: Vec<f64>,
    /// The sums of losses and of cut gradients over the patients, and these patients.
    pub(crate) beside: [f64; 3],
    /// The noise's standard deviation of the mean way's parameters, of the loss and of the number cut.
    pub(crate) noise: [f64; 3],
}

/// How many patients sums are divided by: never fewer than the noise of their number may hide.
pub(crate) fn counted(merged: &MergedRelease) -> [f64; 2] {
    let layout = Layout { lanes: 1, scale: 1.0 };
    let sd = merged.variance(&layout).sqrt();
    [merged.value(0, &layout).max(2.0 * sd).max(1.0), sd]
}

impl Hospitals {
    /// Numbers of a hospital in the parameters.
    fn stride(local: &Local, d: usize) -> usize {
        if local.control == Control::None { 2 } else { 2 + d }
    }

    /// Whether so many parameters are those of some hospitals.
    pub(crate) fn fits(local: &Local, d: usize, given: usize) -> bool {
        given.checked_sub(d).is_some_and(|rest| rest.is_multiple_of(Self::stride(local, d)))
    }

    /// Takes each hospital's number of patients.
    pub(crate) fn count(&mut self, sites: &[OfSite], local: &Local, theta: &[f64]) {
        let state = match local.control {
            Control::None => Vec::new(),
            Control::Variates => vec![0.0; theta.len()],
            Control::Ends => theta.to_vec(),
        };
        let one = |s: &OfSite| {
            let patients = counted(s.round.parts.first()?)[0];
            Some(Hospital { tag: tag(&s.site), patients, state: state.clone() })
        };
        self.all = sites.iter().filter_map(one).collect();
        self.mean = if local.control == Control::Variates { vec![0.0; theta.len()] } else { Vec::new() };
    }

    /// A round's parameters, of steps at a rate.
    pub(crate) fn parameters(&self, local: &Local, theta: &[f64], rate: f64) -> Vec<f64> {
        let mut out = theta.to_vec();
        for h in &self.all {
            out.extend([h.tag, h.patients]);
            match local.control {
                Control::None => {}
                Control::Variates => out.extend(self.mean.iter().zip(&h.state).map(|(all, own)| rate * (all - own))),
                Control::Ends => {
                    let steps = f64::from(local.steps.max(1));
                    out.extend(theta.iter().zip(&h.state).map(|(t, end)| (t - end) / steps));
                }
            }
        }
        out
    }

    /// What a hospital finds in the parameters. One that was not counted takes itself for as large as the mean.
    pub(crate) fn find(local: &Local, d: usize, parameters: &[f64], site: f64) -> Found {
        let rest = parameters.get(d..).unwrap_or_default();
        let (mut all, mut many, mut own, mut correction) = (0.0, 0.0, None, Vec::new());
        for one in rest.chunks(Self::stride(local, d)) {
            let [tag, patients, c @ ..] = one else { continue };
            all += patients;
            many += 1.0;
            if *tag == site {
                own = Some(*patients);
                correction = c.to_vec();
            }
        }
        let mean = if many > 0.0 { all / many } else { 1.0 };
        Found { patients: [own.unwrap_or(mean), all.max(1.0)], correction }
    }

    /// What a hospital's sums are divided by.
    pub(crate) fn patients(&self, site: &str) -> f64 {
        let own = self.all.iter().find(|h| h.tag == tag(site)).map(|h| h.patients);
        let mean = self.all.iter().map(|h| h.patients).sum::<f64>() / self.all.len().max(1) as f64;
        own.unwrap_or(mean.max(1.0))
    }

    /// All of it as numbers.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let mut out = vec![self.all.len() as f64];
        self.all.iter().for_each(|h| out.extend([h.tag, h.patients].iter().chain(&h.state)));
        out
    }

    /// From numbers, and what is left of them; `None` where they are too few.
    pub(crate) fn read<'a>(local: &Local, d: usize, numbers: &'a [f64]) -> Option<(Hospitals, &'a [f64])> {
        let (many, rest) = numbers.split_first()?;
        let stride = Self::stride(local, d);
        let (own, rest) = rest.split_at_checked((*many as usize).checked_mul(stride)?)?;
        let one = |one: &[f64]| match one {
            [tag, patients, state @ ..] => Some(Hospital { tag: *tag, patients: *patients, state: state.to_vec() }),
            _ => None,
        };
        let all: Vec<Hospital> = own.chunks(stride).filter_map(one).collect();
        let mut out = Hospitals { all, mean: Vec::new() };
        out.mean = if local.control == Control::Variates { vec![0.0; d] } else { Vec::new() };
        out.average(local);
        Some((out, rest))
    }

    /// The mean gradient of all, each for what it counts: so what the corrected steps lead to is where the mean of all gradients is nothing.
    fn average(&mut self, local: &Local) {
        let weight = |h: &Hospital| local.weights.of(h.patients);
        let whole: f64 = self.all.iter().map(weight).sum();
        for (place, mean) in self.mean.iter_mut().enumerate() {
            let sum: f64 = self.all.iter().filter_map(|h| Some(weight(h) * h.state.get(place)?)).sum();
            *mean = sum / whole.max(1.0);
        }
    }

    /// Takes a round's ways, and says where they lead together; `None` where there is none.
    pub(crate) fn together(
        &mut self,
        local: &Local,
        theta: &[f64],
        rate: f64,
        ways: &[(String, f64, Way)],
        merging: Merging,
    ) -> Option<Together> {
        let weight = |n: f64| local.weights.of(n);
        let whole: f64 = ways.iter().map(|(_, n, _)| weight(*n)).sum();
        if ways.is_empty() || whole <= 0.0 {
            return None;
        }
        let mut out = Together { way: vec![0.0; theta.len()], beside: [0.0; 3], noise: [0.0; 3] };
        for (site, n, way) in ways {
            let share = weight(*n) / whole;
            out.way.iter_mut().zip(&way.way).for_each(|(sum, w)| *sum += share * w);
            let beside = [way.beside[0], way.beside[1], *n];
            out.beside.iter_mut().zip(beside).for_each(|(sum, b)| *sum += b);
            let noise = [share * way.noise[0], way.noise[1], way.noise[2]];
            out.noise.iter_mut().zip(noise).for_each(|(sum, sd)| *sum += sd * sd);
            self.moved(local, theta, rate, (tag(site), way));
        }
        if merging != Merging::Mean {
            let many = ways.len() as f64;
            for (place, slot) in out.way.iter_mut().enumerate() {
                let mut values: Vec<f64> = ways.iter().filter_map(|(_, _, w)| w.way.get(place)).copied().collect();
                *slot = merging.of(&mut values);
            }
            let whole: f64 = ways.iter().map(|(_, _, w)| w.noise[0] * w.noise[0]).sum();
            out.noise[0] = whole / (many * many) * merging.loss(ways.len());
        }
        out.noise = out.noise.map(f64::sqrt);
        self.average(local);
        Some(out)
    }

    /// What a hospital's way says of its drift.
    fn moved(&mut self, local: &Local, theta: &[f64], rate: f64, (site, way): (f64, &Way)) {
        let Some(h) = self.all.iter_mut().find(|h| h.tag == site) else { return };
        match local.control {
            Control::None => {}
            Control::Ends => h.state = theta.iter().zip(&way.way).map(|(t, w)| t + w).collect(),
            Control::Variates => {
                // A step's mean gradient is the way's less the correction that was in it.
                let by = rate * f64::from(local.steps.max(1));
                let moves = way.way.iter().zip(&self.mean);
                h.state.iter_mut().zip(moves).for_each(|(own, (w, all))| *own += w / by - all);
            }
        }
    }
}
