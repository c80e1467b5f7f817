//! Features: one value a patient, from the patient's own rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cohort::{Event, Where, Window};

/// A feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Feature {
    /// Age at the entry, in calendar years; a number.
    Age {
        /// Public bounds.
        bounds: [f64; 2],
    },
    /// A category of the patient table, such as sex.
    Sex {
        /// The levels to tell apart, of F, M, O, U; the first is a model's reference.
        levels: Vec<String>,
    },
    /// A measurement.
    Measurement {
        /// `system:code`, or a list of codes that mean the same analyte.
        #[serde(deserialize_with = "one_or_many")]
        #[schemars(schema_with = "one_or_many_schema")]
        code: Vec<String>,
        /// The unit to work in, in UCUM.
        unit: String,
        /// Which of a patient's values.
        #[serde(default)]
        pick: Pick,
        /// Days from the entry; always, where not given.
        #[serde(default)]
        window: Option<Window>,
        /// Public bounds; makes the feature a number.
        #[serde(default)]
        bounds: Option<[f64; 2]>,
        /// Values that are levels; makes the feature a category.
        #[serde(default)]
        levels: Option<Vec<f64>>,
        /// A threshold; makes the feature `no` up to it and `yes` above it.
        #[serde(default)]
        above: Option<f64>,
        /// What becomes of a value that is known by a bound alone, such as `<5`. With `above`, one that lies on a side for sure
        /// always counts.
        #[serde(default, skip_serializing_if = "Bound::is_left_out")]
        bound: Bound,
    },
    /// Whether there is an event; levels `no` and `yes`.
    Has {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default)]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where")]
        filter: Where,
        /// Days from the entry; always, where not given.
        #[serde(default)]
        window: Option<Window>,
    },
    /// How many events, at most `max`; a number.
    Count {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default)]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where")]
        filter: Where,
        /// Days from the entry; always, where not given.
        #[serde(default)]
        window: Option<Window>,
        /// The most that count.
        max: u32,
    },
    /// Days from the entry to the first event after it, at most `horizon`; missing without one. A number.
    TimeTo {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default)]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where")]
        filter: Where,
        /// Days.
        horizon: u32,
    },
    /// Days from the first day at risk until the first event from it on, else until the end of the patient's observation, of the
    /// cohort's exit, of `horizon` or until `censor`, whichever comes first: the time of a survival analysis. A number; missing for
    /// who is not observed at entry or not on the first day at risk.
    FollowUp {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default)]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where")]
        filter: Where,
        /// The first day at risk, from the entry; times count from it.
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u32,
        /// Days at risk at most.
        horizon: u32,
        /// What ends the time at risk without the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        censor: Option<Event>,
        /// Who had the event in so many days before the first day at risk is not at risk, and the feature is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prior_lookback: Option<u32>,
    },
    /// Whether a follow-up of the same settings ends with its event; levels `no` and `yes`.
    FollowedBy {
        /// A table of the common schema.
        table: String,
        /// A concept set.
        #[serde(default)]
        set: Option<String>,
        /// Conditions on columns.
        #[serde(default, rename = "where")]
        filter: Where,
        /// The first day at risk, from the entry; times count from it.
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u32,
        /// Days at risk at most.
        horizon: u32,
        /// What ends the time at risk without the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        censor: Option<Event>,
        /// Who had the event in so many days before the first day at risk is not at risk, and the feature is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prior_lookback: Option<u32>,
    },
    /// As `follow_up`, of whichever of several events comes first: the time of an analysis of competing risks.
    TimeToFirst {
        /// The events, each with a name.
        events: Vec<Cause>,
        /// The first day at risk, from the entry; times count from it.
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u32,
        /// Days at risk at most.
        horizon: u32,
        /// What ends the time at risk without the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        censor: Option<Event>,
        /// Who had the event in so many days before the first day at risk is not at risk, and the feature is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prior_lookback: Option<u32>,
    },
    /// Which event ends a `time_to_first` of the same settings; levels `none` and the events' names. Of events on one day it is the
    /// first in the list.
    FirstOf {
        /// The events, each with a name.
        events: Vec<Cause>,
        /// The first day at risk, from the entry; times count from it.
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u32,
        /// Days at risk at most.
        horizon: u32,
        /// What ends the time at risk without the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        censor: Option<Event>,
        /// Who had the event in so many days before the first day at risk is not at risk, and the feature is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prior_lookback: Option<u32>,
    },
    /// In which of the cohorts of `arms` the patient is; a category whose levels are their names.
    Arm {
        /// Names of cohorts; the first is a model's reference.
        levels: Vec<String>,
    },
    /// The hospital; a category. Patients of hospitals that are not listed have none.
    Hospital {
        /// Sites by their names in the federation; the first is a model's reference.
        levels: Vec<String>,
    },
    /// A query in SQL for `person_key` and `value`, that mixes no patients. It may read the tables of the schema, and `cohort` with
    /// `person_key`, `index_date` and `exit_date`. Of several values of a patient the least counts.
    Sql {
        /// The query.
        sql: String,
        /// Public bounds; makes the feature a number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bounds: Option<[f64; 2]>,
        /// Texts that are levels; makes the feature a category.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        levels: Option<Vec<String>>,
    },
    /// The codes that a patient has, out of a public list.
    Codes {
        /// A table of the common schema.
        table: String,
        /// The list, `system:code`.
        list: Vec<String>,
        /// The most codes that a patient counts for; more are chosen from by a keyed hash.
        per_patient: u32,
        /// Days from the entry; always, where not given.
        #[serde(default)]
        window: Option<Window>,
    },
    /// The codes of one system that a patient has, whichever they are: for the analysis `top_codes`.
    OpenCodes {
        /// A table of the common schema.
        table: String,
        /// The code system, such as `icd10`.
        system: String,
        /// The most codes that a patient counts for; more are chosen from by a keyed hash.
        per_patient: u32,
        /// Days from the entry; always, where not given.
        #[serde(default)]
        window: Option<Window>,
    },
}

/// An event with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Its name in results.
    pub name: String,
    /// A table of the common schema.
    pub table: String,
    /// A concept set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Conditions on columns.
    #[serde(default, rename = "where", skip_serializing_if = "Where::is_empty")]
    pub filter: Where,
}

fn is_zero(days: &u32) -> bool {
    *days == 0
}

/// A text or a list of texts; the canonical form is the list.
pub(crate) fn one_or_many<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Texts::deserialize(d)? {
        Texts::One(one) => vec![one],
        Texts::Many(many) => many,
    })
}

/// The form of a text or a list of texts.
pub(crate) fn one_or_many_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
    })
}

/// What becomes of a measurement that is known by a bound alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It is no value.
    #[default]
    LeaveOut,
    /// The bound is the value.
    Bound,
    /// Half the bound is, of an upper one; of a lower one the bound.
    Half,
}

impl Bound {
    fn is_left_out(&self) -> bool {
        *self == Bound::LeaveOut
    }
}

/// Which of a patient's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// The first.
    First,
    /// The last.
    #[default]
    Last,
    /// The mean.
    Mean,
    /// The least.
    Min,
    /// The largest.
    Max,
}

/// What a feature is to a statistic.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A number within public bounds.
    Real {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// A category.
    Level {
        /// Labels.
        levels: Vec<String>,
    },
    /// A set of codes.
    Codes {
        /// Labels.
        codes: Vec<String>,
        /// The most a patient counts for.
        per_patient: u32,
    },
    /// A set of codes that no list names.
    Keys {
        /// The most a patient counts for.
        per_patient: u32,
    },
}

impl Feature {
    /// What the feature is to a statistic; `None` where a measurement says neither bounds, levels nor a threshold, or more
    /// than one of them.
    pub fn shape(&self) -> Option<Shape> {
        let yes_no = || Shape::Level { levels: vec!["no".into(), "yes".into()] };
        Some(match self {
            Feature::Age { bounds: [lower, upper] } => Shape::Real { lower: *lower, upper: *upper },
            Feature::Sex { levels } => Shape::Level { levels: levels.clone() },
            Feature::Measurement { bounds, levels, above, .. } => match (bounds, levels, above) {
                (Some([lower, upper]), None, None) => Shape::Real { lower: *lower, upper: *upper },
                (None, Some(levels), None) => Shape::Level { levels: levels.iter().map(f64::to_string).collect() },
                (None, None, Some(_)) => yes_no(),
                _ => return None,
            },
            Feature::Has { .. } => yes_no(),
            Feature::Count { max, .. } => Shape::Real { lower: 0.0, upper: f64::from(*max) },
            Feature::FollowedBy { .. } => yes_no(),
            Feature::TimeTo { horizon, .. }
            | Feature::FollowUp { horizon, .. }
            | Feature::TimeToFirst { horizon, .. } => Shape::Real { lower: 0.0, upper: f64::from(*horizon) },
            Feature::FirstOf { events, .. } => Shape::Level {
                levels: std::iter::once("none".to_owned()).chain(events.iter().map(|e| e.name.clone())).collect(),
            },
            Feature::Arm { levels } | Feature::Hospital { levels } => Shape::Level { levels: levels.clone() },
            Feature::Sql { bounds, levels, .. } => match (bounds, levels) {
                (Some([lower, upper]), None) => Shape::Real { lower: *lower, upper: *upper },
                (None, Some(levels)) => Shape::Level { levels: levels.clone() },
                _ => return None,
            },
            Feature::OpenCodes { per_patient, .. } => Shape::Keys { per_patient: *per_patient },
            Feature::Codes { list, per_patient, .. } => Shape::Codes { codes: list.clone(), per_patient: *per_patient },
        })
    }
}
