//! What a treatment does, by the propensity to have it (Rosenbaum and Rubin 1983): weights, strata, and balance before and after.
//!
//! Rounds: Newton's steps of a logistic regression of the treatment; the histogram of its scores by arm; and one with all that is compared, at
//! the scores of the last step. A score e of a patient of the arm a means the weight, cut at a public C,
//!
//! * ATE, the whole population: a/e + (1 − a)/(1 − e);
//! * ATT, the treated: a + (1 − a) e/(1 − e).
//!
//! The score is the noisy coefficients' and public by then, so that a patient's weight is a function of their own row, within [0, C]. The
//! statistics are in [`crate::weighting`].
//!
//! Errors take the weights as known. For the ATE that is too wide, never too narrow: that they are estimated makes an estimate less variable
//! (Lunceford and Davidian 2004, section 3). For the ATT it may be either. The noise in the coefficients makes the weights a little less
//! right, as a worse model would; its part of the errors is that of the last round's sums alone.

use summaries::{
    Curve, Estimate, MergedRelease, MergedRound, PartWork, Program, ProgramError, Reporting, Row, Statistic, Step,
};

use crate::ascent::{Ascent, CONVERGED};
use crate::design::Design;
use crate::family::Family;
use crate::glm::{self, EVALUATION_WEIGHT, GRADIENT_WEIGHT, sums};
use crate::newton::{Curvature, Gradient};
use crate::scores::{BINS, ScoreHistogram};
use crate::weighting::{Balance, Kind, Outcome, Scores, Strata, Weighted};

/// How the strata of the score are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cuts {
    /// At equal distances.
    #[default]
    Equal,
    /// At quantiles of the noisy histogram of scores.
    Quantiles,
}

/// What a propensity analysis is of.
#[derive(Clone)]
pub struct Plan {
    /// The covariates.
    pub design: Design,
    /// Whom the effect is of.
    pub kind: Kind,
    /// No patient weighs more.
    pub cap: f64,
    /// How many strata.
    pub strata: usize,
    /// How they are cut.
    pub cuts: Cuts,
    /// The outcomes' names, each with what it is.
    pub outcomes: Vec<(String, Outcome)>,
}

/// A propensity analysis over rounds.
pub struct Propensity {
    plan: Plan,
    /// The places of the covariates, the treatment, and each outcome.
    columns: Vec<usize>,
    steps: u32,
    reporting: Reporting,
    ascent: Ascent,
    why: Option<String>,
    overlap: Estimate,
}

impl Propensity {
    /// With so many Newton steps (at least 1). `columns` are the places of the design's terms, the treatment, and each outcome; `reporting`
    /// has their names. `None` unless the cap is 1 or more and there are 2 to [`BINS`] strata.
    pub fn new(plan: Plan, columns: Vec<usize>, steps: u32, reporting: Reporting) -> Option<Propensity> {
        let fit = plan.cap >= 1.0 && plan.cap.is_finite() && (2..=BINS).contains(&plan.strata);
        (fit && columns.len() == plan.design.inputs().len() + 1 + plan.outcomes.len()).then(|| Propensity {
            plan,
            columns,
            steps: steps.max(1),
            reporting,
            ascent: Ascent::default(),
            why: None,
            overlap: Estimate::default(),
        })
    }

    /// The parameters of the last round: coefficients, then the strata's inner cuts.
    fn parameters(&self, round: u32, given: &[f64]) -> Result<(), ProgramError> {
        let more = if round > self.steps { self.plan.strata - 1 } else { 0 };
        let needed = self.plan.design.width() + more;
        let fits = given.len() == needed && given.iter().all(|p| p.is_finite());
        if fits { Ok(()) } else { Err(ProgramError::Parameters { given: given.len(), needed }) }
    }

    /// The columns of the covariates and the treatment, and one outcome's.
    fn of_outcome(&self, outcome: usize) -> Vec<usize> {
        let n = self.plan.design.inputs().len() + 1;
        self.columns.iter().take(n).chain(self.columns.get(n + outcome)).copied().collect()
    }

    fn scores(&self, theta: &[f64]) -> Scores {
        Scores { design: self.plan.design.clone(), theta: theta.to_vec(), kind: self.plan.kind, cap: self.plan.cap }
    }

    /// The statistics of the last round, with the columns of each.
    fn last(&self, parameters: &[f64]) -> Vec<(Box<dyn Statistic>, Vec<usize>)> {
        let (theta, cuts) = parameters.split_at(self.plan.design.width().min(parameters.len()));
        let scores = self.scores(theta);
        let balance = Balance::new(scores.clone());
        let own: Vec<usize> = self.columns.iter().take(self.plan.design.inputs().len() + 1).copied().collect();
        let mut out: Vec<(Box<dyn Statistic>, Vec<usize>)> = vec![(Box::new(balance), own)];
        for (i, (_, outcome)) in self.plan.outcomes.iter().enumerate() {
            out.push((Box::new(Weighted::new(scores.clone(), *outcome)), self.of_outcome(i)));
            out.push((Box::new(Strata::new(scores.clone(), *outcome, cuts.to_vec())), self.of_outcome(i)));
        }
        out
    }

    /// The inner cuts of the strata, from the histogram of scores where that is asked.
    fn cut(&self, merged: &MergedRelease, histogram: &ScoreHistogram) -> Vec<f64> {
        let (k, layout) = (self.plan.strata, histogram.layout());
        let share = |i: usize| i as f64 / k as f64;
        if self.plan.cuts == Cuts::Equal {
            return (1..k).map(share).collect();
        }
        let bins: Vec<f64> =
            (0..BINS).map(|b| (merged.value(b, &layout) + merged.value(b + BINS, &layout)).max(0.0)).collect();
        let all: f64 = bins.iter().sum();
        let at = |wanted: f64| {
            let mut below = 0.0;
            for (b, n) in bins.iter().enumerate() {
                if *n > 0.0 && below + n >= wanted * all {
                    return (b as f64 + (wanted * all - below) / n) / BINS as f64;
                }
                below += n;
            }
            1.0
        };
        if all > 0.0 { (1..k).map(|i| at(share(i))).collect() } else { (1..k).map(share).collect() }
    }

    /// The histogram of scores by arm, as curves, and how well the score tells the arms apart.
    fn tell_overlap(&self, merged: &MergedRelease, histogram: &ScoreHistogram) -> Estimate {
        let (layout, z) = (histogram.layout(), self.reporting.z());
        let se = merged.variance(&layout).sqrt();
        let treatment = self.plan.design.inputs().len();
        let mut out = Estimate::default();
        for arm in 0..2 {
            let at = |b: usize| merged.value(b + arm * BINS, &layout);
            let name = format!("{}={}", self.reporting.name(treatment), self.reporting.level(treatment, arm));
            let shown = |n: f64| n >= (self.reporting.min_cell as f64).max(2.0 * se);
            let point = |b: usize| [(b as f64 + 0.5) / BINS as f64, at(b), (at(b) - z * se).max(0.0), at(b) + z * se];
            out.curves.push(Curve {
                title: format!("propensity scores: {name}"),
                kind: "bars".into(),
                x_label: "propensity score".into(),
                y_label: "patients".into(),
                points: (0..BINS).filter(|b| shown(at(*b))).map(point).collect(),
            });
        }
        let auc = histogram.estimate(merged, &self.reporting).rows.into_iter().filter(|r| r.statistic == "auc");
        out.rows.extend(auc.map(|r| Row {
            term: "propensity".into(),
            statistic: "c".into(),
            note: "how well the score tells the arms apart; near 1 they hardly overlap".into(),
            ..r
        }));
        out
    }

    fn finish(&self, parameters: &[f64], merged: &MergedRound) -> Result<Estimate, ProgramError> {
        let statistics = self.last(parameters);
        if merged.parts.len() != statistics.len() {
            return Err(ProgramError::Merged);
        }
        let mut out = self.overlap.clone();
        for ((statistic, columns), release) in statistics.iter().zip(&merged.parts) {
            if release.lanes.len() != statistic.layout().lanes {
                return Err(ProgramError::Merged);
            }
            let places = columns.iter().filter_map(|c| self.columns.iter().position(|own| own == c));
            let places: Vec<usize> = places.collect();
            let reporting = Reporting {
                names: places.iter().map(|p| self.reporting.name(*p).to_owned()).collect(),
                levels: places.iter().map(|p| self.reporting.levels.get(*p).cloned().unwrap_or_default()).collect(),
                ..self.reporting.clone()
            };
            let told = statistic.estimate(release, &reporting);
            out.rows.extend(told.rows);
            out.curves.extend(told.curves);
        }
        Ok(out)
    }
}

impl Program for Propensity {
    fn rounds(&self) -> u32 {
        self.steps + 2
    }

    fn weight(&self, round: u32) -> f64 {
        match round {
            r if r < self.steps => 1.0,
            r if r == self.steps => EVALUATION_WEIGHT,
            _ => 1.0 + self.plan.outcomes.len() as f64,
        }
    }

    fn first(&self) -> Vec<f64> {
        vec![0.0; self.plan.design.width()]
    }

    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        self.parameters(round, parameters)?;
        let own: Vec<usize> = self.columns.iter().take(self.plan.design.inputs().len() + 1).copied().collect();
        let part = |statistic: Box<dyn Statistic>, columns: Vec<usize>, weight| PartWork {
            name: statistic.name().to_owned(),
            statistic,
            columns,
            weight,
            walk: None,
            rate: None,
        };
        let (design, theta) = (self.plan.design.clone(), parameters.to_vec());
        if round < self.steps {
            let gradient = Gradient::new(design.clone(), Family::Logistic, theta.clone());
            let curvature = Curvature::new(design, Family::Logistic, theta);
            Ok(vec![
                part(Box::new(gradient), own.clone(), GRADIENT_WEIGHT),
                part(Box::new(curvature), own, 1.0 - GRADIENT_WEIGHT),
            ])
        } else if round == self.steps {
            Ok(vec![part(Box::new(ScoreHistogram::new(design, theta)), own, 1.0)])
        } else if round == self.steps + 1 {
            let one = |(i, (statistic, columns)): (usize, (Box<dyn Statistic>, Vec<usize>))| PartWork {
                name: format!("{}:{i}", statistic.name()),
                ..part(statistic, columns, 1.0)
            };
            Ok(self.last(parameters).into_iter().enumerate().map(one).collect())
        } else {
            Err(ProgramError::Round { asked: round, planned: self.rounds() })
        }
    }

    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        self.parameters(round, parameters)?;
        if round < self.steps {
            let [gradient, curvature] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            let sums = sums(&self.plan.design, &Family::Logistic.into(), gradient, curvature)?;
            let (theta, length, fit) = self.ascent.step(parameters, sums);
            // The outcome of this model is the treatment.
            let why = glm::reached(&self.plan.design, Some(&fit)).err();
            self.why = why.map(|w| w.replace("the outcome", "the treatment"));
            let converged = merged.exact() && length < CONVERGED;
            return Ok(Step::Continue { round: if converged { self.steps } else { round + 1 }, parameters: theta });
        }
        if round == self.steps {
            let [scores] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
            let histogram = ScoreHistogram::new(self.plan.design.clone(), parameters.to_vec());
            if scores.lanes.len() != histogram.layout().lanes {
                return Err(ProgramError::Merged);
            }
            self.overlap = self.tell_overlap(scores, &histogram);
            if let Some(why) = &self.why {
                // A score that is none balances nothing.
                self.overlap.rows.push(Row::withheld("propensity", "effect", why));
                return Ok(Step::Done(self.overlap.clone()));
            }
            let theta = parameters.iter().copied().chain(self.cut(scores, &histogram)).collect();
            return Ok(Step::Continue { round: round + 1, parameters: theta });
        }
        Ok(Step::Done(self.finish(parameters, merged)?))
    }
}
