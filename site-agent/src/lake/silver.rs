//! Silver: typed rows to Parquet, rejected records to quarantine, while an adapter reads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use adapters::{AdapterError, Quarantined, Reason, Sink};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schema::{BatchBuilder, Record, Table};

use super::{LakeError, data_error, file_error};

/// Rows of a batch on its way to Parquet.
const BATCH_ROWS: usize = 16_384;
/// Rejected items of one kind that are listed one by one; of more only the number is written.
const LISTED: u64 = 1000;
/// Kinds of rejected items that are counted.
const KINDS: usize = 4096;
/// Rows of a row group.
const ROW_GROUP: usize = 131_072;

/// How Parquet is written.
pub(super) fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Each record's key is its own: a dictionary of them is work for nothing.
        .set_column_dictionary_enabled("record_key".into(), false)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build()
}

/// Bytes of a row group in the making at most; a fuller one is written out early.
const ROW_GROUP_BYTES: usize = 48 << 20;

/// Writes out a row group that holds enough.
pub(super) fn bounded(writer: &mut ArrowWriter<File>) -> Result<(), parquet::errors::ParquetError> {
    if writer.memory_size() > ROW_GROUP_BYTES { writer.flush() } else { Ok(()) }
}

struct TableFile {
    builder: BatchBuilder,
    writer: ArrowWriter<File>,
    path: String,
}

impl TableFile {
    fn flush(&mut self) -> Result<(), LakeError> {
        let batch = self.builder.finish().map_err(|e| data_error("a batch of rows", &e))?;
        self.writer
            .write(&batch)
            .and_then(|()| bounded(&mut self.writer))
            .map_err(|e| data_error("writing Parquet", &e))
    }
}

/// Where an adapter's records go.
pub(super) struct Silver<'a> {
    root: &'a Path,
    stem: String,
    tables: BTreeMap<Table, TableFile>,
    quarantine: Option<(BufWriter<File>, String)>,
    /// By the reason and what is said, without its numbers: how many there are, and the first.
    kinds: HashMap<(Reason, String), (u64, Quarantined)>,
    whole: bool,
    progress: &'a mut dyn FnMut(u64),
}

/// What was written.
pub(super) struct Written {
    pub(super) silver: Vec<(String, String)>,
    pub(super) quarantine: Option<String>,
    /// Whether the file was read to its end.
    pub(super) whole: bool,
}

impl<'a> Silver<'a> {
    pub(super) fn new(root: &'a Path, stem: String, progress: &'a mut dyn FnMut(u64)) -> Silver<'a> {
        Silver { root, stem, tables: BTreeMap::new(), quarantine: None, kinds: HashMap::new(), whole: true, progress }
    }

    fn create(&self, relative: &str) -> Result<File, LakeError> {
        let path: PathBuf = self.root.join(relative);
        File::create(&path).map_err(|e| file_error(&path, &e))
    }

    /// A table's file, which is opened with the first row.
    fn open(&mut self, table: Table) -> Result<&mut TableFile, LakeError> {
        let fresh = if self.tables.contains_key(&table) {
            None
        } else {
            let path = format!("silver/{}-{}.parquet", self.stem, table.name());
            let writer = ArrowWriter::try_new(self.create(&path)?, table.silver(), Some(properties()))
                .map_err(|e| data_error("opening Parquet", &e))?;
            Some(TableFile { builder: BatchBuilder::new(table), writer, path })
        };
        match (self.tables.entry(table), fresh) {
            (Entry::Occupied(file), _) => Ok(file.into_mut()),
            (Entry::Vacant(place), Some(file)) => Ok(place.insert(file)),
            (Entry::Vacant(_), None) => Err(data_error("opening Parquet", &"a table's file is gone")),
        }
    }

    fn push(&mut self, record: &Record) -> Result<(), LakeError> {
        let file = self.open(record.table())?;
        file.builder.push(record).map_err(|e| data_error("a row", &e))?;
        if file.builder.rows() >= BATCH_ROWS { file.flush() } else { Ok(()) }
    }

    /// Writes a table's batch, where it is full.
    fn flush_full(&mut self, table: Table) -> Result<(), LakeError> {
        match self.tables.get_mut(&table) {
            Some(file) if file.builder.rows() >= BATCH_ROWS => file.flush(),
            _ => Ok(()),
        }
    }

    fn reject(&mut self, q: &Quarantined) -> Result<(), LakeError> {
        self.whole &= !matches!(q.reason, Reason::Truncated | Reason::NoHeader | Reason::Contradiction);
        if self.quarantine.is_none() {
            let path = format!("quarantine/{}.ndjson", self.stem);
            self.quarantine = Some((BufWriter::new(self.create(&path)?), path));
        }
        let kind = (q.reason, q.detail.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
        if let Some((n, _)) = self.kinds.get_mut(&kind) {
            *n += 1;
            if *n > LISTED {
                return Ok(());
            }
        } else if self.kinds.len() < KINDS {
            self.kinds.insert(kind, (1, q.clone()));
        }
        self.list(q)
    }

    fn list(&mut self, q: &Quarantined) -> Result<(), LakeError> {
        let Some((writer, path)) = self.quarantine.as_mut() else { return Ok(()) };
        let line = serde_json::json!({
            "file": q.file, "line": q.line, "reason": q.reason.code(), "detail": q.detail,
        });
        writeln!(writer, "{line}").map_err(|e| file_error(Path::new(path.as_str()), &e))
    }

    /// Closes and syncs every file.
    pub(super) fn finish(mut self) -> Result<Written, LakeError> {
        let mut more: Vec<(u64, Quarantined)> =
            std::mem::take(&mut self.kinds).into_values().filter(|(n, _)| *n > LISTED).collect();
        more.sort_by(|a, b| (a.1.line, &a.1.detail).cmp(&(b.1.line, &b.1.detail)));
        for (n, mut q) in more {
            q.detail = format!("{} more such items, the first in line {}: {}", n - LISTED, q.line, q.detail);
            q.line = 0;
            self.list(&q)?;
        }
        let mut silver = Vec::new();
        for (table, mut file) in self.tables {
            file.flush()?;
            let handle = file.writer.into_inner().map_err(|e| data_error("closing Parquet", &e))?;
            handle.sync_all().map_err(|e| file_error(Path::new(&file.path), &e))?;
            silver.push((table.name().to_owned(), file.path));
        }
        let mut quarantine = None;
        if let Some((writer, path)) = self.quarantine {
            let wrong = |e: &dyn std::fmt::Display| file_error(Path::new(&path), e);
            let handle = writer.into_inner().map_err(|e| wrong(&e))?;
            handle.sync_all().map_err(|e| wrong(&e))?;
            quarantine = Some(path);
        }
        for part in ["silver", "quarantine"] {
            let dir = self.root.join(part);
            platform::files::sync_folder(&dir).map_err(|e| file_error(&dir, &e))?;
        }
        Ok(Written { silver, quarantine, whole: self.whole })
    }
}

impl Sink for Silver<'_> {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.row(&r)
    }
    fn row(&mut self, r: &Record) -> Result<(), AdapterError> {
        self.push(r).map_err(|e| AdapterError::Sink(e.to_string()))
    }
    fn columns(&mut self, table: Table) -> Result<Option<&mut BatchBuilder>, AdapterError> {
        self.open(table).map(|file| Some(&mut file.builder)).map_err(|e| AdapterError::Sink(e.to_string()))
    }
    fn filled(&mut self, table: Table) -> Result<(), AdapterError> {
        self.flush_full(table).map_err(|e| AdapterError::Sink(e.to_string()))
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.reject(&q).map_err(|e| AdapterError::Sink(e.to_string()))
    }
    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}
