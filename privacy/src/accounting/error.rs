//! What an accountant refuses, and why.

use thiserror::Error;

/// A question that an accountant refuses.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AccountError {
    /// The noise is not a positive finite number.
    #[error("the noise multiplier must be a positive finite number, not {0}")]
    Noise(f64),
    /// The sampling rate is not in (0, 1].
    #[error("the sampling rate must be above 0 and at most 1, not {0}")]
    SamplingRate(f64),
    /// No rounds.
    #[error("there must be one round at least")]
    Rounds,
    /// δ out of range.
    #[error("δ must be at least 1e-12 and below 1, not {0}")]
    Delta(f64),
    /// ε out of range.
    #[error("ε must be a positive finite number, not {0}")]
    Epsilon(f64),
    /// The grid of a privacy loss distribution.
    #[error("the grid interval must be between 1e-7 and 1, not {0}")]
    Interval(f64),
    /// Two distributions on different grids.
    #[error("distributions on the grids {0} and {1} cannot be composed; build both on one grid")]
    Grids(f64, f64),
    /// The distribution would take too much memory.
    #[error("the distribution needs {0} points, and {1} are allowed; choose a coarser grid")]
    TooLarge(u64, u64),
    /// No noise within the range of the search is enough.
    #[error(
        "no noise multiplier up to {most} gives ε = {epsilon} over {rounds} rounds; ask for more ε or fewer rounds"
    )]
    Unreachable {
        /// What was asked.
        epsilon: f64,
        /// Over how many rounds.
        rounds: u64,
        /// The largest noise that was tried.
        most: f64,
    },
}
