//! Why nothing was sampled. No variant holds a value of a patient or of the noise.

/// Why nothing was sampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// The scale of a Gaussian is out of range.
    #[error("σ = {nano} billionths is not from 0.01 to 1e14: change the charge or the unit of the lanes")]
    Gaussian {
        /// σ in billionths.
        nano: u128,
    },
    /// The scale of a Laplace is out of range.
    #[error("the scale {numerator}/{denominator} is not from 0.01 to 1e14 with terms of 1 to 2^62")]
    Laplace {
        /// Above the line.
        numerator: u64,
        /// Below the line.
        denominator: u64,
    },
    /// A sum does not fit.
    #[error("a noised lane does not fit 64 bits: bound the lanes far below 2^63")]
    Overflow,
    /// The source of seeds failed.
    #[error("no seed from the operating system: {0}")]
    Seed(String),
    /// The source of seeds gave the same seed twice, or left one empty.
    #[error("the source of seeds repeats itself: do not release with it")]
    RepeatedSeed,
    /// A thread did not start or did not end.
    #[error("a sampling thread failed: try again with fewer threads")]
    Thread,
}
