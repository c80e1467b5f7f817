//! How fast HL7 v2 messages become rows: `cargo run --release --package adapters --example hl7 -- FILE`
//!
//! Reads the file over and over for some seconds, out of memory, on one thread, and prints messages per second of the processor's time:
//! to rows of the schema, and to Arrow batches of silver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Cursor;

use adapters::{AdapterError, Context, Extract, Quarantined, Sink};
use schema::{BatchBuilder, Record, Table};

/// Rows of a batch.
const BATCH_ROWS: usize = 16_384;

#[derive(Default)]
struct Counted {
    arrow: bool,
    rows: u64,
    bytes: u64,
    tables: BTreeMap<Table, BatchBuilder>,
}

impl Sink for Counted {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.rows += 1;
        if self.arrow {
            let table = record.table();
            let builder = self.tables.entry(table).or_insert_with(|| BatchBuilder::new(table));
            builder.push(&record).unwrap();
            if builder.rows() >= BATCH_ROWS {
                self.bytes += builder.finish().unwrap().get_array_memory_size() as u64;
            }
        }
        Ok(())
    }
    fn quarantine(&mut self, item: Quarantined) -> Result<(), AdapterError> {
        panic!("{item:?}")
    }
}

/// Seconds of the processor that this thread has had, as Linux counts them.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this example reads Linux's /proc");
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let path = std::env::args().nth(1).expect("name a file of messages");
    let file = std::fs::read(path).unwrap();
    let adapter = adapters::open("hl7v2", None, "").unwrap();
    let context = Context {
        source_system: "speed".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_800_000_000_000_000,
        revision: 1,
    };
    for arrow in [false, true] {
        let mut sink = Counted { arrow, ..Counted::default() };
        let (mut messages, mut bytes) = (0u64, 0u64);
        let began = processor();
        while processor() - began < 4.0 {
            let reader = Box::new(Cursor::new(file.as_slice()));
            messages += adapter.read(&context, Extract { name: "m.hl7", reader }, &mut sink).unwrap().items;
            bytes += file.len() as u64;
        }
        let seconds = processor() - began;
        println!(
            "{}: {:.0} messages, {:.0} rows, {:.0} MB of input per CPU-second",
            if arrow { "to Arrow" } else { "to rows" },
            messages as f64 / seconds,
            sink.rows as f64 / seconds,
            bytes as f64 / 1e6 / seconds
        );
    }
}
