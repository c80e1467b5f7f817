//! The checks of data quality: one entry, one check. A site counts all of them for its own people; a study's `[dq_gate]` asks for
//! some.
//!
//! A check is a relation, and a condition that makes a row of it a bad one. The classes are those of Kahn and others (eGEMs
//! 2016;4(1):1244), and the thresholds, in per cent of bad rows that are tolerated, follow OHDSI's Data Quality Dashboard; where
//! it has none, the check says `own`.

use schema::{IMPLAUSIBLE, Table, codes};
use serde::{Deserialize, Serialize};

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Values, relations and types are as they must be.
    Conformance,
    /// What should be there is there.
    Completeness,
    /// What is there can be believed.
    Plausibility,
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, which a study's gate may ask for.
    pub id: String,
    /// What it is about.
    pub class: Class,
    /// The table it looks at.
    pub table: Table,
    /// What a bad row is, in words.
    pub says: String,
    /// Bad rows that are tolerated, in per cent.
    pub threshold: f64,
    /// Whether the threshold is OHDSI's.
    pub ohdsi: bool,
    /// Whether it warns and never fails: what it finds may be the hospital's own rhythm.
    pub only_warns: bool,
    /// Whether its rows are patients' rows, with `person_key`, so that bad patients can be counted.
    pub of_patients: bool,
    /// What it looks at, as a relation of SQL over the common schema.
    pub relation: String,
    /// What makes a row a bad one, as a condition of SQL.
    pub bad: String,
}

impl Check {
    fn new(class: Class, table: Table, id: impl Into<String>, threshold: f64, says: impl Into<String>) -> Check {
        Check {
            id: id.into(),
            class,
            table,
            says: says.into(),
            threshold,
            ohdsi: true,
            only_warns: false,
            of_patients: true,
            relation: table.name().to_owned(),
            bad: "false".to_owned(),
        }
    }
    fn own(mut self) -> Check {
        self.ohdsi = false;
        self
    }
    fn warns(mut self) -> Check {
        (self.ohdsi, self.only_warns) = (false, true);
        self
    }
    fn of_groups(mut self) -> Check {
        self.of_patients = false;
        self
    }
    fn from(mut self, relation: impl Into<String>) -> Check {
        self.relation = relation.into();
        self
    }
    fn bad(mut self, condition: impl Into<String>) -> Check {
        self.bad = condition.into();
        self
    }
}

/// The tables whose rows are events with a code.
const CODED: [(Table, &str); 4] = [
    (Table::Condition, "condition"),
    (Table::Measurement, "measurement"),
    (Table::DrugExposure, "drug"),
    (Table::Procedure, "procedure"),
];

/// The tables with rows of a patient beside the patient's own.
const EVENTS: [(Table, &str); 6] = [
    (Table::Visit, "visit"),
    (Table::Condition, "condition"),
    (Table::Measurement, "measurement"),
    (Table::DrugExposure, "drug"),
    (Table::Procedure, "procedure"),
    (Table::Death, "death"),
];

/// A row's code is a standard one: of a system that is known here, or mapped.
fn standard() -> String {
    let known: Vec<String> = codes::SYSTEMS.iter().map(|s| format!("'{}'", s.uri)).collect();
    format!("(std_code IS NOT NULL OR code_system IN ({}))", known.join(", "))
}

/// Every check.
pub fn all() -> Vec<Check> {
    let mut out = Vec::new();
    conformance(&mut out);
    completeness(&mut out);
    plausibility(&mut out);
    feed(&mut out);
    out
}

fn conformance(out: &mut Vec<Check>) {
    use Class::Conformance as C;
    let one_row = "(SELECT person_key, count(*) AS n FROM patient GROUP BY person_key)";
    out.push(
        Check::new(C, Table::Patient, "patient_rows_pct", 0.0, "a person has more than one row of patient")
            .from(one_row)
            .bad("n > 1"),
    );
    for (table, word) in EVENTS {
        let name = table.name();
        let with_patient = format!(
            "(SELECT e.person_key, p.known FROM {name} e LEFT JOIN (SELECT DISTINCT person_key, true AS known FROM patient) p \
             ON p.person_key = e.person_key)"
        );
        let says = format!("a row of {name} is of nobody in the table patient");
        out.push(
            Check::new(C, table, format!("{word}_without_patient_pct"), 0.0, says)
                .from(with_patient)
                .bad("known IS NULL"),
        );
        if ![Table::Visit, Table::Death].contains(&table) {
            let with_visit = format!(
                "(SELECT e.person_key, v.known FROM {name} e LEFT JOIN (SELECT DISTINCT visit_key, person_key, true AS known FROM visit \
                 WHERE visit_key IS NOT NULL) v ON v.visit_key = e.visit_key AND v.person_key = e.person_key WHERE e.visit_key IS NOT NULL)"
            );
            let says = format!("a row of {name} names a visit that its patient does not have");
            out.push(
                Check::new(C, table, format!("{word}_unknown_visit_pct"), 0.0, says)
                    .from(with_visit)
                    .bad("known IS NULL"),
            );
        }
        for column in table.columns() {
            let Some(levels) =
                table.levels(column.name).filter(|_| !["op", "t_prec", "t_zone_src"].contains(&column.name))
            else {
                continue;
            };
            let list: Vec<String> = levels.iter().map(|l| format!("'{l}'")).collect();
            let says = format!("{name}.{} is none of {}", column.name, levels.join(", "));
            let bad = format!("{0} IS NOT NULL AND {0} NOT IN ({1})", column.name, list.join(", "));
            out.push(Check::new(C, table, format!("{word}_{}_domain_pct", column.name), 0.0, says).bad(bad));
        }
    }
    for (table, word) in CODED {
        let says = format!("a row of {} has a code that is of no known system and has no mapping", table.name());
        let coded = format!("(SELECT * FROM {} WHERE code IS NOT NULL)", table.name());
        let bad = format!("NOT coalesce({}, false)", standard());
        out.push(Check::new(C, table, format!("unmapped_{word}_pct"), 5.0, says).from(coded).bad(bad.clone()));
        let values =
            format!("(SELECT DISTINCT code_system, code, std_code FROM {} WHERE code IS NOT NULL)", table.name());
        let says = format!("a distinct code of {} is of no known system and has no mapping", table.name());
        out.push(
            Check::new(C, table, format!("unmapped_{word}_values_pct"), 10.0, says).from(values).bad(bad).of_groups(),
        );
    }
}

fn completeness(out: &mut Vec<Check>) {
    use Class::Completeness as C;
    for (table, word) in EVENTS {
        let threshold = if table == Table::Death { 100.0 } else { 95.0 };
        let says = format!("a patient has no row of {}", table.name());
        let relation = format!(
            "(SELECT p.person_key, e.known FROM (SELECT DISTINCT person_key FROM patient) p LEFT JOIN \
             (SELECT DISTINCT person_key, true AS known FROM {}) e ON e.person_key = p.person_key)",
            table.name()
        );
        out.push(Check::new(C, table, format!("no_{word}_pct"), threshold, says).from(relation).bad("known IS NULL"));
    }
    for (table, word) in CODED {
        let says = format!("a row of {} has no code", table.name());
        out.push(Check::new(C, table, format!("no_code_{word}_pct"), 5.0, says).bad("code IS NULL"));
        let says = format!("a row of {} has no day", table.name());
        let bad = format!("{} IS NULL", table.day());
        out.push(Check::new(C, table, format!("no_day_{word}_pct"), 5.0, says).bad(bad).own());
    }
    let numbers = "(SELECT * FROM measurement WHERE value_num IS NOT NULL)";
    let m =
        |id: &str, threshold, says: &str| Check::new(C, Table::Measurement, id, threshold, says).from(numbers).own();
    out.push(m("no_unit_pct", 5.0, "a number has no unit").bad("unit_src IS NULL"));
    out.push(
        m("unknown_unit_pct", 5.0, "a unit is none of UCUM's and no known spelling")
            .bad("unit_src IS NOT NULL AND unit_ucum IS NULL"),
    );
    out.push(
        m("unfit_unit_pct", 5.0, "a unit is known and does not fit what was measured")
            .bad("unit_ucum IS NOT NULL AND value_std IS NULL"),
    );
    out.push(
        Check::new(C, Table::Patient, "no_birth_year_pct", 0.0, "a patient has no year of birth")
            .bad("birth_year IS NULL"),
    );
    out.push(
        Check::new(C, Table::Patient, "unknown_sex_pct", 5.0, "a patient's sex is not known").bad("sex = 'U'").own(),
    );
}

fn plausibility(out: &mut Vec<Check>) {
    use Class::Plausibility as C;
    let converted = "(SELECT * FROM measurement WHERE value_std IS NOT NULL)";
    out.push(
        Check::new(
            C,
            Table::Measurement,
            "implausible_value_pct",
            1.0,
            "a value lies outside its analyte's plausible range",
        )
        .from(converted)
        .bad(format!("coalesce(flag = '{IMPLAUSIBLE}', false)")),
    );
    for (table, word) in EVENTS {
        let (name, day) = (table.name(), table.day());
        let dated = format!(
            "(SELECT *, {day} AS day, CAST(CAST(t_ingest AS DATE) AS INT) AS taken FROM {name} WHERE {day} IS NOT NULL)"
        );
        let born = format!(
            "(SELECT e.person_key, e.day, p.birth_year FROM {dated} e JOIN (SELECT person_key, min(birth_year) AS birth_year FROM \
             patient WHERE birth_year IS NOT NULL GROUP BY person_key) p ON p.person_key = e.person_key)"
        );
        let says = format!("a row of {name} is from before its patient's birth");
        out.push(
            Check::new(C, table, format!("{word}_before_birth_pct"), 1.0, says)
                .from(born)
                .bad("date_part('year', day) < birth_year"),
        );
        let says = format!("a row of {name} is from a day after it was taken");
        out.push(
            Check::new(C, table, format!("{word}_future_pct"), 1.0, says)
                .from(dated.clone())
                .bad("CAST(day AS INT) > taken + 1")
                .own(),
        );
        if table == Table::Death {
            continue;
        }
        let dead = format!(
            "(SELECT e.person_key, CAST(e.day AS INT) AS day, CAST(d.died AS INT) AS died FROM {dated} e JOIN (SELECT person_key, \
             min({death}) AS died FROM death GROUP BY person_key) d ON d.person_key = e.person_key WHERE d.died IS NOT NULL)",
            death = Table::Death.day()
        );
        let says = format!("a row of {name} is from more than 60 days after its patient's death");
        out.push(Check::new(C, table, format!("{word}_after_death_pct"), 1.0, says).from(dead).bad("day > died + 60"));
        let known = format!("(SELECT * FROM {name} WHERE t_known IS NOT NULL AND t_event IS NOT NULL)");
        let says = format!("a row of {name} was known before it was");
        out.push(
            Check::new(C, table, format!("{word}_known_before_event_pct"), 1.0, says)
                .from(known)
                .bad("t_known < t_event")
                .own(),
        );
        if table == Table::Visit {
            continue;
        }
        let within = format!(
            "(SELECT e.person_key, CAST(e.day AS INT) AS day, v.first_day, v.last_day FROM {dated} e JOIN (SELECT visit_key, person_key, \
             min(CAST({start} AS INT)) AS first_day, max(CAST(coalesce(end_date, {start}) AS INT)) AS last_day FROM visit WHERE \
             NOT open AND {start} IS NOT NULL GROUP BY visit_key, person_key) v ON v.visit_key = e.visit_key AND v.person_key = e.person_key)",
            start = Table::Visit.day()
        );
        let says = format!("a row of {name} is more than seven days outside its visit");
        let bad = "day < first_day - 7 OR day > last_day + 7";
        out.push(Check::new(C, table, format!("{word}_outside_visit_pct"), 5.0, says).from(within).bad(bad));
    }
    for (table, word) in [(Table::Visit, "visit"), (Table::Condition, "condition"), (Table::DrugExposure, "drug")] {
        let start = table.day();
        let ended = format!(
            "(SELECT *, {start} AS day FROM {} WHERE end_date IS NOT NULL AND {start} IS NOT NULL)",
            table.name()
        );
        let says = format!("a row of {} ends before it begins", table.name());
        out.push(
            Check::new(C, table, format!("{word}_end_before_start_pct"), 1.0, says).from(ended).bad("end_date < day"),
        );
    }
    // Two records of one thing: the same patient, day, code and value under two names.
    for (table, word) in CODED {
        let value = if table == Table::Measurement { ", value_num, value_code, t_event" } else { "" };
        let relation = format!(
            "(SELECT person_key, count(*) AS n FROM {name} WHERE code IS NOT NULL AND {day} IS NOT NULL GROUP BY person_key, \
             visit_key, code_system, code, {day}{value})",
            name = table.name(),
            day = table.day()
        );
        let says = format!("{} has the same thing of the same patient and day twice", table.name());
        out.push(Check::new(C, table, format!("duplicate_{word}_pct"), 5.0, says).from(relation).bad("n > 1").warns());
    }
    let mixed = "(SELECT code_system, code, count(DISTINCT unit_std) AS n FROM measurement WHERE value_num IS NOT NULL AND unit_src IS \
                 NOT NULL AND code IS NOT NULL GROUP BY code_system, code)";
    let says = "a code's values stand in several units that are not converted into one";
    out.push(Check::new(C, Table::Measurement, "unit_mix_pct", 5.0, says).from(mixed).bad("n > 1").own().of_groups());
}

/// How a feed arrives.
fn feed(out: &mut Vec<Check>) {
    use Class::Completeness as C;
    for (table, word) in [(Table::Visit, "visit"), (Table::Condition, "condition"), (Table::Measurement, "measurement")]
    {
        let (name, day) = (table.name(), table.day());
        // From one day with rows to the next, beside how long that takes this source on average otherwise.
        let gaps = format!(
            "(SELECT source_system, gap, (sum(gap) OVER (PARTITION BY source_system) - gap) / \
             greatest(count(*) OVER (PARTITION BY source_system) - 1, 1) AS usual FROM (SELECT source_system, \
             CAST(day AS INT) - CAST(lag(day) OVER (PARTITION BY source_system ORDER BY day) AS INT) AS gap FROM (SELECT DISTINCT \
             source_system, {day} AS day FROM {name} WHERE {day} IS NOT NULL)) WHERE gap IS NOT NULL)"
        );
        let says = format!("a source gives no row of {name} for two weeks and ten times longer than it usually takes");
        let bad = "gap > 14 AND gap > 10 * usual";
        out.push(
            Check::new(C, table, format!("{word}_feed_gaps_pct"), 0.0, says).from(gaps).bad(bad).of_groups().warns(),
        );
        let lags = format!(
            "(SELECT source_system, avg(lag) FILTER (WHERE known > last - 30) AS recent, avg(lag) FILTER (WHERE known <= last - 30) \
             AS before FROM (SELECT source_system, known, known - happened AS lag, max(known) OVER (PARTITION BY source_system) AS \
             last FROM (SELECT source_system, CAST(CAST(t_known AS DATE) AS INT) AS known, CAST({day} AS INT) AS happened FROM {name} \
             WHERE t_known IS NOT NULL AND {day} IS NOT NULL)) GROUP BY source_system)"
        );
        let says =
            format!("a source's rows of {name} came twice as late in the last 30 days as before, and a day more");
        let bad = "recent IS NOT NULL AND before IS NOT NULL AND recent > 2 * before + 1";
        out.push(
            Check::new(C, table, format!("{word}_lateness_drift_pct"), 0.0, says)
                .from(lags)
                .bad(bad)
                .of_groups()
                .warns(),
        );
    }
}
