//! Lines out of any bytes: bounded in length, numbered, and calm about a stream that breaks off.

use std::io::{self, BufRead};

/// The longest line taken.
pub(crate) const MAX_LINE: usize = 8 * 1024 * 1024;

/// What the next line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line; its bytes, without the line end, are in [`Lines::bytes`].
    Here,
    /// A line of more than [`MAX_LINE`] bytes; it was passed over without being kept.
    TooLong,
    /// The compressed stream broke off within this line; nothing comes after it.
    Truncated,
    /// The end.
    End,
}

/// A reader of lines.
pub(crate) struct Lines<R> {
    reader: R,
    /// The line, where the reader's buffer does not hold all of it.
    line: Vec<u8>,
    /// The bytes of the line that are still in the reader's buffer.
    held: usize,
    number: u64,
    read: u64,
    max: usize,
    over: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Lines<R> {
        Lines { reader, line: Vec::new(), held: 0, number: 0, read: 0, max: MAX_LINE, over: false }
    }

    /// The number of the line last given, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read
    }

    /// The bytes of the line last given, without its line end, and without a UTF-8 byte order mark on line 1.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        let mut bytes = match self.held {
            0 => self.line.as_slice(),
            // What is in the buffer stays there until it is consumed.
            held => self.reader.fill_buf().ok().and_then(|b| b.get(..held)).unwrap_or_default(),
        };
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match self.number {
            1 => bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes),
            _ => bytes,
        }
    }

    /// Goes to the next line.
    pub(crate) fn advance(&mut self) -> io::Result<Line> {
        self.line.clear();
        self.reader.consume(std::mem::take(&mut self.held));
        if self.over {
            return Ok(Line::End);
        }
        let mut length = 0usize;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if broken(&e) => {
                    self.over = true;
                    self.number += 1;
                    return Ok(Line::Truncated);
                }
                Err(e) => return Err(e),
            };
            if buffer.is_empty() {
                self.over = true;
                if length == 0 {
                    return Ok(Line::End);
                }
                break;
            }
            let (taken, ended) = match memchr::memchr(b'\n', buffer) {
                Some(at) => (at + 1, true),
                None => (buffer.len(), false),
            };
            if ended && length == 0 && taken <= self.max {
                self.held = taken;
                self.read += taken as u64;
                self.number += 1;
                return Ok(Line::Here);
            }
            length = length.saturating_add(taken);
            if length <= self.max {
                self.line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
            }
            self.reader.consume(taken);
            self.read += taken as u64;
            if ended {
                break;
            }
        }
        self.number += 1;
        if length > self.max {
            self.line = Vec::new();
            return Ok(Line::TooLong);
        }
        Ok(Line::Here)
    }
}

/// Whether an error means that the compressed stream is short or damaged, and not that the disk failed.
pub(crate) fn broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{BufReader, Cursor, Write};

    use flate2::write::GzEncoder;

    fn all(bytes: &[u8], max: usize) -> Vec<(u64, Line, Vec<u8>)> {
        let mut lines = Lines::new(BufReader::with_capacity(3, Cursor::new(bytes)));
        lines.max = max;
        let mut out = Vec::new();
        loop {
            match lines.advance().unwrap() {
                Line::End => return out,
                line => out.push((lines.number(), line, lines.bytes().to_vec())),
            }
        }
    }

    #[test]
    fn lines_end_in_any_of_three_ways_and_a_mark_is_no_text() {
        let got = all(b"\xEF\xBB\xBFa\r\n\nb", 100);
        let texts: Vec<_> = got.iter().map(|(_, _, t)| t.as_slice()).collect();
        assert_eq!(texts, [b"a".as_slice(), b"", b"b"]);
        assert_eq!(got.last().unwrap().0, 3);
    }

    #[test]
    fn a_long_line_is_passed_over_and_the_next_is_read() {
        let got = all(b"0123456789\nok\n", 5);
        assert_eq!(got[0].1, Line::TooLong);
        assert!(got[0].2.is_empty());
        assert_eq!(got[1], (2, Line::Here, b"ok".to_vec()));
    }

    #[test]
    fn a_gzip_that_breaks_off_keeps_what_came_before() {
        let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for i in 0..5000 {
            writeln!(gz, "line {i} {}", i * 7919 % 1009).unwrap();
        }
        let whole = gz.finish().unwrap();
        let half = &whole[..whole.len() / 2];
        let mut lines = Lines::new(BufReader::new(flate2::read::MultiGzDecoder::new(half)));
        let mut good = 0;
        loop {
            match lines.advance().unwrap() {
                Line::Here => good += 1,
                Line::Truncated => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(good > 1000, "{good}");
        assert_eq!(lines.number(), good + 1);
        assert_eq!(lines.advance().unwrap(), Line::End);
    }
}
