//! Codes and their systems: an OID of a document to the URI of the schema.

use schema::codes;

use super::element::Element;

/// OIDs that the schema's own list does not hold, with the URI of the same system. From HL7's OID registry and the
/// page "Using Codes in Resources" of FHIR R4 (hl7.org/fhir/R4/terminologies-systems.html). Two OIDs of CVX are in
/// use: C-CDA R1.1 wrote the first.
const OIDS: &[(&str, &str)] = &[
    ("2.16.840.1.113883.6.59", "http://hl7.org/fhir/sid/cvx"),
    ("2.16.840.1.113883.12.292", "http://hl7.org/fhir/sid/cvx"),
    ("2.16.840.1.113883.6.12", "http://www.ama-assn.org/go/cpt"),
    ("2.16.840.1.113883.6.69", "http://hl7.org/fhir/sid/ndc"),
    ("2.16.840.1.113883.6.104", "http://hl7.org/fhir/sid/icd-9-cm"),
    ("2.16.840.1.113883.6.4", "http://www.cms.gov/Medicare/Coding/ICD10"),
    ("2.16.840.1.113883.6.285", "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"),
    ("2.16.840.1.113883.4.9", "http://fdasis.nlm.nih.gov"),
    ("2.16.840.1.113883.3.26.1.1", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"),
    ("2.16.840.1.113883.5.4", ACT_CODE),
];

/// HL7's ActCode, which says what kind of visit it was.
pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// A code with the URI of its system, where that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coded<'e> {
    pub(super) system: Option<String>,
    pub(super) code: &'e str,
}

/// The URI of a system that is named by its OID.
fn uri(oid: &str) -> String {
    if let Some((_, uri)) = OIDS.iter().find(|(o, _)| *o == oid) {
        return (*uri).to_owned();
    }
    // A root may be a UUID too.
    let urn = if oid.contains('-') { format!("urn:uuid:{oid}") } else { format!("urn:oid:{oid}") };
    codes::canonical(&urn).unwrap_or(urn)
}

/// The code of an element, and those of its translations, in that order; without those that are null.
pub(super) fn all(element: &Element) -> impl Iterator<Item = Coded<'_>> {
    std::iter::once(element).chain(element.all("translation")).filter_map(|e| {
        let code = e.get("code").filter(|_| e.null().is_none())?;
        let system = match e.get("codeSystem") {
            Some(oid) => Some(uri(oid)),
            None => e.get("codeSystemName").and_then(codes::canonical),
        };
        Some(Coded { system, code })
    })
}

/// The code to keep: the first of a system that the schema knows, else the first.
pub(super) fn choose(element: &Element) -> Option<Coded<'_>> {
    let known = |c: &Coded<'_>| c.system.as_ref().is_some_and(|u| codes::SYSTEMS.iter().any(|s| s.uri == u));
    all(element).find(known).or_else(|| all(element).next())
}

/// The code of a child, for columns that hold a bare code.
pub(super) fn bare(element: &Element, child: &str) -> Option<String> {
    element.child(child).and_then(choose).map(|c| c.code.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn systems_meet_those_of_the_other_formats() {
        for (oid, alias) in [
            ("2.16.840.1.113883.6.1", "loinc"),
            ("2.16.840.1.113883.6.96", "snomed"),
            ("2.16.840.1.113883.6.90", "icd10cm"),
            ("2.16.840.1.113883.6.103", "icd9cm"),
            ("2.16.840.1.113883.6.88", "rxnorm"),
            ("2.16.840.1.113883.6.69", "ndc"),
            ("2.16.840.1.113883.12.292", "cvx"),
            ("2.16.840.1.113883.6.12", "cpt"),
        ] {
            assert_eq!(Some(uri(oid)), codes::canonical(alias), "{alias}");
        }
        assert_eq!(uri("1.2.3"), "urn:oid:1.2.3");
    }
}
