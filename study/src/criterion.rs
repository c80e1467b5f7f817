//! Criteria of a cohort: what must hold of a patient around the entry.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cohort::{Where, Window};

/// One criterion. Exactly one of its forms is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Criterion {
    /// By age.
    Age(Age),
    /// By sex.
    Sex(Sex),
    /// By the time that a person was known before.
    PriorObservation(PriorObservation),
    /// By the time that a person is known after.
    AfterObservation(AfterObservation),
    /// An event of a table within a window.
    Has(HasEvent),
    /// A measurement within a window that fulfils a comparison; any one does.
    Lab(Lab),
    /// At least one of several criteria.
    AnyOf(AnyOf),
    /// Each of several criteria.
    AllOf(AllOf),
}

/// Age at the entry (calendar years: entry year less birth year), both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Age {
    /// Youngest and oldest.
    pub age: [i64; 2],
}

/// Sex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sex {
    /// One of these.
    pub sex: Vec<String>,
}

/// Known to the hospital for so many days before the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriorObservation {
    /// Days.
    pub prior_obs_days: i32,
}

/// Known to the hospital for so many days after the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AfterObservation {
    /// Days.
    pub after_obs_days: i32,
}

/// At least one of several criteria.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnyOf {
    /// They.
    pub any_of: Vec<Criterion>,
}

/// Each of several criteria.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllOf {
    /// They.
    pub all_of: Vec<Criterion>,
}

/// Events of a table within a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// On how many different days at least; one, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
}

/// A measurement within a window that fulfils a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// `system:code`, such as `loinc:33914-3`, or a list of codes that mean the same analyte.
    #[serde(deserialize_with = "crate::feature::one_or_many")]
    #[schemars(schema_with = "crate::feature::one_or_many_schema")]
    pub lab: Vec<String>,
    /// The comparison.
    pub op: Comparison,
    /// The value, in `unit`; with `between` the lower one.
    pub value: f64,
    /// With `between`, the upper value; both are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// The unit of the value, in UCUM.
    pub unit: String,
    /// When, in days from the entry; always, where not given.
    #[serde(default)]
    pub within: Option<Window>,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// From `value` to `upper`.
    Between,
}

/// In a few words, for people.
impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |f: &mut fmt::Formatter<'_>, window: &Option<Window>| match window {
            Some([from, to]) => write!(f, ", days {from} to {to}"),
            None => Ok(()),
        };
        let joined = |list: &[Criterion], word: &str| {
            let texts: Vec<String> = list.iter().map(|c| format!("({c})")).collect();
            texts.join(word)
        };
        match self {
            Criterion::Age(Age { age: [low, high] }) => write!(f, "age {low} to {high}"),
            Criterion::Sex(Sex { sex }) => write!(f, "sex {}", sex.join(" or ")),
            Criterion::PriorObservation(p) => write!(f, "known for {} days before", p.prior_obs_days),
            Criterion::AfterObservation(a) => write!(f, "known for {} days after", a.after_obs_days),
            Criterion::Has(h) => {
                write!(f, "{}", h.has.replace('_', " "))?;
                if let Some(set) = &h.set {
                    write!(f, " {set}")?;
                }
                for (column, values) in &h.filter {
                    write!(f, ", {column} {}", values.join(" or "))?;
                }
                if let Some(n) = h.at_least.filter(|n| *n > 1) {
                    write!(f, " on {n} days or more")?;
                }
                within(f, &h.within)
            }
            Criterion::Lab(l) => {
                let sign = match l.op {
                    Comparison::Lt => "<",
                    Comparison::Le => "≤",
                    Comparison::Ge | Comparison::Between => "≥",
                    Comparison::Gt => ">",
                };
                write!(f, "{} {sign} {}", l.lab.join(" or "), l.value)?;
                if let Some(upper) = l.upper {
                    write!(f, " and ≤ {upper}")?;
                }
                write!(f, " {}", l.unit)?;
                within(f, &l.within)
            }
            Criterion::AnyOf(a) => write!(f, "{}", joined(&a.any_of, " or ")),
            Criterion::AllOf(a) => write!(f, "{}", joined(&a.all_of, " and ")),
        }
    }
}
