//! TOML to types, with the line of what is wrong.

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};

use crate::analysis::{Analysis, What};
use crate::check::Problem;
use crate::feature::Feature;
use crate::spec::Study;

/// Reads a study.
///
/// # Errors
/// What is wrong with the form, with its line.
pub fn study(text: &str) -> Result<Study, Vec<Problem>> {
    let unknown = unknown_settings(text);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let value = toml::Deserializer::parse(text).and_then(Study::deserialize);
    value.map_err(|e| {
        let line = e.span().map(|s| line_of(text, s.start));
        let message = e.message().replace("did not match any variant of untagged enum Criterion", CRITERIA);
        let (path, at) = match culprit(text) {
            Some(path) => {
                let table = DeTable::parse(text).ok();
                let at = table.and_then(|t| locate(t.get_ref(), &path)).map(|at| line_of(text, at));
                (path, at)
            }
            None => match missing(text, e.message()) {
                // What is nowhere stands on no line.
                Some(field) => return vec![Problem::at(&[field], format!("the study has no '{field}'"), FORM)],
                None => (e.span().and_then(|s| path_of(text, s.start)).unwrap_or_default(), line),
            },
        };
        vec![Problem { path, line: at.or(line), message, remedy: FORM.to_owned() }]
    })
}

const FORM: &str = "see the examples for the form, or study schema for all settings";

/// The setting of the study itself that a message misses.
fn missing<'a>(text: &str, message: &'a str) -> Option<&'a str> {
    let field = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    let of_study = ["id", "version", "title", "schema", "purpose", "expires", "cohorts", "analysis", "privacy"];
    let whole: toml::Table = toml::from_str(text).ok()?;
    (of_study.contains(&field) && !whole.contains_key(field)).then_some(field)
}

/// The setting of an analysis or a feature whose value does not fit: their kind is read first, and with it the place of what comes after is lost.
/// It is the one without which the rest is not told the same.
fn culprit(text: &str) -> Option<String> {
    let whole: toml::Table = toml::from_str(text).ok()?;
    let analyses = whole.get("analysis").and_then(toml::Value::as_array).into_iter().flatten();
    let analyses = analyses.enumerate().map(|(i, v)| (format!("analysis.{i}"), v));
    let features = whole.get("features").and_then(toml::Value::as_table).into_iter().flatten();
    let features = features.map(|(name, v)| (format!("features.{name}"), v));
    let wrong = |place: &str, value: toml::Value| -> Option<String> {
        let message = |e: toml::de::Error| e.message().to_owned();
        if place.starts_with("analysis") {
            Analysis::deserialize(value).map_err(message).err()
        } else {
            Feature::deserialize(value).map_err(message).err()
        }
    };
    for (place, value) in analyses.chain(features) {
        let Some(table) = value.as_table() else { continue };
        let Some(why) = wrong(&place, value.clone()) else { continue };
        let without = |key: &&String| {
            let mut rest = table.clone();
            rest.remove(key.as_str());
            *key != "kind" && wrong(&place, toml::Value::Table(rest)).as_ref() != Some(&why)
        };
        return table.keys().find(without).map(|key| format!("{place}.{key}"));
    }
    None
}

/// The dotted path of what stands at a place of a text.
fn path_of(text: &str, at: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    within(table.get_ref(), at, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}

fn within(table: &DeTable<'_>, at: usize, path: &mut Vec<String>) {
    for (name, value) in table {
        if name.span().contains(&at) || holds(value, at) {
            path.push(name.get_ref().to_string());
            return into(value.get_ref(), at, path);
        }
    }
}

/// Whether a value reaches over a place. A table under a heading has the heading's span alone, so that its values are asked.
fn holds(value: &toml::Spanned<DeValue<'_>>, at: usize) -> bool {
    value.span().contains(&at)
        || match value.get_ref() {
            DeValue::Table(t) => t.iter().any(|(k, v)| k.span().contains(&at) || holds(v, at)),
            DeValue::Array(items) => items.iter().any(|v| holds(v, at)),
            _ => false,
        }
}

fn into(value: &DeValue<'_>, at: usize, path: &mut Vec<String>) {
    match value {
        DeValue::Table(t) => within(t, at, path),
        DeValue::Array(items) => {
            if let Some((i, item)) = items.iter().enumerate().find(|(_, v)| holds(v, at)) {
                path.push(i.to_string());
                into(item.get_ref(), at, path);
            }
        }
        _ => {}
    }
}

/// Settings of an analysis that its kind does not have.
/// The settings of an analysis of any kind.
const OF_EVERY_KIND: [&str; 7] = ["kind", "name", "cohort", "share", "subgroups", "by_hospital", "own_steps"];

fn unknown_settings(text: &str) -> Vec<Problem> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let mut out = Vec::new();
    let analyses = match table.get_ref().get("analysis").map(|v| v.get_ref()) {
        Some(DeValue::Array(items)) => items.iter().map(|i| i.get_ref()).collect(),
        _ => Vec::new(),
    };
    for (i, analysis) in analyses.into_iter().enumerate() {
        let DeValue::Table(t) = analysis else { continue };
        let Some(DeValue::String(kind)) = t.get("kind").map(|v| v.get_ref()) else { continue };
        let Some(own) = What::settings(kind) else { continue };
        for (name, _) in t.iter() {
            let key = name.get_ref().as_ref();
            if !own.contains(&key) && !OF_EVERY_KIND.contains(&key) {
                let place = i.to_string();
                let message = format!("the kind {kind} has no setting '{key}'");
                let mut p = Problem::at(&["analysis", &place, key], message, format!("use one of {}", own.join(", ")));
                p.line = Some(line_of(text, name.span().start));
                out.push(p);
            }
        }
    }
    out
}

const CRITERIA: &str = "this is no criterion; one is { age = [18, 120] }, { sex = [\"F\"] }, { prior_obs_days = 365 }, \
    { after_obs_days = 30 }, { has = \"condition\", set = \"name\", within = [-365, 0], at_least = 1 }, \
    { any_of = [...] }, { all_of = [...] } or \
    { lab = \"loinc:33914-3\", op = \"lt\", value = 60, unit = \"mL/min/{1.73_m2}\", within = [-90, 0] }";

/// Reads a study and checks it, each problem with its line.
///
/// # Errors
/// All problems.
pub fn checked(text: &str) -> Result<Study, Vec<Problem>> {
    let study = study(text)?;
    let problems = crate::check::check(&study);
    if problems.is_empty() { Ok(study) } else { Err(located(text, problems)) }
}

/// Gives problems their line in a text.
pub fn located(text: &str, mut problems: Vec<Problem>) -> Vec<Problem> {
    if let Ok(table) = DeTable::parse(text) {
        for p in &mut problems {
            p.line = p.line.or_else(|| locate(table.get_ref(), &p.path).map(|at| line_of(text, at)));
        }
    }
    problems.sort_by_key(|p| p.line);
    problems
}

/// Where a dotted path lies; the deepest part of it that there is.
fn locate(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut at = None;
    let mut keys = path.split('.');
    let mut here = table;
    let mut value: Option<&DeValue<'_>>;
    loop {
        let key = keys.next()?;
        let Some((name, found)) = here.iter().find(|(k, _)| k.get_ref().as_ref() == key) else { return at };
        at = Some(name.span().start);
        value = Some(found.get_ref());
        // Arrays are stepped into by number.
        while let Some(DeValue::Array(items)) = value {
            let Some(index) = keys.next() else { return at };
            let Some(item) = index.parse::<usize>().ok().and_then(|i| items.get(i)) else { return at };
            at = Some(item.span().start);
            value = Some(item.get_ref());
        }
        match value {
            Some(DeValue::Table(t)) => here = t,
            _ => return at,
        }
        if keys.clone().next().is_none() {
            return at;
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}
