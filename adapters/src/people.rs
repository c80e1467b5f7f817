//! Lists of persons: those who objected to research, or who consented.
//!
//! A CSV with a header: `source_system` (the source's name in `site.toml`), `person_id` (as the source writes it), and where wanted
//! `purpose`, `from` and `until`. Ids become the site's pseudonyms as they are read, and are kept nowhere. One row that can't be
//! read makes the whole list unusable: a person who is not read would be a person who is not heard.

use std::path::Path;

use chrono::NaiveDate;
use schema::Key;
use schema::record::Pseudonyms;

use crate::envelope::person_key;
use crate::terminology::TerminologyError;
use crate::terminology::sheet::{Sheet, Step};

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Who.
    pub person: Key,
    /// For which purpose; for any, where none.
    pub purpose: Option<String>,
    /// The first day.
    pub from: Option<NaiveDate>,
    /// The last day.
    pub until: Option<NaiveDate>,
}

impl Listed {
    /// Whether the row holds on a day for a purpose.
    pub fn holds(&self, purpose: &str, today: NaiveDate) -> bool {
        self.purpose.as_deref().is_none_or(|p| p == purpose)
            && self.from.is_none_or(|d| d <= today)
            && self.until.is_none_or(|d| today <= d)
    }
}

/// Why a list can't be used. Texts name the file, the line and the field, never a person.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It can't be opened, or its header lacks a column.
    #[error(transparent)]
    File(#[from] TerminologyError),
    /// A row can't be read.
    #[error("{file}, line {line}: {detail}")]
    Row {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The field and the remedy.
        detail: String,
    },
}

/// Reads a list. Purposes and source systems must be of those given.
///
/// # Errors
/// The file is not there, or one row of it can't be read.
pub fn read(
    path: &Path,
    pseudonyms: &Pseudonyms,
    systems: &[&str],
    purposes: &[&str],
) -> Result<Vec<Listed>, ListError> {
    let mut sheet = Sheet::open(path, &["source_system", "person_id"])?;
    let mut out = Vec::new();
    loop {
        let (line, found) = match sheet.advance(path)? {
            Step::End => return Ok(out),
            Step::Bad(problem) => (problem.line, Err(problem.detail)),
            Step::Row(line) => (line, row(&sheet, pseudonyms, systems, purposes)),
        };
        match found {
            Ok(listed) => {
                // Programs write an id of whole numbers as 10006.0, and a source of such ids is read without it.
                let whole = sheet.get("person_id").and_then(whole).map(|id| Listed {
                    person: person_key(pseudonyms, sheet.get("source_system").unwrap_or_default(), id),
                    ..listed.clone()
                });
                out.push(listed);
                out.extend(whole);
            }
            Err(detail) => return Err(ListError::Row { file: path.display().to_string(), line, detail }),
        }
    }
}

/// The whole number that a decimal one without a fraction is.
fn whole(id: &str) -> Option<&str> {
    let (number, fraction) = id.split_once('.')?;
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    (digits(number) && !fraction.is_empty() && fraction.bytes().all(|b| b == b'0')).then_some(number)
}

fn row(sheet: &Sheet, pseudonyms: &Pseudonyms, systems: &[&str], purposes: &[&str]) -> Result<Listed, String> {
    let system = sheet.get("source_system").ok_or("source_system is empty; write the source's name of site.toml")?;
    if !systems.contains(&system) {
        return Err(format!("source_system is no source of site.toml; there are {}", systems.join(", ")));
    }
    let id = sheet.get("person_id").ok_or("person_id is empty; write the id as the source system has it")?;
    let purpose = sheet.get("purpose").map(str::to_owned);
    if purpose.as_deref().is_some_and(|p| !purposes.contains(&p)) {
        return Err(format!("purpose is none of {}", purposes.join(", ")));
    }
    let (from, until) = (sheet.date("from")?, sheet.date("until")?);
    Ok(Listed { person: person_key(pseudonyms, system, id), purpose, from, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<Listed>, ListError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &Pseudonyms::new(&[7; 32]), &["his"], &["research", "quality"])
    }

    /// As programs write whole numbers where a column has gaps.
    #[test]
    fn a_whole_number_with_a_point_is_that_number_too() {
        let persons = |id: &str| -> Vec<Key> {
            list(&format!("source_system,person_id\nhis,{id}\n")).unwrap().into_iter().map(|l| l.person).collect()
        };
        assert!(persons("10006.0").contains(&persons("10006")[0]));
        assert_eq!(persons("10006.0").len(), 2);
        assert_eq!((persons("1.5").len(), persons("a.0").len(), persons("7.").len()), (1, 1, 1));
    }

    #[test]
    fn rows_become_the_persons_of_the_lake() {
        let all = list("source_system,person_id,purpose,from,until\nhis,a,,,\nhis,b,research,2024-01-01,2024-12-31\n")
            .unwrap();
        assert_eq!(all[0].person, Pseudonyms::new(&[7; 32]).key(&["person", "his", "a"]));
        let day = |d: &str| d.parse().unwrap();
        assert!(all[0].holds("quality", day("1990-01-01")));
        let holds = |p, d| all[1].holds(p, day(d));
        assert!(holds("research", "2024-01-01") && holds("research", "2024-12-31"));
        assert!(
            !holds("quality", "2024-06-01") && !holds("research", "2023-12-31") && !holds("research", "2025-01-01")
        );
        assert_eq!(list("source_system;person_id\nhis;a\n").unwrap().len(), 1);
        assert_eq!(list("source_system,person_id\n").unwrap().len(), 0);
    }

    #[test]
    fn one_bad_row_makes_the_list_unusable_and_no_text_says_who() {
        for (text, at) in [
            ("source_system,person_id\nhis,a\nother,secret-id\n", "line 3"),
            ("source_system,person_id\nhis,\n", "line 2"),
            ("source_system,person_id\nhis\n", "line 2"),
            ("source_system,person_id,from\nhis,secret-id,31.12.2024\n", "line 2"),
            ("source_system,person_id,purpose\nhis,secret-id,marketing\n", "line 2"),
            ("source_system,person_id\nhis,\"secret-id\nhis,b\n", "line 2"),
            ("person\nsecret-id\n", "source_system"),
            ("", "source_system"),
        ] {
            let e = list(text).unwrap_err().to_string();
            assert!(e.contains(at) && !e.contains("secret-id"), "{e}");
        }
    }
}
