//! Subgroups: declared before anything is seen, each an analysis of its own.
//!
//! An analysis with `subgroups = ["women"]` is done in its cohort, and again in those of the cohort who fulfil the subgroup's criteria.
//! Each has its own share of the charge: subgroups may overlap, and a patient pays for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cohort::Criterion;
use crate::spec::Study;

/// A subgroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subgroup {
    /// All must hold.
    #[serde(default)]
    pub inclusion: Vec<Criterion>,
    /// None may hold.
    #[serde(default)]
    pub exclusion: Vec<Criterion>,
}

/// The same study with an analysis and a cohort for each subgroup of each analysis.
#[must_use]
pub fn expanded(study: &Study) -> Study {
    let mut out = study.clone();
    out.analysis = Vec::with_capacity(study.analysis.len());
    for analysis in &study.analysis {
        let mut whole = analysis.clone();
        let groups = std::mem::take(&mut whole.subgroups);
        out.analysis.push(whole.clone());
        for name in groups {
            let (Some(group), Some(cohort)) = (study.subgroups.get(&name), study.cohorts.get(&analysis.cohort)) else {
                continue;
            };
            let mut cohort = cohort.clone();
            cohort.inclusion.extend(group.inclusion.iter().cloned());
            cohort.exclusion.extend(group.exclusion.iter().cloned());
            let mut own = whole.clone();
            own.name = format!("{}: {name}", analysis.label());
            own.cohort = format!("{}: {name}", analysis.cohort);
            out.cohorts.insert(own.cohort.clone(), cohort);
            out.analysis.push(own);
        }
    }
    out
}
