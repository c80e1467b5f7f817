//! What is settled before a patient is looked at: an event that the cohort's entry is itself, a feature that its criteria give to everybody
//! or to nobody, a group that it rules out. A study of it would pay for noise alone.

use super::analyses::Place;
use super::fixed::lets_in;
use super::possible::{each, joined};
use crate::analysis::{Analysis, What};
use crate::cohort::{Cohort, Criterion, Where, Window};
use crate::feature::Feature;
use crate::spec::Study;

/// Says what is settled.
pub(super) fn check(place: &mut Place<'_, '_>, a: &Analysis) {
    let study = place.checker.study;
    let Some(cohort) = study.cohorts.get(&a.cohort) else { return };
    let names = a.what.features();
    for name in &names {
        if let Some(message) = study.features.get(name).and_then(|f| at_the_entry(study, cohort, f)) {
            let message = format!("{message} '{name}'");
            place.say(
                "",
                message,
                "begin the time at risk on day 1, from = 1, without a prior_lookback that reaches the entry",
            );
            break;
        }
    }
    for (setting, name) in compared(&a.what) {
        let Some(feature) = study.features.get(name) else { continue };
        if let Some(always) = of_everybody(study, cohort, feature) {
            let message = match always {
                true => format!("everybody in the cohort '{}' has '{name}', by its entry or its criteria", a.cohort),
                false => format!("nobody in the cohort '{}' has '{name}', which its criteria exclude", a.cohort),
            };
            place.say(setting, message, "leave it out, take another window, or another cohort");
        }
    }
    if let Some(by) = by(&a.what)
        && let Some(Feature::Sex { levels }) = study.features.get(by)
    {
        let left: Vec<&String> = levels.iter().filter(|l| lets_in(study, cohort, l)).collect();
        if levels.len() > 1 && left.len() < 2 {
            let message = format!("the cohort '{}' has at most one of the groups of '{by}'", a.cohort);
            place.say("by", message, "leave by out, or the criterion");
        }
    }
}

/// What is compared or explained, with its setting; what is only described may be constant.
fn compared(what: &What) -> Vec<(&'static str, &str)> {
    let mut out: Vec<(&'static str, &str)> = Vec::new();
    if let Some(r) = what.regression() {
        out.extend(r.formula.features.iter().map(|f| ("features", f.as_str())));
        out.extend(matches!(what, What::Logistic { .. }).then_some(("outcome", r.outcome)));
    }
    match what {
        What::Propensity { treatment, outcomes, formula, .. } => {
            out.push(("treatment", treatment));
            out.extend(outcomes.iter().map(|o| ("outcomes", o.as_str())));
            out.extend(formula.features.iter().map(|f| ("features", f.as_str())));
        }
        What::MantelHaenszel { exposure, outcome, .. } => {
            out.extend([("exposure", exposure.as_str()), ("outcome", outcome.as_str())]);
        }
        _ => out.extend(by(what).map(|b| ("by", b.as_str()))),
    }
    out
}

fn by(what: &What) -> Option<&String> {
    match what {
        What::Table1 { by, .. } | What::Survival { by, .. } | What::Competing { by, .. } | What::Rate { by, .. } => {
            by.as_ref()
        }
        What::Compare { by, .. } | What::RankSum { by, .. } => Some(by),
        _ => None,
    }
}

/// An event: its table, concept set and conditions.
type Event<'a> = (&'a str, Option<&'a String>, &'a Where);

/// The ways into a cohort: its own entry and criteria, or each arm's with these.
fn ways<'a>(study: &'a Study, cohort: &'a Cohort) -> Vec<Vec<&'a Cohort>> {
    let arms: Vec<&Cohort> = cohort.arms.iter().filter_map(|a| study.cohorts.get(a)).collect();
    if arms.is_empty() { vec![vec![cohort]] } else { arms.into_iter().map(|arm| vec![cohort, arm]).collect() }
}

fn enters_by(way: &[&Cohort], event: Event<'_>) -> bool {
    let entries = way.iter().filter_map(|c| c.entry.as_ref());
    let is_it = |e: &crate::cohort::Entry| (e.table.as_str(), e.set.as_ref(), &e.filter) == event;
    event.0 != schema::Table::Patient.name() && entries.into_iter().any(is_it)
}

/// Why a follow-up of the event that everybody enters by tells nothing.
fn at_the_entry(study: &Study, cohort: &Cohort, feature: &Feature) -> Option<&'static str> {
    let (Feature::FollowUp { table, set, filter, from, prior_lookback, .. }
    | Feature::FollowedBy { table, set, filter, from, prior_lookback, .. }) = feature
    else {
        return None;
    };
    let event = (table.as_str(), set.as_ref(), filter);
    if !ways(study, cohort).iter().all(|way| enters_by(way, event)) {
        return None;
    }
    match (from, prior_lookback) {
        (0, _) => Some("everybody enters the cohort by the event itself, so that every time is 0: in"),
        (from, Some(days)) if days >= from => Some(
            "everybody enters the cohort by the event itself, and whoever had it before is not at risk, so that nobody is: in",
        ),
        _ => None,
    }
}

fn is_within(inner: Option<Window>, outer: Option<Window>) -> bool {
    match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some([a, b]), Some([from, to])) => from <= a && b <= to,
    }
}

/// Whether everybody of a cohort has a feature of events, or nobody; `None` where that is open.
fn of_everybody(study: &Study, cohort: &Cohort, feature: &Feature) -> Option<bool> {
    let Feature::Has { table, set, filter, window } = feature else { return None };
    let event = (table.as_str(), set.as_ref(), filter);
    let of = |way: &Vec<&Cohort>| {
        let is_it = |c: &&Criterion| match c {
            Criterion::Has(h) => (h.has.as_str(), h.set.as_ref(), &h.filter) == event,
            _ => false,
        };
        let asked = |c: &Criterion, holds: &dyn Fn(Option<Window>) -> bool, once: bool| match c {
            Criterion::Has(h) => holds(h.within) && !(once && h.at_least.is_some_and(|n| n > 1)),
            _ => false,
        };
        let excluded = way.iter().flat_map(|c| each(&c.exclusion)).filter(is_it);
        let included = way.iter().flat_map(|c| joined(&c.inclusion)).filter(is_it);
        let entered = enters_by(way, event) && window.is_none_or(|[a, b]| a <= 0 && 0 <= b);
        if entered || included.into_iter().any(|c| asked(c, &|w| is_within(w, *window), false)) {
            return Some(true);
        }
        excluded.into_iter().any(|c| asked(c, &|w| is_within(*window, w), true)).then_some(false)
    };
    let mut told = ways(study, cohort).iter().map(of).collect::<Vec<_>>().into_iter();
    let first = told.next()??;
    told.all(|e| e == Some(first)).then_some(first)
}
