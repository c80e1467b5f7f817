//! Answers and late rows of a job as Parquet, for the hospital alone.

use std::sync::Arc;

use arrow::array::{
    FixedSizeBinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use streams::out::{Closed, Emission, LateRow, Out};
use streams::sink::Rows;

use super::settings::Tell;
use super::source::FIXED;

fn instant(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

fn parquet(batch: &RecordBatch, into: &mut Vec<u8>) {
    let written = ArrowWriter::try_new(&mut *into, batch.schema(), None).and_then(|mut writer| {
        writer.write(batch)?;
        writer.close()
    });
    if let Err(e) = written {
        // Into memory, of columns made here: it can't fail on what a row holds.
        tracing::error!("a stream's answers could not be written as Parquet: {e}");
    }
}

fn times(all: impl Iterator<Item = i64>) -> Arc<arrow::array::TimestampMicrosecondArray> {
    let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    // Beyond the years that others read is written as nothing.
    all.for_each(|t| builder.append_option(Some(t).filter(|t| t.unsigned_abs() < 1 << 57)));
    Arc::new(builder.finish())
}

fn keys(all: impl Iterator<Item = u128>) -> Arc<arrow::array::FixedSizeBinaryArray> {
    let mut builder = FixedSizeBinaryBuilder::new(16);
    for key in all {
        match key {
            0 => builder.append_null(),
            key => drop(builder.append_value(key.to_be_bytes())),
        }
    }
    Arc::new(builder.finish())
}

fn texts<'a>(all: impl Iterator<Item = Option<&'a str>>) -> Arc<arrow::array::StringArray> {
    let mut builder = StringBuilder::new();
    all.for_each(|t| builder.append_option(t));
    Arc::new(builder.finish())
}

fn reals(all: impl Iterator<Item = Option<i64>>) -> Arc<arrow::array::Float64Array> {
    let mut builder = Float64Builder::new();
    all.for_each(|v| builder.append_option(v.map(|v| v as f64 / FIXED)));
    Arc::new(builder.finish())
}

fn counts(all: impl Iterator<Item = Option<i64>>) -> Arc<arrow::array::Int64Array> {
    let mut builder = Int64Builder::new();
    all.for_each(|v| builder.append_option(v));
    Arc::new(builder.finish())
}

/// The windows, sessions or pairs of a job.
pub(super) struct Answers {
    pub(super) tell: Tell,
    pub(super) held: Vec<(Closed, String, Option<String>)>,
}

impl Rows for Answers {
    fn write(&mut self, out: &Out, names: &[String], _: &mut Vec<u8>) {
        let name = |c: &Closed| names.get(c.group as usize).cloned().unwrap_or_default();
        let pair = self.tell == Tell::Followed;
        let then =
            |c: &Closed| c.more.first().filter(|_| pair).and_then(|g| names.get(usize::try_from(*g).ok()?)).cloned();
        self.held.extend(out.closed.iter().map(|c| (c.clone(), name(c), then(c))));
    }

    fn finish(&mut self, into: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        let telling = |e: Emission| match e {
            Emission::First => "first",
            Emission::Correction => "correction",
            Emission::Running => "running",
            Emission::Withdrawn => "withdrawn",
        };
        let tell = self.tell;
        let rows = || held.iter().map(|(c, ..)| c);
        let pair = tell == Tell::Followed;
        let quantile = |n: usize| reals(rows().map(|c| c.more.get(n).copied().filter(|_| tell == Tell::Quantiles)));

        let schema = Schema::new(vec![
            instant("window_start"),
            instant("window_end"),
            Field::new("group", DataType::Utf8, true),
            Field::new("person_key", DataType::FixedSizeBinary(16), true),
            Field::new("telling", DataType::Utf8, true),
            Field::new("count", DataType::Int64, true),
            Field::new("sum", DataType::Float64, true),
            Field::new("q1", DataType::Float64, true),
            Field::new("median", DataType::Float64, true),
            Field::new("q3", DataType::Float64, true),
            Field::new("then_value", DataType::Float64, true),
            Field::new("then_group", DataType::Utf8, true),
        ]);
        let has_sum = matches!(tell, Tell::Counts | Tell::Totals);
        let batch =
            RecordBatch::try_new(
                Arc::new(schema),
                vec![
                    times(rows().map(|c| c.window.start.0)),
                    times(rows().map(|c| c.window.end.0)),
                    texts(held.iter().map(|(_, name, _)| Some(name.as_str()))),
                    keys(rows().map(|c| c.key)),
                    texts(rows().map(|c| Some(telling(c.emission)))),
                    counts(rows().map(|c| Some(c.count).filter(|_| !pair))),
                    reals(rows().map(|c| {
                        if pair { Some(c.count) } else { Some(c.sum).filter(|_| has_sum && c.more.is_empty()) }
                    })),
                    quantile(0),
                    quantile(1),
                    quantile(2),
                    reals(rows().map(|c| Some(c.sum).filter(|_| pair))),
                    texts(held.iter().map(|(.., then)| then.as_deref())),
                ],
            );
        if let Ok(batch) = batch {
            parquet(&batch, into);
        }
    }

    fn forget(&mut self) {
        self.held.clear();
    }
}

/// The rows that were late, or could not be counted, each with why.
#[derive(Default)]
pub(super) struct Late {
    pub(super) held: Vec<(LateRow, String)>,
}

impl Rows for Late {
    fn write(&mut self, out: &Out, names: &[String], _: &mut Vec<u8>) {
        let name = |l: &LateRow| names.get(l.group as usize).cloned().unwrap_or_default();
        self.held.extend(out.late.iter().map(|l| (l.clone(), name(l))));
    }

    fn finish(&mut self, into: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        let rows = || held.iter().map(|(l, _)| l);
        let schema = Schema::new(vec![
            Field::new("why", DataType::Utf8, true),
            instant("watermark"),
            instant("t_event"),
            Field::new("person_key", DataType::FixedSizeBinary(16), true),
            Field::new("group", DataType::Utf8, true),
            Field::new("value", DataType::Float64, true),
            Field::new("takes_back", DataType::Boolean, true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                texts(rows().map(|l| Some(l.why.word()))),
                times(rows().map(|l| l.watermark)),
                times(rows().map(|l| l.time)),
                keys(rows().map(|l| l.key)),
                texts(held.iter().map(|(_, name)| Some(name.as_str()))),
                reals(rows().map(|l| Some(l.value))),
                Arc::new(rows().map(|l| Some(l.takes_back)).collect::<arrow::array::BooleanArray>()),
            ],
        );
        if let Ok(batch) = batch {
            parquet(&batch, into);
        }
    }

    fn forget(&mut self) {
        self.held.clear();
    }
}
