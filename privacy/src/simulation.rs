//! No noise, for simulations over data that the one who runs them already holds.
//!
//! [`without_noise`] is barred by the linter everywhere but in the simulator, and a test over the tree asserts it. A real
//! agent has no way to it: no option, no setting, no message.

use summaries::Sensitivity;

use crate::accounting::Rho;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Scale};

struct NoNoise;

/// A mechanism that adds nothing. What it releases is marked as not private.
pub fn without_noise() -> Box<dyn Mechanism> {
    Box::new(NoNoise)
}

impl Mechanism for NoNoise {
    fn name(&self) -> MechanismName {
        MechanismName::None
    }
    fn sigma(&self, _: &Sensitivity, _: Rho) -> f64 {
        0.0
    }
    fn noise(&self, _: &mut [i64], _: &Scale, _: &Sensitivity, _: usize, _: Rho) -> Result<(), MechanismError> {
        Ok(())
    }
}
