//! Steps of a site's own, each with noise of its own.
//!
//! A round of E steps with a charge of ρ is E Gaussian mechanisms of ρ/E one after the other, each over all patients, each of whose questions
//! hangs on the answers before it: by adaptive composition they cost ρ together (Bun and Steinke 2016, lemma 2.3), and what is made of their
//! noised sums costs nothing more. Noise on the last parameters alone would need a bound on how far one patient bends the whole way there,
//! and there is none.

use summaries::{Lanes, MergedRelease, PatientBatch, Walk};

use crate::filter::Charge;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart, grid, one, scale_of};
use crate::sensitive::{Released, Sensitive};

/// Goes all the way and releases what is at its end, and behind it the sums that the round has beside. The charge is used up; it is split by weight
/// over the way and these sums, and the way's part evenly over its steps.
///
/// # Errors
/// The sampler failed, the charge does not cover the noise, a statistic does not fit, or batches are asked for that no noise protects.
pub fn release(
    mechanism: &dyn Mechanism,
    (walk, weight): (&mut dyn Walk, f64),
    patients: &PatientBatch,
    beside: Vec<Part>,
    charge: Charge,
) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
    if charge.series().is_some() {
        return Err(MechanismError::Series);
    }
    let steps = walk.steps().max(1);
    let whole = weight + beside.iter().map(|p| p.weight).sum::<f64>();
    let own = charge.rho().share(weight, whole);
    let share = own.share(1.0, f64::from(steps));
    for _ in 0..steps {
        let statistic = walk.statistic();
        let rows = walk.rows(patients.patients());
        if rows.is_some() && mechanism.name() != MechanismName::None {
            return Err(MechanismError::Batches);
        }
        let chosen = rows.as_ref().map(|r| patients.rows(r));
        let mut lanes = Lanes::zeros(statistic.layout().lanes);
        statistic.accumulate(chosen.as_ref().unwrap_or(patients), &mut lanes)?;
        let step = one(mechanism, Sensitive::new(lanes), &statistic.sensitivity(), share, 1)?;
        let noise_variance = (step.scale.sigma_nano as f64 / 1e9).powi(2);
        let unit = grid(step.scale.grid_bits);
        let sum = MergedRelease { lanes: step.lanes, noise_variance, unit, sites: 1, shared: 1 };
        walk.take(&sum, rows.map(|r| r.len()));
    }
    let sensitivity = summaries::walk::sensitivity(walk);
    let scale = scale_of(mechanism.name(), &sensitivity, own, 1, walk.layout().lanes)?;
    let lanes = summaries::walk::encoded(walk, grid(scale.grid_bits));
    let mut out = vec![ReleasedPart { lanes, scale }];
    for part in beside {
        let share = charge.rho().share(part.weight, whole);
        out.push(one(mechanism, part.lanes, &part.sensitivity, share, 1)?);
    }
    Ok(Released::new(out))
}

#[cfg(test)]
mod tests {
    use summaries::count::Count;
    use summaries::{Layout, Sensitivity, Statistic};

    use super::*;
    use crate::mechanism::Scale;
    use crate::{Caps, Cost, DiscreteGaussian, PrivacyFilter, Rho, Spent};

    /// Adds nothing.
    struct Quiet;

    impl Mechanism for Quiet {
        fn name(&self) -> MechanismName {
            MechanismName::None
        }
        fn sigma(&self, _: &Sensitivity, _: Rho) -> f64 {
            0.0
        }
        fn noise(&self, _: &mut [i64], _: &Scale, _: &Sensitivity, _: usize, _: Rho) -> Result<(), MechanismError> {
            Ok(())
        }
    }

    /// Adds up counts: what leaves is the sum of its steps.
    struct Counts {
        steps: u32,
        sums: Vec<f64>,
        chosen: bool,
    }

    impl Walk for Counts {
        fn steps(&self) -> u32 {
            self.steps
        }
        fn statistic(&self) -> Box<dyn Statistic> {
            Box::new(Count)
        }
        fn rows(&self, patients: usize) -> Option<Vec<usize>> {
            self.chosen.then(|| (0..patients / 2).collect())
        }
        fn take(&mut self, sum: &MergedRelease, _: Option<usize>) {
            self.sums.push(sum.value(0, &Count.layout()));
        }
        fn layout(&self) -> Layout {
            Layout { lanes: 1, scale: 1.0 }
        }
        fn released(&self) -> Vec<f64> {
            vec![self.sums.iter().sum()]
        }
    }

    fn charge(rho: Rho) -> Charge {
        PrivacyFilter::new(Caps::flat(rho)).admit(Cost::gaussian(rho), &[(0, Spent::default())]).unwrap()
    }

    fn patients() -> PatientBatch {
        PatientBatch::new(40, Vec::new()).unwrap()
    }

    /// Four steps of ρ = 0.5 together: each has the σ of ρ/4, which is 2, and their sum that of four, 4.
    #[test]
    fn each_step_has_the_noise_of_its_own_share() {
        let rho = Rho::from_nano(500_000_000);
        let (mut squares, mut of_sum, n) = (0.0, 0.0, 400);
        for _ in 0..n {
            let mut walk = Counts { steps: 4, sums: Vec::new(), chosen: false };
            let released = release(&DiscreteGaussian, (&mut walk, 1.0), &patients(), Vec::new(), charge(rho)).unwrap();
            squares += walk.sums.iter().map(|s| (s - 40.0).powi(2)).sum::<f64>() / 4.0;
            let [part] = released.get().as_slice() else { panic!() };
            of_sum += (part.lanes[0] as f64 / grid(part.scale.grid_bits) - 160.0).powi(2);
            assert!((part.scale.sigma() - 4.0).abs() < 1e-6, "{:?}", part.scale);
        }
        let (step, sum) = (squares / f64::from(n), of_sum / f64::from(n));
        assert!((3.2..4.9).contains(&step), "a step's variance is {step} and not 4");
        assert!((11.0..22.0).contains(&sum), "the sum's variance is {sum} and not 16");
    }

    /// Of a charge of which a sum beside the way takes a third, the way's noise is that of two thirds.
    #[test]
    fn a_sum_beside_the_way_takes_its_part() {
        let rho = Rho::from_nano(750_000_000);
        let mut walk = Counts { steps: 4, sums: Vec::new(), chosen: false };
        let lanes = Sensitive::new(Lanes::from_values(vec![7]));
        let beside = vec![Part { lanes, sensitivity: Sensitivity::cells(1), weight: 1.0 }];
        let released = release(&DiscreteGaussian, (&mut walk, 2.0), &patients(), beside, charge(rho)).unwrap();
        let sigmas: Vec<f64> = released.get().iter().map(|p| p.scale.sigma()).collect();
        assert!((sigmas[0] - 4.0).abs() < 1e-6 && (sigmas[1] - 1.0 / 0.5f64.sqrt()).abs() < 1e-6, "{sigmas:?}");
    }

    #[test]
    fn chosen_rows_are_for_simulations() {
        let rho = Rho::from_nano(500_000_000);
        let mut walk = Counts { steps: 2, sums: Vec::new(), chosen: true };
        let refused = release(&DiscreteGaussian, (&mut walk, 1.0), &patients(), Vec::new(), charge(rho));
        assert!(matches!(refused, Err(MechanismError::Batches)) && walk.sums.is_empty());
        let exact = release(&Quiet, (&mut walk, 1.0), &patients(), Vec::new(), charge(rho)).unwrap();
        assert_eq!((exact.get()[0].lanes.clone(), walk.sums), (vec![40], vec![20.0, 20.0]));
    }
}
