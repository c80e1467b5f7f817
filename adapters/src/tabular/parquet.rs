//! Rows out of a Parquet file, a batch at a time, only the columns that are read.
//!
//! A typed value becomes the text that has one reading: `2020-03-01`, `2020-03-01T08:15:00`, `1.5`, `true`. A whole number
//! that was stored as a real one, as identifiers with gaps often are, is written without its fraction.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::rows::{Fields, Next};
use crate::sink::Reason;

/// Rows of a batch: what is in memory at once.
const BATCH: usize = 2048;

/// A reader of a Parquet file's rows.
pub(crate) struct ParquetRows {
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    typed: Vec<bool>,
    /// Columns that are wanted and hold lists or structures.
    nested: Vec<String>,
    batch: Option<RecordBatch>,
    at: usize,
    row: u64,
    rows: u64,
    bytes: u64,
    fields: Fields,
    over: bool,
}

/// Types whose values have one reading, whatever the mapping says of dates and decimals.
fn is_typed(kind: &DataType) -> bool {
    kind.is_numeric() || kind.is_temporal() || matches!(kind, DataType::Boolean)
}

impl ParquetRows {
    /// Opens a file. The inner error is a file that is no Parquet, with the remedy.
    pub(crate) fn open(path: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Result<ParquetRows, String>> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let builder = match ParquetRecordBatchReaderBuilder::try_new(file) {
            Ok(builder) => builder,
            Err(_) => {
                let detail = "the Parquet file's footer cannot be read, it is short or damaged; copy it again";
                return Ok(Err(detail.to_owned()));
            }
        };
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let flat = |kind: &DataType| !kind.is_nested();
        let nested: Vec<String> = builder
            .schema()
            .fields()
            .iter()
            .filter(|f| !flat(f.data_type()) && wanted(f.name()))
            .map(|f| f.name().clone())
            .collect();
        let roots: Vec<usize> = builder
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, f)| flat(f.data_type()) && wanted(f.name()))
            .map(|(i, _)| i)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = match builder.with_projection(mask).with_batch_size(BATCH).build() {
            Ok(reader) => reader,
            Err(_) => return Ok(Err("the Parquet file cannot be read; write it again".to_owned())),
        };
        let schema: &Schema = &parquet_schema(&reader);
        let columns = schema.fields().iter().map(|f| f.name().clone()).collect();
        let typed = schema.fields().iter().map(|f| is_typed(f.data_type())).collect();
        Ok(Ok(ParquetRows {
            reader,
            columns,
            typed,
            nested,
            batch: None,
            at: 0,
            row: 0,
            rows,
            bytes,
            fields: Fields::default(),
            over: false,
        }))
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn nested(&self) -> &[String] {
        &self.nested
    }

    pub(crate) fn typed(&self, field: usize) -> bool {
        self.typed.get(field).copied().unwrap_or(false)
    }

    /// By the rows read, since pages are read as they are needed.
    pub(crate) fn read_bytes(&self) -> u64 {
        match self.rows {
            0 => self.bytes,
            rows => (u128::from(self.bytes) * u128::from(self.row) / u128::from(rows)).try_into().unwrap_or(0),
        }
    }

    pub(crate) fn advance(&mut self) -> io::Result<Next> {
        loop {
            if self.over {
                return Ok(Next::End);
            }
            if let Some(batch) = self.batch.as_ref().filter(|b| self.at < b.num_rows()) {
                write_row(batch, self.at, &mut self.fields);
                self.at += 1;
                self.row += 1;
                return Ok(Next::Row(self.row));
            }
            match self.reader.next().map(|batch| batch.and_then(readable)) {
                None => self.over = true,
                Some(Ok(batch)) => {
                    self.batch = Some(batch);
                    self.at = 0;
                }
                Some(Err(_)) => {
                    self.over = true;
                    let detail = format!(
                        "row {} of {}: the Parquet file cannot be read from here, it is damaged or packed with a codec \
                         that is none of zstd and snappy; write it again",
                        self.row + 1,
                        self.rows
                    );
                    return Ok(Next::Bad(self.row + 1, Reason::Truncated, detail));
                }
            }
        }
    }
}

fn parquet_schema(reader: &ParquetRecordBatchReader) -> std::sync::Arc<Schema> {
    use arrow::array::RecordBatchReader as _;
    reader.schema()
}

/// Columns as they can be written: bytes without a type are text, dictionaries are their values, reals are 64 bits wide.
fn readable(batch: RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let plain = |column: &ArrayRef| -> Result<ArrayRef, arrow::error::ArrowError> {
        let to = match column.data_type() {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Utf8,
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            DataType::Float16 | DataType::Float32 => DataType::Float64,
            _ => return Ok(column.clone()),
        };
        arrow::compute::cast(column, &to)
    };
    let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(f, c)| arrow::datatypes::Field::new(f.name(), c.data_type().clone(), true))
        .collect();
    if columns.is_empty() {
        return Ok(batch);
    }
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)
}

fn options() -> FormatOptions<'static> {
    FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
        .with_datetime_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.f%:z"))
}

fn write_row(batch: &RecordBatch, row: usize, fields: &mut Fields) {
    fields.clear();
    let options = options();
    for column in batch.columns() {
        if !column.is_null(row) {
            write_cell(column, row, &options, fields.writer());
        }
        fields.end();
    }
}

fn write_cell(column: &ArrayRef, row: usize, options: &FormatOptions<'_>, out: &mut String) {
    match column.data_type() {
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(column.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        // The shortest text that reads as the same number, without an exponent and, where whole, without a fraction.
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            if value.is_finite() {
                let _ = write!(out, "{value}");
            }
        }
        _ => {
            if let Ok(formatter) = ArrayFormatter::try_new(column.as_ref(), options) {
                let _ = write!(out, "{}", formatter.value(row));
            }
        }
    }
}

#[cfg(test)]
mod tests;
