//! What a checkpoint keeps beside keyed state: positions, watermark, names.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::backend::{StateError, TableChange};
use crate::batch::EventBatch;
use crate::history::History;
use crate::keyed::SharedBackend;
use crate::metrics::Measured;
use crate::source::Position;
use crate::watermark::Reached;

/// Where records stand: before all tables, which begin with 1.
pub(crate) const RECORDS: &[u8] = &[0, 1];

#[derive(Serialize, Deserialize, Default)]
struct Kept {
    #[serde(default)]
    made_of: String,
    positions: BTreeMap<String, Position>,
    reached: Reached,
    #[serde(default)]
    measured: Measured,
    #[serde(default)]
    history: History,
}

/// The records of a job.
#[derive(Default)]
pub(crate) struct Record {
    /// What the job's operators are.
    pub(crate) made_of: String,
    pub(crate) positions: BTreeMap<String, Position>,
    pub(crate) reached: Reached,
    /// The counters.
    pub(crate) measured: Measured,
    /// Which runs made the checkpoints so far.
    pub(crate) history: History,
    /// The groups of all sources, in the order in which they were first seen.
    groups: Vec<String>,
    of: HashMap<String, u32>,
    /// Each source's own names, and their groups.
    sources: BTreeMap<String, (Vec<String>, Vec<u32>)>,
    named: bool,
}

impl Record {
    pub(crate) fn read(backend: &SharedBackend) -> Result<Record, StateError> {
        let backend = backend.read().unwrap_or_else(PoisonError::into_inner);
        let (mut kept, mut groups, mut sources) = (None, None, None);
        backend.scan(RECORDS, &mut |key, value| {
            match key.strip_prefix(RECORDS) {
                Some(b"job") => kept = Some(value.to_vec()),
                Some(b"groups") => groups = Some(value.to_vec()),
                Some(b"sources") => sources = Some(value.to_vec()),
                _ => {}
            }
            true
        })?;
        let Kept { made_of, positions, reached, measured, history } = read(kept, "positions")?;
        let groups: Vec<String> = read(groups, "groups")?;
        let of = groups.iter().enumerate().map(|(i, name)| (name.clone(), i as u32)).collect();
        let sources = read(sources, "names of a source")?;
        Ok(Record { made_of, positions, reached, measured, history, groups, of, sources, named: false })
    }

    /// A source's own names, in order.
    pub(crate) fn names_of(&self, source: &str) -> &[String] {
        self.sources.get(source).map_or(&[], |(names, _)| names)
    }

    /// All groups.
    pub(crate) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Notes a batch's position and names, and gives its groups the numbers of the job.
    pub(crate) fn take(&mut self, source: &str, mut batch: EventBatch) -> EventBatch {
        if let Some(end) = batch.end.take() {
            self.positions.insert(source.to_owned(), end);
        }
        let (names, numbers) = self.sources.entry(source.to_owned()).or_default();
        for name in batch.names.drain(..) {
            let next = self.groups.len() as u32;
            let number = *self.of.entry(name.clone()).or_insert(next);
            if number == next {
                self.groups.push(name.clone());
            }
            names.push(name);
            numbers.push(number);
            self.named = true;
        }
        if numbers.iter().enumerate().any(|(i, n)| i as u32 != *n) {
            for group in &mut batch.group {
                *group = numbers.get(*group as usize).copied().unwrap_or(*group);
            }
        }
        batch
    }

    pub(crate) fn changes(&self, all: bool) -> Result<Vec<TableChange>, StateError> {
        let (made_of, positions, reached) = (self.made_of.clone(), self.positions.clone(), self.reached.clone());
        let (measured, history) = (self.measured.clone(), self.history.clone());
        let kept = Kept { made_of, positions, reached, measured, history };
        let mut changes = vec![put("job", &kept)?];
        if self.named || all {
            changes.push(put("groups", &self.groups)?);
            changes.push(put("sources", &self.sources)?);
        }
        Ok(changes)
    }

    pub(crate) fn kept(&mut self) {
        self.named = false;
    }
}

fn put<T: Serialize>(name: &str, value: &T) -> Result<TableChange, StateError> {
    let bytes = serde_json::to_vec(value).map_err(|_| StateError::Damaged { what: "record" })?;
    Ok(TableChange::Put([RECORDS, name.as_bytes()].concat(), bytes))
}

fn read<T: for<'a> Deserialize<'a> + Default>(bytes: Option<Vec<u8>>, what: &'static str) -> Result<T, StateError> {
    match bytes {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| StateError::Damaged { what }),
        None => Ok(T::default()),
    }
}

/// The watermark of a backend's last checkpoint, in microseconds, and the counters of the job until then; nothing before there was one.
///
/// # Errors
/// The state can't be read.
pub fn kept(backend: &SharedBackend) -> Result<Option<(i64, Measured)>, StateError> {
    let record = Record::read(backend)?;
    let watermark = record.reached.watermark();
    Ok((watermark > i64::MIN).then_some((watermark, record.measured)))
}
