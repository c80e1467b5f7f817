//! One pass of an ingest, for `bench/`: `ingest FORMAT MODE OUT FILE`
//!
//! Reads the file once with the adapter of that format and prints one line of JSON: bytes, items, rows, and what a reader of the same
//! file must agree on. `bench/run.py` starts it as a process of its own and reads processor time and peak memory from the kernel.
//!
//! * `scan`: the floor: the same reads, and a search for line ends. Nothing else.
//! * `rows`: to rows, which are counted and dropped.
//! * `batches`: to Arrow batches of silver, which are dropped.
//! * `flat`: to one Parquet file of five columns (patient, code, value, unit, time), as the peers write it.
//! * `silver`: to a Parquet file a table with every column of silver, as a site writes it.
//!
//! `OUT` is a folder. Of a folder of tables, files beside the named one that the format reads with it are found by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::{AdapterError, Context, Extract, Neighbour, Place, Quarantined, Sink};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Schema, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schema::tables::PART_OF;
use schema::{BatchBuilder, Record, Table};

/// Rows of a batch and of a row group, as a site has them.
const BATCH_ROWS: usize = 16_384;
const ROW_GROUP: usize = 131_072;

/// The columns of the flat file.
const FLAT: [&str; 5] = ["person_key", "code", "value_num", "unit_src", "t_event"];

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Rows,
    Batches,
    Flat,
    Silver,
}

struct One {
    builder: BatchBuilder,
    writer: Option<ArrowWriter<File>>,
}

/// Where rows go.
struct Ingest {
    mode: Mode,
    out: PathBuf,
    /// By table.
    tables: [Option<One>; Table::ALL.len()],
    rows: u64,
    bad: u64,
    /// The sum of the values of rows that are no part of another, and the least time.
    sum: f64,
    least: i64,
}

impl Ingest {
    fn one(&mut self, table: Table) -> &mut One {
        let (mode, out) = (self.mode, &self.out);
        self.tables[table as usize].get_or_insert_with(|| {
            let silver = table.silver();
            let schema = match mode {
                Mode::Flat if table == Table::Measurement => Some(Arc::new(Schema::new(
                    FLAT.iter().map(|c| silver.field_with_name(c).unwrap().clone()).collect::<Vec<_>>(),
                ))),
                Mode::Silver => Some(silver),
                _ => None,
            };
            let writer = schema.map(|schema| {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .build();
                let file = File::create(out.join(format!("{}.parquet", table.name()))).unwrap();
                ArrowWriter::try_new(file, schema, Some(properties)).unwrap()
            });
            One { builder: BatchBuilder::new(table), writer }
        })
    }

    fn flush(&mut self, table: Table) {
        let mode = self.mode;
        let one = self.one(table);
        let batch = one.builder.finish().unwrap();
        if let Some(writer) = &mut one.writer {
            match mode {
                Mode::Flat => {
                    let at: Vec<usize> = FLAT.iter().map(|c| batch.schema_ref().index_of(c).unwrap()).collect();
                    writer.write(&batch.project(&at).unwrap()).unwrap();
                }
                _ => writer.write(&batch).unwrap(),
            }
        }
        if table == Table::Measurement {
            self.check(&batch);
        }
    }

    fn check(&mut self, batch: &RecordBatch) {
        let column = |name| batch.column_by_name(name).unwrap();
        let values = column("value_num").as_primitive::<Float64Type>();
        let parts = column(PART_OF);
        self.sum += (0..batch.num_rows())
            .filter(|i| values.is_valid(*i) && parts.is_null(*i))
            .map(|i| values.value(i))
            .sum::<f64>();
        let times = column("t_event").as_primitive::<TimestampMicrosecondType>();
        self.least = self.least.min(arrow::compute::min(times).unwrap_or(i64::MAX));
    }

    fn finish(&mut self) {
        for table in Table::ALL.into_iter().filter(|t| self.tables[*t as usize].is_some()).collect::<Vec<_>>() {
            self.flush(table);
            if let Some(writer) = self.one(table).writer.take() {
                writer.close().unwrap();
            }
        }
    }
}

impl Sink for Ingest {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.row(&record)
    }
    fn row(&mut self, record: &Record) -> Result<(), AdapterError> {
        self.rows += 1;
        if self.mode == Mode::Rows {
            std::hint::black_box(record);
            return Ok(());
        }
        let table = record.table();
        let one = self.one(table);
        one.builder.push(record).unwrap();
        if one.builder.rows() >= BATCH_ROWS {
            self.flush(table);
        }
        Ok(())
    }
    fn columns(&mut self, table: Table) -> Result<Option<&mut BatchBuilder>, AdapterError> {
        Ok((self.mode != Mode::Rows).then(|| &mut self.one(table).builder))
    }
    fn filled(&mut self, table: Table) -> Result<(), AdapterError> {
        if self.one(table).builder.rows() >= BATCH_ROWS {
            self.flush(table);
        }
        Ok(())
    }
    fn quarantine(&mut self, _: Quarantined) -> Result<(), AdapterError> {
        self.bad += 1;
        Ok(())
    }
}

fn scan(path: &Path) -> (u64, u64) {
    let mut reader = adapters::reader(path).unwrap();
    let (mut bytes, mut lines) = (0u64, 0u64);
    loop {
        let buffer = reader.fill_buf().unwrap();
        if buffer.is_empty() {
            return (bytes, lines);
        }
        lines += memchr::memchr_iter(b'\n', buffer).count() as u64;
        let n = buffer.len();
        bytes += n as u64;
        reader.consume(n);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, mode, out, file] = arguments.as_slice() else { panic!("ingest FORMAT MODE OUT FILE") };
    let path = PathBuf::from(file);
    if mode == "scan" {
        let (bytes, lines) = scan(&path);
        println!("{{\"bytes\":{bytes},\"lines\":{lines}}}");
        return;
    }
    let mode = match mode.as_str() {
        "rows" => Mode::Rows,
        "batches" => Mode::Batches,
        "flat" => Mode::Flat,
        "silver" => Mode::Silver,
        _ => panic!("MODE is scan, rows, batches, flat or silver"),
    };
    std::fs::create_dir_all(out).unwrap();
    let adapter = adapters::open(format, None, "").unwrap();
    let context = Context {
        source_system: "speed".to_owned(),
        zone: chrono_tz::America::New_York,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_800_000_000_000_000,
        revision: 1,
    };
    let name_of = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
    let name = name_of(&path);
    let beside: Vec<Neighbour> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file() && adapter.beside(&name, &name_of(p)))
        .map(|p| Neighbour { name: name_of(&p), path: p, version: String::new() })
        .collect();
    let mut sink = Ingest {
        mode,
        out: PathBuf::from(out),
        tables: [const { None }; Table::ALL.len()],
        rows: 0,
        bad: 0,
        sum: 0.0,
        least: i64::MAX,
    };
    let place = Place { path: Some(&path), beside: &beside };
    let reader = adapters::reader(&path).unwrap();
    let read = adapter.read_at(&context, Extract { name: &name, reader }, place, &mut sink).unwrap();
    sink.finish();
    println!(
        "{{\"bytes\":{},\"items\":{},\"rows\":{},\"quarantined\":{},\"sum\":{:.2},\"least\":{}}}",
        std::fs::metadata(&path).unwrap().len(),
        read.items,
        read.records,
        sink.bad,
        sink.sum,
        sink.least
    );
}
