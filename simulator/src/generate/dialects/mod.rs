//! The ways of writing. A dialect takes persons one by one and keeps its files open.
//!
//! * `long`: one row a fact, in the words of a country (`words`).
//! * `wide`: one row an encounter. `fhir`: FHIR R4 NDJSON.
//!
//! One row in two thousand is followed by a damaged copy under a number of its own, so that nothing depends on it.

mod fhir;
mod long;
mod wide;
mod words;

use std::path::Path;

use super::GenerateError;
use super::chance::Chance;
use super::sites::{Dialect, Site};
use super::world::Person;

/// How often a damaged row is added.
const DIRT: f64 = 1.0 / 2000.0;

/// What a dialect has written.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) dirty: u64,
}

/// A site's extract being written.
pub(super) trait Writer {
    /// The mapping that reads it, for CSV.
    fn mapping(&self) -> Option<String>;
    /// Writes a person.
    fn person(&mut self, id: &str, person: &Person, chance: &mut Chance) -> Result<(), GenerateError>;
    /// Ends the files.
    fn finish(self: Box<Self>) -> Result<Counts, GenerateError>;
}

/// Opens the extract of a site.
pub(super) fn open(site: &Site, folder: &Path) -> Result<Box<dyn Writer>, GenerateError> {
    Ok(match site.dialect {
        Dialect::Fhir => Box::new(fhir::Fhir::create(site, folder)?),
        Dialect::UsWide => Box::new(wide::Wide::create(site, folder)?),
        Dialect::German | Dialect::UsLong | Dialect::French | Dialect::Spanish => {
            Box::new(long::Long::create(site, folder)?)
        }
    })
}
