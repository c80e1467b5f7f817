//! A site for one test: a folder with its settings, and the agent as a process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::server::Server;
use crate::harness::{array, program, run, text};

pub struct Site(tempfile::TempDir);

/// The shared data, or `None` where this machine has none, which is a failure in CI.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INSITU_SHARED_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{folder} is missing; set INSITU_SHARED_DATA");
    eprintln!("skipped: {folder} is not here; set INSITU_SHARED_DATA to run this test");
    None
}

impl Site {
    /// A site whose one source is `source`. All sites of these tests have one pseudonym key.
    pub fn new(source: &str) -> Site {
        let site = Site(tempfile::tempdir().unwrap());
        std::fs::create_dir(site.path("state")).unwrap();
        for (name, bytes) in
            [("state/pseudonym.key", [7; 32].as_slice()), ("password", b"right horse\n"), ("wrong", b"battery")]
        {
            std::fs::write(site.path(name), bytes).unwrap();
            std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        site.set(source);
        site
    }

    /// One that pulls a schema of a server, as the role that may read.
    pub fn pulling(server: &Server, rest: &str) -> Site {
        Site::new(&postgres(server.port, rest))
    }

    pub fn set(&self, source: &str) {
        let head = "id = \"s-1\"\nname = \"A\"\ncountry = \"DE\"\ntime_zone = \"America/New_York\"\n";
        std::fs::write(self.path("site.toml"), format!("{head}[[source]]\nname = \"cdm\"\n{source}\n")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(program("site-agent"));
        c.arg("--home").arg(self.0.path()).args(args).env("CDM_PASSWORD", "right horse");
        c
    }

    pub fn agent(&self, args: &[&str]) -> Output {
        run(self.command(args))
    }

    /// An ingestion that goes well.
    pub fn ingest(&self) -> Value {
        let out = self.agent(&["--json", "ingest"]);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)))
    }

    /// What an ingestion that fails says.
    pub fn failure(&self) -> String {
        let out = self.agent(&["ingest"]);
        assert!(!out.status.success(), "{}", text(&out));
        text(&out)
    }

    /// An ingestion under way.
    pub fn begin(&self) -> Child {
        self.command(&["ingest"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Chunks of passes that are on disk: table and file.
    pub fn chunks(&self) -> Vec<String> {
        let mut out = Vec::new();
        let folders = |p: &Path| -> Vec<PathBuf> {
            let mut all: Vec<_> = std::fs::read_dir(p).into_iter().flatten().flatten().map(|e| e.path()).collect();
            all.sort();
            all
        };
        for pass in folders(&self.path("state/pull/cdm")) {
            for table in folders(&pass).iter().filter(|t| t.is_dir()) {
                let name = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
                let whole = folders(table).into_iter().filter(|f| !name(f).starts_with('.'));
                out.extend(whole.map(|f| format!("{}/{}", name(table), name(&f))));
            }
        }
        out
    }

    /// Every row of gold as text, without what says how and when it came; by table.
    pub fn gold(&self) -> BTreeMap<String, Vec<String>> {
        let out = self.agent(&["--json", "lake"]);
        let lake: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
        let mut gold = BTreeMap::new();
        for file in array(&lake["gold"], "files") {
            let (table, path) = (file[0].as_str().unwrap(), file[1].as_str().unwrap());
            let file = std::fs::File::open(self.path("state/lake").join(path)).unwrap();
            let mut rows = Vec::new();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let options = FormatOptions::default();
                let schema = batch.schema();
                let shown: Vec<_> = schema
                    .fields()
                    .iter()
                    .zip(batch.columns())
                    .filter(|(f, _)| !["rev", "t_ingest", "record_key"].contains(&f.name().as_str()))
                    .map(|(f, c)| (f.name(), ArrayFormatter::try_new(c, &options).unwrap()))
                    .collect();
                for i in 0..batch.num_rows() {
                    let mut row = String::new();
                    for (name, column) in &shown {
                        let _ = write!(row, "{name}={} ", column.value(i));
                    }
                    rows.push(row);
                }
            }
            rows.sort();
            gold.insert(table.to_owned(), rows);
        }
        gold
    }
}

/// A source that pulls; `rest` names the schema and further settings.
pub fn postgres(port: u16, rest: &str) -> String {
    let base = "host = \"127.0.0.1\", dbname = \"omop\", user = \"reader\", tls = \"off\"";
    let password = if rest.contains("password") { "" } else { ", password_file = \"password\"" };
    format!("format = \"omop\"\npostgres = {{ {base}, port = {port}{password}, {rest} }}")
}

/// The gold of two sites is one.
pub fn same(a: &BTreeMap<String, Vec<String>>, b: &BTreeMap<String, Vec<String>>) {
    for (table, rows) in a {
        let other = &b[table];
        let differ = rows.iter().zip(other).find(|(x, y)| x != y);
        assert!(
            rows.len() == other.len() && differ.is_none(),
            "{table}: {} and {} rows; {differ:#?}",
            rows.len(),
            other.len()
        );
    }
    assert_eq!(a.len(), b.len());
}
