//! Rows of any file: the fields of one, and the readers that give them.

use std::io::{self, BufRead};

use super::delimited::Delimited;
use super::layout::Layout;
use super::parquet::ParquetRows;
use super::pgcopy::PgRows;
use crate::pgcopy::MAGIC;
use crate::sink::{Place, Reason};

/// The fields of one row, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: String,
    spans: Vec<(usize, usize)>,
    from: usize,
}

impl Fields {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// One field, trimmed.
    pub(crate) fn get(&self, i: usize) -> Option<&str> {
        let (start, end) = *self.spans.get(i)?;
        let text = self.text.get(start..end)?;
        // Most cells have nothing to trim, and a look at both ends says so.
        let plain = |b: Option<&u8>| b.is_none_or(u8::is_ascii_graphic);
        let bytes = text.as_bytes();
        Some(if plain(bytes.first()) && plain(bytes.last()) { text } else { text.trim() })
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.from = 0;
    }

    /// Where the text of the field in hand is written to.
    pub(crate) fn writer(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends the field in hand.
    pub(crate) fn end(&mut self) {
        self.spans.push((self.from, self.text.len()));
        self.from = self.text.len();
    }

    /// Takes a whole line whose fields stand between one byte; there is no quote in it.
    pub(crate) fn plain(&mut self, line: &str, delimiter: u8) {
        self.clear();
        self.text.push_str(line);
        let mut start = 0;
        for at in memchr::memchr_iter(delimiter, line.as_bytes()) {
            self.spans.push((start, at));
            start = at + 1;
        }
        self.spans.push((start, line.len()));
        self.from = line.len();
    }
}

/// What comes next.
pub(crate) enum Next {
    /// A row; its fields are in [`Rows::fields`].
    Row(u64),
    /// A line that is no row.
    Bad(u64, Reason, String),
    /// The end.
    End,
}

/// A reader of rows.
pub(crate) enum Rows<'a> {
    Delimited(Delimited<'a>),
    Parquet(Box<ParquetRows>),
    PgCopy(Box<PgRows<'a>>),
}

/// What a file is: rows, or a typed file that cannot be opened.
pub(crate) enum Opened<'a> {
    Rows(Rows<'a>),
    Unreadable(String),
}

/// Opens a file's rows by its first bytes. `wanted` says which columns of a Parquet file are read.
pub(crate) fn open<'a>(
    mut reader: Box<dyn BufRead + 'a>,
    place: Place<'_>,
    layout: &Layout,
    wanted: &dyn Fn(&str) -> bool,
) -> io::Result<Opened<'a>> {
    // An error here comes again with the first line, which tells it.
    let (parquet, pgcopy) = match reader.fill_buf() {
        Ok(bytes) => (bytes.starts_with(b"PAR1"), bytes.starts_with(MAGIC)),
        Err(_) => (false, false),
    };
    if pgcopy {
        return Ok(match PgRows::open(reader)? {
            Ok(rows) => Opened::Rows(Rows::PgCopy(Box::new(rows))),
            Err(detail) => Opened::Unreadable(detail),
        });
    }
    if !parquet {
        return Ok(Opened::Rows(Rows::Delimited(Delimited::new(reader, layout))));
    }
    let Some(path) = place.path else {
        return Ok(Opened::Unreadable("Parquet is read from a file, and this is a stream; ingest the file".to_owned()));
    };
    Ok(match ParquetRows::open(path, wanted)? {
        Ok(rows) => Opened::Rows(Rows::Parquet(Box::new(rows))),
        Err(detail) => Opened::Unreadable(detail),
    })
}

impl Rows<'_> {
    /// The fields of the row last given.
    pub(crate) fn fields(&self) -> &Fields {
        match self {
            Rows::Delimited(rows) => rows.fields(),
            Rows::Parquet(rows) => rows.fields(),
            Rows::PgCopy(rows) => rows.fields(),
        }
    }

    /// What stands between the cells, of text.
    pub(crate) fn delimiter(&self) -> Option<char> {
        match self {
            Rows::Delimited(rows) => Some(rows.delimiter()),
            Rows::Parquet(_) | Rows::PgCopy(_) => None,
        }
    }

    /// The names of the columns, where the file has them apart from its rows.
    pub(crate) fn columns(&self) -> Option<&[String]> {
        match self {
            Rows::Delimited(_) => None,
            Rows::Parquet(rows) => Some(rows.columns()),
            Rows::PgCopy(rows) => Some(rows.columns()),
        }
    }

    /// Columns that are read and that hold no cells.
    pub(crate) fn nested(&self) -> Vec<String> {
        match self {
            Rows::Parquet(rows) => rows.nested().to_vec(),
            Rows::Delimited(_) | Rows::PgCopy(_) => Vec::new(),
        }
    }

    /// Whether the file itself gives a field its type, so that the mapping's dates and decimals do not matter.
    pub(crate) fn typed(&self, field: usize) -> bool {
        match self {
            Rows::Delimited(_) => false,
            Rows::Parquet(rows) => rows.typed(field),
            Rows::PgCopy(rows) => rows.typed(field),
        }
    }

    /// Bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        match self {
            Rows::Delimited(rows) => rows.read_bytes(),
            Rows::Parquet(rows) => rows.read_bytes(),
            Rows::PgCopy(rows) => rows.read_bytes(),
        }
    }

    /// Goes to the next row.
    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        match self {
            Rows::Delimited(rows) => rows.advance(),
            Rows::Parquet(rows) => rows.advance(),
            Rows::PgCopy(rows) => rows.advance(),
        }
    }
}
