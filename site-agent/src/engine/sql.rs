//! Criteria and features to SQL.
//!
//! Names of tables and columns come from the schema, never from a study; every text of a study is a quoted literal. Each
//! statement is grouped by or joined on `person_key`, so a patient's row depends on that patient's rows alone.

use std::fmt::Write as _;

use schema::tables::Table;
use schema::{codes, units};
use study::Study;
use study::cohort::{Cohort, Comparison, Criterion, HasEvent, Lab, Occurrence, Where, Window};
use study::feature::{Feature, Pick};

use super::date_of;

/// A quoted literal.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn number(x: f64) -> String {
    format!("CAST('{x:e}' AS DOUBLE)")
}

fn uri(study: &Study, alias: &str) -> Result<String, String> {
    study
        .code_systems
        .get(alias)
        .cloned()
        .or_else(|| codes::canonical(alias))
        .ok_or_else(|| format!("'{alias}' is no code system"))
}

/// A condition on a row's code, for one system's codes. ICD codes are compared without their dot.
fn codes_match(uri: &str, alias: &str, list: &[String]) -> String {
    let icd = alias.starts_with("icd");
    let column = if icd { "replace(CAST(code AS VARCHAR), '.', '')" } else { "CAST(code AS VARCHAR)" };
    let each: Vec<String> = list
        .iter()
        .map(|c| {
            let c = if icd { c.replace('.', "") } else { c.clone() };
            match c.strip_suffix('*') {
                Some(stem) => format!("starts_with({column}, {})", quote(stem)),
                None => format!("{column} = {}", quote(&c)),
            }
        })
        .collect();
    if each.is_empty() {
        "false".to_owned()
    } else {
        format!("(code_system = {} AND ({}))", quote(uri), each.join(" OR "))
    }
}

/// A condition on a row of a table: its concept set and its columns.
fn row_condition(study: &Study, set: Option<&String>, filter: &Where) -> Result<String, String> {
    let mut all = vec!["true".to_owned()];
    if let Some(name) = set {
        let set = study.concept_sets.get(name).ok_or_else(|| format!("there is no concept set '{name}'"))?;
        let any: Vec<String> = set
            .iter()
            .map(|(alias, list)| Ok(codes_match(&uri(study, alias)?, alias, list)))
            .collect::<Result<_, String>>()?;
        all.push(format!("({})", any.join(" OR ")));
    }
    for (column, values) in filter {
        let list: Vec<String> = values.iter().map(|v| quote(v)).collect();
        all.push(format!("{column} IN ({})", if list.is_empty() { "NULL".to_owned() } else { list.join(", ") }));
    }
    Ok(all.join(" AND "))
}

fn table(name: &str) -> Result<Table, String> {
    Table::parse(name).ok_or_else(|| format!("there is no table '{name}'"))
}

/// The rows of a table that fulfil a condition, and the local day of their event.
fn rows_of(table: Table, condition: &str) -> (String, &'static str) {
    (format!("(SELECT * FROM {} WHERE {condition})", table.name()), date_of(table))
}

/// Rows with their day, joined with the cohort, within a window around the entry and before the exit.
fn events(cohort: &str, (rows, date): (String, &str), window: Option<Window>, exit: Option<i32>) -> String {
    let from = window.map(|[from, _]| from);
    let to = match (window, exit) {
        (Some([_, to]), Some(exit)) => Some(to.min(exit)),
        (Some([_, to]), None) => Some(to),
        (None, exit) => exit,
    };
    let day = "(CAST(e.day AS INT) - CAST(c.index_date AS INT))";
    let mut within = String::new();
    if let Some(from) = from {
        let _ = write!(within, " AND {day} >= {from}");
    }
    if let Some(to) = to {
        let _ = write!(within, " AND {day} <= {to}");
    }
    format!(
        "FROM {cohort} c JOIN (SELECT *, {date} AS day FROM {rows}) e ON e.person_key = c.person_key WHERE true{within}"
    )
}

/// A condition on a measurement's code, and its value in a study's unit, NULL where that can't be said.
fn value_in(study: &Study, list: &[String], unit: &str) -> Result<(String, String), String> {
    let unit = units::ucum(unit).ok_or_else(|| format!("'{unit}' is no known unit"))?;
    let mut any = Vec::with_capacity(list.len());
    let mut analyte = None;
    for code in list {
        let (alias, bare) = code.split_once(':').ok_or_else(|| format!("'{code}' is no code"))?;
        let uri = uri(study, alias)?;
        any.push(format!("(code_system = {} AND CAST(code AS VARCHAR) = {})", quote(&uri), quote(bare)));
        analyte = units::analyte(&uri, bare);
    }
    let condition = format!("({})", any.join(" OR "));
    let own = format!("WHEN unit_ucum = {} THEN value_num", quote(unit));
    let value = match analyte {
        Some(analyte) => {
            let rule = analyte.rule(unit).ok_or_else(|| format!("'{unit}' does not fit {}", analyte.name))?;
            format!(
                "CASE {own} WHEN unit_std = {} THEN (value_std - {}) / {} END",
                quote(analyte.unit),
                number(rule.offset),
                number(rule.scale)
            )
        }
        None => format!("CASE {own} END"),
    };
    Ok((condition, value))
}

/// `WITH` clauses that end in the cohort. Returns them and the last one's name.
fn cohort(study: &Study, cohort: &Cohort) -> Result<(Vec<String>, String), String> {
    let entry = table(&cohort.entry.table)?;
    let condition = row_condition(study, cohort.entry.set.as_ref(), &cohort.entry.filter)?;
    let mut with = Vec::new();
    with.push(if entry == Table::Patient {
        format!("c0 AS (SELECT DISTINCT person_key, CAST(NULL AS DATE) AS index_date FROM patient WHERE {condition})")
    } else {
        let pick = if cohort.entry.occurrence == Occurrence::First { "min" } else { "max" };
        let date = date_of(entry);
        // Who is not in the patient table is not counted.
        format!(
            "c0 AS (SELECT e.person_key, {pick}(e.day) AS index_date FROM (SELECT person_key, {date} AS day FROM {} WHERE {condition}) e \
             JOIN (SELECT DISTINCT person_key FROM patient) p ON p.person_key = e.person_key WHERE e.day IS NOT NULL GROUP BY e.person_key)",
            entry.name()
        )
    });
    let mut last = "c0".to_owned();
    let kept = cohort.inclusion.iter().map(|c| (c, "IN")).chain(cohort.exclusion.iter().map(|c| (c, "NOT IN")));
    for (i, (criterion, keep)) in kept.enumerate() {
        let name = format!("c{}", i + 1);
        let who = criterion_sql(study, criterion, &last)?;
        with.push(format!("{name} AS (SELECT person_key, index_date FROM {last} WHERE person_key {keep} ({who}))"));
        last = name;
    }
    Ok((with, last))
}

/// A query for the keys of those of a cohort who fulfil a criterion.
fn criterion_sql(study: &Study, criterion: &Criterion, cohort: &str) -> Result<String, String> {
    let year = "CAST(date_part('year', c.index_date) AS BIGINT) - p.birth_year";
    Ok(match criterion {
        Criterion::Age { age: [low, high] } => format!(
            "SELECT c.person_key FROM {cohort} c JOIN patient p ON p.person_key = c.person_key WHERE {year} BETWEEN {low} AND {high}"
        ),
        Criterion::Sex { sex } => {
            let list: Vec<String> = sex.iter().map(|s| quote(s)).collect();
            format!("SELECT person_key FROM patient WHERE sex IN ({})", list.join(", "))
        }
        Criterion::PriorObservation { prior_obs_days } => format!(
            "SELECT c.person_key FROM {cohort} c JOIN observation_period o ON o.person_key = c.person_key \
             WHERE CAST(c.index_date AS INT) - CAST(o.start_date AS INT) >= {prior_obs_days} AND o.end_date >= c.index_date"
        ),
        Criterion::Has(HasEvent { has, set, filter, within }) => {
            let condition = row_condition(study, set.as_ref(), filter)?;
            format!("SELECT c.person_key {}", events(cohort, rows_of(table(has)?, &condition), *within, None))
        }
        Criterion::Lab(Lab { lab, op, value, unit, within }) => {
            let (condition, expression) = value_in(study, lab, unit)?;
            let op = match op {
                Comparison::Lt => "<",
                Comparison::Le => "<=",
                Comparison::Ge => ">=",
                Comparison::Gt => ">",
            };
            let condition = format!("{condition} AND ({expression}) {op} {}", number(*value));
            format!("SELECT c.person_key {}", events(cohort, rows_of(Table::Measurement, &condition), *within, None))
        }
    })
}

/// A query for a feature: `person_key`, and its value `v`, for those who have one.
fn feature(study: &Study, feature: &Feature, cohort: &str, exit: Option<i32>) -> Result<String, String> {
    let group = "GROUP BY c.person_key";
    Ok(match feature {
        Feature::Age { .. } => format!(
            "SELECT c.person_key, min(CAST(date_part('year', c.index_date) AS BIGINT) - p.birth_year) AS v \
             FROM {cohort} c JOIN patient p ON p.person_key = c.person_key {group}"
        ),
        Feature::Sex { levels } => {
            let whens: String =
                levels.iter().enumerate().map(|(i, l)| format!(" WHEN p.sex = {} THEN {i}", quote(l))).collect();
            format!(
                "SELECT c.person_key, min(CASE{whens} END) AS v FROM {cohort} c JOIN patient p ON p.person_key = c.person_key {group}"
            )
        }
        Feature::Measurement { code, unit, pick, window, levels, above, .. } => {
            let (condition, value) = value_in(study, code, unit)?;
            let order = "ORDER BY e.day, e.t_event, e.record_key";
            let picked = match pick {
                Pick::First => format!("first_value(e.val {order})"),
                Pick::Last => format!("last_value(e.val {order})"),
                Pick::Mean => "avg(e.val)".to_owned(),
                Pick::Min => "min(e.val)".to_owned(),
                Pick::Max => "max(e.val)".to_owned(),
            };
            let inner = format!(
                "SELECT c.person_key, {picked} AS x {} AND e.val IS NOT NULL {group}",
                events(
                    cohort,
                    (
                        format!("(SELECT *, {value} AS val FROM measurement WHERE {condition})"),
                        date_of(Table::Measurement)
                    ),
                    *window,
                    exit
                )
            );
            let v = match (levels, above) {
                (Some(levels), _) => {
                    let whens: String =
                        levels.iter().enumerate().map(|(i, l)| format!(" WHEN x = {} THEN {i}", number(*l))).collect();
                    format!("CASE{whens} END")
                }
                (None, Some(threshold)) => format!("CASE WHEN x > {} THEN 1 ELSE 0 END", number(*threshold)),
                (None, None) => "x".to_owned(),
            };
            format!("SELECT person_key, {v} AS v FROM ({inner})")
        }
        Feature::Has { table: t, set, filter, window } => {
            let condition = row_condition(study, set.as_ref(), filter)?;
            let found = events(cohort, rows_of(table(t)?, &condition), *window, exit);
            format!(
                "SELECT c.person_key, CASE WHEN h.person_key IS NULL THEN 0 ELSE 1 END AS v FROM {cohort} c \
                 LEFT JOIN (SELECT DISTINCT c.person_key {found}) h ON h.person_key = c.person_key"
            )
        }
        Feature::Count { table: t, set, filter, window, max } => {
            let condition = row_condition(study, set.as_ref(), filter)?;
            let found = events(cohort, rows_of(table(t)?, &condition), *window, exit);
            format!(
                "SELECT c.person_key, coalesce(least(h.n, {max}), 0) AS v FROM {cohort} c \
                 LEFT JOIN (SELECT c.person_key, count(*) AS n {found} {group}) h ON h.person_key = c.person_key"
            )
        }
        Feature::TimeTo { table: t, set, filter, horizon } => {
            let condition = row_condition(study, set.as_ref(), filter)?;
            let found = events(
                cohort,
                rows_of(table(t)?, &condition),
                Some([0, i32::try_from(*horizon).unwrap_or(i32::MAX)]),
                exit,
            );
            format!(
                "SELECT c.person_key, CAST(min(CAST(e.day AS INT) - CAST(c.index_date AS INT)) AS DOUBLE) AS v {found} {group}"
            )
        }
        Feature::Codes { table: t, list, window, .. } => {
            let mut whens = String::new();
            let mut any = Vec::new();
            for (i, code) in list.iter().enumerate() {
                let (alias, bare) = code.split_once(':').ok_or_else(|| format!("'{code}' is no code"))?;
                let matches = codes_match(&uri(study, alias)?, alias, &[bare.to_owned()]);
                let _ = write!(whens, " WHEN {matches} THEN {i}");
                any.push(matches);
            }
            let t = table(t)?;
            let rows = format!("(SELECT *, CASE{whens} END AS place FROM {} WHERE {})", t.name(), any.join(" OR "));
            let from = events(cohort, (rows, date_of(t)), *window, exit);
            format!("SELECT c.person_key, array_agg(DISTINCT e.place) AS v {from} {group}")
        }
    })
}

/// The query of an analysis: `person_key`, then a column a feature, one row a patient of the cohort.
///
/// # Errors
/// The study speaks of what there is not; its check has said so before.
pub fn analysis(study: &Study, cohort_name: &str, features: &[String]) -> Result<String, String> {
    let definition = study.cohorts.get(cohort_name).ok_or_else(|| format!("there is no cohort '{cohort_name}'"))?;
    let (mut with, last) = cohort(study, definition)?;
    let (mut select, mut joins) = (String::new(), String::new());
    for (i, name) in features.iter().enumerate() {
        let f = study.features.get(name).ok_or_else(|| format!("there is no feature '{name}'"))?;
        with.push(format!("f{i} AS ({})", feature(study, f, &last, definition.exit.days)?));
        let _ = write!(select, ", f{i}.v AS v{i}");
        let _ = write!(joins, " LEFT JOIN f{i} ON f{i}.person_key = c.person_key");
    }
    Ok(format!("WITH {} SELECT c.person_key{select} FROM {last} c{joins}", with.join(", ")))
}
