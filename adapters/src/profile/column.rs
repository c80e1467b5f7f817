//! What all cells of a column could be, in bounded memory.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use serde::Serialize;

use super::guess::{self, SHAPES};
use crate::time::DateFormat;

/// Different texts that are counted; of more it is only known that there are more.
const MOST_DISTINCT: usize = 4096;
/// Texts that are shown, where a column has no more of them than this,
const MOST_SHOWN: usize = 24;
/// and each only where it stands in so many rows: one that few have is not shown even here.
const LEAST_ROWS: u64 = 11;
/// The longest text that is kept.
const MOST_BYTES: usize = 80;
/// A guess holds for this share of the cells that are filled.
const SHARE: f64 = 0.95;
/// Texts of so many characters with blanks between are free text.
const FREE_TEXT: usize = 30;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Cells with something in them.
    pub filled: u64,
    /// Empty cells.
    pub empty: u64,
    /// Different texts; `None` where there are more than 4,096.
    pub distinct: Option<u64>,
    /// The longest, in characters.
    pub longest: usize,
    /// What it could be.
    pub guess: String,
    /// Filled cells that are not so.
    pub misfits: u64,
    /// Formats of dates that fit as well as each other.
    pub dates: Vec<&'static str>,
    /// Where there are few different texts: those that stand in 11 rows or more, with how many.
    pub values: Vec<(String, u64)>,
}

/// A column while its cells come.
#[derive(Default)]
pub(super) struct Column {
    filled: u64,
    empty: u64,
    longest: usize,
    blanks: u64,
    /// Short texts with their numbers.
    seen: BTreeMap<String, u64>,
    /// Hashes of the long ones.
    long: HashSet<u64>,
    many: bool,
    shapes: [u64; SHAPES.len()],
    dates: Vec<u64>,
    hasher: RandomState,
}

fn formats() -> &'static [(&'static str, DateFormat)] {
    static FORMATS: OnceLock<Vec<(&'static str, DateFormat)>> = OnceLock::new();
    FORMATS.get_or_init(guess::dates)
}

impl Column {
    /// Takes a cell.
    pub(super) fn take(&mut self, cell: &str) {
        if cell.is_empty() {
            self.empty += 1;
            return;
        }
        self.filled += 1;
        let length = cell.chars().count();
        self.longest = self.longest.max(length);
        self.blanks += u64::from(length >= FREE_TEXT && cell.contains(' '));
        if let Some(n) = self.seen.get_mut(cell) {
            *n += 1;
        } else if self.different() < MOST_DISTINCT as u64 {
            if cell.len() <= MOST_BYTES {
                self.seen.insert(cell.to_owned(), 1);
            } else {
                self.long.insert(self.hasher.hash_one(cell));
            }
        } else {
            self.many = true;
        }
        self.shapes.iter_mut().zip(SHAPES).for_each(|(n, (_, fits))| *n += u64::from(fits(cell)));
        self.dates.resize(formats().len(), 0);
        self.dates.iter_mut().zip(formats()).for_each(|(n, (_, f))| *n += u64::from(guess::is_date(f, cell)));
    }

    fn different(&self) -> u64 {
        (self.seen.len() + self.long.len()) as u64
    }

    /// Whether the words of two sexes are there: one letter alone says nothing.
    fn two_sexes(&self) -> bool {
        let begins = |letters: &[char]| self.seen.keys().any(|v| v.to_lowercase().starts_with(letters));
        begins(&['m', 'h']) && begins(&['f', 'w'])
    }

    /// What was found.
    pub(super) fn profile(&self, name: String) -> ColumnProfile {
        let enough = |n: u64| self.filled > 0 && n as f64 >= SHARE * self.filled as f64;
        let dates: Vec<&'static str> =
            self.dates.iter().zip(formats()).filter(|(n, _)| enough(**n)).map(|(_, (f, _))| *f).collect();
        let shapes =
            self.shapes.iter().zip(SHAPES).filter(|(n, (what, _))| enough(**n) && (*what != "sex" || self.two_sexes()));
        let shape = shapes.map(|(_, (what, _))| *what).next();
        let fitting = match (self.dates.iter().copied().filter(|n| enough(*n)).max(), shape) {
            (Some(n), _) => Some(n),
            (None, Some(what)) => self.shapes.iter().zip(SHAPES).find(|(_, (w, _))| *w == what).map(|(n, _)| *n),
            (None, None) => None,
        };
        let each_once = !self.many && self.filled > LEAST_ROWS && self.different() == self.filled;
        let few = !self.many && self.different() <= MOST_SHOWN as u64;
        let guess = match (shape, dates.as_slice()) {
            _ if self.filled == 0 => "nothing",
            (_, [_]) => "date",
            (_, [_, _, ..]) => "date, of one of several formats",
            (Some(shape), _) => shape,
            (None, _) if enough(self.blanks) || self.blanks * 2 > self.filled => "free text",
            (None, _) if each_once => "an id: each cell is another",
            (None, _) if few => "a few words",
            (None, _) => "text",
        };
        let shown = self.seen.iter().filter(|(_, n)| few && **n >= LEAST_ROWS).map(|(v, n)| (v.clone(), *n));
        let mut values: Vec<(String, u64)> = shown.collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ColumnProfile {
            name,
            filled: self.filled,
            empty: self.empty,
            distinct: (!self.many).then_some(self.different()),
            longest: self.longest,
            guess: guess.to_owned(),
            misfits: fitting.map_or(0, |n| self.filled - n),
            dates,
            values,
        }
    }
}
