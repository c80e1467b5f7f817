//! Cohorts: who enters, when, and who is kept. The language is OMOP's in small: an entry event, criteria around it, an exit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Days relative to the entry, both ends included.
pub type Window = [i32; 2];

/// Conditions on columns: each column must have one of the values.
pub type Where = BTreeMap<String, Vec<String>>;

/// A cohort: at most one row a patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The event that brings a patient in.
    pub entry: Entry,
    /// All must hold.
    #[serde(default)]
    pub inclusion: Vec<Criterion>,
    /// None may hold.
    #[serde(default)]
    pub exclusion: Vec<Criterion>,
    /// When the patient leaves; bounds every window after the entry.
    #[serde(default)]
    pub exit: Exit,
}

/// The event that brings a patient in. `table = "patient"` takes everyone, and there is no entry date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A table of the common schema.
    pub table: String,
    /// A concept set.
    #[serde(default)]
    pub set: Option<String>,
    /// Conditions on columns, such as `class = ["ER"]`.
    #[serde(default, rename = "where")]
    pub filter: Where,
    /// Which event of a patient.
    #[serde(default)]
    pub occurrence: Occurrence,
}

/// Which event of a patient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occurrence {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
}

/// When a patient leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// So many days after the entry.
    #[serde(default)]
    pub days: Option<i32>,
}

/// One criterion. Exactly one of its forms is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Criterion {
    /// By age.
    Age(Age),
    /// By sex.
    Sex(Sex),
    /// By the time that a person was known before.
    PriorObservation(PriorObservation),
    /// An event of a table within a window.
    Has(HasEvent),
    /// A measurement within a window that fulfils a comparison; any one does.
    Lab(Lab),
}

/// Age at the entry (calendar years: entry year less birth year), both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Age {
    /// Youngest and oldest.
    pub age: [i64; 2],
}

/// Sex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sex {
    /// One of these.
    pub sex: Vec<String>,
}

/// Known to the hospital for so many days before the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorObservation {
    /// Days.
    pub prior_obs_days: i32,
}

/// An event of a table within a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HasEvent {
    /// A table of the common schema.
    pub has: String,
    /// A concept set.
    #[serde(default)]
    pub set: Option<String>,
    /// Conditions on columns.
    #[serde(default, rename = "where")]
    pub filter: Where,
    /// When, in days from the entry; always, where not given.
    #[serde(default)]
    pub within: Option<Window>,
}

/// A measurement within a window that fulfils a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// `system:code`, such as `loinc:33914-3`, or a list of codes that mean the same analyte.
    #[serde(deserialize_with = "crate::feature::one_or_many")]
    pub lab: Vec<String>,
    /// The comparison.
    pub op: Comparison,
    /// The value, in `unit`.
    pub value: f64,
    /// The unit of the value, in UCUM.
    pub unit: String,
    /// When, in days from the entry; always, where not given.
    #[serde(default)]
    pub within: Option<Window>,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Less than.
    Lt,
    /// At most.
    Le,
    /// At least.
    Ge,
    /// More than.
    Gt,
}
