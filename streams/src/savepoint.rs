//! Savepoints: all state of a job in one file, the same bytes from either backend, for another machine, another backend,
//! another number of shards, or a later version.
//!
//! ```text
//!   INSITUSP │ header: length, JSON │ entries in the order of keys: length, key, length, value │ CRC-32 of all before
//! ```

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::PoisonError;

use platform::files::sync_folder;
use serde::{Deserialize, Serialize};

use crate::backend::TableChange;
use crate::job::{RECORDS, Record};
use crate::keyed::{SharedBackend, TableSpec};
use crate::keys::KEY_GROUPS;

const MAGIC: &[u8; 8] = b"INSITUSP";
const VERSION: u32 = 1;
/// Longer keys and values are not written by this version, so a longer one is damage.
const LONGEST: u32 = 1 << 28;

/// A savepoint that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SavepointError {
    /// The state failed.
    #[error(transparent)]
    State(#[from] crate::backend::StateError),
    /// The file can't be read or written.
    #[error("the savepoint {path} can't be used: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It holds a table in a form that this job can't read.
    #[error("the savepoint's table '{table}' can't be restored: {reason}")]
    Table {
        /// Which table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// What a savepoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the file's form.
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// What the job's operators were.
    #[serde(default)]
    pub made_of: String,
    /// The checkpoint it was made from.
    pub checkpoint: u64,
    /// The watermark, in microseconds; nothing before there was one.
    pub watermark: Option<i64>,
    /// How many key groups there are.
    pub key_groups: u16,
    /// Its tables.
    pub tables: Vec<Table>,
    /// How many entries.
    pub entries: u64,
}

/// A table of a savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its number.
    pub table: u8,
    /// What it holds.
    pub name: String,
    /// The form of its values.
    pub kind: String,
    /// The version of the form.
    pub version: u16,
    /// How many values.
    pub values: u64,
}

/// A file that its owner alone reads: it holds what patients' rows left in the state.
fn private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes the state of the last checkpoint. The file appears whole or not at all.
///
/// # Errors
/// The state can't be read, or the file not written.
pub fn create(job: &str, backend: &SharedBackend, tables: &[TableSpec], to: &Path) -> Result<Header, SavepointError> {
    let record = Record::read(backend)?;
    let backend = backend.read().unwrap_or_else(PoisonError::into_inner);
    let mut counts = vec![0u64; 256];
    let mut entries = 0;
    backend.scan(&[], &mut |key, _| {
        let is_table = key.first().is_some_and(|t| *t > 0);
        entries += u64::from(is_table || key.starts_with(RECORDS));
        counts[usize::from(key.first().copied().unwrap_or_default())] += 1;
        true
    })?;
    let table = |t: &TableSpec| Table {
        table: t.table,
        name: t.name.clone(),
        kind: t.kind.to_owned(),
        version: t.version,
        values: counts.get(usize::from(t.table)).copied().unwrap_or_default(),
    };
    let watermark = record.reached.watermark();
    let header = Header {
        version: VERSION,
        job: job.to_owned(),
        made_of: record.made_of.clone(),
        checkpoint: backend.number(),
        watermark: (watermark > i64::MIN).then_some(watermark),
        key_groups: KEY_GROUPS,
        tables: tables.iter().map(table).collect(),
        entries,
    };
    let failed = |e: &dyn std::fmt::Display| file(to, e);
    let temporary = to.with_extension("writing");
    let mut out =
        Summed { to: BufWriter::new(private(&temporary).map_err(|e| failed(&e))?), sum: crc32fast::Hasher::new() };
    let head = serde_json::to_vec(&header).map_err(|e| failed(&e))?;
    let mut result = out.put(MAGIC).and_then(|()| out.part(&head));
    backend.scan(&[], &mut |key, value| {
        if key.first().is_some_and(|t| *t > 0) || key.starts_with(RECORDS) {
            result = out.part(key).and_then(|()| out.part(value));
        }
        result.is_ok()
    })?;
    let sum = out.sum.clone().finalize();
    let written = result.and_then(|()| out.to.write_all(&sum.to_le_bytes())).and_then(|()| {
        let file = out.to.into_inner().map_err(|e| e.into_error())?;
        file.sync_all()?;
        fs::rename(&temporary, to)?;
        sync_folder(to.parent().unwrap_or(Path::new(".")))
    });
    written.map_err(|e| failed(&e))?;
    Ok(header)
}

/// Reads what a savepoint says of itself, and checks that all of it is as it was written.
///
/// # Errors
/// The file can't be read, is damaged, or of a later version.
pub fn inspect(from: &Path) -> Result<Header, SavepointError> {
    read(from, &mut |_, _| Ok(()))
}

/// Puts a savepoint's state into a backend, as the checkpoint it was made from, in place of all that it had. Answers of later
/// checkpoints are taken back when the job goes on. Tables of an older version
/// are migrated; a table that the job does not have, or of another kind, is refused, and nothing is changed.
///
/// # Errors
/// The file can't be read, a table can't be restored, or the state failed.
pub fn restore(
    from: &Path,
    (made_of, tables): (&str, &[TableSpec]),
    backend: &SharedBackend,
) -> Result<Header, SavepointError> {
    let header = inspect(from)?;
    if header.made_of != made_of {
        let reason = format!("it is of a job made of {}, and this one is made of {made_of}", header.made_of);
        return Err(file(from, &reason));
    }
    for held in &header.tables {
        let refused = |reason: String| SavepointError::Table { table: held.name.clone(), reason };
        let spec = tables.iter().find(|t| t.table == held.table);
        let spec = spec.ok_or_else(|| {
            refused("the job has no such table; restore it with the settings it was made with".to_owned())
        })?;
        if spec.kind != held.kind || spec.name != held.name {
            let (ours, theirs) = ((&spec.name, spec.kind), (&held.name, &held.kind));
            return Err(refused(format!(
                "it holds {theirs:?} and the job has {ours:?} in its place; operators are known by their place"
            )));
        }
        if held.version > spec.version {
            let (theirs, ours) = (held.version, spec.version);
            return Err(refused(format!(
                "its form {theirs} is newer than this program's {ours}; use the program that made it, or a later one"
            )));
        }
    }
    if header.key_groups != KEY_GROUPS {
        let reason = format!("it has {} key groups and not {KEY_GROUPS}", header.key_groups);
        return Err(file(from, &reason));
    }
    let mut changes = Vec::new();
    read(from, &mut |key, value| {
        let table = key.first().copied().unwrap_or_default();
        let held = header.tables.iter().find(|t| t.table == table);
        let value = match (held, tables.iter().find(|t| t.table == table)) {
            (Some(held), Some(spec)) => (held.version..spec.version).try_fold(value.to_vec(), |value, version| {
                (spec.migrate)(version, &value)
                    .map_err(|reason| SavepointError::Table { table: held.name.clone(), reason })
            })?,
            _ => value.to_vec(),
        };
        changes.push(TableChange::Put(key.to_vec(), value));
        Ok(())
    })?;
    backend.write().unwrap_or_else(PoisonError::into_inner).reset(header.checkpoint, &changes)?;
    Ok(header)
}

type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), SavepointError>;

fn read(from: &Path, each: Each<'_>) -> Result<Header, SavepointError> {
    let failed = |e: &dyn std::fmt::Display| file(from, e);
    let damaged = || failed(&"it is damaged or cut off; use another copy");
    let source = BufReader::new(fs::File::open(from).map_err(|e| failed(&e))?);
    let mut source = Checked { from: source, sum: crc32fast::Hasher::new() };
    let mut magic = [0; 8];
    source.take(&mut magic).map_err(|_| damaged())?;
    if &magic != MAGIC {
        return Err(failed(&"it is no savepoint"));
    }
    let head = source.part().map_err(|_| damaged())?;
    let version = serde_json::from_slice::<serde_json::Value>(&head).ok().and_then(|v| v.get("version")?.as_u64());
    if version.is_some_and(|v| v > u64::from(VERSION)) {
        return Err(failed(&"it was made by a later version of this program; use that one"));
    }
    let header: Header = serde_json::from_slice(&head).map_err(|_| damaged())?;
    for _ in 0..header.entries {
        let (key, value) = (source.part().map_err(|_| damaged())?, source.part().map_err(|_| damaged())?);
        each(&key, &value)?;
    }
    let sum = source.sum.clone().finalize();
    let mut written = [0; 4];
    source.from.read_exact(&mut written).map_err(|_| damaged())?;
    let over = source.from.fill_buf().map_err(|_| damaged())?.is_empty();
    if u32::from_le_bytes(written) != sum || !over {
        return Err(damaged());
    }
    Ok(header)
}

fn file(path: &Path, reason: &dyn std::fmt::Display) -> SavepointError {
    SavepointError::File { path: path.display().to_string(), reason: reason.to_string() }
}

struct Summed<W> {
    to: W,
    sum: crc32fast::Hasher,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes)
    }

    fn part(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.put(&(bytes.len() as u32).to_le_bytes())?;
        self.put(bytes)
    }
}

struct Checked<R> {
    from: R,
    sum: crc32fast::Hasher,
}

impl<R: Read> Checked<R> {
    fn take(&mut self, into: &mut [u8]) -> std::io::Result<()> {
        self.from.read_exact(into)?;
        self.sum.update(into);
        Ok(())
    }

    fn part(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.take(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        // Grown as it is read: a damaged length is no reason to take memory.
        let mut out = Vec::new();
        Read::by_ref(&mut self.from).take(u64::from(length)).read_to_end(&mut out)?;
        if out.len() as u32 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.sum.update(&out);
        Ok(out)
    }
}
