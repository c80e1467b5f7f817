//! Rows out of a chunk of a PostgreSQL table.

use std::io::{self, BufRead};

use super::rows::{Fields, Next};
use crate::pgcopy::{ChunkError, Fault, Header, Kind, Tuple, Tuples};
use crate::sink::Reason;

/// A reader of a chunk's rows.
pub(crate) struct PgRows<'a> {
    tuples: Tuples<Box<dyn BufRead + 'a>>,
    columns: Vec<String>,
    kinds: Vec<Kind>,
    fields: Fields,
}

impl<'a> PgRows<'a> {
    /// Opens a chunk. The inner error is one that cannot be read, with the remedy.
    pub(crate) fn open(mut reader: Box<dyn BufRead + 'a>) -> io::Result<Result<PgRows<'a>, String>> {
        let opened = Header::read(&mut reader).and_then(|header| {
            let tuples = Tuples::new(reader, header.columns.len())?;
            let kinds = header.columns.iter().filter_map(|c| Kind::of(c.oid)).collect();
            let columns = header.columns.into_iter().map(|c| c.name).collect();
            Ok(PgRows { tuples, columns, kinds, fields: Fields::default() })
        });
        match opened {
            Ok(rows) => Ok(Ok(rows)),
            Err(ChunkError::Damaged(detail)) => Ok(Err(detail)),
            Err(ChunkError::Io(e)) => Err(e),
        }
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn typed(&self, field: usize) -> bool {
        self.kinds.get(field).is_some_and(|k| *k != Kind::Text)
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.tuples.read_bytes()
    }

    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        let PgRows { tuples, columns, kinds, fields } = self;
        fields.clear();
        let mut fault = None;
        let tuple = tuples.advance(&mut |at, bytes| {
            if let (Some(bytes), Some(kind)) = (bytes, kinds.get(at))
                && let Err(what) = kind.write(bytes, fields.writer())
            {
                fault.get_or_insert((at, what));
            }
            fields.end();
        })?;
        let row = tuples.row();
        let name = |at: usize| columns.get(at).map_or("", String::as_str);
        Ok(match (tuple, fault) {
            (Tuple::End, _) => Next::End,
            (Tuple::Damaged(detail), _) => Next::Bad(row, Reason::Truncated, detail),
            (Tuple::TooLong(at), _) => {
                let detail = format!("column {}: the row is longer than 8 MiB; shorten it in a view", name(at));
                Next::Bad(row, Reason::LineTooLong, detail)
            }
            (Tuple::Row, None) => Next::Row(row),
            (Tuple::Row, Some((at, Fault::NotUtf8))) => {
                let detail = format!(
                    "column {}: the text is not UTF-8; a database with the encoding SQL_ASCII stores any bytes, mend the row",
                    name(at)
                );
                Next::Bad(row, Reason::NotUtf8, detail)
            }
            (Tuple::Row, Some((at, Fault::Bytes))) => {
                let detail = format!("column {}: the bytes are no value of its type", name(at));
                Next::Bad(row, Reason::Truncated, detail)
            }
        })
    }
}
