//! Sums over the windows so far, where the windows' noises hang together so that the sums have little.

use std::collections::BTreeMap;

use crate::lanes::MergedRelease;
use crate::program::{MergedRound, ProgramError};

/// How a window's noise is made: of noises that are drawn once each, all of one size, by place and coefficient. One row a window.
pub type Rows = Vec<Vec<(u32, f64)>>;

/// The sum of a part over the windows, in its finest unit.
#[derive(Clone)]
struct Sum {
    lanes: Vec<i64>,
    unit: f64,
    /// The variance of one noise that is drawn at one site, in squared lane units.
    drawn: f64,
}

/// What was told so far.
pub(super) struct Cumulative {
    rows: Rows,
    parts: Vec<Sum>,
    /// For each site, how much of each drawn noise the sum of its windows has.
    sites: BTreeMap<String, Vec<f64>>,
}

impl Cumulative {
    pub(super) fn new(rows: Rows) -> Cumulative {
        Cumulative { rows, parts: Vec::new(), sites: BTreeMap::new() }
    }

    /// Adds a window that these sites have told, and gives the sum so far. Each site's noise is that of the windows it was in.
    pub(super) fn add(
        &mut self,
        window: u32,
        sites: &[String],
        merged: &MergedRound,
    ) -> Result<MergedRound, ProgramError> {
        let row = self.rows.get(window as usize).ok_or(ProgramError::Merged)?;
        let factor: f64 = row.iter().map(|(_, d)| d * d).sum();
        if sites.len() != merged.sites || sites.is_empty() || factor <= 0.0 {
            return Err(ProgramError::Merged);
        }
        if self.parts.is_empty() {
            let zero = |p: &MergedRelease| Sum { lanes: vec![0; p.lanes.len()], unit: 1.0, drawn: 0.0 };
            self.parts = merged.parts.iter().map(zero).collect();
        }
        if self.parts.len() != merged.parts.len() {
            return Err(ProgramError::Merged);
        }
        for (sum, part) in self.parts.iter_mut().zip(&merged.parts) {
            let drawn = part.noise_variance / (part.unit * part.unit) / factor / sites.len() as f64;
            *sum = sum.plus(part, drawn).ok_or(ProgramError::Merged)?;
        }
        let places = self.rows.len();
        for site in sites {
            let own = self.sites.entry(site.clone()).or_insert_with(|| vec![0.0; places]);
            for (place, d) in row {
                if let Some(part) = own.get_mut(*place as usize) {
                    *part += d;
                }
            }
        }
        let size: f64 = self.sites.values().flatten().map(|d| d * d).sum();
        let parts = self.parts.iter().map(|sum| MergedRelease {
            lanes: sum.lanes.clone(),
            noise_variance: sum.drawn * size * sum.unit * sum.unit,
            unit: sum.unit,
            sites: self.sites.len(),
            shared: 1,
        });
        Ok(MergedRound { parts: parts.collect(), sites: self.sites.len() })
    }
}

impl Sum {
    fn plus(&self, part: &MergedRelease, drawn: f64) -> Option<Sum> {
        if part.lanes.len() != self.lanes.len() {
            return None;
        }
        let unit = self.unit.max(part.unit);
        let (up, down) = ((unit / self.unit) as i64, (unit / part.unit) as i64);
        let add = |(a, b): (&i64, &i64)| a.checked_mul(up)?.checked_add(b.checked_mul(down)?);
        let lanes = self.lanes.iter().zip(&part.lanes).map(add).collect::<Option<Vec<i64>>>()?;
        Some(Sum { lanes, unit, drawn: self.drawn.max(drawn) })
    }
}
