//! What a terminology server has answered, kept in the state: gold is made of it like of a mapping file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapters::terminology::{Loaded, Mapping, Relation};
use serde::{Deserialize, Serialize};

use super::settings::Lookup;
use crate::lake::{LakeError, file_error};

/// A code: its system, itself, and the system that it is wanted in.
pub(super) type Code = (String, String, String);

/// A target of a code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Target {
    system: String,
    code: String,
    relation: Relation,
    id: String,
}

/// What was answered for a code; no target where the server knows none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answered {
    system: String,
    code: String,
    to: String,
    asked_micros: i64,
    targets: Vec<Target>,
}

/// All that was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answers(BTreeMap<Code, Answered>);

impl Answers {
    fn path(state: &Path) -> PathBuf {
        state.join("lookup/answers.json")
    }

    /// What is kept; nothing where none was asked yet.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn read(state: &Path) -> Result<Answers, LakeError> {
        let path = Answers::path(state);
        let wrong = |e: &dyn std::fmt::Display| file_error(&path, e);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Answers::default()),
            Err(e) => return Err(wrong(&e)),
        };
        let all: Vec<Answered> = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
        Ok(Answers(all.into_iter().map(|a| ((a.system.clone(), a.code.clone(), a.to.clone()), a)).collect()))
    }

    /// Keeps it, whole or not at all.
    pub(super) fn write(&self, state: &Path) -> Result<(), LakeError> {
        let path = Answers::path(state);
        let wrong = |e: &dyn std::fmt::Display| file_error(&path, e);
        let all: Vec<&Answered> = self.0.values().collect();
        let bytes = serde_json::to_vec_pretty(&all).map_err(|e| wrong(&e))?;
        std::fs::create_dir_all(state.join("lookup")).map_err(|e| wrong(&e))?;
        platform::files::write_atomic(&path, &bytes).map_err(|e| wrong(&e))
    }

    /// Whether a code was not asked for since a time.
    pub(super) fn is_due(&self, code: &Code, since: i64) -> bool {
        self.0.get(code).is_none_or(|a| a.asked_micros < since)
    }

    /// Enters an answer. Gives whether it says something else than before.
    pub(super) fn enter(&mut self, code: Code, found: Vec<Mapping>, at: i64) -> bool {
        let target = |m: Mapping| Target { system: m.to_system, code: m.to_code, relation: m.relation, id: m.id };
        let targets: Vec<Target> = found.into_iter().map(target).collect();
        let (system, own, to) = code.clone();
        let before =
            self.0.insert(code, Answered { system, code: own, to, asked_micros: at, targets: targets.clone() });
        before.map(|b| b.targets).unwrap_or_default() != targets
    }

    /// Notes that the server refused a code: what it said of it before stays, and it counts as asked for at `at`.
    pub(super) fn refused(&mut self, code: Code, at: i64) {
        let (system, own, to) = code.clone();
        let none = Answered { system, code: own, to, asked_micros: at, targets: Vec::new() };
        self.0.entry(code).or_insert(none).asked_micros = at;
    }

    /// The codes that were last asked for before a time, of those that are asked for at all.
    pub(super) fn older<'a>(&'a self, lookup: &'a Lookup, since: i64) -> impl Iterator<Item = &'a Code> {
        self.0
            .iter()
            .filter(move |(code, a)| a.asked_micros < since && lookup.asks(&code.0, &code.2))
            .map(|(code, _)| code)
    }

    /// As the rows of a mapping file, of what is still asked for.
    pub(crate) fn loaded(&self, lookup: &Lookup) -> Loaded {
        let rows = self.0.values().filter(|a| lookup.asks(&a.system, &a.to)).flat_map(|a| {
            a.targets.iter().map(|t| Mapping {
                system: a.system.clone(),
                code: a.code.clone(),
                table: None,
                to_system: t.system.clone(),
                to_code: t.code.clone(),
                relation: t.relation,
                confidence: None,
                from: None,
                to: None,
                withdrawn: false,
                id: t.id.clone(),
            })
        });
        Loaded { rows: rows.collect(), problems: Vec::new() }
    }
}
