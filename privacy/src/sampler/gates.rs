//! Gates: each says what is wrong with a sampler, or nothing. On a right one each is wrong with chance [`ALARM`]; the tests
//! run them on fixed seeds, so that a build is right or wrong for good.

use dashu_int::UBig;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::bernoulli::exp_neg;
use super::{Scale, exact};

/// How often each gate is wrong about a right sampler.
pub(super) const ALARM: f64 = 1e-6;
/// Draws. The variance has its threshold at 2.1 %, so a σ that is 2 % off (4 % of the variance) is found with 1 − 4e-6.
pub(super) const MANY: usize = 111_000;
/// Up to this scale the exact mass function is used.
pub(super) const EXACT_TO: f64 = 50.0;

/// A symmetric law on the integers, up to a factor.
pub(super) type Weight = fn(f64, f64) -> f64;

/// exp(−x²/2σ²).
pub(super) const GAUSSIAN: Weight = |x, sigma| (-(x * x) / (2.0 * sigma * sigma)).exp();
/// exp(−|x|/b).
pub(super) const LAPLACE: Weight = |x, b| (-x / b).exp();

/// Every gate for Gaussian draws.
pub(super) fn gaussian(values: &[i64], sigma: f64) -> Result<(), String> {
    variance(values, sigma)?;
    symmetric(values, sigma)?;
    apart(&values[1..], &values[..values.len() - 1], sigma)?;
    if sigma <= EXACT_TO {
        mass(values, sigma, GAUSSIAN)
    } else {
        let normal = Normal::standard();
        distribution(values, |v| normal.cdf(v / sigma))
    }
}

/// The mass at 0, 1, 2, …
pub(super) fn masses(scale: f64, weight: Weight) -> Vec<f64> {
    let weights: Vec<f64> = (0..(45.0 * scale) as usize + 45).map(|x| weight(x as f64, scale)).collect();
    let whole = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.into_iter().map(|w| w / whole).collect()
}

fn judge(z: f64, what: &str) -> Result<(), String> {
    let threshold = Normal::standard().inverse_cdf(1.0 - ALARM / 2.0);
    if z.abs() <= threshold { Ok(()) } else { Err(format!("{what} is {z:.1} standard errors off")) }
}

/// The variance, by the cube root of Wilson and Hilferty: it holds far into the tails.
pub(super) fn variance(values: &[i64], sigma: f64) -> Result<(), String> {
    let (truth, kurtosis) = if sigma <= EXACT_TO {
        let m = masses(sigma, GAUSSIAN);
        let moment = |power: i32| 2.0 * m.iter().enumerate().map(|(x, p)| (x as f64).powi(power) * p).sum::<f64>();
        (moment(2) / (sigma * sigma), moment(4) / (moment(2) * moment(2)))
    } else {
        (1.0, 3.0)
    };
    let n = values.len() as f64;
    // Sums of squares scatter by (kurtosis − 1)/n, which a scaled χ² of this many degrees of freedom shares.
    let spread = (kurtosis - 1.0) / (9.0 * n);
    let ratio = values.iter().map(|v| (*v as f64 / sigma).powi(2)).sum::<f64>() / (n * truth);
    judge((ratio.cbrt() - (1.0 - spread)) / spread.sqrt(), "the variance")
}

/// Positive and negative draws come alike, and so do odd moments.
pub(super) fn symmetric(values: &[i64], scale: f64) -> Result<(), String> {
    let (plus, minus) = (values.iter().filter(|v| **v > 0).count(), values.iter().filter(|v| **v < 0).count());
    judge((plus as f64 - minus as f64) / ((plus + minus).max(1) as f64).sqrt(), "the balance of signs")?;
    let sum: f64 = values.iter().map(|v| *v as f64 / scale).sum();
    let squares: f64 = values.iter().map(|v| (*v as f64 / scale).powi(2)).sum();
    judge(sum / squares.max(1e-9).sqrt(), "the mean")
}

/// Two equally long lists know nothing of each other: neither values nor magnitudes go together.
pub(super) fn apart(a: &[i64], b: &[i64], scale: f64) -> Result<(), String> {
    let correlation = |f: fn(f64) -> f64| {
        let list = |values: &[i64]| values.iter().map(|v| f(*v as f64 / scale)).collect::<Vec<_>>();
        let (a, b) = (list(a), list(b));
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (ma, mb) = (mean(&a), mean(&b));
        let product: f64 = a.iter().zip(&b).map(|(x, y)| (x - ma) * (y - mb)).sum();
        let squares = |x: &[f64], m: f64| x.iter().map(|v| (v - m).powi(2)).sum::<f64>().max(1e-9);
        product / (squares(&a, ma) * squares(&b, mb)).sqrt() * (a.len() as f64).sqrt()
    };
    judge(correlation(|x| x), "the correlation")?;
    judge(correlation(f64::abs), "the correlation of magnitudes")
}

/// χ² against the exact mass function; what is expected fewer than 25 times is pooled into the tails.
pub(super) fn mass(values: &[i64], scale: f64, weight: Weight) -> Result<(), String> {
    let n = values.len() as f64;
    let m = masses(scale, weight);
    let last = m.iter().take_while(|p| *p * n >= 25.0).count() as i64 - 1;
    let tail = m.iter().skip(last as usize + 1).sum::<f64>() * 2.0 * n;
    let mut expected: Vec<f64> = (-last..=last).map(|x| m[x.unsigned_abs() as usize] * n).collect();
    let mut found = vec![0.0; expected.len() + 1];
    let rest = expected.len();
    for v in values {
        found[if v.unsigned_abs() <= last as u64 { (v + last) as usize } else { rest }] += 1.0;
    }
    expected.push(tail);
    if tail < 25.0 {
        // The outermost cell takes a thin tail.
        let (e, f) = (expected.remove(rest), found.remove(rest));
        expected[rest - 1] += e;
        found[rest - 1] += f;
    }
    let statistic: f64 = expected.iter().zip(&found).map(|(e, f)| (f - e).powi(2) / e).sum();
    let p = ChiSquared::new(expected.len() as f64 - 1.0).map_err(|e| e.to_string())?.sf(statistic);
    if p >= ALARM { Ok(()) } else { Err(format!("χ² = {statistic:.1} over {} cells (p = {p:.1e})", expected.len())) }
}

/// The largest distance to a distribution function; Massart's bound holds for every number of draws.
pub(super) fn distribution(values: &[i64], law: impl Fn(f64) -> f64) -> Result<(), String> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let most = sorted.iter().enumerate().fold(0.0f64, |most, (i, v)| {
        let f = law(*v as f64);
        most.max(f - i as f64 / n).max((i as f64 + 1.0) / n - f)
    });
    let threshold = ((2.0 / ALARM).ln() / (2.0 * n)).sqrt();
    if most <= threshold { Ok(()) } else { Err(format!("the distribution is off by {most:.4} > {threshold:.4}")) }
}

/// One coin of the Gaussian: γ in `f64`, and exactly as num/den.
pub(super) struct Case {
    pub(super) gamma: f64,
    pub(super) num: UBig,
    pub(super) den: UBig,
}

/// A coin as the sampler meets it, over all scales.
pub(super) fn case(rng: &mut impl Rng) -> Case {
    let digits = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let nano = (1e7 * 10f64.powf(16.0 * digits)) as u128 + u128::from(rng.next_u64() & 0xff);
    let scale = Scale::from_nano(nano.min(super::gaussian::LARGEST)).unwrap();
    let uniform = rng.next_u64() % scale.width();
    let x = uniform + scale.width() * u64::from(rng.next_u64().trailing_zeros() / 2);
    let (num, den) = scale.gamma_exact(uniform, x);
    Case { gamma: scale.gamma(uniform, x), num, den }
}

/// A quick decision is never another than the exact one, for the same bits, near the threshold and far from it. Not
/// statistical: one wrong answer is one too many.
pub(super) fn agree(quick: impl Fn(f64, u64) -> Option<bool>, cases: usize) -> Result<(), String> {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    for _ in 0..cases {
        let Case { gamma, num, den } = case(&mut rng);
        let threshold = (exp_neg(gamma) * (1u128 << 64) as f64) as u64;
        // Half the words are uniform, half within 2^1 to 2^47 of the threshold.
        let (word, kind) = (rng.next_u64(), rng.next_u64());
        let near = word >> (17 + kind % 47);
        let word = match kind >> 62 {
            0 => threshold.saturating_add(near),
            1 => threshold.saturating_sub(near),
            _ => word,
        };
        if let Some(answer) = quick(gamma, word)
            && answer != exact::below(&num, &den, word, &mut || rng.next_u64())
        {
            return Err(format!("γ = {gamma}: {word:#x} was decided wrongly"));
        }
    }
    Ok(())
}
