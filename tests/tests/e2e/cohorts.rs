//! The language of cohorts over a few patients whose answers are known by hand: entries, washout, criteria, exits, time at risk, arms,
//! subgroups, attrition, SQL.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::harness::{array, program, run, simulated_here, text};

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "people.csv"
person = { column = "id" }
dates = ["%Y-%m-%d"]
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth = { column = "born" }
[[file.row]]
table = "observation_period"
[file.row.set]
start = { column = "from" }
end = { column = "to" }
[[file]]
match = "drugs.csv"
person = { column = "id" }
dates = ["%Y-%m-%d"]
[[file.row]]
table = "drug_exposure"
id = ["id", "code", "day"]
[file.row.set]
code_system = "atc"
code = { column = "code" }
event = { column = "day" }
end = { column = "to" }
[[file]]
match = "conditions.csv"
person = { column = "id" }
dates = ["%Y-%m-%d"]
[[file.row]]
table = "condition"
id = ["id", "code", "day"]
[file.row.set]
code_system = "icd10"
code = { column = "code" }
event = { column = "day" }
"#;

/// Everybody is observed from 2018 to the end of 2022, but for p4, who leaves on 1 March 2020.
const PEOPLE: &str = "id,sex,born,from,to\n\
    p1,F,1950-01-01,2018-01-01,2022-12-31\n\
    p2,M,1960-01-01,2018-01-01,2022-12-31\n\
    p3,F,1970-01-01,2018-01-01,2022-12-31\n\
    p4,M,1980-01-01,2018-01-01,2020-03-01\n\
    p5,F,2010-01-01,2018-01-01,2022-12-31\n\
    p6,M,1955-01-01,2018-01-01,2022-12-31\n";

/// p1: A twice within a month, and after two years. p2: A, later B. p3: B alone. p4: A once. p5: a child with A. p6: A and B on one day.
const DRUGS: &str = "id,code,day,to\n\
    p1,A,2020-01-01,2020-01-30\n\
    p1,A,2020-02-10,2020-03-10\n\
    p1,A,2022-01-01,2022-01-30\n\
    p2,A,2020-01-01,2020-01-30\n\
    p2,B,2020-06-01,2020-06-30\n\
    p3,B,2020-01-01,2020-01-30\n\
    p4,A,2020-01-01,2020-01-30\n\
    p5,A,2020-01-01,2020-01-30\n\
    p6,A,2020-01-01,2020-01-30\n\
    p6,B,2020-01-01,2020-01-30\n";

/// X is the outcome, Z a disease before.
const CONDITIONS: &str = "id,code,day\n\
    p1,Z00,2019-12-01\n\
    p1,X10,2020-02-20\n\
    p2,X10,2019-06-01\n\
    p2,X10,2020-07-01\n\
    p2,Y20,2020-05-01\n\
    p3,Z00,2019-12-01\n\
    p3,Z00,2019-12-15\n\
    p6,Y20,2020-01-15\n";

const HEAD: &str = r#"
id = "cohorts"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[rounds]
min_sites = 1
[suppression]
k = 0
[privacy]
epsilon = 1.0
[concept_sets.a]
atc = ["A"]
[concept_sets.b]
atc = ["B"]
[concept_sets.either]
atc = ["A", "B"]
[concept_sets.x]
icd10 = ["X*"]
[concept_sets.y]
icd10 = ["Y*"]
[concept_sets.z]
icd10 = ["Z*"]
"#;

fn results(study: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("sites/s-0");
    std::fs::create_dir_all(home.join("extract")).unwrap();
    for (name, text) in [("people", PEOPLE), ("drugs", DRUGS), ("conditions", CONDITIONS)] {
        std::fs::write(home.join(format!("extract/{name}.csv")), text).unwrap();
    }
    std::fs::write(home.join("mapping.toml"), MAPPING).unwrap();
    let toml = "id = \"s-0\"\nname = \"Hospital\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\nformat = \"csv\"\n\
                path = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nsql = \"allow\"\n";
    std::fs::write(home.join("site.toml"), toml).unwrap();
    simulated_here(dir.path(), &format!("{HEAD}{study}"))
}

/// The estimates of an analysis by their term and statistic.
fn told(results: &Value, analysis: &str) -> BTreeMap<(String, String), Option<f64>> {
    let of = |r: &Value, key: &str| r[key].as_str().unwrap().to_owned();
    array(results, "analyses")
        .iter()
        .filter(|a| a["name"] == analysis)
        .flat_map(|a| array(&a["estimate"], "rows"))
        .map(|r| ((of(r, "term"), of(r, "statistic")), r["estimate"].as_f64()))
        .collect()
}

fn value(results: &Value, analysis: &str, term: &str, statistic: &str) -> Option<f64> {
    let told = told(results, analysis);
    told.get(&(term.to_owned(), statistic.to_owned()))
        .unwrap_or_else(|| panic!("{analysis}: no {statistic} of {term} in {told:#?}"))
        .to_owned()
}

#[test]
fn entries_criteria_and_sql() {
    // Each cohort, and how many are in it.
    let cohorts = [
        ("first_a", "entry = { table = \"drug_exposure\", set = \"a\" }", 5.0),
        ("second_a", "entry = { table = \"drug_exposure\", set = \"a\", occurrence = 2 }", 1.0),
        ("fresh_again", "entry = { table = \"drug_exposure\", set = \"a\", occurrence = 2, washout = 180 }", 1.0),
        ("none_of_fourth", "entry = { table = \"drug_exposure\", set = \"a\", occurrence = 4 }", 0.0),
        (
            "in_2022",
            "entry = { table = \"drug_exposure\", set = \"a\", between = [\"2022-01-01\", \"2022-12-31\"] }",
            1.0,
        ),
        (
            "after_x",
            "entry = { table = \"drug_exposure\", set = \"either\", occurrence = \"any\" }\n\
             inclusion = [{ has = \"condition\", set = \"x\", within = [-1000, -1] }]",
            2.0,
        ),
        (
            "adults",
            "entry = { table = \"drug_exposure\", set = \"a\" }\ninclusion = [{ age = [18, 120] }, { after_obs_days = 365 }]",
            3.0,
        ),
        (
            "two_days_of_z",
            "entry = { table = \"drug_exposure\", set = \"b\" }\ninclusion = [{ has = \"condition\", set = \"z\", within = [-60, 0], at_least = 2 }]",
            1.0,
        ),
        (
            "z_or_y",
            "entry = { table = \"drug_exposure\", set = \"either\" }\ninclusion = [{ any_of = [{ has = \"condition\", set = \"z\" }, \
             { all_of = [{ has = \"condition\", set = \"y\" }, { sex = [\"M\"] }] }] }]",
            4.0,
        ),
        ("not_z", "entry = { table = \"patient\" }\nexclusion = [{ has = \"condition\", set = \"z\" }]", 4.0),
        (
            "by_sql",
            "sql = \"SELECT person_key, min(event_date) AS index_date FROM condition WHERE starts_with(code, 'X') GROUP BY person_key\"\n\
             inclusion = [{ sex = [\"F\"] }]",
            1.0,
        ),
    ];
    let mut study = String::new();
    for (name, text, _) in &cohorts {
        study += &format!(
            "[cohorts.{name}]\n{text}\n[[analysis]]\nname = \"{name}\"\nkind = \"count\"\ncohort = \"{name}\"\n"
        );
    }
    let results = results(&study);
    for (name, _, wanted) in cohorts {
        assert_eq!(value(&results, name, "cohort", "n"), Some(wanted), "{name}");
    }
}

#[test]
fn attrition_and_subgroups() {
    let study = r#"
[subgroups.women]
inclusion = [{ sex = ["F"] }]
[cohorts.target]
entry = { table = "drug_exposure", set = "either" }
inclusion = [{ age = [18, 120] }, { prior_obs_days = 365 }]
exclusion = [{ has = "condition", set = "x", within = [-365, -1] }]
[[analysis]]
kind = "attrition"
[[analysis]]
kind = "count"
subgroups = ["women"]
"#;
    let results = results(study);
    let n = |term: &str, statistic: &str| value(&results, "attrition", term, statistic);
    assert_eq!(n("0. first drug exposure either", "n"), Some(6.0));
    assert_eq!(n("1. age 18 to 120", "n"), Some(5.0));
    assert_eq!(n("1. age 18 to 120", "excluded"), Some(1.0));
    assert_eq!(n("2. known for 365 days before", "n"), Some(5.0));
    assert_eq!(n("3. not: condition x, days -365 to -1", "n"), Some(4.0));
    assert_eq!(value(&results, "count", "cohort", "n"), Some(4.0));
    assert_eq!(value(&results, "count: women", "cohort", "n"), Some(2.0));
}

#[test]
fn exits_and_time_at_risk() {
    let time = |name: &str, more: &str| {
        format!(
            "[features.{name}_t]\nkind = \"follow_up\"\ntable = \"condition\"\nset = \"x\"\nhorizon = 1000\n{more}\n\
             [features.{name}_e]\nkind = \"followed_by\"\ntable = \"condition\"\nset = \"x\"\nhorizon = 1000\n{more}\n\
             [[analysis]]\nname = \"{name}\"\nkind = \"table1\"\nvariables = [\"{name}_t\", \"{name}_e\"]\n"
        )
    };
    let mut study =
        "[cohorts.target]\nentry = { table = \"drug_exposure\", set = \"a\" }\ninclusion = [{ age = [18, 120] }]\n\
        [cohorts.exposed]\nentry = { table = \"drug_exposure\", set = \"a\" }\ninclusion = [{ age = [18, 120] }]\n\
        exit = { exposure = { set = \"a\", gap = 30, surveillance = 5 } }\n\
        [cohorts.until_y]\nentry = { table = \"drug_exposure\", set = \"a\" }\ninclusion = [{ age = [18, 120] }]\n\
        exit = { days = 400, date = \"2020-11-01\", event = { table = \"condition\", set = \"y\" } }\n"
            .to_owned();
    study += &time("plain", "");
    study += &time("late", "from = 60");
    study += &time("fresh", "prior_lookback = 365");
    study += &time("censored", "censor = { table = \"condition\", set = \"y\" }");
    study += &time("exposed", "").replace("kind = \"table1\"", "kind = \"table1\"\ncohort = \"exposed\"");
    study += &time("until_y", "").replace("kind = \"table1\"", "kind = \"table1\"\ncohort = \"until_y\"");
    // Ten days of p1 are not covered, from 31 January to 9 February.
    for gap in [9, 10] {
        study += &format!(
            "[cohorts.gap{gap}]\nentry = {{ table = \"drug_exposure\", set = \"a\" }}\ninclusion = [{{ age = [18, 120] }}]\n\
             exit = {{ exposure = {{ set = \"a\", gap = {gap}, surveillance = 5 }} }}\n"
        );
        let cohort = format!("kind = \"table1\"\ncohort = \"gap{gap}\"");
        study += &time(&format!("gap{gap}"), "").replace("kind = \"table1\"", &cohort);
    }
    let results = results(&study);
    let of = |name: &str| {
        let mean = value(&results, name, &format!("{name}_t"), "mean").unwrap();
        let n = value(&results, name, &format!("{name}_t"), "n").unwrap();
        (n, (mean * n).round(), value(&results, name, &format!("{name}_e=yes"), "n").unwrap())
    };
    // p1 50 days with the event, p2 182 with it, p4 60 censored, p6 1000 censored.
    assert_eq!(of("plain"), (4.0, 50.0 + 182.0 + 60.0 + 1000.0, 2.0));
    // From day 60: p1's event is before, and none follows; p4 is observed to day 60.
    assert_eq!(of("late"), (4.0, 1000.0 + 122.0 + 0.0 + 1000.0, 1.0));
    // p2 had the event in the year before.
    assert_eq!(of("fresh"), (3.0, 50.0 + 60.0 + 1000.0, 1.0));
    // Y on day 121 of p2, and on day 14 of p6.
    assert_eq!(of("censored"), (4.0, 50.0 + 121.0 + 60.0 + 14.0, 1.0));
    // p1 is exposed to day 69, with 5 days after; the others to day 29 and 5.
    assert_eq!(of("exposed"), (4.0, 50.0 + 34.0 + 34.0 + 34.0, 1.0));
    assert_eq!(of("gap10"), of("exposed"));
    assert_eq!(of("gap9"), (4.0, 4.0 * 34.0, 0.0));
    // p6 leaves with Y on day 14, p2 with Y on day 121; 2020-11-01 is day 305, and before day 400.
    assert_eq!(of("until_y"), (4.0, 50.0 + 121.0 + 60.0 + 14.0, 1.0));
}

#[test]
fn arms_competing_events_and_features_in_sql() {
    let study = r#"
[cohorts.a]
entry = { table = "drug_exposure", set = "a" }
inclusion = [{ age = [18, 120] }]
[cohorts.b]
entry = { table = "drug_exposure", set = "b" }
[cohorts.target]
arms = ["b", "a"]
[features.arm]
kind = "arm"
levels = ["b", "a"]
[features.site]
kind = "hospital"
levels = ["s-0", "s-9"]
[features.first]
kind = "first_of"
horizon = 500
events = [{ name = "x", table = "condition", set = "x" }, { name = "y", table = "condition", set = "y" }]
[features.drugs]
kind = "sql"
bounds = [0, 10]
sql = """
SELECT c.person_key, count(DISTINCT d.code) AS value
FROM cohort c LEFT JOIN drug_exposure d ON d.person_key = c.person_key
GROUP BY c.person_key -- a comment at the end"""
[features.odd]
kind = "sql"
levels = ["1", "2"]
sql = "SELECT person_key, CAST(CAST(code AS INT) / 0 AS VARCHAR) AS value FROM condition"
[[analysis]]
kind = "crosstab"
by = ["arm"]
[[analysis]]
name = "who"
kind = "crosstab"
by = ["site"]
[[analysis]]
name = "what"
kind = "crosstab"
by = ["first"]
[[analysis]]
kind = "moments"
of = "drugs"
[[analysis]]
name = "odd"
kind = "crosstab"
by = ["odd"]
"#;
    let results = results(study);
    let n = |analysis: &str, term: &str| value(&results, analysis, term, "n");
    // p1, p2 and p4 enter with A; p3 with B; p6 with both on one day, and is in neither.
    assert_eq!((n("crosstab", "arm=a"), n("crosstab", "arm=b")), (Some(3.0), Some(1.0)));
    assert_eq!((n("who", "site=s-0"), n("who", "site=s-9")), (Some(4.0), Some(0.0)));
    // p1 has X; p2 has Y before X; p3 and p4 have neither.
    assert_eq!(["none", "x", "y"].map(|l| n("what", &format!("first={l}"))), [Some(2.0), Some(1.0), Some(1.0)]);
    let drugs = value(&results, "moments", "drugs", "mean").unwrap();
    assert!((drugs - 1.25).abs() < 1e-9, "{drugs}");
    // What can't be cast or divided is missing, and nothing fails.
    assert_eq!(n("odd", "odd=missing"), Some(4.0));
}

/// What mixes patients is refused before anything is asked, with the line, the operator and the remedy.
#[test]
fn sql_that_mixes_patients_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let study = "[cohorts.target]\nsql = \"SELECT person_key, event_date AS index_date FROM condition ORDER BY event_date LIMIT 100\"\n\
                 [[analysis]]\nkind = \"count\"\n";
    std::fs::write(dir.path().join("study.toml"), format!("{HEAD}{study}")).unwrap();
    let mut c = Command::new(program("coordinator"));
    c.args(["study", "check"]).arg(dir.path().join("study.toml"));
    let out = run(c);
    assert_eq!(out.status.code(), Some(3));
    let said = text(&out);
    for part in ["line ", "cohorts.target.sql", "Limit", "row_number() OVER (PARTITION BY person_key"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
