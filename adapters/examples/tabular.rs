//! How fast tables are read: `cargo run --package adapters --example tabular -- FORMAT FOLDER [MAPPING]`
//!
//! Reads every file of the folder that the format reads, over and over for some seconds each, out of memory (Parquet: from its
//! file), and prints megabytes of text and rows per second of the processor's time. Records end in silver's Arrow columns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use adapters::{AdapterError, Context, Extract, Neighbour, Place, Quarantined, Sink};
use schema::{BatchBuilder, Record, Table};

/// Record batches, which are dropped when they are full.
#[derive(Default)]
struct Columns(BTreeMap<Table, BatchBuilder>);

impl Sink for Columns {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.row(&record)
    }
    fn row(&mut self, record: &Record) -> Result<(), AdapterError> {
        let builder = self.0.entry(record.table()).or_insert_with(|| BatchBuilder::new(record.table()));
        builder.push(record).unwrap();
        if builder.rows() >= 16_384 {
            builder.finish().unwrap();
        }
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
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().expect("name a format");
    let folder = arguments.next().expect("name a folder");
    let mapping = arguments.next().map(|m| std::fs::read_to_string(m).unwrap());
    let adapter = adapters::open(&format, mapping.as_deref(), "mapping.toml").unwrap();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    let context = Context {
        source_system: "speed".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_700_000_000_000_000,
        revision: 1,
    };
    for path in paths.iter().filter(|p| p.is_file() && adapter.accepts(&name(p))) {
        let file = name(path);
        let beside: Vec<Neighbour> = paths
            .iter()
            .filter(|p| adapter.beside(&file, &name(p)))
            .map(|p| Neighbour { name: name(p), path: p.clone(), version: String::new() })
            .collect();
        let place = Place { path: Some(path), beside: &beside };
        let mut text = Vec::new();
        adapters::reader(path).unwrap().read_to_end(&mut text).unwrap();
        let (mut bytes, mut rows) = (0u64, 0u64);
        let mut columns = Columns::default();
        let began = cpu_seconds();
        while cpu_seconds() - began < 3.0 {
            let reader = Box::new(Cursor::new(text.as_slice()));
            let read = adapter.read_at(&context, Extract { name: &file, reader }, place, &mut columns).unwrap();
            bytes += text.len() as u64;
            rows += read.items;
        }
        let seconds = cpu_seconds() - began;
        println!("{file}: {:.0} MB and {:.0} rows per CPU-second", bytes as f64 / seconds / 1e6, rows as f64 / seconds);
    }
}
