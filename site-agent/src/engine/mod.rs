//! The engine: cohorts and features over gold, one row a patient, by DataFusion.
//!
//! * [`session`]: DataFusion with the site's limits. `readable`: gold without whoever may not be read.
//! * `query` (a room of its own): criteria and features as queries; every statement keeps the patient's key, so a patient's row depends
//!   on that patient's rows alone.
//! * [`tags`]: the linkage tags of a cohort, for counting distinct patients.
//! * [`bound`]: which codes of a patient count, where there are more than the bound.

pub mod bound;
mod holdout;
mod readable;
pub mod session;
pub mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use platform::Clock;
use proto::Hash;
use study::Study;
use study::feature::Shape;
use summaries::top_codes::Key;
use summaries::top_codes::key::key;
use summaries::{Column, MISSING, PatientBatch};

use crate::config::Config;
use crate::lake::{Lake, LakeError};
use readable::Readable;

/// Why a cohort could not be built. Texts are about the plan and the machine, never about a row.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no data.
    #[error("the site has no data yet; run site-agent ingest")]
    NoData,
    /// The plan asks for what is not there.
    #[error("the analysis can't be built: {0}")]
    Plan(String),
    /// There is no linkage key, or the tags are of another.
    #[error("{0}")]
    Linkage(&'static str),
    /// The data are of another schema than the study asks for.
    #[error("{0}")]
    Schema(String),
    /// Whose data may be read can't be said.
    #[error("{0}")]
    Consent(String),
    /// The query failed. DataFusion's text may hold values, so it stays in the site's own log.
    #[error("the query failed; the site's log says more")]
    Query(String),
    /// The lake failed.
    #[error("the lake can't be read; the site's log says more")]
    Lake(#[from] LakeError),
}

impl From<datafusion::error::DataFusionError> for EngineError {
    fn from(e: datafusion::error::DataFusionError) -> EngineError {
        EngineError::Query(e.to_string())
    }
}

/// Who a patient is, within the site: the person's pseudonym.
pub type Person = schema::Key;

/// Whom each of those that are merged stays as.
pub type Merged = BTreeMap<Person, Person>;

/// The plan, the query, and the version of what may be read.
type CacheKey = (Hash, String, u64);

/// The patients of an analysis, one row each.
pub struct Patients {
    /// Their features.
    pub batch: Arc<PatientBatch>,
    /// Who they are, in the order of the rows. It stays here.
    pub persons: Vec<Person>,
    /// Who was merged into whom, by the persons' keys, in the version of gold that they are of.
    pub merged: Merged,
}

/// The engine of a site.
pub struct Engine {
    /// The last analyses' batches: rounds of one analysis read the same patients.
    cache: Mutex<BTreeMap<CacheKey, Arc<Patients>>>,
    /// Which day it is: a consent has its days.
    clock: Arc<dyn Clock>,
}

impl Engine {
    /// An engine with nothing in memory.
    pub fn new(clock: Arc<dyn Clock>) -> Engine {
        Engine { cache: Mutex::new(BTreeMap::new()), clock }
    }

    /// A session over what a study may read, with no cohort in it; and the version of that.
    ///
    /// # Errors
    /// There is no data, or a table can't be opened.
    pub(crate) async fn readable(
        &self,
        config: &Config,
        lake: &Lake,
        study: &Study,
    ) -> Result<(datafusion::prelude::SessionContext, u64), EngineError> {
        let readable = Readable::open(config, lake, study, self.clock.now())?;
        Ok((readable.cohort(&[]).await?, readable.version()))
    }

    /// How many of those who are listed as having objected or consented, for the purpose of a study, the lake knows nobody by. For the
    /// site's own people alone.
    ///
    /// # Errors
    /// There is no data, or a list can't be read.
    pub async fn unknown(&self, config: &Config, lake: &Lake, study: &Study) -> Result<usize, EngineError> {
        Readable::open(config, lake, study, self.clock.now())?.unknown().await
    }

    /// Forgets every batch.
    pub fn forget(&self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The patients of an analysis who entered in the years of some blocks, with its features, one row each, from gold as it is
    /// now, without whoever may not be read; and the version of that. Analyses of one plan with the same cohort and features share
    /// them.
    ///
    /// # Errors
    /// There is no data, or the query fails.
    pub async fn patients(
        &self,
        config: &Config,
        lake: &Lake,
        study: &Study,
        hash: Hash,
        analysis: u32,
        blocks: &[privacy::Block],
    ) -> Result<(Arc<Patients>, u64), EngineError> {
        let readable = Readable::open(config, lake, study, self.clock.now())?;
        let a = study
            .analysis
            .get(analysis as usize)
            .ok_or_else(|| EngineError::Plan("the plan has no such analysis".into()))?;
        let shapes = study::compile::columns(study, a);
        let mut shapes = shapes.ok_or_else(|| EngineError::Plan("a feature has no shape".to_owned()))?;
        let held_out = a.what.holdout();
        // The last column is the site's own.
        shapes.truncate(shapes.len() - usize::from(held_out.is_some()));
        let queries = query::analysis(study, a, config.id.as_str()).map_err(EngineError::Plan)?;
        let features = query::entered(&queries.features, config.budget.first_block, blocks);
        let version = readable.version();
        let of_holdout = held_out.map(|share| format!("\nholdout {share:?}")).unwrap_or_default();
        let key = (hash, queries.text() + &features + &of_holdout, version);
        let held = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(patients) = held {
            return Ok((patients, version));
        }
        let ctx = readable.cohort(&queries.cohort).await?;
        let batches = ctx.sql(&features).await?.collect().await?;
        let secret = config.state_dir().join("pseudonym.key");
        let salt = bound::salt(&secret, hash).ok_or(EngineError::NoData)?;
        let mut batch = to_batch(&shapes, &batches, &salt)?;
        let persons = persons(&batches);
        if let Some(share) = held_out {
            let own = holdout::key(&secret).ok_or(EngineError::NoData)?;
            let groups = persons.iter().map(|p| holdout::group(&own, p.as_ref(), share)).collect();
            batch = batch.with(Column::Level(groups)).map_err(|e| EngineError::Query(e.to_string()))?;
        }
        let merged = readable.merged().await?;
        let patients = Arc::new(Patients { persons, batch: Arc::new(batch), merged });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(h, _, _), _| *h == hash);
        if cache.len() >= 8 {
            cache.clear();
        }
        cache.insert(key, patients.clone());
        Ok((patients, version))
    }
}

impl Engine {
    /// The patients of a cohort with some features, one row each, whatever years they entered in: for the site itself. With a share, a last column says who is held out.
    ///
    /// # Errors
    /// There is no data, or the query fails.
    pub(crate) async fn for_itself(
        &self,
        config: &Config,
        lake: &Lake,
        study: &Study,
        (cohort, features): (&str, &[String]),
        held_out: Option<[f64; 2]>,
    ) -> Result<Patients, EngineError> {
        let readable = Readable::open(config, lake, study, self.clock.now())?;
        let shapes = features.iter().map(|f| study::compile::shape(study, f)).collect::<Option<Vec<_>>>();
        let shapes = shapes.ok_or_else(|| EngineError::Plan("a feature has no shape".to_owned()))?;
        let queries = query::of(study, cohort, features, config.id.as_str()).map_err(EngineError::Plan)?;
        let ctx = readable.cohort(&queries.cohort).await?;
        let batches = ctx.sql(&queries.features).await?.collect().await?;
        let secret = config.state_dir().join("pseudonym.key");
        // Models read no sets of codes, so that none is chosen among.
        let mut batch = to_batch(&shapes, &batches, &[0; 32])?;
        let persons = persons(&batches);
        if let Some(share) = held_out {
            let own = holdout::key(&secret).ok_or(EngineError::NoData)?;
            let groups = persons.iter().map(|p| holdout::group(&own, p.as_ref(), share)).collect();
            batch = batch.with(Column::Level(groups)).map_err(|e| EngineError::Query(e.to_string()))?;
        }
        let merged = readable.merged().await?;
        Ok(Patients { batch: Arc::new(batch), persons, merged })
    }
}

/// The keys of the patients: column 0.
fn persons(batches: &[RecordBatch]) -> Vec<Person> {
    let keys = batches.iter().filter_map(|b| b.column(0).as_fixed_size_binary_opt());
    keys.flat_map(|keys| keys.iter().map(|key| key.and_then(|k| k.try_into().ok()).unwrap_or_default())).collect()
}

fn to_batch(shapes: &[Shape], batches: &[RecordBatch], salt: &[u8; 32]) -> Result<PatientBatch, EngineError> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut columns = Vec::with_capacity(shapes.len());
    for (i, shape) in shapes.iter().enumerate() {
        let mut column = match shape {
            Shape::Real { .. } => Column::Real(Vec::with_capacity(rows)),
            Shape::Level { .. } => Column::Level(Vec::with_capacity(rows)),
            Shape::Keys { .. } => Column::Keys { offsets: vec![0], keys: Vec::new() },
            Shape::Codes { .. } => Column::Codes { offsets: vec![0], codes: Vec::new() },
        };
        for batch in batches {
            // Column 0 is the patient's key.
            let array = batch.column(i + 1);
            match (&mut column, shape) {
                (Column::Real(out), _) => {
                    let values = arrow::compute::cast(array, &DataType::Float64)
                        .map_err(|e| EngineError::Query(e.to_string()))?;
                    let values = values.as_primitive::<Float64Type>();
                    out.extend((0..values.len()).map(|r| if values.is_null(r) { f64::NAN } else { values.value(r) }));
                }
                (Column::Level(out), Shape::Level { levels }) => {
                    let values =
                        arrow::compute::cast(array, &DataType::Int64).map_err(|e| EngineError::Query(e.to_string()))?;
                    let values = values.as_primitive::<Int64Type>();
                    out.extend((0..values.len()).map(|r| match u32::try_from(values.value(r)) {
                        Ok(l) if !values.is_null(r) && (l as usize) < levels.len() => l,
                        _ => MISSING,
                    }));
                }
                (Column::Codes { offsets, codes }, Shape::Codes { per_patient, .. }) => {
                    let keys = batch.column(0).as_fixed_size_binary();
                    let lists = array.as_list_opt::<i32>();
                    for r in 0..array.len() {
                        if let Some(lists) = lists.filter(|l| !l.is_null(r)) {
                            let own = arrow::compute::cast(&lists.value(r), &DataType::Int64)
                                .map_err(|e| EngineError::Query(e.to_string()))?;
                            let own: Vec<u32> =
                                own.as_primitive::<Int64Type>().iter().filter_map(|v| u32::try_from(v?).ok()).collect();
                            codes.extend(bound::choose(salt, keys.value(r), &own, *per_patient as usize));
                        }
                        offsets.push(codes.len() as u32);
                    }
                }
                (Column::Keys { offsets, keys }, Shape::Keys { per_patient }) => {
                    let people = batch.column(0).as_fixed_size_binary();
                    let lists = array.as_list_opt::<i32>();
                    for r in 0..array.len() {
                        if let Some(lists) = lists.filter(|l| !l.is_null(r)) {
                            let own = arrow::compute::cast(&lists.value(r), &DataType::Utf8)
                                .map_err(|e| EngineError::Query(e.to_string()))?;
                            let own: Vec<Key> = own.as_string::<i32>().iter().flatten().map(key).collect();
                            keys.extend(bound::choose(salt, people.value(r), &own, *per_patient as usize));
                        }
                        offsets.push(keys.len() as u32);
                    }
                }
                _ => return Err(EngineError::Plan("a feature changed its shape".to_owned())),
            }
        }
        columns.push(column);
    }
    PatientBatch::new(rows, columns).map_err(|e| EngineError::Query(e.to_string()))
}
