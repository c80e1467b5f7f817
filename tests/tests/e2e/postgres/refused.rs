//! What can go wrong has a name and a remedy; and the session can only read.

use std::process::Command;

use super::server::Server;
use super::site::{Site, postgres};
use crate::harness::text;

const TABLES: &str = "CREATE SCHEMA cdm;\n\
    CREATE TABLE cdm.person (person_id integer PRIMARY KEY, gender_concept_id integer, year_of_birth integer, month_of_birth integer);\n\
    INSERT INTO cdm.person SELECT g, 8507, 1950, 1 FROM generate_series(1, 20) g;\n\
    CREATE TABLE cdm.death (person_id integer NOT NULL, death_date date);\n\
    INSERT INTO cdm.death SELECT 1 + g % 5, '2020-01-01' FROM generate_series(1, 300) g; ANALYZE;\n";

#[test]
fn each_refusal_says_what_to_do() {
    let server = Server::start();
    server.omop(TABLES);
    let base = "schema = \"cdm\", chunk_rows = 100";
    let site = Site::pulling(&server, base);
    let said = |site: &Site, parts: &[&str]| {
        let said = site.failure();
        assert!(parts.iter().all(|p| said.contains(p)), "{parts:?} not all in: {said}");
        assert!(!said.contains("right horse") && !said.contains("battery"), "{said}");
    };
    // From nothing to everything that the role needs, each step by what the error before it says.
    said(&site, &["source cdm", "may not read schema cdm", "GRANT USAGE ON SCHEMA \"cdm\" TO \"reader\";"]);
    server.omop("GRANT USAGE ON SCHEMA \"cdm\" TO \"reader\";");
    said(&site, &["may not read table cdm.death", "GRANT SELECT ON \"cdm\".\"death\" TO \"reader\";"]);
    server.omop("GRANT SELECT ON \"cdm\".\"death\" TO \"reader\"; GRANT SELECT ON \"cdm\".\"person\" TO \"reader\";");
    let report = site.ingest();
    // 300 rows of five keys, 60 of each: rows of one key are never parted, so chunks of 100 hold 120.
    assert_eq!(site.gold()["death"].len(), 5, "{report:#}");
    assert_eq!((&report["pulls"][0]["rows"], site.chunks().len()), (&320.into(), 4), "{:?}", site.chunks());

    site.set(&postgres(server.port, "schema = \"cdm\", password_file = \"wrong\""));
    said(&site, &["refuses role reader", "password"]);
    site.set(&postgres(server.port, "schema = \"cdm\"").replace(", password_file = \"password\"", ""));
    said(&site, &["asks for a password of role reader", "password_file"]);
    site.set(&postgres(server.port, "schema = \"cmd\""));
    said(&site, &["database omop has no schema cmd"]);
    site.set(&postgres(server.port, base).replace("\"omop\", user", "\"mops\", user"));
    said(&site, &["no database mops"]);
    site.set(&postgres(1, base));
    said(&site, &["127.0.0.1:1 can't be reached", "is it up"]);

    // The lake is as it was after all of this, and the last pass still counts.
    site.set(&postgres(server.port, base));
    assert_eq!(site.gold()["patient"].len(), 20);
    server.omop("ALTER TABLE cdm.death RENAME TO dead;");
    said(&site, &["had table death at the last pass", "empty table"]);
    server
        .omop("ALTER TABLE cdm.dead RENAME TO death; ALTER TABLE cdm.person ALTER month_of_birth TYPE json USING '1';");
    said(&site, &["column person.month_of_birth has the type json", "cast it in a view"]);
    server.omop("ALTER TABLE cdm.person DROP COLUMN month_of_birth; ALTER TABLE cdm.person RENAME TO people;");
    let fresh = Site::pulling(&server, base);
    said(&fresh, &["schema cdm has no table person, which omop needs"]);
    server.omop("ALTER TABLE cdm.people RENAME TO person;");
    // A lock of somebody who loads is waited for a little, and named.
    let mut loader = Command::new("psql");
    loader
        .args(["-X", "-q", "-U", "postgres", "-d", "omop", "-p", &server.port.to_string(), "-h"])
        .arg(server.dir.path());
    let mut loader = loader.args(["-c", "BEGIN; LOCK TABLE cdm.person; SELECT pg_sleep(60);"]).spawn().unwrap();
    crate::harness::until("the table is locked", || {
        server.omop("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'cdm.person'::regclass").trim() == "1"
    });
    said(&site, &["table person is locked", "run site-agent ingest again"]);
    loader.kill().unwrap();
    loader.wait().unwrap();
    server.omop("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%';");
    site.ingest();
}

#[test]
fn a_role_that_may_write_cannot_write_here() {
    let server = Server::start();
    server.omop(TABLES);
    // The role owns the tables; a view of its own writes whenever it is read.
    server.omop(
        "GRANT ALL ON SCHEMA cdm TO reader; CREATE TABLE cdm.planted (at timestamptz); ALTER TABLE cdm.person OWNER TO reader;\n\
         ALTER TABLE cdm.death OWNER TO reader; ALTER TABLE cdm.planted OWNER TO reader;\n\
         CREATE FUNCTION cdm.plant() RETURNS integer VOLATILE LANGUAGE sql AS 'INSERT INTO cdm.planted VALUES (now()) RETURNING 9201';\n\
         CREATE VIEW cdm.visit_occurrence AS SELECT person_id AS visit_occurrence_id, person_id, cdm.plant() AS visit_concept_id, \
           DATE '2020-01-01' AS visit_start_date, DATE '2020-01-02' AS visit_end_date FROM cdm.person;\n\
         ALTER VIEW cdm.visit_occurrence OWNER TO reader;",
    );
    let site = Site::pulling(&server, "schema = \"cdm\"");
    let said = site.failure();
    assert!(said.contains("SQLSTATE 25006"), "{said}");
    assert_eq!(server.omop("SELECT count(*) FROM cdm.planted").trim(), "0");
    // Without it the same role is served, and the view itself does write for others.
    server.omop("SET ROLE reader; SELECT count(visit_concept_id) FROM cdm.visit_occurrence; RESET ROLE; DROP VIEW cdm.visit_occurrence;");
    assert_eq!(server.omop("SELECT count(*) FROM cdm.planted").trim(), "20");
    site.ingest();
    assert_eq!(site.gold()["patient"].len(), 20);
}

fn openssl(folder: &std::path::Path, args: &str) {
    let out = Command::new("openssl").args(args.split(' ')).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
}

#[test]
fn a_certificate_is_checked() {
    let keys = tempfile::tempdir().unwrap();
    for name in ["ca", "other"] {
        openssl(
            keys.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name}"
            ),
        );
    }
    openssl(
        keys.path(),
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    std::fs::write(keys.path().join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    openssl(
        keys.path(),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out server.crt",
    );
    let server = Server::with(&["ssl=on"], |data| {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["server.key", "server.crt"] {
            std::fs::copy(keys.path().join(name), data.join(name)).unwrap();
            std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        // Nobody comes in without TLS.
        let hba = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
    });
    server.omop(TABLES);
    server.omop("GRANT USAGE ON SCHEMA cdm TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA cdm TO reader;");
    let with = |tls: &str| postgres(server.port, "schema = \"cdm\"").replace("tls = \"off\"", tls);
    let site = Site::new(&with("tls = \"off\""));
    assert!(site.failure().contains("refuses role reader"), "the server wants TLS");
    for name in ["ca.pem", "other.pem"] {
        std::fs::copy(keys.path().join(name), site.path(name)).unwrap();
    }
    site.set(&with("ca_file = \"other.pem\""));
    let said = site.failure();
    assert!(said.contains("no encrypted connection") && said.contains("check ca_file"), "{said}");
    site.set(&with("ca_file = \"ca.pem\""));
    site.ingest();
    assert_eq!(site.gold()["patient"].len(), 20);
}
