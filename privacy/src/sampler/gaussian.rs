//! The discrete Gaussian N_Z(0, σ²): the chance of x is proportional to exp(−x²/2σ²).

use dashu_int::UBig;
use rand_core::CryptoRng;

use super::bernoulli::{MARGIN, coin};
use super::error::SamplerError;
use super::parallel::Law;
use super::proposal::{Proposal, propose, uniform};

/// Billionths in one.
pub(super) const NANO: u128 = 1_000_000_000;
/// The least σ, in billionths: 0.01.
pub(super) const LEAST: u128 = NANO / 100;
/// The largest σ, in billionths: 1e14. So t < 2^53 is exact in `f64`.
pub(super) const LARGEST: u128 = NANO * 100_000_000_000_000;

/// A scale σ that can be sampled, a whole number of billionths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// s = 1e9·σ.
    nano: u128,
    /// t = ⌊σ⌋ + 1, the scale of the Laplace that is proposed.
    width: u64,
    /// 1/σ, off by 2.01 units of 2^(−53), relatively.
    inverse: f64,
    /// σ/t < 1, off by 3.01.
    centre: f64,
    /// 1/t, off by 1.
    step: f64,
}

impl Scale {
    /// The scale of σ = `sigma_nano`/1e9, exactly.
    ///
    /// # Errors
    /// σ is not from 0.01 to 1e14.
    pub fn from_nano(sigma_nano: u128) -> Result<Self, SamplerError> {
        if !(LEAST..=LARGEST).contains(&sigma_nano) {
            return Err(SamplerError::Gaussian { nano: sigma_nano });
        }
        let width = (sigma_nano / NANO) as u64 + 1;
        let (s, t) = (sigma_nano as f64, width as f64);
        Ok(Self { nano: sigma_nano, width, inverse: 1e9 / s, centre: s / (1e9 * t), step: 1.0 / t })
    }

    /// σ in billionths.
    pub fn nano(&self) -> u128 {
        self.nano
    }

    /// t.
    #[cfg(test)]
    pub(super) fn width(&self) -> u64 {
        self.width
    }

    /// γ = U/t + (x − σ²/t)²/2σ², off by at most (20γ + 6)·2^(−53).
    #[inline]
    pub(super) fn gamma(&self, uniform: u64, x: u64) -> f64 {
        let d = x as f64 * self.inverse - self.centre;
        uniform as f64 * self.step + 0.5 * (d * d)
    }

    /// γ as a fraction: (2·U·N²·t·s² + (x·N²·t − s²)²) / (2·N²·t²·s²), with N = 1e9.
    pub(super) fn gamma_exact(&self, uniform: u64, x: u64) -> (UBig, UBig) {
        let (t, square) = (UBig::from(self.width), UBig::from(self.nano) * UBig::from(self.nano));
        let twice = UBig::from(2 * NANO * NANO) * &t * &square;
        let (near, far) = (UBig::from(NANO * NANO) * UBig::from(x) * &t, square);
        let distance = if near >= far { near - far } else { far - near };
        (UBig::from(uniform) * &twice + &distance * &distance, twice * t)
    }

    /// One draw; `None` if a proposal does not fit 63 bits.
    #[inline]
    pub(super) fn draw_with<const MARGIN: u32, R: CryptoRng>(
        &self,
        rng: &mut R,
        uniform: impl Fn(&mut R, u64) -> (u64, bool) + Copy,
    ) -> Option<i64> {
        loop {
            let Proposal { uniform: u, blocks, negative } = propose::<MARGIN, R>(rng, self.width, uniform);
            let x = self.width.checked_mul(blocks)?.checked_add(u)?;
            let value = i64::try_from(x).ok()?;
            if negative && value == 0 {
                continue; // Zero has one sign, or it would come twice as often.
            }
            if coin::<MARGIN, R>(rng, self.gamma(u, x), || self.gamma_exact(u, x)) {
                return Some(if negative { -value } else { value });
            }
        }
    }
}

impl Law for Scale {
    #[inline]
    fn draw<R: CryptoRng>(&self, rng: &mut R) -> Result<i64, SamplerError> {
        self.draw_with::<MARGIN, R>(rng, uniform).ok_or(SamplerError::Overflow)
    }
}
