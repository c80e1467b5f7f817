//! State in RocksDB: larger than memory. Checkpoints that are kept share its sorted files by hard links.

use std::fs;
use std::path::{Path, PathBuf};

use platform::files::sync_folder;
use platform::store::{Table, clone_checkpoint};

use super::{Backend, StateError, TableChange, Written};

/// Where the number of the last commit stands. State begins with a table's number, 1 or more.
const NUMBER: &[u8] = &[0, 0];

/// Keeps state in RocksDB.
pub struct RocksBackend {
    folder: PathBuf,
    keep: usize,
    memory: usize,
    number: u64,
    /// Empty only while a checkpoint is being restored.
    table: Option<Table>,
}

impl RocksBackend {
    /// Opens the state in a folder, making it where there is none, with about `memory` bytes for its caches. The newest
    /// `keep` checkpoints can be restored.
    ///
    /// # Errors
    /// Another process holds it, or it can't be read.
    pub fn open(folder: &Path, keep: usize, memory: usize) -> Result<RocksBackend, StateError> {
        fs::create_dir_all(folder).map_err(|e| StateError::file(folder, &e))?;
        let (live, next) = (folder.join("live"), folder.join("restored"));
        // A restore died between its two steps: the clone is whole once `live` is gone.
        if next.exists() {
            match live.exists() {
                true => fs::remove_dir_all(&next),
                false => fs::rename(&next, &live),
            }
            .map_err(|e| StateError::file(&next, &e))?;
        }
        let mut backend = RocksBackend { folder: folder.to_owned(), keep: keep.max(1), memory, number: 0, table: None };
        backend.open_live()?;
        Ok(backend)
    }

    fn open_live(&mut self) -> Result<(), StateError> {
        let table = Table::open(&self.folder.join("live"), self.memory)?;
        self.number = match table.get(NUMBER)? {
            Some(bytes) => {
                bytes.try_into().map(u64::from_be_bytes).map_err(|_| StateError::Damaged { what: "number" })?
            }
            None => 0,
        };
        self.table = Some(table);
        Ok(())
    }

    fn table(&self) -> Result<&Table, StateError> {
        self.table.as_ref().ok_or(StateError::Damaged { what: "table, whose restoring failed" })
    }

    /// Puts a table's folder in the place of the live one.
    fn take_over(&mut self, next: &Path) -> Result<(), StateError> {
        let live = self.folder.join("live");
        self.table = None;
        fs::remove_dir_all(&live).map_err(|e| StateError::file(&live, &e))?;
        fs::rename(next, &live).map_err(|e| StateError::file(next, &e))?;
        sync_folder(&self.folder).map_err(|e| StateError::file(&self.folder, &e))?;
        self.open_live()
    }

    fn checkpoint(&self, number: u64) -> PathBuf {
        self.folder.join(format!("checkpoint-{number:012}"))
    }
}

impl Backend for RocksBackend {
    fn kind(&self) -> &'static str {
        "rocksdb"
    }

    fn resident(&self) -> bool {
        false
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.table()?.get(key)?)
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        Ok(self.table()?.scan(prefix, &mut |k, v| k == NUMBER || each(k, v))?)
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn wants_all(&self) -> bool {
        false
    }

    fn commit(&mut self, changes: &[TableChange], all: bool) -> Result<Written, StateError> {
        let number = self.number + 1;
        let mut batch = Vec::with_capacity(changes.len() + 1);
        if all {
            self.scan(&[], &mut |k, _| {
                batch.push(TableChange::Delete(k.to_vec()));
                true
            })?;
        }
        batch.extend_from_slice(changes);
        batch.push(TableChange::Put(NUMBER.to_vec(), number.to_be_bytes().to_vec()));
        let size = |c: &TableChange| match c {
            TableChange::Put(k, v) | TableChange::Merge(k, v) => k.len() + v.len(),
            TableChange::Delete(k) => k.len(),
        };
        let bytes = changes.iter().map(size).sum::<usize>() as u64;
        self.table()?.write(&batch)?;
        // Committed from here on.
        self.number = number;
        let folder = self.checkpoint(number);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| StateError::file(&folder, &e))?;
        }
        self.table()?.link_to(&folder)?;
        let kept = self.kept()?;
        for old in &kept[..kept.len().saturating_sub(self.keep)] {
            let folder = self.checkpoint(*old);
            fs::remove_dir_all(&folder).map_err(|e| StateError::file(&folder, &e))?;
        }
        Ok(Written { bytes, changes: changes.len() as u64 })
    }

    fn kept(&self) -> Result<Vec<u64>, StateError> {
        let mut kept = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(|e| StateError::file(&self.folder, &e))? {
            let name = file.map_err(|e| StateError::file(&self.folder, &e))?.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("checkpoint-")).and_then(|n| n.parse::<u64>().ok());
            kept.extend(number.filter(|n| *n <= self.number));
        }
        kept.sort_unstable();
        Ok(kept)
    }

    fn reset(&mut self, number: u64, entries: &[TableChange]) -> Result<(), StateError> {
        let next = self.folder.join("restored");
        if next.exists() {
            fs::remove_dir_all(&next).map_err(|e| StateError::file(&next, &e))?;
        }
        let table = Table::open(&next, self.memory)?;
        for part in entries.chunks(10_000) {
            table.write(part)?;
        }
        table.write(&[TableChange::Put(NUMBER.to_vec(), number.to_be_bytes().to_vec())])?;
        drop(table);
        let kept = self.kept()?;
        self.take_over(&next)?;
        for old in kept {
            let folder = self.checkpoint(old);
            fs::remove_dir_all(&folder).map_err(|e| StateError::file(&folder, &e))?;
        }
        self.table()?.link_to(&self.checkpoint(number))?;
        Ok(())
    }

    fn restore(&mut self, number: u64) -> Result<(), StateError> {
        let kept = self.kept()?;
        if !kept.contains(&number) {
            return Err(StateError::NoCheckpoint { asked: number, kept });
        }
        let next = self.folder.join("restored");
        if next.exists() {
            fs::remove_dir_all(&next).map_err(|e| StateError::file(&next, &e))?;
        }
        clone_checkpoint(&self.checkpoint(number), &next).map_err(|e| StateError::file(&next, &e))?;
        self.take_over(&next)?;
        for later in kept.into_iter().filter(|n| *n > number) {
            let folder = self.checkpoint(later);
            fs::remove_dir_all(&folder).map_err(|e| StateError::file(&folder, &e))?;
        }
        Ok(())
    }
}
