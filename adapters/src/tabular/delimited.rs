//! Rows out of delimited text: any encoding, quoted fields that may hold line ends, and a way out of a quote that
//! is never closed.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::{CoderResult, Decoder, Encoding};

use super::layout::Layout;
use super::rows::{Fields, Next};
use crate::lines::{Line, Lines};
use crate::sink::Reason;

/// A quoted field runs over this many lines or bytes at most; then the quote is taken for an error.
const MAX_JOINED_LINES: usize = 1000;
const MAX_JOINED_BYTES: usize = 1024 * 1024;

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
                fields.writer().push(c);
                State::Quoted
            }
            State::Closing if Some(c) == quote => {
                fields.writer().push(c);
                State::Quoted
            }
            State::Start | State::Bare | State::Closing if c == delimiter => {
                fields.end();
                State::Start
            }
            State::Start | State::Bare | State::Closing => {
                fields.writer().push(c);
                State::Bare
            }
        };
    }
    if *state == State::Quoted {
        fields.writer().push('\n');
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

/// A reader of delimited rows.
pub(crate) struct Delimited<'a> {
    lines: Lines<Box<dyn BufRead + 'a>>,
    encoding: &'static Encoding,
    /// Whether the bytes went through [`Transcoded`].
    transcoded: bool,
    delimiter: char,
    quote: Option<char>,
    waiting: VecDeque<Physical>,
    fields: Fields,
    /// Whether the first line only names the delimiter, as spreadsheets write it.
    named: bool,
}

/// The candidate that stands most often in the first line, and whether that line has a quote.
fn first_line(bytes: &[u8], candidates: &[char]) -> (Option<char>, bool) {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let count = |c: &char| text.chars().filter(|x| x == c).count();
    let mut best: Option<(char, usize)> = None;
    for candidate in candidates {
        let n = count(candidate);
        if best.is_none_or(|(_, most)| n > most) {
            best = Some((*candidate, n));
        }
    }
    (best.map(|(c, _)| c), text.contains('"'))
}

/// The delimiter that a first line such as `sep=;` names.
fn named_delimiter(bytes: &[u8]) -> Option<char> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let line = text.get(..memchr::memchr(b'\n', text.get(..16.min(text.len()))?)?)?.trim_ascii_end();
    let line = line.strip_prefix(b"\"").and_then(|l| l.strip_suffix(b"\"")).unwrap_or(line);
    match line.split_at_checked(4)? {
        (word, [delimiter]) if word.eq_ignore_ascii_case(b"sep=") && delimiter.is_ascii() => {
            Some(char::from(*delimiter))
        }
        _ => None,
    }
}

impl<'a> Delimited<'a> {
    /// Over a stream. A byte order mark goes before the declared encoding. Of several delimiters the first line decides; the
    /// quote, where the layout leaves it open, is `"`, and none in a file between tabs whose first line has none.
    pub(crate) fn new(mut reader: Box<dyn BufRead + 'a>, layout: &Layout) -> Delimited<'a> {
        // An error here comes again with the first line, which tells it.
        let marked = reader.fill_buf().ok().and_then(Encoding::for_bom).map(|(encoding, _)| encoding);
        let mut encoding = marked.unwrap_or(layout.encoding);
        let transcoded = encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE;
        if transcoded {
            let decoder = encoding.new_decoder_with_bom_removal();
            reader =
                Box::new(BufReader::new(Transcoded { inner: reader, decoder, ready: Vec::new(), at: 0, done: false }));
            encoding = encoding_rs::UTF_8;
        }
        let (found, quoted, named) = match reader.fill_buf() {
            Ok(bytes) => {
                let named = named_delimiter(bytes);
                let rest = match named {
                    Some(_) => memchr::memchr(b'\n', bytes).and_then(|end| bytes.get(end + 1..)).unwrap_or_default(),
                    None => bytes,
                };
                let (found, quoted) = first_line(rest, &layout.delimiters);
                (named.filter(|d| layout.delimiters.contains(d)).or(found), quoted, named.is_some())
            }
            Err(_) => (None, false, false),
        };
        let delimiter = found.unwrap_or(',');
        let quote = layout.quote.unwrap_or(if delimiter == '\t' && !quoted { None } else { Some('"') });
        Delimited {
            lines: Lines::new(reader),
            encoding,
            transcoded,
            delimiter,
            quote,
            waiting: VecDeque::new(),
            fields: Fields::default(),
            named,
        }
    }

    /// What stands between the cells.
    pub(crate) fn delimiter(&self) -> char {
        self.delimiter
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
        self.line()
    }

    /// The next line of the stream.
    fn line(&mut self) -> io::Result<Physical> {
        let line = self.lines.advance()?;
        Ok(self.judge(line))
    }

    /// What the line last given is.
    fn judge(&mut self, line: Line) -> Physical {
        let number = self.lines.number();
        let bad = |reason, detail: &str| Physical::Bad(number, reason, detail.to_owned());
        match line {
            Line::End => Physical::End,
            Line::TooLong => bad(Reason::LineTooLong, "the line is over 8 MiB; export the file again"),
            Line::Truncated => bad(Reason::Truncated, "the file breaks off here; copy it again and ingest it again"),
            Line::Here => {
                let bytes = self.lines.bytes();
                if memchr::memchr(0, bytes).is_some() {
                    return bad(
                        Reason::NotText,
                        "the line holds NUL bytes; is this a text file, and is its encoding right?",
                    );
                }
                match self.encoding.decode_without_bom_handling_and_without_replacement(bytes) {
                    // The UTF-16 reader writes this character for what it could not decode.
                    Some(text) if !(self.transcoded && text.contains('\u{FFFD}')) => {
                        Physical::Text(number, text.into_owned())
                    }
                    _ => bad(
                        Reason::NotUtf8,
                        &format!("the line is not {}; set encoding in the mapping", self.encoding.name()),
                    ),
                }
            }
        }
    }

    /// The next row where nothing about it is special: a line of UTF-8 without a quote. It is looked at once and copied once.
    /// A line that is special is put where [`Self::physical`] finds it.
    fn plain(&mut self) -> io::Result<Option<Next>> {
        let Ok(delimiter) = u8::try_from(self.delimiter).map_err(|_| ()) else { return Ok(None) };
        if !self.waiting.is_empty() || self.encoding != encoding_rs::UTF_8 || self.transcoded || !delimiter.is_ascii() {
            return Ok(None);
        }
        let line = self.lines.advance()?;
        if line == Line::Here {
            let bytes = self.lines.bytes();
            let special =
                memchr::memchr2(0, self.quote.and_then(|q| u8::try_from(q).ok()).unwrap_or(0), bytes).is_some();
            let ascii = self.quote.is_none_or(|q| q.is_ascii());
            if !special
                && ascii
                && let Ok(text) = std::str::from_utf8(bytes)
                && !text.trim_start().is_empty()
            {
                self.fields.plain(text, delimiter);
                return Ok(Some(Next::Row(self.lines.number())));
            }
        }
        let next = self.judge(line);
        self.waiting.push_front(next);
        Ok(None)
    }

    /// Goes to the next row. Blank lines are no rows.
    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        if std::mem::take(&mut self.named) {
            self.lines.advance()?;
        }
        if let Some(next) = self.plain()? {
            return Ok(next);
        }
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
                    if joined.len() < MAX_JOINED_LINES && self.fields.writer().len() < MAX_JOINED_BYTES =>
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
