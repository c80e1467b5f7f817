//! Messages out of any bytes: whatever ends their segments and whatever lies between them, in bounded memory.
//!
//! A segment ends at CR, LF or CRLF. A message begins at `MSH` and ends at the next one, at a batch segment (`FHS`,
//! `BHS`, `BTS`, `FTS`), at the end block of MLLP (1C), or with the file. Blank lines and start blocks (0B) are
//! passed over. A line that is no segment goes on with the one before it: a text that was broken in two.

use std::io::{self, BufRead};

use crate::lines::{MAX_LINE, broken};

/// The longest message taken.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The most segments of a message.
pub(crate) const MAX_SEGMENTS: usize = 65_536;

/// What comes next in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message; see [`Frames::message`].
    Message,
    /// Text that belongs to no message; told once for each stretch of it.
    Stray,
    /// A message that passed a limit, which is named; nothing of it was kept.
    Over(&'static str),
    /// The compressed stream broke off; the message it broke is dropped.
    Truncated,
    /// The end.
    End,
}

/// Where a segment lies in its message, and on which line of the file it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last.
    pub(crate) end: usize,
    /// The line, from 1.
    pub(crate) line: u64,
}

/// The bounds on what is held in memory.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a segment.
    pub(crate) segment: usize,
    /// Bytes of a message.
    pub(crate) message: usize,
    /// Segments of a message.
    pub(crate) segments: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { segment: MAX_LINE, message: MAX_MESSAGE, segments: MAX_SEGMENTS }
    }
}

/// What a line is to its message.
enum Line {
    Blank,
    Header,
    Batch,
    Segment,
    Other,
}

/// A reader of messages.
pub(crate) struct Frames<R> {
    reader: R,
    bounds: Bounds,
    /// The message, and behind `tail` the line being read.
    bytes: Vec<u8>,
    tail: usize,
    spans: Vec<Span>,
    /// The header of the next message, read while the one before it was finished.
    next: Option<Span>,
    over: Option<&'static str>,
    line_over: bool,
    /// The line of the first document of the message that was over the limit, and whether its lines still come.
    left_out: Option<u64>,
    leaving: bool,
    stray: bool,
    after_cr: bool,
    line: u64,
    first_line: u64,
    number: u64,
    read: u64,
    ended: bool,
}

impl<R: BufRead> Frames<R> {
    /// A reader from the beginning of a file.
    pub(crate) fn new(reader: R, bounds: Bounds) -> Frames<R> {
        Frames {
            reader,
            bounds,
            bytes: Vec::new(),
            tail: 0,
            spans: Vec::new(),
            next: None,
            over: None,
            line_over: false,
            left_out: None,
            leaving: false,
            stray: false,
            after_cr: false,
            line: 1,
            first_line: 1,
            number: 0,
            read: 0,
            ended: false,
        }
    }

    /// The number of the message last given, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The line on which what was last given began.
    pub(crate) fn began(&self) -> u64 {
        self.first_line
    }

    /// The bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read
    }

    /// The message last given: its bytes and its segments.
    pub(crate) fn message(&self) -> (&[u8], &[Span]) {
        (&self.bytes, &self.spans)
    }

    /// The line of a document that the message last given was too long for, and is without.
    pub(crate) fn left_out(&self) -> Option<u64> {
        self.left_out
    }

    /// Forgets the message last given; the header of the next one moves to the front.
    fn turn(&mut self) {
        self.spans.clear();
        (self.over, self.left_out, self.leaving) = (None, None, false);
        match self.next.take() {
            Some(span) => {
                self.bytes.drain(..span.start.min(self.bytes.len()));
                let end = span.end.saturating_sub(span.start);
                self.spans.push(Span { start: 0, end, line: span.line });
            }
            None => self.bytes.clear(),
        }
        self.tail = self.bytes.len();
        if self.line_over {
            self.over = Some("a segment is over 8 MiB");
            self.line_over = false;
        }
    }

    fn inside(&self) -> bool {
        !self.spans.is_empty() || self.over.is_some()
    }

    /// Gives the message that is complete.
    fn give(&mut self) -> Frame {
        self.number += 1;
        self.stray = false;
        self.first_line = self.spans.first().map_or(self.line, |s| s.line);
        match self.over {
            Some(limit) => Frame::Over(limit),
            None => Frame::Message,
        }
    }

    /// Goes to the next frame.
    ///
    /// # Errors
    /// The disk's own. A compressed stream that breaks off is [`Frame::Truncated`].
    pub(crate) fn advance(&mut self) -> io::Result<Frame> {
        self.turn();
        while !self.ended {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if broken(&e) => {
                    self.ended = true;
                    self.first_line = self.line;
                    self.number += 1;
                    return Ok(Frame::Truncated);
                }
                Err(e) => return Err(e),
            };
            if buffer.is_empty() {
                self.ended = true;
                if let Some(frame) = self.end_line() {
                    // A header at the very end is a message of its own; it is given at the next call.
                    self.ended = self.next.is_none();
                    return Ok(frame);
                }
                break;
            }
            if std::mem::take(&mut self.after_cr) && buffer.first() == Some(&b'\n') {
                self.reader.consume(1);
                self.read += 1;
                continue;
            }
            let at = memchr::memchr3(b'\r', b'\n', 0x1c, buffer);
            let text = buffer.get(..at.unwrap_or(buffer.len())).unwrap_or_default();
            let room = self.bounds.segment.saturating_sub(self.bytes.len() - self.tail);
            if !self.line_over {
                self.bytes.extend_from_slice(text.get(..room).unwrap_or(text));
                self.line_over = text.len() > room;
            }
            if self.line_over {
                // What the line begins with is enough to know what it is.
                self.bytes.truncate(self.tail + 16);
            }
            let end = at.and_then(|at| buffer.get(at).copied());
            let taken = text.len() + usize::from(end.is_some());
            self.reader.consume(taken);
            self.read += taken as u64;
            let Some(end) = end else { continue };
            let frame = self.end_line();
            if end == 0x1c {
                if frame.is_none() && self.inside() {
                    return Ok(self.give());
                }
            } else {
                self.line += 1;
                self.after_cr = end == b'\r';
            }
            if let Some(frame) = frame {
                return Ok(frame);
            }
        }
        Ok(if self.inside() { self.give() } else { Frame::End })
    }

    /// Takes in the line that has ended; a frame, where it completes one.
    fn end_line(&mut self) -> Option<Frame> {
        let text = self.bytes.get(self.tail..).unwrap_or_default();
        let lead = lead(text);
        let kind = classify(
            text.get(lead..).unwrap_or_default(),
            self.spans.first().and_then(|s| self.bytes.get(s.start + 3)),
        );
        let span = Span { start: self.tail + lead, end: self.bytes.len(), line: self.line };
        // A document has no place in the schema, so that one too long costs no other result.
        let document = self.line_over && is_document(text.get(lead..).unwrap_or_default());
        self.leaving = match kind {
            Line::Segment => document && self.inside(),
            Line::Other => self.leaving,
            _ => false,
        };
        match kind {
            Line::Segment | Line::Other if self.leaving => {
                self.left_out.get_or_insert(self.line);
                self.drop_tail();
            }
            Line::Header if self.inside() => {
                self.next = Some(span);
                self.tail = self.bytes.len();
                return Some(self.give());
            }
            Line::Header => {
                self.bytes.drain(..span.start);
                self.spans.push(Span { start: 0, end: self.bytes.len(), line: self.line });
            }
            Line::Batch => {
                let ends = self.inside();
                self.drop_tail();
                if ends {
                    return Some(self.give());
                }
            }
            Line::Blank => self.drop_tail(),
            Line::Segment if self.inside() => self.spans.push(span),
            Line::Other if self.inside() => self.join(span),
            Line::Segment | Line::Other => {
                self.drop_tail();
                if !std::mem::replace(&mut self.stray, true) {
                    self.first_line = self.line;
                    return Some(Frame::Stray);
                }
            }
        }
        self.bound();
        self.tail = self.bytes.len();
        None
    }

    fn drop_tail(&mut self) {
        self.bytes.truncate(self.tail);
        self.line_over = false;
    }

    /// Goes on with the segment before: the line end within a text reads as a space.
    fn join(&mut self, span: Span) {
        let Some(last) = self.spans.last_mut() else { return };
        if last.end == self.tail {
            self.bytes.insert(self.tail, b' ');
            last.end = span.end + 1;
        } else {
            last.end = span.end;
        }
    }

    /// Lets go of a message that is over a limit.
    fn bound(&mut self) {
        if self.line_over {
            self.over = Some("a segment is over 8 MiB");
        } else if self.bytes.len() > self.bounds.message {
            self.over = Some("the message is over 16 MiB");
        } else if self.spans.len() > self.bounds.segments {
            self.over = Some("the message has over 65,536 segments");
        }
        self.line_over = false;
        if self.over.is_some() {
            self.spans.truncate(1);
            let keep = self.spans.first().map_or(0, |s| s.end);
            self.bytes.truncate(keep);
        }
    }
}

/// Whether a segment is an OBX of a document, by its beginning: its separator is behind the name.
fn is_document(text: &[u8]) -> bool {
    let Some((b"OBX", [separator, rest @ ..])) = text.split_at_checked(3) else { return false };
    rest.split(|b| b == separator).nth(1) == Some(b"ED".as_slice())
}

/// How many bytes before the text are byte order marks and start blocks.
fn lead(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        rest = match rest {
            [0x0b, tail @ ..] | [0xef, 0xbb, 0xbf, tail @ ..] => tail,
            _ => return text.len() - rest.len(),
        };
    }
}

fn classify(text: &[u8], separator: Option<&u8>) -> Line {
    let (name, after) = match text {
        [] => return Line::Blank,
        [a, b, c, rest @ ..] => ([*a, *b, *c], rest.first()),
        _ if text.iter().all(u8::is_ascii_whitespace) => return Line::Blank,
        _ => return Line::Other,
    };
    let mark = |b: &u8| b.is_ascii_graphic() && !b.is_ascii_alphanumeric();
    match &name {
        b"MSH" if after.is_some_and(mark) => return Line::Header,
        b"FHS" | b"BHS" | b"BTS" | b"FTS" if after.is_none_or(mark) => return Line::Batch,
        _ => {}
    }
    let named = name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && name.first().is_some_and(u8::is_ascii_uppercase);
    match after {
        None if named => Line::Segment,
        Some(b) if named && separator.is_none_or(|s| s == b) => Line::Segment,
        _ if text.iter().all(u8::is_ascii_whitespace) => Line::Blank,
        _ => Line::Other,
    }
}
