//! What a hospital counts for itself, over real processes: windows as gold changes, corrections, late rows, savepoints, another backend,
//! a killed agent, and the metrics.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use arrow::array::AsArray as _;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::harness::{Federation, array, text, until};

const DAY: i64 = 86_400_000_000;
/// 2023-01-02, a day on which windows of four days begin.
const FIRST: i64 = 19_360;

/// A patient's line: who, which day after the first, which pressure.
type Line = (u32, i64, i64);

fn extract(lines: &[Line]) -> String {
    let day =
        |d: i64| chrono::DateTime::from_timestamp((FIRST + d) * 86_400, 0).unwrap().format("%Y-%m-%d").to_string();
    let line = |(who, d, sbp): &Line| format!("p{who},f,1950-03-04,{sbp},{}\n", day(*d));
    "id,sex,birth,sbp,day\n".to_owned() + &lines.iter().map(line).collect::<String>()
}

fn write(f: &Federation, lines: &[Line]) {
    std::fs::write(f.site_home("s-1").join("extract/patients.csv"), extract(lines)).unwrap();
    let out = f.agent_command("s-1", &["ingest"]);
    assert!(out.status.success(), "{}", text(&out));
}

/// The files of a job's answers or late rows, in order, each as batches.
fn batches(folder: &Path) -> Vec<arrow::array::RecordBatch> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|p| p.file_name().unwrap().to_str().unwrap().starts_with("part-"));
    files.sort();
    let read = |p: &std::path::PathBuf| {
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(p).unwrap()).unwrap().build().unwrap()
    };
    files.iter().flat_map(read).map(Result::unwrap).collect()
}

/// Each window's tellings in order: whether a correction, count, sum.
fn tellings(f: &Federation, job: &str) -> BTreeMap<i64, Vec<(String, i64, f64)>> {
    let mut out: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for b in batches(&f.site_home("s-1").join("state/streams").join(job).join("answers")) {
        let start = b.column_by_name("window_start").unwrap().as_primitive::<TimestampMicrosecondType>();
        let telling = b.column_by_name("telling").unwrap().as_string::<i32>();
        let count = b.column_by_name("count").unwrap().as_primitive::<Int64Type>();
        let sum = b.column_by_name("sum").unwrap().as_primitive::<Float64Type>();
        for i in 0..b.num_rows() {
            let told = (telling.value(i).to_owned(), count.value(i), sum.value(i));
            out.entry(start.value(i) / DAY - FIRST).or_default().push(told);
        }
    }
    out
}

fn late(f: &Federation, job: &str) -> Vec<(String, i64)> {
    let mut out = Vec::new();
    for b in batches(&f.site_home("s-1").join("state/streams").join(job).join("late")) {
        let why = b.column_by_name("why").unwrap().as_string::<i32>();
        let time = b.column_by_name("t_event").unwrap().as_primitive::<TimestampMicrosecondType>();
        out.extend((0..b.num_rows()).map(|i| (why.value(i).to_owned(), time.value(i).div_euclid(DAY) - FIRST)));
    }
    out
}

/// What a batch over the same lines gives, by window of four days.
fn batch(lines: &[Line]) -> BTreeMap<i64, (i64, f64)> {
    let mut out = BTreeMap::new();
    for (_, day, sbp) in lines {
        let (n, sum) = out.entry(day.div_euclid(4) * 4).or_insert((0, 0.0));
        (*n, *sum) = (*n + 1, *sum + *sbp as f64);
    }
    out
}

fn run(f: &Federation, job: &str) -> serde_json::Value {
    let out = f.agent_command("s-1", &["--json", "streams", "run", job]);
    assert!(out.status.success(), "{}", text(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn settings(backend: &str, port: u16) -> String {
    format!(
        "[approval]\nmode = \"auto\"\n[streams]\nread_every_seconds = 1\nmetrics = \"127.0.0.1:{port}\"\n\
         [[streams.job]]\nname = \"pressure\"\ntable = \"measurement\"\ntell = \"counts\"\nvalue = \"value_num\"\nwindow = \"4d\"\n\
         lateness = \"20d\"\nout_of_order = \"1d\"\ncheckpoint = \"1s\"\nbackend = \"{backend}\"\n\
         [[streams.job]]\nname = \"care\"\ntable = \"measurement\"\ntell = \"sessions\"\ngap = \"2d\"\nout_of_order = \"1d\"\n\
         [[streams.job]]\nname = \"few\"\ntable = \"measurement\"\ntell = \"totals\"\nevery_rows = 10\nforget = \"300d\"\n\
         remembered = \"20d\"\nout_of_order = \"1d\"\n"
    )
}

#[test]
fn windows_follow_gold_and_survive_what_happens_to_an_agent() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut f = Federation::new();
    f.start_coordinator();
    f.make_site("s-1", 1, &settings("heap", port));
    let toml = f.site_home("s-1").join("site.toml");
    let whole = std::fs::read_to_string(&toml)
        .unwrap()
        .replace("mapping = \"mapping.toml\"", "mapping = \"mapping.toml\"\nsnapshot = true");
    std::fs::write(&toml, whole).unwrap();
    let mut lines: Vec<Line> = (0..60).map(|i| (i, i64::from(i) / 2, 100 + i64::from(i))).collect();
    std::fs::write(f.site_home("s-1").join("extract/patients.csv"), extract(&lines)).unwrap();
    f.enroll("s-1");
    let shown = run(&f, "pressure");
    assert_eq!(shown["metrics"]["rows"], 60, "{shown}");
    // The newest event is of day 29, one day is allowed for disorder: the windows that end by day 28 are told.
    let told = tellings(&f, "pressure");
    let all = batch(&lines);
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [0, 4, 8, 12, 16, 20, 24]);
    for (window, tellings) in &told {
        let (n, sum) = all[window];
        assert_eq!(tellings, &[("first".to_owned(), n, sum)], "{window}");
    }
    let few = run(&f, "few");
    assert_eq!((few["metrics"]["closed"].as_u64(), few["metrics"]["too_old"].as_u64()), (Some(6), Some(0)), "{few}");
    // Nothing new: nothing is told again. The counters are of all that was ever taken in.
    let again = run(&f, "pressure");
    assert_eq!((tellings(&f, "pressure") == told, again["metrics"]["rows"].as_u64()), (true, Some(60)));

    // A result of day 21 is corrected, one of day 25 is deleted, a patient of day 22 comes late, one of day 1 far too late, and time goes on to day 50.
    lines[42].2 = 500;
    lines.remove(50);
    lines.extend([(100, 22, 7), (101, 1, 9), (102, 4000, 9)]);
    lines.extend((0..20).map(|i| (200 + i, 31 + i64::from(i), 90)));
    write(&f, &lines);
    let counted = run(&f, "pressure")["metrics"]["rows"].clone();
    // Day 1 is more than 20 days before day 29.
    let few = run(&f, "few");
    assert_eq!(few["metrics"]["too_old"], 1, "{few}");
    assert_eq!(run(&f, "few")["metrics"]["too_old"], 1, "it is counted once");
    let told = tellings(&f, "pressure");
    let all = batch(&lines);
    let last = |w: i64| told[&w].last().map(|(_, n, sum)| (*n, *sum)).unwrap();
    assert_eq!(told[&20].len(), 2, "{told:?}");
    assert!(told[&20][1].0 == "correction" && told[&24][1].0 == "correction");
    for window in told.keys().filter(|w| **w > 0) {
        assert_eq!(last(*window), all[window], "{window}");
    }
    assert_eq!(last(0).0 + 1, all[&0].0, "day 1 was over by more than its lateness");
    // A row of the year 2033 is told once, and blinds nothing.
    assert_eq!(late(&f, "pressure"), [("implausible".to_owned(), 4000), ("late".to_owned(), 1)]);

    // To the other backend by a savepoint.
    let made = f.agent_json("s-1", &["savepoint", "create", "pressure"]);
    let file = made["file"].as_str().unwrap().to_owned();
    let inspected = f.agent_json("s-1", &["savepoint", "inspect", &file]);
    assert_eq!(inspected["savepoint"], made["savepoint"]);
    assert_eq!(array(&f.agent_json("s-1", &["savepoint", "list", "pressure"]), "savepoints").len(), 1);
    let changed = std::fs::read_to_string(&toml).unwrap().replace("backend = \"heap\"", "backend = \"rocksdb\"");
    std::fs::write(&toml, changed).unwrap();
    let refused = f.agent_command("s-1", &["streams", "run", "pressure"]);
    assert!(refused.status.code() == Some(1) && text(&refused).contains("savepoint create"), "{}", text(&refused));
    std::fs::remove_dir_all(f.site_home("s-1").join("state/streams/pressure/state")).unwrap();
    let back = f.agent_command("s-1", &["savepoint", "restore", "pressure", &file]);
    assert!(back.status.success(), "{}", text(&back));
    let before = tellings(&f, "pressure");
    assert_eq!(run(&f, "pressure")["metrics"]["rows"], counted);
    assert!(tellings(&f, "pressure") == before, "a restored job tells nothing twice");

    // A running agent reads by itself; killed at any moment it tells nothing twice.
    for round in 0..3i64 {
        f.start_agent("s-1");
        // Before it listens a command would take the state itself, and the agent could not.
        until("the agent listens", || f.read_log("s-1.log").matches("agent started").count() as i64 == round + 1);
        std::thread::sleep(std::time::Duration::from_millis(200));
        until("the stream runs", || f.agent_json("s-1", &["streams", "show"])["jobs"][0]["state"] == "running");
        lines.extend((0..8).map(|i| (300 + 10 * round as u32 + i, 51 + 8 * round + i64::from(i), 80)));
        // The last file is found by the agent itself.
        match round {
            2 => std::fs::write(f.site_home("s-1").join("extract/patients.csv"), extract(&lines)).unwrap(),
            _ => write(&f, &lines),
        }
        std::thread::sleep(std::time::Duration::from_millis(300 * round as u64));
        if round == 2 {
            until("the metrics count", || metrics(port).contains("insitu_stream_rows_total{job=\"pressure\"} "));
            until("the answers are there", || tellings(&f, "pressure").contains_key(&68));
        }
        f.kill_agent("s-1");
    }
    run(&f, "pressure");
    let told = tellings(&f, "pressure");
    let all = batch(&lines);
    for (window, tellings) in &told {
        let firsts = tellings.iter().filter(|t| t.0 == "first").count();
        assert!(firsts == 1 && tellings.len() <= 2, "{window}: {tellings:?}");
        if *window > 0 {
            assert_eq!(tellings.last().map(|t| (t.1, t.2)), Some(all[window]), "{window}");
        }
    }
    // Sessions of care: two lines of one patient within two days are one.
    let sessions = run(&f, "care");
    assert!(sessions["metrics"]["closed"].as_u64().unwrap() >= 60, "{sessions}");
    let unknown = f.agent_command("s-1", &["streams", "run", "nothing"]);
    assert!(
        unknown.status.code() == Some(1) && text(&unknown).contains("there are pressure, care, few"),
        "{}",
        text(&unknown)
    );
}

fn metrics(port: u16) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut out = String::new();
    let _ = stream.read_to_string(&mut out);
    assert!(out.starts_with("HTTP/1.1 200 OK\r\n"), "{out}");
    out
}
