//! A document from its first to its last element: the header, then section by section and entry by entry.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use schema::{Cell, Key, Record, Table};

use super::element::Element;
use super::leaves::{Leaf, leaves};
use super::template::{Kind, Section};
use super::xml::{Next, Tree, Xml};
use super::{Fault, No, Row, encounter, measurement, medication, patient, problem, procedure, when};
use crate::envelope::Envelope;
use crate::sink::{Out, Reason};

/// The most statements of one document whose identities are held.
const MAX_STATEMENTS: usize = 1_000_000;

/// Whose document it is.
pub(super) struct Whose {
    /// The patient's id: root and extension.
    pub(super) id: String,
    pub(super) key: Key,
}

/// A level of the document that is open.
enum Level {
    /// `ClinicalDocument`.
    Root,
    /// `component` and `structuredBody`.
    Passage,
    Section {
        code: Section,
        entries: u64,
    },
}

/// A document that is being read.
pub(super) struct Document<'a> {
    env: Envelope<'a>,
    linkage: Option<&'a str>,
    /// The document's time, in seconds since 1970.
    revision: i64,
    /// The document's own id: root and extension.
    own: Option<(String, String)>,
    /// The ids of the documents that it replaces.
    replaced: Vec<(String, String)>,
    record_target: Option<Element>,
    whose: Option<Whose>,
    /// The visit of the header, handed over at the end unless the body tells of it.
    visit: Option<(Record, u64)>,
    sections: u64,
    entry: u64,
    seen: HashMap<Key, u64>,
    /// The record and what it says, of each statement.
    facts: HashSet<(Key, Key)>,
    /// What is said not to be so: taken back at the end, unless the document says it elsewhere.
    denied: BTreeMap<Key, (Table, u64)>,
}

impl<'a> Document<'a> {
    pub(super) fn new(env: Envelope<'a>, linkage: Option<&'a str>) -> Document<'a> {
        Document {
            env,
            linkage,
            revision: 0,
            own: None,
            replaced: Vec::new(),
            record_target: None,
            whose: None,
            visit: None,
            sections: 0,
            entry: 0,
            seen: HashMap::new(),
            facts: HashSet::new(),
            denied: BTreeMap::new(),
        }
    }

    /// Where the reading is, for a message.
    pub(super) fn place(&self) -> String {
        match (self.sections, self.entry) {
            (0, _) => "the header".to_owned(),
            (section, 0) => format!("section[{section}]"),
            (section, entry) => format!("section[{section}]/entry[{entry}]"),
        }
    }

    /// Reads the document to its end.
    pub(super) fn read(&mut self, xml: &mut Xml<'_>, out: &mut Out<'_>) -> Result<(), Fault> {
        let mut open: Vec<Level> = Vec::new();
        let mut any = false;
        loop {
            let line = xml.line();
            match xml.next(false)? {
                Next::End if any => break,
                Next::End => return Err(not_cda()),
                Next::Other if any => xml.skip()?,
                Next::Other => return Err(not_cda()),
                Next::Close => {
                    if let Some(Level::Section { entries: 0, .. }) = open.pop() {
                        // A section of narrative alone.
                        out.tally.items += 1;
                        out.tally.skipped += 1;
                    }
                }
                Next::Open(element) => {
                    match (open.last_mut(), element.name) {
                        (None, "ClinicalDocument") if !any => open.push(Level::Root),
                        (None, _) => return Err(not_cda()),
                        (Some(Level::Root), "component") => {
                            self.begin(out, line)?;
                            open.push(Level::Passage);
                        }
                        (Some(Level::Root), name) => {
                            let name = name.to_owned();
                            self.header(&name, element, xml, out, line)?;
                        }
                        (Some(Level::Passage), "component" | "structuredBody") => open.push(Level::Passage),
                        (Some(Level::Section { .. }), "component") => open.push(Level::Passage),
                        (Some(Level::Passage), "section") => {
                            self.sections += 1;
                            self.entry = 0;
                            open.push(Level::Section { code: Section::Other, entries: 0 });
                        }
                        (Some(Level::Passage), "nonXMLBody") => {
                            out.tally.items += 1;
                            out.tally.skipped += 1;
                            xml.skip()?;
                        }
                        (Some(Level::Section { code, .. }), "code") => {
                            if let Tree::Whole(element) = xml.tree(element)? {
                                *code = Section::of(&element);
                            }
                        }
                        (Some(Level::Section { code, entries }), "entry") => {
                            *entries += 1;
                            self.entry = *entries;
                            let section = *code;
                            self.entry(element, section, xml, out, line)?;
                            out.progress(xml.read_bytes());
                        }
                        _ => xml.skip()?,
                    }
                    any = true;
                }
            }
        }
        self.begin(out, xml.line())?;
        self.header_visit(out)?;
        self.take_back(out, xml.line())
    }

    /// Takes back what the document denies, and all that the documents say which it replaces. A document that breaks off comes
    /// not as far as here, and takes nobody's place.
    fn take_back(&mut self, out: &mut Out<'_>, line: u64) -> Result<(), Fault> {
        let Some(person) = self.whose.as_ref().map(|w| w.key) else { return Ok(()) };
        let seen = std::mem::take(&mut self.seen);
        for (key, (table, line)) in std::mem::take(&mut self.denied) {
            if !seen.contains_key(&key) {
                let mut row = self.env.retraction(table, person, key);
                self.stamp(&mut row);
                out.record(row, line)?;
            }
        }
        for (root, extension) in &self.replaced {
            for table in Table::SOURCED {
                let key = self.env.record(table, &["replaced", root, extension]);
                // The last word on that document, whatever its time and the time of this one.
                let mut row = self.env.retraction(table, person, key).with("rev", i64::from(u32::MAX));
                row.set_sequence(1);
                row.set_part_of(self.env.record(table, &["document", root, extension]));
                out.record(row, line)?;
            }
        }
        Ok(())
    }

    /// Gives a row its revision, and the document that it is a part of.
    fn stamp(&self, row: &mut Record) {
        row.set("rev", self.revision);
        if let Some((root, extension)) = &self.own {
            row.set_part_of(self.env.record(row.table(), &["document", root, extension]));
        }
    }

    fn header(
        &mut self,
        name: &str,
        element: Element,
        xml: &mut Xml<'_>,
        out: &mut Out<'_>,
        line: u64,
    ) -> Result<(), Fault> {
        if !matches!(name, "recordTarget" | "componentOf" | "effectiveTime" | "id" | "relatedDocument") {
            return xml.skip();
        }
        let Tree::Whole(element) = xml.tree(element)? else {
            return Err(Fault::bad(Reason::TooLarge, format!("{name} has over 20,000 elements; export it again")));
        };
        let pair = |(root, extension): (&str, &str)| (root.to_owned(), extension.to_owned());
        match name {
            "id" => {
                let id = element.get("root").filter(|_| element.null().is_none());
                self.own = id.map(|root| pair((root, element.get("extension").unwrap_or(""))));
            }
            "relatedDocument" => {
                let parents = element.all("parentDocument").filter(|_| element.get("typeCode") == Some("RPLC"));
                let replaced = parents.filter_map(Element::id).map(pair);
                let own = self.own.clone();
                self.replaced.extend(replaced.filter(|id| Some(id) != own.as_ref()));
            }
            "recordTarget" if self.record_target.is_some() => {
                let detail = "two recordTargets, and no entry says whose it is; export one document a patient";
                return Err(Fault::bad(Reason::MissingPatient, detail));
            }
            "recordTarget" => {
                self.whose = Some(patient::whose(&element, self.linkage, &self.env)?);
                self.record_target = Some(element);
            }
            "effectiveTime" => match when::moment(Some(&element), "effectiveTime", self.env.zone()) {
                // A document of the future is one with a slip; it would win over every later one.
                Ok(Some(when)) => {
                    let latest = self.env.ingested().div_euclid(1_000_000).clamp(0, i64::from(u32::MAX));
                    self.revision = when.seconds().clamp(0, latest);
                }
                Ok(None) => {}
                Err(no) => bad(no, line, "ClinicalDocument", out)?,
            },
            _ => {
                let Some(visit) = element.child("encompassingEncounter") else { return Ok(()) };
                let Some(whose) = &self.whose else { return Ok(()) };
                let row = match encounter::class(visit) {
                    Some(_) => encounter::row(visit, whose, &self.env),
                    None => Err(No::Skipped),
                };
                match row {
                    Ok(row) => self.visit = Some((row, line)),
                    // Many documents do not say what kind of visit it was, or which.
                    Err(No::Skipped | No::Bad(Reason::MissingId, _)) => {
                        out.tally.items += 1;
                        out.tally.skipped += 1;
                    }
                    Err(no) => {
                        out.tally.items += 1;
                        bad(no, line, "ClinicalDocument/componentOf", out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The header is over: whose document it is must be known now.
    fn begin(&mut self, out: &mut Out<'_>, line: u64) -> Result<(), Fault> {
        let Some(whose) = &self.whose else {
            let detail = "recordTarget/patientRole/id is missing; it says whose document it is";
            return Err(Fault::bad(Reason::MissingPatient, detail));
        };
        let Some(target) = self.record_target.take() else { return Ok(()) };
        out.tally.items += 1;
        match patient::rows(&target, whose, self.linkage, &self.env) {
            Ok(rows) => {
                for mut row in rows {
                    self.stamp(&mut row);
                    self.seen.insert(key_of(&row), 1);
                    out.record(row, line)?;
                }
            }
            Err(no) => bad(no, line, "ClinicalDocument/recordTarget", out)?,
        }
        self.record_target = None;
        Ok(())
    }

    fn header_visit(&mut self, out: &mut Out<'_>) -> Result<(), Fault> {
        let Some((row, line)) = self.visit.take() else { return Ok(()) };
        if self.seen.contains_key(&key_of(&row)) {
            return Ok(());
        }
        out.tally.items += 1;
        self.give(row, None, line, out)
    }

    fn entry(
        &mut self,
        entry: Element,
        section: Section,
        xml: &mut Xml<'_>,
        out: &mut Out<'_>,
        line: u64,
    ) -> Result<(), Fault> {
        let entry = match xml.tree(entry)? {
            Tree::Whole(entry) => entry,
            Tree::TooLarge => {
                out.tally.items += 1;
                let detail = format!(
                    "{}: over 20,000 elements, or a value of over 4096 characters; export it again",
                    self.place()
                );
                return Ok(out.quarantine(line, Reason::TooLarge, detail)?);
            }
        };
        let leaves = leaves(&entry, section);
        if leaves.is_empty() {
            out.tally.items += 1;
            out.tally.skipped += 1;
        }
        for leaf in &leaves {
            out.tally.items += 1;
            match self.row(leaf) {
                Ok(row) if leaf.denied() => self.deny(&row, leaf.element, line, out)?,
                Err(_) if leaf.denied() => out.tally.skipped += 1,
                Ok(row) => {
                    let (before, visit) = (out.tally.records, row.table() == Table::Visit);
                    self.give(row, Some(leaf.element), line, out)?;
                    if visit && out.tally.records > before && encounter::class(leaf.element).is_none() {
                        bad(encounter::unclassed(), line, &format!("{}/{}", self.place(), leaf.path()), out)?;
                    }
                }
                Err(no) => bad(no, line, &format!("{}/{}", self.place(), leaf.path()), out)?,
            }
        }
        Ok(())
    }

    fn row(&self, leaf: &Leaf<'_>) -> Row {
        let Some(whose) = &self.whose else { return Err(No::Skipped) };
        if leaf.element.null().is_some() {
            return Err(No::Skipped);
        }
        let mut row = match leaf.kind {
            Kind::NoPlace => return Err(No::Skipped),
            Kind::Problem => problem::row(leaf, whose, &self.env),
            Kind::Deceased => patient::died(leaf.element, whose, &self.env),
            Kind::Measurement | Kind::Smoking | Kind::Pregnancy => measurement::row(leaf, whose, &self.env),
            Kind::Medication | Kind::Dispense | Kind::Immunization => medication::row(leaf, whose, &self.env),
            Kind::Procedure => procedure::row(leaf, whose, &self.env),
            Kind::Encounter => encounter::row(leaf.element, whose, &self.env),
        }?;
        if row.get("visit_key") == &Cell::Null {
            let diagnosis = matches!(leaf.section, Section::AdmissionDiagnosis | Section::DischargeDiagnosis);
            let around = leaf.within("encounter").and_then(Element::id);
            match (around, &self.visit) {
                (Some((root, extension)), _) => {
                    row.set("visit_key", self.env.visit(&encounter::name(root, extension)));
                }
                // What a stay was for belongs to the stay that the document is about.
                (None, Some((visit, _))) if diagnosis => {
                    row.set("visit_key", visit.get("visit_key").clone());
                }
                _ => {}
            }
        }
        Ok(row)
    }

    /// The identity of a statement.
    fn identity(&self, row: &Record, of: Option<&Element>) -> Key {
        let (table, person) = (row.table(), self.whose.as_ref().map_or("", |w| w.id.as_str()));
        let (system, code) = (text(row, "code_system"), text(row, "code"));
        match (table, of.and_then(Element::id)) {
            // They have their own, made of the visit's id or the person's.
            (Table::Visit | Table::Death, _) => key_of(row),
            (_, Some((root, extension))) => self.env.record(table, &[person, root, extension, &system, &code]),
            // Without an id, what it says is what it is; but it may end, and be revised.
            (_, None) => self.env.record(table, &[person, "", &says(row, &CHANGING)]),
        }
    }

    /// Notes that a statement is not so. Without an id it is nothing that was said before.
    fn deny(&mut self, row: &Record, of: &Element, line: u64, out: &mut Out<'_>) -> Result<(), Fault> {
        out.tally.skipped += 1;
        if self.facts.len() + self.denied.len() >= MAX_STATEMENTS {
            return Err(too_many());
        }
        if of.id().is_some() {
            self.denied.insert(self.identity(row, Some(of)), (row.table(), line));
        }
        Ok(())
    }

    /// Gives a record its identity and its revision, and hands it over; a fact that the document has told before is
    /// skipped.
    fn give(&mut self, mut row: Record, of: Option<&Element>, line: u64, out: &mut Out<'_>) -> Result<(), Fault> {
        if self.facts.len() + self.denied.len() >= MAX_STATEMENTS {
            return Err(too_many());
        }
        let (table, person) = (row.table(), self.whose.as_ref().map_or("", |w| w.id.as_str()));
        let content = self.env.record(table, &["content", &says(&row, &[])]);
        self.stamp(&mut row);
        let time = format!("{:?}{:?}", row.get("event_date"), row.get("t_event"));
        let (root, extension) = of.and_then(Element::id).unwrap_or(("", ""));
        let (system, code) = (text(&row, "code_system"), text(&row, "code"));
        let first = self.identity(&row, of);
        if !self.facts.insert((first, content)) {
            out.tally.skipped += 1;
            return Ok(());
        }
        let key = match self.seen.entry(first) {
            Entry::Vacant(free) => {
                free.insert(1);
                first
            }
            Entry::Occupied(_) if table == Table::Death => {
                out.tally.skipped += 1;
                return Ok(());
            }
            Entry::Occupied(_) => {
                let again = self.env.record(table, &[person, root, extension, &system, &code, &time]);
                let times = self.seen.entry(again).or_insert(0);
                *times += 1;
                match *times {
                    1 => again,
                    n => self.env.record(table, &[person, root, extension, &system, &code, &time, &n.to_string()]),
                }
            }
        };
        if key != first && table == Table::Visit {
            row.set("visit_key", self.env.visit(&format!("{root}|{extension}|{time}")));
        }
        row.set("record_key", key);
        Ok(out.record(row, line)?)
    }
}

fn too_many() -> Fault {
    Fault::bad(Reason::TooLarge, "over a million statements in one document; export smaller documents")
}

fn not_cda() -> Fault {
    Fault::bad(Reason::NotCda, "the root is not a ClinicalDocument of urn:hl7-org:v3; is this a clinical document?")
}

fn key_of(row: &Record) -> Key {
    match row.get("record_key") {
        Cell::Key(key) => *key,
        _ => Key::default(),
    }
}

fn text(row: &Record, column: &str) -> String {
    match row.get(column) {
        Cell::Text(t) => t.to_string(),
        _ => String::new(),
    }
}

/// The columns that say how and when a row came, and not what it says.
const OF_THE_WAY: [&str; 7] = ["person_key", "record_key", "rev", "source_system", "src_format", "t_ingest", "t_known"];
/// The columns that a later document may say otherwise of the same statement.
const CHANGING: [&str; 6] = ["visit_key", "op", "status", "end_date", "end_kind", "t_result"];

/// What a row says, as one text.
fn says(row: &Record, without: &[&str]) -> String {
    let mut out = String::new();
    for (column, cell) in row.table().columns().zip(row.cells()) {
        if OF_THE_WAY.contains(&column.name) || without.contains(&column.name) {
            continue;
        }
        let _ = match cell {
            Cell::Null => continue,
            Cell::Key(key) => write!(out, "{}={}", column.name, u128::from_be_bytes(*key)),
            // A patient has an identity of its own, and nothing else has a tag.
            Cell::Tag(_) => continue,
            Cell::Text(text) => write!(out, "{}={}:{text}", column.name, text.len()),
            // Its bits: how a number is printed may change.
            Cell::Real(value) => write!(out, "{}={}", column.name, value.to_bits()),
            Cell::Int(value) | Cell::Instant(value) => write!(out, "{}={value}", column.name),
            Cell::Date(days) => write!(out, "{}={days}", column.name),
            Cell::Flag(flag) => write!(out, "{}={flag}", column.name),
        };
        out.push('\u{1f}');
    }
    out
}

/// Counts or quarantines what gives no record.
fn bad(no: No, line: u64, place: &str, out: &mut Out<'_>) -> Result<(), Fault> {
    match no {
        No::Skipped => out.tally.skipped += 1,
        No::Bad(reason, detail) => out.quarantine(line, reason, format!("{place}: {detail}"))?,
    }
    Ok(())
}
