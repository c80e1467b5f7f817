//! Rows to Arrow record batches.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float64Builder, Int16Builder,
    Int64Builder, RecordBatch, StringBuilder, StringDictionaryBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use crate::record::{Cell, Record};
use crate::tables::{Kind, Table};

enum Builder {
    Key(FixedSizeBinaryBuilder),
    Tag(FixedSizeBinaryBuilder),
    Category(StringDictionaryBuilder<Int32Type>),
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
            Kind::Category => Builder::Category(StringDictionaryBuilder::new()),
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
            (Builder::Category(b), Cell::Text(t)) => {
                b.append(t)?;
            }
            (Builder::Category(b), _) => b.append_null(),
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

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Key(b) | Builder::Tag(b) => Arc::new(b.finish()),
            Builder::Category(b) => ArrayBuilder::finish(b),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Instant(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Real(b) => Arc::new(b.finish()),
            Builder::Integer(b) => Arc::new(b.finish()),
            Builder::Revision(b) => Arc::new(b.finish()),
            Builder::Offset(b) => Arc::new(b.finish()),
            Builder::Flag(b) => Arc::new(b.finish()),
        }
    }
}

/// Collects rows of one table into record batches.
pub struct BatchBuilder {
    table: Table,
    columns: Vec<Builder>,
    rows: usize,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new(table: Table) -> BatchBuilder {
        BatchBuilder { table, columns: table.columns().map(|c| Builder::new(c.kind)).collect(), rows: 0 }
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
        self.rows += 1;
        Ok(true)
    }

    /// The rows so far as one batch; the builder is empty afterwards.
    ///
    /// # Errors
    /// A column that may not be empty holds a null.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Builder::finish).collect();
        RecordBatch::try_new(self.table.arrow(), arrays)
    }
}
