//! Values of every type that is read, through a real server, are what the server itself says they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::server::Server;
use super::site::{Site, postgres};

/// A column, its type, a value by the row's number `g`, and how the server writes the same in one reading.
const COLUMNS: &[(&str, &str, &str, &str)] = &[
    ("i2", "smallint", "(g * 131 % 65536 - 32768)::smallint", "i2::text"),
    ("i4", "integer", "(g::bigint * 8589935 % 4294967296 - 2147483648)::integer", "i4::text"),
    ("i8", "bigint", "g * 36028797018963 - 9007199254740993", "i8::text"),
    ("f4", "real", "(g - 250)::real / 7", "f4::text"),
    ("f8", "double precision", "(g - 250)::float8 / 11 + 0.5", "f8::text"),
    ("n", "numeric", "round((g - 250)::numeric * 1234567.891234567 / (1 + g % 9), g % 12)", "n::text"),
    ("small", "numeric(30,12)", "(g - 250)::numeric / 1000000007", "small::text"),
    ("wide", "numeric", "10::numeric ^ (g % 60) + g", "wide::text"),
    ("t", "text", "'é' || g || ' \u{1F9EC}' || repeat('x', g % 40)", "t"),
    ("v", "varchar(20)", "'v' || g", "v"),
    ("c", "char(9)", "'c' || g", "trim(c)"),
    ("d", "date", "DATE '1900-02-28' + g * 150", "to_char(d, 'YYYY-MM-DD')"),
    (
        "ts",
        "timestamp",
        "TIMESTAMP '1899-12-31 23:59:59' + g * INTERVAL '97 days 3 hours 1 second'",
        "to_char(ts, 'YYYY-MM-DD\"T\"HH24:MI:SS')",
    ),
    (
        "tz",
        "timestamptz",
        "TIMESTAMPTZ '1999-12-31 23:59:59.5+05' + g * INTERVAL '41 days 7 minutes'",
        "to_char(tz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"+00:00\"')",
    ),
    ("b", "boolean", "g % 2 = 0", "b::text"),
    ("dom", "cdm.code", "'d' || g", "dom"),
];

#[test]
fn every_type_comes_as_the_server_says_it() {
    let server = Server::start();
    let mut mapping = "format = \"csv\"\n[[file]]\nmatch = \"typed\"\nperson = { column = \"person_id\" }\n".to_owned();
    let (mut definitions, mut values, mut texts) = (String::new(), String::new(), Vec::new());
    for (name, kind, value, text) in COLUMNS {
        let _ = write!(definitions, ", {name} {kind}");
        // Every eleventh is null.
        let _ = write!(values, ", CASE WHEN g % 11 > 0 THEN {value} END");
        texts.push(format!("SELECT '{name}', {text} FROM cdm.typed WHERE {name} IS NOT NULL"));
        let _ = writeln!(
            mapping,
            "[[file.row]]\ntable = \"condition\"\nrequire = [\"{name}\"]\nid = [\"typed_id\", \"{name}\"]\n[file.row.set]\n\
             code_system = \"urn:type:{name}\"\ncode = {{ column = \"{name}\" }}"
        );
    }
    server.omop(&format!(
        "CREATE SCHEMA cdm; CREATE DOMAIN cdm.code AS varchar(12) CHECK (VALUE LIKE 'd%');\n\
         CREATE TABLE cdm.typed (typed_id bigint PRIMARY KEY, person_id integer{definitions});\n\
         INSERT INTO cdm.typed SELECT g - 250, g{values} FROM generate_series(1, 500) g;\n\
         GRANT USAGE ON SCHEMA cdm TO reader; GRANT SELECT ON cdm.typed TO reader;"
    ));
    let mut want: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in server.omop(&(texts.join(" UNION ALL ") + ";")).lines() {
        let (name, text) = line.split_once('|').unwrap();
        want.entry(format!("urn:type:{name}")).or_default().push(text.to_owned());
    }
    let source = postgres(server.port, "schema = \"cdm\", chunk_rows = 100");
    let source = source.replace("format = \"omop\"", "format = \"csv\"\nmapping = \"mapping.toml\"");
    let site = Site::new(&source);
    std::fs::write(site.path("mapping.toml"), mapping).unwrap();
    let report = site.ingest();
    assert_eq!(
        report["files"].as_array().unwrap().iter().map(|f| f["quarantined"].as_u64().unwrap()).sum::<u64>(),
        0,
        "{report:#}"
    );
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &site.gold()["condition"] {
        let cell = |name: &str| row.split(&format!(" {name}=")).nth(1).unwrap();
        let system = cell("code_system").split(' ').next().unwrap().to_owned();
        let code = cell("code").split(" std_system=").next().unwrap().to_owned();
        got.entry(system).or_default().push(code);
    }
    assert_eq!(want.len(), COLUMNS.len());
    for (system, mut texts) in want {
        let mut codes = got.remove(&system).unwrap_or_default();
        texts.sort();
        codes.sort();
        let differ = texts.iter().zip(&codes).find(|(a, b)| a != b);
        assert!(
            texts.len() == codes.len() && differ.is_none(),
            "{system}: {} and {}; {differ:?}",
            texts.len(),
            codes.len()
        );
    }
}
