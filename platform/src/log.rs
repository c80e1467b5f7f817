//! An append-only log in segments: what `append` returned for is there after any crash, and a record that a crash cut in two is not.
//!
//! ```text
//! <number>.open   grows; at most one
//! <number>.log    sealed: never written again; its reader may remove it
//!
//! record          length of the payload, u32 · CRC-32 of what follows, u32 · microseconds since 1970, i64 · payload
//! ```
//!
//! Numbers are little-endian. A group of records is one write and one sync, so many writers share the wait for the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::clock::Micros;
use crate::files::sync_folder;

/// The longest payload, in bytes.
pub const MAX_RECORD: usize = 64 << 20;
const HEAD: usize = 16;

/// The segment that grows.
struct Open {
    file: File,
    path: PathBuf,
    /// Bytes that are synced.
    bytes: u64,
    /// Whether a write or a sync of it failed: it is not written again, and what lies behind `bytes` is nobody's.
    failed: bool,
}

/// A log in a folder of its own.
pub struct Log {
    folder: PathBuf,
    open: Option<Open>,
    /// The number of the last segment.
    last: i64,
    group: Vec<u8>,
}

/// What an opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records of a segment that had not been sealed.
    pub records: u64,
    /// Bytes behind the last whole record, which were cut off: nobody was told that they are kept.
    pub cut: u64,
}

fn number_of(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn with_end(folder: &Path, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == end) && number_of(&path).is_some() {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// The sealed segments of a log's folder, the oldest first; none where there is no folder.
///
/// # Errors
/// Those of the file system.
pub fn sealed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match with_end(folder, "log") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

impl Log {
    /// Opens a log. A segment that a crash left open is cut behind its last whole record and sealed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: &Path) -> io::Result<(Log, Recovered)> {
        fs::create_dir_all(folder)?;
        let mut recovered = Recovered::default();
        for path in with_end(folder, "open")? {
            let (whole, records) = whole_part(&path)?;
            let file = OpenOptions::new().write(true).open(&path)?;
            recovered.cut += file.metadata()?.len().saturating_sub(whole);
            recovered.records += records;
            if records == 0 {
                drop(file);
                fs::remove_file(&path)?;
                continue;
            }
            file.set_len(whole)?;
            file.sync_all()?;
            fs::rename(&path, path.with_extension("log"))?;
        }
        sync_folder(folder)?;
        let last = sealed(folder)?.iter().filter_map(|p| number_of(p)).max().unwrap_or(0);
        Ok((Log { folder: folder.to_owned(), open: None, last, group: Vec::new() }, recovered))
    }

    /// Bytes of the segment that grows; 0 where there is none.
    pub fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |o| o.bytes)
    }

    /// Appends a group of records in one write, and returns once they are on disk.
    ///
    /// # Errors
    /// Those of the file system, or a payload over [`MAX_RECORD`]. Then none of the group counts as kept; the segment is sealed, and
    /// the next group begins another one.
    pub fn append(&mut self, at: Micros, group: &[&[u8]]) -> io::Result<()> {
        self.group.clear();
        for payload in group {
            let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_RECORD);
            let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a record is too long"))?;
            self.group.extend_from_slice(&length.to_le_bytes());
            self.group.extend_from_slice(&checksum(at.0, payload).to_le_bytes());
            self.group.extend_from_slice(&at.0.to_le_bytes());
            self.group.extend_from_slice(payload);
        }
        // One that failed and could not be sealed then is sealed now, or nothing is taken: its name would be lost.
        if self.open.as_ref().is_some_and(|o| o.failed) {
            self.seal()?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(at)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.file.write_all(&self.group).and_then(|()| open.file.sync_data());
        match written {
            Ok(()) => open.bytes += self.group.len() as u64,
            Err(e) => {
                // After a failed sync nothing is known of these bytes, so they go, and this file is not written again. Where that
                // fails too, the next seal or group tries it again.
                open.failed = true;
                let _ = self.seal();
                return Err(e);
            }
        }
        self.group.shrink_to(1 << 20);
        Ok(())
    }

    fn begin(&mut self, at: Micros) -> io::Result<Open> {
        self.last = at.0.max(self.last.saturating_add(1));
        let path = self.folder.join(format!("{:020}.open", self.last));
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        sync_folder(&self.folder)?;
        Ok(Open { file, path, bytes: 0, failed: false })
    }

    /// Seals the segment that grows, and says where it lies; `None` where nothing was appended since the last.
    ///
    /// # Errors
    /// Those of the file system. Then the segment stays open, and the next seal tries again.
    pub fn seal(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(open) = &self.open else { return Ok(None) };
        if open.bytes == 0 {
            fs::remove_file(&open.path)?;
            self.open = None;
            return Ok(None);
        }
        if open.failed {
            open.file.set_len(open.bytes)?;
            open.file.sync_all()?;
        }
        let to = open.path.with_extension("log");
        fs::rename(&open.path, &to)?;
        // Its name is another one now, whatever becomes of the folder's sync; a crash before it leaves the old name, which is opened.
        self.open = None;
        sync_folder(&self.folder)?;
        Ok(Some(to))
    }
}

fn checksum(at: i64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// How many bytes of a file are whole records, and how many records they are.
fn whole_part(path: &Path) -> io::Result<(u64, u64)> {
    let mut records = Records::new(BufReader::new(File::open(path)?));
    let (mut bytes, mut count) = (0, 0);
    loop {
        match records.advance() {
            Ok(Some((_, payload))) => {
                bytes += (HEAD + payload.len()) as u64;
                count += 1;
            }
            Ok(None) => return Ok((bytes, count)),
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                return Ok((bytes, count));
            }
            Err(e) => return Err(e),
        }
    }
}

/// Reads the records of a segment, one at a time.
pub struct Records<R> {
    reader: R,
    payload: Vec<u8>,
}

impl<R: Read> Records<R> {
    /// From the beginning of a segment.
    pub fn new(reader: R) -> Records<R> {
        Records { reader, payload: Vec::new() }
    }

    /// The next record: when it was appended, and its payload.
    ///
    /// # Errors
    /// Those of the reader; `UnexpectedEof` where it breaks off, and `InvalidData` where a checksum does not fit.
    pub fn advance(&mut self) -> io::Result<Option<(Micros, &[u8])>> {
        let mut head = [0u8; HEAD];
        let mut have = 0;
        while let Some(rest) = head.get_mut(have..).filter(|r| !r.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3, at @ ..] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a record of the log is damaged");
        if length > MAX_RECORD {
            return Err(damaged());
        }
        self.payload.clear();
        let got = self.reader.by_ref().take(length as u64).read_to_end(&mut self.payload)?;
        if got < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = i64::from_le_bytes(at);
        if checksum(at, &self.payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(damaged());
        }
        Ok(Some((Micros(at), &self.payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(folder: &Path) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for path in sealed(folder).unwrap() {
            let mut records = Records::new(File::open(path).unwrap());
            while let Some((_, payload)) = records.advance().unwrap() {
                out.push(payload.to_vec());
            }
        }
        out
    }

    /// What a crash may leave: everything synced, and any part of what was written after it, damaged or not.
    fn crash(folder: &Path, torn: &[u8]) {
        for path in with_end(folder, "open").unwrap() {
            OpenOptions::new().append(true).open(path).unwrap().write_all(torn).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_appended_is_there_after_any_crash(
            runs in proptest::collection::vec(
                (proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12), any::<bool>(), 0usize..80, any::<bool>()),
                1..6,
            )
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut want: Vec<Vec<u8>> = Vec::new();
            for (groups, seal, cut, flip) in runs {
                let (mut log, _) = Log::open(dir.path()).unwrap();
                for (i, payload) in groups.iter().enumerate() {
                    log.append(Micros(5), &[payload, b"second"]).unwrap();
                    want.extend([payload.clone(), b"second".to_vec()]);
                    if seal && i % 3 == 2 {
                        log.seal().unwrap();
                    }
                }
                drop(log);
                // A record that was being written when the power went.
                let mut torn = Vec::new();
                torn.extend_from_slice(&40u32.to_le_bytes());
                torn.extend_from_slice(&checksum(9, &[7; 40]).to_le_bytes());
                torn.extend_from_slice(&9i64.to_le_bytes());
                torn.extend_from_slice(&[7; 40]);
                torn.truncate(cut.min(55));
                if flip && torn.len() > 20 {
                    torn.resize(56, 0);
                }
                crash(dir.path(), &torn);
            }
            let (_, recovered) = Log::open(dir.path()).unwrap();
            prop_assert!(recovered.cut < 57);
            prop_assert_eq!(all(dir.path()), want);
        }
    }

    #[test]
    fn a_segment_that_cannot_be_sealed_is_sealed_by_the_next_try() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path()).unwrap();
        log.append(Micros(5), &[b"one"]).unwrap();
        // A folder of the sealed name: the file can't take it.
        let taken = dir.path().join(format!("{:020}.log", 5));
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("x"), "x").unwrap();
        assert!(log.seal().is_err());
        assert!(log.bytes() > 0, "it is still the one that grows");
        log.append(Micros(6), &[b"two"]).unwrap();
        fs::remove_dir_all(&taken).unwrap();
        assert_eq!(log.seal().unwrap(), Some(taken));
        assert_eq!(all(dir.path()), [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_segment_that_failed_is_cut_before_it_is_sealed_and_takes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path()).unwrap();
        log.append(Micros(5), &[b"kept"]).unwrap();
        // A handle that can't be written, as of a disk that fails: neither the group nor the cut goes through it.
        let path = log.open.as_ref().unwrap().path.clone();
        let sound = std::mem::replace(&mut log.open.as_mut().unwrap().file, File::open(&path).unwrap());
        crash(dir.path(), b"half a group");
        assert!(log.append(Micros(6), &[b"refused"]).is_err());
        assert!(log.append(Micros(7), &[b"refused"]).is_err(), "while it can't be sealed nothing is taken");
        log.open.as_mut().unwrap().file = sound;
        log.append(Micros(8), &[b"next"]).unwrap();
        assert_eq!(sealed(dir.path()).unwrap().len(), 1);
        log.seal().unwrap();
        assert_eq!(all(dir.path()), [b"kept".to_vec(), b"next".to_vec()]);
    }

    #[test]
    fn a_damaged_record_is_told_and_a_long_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path()).unwrap();
        log.append(Micros(1), &[b"abc", b"def"]).unwrap();
        assert_eq!(log.bytes(), 38);
        let path = log.seal().unwrap().unwrap();
        assert_eq!((log.seal().unwrap(), log.bytes()), (None, 0));
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEAD + 1] ^= 1;
        let error = Records::new(bytes.as_slice()).advance().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let long = vec![0; MAX_RECORD + 1];
        assert!(log.append(Micros(1), &[&long]).is_err());
        log.append(Micros(1), &[b"ghi"]).unwrap();
        log.seal().unwrap();
        assert_eq!(all(dir.path()), [b"abc".to_vec(), b"def".to_vec(), b"ghi".to_vec()]);
    }
}
