//! What a mechanism is: sensitive sums in, noised integers out, for a charge.

use serde::{Deserialize, Serialize};
use summaries::{Lanes, Sensitivity};
use zeroize::Zeroize as _;

use crate::accounting::Rho;
use crate::continual::{Continual, History};
use crate::filter::Charge;
use crate::sensitive::{Released, Sensitive};

/// The mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MechanismName {
    /// The discrete Gaussian mechanism.
    DiscreteGaussian,
    /// Cells that are set falsely, for the OR of many sites; in secure rounds alone.
    Presence,
    /// No noise: a simulation over data that the one who runs it holds. Not private.
    None,
}

impl MechanismName {
    /// Its word in manifests.
    pub fn word(self) -> &'static str {
        match self {
            MechanismName::DiscreteGaussian => "discrete-gaussian",
            MechanismName::Presence => "presence",
            MechanismName::None => "none",
        }
    }
}

/// One statistic of a round: its sum, its sensitivity, and its weight in the round's charge.
pub struct Part {
    /// The sum over patients.
    pub lanes: Sensitive<Lanes>,
    /// How far one patient moves it.
    pub sensitivity: Sensitivity,
    /// Its share of the charge is this over the sum of all.
    pub weight: f64,
}

impl Part {
    /// How many lanes; that is the plan's, and no patient's.
    pub fn len(&self) -> usize {
        self.lanes.peek().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The noise of one vector: its scale, and the grid that it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Lanes.
    pub lanes: usize,
    /// σ in grid units, in billionths (an integer, so that manifests are canonical).
    pub sigma_nano: u128,
    /// The released integers are lane units times 2 to this.
    pub grid_bits: u32,
}

impl Scale {
    /// σ in lane units.
    pub fn sigma(&self) -> f64 {
        self.sigma_nano as f64 / 1e9 / grid(self.grid_bits)
    }
}

/// One noised vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedPart {
    /// The integers that may leave, in grid units.
    pub lanes: Vec<i64>,
    /// Their noise.
    pub scale: Scale,
}

/// A site's part of a noise that several sites share. It is not private alone and may not leave unmasked; only
/// [`Party::mask`](crate::secagg::Party::mask) makes something of it that may.
pub struct Share {
    /// The noise of each vector, this site's part.
    pub scales: Vec<Scale>,
    /// All vectors, one after the other, in grid units.
    pub lanes: Sensitive<Lanes>,
}

/// Why nothing was released. Nothing here depends on a patient.
#[derive(Debug, thiserror::Error)]
pub enum MechanismError {
    /// The charge is too small for any noise scale.
    #[error("the charge of ρ = {0} is too small to release with")]
    Charge(Rho),
    /// The noises of a series hang together, and the release was asked for without; or the other way round.
    #[error("the charge is for another kind of noise")]
    Series,
    /// What was drawn for a series before is not there as it was left.
    #[error("the noises that were drawn for the windows before can't be read")]
    History,
    /// The sampler failed.
    #[error("the noise sampler failed: {0}")]
    Sampler(String),
    /// Steps of a site's own that no noise protects as they are asked for.
    #[error("steps over batches that an order of the rows chooses are for simulations without noise")]
    Batches,
    /// A statistic does not fit the batch.
    #[error(transparent)]
    Statistic(#[from] summaries::AccumulateError),
    /// The sampler's own privacy map disagrees with the charge.
    #[error("the mechanism would cost ρ = {cost}, more than its share {share}")]
    Map {
        /// What the map says.
        cost: f64,
        /// What was paid.
        share: Rho,
    },
}

/// A mechanism.
pub trait Mechanism: Send + Sync {
    /// Its name.
    fn name(&self) -> MechanismName;

    /// The scale of the noise, in lane units, for a sensitivity and a cost.
    fn sigma(&self, sensitivity: &Sensitivity, rho: Rho) -> f64;

    /// Adds noise of a scale to lanes on its grid, `parties` times smaller in variance than one site alone would owe.
    ///
    /// # Errors
    /// The sampler failed, or `share` does not cover the noise.
    fn noise(
        &self,
        lanes: &mut [i64],
        scale: &Scale,
        sensitivity: &Sensitivity,
        parties: usize,
        share: Rho,
    ) -> Result<(), MechanismError>;

    /// Noises every part, the charge split over them by weight. The charge is used up.
    ///
    /// # Errors
    /// The sampler failed, or the charge does not cover the noise. The charge is not given back.
    fn release(&self, parts: Vec<Part>, charge: Charge) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        Ok(Released::new(noised(self, parts, &charge, 1)?))
    }

    /// Noises every part with what a window of a series owes, where the noises hang together: see [`crate::continual`]. What is drawn for it is
    /// in `history` after, and must be durable before anything leaves. The charge is used up.
    ///
    /// # Errors
    /// The charge is for no such series, or the history is not this series', or as [`Mechanism::release`].
    fn release_window(
        &self,
        window: u32,
        parts: Vec<Part>,
        charge: Charge,
        history: &mut History,
    ) -> Result<Released<Vec<ReleasedPart>>, MechanismError> {
        let series = charge.series().filter(|s| window < s.windows()).ok_or(MechanismError::Series)?;
        Ok(Released::new(in_series(self, &series, (window, charge.rho()), parts, history)?))
    }

    /// The same with this site's part of the noise that `parties` sites share. The charge is used up.
    ///
    /// # Errors
    /// As [`Mechanism::release`].
    fn share(&self, parts: Vec<Part>, charge: Charge, parties: usize) -> Result<Share, MechanismError> {
        let parts = noised(self, parts, &charge, parties.max(1))?;
        let scales = parts.iter().map(|p| p.scale).collect();
        let lanes: Vec<i64> = parts.into_iter().flat_map(|p| p.lanes).collect();
        Ok(Share { scales, lanes: Sensitive::new(Lanes::from_values(lanes)) })
    }
}

fn noised<M: Mechanism + ?Sized>(
    mechanism: &M,
    parts: Vec<Part>,
    charge: &Charge,
    parties: usize,
) -> Result<Vec<ReleasedPart>, MechanismError> {
    if charge.series().is_some() {
        return Err(MechanismError::Series);
    }
    let whole: f64 = parts.iter().map(|p| p.weight).sum();
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        let share = charge.rho().share(part.weight, whole);
        out.push(one(mechanism, part.lanes, &part.sensitivity, share, parties)?);
    }
    Ok(out)
}

/// The parts with the noise of a window. Each noise that is drawn costs `rho` alone.
fn in_series<M: Mechanism + ?Sized>(
    mechanism: &M,
    series: &Continual,
    (window, rho): (u32, Rho),
    parts: Vec<Part>,
    history: &mut History,
) -> Result<Vec<ReleasedPart>, MechanismError> {
    let whole: f64 = parts.iter().map(|p| p.weight).sum();
    let of = |p: &Part| {
        let share = rho.share(p.weight, whole);
        scale_of(mechanism.name(), &p.sensitivity, share, 1, p.len()).map(|scale| (scale, share))
    };
    let scales = parts.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let exact = mechanism.name() == MechanismName::None;
    let lanes = parts.iter().map(Part::len).sum();
    if !exact {
        // On the lattice of the integer strategy, where both the noise and what a patient moves are so many times larger.
        let times = series.whole();
        let draw = || {
            let mut all = Vec::with_capacity(lanes);
            for (part, (scale, share)) in parts.iter().zip(&scales) {
                let wide = Scale { sigma_nano: scale.sigma_nano * u128::from(times), ..*scale };
                let l2 = part.sensitivity.l2 * f64::from(times);
                let mut noise = vec![0; part.len()];
                mechanism.noise(&mut noise, &wide, &Sensitivity { l2, ..part.sensitivity }, 1, *share)?;
                all.append(&mut noise);
            }
            Ok::<_, MechanismError>(all)
        };
        history.filled(window, lanes, draw)?.ok_or(MechanismError::History)?;
    }
    let factor = series.window_factor(window);
    let far = || MechanismError::Sampler("a lane leaves the range of the grid; ask for more noise".to_owned());
    let mut first = 0;
    let mut out = Vec::with_capacity(parts.len());
    for (part, (scale, _)) in parts.into_iter().zip(scales) {
        let place = first..first + part.len();
        first = place.end;
        let noise = match exact {
            true => vec![0; part.len()],
            false => history.unfolded(series, window, place).ok_or(MechanismError::History)?,
        };
        let sums = zeroize::Zeroizing::new(part.lanes.open().into_values());
        let told = |(sum, noise): (&i64, &i64)| sum.checked_mul(1 << scale.grid_bits)?.checked_add(*noise);
        let lanes = sums.iter().zip(&noise).map(told).collect::<Option<Vec<i64>>>().ok_or_else(far)?;
        let sigma_nano = (scale.sigma_nano as f64 * factor).ceil() as u128;
        out.push(ReleasedPart { lanes, scale: Scale { sigma_nano, ..scale } });
    }
    Ok(out)
}

/// One sum with its noise.
pub(crate) fn one<M: Mechanism + ?Sized>(
    mechanism: &M,
    lanes: Sensitive<Lanes>,
    sensitivity: &Sensitivity,
    share: Rho,
    parties: usize,
) -> Result<ReleasedPart, MechanismError> {
    let mut lanes = lanes.open().into_values();
    let done = scale_of(mechanism.name(), sensitivity, share, parties, lanes.len()).and_then(|scale| {
        for lane in &mut lanes {
            *lane = lane.checked_mul(1 << scale.grid_bits).ok_or_else(|| {
                MechanismError::Sampler("a lane leaves the range of the grid; ask for more noise".to_owned())
            })?;
        }
        mechanism.noise(&mut lanes, &scale, sensitivity, parties, share)?;
        Ok(scale)
    });
    match done {
        Ok(scale) => Ok(ReleasedPart { lanes, scale }),
        Err(e) => {
            lanes.zeroize();
            Err(e)
        }
    }
}

/// The scale of one site's noise where `parties` share it.
///
/// # Errors
/// The share of the charge is too small for any.
pub fn scale_of(
    mechanism: MechanismName,
    sensitivity: &Sensitivity,
    share: Rho,
    parties: usize,
    lanes: usize,
) -> Result<Scale, MechanismError> {
    if matches!(mechanism, MechanismName::None | MechanismName::Presence) {
        return Ok(Scale { lanes, sigma_nano: 0, grid_bits: 0 });
    }
    let sigma = gaussian_sigma(sensitivity.l2, share) / (parties as f64).sqrt();
    if !sigma.is_finite() || sigma <= 0.0 {
        return Err(MechanismError::Charge(share));
    }
    let grid_bits = grid_bits(sigma);
    Ok(Scale { lanes, sigma_nano: (sigma * grid(grid_bits) * 1e9).ceil() as u128, grid_bits })
}

/// σ of the Gaussian mechanism, Δ/√(2ρ), a hair larger so that rounding never costs privacy.
pub fn gaussian_sigma(l2: f64, rho: Rho) -> f64 {
    if rho == Rho::ZERO { f64::INFINITY } else { l2 / (2.0 * rho.value()).sqrt() * (1.0 + 1e-9) }
}

/// A σ has at least so many steps of the grid. Then the lattice is so fine that the exact curve of the continuous Gaussian holds
/// within a thousandth of δ, and shares of noise on it add up to a discrete Gaussian to far below a billionth of ρ.
pub const LEAST_GRID_SIGMA: f64 = 64.0;

/// No grid is finer, so that counts stay in range.
pub const MOST_GRID_BITS: u32 = 20;

/// How much finer than one lane unit the grid is for a σ in lane units: the fewest bits that give it
/// [`LEAST_GRID_SIGMA`] steps.
pub fn grid_bits(sigma: f64) -> u32 {
    (0..MOST_GRID_BITS).find(|bits| sigma * grid(*bits) >= LEAST_GRID_SIGMA).unwrap_or(MOST_GRID_BITS)
}

/// Grid units in one lane unit.
pub fn grid(bits: u32) -> f64 {
    2f64.powi(bits.min(MOST_GRID_BITS).cast_signed())
}
