//! What every row begins with, whatever its format and its table.

use std::cell::RefCell;
use std::collections::HashMap;

use schema::record::Pseudonyms;
use schema::{Cell, Key, Record, Table};

use crate::hl7::Times;
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
    /// A row of each table with what all of its rows begin with.
    begun: RefCell<HashMap<Table, Record>>,
    /// Times of HL7 that were read lately.
    pub(crate) times: Times,
}

impl<'a> Envelope<'a> {
    pub(crate) fn new(ctx: &'a Context, src_format: &'static str) -> Envelope<'a> {
        Envelope { ctx, src_format, begun: RefCell::default(), times: Times::default() }
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
        let mut near = [""; 16];
        let head = ["record", self.ctx.source_system.as_str(), table.name()];
        let count = head.len() + id.len();
        match near.get_mut(..count) {
            Some(parts) => {
                let (first, rest) = parts.split_at_mut(head.len());
                first.copy_from_slice(&head);
                rest.copy_from_slice(id);
                self.ctx.pseudonyms.key(parts)
            }
            None => self.ctx.pseudonyms.key(&[&head, id].concat()),
        }
    }

    /// A row with its envelope: an upsert, final, of no known time.
    pub(crate) fn row(&self, table: Table, person: Key, record: Key) -> Record {
        let mut begun = self.begun.borrow_mut();
        let row = begun.entry(table).or_insert_with(|| self.begin(table)).clone();
        row.with("person_key", person).with("record_key", record)
    }

    /// A retraction of a row, with what its table requires and nobody will read.
    pub(crate) fn retraction(&self, table: Table, person: Key, record: Key) -> Record {
        let mut row = self.row(table, person, record).with("status", "error").with("op", "retract");
        let filler: &[(&str, &str)] = match table {
            Table::Patient => &[("sex", "U")],
            Table::Visit => &[("class", "OP")],
            Table::Condition => &[("role", "secondary"), ("verification", "entered-in-error")],
            Table::Measurement => &[("comparator", "eq")],
            Table::DrugExposure => &[("kind", "reported")],
            Table::Death => &[("death_source", "ehr")],
            Table::ObservationPeriod => &[("basis", "insurance")],
            _ => &[],
        };
        for (column, value) in filler {
            row.set(column, *value);
        }
        row.set("age_capped", false);
        row.set("open", false);
        row
    }

    fn begin(&self, table: Table) -> Record {
        Record::new(table)
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

/// Says that the time of the row's event is not known after all.
pub(crate) fn unset_event(record: &mut Record) {
    for column in ["event_date", "t_event", "t_prec", "t_zone_src", "utc_offset_min", "death_date", "t_death"] {
        record.set(column, Cell::Null);
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
