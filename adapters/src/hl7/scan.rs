//! A message's bytes as segments, fields, repetitions, components and sub-components: slices, and no copies.

use std::borrow::Cow;

use super::escape;

/// The separators that a message declares in MSH-1 and MSH-2. One that is not declared is NUL, which no text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Separators {
    /// Between fields.
    pub(crate) field: u8,
    /// Between components.
    pub(crate) component: u8,
    /// Between repetitions.
    pub(crate) repetition: u8,
    /// Around an escape.
    pub(crate) escape: u8,
    /// Between sub-components.
    pub(crate) sub: u8,
}

impl Separators {
    /// Reads them off a message header; `None` where they are not told apart.
    pub(crate) fn of(header: &[u8]) -> Option<Separators> {
        let [b'M', b'S', b'H', field, rest @ ..] = header else { return None };
        let end = memchr::memchr(*field, rest).unwrap_or(rest.len());
        let mut marks = [0u8; 4];
        let mut n = 0;
        for mark in rest.get(..end).unwrap_or_default() {
            // Some senders double the backslash, as their own language asks of them.
            if n > 0 && marks.get(n - 1) == Some(mark) && *mark == b'\\' {
                continue;
            }
            let Some(slot) = marks.get_mut(n) else { break };
            *slot = *mark;
            n += 1;
        }
        let [component, repetition, escape, sub] = marks;
        let all = [*field, component, repetition, escape, sub];
        let sound = |i: usize, b: u8| {
            let mark = b.is_ascii_graphic() && !b.is_ascii_alphanumeric();
            (mark || (b == 0 && i > 1)) && (b == 0 || all.iter().filter(|o| **o == b).count() == 1)
        };
        all.iter().enumerate().all(|(i, b)| sound(i, *b)).then_some(Separators {
            field: *field,
            component,
            repetition,
            escape,
            sub,
        })
    }
}

/// The text is not in the character set that the message declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotText;

/// A field, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'m> {
    bytes: &'m [u8],
    seps: Separators,
}

impl<'m> Field<'m> {
    /// Over bytes.
    #[cfg(test)]
    pub(crate) fn new(bytes: &'m [u8], seps: Separators) -> Field<'m> {
        Field { bytes, seps }
    }

    /// Its bytes as they were sent.
    pub(crate) fn bytes(&self) -> &'m [u8] {
        self.bytes
    }

    /// Whether nothing was sent: the value stays what it was.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether `""` was sent: the value is to be deleted.
    pub(crate) fn is_null(&self) -> bool {
        self.bytes == b"\"\""
    }

    fn part(&self, separator: u8, n: usize) -> Field<'m> {
        let mut rest = self.bytes;
        for _ in 1..n {
            match memchr::memchr(separator, rest) {
                Some(at) => rest = rest.get(at + 1..).unwrap_or_default(),
                None => return Field { bytes: &[], seps: self.seps },
            }
        }
        let end = memchr::memchr(separator, rest).unwrap_or(rest.len());
        Field { bytes: rest.get(..end).unwrap_or_default(), seps: self.seps }
    }

    /// Its repetitions, in order.
    pub(crate) fn repetitions(self) -> impl Iterator<Item = Field<'m>> {
        let seps = self.seps;
        self.bytes.split(move |b| *b == seps.repetition).map(move |bytes| Field { bytes, seps })
    }

    /// A component, from 1, of the first repetition.
    pub(crate) fn component(&self, n: usize) -> Field<'m> {
        if n == 1 {
            let end =
                memchr::memchr2(self.seps.repetition, self.seps.component, self.bytes).unwrap_or(self.bytes.len());
            return Field { bytes: self.bytes.get(..end).unwrap_or_default(), seps: self.seps };
        }
        self.part(self.seps.repetition, 1).part(self.seps.component, n)
    }

    /// A sub-component, from 1.
    pub(crate) fn sub(&self, n: usize) -> Field<'m> {
        self.part(self.seps.sub, n)
    }

    /// Its text without escapes and without space around it; `None` where it is empty or `""`.
    ///
    /// # Errors
    /// It is not UTF-8; other character sets were decoded before.
    pub(crate) fn text(&self) -> Result<Option<Cow<'m, str>>, NotText> {
        let bytes = self.bytes.trim_ascii();
        if bytes.is_empty() || self.is_null() {
            return Ok(None);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotText)?;
        Ok(Some(escape::unescape(text, &self.seps)))
    }
}

/// A segment with its first `N - 1` fields found; the field of a number is at that place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'m, const N: usize> {
    at: [&'m [u8]; N],
    seps: Separators,
}

impl<'m, const N: usize> Fields<'m, N> {
    /// Finds the fields of a segment. MSH-1 is the separator itself, so MSH's fields are numbered one higher.
    pub(crate) fn of(segment: &'m [u8], seps: Separators) -> Fields<'m, N> {
        let mut at: [&[u8]; N] = [&[]; N];
        let mut n = usize::from(segment.starts_with(b"MSH"));
        let mut from = 0;
        for end in memchr::memchr_iter(seps.field, segment) {
            match at.get_mut(n) {
                Some(slot) => *slot = segment.get(from..end).unwrap_or_default(),
                None => return Fields { at, seps },
            }
            from = end + 1;
            n += 1;
        }
        if let Some(slot) = at.get_mut(n) {
            *slot = segment.get(from..).unwrap_or_default();
        }
        Fields { at, seps }
    }

    /// A field by its number.
    pub(crate) fn get(&self, n: usize) -> Field<'m> {
        Field { bytes: self.at.get(n).copied().unwrap_or_default(), seps: self.seps }
    }
}
