//! FHIR R4 NDJSON, plain or gzip, with the country's ICD-10.

use std::path::Path;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::super::GenerateError;
use super::super::chance::Chance;
use super::super::files::TextFile;
use super::super::sites::{Lab, Site};
use super::super::world::{Analyte, Class, Person};
use super::{Counts, DIRT, Writer};

pub(super) struct Fhir {
    icd: &'static str,
    icd_dot: bool,
    labs: [(Analyte, Lab); 4],
    files: Vec<TextFile>,
    counts: Counts,
}

const KINDS: [&str; 6] = ["Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure"];
const LOINC: &str = "http://loinc.org";

impl Fhir {
    pub(super) fn create(site: &Site, folder: &Path) -> Result<Fhir, GenerateError> {
        let gzip = site.odd();
        let mut files = Vec::new();
        for kind in KINDS {
            let name = format!("{kind}.ndjson{}", if gzip { ".gz" } else { "" });
            files.push(TextFile::create(&folder.join(name), false, gzip)?);
        }
        let (icd, icd_dot) = match site.country {
            "NL" => ("http://hl7.org/fhir/sid/icd-10-nl", true),
            "SE" => ("http://hl7.org/fhir/sid/icd-10-se", false),
            _ => ("http://hl7.org/fhir/sid/icd-10", true),
        };
        let labs = Analyte::ALL.map(|a| (a, site.lab(a)));
        Ok(Fhir { icd, icd_dot, labs, files, counts: Counts::default() })
    }

    /// Writes a resource into its type's file; now and then a cut copy follows.
    fn put(&mut self, kind: usize, resource: &Value, chance: &mut Chance) -> Result<(), GenerateError> {
        // The type comes first, as exports write it.
        let name = KINDS.get(kind).copied().unwrap_or_default();
        let fields = resource.to_string();
        let text = format!("{{\"resourceType\":\"{name}\",{}", fields.get(1..).unwrap_or("}"));
        let Some(file) = self.files.get_mut(kind) else { return Ok(()) };
        file.line(&text)?;
        self.counts.rows += 1;
        if chance.happens(DIRT) {
            self.counts.rows += 1;
            self.counts.dirty += 1;
            file.line(text.get(..text.len() / 2).unwrap_or("{"))?;
        }
        Ok(())
    }
}

fn code(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// Afternoon in UTC, which is the same day at every site here.
fn afternoon(date: NaiveDate) -> String {
    format!("{date}T13:00:00Z")
}

fn quantity(value: &str, unit: &str) -> Value {
    let number = value.parse::<f64>().unwrap_or_default();
    json!({ "value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit })
}

impl Writer for Fhir {
    fn mapping(&self) -> Option<String> {
        None
    }

    fn person(&mut self, id: &str, person: &Person, chance: &mut Chance) -> Result<(), GenerateError> {
        let subject = json!({ "reference": format!("Patient/{id}") });
        let encounter = |number: Option<u64>| number.map(|n| json!({ "reference": format!("Encounter/e{n}") }));
        let mut patient = json!({
            "id": id,
            "gender": if person.male { "male" } else { "female" },
            "birthDate": person.born.to_string(),
        });
        if let Some(died) = person.died {
            patient["deceasedDateTime"] = json!(died.to_string());
        }
        self.put(0, &patient, chance)?;
        for v in &person.visits {
            let class = match v.class {
                Class::Inpatient => "IMP",
                Class::Emergency => "EMER",
                Class::Outpatient => "AMB",
            };
            let end = if v.class == Class::Inpatient { afternoon(v.end) } else { format!("{}T13:40:00Z", v.end) };
            let resource = json!({
                "id": format!("e{}", v.number),
                "status": "finished",
                "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class },
                "subject": subject,
                "period": { "start": afternoon(v.start), "end": end },
            });
            self.put(1, &resource, chance)?;
        }
        for c in &person.conditions {
            let icd = if self.icd_dot { c.icd.to_owned() } else { c.icd.replace('.', "") };
            let mut resource = json!({
                "id": format!("c{}", c.number),
                "verificationStatus":
                    code("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
                "code": code(self.icd, &icd),
                "subject": subject,
                "onsetDateTime": c.date.to_string(),
                "recordedDate": afternoon(c.date),
            });
            if let Some(encounter) = encounter(c.visit) {
                resource["encounter"] = encounter;
            }
            self.put(2, &resource, chance)?;
        }
        for m in &person.measures {
            let Some((_, lab)) = self.labs.iter().find(|(a, _)| *a == m.analyte).copied() else { continue };
            let at = format!("{}T{:02}:{:02}:00Z", m.date, m.minute / 60, m.minute % 60);
            let value = lab.write(m.value);
            let mut resource = json!({
                "id": format!("o{}", m.number),
                "status": "final",
                "subject": subject,
                "effectiveDateTime": at,
                "issued": afternoon(m.date),
            });
            if m.analyte == Analyte::Pressure {
                resource["code"] = code(LOINC, "85354-9");
                resource["component"] = json!([
                    { "code": code(LOINC, lab.loinc), "valueQuantity": quantity(&value, lab.unit) },
                    {
                        "code": code(LOINC, "8462-4"),
                        "valueQuantity": quantity(&format!("{:.0}", m.diastolic), lab.unit),
                    },
                ]);
            } else {
                resource["code"] = code(LOINC, lab.loinc);
                resource["valueQuantity"] = quantity(&value, lab.unit);
            }
            if let Some(encounter) = encounter(m.visit) {
                resource["encounter"] = encounter;
            }
            self.put(3, &resource, chance)?;
        }
        for d in &person.drugs {
            let resource = json!({
                "id": format!("m{}", d.number),
                "status": "completed",
                "intent": "order",
                "medicationCodeableConcept": code("http://www.whocc.no/atc", "A10BA02"),
                "subject": subject,
                "authoredOn": afternoon(d.date),
            });
            self.put(4, &resource, chance)?;
        }
        for p in &person.procedures {
            let snomed = if p.kind == 0 { "29303009" } else { "40701008" };
            let resource = json!({
                "id": format!("p{}", p.number),
                "status": "completed",
                "code": code("http://snomed.info/sct", snomed),
                "subject": subject,
                "performedDateTime": afternoon(p.date),
            });
            self.put(5, &resource, chance)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Counts, GenerateError> {
        for file in self.files {
            file.finish()?;
        }
        Ok(self.counts)
    }
}
