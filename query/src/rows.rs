//! Rows of a table that a study speaks of: conditions on codes and columns, and values in a study's unit, as SQL.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schema::tables::Table;
use schema::{codes, units};
use study::Study;
use study::cohort::{Comparison, Event, Where, Window};
use study::feature::Bound;

/// A quoted literal.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) fn number(x: f64) -> String {
    format!("CAST('{x:e}' AS DOUBLE)")
}

pub(crate) fn uri(study: &Study, alias: &str) -> Result<String, String> {
    study
        .code_systems
        .get(alias)
        .cloned()
        .or_else(|| codes::canonical(alias))
        .ok_or_else(|| format!("'{alias}' is no code system"))
}

/// The columns of a row's two codes: the source's own, and the standard one where the site has a mapping.
pub(crate) const CODES: [(&str, &str); 2] = [("code_system", "code"), ("std_system", "std_code")];

/// How a system's codes are compared: ICD codes without their dot.
pub(crate) fn compared(alias: &str, column: &str) -> String {
    let text = format!("CAST({column} AS VARCHAR)");
    if alias.starts_with("icd") { format!("replace({text}, '.', '')") } else { text }
}

pub(crate) fn plain(alias: &str, code: &str) -> String {
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
pub(crate) fn precise(study: &Study) -> String {
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
pub(crate) fn row_condition(
    study: &Study,
    table: Table,
    set: Option<&String>,
    filter: &Where,
) -> Result<String, String> {
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

pub(crate) fn table(name: &str) -> Result<Table, String> {
    Table::parse(name).ok_or_else(|| format!("there is no table '{name}'"))
}

/// The rows of a table that fulfil a condition, and the local day of their event.
pub(crate) fn rows_of(table: Table, condition: &str) -> (String, &'static str) {
    (format!("(SELECT * FROM {} WHERE {condition})", table.name()), table.day())
}

/// The rows of an event, and the local day of it.
pub(crate) fn rows_of_event(study: &Study, event: &Event) -> Result<(String, &'static str), String> {
    let of = table(&event.table)?;
    Ok(rows_of(of, &row_condition(study, of, event.set.as_ref(), &event.filter)?))
}

/// Rows with their day, joined with the cohort, within a window around the entry; where `exits` says so, not after the exit.
pub(crate) fn events(cohort: &str, (rows, date): (String, &str), window: Option<Window>, exits: bool) -> String {
    let day = "(CAST(e.day AS INT) - CAST(c.index_date AS INT))";
    let mut within = String::new();
    if let Some([from, to]) = window {
        let _ = write!(within, " AND {day} >= {from} AND {day} <= {to}");
    }
    if exits {
        within.push_str(" AND (c.exit_date IS NULL OR e.day <= c.exit_date)");
    }
    format!(
        "FROM {cohort} c JOIN (SELECT *, {date} AS day FROM {rows}) e ON e.person_key = c.person_key WHERE true{within}"
    )
}

/// A condition on a measurement's code, and its value in a study's unit, NULL where that can't be said.
pub(crate) fn value_in(study: &Study, list: &[String], unit: &str) -> Result<(String, String), String> {
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
pub(crate) fn compares(op: Comparison, value: &str, threshold: f64, upper: Option<f64>) -> String {
    if op == Comparison::Between {
        let upper = number(upper.unwrap_or(threshold));
        return format!("comparator = 'eq' AND ({value}) >= {} AND ({value}) <= {upper}", number(threshold));
    }
    let (sign, strict, wide, closed) = match op {
        Comparison::Lt => ("<", "lt", "le", false),
        Comparison::Le => ("<=", "lt", "le", true),
        Comparison::Gt => (">", "gt", "ge", false),
        Comparison::Ge | Comparison::Between => (">=", "gt", "ge", true),
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
pub(crate) fn bounded(value: &str, how: Bound, above: Option<f64>) -> String {
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
