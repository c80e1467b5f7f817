//! State that lives in memory; the disk has what changed, a file a checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use platform::files::{sync_folder, write_atomic};
use platform::store::merge;

use super::{Backend, StateError, TableChange, Written};

const MAGIC: &[u8; 8] = b"INSITUH1";
/// A base is written anew once the deltas are this many times as long.
const OUTGROWN: u64 = 4;

/// Keeps state as files of changes.
pub struct HeapBackend {
    folder: PathBuf,
    keep: usize,
    number: u64,
    base: u64,
    base_bytes: u64,
    delta_bytes: u64,
}

impl HeapBackend {
    /// Opens the state in a folder, making it where there is none. The newest `keep` checkpoints can be restored.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn open(folder: &Path, keep: usize) -> Result<HeapBackend, StateError> {
        fs::create_dir_all(folder).map_err(|e| StateError::file(folder, &e))?;
        let mut backend = HeapBackend {
            folder: folder.to_owned(),
            keep: keep.max(1),
            number: 0,
            base: 0,
            base_bytes: 0,
            delta_bytes: 0,
        };
        backend.finish_reset()?;
        let newest = backend.files()?.last().map(|(n, _)| *n).unwrap_or_default();
        backend.at(newest)?;
        Ok(backend)
    }

    /// The files of all checkpoints, oldest first: number, and whether a base.
    fn files(&self) -> Result<Vec<(u64, bool)>, StateError> {
        let mut out = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(|e| StateError::file(&self.folder, &e))? {
            let name = file.map_err(|e| StateError::file(&self.folder, &e))?.file_name();
            let Some((kind, number)) = name.to_str().and_then(|n| n.split_once('-')) else { continue };
            if let (true, Ok(number)) = (matches!(kind, "base" | "delta"), number.parse()) {
                out.push((number, kind == "base"));
            }
        }
        out.sort_unstable();
        Ok(out)
    }

    fn path(&self, number: u64, base: bool) -> PathBuf {
        self.folder.join(format!("{}-{number:012}", if base { "base" } else { "delta" }))
    }

    /// Puts what a reset wrote in the place of all else; a crash after it was written ends here too.
    fn finish_reset(&self) -> Result<(), StateError> {
        for file in fs::read_dir(&self.folder).map_err(|e| StateError::file(&self.folder, &e))? {
            let path = file.map_err(|e| StateError::file(&self.folder, &e))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("reset-"));
            let Some(number) = name.and_then(|n| n.parse().ok()) else { continue };
            for (n, base) in self.files()?.into_iter().rev() {
                let old = self.path(n, base);
                fs::remove_file(&old).map_err(|e| StateError::file(&old, &e))?;
            }
            fs::rename(&path, self.path(number, true)).map_err(|e| StateError::file(&path, &e))?;
            sync_folder(&self.folder).map_err(|e| StateError::file(&self.folder, &e))?;
        }
        Ok(())
    }

    /// Stands at a checkpoint whose files are there.
    fn at(&mut self, number: u64) -> Result<(), StateError> {
        let files = self.files()?;
        let base =
            files.iter().filter(|(n, base)| *base && *n <= number).map(|(n, _)| *n).next_back().unwrap_or_default();
        let length = |n: u64, base: bool| fs::metadata(self.path(n, base)).map_or(0, |m| m.len());
        let base_bytes = if base == 0 { 0 } else { length(base, true) };
        let delta_bytes = (base + 1..=number).map(|n| length(n, false)).sum();
        (self.number, self.base, self.base_bytes, self.delta_bytes) = (number, base, base_bytes, delta_bytes);
        Ok(())
    }

    fn load(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateError> {
        let mut all = BTreeMap::new();
        if self.base > 0 {
            self.apply(self.base, true, &mut all)?;
        }
        for number in self.base + 1..=self.number {
            self.apply(number, false, &mut all)?;
        }
        Ok(all)
    }

    fn apply(&self, number: u64, base: bool, all: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), StateError> {
        let path = self.path(number, base);
        let bytes = fs::read(&path).map_err(|e| StateError::file(&path, &e))?;
        let damaged = || StateError::file(&path, &"it is damaged; restore another checkpoint or a savepoint");
        for change in read(&bytes).ok_or_else(damaged)? {
            match change {
                TableChange::Put(k, v) => {
                    all.insert(k, v);
                }
                TableChange::Delete(k) => {
                    all.remove(&k);
                }
                TableChange::Merge(k, v) => {
                    let joined = match all.get(&k) {
                        Some(before) => merge::joined(before, &v).ok_or_else(damaged)?,
                        None => v,
                    };
                    all.insert(k, joined);
                }
            }
        }
        Ok(())
    }

    /// Removes what no kept checkpoint needs.
    fn prune(&self) -> Result<(), StateError> {
        let files = self.files()?;
        let oldest = self.number.saturating_sub(self.keep as u64 - 1).max(1);
        let base =
            files.iter().filter(|(n, base)| *base && *n <= oldest).map(|(n, _)| *n).next_back().unwrap_or_default();
        for (number, is_base) in files {
            if number < base || (number == base && !is_base) {
                let path = self.path(number, is_base);
                fs::remove_file(&path).map_err(|e| StateError::file(&path, &e))?;
            }
        }
        Ok(())
    }
}

impl Backend for HeapBackend {
    fn kind(&self) -> &'static str {
        "heap"
    }

    fn resident(&self) -> bool {
        true
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.load()?.remove(key))
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        let all = self.load()?;
        let mut found = all.range(prefix.to_vec()..).take_while(|(k, _)| k.starts_with(prefix));
        while found.next().is_some_and(|(k, v)| each(k, v)) {}
        Ok(())
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn wants_all(&self) -> bool {
        self.delta_bytes > OUTGROWN * self.base_bytes.max(1 << 16)
    }

    fn commit(&mut self, changes: &[TableChange], all: bool) -> Result<Written, StateError> {
        let bytes = write(changes);
        let number = self.number + 1;
        let path = self.path(number, all);
        write_atomic(&path, &bytes).map_err(|e| StateError::file(&path, &e))?;
        let length = bytes.len() as u64;
        self.number = number;
        match all {
            true => (self.base, self.base_bytes, self.delta_bytes) = (number, length, 0),
            false => self.delta_bytes += length,
        }
        self.prune()?;
        Ok(Written { bytes: length, changes: changes.len() as u64 })
    }

    fn kept(&self) -> Result<Vec<u64>, StateError> {
        let files = self.files()?;
        let first = match files.iter().find(|(_, base)| *base) {
            Some((base, _)) if files.first().is_none_or(|(n, _)| *n >= *base) => *base,
            _ => 1,
        };
        Ok((first.max(self.number.saturating_sub(self.keep as u64 - 1))..=self.number).filter(|n| *n > 0).collect())
    }

    fn reset(&mut self, number: u64, entries: &[TableChange]) -> Result<(), StateError> {
        let path = self.folder.join(format!("reset-{number:012}"));
        write_atomic(&path, &write(entries)).map_err(|e| StateError::file(&path, &e))?;
        self.finish_reset()?;
        self.at(number)
    }

    fn restore(&mut self, number: u64) -> Result<(), StateError> {
        let kept = self.kept()?;
        if !kept.contains(&number) {
            return Err(StateError::NoCheckpoint { asked: number, kept });
        }
        // From the newest back, so that what is left is a whole history wherever this stops.
        for (later, base) in self.files()?.into_iter().rev().filter(|(n, _)| *n > number) {
            let path = self.path(later, base);
            fs::remove_file(&path).map_err(|e| StateError::file(&path, &e))?;
        }
        sync_folder(&self.folder).map_err(|e| StateError::file(&self.folder, &e))?;
        self.at(number)
    }
}

/// The bytes of a file: magic, changes, a checksum of what went before.
fn write(changes: &[TableChange]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let part = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(bytes);
    };
    for change in changes {
        match change {
            TableChange::Put(k, v) => {
                out.push(1);
                part(&mut out, k);
                part(&mut out, v);
            }
            TableChange::Delete(k) => {
                out.push(2);
                part(&mut out, k);
            }
            TableChange::Merge(k, v) => {
                out.push(3);
                part(&mut out, k);
                part(&mut out, v);
            }
        }
    }
    let sum = crc32fast::hash(&out);
    out.extend(sum.to_le_bytes());
    out
}

fn read(bytes: &[u8]) -> Option<Vec<TableChange>> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut out = Vec::new();
    fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *rest = after;
        Some(part)
    }
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        let key = part(&mut rest)?.to_vec();
        out.push(match kind {
            1 => TableChange::Put(key, part(&mut rest)?.to_vec()),
            2 => TableChange::Delete(key),
            3 => TableChange::Merge(key, part(&mut rest)?.to_vec()),
            _ => return None,
        });
    }
    Some(out)
}
