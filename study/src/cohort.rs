//! Cohorts: who enters, when, who is kept, and when they leave. The language is OMOP's in small: an entry event, criteria around it, an exit.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::Study;

pub use crate::criterion::{
    AfterObservation, Age, AllOf, AnyOf, Comparison, Criterion, HasEvent, Lab, PriorObservation, Sex,
};

/// Days relative to the entry, both ends included.
pub type Window = [i32; 2];

/// Conditions on columns: each column must have one of the values.
pub type Where = BTreeMap<String, Vec<String>>;

/// A cohort: at most one row a patient. Who enters is said by exactly one of `entry`, `arms` and `sql`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The event that brings a patient in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Other cohorts, whose patients are all in. Whoever is in several is in the one that they entered first; who entered two on one
    /// day is in none. The feature of the kind `arm` tells them apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<String>,
    /// A query in SQL for `person_key` and `index_date`, that mixes no patients. The earliest date of a patient counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// All must hold.
    #[serde(default)]
    pub inclusion: Vec<Criterion>,
    /// None may hold.
    #[serde(default)]
    pub exclusion: Vec<Criterion>,
    /// When the patient leaves; bounds every window after the entry. Cohorts of `arms` keep their own exits as well.
    #[serde(default)]
    pub exit: Exit,
}

impl Cohort {
    /// Whether its patients have a day of entry; those of arms where the arms' of the study have.
    pub fn is_dated(&self, study: &Study) -> bool {
        let dated = |c: &Cohort| c.entry.as_ref().is_none_or(|e| e.table != schema::Table::Patient.name());
        self.arms.iter().filter_map(|a| study.cohorts.get(a)).all(dated) && dated(self)
    }

    /// What its steps are called: the entry, then each criterion.
    pub fn steps(&self) -> Vec<String> {
        let entry = match (&self.entry, self.arms.as_slice()) {
            (Some(entry), _) => entry.to_string(),
            (None, []) => "entry by SQL".to_owned(),
            (None, arms) => format!("entered {}", arms.join(" or ")),
        };
        let criteria = self.criteria().map(|(c, holds)| if holds { c.to_string() } else { format!("not: {c}") });
        std::iter::once(entry).chain(criteria).collect()
    }

    /// Its criteria in the order in which they are applied, each with whether it must hold.
    pub fn criteria(&self) -> impl Iterator<Item = (&Criterion, bool)> {
        self.inclusion.iter().map(|c| (c, true)).chain(self.exclusion.iter().map(|c| (c, false)))
    }
}

/// An event of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// A table of the common schema.
    pub table: String,
    /// A concept set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Conditions on columns.
    #[serde(default, rename = "where", skip_serializing_if = "Where::is_empty")]
    pub filter: Where,
}

/// The event that brings a patient in. `table = "patient"` takes everyone, and there is no entry date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// An event counts only if the patient had none like it in so many days before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub washout: Option<u32>,
    /// Events between these two days alone, `YYYY-MM-DD`, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<[String; 2]>,
    /// Of a window of hours: events from the first instant on and before the second, in microseconds since 1970. An event whose time of the
    /// day is not known is in none. Never written.
    #[serde(skip)]
    pub instants: Option<[i64; 2]>,
}

/// In a few words, for people.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self.occurrence {
            _ if self.table == schema::Table::Patient.name() => "every ".to_owned(),
            Occurrence::First => "first ".to_owned(),
            Occurrence::Last => "last ".to_owned(),
            Occurrence::Any => "any ".to_owned(),
            Occurrence::Nth(n) => format!("number {n} of "),
        };
        write!(f, "{which}{}", self.table.replace('_', " "))?;
        if let Some(set) = &self.set {
            write!(f, " {set}")?;
        }
        for (column, values) in &self.filter {
            write!(f, ", {column} {}", values.join(" or "))?;
        }
        if let Some(days) = self.washout {
            write!(f, ", none in {days} days before")?;
        }
        if let Some([from, to]) = &self.between {
            write!(f, ", {from} to {to}")?;
        }
        Ok(())
    }
}

/// Which event of a patient. Events on one day are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "Which")]
#[schemars(with = "Which")]
pub enum Occurrence {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// The first that fulfils the criteria, whichever it is.
    Any,
    /// The one of this number, from 1.
    Nth(u32),
}

/// How an occurrence is written: a word, or a number.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
enum Which {
    Word(Word),
    Number(#[schemars(range(min = 1))] u32),
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    First,
    Last,
    Any,
}

/// Read by hand, so that what is neither a word nor a number is told what would be.
impl<'de> Deserialize<'de> for Occurrence {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Occurrence, D::Error> {
        struct Reads;
        impl serde::de::Visitor<'_> for Reads {
            type Value = Occurrence;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"first\", \"last\", \"any\" or a number from 1")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Occurrence, E> {
                match word {
                    "first" => Ok(Occurrence::First),
                    "last" => Ok(Occurrence::Last),
                    "any" => Ok(Occurrence::Any),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Occurrence, E> {
                let number =
                    u32::try_from(n).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(n), &self))?;
                Ok(Occurrence::Nth(number))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Occurrence, E> {
                match u64::try_from(n) {
                    Ok(n) => self.visit_u64(n),
                    Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(n), &self)),
                }
            }
        }
        d.deserialize_any(Reads)
    }
}

impl From<Occurrence> for Which {
    fn from(occurrence: Occurrence) -> Which {
        match occurrence {
            Occurrence::First => Which::Word(Word::First),
            Occurrence::Last => Which::Word(Word::Last),
            Occurrence::Any => Which::Word(Word::Any),
            Occurrence::Nth(n) => Which::Number(n),
        }
    }
}

/// When a patient leaves: at the first of these. Without any, at the end of observation, which bounds a follow-up in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// So many days after the entry.
    #[serde(default)]
    pub days: Option<i32>,
    /// At the end of a study's time, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// At the first such event after the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// At the end of the exposure that holds at the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
}

impl Exit {
    /// What ends a patient's stay, in words.
    pub fn steps(&self) -> Vec<String> {
        let set = |s: &Option<String>| s.as_ref().map_or(String::new(), |s| format!(" of {s}"));
        let all = [
            self.days.map(|d| format!("day {d}")),
            self.date.clone(),
            self.event.as_ref().map(|e| format!("{}{}", e.table, set(&e.set))),
            self.exposure
                .as_ref()
                .map(|e| format!("the end of {} (gap {}, {} days after)", e.set, e.gap, e.surveillance)),
        ];
        all.into_iter().flatten().collect()
    }
}

/// A continuous exposure: drugs of a concept set, joined while at most `gap` days between one's last day and the next one's first are not covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// A concept set of drugs.
    pub set: String,
    /// Days between two that do not end it.
    #[serde(default = "gap")]
    pub gap: u32,
    /// Days after the last one that still count as exposed.
    #[serde(default)]
    pub surveillance: u32,
}

/// OMOP's usual persistence window.
fn gap() -> u32 {
    30
}
