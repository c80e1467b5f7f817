//! A site that drops out of every secure round: it shares its keys, and gives no masked input. For measurements.

use privacy::mechanism::Scale;
use privacy::{Charge, DiscreteGaussian, Mechanism, MechanismError, MechanismName, Part, Rho, Share};
use summaries::Sensitivity;

/// The real mechanism, but for shares of noise: those fail, after the site has shared its keys.
pub struct Dropping;

impl Mechanism for Dropping {
    fn name(&self) -> MechanismName {
        DiscreteGaussian.name()
    }
    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64 {
        DiscreteGaussian.sigma(sensitivity, rho)
    }
    fn noise(
        &self,
        lanes: &mut [i64],
        scale: &Scale,
        sensitivity: &Sensitivity,
        parties: usize,
        share: Rho,
    ) -> Result<(), MechanismError> {
        DiscreteGaussian.noise(lanes, scale, sensitivity, parties, share)
    }
    fn share(&self, _: Vec<Part>, _: Charge, _: usize) -> Result<Share, MechanismError> {
        Err(MechanismError::Sampler("this site drops out, for a measurement".to_owned()))
    }
}
