//! Whose number it is: the patient's identifier among those of a message, and the visit's, by the authority that assigned it (CX.4).
//!
//! Two authorities may give one number to two persons, so a number counts together with its authority, whatever came before it. A source
//! can name the authorities whose numbers are the patients': these are plain, as the numbers of every other format are, and so is a
//! number without any authority. Numbers of others are then refused, or with `*` beside the names count together with their authority.
//!
//! Where nothing is named, a number without an authority says of itself that it is that of any other with the same digits: see [`Plain`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use schema::Table;

use super::scan::Field;
use super::segment::{No, Segment};
use crate::sink::Reason;

/// An authority that the source names, and the type (CX.5) of its identifiers, where that matters.
struct Named {
    authority: String,
    kind: Option<String>,
}

/// How an identifier stands to the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Of an authority that is named.
    Own,
    /// Of an authority that is not, and counts together with it.
    Other,
    /// Without an authority.
    Silent,
    /// Of an authority that is not named, where only those named count.
    Foreign,
}

/// A patient's number or a visit's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// What its pseudonym is made of.
    pub(crate) id: String,
    /// The bare number, where nothing says whose a bare one is: the same as `id` for one without an authority.
    pub(crate) plain: Option<String>,
}

/// Bare numbers of a file that were told of: a bare number is the one of that number with an authority, where there is one such alone.
/// Whether there is, all files together say; each says once which bare ones and which whole ones it has.
#[derive(Default)]
pub(crate) struct Plain {
    hash: RandomState,
    told: RefCell<HashSet<u64>>,
}

/// Numbers that are kept; behind them all are told anew.
const KEPT: usize = 1 << 18;

impl Plain {
    /// Whether a number was not told yet.
    pub(crate) fn is_new(&self, table: Table, number: &Number) -> bool {
        let mut told = self.told.borrow_mut();
        if told.len() >= KEPT {
            told.clear();
        }
        told.insert(self.hash.hash_one((table.name(), &number.id, &number.plain)))
    }
}

/// The authorities of a source.
pub(crate) struct Authorities {
    named: Vec<Named>,
    /// Whether numbers of authorities that are not named count too.
    each: bool,
}

impl Authorities {
    /// Of the settings: `AUTHORITY`, `AUTHORITY^TYPE`, or `*` for any other.
    pub(crate) fn new(settings: &[String]) -> Authorities {
        let named = |text: &String| match text.split_once('^') {
            Some((authority, kind)) => Named { authority: bare(authority), kind: Some(kind.to_owned()) },
            None => Named { authority: bare(text), kind: None },
        };
        let each = settings.is_empty() || settings.iter().any(|s| s == "*");
        let named = settings.iter().filter(|s| *s != "*").map(named).collect();
        Authorities { named, each }
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
        if authority(field).is_empty() {
            Standing::Silent
        } else if self.is_named(field) {
            Standing::Own
        } else if self.each {
            Standing::Other
        } else {
            Standing::Foreign
        }
    }

    /// The number, and what its authority makes of it.
    fn number(&self, id: &str, field: &Field<'_>, counts: bool) -> Number {
        let plain = self.named.is_empty().then(|| id.to_owned());
        match (counts, authority(field)) {
            (true, whose @ [_, ..]) => Number { id: with_authority(id, &String::from_utf8_lossy(whose)), plain },
            _ => Number { id: id.to_owned(), plain },
        }
    }

    /// The patient's identifier among the repetitions of PID-3, PID-2 or MRG-1: of the source's own the medical record number, else
    /// the hospital's own patient number, else another. The order of the repetitions makes no difference.
    pub(crate) fn patient<'m, const N: usize>(&self, segment: &Segment<'m, N>, n: usize) -> Result<Option<Number>, No> {
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
            let other = |how: &Standing| *how == Standing::Other && !self.named.is_empty();
            let key =
                |how: &Standing, rank: &i32| (*how == Standing::Foreign, other(how), *rank, *how == Standing::Silent);
            let words = |f: &Field<'m>| (authority(f), f.component(1).bytes());
            key(how_a, rank_a).cmp(&key(how_b, rank_b)).then_with(|| words(a).cmp(&words(b)))
        });
        let Some((field, standing, _)) = chosen else { return Ok(None) };
        let Some(id) = segment.read(n, field.component(1))? else { return Ok(None) };
        if standing == Standing::Foreign {
            let remedy = "no number of an authority that the source names; have the sender set it, or add its authority, or \"*\", to \
                          `authorities`";
            return Err(segment.bad(n, Reason::OtherAuthority, remedy));
        }
        Ok(Some(self.number(&id, &field, standing == Standing::Other)))
    }

    /// The identifier of a patient who is merged into one who stays. Without an authority it is of the authority of the one who stays.
    pub(crate) fn merged<const N: usize>(
        &self,
        segment: &Segment<'_, N>,
        n: usize,
        stays: &Number,
    ) -> Result<Option<Number>, No> {
        let old = self.patient(segment, n)?;
        let whose = stays.plain.as_deref().and_then(|plain| stays.id.strip_prefix(plain)?.strip_prefix("^^^"));
        let bare = segment.field(n).repetitions().all(|f| authority(&f).is_empty());
        Ok(match (old, whose) {
            (Some(old), Some(whose)) if bare => {
                Some(Number { id: with_authority(&old.id, whose), plain: Some(old.id) })
            }
            (old, _) => old,
        })
    }

    /// The number of a visit or an account. One of an authority that the source does not name counts together with it.
    pub(crate) fn visit<const N: usize>(&self, segment: &Segment<'_, N>, n: usize) -> Result<Option<Number>, No> {
        let Some(id) = segment.text(n)? else { return Ok(None) };
        let field = segment.field(n);
        Ok(Some(self.number(&id, &field, !self.is_visit_named(&field))))
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
pub(crate) fn authority<'m>(field: &Field<'m>) -> &'m [u8] {
    let hd = field.component(4);
    match hd.sub(1).bytes() {
        b"" => hd.sub(2).bytes(),
        name => name,
    }
}

fn with_authority(id: &str, authority: &str) -> String {
    format!("{id}^^^{authority}")
}
