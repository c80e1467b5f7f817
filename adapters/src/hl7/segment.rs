//! A segment whose place is known, so that what is wrong in it can be named without its value.

use std::borrow::Cow;

use schema::Record;

use super::framing::Span;
use super::scan::{Field, Fields, Separators};
use crate::envelope::Envelope;
use crate::sink::Reason;
use crate::time::When;

/// Why a segment gives no record: where, and what to do.
#[derive(Debug)]
pub(crate) struct No {
    /// The line in the file.
    pub(crate) line: u64,
    /// The kind of fault.
    pub(crate) reason: Reason,
    /// The segment, the field, and the remedy.
    pub(crate) detail: String,
    /// What stands in the place of what could not be read: that what was said before is no more.
    pub(crate) instead: Vec<Record>,
}

/// The records of a segment.
pub(crate) type Rows = Result<Vec<Record>, No>;

/// A segment of a message, by its place in it.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'m> {
    /// The message.
    pub(crate) bytes: &'m [u8],
    /// Its segments.
    pub(crate) spans: &'m [Span],
    /// Which of them.
    pub(crate) at: usize,
}

impl<'m> Raw<'m> {
    fn segment(&self, at: usize) -> &'m [u8] {
        self.spans.get(at).and_then(|s| self.bytes.get(s.start..s.end)).unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'m [u8] {
        self.segment(self.at).get(..3).unwrap_or_default()
    }

    /// The names of the segments behind it, up to the next of its own name.
    pub(crate) fn following(&self) -> impl Iterator<Item = &'m [u8]> {
        let own = self.name();
        let raw = *self;
        (self.at + 1..self.spans.len())
            .map(move |at| raw.segment(at).get(..3).unwrap_or_default())
            .take_while(move |name| *name != own)
    }

    /// The first segment of that name behind it, before the next of its own name.
    pub(crate) fn first_behind(&self, wanted: &[u8]) -> Option<Raw<'m>> {
        let ahead = self.following().position(|name| name == wanted)?;
        Some(Raw { at: self.at + 1 + ahead, ..*self })
    }

    /// The names of the segments before it, the nearest first.
    pub(crate) fn preceding(&self) -> impl Iterator<Item = &'m [u8]> {
        let raw = *self;
        (0..self.at).rev().map(move |at| raw.segment(at).get(..3).unwrap_or_default())
    }

    /// All segments of the message.
    pub(crate) fn all(&self) -> impl Iterator<Item = Raw<'m>> {
        let raw = *self;
        (0..self.spans.len()).map(move |at| Raw { at, ..raw })
    }

    /// The line in the file.
    pub(crate) fn line(&self) -> u64 {
        self.spans.get(self.at).map_or(0, |s| s.line)
    }

    /// Which of its name in the message, from 1.
    fn nth(&self) -> usize {
        let name = self.name();
        (0..=self.at).filter(|at| self.segment(*at).starts_with(name)).count()
    }

    /// Its fields below `N`.
    pub(crate) fn fields<const N: usize>(&self, seps: Separators) -> Segment<'m, N> {
        Segment { raw: *self, fields: Fields::of(self.segment(self.at), seps) }
    }
}

impl No {
    /// Says that rows are kept without what is at fault.
    pub(crate) fn without(self, rows: Vec<Record>) -> No {
        No { detail: format!("{}; the row is kept without it", self.detail), instead: rows, ..self }
    }
}

/// A field that rows can do without, and the first such fault of a segment.
pub(crate) fn spare<T>(read: Result<Option<T>, No>, fault: &mut Option<No>) -> Option<T> {
    read.unwrap_or_else(|no| {
        fault.get_or_insert(no);
        None
    })
}

/// The rows, told of a fault where there is one.
pub(crate) fn kept(rows: Vec<Record>, fault: Option<No>) -> Rows {
    match fault {
        Some(no) => Err(no.without(rows)),
        None => Ok(rows),
    }
}

/// A segment and its first fields.
pub(crate) struct Segment<'m, const N: usize> {
    raw: Raw<'m>,
    fields: Fields<'m, N>,
}

impl<'m, const N: usize> Segment<'m, N> {
    /// Whether no other of its name stands between it and the ORC before it.
    pub(crate) fn is_first_of_order(&self) -> bool {
        let name = self.raw.name();
        self.raw.preceding().find(|n| *n == b"ORC" || *n == name).is_some_and(|n| n == b"ORC")
    }

    /// A segment of another name and without fields, in the place of one that is not there.
    pub(crate) fn absent(raw: Raw<'m>, seps: Separators) -> Segment<'m, N> {
        Segment { raw, fields: Fields::of(&[], seps) }
    }

    /// A field.
    pub(crate) fn field(&self, n: usize) -> Field<'m> {
        self.fields.get(n)
    }

    /// What is wrong with a field.
    pub(crate) fn bad(&self, field: usize, reason: Reason, remedy: &str) -> No {
        let name = String::from_utf8_lossy(self.raw.name());
        let detail = format!("{name}[{}]-{field}: {remedy}", self.raw.nth());
        No { line: self.raw.line(), reason, detail, instead: Vec::new() }
    }

    /// The text of a part of a field.
    pub(crate) fn read(&self, n: usize, part: Field<'m>) -> Result<Option<Cow<'m, str>>, No> {
        part.text().map_err(|_| {
            let remedy = "not UTF-8, and MSH-18 names no other character set; have the sender name it there";
            self.bad(n, Reason::NotUtf8, remedy)
        })
    }

    /// The text of a field's first component.
    pub(crate) fn text(&self, n: usize) -> Result<Option<Cow<'m, str>>, No> {
        self.part(n, 1)
    }

    /// The text of a component.
    pub(crate) fn part(&self, n: usize, component: usize) -> Result<Option<Cow<'m, str>>, No> {
        self.read(n, self.field(n).component(component))
    }

    /// The time of a field; none where it is empty or `""`.
    pub(crate) fn time(&self, n: usize, env: &Envelope<'_>) -> Result<Option<When>, No> {
        self.moment(n, self.field(n).component(1), self.field(n).component(2).bytes(), env)
    }

    /// The time of a part of a field.
    pub(crate) fn moment(
        &self,
        n: usize,
        part: Field<'m>,
        degree: &[u8],
        env: &Envelope<'_>,
    ) -> Result<Option<When>, No> {
        let Some(text) = self.read(n, part.sub(1))? else { return Ok(None) };
        match env.times.read(&text, degree, env.zone()) {
            Some(when) => Ok(Some(when)),
            None => Err(self.bad(n, Reason::BadDate, "not a time of HL7 and of this world; correct it at the source")),
        }
    }

    /// An identifier: the entity and who assigned it, by name or else by a universal id, as far as they are told.
    pub(crate) fn entity(&self, n: usize) -> Result<Option<[String; 2]>, No> {
        let Some(id) = self.part(n, 1)? else { return Ok(None) };
        let space = match self.part(n, 2)? {
            Some(name) => name,
            None => self.part(n, 3)?.unwrap_or_default(),
        };
        Ok(Some([id.into_owned(), space.into_owned()]))
    }
}
