//! A generalised linear model with an intercept of its own for each hospital: the common likelihood, stratified by hospital.
//!
//! Hospitals differ in whom they see; with one intercept for all, what differs between them passes for what the features do. Each
//! hospital releases the gradient and the curvature at the common slopes β and its own intercept α, with no lane more than for a common
//! intercept, and the coordinator takes one Newton step for all of them. With (g, H) of a hospital split into the intercept's part (g₁, a, h)
//! and the slopes' (g₂, B), the intercept drops out: S = Σ (B − h hᵀ/a), r = Σ (g₂ − h g₁/a), β moves by S⁻¹ r, and a hospital's α by
//! (g₁ − hᵀ S⁻¹ r)/a. A hospital whose a is lost in the noise says nothing and is left out.
//!
//! The noise's part: with P = (−h/a, I) of a hospital and s its whole step, r has the variance Σ P (σ_g² I + Var(Z s)) Pᵀ, between two
//! S⁻¹. The noise of h and a lowers S by (σ_h²/2) I/a and h hᵀ σ_h²/a³ on average, and r by h g₁ σ_h²/a³, which are added.
//!
//! Where the first round shows that the slopes are lost in the noise, the model goes on with one intercept for all, and says so: the sum of all
//! releases holds more than its parts.
//!
//! The parameters of a round: the intercept to begin with, β, and for each hospital seen so far its tag and its intercept.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use summaries::{Estimate, MergedRelease, MergedRound, OfSite, PartWork, Program, ProgramError, Row, Statistic, Step};

use super::{EVALUATION_WEIGHT, GRADIENT_WEIGHT, Glm};
use crate::ascent::{
    Ascent, CONVERGED, Fit, LONGEST_STEP, Past, STILL, Sums, every, flat, is_long, is_rising, spread, steps_needed,
};
use crate::design::Design;
use crate::family::Family;
use crate::level::leveled;
use crate::newton::{Curvature, Gradient};
use crate::own_steps::Alone;
use crate::ridge::{pulled, sampling};
use crate::support::{Lack, Seen};

/// A generalised linear model with an intercept for each hospital.
pub struct ByHospital {
    glm: Glm,
    site: Option<f64>,
    last: Option<Told>,
    past: Past,
    /// How many steps still mattered.
    long: u32,
    /// Whether the first round has shown that an intercept for each hospital is lost in the noise.
    common: bool,
}

/// What the last step said: of the slopes, and of how many hospitals.
struct Told {
    fit: Fit,
    /// The tags of those that are in.
    hospitals: Vec<f64>,
    left_out: usize,
}

/// Why a fit is withheld.
const WHY: [&str; 6] = [
    "not converged: more steps are needed, or the features separate the outcome",
    "no complete patient, or the outcome never varies within a hospital",
    "too noisy to report: no hospital is told from the noise",
    "the features are collinear, or one never varies within a hospital",
    "too noisy to report: the curvature is lost in the noise; fewer features take less of it",
    "no step was taken",
];

/// The place of the reason that has columns.
const COLLINEAR: usize = 3;

/// How what is no constant reason is remembered: separated, without noise and with it; constant, the same; still moving.
const KINDS: [usize; 5] = [6, 7, 8, 9, 10];

/// The places of the reasons that noise is.
const LOST: [usize; 2] = [2, 4];

/// What is remembered of a model that has gone on with one intercept.
const COMMON: [f64; 1] = [-1.0];

/// What is said of it.
pub(crate) const ONE_FOR_ALL: &str = "one for all hospitals: one for each is lost in the noise";

/// A hospital's name as a number that a parameter can carry: 52 bits of FNV-1a (Fowler, Noll and Vo).
pub(crate) fn tag(site: &str) -> f64 {
    let hash = site.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 12) as f64
}

/// A hospital's sums with the intercept taken out.
pub(crate) struct Part {
    tag: f64,
    /// h/a.
    lean: DVector<f64>,
    /// g₁ and a.
    intercept: (f64, f64),
    sums: Sums,
    /// How far the intercept was moved to where the hospital's mean is, before the step.
    shift: f64,
}

impl Part {
    /// `None` where the intercept's curvature is nothing, or lost in the noise.
    pub(crate) fn of(tag: f64, sums: Sums, shift: f64) -> Option<Part> {
        let a = sums.curvature[(0, 0)];
        let floor = (4.0 * sums.curvature_variance.sqrt()).max(1e-9 * sums.curvature.diagonal().max());
        if a <= floor || a <= f64::MIN_POSITIVE {
            return None;
        }
        let p = sums.gradient.len() - 1;
        let lean = DVector::from_fn(p, |i, _| sums.curvature[(0, i + 1)] / a);
        Some(Part { tag, lean, intercept: (sums.gradient[0], a), sums, shift })
    }

    /// Whether nobody, or everybody, of the hospital has the outcome, as far as can be told in a round.
    fn has_one_class(&self, round: u32) -> bool {
        Seen::of(&self.sums).has_one_class(&self.sums.groups, round >= LATE)
    }

    pub(crate) fn curvature(&self) -> DMatrix<f64> {
        let (p, (_, a), v) = (self.lean.len(), self.intercept, self.sums.curvature_variance);
        let outer = &self.lean * self.lean.transpose();
        self.sums.curvature.view((1, 1), (p, p)) - &outer * a
            + DMatrix::identity(p, p) * (v / 2.0 / a)
            + outer * (v / a)
    }

    pub(crate) fn gradient(&self) -> DVector<f64> {
        let ((first, a), v) = (self.intercept, self.sums.curvature_variance);
        self.sums.gradient.rows(1, self.lean.len()) - &self.lean * (first * (1.0 - v / (a * a)))
    }

    /// The squared norm of the noise of a lane of the curvature, with what the intercept's lanes add.
    pub(crate) fn loud(&self) -> f64 {
        self.sums.curvature_variance * (1.0 + self.lean.norm_squared()).powi(2)
    }

    /// How far the intercept moves with the slopes.
    pub(crate) fn moves(&self, slopes: &DVector<f64>) -> f64 {
        self.intercept.0 / self.intercept.1 - self.lean.dot(slopes)
    }

    /// The noise's variance of the gradient without the intercept, less the curvature, a mean of so many rounds, times the step.
    pub(crate) fn noise(&self, slopes: &DVector<f64>, rounds: f64) -> DMatrix<f64> {
        let p = self.lean.len();
        let whole = slopes.clone().insert_row(0, self.moves(slopes));
        let noise = DMatrix::identity(p + 1, p + 1) * self.sums.gradient_variance
            + spread(&whole, &every(p + 1)) * (self.sums.curvature_variance / rounds);
        let take = DMatrix::from_fn(p, p + 1, |i, j| match j {
            0 => -self.lean[i],
            j => f64::from(u8::from(i + 1 == j)),
        });
        &take * noise * take.transpose()
    }
}

/// By this round steps are near where they lead, but for what goes on for ever.
const LATE: u32 = 4;

/// A column of which less than this is left within hospitals does not vary there.
const WITHIN: f64 = 0.25;

/// The columns of which the intercepts of hospitals take nearly all, as far as the noise tells: what is left of their curvature, and twice its
/// noise, is a small part of what one intercept leaves.
pub(crate) fn constant_within<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Vec<usize> {
    let parts: Vec<&Part> = parts.into_iter().collect();
    let Some(p) = parts.first().map(|k| k.lean.len()).filter(|_| parts.len() > 1) else { return Vec::new() };
    let all = parts.iter().fold(DMatrix::zeros(p + 1, p + 1), |sum, k| sum + &k.sums.curvature);
    let noise = parts.iter().map(|k| k.loud()).sum::<f64>().sqrt();
    let within = parts.iter().fold(DVector::zeros(p), |sum, k| sum + k.curvature().diagonal());
    let common = |i: usize| all[(i + 1, i + 1)] - all[(0, i + 1)].powi(2) / all[(0, 0)];
    (0..p).filter(|i| within[*i] + 2.0 * noise < WITHIN * common(*i)).collect()
}

/// The sum of the first part over some of the sites; `None` where all are among them, or none.
fn of_those(all: &MergedRelease, sites: &[OfSite], is_in: impl Fn(&OfSite) -> bool) -> Option<MergedRelease> {
    let (some, others): (Vec<&OfSite>, Vec<&OfSite>) = sites.iter().partition(|s| is_in(s));
    if some.is_empty() || others.is_empty() {
        return None;
    }
    let mut out = all.clone();
    for other in others.into_iter().filter_map(|s| s.round.parts.first()) {
        // Releases may lie on grids of different fineness.
        let finer = out.unit / other.unit;
        for (sum, lane) in out.lanes.iter_mut().zip(&other.lanes) {
            *sum = sum.saturating_sub((*lane as f64 * finer).round() as i64);
        }
        out.noise_variance = (out.noise_variance - other.noise_variance * finer * finer).max(0.0);
        out.sites = out.sites.saturating_sub(1);
    }
    Some(out)
}

impl ByHospital {
    /// Of a model with one intercept.
    pub fn new(glm: Glm) -> ByHospital {
        ByHospital { glm, site: None, last: None, past: Past::default(), long: 0, common: false }
    }

    fn width(&self) -> usize {
        self.glm.design.width()
    }

    /// The intercepts by the hospitals' tags.
    fn intercepts(&self, parameters: &[f64]) -> Result<BTreeMap<u64, f64>, ProgramError> {
        let d = self.width();
        let own = parameters.get(d..).unwrap_or_default();
        let needed = d + own.len().next_multiple_of(2);
        if parameters.len() != needed || parameters.iter().any(|p| !p.is_finite()) {
            return Err(ProgramError::Parameters { given: parameters.len(), needed });
        }
        Ok(own.chunks(2).filter_map(|c| if let [tag, a] = c { Some((*tag as u64, *a)) } else { None }).collect())
    }

    /// The coefficients of a hospital.
    fn theta(&self, parameters: &[f64], site: Option<f64>) -> Result<Vec<f64>, ProgramError> {
        let own = self.intercepts(parameters)?;
        let mut theta: Vec<f64> = parameters.iter().take(self.width()).copied().collect();
        if let (Some(a), Some(first)) = (site.and_then(|tag| own.get(&(tag as u64))), theta.first_mut()) {
            *first = *a;
        }
        Ok(theta)
    }

    /// What lacks at all hospitals together. Each is at its own intercept; their middle tells how far these have gone.
    fn lack(&self, parameters: &[f64], all: &[Sums], intercepts: &BTreeMap<u64, f64>) -> Option<Lack> {
        let mut theta: Vec<f64> = parameters.iter().take(self.width()).copied().collect();
        if let Some(first) = theta.first_mut().filter(|_| !intercepts.is_empty()) {
            *first = intercepts.values().sum::<f64>() / intercepts.len() as f64;
        }
        let groups = all.first().map(|s| s.groups.as_slice()).unwrap_or_default();
        Seen::together(all.iter()).and_then(|seen| seen.lack(groups, &theta))
    }

    fn sums(&self, release: &MergedRound) -> Result<Sums, ProgramError> {
        let [gradient, curvature] = release.parts.as_slice() else { return Err(ProgramError::Merged) };
        self.glm.read(gradient, curvature)
    }

    /// The step that the hospitals' sums lead to from the slopes: its length, the fit, and the hospitals' parts.
    fn step(
        &mut self,
        round: u32,
        slopes: &DVector<f64>,
        parts: &[Part],
        (exact, lack): (bool, Option<Lack>),
    ) -> (DVector<f64>, Fit) {
        let p = slopes.len();
        let (unit, norm) = (self.glm.likelihood.unit(), self.glm.design.norm());
        let curvature = parts.iter().fold(DMatrix::zeros(p, p), |sum, k| sum + k.curvature());
        let gradient = parts.iter().fold(DVector::zeros(p), |sum, k| sum + k.gradient());
        // The spectral norm of the noise, as of a common intercept, with what the intercept's lanes add.
        let loud = parts.iter().map(Part::loud).sum::<f64>() * 2.0 * p as f64;
        let (curvature, loud, rounds) =
            if exact { (curvature, loud, 1.0) } else { self.past.mean(round, curvature, loud) };
        let floor = loud.sqrt();
        // Beside the curvature that the intercepts have not taken anything from: what is left of a column that does not vary within a
        // hospital is its rounding.
        let whole = parts.iter().fold(DVector::zeros(p), |sum, k| sum + k.sums.curvature.diagonal().rows(1, p));
        let floor = floor.max(1e-9 * whole.max().max(1e-300));
        let far = slopes.norm() > crate::ascent::FAR * norm;
        if parts.is_empty() || curvature.diagonal().max() <= f64::MIN_POSITIVE {
            let fit = match (far, exact) {
                _ if lack.is_some() => lack.map_or(Fit::Moving(None), |l| Fit::without(l, exact)),
                (true, _) => Fit::Moving(None),
                (_, true) => Fit::Withheld(WHY[1]),
                (_, false) => Fit::Withheld(WHY[2]),
            };
            return (DVector::zeros(p), fit);
        }
        // The intercepts have no penalty, so they drop out as without one.
        let ridge = self.glm.ridge.as_ref().map(|r| r.per(unit).view((1, 1), (p, p)).into_owned());
        let (curvature, gradient) = match &ridge {
            Some(r) => (curvature + r, pulled(&gradient, r, slopes.as_slice())),
            None => (curvature, gradient),
        };
        let eigen = SymmetricEigen::new(curvature);
        let least = eigen.eigenvalues.min();
        let lifted = eigen.eigenvalues.map(|v| 1.0 / v.max(floor));
        let inverse = &eigen.eigenvectors * DMatrix::from_diagonal(&lifted) * eigen.eigenvectors.transpose();
        let mut step = &inverse * &gradient;
        let length = step.norm();
        let longest = LONGEST_STEP * norm;
        if length > longest {
            step *= longest / length;
        }
        let noise = parts.iter().fold(DMatrix::zeros(p, p), |sum, k| sum + k.noise(&step, rounds));
        let privacy = &inverse * &noise * &inverse;
        let next: Vec<f64> = slopes.iter().zip(step.iter()).map(|(t, s)| t + s).collect();
        let error = (inverse.trace() / unit + privacy.trace()).max(0.0).sqrt();
        let by_noise = unit * (&noise * &inverse).trace();
        let rises = is_rising(unit * gradient.dot(&step), by_noise + std::mem::replace(&mut self.past.left, by_noise));
        let arrived = if exact { length <= STILL * (1.0 + slopes.norm()) } else { length <= 3.0 * error && !rises };
        // The first round decides for all: later ones are averaged.
        let later = if round == 0 { f64::from(self.glm.steps.max(2) - 1).sqrt() } else { 1.0 };
        let fit = match (least > if exact { floor } else { 2.0 * floor / later }, arrived && length <= longest) {
            (_, _) if lack.is_some() && round > 0 => lack.map_or(Fit::Moving(None), |l| Fit::without(l, exact)),
            (true, true) => Fit::Reached(next, ridge.map(|r| sampling(&inverse, &r)).unwrap_or(inverse), privacy),
            (true, false) => Fit::moving(&step),
            (false, _) if exact && far => Fit::moving(&step),
            (false, _) if exact => Fit::Collinear(flat(&eigen, floor)),
            (false, _) => match constant_within(parts) {
                columns if columns.is_empty() => Fit::Withheld(WHY[4]),
                columns => Fit::Collinear(columns),
            },
        };
        (step, fit)
    }

    /// The slopes' design, without an intercept, and their fit.
    fn slopes(&self) -> (Design, Option<Fit>) {
        let design = self.glm.design.clone().without_intercept();
        // Rows without an intercept are divided by another number.
        let scale = design.norm() / self.glm.design.norm();
        let fit = self.last.as_ref().map(|t| match &t.fit {
            Fit::Reached(theta, inverse, privacy) => Fit::Reached(
                theta.iter().map(|t| t * scale).collect(),
                inverse * scale.powi(2),
                privacy * scale.powi(2),
            ),
            other => other.clone(),
        });
        (design, fit)
    }
}

impl Alone for ByHospital {
    fn width(&self) -> usize {
        self.glm.design.width()
    }
    fn begin_at(&self, parameters: &[f64], tag: f64) -> Result<Vec<f64>, ProgramError> {
        self.theta(parameters, Some(tag))
    }
    fn parts(&self, own: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.glm.work(0, own)
    }
    fn ahead(&self, own: &[f64], release: &MergedRound, late: bool) -> Option<(Vec<f64>, f64)> {
        Ascent::ahead_alone(own, self.sums(release).ok()?, late)
    }
    fn told(&self, own: &[f64], release: &MergedRound) -> Option<Estimate> {
        self.glm.own("", 0, own, release)
    }
}

impl Program for ByHospital {
    fn rounds(&self) -> u32 {
        self.glm.steps + 1
    }
    fn weight(&self, round: u32) -> f64 {
        if round < self.glm.steps { 1.0 } else { EVALUATION_WEIGHT }
    }
    fn first(&self) -> Vec<f64> {
        self.glm.first()
    }
    fn apart(&self) -> bool {
        !self.common
    }
    fn memory(&self) -> Vec<f64> {
        if self.common {
            return COMMON.to_vec();
        }
        let Some(told) = &self.last else { return Vec::new() };
        let mut out = self.past.numbers(self.width() - 1);
        out.extend([told.left_out as f64, f64::from(self.long), told.hospitals.len() as f64]);
        out.extend(&told.hospitals);
        match &told.fit {
            Fit::Reached(theta, inverse, privacy) => {
                out.push(-1.0);
                out.extend(theta.iter().chain(inverse.iter()).chain(privacy.iter()));
            }
            Fit::Collinear(columns) => {
                out.push(COLLINEAR as f64);
                out.extend(columns.iter().map(|c| *c as f64));
            }
            Fit::Separated(levels, noisy) => {
                out.push(KINDS[usize::from(*noisy)] as f64);
                out.extend(levels.iter().map(|c| *c as f64));
            }
            Fit::Constant(noisy) => out.push(KINDS[2 + usize::from(*noisy)] as f64),
            Fit::Moving(column) => {
                out.push(KINDS[4] as f64);
                out.extend(column.map(|c| c as f64));
            }
            Fit::Withheld(why) => out.push(WHY.iter().position(|w| w == why).unwrap_or(WHY.len() - 1) as f64),
        }
        out
    }
    fn remember(&mut self, memory: &[f64]) {
        self.common = memory == COMMON;
        let p = self.width() - 1;
        let matrix = |m: &[f64]| DMatrix::from_column_slice(p, p, m);
        let Some((past, rest)) = Past::of(memory, p) else { return };
        self.past = past;
        self.last = match rest {
            [left_out, long, many, rest @ ..] => {
                self.long = *long as u32;
                let Some((hospitals, [kind, rest @ ..])) = rest.split_at_checked(*many as usize) else { return };
                let places = || rest.iter().map(|c| *c as usize).collect::<Vec<usize>>();
                let fit = match WHY.get(*kind as usize).filter(|_| *kind >= 0.0) {
                    None if *kind >= 0.0 => match KINDS.iter().position(|k| *k == *kind as usize) {
                        Some(noisy @ 0..=1) => Some(Fit::Separated(places(), noisy == 1)),
                        Some(noisy @ 2..=3) => Some(Fit::Constant(noisy == 3)),
                        Some(_) => Some(Fit::Moving(places().first().copied())),
                        None => None,
                    },
                    Some(_) if *kind as usize == COLLINEAR => Some(Fit::Collinear(places())),
                    Some(why) => Some(Fit::Withheld(why)),
                    None if rest.len() == p + 2 * p * p => {
                        let (theta, rest) = rest.split_at(p);
                        let (inverse, privacy) = rest.split_at(p * p);
                        Some(Fit::Reached(theta.to_vec(), matrix(inverse), matrix(privacy)))
                    }
                    None => None,
                };
                fit.map(|fit| Told { fit, hospitals: hospitals.to_vec(), left_out: *left_out as usize })
            }
            _ => None,
        };
    }
    fn at_site(&mut self, site: &str) {
        self.site = Some(tag(site));
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        let theta = self.theta(parameters, self.site)?;
        let (design, likelihood) = (self.glm.design.clone(), self.glm.likelihood);
        let part = |statistic: Box<dyn Statistic>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns: self.glm.columns.clone(),
            weight,
            walk: None,
            rate: None,
        };
        if round < self.glm.steps {
            Ok(vec![
                part(Box::new(Gradient::new(design.clone(), likelihood, theta.clone())), GRADIENT_WEIGHT),
                part(Box::new(Curvature::new(design, likelihood, theta)), 1.0 - GRADIENT_WEIGHT),
            ])
        } else if round == self.glm.steps {
            Ok(vec![part(self.glm.evaluation(design, theta, 1), 1.0)])
        } else {
            Err(ProgramError::Round { asked: round, planned: self.rounds() })
        }
    }
    /// A sum that can't be taken apart is of one hospital.
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        if self.common {
            return Ok(match self.glm.next(round, parameters, merged)? {
                Step::Done(mut estimate) => {
                    estimate.rows.push(Row::test("model", "baselines", 1.0, ONE_FOR_ALL));
                    Step::Done(estimate)
                }
                other => other,
            });
        }
        let one = OfSite { site: String::new(), round: merged.clone() };
        self.next_apart(round, parameters, merged, &[one])
    }
    fn next_apart(
        &mut self,
        round: u32,
        parameters: &[f64],
        merged: &MergedRound,
        sites: &[OfSite],
    ) -> Result<Step, ProgramError> {
        let mut intercepts = self.intercepts(parameters)?;
        if round >= self.glm.steps {
            let [last] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            let theta = self.theta(parameters, None)?;
            // The model is not of the patients of a hospital that the last step has left out.
            let is_in = |s: &OfSite| self.last.as_ref().is_some_and(|t| t.hospitals.contains(&tag(&s.site)));
            let of_the_model = of_those(last, sites, is_in);
            let many = self.last.as_ref().map_or(1, |t| t.hospitals.len());
            let evaluation = self.glm.evaluation(self.glm.design.clone(), theta, many);
            let evaluation = evaluation.estimate(of_the_model.as_ref().unwrap_or(last), &self.glm.reporting);
            let (design, fit) = self.slopes();
            let mut out = self.glm.beside(&design, fit.as_ref(), evaluation);
            if let Some(t) = &self.last {
                let note = match t.left_out {
                    0 => "an intercept for each hospital".to_owned(),
                    n if merged.exact() => format!(
                        "an intercept for each hospital; {n} more have no complete patient, or nobody or everybody of theirs has the outcome"
                    ),
                    n => format!(
                        "an intercept for each hospital; {n} more have too few patients, or too few with or without the outcome, to be told \
                         from the noise"
                    ),
                };
                out.rows.push(Row::test("model", "baselines", t.hospitals.len() as f64, &note));
            }
            let arrived = matches!(fit, Some(Fit::Reached(..)));
            out.rows.extend((merged.exact() && arrived).then(|| steps_needed(self.long)));
            return Ok(Step::Done(out));
        }
        let mut parts = Vec::with_capacity(sites.len());
        let all: Vec<Sums> = sites.iter().map(|s| self.sums(&s.round)).collect::<Result<_, _>>()?;
        for (s, mut sums) in sites.iter().zip(all.iter().cloned()) {
            let shift = leveled(&self.glm.design, self.glm.likelihood.family, &mut sums);
            parts.extend(Part::of(tag(&s.site), sums, shift));
        }
        let slopes =
            DVector::from_iterator(self.width() - 1, parameters.iter().skip(1).take(self.width() - 1).copied());
        let lack = self.lack(parameters, &all, &intercepts);
        let (step, fit) = self.step(round, &slopes, &parts, (merged.exact(), lack));
        let longest = LONGEST_STEP * self.glm.design.norm();
        let start = parameters.first().copied().unwrap_or(0.0);
        let mut length = step.norm();
        for k in &parts {
            let moves = (k.shift + k.moves(&step)).clamp(-longest, longest);
            // The intercept of a hospital with one class goes on for ever, and moves nothing else.
            if !(merged.exact() && k.has_one_class(round)) {
                length = length.max(moves.abs());
            }
            *intercepts.entry(k.tag as u64).or_insert(start) += moves;
        }
        self.long += u32::from(is_long(length, slopes.norm()));
        // All hospitals were at one intercept in the first round, so that the common model can go on from it.
        if round == 0
            && sites.len() > 1
            && matches!(fit, Fit::Withheld(why) if LOST.iter().any(|l| WHY.get(*l) == Some(&why)))
        {
            self.common = true;
            return self.next(round, parameters, merged);
        }
        let hospitals: Vec<f64> = parts.iter().filter(|k| !k.has_one_class(round)).map(|k| k.tag).collect();
        let left_out = sites.len() - hospitals.len();
        self.last = Some(Told { fit, hospitals, left_out });
        // A hospital that comes later begins in the middle of those that are known.
        let known = intercepts.len().max(1) as f64;
        let middle = if intercepts.is_empty() { start } else { intercepts.values().sum::<f64>() / known };
        let next = std::iter::once(middle)
            .chain(slopes.iter().zip(step.iter()).map(|(b, s)| b + s))
            .chain(intercepts.iter().flat_map(|(tag, a)| [*tag as f64, *a]))
            .collect();
        let round = if merged.exact() && length < CONVERGED { self.glm.steps } else { round + 1 };
        Ok(Step::Continue { round, parameters: next })
    }
    fn own(&self, site: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        if round >= self.glm.steps || self.glm.likelihood.family == Family::Gamma {
            return None;
        }
        let theta = self.theta(parameters, Some(tag(site))).ok()?;
        Some(self.glm.alone(&theta, self.sums(release).ok()?))
    }
}

#[cfg(test)]
mod tests;
