//! JSON of any size, piece by piece: each entry of a Bundle, each element of an array, or a whole resource.
//!
//! A piece is held, a Bundle is not. The walk knows strings, brackets and lines and nothing else of JSON: whether a piece is well
//! formed, its parser says. A piece that is too large or nested too deep is passed over, and the next one is read.

use std::io::{self, BufRead};

use crate::lines::{MAX_LINE, broken};
use crate::sink::Reason;

/// The most bytes of one resource.
const MOST: usize = MAX_LINE;
/// The deepest nesting of one resource.
const DEEPEST: usize = 100;

/// What comes next. The bytes are in [`Pieces::bytes`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// An entry of a Bundle, counted from 0.
    Entry(u64),
    /// A whole resource.
    Whole,
    /// Something that could not be read; `None` outside any entry.
    Fault(Option<u64>, Reason, &'static str),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    /// In the members of the outermost object.
    Object,
    /// In `entry` of a Bundle, or in an outermost array.
    List {
        bundle: bool,
    },
    Over,
}

/// How the capture of a value ended.
enum Taken {
    Whole,
    TooLarge,
    TooDeep,
    Cut,
}

/// A walk through JSON.
pub(super) struct Pieces<R> {
    reader: R,
    buf: Vec<u8>,
    head: Vec<u8>,
    key: Vec<u8>,
    at: At,
    number: u64,
    line: u64,
    began: u64,
    read: u64,
    had_entries: bool,
    one_a_line: bool,
    cut: bool,
    /// The rest is not looked at.
    faulty: Option<(Reason, &'static str)>,
}

impl<R: BufRead> Pieces<R> {
    pub(super) fn new(reader: R) -> Pieces<R> {
        Pieces {
            reader,
            buf: Vec::new(),
            head: Vec::new(),
            key: Vec::new(),
            at: At::Top,
            number: 0,
            line: 1,
            began: 1,
            read: 0,
            had_entries: false,
            one_a_line: false,
            cut: false,
            faulty: None,
        }
    }

    /// The bytes of the piece last given.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// What of the outermost object stands before the piece last given, up to the last member that was passed.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The line on which the piece last given begins, from 1.
    pub(super) fn start_line(&self) -> u64 {
        self.began
    }

    /// The bytes read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read
    }

    /// The next byte, without taking it; `None` at the end, also where a compressed stream breaks off.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if broken(&e) => {
                    self.cut = true;
                    return Ok(None);
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn take(&mut self, byte: u8) {
        self.reader.consume(1);
        self.read += 1;
        self.line += u64::from(byte == b'\n');
    }

    /// The next byte that is neither blank nor one of those that only part.
    fn next_of(&mut self, parts: &[u8]) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() && !parts.contains(&byte) {
                return Ok(Some(byte));
            }
            self.take(byte);
        }
        Ok(None)
    }

    /// Takes a whole value into `buf`.
    fn capture(&mut self) -> io::Result<Taken> {
        self.buf.clear();
        let (mut depth, mut deepest, mut size) = (0usize, 0usize, 0usize);
        let (mut text, mut escaped) = (false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if broken(&e) => {
                    self.cut = true;
                    return Ok(Taken::Cut);
                }
                Err(e) => return Err(e),
            };
            if buffer.is_empty() {
                return Ok(Taken::Cut);
            }
            let (mut used, mut done) = (buffer.len(), false);
            let mut at = 0;
            while let Some(rest) = buffer.get(at..).filter(|r| !r.is_empty()) {
                if text {
                    if escaped {
                        escaped = false;
                        at += 1;
                        continue;
                    }
                    let Some(found) = memchr::memchr2(b'"', b'\\', rest) else { break };
                    at += found + 1;
                    match rest.get(found) {
                        Some(b'\\') => escaped = true,
                        _ => text = false,
                    }
                    if !text && depth == 0 {
                        (used, done) = (at, true);
                        break;
                    }
                    continue;
                }
                // Outside of texts brackets are never far.
                let Some(found) = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']' | b',')) else {
                    break;
                };
                let byte = rest.get(found).copied().unwrap_or_default();
                at += found;
                match byte {
                    b'"' => text = true,
                    b'{' | b'[' => {
                        depth += 1;
                        deepest = deepest.max(depth);
                    }
                    // A bare value ends before what follows it.
                    _ if depth == 0 => {
                        (used, done) = (at, true);
                        break;
                    }
                    b',' => {}
                    _ => {
                        depth -= 1;
                        if depth == 0 {
                            (used, done) = (at + 1, true);
                            break;
                        }
                    }
                }
                at += 1;
            }
            let taken = buffer.get(..used).unwrap_or_default();
            size = size.saturating_add(used);
            if size <= MOST {
                self.buf.extend_from_slice(taken);
            }
            self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
            self.reader.consume(used);
            self.read += used as u64;
            if done {
                break;
            }
        }
        if size > MOST {
            self.buf = Vec::new();
            return Ok(Taken::TooLarge);
        }
        Ok(if deepest > DEEPEST { Taken::TooDeep } else { Taken::Whole })
    }

    fn cut_off(&mut self, entry: Option<u64>) -> Piece {
        self.at = At::Over;
        Piece::Fault(entry, Reason::Truncated, "the file breaks off here; copy it again and ingest it again")
    }

    fn over(&mut self, detail: &'static str) -> Piece {
        self.at = At::Over;
        Piece::Fault(None, Reason::BadJson, detail)
    }

    /// Passes over the rest of the line.
    fn pass_line(&mut self) -> io::Result<()> {
        while let Some(byte) = self.peek()? {
            self.take(byte);
            if byte == b'\n' {
                break;
            }
        }
        Ok(())
    }

    /// Goes to the next piece.
    pub(super) fn advance(&mut self) -> io::Result<Piece> {
        loop {
            match self.at {
                At::Over => return Ok(Piece::End),
                At::Top => {
                    let skip: &[u8] = if self.read == 0 { b"\xEF\xBB\xBF" } else { b"" };
                    let next = self.next_of(skip)?;
                    self.began = self.line;
                    match next {
                        None if self.cut => return Ok(self.cut_off(None)),
                        None => return Ok(Piece::End),
                        Some(b'{') => {
                            self.take(b'{');
                            self.at = At::Object;
                            self.head.clear();
                            self.head.push(b'{');
                            (self.had_entries, self.faulty, self.number) = (false, None, 0);
                        }
                        Some(b'[') => {
                            self.take(b'[');
                            self.at = At::List { bundle: false };
                            self.number = 0;
                        }
                        Some(0xFE | 0xFF) => {
                            self.at = At::Over;
                            let detail = "the file is not UTF-8, which FHIR requires; is it UTF-16? Export it again";
                            return Ok(Piece::Fault(None, Reason::NotUtf8, detail));
                        }
                        Some(0) => {
                            self.at = At::Over;
                            return Ok(Piece::Fault(None, Reason::NotText, "the file holds NUL bytes; is it JSON?"));
                        }
                        Some(_) if self.one_a_line => {
                            self.pass_line()?;
                            return Ok(Piece::Fault(None, Reason::BadJson, "not JSON; export the resource again"));
                        }
                        Some(_) => return Ok(self.over("not JSON; is this a FHIR Bundle or a resource?")),
                    }
                }
                At::List { bundle } => {
                    let next = self.next_of(b",")?;
                    self.began = self.line;
                    let number = self.number;
                    match next {
                        None => return Ok(self.cut_off(None)),
                        Some(b']') => {
                            self.take(b']');
                            self.at = if bundle { At::Object } else { At::Top };
                        }
                        Some(b'}' | b':') => {
                            return Ok(self.over("not JSON: a bracket is missing; export the Bundle again"));
                        }
                        Some(_) => {
                            let taken = self.capture()?;
                            self.number += 1;
                            return Ok(match taken {
                                Taken::Whole if bundle => Piece::Entry(number),
                                Taken::Whole => Piece::Whole,
                                Taken::TooLarge => too_large(Some(number)),
                                Taken::TooDeep => too_deep(Some(number)),
                                Taken::Cut => self.cut_off(Some(number)),
                            });
                        }
                    }
                }
                At::Object => {
                    if let Some(piece) = self.member()? {
                        return Ok(piece);
                    }
                }
            }
        }
    }

    /// Reads one member of the outermost object, or its end.
    fn member(&mut self) -> io::Result<Option<Piece>> {
        match self.next_of(b",")? {
            None => return Ok(Some(self.cut_off(None))),
            Some(b'}') => {
                self.take(b'}');
                self.at = At::Top;
                self.one_a_line = self.line == self.began;
                let faulty = self.faulty.take();
                if self.had_entries {
                    return Ok(faulty.map(|(reason, detail)| Piece::Fault(None, reason, detail)));
                }
                self.head.push(b'}');
                std::mem::swap(&mut self.buf, &mut self.head);
                return Ok(Some(match faulty {
                    Some((reason, detail)) => Piece::Fault(None, reason, detail),
                    None => Piece::Whole,
                }));
            }
            Some(b'"') => {}
            Some(_) if self.one_a_line => {
                self.pass_line()?;
                self.at = At::Top;
                return Ok(Some(Piece::Fault(None, Reason::BadJson, "not JSON; export the resource again")));
            }
            Some(_) => return Ok(Some(self.over("not JSON: a field has no name; export it again"))),
        }
        if !matches!(self.capture()?, Taken::Whole) {
            return Ok(Some(self.cut_off(None)));
        }
        std::mem::swap(&mut self.key, &mut self.buf);
        let Some(first) = self.next_of(b":")? else { return Ok(Some(self.cut_off(None))) };
        if self.key == b"\"entry\"" && first == b'[' {
            self.take(b'[');
            self.at = At::List { bundle: true };
            self.had_entries = true;
            return Ok(None);
        }
        match self.capture()? {
            Taken::Cut => return Ok(Some(self.cut_off(None))),
            Taken::TooLarge => self.faulty = Some((Reason::TooLarge, LARGE)),
            Taken::TooDeep => self.faulty = Some((Reason::TooDeep, DEEP)),
            Taken::Whole if self.head.len() + self.key.len() + self.buf.len() + 3 > MOST => {
                self.faulty = Some((Reason::TooLarge, LARGE));
            }
            Taken::Whole => {
                if self.head.len() > 1 {
                    self.head.push(b',');
                }
                self.head.extend_from_slice(&self.key);
                self.head.push(b':');
                self.head.extend_from_slice(&self.buf);
            }
        }
        Ok(None)
    }
}

/// The value of a member of an object.
pub(super) fn member(object: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut walk = Pieces::new(object);
    if walk.next_of(b"").ok()? != Some(b'{') {
        return None;
    }
    walk.take(b'{');
    while walk.next_of(b",").ok()? == Some(b'"') {
        walk.capture().ok().filter(|t| matches!(t, Taken::Whole))?;
        let key = std::mem::take(&mut walk.buf);
        walk.next_of(b":").ok()??;
        walk.capture().ok().filter(|t| matches!(t, Taken::Whole))?;
        if key.strip_prefix(b"\"").and_then(|k| k.strip_suffix(b"\"")) == Some(name.as_bytes()) {
            return Some(walk.buf);
        }
    }
    None
}

const LARGE: &str = "the resource is over 8 MiB; export without embedded documents";
const DEEP: &str = "the resource is nested deeper than 100 levels, as no FHIR resource is; export it again";

fn too_large(entry: Option<u64>) -> Piece {
    Piece::Fault(entry, Reason::TooLarge, LARGE)
}
fn too_deep(entry: Option<u64>) -> Piece {
    Piece::Fault(entry, Reason::TooDeep, DEEP)
}

#[cfg(test)]
mod tests;
