//! What a study found, and the files that an analyst gets: the same rows as JSON, CSV and Parquet, where they come from,
//! and a report to read.
//!
//! * `tables`: the flat table, as CSV and Parquet. `cohort_method`: the same in OHDSI's tables.
//! * `provenance`: which plan, sites, rounds and releases the numbers come from.
//! * `between`: the hospitals' own estimates, together.
//! * `report`, `analyses`, `style`: the page.
//! * `figures`, `plot`, `attrition`: its drawings. `table1`, `strobe`: Table 1 and the checklist.
//! * `text`: numbers and escaping, in one place.

mod analyses;
mod attrition;
pub mod between;
mod cohort_method;
mod curves;
mod figures;
mod plot;
mod provenance;
mod report;
mod strobe;
mod style;
mod subgroups;
mod table1;
mod tables;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

pub use provenance::{Provenance, ReleaseProvenance, RoundProvenance, SiteProvenance};

/// What a study found, as the coordinator stores it and the analyst fetches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The study's id.
    pub study: String,
    /// Its version.
    pub version: String,
    /// What it is about.
    pub title: String,
    /// One an analysis, in the order of the plan.
    pub analyses: Vec<AnalysisResult>,
    /// Whether noise was off: then the numbers are not private.
    pub simulation: bool,
}

/// What one analysis found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalysisResult {
    /// Its name.
    pub name: String,
    /// Its kind, such as `table1`.
    pub kind: String,
    /// The cohort it is about.
    pub cohort: String,
    /// Rounds run.
    pub rounds: u32,
    /// Sites in the last round.
    pub sites: u32,
    /// What it cost at each site.
    #[serde(deserialize_with = "unbounded")]
    pub rho: f64,
    /// The same as ε, of this analysis alone at the study's δ.
    #[serde(deserialize_with = "unbounded")]
    pub epsilon: f64,
    /// Its rows and curves.
    pub estimate: summaries::Estimate,
    /// Each hospital's own estimate, where the study asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hospitals: Vec<Hospital>,
    /// What these say together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meta: Vec<summaries::Row>,
    /// The parameters of a trained model, as [`crate::model::encode`] writes them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
    /// Why it has no result, where it failed.
    pub failed: Option<String>,
}

/// What one hospital's own release says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hospital {
    /// The site.
    pub site: String,
    /// Its rows.
    pub rows: Vec<summaries::Row>,
}

/// Results that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file could not be written.
    #[error("{path} can't be written: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A trained model could not be put in a file.
    #[error("{0}")]
    Model(#[from] crate::model::ModelError),
    /// No JSON.
    #[error("the results can't be put as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// No table.
    #[error("the results can't be put in a table: {0}")]
    Table(#[from] arrow::error::ArrowError),
    /// No Parquet.
    #[error("the results can't be put as Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// JSON has no infinity. It is written as null, and null reads back as infinity.
fn unbounded<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::INFINITY))
}

impl Results {
    /// The same, fit to store: suppressed rows hold no number, and no number is infinite or undefined.
    #[must_use]
    pub fn clean(&self) -> Results {
        let mut out = self.clone();
        for analysis in &mut out.analyses {
            let hospitals = analysis.hospitals.iter_mut().flat_map(|h| &mut h.rows);
            for row in analysis.estimate.rows.iter_mut().chain(&mut analysis.meta).chain(hospitals) {
                let shown = !row.suppressed;
                for value in [
                    &mut row.estimate,
                    &mut row.lower,
                    &mut row.upper,
                    &mut row.se,
                    &mut row.sampling_se,
                    &mut row.dp_se,
                ] {
                    *value = value.filter(|v| shown && v.is_finite());
                }
            }
            for curve in &mut analysis.estimate.curves {
                curve.points.retain(|p| p.iter().all(|v| v.is_finite()));
            }
        }
        out
    }
}

/// Writes `estimates.json`, `estimates.csv`, `estimates.parquet`, `provenance.json` and `report.html` into a folder, and into its
/// folder `cohort_method` OHDSI's tables, as CSV and Parquet; trained models, each with its card, into `models`.
/// Returns the paths.
///
/// # Errors
/// A file can't be written.
pub fn write(
    dir: &Path,
    results: &Results,
    provenance: &Provenance,
    plan: &study::Plan,
) -> Result<Vec<PathBuf>, ResultsError> {
    let results = &results.clean();
    let rows = tables::flat(results, provenance);
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("estimates.json", json(results)?),
        ("estimates.csv", tables::csv(&rows).into_bytes()),
        ("estimates.parquet", tables::parquet(&rows)?),
        ("provenance.json", json(provenance)?),
        ("report.html", report::html(results, provenance, plan).into_bytes()),
    ]
    .into_iter()
    .map(|(name, bytes): (&str, Vec<u8>)| (name.to_owned(), bytes))
    .collect();
    for table in cohort_method::tables(results, provenance, plan) {
        files.push((format!("cohort_method/{}.csv", table.name), table.csv().into_bytes()));
        files.push((format!("cohort_method/{}.parquet", table.name), table.parquet()?));
    }
    for model in crate::model::of_results(plan, results, provenance)? {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let name: String = model.origin.analysis.chars().map(plain).collect();
        files.push((format!("models/{name}.safetensors"), crate::model::safetensors::write(&model)?));
        files.push((format!("models/{name}.md"), crate::model::card::text(&model).into_bytes()));
    }
    let mut paths = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = dir.join(&name);
        platform::files::write_atomic(&path, &bytes)
            .map_err(|source| ResultsError::File { path: path.clone(), source })?;
        paths.push(path);
    }
    Ok(paths)
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ResultsError> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
