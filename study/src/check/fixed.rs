//! Levels of a feature that nobody of a cohort can have: a model can tell nothing of them, and has no estimate.

use std::collections::BTreeSet;

use super::analyses::Place;
use crate::analysis::{Analysis, What};
use crate::cohort::{AllOf, AnyOf, Cohort, Criterion, Sex};
use crate::feature::Feature;
use crate::spec::Study;

type Sexes<'a> = BTreeSet<&'a str>;

/// The sexes that a criterion lets in; `None` where it asks for no sex.
fn of_criterion(criterion: &Criterion) -> Option<Sexes<'_>> {
    match criterion {
        Criterion::Sex(Sex { sex }) => Some(sex.iter().map(String::as_str).collect()),
        Criterion::AllOf(AllOf { all_of }) => together(all_of),
        // One way in that asks for none lets all in.
        Criterion::AnyOf(AnyOf { any_of }) => {
            let each: Option<Vec<Sexes<'_>>> = any_of.iter().map(of_criterion).collect();
            Some(each?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// The sexes that all of some criteria let in.
fn together(criteria: &[Criterion]) -> Option<Sexes<'_>> {
    criteria.iter().filter_map(of_criterion).reduce(|a, b| a.intersection(&b).copied().collect())
}

/// Whether patients of a sex can be in a cohort, by its criteria and those of its arms.
pub(super) fn lets_in(study: &Study, cohort: &Cohort, sex: &str) -> bool {
    let excluded = cohort.exclusion.iter().any(|c| matches!(c, Criterion::Sex(s) if s.sex.iter().any(|s| s == sex)));
    let mut arms = cohort.arms.iter().filter_map(|a| study.cohorts.get(a)).peekable();
    let by_arms = arms.peek().is_none() || arms.any(|a| a.arms.is_empty() && lets_in(study, a, sex));
    by_arms && !excluded && together(&cohort.inclusion).is_none_or(|s| s.contains(sex))
}

/// The features of a model's right side.
fn covariates(what: &What) -> &[String] {
    match (what, what.regression()) {
        (_, Some(r)) => &r.formula.features,
        (What::Propensity { formula, .. }, None) => &formula.features,
        _ => &[],
    }
}

/// Says which levels of a model's features its cohort, or a subgroup of it, rules out.
pub(super) fn check(place: &mut Place<'_, '_>, a: &Analysis) {
    let study = place.checker.study;
    let Some(cohort) = study.cohorts.get(&a.cohort) else { return };
    let groups = a.subgroups.iter().filter_map(|n| Some((n, study.subgroups.get(n)?)));
    let groups = groups.map(|(name, group)| {
        let mut of = cohort.clone();
        of.inclusion.extend(group.inclusion.iter().cloned());
        of.exclusion.extend(group.exclusion.iter().cloned());
        (format!("the subgroup '{name}'"), of)
    });
    let all: Vec<(String, Cohort)> =
        std::iter::once((format!("the cohort '{}'", a.cohort), cohort.clone())).chain(groups).collect();
    for name in covariates(&a.what) {
        let Some(Feature::Sex { levels }) = study.features.get(name) else { continue };
        let lacks = |(_, c): &&(String, Cohort)| levels.iter().any(|l| !lets_in(study, c, l));
        // What the cohort rules out its subgroups do as well: said once.
        if let Some((whose, c)) = all.iter().find(lacks) {
            let none: Vec<&str> = levels.iter().filter(|l| !lets_in(study, c, l)).map(String::as_str).collect();
            let message = format!(
                "nobody of {whose} has {name} = {}, so that a model can't tell what it does",
                none.join(" or ")
            );
            place.say("features", message, "leave the feature or the level out, or the criterion");
        }
    }
}
