//! What a study asks of a site's tables: cohorts and features as queries of one row a patient.
//!
//! ```text
//!   criteria (TOML) ──[`cohort`], [`feature`]──► SQL text ──┐
//!                                                            ├──► steps over gold, one table after the other ──► one row a patient
//!   SQL of a study ──[`patientwise`]──► checked plan ────────┘
//! ```
//!
//! * [`cohort`]: entry, criteria, exit; attrition.
//! * [`feature`]: one value a patient.
//! * `prevalence`: on which days of the calendar a patient is observed, and has had an event.
//! * [`patientwise`]: which SQL of a study's own is taken: none that mixes patients, and none that can fail because of a row.
//! * [`rows`]: conditions on rows, shared by the others.
//!
//! Names of tables and columns come from the schema, never from a study; every text of a study is a quoted literal, or is SQL that was
//! checked by itself. Each statement is grouped by or joined on `person_key`, so a patient's row depends on that patient's rows alone.

pub mod cohort;
pub mod feature;
pub mod patientwise;
mod prevalence;
pub mod rows;

use std::fmt::Write as _;

use patientwise::Own;
use study::Study;
use study::analysis::{Analysis, What};
use study::cohort::Event;

/// The table that holds the cohort so far: `person_key`, `index_date`, `exit_date` and `arm`, the last three of which may be empty.
pub const COHORT: &str = "cohort";

/// The table with each patient's year of entry.
pub const ENTRY: &str = "entry";

/// A step: a query whose result becomes a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A query of ours, which is run and its rows kept.
    Kept {
        /// The table.
        table: String,
        /// The query.
        sql: String,
    },
    /// A query of the study's own, to be checked by [`patientwise::plan`] and put in place as a view.
    Own {
        /// The view.
        table: String,
        /// The query.
        sql: String,
        /// What it is for.
        of: Own,
    },
}

impl Step {
    /// The table or view that it makes.
    pub fn table(&self) -> &str {
        match self {
            Step::Kept { table, .. } | Step::Own { table, .. } => table,
        }
    }

    /// Its query.
    pub fn sql(&self) -> &str {
        match self {
            Step::Kept { sql, .. } | Step::Own { sql, .. } => sql,
        }
    }
}

/// What an analysis asks of gold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    /// The steps to the cohort, in order.
    pub cohort: Vec<Step>,
    /// `person_key`, then a column a feature, one row a patient of the cohort.
    pub features: String,
}

impl Queries {
    /// All of it as one text, for people and as a key.
    pub fn text(&self) -> String {
        let mut all: Vec<String> = self.cohort.iter().map(|s| format!("{} := {}", s.table(), s.sql())).collect();
        all.push(self.features.clone());
        all.join(";\n")
    }
}

/// The queries of a cohort with some features, at the site of a name.
///
/// # Errors
/// The study speaks of what there is not; its check has said so before.
pub fn of(study: &Study, cohort: &str, features: &[String], site: &str) -> Result<Queries, String> {
    let definition = study.cohorts.get(cohort).ok_or_else(|| format!("there is no cohort '{cohort}'"))?;
    let mut steps = cohort::steps(study, definition)?;
    let mut with = Vec::new();
    let (mut select, mut joins) = (String::new(), String::new());
    for (i, name) in features.iter().enumerate() {
        let f = study.features.get(name).ok_or_else(|| format!("there is no feature '{name}'"))?;
        if let study::feature::Feature::Sql { sql, .. } = f {
            steps.push(Step::Own { table: feature::own(i), sql: sql.clone(), of: Own::Feature });
        }
        with.push(format!("f{i} AS ({})", feature::query(study, definition, (f, i), site)?));
        let _ = write!(select, ", f{i}.v AS v{i}");
        let _ = write!(joins, " LEFT JOIN f{i} ON f{i}.person_key = c.person_key");
    }
    let with = if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) };
    let features = format!("{with}SELECT c.person_key{select} FROM {COHORT} c{joins}");
    Ok(Queries { cohort: steps, features })
}

/// The queries of an analysis at the site of a name.
///
/// # Errors
/// As [`of`].
pub fn analysis(study: &Study, a: &Analysis, site: &str) -> Result<Queries, String> {
    if matches!(a.what, What::Attrition {}) {
        let definition = study.cohorts.get(&a.cohort).ok_or_else(|| format!("there is no cohort '{}'", a.cohort))?;
        return cohort::attrition(study, definition);
    }
    if let What::Prevalence { table, set, filter, calendar, lookback } = &a.what {
        let cohort = of(study, &a.cohort, &[], site)?.cohort;
        let event = Event { table: table.clone(), set: set.clone(), filter: filter.clone() };
        let features = prevalence::query(study, &event, calendar, *lookback)?;
        return Ok(Queries { cohort, features });
    }
    of(study, &a.cohort, &a.columns(), site)
}

/// The same rows, of the patients alone who entered in some years. Years up to `first` are one block.
pub fn entered(features: &str, first: u16, years: &[u16]) -> String {
    let years: Vec<String> = years.iter().map(u16::to_string).collect();
    format!(
        "SELECT f.* FROM ({features}) f JOIN {ENTRY} e ON e.person_key = f.person_key \
         WHERE greatest(e.entry_year, {first}) IN ({})",
        if years.is_empty() { "NULL".to_owned() } else { years.join(", ") }
    )
}
