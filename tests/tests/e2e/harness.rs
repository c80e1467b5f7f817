//! A federation for one test: a coordinator and sites as processes, in a folder that goes with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where the built programs lie: beside this test's own program.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join(name);
    assert!(path.is_file(), "{} is not built; run `cargo build --workspace` first", path.display());
    path
}

pub fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The estimates of a simulation of a study over the sites in the folder `sites` of `dir`; its other files are in `out`.
pub fn simulated(study: &Path, dir: &Path, noise: &str) -> Value {
    let mut c = Command::new(program("simulator"));
    c.args(["run", "--json", "--noise", noise, "--study"]).arg(study);
    c.arg("--sites").arg(dir.join("sites")).arg("--out").arg(dir.join("out"));
    let out = run(c);
    assert!(out.status.success(), "{}", text(&out));
    serde_json::from_slice(&std::fs::read(dir.join("out/estimates.json")).unwrap()).unwrap()
}

/// The same of a study in the file `study.toml` of `dir`, without noise.
pub fn simulated_here(dir: &Path, study: &str) -> Value {
    let file = dir.join("study.toml");
    std::fs::write(&file, study).unwrap();
    simulated(&file, dir, "off")
}

pub struct Federation {
    pub dir: tempfile::TempDir,
    coordinator: Option<Child>,
    agents: Vec<(String, Child)>,
}

impl Drop for Federation {
    fn drop(&mut self) {
        for (_, child) in &mut self.agents {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(c) = &mut self.coordinator {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

pub const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
header = true
person = { column = "id" }
dates = ["%Y-%m-%d"]
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex", map = { f = "F", m = "M" } }
birth = { column = "birth" }
[[file.row]]
table = "measurement"
require = ["sbp"]
[file.row.set]
code_system = "loinc"
code = "8480-6"
value_num = { column = "sbp" }
unit_src = "mmHg"
event = { column = "day" }
"#;

/// A study of one count, or of what `analyses` says.
pub fn study(id: &str, head: &str, analyses: &str) -> String {
    format!(
        r#"id = "{id}"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[rounds]
{head}
[cohorts.target]
entry = {{ table = "patient" }}
[features.sbp]
kind = "measurement"
code = "loinc:8480-6"
unit = "mm[Hg]"
bounds = [80, 200]
[features.sex]
kind = "sex"
levels = ["F", "M"]
[features.high]
kind = "measurement"
code = "loinc:8480-6"
unit = "mm[Hg]"
above = 140
[privacy]
epsilon = 0.8
{analyses}
"#
    )
}

pub const COUNT: &str = "[[analysis]]\nkind = \"count\"\n";
pub const MODEL: &str =
    "[[analysis]]\nkind = \"logistic\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\nsteps = 8\n";

impl Federation {
    pub fn new() -> Federation {
        Federation::with(&[])
    }

    pub fn with(options: &[&str]) -> Federation {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut f = Federation { dir, coordinator: None, agents: Vec::new() };
        let address = format!("127.0.0.1:{port}");
        let mut args = vec!["federation", "init", "test", "--address", &address];
        args.extend(options);
        assert!(f.coordinator_command(&args).status.success());
        f.start_coordinator();
        let out = f.path("ada.txt");
        assert!(f.coordinator_command(&["analyst", "invite", "ada", "--out", out.to_str().unwrap()]).status.success());
        let enrolled = f.coordinator_command(&["analyst", "enroll", out.to_str().unwrap()]);
        assert!(enrolled.status.success(), "{}", text(&enrolled));
        f
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn site_home(&self, id: &str) -> PathBuf {
        self.path("sites").join(id)
    }

    fn log(&self, name: &str) -> Stdio {
        std::fs::File::options().create(true).append(true).open(self.path(name)).unwrap().into()
    }

    pub fn read_log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn coordinator_command(&self, args: &[&str]) -> Output {
        let mut c = Command::new(program("coordinator"));
        c.arg("--home").arg(self.path("federation")).arg("--identity").arg(self.path("ada")).args(args);
        run(c)
    }

    pub fn coordinator_json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let out = self.coordinator_command(&all);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{args:?}: {}", text(&out)))
    }

    pub fn start_coordinator(&mut self) {
        let mut c = Command::new(program("coordinator"));
        c.arg("--home").arg(self.path("federation")).arg("serve").stdin(Stdio::null());
        self.coordinator =
            Some(c.stdout(self.log("coordinator.log")).stderr(self.log("coordinator.log")).spawn().unwrap());
        let address = std::fs::read_to_string(self.path("federation/federation.json")).unwrap();
        let address = serde_json::from_str::<Value>(&address).unwrap()["address"].as_str().unwrap().to_owned();
        until("the coordinator listens", || std::net::TcpStream::connect(&address).is_ok());
    }

    /// Kill −9.
    pub fn kill_coordinator(&mut self) {
        let mut c = self.coordinator.take().unwrap();
        c.kill().unwrap();
        c.wait().unwrap();
    }

    pub fn agent_command(&self, id: &str, args: &[&str]) -> Output {
        let mut c = Command::new(program("site-agent"));
        c.arg("--home").arg(self.site_home(id)).args(args);
        run(c)
    }

    pub fn agent_json(&self, id: &str, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let out = self.agent_command(id, &all);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{args:?}: {}", text(&out)))
    }

    /// A site's folder with `patients` patients; `settings` is added to site.toml.
    pub fn make_site(&self, id: &str, patients: usize, settings: &str) {
        let home = self.site_home(id);
        std::fs::create_dir_all(home.join("extract")).unwrap();
        // The sites of these tests are small.
        let settings = match settings.contains("[disclosure]") {
            true => settings.replace("[disclosure]", "[disclosure]\nmin_cohort = 0"),
            false => format!("{settings}\n[disclosure]\nmin_cohort = 0"),
        };
        let toml = format!(
            "id = \"{id}\"\nname = \"Hospital {id}\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n\
             [[source]]\nname = \"his\"\nformat = \"csv\"\npath = \"extract\"\nmapping = \"mapping.toml\"\n{settings}\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        std::fs::write(home.join("mapping.toml"), MAPPING).unwrap();
        std::fs::write(home.join("extract/patients.csv"), rows(patients)).unwrap();
    }

    /// Makes, invites, enrols and ingests a site.
    pub fn add_site(&self, id: &str, patients: usize, settings: &str) {
        self.make_site(id, patients, settings);
        self.enroll(id);
    }

    /// Invites and enrols a site that was made, and ingests its extract.
    pub fn enroll(&self, id: &str) {
        let invitation = self.path(&format!("{id}.txt"));
        let file = invitation.to_str().unwrap();
        let out = self.coordinator_command(&["site", "invite", id, "--country", "DE", "--out", file]);
        assert!(out.status.success(), "{}", text(&out));
        let out = self.agent_command(id, &["enroll", file]);
        assert!(out.status.success(), "{}", text(&out));
        let out = self.agent_command(id, &["ingest"]);
        assert!(out.status.success(), "{}", text(&out));
    }

    pub fn start_agent(&mut self, id: &str) {
        let log = format!("{id}.log");
        let mut c = Command::new(program("site-agent"));
        c.arg("--home").arg(self.site_home(id)).arg("run").stdin(Stdio::null());
        let child = c.stdout(self.log(&log)).stderr(self.log(&log)).spawn().unwrap();
        self.agents.push((id.to_owned(), child));
    }

    /// Kill −9.
    pub fn kill_agent(&mut self, id: &str) {
        let place = self.agents.iter().position(|(i, _)| i == id).unwrap();
        let (_, mut child) = self.agents.remove(place);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sites that approve by rule, enrolled, with data, running.
    pub fn sites(&mut self, ids: &[&str]) {
        for id in ids {
            self.add_site(id, 60, "[approval]\nmode = \"auto\"");
            self.start_agent(id);
        }
    }

    pub fn write_study(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn submit(&self, content: &str) -> Output {
        let file = self.write_study("study.toml", content);
        self.coordinator_command(&["study", "submit", file.to_str().unwrap()])
    }

    pub fn status(&self, study: &str) -> Value {
        self.coordinator_json(&["study", "show", study])
    }

    /// Every site gives every other its fingerprint, and they pin them.
    pub fn pin(&self, ids: &[&str]) {
        for id in ids {
            let keys = self.agent_json(id, &["keys", "show"]);
            let fingerprint = keys["fingerprint"].as_str().unwrap();
            for other in ids.iter().filter(|o| o != &id) {
                let out = self.agent_command(other, &["keys", "pin", id, fingerprint]);
                assert!(out.status.success(), "{}", text(&out));
            }
        }
    }

    /// Waits until the study is over; returns its last status.
    pub fn over(&self, study: &str) -> Value {
        let begun = Instant::now();
        loop {
            let s = self.status(study);
            if ["done", "failed", "cancelled"].contains(&s["state"].as_str().unwrap()) {
                return s;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{s:#}\n{}", self.read_log("coordinator.log"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn results(&self, study: &str) -> (Value, Value) {
        let out = self.path("results");
        let fetched = self.coordinator_command(&["study", "results", study, "--out", out.to_str().unwrap()]);
        assert!(fetched.status.success(), "{}", text(&fetched));
        let read = |name: &str| serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap();
        (read("estimates.json"), read("provenance.json"))
    }

    pub fn site_status(&self, study: &str, site: &str) -> Value {
        let status = self.status(study);
        status["sites"].as_array().unwrap().iter().find(|s| s["id"] == site).cloned().unwrap_or(Value::Null)
    }
}

/// An extract of so many patients.
pub fn rows(patients: usize) -> String {
    let one = |i: usize| {
        let (sex, sbp) = (if i.is_multiple_of(3) { "m" } else { "f" }, 100 + (i * 37) % 80);
        format!("p{i},{sex},19{:02}-03-04,{sbp},2023-05-06\n", 30 + i % 60)
    };
    "id,sex,birth,sbp,day\n".to_owned() + &(0..patients).map(one).collect::<String>()
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn array<'a>(v: &'a Value, key: &str) -> &'a Vec<Value> {
    v[key].as_array().unwrap_or_else(|| panic!("no array '{key}' in {v:#}"))
}

/// Entries of a site's ledger: (round as text, ρ, release).
pub fn ledger(f: &Federation, site: &str) -> Vec<(String, u64, String)> {
    array(&f.agent_json(site, &["ledger", "show"]), "entries")
        .iter()
        .map(|e| {
            (e["round"].to_string(), e["cost"]["rho"].as_u64().unwrap(), e["release"].as_str().unwrap().to_owned())
        })
        .collect()
}

pub fn unique<T: Ord + Clone>(items: &[T]) -> bool {
    let set: std::collections::BTreeSet<T> = items.iter().cloned().collect();
    set.len() == items.len()
}

/// The plan of a study file for the federation `test`.
pub fn read_plan(file: &Path) -> study::Plan {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(coordinator::analyst::read(file, "test")).unwrap().unwrap()
}
