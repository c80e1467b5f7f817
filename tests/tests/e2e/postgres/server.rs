//! A PostgreSQL server for one test: its own data, port and log, in a folder that goes with it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::until;

/// The account that owns the server where the tests run as root, which PostgreSQL refuses to be: `nobody`.
const NOBODY: u32 = 65_534;

pub struct Server {
    pub dir: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where Debian puts the newest server's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |p: &PathBuf| p.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|e| e.path()).filter(|p| p.join("bin/initdb").is_file()).max_by_key(number);
    newest.expect("there is no PostgreSQL server under /usr/lib/postgresql; install Debian's postgresql").join("bin")
}

fn is_root() -> bool {
    let own = std::fs::metadata("/proc/self").unwrap();
    std::os::unix::fs::MetadataExt::uid(&own) == 0
}

/// A program that may not run as root, which ends with this test.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    }
    command.arg(program).current_dir("/");
    command
}

impl Server {
    pub fn start() -> Server {
        Server::with(&[], |_| ())
    }

    /// Starts a server with further settings; `prepare` may put files into its data folder.
    pub fn with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = dir.path().join("data");
        let out = unprivileged(&programs().join("initdb"))
            .args([
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", crate::harness::text(&out));
        prepare(&data);
        for entry in std::fs::read_dir(&data).unwrap().flatten().filter(|_| is_root()) {
            chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = unprivileged(&programs().join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        let socket = format!("unix_socket_directories={}", dir.path().display());
        for setting in ["listen_addresses=127.0.0.1", &socket, "fsync=off", "log_statement=all"].iter().chain(settings)
        {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Server { dir, port, child };
        until("PostgreSQL answers", || server.psql("postgres", "SELECT 1").is_ok());
        server.sql("CREATE ROLE reader LOGIN PASSWORD 'right horse'; CREATE DATABASE omop;");
        server
    }

    /// Statements as the superuser; what they print, or what is wrong with them.
    fn psql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut child = Command::new(programs().join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-F",
                "|",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
                "-h",
            ])
            .arg(self.dir.path())
            .args(["-d", database, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if out.status.success() { Ok(text) } else { Err(crate::harness::text(&out)) }
    }

    /// Statements to the server's own database.
    fn sql(&self, statements: &str) {
        self.psql("postgres", statements).unwrap();
    }

    /// Statements to the OMOP database.
    pub fn omop(&self, statements: &str) -> String {
        self.psql("omop", statements).unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Loads every file of a folder of OMOP CSV files into a schema, in the shape of 5.4, with its keys.
    pub fn load(&self, folder: &Path) {
        let mut text = "CREATE SCHEMA cdm; GRANT USAGE ON SCHEMA cdm TO reader;\n".to_owned();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(table) = name.strip_suffix(".csv.gz").map(str::to_lowercase) else { continue };
            let mut header = String::new();
            let file = std::fs::File::open(entry.path()).unwrap();
            BufReader::new(flate2::read::MultiGzDecoder::new(file)).read_line(&mut header).unwrap();
            let columns: Vec<&str> = header.trim().split(',').collect();
            let typed: Vec<String> = columns.iter().map(|c| format!("{c} {}", kind(c))).collect();
            let key = format!("{table}_id");
            let _ = writeln!(text, "CREATE TABLE cdm.{table} ({});", typed.join(", "));
            let path = entry.path().display().to_string();
            let _ = writeln!(text, "\\copy cdm.{table} FROM PROGRAM 'gzip -dc {path}' WITH (FORMAT csv, HEADER)");
            if columns.contains(&key.as_str()) {
                let _ = writeln!(text, "ALTER TABLE cdm.{table} ADD PRIMARY KEY ({key});");
            }
        }
        // A table that nobody has asked for, and that must not be read.
        text += "CREATE TABLE cdm.note (note_id integer PRIMARY KEY, person_id integer, note_text text);\n\
                 INSERT INTO cdm.note VALUES (1, 1, 'what nobody should copy');\n\
                 GRANT SELECT ON ALL TABLES IN SCHEMA cdm TO reader; ANALYZE;\n";
        self.omop(&text);
    }

    /// The same data in the shape of 5.3, with wide keys, where 5.4 has other columns.
    pub fn as_5_3(&self) {
        self.omop(
            "CREATE SCHEMA old; GRANT USAGE ON SCHEMA old TO reader;\n\
             CREATE TABLE old.visit_occurrence AS SELECT visit_occurrence_id::bigint, person_id::bigint, visit_concept_id, visit_start_date, \
               visit_start_datetime, visit_end_date, visit_end_datetime, visit_type_concept_id, visit_source_value, \
               admitted_from_concept_id AS admitting_source_concept_id, admitted_from_source_value AS admitting_source_value, \
               discharged_to_concept_id AS discharge_to_concept_id, discharged_to_source_value AS discharge_to_source_value \
               FROM cdm.visit_occurrence;\n\
             CREATE TABLE old.procedure_occurrence AS SELECT * FROM cdm.procedure_occurrence;\n\
             ALTER TABLE old.procedure_occurrence DROP COLUMN procedure_end_date, DROP COLUMN procedure_end_datetime;\n\
             CREATE TABLE old.measurement AS SELECT * FROM cdm.measurement;\n\
             ALTER TABLE old.measurement DROP COLUMN unit_source_concept_id, DROP COLUMN measurement_event_id, \
               DROP COLUMN meas_event_field_concept_id, ALTER COLUMN measurement_id TYPE bigint;\n\
             CREATE TABLE old.observation AS SELECT * FROM cdm.observation;\n\
             ALTER TABLE old.observation DROP COLUMN value_source_value, DROP COLUMN observation_event_id, \
               DROP COLUMN obs_event_field_concept_id;\n\
             CREATE VIEW old.person AS SELECT * FROM cdm.person; CREATE VIEW old.concept AS SELECT * FROM cdm.concept;\n\
             CREATE VIEW old.observation_period AS SELECT * FROM cdm.observation_period;\n\
             CREATE VIEW old.condition_occurrence AS SELECT * FROM cdm.condition_occurrence;\n\
             CREATE VIEW old.drug_exposure AS SELECT * FROM cdm.drug_exposure;\n\
             GRANT SELECT ON ALL TABLES IN SCHEMA old TO reader; ANALYZE;\n",
        );
    }
}

/// The type that OMOP's definition gives a column, by its name.
fn kind(column: &str) -> &'static str {
    let whole = ["refills", "days_supply", "year_of_birth", "month_of_birth", "day_of_birth", "gap_days"];
    match column {
        "domain_id" | "vocabulary_id" | "concept_class_id" => "varchar(20)",
        "value_as_number" | "range_low" | "range_high" | "quantity" => "numeric",
        c if c.ends_with("_id") || c.ends_with("_count") || whole.contains(&c) => "integer",
        c if c.ends_with("_date") => "date",
        c if c.ends_with("_datetime") => "timestamp",
        _ => "varchar(255)",
    }
}
