//! Rows to Arrow record batches.
//!
//! [`BatchBuilder`] takes whole records, or fills columns row by row after a [`Pattern`], which holds what many rows have in common.

mod column;
mod pattern;

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use self::column::Column;
pub use self::pattern::{Pattern, Row};
use crate::record::{Cell, Record};
use crate::tables::{Kind, Table};

/// Silver's own columns, in their order behind those of the table.
const OWN: usize = 4;
const PATCH: usize = 0;
const SEQUENCE: usize = 1;
const PART_OF: usize = 2;
const TOLD_WITH: usize = 3;

/// Collects rows of one table into record batches of silver.
pub struct BatchBuilder {
    table: Table,
    columns: Vec<Column>,
    rows: usize,
    /// Which of all batches of this process it is.
    batch: u64,
}

/// A number that no other batch has, since the places of texts are those of one batch alone.
fn next_batch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new(table: Table) -> BatchBuilder {
        let own = [Kind::Category, Kind::Integer, Kind::Key, Kind::Key];
        let columns = table.columns().map(|c| c.kind).chain(own).map(|kind| Column::new(kind, 0)).collect();
        BatchBuilder { table, columns, rows: 0, batch: next_batch() }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a row of this builder's table; a row of another table is not taken and gives `false`.
    ///
    /// # Errors
    /// Arrow's own, such as a dictionary of more than 2^31 values.
    pub fn push(&mut self, record: &Record) -> Result<bool, ArrowError> {
        if record.table() != self.table {
            return Ok(false);
        }
        let row = self.rows;
        for (column, cell) in self.columns.iter_mut().zip(record.cells()) {
            column.put(row, cell)?;
        }
        let own = self.columns.len() - OWN;
        if let Some(names) = record.emptied()
            && let Some(column) = self.columns.get_mut(own + PATCH)
        {
            column.put_text(row, &names)?;
        }
        let more = [
            (SEQUENCE, record.sequence().map(Cell::Int)),
            (PART_OF, record.part_of().copied().map(Cell::Key)),
            (TOLD_WITH, record.is_told_with().copied().map(Cell::Key)),
        ];
        for (at, cell) in more {
            if let (Some(cell), Some(column)) = (cell, self.columns.get_mut(own + at)) {
                column.put(row, &cell)?;
            }
        }
        self.rows += 1;
        Ok(true)
    }

    /// The rows so far as one batch; the builder is empty afterwards.
    ///
    /// # Errors
    /// A column that every row has holds a null.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.batch = next_batch();
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|c| c.finish(rows)).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.table.silver(), arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;

    #[test]
    fn a_category_keeps_each_text_once_a_batch() {
        let mut builder = BatchBuilder::new(Table::Patient);
        let texts = [Some("a"), Some("a"), None, Some("b"), Some("a")];
        for round in 0..2 {
            for text in texts {
                let record = Record::new(Table::Patient)
                    .with("person_key", [0; 16])
                    .with("record_key", [0; 16])
                    .with("rev", 1)
                    .with("op", "upsert")
                    .with("source_system", "x")
                    .with("src_format", "x")
                    .with("t_prec", "none")
                    .with("t_zone_src", "none")
                    .with("t_ingest", Cell::Instant(0))
                    .with("status", "final")
                    .with("sex", "U")
                    .with("age_capped", false)
                    .with("code", text.map(str::to_owned));
                assert!(builder.push(&record).unwrap());
            }
            let batch = builder.finish().unwrap();
            let column = batch.column_by_name("code").unwrap().as_dictionary::<Int32Type>();
            let values = column.values().as_string::<i32>();
            let got: Vec<_> =
                (0..5).map(|i| column.key(i).filter(|_| column.is_valid(i)).map(|k| values.value(k))).collect();
            assert_eq!((got.as_slice(), values.len()), (texts.as_slice(), 2), "round {round}");
        }
    }
}
