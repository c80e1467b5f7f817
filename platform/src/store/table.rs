//! A big ordered table in RocksDB, for the state of a stream: written in batches, merged without being read, and linked
//! into checkpoints that share its files.

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, MergeOperands, Options, WriteBatch,
    WriteOptions,
};

use super::{StoreError, merge};
use crate::files::sync_folder;

/// One change of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
    /// Joins a value to what the key has, by [`merge::joined`], without reading it.
    Merge(Vec<u8>, Vec<u8>),
}

/// A table in a folder of its own.
pub struct Table {
    db: DB,
    path: PathBuf,
}

impl Table {
    /// Opens the table, making it where there is none. `memory` is about how many bytes it may hold: half is a cache of
    /// blocks, the rest what is not yet in files.
    ///
    /// # Errors
    /// Another process holds it, or it can't be read.
    pub fn open(path: &Path, memory: usize) -> Result<Table, StoreError> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(memory / 2));
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size((memory / 4).max(1 << 20));
        options.set_max_write_buffer_number(2);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_merge_operator_associative("joined", join);
        fs::create_dir_all(path).map_err(|e| failed("open", &e))?;
        match DB::open(&options, path) {
            Ok(db) => Ok(Table { db, path: path.to_owned() }),
            Err(e) if e.to_string().contains("lock") => Err(StoreError::Locked { path: path.display().to_string() }),
            Err(e) => Err(failed("open", &e)),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The store failed.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|e| failed("get", &e))
    }

    /// Shows every entry whose key begins with `prefix`, in the order of keys, holding one at a time. `each` ends it with
    /// `false`.
    ///
    /// # Errors
    /// The store failed.
    pub fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        for item in self.db.iterator(IteratorMode::From(prefix, Direction::Forward)) {
            let (key, value) = item.map_err(|e| failed("scan", &e))?;
            if !key.starts_with(prefix) || !each(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// Applies all changes, or none; they are on the disk when it returns.
    ///
    /// # Errors
    /// The store failed; nothing was applied.
    pub fn write(&self, changes: &[TableChange]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                TableChange::Put(k, v) => batch.put(k, v),
                TableChange::Delete(k) => batch.delete(k),
                TableChange::Merge(k, v) => batch.merge(k, v),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|e| failed("write", &e))
    }

    /// Makes a checkpoint: a folder that shares this table's files by hard links and can be opened as a table itself. It
    /// appears whole or not at all.
    ///
    /// # Errors
    /// The folder stands already, or lies on another disk.
    pub fn link_to(&self, folder: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db).and_then(|c| c.create_checkpoint(folder)).map_err(|e| failed("checkpoint", &e))
    }
}

/// Makes a new table's folder out of a checkpoint: sorted files, which never change, are linked, the rest is copied.
///
/// # Errors
/// Those of the file system; `to` must not be there.
pub fn clone_checkpoint(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let copy = to.join(file.file_name());
        match file.path().extension().is_some_and(|e| e == "sst") {
            true => fs::hard_link(file.path(), copy)?,
            false => {
                fs::copy(file.path(), &copy)?;
                fs::File::open(copy)?.sync_all()?;
            }
        }
    }
    sync_folder(to)
}

fn join(_: &[u8], base: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut value = base.map(<[u8]>::to_vec);
    for operand in operands {
        value = Some(match value {
            None => operand.to_vec(),
            Some(value) => merge::joined(&value, operand)?,
        });
    }
    value
}

fn failed(step: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed { step: step.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_keeps_what_was_while_the_table_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let table = Table::open(&at("live"), 8 << 20).unwrap();
        let put = |k: &str, v: &[u8]| TableChange::Put(k.into(), v.into());
        table.write(&[put("a", b"1"), put("b", b"2"), put("c", b"3")]).unwrap();
        table.link_to(&at("kept")).unwrap();
        table.write(&[put("a", b"9"), TableChange::Delete(b"b".to_vec())]).unwrap();
        assert!(matches!(Table::open(&at("live"), 8 << 20), Err(StoreError::Locked { .. })));
        let all = |table: &Table| {
            let mut all = Vec::new();
            table
                .scan(b"", &mut |k, v| {
                    all.push((k.to_vec(), v.to_vec()));
                    true
                })
                .unwrap();
            all
        };
        assert_eq!(all(&table), [(b"a".to_vec(), b"9".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
        for _ in 0..2 {
            clone_checkpoint(&at("kept"), &at("again")).unwrap();
            let again = Table::open(&at("again"), 8 << 20).unwrap();
            assert_eq!(all(&again).iter().map(|(_, v)| v[0]).collect::<Vec<_>>(), b"123");
            again.write(&[TableChange::Delete(b"c".to_vec())]).unwrap();
            drop(again);
            fs::remove_dir_all(at("again")).unwrap();
        }
    }

    #[test]
    fn merges_join_without_a_reading_and_after_a_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let sums = |n: &[i64]| merge::sums(n);
        let merged = |n: &[i64]| TableChange::Merge(b"k".to_vec(), sums(n));
        {
            let table = Table::open(dir.path(), 8 << 20).unwrap();
            table.write(&[merged(&[1, 2]), merged(&[10, 20])]).unwrap();
            table.write(&[merged(&[100, -200])]).unwrap();
            assert_eq!(table.get(b"k").unwrap(), Some(sums(&[111, -178])));
        }
        let table = Table::open(dir.path(), 8 << 20).unwrap();
        table.write(&[merged(&[1, 1])]).unwrap();
        assert_eq!(table.get(b"k").unwrap(), Some(sums(&[112, -177])));
    }
}
