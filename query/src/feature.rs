//! Features: one value a patient, from the patient's own rows.

use std::collections::BTreeMap;

use schema::tables::Table;
use study::Study;
use study::cohort::{Cohort, Event};
use study::feature::{Cause, Feature, Pick};

use crate::COHORT;
use crate::rows::{
    CODES, bounded, compared, events, number, plain, precise, quote, row_condition, rows_of, rows_of_event, table, uri,
    value_in,
};

/// A number of days that fits SQL's.
fn days(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The time at risk.
struct Risk<'a> {
    from: u32,
    horizon: u32,
    censor: Option<&'a Event>,
    lookback: Option<u32>,
}

/// How a follow-up goes: the time until the first of several events, or which of them it is, from 1, and 0 for none.
fn followed(study: &Study, causes: &[Event], risk: &Risk<'_>, is_time: bool) -> Result<String, String> {
    let from = days(risk.from);
    let last = from.saturating_add(days(risk.horizon));
    let day = "CAST(e.day AS INT) - CAST(c.index_date AS INT)";
    let group = "GROUP BY c.person_key";
    let (mut joins, mut firsts, mut before) = (String::new(), Vec::new(), Vec::new());
    for (i, cause) in causes.iter().enumerate() {
        let rows = rows_of_event(study, cause)?;
        let found = events(COHORT, rows.clone(), Some([from, last]), false);
        joins += &format!(
            " LEFT JOIN (SELECT c.person_key, min({day}) AS first {found} {group}) h{i} ON h{i}.person_key = o.person_key"
        );
        firsts.push(format!("h{i}.first"));
        if let Some(lookback) = risk.lookback {
            let had = events(COHORT, rows, Some([from.saturating_sub(days(lookback)), from - 1]), false);
            before.push(format!("SELECT c.person_key {had}"));
        }
    }
    let left = "least(max(CAST(p.end_date AS INT)), min(coalesce(CAST(c.exit_date AS INT), 2000000000)))";
    let stop = format!("least({left} - min(CAST(c.index_date AS INT)), {last})");
    let mut observed = format!(
        "SELECT c.person_key, {stop} AS stop FROM {COHORT} c JOIN observation_period p ON p.person_key = c.person_key \
         AND p.start_date <= c.index_date AND p.end_date >= c.index_date {group}"
    );
    if let Some(censor) = risk.censor {
        let found = events(COHORT, rows_of_event(study, censor)?, Some([from, last]), false);
        observed = format!(
            "SELECT s.person_key, least(s.stop, x.first) AS stop FROM ({observed}) s LEFT JOIN \
             (SELECT c.person_key, min({day}) AS first {found} {group}) x ON x.person_key = s.person_key"
        );
    }
    let first = if let [one] = firsts.as_slice() { one.clone() } else { format!("least({})", firsts.join(", ")) };
    let v = if is_time {
        format!("CAST(least(coalesce({first}, o.stop), o.stop) - {from} AS DOUBLE)")
    } else {
        let whens: String = firsts
            .iter()
            .enumerate()
            .map(|(i, f)| format!(" WHEN {f} <= o.stop AND {f} = {first} THEN {}", i + 1))
            .collect();
        format!("CASE{whens} ELSE 0 END")
    };
    let mut who = format!("o.stop >= {from}");
    if !before.is_empty() {
        who += &format!(" AND o.person_key NOT IN ({})", before.join(" UNION ALL "));
    }
    Ok(format!("SELECT o.person_key, {v} AS v FROM ({observed}) o{joins} WHERE {who}"))
}

/// The view over the SQL of the feature at a place.
pub(crate) fn own(place: usize) -> String {
    format!("own_{place}")
}

/// A `CASE` of the places of texts.
fn places(column: &str, levels: &[String]) -> String {
    let whens: String =
        levels.iter().enumerate().map(|(i, l)| format!(" WHEN {column} = {} THEN {i}", quote(l))).collect();
    if whens.is_empty() { "CAST(NULL AS BIGINT)".to_owned() } else { format!("CASE{whens} END") }
}

/// A query for the feature at a place, of the patients of a cohort: `person_key`, and its value `v`, for those who have one. `site` is the
/// hospital's name.
///
/// # Errors
/// The study speaks of what there is not.
pub(crate) fn query(
    study: &Study,
    of: &Cohort,
    (feature, place): (&Feature, usize),
    site: &str,
) -> Result<String, String> {
    let (group, cohort, exit) = ("GROUP BY c.person_key", COHORT, true);
    Ok(match feature {
        Feature::Age { .. } => format!(
            "SELECT c.person_key, min(CAST(date_part('year', c.index_date) AS BIGINT) - p.birth_year) AS v \
             FROM {cohort} c JOIN patient p ON p.person_key = c.person_key {group}"
        ),
        Feature::Sex { levels } => {
            let sex = places("p.sex", levels);
            format!(
                "SELECT c.person_key, min({sex}) AS v FROM {cohort} c JOIN patient p ON p.person_key = c.person_key {group}"
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
                "SELECT c.person_key, least(coalesce(h.n, 0), {max}) AS v FROM {cohort} c \
                 LEFT JOIN (SELECT c.person_key, count(*) AS n {found} {group}) h ON h.person_key = c.person_key"
            )
        }
        Feature::TimeTo { table: t, set, filter, horizon } => {
            let t = table(t)?;
            let condition = row_condition(study, t, set.as_ref(), filter)?;
            let found = events(cohort, rows_of(t, &condition), Some([0, days(*horizon)]), exit);
            format!(
                "SELECT c.person_key, CAST(min(CAST(e.day AS INT) - CAST(c.index_date AS INT)) AS DOUBLE) AS v {found} {group}"
            )
        }
        Feature::FollowUp { table, set, filter, from, horizon, censor, prior_lookback }
        | Feature::FollowedBy { table, set, filter, from, horizon, censor, prior_lookback } => {
            let event = Event { table: table.clone(), set: set.clone(), filter: filter.clone() };
            let is_time = matches!(feature, Feature::FollowUp { .. });
            let risk = Risk { from: *from, horizon: *horizon, censor: censor.as_ref(), lookback: *prior_lookback };
            followed(study, &[event], &risk, is_time)?
        }
        Feature::TimeToFirst { events, from, horizon, censor, prior_lookback }
        | Feature::FirstOf { events, from, horizon, censor, prior_lookback } => {
            let of = |c: &Cause| Event { table: c.table.clone(), set: c.set.clone(), filter: c.filter.clone() };
            let events: Vec<Event> = events.iter().map(of).collect();
            let is_time = matches!(feature, Feature::TimeToFirst { .. });
            let risk = Risk { from: *from, horizon: *horizon, censor: censor.as_ref(), lookback: *prior_lookback };
            followed(study, &events, &risk, is_time)?
        }
        Feature::Arm { levels } => {
            let place = |l: &String| of.arms.iter().position(|a| a == l).ok_or(format!("the cohort has no arm '{l}'"));
            let whens = levels.iter().enumerate().map(|(i, l)| Ok(format!(" WHEN {} THEN {i}", place(l)?)));
            let whens = whens.collect::<Result<String, String>>()?;
            format!("SELECT c.person_key, CASE c.arm{whens} END AS v FROM {cohort} c")
        }
        Feature::Hospital { levels } => {
            let level = levels.iter().position(|l| l == site);
            let level = level.map_or("CAST(NULL AS BIGINT)".to_owned(), |l| format!("CAST({l} AS BIGINT)"));
            format!("SELECT c.person_key, {level} AS v FROM {cohort} c")
        }
        Feature::Sql { levels, .. } => {
            let value = match levels {
                Some(levels) => places("TRY_CAST(q.value AS VARCHAR)", levels),
                None => "TRY_CAST(q.value AS DOUBLE)".to_owned(),
            };
            format!("SELECT q.person_key, min({value}) AS v FROM {} q GROUP BY q.person_key", own(place))
        }
        Feature::OpenCodes { table: t, system, window, .. } => {
            let (t, uri) = (table(t)?, uri(study, system)?);
            let either = CODES.map(|(of, code)| {
                format!(
                    "SELECT *, {} AS own FROM {} WHERE {of} = {} AND {code} IS NOT NULL AND {} AND {}",
                    compared(system, code),
                    t.name(),
                    quote(&uri),
                    precise(study),
                    t.counts()
                )
            });
            let rows = format!("({})", either.join(" UNION ALL "));
            let from = events(cohort, (rows, t.day()), *window, exit);
            format!("SELECT c.person_key, array_agg(DISTINCT e.own) AS v {from} {group}")
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
