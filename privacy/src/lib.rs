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
//! The currency is a curve of Rényi differential privacy ([`Cost`]); for the discrete Gaussian, which nearly all noise is, it is
//! ρ of zero-concentrated differential privacy (Bun and Steinke 2016): scale σ on a vector of L2 sensitivity Δ costs ρ = Δ²/2σ²
//! (Canonne, Kamath, Steinke 2020), and costs add.
//!
//! * [`cost`], [`filter`], [`accounting`]: what is spent, what may be, what it means.
//! * [`mechanism`], [`discrete_gaussian`], [`discrete_laplace`], [`stability`], [`presence`], [`sampler`]: the noise.
//! * [`continual`]: noise of a series of windows that takes part of itself back.
//! * [`sampled`]: rounds on samples of the patients, paid for at once.
//! * [`distributed`], [`secagg`]: noise in shares, and sums that show no site's part.
//! * [`audit`]: what an attack that worked proves about ε.
//! * [`manual`]: how such systems fail, and what prevents it here.
//!
//! This room knows no clock, no input, no wire. Its randomness is the operating system's, through OpenSSL or AWS-LC, or arrives
//! as an argument.

pub mod accounting;
pub mod audit;
pub mod continual;
pub mod cost;
pub mod discrete_gaussian;
pub mod discrete_laplace;
pub mod distributed;
pub mod filter;
pub mod manual;
pub mod mechanism;
pub mod presence;
pub mod sampled;
pub mod sampler;
pub mod secagg;
pub mod sensitive;
pub mod simulation;
pub mod stability;
pub mod walk;

pub use accounting::{Delta, Epsilon, Rho};
pub use continual::{Continual, Correlation};
pub use cost::{Cost, DeltaSlot};
pub use discrete_gaussian::DiscreteGaussian;
pub use discrete_laplace::DiscreteLaplace;
pub use filter::{Block, Cap, Caps, Charge, Prepaid, PrivacyFilter, Refusal, Spent};
pub use mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart, Scale, Share};
pub use presence::Presence;
pub use sampled::FixedPlan;
pub use sensitive::{Released, Sensitive};
