//! Which of several codes of one thing a row keeps, the same in every format: of the system that a table's studies ask for first.

use schema::{Table, codes};

/// The systems that a table's studies ask for, the best first. A system that the schema knows and that is not listed comes
/// after these, and any other system last.
fn usual(table: Table) -> &'static [&'static str] {
    match table {
        Table::Condition => {
            &["icd10gm", "icd10cm", "icd10fr", "icd10nl", "icd10se", "icd10es", "icd10uk", "icd10", "snomed", "icd9cm"]
        }
        Table::Measurement => &["loinc", "snomed"],
        Table::DrugExposure => &["rxnorm", "atc", "dmd", "snomed", "cvx", "pzn", "ndc"],
        Table::Procedure => &["ops", "ccam", "opcs4", "icd10pcs", "snomed", "cpt", "hcpcs", "cdt", "icd9proc"],
        _ => &[],
    }
}

/// How far back in the table's list a system stands.
pub(crate) fn place(uri: Option<&str>, table: Table) -> usize {
    let Some(known) = uri.and_then(|u| codes::SYSTEMS.iter().find(|s| s.uri == u)) else { return usize::MAX };
    let usual = usual(table);
    usual.iter().position(|alias| *alias == known.alias).unwrap_or(usual.len())
}
