//! What a pull and the way to gold cost of the processor: the figures of `docs/figures.md`.

use std::path::Path;
use std::time::Duration;

use super::server::Server;
use super::site::{Site, postgres, shared};

/// The seconds of processor time of a process, as Linux counts them.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind = stat.rsplit_once(')').unwrap().1;
    let field = |n: usize| behind.split_whitespace().nth(n).unwrap().parse::<f64>().unwrap();
    (field(11) + field(12)) / 100.0
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    entries.map(|p| if p.is_dir() { size(&p) } else { p.metadata().unwrap().len() }).sum()
}

#[test]
#[ignore = "a measurement, not a promise"]
fn rows_per_second_of_the_processor() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    let server = Server::start();
    server.load(&folder);
    server.omop(
        "INSERT INTO cdm.measurement SELECT (jsonb_populate_record(m, jsonb_build_object('measurement_id', m.measurement_id + g * 1000000))).* \
         FROM cdm.measurement m, generate_series(1, 9) g; ANALYZE;",
    );
    let site = Site::new(&postgres(server.port, "schema = \"cdm\", mib_per_second = 0"));
    let mut child = site.begin();
    let complete = site.path("state/pull/cdm/pass-0000000001/.complete");
    while !complete.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pull = cpu_seconds(child.id());
    let mut all = pull;
    while child.try_wait().unwrap().is_none() {
        if Path::new(&format!("/proc/{}/stat", child.id())).exists() {
            all = all.max(cpu_seconds(child.id()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&complete).unwrap()).unwrap();
    let (rows, seconds) = (report["rows"].as_f64().unwrap(), report["seconds"].as_f64().unwrap());
    let mb = size(&site.path("state/pull")) as f64 / 1e6;
    println!(
        "{rows} rows, {mb:.1} MB; pull {pull:.2} CPU-s in {seconds:.1} s: {:.0} rows, {:.1} MB a CPU-second",
        rows / pull,
        mb / pull
    );
    println!("to gold {all:.2} CPU-s: {:.0} rows, {:.1} MB a CPU-second", rows / all, mb / all);
    let again = site.ingest();
    assert!(again["files"].as_array().unwrap().iter().all(|f| f["unchanged"] == true));
}
