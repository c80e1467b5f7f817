//! Predictions as a table: a row a patient, by the key that stands for the person at this site. Who can't be foretold has empty cells.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::engine::Person;

/// How the table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Parquet,
}

impl Format {
    /// By the ending of a file's name.
    ///
    /// # Errors
    /// It is another.
    pub(super) fn of(out: &Path) -> anyhow::Result<Format> {
        match out.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(Format::Csv),
            Some("parquet") => Ok(Format::Parquet),
            _ => bail!("{} ends neither with .csv nor with .parquet", out.display()),
        }
    }
}

fn key(person: &Person) -> String {
    person.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The table's bytes.
///
/// # Errors
/// Parquet can't be made of it.
pub(super) fn write(
    format: Format,
    persons: &[Person],
    names: &[String],
    told: &[Option<Vec<f64>>],
) -> anyhow::Result<Vec<u8>> {
    let at = |own: &Option<Vec<f64>>, column: usize| own.as_ref().and_then(|v| v.get(column)).copied();
    if format == Format::Csv {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let mut out = format!("person,{}\n", names.iter().map(quoted).collect::<Vec<_>>().join(","));
        for (person, own) in persons.iter().zip(told) {
            out += &key(person);
            for column in 0..names.len() {
                out.push(',');
                if let Some(value) = at(own, column) {
                    let _ = write!(out, "{value}");
                }
            }
            out.push('\n');
        }
        return Ok(out.into_bytes());
    }
    let mut fields = vec![Field::new("person", DataType::Utf8, false)];
    fields.extend(names.iter().map(|n| Field::new(n, DataType::Float64, true)));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(persons.iter().map(key)))];
    for column in 0..names.len() {
        columns.push(Arc::new(Float64Array::from_iter(told.iter().map(|own| at(own, column)))));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None)?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patient_has_a_row() {
        let persons = [[1u8; 16], [0xab; 16]];
        let names = ["p_a,b".to_owned(), "p_c".to_owned()];
        let told = [Some(vec![0.1, 0.9]), None];
        let csv = String::from_utf8(write(Format::Csv, &persons, &names, &told).unwrap()).unwrap();
        let wanted = format!("person,\"p_a,b\",\"p_c\"\n{},0.1,0.9\n{},,\n", "01".repeat(16), "ab".repeat(16));
        assert_eq!(csv, wanted);
        let bytes = write(Format::Parquet, &persons, &names, &told).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(arrow_bytes(bytes), 8).unwrap();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!((batches[0].num_rows(), batches[0].column(1).null_count()), (2, 1));
        assert!(Format::of(Path::new("a.txt")).is_err());
    }

    fn arrow_bytes(bytes: Vec<u8>) -> std::fs::File {
        use std::io::{Seek as _, Write as _};
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        file
    }
}
