//! Rows of fields out of the bytes of a binary COPY.

use std::io::{self, BufRead};

use super::ChunkError;
use crate::lines::{MAX_LINE, broken};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Bytes that are asked for at once.
const STEP: usize = 64 * 1024;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tuple {
    /// A row; its fields were handed over.
    Row,
    /// A row with a field, by its number, that is longer than is taken. Its other fields were handed over.
    TooLong(usize),
    /// The bytes are no whole row; nothing comes after it.
    Damaged(String),
    /// The end, which the server marks.
    End,
}

/// A window over a reader.
struct Window<R> {
    reader: R,
    bytes: Vec<u8>,
    at: usize,
    read: u64,
}

impl<R: BufRead> Window<R> {
    /// The next `n` bytes, or `None` where the stream ends before.
    fn take(&mut self, n: usize) -> io::Result<Option<&[u8]>> {
        if self.bytes.len() - self.at < n && !self.fill(n)? {
            return Ok(None);
        }
        let from = self.at;
        self.at += n;
        Ok(self.bytes.get(from..self.at))
    }

    /// Reads until `n` bytes are there; says whether they are.
    fn fill(&mut self, n: usize) -> io::Result<bool> {
        self.bytes.drain(..self.at);
        self.at = 0;
        while self.bytes.len() < n.max(STEP) {
            let got = match self.reader.fill_buf() {
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if broken(&e) => break,
                Err(e) => return Err(e),
            };
            if got.is_empty() {
                break;
            }
            let taken = got.len();
            self.bytes.extend_from_slice(got);
            self.reader.consume(taken);
            self.read += taken as u64;
        }
        Ok(self.bytes.len() >= n)
    }

    fn skip(&mut self, mut n: usize) -> io::Result<bool> {
        while n > 0 {
            let step = n.min(STEP);
            if self.take(step)?.is_none() {
                return Ok(false);
            }
            n -= step;
        }
        Ok(true)
    }

    fn i16(&mut self) -> io::Result<Option<i16>> {
        Ok(self.take(2)?.and_then(|b| b.try_into().ok()).map(i16::from_be_bytes))
    }

    fn i32(&mut self) -> io::Result<Option<i32>> {
        Ok(self.take(4)?.and_then(|b| b.try_into().ok()).map(i32::from_be_bytes))
    }
}

/// A reader of rows.
pub(crate) struct Tuples<R> {
    window: Window<R>,
    width: usize,
    row: u64,
    over: bool,
}

impl<R: BufRead> Tuples<R> {
    /// Reads what stands before the rows, each of which has `width` fields.
    pub(crate) fn new(reader: R, width: usize) -> Result<Tuples<R>, ChunkError> {
        let mut window = Window { reader, bytes: Vec::new(), at: 0, read: 0 };
        let damaged = || ChunkError::Damaged("this is no binary COPY of PostgreSQL; pull the table again".to_owned());
        if window.take(SIGNATURE.len())? != Some(SIGNATURE) {
            return Err(damaged());
        }
        let flags = window.i32()?.ok_or_else(damaged)?;
        // Bits 16 to 31 say what a reader has to know; bit 16 is for row ids, which no server writes any more.
        if flags & !0xffff != 0 {
            return Err(ChunkError::Damaged("the server wrote a form of binary COPY that is not read".to_owned()));
        }
        let extension = window.i32()?.and_then(|n| usize::try_from(n).ok()).ok_or_else(damaged)?;
        if !window.skip(extension)? {
            return Err(damaged());
        }
        Ok(Tuples { window, width, row: 0, over: false })
    }

    /// Bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.window.read
    }

    /// The number of the row last given, from 1.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    fn damaged(&mut self, what: &str) -> Tuple {
        self.over = true;
        Tuple::Damaged(format!("row {}: {what}; pull the table again", self.row))
    }

    /// Goes to the next row and hands over each of its fields: its number, and its bytes unless it is null.
    pub(crate) fn advance(&mut self, each: &mut dyn FnMut(usize, Option<&[u8]>)) -> io::Result<Tuple> {
        if self.over {
            return Ok(Tuple::End);
        }
        self.row += 1;
        match self.window.i16()? {
            Some(-1) => {
                if self.window.take(1)?.is_some() {
                    return Ok(self.damaged("there are bytes behind the end"));
                }
                self.over = true;
                return Ok(Tuple::End);
            }
            Some(n) if usize::try_from(n).is_ok_and(|n| n == self.width) => {}
            Some(n) => return Ok(self.damaged(&format!("{n} fields where {} belong", self.width))),
            None => return Ok(self.damaged("the chunk ends without its end mark")),
        }
        let mut total = 0;
        let mut long = None;
        for field in 0..self.width {
            let Some(length) = self.window.i32()? else { return Ok(self.damaged("the chunk ends within a row")) };
            if length == -1 {
                each(field, None);
                continue;
            }
            let Ok(length) = usize::try_from(length) else {
                return Ok(self.damaged("a field has a length below zero"));
            };
            total += length;
            let whole = if total > MAX_LINE {
                long.get_or_insert(field);
                self.window.skip(length)?
            } else {
                match self.window.take(length)? {
                    Some(bytes) => {
                        each(field, Some(bytes));
                        true
                    }
                    None => false,
                }
            };
            if !whole {
                return Ok(self.damaged("the chunk ends within a row"));
            }
        }
        Ok(long.map_or(Tuple::Row, Tuple::TooLong))
    }
}
