//! Where answers go: written as they come, seen only once the checkpoint they belong to stands.
//!
//! ```text
//!   take, take … prepare(n)     rows of epoch n are on the disk, under a name that nobody reads
//!   backend.commit              checkpoint n stands: this decides
//!   commit(n)                   renamed; after a crash again
//!   recover(n)                  what is of a later epoch is removed, what is of n is renamed
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use platform::files::sync_folder;

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
    /// A job begins, or goes on, after checkpoint `number`.
    ///
    /// # Errors
    /// The folder can't be read.
    fn recover(&mut self, number: u64) -> Result<(), SinkError>;
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

/// A folder of files, `part-<checkpoint>.<ending>`. An epoch without rows has no file.
pub struct Files<R> {
    folder: PathBuf,
    ending: &'static str,
    rows: R,
    open: Option<BufWriter<File>>,
    buffer: Vec<u8>,
}

impl<R: Rows> Files<R> {
    /// Files in a folder, which is made where there is none.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open(folder: &Path, ending: &'static str, rows: R) -> Result<Files<R>, SinkError> {
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        Ok(Files { folder: folder.to_owned(), ending, rows, open: None, buffer: Vec::new() })
    }

    fn part(&self, number: u64) -> PathBuf {
        self.folder.join(format!("part-{number:012}.{}", self.ending))
    }

    fn prepared(&self, number: u64) -> PathBuf {
        self.folder.join(format!(".prepared-{number:012}"))
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

    fn recover(&mut self, number: u64) -> Result<(), SinkError> {
        self.open = None;
        self.rows.forget();
        self.commit(number)?;
        for file in fs::read_dir(&self.folder).map_err(|e| failed(&self.folder, &e))? {
            let path = file.map_err(|e| failed(&self.folder, &e))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let later = |n: &str| n.split('.').next().and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > number);
            // Parts that a restored older checkpoint will write again are taken back with it.
            let over =
                name == ".running" || name.starts_with(".prepared-") || name.strip_prefix("part-").is_some_and(later);
            if over {
                fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
            }
        }
        sync_folder(&self.folder).map_err(|e| failed(&self.folder, &e))
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

    fn recover(&mut self, number: u64) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|s| s.recover(number))
    }
}
