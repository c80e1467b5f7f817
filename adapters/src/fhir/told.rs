//! What a resource is told when it is read: the envelope, the entry it came in, and who a reference means.
//!
//! A person is known by the id of the Patient. Whatever style names the Patient leads there: a relative or an absolute URL, with
//! or without a version, a `urn:uuid:` of the Bundle, an identifier, a search. What does not lead to one is never guessed.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use schema::{Key, Record, Table};

use super::No;
use super::index::{Found, Index};
use super::wire::{Contained, Reference, Text, of};
use crate::envelope::Envelope;
use crate::sink::Reason;
use crate::time::{self, When};

/// What a resource is told.
pub(super) struct Told<'t> {
    pub(super) env: &'t Envelope<'t>,
    pub(super) index: &'t Index,
    pub(super) file: &'t str,
    /// How many resources of the file were before it.
    pub(super) place: &'t Cell<u64>,
    /// When the export was made that the file is of, in microseconds since 1970, where that is told.
    pub(super) exported: Option<i64>,
    /// The id by the entry of the Bundle, for a resource that has none of its own.
    pub(super) entry_id: Option<&'t str>,
    /// Whether the resource is an entry of a Bundle.
    pub(super) in_bundle: bool,
    pub(super) linkage: Option<&'t str>,
    pub(super) last: &'t Last,
    pub(super) left_out: &'t LeftOut,
}

/// What the rows of the resource in hand had to leave out, and why. The rows are kept.
#[derive(Default)]
pub(super) struct LeftOut(RefCell<Vec<(Reason, String)>>);

impl LeftOut {
    pub(super) fn push(&self, reason: Reason, detail: String) {
        self.0.borrow_mut().push((reason, detail));
    }

    /// Whether anything was.
    pub(super) fn any(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    pub(super) fn take(&self) -> Vec<(Reason, String)> {
        self.0.take()
    }
}

/// The keys last made: events of one person and one visit mostly stand together, and a keyed hash is not cheap.
#[derive(Default)]
pub(super) struct Last {
    person: RefCell<(String, Key)>,
    visit: RefCell<(String, Key)>,
}

/// The key of an id, by the one last made where that is of the same id.
fn key_of(last: &RefCell<(String, Key)>, id: &str, make: impl FnOnce(&str) -> Key) -> Key {
    let mut last = last.borrow_mut();
    if last.0 != id || id.is_empty() {
        last.1 = make(id);
        last.0.clear();
        last.0.push_str(id);
    }
    last.1
}

/// Whether a text is a UUID in its usual spelling.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The id that an entry's `fullUrl` gives a resource without an own one: of a UUID alone, since `urn:uuid:1` is someone else
/// in the next Bundle; or of a URL that ends with type and id.
pub(super) fn id_of_url<'u>(url: &'u str, kind: &str) -> Option<&'u str> {
    match url.strip_prefix("urn:uuid:") {
        Some(uuid) => is_uuid(uuid).then_some(uuid),
        None => id_of_path(url, kind),
    }
}

/// The id in `Type/x`, `https://.../Type/x`, both with `/_history/1`, and with a `#` and a part of the resource behind.
fn id_of_path<'u>(text: &'u str, kind: &str) -> Option<&'u str> {
    let text = text.split_once('#').map_or(text, |(whole, _)| whole);
    let path = text.split_once("/_history/").map_or(text, |(path, _)| path);
    let (front, id) = path.rsplit_once('/')?;
    let of_kind = front == kind || front.strip_suffix(kind).is_some_and(|rest| rest.ends_with('/'));
    (of_kind && !id.is_empty()).then_some(id)
}

/// Undoes the percent signs of a URL.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        out.push(digit(bytes.next()?)? * 16 + digit(bytes.next()?)?);
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The system and the value in `Type?identifier=system|value`.
fn searched<'u>(text: &'u str, kind: &str) -> Option<(Cow<'u, str>, Cow<'u, str>)> {
    let (path, query) = text.split_once('?')?;
    if path != kind && !path.ends_with(&format!("/{kind}")) {
        return None;
    }
    let token = query.strip_prefix("identifier=").filter(|q| !q.contains('&'))?;
    let token = unescaped(token)?;
    let (system, value) = token.split_once('|')?;
    Some((Cow::Owned(system.to_owned()), Cow::Owned(value.to_owned())))
}

/// How a reference fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Absent,
    Elsewhere,
    Contained,
    Unknown,
    Ambiguous,
    NotUuid,
}

impl<'t> Told<'t> {
    /// The id of the resource of that type that a reference means.
    pub(super) fn id<'r>(
        &'r self,
        reference: &'r Reference<'_>,
        kind: &str,
        contained: &[Contained<'_>],
    ) -> Result<Cow<'r, str>, Lost> {
        let Some(text) = of(&reference.reference) else {
            let Some(identifier) = &reference.identifier else { return Err(Lost::Absent) };
            let (system, value) = (of(&identifier.system), of(&identifier.value));
            return self.identified(kind, system.unwrap_or_default(), value.ok_or(Lost::Absent)?);
        };
        if let Some(local) = text.strip_prefix('#') {
            let inner = contained.iter().find(|c| of(&c.id) == Some(local)).ok_or(Lost::Contained)?;
            let all = inner.identifier.get().map(Vec::as_slice).unwrap_or_default();
            let found = all.iter().find_map(|i| {
                let value = of(&i.value)?;
                self.identified(kind, of(&i.system).unwrap_or_default(), value).ok()
            });
            return found.ok_or(Lost::Contained);
        }
        if text.contains('?') {
            let (system, value) = searched(text, kind).ok_or(Lost::Elsewhere)?;
            return self.identified(kind, &system, &value);
        }
        if self.in_bundle {
            match self.index.by_full_url(self.file, text) {
                Found::One(id) => return Ok(Cow::Borrowed(id)),
                Found::Several => return Err(Lost::Ambiguous),
                Found::None => {}
            }
        }
        if let Some(id) = text.strip_prefix("urn:uuid:").or_else(|| text.strip_prefix("urn:oid:")) {
            return match id {
                "" => Err(Lost::Absent),
                _ if self.in_bundle && !is_uuid(id) && text.starts_with("urn:uuid:") => Err(Lost::NotUuid),
                _ => Ok(Cow::Borrowed(id)),
            };
        }
        id_of_path(text, kind).map(Cow::Borrowed).ok_or(Lost::Elsewhere)
    }

    fn identified(&self, kind: &str, system: &str, value: &str) -> Result<Cow<'_, str>, Lost> {
        match self.index.by_identifier(kind, system, value) {
            Found::One(id) => Ok(Cow::Borrowed(id)),
            Found::Several => Err(Lost::Ambiguous),
            Found::None => Err(Lost::Unknown),
        }
    }

    /// The resource's own id.
    pub(super) fn own_id<'r>(&'r self, id: &'r Option<Text<'_>>, kind: &str) -> Result<&'r str, No> {
        of(id).or(self.entry_id).ok_or_else(|| {
            let why = if self.in_bundle {
                "is missing, and the entry's fullUrl is no UUID and no URL of it"
            } else {
                "is missing"
            };
            No::bad(Reason::MissingId, format!("{kind}.id {why}; export with resource ids"))
        })
    }

    /// The patient that a reference names.
    pub(super) fn person(
        &self,
        subject: &Option<Reference<'_>>,
        contained: &[Contained<'_>],
        field: &str,
    ) -> Result<Key, No> {
        let found = subject.as_ref().ok_or(Lost::Absent).and_then(|r| self.id(r, "Patient", contained));
        let why = match found {
            Ok(id) if self.index.is_reused(&id) => {
                let detail = format!("{field}: two patients have this id; give each an own one");
                return Err(No::bad(Reason::IdReused, detail));
            }
            Ok(id) => return Ok(key_of(&self.last.person, &id, |id| self.env.person(id))),
            Err(why) => why,
        };
        let why = match why {
            Lost::Absent | Lost::Elsewhere => "does not refer to a Patient by its id; export references",
            Lost::Contained => "refers to a contained Patient without an identifier of a known one; export the Patient",
            Lost::Unknown if self.index.is_full() => {
                "names an identifier that was not kept; there are too many. Refer to ids"
            }
            Lost::Unknown => "names an identifier that no Patient of the source has; export the Patient too",
            Lost::Ambiguous => "names an identifier that several Patients have; refer to the Patient's id",
            Lost::NotUuid => {
                "is no UUID, and no entry of the Bundle has it as fullUrl; export the Patient in the Bundle"
            }
        };
        Err(No::bad(Reason::MissingPatient, format!("{field} {why}")))
    }

    /// The person of a resource that was entered in error, which may have lost its reference.
    pub(super) fn person_of(
        &self,
        subject: &Option<Reference<'_>>,
        contained: &[Contained<'_>],
        field: &str,
        error: bool,
    ) -> Result<Key, No> {
        match self.person(subject, contained, field) {
            Err(_) if error => Ok(self.nobody()),
            other => other,
        }
    }

    /// Stands where a retraction does not tell whose row it takes back.
    pub(super) fn nobody(&self) -> Key {
        self.env.person("")
    }

    /// The identity of a row.
    pub(super) fn key(&self, table: Table, id: &str) -> Key {
        self.env.record(table, &[id])
    }

    /// A date field.
    pub(super) fn date(&self, text: &Option<Text<'_>>, field: &str) -> Result<Option<When>, No> {
        let Some(text) = of(text) else { return Ok(None) };
        match time::fhir(text, self.env.zone()) {
            Some(when) => Ok(Some(when)),
            None => Err(No::bad(Reason::BadDate, format!("{field} is not a FHIR date of this world; correct it"))),
        }
    }

    /// The first of several date fields that can be read. Those before it that can't be are told; where none can be, the first of
    /// them is the fault.
    pub(super) fn first_date(&self, fields: &[(&Option<Text<'_>>, &str)]) -> Result<Option<When>, No> {
        let mut faults = Vec::new();
        for (text, field) in fields {
            match self.date(text, field) {
                Ok(None) => {}
                Err(No::Bad(reason, detail)) => faults.push((reason, detail)),
                Err(other) => return Err(other),
                found => {
                    for (reason, detail) in faults {
                        self.left_out.push(reason, format!("{detail}; the row is kept with {field}"));
                    }
                    return found;
                }
            }
        }
        faults.into_iter().next().map_or(Ok(None), |(reason, detail)| Err(No::Bad(reason, detail)))
    }

    /// A date field that a row can do without.
    pub(super) fn spare_date(&self, text: &Option<Text<'_>>, field: &str) -> Option<When> {
        match self.date(text, field) {
            Ok(when) => when,
            Err(No::Bad(reason, detail)) => {
                self.left_out.push(reason, format!("{detail}; the row is kept without it"));
                None
            }
            Err(No::Skipped(_) | No::Gone { .. }) => None,
        }
    }

    /// The end of a period: none where it is a day that never comes, as `9999-12-31`.
    pub(super) fn end(&self, text: &Option<Text<'_>>, field: &str) -> Option<When> {
        if of(text).is_some_and(time::is_never) { None } else { self.spare_date(text, field) }
    }

    /// The visit that a reference names, where it can be told.
    pub(super) fn visit(&self, encounter: &Option<Reference<'_>>) -> Option<Key> {
        let id = self.id(encounter.as_ref()?, "Encounter", &[]).ok()?;
        Some(key_of(&self.last.visit, &id, |id| self.env.visit(id)))
    }

    /// Sets the visit of a row. One that can't be told is left out; the event stays.
    pub(super) fn set_visit(&self, row: &mut Record, encounter: &Option<Reference<'_>>) {
        if let Some(key) = self.visit(encounter) {
            row.set("visit_key", key);
        }
    }
}

/// Sets when the row became known.
pub(super) fn set_known(row: &mut Record, when: &Option<When>) {
    if let Some(when) = when {
        row.set("t_known", when.instant_cell());
    }
}

/// Sets the status; `error` retracts the record.
pub(super) fn set_status(row: &mut Record, status: &'static str) {
    row.set("status", status);
    if status == "error" {
        row.set("op", "retract");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_in_every_spelling() {
        for text in [
            "Patient/x",
            "https://h.example/fhir/Patient/x",
            "Patient/x/_history/2",
            "https://h.example/fhir/Patient/x/_history/2",
            "Patient/x#part",
            "Patient/x/_history/2#part",
        ] {
            assert_eq!(id_of_path(text, "Patient"), Some("x"), "{text}");
        }
        for text in ["Group/x", "Patient/", "x", "", "NotPatient/x", "https://h.example/Group/x"] {
            assert_eq!(id_of_path(text, "Patient"), None, "{text}");
        }
        assert_eq!(id_of_url("urn:uuid:1", "Patient"), None);
        assert_eq!(id_of_url("urn:uuid:22bbe238-220e-495c-8abc-0ce3aa28a605", "Patient").map(str::len), Some(36));
    }

    #[test]
    fn a_search_names_a_system_and_a_value() {
        let pair = |text| searched(text, "Patient").map(|(s, v)| (s.into_owned(), v.into_owned()));
        let want = Some(("http://h/mrn".to_owned(), "7".to_owned()));
        assert_eq!(pair("Patient?identifier=http://h/mrn|7"), want);
        assert_eq!(pair("https://h/fhir/Patient?identifier=http%3A%2F%2Fh%2Fmrn%7C7"), want);
        for odd in [
            "Patient?name=x",
            "Group?identifier=a|b",
            "Patient?identifier=a|b&x=y",
            "Patient?identifier=%zz|7",
            "Patient?identifier=7",
        ] {
            assert_eq!(pair(odd), None, "{odd}");
        }
    }
}
