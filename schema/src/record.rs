//! One row on its way from an adapter to silver.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use compact_str::CompactString;

use crate::linkage::LinkageTag;
use crate::tables::{ENVELOPE, Kind, Table, UPDATE};

/// A 16-byte keyed pseudonym.
pub type Key = [u8; 16];

/// The site's pseudonym key. It never leaves the site and is never printed.
#[derive(Clone)]
pub struct Pseudonyms {
    key: Hmac<Sha256>,
}

impl Pseudonyms {
    /// From the site's 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Pseudonyms {
        // RFC 2104 fills a short key with zeros to a block of the hash. Its state is a few words that are copied for each text, which is
        // half the time of a library that makes a context for each.
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret);
        Pseudonyms { key: Hmac::new(&block.into()) }
    }

    /// HMAC-SHA256 over the parts, each with its length before it, cut to 16 bytes.
    pub fn key(&self, parts: &[&str]) -> Key {
        // In one piece: a call for each part costs more than the hash.
        let mut near = [0u8; 512];
        let length = parts.iter().map(|p| p.len() + 8).sum::<usize>();
        let mut far = Vec::new();
        let all = match near.get_mut(..length) {
            Some(all) => all,
            None => {
                far.resize(length, 0);
                far.as_mut_slice()
            }
        };
        let mut rest = &mut *all;
        for part in parts {
            let (head, tail) = rest.split_at_mut(8);
            head.copy_from_slice(&(part.len() as u64).to_le_bytes());
            let (text, tail) = tail.split_at_mut(part.len());
            text.copy_from_slice(part.as_bytes());
            rest = tail;
        }
        let mut out = [0u8; 16];
        let tag = self.key.clone().chain_update(all).finalize().into_bytes();
        out.copy_from_slice(&tag[..16]);
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
    /// A text or a category; up to 24 bytes take no memory of their own.
    Text(CompactString),
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
        Cell::Text(CompactString::new(s))
    }
}
impl From<String> for Cell {
    fn from(s: String) -> Cell {
        Cell::Text(CompactString::from(s))
    }
}
impl From<std::borrow::Cow<'_, str>> for Cell {
    fn from(s: std::borrow::Cow<'_, str>) -> Cell {
        Cell::Text(CompactString::from(s))
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

/// A row of one table: a cell for each of its columns, in the table's order. It is whole, or a patch: then only what was set counts,
/// and a column that was set to nothing is emptied.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    table: Table,
    cells: Vec<Cell>,
    /// A bit for each column that is not empty.
    filled: u64,
    /// A bit for each column that a patch says.
    said: Option<u64>,
    /// Whether a patch leaves a record that was retracted as it is.
    update: bool,
    sequence: Option<i64>,
    part_of: Option<Key>,
    /// The record that it is told with.
    told_with: Option<Key>,
}

impl Record {
    /// An empty row.
    pub fn new(table: Table) -> Record {
        Record {
            table,
            cells: vec![Cell::Null; ENVELOPE.len() + table.extra().len()],
            filled: 0,
            said: None,
            update: false,
            sequence: None,
            part_of: None,
            told_with: None,
        }
    }

    /// Makes it a patch that says nothing yet, but what stands in the columns that every row has.
    #[must_use]
    pub fn patch(mut self) -> Record {
        self.said = Some(0);
        for (column, cell) in self.table.columns().zip(&mut self.cells) {
            if !self.table.always(column) {
                *cell = Cell::Null;
            }
        }
        // Of a patch the columns themselves are looked at, not their bits.
        self.filled = 0;
        self
    }

    /// Makes a patch one that does not open: a record that was retracted stays so. Of a whole row it says nothing.
    #[must_use]
    pub fn update(mut self) -> Record {
        self.update = true;
        self
    }

    /// Says which of two rows of one revision is the later one: that of the higher number.
    pub fn set_sequence(&mut self, sequence: impl Into<Option<i64>>) {
        self.sequence = sequence.into();
    }

    /// Which of two rows of one revision is the later one, where the format or the sender tells.
    pub fn sequence(&self) -> Option<i64> {
        self.sequence
    }

    /// Says what the row is a part of. Of all rows that are part of one thing, and of the record that has the thing's own key,
    /// only those of the newest version are in gold, so that a version takes back what it does not say any more, whatever that
    /// was. A version is a revision with its sequence; rows without a sequence are of one version, older than any with one.
    pub fn set_part_of(&mut self, whole: Key) {
        self.part_of = Some(whole);
    }

    /// What the row is a part of.
    pub fn part_of(&self) -> Option<&Key> {
        self.part_of.as_ref()
    }

    /// Says that it is told with another record of its table, and is no more where that one is told later without it.
    #[must_use]
    pub fn told_with(mut self, record: Key) -> Record {
        self.told_with = Some(record);
        self
    }

    /// The record that it is told with.
    pub fn is_told_with(&self) -> Option<&Key> {
        self.told_with.as_ref()
    }

    /// The columns that a patch empties, with a space around each, and [`UPDATE`] where it is one; `None` for a whole row.
    pub fn emptied(&self) -> Option<String> {
        let said = self.said?;
        let mut out = String::from(" ");
        if self.update {
            out.push_str(UPDATE);
            out.push(' ');
        }
        for (i, (column, cell)) in self.table.columns().zip(&self.cells).enumerate() {
            if said & (1 << i) != 0 && *cell == Cell::Null {
                out.push_str(column.name);
                out.push(' ');
            }
        }
        Some(out)
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
                    let bit = 1 << i;
                    self.filled = if cell == Cell::Null { self.filled & !bit } else { self.filled | bit };
                    *slot = cell;
                    self.said = self.said.map(|said| said | (1 << i));
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
        (self.sequence, self.part_of, self.told_with) = (other.sequence, other.part_of, other.told_with);
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

    /// The first column that may not be empty and is, if any. A patch may leave out what other revisions say.
    pub fn missing(&self) -> Option<&'static str> {
        if self.said.is_none() && self.table.required() & !self.filled == 0 {
            return None;
        }
        self.table
            .columns()
            .zip(&self.cells)
            .find(|(c, cell)| {
                matches!(cell, Cell::Null) && !c.nullable && (self.said.is_none() || self.table.always(c))
            })
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
    fn a_patch_says_what_was_set_and_empties_what_was_set_to_nothing() {
        let mut r = Record::new(Table::Visit)
            .with("person_key", [1; 16])
            .with("rev", 7i64)
            .with("status", "final")
            .patch()
            .with("ward", "W1");
        assert_eq!((r.get("rev"), r.get("status"), r.emptied()), (&Cell::Int(7), &Cell::Null, Some(" ".to_owned())));
        r.set("t_end", Cell::Null);
        r.set("end_date", Cell::Null);
        assert_eq!(r.emptied().as_deref(), Some(" t_end end_date "));
        assert_eq!(r.missing(), Some("record_key"));
        assert_eq!(Record::new(Table::Visit).emptied(), None);
    }

    #[test]
    fn a_long_pseudonym_is_the_hmac_of_its_parts_with_their_lengths() {
        let long = "x".repeat(2000);
        let secret = [7; 32];
        let mut bytes = 2000u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.push(b'y');
        let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret), &bytes);
        assert_eq!(Pseudonyms::new(&secret).key(&[&long, "y"]), tag.as_ref()[..16]);
    }

    #[test]
    fn pseudonyms_keep_parts_apart() {
        let p = Pseudonyms::new(&[7; 32]);
        assert_ne!(p.key(&["ab", "c"]), p.key(&["a", "bc"]));
        assert_eq!(p.key(&["x"]), p.key(&["x"]));
        assert_ne!(p.key(&["x"]), Pseudonyms::new(&[8; 32]).key(&["x"]));
    }
}
