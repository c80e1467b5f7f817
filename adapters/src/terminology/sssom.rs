//! SSSOM as TSV: comments with the set's metadata, a header, one mapping a row.

use std::collections::BTreeMap;
use std::path::Path;

use schema::codes;

use super::read::{self, Settings};
use super::sheet::{Sheet, Step};
use super::{Loaded, Mapping, Problem, Relation, TerminologyError};

/// What the comments say.
#[derive(Default)]
struct Metadata {
    prefixes: BTreeMap<String, String>,
    version: Option<String>,
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

fn metadata(comments: &[String]) -> Metadata {
    let mut out = Metadata::default();
    let mut in_prefixes = false;
    for line in comments {
        let text = line.trim_start_matches('#');
        let Some((key, value)) = text.split_once(':') else { continue };
        // Entries of the map are indented; the next key is not.
        in_prefixes = if text.starts_with([' ', '\t']) && !key.trim().is_empty() && in_prefixes {
            out.prefixes.insert(unquoted(key).to_owned(), unquoted(value).to_owned());
            true
        } else {
            if key.trim() == "mapping_set_version" {
                out.version = Some(unquoted(value).to_owned());
            }
            key.trim() == "curie_map"
        };
    }
    out
}

fn relation(predicate: &str) -> Option<Relation> {
    Some(match predicate.rsplit([':', '#', '/']).next()? {
        "exactMatch" | "sameAs" | "equivalentClass" => Relation::Exact,
        "narrowMatch" => Relation::Narrow,
        "broadMatch" => Relation::Broad,
        "closeMatch" => Relation::Close,
        "relatedMatch" | "mappingRelation" => Relation::Related,
        _ => return None,
    })
}

/// The code system and the code of a CURIE or a URI.
fn split(id: &str, settings: &Settings, metadata: &Metadata) -> Option<(String, String)> {
    if id.starts_with("http://") || id.starts_with("https://") {
        let (base, code) = id.rsplit_once(['/', '#', '='])?;
        return Some((codes::canonical(base)?, code.to_owned()));
    }
    let (prefix, code) = id.split_once(':')?;
    let named = || settings.systems.contains_key(prefix).then(|| settings.system(prefix)).flatten();
    let mapped = || {
        let base = metadata.prefixes.get(prefix)?.trim_end_matches(['/', '#', '=', '_', ':']);
        // What the base is not known for, the prefix may be.
        if codes::SYSTEMS.iter().any(|s| s.uri == base) {
            codes::canonical(base)
        } else {
            codes::known(prefix).or_else(|| codes::canonical(base))
        }
    };
    let system = named().or_else(mapped).or_else(|| codes::known(prefix))?;
    (!code.is_empty()).then(|| (system, code.to_owned()))
}

fn row(
    sheet: &Sheet,
    line: u64,
    settings: &Settings,
    metadata: &Metadata,
    file: &str,
) -> Result<Option<Mapping>, String> {
    if sheet.get("predicate_modifier").is_some_and(|m| m.eq_ignore_ascii_case("not")) {
        return Ok(None);
    }
    let id = |column: &str| {
        let text = sheet.get(column).ok_or_else(|| format!("{column} is empty"))?;
        // A subject without a target, in SSSOM's own words.
        if text == "sssom:NoTermFound" {
            return Ok(None);
        }
        split(text, settings, metadata)
            .map(Some)
            .ok_or_else(|| format!("{column}: the prefix of '{text}' is not known; name it in curie_map or in systems"))
    };
    let (Some((system, code)), Some((to_system, to_code))) = (id("subject_id")?, id("object_id")?) else {
        return Ok(None);
    };
    let predicate = sheet.get("predicate_id").ok_or("predicate_id is empty")?;
    let relation = relation(predicate).ok_or_else(|| {
        format!("predicate_id '{predicate}' is none of skos:exactMatch, narrowMatch, broadMatch, closeMatch")
    })?;
    let confidence = match sheet.get("confidence") {
        None => None,
        Some(text) => {
            let value: Option<f64> = text.parse().ok().filter(|c| (0.0..=1.0).contains(c));
            Some(value.ok_or("confidence is no number from 0 to 1")?)
        }
    };
    let table = match sheet.get("domain") {
        None => None,
        Some(domain) => {
            Some(read::table(domain).ok_or_else(|| format!("domain '{domain}' is no table of the schema"))?)
        }
    };
    let version = sheet.get("map_version").or(metadata.version.as_deref());
    let own = sheet.get("mapping_id").or_else(|| sheet.get("record_id")).map(str::to_owned);
    let place = own.unwrap_or_else(|| line.to_string());
    Ok(Some(Mapping {
        system,
        code,
        table,
        to_system,
        to_code,
        relation,
        confidence,
        from: sheet.date("valid_from")?,
        to: sheet.date("valid_to")?,
        withdrawn: false,
        id: format!("{file}{}#{place}", version.map(|v| format!("@{v}")).unwrap_or_default()),
    }))
}

pub(super) fn load(path: &Path, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let mut sheet = Sheet::open(path, &["subject_id", "predicate_id", "object_id", "mapping_justification"])?;
    let (metadata, file) = (metadata(&sheet.comments), read::label(path));
    let mut out = Loaded::default();
    loop {
        match sheet.advance(path)? {
            Step::End => return Ok(out),
            Step::Bad(problem) => out.problems.push(problem),
            Step::Row(line) => match row(&sheet, line, settings, &metadata, &file) {
                Ok(mapping) => out.rows.extend(mapping),
                Err(detail) => out.problems.push(Problem { line, detail }),
            },
        }
    }
}
