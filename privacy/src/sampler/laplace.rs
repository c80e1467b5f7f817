//! The discrete Laplace: the chance of y is proportional to exp(−|y|/b), b a fraction. Canonne, Kamath, Steinke, algorithm 2.

use dashu_int::UBig;
use rand_core::CryptoRng;

use super::bernoulli::{MARGIN, coin};
use super::error::SamplerError;
use super::parallel::{self, Law};
use super::proposal::{Proposal, propose, uniform};

/// The largest term of a scale.
const LARGEST_TERM: u64 = 1 << 62;
/// The largest b.
const LARGEST: u128 = 100_000_000_000_000;

/// A scale b that can be sampled, a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaplaceScale {
    num: u64,
    den: u64,
}

impl LaplaceScale {
    /// The scale b = numerator/denominator, exactly.
    ///
    /// # Errors
    /// b is not from 0.01 to 1e14, or a term is not from 1 to 2^62.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self, SamplerError> {
        let terms = 1..=LARGEST_TERM;
        let (n, d) = (u128::from(numerator), u128::from(denominator));
        if !terms.contains(&numerator) || !terms.contains(&denominator) || n * 100 < d || n > d * LARGEST {
            return Err(SamplerError::Laplace { numerator, denominator });
        }
        let divisor = gcd(numerator, denominator);
        Ok(Self { num: numerator / divisor, den: denominator / divisor })
    }

    /// One draw; `None` if it does not fit 63 bits.
    #[inline]
    pub(super) fn draw_with<const MARGIN: u32, R: CryptoRng>(&self, rng: &mut R) -> Option<i64> {
        loop {
            let Proposal { uniform: u, blocks, negative } = propose::<MARGIN, R>(rng, self.num, uniform);
            let exact = || (UBig::from(u), UBig::from(self.num));
            if !coin::<MARGIN, R>(rng, u as f64 / self.num as f64, exact) {
                continue;
            }
            // Below 2^62·(2^64 + 1), so u128 holds it.
            let x = u128::from(u) + u128::from(self.num) * u128::from(blocks);
            let y = match u64::try_from(x) {
                Ok(x) => i64::try_from(x / self.den).ok()?,
                Err(_) => i64::try_from(x / u128::from(self.den)).ok()?,
            };
            if !(negative && y == 0) {
                return Some(if negative { -y } else { y });
            }
        }
    }
}

/// The greatest common divisor of two numbers above 0.
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Law for LaplaceScale {
    #[inline]
    fn draw<R: CryptoRng>(&self, rng: &mut R) -> Result<i64, SamplerError> {
        self.draw_with::<MARGIN, R>(rng).ok_or(SamplerError::Overflow)
    }
}

/// Fills `out` with independent draws of the discrete Laplace, on this thread.
///
/// # Errors
/// A draw did not fit 64 bits (chance below e^(−90 000) a draw). Then all of `out` is zero.
pub fn fill(out: &mut [i64], scale: &LaplaceScale, rng: &mut impl CryptoRng) -> Result<(), SamplerError> {
    parallel::fill(out, scale, rng)
}

/// Adds an independent draw of the discrete Laplace to each lane; else as [`add_noise`](super::add_noise).
///
/// # Errors
/// No seed, no thread, or a sum that does not fit 64 bits. Then all lanes are zero.
pub fn add_noise(
    lanes: &mut [i64],
    scale: &LaplaceScale,
    seeds: &mut dyn FnMut(&mut [u8]) -> Result<(), String>,
    threads: usize,
) -> Result<(), SamplerError> {
    parallel::add(lanes, scale, seeds, threads)
}
