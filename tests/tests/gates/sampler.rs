//! Gate 2: the noise. Each test raises a false alarm with probability [`ALARM`]; a run has some 50 of them.

use privacy::mechanism::{grid, grid_bits};
use privacy::{Caps, Cost, DiscreteGaussian, Mechanism, Part, PrivacyFilter, Rho, Sensitive, Spent};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use summaries::{Lanes, Sensitivity};

/// How often each test is wrong about a right sampler.
pub(crate) const ALARM: f64 = 1e-6;

/// Draws of the statistic that is tested hardest. The variance test at [`ALARM`] has its threshold at 2.1 % of the variance,
/// so a σ that is 2 % off (4 % of the variance, 9.4 standard errors) is found with probability 1 − 4e-6. In the long suite 0.7 %.
pub(crate) fn many() -> usize {
    insitu_tests::sized(111_000, 1_110_000)
}

/// Draws of every other statistic: 3.6 % of σ is found as surely, in the long suite 1.2 %.
pub(crate) fn some() -> usize {
    insitu_tests::sized(20_000, 200_000)
}

/// Up to this scale the exact mass function is used; above it a unit of the grid is 0.5 % of σ and less, and for the
/// fixed-point lanes (σ about 1e11) the continuous distribution is the same to 11 digits.
pub(crate) const EXACT_TO: f64 = 130.0;

/// The scale that a sensitivity owes at a cost, Δ / √(2ρ), in steps of the grid that it lies on.
pub(crate) fn due(l2: f64, rho: Rho) -> f64 {
    let sigma = l2 / (2.0 * rho.value()).sqrt();
    sigma * grid(grid_bits(sigma))
}

/// Noise alone, through the mechanism that a site uses: zero lanes, one charge. Also the scale that the release names.
pub(crate) fn draw(sensitivity: Sensitivity, rho: Rho, draws: usize) -> Result<(Vec<i64>, f64), String> {
    let filter = PrivacyFilter::new(Caps::flat(rho));
    let charge = filter.admit(Cost::gaussian(rho), &[(2020, Spent::default())]).map_err(|e| e.to_string())?;
    let part = Part { lanes: Sensitive::new(Lanes::zeros(draws)), sensitivity, weight: 1.0 };
    let released = DiscreteGaussian.release(vec![part], charge).map_err(|e| e.to_string())?;
    let part = released.into_inner().pop().ok_or("nothing was released")?;
    let sigma = part.scale.sigma_nano as f64 / 1e9;
    Ok((part.lanes, sigma))
}

/// Every test of this gate: the shape, the variance, the mean, and whether neighbouring lanes know of each other.
pub(crate) fn gate(values: &[i64], sigma: f64) -> Result<(), String> {
    variance(values, sigma)?;
    mean(values, sigma)?;
    neighbours(values, sigma)?;
    if sigma <= EXACT_TO { mass(values, sigma) } else { distribution(values, sigma) }
}

/// The quantile beyond which a two-sided test alarms.
fn two_sided() -> f64 {
    Normal::standard().inverse_cdf(1.0 - ALARM / 2.0)
}

/// The mass of the discrete Gaussian at 0, 1, 2, …: proportional to exp(−x²/2σ²).
fn masses(sigma: f64) -> Vec<f64> {
    let weight = |x: f64| (-(x * x) / (2.0 * sigma * sigma)).exp();
    let far = (40.0 * sigma).ceil() as usize + 2;
    let weights: Vec<f64> = (0..far).map(|x| weight(x as f64)).collect();
    let whole = 2.0 * weights.iter().sum::<f64>() - 1.0;
    weights.into_iter().map(|w| w / whole).collect()
}

/// The variance, by the cube root of Wilson and Hilferty: it holds far into the tails.
pub(crate) fn variance(values: &[i64], sigma: f64) -> Result<(), String> {
    let n = values.len() as f64;
    let (truth, kurtosis) = if sigma <= EXACT_TO {
        let m = masses(sigma);
        let moment = |power: i32| 2.0 * m.iter().enumerate().map(|(x, p)| (x as f64).powi(power) * p).sum::<f64>();
        (moment(2), moment(4) / (moment(2) * moment(2)))
    } else {
        (sigma * sigma, 3.0)
    };
    // Sums of squares scatter by (kurtosis − 1)/n, which a scaled χ² of this many degrees of freedom shares.
    let degrees = 2.0 * n / (kurtosis - 1.0);
    let found = values.iter().map(|v| (*v as f64 / sigma).powi(2)).sum::<f64>() / n;
    let ratio = found * sigma * sigma / truth;
    let spread = 2.0 / (9.0 * degrees);
    let z = (ratio.cbrt() - (1.0 - spread)) / spread.sqrt();
    if z.abs() <= two_sided() { Ok(()) } else { Err(format!("the variance is {ratio:.4} of what is due (z = {z:.1})")) }
}

/// The mean is 0.
fn mean(values: &[i64], sigma: f64) -> Result<(), String> {
    let n = values.len() as f64;
    let z = values.iter().map(|v| *v as f64 / sigma).sum::<f64>() / n.sqrt();
    if z.abs() <= two_sided() { Ok(()) } else { Err(format!("the mean is off by {z:.1} standard errors")) }
}

/// A lane's noise says nothing of the next lane's.
fn neighbours(values: &[i64], sigma: f64) -> Result<(), String> {
    let pairs = values.windows(2).map(|w| (w[0] as f64 / sigma) * (w[1] as f64 / sigma));
    let z = pairs.sum::<f64>() / (values.len() as f64).sqrt();
    if z.abs() <= two_sided() { Ok(()) } else { Err(format!("neighbouring lanes go together (z = {z:.1})")) }
}

/// χ² against the exact mass function; cells with fewer than 25 expected draws are pooled into the tails.
pub(crate) fn mass(values: &[i64], sigma: f64) -> Result<(), String> {
    let n = values.len() as f64;
    let m = masses(sigma);
    let last = m.iter().take_while(|p| *p * n >= 25.0).count() as i64 - 1;
    if last < 0 {
        return Err("too few draws for any cell".to_owned());
    }
    let tail: f64 = m.iter().skip(last as usize + 1).sum();
    let mut expected: Vec<f64> = (-last..=last).map(|x| m[x.unsigned_abs() as usize] * n).collect();
    let mut found = vec![0.0; expected.len()];
    let (mut below, mut above) = (0.0, 0.0);
    for v in values {
        match found.get_mut(usize::try_from(v + last).unwrap_or(usize::MAX)) {
            Some(cell) => *cell += 1.0,
            None if *v < 0 => below += 1.0,
            None => above += 1.0,
        }
    }
    if tail * n >= 25.0 {
        expected.extend([tail * n, tail * n]);
        found.extend([below, above]);
    } else {
        // Both tails and the outermost cells in one, so that no cell is thin.
        let rest = 2.0 * tail * n;
        if let (Some(e), Some(f)) = (expected.last_mut(), found.last_mut()) {
            *e += rest;
            *f += below + above;
        }
    }
    if expected.len() < 2 {
        return Ok(()); // All mass is in one cell, and all draws are.
    }
    let statistic: f64 = expected.iter().zip(&found).map(|(e, f)| (f - e).powi(2) / e).sum();
    let p = ChiSquared::new(expected.len() as f64 - 1.0).map_err(|e| e.to_string())?.sf(statistic);
    let cells = expected.len();
    if p >= ALARM { Ok(()) } else { Err(format!("χ² = {statistic:.1} over {cells} cells (p = {p:.1e})")) }
}

/// The largest distance to the normal distribution function. By Massart's bound the threshold holds for every n.
pub(crate) fn distribution(values: &[i64], sigma: f64) -> Result<(), String> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let normal = Normal::standard();
    let mut most = 0.0f64;
    for (i, v) in sorted.iter().enumerate() {
        let f = normal.cdf(*v as f64 / sigma);
        most = most.max((f - i as f64 / n).abs()).max(((i as f64 + 1.0) / n - f).abs());
    }
    let threshold = ((2.0 / ALARM).ln() / (2.0 * n)).sqrt();
    if most <= threshold {
        Ok(())
    } else {
        Err(format!("the distribution is off by {most:.4}, more than {threshold:.4}"))
    }
}
