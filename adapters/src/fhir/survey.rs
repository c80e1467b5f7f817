//! The first walk through a source: what resources say that those of other files need.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::index::{Compared, Concept, Diagnosis, Index, Role};
use super::stream::{Piece, Pieces};
use super::wire::{CodeableConcept, Identifier, Meta, Reference, Text, of};
use super::{Entry, Head, Json, code, leading_type, manifest, parse, told};
use crate::lines::{Line, Lines};
use crate::sink::Extract;

/// The types that others refer to for more than their id.
const TYPES: [&str; 4] = ["Patient", "Encounter", "Medication", "Specimen"];
/// The types whose files a bulk export names after them, and which are not looked through.
const OTHERS: [&str; 22] = [
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Claim",
    "Condition",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "ExplanationOfBenefit",
    "Goal",
    "ImagingStudy",
    "Immunization",
    "Location",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Organization",
    "Practitioner",
    "Procedure",
];

/// Whether a file may hold what is looked for. A file of lines that is named after another type holds that type alone.
pub(super) fn wants(file: &str) -> bool {
    if super::has_lines(file) != Some(true) {
        return true;
    }
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let kind = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    !OTHERS.contains(&kind)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Patient<'a> {
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    identifier: Vec<Identifier<'a>>,
    #[serde(borrow)]
    gender: Option<Text<'a>>,
    #[serde(borrow)]
    birth_date: Option<Text<'a>>,
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Encounter<'a> {
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    diagnosis: Vec<Use<'a>>,
}

#[derive(Deserialize)]
struct Use<'a> {
    #[serde(borrow)]
    condition: Option<Reference<'a>>,
    #[serde(borrow, rename = "use")]
    usage: Option<CodeableConcept<'a>>,
    rank: Option<u16>,
}

/// A Medication, by its code, else by that of its only ingredient; or a Specimen, by its type.
#[derive(Deserialize)]
struct Coded<'a> {
    #[serde(borrow)]
    code: Option<CodeableConcept<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<CodeableConcept<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    ingredient: Vec<Ingredient<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ingredient<'a> {
    #[serde(borrow)]
    item_codeable_concept: Option<CodeableConcept<'a>>,
}

/// The role by the codes of FHIR (AD, CC, CM, DD), of Germany's and France's profiles, and by the rank. Germany's main diagnosis may be
/// the chief complaint as well.
fn role(usage: &Use<'_>) -> Role {
    let codes = || usage.usage.iter().flat_map(|u| &u.coding).filter_map(|c| of(&c.code));
    let main = |c: &str| {
        let c = c.to_ascii_lowercase();
        matches!(c.as_str(), "principal" | "dp" | "hospital-main-diagnosis" | "department-main-diagnosis")
            || c.starts_with("principal-")
            || c.starts_with("principle-")
    };
    if codes().any(main) {
        return Role::Primary;
    }
    if codes().any(|c| matches!(c, "AD" | "CC" | "referral-diagnosis" | "admitting")) {
        return Role::Admit;
    }
    match usage.rank {
        Some(1) if !codes().any(|c| c == "CM") => Role::Primary,
        _ => Role::Secondary,
    }
}

/// What is remembered of a file while it is read.
struct Walk<'w> {
    index: &'w mut Index,
    file: &'w str,
    /// The number of the file.
    number: u32,
}

impl Walk<'_> {
    /// Notes what a text says; one that can't be read is told of when it is read for its rows.
    fn note(&mut self, bytes: &[u8], held: bool, depth: u32) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let json = Json { text, held };
        if held {
            let Ok(entry) = parse::<Entry<'_>>(text) else { return };
            let Some(kind) = entry.resource.as_ref().and_then(|r| of(&r.resource_type)) else { return };
            if kind == "Bundle" && depth < super::NESTED_BUNDLES {
                if let Some(inner) = super::stream::member(bytes, "resource") {
                    self.pieces(Pieces::new(inner.as_slice()), depth + 1).unwrap_or_default();
                }
                return;
            }
            let Some(id) = entry.id(kind).filter(|_| TYPES.contains(&kind)) else { return };
            if let Some(url) = of(&entry.full_url).filter(|u| told::id_of_url(u, kind) != Some(id)) {
                self.index.keep_full_url(self.file, url, id);
            }
            self.resource(kind, id, &json);
            return;
        }
        match leading_type(text) {
            Some("Bundle") if depth == 0 => self.pieces(Pieces::new(bytes), 1).unwrap_or_default(),
            Some(kind) if !TYPES.contains(&kind) => {}
            _ => {
                let Ok(head) = parse::<Head<'_>>(text) else { return };
                match (of(&head.resource_type), of(&head.id)) {
                    (Some("Bundle"), _) if depth == 0 => self.pieces(Pieces::new(bytes), 1).unwrap_or_default(),
                    (Some(kind), Some(id)) if TYPES.contains(&kind) => self.resource(kind, id, &json),
                    (None, _) if head.transaction_time.is_some() => manifest::note(text, self.file, self.index),
                    _ => {}
                }
            }
        }
    }

    fn resource(&mut self, kind: &str, id: &str, json: &Json<'_>) {
        match kind {
            "Patient" => {
                if let Ok(patient) = json.parse::<Patient<'_>>() {
                    self.patient(id, &patient);
                }
            }
            "Encounter" => {
                let Ok(encounter) = json.parse::<Encounter<'_>>() else { return };
                for usage in &encounter.diagnosis {
                    let condition = usage.condition.as_ref().and_then(|c| of(&c.reference));
                    let condition = condition.and_then(|r| match r.strip_prefix("urn:uuid:") {
                        Some(uuid) => Some(uuid),
                        None => told::id_of_url(r, "Condition"),
                    });
                    if let Some(condition) = condition {
                        self.index.keep_diagnosis(condition, Diagnosis { role: role(usage), rank: usage.rank });
                    }
                }
            }
            _ => {
                let Ok(coded) = json.parse::<Coded<'_>>() else { return };
                let (own, table) = match kind {
                    "Specimen" => (coded.kind.as_ref(), schema::Table::Measurement),
                    _ => (coded.code.as_ref(), schema::Table::DrugExposure),
                };
                let only = match coded.ingredient.as_slice() {
                    [one] => one.item_codeable_concept.as_ref(),
                    _ => None,
                };
                let chosen =
                    own.and_then(|c| code::choose(c, table)).or_else(|| only.and_then(|c| code::choose(c, table)));
                if let Some((_, code, system)) = chosen {
                    let concept = Concept { system: system.map(std::borrow::Cow::into_owned), code: code.to_owned() };
                    self.index.keep_concept(kind, id, concept);
                }
            }
        }
    }

    fn patient(&mut self, id: &str, patient: &Patient<'_>) {
        for identifier in patient.identifier.iter().filter(|i| of(&i.usage) != Some("old")) {
            if let Some(value) = of(&identifier.value) {
                self.index.keep_identifier("Patient", of(&identifier.system).unwrap_or_default(), value, id);
            }
        }
        // Two versions of a patient may differ in their birth, two patients of one version may not.
        let version = patient.meta.as_ref().map(|m| (of(&m.version_id), of(&m.last_updated)));
        let version = version.filter(|v| v.0.is_some() || v.1.is_some());
        let joined = version.map(|(id, at)| format!("{}|{}", id.unwrap_or_default(), at.unwrap_or_default()));
        let own = Compared {
            birth: self.index.short(of(&patient.birth_date)),
            version: joined.map(|v| self.index.short(Some(&v))),
            sex: of(&patient.gender).and_then(|g| g.bytes().next()).unwrap_or(0),
            file: self.number,
        };
        self.index.compare(id, own);
    }

    fn pieces<R: BufRead>(&mut self, mut pieces: Pieces<R>, depth: u32) -> io::Result<()> {
        loop {
            match pieces.advance()? {
                Piece::End => return Ok(()),
                Piece::Fault(..) => {}
                Piece::Whole => self.note(pieces.bytes(), false, depth.max(1)),
                Piece::Entry(_) => self.note(pieces.bytes(), true, depth),
            }
        }
    }
}

/// Walks through a file.
pub(super) fn read(extract: Extract<'_>, by_line: bool, index: &mut Index) -> io::Result<()> {
    let number = index.next_file();
    let mut walk = Walk { index, file: extract.name, number };
    if !by_line {
        return walk.pieces(Pieces::new(extract.reader), 0);
    }
    let mut lines = Lines::new(extract.reader);
    loop {
        match lines.advance()? {
            Line::End => return Ok(()),
            Line::Here => walk.note(lines.bytes(), false, 0),
            Line::TooLong | Line::Truncated => {}
        }
    }
}
