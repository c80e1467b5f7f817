//! The discrete Gaussian mechanism: sampled by OpenDP, and by the room's own exact sampler where a vector is long.

use std::sync::{Mutex, PoisonError};

use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::make_gaussian;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::L2Distance;
use summaries::Sensitivity;

use crate::accounting::Rho;
use crate::distributed;
use crate::mechanism::{Mechanism, MechanismError, MechanismName, Scale, gaussian_sigma, grid};
use crate::sampler;

/// OpenDP's generator stands behind a lock; two threads that sample at once are far slower than one after the other.
static SAMPLER: Mutex<()> = Mutex::new(());

/// Vectors of more lanes are sampled by [`crate::sampler`], which is some fifty times faster a core and runs on all of them.
pub const OPENDP_LANES: usize = 512;

/// Discrete Gaussian noise over integer lanes. The sensitivity is proved here, and OpenDP's own privacy map is asked whether the
/// cost is covered, whoever samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscreteGaussian;

/// Adds noise by OpenDP. Without lanes it only asks the map. Returns what the map says it costs at that sensitivity.
fn opendp(lanes: &mut [i64], sigma: f64, l2: f64, sample: bool) -> Result<f64, MechanismError> {
    let failed = |e: opendp::error::Error| MechanismError::Sampler(e.variant.to_string());
    let measurement = make_gaussian::<_, _, ZeroConcentratedDivergence>(
        VectorDomain::new(AtomDomain::<i64>::default()),
        L2Distance::<f64>::default(),
        sigma,
        None,
    )
    .map_err(failed)?;
    let cost = measurement.map(&l2).map_err(failed)?;
    if sample {
        let _turn = SAMPLER.lock().unwrap_or_else(PoisonError::into_inner);
        let out = zeroize::Zeroizing::new(measurement.invoke(&lanes.to_vec()).map_err(failed)?);
        lanes.iter_mut().zip(out.iter()).for_each(|(to, from)| *to = *from);
    }
    Ok(cost)
}

/// Seeds of the operating system's strength, from AWS-LC's generator.
pub(crate) fn seeds(buffer: &mut [u8]) -> Result<(), String> {
    aws_lc_rs::rand::fill(buffer).map_err(|_| "the generator of random bytes failed".to_owned())
}

/// Threads for so many lanes.
fn threads(lanes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(lanes.div_ceil(4096)).max(1)
}

impl Mechanism for DiscreteGaussian {
    fn name(&self) -> MechanismName {
        MechanismName::DiscreteGaussian
    }

    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64 {
        gaussian_sigma(sensitivity.l2, rho)
    }

    fn noise(
        &self,
        lanes: &mut [i64],
        scale: &Scale,
        sensitivity: &Sensitivity,
        parties: usize,
        share: Rho,
    ) -> Result<(), MechanismError> {
        let sigma = scale.sigma_nano as f64 / 1e9;
        let l2 = sensitivity.l2 * grid(scale.grid_bits);
        let sum = distributed::sum_cost(sigma, parties, l2, lanes.len());
        let map = opendp(lanes, sigma, l2 / (parties as f64).sqrt(), lanes.len() <= OPENDP_LANES)?;
        let cost = sum.max(map);
        if cost > share.value() {
            return Err(MechanismError::Map { cost, share });
        }
        if lanes.len() > OPENDP_LANES {
            let failed = |e: sampler::SamplerError| MechanismError::Sampler(e.to_string());
            let scale = sampler::Scale::from_nano(scale.sigma_nano).map_err(failed)?;
            sampler::add_noise(lanes, &scale, &mut seeds, threads(lanes.len())).map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::filter::{Caps, Charge, PrivacyFilter, Spent};
    use crate::mechanism::{LEAST_GRID_SIGMA, Part};
    use crate::sensitive::Sensitive;
    use summaries::Lanes;

    fn charge(nano: u64) -> Charge {
        let cost = Cost::gaussian(Rho::from_nano(nano));
        PrivacyFilter::new(Caps::default()).admit(cost, &[(2020, Spent::default())]).unwrap()
    }

    fn part(lanes: usize, weight: f64) -> Part {
        Part { lanes: Sensitive::new(Lanes::zeros(lanes)), sensitivity: Sensitivity::cells(1), weight }
    }

    #[test]
    fn parts_share_the_charge_and_get_their_scale_on_a_fine_grid() {
        let r = DiscreteGaussian.release(vec![part(3, 3.0), part(1, 1.0)], charge(20_000_000)).unwrap();
        let sigmas: Vec<f64> = r.get().iter().map(|p| p.scale.sigma()).collect();
        assert!((sigmas[0] - (1.0f64 / 0.03).sqrt()).abs() < 1e-3, "{sigmas:?}");
        assert!((sigmas[1] - 10.0).abs() < 1e-3);
        assert!(r.get().iter().all(|p| p.scale.sigma_nano as f64 / 1e9 >= LEAST_GRID_SIGMA));
    }

    #[test]
    fn no_charge_no_release() {
        assert!(matches!(DiscreteGaussian.release(vec![part(1, 1.0)], charge(0)), Err(MechanismError::Charge(_))));
    }

    #[test]
    fn shares_are_smaller_by_the_root_of_the_parties_and_stay_closed() {
        let s = DiscreteGaussian.share(vec![part(5, 1.0)], charge(20_000_000), 25).unwrap();
        assert!((s.scales[0].sigma() - 1.0).abs() < 1e-3, "{}", s.scales[0].sigma());
        assert_eq!(s.lanes.open().len(), 5);
    }

    /// Planted: noise that is too small by a tenth is refused by the map, before anything is sampled.
    #[test]
    fn noise_that_is_not_paid_for_is_refused() {
        let sensitivity = Sensitivity::cells(1);
        let share = Rho::from_nano(20_000_000);
        let due = gaussian_sigma(1.0, share) * 64.0;
        for (factor, fine) in [(1.0, true), (0.9, false), (0.999, false)] {
            let scale = Scale { lanes: 1, sigma_nano: (due * factor * 1e9).ceil() as u128, grid_bits: 6 };
            let done = DiscreteGaussian.noise(&mut [0], &scale, &sensitivity, 1, share);
            assert_eq!(done.is_ok(), fine, "{factor}: {done:?}");
        }
    }
}
