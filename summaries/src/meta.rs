//! Meta-analysis of the hospitals' own private estimates.
//!
//! Each hospital's error holds sampling and noise, so that a hospital with much noise counts for little. Sources: DerSimonian and
//! Laird, Control Clin Trials 7 (1986) 177; REML, Viechtbauer, J Educ Behav Stat 30 (2005) 261; Hartung and Knapp,
//! Stat Med 20 (2001) 3875, and Sidik and Jonkman, Stat Med 21 (2002) 3153; the prediction interval of Higgins, Thompson and
//! Spiegelhalter, J R Stat Soc A 172 (2009) 137; I² of Higgins and Thompson, Stat Med 21 (2002) 1539.

use crate::estimate::{Row, is_logarithmic};
use crate::interval::{chi2_p, degrees_of_freedom, normal_quantile, t_quantile};

/// A hospital's estimate of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Own {
    /// The estimate.
    pub estimate: f64,
    /// Its standard error, above 0.
    pub se: f64,
}

/// A pooled number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pooled {
    /// The estimate.
    pub estimate: f64,
    /// Its standard error.
    pub se: f64,
    /// The interval's ends.
    pub interval: (f64, f64),
}

/// What the hospitals' estimates say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// As if there were one truth: weights 1/se².
    pub fixed: Pooled,
    /// Truths that differ, τ² by DerSimonian and Laird, a normal interval.
    pub dl: Pooled,
    /// Truths that differ, τ² by REML, the interval of Hartung, Knapp, Sidik and Jonkman with k − 1 degrees of freedom.
    pub random: Pooled,
    /// The variance between hospitals, by DerSimonian and Laird.
    pub tau2_dl: f64,
    /// The same, by REML.
    pub tau2: f64,
    /// Cochran's Q.
    pub q: f64,
    /// Its p-value, χ² with k − 1 degrees of freedom.
    pub q_p: f64,
    /// The share of the spread that is between hospitals, max(0, (Q − (k − 1))/Q).
    pub i2: f64,
    /// Where a further hospital's truth would lie; of three hospitals or more.
    pub prediction: Option<(f64, f64)>,
    /// The random-effects estimate without each hospital, in their order; of three hospitals or more.
    pub without: Vec<Pooled>,
}

/// Weighted mean, the sum of weights, and the weighted square distance from it.
fn weighted(own: &[Own], tau2: f64) -> (f64, f64, f64) {
    let w = |o: &Own| 1.0 / (o.se * o.se + tau2);
    let sum: f64 = own.iter().map(w).sum();
    let mean = own.iter().map(|o| w(o) * o.estimate).sum::<f64>() / sum;
    (mean, sum, own.iter().map(|o| w(o) * (o.estimate - mean).powi(2)).sum())
}

/// Twice the slope of the restricted likelihood in τ².
fn slope(own: &[Own], tau2: f64) -> f64 {
    let (mean, s1, _) = weighted(own, tau2);
    let w = |o: &Own| 1.0 / (o.se * o.se + tau2);
    let s2: f64 = own.iter().map(|o| w(o).powi(2)).sum();
    own.iter().map(|o| (w(o) * (o.estimate - mean)).powi(2)).sum::<f64>() - (s1 - s2 / s1)
}

/// The restricted log likelihood of τ², without its constant.
fn likelihood(own: &[Own], tau2: f64) -> f64 {
    let (_, sum, spread) = weighted(own, tau2);
    -0.5 * (own.iter().map(|o| (o.se * o.se + tau2).ln()).sum::<f64>() + sum.ln() + spread)
}

/// τ² by restricted maximum likelihood.
///
/// Fisher scoring can swing about the top without end, and the likelihood may have two tops. So the highest point is looked for on a
/// grid of 0 and [`GRID`] steps of equal ratio, from far below the least sampling variance to above the square range, and the slope's
/// zero beside it by halving.
fn reml(own: &[Own]) -> f64 {
    let least = own.iter().map(|o| o.se * o.se).fold(f64::INFINITY, f64::min);
    let (low, high) =
        own.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), o| (l.min(o.estimate), h.max(o.estimate)));
    let (from, to) = (least * 1e-4, (high - low).powi(2).max(least) * 4.0);
    let at = |i: usize| if i == 0 { 0.0 } else { from * (to / from).powf((i - 1) as f64 / (GRID - 1) as f64) };
    let best = (0..=GRID)
        .map(|i| (i, likelihood(own, at(i))))
        .fold((0, f64::NEG_INFINITY), |a, b| if b.1 > a.1 { b } else { a });
    let rises = slope(own, at(best.0)) > 0.0;
    if best.0 == 0 && !rises {
        return 0.0;
    }
    let (mut low, mut high) = if rises { (at(best.0), at(best.0 + 1)) } else { (at(best.0 - 1), at(best.0)) };
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if slope(own, middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Points of the grid above 0: over ten powers of ten a ratio of 1.12.
const GRID: usize = 200;
/// An interval halved so often is as narrow as a double allows.
const HALVINGS: usize = 60;

fn hksj(own: &[Own], tau2: f64, confidence: f64) -> Pooled {
    let (estimate, sum, spread) = weighted(own, tau2);
    let df = (own.len() - 1) as f64;
    // Estimates that agree more than their errors let them are no reason for less error than theirs (Jackson et al., Stat Med 36 (2017) 3923).
    let se = ((spread / df).max(1.0) / sum).sqrt();
    let half = t_quantile(0.5 + confidence / 2.0, df) * se;
    Pooled { estimate, se, interval: (estimate - half, estimate + half) }
}

fn moments(own: &[Own]) -> (f64, f64) {
    let (_, sum, q) = weighted(own, 0.0);
    let s2: f64 = own.iter().map(|o| o.se.powi(-4)).sum();
    (((q - (own.len() - 1) as f64) / (sum - s2 / sum)).max(0.0), q)
}

/// The meta-analysis; `None` of fewer than two hospitals, or where an error is not above 0.
pub fn analyse(own: &[Own], confidence: f64) -> Option<Meta> {
    let k = own.len();
    let sound = own.iter().all(|o| o.estimate.is_finite() && o.se > 0.0 && o.se.is_finite());
    if k < 2 || !sound {
        return None;
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let normal = |tau2: f64| {
        let (estimate, sum, _) = weighted(own, tau2);
        let se = sum.sqrt().recip();
        Pooled { estimate, se, interval: (estimate - z * se, estimate + z * se) }
    };
    let (tau2_dl, q) = moments(own);
    let tau2 = reml(own);
    let random = hksj(own, tau2, confidence);
    let df = (k - 1) as f64;
    let prediction = (k >= 3).then(|| {
        let half = t_quantile(0.5 + confidence / 2.0, df - 1.0) * (tau2 + random.se * random.se).sqrt();
        (random.estimate - half, random.estimate + half)
    });
    let without = if k >= 3 {
        (0..k)
            .map(|leave| {
                let rest: Vec<Own> = own.iter().enumerate().filter(|(i, _)| *i != leave).map(|(_, o)| *o).collect();
                hksj(&rest, reml(&rest), confidence)
            })
            .collect()
    } else {
        Vec::new()
    };
    Some(Meta {
        fixed: normal(0.0),
        dl: normal(tau2_dl),
        random,
        tau2_dl,
        tau2,
        q,
        q_p: chi2_p(q, df),
        i2: if q > 0.0 { ((q - df) / q).max(0.0) } else { 0.0 },
        prediction,
        without,
    })
}

/// Quantities whose estimates are averaged as they are: their errors are symmetric on their own scale.
const AS_THEY_ARE: &[&str] = &["coefficient", "mean", "difference", "risk difference", "smd"];

/// Quantities that lie between 0 and something.
const SHARES: &[&str] = &["proportion", "restricted mean"];

/// Whether hospitals' estimates of a quantity may be averaged: as they are, or on a scale that keeps them in their range.
pub fn is_averaged(quantity: &str) -> bool {
    AS_THEY_ARE.contains(&quantity) || SHARES.contains(&quantity) || is_logarithmic(quantity)
}

/// The scale on which a quantity is averaged. What is told lies in the quantity's range, whatever the interval.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// Its own.
    Own,
    /// The logarithm's: of ratios and rates.
    Log,
    /// The logit's of the share of a most: of a proportion, of 1; of a restricted mean, of its end.
    Logit(f64),
    /// Its own, cut at ± so much: of a difference of proportions.
    Cut(f64),
}

impl Scale {
    fn of(term: &str, quantity: &str) -> Scale {
        match quantity {
            "proportion" => Scale::Logit(1.0),
            "restricted mean" => crate::survival::curve::end_of(term).map_or(Scale::Log, Scale::Logit),
            "risk difference" => Scale::Cut(1.0),
            q if is_logarithmic(q) => Scale::Log,
            _ => Scale::Own,
        }
    }

    /// An estimate and its error, by the delta method. A share of nothing or of all counts as half its error away from there.
    fn to(self, estimate: f64, se: f64) -> Own {
        match self {
            Scale::Own | Scale::Cut(_) => Own { estimate, se },
            Scale::Log => Own { estimate: estimate.ln(), se: se / estimate },
            Scale::Logit(most) => {
                let away = (se / most / 2.0).min(0.5);
                let p = (estimate / most).clamp(away, 1.0 - away);
                Own { estimate: (p / (1.0 - p)).ln(), se: se / most / (p * (1.0 - p)) }
            }
        }
    }

    fn back(self, v: f64) -> f64 {
        match self {
            Scale::Own => v,
            Scale::Cut(most) => v.clamp(-most, most),
            Scale::Log => v.exp(),
            Scale::Logit(most) => most * crate::interval::logistic(v),
        }
    }

    /// How much of an error on this scale is one of the quantity's, at a value of it.
    fn slope(self, value: f64) -> f64 {
        match self {
            Scale::Own | Scale::Cut(_) => 1.0,
            Scale::Log => value,
            Scale::Logit(most) => value * (1.0 - value / most),
        }
    }

    fn between(self) -> &'static str {
        match self {
            Scale::Own | Scale::Cut(_) => "variance between hospitals, REML",
            Scale::Log => "variance of the logarithm between hospitals, REML",
            Scale::Logit(_) => "variance of the logit between hospitals, REML",
        }
    }
}

/// A hospital's row as what [`analyse`] takes: on the quantity's scale, such as the logarithm of a ratio with the logarithm's error. `None`
/// where the row shows no estimate with an error.
pub fn own(row: &Row) -> Option<Own> {
    let own = Scale::of(&row.term, &row.statistic).to(row.estimate?, row.se?);
    (!row.suppressed && own.estimate.is_finite() && own.se > 0.0 && own.se.is_finite()).then_some(own)
}

/// A meta-analysis as rows of a term and a quantity. `sites` names the hospitals in the order of [`Meta::without`]. What is averaged by its
/// logarithm or logit is told on its own scale, with the variance between hospitals as that of the logarithm or logit.
pub fn rows(term: &str, quantity: &str, meta: &Meta, sites: &[String]) -> Vec<Row> {
    let scale = Scale::of(term, quantity);
    let back = |v: f64| scale.back(v);
    let pooled = |name: &str, p: &Pooled, note: &str| Row {
        lower: Some(back(p.interval.0)),
        upper: Some(back(p.interval.1)),
        se: Some(scale.slope(back(p.estimate)) * p.se),
        ..Row::test(term, &format!("{quantity}, {name}"), back(p.estimate), note)
    };
    let between = scale.between();
    let k = sites.len();
    let free = degrees_of_freedom((k - 1) as f64);
    let mut out = vec![
        pooled("fixed effect", &meta.fixed, "weights 1/se² of the hospitals' own estimates"),
        pooled("random effects", &meta.random, &format!("REML; Hartung-Knapp interval with {free}")),
        pooled("random effects (DL)", &meta.dl, "DerSimonian and Laird; normal interval"),
        Row::test(term, &format!("{quantity}, tau2"), meta.tau2, between),
        Row::test(term, &format!("{quantity}, I2"), meta.i2, "share of the spread between hospitals"),
        Row::test(term, &format!("{quantity}, Q"), meta.q, &free),
        Row::test(term, &format!("{quantity}, Q p"), meta.q_p, ""),
    ];
    if let Some((low, high)) = meta.prediction {
        let middle = back(meta.random.estimate);
        let row = Row::test(term, &format!("{quantity}, prediction"), middle, "a further hospital's truth");
        out.push(Row { lower: Some(back(low)), upper: Some(back(high)), ..row });
    }
    for (site, p) in sites.iter().zip(&meta.without) {
        out.push(pooled(&format!("without {site}"), p, "random effects, REML with Hartung-Knapp"));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Thirteen trials of BCG against tuberculosis (Colditz et al., JAMA 271 (1994) 698): vaccinated with and without, and not
    /// vaccinated with and without. metafor's `rma` prints these figures for the logarithm of the risk ratio.
    const BCG: [[f64; 4]; 13] = [
        [4.0, 119.0, 11.0, 128.0],
        [6.0, 300.0, 29.0, 274.0],
        [3.0, 228.0, 11.0, 209.0],
        [62.0, 13536.0, 248.0, 12619.0],
        [33.0, 5036.0, 47.0, 5761.0],
        [180.0, 1361.0, 372.0, 1079.0],
        [8.0, 2537.0, 10.0, 619.0],
        [505.0, 87886.0, 499.0, 87892.0],
        [29.0, 7470.0, 45.0, 7232.0],
        [17.0, 1699.0, 65.0, 1600.0],
        [186.0, 50448.0, 141.0, 27197.0],
        [5.0, 2493.0, 3.0, 2338.0],
        [27.0, 16886.0, 29.0, 17825.0],
    ];

    fn bcg() -> Vec<Own> {
        BCG.iter()
            .map(|[a, b, c, d]| Own {
                estimate: ((a / (a + b)) / (c / (c + d))).ln(),
                se: (1.0 / a - 1.0 / (a + b) + 1.0 / c - 1.0 / (c + d)).sqrt(),
            })
            .collect()
    }

    #[test]
    fn the_trials_of_bcg() {
        let m = analyse(&bcg(), 0.95).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 6e-5, "{a} {b}");
        near(m.q, 152.2330);
        near(m.tau2, 0.3132);
        near(m.tau2_dl, 0.3088);
        near(m.random.estimate, -0.7145);
        near(m.random.se, 0.1808);
        near(m.random.interval.0, -1.1084);
        near(m.random.interval.1, -0.3206);
        near(m.fixed.estimate, -0.4303);
        near(m.fixed.se, 0.0405);
        near(m.dl.estimate, -0.7141);
        near(m.dl.se, 0.1787);
        assert!((m.i2 - 0.9212).abs() < 5e-5, "{}", m.i2);
        assert_eq!(m.without.len(), 13);
    }

    /// One exact hospital among many vague ones: Fisher scoring swung here and stopped off the top.
    #[test]
    fn one_exact_hospital_among_vague_ones() {
        let rows = [(0.78, 1.69), (1.2, 1.5), (0.0, 2.0), (0.84, 1.07), (1.57, 1.38), (2.36, 0.1), (-1.4, 1.2)];
        let own: Vec<Own> = rows.iter().map(|(e, s)| Own { estimate: *e, se: *s }).collect();
        let m = analyse(&own, 0.95).unwrap();
        let top = likelihood(&own, m.tau2);
        for i in 0..4000 {
            let other = likelihood(&own, f64::from(i) * 1e-3);
            assert!(top >= other - 1e-9, "{top} {other} at {i}");
        }
    }

    proptest! {
        /// The restricted likelihood has no higher point anywhere.
        #[test]
        fn reml_is_at_the_top(rows in prop::collection::vec((-3.0f64..3.0, 0.1f64..2.0), 3..12)) {
            let own: Vec<Own> = rows.iter().map(|(e, s)| Own { estimate: *e, se: *s }).collect();
            let m = analyse(&own, 0.95).unwrap();
            let top = likelihood(&own, m.tau2);
            for step in 0..2000 {
                let other = likelihood(&own, (f64::from(step) * 0.1).powi(2) / 100.0);
                prop_assert!(top >= other - 1e-9, "{} {} at {}", top, other, step);
            }
        }

        /// Hospitals that agree: fixed and random are one, and nothing is between them.
        #[test]
        fn hospitals_that_agree(e in -3.0f64..3.0, errors in prop::collection::vec(0.1f64..2.0, 2..12)) {
            let own: Vec<Own> = errors.iter().map(|s| Own { estimate: e, se: *s }).collect();
            let m = analyse(&own, 0.95).unwrap();
            prop_assert!(m.tau2 < 1e-9 && m.i2 < 1e-9 && (m.random.estimate - e).abs() < 1e-9);
        }
    }

    /// A ratio is averaged by its logarithm: of 1/2 and 2 with equal errors comes 1, and its interval is symmetric about it as a ratio.
    #[test]
    fn ratios_are_averaged_by_their_logarithms() {
        let hospital = |ratio: f64| own(&Row::ratio("x", "rate ratio", ratio.ln(), 0.3, 0.4, 1.96)).unwrap();
        let two = [hospital(0.5), hospital(2.0)];
        assert!((two[0].se - 0.5).abs() < 1e-12, "{two:?}");
        let meta = analyse(&two, 0.95).unwrap();
        let rows = rows("x", "rate ratio", &meta, &["a".to_owned(), "b".to_owned()]);
        let fixed = rows.iter().find(|r| r.statistic == "rate ratio, fixed effect").unwrap();
        let (low, high) = (fixed.lower.unwrap(), fixed.upper.unwrap());
        assert!((fixed.estimate.unwrap() - 1.0).abs() < 1e-12 && (low * high - 1.0).abs() < 1e-12);
        assert!((high.ln() - 1.959_964 * 0.5 / 2f64.sqrt()).abs() < 1e-6);
        assert!(is_averaged("incidence rate") && is_averaged("hazard ratio") && !is_averaged("likelihood ratio chi2"));
    }

    /// Proportions near 0, restricted means near their end and risk differences: nothing out of range is told, whatever the interval.
    #[test]
    fn what_is_told_lies_in_its_range() {
        type Case<'a> = (&'a str, &'a str, &'a [(f64, f64)], f64, f64);
        let names = ["a", "b", "c"].map(str::to_owned);
        let told = |term: &str, quantity: &str, own_rows: &[(f64, f64)]| {
            let own = own_rows.iter().map(|(e, s)| own(&Row::normal(term, quantity, *e, *s, 0.0, 1.96)).unwrap());
            let own: Vec<Own> = own.collect();
            rows(term, quantity, &analyse(&own, 0.95).unwrap(), names.get(..own.len()).unwrap())
        };
        let cases: [Case<'_>; 4] = [
            ("smoker=yes", "proportion", &[(0.02, 0.02), (0.2, 0.03)], 0.0, 1.0),
            ("smoker=yes", "proportion", &[(0.0, 0.01), (0.03, 0.02), (0.9, 0.1)], 0.0, 1.0),
            ("arm=a, up to 365", "restricted mean", &[(12.0, 9.0), (350.0, 8.0), (100.0, 40.0)], 0.0, 365.0),
            ("x", "risk difference", &[(-0.6, 0.2), (0.7, 0.1)], -1.0, 1.0),
        ];
        for (term, quantity, own, low, high) in cases {
            let rows = told(term, quantity, own);
            let scaled = |s: &str| !["tau2", "I2", "Q", "Q p"].iter().any(|e| s.ends_with(&format!(", {e}")));
            for r in rows.iter().filter(|r| scaled(&r.statistic)) {
                for v in [r.estimate, r.lower, r.upper].into_iter().flatten() {
                    assert!((low..=high).contains(&v), "{r:?}");
                }
            }
        }
        // Hospitals alike are averaged to what each says.
        let rows = told("x=y", "proportion", &[(0.3, 0.02), (0.3, 0.05)]);
        let fixed = rows.iter().find(|r| r.statistic == "proportion, fixed effect").unwrap();
        assert!((fixed.estimate.unwrap() - 0.3).abs() < 1e-12);
        let se = (1.0 / (1.0 / 0.02f64.powi(2) + 1.0 / 0.05f64.powi(2))).sqrt();
        assert!((fixed.se.unwrap() - se).abs() < 1e-12);
    }

    #[test]
    fn one_hospital_or_no_error_is_no_meta_analysis() {
        let one = Own { estimate: 1.0, se: 1.0 };
        assert!(analyse(&[one], 0.95).is_none());
        assert!(analyse(&[one, Own { estimate: 1.0, se: 0.0 }], 0.95).is_none());
        assert!(analyse(&[one, one], 0.95).unwrap().prediction.is_none());
    }
}
