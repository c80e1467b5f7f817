//! What is taken and what is not; that what is taken depends on each patient's rows alone; and that no row makes it fail.

use super::*;

const TAKEN: &[&str] = &[
    "SELECT person_key, birth_year AS value FROM patient",
    "SELECT person_key, count(*) AS value FROM condition WHERE code LIKE 'I2%' GROUP BY person_key",
    "SELECT c.person_key, max(m.value_num) AS value FROM cohort c JOIN measurement m ON m.person_key = c.person_key \
     AND m.event_date <= c.index_date GROUP BY c.person_key",
    "SELECT c.person_key, count(v.visit_key) AS value FROM cohort c LEFT JOIN visit v ON v.person_key = c.person_key GROUP BY c.person_key",
    "WITH n AS (SELECT person_key, row_number() OVER (PARTITION BY person_key ORDER BY event_date) AS place, value_num FROM measurement) \
     SELECT person_key, value_num AS value FROM n WHERE place = 1",
    "SELECT person_key, 1 AS value FROM patient WHERE person_key IN (SELECT person_key FROM death)",
    "SELECT person_key, 1 AS value FROM patient WHERE person_key NOT IN (SELECT person_key FROM visit WHERE class = 'ER')",
    "SELECT person_key, CAST(event_date AS INT) AS value FROM condition UNION ALL SELECT person_key, CAST(event_date AS INT) FROM procedure",
    "SELECT person_key, substr(code, 1, 3) AS value FROM condition WHERE date_part('year', event_date) > 1990",
    "SELECT person_key, lag(value_num, 1, 0.0) OVER (PARTITION BY person_key ORDER BY event_date) AS value FROM measurement",
    "SELECT DISTINCT person_key, code AS value FROM condition",
    "SELECT c.person_key, w.weight AS value FROM condition c JOIN (VALUES ('I10', 1), ('E11', 2)) AS w (code, weight) ON c.code = w.code",
    "SELECT person_key, CAST(code AS INT) / 0 AS value FROM condition",
];

async fn said(sql: &str) -> String {
    check(sql, Own::Feature).await.map_or_else(|e| e.to_string(), |()| "taken".to_owned())
}

#[tokio::test]
async fn what_keeps_patients_apart_is_taken() {
    for sql in TAKEN {
        assert_eq!(said(sql).await, "taken", "{sql}");
    }
}

#[tokio::test]
async fn what_mixes_patients_is_refused_with_the_operator_and_the_remedy() {
    for (sql, words) in [
        ("SELECT code, count(*) AS value FROM condition GROUP BY code", "adds up patients"),
        ("SELECT min(person_key) AS person_key, count(*) AS value FROM condition", "adds up patients"),
        ("SELECT person_key, rank() OVER (ORDER BY birth_year) AS value FROM patient", "PARTITION BY"),
        ("SELECT person_key, birth_year AS value FROM patient LIMIT 10", "row_number()"),
        ("SELECT person_key, birth_year AS value FROM patient ORDER BY birth_year LIMIT 10", "row_number()"),
        (
            "SELECT a.person_key, 1 AS value FROM patient a JOIN patient b ON a.birth_year = b.birth_year",
            "different patients",
        ),
        ("SELECT a.person_key, 1 AS value FROM patient a, patient b", "different patients"),
        (
            "SELECT a.person_key, 1 AS value FROM patient a FULL JOIN death b ON a.person_key = b.person_key",
            "LEFT JOIN",
        ),
        (
            "SELECT b.person_key, count(*) AS value FROM patient a LEFT JOIN death b ON a.person_key = b.person_key GROUP BY b.person_key",
            "adds up",
        ),
        ("SELECT person_key, birth_year - (SELECT avg(birth_year) FROM patient) AS value FROM patient", "subquery"),
        (
            "SELECT person_key, 1 AS value FROM condition WHERE code IN (SELECT code FROM drug_exposure)",
            "other patients",
        ),
        (
            "SELECT person_key, 1 AS value FROM patient p WHERE EXISTS (SELECT 1 FROM death d WHERE d.person_key = p.person_key)",
            "IN (SELECT",
        ),
        ("SELECT person_key, random() AS value FROM patient", "each time"),
        ("SELECT person_key, now() AS value FROM patient", "not taken"),
        ("SELECT person_key, regexp_like(code, '(a+)+') AS value FROM condition", "not taken"),
        (
            "SELECT person_key, substr(code, 1, birth_year) AS value FROM (SELECT p.person_key, p.birth_year, c.code FROM patient p \
          JOIN condition c ON c.person_key = p.person_key)",
            "because of a row",
        ),
        ("SELECT person_key, event_date + INTERVAL '1 year' AS value FROM condition", "CAST(date AS INT)"),
        ("SELECT person_key, CAST(value_num AS DECIMAL(10, 2)) AS value FROM measurement", "DOUBLE"),
        ("SELECT DISTINCT ON (code) person_key, code AS value FROM condition", "DISTINCT ON"),
        ("SELECT x.person_key, 1 AS value FROM (VALUES (1)) AS v (one) LEFT JOIN patient x ON true", "no patient"),
        ("SELECT person_key, birth_year AS value FROM patient UNION ALL SELECT CAST(NULL AS BYTEA), 1", "same place"),
        ("SELECT birth_year AS value FROM patient", "drops the patient's key"),
        (
            "SELECT lag(person_key) OVER (PARTITION BY person_key ORDER BY birth_year) AS person_key, 1 AS value FROM patient",
            "drops",
        ),
        ("SELECT person_key FROM patient", "no value"),
        ("SELECT person_key, linkage_tag AS value FROM patient", "linkage_tag"),
        ("SELECT person_key, 1 AS value FROM entry", "there are the tables"),
        // Constants and types that fail where a row reaches them.
        ("SELECT person_key, substr(code, 1, -1) AS value FROM condition WHERE code LIKE 'B20%'", "because of a row"),
        ("SELECT person_key, substr(code, 1, 9223372036854775807) AS value FROM condition", "because of a row"),
        ("SELECT person_key, date_part('foo', event_date) AS value FROM condition", "'quarter'"),
        (
            "SELECT person_key, ntile(0) OVER (PARTITION BY person_key ORDER BY event_date) AS value FROM condition",
            "from 1 to 100000",
        ),
        (
            "SELECT person_key, lag(value_num, -5000000000000) OVER (PARTITION BY person_key ORDER BY event_date) AS value FROM measurement",
            "because of a row",
        ),
        (
            "SELECT person_key, CASE WHEN code LIKE 'B20%' THEN X'ff' ELSE X'41' END AS value FROM condition",
            "is of the type",
        ),
        ("SELECT person_key, event_date AS value FROM condition", "CAST(event_date AS INT)"),
        ("DROP TABLE patient", "no operator"),
        ("SELECT person_key, 1 AS value FROM patient; SELECT 1", "can't be read"),
        ("SELECT person_key, 1 AS value FROM patient) x --", "can't be read"),
        (
            "WITH RECURSIVE r AS (SELECT person_key, 1 AS n FROM patient UNION ALL SELECT person_key, n + 1 FROM r WHERE n < 3) \
          SELECT person_key, n AS value FROM r",
            "no operator",
        ),
    ] {
        let said = said(sql).await;
        assert!(said != "taken" && said.contains(words), "{sql}\n  {said}");
    }
}

/// A cohort's own query gives days, and reads no cohort.
#[tokio::test]
async fn a_cohorts_query_gives_days() {
    let said = async |sql: &str| check(sql, Own::Cohort).await.map_or_else(|e| e.to_string(), |()| "taken".to_owned());
    assert_eq!(said("SELECT person_key, event_date AS index_date FROM condition").await, "taken");
    let text =
        "SELECT person_key, CASE WHEN code LIKE 'B20%' THEN 'x' ELSE '2020-01-01' END AS index_date FROM condition";
    assert!(said(text).await.contains("give a date"));
    assert!(said("SELECT person_key, index_date FROM cohort").await.contains("there are the tables"));
}

/// A chain of conditions as long as is taken.
#[tokio::test]
async fn a_long_query_is_looked_at() {
    let long =
        format!("SELECT person_key, 1 AS value FROM condition WHERE code = 'a'{}", " OR code = 'b'".repeat(2_400));
    assert_eq!(said(&long).await, "taken");
}

/// The tables of some people, each with rows that follow from the person's number.
async fn world(people: &[u8]) -> SessionContext {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let ctx = SessionContext::new_with_config(config);
    let key = |p: &u8| format!("arrow_cast(X'{}', 'FixedSizeBinary(16)')", format!("{p:02x}").repeat(16));
    let rows = |of: &dyn Fn(&u8, u8) -> String, each: u8| -> String {
        let one =
            |p: &u8| (0..each).map(|i| format!("SELECT {} AS person_key, {}", key(p), of(p, i))).collect::<Vec<_>>();
        people.iter().flat_map(one).collect::<Vec<_>>().join(" UNION ALL ")
    };
    let codes = ["I21", "I25", "E11", "I10", "x"];
    let day = |p: &u8, i: u8| format!("CAST('20{:02}-0{}-11' AS DATE)", 10 + p, 1 + i % 9);
    let code = |p: &u8, i: u8| codes[usize::from(p + i) % codes.len()];
    let tables: [(&str, String); 7] = [
        ("patient", rows(&|p, _| format!("CAST({} AS BIGINT) AS birth_year", 1900 + u32::from(*p)), 1)),
        (
            "condition",
            rows(&|p, i| format!("'{}' AS code, {} AS event_date", code(p, i), day(p, i)), 1 + people[0] % 3),
        ),
        (
            "measurement",
            rows(&|p, i| format!("CAST({}.5 AS DOUBLE) AS value_num, {} AS event_date", i * 3 + p, day(p, i)), 4),
        ),
        ("visit", rows(&|p, i| format!("'{}' AS class, {} AS visit_key", if i == 0 { "ER" } else { "OP" }, key(p)), 2)),
        ("death", rows(&|p, _| format!("{} AS event_date", day(p, 0)), 1)),
        ("procedure", rows(&|p, i| format!("{} AS event_date", day(p, i)), 2)),
        ("cohort", rows(&|p, _| format!("{} AS index_date", day(p, 1)), 1)),
    ];
    for (name, sql) in tables {
        let frame = ctx.sql(&sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        ctx.register_table(name, frame.into_view()).unwrap();
    }
    ctx
}

async fn rows_of(ctx: &SessionContext, sql: &str, person: u8) -> Vec<String> {
    let frame = plan(ctx, sql, Own::Feature).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches = frame.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let text = datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let key = format!("{person:02x}").repeat(16);
    let mut rows: Vec<String> = text.lines().filter(|l| l.contains(&key)).map(|l| l.replace(' ', "")).collect();
    rows.sort();
    rows
}

/// The promise itself: a patient's rows are the same whoever else is there.
#[tokio::test]
async fn a_patients_rows_do_not_depend_on_others() {
    let (alone, among) = (world(&[4]).await, world(&[4, 5, 9]).await);
    for sql in TAKEN {
        assert_eq!(rows_of(&alone, sql, 4).await, rows_of(&among, sql, 4).await, "{sql}");
    }
    // One that mixes them would be seen here.
    let mixing =
        "SELECT arrow_cast(person_key, 'Binary') AS k, rank() OVER (ORDER BY birth_year DESC) AS value FROM patient";
    let count = async |ctx: &SessionContext| {
        let batches = ctx.sql(mixing).await.unwrap().collect().await.unwrap();
        datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    };
    assert!(!count(&among).await.contains(&format!("{} | 1 ", "04".repeat(16))), "the first by year is another");
    assert!(count(&alone).await.contains(&format!("{} | 1 ", "04".repeat(16))));
}
