//! One row on its way from an adapter to silver.

use aws_lc_rs::hmac;

use crate::linkage::LinkageTag;
use crate::tables::{Kind, Table};

/// A 16-byte keyed pseudonym.
pub type Key = [u8; 16];

/// The site's pseudonym key. It never leaves the site and is never printed.
pub struct Pseudonyms {
    key: hmac::Key,
}

impl Pseudonyms {
    /// From the site's 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Pseudonyms {
        Pseudonyms { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// HMAC-SHA256 over the parts, each with its length before it, cut to 16 bytes.
    pub fn key(&self, parts: &[&str]) -> Key {
        let mut ctx = hmac::Context::with_key(&self.key);
        for part in parts {
            ctx.update(&(part.len() as u64).to_le_bytes());
            ctx.update(part.as_bytes());
        }
        let mut out = [0u8; 16];
        out.copy_from_slice(&ctx.sign().as_ref()[..16]);
        out
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Cell {
    /// Nothing.
    #[default]
    Null,
    /// A pseudonym.
    Key(Key),
    /// A linkage tag.
    Tag(LinkageTag),
    /// A text or a category.
    Text(String),
    /// A real number.
    Real(f64),
    /// A whole number: integers, revisions, offsets.
    Int(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// True or false.
    Flag(bool),
}

impl Cell {
    /// Whether the cell may stand in a column of that kind.
    pub fn fits(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Cell::Null, _)
                | (Cell::Key(_), Kind::Key)
                | (Cell::Tag(_), Kind::Tag)
                | (Cell::Text(_), Kind::Category | Kind::Text)
                | (Cell::Real(_), Kind::Real)
                | (Cell::Int(_), Kind::Integer | Kind::Revision | Kind::Offset)
                | (Cell::Date(_), Kind::Date)
                | (Cell::Instant(_), Kind::Instant)
                | (Cell::Flag(_), Kind::Flag)
        )
    }
}

impl From<&str> for Cell {
    fn from(s: &str) -> Cell {
        Cell::Text(s.to_owned())
    }
}
impl From<String> for Cell {
    fn from(s: String) -> Cell {
        Cell::Text(s)
    }
}
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(v: Option<T>) -> Cell {
        v.map_or(Cell::Null, Into::into)
    }
}
impl From<Key> for Cell {
    fn from(k: Key) -> Cell {
        Cell::Key(k)
    }
}
impl From<LinkageTag> for Cell {
    fn from(t: LinkageTag) -> Cell {
        Cell::Tag(t)
    }
}
impl From<f64> for Cell {
    fn from(v: f64) -> Cell {
        Cell::Real(v)
    }
}
impl From<i64> for Cell {
    fn from(v: i64) -> Cell {
        Cell::Int(v)
    }
}
impl From<bool> for Cell {
    fn from(v: bool) -> Cell {
        Cell::Flag(v)
    }
}

/// A row of one table: a cell for each of its columns, in the table's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    table: Table,
    cells: Vec<Cell>,
}

impl Record {
    /// An empty row.
    pub fn new(table: Table) -> Record {
        Record { table, cells: vec![Cell::Null; table.columns().count()] }
    }

    /// Its table.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Its cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Sets a column. Returns whether the table has the column and the cell fits it; nothing is set otherwise.
    pub fn set(&mut self, column: &str, cell: impl Into<Cell>) -> bool {
        let cell = cell.into();
        match self.table.find(column) {
            Some((i, c)) if cell.fits(c.kind) => match self.cells.get_mut(i) {
                Some(slot) => {
                    *slot = cell;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Sets the column at a place of [`Table::columns`], for who has looked it up before. A cell that does not fit there is
    /// null in the batch.
    pub fn put(&mut self, place: usize, cell: Cell) {
        if let Some(slot) = self.cells.get_mut(place) {
            *slot = cell;
        }
    }

    /// Becomes a copy of another row, and keeps the memory of its texts.
    pub fn copy_from(&mut self, other: &Record) {
        self.table = other.table;
        self.cells.resize(other.cells.len(), Cell::Null);
        for (own, other) in self.cells.iter_mut().zip(&other.cells) {
            match (own, other) {
                (Cell::Null, Cell::Null) => {}
                (Cell::Text(own), Cell::Text(other)) => own.clone_from(other),
                (own, other) => *own = other.clone(),
            }
        }
    }

    /// The same, for building in one expression; a misfit is left unset and found by [`Record::missing`].
    #[must_use]
    pub fn with(mut self, column: &str, cell: impl Into<Cell>) -> Record {
        let _ = self.set(column, cell);
        self
    }

    /// The cell of a column, `Null` where there is no such column.
    pub fn get(&self, column: &str) -> &Cell {
        static NULL: Cell = Cell::Null;
        self.table.index(column).and_then(|i| self.cells.get(i)).unwrap_or(&NULL)
    }

    /// The first column that may not be empty and is, if any.
    pub fn missing(&self) -> Option<&'static str> {
        self.table
            .columns()
            .zip(&self.cells)
            .find(|(c, cell)| !c.nullable && matches!(cell, Cell::Null))
            .map(|(c, _)| c.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_the_wrong_kind_is_not_taken() {
        let mut r = Record::new(Table::Patient);
        assert!(!r.set("birth_year", "1970"));
        assert!(!r.set("no_such", 1i64));
        assert!(r.set("birth_year", 1970i64));
        assert_eq!(r.missing(), Some("person_key"));
    }

    #[test]
    fn pseudonyms_keep_parts_apart() {
        let p = Pseudonyms::new(&[7; 32]);
        assert_ne!(p.key(&["ab", "c"]), p.key(&["a", "bc"]));
        assert_eq!(p.key(&["x"]), p.key(&["x"]));
        assert_ne!(p.key(&["x"]), Pseudonyms::new(&[8; 32]).key(&["x"]));
    }
}
