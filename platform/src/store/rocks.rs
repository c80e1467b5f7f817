//! A store in RocksDB, tuned to be small: an agent idles in a few megabytes.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options, WriteBatch, WriteOptions,
};

use super::{Change, Durability, Entry, Store, StoreError, Transaction};

const CACHE_BYTES: usize = 2 << 20;
const WRITE_BUFFER_BYTES: usize = 2 << 20;
/// Values as long as this lie in files of their own, where compactions leave them alone: lanes of a round and parameters, which are written once and compress
/// hardly.
const LONG_BYTES: u64 = 64 << 10;

/// A store in a RocksDB folder.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
}

impl RocksStore {
    /// Opens the store, making it where there is none.
    ///
    /// # Errors
    /// Another process holds it, or it can't be read.
    pub fn open(path: &Path) -> Result<RocksStore, StoreError> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_write_buffer_number(2);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_max_open_files(64);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_enable_blob_files(true);
        options.set_min_blob_size(LONG_BYTES);
        options.set_blob_compression_type(DBCompressionType::None);
        // What was overwritten or taken away gives its space back.
        options.set_enable_blob_gc(true);
        std::fs::create_dir_all(path).map_err(|e| failed("open", &e))?;
        match DB::open(&options, path) {
            Ok(db) => Ok(RocksStore { db, path: path.to_owned() }),
            Err(e) if e.to_string().contains("lock") => Err(StoreError::Locked { path: path.display().to_string() }),
            Err(e) => Err(failed("open", &e)),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn failed(step: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed { step: step.to_owned(), reason: reason.to_string() }
}

impl Store for RocksStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|e| failed("get", &e))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let mut out = Vec::new();
        for item in self.db.iterator(IteratorMode::From(prefix, Direction::Forward)) {
            let (k, v) = item.map_err(|e| failed("scan", &e))?;
            if !k.starts_with(prefix) {
                break;
            }
            out.push((k.into_vec(), v.into_vec()));
        }
        Ok(out)
    }

    fn commit(&self, transaction: Transaction, durability: Durability) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for change in transaction.changes() {
            match change {
                Change::Put(k, v) => batch.put(k, v),
                Change::Delete(k) => batch.delete(k),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db.write_opt(batch, &options).map_err(|e| failed(transaction.name(), &e))
    }
}
