//! Exact samplers of the discrete Gaussian and the discrete Laplace distribution, on all cores.
//!
//! The law of each output is the named law itself, not a floating-point neighbour of it, if the random bits are uniform.
//! `proofs/discrete_gaussian.md` has the statement and the proof. The method is rejection from the discrete Laplace after
//! Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), algorithms 1 to 3, with two changes:
//! both of its coins are tossed as one, and a coin of chance e^(−γ) is decided in `f64` where a proved margin allows it,
//! and by exact integers where it does not.
//!
//! Not constant in time: the caller releases on a fixed schedule.

mod bernoulli;
mod error;
mod exact;
#[cfg(test)]
mod gates;
mod gaussian;
pub mod laplace;
mod parallel;
mod proposal;
#[cfg(test)]
mod tests;

pub use error::SamplerError;
pub use gaussian::Scale;

use rand_core::CryptoRng;

/// Fills `out` with independent draws of the discrete Gaussian, on this thread.
///
/// # Errors
/// A draw did not fit 64 bits (chance below e^(−90 000) a draw). Then all of `out` is zero.
pub fn fill(out: &mut [i64], scale: &Scale, rng: &mut impl CryptoRng) -> Result<(), SamplerError> {
    parallel::fill(out, scale, rng)
}

/// Adds an independent draw of the discrete Gaussian to each lane, on up to `threads` threads. `seeds` fills a slice with
/// bytes of the operating system's generator; each thread runs ChaCha20 from 32 bytes of its own, which are then wiped.
///
/// # Errors
/// No seed, no thread, or a sum that does not fit 64 bits. Then all lanes are zero, so that no lane leaves without noise.
pub fn add_noise(
    lanes: &mut [i64],
    scale: &Scale,
    seeds: &mut dyn FnMut(&mut [u8]) -> Result<(), String>,
    threads: usize,
) -> Result<(), SamplerError> {
    parallel::add(lanes, scale, seeds, threads)
}
