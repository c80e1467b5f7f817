//! Privacy loss distributions: the tightest accountant here, for plans that are fixed before they start.
//!
//! A mechanism has one distribution of the privacy loss for a patient removed and one for a patient added; both are
//! kept, and every answer is the larger of the two. All rounding is against us: the true (ε, δ) is never above what
//! is said.
//!
//! Sources: Sommer, Meiser, Mohammadi, "Privacy loss classes", 2019; Koskela, Jälkö, Honkela, "Computing tight
//! differential privacy guarantees using FFT", 2020; Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, "Connect the
//! dots", 2022.

mod chernoff;
mod compose;
mod discretise;
mod loss;
mod pmf;
#[cfg(test)]
mod tests;

use self::loss::{Gaussian, Laplace};
use self::pmf::Pmf;
use super::error::AccountError;
use super::search::{check_delta, check_noise, check_rate};

/// The grid of privacy losses that is used unless another is asked for.
pub const DEFAULT_INTERVAL: f64 = 1e-4;

/// The two privacy loss distributions of a mechanism, or of a composition.
#[derive(Clone, Debug)]
pub struct Pld {
    remove: Pmf,
    /// Nothing when it equals `remove`.
    add: Option<Pmf>,
}

impl Pld {
    /// The Gaussian mechanism: noise of σ on a sum of L2 sensitivity 1. The pair is symmetric.
    pub fn gaussian(sigma: f64, interval: f64) -> Result<Pld, AccountError> {
        Pld::sampled_gaussian(sigma, 1.0, interval)
    }

    /// The Gaussian mechanism on a Poisson sample of the rate q. The two directions differ when q < 1 (Zhu, Dong,
    /// Wang, "Optimal accounting of differential privacy via characteristic function", 2022, theorem 11).
    pub fn sampled_gaussian(sigma: f64, rate: f64, interval: f64) -> Result<Pld, AccountError> {
        check_noise(sigma)?;
        check_rate(rate)?;
        let remove = discretise::connect_the_dots(&Gaussian::remove(sigma, rate), interval)?;
        let add = match rate < 1.0 {
            true => Some(discretise::connect_the_dots(&Gaussian::add(sigma, rate), interval)?),
            false => None,
        };
        Ok(Pld { remove, add })
    }

    /// Laplace noise of the scale b on a sum of sensitivity 1. The pair is symmetric.
    pub fn laplace(scale: f64, interval: f64) -> Result<Pld, AccountError> {
        check_noise(scale)?;
        Ok(Pld { remove: discretise::connect_the_dots(&Laplace::new(scale), interval)?, add: None })
    }

    /// So many rounds of the same.
    pub fn self_compose(&self, rounds: u64) -> Result<Pld, AccountError> {
        Pld::compose_all(&[(self, rounds)])
    }

    /// This and the other, one after the other. Both must be on one grid.
    pub fn compose(&self, other: &Pld) -> Result<Pld, AccountError> {
        Pld::compose_all(&[(self, 1), (other, 1)])
    }

    /// Each distribution so many rounds, all in one. More exact and faster than one after the other.
    pub fn compose_all(parts: &[(&Pld, u64)]) -> Result<Pld, AccountError> {
        let direction = |of: fn(&Pld) -> &Pmf| {
            let pmfs: Vec<(&Pmf, u64)> = parts.iter().map(|(pld, rounds)| (of(pld), *rounds)).collect();
            compose::compose(&pmfs)
        };
        let remove = direction(|pld| &pld.remove)?;
        let add = match parts.iter().any(|(pld, _)| pld.add.is_some()) {
            true => Some(direction(|pld| pld.add.as_ref().unwrap_or(&pld.remove))?),
            false => None,
        };
        Ok(Pld { remove, add })
    }

    /// The smallest δ that is proved at ε. NaN reads as no privacy: 1.
    pub fn delta(&self, epsilon: f64) -> f64 {
        let add = self.add.as_ref().map_or(0.0, |pmf| pmf.delta(epsilon));
        self.remove.delta(epsilon).max(add)
    }

    /// The smallest ε ≥ 0 that is proved at δ; infinite when the mass at infinity is above δ.
    pub fn epsilon(&self, delta: f64) -> Result<f64, AccountError> {
        check_delta(delta)?;
        let add = self.add.as_ref().map_or(0.0, |pmf| pmf.epsilon(delta));
        Ok(self.remove.epsilon(delta).max(add))
    }

    /// The distance between two losses of the grid.
    pub fn interval(&self) -> f64 {
        self.remove.interval()
    }

    /// The mass that counts as an infinite loss, the larger of both directions.
    pub fn infinity_mass(&self) -> f64 {
        self.remove.infinity().max(self.add.as_ref().map_or(0.0, Pmf::infinity))
    }
}
