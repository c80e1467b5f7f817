//! What is taken and what is not; that what is taken depends on each patient's rows alone; and that no row makes it fail.

use super::*;

async fn said(sql: &str) -> String {
    check(sql, &["value"]).await.map_or_else(|e| e.to_string(), |()| "taken".to_owned())
}

#[tokio::test]
async fn what_keeps_patients_apart_is_taken() {
    for sql in [
        "SELECT person_key, birth_year AS value FROM patient",
        "SELECT person_key, count(*) AS value FROM condition WHERE code LIKE 'I2%' GROUP BY person_key",
        "SELECT c.person_key, max(m.value_num) AS value FROM cohort c JOIN measurement m ON m.person_key = c.person_key \
         AND m.event_date <= c.index_date GROUP BY c.person_key",
        "SELECT c.person_key, count(v.visit_key) AS value FROM cohort c LEFT JOIN visit v ON v.person_key = c.person_key GROUP BY c.person_key",
        "WITH n AS (SELECT person_key, row_number() OVER (PARTITION BY person_key ORDER BY event_date) AS place, value_num FROM measurement) \
         SELECT person_key, value_num AS value FROM n WHERE place = 1",
        "SELECT person_key, 1 AS value FROM patient WHERE person_key IN (SELECT person_key FROM death)",
        "SELECT person_key, 1 AS value FROM patient WHERE person_key NOT IN (SELECT person_key FROM visit WHERE class = 'ER')",
        "SELECT person_key, event_date AS value FROM condition UNION ALL SELECT person_key, event_date FROM procedure",
        "SELECT DISTINCT person_key, code AS value FROM condition",
        "SELECT c.person_key, w.weight AS value FROM condition c JOIN (VALUES ('I10', 1), ('E11', 2)) AS w (code, weight) ON c.code = w.code",
        "SELECT person_key, CAST(code AS INT) / 0 AS value FROM condition",
    ] {
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
