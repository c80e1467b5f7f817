//! OMOP's `source_to_concept_map`: a source code to a concept's number. The site's own `CONCEPT.csv` says which code a number is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::read::{self, Settings};
use super::sheet::{Sheet, Step};
use super::{Loaded, Mapping, Problem, Relation, TerminologyError};

const NEEDS: [&str; 4] = ["source_code", "source_vocabulary_id", "target_concept_id", "target_vocabulary_id"];

/// The code of a concept, and its domain.
struct Concept {
    vocabulary: String,
    code: String,
    domain: String,
}

/// The concepts of some numbers.
fn concepts(path: &Path, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Concept>, TerminologyError> {
    let mut sheet = Sheet::open(path, &["concept_id", "vocabulary_id", "concept_code", "domain_id"])?;
    let mut out = BTreeMap::new();
    loop {
        match sheet.advance(path)? {
            Step::End => return Ok(out),
            Step::Bad(_) => {}
            Step::Row(_) => {
                let id = sheet.get("concept_id").and_then(|t| t.parse().ok()).filter(|id| wanted.contains(id));
                let text = |column| sheet.get(column).map(str::to_owned);
                if let (Some(id), Some(vocabulary), Some(code)) = (id, text("vocabulary_id"), text("concept_code")) {
                    out.insert(id, Concept { vocabulary, code, domain: text("domain_id").unwrap_or_default() });
                }
            }
        }
    }
}

fn row(sheet: &Sheet, line: u64, settings: &Settings, file: &str) -> Result<Option<(Mapping, u64)>, String> {
    let get = |column: &str| sheet.get(column).ok_or_else(|| format!("{column} is empty"));
    let vocabulary = get("source_vocabulary_id")?;
    let system = settings.system(vocabulary).ok_or_else(|| {
        format!(
            "source_vocabulary_id '{vocabulary}' is no code system; name it: systems = {{ {vocabulary} = \"urn:...\" }}"
        )
    })?;
    let concept: u64 = get("target_concept_id")?.parse().map_err(|_| "target_concept_id is no number".to_owned())?;
    // Concept 0 says that there is no mapping.
    if concept == 0 {
        return Ok(None);
    }
    let mapping = Mapping {
        system,
        code: get("source_code")?.to_owned(),
        table: None,
        to_system: get("target_vocabulary_id")?.to_owned(),
        to_code: String::new(),
        relation: Relation::Exact,
        confidence: None,
        from: sheet.date("valid_start_date")?,
        to: sheet.date("valid_end_date")?,
        withdrawn: sheet.get("invalid_reason").is_some(),
        id: format!("{file}#{line}"),
    };
    Ok(Some((mapping, concept)))
}

pub(super) fn load(home: &Path, path: &Path, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let Some(list) = &settings.concepts else {
        let reason = "a source_to_concept_map names concepts by number; say where the site's CONCEPT.csv is: \
                      concepts = \"CONCEPT.csv\"";
        return Err(read::wrong(path, reason));
    };
    let mut sheet = Sheet::open(path, &NEEDS)?;
    let file = read::label(path);
    let (mut out, mut rows) = (Loaded::default(), Vec::new());
    loop {
        match sheet.advance(path)? {
            Step::End => break,
            Step::Bad(problem) => out.problems.push(problem),
            Step::Row(line) => match row(&sheet, line, settings, &file) {
                Ok(found) => rows.extend(found.map(|(m, concept)| (line, m, concept))),
                Err(detail) => out.problems.push(Problem { line, detail }),
            },
        }
    }
    let known = concepts(&home.join(list), &rows.iter().map(|(_, _, concept)| *concept).collect())?;
    for (line, mut mapping, number) in rows {
        let problem = |detail: String| Problem { line, detail };
        let Some(concept) = known.get(&number) else {
            out.problems.push(problem(format!("the concept {number} is not in CONCEPT.csv")));
            continue;
        };
        let Some(system) = settings.system(&concept.vocabulary) else {
            let detail = format!("the vocabulary '{}' is no code system; name it in systems", concept.vocabulary);
            out.problems.push(problem(detail));
            continue;
        };
        mapping.table = read::table(&concept.domain);
        (mapping.to_system, mapping.to_code) = (system, concept.code.clone());
        out.rows.push(mapping);
    }
    Ok(out)
}
