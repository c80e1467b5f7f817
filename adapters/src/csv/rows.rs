//! Rows out of delimited text: any encoding, quoted fields that may hold line ends, and a way out of a quote that
//! is never closed.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::{CoderResult, Decoder, Encoding};

use crate::lines::{Line, Lines};
use crate::sink::Reason;

/// A quoted field runs over this many lines or bytes at most; then the quote is taken for an error.
const MAX_JOINED_LINES: usize = 1000;
const MAX_JOINED_BYTES: usize = 1024 * 1024;

/// The fields of one row.
#[derive(Default)]
pub(crate) struct Fields {
    text: String,
    ends: Vec<usize>,
}

impl Fields {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One field, trimmed.
    pub(crate) fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)?;
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        self.text.get(start..end).map(str::trim)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn end(&mut self) {
        self.ends.push(self.text.len());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Bare,
    Quoted,
    /// Behind a quote inside a quoted field: its end, or half of a doubled quote.
    Closing,
}

/// Adds a line's fields. Returns `true` where the row is complete, `false` where a quote is open.
fn split(text: &str, delimiter: char, quote: Option<char>, state: &mut State, fields: &mut Fields) -> bool {
    for c in text.chars() {
        *state = match *state {
            State::Start if Some(c) == quote => State::Quoted,
            State::Quoted if Some(c) == quote => State::Closing,
            State::Quoted => {
                fields.text.push(c);
                State::Quoted
            }
            State::Closing if Some(c) == quote => {
                fields.text.push(c);
                State::Quoted
            }
            State::Start | State::Bare | State::Closing if c == delimiter => {
                fields.end();
                State::Start
            }
            State::Start | State::Bare | State::Closing => {
                fields.text.push(c);
                State::Bare
            }
        };
    }
    if *state == State::Quoted {
        fields.text.push('\n');
        return false;
    }
    fields.end();
    true
}

/// One physical line, decoded.
enum Physical {
    Text(u64, String),
    Bad(u64, Reason, String),
    End,
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
pub(crate) struct Rows<'a> {
    lines: Lines<Box<dyn BufRead + 'a>>,
    encoding: &'static Encoding,
    delimiter: char,
    quote: Option<char>,
    waiting: VecDeque<Physical>,
    fields: Fields,
}

impl<'a> Rows<'a> {
    /// Over a stream. A byte order mark goes before the declared encoding.
    pub(crate) fn new(
        mut reader: Box<dyn BufRead + 'a>,
        declared: &'static Encoding,
        delimiter: char,
        quote: Option<char>,
    ) -> Rows<'a> {
        // An error here comes again with the first line, which tells it.
        let marked = reader.fill_buf().ok().and_then(Encoding::for_bom).map(|(encoding, _)| encoding);
        let mut encoding = marked.unwrap_or(declared);
        if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE {
            let decoder = encoding.new_decoder_with_bom_removal();
            reader =
                Box::new(BufReader::new(Transcoded { inner: reader, decoder, ready: Vec::new(), at: 0, done: false }));
            encoding = encoding_rs::UTF_8;
        }
        Rows {
            lines: Lines::new(reader),
            encoding,
            delimiter,
            quote,
            waiting: VecDeque::new(),
            fields: Fields::default(),
        }
    }

    /// The fields of the row last given.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.lines.read_bytes()
    }

    fn physical(&mut self) -> io::Result<Physical> {
        if let Some(line) = self.waiting.pop_front() {
            return Ok(line);
        }
        let line = self.lines.advance()?;
        let number = self.lines.number();
        let bad = |reason, detail: String| Ok(Physical::Bad(number, reason, detail));
        match line {
            Line::End => Ok(Physical::End),
            Line::TooLong => bad(Reason::LineTooLong, "the line is over 8 MiB; export the file again".to_owned()),
            Line::Truncated => {
                bad(Reason::Truncated, "the file breaks off here; copy it again and ingest it again".to_owned())
            }
            Line::Here => {
                let bytes = self.lines.bytes();
                if bytes.contains(&0) {
                    let detail = "the line holds NUL bytes; is this a text file, and is its encoding right?";
                    return bad(Reason::NotText, detail.to_owned());
                }
                match self.encoding.decode_without_bom_handling_and_without_replacement(bytes) {
                    // Only the UTF-16 reader writes this character, for what it could not decode.
                    Some(text) if !text.contains('\u{FFFD}') => Ok(Physical::Text(number, text.into_owned())),
                    _ => bad(
                        Reason::NotUtf8,
                        format!("the line is not {}; set encoding in the mapping", self.encoding.name()),
                    ),
                }
            }
        }
    }

    /// Goes to the next row. Blank lines are no rows.
    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        let (first, text) = loop {
            match self.physical()? {
                Physical::End => return Ok(Next::End),
                Physical::Bad(line, reason, detail) => return Ok(Next::Bad(line, reason, detail)),
                Physical::Text(_, text) if text.trim().is_empty() => {}
                Physical::Text(line, text) => break (line, text),
            }
        };
        self.fields.clear();
        let mut state = State::Start;
        if split(&text, self.delimiter, self.quote, &mut state, &mut self.fields) {
            return Ok(Next::Row(first));
        }
        // A quote is open: the next lines may belong to the field. They are kept until that is sure.
        let mut joined = VecDeque::new();
        loop {
            let next = self.physical()?;
            let closed = match &next {
                Physical::Text(_, text)
                    if joined.len() < MAX_JOINED_LINES && self.fields.text.len() < MAX_JOINED_BYTES =>
                {
                    split(text, self.delimiter, self.quote, &mut state, &mut self.fields)
                }
                Physical::End => {
                    self.give_back(joined);
                    break;
                }
                _ => {
                    joined.push_back(next);
                    self.give_back(joined);
                    break;
                }
            };
            if closed {
                return Ok(Next::Row(first));
            }
            joined.push_back(next);
        }
        let detail = "a quoted field is never closed; fix the row, or set quote = \"\" if the file quotes nothing";
        Ok(Next::Bad(first, Reason::OpenQuote, detail.to_owned()))
    }

    fn give_back(&mut self, lines: VecDeque<Physical>) {
        for line in lines.into_iter().rev() {
            self.waiting.push_front(line);
        }
    }
}

/// UTF-16 to UTF-8, so that lines can be found.
struct Transcoded<'a> {
    inner: Box<dyn BufRead + 'a>,
    decoder: Decoder,
    ready: Vec<u8>,
    at: usize,
    done: bool,
}

impl Read for Transcoded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.ready.len() && !self.done {
            let input = self.inner.fill_buf()?;
            let last = input.is_empty();
            self.ready.resize(16 * 1024, 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(input, &mut self.ready, last);
            self.inner.consume(read);
            self.ready.truncate(written);
            self.at = 0;
            self.done = last && result == CoderResult::InputEmpty;
        }
        let from = self.ready.get(self.at..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
