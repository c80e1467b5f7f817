//! What every row begins with, whatever its format and its table.

use schema::record::Pseudonyms;
use schema::{Cell, Key, Record, Table};

use crate::sink::Context;
use crate::time::When;

/// The pseudonym of a person of a source system.
pub(crate) fn person_key(pseudonyms: &Pseudonyms, source_system: &str, id: &str) -> Key {
    pseudonyms.key(&["person", source_system, id])
}

/// What makes rows of one source and one format.
pub(crate) struct Envelope<'a> {
    ctx: &'a Context,
    src_format: &'static str,
}

impl<'a> Envelope<'a> {
    pub(crate) fn new(ctx: &'a Context, src_format: &'static str) -> Envelope<'a> {
        Envelope { ctx, src_format }
    }

    /// The site's zone.
    pub(crate) fn zone(&self) -> chrono_tz::Tz {
        self.ctx.zone
    }

    /// When this run took the data, in microseconds since 1970.
    pub(crate) fn ingested(&self) -> i64 {
        self.ctx.ingest_micros
    }

    /// The pseudonym of a person.
    pub(crate) fn person(&self, id: &str) -> Key {
        person_key(&self.ctx.pseudonyms, &self.ctx.source_system, id)
    }

    /// The tag of a linkage id: null without a key, and where nothing is left of the id.
    pub(crate) fn linkage(&self, raw: &str) -> Cell {
        self.ctx.linkage.as_ref().and_then(|key| key.tag(raw)).map_or(Cell::Null, Cell::Tag)
    }

    /// The pseudonym of a visit.
    pub(crate) fn visit(&self, id: &str) -> Key {
        self.ctx.pseudonyms.key(&["visit", &self.ctx.source_system, id])
    }

    /// The pseudonym of a record: the same source item always has the same.
    pub(crate) fn record(&self, table: Table, id: &[&str]) -> Key {
        let mut parts = vec!["record", self.ctx.source_system.as_str(), table.name()];
        parts.extend_from_slice(id);
        self.ctx.pseudonyms.key(&parts)
    }

    /// A row with its envelope: an upsert, final, of no known time.
    pub(crate) fn row(&self, table: Table, person: Key, record: Key) -> Record {
        Record::new(table)
            .with("person_key", person)
            .with("record_key", record)
            .with("rev", i64::from(self.ctx.revision))
            .with("op", "upsert")
            .with("source_system", self.ctx.source_system.as_str())
            .with("src_format", self.src_format)
            .with("t_prec", "none")
            .with("t_zone_src", "none")
            .with("t_ingest", Cell::Instant(self.ctx.ingest_micros))
            .with("status", "final")
    }
}

/// Says when the row's event was.
pub(crate) fn set_event(record: &mut Record, when: &When) {
    record.set("event_date", when.date_cell());
    record.set("t_event", when.instant_cell());
    record.set("t_prec", when.precision.name());
    record.set("t_zone_src", when.zone_source.name());
    record.set("utc_offset_min", when.offset_cell());
    if record.table() == Table::Death {
        record.set("death_date", when.date_cell());
        record.set("t_death", when.instant_cell());
    }
}

/// Says when the visit began.
pub(crate) fn set_start(record: &mut Record, when: &When) {
    record.set("start_date", when.date_cell());
    record.set("t_start", when.instant_cell());
}

/// Says when the event ended, in whichever columns the table has.
pub(crate) fn set_end(record: &mut Record, when: &When) {
    record.set("end_date", when.date_cell());
    record.set("t_end", when.instant_cell());
}

/// The birth as the schema keeps it: the year, and the month where it is known.
pub(crate) fn set_birth(record: &mut Record, when: &When) {
    record.set("birth_year", when.year());
    record.set("birth_month", when.month());
}
