//! What a mechanism is: sensitive sums in, noised integers out, for a charge.

use serde::{Deserialize, Serialize};
use summaries::{Lanes, Sensitivity};

use crate::accounting::Rho;
use crate::filter::Charge;
use crate::sensitive::{Released, Sensitive};

/// The mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MechanismName {
    /// The discrete Gaussian mechanism.
    DiscreteGaussian,
    /// No noise: a simulation over data that the one who runs it holds. Not private.
    None,
}

/// One statistic of a round: its sum, its sensitivity, and its weight in the round's charge.
pub struct Part {
    /// The sum over patients.
    pub lanes: Sensitive<Lanes>,
    /// How far one patient moves it.
    pub sensitivity: Sensitivity,
    /// Its share of the charge is this over the sum of all.
    pub weight: f64,
}

/// One noised vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedPart {
    /// The integers that may leave.
    pub lanes: Vec<i64>,
    /// The noise's scale, in integer units, in billionths (an integer, so that manifests are canonical).
    pub sigma_nano: u128,
}

impl ReleasedPart {
    /// The noise's scale in integer units.
    pub fn sigma(&self) -> f64 {
        self.sigma_nano as f64 / 1e9
    }
}

/// Why nothing was released. Nothing here depends on a patient.
#[derive(Debug, thiserror::Error)]
pub enum MechanismError {
    /// The charge is too small for any noise scale.
    #[error("the charge of ρ = {0} is too small to release with")]
    Charge(Rho),
    /// The sampler failed.
    #[error("the noise sampler failed: {0}")]
    Sampler(String),
    /// The sampler's own privacy map disagrees with the charge.
    #[error("the mechanism would cost ρ = {cost}, more than its share {share}")]
    Map {
        /// What the map says.
        cost: f64,
        /// What was paid.
        share: Rho,
    },
}

/// A mechanism.
pub trait Mechanism: Send + Sync {
    /// Its name.
    fn name(&self) -> MechanismName;

    /// The scale of the noise, in integer units, for a sensitivity and a cost.
    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64;

    /// Noises every part, the charge split over them by weight. The charge is used up.
    ///
    /// # Errors
    /// The sampler failed, or the charge does not cover the noise. The charge is not given back.
    fn release(&self, parts: Vec<Part>, charge: Charge) -> Result<Released<Vec<ReleasedPart>>, MechanismError>;
}

/// σ of the Gaussian mechanism, Δ/√(2ρ), a hair larger so that rounding never costs privacy.
pub fn gaussian_sigma(l2: f64, rho: Rho) -> f64 {
    if rho == Rho::ZERO { f64::INFINITY } else { l2 / (2.0 * rho.value()).sqrt() * (1.0 + 1e-9) }
}
