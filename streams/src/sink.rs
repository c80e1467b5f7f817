//! Where answers go: written as they come, seen only once the checkpoint they belong to stands.
//!
//! ```text
//!   take, take … prepare(n)     rows of epoch n are on the disk, under a name that nobody reads
//!   backend.commit              checkpoint n stands: this decides
//!   commit(n)                   renamed; after a crash again
//!   recover                     what is of the state's history is renamed; what is not lies in `other`
//! ```
//!
//! Nothing that was seen is removed: parts that a restored checkpoint does not have behind it are moved to the folder `other`, and come back with a
//! savepoint that has.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use platform::files::sync_folder;

pub use crate::history::History;
use crate::out::Out;

/// An answer could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the stream's output at {path} can't be written: {reason}; make room, or free the folder, and start it again")]
pub struct SinkError {
    /// Where.
    pub path: String,
    /// What the system says.
    pub reason: String,
}

/// Takes answers, in epochs between checkpoints.
pub trait Sink: Send {
    /// Takes rows of the running epoch. `names` are the groups.
    ///
    /// # Errors
    /// They can't be written.
    fn take(&mut self, out: &Out, names: &[String]) -> Result<(), SinkError>;
    /// Brings the epoch that ends with checkpoint `number` to the disk, still unseen.
    ///
    /// # Errors
    /// It can't be written.
    fn prepare(&mut self, number: u64) -> Result<(), SinkError>;
    /// Checkpoint `number` stands: its epoch is seen from now on.
    ///
    /// # Errors
    /// It can't be renamed.
    fn commit(&mut self, number: u64) -> Result<(), SinkError>;
    /// A job begins, or goes on, over a state with a history; what comes is of the run `run`.
    ///
    /// # Errors
    /// The folder can't be read.
    fn recover(&mut self, history: &History, run: u64) -> Result<(), SinkError>;
}

/// Writes the rows of one kind of answer.
pub trait Rows: Send {
    /// Writes those of `out` that are its kind.
    fn write(&mut self, out: &Out, names: &[String], into: &mut Vec<u8>);
    /// Ends a file: what a form needs that can't be written row by row.
    fn finish(&mut self, _: &mut Vec<u8>) {}
    /// Forgets what was not finished.
    fn forget(&mut self) {}
}

/// A folder of files, `part-<checkpoint>-<run>.<ending>`. An epoch without rows has no file.
pub struct Files<R> {
    folder: PathBuf,
    ending: &'static str,
    rows: R,
    run: u64,
    open: Option<BufWriter<File>>,
    buffer: Vec<u8>,
}

/// Parts that are not behind the state.
const OTHER: &str = "other";

impl<R: Rows> Files<R> {
    /// Files in a folder, which is made where there is none.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open(folder: &Path, ending: &'static str, rows: R) -> Result<Files<R>, SinkError> {
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        Ok(Files { folder: folder.to_owned(), ending, rows, run: 0, open: None, buffer: Vec::new() })
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(format!("part-{number:012}-{:016x}.{}", self.run, self.ending))
    }

    fn prepared(&self, number: u64) -> PathBuf {
        self.folder.join(format!(".prepared-{number:012}-{:016x}", self.run))
    }

    /// The files of the folder, or of one in it, with their names.
    fn files(&self, within: &str) -> Result<Vec<(PathBuf, String)>, SinkError> {
        let folder = self.folder.join(within);
        let read = match fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|e| failed(&folder, &e))?,
        };
        let mut out = Vec::new();
        for file in read {
            let path = file.map_err(|e| failed(&folder, &e))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
            out.extend(name.map(|name| (path, name)));
        }
        Ok(out)
    }

    fn running(&self) -> PathBuf {
        self.folder.join(".running")
    }

    /// Adds what is in the buffer to the running file, which is opened with its first byte.
    fn append(&mut self) -> Result<(), SinkError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let path = self.running();
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let file = File::create(&path).map_err(|e| failed(&path, &e))?;
                self.open.insert(BufWriter::with_capacity(1 << 18, file))
            }
        };
        file.write_all(&self.buffer).map_err(|e| failed(&path, &e))
    }
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> SinkError {
    SinkError { path: path.display().to_string(), reason: reason.to_string() }
}

impl<R: Rows> Sink for Files<R> {
    fn take(&mut self, out: &Out, names: &[String]) -> Result<(), SinkError> {
        self.buffer.clear();
        self.rows.write(out, names, &mut self.buffer);
        self.append()
    }

    fn prepare(&mut self, number: u64) -> Result<(), SinkError> {
        self.buffer.clear();
        self.rows.finish(&mut self.buffer);
        self.append()?;
        let Some(file) = self.open.take() else { return Ok(()) };
        let (running, prepared) = (self.running(), self.prepared(number));
        let file = file.into_inner().map_err(|e| failed(&running, &e))?;
        file.sync_all().map_err(|e| failed(&running, &e))?;
        fs::rename(&running, &prepared).map_err(|e| failed(&prepared, &e))?;
        sync_folder(&self.folder).map_err(|e| failed(&self.folder, &e))
    }

    fn commit(&mut self, number: u64) -> Result<(), SinkError> {
        let (prepared, part) = (self.prepared(number), self.part(number));
        match fs::rename(&prepared, &part) {
            Ok(()) => sync_folder(&self.folder).map_err(|e| failed(&self.folder, &e)),
            // An epoch without rows, or one that was renamed before a crash.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed(&part, &e)),
        }
    }

    fn recover(&mut self, history: &History, run: u64) -> Result<(), SinkError> {
        self.open = None;
        self.rows.forget();
        self.run = run;
        let other = self.folder.join(OTHER);
        for (path, name) in self.files("")? {
            if name == ".running" {
                fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
            } else if let Some((number, run)) = name.strip_prefix(".prepared-").and_then(epoch) {
                let part = self.folder.join(format!("part-{number:012}-{run:016x}.{}", self.ending));
                let done = if history.has(run, number) { fs::rename(&path, &part) } else { fs::remove_file(&path) };
                done.map_err(|e| failed(&path, &e))?;
            } else if name.strip_prefix("part-").and_then(epoch).is_some_and(|(n, run)| !history.has(run, n)) {
                fs::create_dir_all(&other).map_err(|e| failed(&other, &e))?;
                fs::rename(&path, other.join(&name)).map_err(|e| failed(&path, &e))?;
            }
        }
        for (path, name) in self.files(OTHER)? {
            if name.strip_prefix("part-").and_then(epoch).is_some_and(|(n, run)| history.has(run, n)) {
                fs::rename(&path, self.folder.join(&name)).map_err(|e| failed(&path, &e))?;
            }
        }
        sync_folder(&self.folder).map_err(|e| failed(&self.folder, &e))
    }
}

/// The epoch and the run of a file's name behind its first word; the run 0 where it has none.
fn epoch(name: &str) -> Option<(u64, u64)> {
    let name = name.split('.').next()?;
    match name.split_once('-') {
        Some((number, run)) => Some((number.parse().ok()?, u64::from_str_radix(run, 16).ok()?)),
        None => Some((name.parse().ok()?, 0)),
    }
}

/// Several sinks that see the same rows.
#[derive(Default)]
pub struct Sinks(pub Vec<Box<dyn Sink>>);

impl Sink for Sinks {
    fn take(&mut self, out: &Out, names: &[String]) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|s| s.take(out, names))
    }

    fn prepare(&mut self, number: u64) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|s| s.prepare(number))
    }

    fn commit(&mut self, number: u64) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|s| s.commit(number))
    }

    fn recover(&mut self, history: &History, run: u64) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|s| s.recover(history, run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Word(&'static [u8]);

    impl Rows for Word {
        fn write(&mut self, _: &Out, _: &[String], into: &mut Vec<u8>) {
            into.extend(self.0);
        }
    }

    /// A savepoint of 8, back to 7 and on to another 8, then the savepoint: each time the answers are those of the state, and none is lost.
    #[test]
    fn answers_are_those_of_the_history() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::open(dir.path(), "csv", Word(b"x")).unwrap();
        fs::write(dir.path().join("part-000000000001.csv"), "old").unwrap();
        let write =
            |files: &mut Files<Word>, history: &mut History, run: u64, numbers: std::ops::RangeInclusive<u64>| {
                files.recover(history, run).unwrap();
                for number in numbers {
                    files.take(&Out::default(), &[]).unwrap();
                    files.prepare(number).unwrap();
                    history.add(run, number);
                    files.commit(number).unwrap();
                }
            };
        let seen = |within: &str| {
            let mut names: Vec<String> = fs::read_dir(dir.path().join(within))
                .unwrap()
                .flatten()
                .map(|f| f.file_name().into_string().unwrap())
                .filter(|n| n != OTHER)
                .collect();
            names.sort();
            names.iter().map(|n| epoch(n.strip_prefix("part-").unwrap()).unwrap()).collect::<Vec<_>>()
        };
        let mut history = History::default().or_nameless(1);
        write(&mut files, &mut history, 10, 2..=7);
        let back = history.clone();
        write(&mut files, &mut history, 10, 8..=8);
        let savepoint = history.clone();
        let mut fork = back.clone();
        write(&mut files, &mut fork, 11, 8..=9);
        assert_eq!(seen("")[6..], [(7, 10), (8, 11), (9, 11)]);
        assert_eq!(seen(OTHER), [(8, 10)]);
        files.recover(&savepoint, 12).unwrap();
        assert_eq!((seen("").len(), seen("")[7], seen(OTHER)), (8, (8, 10), vec![(8, 11), (9, 11)]));
        // A state that begins anew has none of them behind it, and removes none.
        files.recover(&History::default(), 13).unwrap();
        assert_eq!((seen(""), seen(OTHER).len()), (vec![], 10));
        // What was prepared when the power went is of the checkpoint that stands, or of none.
        files.take(&Out::default(), &[]).unwrap();
        files.prepare(1).unwrap();
        let mut stands = History::default();
        stands.add(13, 1);
        files.recover(&stands, 14).unwrap();
        assert_eq!(seen(""), [(1, 13)]);
        files.take(&Out::default(), &[]).unwrap();
        files.prepare(2).unwrap();
        files.recover(&stands, 15).unwrap();
        assert_eq!(seen(""), [(1, 13)]);
    }
}
