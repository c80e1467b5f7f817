//! Rows that are alike: what is filled into the columns of a row whose rest is known from another one.
//!
//! The quick ways of reading put rows into a sink's columns by a [`schema::Pattern`] of a row that the slow reader made. What changes
//! from one row to the next is told here once for all formats: its time, its value.

use arrow::error::ArrowError;
use schema::{Cell, IMPLAUSIBLE, Record, Row, Table};

use crate::measurement::{Comparator, Scale, Scaled};
use crate::time::When;

/// How many rows must have been known for each that was learned, so that it is worth to begin anew when there is no more room.
const WORTH: u64 = 4;

/// Whether to know rows has been worth the room.
#[derive(Default)]
pub(crate) struct Gain {
    known: u64,
    learned: u64,
}

impl Gain {
    /// A row was known.
    pub(crate) fn know(&mut self) {
        self.known += 1;
    }

    /// A row was learned from.
    pub(crate) fn learn(&mut self) {
        self.learned += 1;
    }

    /// Whether it is worth to forget all and to go on; counts anew.
    pub(crate) fn goes_on(&mut self) -> bool {
        let worth = self.known >= self.learned * WORTH;
        *self = Gain::default();
        worth
    }
}

/// A text cell.
pub(crate) fn text_of<'r>(record: &'r Record, column: &str) -> Option<&'r str> {
    match record.get(column) {
        Cell::Text(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Where a table has the time of its event.
#[derive(Clone, Copy)]
pub(crate) struct EventPlaces {
    instant: usize,
    date: usize,
    precision: usize,
    zone_source: usize,
    offset: usize,
}

impl EventPlaces {
    pub(crate) fn of(table: Table) -> Option<EventPlaces> {
        Some(EventPlaces {
            instant: table.index("t_event")?,
            date: table.index("event_date")?,
            precision: table.index("t_prec")?,
            zone_source: table.index("t_zone_src")?,
            offset: table.index("utc_offset_min")?,
        })
    }

    /// The columns that [`EventPlaces::put`] fills.
    pub(crate) fn varying(self) -> [usize; 5] {
        [self.instant, self.date, self.precision, self.zone_source, self.offset]
    }

    /// As [`crate::envelope::set_event`], but for a death.
    #[inline]
    pub(crate) fn put(self, row: &mut Row<'_>, when: &When) -> Result<(), ArrowError> {
        row.put(self.instant, &when.instant_cell())?;
        row.put(self.date, &when.date_cell())?;
        row.text(self.precision, when.precision.name())?;
        row.text(self.zone_source, when.zone_source.name())?;
        row.put(self.offset, &when.offset_cell())
    }
}

/// What becomes of a measurement's number in rows like one that was read.
pub(crate) struct Valued {
    scale: Scale,
    /// The flag where the value is plausible.
    flag: Option<String>,
    number: usize,
    decimals: usize,
    lo: usize,
    hi: usize,
    standard: usize,
    flagged: usize,
}

impl Valued {
    /// By a row that has a value. `None` where what it would have said of another value can't be told.
    pub(crate) fn of(row: &Record) -> Option<Valued> {
        let flag = text_of(row, "flag");
        if !matches!(row.get("value_num"), Cell::Real(_)) || flag == Some(IMPLAUSIBLE) {
            return None;
        }
        let comparator = Comparator::parse(text_of(row, "comparator")?)?;
        let text = |column| text_of(row, column).unwrap_or_default();
        let at = |column| row.table().index(column);
        Some(Valued {
            scale: Scale::new(text("code_system"), text("code"), comparator, text_of(row, "unit_src")),
            flag: flag.map(str::to_owned),
            number: at("value_num")?,
            decimals: at("value_scale")?,
            lo: at("value_lo")?,
            hi: at("value_hi")?,
            standard: at("value_std")?,
            flagged: at("flag")?,
        })
    }

    /// The columns that [`Valued::put`] fills.
    pub(crate) fn varying(&self) -> [usize; 6] {
        [self.number, self.decimals, self.lo, self.hi, self.standard, self.flagged]
    }

    /// As [`crate::measurement::fill`] and what tells its decimals.
    #[inline]
    pub(crate) fn put(&self, row: &mut Row<'_>, number: f64, decimals: Option<i64>) -> Result<(), ArrowError> {
        let Scaled { lo, hi, standard, plausible } = self.scale.of(number);
        row.put(self.number, &Cell::Real(number))?;
        if let Some(decimals) = decimals {
            row.put(self.decimals, &Cell::Int(decimals))?;
        }
        for (place, real) in [(self.lo, lo), (self.hi, hi), (self.standard, standard)] {
            if let Some(real) = real {
                row.put(place, &Cell::Real(real))?;
            }
        }
        match (plausible, &self.flag) {
            (false, _) => row.text(self.flagged, IMPLAUSIBLE),
            (true, Some(flag)) => row.text(self.flagged, flag),
            (true, None) => Ok(()),
        }
    }
}

/// The last text, and what was made of it: rows of one patient, one visit and one time mostly stand together.
pub(crate) struct Last<T>(Option<(String, T)>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Last(None)
    }
}

impl<T: Copy> Last<T> {
    /// What is made of a text: of the same one as before, the same. What can't be made is not remembered.
    pub(crate) fn of(&mut self, text: &str, make: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if let Some((last, made)) = &self.0
            && last == text
        {
            return Some(*made);
        }
        let made = make(text)?;
        match &mut self.0 {
            Some((last, old)) => {
                last.clear();
                last.push_str(text);
                *old = made;
            }
            none => *none = Some((text.to_owned(), made)),
        }
        Some(made)
    }
}
