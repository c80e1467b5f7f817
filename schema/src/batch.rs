//! Rows to Arrow record batches.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, DictionaryArray, FixedSizeBinaryBuilder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use crate::record::{Cell, Record};
use crate::tables::{Kind, Table};

/// A column of few different texts. The last text is compared first: in most rows it comes again.
struct Category {
    keys: Int32Builder,
    values: StringBuilder,
    places: HashMap<Box<str>, i32>,
    last: (String, i32),
}

impl Category {
    fn new() -> Category {
        Category {
            keys: Int32Builder::new(),
            values: StringBuilder::new(),
            places: HashMap::new(),
            last: (String::new(), -1),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), ArrowError> {
        if self.last.1 < 0 || self.last.0 != text {
            let place = match self.places.get(text) {
                Some(place) => *place,
                None => {
                    let place = i32::try_from(self.places.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
                    self.values.append_value(text);
                    self.places.insert(text.into(), place);
                    place
                }
            };
            self.last.0.clear();
            self.last.0.push_str(text);
            self.last.1 = place;
        }
        self.keys.append_value(self.last.1);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.places.clear();
        self.last.1 = -1;
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(self.keys.finish(), Arc::new(self.values.finish()))?))
    }
}

enum Builder {
    Key(FixedSizeBinaryBuilder),
    Tag(FixedSizeBinaryBuilder),
    Category(Category),
    Text(StringBuilder),
    Instant(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Real(Float64Builder),
    Integer(Int64Builder),
    Revision(UInt32Builder),
    Offset(Int16Builder),
    Flag(BooleanBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Builder {
        match kind {
            Kind::Key => Builder::Key(FixedSizeBinaryBuilder::new(16)),
            Kind::Tag => Builder::Tag(FixedSizeBinaryBuilder::new(32)),
            Kind::Category => Builder::Category(Category::new()),
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Instant => Builder::Instant(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Real => Builder::Real(Float64Builder::new()),
            Kind::Integer => Builder::Integer(Int64Builder::new()),
            Kind::Revision => Builder::Revision(UInt32Builder::new()),
            Kind::Offset => Builder::Offset(Int16Builder::new()),
            Kind::Flag => Builder::Flag(BooleanBuilder::new()),
        }
    }

    /// Appends a cell; one that does not fit becomes null, which a column that may not be empty refuses later.
    fn push(&mut self, cell: &Cell) -> Result<(), ArrowError> {
        match (self, cell) {
            (Builder::Key(b), Cell::Key(k)) => b.append_value(k)?,
            (Builder::Key(b), _) => b.append_null(),
            (Builder::Tag(b), Cell::Tag(t)) => b.append_value(t.as_bytes())?,
            (Builder::Tag(b), _) => b.append_null(),
            (Builder::Category(b), Cell::Text(t)) => b.push(t)?,
            (Builder::Category(b), _) => b.keys.append_null(),
            (Builder::Text(b), Cell::Text(t)) => b.append_value(t),
            (Builder::Text(b), _) => b.append_null(),
            (Builder::Instant(b), Cell::Instant(t)) => b.append_value(*t),
            (Builder::Instant(b), _) => b.append_null(),
            (Builder::Date(b), Cell::Date(d)) => b.append_value(*d),
            (Builder::Date(b), _) => b.append_null(),
            (Builder::Real(b), Cell::Real(v)) => b.append_value(*v),
            (Builder::Real(b), _) => b.append_null(),
            (Builder::Integer(b), Cell::Int(v)) => b.append_value(*v),
            (Builder::Integer(b), _) => b.append_null(),
            (Builder::Revision(b), Cell::Int(v)) => b.append_option(u32::try_from(*v).ok()),
            (Builder::Revision(b), _) => b.append_null(),
            (Builder::Offset(b), Cell::Int(v)) => b.append_option(i16::try_from(*v).ok()),
            (Builder::Offset(b), _) => b.append_null(),
            (Builder::Flag(b), Cell::Flag(v)) => b.append_value(*v),
            (Builder::Flag(b), _) => b.append_null(),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Key(b) | Builder::Tag(b) => Arc::new(b.finish()),
            Builder::Category(b) => b.finish()?,
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Instant(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Real(b) => Arc::new(b.finish()),
            Builder::Integer(b) => Arc::new(b.finish()),
            Builder::Revision(b) => Arc::new(b.finish()),
            Builder::Offset(b) => Arc::new(b.finish()),
            Builder::Flag(b) => Arc::new(b.finish()),
        })
    }
}

/// Collects rows of one table into record batches of silver.
pub struct BatchBuilder {
    table: Table,
    columns: Vec<Builder>,
    patches: Category,
    sequences: Int64Builder,
    parts: FixedSizeBinaryBuilder,
    sets: FixedSizeBinaryBuilder,
    rows: usize,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new(table: Table) -> BatchBuilder {
        let columns = table.columns().map(|c| Builder::new(c.kind)).collect();
        BatchBuilder {
            table,
            columns,
            patches: Category::new(),
            sequences: Int64Builder::new(),
            parts: FixedSizeBinaryBuilder::new(16),
            sets: FixedSizeBinaryBuilder::new(16),
            rows: 0,
        }
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
        for (column, cell) in self.columns.iter_mut().zip(record.cells()) {
            column.push(cell)?;
        }
        match record.emptied() {
            Some(names) => self.patches.push(&names)?,
            None => self.patches.keys.append_null(),
        }
        self.sequences.append_option(record.sequence());
        match record.part_of() {
            Some(whole) => self.parts.append_value(whole)?,
            None => self.parts.append_null(),
        }
        match record.is_told_with() {
            Some(key) => self.sets.append_value(key)?,
            None => self.sets.append_null(),
        }
        self.rows += 1;
        Ok(true)
    }

    /// The rows so far as one batch; the builder is empty afterwards.
    ///
    /// # Errors
    /// A column that every row has holds a null.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Builder::finish).collect::<Result<_, _>>()?;
        arrays.push(self.patches.finish()?);
        arrays.push(Arc::new(self.sequences.finish()));
        arrays.push(Arc::new(self.parts.finish()));
        arrays.push(Arc::new(self.sets.finish()));
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
