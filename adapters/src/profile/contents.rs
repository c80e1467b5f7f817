//! What resources, messages and documents hold: their kinds with the fields that they fill, coding systems, units, authorities, dates.
//!
//! The same caution as for the cells of a table: a system or a unit that the standard knows is a word of the standard's; any other text is
//! shown only where it comes often enough to be nobody's own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Texts of one sort that are told apart, and kinds; whatever else comes is counted as other.
const MOST: usize = 512;
/// A text that the standard does not know is shown from so many on.
const LEAST: u64 = 11;
/// The longest text that is shown.
const LONGEST: usize = 80;
/// What is counted under none of the names.
const OTHER: &str = "other";

/// How often a field is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldProfile {
    /// Its name, such as `valueQuantity` or `PID-8`.
    pub name: String,
    /// In how many items of the kind it is filled.
    pub filled: u64,
    /// The same as a share of them, from 0 to 1.
    pub share: f64,
}

/// A kind of item: a type of resource, a segment, a section, a template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindProfile {
    /// Its name.
    pub name: String,
    /// How many there are.
    pub items: u64,
    /// The fields, in the order of their names.
    pub fields: Vec<FieldProfile>,
}

/// What the items of a file hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContentProfile {
    /// The kinds, in the order of their names.
    pub kinds: Vec<KindProfile>,
    /// Coding systems, with how many codes of each.
    pub systems: BTreeMap<String, u64>,
    /// Units, with how many numbers of each.
    pub units: BTreeMap<String, u64>,
    /// Who assigned the patients' numbers: systems of identifiers, authorities, roots.
    pub authorities: BTreeMap<String, u64>,
    /// The first and the last day of any event; of births none.
    pub dates: Option<(String, String)>,
}

/// How often each of some texts came.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, text: &str) {
        let text = text.trim();
        let room = self.0.len() < MOST || self.0.contains_key(text);
        let name = if text.is_empty() || text.len() > LONGEST || !room { OTHER } else { text };
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    fn shown(self, is_known: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for (text, n) in self.0 {
            let name = if n >= LEAST || is_known(&text) { text } else { OTHER.to_owned() };
            *out.entry(name).or_default() += n;
        }
        out
    }
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Contents {
    kinds: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    systems: Counts,
    units: Counts,
    authorities: Counts,
    dates: Option<(String, String)>,
}

impl Contents {
    /// Counts an item of a kind, with the fields that it fills.
    pub(super) fn item(&mut self, kind: &str, fields: impl IntoIterator<Item = String>) {
        let room = self.kinds.len() < MOST || self.kinds.contains_key(kind);
        let kind = if room && kind.len() <= LONGEST { kind } else { OTHER };
        let (items, filled) = self.kinds.entry(kind.to_owned()).or_default();
        *items += 1;
        for field in fields.into_iter().collect::<BTreeSet<_>>() {
            if filled.len() < MOST || filled.contains_key(&field) {
                *filled.entry(field).or_default() += 1;
            }
        }
    }

    pub(super) fn system(&mut self, text: &str) {
        match schema::codes::canonical(text) {
            Some(uri) => self.systems.add(&uri),
            None => self.systems.add(text),
        }
    }

    pub(super) fn unit(&mut self, text: &str) {
        self.units.add(text);
    }

    pub(super) fn authority(&mut self, text: &str) {
        self.authorities.add(text);
    }

    /// Takes a day as FHIR or HL7 writes it; anything else is no date.
    pub(super) fn date(&mut self, text: &str) {
        let digits = |from: usize, to: usize| text.get(from..to).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        let apart = text.get(4..5) == Some("-");
        let parts = match apart {
            true => (digits(0, 4), digits(5, 7), digits(8, 10)),
            false => (digits(0, 4), digits(4, 6), digits(6, 8)),
        };
        let (Some(year), Some(month), Some(day)) = parts else { return };
        let is_year = ("1900"..="2299").contains(&year);
        if !is_year || !("01"..="12").contains(&month) || !("01"..="31").contains(&day) {
            return;
        }
        let day = format!("{year}-{month}-{day}");
        match &mut self.dates {
            Some((first, last)) => {
                if day < *first {
                    first.clone_from(&day);
                }
                if day > *last {
                    *last = day;
                }
            }
            none => *none = Some((day.clone(), day)),
        }
    }

    /// What is shown of it; none where nothing was seen.
    pub(super) fn profile(self) -> Option<ContentProfile> {
        if self.kinds.is_empty() {
            return None;
        }
        #[allow(clippy::cast_precision_loss)]
        let field = |(name, filled): (String, u64), items: u64| FieldProfile {
            name,
            filled,
            share: filled as f64 / items.max(1) as f64,
        };
        let kind = |(name, (items, fields)): (String, (u64, BTreeMap<String, u64>))| KindProfile {
            name,
            items,
            fields: fields.into_iter().map(|f| field(f, items)).collect(),
        };
        let is_listed = |s: &str| schema::codes::SYSTEMS.iter().any(|known| known.uri == s);
        Some(ContentProfile {
            kinds: self.kinds.into_iter().map(kind).collect(),
            // What has the form of a URI is the name of a system, and of no patient.
            systems: self.systems.shown(|s| is_listed(s) || s.starts_with("http") || s.starts_with("urn:")),
            units: self.units.shown(|u| schema::units::ucum(u).is_some()),
            authorities: self.authorities.shown(|s| s.starts_with("http") || s.starts_with("urn:oid:")),
            dates: self.dates,
        })
    }
}
