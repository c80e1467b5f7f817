//! Code systems: the short alias that a study writes, and the URI that a row carries.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One code system.
#[derive(Clone, Copy, Debug)]
pub struct CodeSystem {
    /// What a study and a mapping write.
    pub alias: &'static str,
    /// What gold carries; FHIR's canonical URI where there is one.
    pub uri: &'static str,
    /// Other spellings seen in extracts (OIDs, older URIs, HL7 v2 table 0396 names).
    pub also: &'static [&'static str],
}

/// Every code system known here. National ICD-10 variants are systems of their own.
pub const SYSTEMS: &[CodeSystem] = &[
    CodeSystem { alias: "loinc", uri: "http://loinc.org", also: &["urn:oid:2.16.840.1.113883.6.1", "LN"] },
    CodeSystem {
        alias: "snomed",
        uri: "http://snomed.info/sct",
        also: &["urn:oid:2.16.840.1.113883.6.96", "SCT", "SNOMED-CT"],
    },
    CodeSystem {
        alias: "icd10",
        uri: "http://hl7.org/fhir/sid/icd-10",
        also: &["urn:oid:2.16.840.1.113883.6.3", "I10", "ICD10"],
    },
    CodeSystem {
        alias: "icd10cm",
        uri: "http://hl7.org/fhir/sid/icd-10-cm",
        also: &["urn:oid:2.16.840.1.113883.6.90", "I10C", "ICD10CM"],
    },
    CodeSystem {
        alias: "icd10gm",
        uri: "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
        also: &["http://fhir.de/CodeSystem/dimdi/icd-10-gm", "urn:oid:1.2.276.0.76.5.413"],
    },
    CodeSystem {
        alias: "icd10fr",
        uri: "http://hl7.org/fhir/sid/icd-10-fr",
        also: &[
            "urn:oid:1.2.250.1.213.2.71",
            "https://smt.esante.gouv.fr/terminologie-cim-10",
            "http://smt.esante.gouv.fr/terminologie-cim-10",
            "CIM10",
        ],
    },
    CodeSystem {
        alias: "icd10am",
        uri: "http://hl7.org/fhir/sid/icd-10-am",
        also: &["urn:oid:2.16.840.1.113883.6.135", "ICD10AM"],
    },
    CodeSystem { alias: "icd10uk", uri: "http://hl7.org/fhir/sid/icd-10-uk", also: &[] },
    CodeSystem { alias: "icd10nl", uri: "http://hl7.org/fhir/sid/icd-10-nl", also: &[] },
    CodeSystem { alias: "icd10se", uri: "http://hl7.org/fhir/sid/icd-10-se", also: &["urn:oid:1.2.752.116.1.1.1.1.3"] },
    CodeSystem { alias: "icd10es", uri: "urn:oid:2.16.724.4.21.5.29", also: &["CIE10ES"] },
    CodeSystem {
        alias: "icd9cm",
        uri: "http://hl7.org/fhir/sid/icd-9-cm",
        also: &["urn:oid:2.16.840.1.113883.6.103", "I9C", "ICD9CM"],
    },
    CodeSystem {
        alias: "rxnorm",
        uri: "http://www.nlm.nih.gov/research/umls/rxnorm",
        also: &["urn:oid:2.16.840.1.113883.6.88", "RXNORM"],
    },
    CodeSystem {
        alias: "atc",
        uri: "http://www.whocc.no/atc",
        also: &[
            "urn:oid:2.16.840.1.113883.6.73",
            "http://fhir.de/CodeSystem/bfarm/atc",
            "http://fhir.de/CodeSystem/dimdi/atc",
            "ATC",
        ],
    },
    CodeSystem { alias: "ndc", uri: "http://hl7.org/fhir/sid/ndc", also: &["NDC"] },
    CodeSystem { alias: "cvx", uri: "http://hl7.org/fhir/sid/cvx", also: &["CVX"] },
    CodeSystem { alias: "cpt", uri: "http://www.ama-assn.org/go/cpt", also: &["CPT", "C4"] },
    CodeSystem { alias: "icd9proc", uri: "urn:oid:2.16.840.1.113883.6.104", also: &["I9CP", "ICD9PROC"] },
    CodeSystem {
        alias: "icd10pcs",
        uri: "http://www.cms.gov/Medicare/Coding/ICD10",
        also: &["http://hl7.org/fhir/sid/icd-10-pcs", "urn:oid:2.16.840.1.113883.6.4", "I10P", "ICD10PCS"],
    },
    CodeSystem {
        alias: "hcpcs",
        uri: "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        also: &["urn:oid:2.16.840.1.113883.6.285", "HCPCS", "HCPT"],
    },
    CodeSystem {
        alias: "ops",
        uri: "http://fhir.de/CodeSystem/bfarm/ops",
        also: &["http://fhir.de/CodeSystem/dimdi/ops", "urn:oid:1.2.276.0.76.5.471"],
    },
    CodeSystem {
        alias: "ccam",
        uri: "https://smt.esante.gouv.fr/terminologie-ccam",
        also: &[
            "http://smt.esante.gouv.fr/terminologie-ccam",
            "urn:oid:1.2.250.1.213.2.5",
            "https://interop.aphp.fr/ig/fhir/dm/CodeSystem/Ccam",
            "CCAM",
        ],
    },
    CodeSystem {
        alias: "opcs4",
        uri: "https://fhir.hl7.org.uk/CodeSystem/OPCS-4",
        also: &["http://fhir.hl7.org.uk/CodeSystem/OPCS-4", "OPCS4"],
    },
    CodeSystem { alias: "pzn", uri: "http://fhir.de/CodeSystem/ifa/pzn", also: &["urn:oid:1.2.276.0.76.4.6", "PZN"] },
    CodeSystem { alias: "dmd", uri: "https://dmd.nhs.uk", also: &[] },
];

/// The canonical URI of a spelling: an alias, a URI, an OID. A spelling with a colon that is not known stays as
/// it is, since a hospital may use systems of its own; a bare word that is not known is `None`.
pub fn canonical(spelling: &str) -> Option<String> {
    let s = spelling.trim();
    if let Some(uri) = listed(s) {
        return Some(uri.to_owned());
    }
    for system in SYSTEMS {
        if system.alias.eq_ignore_ascii_case(s) || system.also.iter().any(|a| a.eq_ignore_ascii_case(s)) {
            return Some(system.uri.to_owned());
        }
    }
    s.contains(':').then(|| s.to_owned())
}

/// The URI of a spelling that is listed here letter by letter. Quicker than [`canonical`], which knows more.
pub fn listed(spelling: &str) -> Option<&'static str> {
    AS_LISTED.get(spelling).copied()
}

/// The URI of each spelling as it is listed; the others differ from one in their letters' case.
static AS_LISTED: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let spellings = |s: &'static CodeSystem| [s.alias, s.uri].into_iter().chain(s.also.iter().copied());
    // The first system that lists a spelling has it.
    SYSTEMS.iter().rev().flat_map(|s| spellings(s).map(|spelling| (spelling, s.uri))).collect()
});

/// The canonical URI of a spelling that is known here, and of no other.
pub fn known(spelling: &str) -> Option<String> {
    canonical(spelling).filter(|uri| SYSTEMS.iter().any(|s| s.uri == uri))
}

/// Whether a system is one of the ICDs, whose codes are written with and without their dot.
pub fn is_icd(uri: &str) -> bool {
    SYSTEMS.iter().any(|s| s.uri == uri && s.alias.starts_with("icd"))
}

/// A code as it is compared: of an ICD without its dot and in capitals, of any other system as it stands.
pub fn plain<'c>(uri: &str, code: &'c str) -> Cow<'c, str> {
    if is_icd(uri) && code.bytes().any(|b| b == b'.' || b.is_ascii_lowercase()) {
        return Cow::Owned(code.replace('.', "").to_ascii_uppercase());
    }
    Cow::Borrowed(code)
}

/// The aliases, for a message that says what would fit.
pub fn aliases() -> Vec<&'static str> {
    SYSTEMS.iter().map(|s| s.alias).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        assert_eq!(canonical("loinc"), canonical("http://loinc.org"));
        assert_eq!(canonical("LN"), canonical("urn:oid:2.16.840.1.113883.6.1"));
        assert_eq!(canonical("icd11x"), None);
        assert_eq!((known("LN").as_deref(), known("urn:x")), (Some("http://loinc.org"), None));
        assert_eq!(canonical("urn:hospital:labs").as_deref(), Some("urn:hospital:labs"));
    }

    #[test]
    fn an_icd_code_is_one_with_and_without_its_dot() {
        let icd = canonical("icd10gm").unwrap_or_default();
        assert_eq!((plain(&icd, "e11.9"), plain(&icd, "E119")), ("E119".into(), "E119".into()));
        assert_eq!(plain("http://loinc.org", "a.1"), "a.1");
    }
}
