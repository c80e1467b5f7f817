//! Where the ways of hospitals lead together if one of them is wrong, or worse.
//!
//! | merge | what it withstands | what it costs |
//! |---|---|---|
//! | mean | nothing: one hospital moves it as far as it likes | nothing |
//! | mean with a bound on each way's length | a way too long, not one in a wrong direction | a bias where honest ways are longer |
//! | median of each parameter (Yin and others 2018) | fewer than half of the hospitals, whatever they send | about a quarter more noise, and a bias where hospitals differ |
//! | trimmed mean of each parameter | as many as are trimmed at either end | less than the median |
//!
//! Each hospital counts for one in the last two, so one that says it has many patients gains nothing by it. None of them finds a hospital that
//! lies a little in every round. All need each hospital's own release: under secure aggregation there is none to look at.

/// How ways are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Merging {
    /// Their weighted mean.
    #[default]
    Mean,
    /// The median of each parameter.
    Median,
    /// The mean of each parameter without this share of hospitals at either end, below a half.
    Trimmed(f64),
}

impl Merging {
    /// How many of so many are left out at either end.
    fn trimmed(self, many: usize) -> usize {
        match self {
            Merging::Mean => 0,
            Merging::Median => many.saturating_sub(1) / 2,
            Merging::Trimmed(share) => ((share * many as f64).floor() as usize).min(many.saturating_sub(1) / 2),
        }
    }

    /// What is made of one parameter's values.
    pub(crate) fn of(self, values: &mut [f64]) -> f64 {
        values.sort_unstable_by(f64::total_cmp);
        let cut = self.trimmed(values.len());
        let kept = values.get(cut..values.len() - cut).unwrap_or_default();
        kept.iter().sum::<f64>() / kept.len().max(1) as f64
    }

    /// By what the noise's variance of a mean of so many is multiplied, about: π/2 of the median of normal noise, where they are many.
    pub(crate) fn loss(self, many: usize) -> f64 {
        let share = 2.0 * self.trimmed(many) as f64 / many.max(1) as f64;
        1.0 + (std::f64::consts::FRAC_PI_2 - 1.0) * share
    }
}

/// Shortens a way to a length.
pub(crate) fn bounded(way: &mut [f64], most: Option<f64>) {
    let norm = way.iter().map(|w| w * w).sum::<f64>().sqrt();
    // A length that is no number is one too many.
    let keep = match most {
        Some(most) if norm > most => most / norm,
        _ if norm.is_finite() => return,
        _ => 0.0,
    };
    way.iter_mut().for_each(|w| *w = if keep > 0.0 && w.is_finite() { *w * keep } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_values_are_left_out() {
        let of = |m: Merging, v: &[f64]| m.of(&mut v.to_vec());
        let wild = [1.0, 2.0, 3.0, 1e9, f64::NAN];
        assert_eq!((of(Merging::Median, &wild), of(Merging::Median, &wild[..2])), (3.0, 1.5));
        assert_eq!(of(Merging::Trimmed(0.2), &[-50.0, 1.0, 2.0, 6.0, 1e9]), 3.0);
        assert_eq!(of(Merging::Trimmed(0.45), &[1.0, 5.0]), 3.0);
        assert_eq!(of(Merging::Mean, &[1.0, 2.0, 6.0]), 3.0);
        assert!((Merging::Median.loss(101) - 1.565).abs() < 1e-2 && Merging::Mean.loss(9) == 1.0);
        let mut way = vec![3.0, 4.0];
        bounded(&mut way, Some(10.0));
        assert_eq!(way, [3.0, 4.0]);
        bounded(&mut way, Some(1.0));
        assert!((way[0] - 0.6).abs() < 1e-12 && (way[1] - 0.8).abs() < 1e-12);
        let mut way = vec![f64::NAN, 1.0];
        bounded(&mut way, None);
        assert_eq!(way, [0.0, 0.0]);
    }
}
