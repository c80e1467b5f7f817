//! Cohorts: from the entry event, criterion by criterion, to the exit. One query a criterion, so that the work grows with their number
//! and no faster. A row is a patient's entry; several of a patient stay until the criteria have chosen between them.

use schema::tables::Table;
use study::Study;
use study::cohort::{
    AfterObservation, Age, AllOf, AnyOf, Cohort, Criterion, Entry, Exit, Exposure, HasEvent, Lab, Occurrence,
    PriorObservation, Sex,
};

use crate::patientwise::Own;
use crate::rows::{compares, events, quote, row_condition, rows_of, rows_of_event, table, value_in};
use crate::{COHORT, Queries, Step};

/// The view over a cohort's own SQL.
const OWN: &str = "own_cohort";

/// Empty columns of an entry.
const NO_EXIT: &str = "CAST(NULL AS DATE) AS exit_date, CAST(NULL AS BIGINT) AS arm";

fn kept(table: &str, sql: String) -> Step {
    Step::Kept { table: table.to_owned(), sql }
}

/// The steps to a cohort, the last of which makes the table [`COHORT`].
///
/// # Errors
/// The study speaks of what there is not.
pub fn steps(study: &Study, cohort: &Cohort) -> Result<Vec<Step>, String> {
    let mut steps = entries(study, cohort)?;
    for (criterion, holds) in cohort.criteria() {
        let how = if holds { "SEMI" } else { "ANTI" };
        let who = criterion_sql(study, criterion)?;
        let on = same_entry(study, cohort, "c", "k");
        steps.push(kept(COHORT, format!("SELECT c.* FROM {COHORT} c LEFT {how} JOIN ({who}) k ON {on}")));
    }
    if takes_any(cohort) {
        steps.push(kept(
            COHORT,
            format!("SELECT person_key, min(index_date) AS index_date, {NO_EXIT} FROM {COHORT} GROUP BY person_key"),
        ));
    }
    steps.extend(exits(study, &cohort.exit)?);
    Ok(steps)
}

/// What the analysis of a cohort's attrition asks: of each patient who enters, how many criteria hold before the first that does not.
///
/// # Errors
/// The study speaks of what there is not.
pub fn attrition(study: &Study, cohort: &Cohort) -> Result<Queries, String> {
    let mut steps = entries(study, cohort)?;
    steps.push(kept(COHORT, format!("SELECT *, CAST(0 AS BIGINT) AS passed FROM {COHORT}")));
    for (done, (criterion, holds)) in cohort.criteria().enumerate() {
        let found = if holds { "IS NOT NULL" } else { "IS NULL" };
        let who = criterion_sql(study, criterion)?;
        let key = if cohort.is_dated(study) { "person_key, index_date" } else { "person_key" };
        steps.push(kept(
            COHORT,
            format!(
                "SELECT c.person_key, c.index_date, c.exit_date, c.arm, \
                 CASE WHEN c.passed = {done} AND k.person_key {found} THEN {done} + 1 ELSE c.passed END AS passed \
                 FROM {COHORT} c LEFT JOIN (SELECT DISTINCT {key} FROM ({who})) k ON {}",
                same_entry(study, cohort, "c", "k")
            ),
        ));
    }
    let features = format!("SELECT person_key, max(passed) AS v0 FROM {COHORT} GROUP BY person_key");
    Ok(Queries { cohort: steps, features })
}

fn takes_any(cohort: &Cohort) -> bool {
    cohort.entry.as_ref().is_some_and(|e| e.occurrence == Occurrence::Any && e.table != Table::Patient.name())
}

/// That two rows are of one entry.
fn same_entry(study: &Study, cohort: &Cohort, a: &str, b: &str) -> String {
    let person = format!("{a}.person_key = {b}.person_key");
    if cohort.is_dated(study) { format!("{person} AND {a}.index_date = {b}.index_date") } else { person }
}

/// The steps to the table of entries.
fn entries(study: &Study, cohort: &Cohort) -> Result<Vec<Step>, String> {
    match (&cohort.entry, &cohort.sql, cohort.arms.as_slice()) {
        (Some(entry), None, []) => Ok(vec![kept(COHORT, entry_sql(study, entry)?)]),
        (None, Some(sql), []) => Ok(vec![
            Step::Own { table: OWN.to_owned(), sql: sql.clone(), of: Own::Cohort },
            kept(
                COHORT,
                format!(
                    "SELECT q.person_key, min(TRY_CAST(q.index_date AS DATE)) AS index_date, {NO_EXIT} FROM {OWN} q \
                     JOIN (SELECT DISTINCT person_key FROM patient) p ON p.person_key = q.person_key \
                     WHERE q.index_date IS NOT NULL GROUP BY q.person_key"
                ),
            ),
        ]),
        (None, None, arms) if !arms.is_empty() => of_arms(study, arms),
        _ => Err("a cohort has exactly one of entry, sql and arms".to_owned()),
    }
}

/// Each cohort's patients, and the one of them that a patient entered first.
fn of_arms(study: &Study, arms: &[String]) -> Result<Vec<Step>, String> {
    let (mut steps, mut all) = (Vec::new(), Vec::new());
    for (i, name) in arms.iter().enumerate() {
        let of = study.cohorts.get(name).ok_or_else(|| format!("there is no cohort '{name}'"))?;
        if !of.arms.is_empty() {
            return Err(format!("the cohort '{name}' has arms itself"));
        }
        steps.extend(self::steps(study, of)?);
        steps.push(kept(&format!("arm_{i}"), format!("SELECT * FROM {COHORT}")));
        all.push(format!("SELECT person_key, index_date, exit_date, CAST({i} AS BIGINT) AS arm FROM arm_{i}"));
    }
    steps.push(kept(
        COHORT,
        format!(
            "SELECT person_key, index_date, exit_date, arm FROM (SELECT *, rank() OVER (PARTITION BY person_key ORDER BY index_date) \
             AS place, count(*) OVER (PARTITION BY person_key, index_date) AS same FROM ({})) WHERE place = 1 AND same = 1",
            all.join(" UNION ALL ")
        ),
    ));
    Ok(steps)
}

/// The instant of a row in microseconds since 1970; none where its time of the day is not known.
fn instant_of(of: Table) -> String {
    let time = if of == Table::Visit { "coalesce(t_start, t_event)" } else { "t_event" };
    format!("CASE WHEN t_prec IN ('minute', 'second', 'ms', 'us') THEN CAST({time} AS BIGINT) END")
}

/// The entries of an entry event; of the occurrence `any`, each that there is.
fn entry_sql(study: &Study, entry: &Entry) -> Result<String, String> {
    let of = table(&entry.table)?;
    let condition = row_condition(study, of, entry.set.as_ref(), &entry.filter)?;
    if of == Table::Patient {
        return Ok(format!(
            "SELECT DISTINCT person_key, CAST(NULL AS DATE) AS index_date, {NO_EXIT} FROM patient WHERE {condition}"
        ));
    }
    let date = of.day();
    // Windows of hours need the instant beside the day.
    let (instant, columns) = match entry.instants {
        Some(_) => (format!(", {} AS instant", instant_of(of)), "day, instant"),
        None => (String::new(), "day"),
    };
    // Who is not in the patient table is not counted.
    let mut days = format!(
        "SELECT DISTINCT e.person_key, {} FROM (SELECT person_key, {date} AS day{instant} FROM {} WHERE {condition}) e \
         JOIN (SELECT DISTINCT person_key FROM patient) p ON p.person_key = e.person_key WHERE e.day IS NOT NULL",
        columns.split(", ").map(|c| format!("e.{c}")).collect::<Vec<_>>().join(", "),
        of.name()
    );
    if let Some(washout) = entry.washout {
        days = format!(
            "SELECT person_key, {columns} FROM (SELECT *, lag(day) OVER (PARTITION BY person_key ORDER BY {columns}) AS before FROM ({days})) \
             WHERE before IS NULL OR CAST(day AS INT) - CAST(before AS INT) > {washout}"
        );
    }
    if let Some([from, to]) = entry.instants {
        days = format!("SELECT DISTINCT person_key, day FROM ({days}) WHERE instant >= {from} AND instant < {to}");
    }
    if let Some([from, to]) = &entry.between {
        let (from, to) = (quote(from), quote(to));
        days = format!(
            "SELECT person_key, day FROM ({days}) WHERE day >= CAST({from} AS DATE) AND day <= CAST({to} AS DATE)"
        );
    }
    Ok(match entry.occurrence {
        Occurrence::First => {
            format!("SELECT person_key, min(day) AS index_date, {NO_EXIT} FROM ({days}) GROUP BY person_key")
        }
        Occurrence::Last => {
            format!("SELECT person_key, max(day) AS index_date, {NO_EXIT} FROM ({days}) GROUP BY person_key")
        }
        Occurrence::Any => format!("SELECT person_key, day AS index_date, {NO_EXIT} FROM ({days})"),
        Occurrence::Nth(n) => format!(
            "SELECT person_key, day AS index_date, {NO_EXIT} FROM (SELECT *, row_number() OVER (PARTITION BY person_key ORDER BY day) \
             AS place FROM ({days})) WHERE place = {n}"
        ),
    })
}

/// A query for the entries of the table [`COHORT`] that fulfil a criterion: `person_key` and `index_date`.
fn criterion_sql(study: &Study, criterion: &Criterion) -> Result<String, String> {
    let year = "CAST(date_part('year', c.index_date) AS BIGINT) - p.birth_year";
    let select = "SELECT c.person_key, c.index_date";
    let of_patient = format!("{select} FROM {COHORT} c JOIN patient p ON p.person_key = c.person_key WHERE");
    let observed = format!(
        "{select} FROM {COHORT} c JOIN observation_period o ON o.person_key = c.person_key \
         WHERE o.start_date <= c.index_date AND o.end_date >= c.index_date AND"
    );
    Ok(match criterion {
        Criterion::Age(Age { age: [low, high] }) => format!("{of_patient} {year} BETWEEN {low} AND {high}"),
        Criterion::Sex(Sex { sex }) => {
            let list: Vec<String> = sex.iter().map(|s| quote(s)).collect();
            format!("{of_patient} p.sex IN ({})", if list.is_empty() { "NULL".to_owned() } else { list.join(", ") })
        }
        Criterion::PriorObservation(PriorObservation { prior_obs_days }) => {
            format!("{observed} CAST(c.index_date AS INT) - CAST(o.start_date AS INT) >= {prior_obs_days}")
        }
        Criterion::AfterObservation(AfterObservation { after_obs_days }) => {
            format!("{observed} CAST(o.end_date AS INT) - CAST(c.index_date AS INT) >= {after_obs_days}")
        }
        Criterion::Has(HasEvent { has, set, filter, within, at_least }) => {
            let of = table(has)?;
            let condition = row_condition(study, of, set.as_ref(), filter)?;
            let found = events(COHORT, rows_of(of, &condition), *within, false);
            match at_least.filter(|n| *n > 1) {
                None => format!("{select} {found}"),
                Some(n) => {
                    format!("{select} {found} GROUP BY c.person_key, c.index_date HAVING count(DISTINCT e.day) >= {n}")
                }
            }
        }
        Criterion::Lab(Lab { lab, op, value, upper, unit, within }) => {
            let (condition, expression) = value_in(study, lab, unit)?;
            let condition = format!("{condition} AND {}", compares(*op, &expression, *value, *upper));
            format!("{select} {}", events(COHORT, rows_of(Table::Measurement, &condition), *within, false))
        }
        Criterion::AnyOf(AnyOf { any_of }) => {
            let each = any_of.iter().map(|c| criterion_sql(study, c)).collect::<Result<Vec<_>, _>>()?;
            let each: Vec<String> = each.iter().map(|q| format!("SELECT person_key, index_date FROM ({q})")).collect();
            if each.is_empty() { format!("{select} FROM {COHORT} c WHERE false") } else { each.join(" UNION ALL ") }
        }
        Criterion::AllOf(AllOf { all_of }) => {
            let mut all = format!("{select} FROM {COHORT} c");
            for (i, c) in all_of.iter().enumerate() {
                // Entries without a day are one a patient.
                let one = criterion_sql(study, c)?;
                all = format!(
                    "SELECT a{i}.person_key, a{i}.index_date FROM ({all}) a{i} LEFT SEMI JOIN ({one}) b{i} \
                     ON a{i}.person_key = b{i}.person_key AND coalesce(a{i}.index_date, CAST('1900-01-01' AS DATE)) \
                     = coalesce(b{i}.index_date, CAST('1900-01-01' AS DATE))"
                );
            }
            all
        }
    })
}

/// The steps that shorten each patient's stay: one for each of the exits.
fn exits(study: &Study, exit: &Exit) -> Result<Vec<Step>, String> {
    let shorter = |by: &str, joined: &str| {
        kept(
            COHORT,
            format!(
                "SELECT c.person_key, c.index_date, least(c.exit_date, {by}) AS exit_date, c.arm FROM {COHORT} c {joined}"
            ),
        )
    };
    let mut steps = Vec::new();
    if let Some(days) = exit.days {
        steps.push(shorter(&format!("CAST(CAST(c.index_date AS INT) + {days} AS DATE)"), ""));
    }
    if let Some(date) = &exit.date {
        steps.push(shorter(&format!("CAST({} AS DATE)", quote(date)), ""));
    }
    if let Some(event) = &exit.event {
        // A death may be on the day of the entry; another event of that day is the entry itself.
        let after = if event.table == Table::Death.name() { ">=" } else { ">" };
        let found = events(COHORT, rows_of_event(study, event)?, None, false);
        let joined = format!(
            "LEFT JOIN (SELECT c.person_key, min(e.day) AS day {found} AND e.day {after} c.index_date GROUP BY c.person_key) x \
             ON x.person_key = c.person_key"
        );
        steps.push(shorter("x.day", &joined));
    }
    if let Some(Exposure { set, gap, surveillance }) = &exit.exposure {
        let condition = row_condition(study, Table::DrugExposure, Some(set), &Default::default())?;
        let (start, end) = (Table::DrugExposure.day(), Table::DrugExposure.last_day());
        let spans = format!(
            "SELECT person_key, CAST({start} AS INT) AS a, CAST({end} AS INT) AS b \
             FROM drug_exposure WHERE {condition} AND {start} IS NOT NULL"
        );
        let over = "OVER (PARTITION BY person_key ORDER BY a, b ROWS BETWEEN UNBOUNDED PRECEDING AND";
        let eras = format!(
            "SELECT person_key, min(a) AS a, max(b) AS b FROM (SELECT *, \
             sum(CASE WHEN before IS NULL OR a - before - 1 > {gap} THEN 1 ELSE 0 END) {over} CURRENT ROW) AS era FROM \
             (SELECT *, max(b) {over} 1 PRECEDING) AS before FROM ({spans}))) GROUP BY person_key, era"
        );
        let joined = format!(
            "LEFT JOIN (SELECT c.person_key, max(e.b) AS b FROM {COHORT} c JOIN ({eras}) e ON e.person_key = c.person_key \
             WHERE e.a <= CAST(c.index_date AS INT) AND e.b >= CAST(c.index_date AS INT) GROUP BY c.person_key) x \
             ON x.person_key = c.person_key"
        );
        // Who is not exposed at the entry leaves on that day.
        let by = format!("CAST(coalesce(x.b + {surveillance}, CAST(c.index_date AS INT)) AS DATE)");
        steps.push(shorter(&by, &joined));
    }
    if !steps.is_empty() {
        // Who would leave before entering never was in the cohort.
        let there = "exit_date IS NULL OR exit_date >= index_date";
        steps.push(kept(COHORT, format!("SELECT * FROM {COHORT} WHERE {there}")));
    }
    Ok(steps)
}
