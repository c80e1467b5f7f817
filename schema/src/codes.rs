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
    /// Other spellings seen in extracts: OIDs, older URIs, the names of HL7 v2's table 0396 and those that senders write instead.
    pub also: &'static [&'static str],
}

/// Every code system known here. National ICD-10 variants are systems of their own.
pub const SYSTEMS: &[CodeSystem] = &[
    CodeSystem { alias: "loinc", uri: "http://loinc.org", also: &["urn:oid:2.16.840.1.113883.6.1", "LN", "LNC"] },
    CodeSystem {
        alias: "snomed",
        uri: "http://snomed.info/sct",
        also: &["urn:oid:2.16.840.1.113883.6.96", "SCT", "SNM", "SNM3", "SNOMEDCT", "SNOMED-CT", "SNOMED CT"],
    },
    CodeSystem {
        alias: "icd10",
        uri: "http://hl7.org/fhir/sid/icd-10",
        also: &["urn:oid:2.16.840.1.113883.6.3", "I10", "ICD10", "ICD-10"],
    },
    CodeSystem {
        alias: "icd10cm",
        uri: "http://hl7.org/fhir/sid/icd-10-cm",
        also: &["urn:oid:2.16.840.1.113883.6.90", "I10C", "ICD10CM", "ICD10-CM", "ICD-10-CM"],
    },
    CodeSystem {
        alias: "icd10gm",
        uri: "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
        also: &[
            "http://fhir.de/CodeSystem/dimdi/icd-10-gm",
            "urn:oid:1.2.276.0.76.5.413",
            "I10G",
            "I10GM",
            "10GM",
            "ICD10GM",
            "ICD10-GM",
            "ICD-10GM",
            "ICD-10-GM",
        ],
    },
    CodeSystem {
        alias: "icd10fr",
        uri: "http://hl7.org/fhir/sid/icd-10-fr",
        also: &[
            "urn:oid:1.2.250.1.213.2.71",
            "https://smt.esante.gouv.fr/terminologie-cim-10",
            "http://smt.esante.gouv.fr/terminologie-cim-10",
            "CIM10",
            "CIM-10",
        ],
    },
    CodeSystem {
        alias: "icd10am",
        uri: "http://hl7.org/fhir/sid/icd-10-am",
        also: &["urn:oid:2.16.840.1.113883.6.135", "I10AM", "ICD10AM", "ICD10-AM", "ICD-10-AM"],
    },
    CodeSystem { alias: "icd10uk", uri: "http://hl7.org/fhir/sid/icd-10-uk", also: &[] },
    CodeSystem { alias: "icd10nl", uri: "http://hl7.org/fhir/sid/icd-10-nl", also: &[] },
    CodeSystem { alias: "icd10se", uri: "http://hl7.org/fhir/sid/icd-10-se", also: &["urn:oid:1.2.752.116.1.1.1.1.3"] },
    CodeSystem { alias: "icd10es", uri: "urn:oid:2.16.724.4.21.5.29", also: &["CIE10ES"] },
    CodeSystem {
        alias: "icd9cm",
        uri: "http://hl7.org/fhir/sid/icd-9-cm",
        also: &[
            "urn:oid:2.16.840.1.113883.6.103",
            "I9C",
            "I9CDX",
            "I9",
            "ICD9",
            "ICD-9",
            "ICD9CM",
            "ICD9-CM",
            "ICD-9-CM",
        ],
    },
    CodeSystem {
        alias: "rxnorm",
        uri: "http://www.nlm.nih.gov/research/umls/rxnorm",
        also: &["urn:oid:2.16.840.1.113883.6.88", "RXNORM", "RXN"],
    },
    CodeSystem {
        alias: "atc",
        uri: "http://www.whocc.no/atc",
        also: &[
            "urn:oid:2.16.840.1.113883.6.73",
            "http://fhir.de/CodeSystem/bfarm/atc",
            "http://fhir.de/CodeSystem/dimdi/atc",
            "ATC",
            "WC",
        ],
    },
    CodeSystem { alias: "ndc", uri: "http://hl7.org/fhir/sid/ndc", also: &["urn:oid:2.16.840.1.113883.6.69", "NDC"] },
    CodeSystem {
        alias: "cvx",
        uri: "http://hl7.org/fhir/sid/cvx",
        also: &["urn:oid:2.16.840.1.113883.12.292", "urn:oid:2.16.840.1.113883.6.59", "CVX"],
    },
    CodeSystem {
        alias: "cpt",
        uri: "http://www.ama-assn.org/go/cpt",
        also: &["urn:oid:2.16.840.1.113883.6.12", "CPT", "CPT4", "CPT-4", "C4"],
    },
    CodeSystem { alias: "icd9proc", uri: "urn:oid:2.16.840.1.113883.6.104", also: &["I9CP", "I9P", "ICD9PROC"] },
    CodeSystem {
        alias: "icd10pcs",
        uri: "http://www.cms.gov/Medicare/Coding/ICD10",
        also: &[
            "http://hl7.org/fhir/sid/icd-10-pcs",
            "urn:oid:2.16.840.1.113883.6.4",
            "I10P",
            "ICD10PCS",
            "ICD-10-PCS",
        ],
    },
    CodeSystem {
        alias: "hcpcs",
        uri: "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        also: &["urn:oid:2.16.840.1.113883.6.285", "HCPCS", "HCPT", "HPC"],
    },
    CodeSystem {
        alias: "cdt",
        uri: "http://www.ada.org/cdt",
        also: &["http://ada.org/cdt", "urn:oid:2.16.840.1.113883.6.13", "CDT", "CD2"],
    },
    CodeSystem {
        alias: "ops",
        uri: "http://fhir.de/CodeSystem/bfarm/ops",
        also: &["http://fhir.de/CodeSystem/dimdi/ops", "urn:oid:1.2.276.0.76.5.471", "OPS", "O301"],
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

/// The canonical URI of a spelling: an alias, a URI, an OID with or without `urn:oid:`. Of a URI the scheme may be `https`, a slash
/// may end it, and a version may follow behind `|`; of the name of a system that comes anew each year, such as HL7's `I10G2024` or `ICD-10-GM-2024`,
/// the year may follow. A URI or an OID that is not known stays as it is, since a hospital may use systems of its own; a bare word that
/// is not known is `None`.
pub fn canonical(spelling: &str) -> Option<String> {
    let s = spelling.trim();
    if let Some(uri) = listed(s) {
        return Some(uri.to_owned());
    }
    if let Some(uri) = folded(s) {
        return Some(uri.to_owned());
    }
    if let Some((bare, _)) = s.split_once('|').filter(|(bare, _)| bare.contains(':')) {
        return canonical(bare);
    }
    if is_oid(s) {
        let urn = format!("urn:oid:{s}");
        return Some(folded(&urn).map_or(urn, str::to_owned));
    }
    s.contains(':').then(|| s.to_owned())
}

/// A spelling as it is compared.
fn fold(s: &str) -> String {
    let lower = s.to_ascii_lowercase();
    match lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) {
        Some(rest) => format!("//{}", rest.trim_end_matches('/')),
        None => lower,
    }
}

/// The URI of a spelling, whatever the case of its letters, its scheme, its last slash and its year.
fn folded(s: &str) -> Option<&'static str> {
    static FOLDED: LazyLock<HashMap<String, &'static str>> =
        LazyLock::new(|| AS_LISTED.iter().map(|(spelling, uri)| (fold(spelling), *uri)).collect());
    let wanted = fold(s);
    let year = |w: &str| {
        let (name, year) = w.split_at_checked(w.len().checked_sub(4)?)?;
        let digits = year.bytes().all(|b| b.is_ascii_digit()) && matches!(year.as_bytes(), [b'1' | b'2', ..]);
        let name = name.trim_end_matches(['-', '_', ' ']);
        let yearly =
            ["i10", "10gm", "icd10", "icd-10", "cim10", "cim-10", "ops", "o301"].iter().any(|y| name.starts_with(y));
        (digits && yearly).then(|| FOLDED.get(name).copied()).flatten()
    };
    FOLDED.get(&wanted).copied().or_else(|| year(&wanted))
}

/// Whether a text is an OID: numbers between dots, of which the first is 0, 1 or 2.
fn is_oid(s: &str) -> bool {
    let mut arcs = s.split('.');
    let first = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let rest = arcs.all(|arc| !arc.is_empty() && arc.len() <= 39 && arc.bytes().all(|b| b.is_ascii_digit()));
    first && rest && s.bytes().filter(|b| *b == b'.').count() >= 2
}

/// A code in its one spelling, where it has several and this is another: an NDC of ten digits, whose hyphens tell which segment lacks
/// its zero, becomes one of eleven (the conversion of the FDA: 4-4-2, 5-3-2, 5-4-1).
pub fn tidied(uri: &str, code: &str) -> Option<String> {
    if uri != "http://hl7.org/fhir/sid/ndc" || !code.contains('-') {
        return None;
    }
    let parts: Vec<&str> = code.trim().split('-').collect();
    let [labeler, product, package] = parts.as_slice() else { return None };
    let digits = |t: &&str| t.bytes().all(|b| b.is_ascii_digit());
    let lengths = (labeler.len(), product.len(), package.len());
    let known = matches!(lengths, (4, 4, 2) | (5, 3, 2) | (5, 4, 1) | (5, 4, 2));
    (known && parts.iter().all(digits)).then(|| format!("{labeler:0>5}{product:0>4}{package:0>2}"))
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
    fn every_spelling_of_a_system_is_one() {
        for (alias, spellings) in [
            (
                "loinc",
                &["LNC", "https://loinc.org", "http://loinc.org/", "http://loinc.org|2.72", "2.16.840.1.113883.6.1"][..],
            ),
            ("snomed", &["SNM", "sct", "2.16.840.1.113883.6.96", "urn:oid:2.16.840.1.113883.6.96"]),
            (
                "icd10gm",
                &[
                    "I10G2020",
                    "I10G2031",
                    "ICD-10-GM",
                    "I10GM",
                    "I10GM2024",
                    "icd10gm2024",
                    "ICD-10-GM-2024",
                    "ICD-10-GM 2024",
                    "10GM",
                ],
            ),
            ("icd10am", &["ICD-10-AM", "I10AM"]),
            ("ops", &["OPS", "OPS2024", "O3012005", "OPS-2024"]),
            ("cdt", &["CDT", "http://www.ada.org/cdt"]),
            ("icd10cm", &["2.16.840.1.113883.6.90", "ICD-10-CM"]),
            ("icd10", &["2.16.840.1.113883.6.3"]),
            ("icd9cm", &["I9C", "I9CDX", "ICD9", "2.16.840.1.113883.6.103"]),
            ("rxnorm", &["2.16.840.1.113883.6.88", "RXN"]),
            ("ndc", &["2.16.840.1.113883.6.69", "urn:oid:2.16.840.1.113883.6.69"]),
        ] {
            for spelling in spellings {
                assert_eq!(canonical(spelling), canonical(alias), "{spelling}");
            }
        }
        assert_eq!(canonical("1.2.3.4").as_deref(), Some("urn:oid:1.2.3.4"));
        for odd in ["I10X2020", "ICD-10-GM-0024", "OPSIN2024", "1.5", "7.0.1", "L2020", "a.b.c"] {
            assert_eq!(canonical(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_ndc_has_eleven_digits_where_its_hyphens_say_how() {
        let ndc = canonical("ndc").unwrap_or_default();
        for (code, want) in [
            ("0093-0058-01", Some("00093005801")),
            ("00093-058-01", Some("00093005801")),
            ("00093-0058-1", Some("00093005801")),
            ("00093-0058-01", Some("00093005801")),
            ("00093005801", None),
            ("0093005801", None),
            ("093-0058-01", None),
            ("0093-00x8-01", None),
        ] {
            assert_eq!(tidied(&ndc, code).as_deref(), want, "{code}");
        }
        assert_eq!(tidied("http://loinc.org", "0093-0058-01"), None);
    }

    #[test]
    fn an_icd_code_is_one_with_and_without_its_dot() {
        let icd = canonical("icd10gm").unwrap_or_default();
        assert_eq!((plain(&icd, "e11.9"), plain(&icd, "E119")), ("E119".into(), "E119".into()));
        assert_eq!(plain("http://loinc.org", "a.1"), "a.1");
    }
}
