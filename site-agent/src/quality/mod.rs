//! Data quality: what gold is worth, checked where it lies.
//!
//! Each check counts bad rows, and bad patients, of all that it can judge; the rate beside the threshold gives the state. The report
//! is exact and stays at the site: `site-agent quality`.
//!
//! | state | when |
//! |---|---|
//! | pass | no bad row, or a rate up to half the threshold |
//! | warn | a rate up to the threshold; above it, where the check never fails |
//! | fail | a rate above the threshold |
//! | unknown | nothing to judge |

pub mod gate;
#[cfg(test)]
mod tests;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use schema::Table;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::session;
use crate::lake::{Lake, LakeError, data_error};
use study::quality::{Check, Class};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Pass,
    /// To be looked at.
    Warn,
    /// Not in order.
    Fail,
    /// Nothing to judge.
    Unknown,
}

impl State {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            State::Pass => "pass",
            State::Warn => "warn",
            State::Fail => "fail",
            State::Unknown => "unknown",
        }
    }
}

/// A check with what it found. Exact, and of this site alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub id: String,
    /// What it is about.
    pub class: Class,
    /// The table.
    pub table: String,
    /// What a bad row is.
    pub says: String,
    /// Rows that were judged.
    pub rows: u64,
    /// Bad ones.
    pub bad: u64,
    /// Patients with a row that was judged; none where rows are not patients'.
    pub patients: Option<u64>,
    /// Patients with a bad row.
    pub bad_patients: Option<u64>,
    /// Bad rows in per cent; none without a row.
    pub pct: Option<f64>,
    /// What is tolerated.
    pub threshold: f64,
    /// Whether the threshold is OHDSI's.
    pub ohdsi: bool,
    /// How it came out.
    pub state: State,
}

/// The quality of gold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of gold.
    pub gold_version: u64,
    /// The checks, in order.
    pub findings: Vec<Finding>,
    /// The worst state of any.
    pub state: State,
}

/// The state of a rate.
fn state(check: &Check, bad: u64, pct: Option<f64>) -> State {
    match pct {
        None => State::Unknown,
        Some(pct) if bad == 0 || pct <= check.threshold / 2.0 => State::Pass,
        Some(pct) if pct <= check.threshold || check.only_warns => State::Warn,
        Some(_) => State::Fail,
    }
}

/// The counts of a check: rows, bad rows, patients, bad patients.
async fn count(ctx: &SessionContext, check: &Check) -> Result<[u64; 4], LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error(&format!("the check {}", check.id), e);
    let patients = if check.of_patients {
        format!(", count(DISTINCT person_key), count(DISTINCT CASE WHEN {} THEN person_key END)", check.bad)
    } else {
        String::new()
    };
    let sql =
        format!("SELECT count(*), count(CASE WHEN {} THEN 1 END){patients} FROM {} AS r", check.bad, check.relation);
    let batches = ctx.sql(&sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    let mut out = [0; 4];
    if let Some(batch) = batches.iter().find(|b| b.num_rows() == 1) {
        for (slot, column) in out.iter_mut().zip(batch.columns()) {
            let counts = column.as_primitive_opt::<Int64Type>().ok_or_else(|| step(&"a count is no number"))?;
            *slot = if counts.is_valid(0) { u64::try_from(counts.value(0)).unwrap_or_default() } else { 0 };
        }
    }
    Ok(out)
}

/// Runs every check over gold.
///
/// # Errors
/// There is no gold, or a query fails.
pub async fn run(config: &Config, lake: &Lake) -> Result<Report, LakeError> {
    let step = |e: &dyn std::fmt::Display| data_error("checking gold", e);
    let gold = lake.gold()?.ok_or_else(|| step(&"there is no data yet; run site-agent ingest"))?;
    let ctx = session::context(&config.limits, &config.state_dir().join("lake/spill")).map_err(|e| step(&e))?;
    for table in Table::ALL {
        let files: Vec<_> = lake.gold_file(&gold, table).into_iter().collect();
        session::register(&ctx, table.name(), table, &files, true).await.map_err(|e| step(&e))?;
    }
    let mut findings = Vec::new();
    for check in study::quality::all() {
        let [rows, bad, patients, bad_patients] = count(&ctx, &check).await?;
        let pct = (rows > 0).then(|| 100.0 * bad as f64 / rows as f64);
        findings.push(Finding {
            state: state(&check, bad, pct),
            class: check.class,
            table: check.table.name().to_owned(),
            says: check.says,
            rows,
            bad,
            patients: check.of_patients.then_some(patients),
            bad_patients: check.of_patients.then_some(bad_patients),
            pct,
            threshold: check.threshold,
            ohdsi: check.ohdsi,
            id: check.id,
        });
    }
    let judged = findings.iter().map(|f| f.state).filter(|s| *s != State::Unknown).max();
    Ok(Report { gold_version: gold.version, state: judged.unwrap_or(State::Unknown), findings })
}
