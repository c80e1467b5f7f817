//! Chunks of a PostgreSQL table: what `COPY ... TO STDOUT (FORMAT binary)` sends, behind one line that says what it is.
//!
//! ```text
//! insitu-pgcopy 1 {"table":"person","columns":[{"name":"person_id","oid":23},…],"after":100,"upto":200,…}   \n
//! PGCOPY\n\xff\r\n\0  flags  extension      the server's own bytes from here to the end
//! fields  length bytes  length bytes …      a row; −1 is null
//! −1                                        the end
//! ```
//!
//! The binary form names neither columns nor types, so the line does: a chunk can be read by itself, years later. The first
//! column is the key, a whole number. `after` and `upto` say which keys the chunk covers, so that the files alone say how far a
//! table was read. The line is filled with spaces: its last figures are known when the rows are, and then take their place.
//!
//! The layout is the one of PostgreSQL's manual, "COPY", "Binary Format".
//!
//! * `tuples`: bytes to rows of fields, bounded, calm about any bytes. `value`: a field to text.

mod tuples;
mod value;

use std::io::{self, BufRead};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use self::tuples::{Tuple, Tuples};
pub(crate) use self::value::{Fault, Kind};

/// What every chunk begins with.
pub(crate) const MAGIC: &[u8] = b"insitu-pgcopy 1 ";
/// The longest first line that is read.
const MAX_HEADER: usize = 1 << 20;
/// Room in the line for figures that are not known yet: two keys of 20 digits, a count, a flag.
const ROOM: usize = 96;

/// A column: its name and PostgreSQL's number of its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type's object id in `pg_type`, which is the same at every server for the built-in types.
    pub oid: u32,
}

/// The first line of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The table.
    pub table: String,
    /// Its columns, in the order of a row's fields. The first is the key.
    pub columns: Vec<Column>,
    /// Keys greater than this are here; none where the chunk is the table's first.
    pub after: Option<i64>,
    /// Keys up to this one are here; none while it is not known.
    pub upto: Option<i64>,
    /// Whether no key of the table is greater.
    pub last: bool,
    /// Rows.
    pub rows: u64,
}

/// A chunk that is not one.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its bytes are no whole chunk. The text says where, and holds no value.
    #[error("{0}")]
    Damaged(String),
}

/// What a whole chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Rows.
    pub rows: u64,
    /// The key of the last row, which is the greatest; none without rows.
    pub last_key: Option<i64>,
}

/// Whether values of a type are read, by its number.
pub fn is_read(oid: u32) -> bool {
    Kind::of(oid).is_some()
}

/// Whether a type can be a key: a whole number.
pub fn is_key(oid: u32) -> bool {
    Kind::of(oid).is_some_and(Kind::is_whole)
}

/// The names of the types that are read, for messages.
pub fn types_read() -> String {
    Kind::ALL.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Header {
    /// The line, filled up to `width` bytes; with a width of 0, to one that has room for what is not known yet.
    pub fn line(&self, width: usize) -> Vec<u8> {
        let mut line = MAGIC.to_vec();
        line.extend(serde_json::to_vec(self).unwrap_or_default());
        let width = if width == 0 { line.len() + ROOM } else { width };
        line.resize(width.saturating_sub(1).max(line.len()), b' ');
        line.push(b'\n');
        line
    }

    /// Reads the line of a chunk and leaves the reader behind it.
    ///
    /// # Errors
    /// The bytes are no chunk, or cannot be read.
    pub fn read(reader: &mut dyn BufRead) -> Result<Header, ChunkError> {
        let mut line = Vec::new();
        io::Read::take(&mut *reader, MAX_HEADER as u64).read_until(b'\n', &mut line)?;
        let text = line.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix(b"\n"));
        let Some(text) = text else {
            return Err(ChunkError::Damaged("the first line is none of a chunk; pull the table again".to_owned()));
        };
        let header: Header = serde_json::from_slice(text)
            .map_err(|_| ChunkError::Damaged("the first line cannot be read; pull the table again".to_owned()))?;
        if let Some(c) = header.columns.iter().find(|c| !is_read(c.oid)) {
            let detail =
                format!("column {} has the type {}, which is not read; read are {}", c.name, c.oid, types_read());
            return Err(ChunkError::Damaged(detail));
        }
        Ok(header)
    }

    /// Reads the line of a file.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn of_file(path: &Path) -> Result<Header, ChunkError> {
        Header::read(&mut io::BufReader::new(std::fs::File::open(path)?))
    }
}

/// Reads a chunk from its beginning to its end: every row is whole, no key is smaller than the one before, the end is there.
///
/// # Errors
/// It is no whole chunk, or cannot be read.
pub fn check(mut reader: impl BufRead) -> Result<Checked, ChunkError> {
    let header = Header::read(&mut reader)?;
    let mut tuples = Tuples::new(reader, header.columns.len())?;
    let key = header.columns.first().and_then(|c| Kind::of(c.oid)).filter(|k| k.is_whole());
    let Some(key) = key else {
        return Err(ChunkError::Damaged("the first column is no whole number, so it is no key".to_owned()));
    };
    let mut out = Checked { rows: 0, last_key: None };
    loop {
        let mut found = None;
        let tuple = tuples.advance(&mut |at, bytes| {
            if at == 0 {
                found = bytes.and_then(|b| key.whole(b));
            }
        })?;
        match tuple {
            Tuple::End => return Ok(out),
            Tuple::Damaged(detail) => return Err(ChunkError::Damaged(detail)),
            Tuple::Row | Tuple::TooLong(_) => {
                out.rows += 1;
                if found < out.last_key || found.is_none() {
                    let detail = format!("row {}: the key is null, or smaller than the one before", out.rows);
                    return Err(ChunkError::Damaged(detail));
                }
                out.last_key = found;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
