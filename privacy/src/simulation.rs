//! No noise, for simulations over data that the one who runs them already holds.
//!
//! [`without_noise`] is barred by the linter everywhere but in the simulator, and a test over the tree asserts it. A real
//! agent has no way to it: no option, no setting, no message.

use summaries::Sensitivity;

use crate::accounting::Rho;
use crate::filter::Charge;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart};
use crate::sensitive::Released;

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
    fn release(&self, parts: Vec<Part>, _charge: Charge) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        let open = |p: Part| ReleasedPart { lanes: p.lanes.open().into_values(), sigma_nano: 0 };
        Ok(Released::new(parts.into_iter().map(open).collect()))
    }
}
