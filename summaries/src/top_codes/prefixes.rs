//! How many patients have a code with each of some beginnings. A patient's codes fall into at most `k` cells, one for each of their
//! distinct codes: L1 = k, L2 = √k, L∞ = 1. Which k, where a patient has more, is chosen before this by a keyed hash.

use std::collections::BTreeMap;

use super::key::{Alphabet, Key};
use crate::batch::{Column, PatientBatch};
use crate::estimate::{Estimate, Reporting};
use crate::lanes::{Lanes, Layout, MergedRelease, Sensitivity};
use crate::statistic::{AccumulateError, Input, Statistic};

const NAME: &str = "prefixes";

/// Patients by the beginnings of their codes, each with every way to go on by so many symbols. Without going on, patients with each
/// beginning.
#[derive(Clone, Debug)]
pub struct Prefixes {
    /// The beginnings, none of them the beginning of another.
    pub beginnings: Vec<Vec<u8>>,
    /// How many symbols more.
    pub more: usize,
    /// The symbols.
    pub alphabet: Alphabet,
    /// The most codes of a patient that count.
    pub per_patient: usize,
}

impl Prefixes {
    /// Cells of one beginning.
    pub fn ways(&self) -> usize {
        self.alphabet.size().pow(self.more as u32)
    }

    /// The beginning of a cell.
    pub fn beginning(&self, cell: usize) -> Vec<u8> {
        let mut out = self.beginnings.get(cell / self.ways()).cloned().unwrap_or_default();
        let mut way = cell % self.ways();
        let mut more: Vec<u8> = (0..self.more)
            .map(|_| {
                let symbol = way % self.alphabet.size();
                way /= self.alphabet.size();
                symbol as u8
            })
            .collect();
        more.reverse();
        out.extend(more);
        out
    }

    fn cell(&self, of: &BTreeMap<&[u8], usize>, lengths: &[usize], key: &Key) -> Option<usize> {
        // A symbol that the alphabet lacks makes it no code of the system.
        if key.iter().any(|s| usize::from(*s) >= self.alphabet.size()) {
            return None;
        }
        let (length, place) = lengths.iter().find_map(|l| Some((*l, *of.get(key.get(..*l)?)?)))?;
        let more = key.get(length..length + self.more)?;
        let way = more.iter().fold(0, |way, s| way * self.alphabet.size() + usize::from(*s));
        Some(place * self.ways() + way)
    }
}

impl Statistic for Prefixes {
    fn name(&self) -> &'static str {
        "prefixes"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Keys]
    }
    fn layout(&self) -> Layout {
        Layout { lanes: self.beginnings.len() * self.ways(), scale: 1.0 }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::cells(self.per_patient)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        self.check(lanes)?;
        let Some(Column::Keys { offsets, keys }) = patients.column(0) else {
            return Err(AccumulateError::Column { statistic: NAME, wanted: "keys", place: 0 });
        };
        let of: BTreeMap<&[u8], usize> = self.beginnings.iter().enumerate().map(|(i, b)| (b.as_slice(), i)).collect();
        let mut lengths: Vec<usize> = self.beginnings.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut cells: Vec<usize> = Vec::new();
        for pair in offsets.windows(2) {
            let [from, to] = pair else { continue };
            cells.clear();
            let own = keys.get(*from as usize..*to as usize).unwrap_or_default();
            cells.extend(own.iter().filter_map(|k| self.cell(&of, &lengths, k)));
            // Each once, and never more than the bound, whatever came in.
            cells.sort_unstable();
            cells.dedup();
            for cell in cells.iter().take(self.per_patient) {
                lanes.add(NAME, *cell, 1)?;
            }
        }
        Ok(())
    }
    /// The program that asks reads the lanes itself.
    fn estimate(&self, _: &MergedRelease, _: &Reporting) -> Estimate {
        Estimate::default()
    }
}
