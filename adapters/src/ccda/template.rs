//! What kind of statement an entry is: by its template, else by its section.

use super::element::Element;

/// The kinds that have a place in the schema, and the one that is known to have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Problem,
    Measurement,
    Smoking,
    Pregnancy,
    Medication,
    Dispense,
    Immunization,
    Procedure,
    Encounter,
    Deceased,
    /// Allergies and what is told of relatives.
    NoPlace,
}

const CCDA: &str = "2.16.840.1.113883.10.20.22.4.";
const CCD: &str = "2.16.840.1.113883.10.20.1.";
const IHE: &str = "1.3.6.1.4.1.19376.1.5.3.1.4.";
const PREGNANCY: &str = "2.16.840.1.113883.10.20.15.3.8";

/// The kind of one template: C-CDA (22.4), the older CCD (20.1), and IHE's, which the documents of France, Austria, Italy
/// and others carry.
fn of(root: &str) -> Option<Kind> {
    if let Some(last) = root.strip_prefix(CCDA) {
        return Some(match last {
            "4" => Kind::Problem,
            "2" | "27" | "38" | "69" | "85" => Kind::Measurement,
            "78" => Kind::Smoking,
            "16" => Kind::Medication,
            "18" => Kind::Dispense,
            "52" => Kind::Immunization,
            "12" | "13" | "14" => Kind::Procedure,
            "49" => Kind::Encounter,
            "79" => Kind::Deceased,
            "7" | "30" | "45" | "46" => Kind::NoPlace,
            _ => return None,
        });
    }
    if let Some(last) = root.strip_prefix(CCD) {
        return Some(match last {
            "28" => Kind::Problem,
            "31" | "33" => Kind::Measurement,
            "24" => Kind::Medication,
            "34" => Kind::Dispense,
            "29" => Kind::Procedure,
            "21" => Kind::Encounter,
            "18" | "22" | "23" => Kind::NoPlace,
            _ => return None,
        });
    }
    if let Some(last) = root.strip_prefix(IHE) {
        return Some(match last {
            "5" => Kind::Problem,
            "13" | "13.2" | "13.4" | "13.5" => Kind::Measurement,
            "7" => Kind::Medication,
            "7.3" => Kind::Dispense,
            "12" => Kind::Immunization,
            "19" => Kind::Procedure,
            "14" => Kind::Encounter,
            "6" | "5.3" | "13.3" | "15" => Kind::NoPlace,
            _ => return None,
        });
    }
    (root == PREGNANCY).then_some(Kind::Pregnancy)
}

/// Sections by their LOINC codes, for entries without a template that is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Section {
    Problems,
    AdmissionDiagnosis,
    DischargeDiagnosis,
    Results,
    Medications,
    MedicationsGiven,
    Immunizations,
    Procedures,
    Encounters,
    #[default]
    Other,
}

impl Section {
    /// The section of a LOINC code.
    pub(super) fn of(code: &Element) -> Section {
        match code.get("code") {
            Some("11450-4" | "11348-0") => Section::Problems,
            Some("46241-6" | "42347-5") => Section::AdmissionDiagnosis,
            Some("11535-2" | "78375-3") => Section::DischargeDiagnosis,
            Some("30954-2" | "8716-3") => Section::Results,
            Some("10160-0" | "10183-2" | "75311-1" | "42346-7") => Section::Medications,
            Some("29549-3") => Section::MedicationsGiven,
            Some("11369-6") => Section::Immunizations,
            Some("47519-4") => Section::Procedures,
            Some("46240-8") => Section::Encounters,
            _ => Section::Other,
        }
    }
}

/// The kind of a statement, or `None` where it is a wrapping, or nothing that is known.
pub(super) fn kind(statement: &Element, section: Section) -> Option<Kind> {
    let told_of_another = statement.child("subject").is_some_and(|s| s.child("relatedSubject").is_some());
    if told_of_another {
        return Some(Kind::NoPlace);
    }
    let mut found = None;
    let mut strange = false;
    for template in statement.all("templateId") {
        match template.get("root").and_then(of) {
            // IHE's allergy is a problem too, by its own templates; what has no place goes first.
            Some(Kind::NoPlace) => return Some(Kind::NoPlace),
            // The more special of a statement's templates comes last.
            Some(kind) => found = Some(kind),
            None => strange = true,
        }
    }
    let own = |root: &str| root.starts_with(CCDA) || root.starts_with(IHE);
    let of_guide = strange && statement.all("templateId").any(|t| t.get("root").is_some_and(own));
    if found.is_some() || of_guide {
        return found;
    }
    let valued = statement.name == "observation" && statement.child("value").is_some();
    match (section, statement.name) {
        (Section::Problems | Section::AdmissionDiagnosis | Section::DischargeDiagnosis, "observation") if valued => {
            Some(Kind::Problem)
        }
        (Section::Results, "observation") if valued => Some(Kind::Measurement),
        (Section::Medications | Section::MedicationsGiven, "substanceAdministration") => Some(Kind::Medication),
        (Section::Immunizations, "substanceAdministration") => Some(Kind::Immunization),
        (Section::Procedures, "procedure") => Some(Kind::Procedure),
        (Section::Encounters, "encounter") => Some(Kind::Encounter),
        _ => None,
    }
}
