//! What a later message leaves out stays as an earlier one said it.
//!
//! A row of silver is *whole*: its empty columns are empty. Or it is a *patch*: it says some columns, empties some by name, and leaves
//! the others to the revisions before it. HL7's snapshots are patches: an empty field says nothing, and `""` deletes.
//!
//! ```text
//!  silver, by record, the latest first     patch  patch  whole  whole  …        patch  retract  patch …
//!  taken into account                      ├──────────────────┤                 ├─────┤
//!  a column of gold                        the first that says or empties it    what is behind a retraction is gone
//! ```
//!
//! A patch may be an update, which says something of a record and does not open it: where a retraction is behind it, and no row between
//! them that opens, the record stays retracted.
//!
//! Nothing here depends on the order of arrival, so a feed that comes twice or shuffled folds to the same rows. A record's rows
//! are in memory together; records go through one after the other.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use schema::Table;
use schema::tables::{PATCH, UPDATE};

use super::gold::latest_first;
use super::{LakeError, data_error, file_error, silver};

fn step(e: &dyn std::fmt::Display) -> LakeError {
    data_error("folding patches", e)
}

/// Whether silver has a patch of any record.
pub(super) async fn needed(ctx: &SessionContext) -> Result<bool, LakeError> {
    let sql = format!("SELECT 1 FROM silver WHERE {PATCH} IS NOT NULL LIMIT 1");
    let batches = ctx.sql(&sql).await.map_err(|e| step(&e))?.collect().await.map_err(|e| step(&e))?;
    Ok(batches.iter().any(|b| b.num_rows() > 0))
}

/// Writes one row for each record of silver that is not retracted: the latest revision, with what it leaves out from those before.
/// Required columns that nobody said are empty.
pub(super) async fn write(ctx: &SessionContext, table: Table, path: &Path) -> Result<(), LakeError> {
    let schema = table.silver();
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let sql = format!("SELECT {} FROM silver ORDER BY record_key, {}", columns.join(", "), latest_first(table));
    let file = File::create(path).map_err(|e| file_error(path, &e))?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(silver::properties())).map_err(|e| step(&e))?;
    let mut stream = ctx.sql(&sql).await.map_err(|e| step(&e))?.execute_stream().await.map_err(|e| step(&e))?;
    let mut rest: Option<RecordBatch> = None;
    while let Some(batch) = stream.next().await {
        let batch = fitted(&batch.map_err(|e| step(&e))?, &schema)?;
        let batch = match rest.take() {
            Some(rest) => concat_batches(&schema, [&rest, &batch]).map_err(|e| step(&e))?,
            None => batch,
        };
        let last = records(&batch)?.pop().map_or(0, |r| r.start);
        writer.write(&fold(&batch.slice(0, last))?).map_err(|e| step(&e))?;
        rest = Some(batch.slice(last, batch.num_rows() - last));
    }
    if let Some(rest) = rest {
        writer.write(&fold(&rest)?).map_err(|e| step(&e))?;
    }
    writer.close().map_err(|e| step(&e))?;
    Ok(())
}

/// A batch with the schema's own types.
fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| step(&e))?;
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| step(&e))
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, LakeError> {
    batch.column_by_name(name).ok_or_else(|| step(&format!("silver has no column {name}")))
}

/// The rows of each record.
fn records(batch: &RecordBatch) -> Result<Vec<Range<usize>>, LakeError> {
    let keys = column(batch, "record_key")?.as_fixed_size_binary();
    let mut out: Vec<Range<usize>> = Vec::new();
    for row in 0..keys.len() {
        match out.last_mut() {
            Some(range) if keys.value(range.start) == keys.value(row) => range.end = row + 1,
            _ => out.push(row..row + 1),
        }
    }
    Ok(out)
}

fn texts(column: &ArrayRef) -> Result<StringArray, LakeError> {
    Ok(cast(column, &DataType::Utf8).map_err(|e| step(&e))?.as_string::<i32>().clone())
}

/// Which rows of a record count: up to the first whole one, and none from a retraction on. Updates behind which a retraction is the
/// first that decides count for nothing: they do not open what was closed.
fn counting(rows: &Range<usize>, ops: &StringArray, patches: &StringArray) -> Range<usize> {
    let word = format!(" {UPDATE} ");
    let (mut end, mut opened) = (rows.start, false);
    for row in rows.clone() {
        if ops.value(row) == "retract" {
            if !opened {
                return rows.start..rows.start;
            }
            break;
        }
        opened |= patches.is_null(row) || !patches.value(row).contains(&word);
        end = row + 1;
        if patches.is_null(row) {
            break;
        }
    }
    rows.start..end
}

/// One row for each record of a batch whose records are whole.
fn fold(batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let (ops, patches) = (texts(column(batch, "op")?)?, texts(column(batch, PATCH)?)?);
    let kept: Vec<Range<usize>> =
        records(batch)?.iter().map(|r| counting(r, &ops, &patches)).filter(|r| !r.is_empty()).collect();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
        let word = format!(" {} ", field.name());
        let said =
            |row: &usize| values.is_valid(*row) || (patches.is_valid(*row) && patches.value(*row).contains(&word));
        let from: UInt32Array =
            kept.iter().map(|rows| rows.clone().find(said).and_then(|row| u32::try_from(row).ok())).collect();
        columns.push(take(values, &from, None).map_err(|e| step(&e))?);
    }
    RecordBatch::try_new(batch.schema(), columns).map_err(|e| step(&e))
}

/// What a required column holds where no revision said it, as SQL; `None` for columns that every row has.
pub(super) fn unsaid(table: Table, column: &str) -> Option<&'static str> {
    Some(match (table, column) {
        (_, "t_prec" | "t_zone_src") => "'none'",
        (Table::Visit, "open") => "(end_date IS NULL AND start_date IS NOT NULL)",
        (Table::Visit, "status") => {
            "CASE WHEN coalesce(open, end_date IS NULL AND start_date IS NOT NULL) THEN 'preliminary' ELSE 'final' END"
        }
        // Nobody said of what class a visit is that was opened again: an outpatient's, as that of a class that is not known.
        (Table::Visit, "class") => "'OP'",
        (Table::DrugExposure, "kind") => "'reported'",
        (_, "status") => "'final'",
        (Table::Patient, "sex") => "'U'",
        (Table::Patient, "age_capped") => "false",
        (Table::Condition, "role") => "'secondary'",
        (Table::Condition, "verification") => "'confirmed'",
        (Table::Measurement, "comparator") => "'eq'",
        (Table::Death, "death_source") => "'ehr'",
        _ => return None,
    })
}
