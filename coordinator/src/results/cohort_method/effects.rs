//! The ratios of a target and a comparator that analyses tell.

use study::Study;
use study::analysis::What;
use summaries::Row;
use summaries::estimate::RATIOS;

use super::{exposure, find, two};
use crate::results::AnalysisResult;

/// What one analysis says of a target and a comparator.
pub(super) struct Effect<'r> {
    pub(super) target: String,
    pub(super) comparator: String,
    pub(super) outcome: String,
    /// The row of the ratio.
    pub(super) rr: &'r Row,
    /// Its p-value, where it is told.
    pub(super) p: Option<&'r Row>,
    /// `ate` or `att`.
    pub(super) estimator: &'static str,
    /// What the ratio is of, where that is not the whole cohort.
    pub(super) of: String,
}

/// The effects of an analysis.
pub(super) fn effects<'r>(study: &Study, a: &'r AnalysisResult, what: &What) -> Vec<Effect<'r>> {
    let rows = &a.estimate.rows;
    let arms = |feature: &str, [reference, other]: &[String; 2]| {
        (format!("{feature}={other}"), format!("{feature}={reference}"))
    };
    if let Some(regression) = what.regression() {
        let formula = regression.formula;
        let Some((feature, levels)) = exposure(study, &formula.features) else { return Vec::new() };
        let (target, comparator) = arms(feature, &levels);
        let is_ratio = |r: &&Row| r.term == target && RATIOS.contains(&r.statistic.as_str());
        let Some(rr) = rows.iter().find(is_ratio) else { return Vec::new() };
        let with = formula.interactions.iter().filter(|pair| pair.contains(feature));
        let with: Vec<String> = with.flatten().filter(|f| *f != feature).cloned().collect();
        let of = match with.as_slice() {
            [] => String::new(),
            with => format!("at the reference level, or 0, of {}: the exposure interacts with it", with.join(", ")),
        };
        let (p, outcome) = (find(rows, &target, "p"), regression.outcome.to_owned());
        return vec![Effect { target, comparator, outcome, rr, p, estimator: "ate", of }];
    }
    match what {
        What::Propensity { treatment, outcomes, effect, .. } => {
            let Some(levels) = two(study, treatment) else { return Vec::new() };
            let [reference, other] = &levels;
            let (target, comparator) = arms(treatment, &levels);
            let estimator = if serde_json::to_value(effect).is_ok_and(|e| e == "att") { "att" } else { "ate" };
            let one = |outcome: &String, how: &str| {
                let term = format!("{outcome}, {treatment}={other} − {reference}");
                let rr = find(rows, &term, &format!("{how} risk ratio"))?;
                let (target, comparator, outcome) = (target.clone(), comparator.clone(), outcome.clone());
                let of = format!("{how} by the score");
                Some(Effect { target, comparator, outcome, rr, p: None, estimator, of })
            };
            outcomes.iter().flat_map(|o| [one(o, "weighted"), one(o, "stratified")]).flatten().collect()
        }
        What::Rate { events, by: Some(by), .. } => {
            let Some(levels) = two(study, by) else { return Vec::new() };
            let (target, comparator) = arms(by, &levels);
            let rr = find(rows, &format!("{target} / {comparator}"), "rate ratio");
            let outcome = events.clone();
            let one = |rr| Effect { target, comparator, outcome, rr, p: None, estimator: "ate", of: String::new() };
            rr.map(one).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
