//! What is compared between arms at known propensity scores: balance, weighted outcomes, outcomes within strata of the score.
//!
//! A patient has one arm and the weight w of at most C; q = w/C. A patient adds to their arm's lanes:
//!
//! * [`Balance`]: (1, q, q²) and (x, x², qx) of each of d columns x within [−1, 1]: norm at most √(3 + 3d).
//! * [`Weighted`]: (1, q, q², qy, q²y, q²y²) of an outcome y within [−1, 1], or 1 to the lane of the missing: norm at most √6.
//! * [`Strata`]: (1, y, y²) in the score's stratum, or 1 to the lane of the missing: norm at most √3.
//!
//! A weighted mean is Hájek's, m = Σqy/Σq, with the variance Σq²(y − m)²/(Σq)² of weights that are known. A stratified difference is
//! Σ ω_s (ȳ₁s − ȳ₀s) with ω_s the stratum's share of all patients, or of the treated for the ATT. The noise's variances are by the delta
//! method over all lanes.

mod contrast;

use summaries::estimate::patients;
use summaries::interval::noise_variance;
use summaries::lanes::encode;
use summaries::statistic::{level, real};
use summaries::{
    AccumulateError, Estimate, FIXED_POINT, Input, Lanes, Layout, MISSING, MergedRelease, PatientBatch, Reporting, Row,
    Sensitivity, Statistic,
};

use crate::design::Design;
use crate::family::logistic;
use contrast::{Contrast, noises};

/// Whom an effect is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All patients: the average treatment effect.
    #[default]
    Ate,
    /// The treated.
    Att,
}

/// What an outcome is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// A number within public bounds.
    Number([f64; 2]),
    /// No or yes.
    YesNo,
}

impl Outcome {
    fn input(self) -> Input {
        if self == Outcome::YesNo { Input::Level(2) } else { Input::Real }
    }

    /// The middle, and how many of the outcome's own units are one.
    fn scale(self) -> (f64, f64) {
        match self {
            Outcome::Number([low, high]) => (f64::midpoint(low, high), (high - low) / 2.0),
            Outcome::YesNo => (0.0, 1.0),
        }
    }

    /// The patients' values within [−1, 1]; NaN where missing.
    fn values(self, name: &'static str, patients: &PatientBatch, place: usize) -> Result<Vec<f64>, AccumulateError> {
        let (middle, half) = self.scale();
        Ok(match self {
            Outcome::Number([low, high]) => {
                let scaled = |x: &f64| if x.is_nan() { f64::NAN } else { (x.clamp(low, high) - middle) / half };
                real(name, patients, place)?.iter().map(scaled).collect()
            }
            Outcome::YesNo => {
                let value = |l: &u32| if *l < 2 { f64::from(*l) } else { f64::NAN };
                level(name, patients, place)?.iter().map(value).collect()
            }
        })
    }
}

/// Scores at known coefficients, and the weights that they mean. The inputs are the design's, then the treatment.
#[derive(Clone)]
pub struct Scores {
    /// The covariates.
    pub design: Design,
    /// The coefficients of the unit-ball rows.
    pub theta: Vec<f64>,
    /// Whom the effect is of.
    pub kind: Kind,
    /// No patient weighs more.
    pub cap: f64,
}

/// One patient.
struct Seen<'a> {
    patient: usize,
    row: &'a [f64],
    arm: usize,
    score: f64,
    /// The weight as a share of the cap.
    share: f64,
}

impl Scores {
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.design.inputs();
        out.push(Input::Level(2));
        out
    }

    fn each(
        &self,
        name: &'static str,
        patients: &PatientBatch,
        mut f: impl FnMut(Seen<'_>) -> Result<(), AccumulateError>,
    ) -> Result<(), AccumulateError> {
        let arms = level(name, patients, self.design.inputs().len())?;
        self.design.rows(name, patients, |patient, row, _| {
            let arm = match arms.get(patient).copied().unwrap_or(MISSING) {
                a @ 0..=1 => a as usize,
                _ => return Ok(()),
            };
            let eta: f64 = row.iter().zip(&self.theta).map(|(u, b)| u * b).sum();
            // Two opposite infinities make no number: such a score says nothing.
            let score = if eta.is_nan() { 0.5 } else { logistic(eta) };
            let (yes, no) = (score.max(f64::MIN_POSITIVE), (1.0 - score).max(f64::MIN_POSITIVE));
            let weight = match (self.kind, arm) {
                (Kind::Ate, 1) => 1.0 / yes,
                (Kind::Ate, _) => 1.0 / no,
                (Kind::Att, 1) => 1.0,
                (Kind::Att, _) => yes / no,
            };
            f(Seen { patient, row, arm, score, share: (weight / self.cap).min(1.0) })
        })
    }
}

/// Balance of the covariates, before and after weighting.
pub struct Balance(Scores);

impl Balance {
    /// At these scores.
    pub fn new(scores: Scores) -> Balance {
        Balance(scores)
    }

    fn names(&self) -> Vec<(usize, String)> {
        let names = self.0.design.names().into_iter().enumerate();
        names.filter(|(i, _)| !self.0.design.is_intercept(*i)).collect()
    }

    fn arm(&self) -> usize {
        3 + 3 * self.names().len()
    }

    /// The standardised differences before and after, of (1, q, q², x, x², qx) of both arms, the untreated first. The variance and the
    /// sums of weights must be above floors.
    fn differences(&self, x: &[f64], (floor, weights): (f64, f64)) -> Option<(f64, f64)> {
        let ([n0, q0, _, a0, b0, w0], [n1, q1, _, a1, b1, w1]) = (x.get(..6)?, x.get(6..12)?) else { return None };
        let spread = |n: f64, a: f64, b: f64| (b / n - (a / n).powi(2)) * n / (n - 1.0);
        let (untreated, treated) = (spread(*n0, *a0, *b0), spread(*n1, *a1, *b1));
        let variance = if self.0.kind == Kind::Att { treated } else { f64::midpoint(untreated, treated) };
        let told = variance > floor && *q0 > weights && *q1 > weights;
        told.then(|| ((a1 / n1 - a0 / n0) / variance.sqrt(), (w1 / q1 - w0 / q0) / variance.sqrt()))
    }
}

impl Balance {
    /// Each arm's means before and after weighting, in the covariate's own unit; none of a spline's or an interaction's column. The lanes are
    /// those of [`Balance::differences`].
    fn means(&self, name: &str, values: &[f64], (v, z): (f64, f64), arm: impl Fn(usize) -> String) -> Vec<Row> {
        let Some([low, middle, high]) = self.0.design.own_unit(name) else { return Vec::new() };
        let half = high - middle;
        let mut out = Vec::new();
        for (place, lanes) in values.chunks_exact(6).enumerate() {
            let [n, q, qq, x, xx, qx] = lanes else { continue };
            for (when, all, sum, size) in [("before", n, x, *n), ("after", q, qx, q * q / qq)] {
                let mean = sum / all;
                let spread = (xx / n - (x / n).powi(2)).max(0.0);
                let noise = (v * (1.0 + mean * mean)).sqrt() / all;
                let (s, d) = (half * (spread / size.max(1.0)).sqrt(), half * noise);
                let row = Row::normal(
                    &format!("{name}, {}", arm(place)),
                    &format!("mean {when}"),
                    middle + half * mean,
                    s,
                    d,
                    z,
                );
                out.push(row.within(low, high));
            }
        }
        out
    }
}

impl Statistic for Balance {
    fn name(&self) -> &'static str {
        "balance"
    }
    fn inputs(&self) -> Vec<Input> {
        self.0.inputs()
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 2 * self.arm(), scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, (self.arm() as f64).sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "balance";
        self.check(lanes)?;
        let (names, norm) = (self.names(), self.0.design.norm());
        self.0.each(NAME, patients, |seen| {
            let first = seen.arm * self.arm();
            let q = seen.share;
            let columns = names.iter().flat_map(|(i, _)| {
                let x = (seen.row.get(*i).copied().unwrap_or(0.0) * norm).clamp(-1.0, 1.0);
                [x, x * x, q * x]
            });
            let mut all = [1.0, q, q * q].into_iter().chain(columns).enumerate();
            all.try_for_each(|(lane, x)| lanes.add(NAME, first + lane, encode(x)))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let (v, z) = (merged.variance(&layout), reporting.z());
        let at = |arm: usize, lane: usize| merged.value(arm * self.arm() + lane, &layout);
        let treatment = self.0.design.inputs().len();
        let mut rows = Vec::new();
        for arm in 0..2 {
            let term = format!("{}={}", reporting.name(treatment), reporting.level(treatment, arm));
            rows.push(patients(&term, at(arm, 0), v.sqrt(), reporting));
            let values = [at(arm, 1), at(arm, 2)];
            let size = |x: &[f64]| x.first().map_or(0.0, |q| q * q) / x.get(1).copied().unwrap_or(0.0).max(1e-12);
            rows.push(if values[1] > (3.0 * v.sqrt()).max(1e-9) {
                let noise = noise_variance(&values, v, size).sqrt();
                Row::normal(&term, "effective n", size(&values), 0.0, noise, z).within(0.0, f64::INFINITY)
            } else {
                Row::withheld(&term, "effective n", "the weights are lost in the noise")
            });
        }
        let least = at(0, 0).min(at(1, 0));
        let small = least < (reporting.min_cell as f64).max(2.0).max(5.0 * v.sqrt());
        let floor = ((4.0 * v.sqrt() / least.max(1.0)).max(1e-12), 5.0 * v.sqrt());
        // The squares of the weights are in the errors.
        let squares = at(0, 2).min(at(1, 2));
        let small = small || squares <= (3.0 * v.sqrt()).max(1e-9);
        for (k, (_, name)) in self.names().iter().enumerate() {
            let read = |arm: usize| {
                let lanes = [0, 1, 2].into_iter().chain(3 + 3 * k..6 + 3 * k);
                lanes.map(|lane| at(arm, lane)).collect::<Vec<f64>>()
            };
            let values = [read(0), read(1)].concat();
            let Some((before, after)) = self.differences(&values, floor).filter(|_| !small) else {
                for statistic in ["smd before", "smd after"] {
                    rows.push(Row::withheld(
                        name,
                        statistic,
                        "an arm is too small, it never varies, or it is lost in the noise",
                    ));
                }
                continue;
            };
            let noise = |pick: fn((f64, f64)) -> f64, d: f64| {
                noise_variance(&values, v, |x| self.differences(x, floor).map_or(d, pick)).sqrt()
            };
            let size = |arm: usize, weighted: bool| {
                if weighted { at(arm, 1).powi(2) / at(arm, 2).max(1e-12) } else { at(arm, 0) }
            };
            let sampling = |d: f64, weighted: bool| {
                let (n0, n1) = (size(0, weighted), size(1, weighted));
                (1.0 / n0 + 1.0 / n1 + d * d / (2.0 * (n0 + n1))).max(0.0).sqrt()
            };
            rows.push(Row::normal(name, "smd before", before, sampling(before, false), noise(|d| d.0, before), z));
            let row = Row::normal(name, "smd after", after, sampling(after, true), noise(|d| d.1, after), z);
            rows.push(row.note("in units of the SD before weighting"));
            rows.extend(self.means(name, &values, (v, z), |arm| {
                format!("{}={}", reporting.name(treatment), reporting.level(treatment, arm))
            }));
        }
        Estimate { rows, curves: Vec::new() }
    }
}

const KNOWN: &str = "the error takes the weights as known: for the ATE it is too wide rather than too narrow (Lunceford and Davidian 2004)";
const WITHIN: &str = "within strata of the score the covariates are nearly, not wholly, balanced";

/// An outcome by arm, weighted. The inputs are those of [`Scores`], then the outcome.
pub struct Weighted {
    scores: Scores,
    outcome: Outcome,
}

impl Weighted {
    /// At these scores.
    pub fn new(scores: Scores, outcome: Outcome) -> Weighted {
        Weighted { scores, outcome }
    }
}

impl Statistic for Weighted {
    fn name(&self) -> &'static str {
        "weighted_outcome"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.scores.inputs();
        out.push(self.outcome.input());
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 13, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(13, 6f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "weighted_outcome";
        self.check(lanes)?;
        let outcome = self.outcome.values(NAME, patients, self.scores.inputs().len())?;
        self.scores.each(NAME, patients, |seen| {
            let y = outcome.get(seen.patient).copied().unwrap_or(f64::NAN);
            if y.is_nan() {
                return lanes.add(NAME, 12, encode(1.0));
            }
            let q = seen.share;
            let all = [1.0, q, q * q, q * y, q * q * y, q * q * y * y];
            let mut all = all.into_iter().enumerate();
            all.try_for_each(|(lane, x)| lanes.add(NAME, 6 * seen.arm + lane, encode(x)))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let places = self.scores.inputs().len();
        let term = reporting.name(places);
        let missing = patients(term, merged.value(12, &layout), v.sqrt(), reporting);
        let mut rows = vec![Row { statistic: "missing".into(), ..missing }];
        let values: Vec<f64> = (0..12).map(|lane| merged.value(lane, &layout)).collect();
        let arms = |x: &[f64], arm: usize| x.get(6 * arm..6 * arm + 6).map(<[f64]>::to_vec).unwrap_or_default();
        let mean = |x: &[f64], arm: usize| match arms(x, arm).as_slice() {
            [_, q, _, qy, ..] => qy / q,
            _ => f64::NAN,
        };
        let known = |arm: usize| match arms(&values, arm).as_slice() {
            [n, q, qq, _, qqy, qqyy] => {
                let enough = *n >= (reporting.min_cell as f64).max(2.0).max(5.0 * v.sqrt()) && *q > 5.0 * v.sqrt();
                let m = mean(&values, arm);
                enough.then(|| (m, ((qqyy - 2.0 * m * qqy + m * m * qq) / (q * q)).max(0.0)))
            }
            _ => None,
        };
        let (Some(untreated), Some(treated)) = (known(0), known(1)) else {
            rows.push(Row::withheld(term, "weighted effect", "an arm is too small, or too noisy to report"));
            return Estimate { rows, curves: Vec::new() };
        };
        let contrast = Contrast {
            term,
            how: "weighted",
            outcome: self.outcome,
            arms: [untreated, treated],
            noise: noises(&values, v, |x| [mean(x, 0), mean(x, 1)]),
        };
        rows.extend(contrast.rows(reporting, places - 1, KNOWN));
        Estimate { rows, curves: Vec::new() }
    }
}

/// An outcome by arm within strata of the score. The inputs are those of [`Scores`], then the outcome.
pub struct Strata {
    scores: Scores,
    outcome: Outcome,
    cuts: Vec<f64>,
}

impl Strata {
    /// At these scores, cut at these.
    pub fn new(scores: Scores, outcome: Outcome, cuts: Vec<f64>) -> Strata {
        Strata { scores, outcome, cuts }
    }

    /// The adjusted means of both arms with their variances, and how many strata they are from; of the lanes in [−1, 1].
    fn adjusted(&self, x: &[f64], floor: f64) -> ([(f64, f64); 2], usize) {
        let strata: Vec<&[f64]> =
            x.chunks_exact(6).filter(|s| matches!(s, [n0, _, _, n1, ..] if n0.min(*n1) >= floor)).collect();
        let share = |s: &[f64]| match s {
            [_, _, _, n1, ..] if self.scores.kind == Kind::Att => *n1,
            [n0, _, _, n1, ..] => n0 + n1,
            _ => 0.0,
        };
        let all: f64 = strata.iter().map(|s| share(s)).sum();
        let mut out = [(0.0, 0.0); 2];
        for s in &strata {
            let omega = share(s) / all;
            for (arm, told) in out.iter_mut().enumerate() {
                let Some([n, y, q]) = s.get(3 * arm..3 * arm + 3) else { continue };
                let mean = y / n;
                told.0 += omega * mean;
                told.1 += omega * omega * (q / n - mean * mean).max(0.0) / (n - 1.0).max(1.0);
            }
        }
        (out, strata.len())
    }
}

impl Statistic for Strata {
    fn name(&self) -> &'static str {
        "score_strata"
    }
    fn inputs(&self) -> Vec<Input> {
        let mut out = self.scores.inputs();
        out.push(self.outcome.input());
        out
    }
    fn layout(&self) -> Layout {
        Layout { lanes: 6 * (self.cuts.len() + 1) + 1, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "score_strata";
        self.check(lanes)?;
        let outcome = self.outcome.values(NAME, patients, self.scores.inputs().len())?;
        self.scores.each(NAME, patients, |seen| {
            let y = outcome.get(seen.patient).copied().unwrap_or(f64::NAN);
            if y.is_nan() {
                return lanes.add(NAME, 6 * (self.cuts.len() + 1), encode(1.0));
            }
            let stratum = self.cuts.iter().filter(|c| seen.score >= **c).count();
            let first = 6 * stratum + 3 * seen.arm;
            let mut all = [1.0, y, y * y].into_iter().enumerate();
            all.try_for_each(|(lane, x)| lanes.add(NAME, first + lane, encode(x)))
        })
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let layout = self.layout();
        let v = merged.variance(&layout);
        let places = self.scores.inputs().len();
        let term = reporting.name(places);
        let strata = self.cuts.len() + 1;
        let values: Vec<f64> = (0..6 * strata).map(|lane| merged.value(lane, &layout)).collect();
        let mut rows = Vec::new();
        for (s, own) in values.chunks_exact(6).enumerate() {
            let edge = |i: Option<usize>, none: f64| i.and_then(|i| self.cuts.get(i)).copied().unwrap_or(none);
            let label = format!("{term}, score [{:.3}, {:.3})", edge(s.checked_sub(1), 0.0), edge(Some(s), 1.0));
            for (arm, n) in [own.first(), own.get(3)].into_iter().enumerate() {
                let label = format!("{label}, {}={}", reporting.name(places - 1), reporting.level(places - 1, arm));
                rows.push(patients(&label, n.copied().unwrap_or(0.0), v.sqrt(), reporting));
            }
        }
        let floor = (reporting.min_cell as f64).max(2.0).max(5.0 * v.sqrt()) - 1e-6;
        let (arms, used) = self.adjusted(&values, floor);
        if used == 0 {
            rows.push(Row::withheld(term, "stratified effect", "no stratum has enough of both arms"));
            return Estimate { rows, curves: Vec::new() };
        }
        let contrast = Contrast {
            term,
            how: "stratified",
            outcome: self.outcome,
            arms,
            noise: noises(&values, v, |x| self.adjusted(x, floor).0.map(|m| m.0)),
        };
        let note = format!("from {used} of {strata} strata, those with enough of both arms; {WITHIN}");
        rows.extend(contrast.rows(reporting, places - 1, &note));
        Estimate { rows, curves: Vec::new() }
    }
}
