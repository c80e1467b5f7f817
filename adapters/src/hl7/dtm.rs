//! HL7's times: `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`, as precise as they were written.
//!
//! A time without an offset is read in the site's zone, also where MSH-7 has one: an offset is no zone, and a
//! message in summer tells of events in winter. An hour without minutes is known to the day.

use std::cell::RefCell;

use chrono_tz::Tz;

use crate::time::{Parts, When};

/// The digits off the front of a text, all or none.
fn digits(text: &mut &[u8], n: usize) -> Option<u32> {
    let (head, tail) = text.split_at_checked(n)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *text = tail;
    Some(head.iter().fold(0u32, |v, b| v * 10 + u32::from(b - b'0')))
}

/// How many times are remembered, and how long they are at most.
const TIMES: usize = 8;
const LONGEST: usize = 24;

/// The last few times that were read: a report's results mostly have one. What a time means depends on its text, its degree and the
/// site's zone, which is one.
#[derive(Default)]
pub(crate) struct Times(RefCell<Ring>);

#[derive(Default)]
struct Ring {
    known: [Option<Known>; TIMES],
    next: usize,
}

#[derive(Clone, Copy)]
struct Known {
    text: [u8; LONGEST],
    length: usize,
    degree: u8,
    when: Option<When>,
}

impl Times {
    /// The time of a TS or DTM field, as [`parse`].
    pub(crate) fn read(&self, text: &str, degree: &[u8], zone: Tz) -> Option<When> {
        let (bytes, mark) = (text.as_bytes(), degree.first().copied().unwrap_or(0));
        if bytes.len() > LONGEST || degree.len() > 1 {
            return parse(text, degree, zone);
        }
        let mut ring = self.0.borrow_mut();
        let same = |k: &&Known| k.degree == mark && k.text.get(..k.length) == Some(bytes);
        if let Some(known) = ring.known.iter().flatten().find(same) {
            return known.when;
        }
        let when = parse(text, degree, zone);
        let mut known = Known { text: [0; LONGEST], length: bytes.len(), degree: mark, when };
        if let Some(head) = known.text.get_mut(..bytes.len()) {
            head.copy_from_slice(bytes);
        }
        let next = ring.next;
        if let Some(slot) = ring.known.get_mut(next) {
            *slot = Some(known);
        }
        ring.next = (next + 1) % TIMES;
        when
    }
}

/// The time of a TS or DTM field. `degree` is the second component of older versions: Y, L, D, H, M or S.
fn parse(text: &str, degree: &[u8], zone: Tz) -> Option<When> {
    let mut c = text.trim().as_bytes();
    let mut p = Parts { year: Some(digits(&mut c, 4)?), ..Parts::default() };
    let steps: [fn(&mut Parts) -> &mut Option<u32>; 5] =
        [|p| &mut p.month, |p| &mut p.day, |p| &mut p.hour, |p| &mut p.minute, |p| &mut p.second];
    for step in steps {
        if !c.first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        *step(&mut p) = Some(digits(&mut c, 2)?);
    }
    if let [b'.', rest @ ..] = c {
        let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 || n > 9 || p.second.is_none() {
            return None;
        }
        let (fraction, tail) = rest.split_at_checked(n)?;
        p.micro = Some((0..6).fold(0, |v, i| v * 10 + fraction.get(i).map_or(0, |b| u32::from(b - b'0'))));
        p.fine = n > 3;
        c = tail;
    }
    if let [sign @ (b'+' | b'-'), rest @ ..] = c {
        let mut rest = rest;
        let hours = digits(&mut rest, 2)?;
        let minutes = digits(&mut rest, 2).filter(|m| *m < 60)?;
        let minutes = i32::try_from(hours * 60 + minutes).ok()?;
        p.offset_min = Some(if *sign == b'-' { -minutes } else { minutes });
        c = rest;
    }
    if !c.is_empty() {
        return None;
    }
    floor(&mut p, degree);
    p.when(zone)
}

/// Leaves out what the sender padded: months and days that are zero, and what is finer than the degree says.
fn floor(p: &mut Parts, degree: &[u8]) {
    let day = match degree {
        b"Y" => (false, false),
        b"L" => (true, false),
        b"D" | b"H" => (true, true),
        _ => (p.month != Some(0), p.day != Some(0)),
    };
    if !day.0 || p.month == Some(0) {
        (p.month, p.day) = (None, None);
    }
    if !day.1 || p.day == Some(0) {
        p.day = None;
    }
    if p.day.is_none() || matches!(degree, b"D" | b"H") || p.minute.is_none() {
        (p.hour, p.minute, p.second, p.micro) = (None, None, None, None);
    }
    if degree == b"M" {
        (p.second, p.micro) = (None, None);
    }
}
