//! What fills a column of a record: a constant, or a source column with its map. All checked against the schema.

use schema::tables::Kind;
use schema::{Table, codes};

use super::mapping::{Slot, Slots, ValueMap};
use super::toml_doc::{Doc, Section, Value};
use crate::sink::AdapterError;

/// One `name = ...` of `[file.row.set]`.
pub(crate) struct Setter {
    pub(crate) target: Target,
    pub(crate) source: Source,
}

impl Setter {
    /// The source column, if it reads one.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match &self.source {
            Source::Column { slot, .. } => Some(*slot),
            Source::Constant(_) => None,
        }
    }
}

/// What is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One column of the schema.
    Column(&'static str, Kind),
    /// When it happened, with everything about the time.
    Event,
    /// When it became known.
    Known,
    /// When the visit began.
    Start,
    /// When it ended.
    End,
    /// The year and month of birth.
    Birth,
    /// The visit that it belongs to; in the table of visits, the visit itself.
    Visit,
    /// The visit around this one.
    ParentVisit,
    /// When the result came.
    Result,
    /// The person's linkage tag, from a national or insurance number.
    Linkage,
}

impl Target {
    /// Whether it is filled from a date.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Target::Event | Target::Known | Target::Start | Target::End | Target::Birth | Target::Result)
    }
}

/// Where the value comes from.
pub(crate) enum Source {
    Constant(String),
    Column { slot: Slot, map: Option<ValueMap>, unmapped: Unmapped, default: Option<String> },
}

/// What happens to a value that the map does not list.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Unmapped {
    /// The record is quarantined.
    Quarantine,
    /// The value stays as it is.
    Keep,
    /// There is no record, silently.
    Skip,
    /// This value takes its place.
    As(&'static str),
}

const SPECIAL: &[(&str, Target, &[Table])] = &[
    (
        "event",
        Target::Event,
        &[Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure, Table::Death],
    ),
    ("known", Target::Known, &Table::SOURCED),
    (
        "visit",
        Target::Visit,
        &[Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure, Table::Death],
    ),
    ("start", Target::Start, &[Table::Visit]),
    ("parent_visit", Target::ParentVisit, &[Table::Visit]),
    ("end", Target::End, &[Table::Visit, Table::Condition, Table::DrugExposure, Table::Procedure]),
    ("birth", Target::Birth, &[Table::Patient]),
    ("result", Target::Result, &[Table::Measurement]),
    ("linkage", Target::Linkage, &[Table::Patient]),
];

/// Columns that the adapter fills itself, and what to write instead.
const OWN: &[(&str, &str)] = &[
    ("person_key", "use person in [[file]]"),
    ("record_key", "use id in [[file.row]]"),
    ("visit_key", "use visit"),
    ("parent_visit_key", "use parent_visit"),
    ("linkage_tag", "use linkage"),
    ("rev", "the site sets it"),
    ("source_system", "the site sets it"),
    ("src_format", "the site sets it"),
    ("t_ingest", "the site sets it"),
    ("t_event", "use event"),
    ("event_date", "use event"),
    ("t_prec", "use event"),
    ("t_zone_src", "use event"),
    ("utc_offset_min", "use event"),
    ("death_date", "use event"),
    ("t_death", "use event"),
    ("t_known", "use known"),
    ("t_start", "use start"),
    ("start_date", "use start"),
    ("t_end", "use end"),
    ("end_date", "use end"),
    ("open", "it follows from end"),
    ("t_result", "use result"),
    ("value_scale", "it follows from value_num"),
    ("unit_ucum", "it follows from unit_src"),
    ("value_std", "it follows from value_num and unit_src"),
    ("unit_std", "it follows from value_num and unit_src"),
    ("conv_id", "it follows from value_num and unit_src"),
];

/// What must be set, by table.
fn required(table: Table) -> &'static [&'static str] {
    match table {
        Table::Visit => &["class", "visit"],
        Table::Condition | Table::Measurement | Table::DrugExposure | Table::Procedure => &["code_system", "code"],
        _ => &[],
    }
}

pub(crate) fn parse(
    table: Table,
    at: usize,
    set: Option<Section<'_, '_>>,
    doc: Doc<'_>,
    slots: &mut Slots,
    has_dates: bool,
) -> Result<Vec<Setter>, AdapterError> {
    let mut setters = Vec::new();
    let mut names = Vec::new();
    for (key, value) in set.iter().flat_map(Section::entries) {
        let target = target(table, key.text).map_err(|message| doc.error(key.at, message))?;
        let source = source(table, key.text, target, value, slots)?;
        if target.is_time() && !has_dates {
            return Err(doc.error(key.at, "a date needs dates = [\"%d.%m.%Y\", ...] in its [[file]]"));
        }
        names.push(key.text);
        setters.push(Setter { target, source });
    }
    if let Some(missing) = required(table).iter().find(|r| !names.contains(r)) {
        return Err(doc.error(at, format!("table \"{}\" needs {missing} in [file.row.set]", table.name())));
    }
    if names.contains(&"code") && !names.contains(&"code_system") {
        return Err(doc.error(at, "code needs code_system beside it"));
    }
    Ok(setters)
}

/// The constant code of a row, empty where it has none.
pub(crate) fn constant_code(setters: &[Setter]) -> &str {
    setters
        .iter()
        .find_map(|s| match (&s.target, &s.source) {
            (Target::Column("code", _), Source::Constant(code)) => Some(code.as_str()),
            _ => None,
        })
        .unwrap_or("")
}

fn target(table: Table, name: &str) -> Result<Target, String> {
    if let Some((_, target, tables)) = SPECIAL.iter().find(|(n, _, _)| *n == name) {
        if tables.contains(&table) {
            return Ok(*target);
        }
        return Err(format!("table \"{}\" has no {name}; there are: {}", table.name(), settable(table)));
    }
    if let Some((_, remedy)) = OWN.iter().find(|(n, _)| *n == name)
        && table.column(name).is_some()
    {
        return Err(format!("\"{name}\" is not set by a mapping; {remedy}"));
    }
    match table.column(name) {
        Some(column) => Ok(Target::Column(column.name, column.kind)),
        None => Err(format!("table \"{}\" has no column \"{name}\"; there are: {}", table.name(), settable(table))),
    }
}

fn settable(table: Table) -> String {
    let special = SPECIAL.iter().filter(|(_, _, tables)| tables.contains(&table)).map(|(name, _, _)| *name);
    let columns = table.columns().map(|c| c.name).filter(|n| !OWN.iter().any(|(own, _)| own == n));
    special.chain(columns).collect::<Vec<_>>().join(", ")
}

fn source(
    table: Table,
    name: &str,
    target: Target,
    value: Value<'_, '_>,
    slots: &mut Slots,
) -> Result<Source, AdapterError> {
    if let Some(text) = value.as_text() {
        if target.is_time() || matches!(target, Target::Visit | Target::ParentVisit | Target::Linkage) {
            return Err(value.error(format!("{name} comes from a column: {name} = {{ column = \"...\" }}")));
        }
        return checked(table, name, target, text).map(Source::Constant).map_err(|m| value.error(m));
    }
    let section = value
        .table(name)
        .map_err(|_| value.error(format!("{name} is a constant in quotes, or {{ column = \"...\" }}")))?
        // One value for many would make them one person.
        .only(if target == Target::Linkage { &["column"] } else { &["column", "map", "unmapped", "default"] })?;
    let slot = slots.slot(section.doc, section.must("column")?);
    let mut map = None;
    if let Some(entries) = section.get("map") {
        let mut read = ValueMap::new();
        for (key, to) in entries.table("map")?.entries() {
            let text = to.text(key.text)?;
            let text = checked(table, name, target, text.text).map_err(|m| to.error(m))?;
            read.insert(key.text.to_owned(), text);
        }
        map = Some(read);
    }
    let unmapped = match section.text("unmapped")? {
        None if name == "sex" => Unmapped::As("U"),
        None => Unmapped::Quarantine,
        Some(t) => match t.text {
            "quarantine" => Unmapped::Quarantine,
            "keep" => Unmapped::Keep,
            "skip" => Unmapped::Skip,
            _ => return Err(section.doc.error(t.at, "unmapped is \"quarantine\", \"keep\" or \"skip\"")),
        },
    };
    let default = match section.text("default")? {
        None => None,
        Some(t) => Some(checked(table, name, target, t.text).map_err(|m| section.doc.error(t.at, m))?),
    };
    Ok(Source::Column { slot, map, unmapped, default })
}

/// A text of the mapping as the schema takes it, or what would fit.
fn checked(table: Table, name: &str, target: Target, text: &str) -> Result<String, String> {
    if matches!(name, "code_system" | "std_system") {
        return codes::canonical(text).ok_or_else(|| {
            let known = codes::aliases().join(", ");
            format!("code system \"{text}\" is not known; write an alias ({known}), a URI, or an OID as urn:oid:...")
        });
    }
    if let Some(levels) = table.levels(name)
        && !levels.contains(&text)
    {
        return Err(format!("{name} \"{text}\" is not known; there are: {}", levels.join(", ")));
    }
    match target {
        Target::Column(_, Kind::Real) if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text.to_owned()),
        Target::Column(_, Kind::Real) => Err(format!("{name} is a number, written \"1.5\" in a mapping")),
        Target::Column(_, Kind::Integer) if text.parse::<i64>().is_ok() => Ok(text.to_owned()),
        Target::Column(_, Kind::Integer) => Err(format!("{name} is a whole number, written \"1\" in a mapping")),
        Target::Column(_, Kind::Flag) if matches!(text, "true" | "false") => Ok(text.to_owned()),
        Target::Column(_, Kind::Flag) => Err(format!("{name} is \"true\" or \"false\"")),
        _ => Ok(text.to_owned()),
    }
}
