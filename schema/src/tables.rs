//! The nine tables and their columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::version;

/// How a column is typed in Arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 16-byte keyed pseudonym, `FixedSizeBinary(16)`.
    Key,
    /// A 32-byte linkage tag, `FixedSizeBinary(32)`. No study may read it: the engine leaves the column out of its tables.
    Tag,
    /// A text from a small set, `Dictionary(Int32, Utf8)`.
    Category,
    /// Any other text, `Utf8`.
    Text,
    /// `Timestamp(Microsecond, "UTC")`.
    Instant,
    /// `Date32`, a local civil date.
    Date,
    /// `Float64`.
    Real,
    /// `Int64`.
    Integer,
    /// `UInt32`.
    Revision,
    /// `Int16`, minutes.
    Offset,
    /// `Boolean`.
    Flag,
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Key => DataType::FixedSizeBinary(16),
            Kind::Tag => DataType::FixedSizeBinary(32),
            Kind::Category => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Kind::Text => DataType::Utf8,
            Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Date => DataType::Date32,
            Kind::Real => DataType::Float64,
            Kind::Integer => DataType::Int64,
            Kind::Revision => DataType::UInt32,
            Kind::Offset => DataType::Int16,
            Kind::Flag => DataType::Boolean,
        }
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in every layer.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a row may leave it empty.
    pub nullable: bool,
}

const fn must(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false }
}
const fn may(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true }
}

/// The columns that every table begins with.
pub const ENVELOPE: &[Column] = &[
    must("person_key", Kind::Key),
    must("record_key", Kind::Key),
    may("visit_key", Kind::Key),
    must("rev", Kind::Revision),
    must("op", Kind::Category),
    must("source_system", Kind::Category),
    must("src_format", Kind::Category),
    may("t_event", Kind::Instant),
    may("event_date", Kind::Date),
    must("t_prec", Kind::Category),
    must("t_zone_src", Kind::Category),
    may("utc_offset_min", Kind::Offset),
    may("t_known", Kind::Instant),
    must("t_ingest", Kind::Instant),
    must("status", Kind::Category),
    may("code_system", Kind::Category),
    may("code", Kind::Category),
    may("std_system", Kind::Category),
    may("std_code", Kind::Category),
    may("map_id", Kind::Category),
];

const PATIENT: &[Column] = &[
    must("sex", Kind::Category),
    may("birth_year", Kind::Integer),
    may("birth_month", Kind::Integer),
    must("age_capped", Kind::Flag),
    may("linkage_tag", Kind::Tag),
];
const VISIT: &[Column] = &[
    must("class", Kind::Category),
    may("t_start", Kind::Instant),
    may("t_end", Kind::Instant),
    may("start_date", Kind::Date),
    may("end_date", Kind::Date),
    must("open", Kind::Flag),
    may("end_kind", Kind::Category),
    may("admit_from", Kind::Category),
    may("discharge_to", Kind::Category),
    may("ward", Kind::Category),
    may("parent_visit_key", Kind::Key),
];
const CONDITION: &[Column] = &[
    may("end_date", Kind::Date),
    must("role", Kind::Category),
    may("rank", Kind::Integer),
    may("present_on_admission", Kind::Category),
    must("verification", Kind::Category),
];
const MEASUREMENT: &[Column] = &[
    may("value_num", Kind::Real),
    may("value_scale", Kind::Integer),
    must("comparator", Kind::Category),
    may("value_lo", Kind::Real),
    may("value_hi", Kind::Real),
    may("value_code", Kind::Category),
    may("unit_src", Kind::Category),
    may("unit_ucum", Kind::Category),
    may("value_std", Kind::Real),
    may("unit_std", Kind::Category),
    may("conv_id", Kind::Category),
    may("ref_lo", Kind::Real),
    may("ref_hi", Kind::Real),
    may("flag", Kind::Category),
    may("specimen", Kind::Category),
    may("t_result", Kind::Instant),
];
const DRUG_EXPOSURE: &[Column] = &[
    may("end_date", Kind::Date),
    may("end_kind", Kind::Category),
    must("kind", Kind::Category),
    may("days_supply", Kind::Integer),
    may("qty", Kind::Real),
    may("unit", Kind::Category),
    may("route", Kind::Category),
];
const PROCEDURE: &[Column] = &[may("end_date", Kind::Date)];
const DEATH: &[Column] = &[
    may("death_date", Kind::Date),
    may("t_death", Kind::Instant),
    may("cause", Kind::Category),
    must("death_source", Kind::Category),
];
const OBSERVATION_PERIOD: &[Column] =
    &[may("start_date", Kind::Date), may("end_date", Kind::Date), must("basis", Kind::Category)];
const DERIVED: &[Column] = &[
    must("kind", Kind::Category),
    may("start_date", Kind::Date),
    may("end_date", Kind::Date),
    may("events", Kind::Integer),
];

/// The column that silver has and gold has not: null in a whole row. In a patch it names the columns that the row empties, with a
/// space around each; what else is empty there keeps what earlier revisions said.
pub const PATCH: &str = "patch";

/// The word in [`PATCH`] of a row that updates and does not open: a record that was retracted stays so, whatever it says.
pub const UPDATE: &str = "update";

/// Another of silver's own: which of two rows of one revision is the later one, the higher; null where the format has no such order.
pub const SEQUENCE: &str = "seq";

/// Another of silver's own: what the row is a part of, such as the observation whose component it is, or the document that states
/// it. The parts of an older version are not in gold; see [`crate::record::Record::set_part_of`].
pub const PART_OF: &str = "part_of";

/// The column that silver has and gold has not: the record that this one is told with. Where that one was told again later, and this
/// one not, this one is no more.
pub const TOLD_WITH: &str = "told_with";

/// The columns that every row of silver has, a patch among them.
const ALWAYS: [&str; 7] = ["person_key", "record_key", "rev", "op", "source_system", "src_format", "t_ingest"];

/// Columns by name, as slots of a table of twice their number: what each name's letters come to, then the next free one.
struct Places([u8; 128]);

const NO_PLACE: u8 = u8::MAX;

impl Places {
    const fn slot(name: &str) -> usize {
        let b = name.as_bytes();
        if b.is_empty() {
            return 0;
        }
        let (first, middle, last) = (b[0] as usize, b[b.len() / 2] as usize, b[b.len() - 1] as usize);
        (b.len() * 37 + first * 5 + middle * 17 + last * 3) % 128
    }

    const fn fill(mut self, columns: &[Column], from: usize) -> Places {
        let mut i = 0;
        while i < columns.len() {
            let mut at = Places::slot(columns[i].name);
            while self.0[at] != NO_PLACE {
                at = (at + 1) % 128;
            }
            self.0[at] = (from + i) as u8;
            i += 1;
        }
        self
    }

    const fn of(extra: &[Column]) -> Places {
        Places([NO_PLACE; 128]).fill(ENVELOPE, 0).fill(extra, ENVELOPE.len())
    }
}

const fn required(extra: &[Column]) -> u64 {
    let (mut bits, mut i) = (0, 0);
    while i < ENVELOPE.len() + extra.len() {
        let column = if i < ENVELOPE.len() { &ENVELOPE[i] } else { &extra[i - ENVELOPE.len()] };
        if !column.nullable {
            bits |= 1 << i;
        }
        i += 1;
    }
    bits
}

static REQUIRED: [u64; 9] = [
    required(PATIENT),
    required(VISIT),
    required(CONDITION),
    required(MEASUREMENT),
    required(DRUG_EXPOSURE),
    required(PROCEDURE),
    required(DEATH),
    required(OBSERVATION_PERIOD),
    required(DERIVED),
];

static PLACES: [Places; 9] = [
    Places::of(PATIENT),
    Places::of(VISIT),
    Places::of(CONDITION),
    Places::of(MEASUREMENT),
    Places::of(DRUG_EXPOSURE),
    Places::of(PROCEDURE),
    Places::of(DEATH),
    Places::of(OBSERVATION_PERIOD),
    Places::of(DERIVED),
];

/// The flag of a value outside its analyte's plausible range.
pub const IMPLAUSIBLE: &str = "implausible";

/// A table of the common schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row a person.
    Patient,
    /// Encounters with the hospital.
    Visit,
    /// Diagnoses and problems.
    Condition,
    /// Laboratory values, vital signs, scores.
    Measurement,
    /// Medication ordered, dispensed, given or reported.
    DrugExposure,
    /// Procedures.
    Procedure,
    /// Deaths.
    Death,
    /// When a person was under observation.
    ObservationPeriod,
    /// Condition eras, drug eras and episodes.
    Derived,
}

impl Table {
    /// Every table, in the order of the schema's page.
    pub const ALL: [Table; 9] = [
        Table::Patient,
        Table::Visit,
        Table::Condition,
        Table::Measurement,
        Table::DrugExposure,
        Table::Procedure,
        Table::Death,
        Table::ObservationPeriod,
        Table::Derived,
    ];
    /// The tables that adapters fill; the other two are derived in gold.
    pub const SOURCED: [Table; 7] = [
        Table::Patient,
        Table::Visit,
        Table::Condition,
        Table::Measurement,
        Table::DrugExposure,
        Table::Procedure,
        Table::Death,
    ];

    /// The tables that a mapping may fill: those of [`Table::SOURCED`], and the observation period of an extract that states it.
    pub const MAPPED: [Table; 8] = [
        Table::Patient,
        Table::Visit,
        Table::Condition,
        Table::Measurement,
        Table::DrugExposure,
        Table::Procedure,
        Table::Death,
        Table::ObservationPeriod,
    ];

    /// The table's name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Patient => "patient",
            Table::Visit => "visit",
            Table::Condition => "condition",
            Table::Measurement => "measurement",
            Table::DrugExposure => "drug_exposure",
            Table::Procedure => "procedure",
            Table::Death => "death",
            Table::ObservationPeriod => "observation_period",
            Table::Derived => "derived",
        }
    }

    /// The table of that name.
    pub fn parse(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The columns behind the envelope.
    pub fn extra(self) -> &'static [Column] {
        match self {
            Table::Patient => PATIENT,
            Table::Visit => VISIT,
            Table::Condition => CONDITION,
            Table::Measurement => MEASUREMENT,
            Table::DrugExposure => DRUG_EXPOSURE,
            Table::Procedure => PROCEDURE,
            Table::Death => DEATH,
            Table::ObservationPeriod => OBSERVATION_PERIOD,
            Table::Derived => DERIVED,
        }
    }

    /// All columns, the envelope first.
    pub fn columns(self) -> impl Iterator<Item = &'static Column> {
        ENVELOPE.iter().chain(self.extra())
    }

    /// A column and its place, counted from 0 over the envelope and the extra columns.
    pub fn find(self, column: &str) -> Option<(usize, &'static Column)> {
        let places = PLACES.get(self as usize)?;
        let mut at = Places::slot(column);
        loop {
            let i = usize::from(*places.0.get(at)?);
            let found = match i.checked_sub(ENVELOPE.len()) {
                Some(extra) => self.extra().get(extra)?,
                None => ENVELOPE.get(i)?,
            };
            if found.name == column {
                return Some((i, found));
            }
            at = (at + 1) % 128;
        }
    }

    /// The place of a column, counted from 0 over the envelope and the extra columns.
    pub fn index(self, column: &str) -> Option<usize> {
        self.find(column).map(|(i, _)| i)
    }

    /// The column of that name.
    pub fn column(self, name: &str) -> Option<&'static Column> {
        self.find(name).map(|(_, c)| c)
    }

    /// The local day of the table's event: an expression of SQL over its columns.
    pub fn day(self) -> &'static str {
        match self {
            Table::Visit => "coalesce(event_date, start_date)",
            Table::Death => "coalesce(death_date, event_date)",
            Table::ObservationPeriod | Table::Derived => "start_date",
            _ => "event_date",
        }
    }

    /// The last day of a row of a condition or a drug, as an expression of SQL over the table's columns: the stated end; of a drug without
    /// one the last day of its supply, at most a year's; else its first day. Never before the first.
    pub fn last_day(self) -> &'static str {
        match self {
            Table::DrugExposure => {
                "greatest(event_date, coalesce(end_date, \
                 CAST(CAST(event_date AS INT) + least(greatest(days_supply, 1), 366) - 1 AS DATE), event_date))"
            }
            _ => "greatest(event_date, coalesce(end_date, event_date))",
        }
    }

    /// Whether a row counts as something that was: a condition of SQL over the table's columns. What was cancelled, refuted or entered
    /// in error never does; what is preliminary does for a visit alone, which is preliminary while it is open.
    pub fn counts(self) -> &'static str {
        match self {
            Table::Patient => "true",
            Table::Visit => "status NOT IN ('cancelled', 'error')",
            _ => "status NOT IN ('preliminary', 'cancelled', 'error')",
        }
    }

    /// The values a closed category may take, where the schema closes it.
    pub fn levels(self, column: &str) -> Option<&'static [&'static str]> {
        match (self, column) {
            (_, "op") => Some(&["upsert", "retract"]),
            (_, "t_prec") => Some(&["year", "month", "day", "minute", "second", "ms", "us", "none"]),
            (_, "t_zone_src") => Some(&["explicit", "site", "none"]),
            (_, "status") => Some(&["final", "preliminary", "corrected", "cancelled", "error", "unknown"]),
            (Table::Patient, "sex") => Some(&["F", "M", "O", "U"]),
            (Table::Visit, "class") => Some(&["IP", "ER", "OP", "OBS", "ICU"]),
            (Table::Condition, "role") => Some(&["admit", "primary", "secondary", "problem"]),
            (Table::Measurement, "comparator") => Some(&["eq", "lt", "le", "ge", "gt"]),
            (Table::DrugExposure, "kind") => Some(&["ordered", "dispensed", "given", "reported"]),
            (Table::DrugExposure, "end_kind") => Some(&["explicit", "supply", "inferred"]),
            (Table::Death, "death_source") => Some(&["ehr", "registry", "disposition"]),
            (Table::Derived, "kind") => Some(&["condition_era", "drug_era", "episode"]),
            _ => None,
        }
    }

    /// The Arrow schema, with the schema's version and hash in its metadata.
    pub fn arrow(self) -> SchemaRef {
        self.with(self.columns().map(|c| Field::new(c.name, c.kind.data_type(), c.nullable)).collect())
    }

    /// The same for silver: with [`PATCH`], [`SEQUENCE`], [`PART_OF`] and [`TOLD_WITH`], and required columns may be empty, since a patch
    /// leaves them out.
    pub fn silver(self) -> SchemaRef {
        let field = |c: &Column| Field::new(c.name, c.kind.data_type(), !ALWAYS.contains(&c.name));
        let own = [(PATCH, Kind::Category), (SEQUENCE, Kind::Integer), (PART_OF, Kind::Key), (TOLD_WITH, Kind::Key)];
        let own = own.map(|(name, kind)| Field::new(name, kind.data_type(), true));
        self.with(self.columns().map(field).chain(own).collect())
    }

    /// A bit for each column that a whole row may not leave empty.
    pub fn required(self) -> u64 {
        REQUIRED.get(self as usize).copied().unwrap_or(0)
    }

    /// Whether every row of silver has the column, a patch among them.
    pub fn always(self, column: &Column) -> bool {
        ALWAYS.contains(&column.name)
    }

    fn with(self, fields: Vec<Field>) -> SchemaRef {
        let metadata = [
            ("insitu.table".to_owned(), self.name().to_owned()),
            ("insitu.schema".to_owned(), version::VERSION.to_owned()),
            ("insitu.schema_hash".to_owned(), version::hash_hex()),
        ];
        Arc::new(Schema::new_with_metadata(fields, metadata.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_unique_columns_and_its_name_parses() {
        for table in Table::ALL {
            let mut names: Vec<_> = table.columns().map(|c| c.name).collect();
            names.sort_unstable();
            let before = names.len();
            names.dedup();
            assert_eq!(before, names.len(), "{} repeats a column", table.name());
            assert_eq!(Table::parse(table.name()), Some(table));
            for (i, c) in table.columns().enumerate() {
                assert_eq!(table.index(c.name), Some(i), "{}", c.name);
            }
            assert_eq!((table.index("nothing"), table.index("")), (None, None));
            assert!(table.columns().count() < 64, "a patch has a bit for each column");
        }
    }
}
