//! What is wrong with a study beyond its form: columns, units, codes, references, bounds. Each problem names its place and
//! what would fit.

mod analyses;
mod cohort;
mod feature;
mod fixed;
mod ignored;
mod notes;
mod possible;
mod regressions;
mod settled;
mod stream;
mod times;
mod training;
mod trees;

pub use notes::notes;
pub(crate) use training::LEAST_MULTIPLIER;

use std::fmt;

use schema::tables::{Kind, Table};
use schema::{codes, units, version};
use serde::Serialize;

use crate::cohort::{Event, Where};
use crate::spec::{Aggregation, Study};

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, as a dotted path.
    pub path: String,
    /// The line of the study file, where known.
    pub line: Option<usize>,
    /// What.
    pub message: String,
    /// What would fit.
    pub remedy: String,
}

impl Problem {
    /// A problem at a path.
    pub fn at(path: &[&str], message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { path: path.join("."), line: None, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

/// Purposes that a study may have.
pub const PURPOSES: &[&str] = &["research", "public_health", "quality"];

/// A study whose last day is before `today`.
pub fn expired(study: &Study, today: Option<chrono::NaiveDate>) -> Option<Problem> {
    let last = chrono::NaiveDate::parse_from_str(&study.expires, "%Y-%m-%d").ok();
    (today > last)
        .then(|| Problem::at(&["expires"], format!("the study expired on {}", study.expires), "give a later day"))
}

struct Checker<'a> {
    study: &'a Study,
    problems: Vec<Problem>,
}

/// All that is wrong.
pub fn check(study: &Study) -> Vec<Problem> {
    let mut c = Checker { study, problems: Vec::new() };
    c.head();
    c.concepts();
    c.subgroups();
    for (name, cohort) in &study.cohorts {
        c.cohort(name, cohort);
    }
    for (name, feature) in &study.features {
        c.feature(name, feature);
    }
    c.possible();
    c.analyses();
    c.stream();
    // A feature or a setting that several analyses have is wrong once.
    let mut said = Vec::new();
    for problem in c.problems {
        if !said.contains(&problem) {
            said.push(problem);
        }
    }
    said
}

fn distinct(texts: &[String]) -> bool {
    texts.iter().collect::<std::collections::BTreeSet<_>>().len() == texts.len()
}

/// Whether a text in a value holds a control character: it would reach screens and logs of others.
fn has_control(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(s) => s.chars().any(char::is_control),
        serde_json::Value::Array(a) => a.iter().any(has_control),
        serde_json::Value::Object(o) => o.iter().any(|(k, v)| match v {
            // A query has lines.
            serde_json::Value::String(sql) if k == "sql" => {
                sql.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
            }
            _ => k.chars().any(char::is_control) || has_control(v),
        }),
        _ => false,
    }
}

fn near(given: &str, known: &[&str]) -> String {
    let close = known
        .iter()
        .filter(|k| k.starts_with(given.get(..2).unwrap_or(given)) || k.contains(given))
        .copied()
        .collect::<Vec<_>>();
    let list = if close.is_empty() { known.to_vec() } else { close };
    if list.is_empty() {
        return "the study declares none; declare it first".to_owned();
    }
    format!("use one of {}", list.join(", "))
}

impl Checker<'_> {
    fn say(&mut self, path: &[&str], message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::at(path, message, remedy));
    }

    fn head(&mut self) {
        let s = self.study;
        if let Err(e) = version::accepts(&s.schema) {
            self.say(&["schema"], e.to_string(), format!("this version has schema {}", version::VERSION));
        }
        if !PURPOSES.contains(&s.purpose.as_str()) {
            self.say(&["purpose"], format!("'{}' is no purpose", s.purpose), near(&s.purpose, PURPOSES));
        }
        if chrono::NaiveDate::parse_from_str(&s.expires, "%Y-%m-%d").is_err() {
            self.say(&["expires"], format!("'{}' is no date", s.expires), "write it like 2027-06-30");
        }
        if !(s.privacy.epsilon > 0.0 && s.privacy.epsilon <= 1000.0) {
            self.say(&["privacy", "epsilon"], "epsilon must lie above 0 and be at most 1000", "0.1 to 3 is usual");
        }
        if !(s.privacy.delta >= privacy::accounting::LEAST_DELTA && s.privacy.delta < 1e-2) {
            self.say(&["privacy", "delta"], "delta must lie between 1e-12 and 0.01", "1e-6 is usual");
        }
        if !(s.report.confidence > 0.5 && s.report.confidence < 1.0) {
            self.say(&["report", "confidence"], "the level must lie between 0.5 and 1", "0.95 is usual");
        }
        if s.rounds.min_sites == 0 || s.rounds.deadline_seconds == 0 || s.rounds.attempts == 0 {
            self.say(&["rounds"], "min_sites, deadline_seconds and attempts must be at least 1", "raise them");
        }
        if s.analysis.is_empty() || s.analysis.len() > 1000 {
            self.say(&["analysis"], "a study has 1 to 1000 analyses", "add an [[analysis]]");
        }
        let p = &s.privacy;
        if !(1..=100).contains(&p.hospitals_per_patient) {
            let remedy =
                "how many hospitals of the federation one patient may have visited; 1 protects a patient at a hospital";
            self.say(&["privacy", "hospitals_per_patient"], "it must lie between 1 and 100", remedy);
        }
        if let Some([from, to]) = p.entered
            && from > to
        {
            self.say(&["privacy", "entered"], "the first year is after the last", "write it like [2015, 2026]");
        }
        if p.aggregation == Aggregation::Secure {
            let least = s.rounds.min_sites as usize;
            if least < 3 {
                let remedy = "a sum over two sites shows each site the other's part";
                self.say(&["rounds", "min_sites"], "secure aggregation needs min_sites of 3 or more", remedy);
            }
            let (t, c) = (p.threshold(least), p.colluders as usize);
            if p.threshold.is_some() && t < least {
                self.say(&["privacy", "threshold"], "the threshold is below min_sites", "raise it, or lower min_sites");
            }
            if t > least.max(p.threshold.map_or(0, |t| t as usize)) || p.most_sites() < least || t <= c {
                let remedy = "twice the threshold must be above the sites and the colluders together, and the threshold at most min_sites where it is not given";
                self.say(&["privacy", "colluders"], "so many colluders could unmask a round twice", remedy);
            }
        } else if p.threshold.is_some() || p.colluders > 0 {
            let remedy = "set aggregation = \"secure\", or leave threshold and colluders out";
            self.say(&["privacy", "aggregation"], "threshold and colluders mean nothing with local noise", remedy);
        }
        self.gate();
        if s.suppression.min_cohort > 1_000_000_000 {
            self.say(&["suppression", "min_cohort"], "it must be at most a thousand million", "20 is usual");
        }
        if s.suppression.k > 1_000_000_000 {
            self.say(&["suppression", "k"], "k must be at most a thousand million", "11 is usual");
        }
        let controls = serde_json::to_value(s).is_ok_and(|v| has_control(&v));
        if controls {
            self.say(&[], "a text of the study holds a control character", "write it in one line of plain text");
        }
        if s.cohorts.is_empty() {
            self.say(&["cohorts"], "there is no cohort", "add [cohorts.target]");
        }
    }

    fn gate(&mut self) {
        let Some(gate) = &self.study.dq_gate else { return };
        if !(gate.epsilon > 0.0 && gate.epsilon <= 10.0) {
            self.say(&["dq_gate", "epsilon"], "epsilon must lie above 0 and be at most 10", "0.1 is usual");
        }
        if gate.require.is_empty() || gate.require.len() > 50 {
            self.say(&["dq_gate", "require"], "a gate asks for 1 to 50 checks", "name some, or leave [dq_gate] out");
        }
        let checks = crate::quality::all();
        let known: Vec<&str> = checks.iter().filter(|c| c.of_patients).map(|c| c.id.as_str()).collect();
        for (id, most) in &gate.require {
            let path = ["dq_gate", "require", id];
            match checks.iter().find(|c| c.id == *id) {
                None => self.say(&path, format!("'{id}' is no check of data quality"), near(id, &known)),
                Some(check) if !check.of_patients => {
                    let message = format!("'{id}' is not about patients' rows, so that it has no private form");
                    self.say(&path, message, near(id, &known));
                }
                Some(_) if !(0.0..=100.0).contains(most) => {
                    self.say(&path, "it must lie between 0 and 100 per cent", "5 is usual");
                }
                Some(_) => {}
            }
        }
    }

    fn system(&mut self, path: &[&str], alias: &str) {
        let own = self.study.code_systems.contains_key(alias);
        if !own && codes::canonical(alias).is_none() {
            let remedy = format!("{}; or name it in [code_systems]", near(alias, &codes::aliases()));
            self.say(path, format!("'{alias}' is no code system"), remedy);
        }
    }

    fn concepts(&mut self) {
        let study = self.study;
        for (name, uri) in &study.code_systems {
            if !uri.contains(':') {
                let message = format!("'{uri}' is no URI");
                self.say(&["code_systems", name], message, "write it like urn:my-hospital:labs");
            }
        }
        for (name, set) in &study.concept_sets {
            if set.values().map(Vec::len).sum::<usize>() > 100_000 {
                self.say(&["concept_sets", name], "the set has more than 100,000 codes", "use prefixes such as I21*");
            }
            if set.values().all(Vec::is_empty) {
                self.say(&["concept_sets", name], "the set is empty", "add codes");
            }
            for (alias, list) in set {
                self.system(&["concept_sets", name, alias], alias);
                for code in list {
                    let stem = code.strip_suffix('*').unwrap_or(code);
                    if stem.is_empty() || stem.contains('*') {
                        let message = format!("'{code}' is no code or prefix");
                        self.say(&["concept_sets", name, alias], message, "a star may stand at the end only");
                    }
                }
            }
        }
    }

    fn set(&mut self, path: &[&str], set: Option<&String>) {
        if let Some(name) = set
            && !self.study.concept_sets.contains_key(name)
        {
            let known: Vec<&str> = self.study.concept_sets.keys().map(String::as_str).collect();
            self.say(path, format!("there is no concept set '{name}'"), near(name, &known));
        }
    }

    fn table(&mut self, path: &[&str], name: &str) -> Option<Table> {
        let table = Table::parse(name);
        if table.is_none() {
            let known: Vec<&str> = Table::ALL.iter().map(|t| t.name()).collect();
            self.say(path, format!("there is no table '{name}'"), near(name, &known));
        }
        table
    }

    fn filter(&mut self, path: &[&str], table: Option<Table>, filter: &Where) {
        let Some(table) = table else { return };
        for (column, values) in filter {
            let mut at = path.to_vec();
            at.push(column);
            let known: Vec<&str> = table.columns().filter(|c| c.kind == Kind::Category).map(|c| c.name).collect();
            match table.column(column) {
                None => {
                    let message = format!("the table {} has no column '{column}'", table.name());
                    self.say(&at, message, near(column, &known));
                }
                Some(c) if c.kind != Kind::Category => {
                    self.say(&at, format!("'{column}' is no category"), near(column, &known));
                }
                Some(_) => {
                    if let Some(levels) = table.levels(column) {
                        for v in values.iter().filter(|v| !levels.contains(&v.as_str())) {
                            self.say(&at, format!("'{v}' is no value of {column}"), near(v, levels));
                        }
                    }
                }
            }
        }
    }

    fn event(&mut self, path: &[&str], event: &Event) {
        let t = self.table(&[path, &["table"]].concat(), &event.table);
        self.set(&[path, &["set"]].concat(), event.set.as_ref());
        self.filter(&[path, &["where"]].concat(), t, &event.filter);
        if t == Some(Table::Patient) {
            self.say(&[path, &["table"]].concat(), "a patient is no event", "name a table of events");
        }
    }

    fn date(&mut self, path: &[&str], date: &str) {
        if chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_err() {
            self.say(path, format!("'{date}' is no date"), "write it like 2027-06-30");
        }
    }

    fn window(&mut self, path: &[&str], window: Option<[i32; 2]>, dated: bool) {
        if let Some([from, to]) = window {
            if from > to {
                self.say(path, format!("the window [{from}, {to}] is empty"), "write the earlier day first");
            }
            if !dated {
                self.say(path, "the cohort has no entry date, so there is no window", "leave the window out");
            }
        }
    }

    fn codes_and_unit(&mut self, code_path: &[&str], unit_path: &[&str], list: &[String], unit: &str) {
        if list.is_empty() {
            self.say(code_path, "there is no code", "write it like loinc:4548-4");
        }
        let analytes: std::collections::BTreeSet<Option<&str>> = list
            .iter()
            .map(|c| {
                let (alias, bare) = c.split_once(':')?;
                units::analyte(&codes::canonical(alias)?, bare).map(|a| a.name)
            })
            .collect();
        if analytes.len() > 1 {
            self.say(code_path, "the codes mean different analytes", "give each analyte a feature of its own");
        }
        for code in list {
            self.code_and_unit(code_path, unit_path, code, unit);
        }
    }

    fn code_and_unit(&mut self, code_path: &[&str], unit_path: &[&str], code: &str, unit: &str) {
        let Some((alias, bare)) = code.split_once(':') else {
            self.say(code_path, format!("'{code}' is no code"), "write it like loinc:4548-4");
            return;
        };
        self.system(code_path, alias);
        let Some(ucum) = units::ucum(unit) else {
            let fit = codes::canonical(alias).and_then(|s| units::analyte(&s, bare));
            let remedy = fit.map_or("use a UCUM unit such as mg/dL or mmol/L".to_owned(), |a| {
                format!("for {} use one of {}", a.name, a.units().join(", "))
            });
            self.say(unit_path, format!("'{unit}' is no known unit"), remedy);
            return;
        };
        if let Some(analyte) = codes::canonical(alias).and_then(|s| units::analyte(&s, bare))
            && analyte.rule(&ucum).is_none()
        {
            let remedy = format!("for {} use one of {}", analyte.name, analyte.units().join(", "));
            self.say(unit_path, format!("'{unit}' does not fit {code}"), remedy);
        }
    }
}
