//! How fast clinical documents are read: `cargo run --release --package adapters --example ccda -- FOLDER`
//!
//! Reads every `.xml`, `.ccda` and `.cda` file of the folder over and over for some seconds, out of memory, and prints
//! megabytes and records per second of the processor's time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::Cursor;
use std::path::PathBuf;

use adapters::{AdapterError, Context, Extract, Quarantined, Sink};
use schema::Record;

struct Nowhere;

impl Sink for Nowhere {
    fn record(&mut self, _: Record) -> Result<(), AdapterError> {
        Ok(())
    }
    fn quarantine(&mut self, _: Quarantined) -> Result<(), AdapterError> {
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

fn main() {
    let folder = std::env::args().nth(1).expect("name a folder of documents");
    let adapter = adapters::open("ccda", None, "").unwrap();
    let paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let files: Vec<Vec<u8>> = paths
        .iter()
        .filter(|p| p.is_file() && adapter.accepts(&p.to_string_lossy()))
        .map(|p| std::fs::read(p).unwrap())
        .collect();
    let context = Context {
        source_system: "speed".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    };
    let (mut bytes, mut records, mut documents) = (0u64, 0u64, 0u64);
    let began = cpu_seconds();
    while cpu_seconds() - began < 5.0 {
        for file in &files {
            let reader = Box::new(Cursor::new(file.as_slice()));
            let read = adapter.read(&context, Extract { name: "d.xml", reader }, &mut Nowhere).unwrap();
            bytes += file.len() as u64;
            records += read.records;
            documents += 1;
        }
    }
    let seconds = cpu_seconds() - began;
    let rate = |n: u64| n as f64 / seconds;
    println!(
        "{} documents: {:.0} MB, {:.0} documents and {:.0} records per CPU-second",
        files.len(),
        rate(bytes) / 1e6,
        rate(documents),
        rate(records)
    );
}
