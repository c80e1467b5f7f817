//! Typed columns, damaged files, and that text and Parquet give the same rows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::Int8Type;
use parquet::arrow::ArrowWriter;

use super::*;

fn write(path: &Path) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("visit", Arc::new(Float64Array::from(vec![Some(123.0), Some(0.25)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(15842), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_368_778_500_000_000), Some(1_500)]))),
        ("zoned", Arc::new(TimestampMillisecondArray::from(vec![Some(0), None]).with_timezone("+02:00"))),
        ("number", Arc::new(Decimal128Array::from(vec![Some(48_100), None]).with_precision_and_scale(18, 3).unwrap())),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false)]))),
        ("text", Arc::new(StringArray::from(vec![Some(" a b "), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some("é".as_bytes()), Some(b"\xff".as_slice())]))),
        ("word", Arc::new(vec![Some("x"), None].into_iter().collect::<DictionaryArray<Int8Type>>())),
        ("unread", Arc::new(Int32Array::from(vec![1, 2]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn all(path: &Path) -> Result<Vec<Vec<String>>, String> {
    let mut rows = ParquetRows::open(path, &|name| name != "unread").unwrap()?;
    let mut out = Vec::new();
    loop {
        match rows.advance().unwrap() {
            Next::End => return Ok(out),
            Next::Bad(_, reason, detail) => return Err(format!("{}: {detail}", reason.code())),
            Next::Row(_) => {
                let f = rows.fields();
                out.push((0..f.len()).map(|i| f.get(i).unwrap().to_owned()).collect());
            }
        }
    }
}

/// As pandas and Spark write a time with its zone.
#[test]
fn a_time_of_a_named_zone_is_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let at = |zone: &str| TimestampMicrosecondArray::from(vec![1_577_956_500_000_000]).with_timezone(zone);
    let columns = ["UTC", "America/New_York"].map(|zone| (zone, Arc::new(at(zone)) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert_eq!(all(&path).unwrap(), [["2020-01-02T09:15:00+00:00", "2020-01-02T04:15:00-05:00"]]);
}

#[test]
fn every_type_has_one_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write(&path);
    let rows = all(&path).unwrap();
    let want = [
        "1",
        "123",
        "2013-05-17",
        "2013-05-17T08:15:00",
        "1970-01-01T02:00:00+02:00",
        "48.100",
        "true",
        "a b",
        "é",
        "x",
    ];
    assert_eq!(rows[0], want);
    assert_eq!(rows[1], ["", "0.25", "", "1970-01-01T00:00:00.001500", "", "", "false", "", "", ""]);
    let opened = ParquetRows::open(&path, &|_| true).unwrap().unwrap();
    let typed: Vec<bool> = (0..11).map(|i| opened.typed(i)).collect();
    assert_eq!(typed, [true, true, true, true, true, true, true, false, false, false, true]);
}

#[test]
fn a_damaged_file_is_told_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write(&path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(all(&path).unwrap_err().contains("copy it again"));
    // A page in the middle is overwritten; the footer is whole.
    let mut broken = whole.clone();
    for byte in broken.iter_mut().skip(4).take(200) {
        *byte = 0xff;
    }
    std::fs::write(&path, &broken).unwrap();
    let error = all(&path).unwrap_err();
    assert!(error.contains("truncated: row 1 of 2"), "{error}");
}

#[test]
fn a_column_of_lists_has_no_cells_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let mut lists = arrow::array::ListBuilder::new(arrow::array::Float64Builder::new());
    lists.append_value([Some(1.0), Some(2.0)]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(Int64Array::from(vec![1]))), ("values", Arc::new(lists.finish()))];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let rows = ParquetRows::open(&path, &|_| true).unwrap().unwrap();
    assert_eq!((rows.columns(), rows.nested()), (&["id".to_owned()][..], &["values".to_owned()][..]));
    assert!(ParquetRows::open(&path, &|name| name == "id").unwrap().unwrap().nested().is_empty());
}
