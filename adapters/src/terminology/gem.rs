//! General Equivalence Mappings as CSV: the first column is the source, the second the target, then the flags.
//!
//! `approximate` says that the two are not the same, and not which is broader; `combination` that several targets are meant
//! together, one alone being wrong. Neither is a target by itself.

use std::path::Path;

use super::read::{self, Settings};
use super::sheet::{Sheet, Step};
use super::{Loaded, Mapping, Problem, Relation, TerminologyError};

pub(super) fn load(path: &Path, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let mut sheet = Sheet::open(path, &["approximate", "no_map", "combination"])?;
    let named = |place| {
        let column = sheet.column(place).ok_or_else(|| read::wrong(path, "the header is too short"))?.to_owned();
        let remedy = || read::wrong(path, format!("the column '{column}' names no code system; give it in systems"));
        Ok::<_, TerminologyError>((settings.system(&column).ok_or_else(remedy)?, column.clone()))
    };
    let ((system, source), (to_system, target)) = (named(0)?, named(1)?);
    let (file, mut out) = (read::label(path), Loaded::default());
    loop {
        let line = match sheet.advance(path)? {
            Step::End => return Ok(out),
            Step::Bad(problem) => {
                out.problems.push(problem);
                continue;
            }
            Step::Row(line) => line,
        };
        if sheet.get("no_map") == Some("1") {
            continue;
        }
        let (Some(code), Some(to_code)) = (sheet.get(&source), sheet.get(&target)) else {
            out.problems.push(Problem { line, detail: format!("{source} or {target} is empty") });
            continue;
        };
        let relation = match (sheet.get("approximate"), sheet.get("combination")) {
            (Some("0"), Some("0")) => Relation::Exact,
            (Some("1"), Some("0")) => Relation::Close,
            (Some(_), Some("1")) => Relation::Related,
            _ => {
                out.problems.push(Problem { line, detail: "approximate and combination are 0 or 1".to_owned() });
                continue;
            }
        };
        out.rows.push(Mapping {
            system: system.clone(),
            code: code.to_owned(),
            table: None,
            to_system: to_system.clone(),
            to_code: to_code.to_owned(),
            relation,
            confidence: None,
            from: None,
            to: None,
            withdrawn: false,
            id: format!("{file}#{line}"),
        });
    }
}
