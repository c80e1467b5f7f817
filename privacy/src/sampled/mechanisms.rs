//! What one patient is in: Gaussian mechanisms, some of them on samples; and what they mean together.

use std::collections::BTreeMap;

use super::{Release, multiplier};
use crate::accounting::pld::{DEFAULT_INTERVAL, Pld};
use crate::accounting::{AccountError, Delta, Epsilon, LATTICE_MARGIN, LEAST_DELTA, Rho, gaussian};

/// Gaussian mechanisms that one patient is in, in any order, each chosen by what the ones before it said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mechanisms {
    /// All that are on no sample, together.
    gaussian: Rho,
    /// How often each that is on a sample: by the ρ of its noise and the bits of its rate.
    sampled: BTreeMap<(Rho, u64), u64>,
}

impl Mechanisms {
    /// Of no sample, with this ρ together.
    pub fn gaussian(rho: Rho) -> Mechanisms {
        Mechanisms { gaussian: rho, sampled: BTreeMap::new() }
    }

    /// Adds so many of the same.
    pub fn add(&mut self, release: &Release, times: u64) {
        if release.rate >= 1.0 {
            for _ in 0..times {
                self.gaussian = self.gaussian.plus(release.noise);
            }
        } else {
            *self.sampled.entry((release.noise, release.rate.to_bits())).or_default() += times;
        }
    }

    /// Both.
    #[must_use]
    pub fn plus(&self, other: &Mechanisms) -> Mechanisms {
        let mut out = Mechanisms { gaussian: self.gaussian.plus(other.gaussian), sampled: self.sampled.clone() };
        for (kind, times) in &other.sampled {
            *out.sampled.entry(*kind).or_default() += times;
        }
        out
    }

    /// What they give at δ: the exact curve where none is on a sample, else that of the composed privacy loss distributions, which is never below
    /// the true one.
    ///
    /// # Errors
    /// The losses are too many for any grid, or δ is out of range.
    pub fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountError> {
        self.epsilon_on(DEFAULT_INTERVAL, delta)
    }

    /// The δ that they keep to at each of some ε.
    ///
    /// # Errors
    /// As [`Mechanisms::epsilon`].
    pub fn deltas(&self, epsilons: &[f64]) -> Result<Vec<f64>, AccountError> {
        if self.sampled.is_empty() {
            let mu = (2.0 * self.gaussian.value()).sqrt();
            return Ok(epsilons.iter().map(|e| gaussian::delta(mu, *e) / LATTICE_MARGIN).collect());
        }
        let composed = self.composed_on(DEFAULT_INTERVAL)?;
        Ok(epsilons.iter().map(|e| composed.delta(*e) / LATTICE_MARGIN).collect())
    }

    /// The same on a grid of losses this far apart, or on a coarser one where they are too many. A coarser one says more, never less.
    pub(super) fn epsilon_on(&self, interval: f64, delta: Delta) -> Result<Epsilon, AccountError> {
        if self.sampled.is_empty() {
            return Ok(crate::accounting::epsilon(self.gaussian, delta));
        }
        let least = LEAST_DELTA / LATTICE_MARGIN;
        self.composed_on(interval)?.epsilon(delta.0.max(least) * LATTICE_MARGIN).map(Epsilon)
    }

    fn composed_on(&self, interval: f64) -> Result<Pld, AccountError> {
        let mut interval = interval;
        loop {
            match self.composed(interval) {
                Err(AccountError::TooLarge(..)) if interval * 4.0 <= 1.0 => interval *= 4.0,
                other => return other,
            }
        }
    }

    fn composed(&self, interval: f64) -> Result<Pld, AccountError> {
        let mut parts = Vec::with_capacity(self.sampled.len() + 1);
        for ((noise, rate), times) in &self.sampled {
            parts.push((Pld::sampled_gaussian(multiplier(*noise), f64::from_bits(*rate), interval)?, *times));
        }
        if self.gaussian > Rho::ZERO {
            parts.push((Pld::gaussian(multiplier(self.gaussian), interval)?, 1));
        }
        let parts: Vec<(&Pld, u64)> = parts.iter().map(|(pld, times)| (pld, *times)).collect();
        Pld::compose_all(&parts)
    }
}
