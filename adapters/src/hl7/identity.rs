//! Whose number it is: the patient's identifier among those of a message, and the visit's, by the authority that assigned it (CX.4).
//!
//! Two authorities may give one number to two persons. A source can name the authorities whose numbers are the patients'. Where it
//! names none, the first that comes is the source's own; identifiers of any other are quarantined, so that two persons never become
//! one. An identifier without an authority is the source's own. With `*` every number counts together with its authority.

use std::sync::{Mutex, PoisonError};

use super::scan::Field;
use super::segment::{No, Segment};
use crate::sink::Reason;

/// An authority that the source names, and the type (CX.5) of its identifiers, where that matters.
struct Named {
    authority: String,
    kind: Option<String>,
}

/// The one authority of a source that names none.
#[derive(Default)]
enum Home {
    /// Nobody remembers it from one file to the next, so none is looked for.
    #[default]
    Ignored,
    /// None has come yet.
    Unknown,
    /// The first that came.
    Is(Vec<u8>),
}

/// How an identifier stands to the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Own,
    Silent,
    Foreign,
}

/// The authorities of a source.
pub(crate) struct Authorities {
    named: Vec<Named>,
    each: bool,
    home: Mutex<Home>,
}

impl Authorities {
    /// Of the settings: `AUTHORITY`, `AUTHORITY^TYPE`, or `*`.
    pub(crate) fn new(settings: &[String]) -> Authorities {
        let named = |text: &String| match text.split_once('^') {
            Some((authority, kind)) => Named { authority: bare(authority), kind: Some(kind.to_owned()) },
            None => Named { authority: bare(text), kind: None },
        };
        let each = settings.iter().any(|s| s == "*");
        let named = settings.iter().filter(|s| *s != "*").map(named).collect();
        Authorities { named, each, home: Mutex::default() }
    }

    /// Takes up what was learned of earlier files.
    pub(crate) fn recall(&self, known: Option<&str>) {
        let home = known.map_or(Home::Unknown, |k| Home::Is(k.as_bytes().to_vec()));
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = home;
    }

    /// The authority that was the first, where none is named.
    pub(crate) fn learned(&self) -> Option<String> {
        match &*self.home.lock().unwrap_or_else(PoisonError::into_inner) {
            Home::Is(authority) => Some(String::from_utf8_lossy(authority).into_owned()),
            _ => None,
        }
    }

    fn is_named(&self, field: &Field<'_>) -> bool {
        let (hd, kind) = (field.component(4), field.component(5));
        let (name, id) = (hd.sub(1), hd.sub(2));
        self.named.iter().any(|n| {
            let same = |f: &Field<'_>| !f.is_empty() && f.bytes() == n.authority.as_bytes();
            let typed = n.kind.as_ref().is_none_or(|k| kind.is_empty() || kind.bytes() == k.as_bytes());
            (same(&name) || same(&id)) && typed
        })
    }

    fn standing(&self, field: &Field<'_>) -> Standing {
        let authority = authority(field);
        if authority.is_empty() {
            return Standing::Silent;
        }
        if self.each {
            return Standing::Own;
        }
        if !self.named.is_empty() {
            return if self.is_named(field) { Standing::Own } else { Standing::Foreign };
        }
        match &*self.home.lock().unwrap_or_else(PoisonError::into_inner) {
            Home::Is(home) if home.as_slice() != authority => Standing::Foreign,
            _ => Standing::Own,
        }
    }

    /// The patient's identifier among the repetitions of PID-3, PID-2 or MRG-1: of the source's own the medical record number, else
    /// the hospital's own patient number, else another. The order of the repetitions makes no difference.
    pub(crate) fn patient<'m, const N: usize>(&self, segment: &Segment<'m, N>, n: usize) -> Result<Option<String>, No> {
        let named = |f: &Field<'m>| !f.component(1).is_empty() && !f.component(1).is_null();
        let ranked = segment.field(n).repetitions().filter(named).map(|field| {
            let rank = match field.component(5).bytes() {
                b"MR" | b"MRN" => 0,
                b"PI" | b"PT" => 1,
                b"" => 2,
                _ => 3,
            };
            (field, self.standing(&field), rank)
        });
        let chosen = ranked.min_by(|(a, how_a, rank_a), (b, how_b, rank_b)| {
            let key = |how: &Standing, rank: &i32| (*how == Standing::Foreign, *rank, *how == Standing::Silent);
            let words = |f: &Field<'m>| (authority(f), f.component(1).bytes());
            key(how_a, rank_a).cmp(&key(how_b, rank_b)).then_with(|| words(a).cmp(&words(b)))
        });
        let Some((field, standing, _)) = chosen else { return Ok(None) };
        let Some(id) = segment.read(n, field.component(1))? else { return Ok(None) };
        if standing == Standing::Foreign {
            let remedy = if self.named.is_empty() {
                "the number is of another authority than those before it, and may be another person's; name the source's own in `authorities`"
            } else {
                "no number of an authority that the source names; have the sender set it, or add its authority to `authorities`"
            };
            return Err(segment.bad(n, Reason::OtherAuthority, remedy));
        }
        if standing == Standing::Own && self.named.is_empty() && !self.each {
            let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*home, Home::Unknown) {
                *home = Home::Is(authority(&field).to_vec());
            }
        }
        Ok(Some(if self.each { with_authority(&id, &field) } else { id.into_owned() }))
    }

    /// The number of a visit or an account. One of an authority that the source does not name counts together with it.
    pub(crate) fn visit<const N: usize>(&self, segment: &Segment<'_, N>, n: usize) -> Result<Option<String>, No> {
        let Some(id) = segment.text(n)? else { return Ok(None) };
        let field = segment.field(n);
        let other = self.each || (!self.named.is_empty() && !self.is_visit_named(&field));
        Ok(Some(if other { with_authority(&id, &field) } else { id.into_owned() }))
    }

    fn is_visit_named(&self, field: &Field<'_>) -> bool {
        let own = authority(field);
        self.named
            .iter()
            .any(|n| n.authority.as_bytes() == own || n.authority.as_bytes() == field.component(4).sub(2).bytes())
    }
}

fn bare(authority: &str) -> String {
    authority.strip_prefix("urn:oid:").unwrap_or(authority).to_owned()
}

/// CX.4: its name, else its universal id.
fn authority<'m>(field: &Field<'m>) -> &'m [u8] {
    let hd = field.component(4);
    match hd.sub(1).bytes() {
        b"" => hd.sub(2).bytes(),
        name => name,
    }
}

fn with_authority(id: &str, field: &Field<'_>) -> String {
    match authority(field) {
        b"" => id.to_owned(),
        authority => format!("{id}^^^{}", String::from_utf8_lossy(authority)),
    }
}
