//! The first walk through a source: files of patients, for ids that stand for two people.

use schema::record::Pseudonyms;

use super::reused::Watch;
use super::rows::{self, Opened};
use super::{Reading, Tabular};
use crate::envelope::Envelope;
use crate::sink::{AdapterError, Context, Extract, Out, Place, Quarantined, Sink};

/// Where nothing is kept.
struct Nothing;

impl Sink for Nothing {
    fn record(&mut self, _: schema::Record) -> Result<(), AdapterError> {
        Ok(())
    }
    fn row(&mut self, _: &schema::Record) -> Result<(), AdapterError> {
        Ok(())
    }
    fn quarantine(&mut self, _: Quarantined) -> Result<(), AdapterError> {
        Ok(())
    }
}

impl Tabular {
    /// Looks through a file of patients. What is made of it is thrown away: the key and the zone are nobody's.
    pub(super) fn look_through(&self, extract: Extract<'_>, place: Place<'_>) -> Result<(), AdapterError> {
        let Extract { name, reader } = extract;
        let Some(map) = self.mapping.file(name) else { return Ok(()) };
        let ctx = Context {
            source_system: String::new(),
            zone: chrono_tz::UTC,
            pseudonyms: Pseudonyms::new(&[0; 32]),
            linkage: None,
            ingest_micros: 0,
            revision: 1,
        };
        let lookups = self.lookups(map, place.beside)?;
        let mut nothing = Nothing;
        let mut out = Out::new(&mut nothing, name);
        let rows = match rows::open(reader, place, &map.layout, &|column| map.reads(column)).map_err(|e| out.io(e))? {
            Opened::Rows(rows) => rows,
            Opened::Unreadable(_) => return Ok(()),
        };
        let (envelope, watch) = (Envelope::new(&ctx, self.format), Watch::look());
        let reading = Reading { tabular: self, map, name, envelope, lookups: &lookups, watch };
        self.doubtful.learn(name, reading.rows(rows, &mut out)?);
        Ok(())
    }
}
