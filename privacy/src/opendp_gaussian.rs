//! The discrete Gaussian mechanism, sampled by OpenDP.

use std::sync::{Mutex, PoisonError};

use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::make_gaussian;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::L2Distance;
use summaries::Sensitivity;
use zeroize::Zeroize as _;

use crate::accounting::Rho;
use crate::filter::Charge;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Part, ReleasedPart, gaussian_sigma};
use crate::sensitive::Released;

/// OpenDP's generator stands behind a lock; two threads that sample at once are far slower than one after the other.
static SAMPLER: Mutex<()> = Mutex::new(());

/// Discrete Gaussian noise over integer lanes. The sensitivity is proved here, the sampling is OpenDP's, and OpenDP's own
/// privacy map is asked whether the cost is covered.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscreteGaussian;

/// Adds discrete Gaussian noise of scale `sigma` to each lane. Returns what OpenDP's map says it costs at that sensitivity.
fn noised(lanes: &[i64], sigma: f64, l2: f64) -> Result<(Vec<i64>, f64), MechanismError> {
    let failed = |e: opendp::error::Error| MechanismError::Sampler(e.variant.to_string());
    let measurement = make_gaussian::<_, _, ZeroConcentratedDivergence>(
        VectorDomain::new(AtomDomain::<i64>::default()),
        L2Distance::<f64>::default(),
        sigma,
        None,
    )
    .map_err(failed)?;
    let cost = measurement.map(&l2).map_err(failed)?;
    let _turn = SAMPLER.lock().unwrap_or_else(PoisonError::into_inner);
    let out = measurement.invoke(&lanes.to_vec()).map_err(failed)?;
    Ok((out, cost))
}

impl Mechanism for DiscreteGaussian {
    fn name(&self) -> MechanismName {
        MechanismName::DiscreteGaussian
    }

    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64 {
        gaussian_sigma(sensitivity.l2, rho)
    }

    fn release(&self, parts: Vec<Part>, charge: Charge) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        let whole: f64 = parts.iter().map(|p| p.weight).sum();
        let mut out = Vec::with_capacity(parts.len());
        for part in parts {
            let share = charge.rho().share(part.weight, whole);
            let sigma = self.sigma(&part.sensitivity, share);
            if !sigma.is_finite() || sigma <= 0.0 {
                return Err(MechanismError::Charge(share));
            }
            let mut sums = part.lanes.open().into_values();
            let outcome = noised(&sums, sigma, part.sensitivity.l2);
            sums.zeroize();
            let (lanes, cost) = outcome?;
            if cost > share.value() {
                return Err(MechanismError::Map { cost, share });
            }
            out.push(ReleasedPart { lanes, sigma_nano: (sigma * 1e9).ceil() as u128 });
        }
        Ok(Released::new(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Caps, PrivacyFilter, Spent};
    use crate::sensitive::Sensitive;
    use summaries::Lanes;

    fn charge(nano: u64) -> Charge {
        PrivacyFilter::new(Caps::default()).admit(Rho::from_nano(nano), &Spent::default()).unwrap()
    }

    #[test]
    fn parts_share_the_charge_and_get_their_scale() {
        let part = |weight| Part { lanes: Sensitive::new(Lanes::zeros(3)), sensitivity: Sensitivity::cells(1), weight };
        let r = DiscreteGaussian.release(vec![part(3.0), part(1.0)], charge(20_000_000)).unwrap();
        let sigmas: Vec<f64> = r.get().iter().map(ReleasedPart::sigma).collect();
        assert!((sigmas[0] - (1.0f64 / 0.03).sqrt()).abs() < 1e-3, "{sigmas:?}");
        assert!((sigmas[1] - 10.0).abs() < 1e-3);
    }

    #[test]
    fn no_charge_no_release() {
        let part = Part { lanes: Sensitive::new(Lanes::zeros(1)), sensitivity: Sensitivity::cells(1), weight: 1.0 };
        assert!(matches!(DiscreteGaussian.release(vec![part], charge(0)), Err(MechanismError::Charge(_))));
    }
}
