//! Criteria and features to SQL.
//!
//! Names of tables and columns come from the schema, never from a study; every text of a study is a quoted literal. Each
//! statement is grouped by or joined on `person_key`, so a patient's row depends on that patient's rows alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schema::tables::Table;
use schema::{codes, units};
use study::Study;
use study::cohort::{
    Age, Cohort, Comparison, Criterion, HasEvent, Lab, Occurrence, PriorObservation, Sex, Where, Window,
};
use study::feature::{Bound, Feature, Pick};

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

/// The columns of a row's two codes: the source's own, and the standard one where the site has a mapping.
const CODES: [(&str, &str); 2] = [("code_system", "code"), ("std_system", "std_code")];

/// How a system's codes are compared: ICD codes without their dot.
fn compared(alias: &str, column: &str) -> String {
    let text = format!("CAST({column} AS VARCHAR)");
    if alias.starts_with("icd") { format!("replace({text}, '.', '')") } else { text }
}

fn plain(alias: &str, code: &str) -> String {
    if alias.starts_with("icd") { code.replace('.', "") } else { code.to_owned() }
}

/// A condition on a row's codes, either of which may fulfil it, for one system's codes: one list of whole codes, and one of
/// prefixes for each of their lengths, so that the expression stays flat however many codes there are.
fn codes_match(uri: &str, alias: &str, list: &[String]) -> String {
    let mut whole = Vec::new();
    let mut prefixes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for code in list.iter().map(|c| plain(alias, c)) {
        match code.strip_suffix('*') {
            Some(stem) => prefixes.entry(stem.chars().count()).or_default().push(quote(stem)),
            None => whole.push(quote(&code)),
        }
    }
    let matches = |(system, code): (&str, &str)| {
        let column = compared(alias, code);
        let mut any = Vec::new();
        if !whole.is_empty() {
            any.push(format!("{column} IN ({})", whole.join(", ")));
        }
        for (length, stems) in &prefixes {
            any.push(format!("substr({column}, 1, {length}) IN ({})", stems.join(", ")));
        }
        if any.is_empty() {
            return "false".to_owned();
        }
        format!("({system} = {} AND ({}))", quote(uri), any.join(" OR "))
    };
    format!("({})", CODES.map(matches).join(" OR "))
}

/// A condition that the day of a row's event is known as precisely as the study asks.
fn precise(study: &Study) -> String {
    let coarser: Vec<String> = study.precision.coarser().iter().map(|p| quote(p)).collect();
    if coarser.is_empty() { "true".to_owned() } else { format!("t_prec NOT IN ({})", coarser.join(", ")) }
}

/// A condition that a row's code is in a concept set of a study.
///
/// # Errors
/// There is no such set, or it speaks of no code system.
pub fn in_set(study: &Study, name: &str) -> Result<String, String> {
    let set = study.concept_sets.get(name).ok_or_else(|| format!("there is no concept set '{name}'"))?;
    let any: Vec<String> = set
        .iter()
        .map(|(alias, list)| Ok(codes_match(&uri(study, alias)?, alias, list)))
        .collect::<Result<_, String>>()?;
    Ok(format!("({})", any.join(" OR ")))
}

/// A condition on a row of a table: its concept set and its columns. Rows that are not of what was count where the columns ask for
/// their status.
fn row_condition(study: &Study, table: Table, set: Option<&String>, filter: &Where) -> Result<String, String> {
    let mut all = vec![precise(study)];
    if !filter.contains_key("status") {
        all.push(table.counts().to_owned());
    }
    if let Some(name) = set {
        all.push(in_set(study, name)?);
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
    (format!("(SELECT * FROM {} WHERE {condition})", table.name()), table.day())
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
        any.push(codes_match(&uri, alias, &[bare.to_owned()]));
        analyte = units::analyte(&uri, bare);
    }
    let condition = format!("({}) AND {} AND {}", any.join(" OR "), precise(study), Table::Measurement.counts());
    let own = format!("WHEN unit_ucum = {} THEN value_num", quote(&unit));
    let value = match analyte {
        Some(analyte) => {
            let rule = analyte.rule(&unit).ok_or_else(|| format!("'{unit}' does not fit {}", analyte.name))?;
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

/// A condition that a value surely lies on one side of a threshold. A value that is known by a bound alone, such as `<5`, does where
/// the bound says so.
fn compares(op: Comparison, value: &str, threshold: f64) -> String {
    let (sign, strict, wide, closed) = match op {
        Comparison::Lt => ("<", "lt", "le", false),
        Comparison::Le => ("<=", "lt", "le", true),
        Comparison::Gt => (">", "gt", "ge", false),
        Comparison::Ge => (">=", "gt", "ge", true),
    };
    let (t, side) = (number(threshold), &sign[..1]);
    // Of `<5`, `< 5` and `<= 5` are sure; of `<=5`, `<= 5` is, and `< 5` is not.
    let of_wide = if closed { format!("{side}= {t}") } else { format!("{side} {t}") };
    format!(
        "CASE comparator WHEN 'eq' THEN ({value}) {sign} {t} WHEN '{strict}' THEN ({value}) {side}= {t} \
         WHEN '{wide}' THEN ({value}) {of_wide} ELSE false END"
    )
}

/// A value of a feature where it may be known by a bound alone.
fn bounded(value: &str, how: Bound, above: Option<f64>) -> String {
    if let (Bound::LeaveOut, Some(threshold)) = (how, above) {
        // The side is all that is asked for.
        let t = number(threshold);
        return format!(
            "CASE WHEN comparator = 'eq' THEN ({value}) WHEN comparator IN ('gt', 'ge') AND ({value}) > {t} THEN ({value}) \
             WHEN comparator = 'gt' AND ({value}) = {t} THEN CAST('Infinity' AS DOUBLE) \
             WHEN comparator IN ('lt', 'le') AND ({value}) <= {t} THEN ({value}) END"
        );
    }
    match how {
        Bound::LeaveOut => format!("CASE WHEN comparator = 'eq' THEN ({value}) END"),
        Bound::Bound => value.to_owned(),
        Bound::Half => format!("CASE WHEN comparator IN ('lt', 'le') THEN ({value}) / 2 ELSE ({value}) END"),
    }
}

/// The steps to a cohort. Each gives `person_key` and `index_date`, and each but the first reads the table `cohort` that the
/// step before it gave: one query a criterion, so that the work grows with their number and no faster.
fn cohort_steps(study: &Study, cohort: &Cohort) -> Result<Vec<String>, String> {
    let entry = table(&cohort.entry.table)?;
    let condition = row_condition(study, entry, cohort.entry.set.as_ref(), &cohort.entry.filter)?;
    let mut steps = Vec::new();
    steps.push(if entry == Table::Patient {
        format!("SELECT DISTINCT person_key, CAST(NULL AS DATE) AS index_date FROM patient WHERE {condition}")
    } else {
        let pick = if cohort.entry.occurrence == Occurrence::First { "min" } else { "max" };
        let date = entry.day();
        // Who is not in the patient table is not counted.
        format!(
            "SELECT e.person_key, {pick}(e.day) AS index_date FROM (SELECT person_key, {date} AS day FROM {} WHERE {condition}) e \
             JOIN (SELECT DISTINCT person_key FROM patient) p ON p.person_key = e.person_key WHERE e.day IS NOT NULL GROUP BY e.person_key",
            entry.name()
        )
    });
    let kept = cohort.inclusion.iter().map(|c| (c, "IN")).chain(cohort.exclusion.iter().map(|c| (c, "NOT IN")));
    for (criterion, keep) in kept {
        let who = criterion_sql(study, criterion, COHORT)?;
        steps.push(format!("SELECT person_key, index_date FROM {COHORT} WHERE person_key {keep} ({who})"));
    }
    Ok(steps)
}

/// A query for the keys of those of a cohort who fulfil a criterion.
fn criterion_sql(study: &Study, criterion: &Criterion, cohort: &str) -> Result<String, String> {
    let year = "CAST(date_part('year', c.index_date) AS BIGINT) - p.birth_year";
    Ok(match criterion {
        Criterion::Age(Age { age: [low, high] }) => format!(
            "SELECT c.person_key FROM {cohort} c JOIN patient p ON p.person_key = c.person_key WHERE {year} BETWEEN {low} AND {high}"
        ),
        Criterion::Sex(Sex { sex }) => {
            let list: Vec<String> = sex.iter().map(|s| quote(s)).collect();
            format!("SELECT person_key FROM patient WHERE sex IN ({})", list.join(", "))
        }
        Criterion::PriorObservation(PriorObservation { prior_obs_days }) => format!(
            "SELECT c.person_key FROM {cohort} c JOIN observation_period o ON o.person_key = c.person_key \
             WHERE CAST(c.index_date AS INT) - CAST(o.start_date AS INT) >= {prior_obs_days} AND o.end_date >= c.index_date"
        ),
        Criterion::Has(HasEvent { has, set, filter, within }) => {
            let of = table(has)?;
            let condition = row_condition(study, of, set.as_ref(), filter)?;
            format!("SELECT c.person_key {}", events(cohort, rows_of(of, &condition), *within, None))
        }
        Criterion::Lab(Lab { lab, op, value, unit, within }) => {
            let (condition, expression) = value_in(study, lab, unit)?;
            let condition = format!("{condition} AND {}", compares(*op, &expression, *value));
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
        Feature::Measurement { code, unit, pick, window, levels, above, bound, .. } => {
            let (condition, value) = value_in(study, code, unit)?;
            let value = bounded(&value, *bound, *above);
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
                        Table::Measurement.day()
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
            let t = table(t)?;
            let condition = row_condition(study, t, set.as_ref(), filter)?;
            let found = events(cohort, rows_of(t, &condition), *window, exit);
            format!(
                "SELECT c.person_key, CASE WHEN h.person_key IS NULL THEN 0 ELSE 1 END AS v FROM {cohort} c \
                 LEFT JOIN (SELECT DISTINCT c.person_key {found}) h ON h.person_key = c.person_key"
            )
        }
        Feature::Count { table: t, set, filter, window, max } => {
            let t = table(t)?;
            let condition = row_condition(study, t, set.as_ref(), filter)?;
            let found = events(cohort, rows_of(t, &condition), *window, exit);
            format!(
                "SELECT c.person_key, coalesce(least(h.n, {max}), 0) AS v FROM {cohort} c \
                 LEFT JOIN (SELECT c.person_key, count(*) AS n {found} {group}) h ON h.person_key = c.person_key"
            )
        }
        Feature::TimeTo { table: t, set, filter, horizon } => {
            let t = table(t)?;
            let condition = row_condition(study, t, set.as_ref(), filter)?;
            let found =
                events(cohort, rows_of(t, &condition), Some([0, i32::try_from(*horizon).unwrap_or(i32::MAX)]), exit);
            format!(
                "SELECT c.person_key, CAST(min(CAST(e.day AS INT) - CAST(c.index_date AS INT)) AS DOUBLE) AS v {found} {group}"
            )
        }
        Feature::FollowUp { table: t, set, filter, horizon }
        | Feature::FollowedBy { table: t, set, filter, horizon } => {
            let t = table(t)?;
            let condition = row_condition(study, t, set.as_ref(), filter)?;
            let last = i32::try_from(*horizon).unwrap_or(i32::MAX);
            let last = exit.map_or(last, |exit| exit.min(last));
            let found = events(cohort, rows_of(t, &condition), Some([0, last]), None);
            let v = match feature {
                Feature::FollowUp { .. } => "CAST(least(coalesce(h.first, o.stop), o.stop) AS DOUBLE)",
                _ => "CASE WHEN h.first <= o.stop THEN 1 ELSE 0 END",
            };
            format!(
                "SELECT o.person_key, {v} AS v FROM (SELECT c.person_key, least(max(CAST(p.end_date AS INT) - CAST(c.index_date AS INT)), {last}) \
                 AS stop FROM {cohort} c JOIN observation_period p ON p.person_key = c.person_key AND p.start_date <= c.index_date \
                 AND p.end_date >= c.index_date {group}) o LEFT JOIN (SELECT c.person_key, min(CAST(e.day AS INT) - CAST(c.index_date AS INT)) \
                 AS first {found} {group}) h ON h.person_key = o.person_key"
            )
        }
        Feature::Codes { table: t, list, window, .. } => {
            let mut values = Vec::with_capacity(list.len());
            let mut systems: BTreeMap<String, String> = BTreeMap::new();
            for (i, code) in list.iter().enumerate() {
                let (alias, bare) = code.split_once(':').ok_or_else(|| format!("'{code}' is no code"))?;
                let uri = uri(study, alias)?;
                values.push(format!("({}, {}, {i})", quote(&uri), quote(&plain(alias, bare))));
                systems.insert(uri, alias.to_owned());
            }
            let t = table(t)?;
            let either = CODES.map(|(system, code)| {
                let whens: String = systems
                    .iter()
                    .map(|(uri, alias)| format!(" WHEN {system} = {} THEN {}", quote(uri), compared(alias, code)))
                    .collect();
                format!(
                    "SELECT *, CAST({system} AS VARCHAR) AS sys, CASE{whens} END AS bare FROM {} WHERE {} AND {}",
                    t.name(),
                    precise(study),
                    t.counts()
                )
            });
            let rows = format!(
                "(SELECT r.*, m.place FROM ({}) r JOIN (VALUES {}) AS m (sys, bare, place) ON r.sys = m.sys AND r.bare = m.bare)",
                either.join(" UNION ALL "),
                values.join(", ")
            );
            let from = events(cohort, (rows, t.day()), *window, exit);
            format!("SELECT c.person_key, array_agg(DISTINCT e.place) AS v {from} {group}")
        }
    })
}

/// The table that holds the cohort so far.
pub const COHORT: &str = "cohort";

/// The table with each patient's year of entry.
pub(super) const ENTRY: &str = "entry";

/// What an analysis asks of gold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    /// The steps to the cohort, in order; each one's result is the next one's table `cohort`.
    pub cohort: Vec<String>,
    /// `person_key`, then a column a feature, one row a patient of the cohort.
    pub features: String,
}

/// The same rows, of the patients alone who entered in some years. Years up to `first` are one block.
pub(crate) fn entered(features: &str, first: u16, years: &[u16]) -> String {
    let years: Vec<String> = years.iter().map(u16::to_string).collect();
    format!(
        "SELECT f.* FROM ({features}) f JOIN {ENTRY} e ON e.person_key = f.person_key \
         WHERE greatest(e.entry_year, {first}) IN ({})",
        if years.is_empty() { "NULL".to_owned() } else { years.join(", ") }
    )
}

impl Queries {
    /// All of it as one text, for people and as a key.
    pub fn text(&self) -> String {
        let mut all = self.cohort.clone();
        all.push(self.features.clone());
        all.join(";\n")
    }
}

/// The queries of an analysis.
///
/// # Errors
/// The study speaks of what there is not; its check has said so before.
pub fn analysis(study: &Study, cohort_name: &str, features: &[String]) -> Result<Queries, String> {
    let definition = study.cohorts.get(cohort_name).ok_or_else(|| format!("there is no cohort '{cohort_name}'"))?;
    let mut with = Vec::new();
    let (mut select, mut joins) = (String::new(), String::new());
    for (i, name) in features.iter().enumerate() {
        let f = study.features.get(name).ok_or_else(|| format!("there is no feature '{name}'"))?;
        with.push(format!("f{i} AS ({})", feature(study, f, COHORT, definition.exit.days)?));
        let _ = write!(select, ", f{i}.v AS v{i}");
        let _ = write!(joins, " LEFT JOIN f{i} ON f{i}.person_key = c.person_key");
    }
    let with = if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) };
    let features = format!("{with}SELECT c.person_key{select} FROM {COHORT} c{joins}");
    Ok(Queries { cohort: cohort_steps(study, definition)?, features })
}
