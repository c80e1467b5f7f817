//! Rows that are alike: what they have in common is put into columns without being looked at again.

use arrow::error::ArrowError;

use super::column::Column;
use super::{BatchBuilder, PART_OF, PATCH, SEQUENCE, TOLD_WITH};
use crate::record::{Cell, Key, Record};
use crate::tables::Table;

/// What many rows of a table have in common.
pub struct Pattern {
    table: Table,
    /// The cells, by their columns' places.
    cells: Vec<(usize, Common)>,
    /// The batch whose places of texts are in `cells`.
    batch: Option<u64>,
}

enum Common {
    Cell(Cell),
    /// A text, and its place in the batch.
    Text(compact_str::CompactString, i32),
}

impl Pattern {
    /// Of a row: all that it says, but for the columns at the `varying` places (see [`Table::columns`]). What it is a part of or told
    /// with and its sequence vary as well.
    pub fn new(record: &Record, varying: &[usize]) -> Pattern {
        let mut cells = Vec::new();
        for (place, cell) in record.cells().iter().enumerate() {
            match cell {
                _ if varying.contains(&place) => {}
                Cell::Null => {}
                Cell::Text(text) => cells.push((place, Common::Text(text.clone(), 0))),
                other => cells.push((place, Common::Cell(other.clone()))),
            }
        }
        if let Some(names) = record.emptied() {
            let place = record.table().columns().count() + PATCH;
            cells.push((place, Common::Text(names.into(), 0)));
        }
        Pattern { table: record.table(), cells, batch: None }
    }

    /// The table.
    pub fn table(&self) -> Table {
        self.table
    }
}

/// A row that is being put into a batch's columns. It is in the batch whatever follows, so all that could fail goes before it.
pub struct Row<'b> {
    columns: &'b mut [Column],
    row: usize,
    /// Silver's own columns stand behind these.
    own: usize,
}

impl BatchBuilder {
    /// Begins a row of a pattern. A pattern of another table gives none.
    ///
    /// # Errors
    /// Arrow's own, such as a dictionary of more than 2^31 values.
    #[inline]
    pub fn row(&mut self, pattern: &mut Pattern) -> Result<Option<Row<'_>>, ArrowError> {
        if pattern.table != self.table {
            return Ok(None);
        }
        if pattern.batch != Some(self.batch) {
            for (place, common) in &mut pattern.cells {
                if let (Common::Text(text, at), Some(column)) = (common, self.columns.get_mut(*place))
                    && let Some(found) = column.place(text)?
                {
                    *at = found;
                }
            }
            pattern.batch = Some(self.batch);
        }
        let row = self.rows;
        for (place, common) in &pattern.cells {
            let Some(column) = self.columns.get_mut(*place) else { continue };
            match common {
                Common::Text(_, at) => column.put_place(row, *at),
                Common::Cell(cell) => column.put(row, cell)?,
            }
        }
        self.rows += 1;
        let own = self.columns.len() - super::OWN;
        Ok(Some(Row { columns: &mut self.columns, row, own }))
    }
}

impl Row<'_> {
    /// Puts a cell into the column at a place. A column that the pattern or an earlier call filled stays as it is.
    ///
    /// # Errors
    /// As [`BatchBuilder::row`].
    #[inline]
    pub fn put(&mut self, place: usize, cell: &Cell) -> Result<(), ArrowError> {
        match self.columns.get_mut(place) {
            Some(column) => column.put(self.row, cell),
            None => Ok(()),
        }
    }

    /// Puts a text.
    ///
    /// # Errors
    /// As [`BatchBuilder::row`].
    #[inline]
    pub fn text(&mut self, place: usize, text: &str) -> Result<(), ArrowError> {
        match self.columns.get_mut(place) {
            Some(column) => column.put_text(self.row, text),
            None => Ok(()),
        }
    }

    /// As [`Record::set_sequence`].
    ///
    /// # Errors
    /// As [`BatchBuilder::row`].
    pub fn sequence(&mut self, sequence: i64) -> Result<(), ArrowError> {
        self.put(self.own + SEQUENCE, &Cell::Int(sequence))
    }

    /// As [`Record::set_part_of`].
    ///
    /// # Errors
    /// As [`BatchBuilder::row`].
    pub fn part_of(&mut self, whole: Key) -> Result<(), ArrowError> {
        self.put(self.own + PART_OF, &Cell::Key(whole))
    }

    /// As [`Record::told_with`].
    ///
    /// # Errors
    /// As [`BatchBuilder::row`].
    pub fn told_with(&mut self, record: Key) -> Result<(), ArrowError> {
        self.put(self.own + TOLD_WITH, &Cell::Key(record))
    }
}
