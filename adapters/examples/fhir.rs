//! How fast FHIR is read: `cargo run --release --package adapters --example fhir -- FILE [PASSES]`
//!
//! Reads a file of lines or a Bundle over and over, from the disk, and prints megabytes and records per second of the processor's
//! time and of the clock, and the most memory held: parsed to records, and into Arrow batches of the common schema as a site makes
//! them. For the file that the peers are measured with, see `gen_fhir.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use adapters::{AdapterError, Context, Extract, Quarantined, Sink};
use schema::{BatchBuilder, Record, Table};

/// Takes records into batches, or counts them alone.
struct Batches {
    tables: Option<BTreeMap<Table, BatchBuilder>>,
    rows: u64,
    bad: u64,
}

impl Sink for Batches {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.rows += 1;
        let Some(tables) = &mut self.tables else { return Ok(()) };
        let table = record.table();
        let batch = tables.entry(table).or_insert_with(|| BatchBuilder::new(table));
        batch.push(&record).map_err(|e| AdapterError::Sink(e.to_string()))?;
        if batch.rows() == 16_384 {
            batch.finish().map_err(|e| AdapterError::Sink(e.to_string()))?;
        }
        Ok(())
    }
    fn quarantine(&mut self, _: Quarantined) -> Result<(), AdapterError> {
        self.bad += 1;
        Ok(())
    }
}

/// The seconds of processor time that this process has used, as Linux counts them.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this example reads Linux's /proc");
    let behind = stat.rsplit_once(')').unwrap().1;
    let field = |n: usize| behind.split_whitespace().nth(n).unwrap().parse::<f64>().unwrap();
    // User and system time, in hundredths.
    (field(11) + field(12)) / 100.0
}

/// The most memory held, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let file = std::env::args().nth(1).expect("name a file");
    let passes = std::env::args().nth(2).map_or(3, |n| n.parse::<u32>().unwrap());
    let adapter = adapters::open("fhir", None, "").unwrap();
    let size = std::fs::metadata(&file).unwrap().len() as f64 / 1e6;
    let context = Context {
        source_system: "speed".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    };
    for (what, batches) in [("records", false), ("batches", true)] {
        for _ in 0..passes {
            let (cpu, clock) = (cpu_seconds(), Instant::now());
            let mut sink = Batches { tables: batches.then(BTreeMap::new), rows: 0, bad: 0 };
            let reader = adapters::reader(Path::new(&file)).unwrap();
            adapter.read(&context, Extract { name: &file, reader }, &mut sink).unwrap();
            let (cpu, clock) = (cpu_seconds() - cpu, clock.elapsed().as_secs_f64());
            println!(
                "{what}: {:.0} MB a CPU-second, {:.0} MB/s, {:.0} records a CPU-second, {} quarantined, peak {} MiB",
                size / cpu,
                size / clock,
                sink.rows as f64 / cpu,
                sink.bad,
                peak()
            );
        }
    }
}
