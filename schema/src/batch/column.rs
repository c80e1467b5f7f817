//! One column while it is filled: cells at rows, and nothing wherever none was put.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, DictionaryArray, FixedSizeBinaryBuilder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use crate::record::Cell;
use crate::tables::Kind;

/// A column of few different texts. The last text is compared first: in most rows it comes again.
pub(super) struct Category {
    keys: Int32Builder,
    values: StringBuilder,
    places: HashMap<Box<str>, i32>,
    last: (String, i32),
}

impl Category {
    fn new(rows: usize) -> Category {
        Category {
            keys: Int32Builder::with_capacity(rows),
            values: StringBuilder::new(),
            places: HashMap::new(),
            last: (String::new(), -1),
        }
    }

    /// The place of a text among the batch's texts.
    fn place(&mut self, text: &str) -> Result<i32, ArrowError> {
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
        Ok(self.last.1)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(self.keys.finish(), Arc::new(self.values.finish()))?))
    }
}

enum Cells {
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

/// A column. Its rows are filled in their order, and each at most once; rows that are passed over are null.
pub(super) struct Column {
    kind: Kind,
    cells: Cells,
    filled: usize,
}

impl Column {
    /// A column with room for so many rows.
    pub(super) fn new(kind: Kind, rows: usize) -> Column {
        let cells = match kind {
            Kind::Key => Cells::Key(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
            Kind::Tag => Cells::Tag(FixedSizeBinaryBuilder::with_capacity(rows, 32)),
            Kind::Category => Cells::Category(Category::new(rows)),
            Kind::Text => Cells::Text(StringBuilder::with_capacity(rows, 0)),
            Kind::Instant => Cells::Instant(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            Kind::Date => Cells::Date(Date32Builder::with_capacity(rows)),
            Kind::Real => Cells::Real(Float64Builder::with_capacity(rows)),
            Kind::Integer => Cells::Integer(Int64Builder::with_capacity(rows)),
            Kind::Revision => Cells::Revision(UInt32Builder::with_capacity(rows)),
            Kind::Offset => Cells::Offset(Int16Builder::with_capacity(rows)),
            Kind::Flag => Cells::Flag(BooleanBuilder::with_capacity(rows)),
        };
        Column { kind, cells, filled: 0 }
    }

    /// Makes every row before `row` null that nothing was put into. False where `row` is filled already.
    #[inline]
    fn reach(&mut self, row: usize) -> bool {
        if self.filled < row {
            self.nulls(row - self.filled);
            self.filled = row;
        }
        if self.filled > row {
            return false;
        }
        self.filled += 1;
        true
    }

    #[cold]
    #[inline(never)]
    fn nulls(&mut self, n: usize) {
        match &mut self.cells {
            Cells::Key(b) | Cells::Tag(b) => b.append_nulls(n),
            Cells::Category(b) => b.keys.append_nulls(n),
            Cells::Text(b) => b.append_nulls(n),
            Cells::Instant(b) => b.append_nulls(n),
            Cells::Date(b) => b.append_nulls(n),
            Cells::Real(b) => b.append_nulls(n),
            Cells::Integer(b) => b.append_nulls(n),
            Cells::Revision(b) => b.append_nulls(n),
            Cells::Offset(b) => b.append_nulls(n),
            Cells::Flag(b) => b.append_nulls(n),
        }
    }

    /// Puts a cell into a row; one that does not fit becomes null, which a column that may not be empty refuses later.
    #[inline]
    pub(super) fn put(&mut self, row: usize, cell: &Cell) -> Result<(), ArrowError> {
        if matches!(cell, Cell::Null) || !self.reach(row) {
            return Ok(());
        }
        match (&mut self.cells, cell) {
            (Cells::Key(b), Cell::Key(k)) => b.append_value(k)?,
            (Cells::Tag(b), Cell::Tag(t)) => b.append_value(t.as_bytes())?,
            (Cells::Category(b), Cell::Text(t)) => {
                let place = b.place(t)?;
                b.keys.append_value(place);
            }
            (Cells::Text(b), Cell::Text(t)) => b.append_value(t),
            (Cells::Instant(b), Cell::Instant(t)) => b.append_value(*t),
            (Cells::Date(b), Cell::Date(d)) => b.append_value(*d),
            (Cells::Real(b), Cell::Real(v)) => b.append_value(*v),
            (Cells::Integer(b), Cell::Int(v)) => b.append_value(*v),
            (Cells::Revision(b), Cell::Int(v)) => b.append_option(u32::try_from(*v).ok()),
            (Cells::Offset(b), Cell::Int(v)) => b.append_option(i16::try_from(*v).ok()),
            (Cells::Flag(b), Cell::Flag(v)) => b.append_value(*v),
            _ => self.nulls(1),
        }
        Ok(())
    }

    /// The same for a text that is not a cell yet.
    #[inline]
    pub(super) fn put_text(&mut self, row: usize, text: &str) -> Result<(), ArrowError> {
        if !self.reach(row) {
            return Ok(());
        }
        match &mut self.cells {
            Cells::Category(b) => {
                let place = b.place(text)?;
                b.keys.append_value(place);
            }
            Cells::Text(b) => b.append_value(text),
            _ => self.nulls(1),
        }
        Ok(())
    }

    /// The place of a text among those of this batch; none where the column is no category.
    pub(super) fn place(&mut self, text: &str) -> Result<Option<i32>, ArrowError> {
        match &mut self.cells {
            Cells::Category(b) => b.place(text).map(Some),
            _ => Ok(None),
        }
    }

    /// Puts a text by its place, which [`Column::place`] gave for this batch.
    #[inline]
    pub(super) fn put_place(&mut self, row: usize, place: i32) {
        if !self.reach(row) {
            return;
        }
        match &mut self.cells {
            Cells::Category(b) => b.keys.append_value(place),
            _ => self.nulls(1),
        }
    }

    /// The column of so many rows; it is empty afterwards, with room for as many.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if self.filled < rows {
            self.nulls(rows - self.filled);
        }
        let mut whole = std::mem::replace(self, Column::new(self.kind, rows));
        Ok(match &mut whole.cells {
            Cells::Key(b) | Cells::Tag(b) => Arc::new(b.finish()),
            Cells::Category(b) => b.finish()?,
            Cells::Text(b) => Arc::new(b.finish()),
            Cells::Instant(b) => Arc::new(b.finish()),
            Cells::Date(b) => Arc::new(b.finish()),
            Cells::Real(b) => Arc::new(b.finish()),
            Cells::Integer(b) => Arc::new(b.finish()),
            Cells::Revision(b) => Arc::new(b.finish()),
            Cells::Offset(b) => Arc::new(b.finish()),
            Cells::Flag(b) => Arc::new(b.finish()),
        })
    }
}
