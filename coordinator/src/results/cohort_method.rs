//! The same results in the tables of OHDSI's CohortMethod (results data model 5), so that its viewers and evidence synthesis read them,
//! with columns beside its own for what the noise adds.
//!
//! | table | from |
//! |---|---|
//! | `cm_analysis` | each analysis |
//! | `cg_cohort_definition` | the names behind the numbers of targets, comparators and outcomes |
//! | `cm_target_comparator_outcome`, `cm_result` | regressions with an exposure: the feature of the kind `arm`, else the first of two levels; each outcome of propensity scores; ratios of rates by two groups |
//! | `cm_kaplan_meier_dist` | survival of two groups |
//! | `cm_attrition` | attrition |
//! | `cm_covariate`, `cm_covariate_balance` | propensity scores |
//!
//! Targets and comparators of another cohort than `target`, such as a subgroup, are cohorts of their own. `target_subjects` and
//! `comparator_subjects` are what another analysis of the same cohort tells of the exposure's levels (`count`, `table1`, `rate`, `propensity`), and
//! empty where none does. Where a model has interactions with the exposure its ratio is that at the others' reference, and `effect_of` says so.
//! Nothing is calibrated: those columns are empty. Numbers of patients are private estimates: they are rounded, and empty where they are withheld.

mod effects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use study::analysis::What;
use study::feature::{Feature, Shape};
use study::spec::Aggregation;
use study::{Plan, Study};
use summaries::Row;

use effects::{Effect, effects};

use super::tables::{number_cell, text_cell};
use super::{AnalysisResult, Provenance, Results, ResultsError};
use summaries::interval::{chi2_p, normal_quantile};

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// A text.
    Text(String),
    /// A whole number; none where it is withheld.
    Int(Option<i64>),
    /// A number.
    Float(Option<f64>),
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    fn new(name: &'static str, columns: &[&'static str]) -> Table {
        Table { name, columns: columns.to_vec(), rows: Vec::new() }
    }

    /// As CSV (RFC 4180).
    pub(super) fn csv(&self) -> String {
        let mut out = self.columns.join(",") + "\r\n";
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .map(|c| match c {
                    Cell::Text(t) => text_cell(t),
                    Cell::Int(i) => i.map_or_else(String::new, |i| i.to_string()),
                    Cell::Float(v) => number_cell(*v),
                })
                .collect();
            out += &(cells.join(",") + "\r\n");
        }
        out
    }

    /// As Parquet.
    ///
    /// # Errors
    /// The table can't be built or written.
    pub(super) fn parquet(&self) -> Result<Vec<u8>, ResultsError> {
        let column = |i: usize| -> ArrayRef {
            let cells = || self.rows.iter().filter_map(move |r| r.get(i));
            match cells().next() {
                Some(Cell::Int(_)) => {
                    Arc::new(Int64Array::from_iter(cells().map(|c| if let Cell::Int(v) = c { *v } else { None })))
                }
                Some(Cell::Float(_)) => {
                    Arc::new(Float64Array::from_iter(cells().map(|c| if let Cell::Float(v) = c { *v } else { None })))
                }
                _ => Arc::new(StringArray::from_iter(
                    cells().map(|c| if let Cell::Text(v) = c { Some(v.as_str()) } else { None }),
                )),
            }
        };
        let columns: Vec<ArrayRef> = (0..self.columns.len()).map(column).collect();
        let fields: Vec<Field> =
            self.columns.iter().zip(&columns).map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, None)?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?)
    }
}

/// The numbers that names stand for, from 1.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn id(&mut self, name: &str) -> Cell {
        let at = self.0.iter().position(|n| n == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        Cell::Int(i64::try_from(at + 1).ok())
    }
}

fn count(row: Option<&Row>) -> Cell {
    Cell::Int(shown(row).map(|v| v.round().max(0.0) as i64))
}

fn shown(row: Option<&Row>) -> Option<f64> {
    row.filter(|r| !r.suppressed).and_then(|r| r.estimate).filter(|v| v.is_finite())
}

fn noise(row: Option<&Row>) -> Cell {
    Cell::Float(row.filter(|r| !r.suppressed).and_then(|r| r.dp_se))
}

fn find<'r>(rows: &'r [Row], term: &str, statistic: &str) -> Option<&'r Row> {
    rows.iter().find(|r| r.term == term && r.statistic == statistic)
}

/// The two levels of a feature, the reference first.
fn two(study: &Study, feature: &str) -> Option<[String; 2]> {
    match study.features.get(feature)?.shape()? {
        Shape::Level { levels } => levels.try_into().ok(),
        _ => None,
    }
}

/// The exposure among some features, and its two levels.
fn exposure<'f>(study: &Study, features: &'f [String]) -> Option<(&'f String, [String; 2])> {
    let arm = |f: &&String| matches!(study.features.get(*f), Some(Feature::Arm { .. }));
    let chosen = features.iter().find(arm).or_else(|| features.iter().find(|f| two(study, f).is_some()))?;
    Some((chosen, two(study, chosen)?))
}

/// All tables that have rows.
pub(super) fn tables(results: &Results, provenance: &Provenance, plan: &Plan) -> Vec<Table> {
    let study = &plan.study;
    let mut names = Names::default();
    let mut analyses = Table::new("cm_analysis", &["analysis_id", "description", "definition"]);
    let mut triples = Table::new(
        "cm_target_comparator_outcome",
        &["outcome_id", "outcome_of_interest", "true_effect_size", "target_id", "comparator_id"],
    );
    let mut result = Table::new("cm_result", &RESULT);
    let mut curves = Table::new("cm_kaplan_meier_dist", &CURVES);
    let mut attrition = Table::new("cm_attrition", &ATTRITION);
    let mut covariates = Table::new(
        "cm_covariate",
        &["covariate_id", "covariate_name", "analysis_id", "covariate_analysis_id", "database_id"],
    );
    let mut balance = Table::new("cm_covariate_balance", &BALANCE);
    let mut diagnostics = Table::new("cm_diagnostics_summary", &DIAGNOSTICS);
    let base = Cell::Text(provenance.federation.clone());
    for (i, a) in results.analyses.iter().enumerate() {
        let id = Cell::Int(i64::try_from(i + 1).ok());
        let Some(planned) = study.analysis.get(i) else { continue };
        let definition = serde_json::to_string(planned).unwrap_or_default();
        analyses.rows.push(vec![id.clone(), Cell::Text(a.name.clone()), Cell::Text(definition.clone())]);
        let of_cohort = |term: &str| match a.cohort.as_str() {
            "target" => term.to_owned(),
            cohort => format!("{term} of {cohort}"),
        };
        for e in effects(study, a, &planned.what) {
            let keys = [names.id(&of_cohort(&e.target)), names.id(&of_cohort(&e.comparator)), names.id(&e.outcome)];
            let [t, c, o] = keys.clone();
            let known =
                triples.rows.iter().any(|r| r.first() == Some(&o) && r.get(3) == Some(&t) && r.get(4) == Some(&c));
            if !known {
                triples.rows.push(vec![o, Cell::Int(Some(1)), Cell::Float(None), t, c]);
            }
            // Two ways to one effect, such as weights and strata of a score, are two analyses: these four are the table's key.
            let is_there = |id: &Cell, r: &Vec<Cell>| r.first() == Some(id) && r.get(1..4) == Some(keys.as_slice());
            let mut own = i64::try_from(i + 1).unwrap_or(i64::MAX);
            while result.rows.iter().any(|r| is_there(&Cell::Int(Some(own)), r)) {
                own = own.saturating_add(WAYS);
            }
            let own = Cell::Int(Some(own));
            if analyses.rows.iter().all(|r| r.first() != Some(&own)) {
                let (named, definition) = (format!("{}: {}", a.name, e.of), definition.clone());
                analyses.rows.push(vec![own.clone(), Cell::Text(named), Cell::Text(definition)]);
            }
            let row = ratio(results, plan, (a, &planned.what), &e);
            result.rows.push([vec![own], keys.to_vec(), row, vec![base.clone()]].concat());
        }
        match &planned.what {
            What::Survival { event, by: Some(by), .. } => {
                let Some([reference, other]) = two(study, by) else { continue };
                let (target, comparator) = (format!("{by}={other}"), format!("{by}={reference}"));
                let keys = [names.id(&of_cohort(&target)), names.id(&of_cohort(&comparator)), names.id(event)];
                for row in course(a, &target, &comparator) {
                    curves.rows.push([row, keys.to_vec(), vec![id.clone(), base.clone()]].concat());
                }
            }
            What::Propensity { treatment, outcomes, .. } => {
                let Some([reference, other]) = two(study, treatment) else { continue };
                let [target, comparator] = [other, reference].map(|level| format!("{treatment}={level}"));
                let keys = [&target, &comparator].map(|n| names.id(&of_cohort(n)));
                for outcome in outcomes {
                    let [t, c] = keys.clone();
                    let of = vec![id.clone(), t, c, names.id(outcome)];
                    diagnostics.rows.push([of, diagnosed(a), vec![base.clone()]].concat());
                }
                for row in a.estimate.rows.iter().filter(|r| r.statistic == "smd before") {
                    let covariate = Cell::Int(i64::try_from(covariates.rows.len() + 1).ok());
                    covariates.rows.push(vec![
                        covariate.clone(),
                        Cell::Text(row.term.clone()),
                        id.clone(),
                        Cell::Int(None),
                        base.clone(),
                    ]);
                    // The balance is of the arms: it is the same for each outcome.
                    for outcome in outcomes {
                        let [t, c] = keys.clone();
                        let of = vec![base.clone(), t, c, names.id(outcome), id.clone(), covariate.clone()];
                        balance.rows.push([of, balanced(a, row, (&target, &comparator))].concat());
                    }
                }
            }
            What::Attrition {} => {
                let cohort = names.id(&a.cohort);
                for (step, row) in a.estimate.rows.iter().filter(|r| r.statistic == "n").enumerate() {
                    let text = row.term.split_once(". ").map_or(row.term.as_str(), |(_, t)| t);
                    attrition.rows.push(vec![
                        Cell::Int(i64::try_from(step + 1).ok()),
                        Cell::Text(text.to_owned()),
                        count(Some(row)),
                        noise(Some(row)),
                        cohort.clone(),
                        cohort.clone(),
                        Cell::Int(None),
                        id.clone(),
                        Cell::Int(None),
                        base.clone(),
                    ]);
                }
            }
            _ => {}
        }
    }
    let mut cohorts = Table::new("cg_cohort_definition", &["cohort_definition_id", "cohort_name"]);
    cohorts.rows = names.0.iter().zip(1..).map(|(n, i)| vec![Cell::Int(Some(i)), Cell::Text(n.clone())]).collect();
    [analyses, cohorts, triples, result, curves, attrition, covariates, balance, diagnostics]
        .into_iter()
        .filter(|t| !t.rows.is_empty())
        .collect()
}

/// The ids of an analysis' other ways to an effect are so far apart.
const WAYS: i64 = 1000;

const RESULT: [&str; 33] = [
    "analysis_id",
    "target_id",
    "comparator_id",
    "outcome_id",
    "rr",
    "ci_95_lb",
    "ci_95_ub",
    "p",
    "target_subjects",
    "comparator_subjects",
    "target_days",
    "comparator_days",
    "target_outcomes",
    "comparator_outcomes",
    "log_rr",
    "se_log_rr",
    "sampling_se_log_rr",
    "dp_se_log_rr",
    "llr",
    "calibrated_rr",
    "calibrated_ci_95_lb",
    "calibrated_ci_95_ub",
    "calibrated_p",
    "calibrated_log_rr",
    "calibrated_se_log_rr",
    "target_estimator",
    "effect_of",
    "epsilon",
    "delta",
    "mechanism",
    "n_sites",
    "suppressed",
    "database_id",
];

/// The columns of `cm_covariate_balance` behind the keys.
fn balanced(a: &AnalysisResult, before: &Row, (target, comparator): (&str, &str)) -> Vec<Cell> {
    let rows = &a.estimate.rows;
    let mean = |arm: &str, when: &str| {
        Cell::Float(shown(find(rows, &format!("{}, {arm}", before.term), &format!("mean {when}"))))
    };
    let after = find(rows, &before.term, "smd after");
    vec![
        mean(target, "before"),
        mean(comparator, "before"),
        Cell::Float(shown(Some(before))),
        noise(Some(before)),
        mean(target, "after"),
        mean(comparator, "after"),
        Cell::Float(shown(after)),
        noise(after),
    ]
}

/// The ratio of a target and a comparator: the columns of `cm_result` between the keys and the database.
fn ratio(results: &Results, plan: &Plan, (a, planned): (&AnalysisResult, &What), effect: &Effect<'_>) -> Vec<Cell> {
    let rows = &a.estimate.rows;
    let Effect { target, comparator, outcome, rr, .. } = effect;
    let outcome = outcome.as_str();
    // Both parts of the error are told of the ratio; of its logarithm they are its share.
    let rr_at = shown(Some(rr)).filter(|v| *v > 0.0);
    let share = |v: Option<f64>| v.zip(rr_at).map(|(v, at)| v / at);
    let log = rr_at.map(f64::ln);
    let value = |v: Option<f64>| Cell::Float(v.filter(|v| v.is_finite() && !rr.suppressed));
    // How many there were is told by other analyses of the same cohort; events and time by those of the same outcome.
    let find_in = |fits: &dyn Fn(&What) -> bool, term: &str, statistic: &str| {
        let of =
            results.analyses.iter().zip(&plan.study.analysis).filter(|(b, p)| b.cohort == a.cohort && fits(&p.what));
        of.flat_map(|(b, _)| &b.estimate.rows).find(|r| r.term == term && r.statistic == statistic)
    };
    let told = |term: &str, statistic: &str| find_in(&|_| true, term, statistic);
    let of_outcome = |what: &What| matches!(what, What::Survival { event, .. } if event == outcome);
    let time_of = |what: &What| match what {
        What::Cox { time, .. } | What::PiecewiseExponential { time, .. } | What::Rate { time, .. } => {
            Some(time.clone())
        }
        What::Poisson { exposure, .. } | What::NegativeBinomial { exposure, .. } => exposure.clone(),
        _ => None,
    };
    let of_time = |what: &What| matches!(what, What::Rate { .. }) && time_of(what) == time_of(planned);
    let days = |term: &str| find_in(&of_time, term, "person-time");
    let likelihood = shown(find(rows, "model", "likelihood ratio chi2")).map(|x| x / 2.0);
    let events =
        |term: &str| find_in(&of_outcome, term, "events").or_else(|| told(&format!("{term}, {outcome}=yes"), "n"));
    // The columns are of 95 %, whatever the study's level.
    let end = |sign: f64| Some((log? + sign * normal_quantile(0.975) * share(rr.se)?).exp());
    // Where no test is told, Wald's of the logarithm with both parts of its error.
    let wald = || log.zip(share(rr.se)).filter(|(_, se)| *se > 0.0).map(|(l, se)| chi2_p((l / se).powi(2), 1.0));
    let privacy = &plan.study.privacy;
    let private = a.epsilon.is_finite() && !results.simulation;
    let mechanism = match (private, privacy.aggregation) {
        (false, _) => "none",
        (true, Aggregation::Local) => "discrete gaussian at each site",
        (true, Aggregation::Secure) => "distributed discrete gaussian, secure sum",
    };
    vec![
        value(rr.estimate),
        value(end(-1.0)),
        value(end(1.0)),
        Cell::Float(shown(effect.p).or_else(wald)),
        count(told(target, "n")),
        count(told(comparator, "n")),
        count(days(target)),
        count(days(comparator)),
        count(events(target)),
        count(events(comparator)),
        value(log),
        value(share(rr.se)),
        value(share(rr.sampling_se)),
        value(share(rr.dp_se)),
        Cell::Float(likelihood),
        Cell::Float(None),
        Cell::Float(None),
        Cell::Float(None),
        Cell::Float(None),
        Cell::Float(None),
        Cell::Float(None),
        Cell::Text(effect.estimator.to_owned()),
        Cell::Text(effect.of.clone()),
        Cell::Float(private.then_some(a.epsilon)),
        Cell::Float(private.then_some(privacy.delta)),
        Cell::Text(mechanism.to_owned()),
        Cell::Int(Some(i64::from(a.sites))),
        Cell::Int(Some(i64::from(rr.suppressed))),
    ]
}

const DIAGNOSTICS: [&str; 7] =
    ["analysis_id", "target_id", "comparator_id", "outcome_id", "max_sdm", "balance_diagnostic", "database_id"];

/// A standardised difference above this after weighting is an arm out of balance, by CohortMethod's default.
const OUT_OF_BALANCE: f64 = 0.1;

/// The largest standardised difference after weighting, and what it says; nothing where one is withheld.
fn diagnosed(a: &AnalysisResult) -> Vec<Cell> {
    // Each difference with how far the noise reaches: what the noise could have done decides nothing.
    let reach = |r: &Row| normal_quantile(0.975) * r.dp_se.unwrap_or(0.0);
    let after = a.estimate.rows.iter().filter(|r| r.statistic == "smd after");
    let all: Option<Vec<(f64, f64)>> = after.map(|r| Some((shown(Some(r))?.abs(), reach(r)))).collect();
    let most = all.as_ref().map(|all| all.iter().fold(0.0, |most: f64, (d, _)| most.max(*d)));
    let said = match all {
        Some(all) if all.iter().any(|(d, noise)| d - noise > OUT_OF_BALANCE) => "FAIL",
        Some(all) if all.iter().all(|(d, noise)| d + noise <= OUT_OF_BALANCE) => "PASS",
        _ => "NOT EVALUATED",
    };
    vec![Cell::Float(most), Cell::Text(said.to_owned())]
}

const CURVES: [&str; 14] = [
    "time_day",
    "target_survival",
    "target_survival_lb",
    "target_survival_ub",
    "comparator_survival",
    "comparator_survival_lb",
    "comparator_survival_ub",
    "target_at_risk",
    "comparator_at_risk",
    "target_id",
    "comparator_id",
    "outcome_id",
    "analysis_id",
    "database_id",
];

/// Both groups' curves at the times at which either changes.
fn course(a: &AnalysisResult, target: &str, comparator: &str) -> Vec<Vec<Cell>> {
    let points = |term: &str| {
        let curve = a.estimate.curves.iter().find(|c| c.kind == "step" && c.title.ends_with(term));
        curve.map(|c| c.points.as_slice()).unwrap_or_default()
    };
    let (t, c) = (points(target), points(comparator));
    let mut times: Vec<f64> = t.iter().chain(c).map(|[x, ..]| *x).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let at = |points: &[[f64; 4]], time: f64| -> [Cell; 3] {
        let last = points.iter().take_while(|[x, ..]| *x <= time).last();
        [1, 2, 3].map(|i| Cell::Float(last.and_then(|p| p.get(i)).copied().filter(|v| v.is_finite())))
    };
    let risk = |term: &str, time: f64| count(find(&a.estimate.rows, &format!("{term}, time {time}"), "at risk"));
    times
        .into_iter()
        .map(|time| {
            let mut row = vec![Cell::Int(Some(time.round() as i64))];
            row.extend(at(t, time));
            row.extend(at(c, time));
            row.extend([risk(target, time), risk(comparator, time)]);
            row
        })
        .collect()
}

const BALANCE: [&str; 14] = [
    "database_id",
    "target_id",
    "comparator_id",
    "outcome_id",
    "analysis_id",
    "covariate_id",
    "target_mean_before",
    "comparator_mean_before",
    "std_diff_before",
    "dp_se_std_diff_before",
    "target_mean_after",
    "comparator_mean_after",
    "std_diff_after",
    "dp_se_std_diff_after",
];

const ATTRITION: [&str; 10] = [
    "sequence_number",
    "description",
    "subjects",
    "dp_se_subjects",
    "exposure_id",
    "target_id",
    "comparator_id",
    "analysis_id",
    "outcome_id",
    "database_id",
];
