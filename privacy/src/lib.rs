//! Privacy: what may leave, what it costs, and the noise.
//!
//! The path has one gate. [`Sensitive`] values can't be printed, serialised or sent. Only [`Mechanism::release`] turns them
//! into a [`Released`] value, and it takes a [`Charge`], which only the [`PrivacyFilter`] mints.
//!
//! ```text
//!   Sensitive<Lanes> + sensitivity ─┐
//!                                   ├─ Mechanism::release ──► Released (integers, σ, ρ)
//!   PrivacyFilter::admit ─► Charge ─┘
//! ```
//!
//! The currency is ρ of zero-concentrated differential privacy (Bun and Steinke 2016): discrete Gaussian noise of scale σ on
//! a vector of L2 sensitivity Δ costs ρ = Δ²/2σ² (Canonne, Kamath, Steinke 2020), and costs add.
//!
//! This room knows no clock, no input, no wire.

pub mod accounting;
pub mod filter;
pub mod mechanism;
pub mod opendp_gaussian;
pub mod sensitive;
pub mod simulation;

pub use accounting::{Delta, Epsilon, Rho};
pub use filter::{Caps, Charge, PrivacyFilter, Refusal, Spent};
pub use mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart};
pub use opendp_gaussian::DiscreteGaussian;
pub use sensitive::{Released, Sensitive};
