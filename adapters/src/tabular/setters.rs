//! What fills a column of a record: a constant, or a source column with its map. All checked against the schema.

use chrono::NaiveDate;
use schema::tables::Kind;
use schema::{Table, codes};

use super::anchor::Anchor;
use super::columns::{Columns, Slot};
use super::mapping::ValueMap;
use super::toml_doc::{Section, Text, Value};
use crate::sink::AdapterError;

/// One `name = ...` of `[file.row.set]`.
pub(crate) struct Setter {
    pub(crate) target: Target,
    pub(crate) source: Source,
}

impl Setter {
    /// The columns that it reads.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.source.slots()
    }

    /// Whether it reads a column for what a record can do without.
    pub(crate) fn reads_for_spare(&self, slot: Slot) -> bool {
        self.target.is_spare() && matches!(&self.source, Source::Column(column) if column.slot == slot)
    }
}

/// What is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One column of the schema, with its place.
    Column(&'static str, Kind, usize),
    /// A code with its system: the first pair that is whole.
    Coded,
    /// The same for the standard code.
    Standard,
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

    /// Whether a record without it is worth keeping: a fault in it costs the field alone.
    pub(crate) fn is_spare(self) -> bool {
        matches!(
            self,
            Target::Known
                | Target::End
                | Target::Birth
                | Target::Result
                | Target::Column("birth_year" | "birth_month" | "ref_lo" | "ref_hi" | "days_supply", ..)
        )
    }
}

/// Where the value comes from.
pub(crate) enum Source {
    Constant(String),
    Column(Column),
    /// A time, so many units after an anchor.
    Offset {
        slot: Slot,
        anchor: Anchor,
    },
    /// A birth, as a year less an age.
    Age {
        year: Slot,
        age: Slot,
        capped_from: Option<f64>,
    },
    /// A system and a code, the first pair that is whole.
    Pairs(Vec<(Source, Source)>),
}

/// A source column.
pub(crate) struct Column {
    pub(crate) slot: Slot,
    pub(crate) map: Option<ValueMap>,
    pub(crate) unmapped: Unmapped,
    pub(crate) default: Option<String>,
    /// Whether a text that is no number is null, instead of a fault.
    pub(crate) tolerant: bool,
    /// A birth before this day is a hidden age: the year is moved by so many years, and the age is capped.
    pub(crate) capped: Option<(NaiveDate, i64)>,
}

impl Source {
    fn slots(&self) -> Vec<Slot> {
        match self {
            Source::Constant(_) => Vec::new(),
            Source::Column(column) => vec![column.slot],
            Source::Offset { slot, anchor } => std::iter::once(*slot).chain(anchor.slots()).collect(),
            Source::Age { year, age, .. } => vec![*year, *age],
            Source::Pairs(pairs) => pairs.iter().flat_map(|(a, b)| [a.slots(), b.slots()].concat()).collect(),
        }
    }

    /// Whether it reads dates.
    fn needs_dates(&self) -> bool {
        match self {
            Source::Column(_) => true,
            Source::Offset { anchor, .. } => anchor.needs_dates(),
            _ => false,
        }
    }
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
    /// The column stays empty.
    Null,
    /// The default takes its place, and the field is told in quarantine.
    Default,
    /// This value takes its place.
    As(&'static str),
}

const CODED: &[Table] = &[Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure];

const SPECIAL: &[(&str, Target, &[Table])] = &[
    (
        "event",
        Target::Event,
        &[Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure, Table::Death],
    ),
    ("known", Target::Known, &Table::MAPPED),
    ("coded", Target::Coded, CODED),
    ("standard", Target::Standard, CODED),
    (
        "visit",
        Target::Visit,
        &[Table::Visit, Table::Condition, Table::Measurement, Table::DrugExposure, Table::Procedure, Table::Death],
    ),
    ("start", Target::Start, &[Table::Visit, Table::ObservationPeriod]),
    ("parent_visit", Target::ParentVisit, &[Table::Visit]),
    (
        "end",
        Target::End,
        &[Table::Visit, Table::Condition, Table::DrugExposure, Table::Procedure, Table::ObservationPeriod],
    ),
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
        Table::ObservationPeriod => &["start", "end"],
        Table::Condition | Table::Measurement | Table::DrugExposure | Table::Procedure => &["code_system", "code"],
        _ => &[],
    }
}

pub(crate) fn parse<'d, 't>(
    table: Table,
    at: usize,
    set: Option<Section<'d, 't>>,
    scope: &Scope<'d, 't>,
    columns: &mut Columns<'d, 't>,
) -> Result<Vec<Setter>, AdapterError> {
    let doc = columns.doc;
    let mut setters = Vec::new();
    let mut names = Vec::new();
    for (key, value) in set.iter().flat_map(Section::entries) {
        let target = target(table, key.text).map_err(|message| doc.error(key.at, message))?;
        let source = match target {
            Target::Coded => pairs(table, "code_system", "code", value, columns)?,
            Target::Standard => pairs(table, "std_system", "std_code", value, columns)?,
            _ => source(table, key.text, target, value, scope, columns)?,
        };
        if target.is_time() && !scope.has_dates && source.needs_dates() {
            return Err(doc.error(key.at, "a date needs dates = [\"%d.%m.%Y\", ...] in its [[file]]"));
        }
        names.push(key.text);
        setters.push(Setter { target, source });
    }
    let coded = names.contains(&"coded");
    if coded && (names.contains(&"code") || names.contains(&"code_system")) {
        return Err(doc.error(at, "coded stands for code and code_system; write either"));
    }
    let given = |r: &&str| names.contains(r) || (coded && matches!(*r, "code" | "code_system"));
    if let Some(missing) = required(table).iter().find(|r| !given(r)) {
        return Err(doc.error(at, format!("table \"{}\" needs {missing} in [file.row.set]", table.name())));
    }
    if names.contains(&"code") && !names.contains(&"code_system") {
        return Err(doc.error(at, "code needs code_system beside it"));
    }
    // A precision that a column tells is said last: it coarsens what the time's own text says.
    setters.sort_by_key(|s| matches!(s.target, Target::Column("t_prec", ..)));
    Ok(setters)
}

/// What a row's mapping may name beside its columns.
pub(crate) struct Scope<'d, 't> {
    /// The anchors of the whole mapping.
    pub(crate) anchors: Vec<(Text<'d>, Section<'d, 't>)>,
    /// Whether the file says how its dates are written.
    pub(crate) has_dates: bool,
}

/// The constant code of a row, empty where it has none.
pub(crate) fn constant_code(setters: &[Setter]) -> &str {
    setters
        .iter()
        .find_map(|s| match (&s.target, &s.source) {
            (Target::Column("code", ..), Source::Constant(code)) => Some(code.as_str()),
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
    match table.find(name) {
        Some((at, column)) => Ok(Target::Column(column.name, column.kind, at)),
        None => Err(format!("table \"{}\" has no column \"{name}\"; there are: {}", table.name(), settable(table))),
    }
}

fn settable(table: Table) -> String {
    let special = SPECIAL.iter().filter(|(_, _, tables)| tables.contains(&table)).map(|(name, _, _)| *name);
    let columns = table.columns().map(|c| c.name).filter(|n| !OWN.iter().any(|(own, _)| own == n));
    special.chain(columns).collect::<Vec<_>>().join(", ")
}

/// A list of systems with their codes.
fn pairs<'d, 't>(
    table: Table,
    system: &str,
    code: &str,
    value: Value<'d, 't>,
    columns: &mut Columns<'d, 't>,
) -> Result<Source, AdapterError> {
    let remedy = "a list such as [{ system = \"loinc\", code = { column = \"LOINC\" } }], tried in its order";
    let mut pairs = Vec::new();
    for section in value.tables(remedy).map_err(|_| value.error(format!("write {remedy}")))? {
        let section = section.only(&["system", "code"])?;
        let mut part = |key: &str, name: &str| {
            let value = section.get(key).ok_or_else(|| section.doc.error(section.at, format!("write {remedy}")))?;
            let target = target(table, name).map_err(|m| value.error(m))?;
            if let Some(text) = value.as_text() {
                return checked(table, name, target, text).map(Source::Constant).map_err(|m| value.error(m));
            }
            column(table, name, target, value.table(key)?, columns).map(Source::Column)
        };
        pairs.push((part("system", system)?, part("code", code)?));
    }
    Ok(Source::Pairs(pairs))
}

fn source<'d, 't>(
    table: Table,
    name: &str,
    target: Target,
    value: Value<'d, 't>,
    scope: &Scope<'d, 't>,
    columns: &mut Columns<'d, 't>,
) -> Result<Source, AdapterError> {
    if let Some(text) = value.as_text() {
        if target.is_time() || matches!(target, Target::Visit | Target::ParentVisit | Target::Linkage) {
            return Err(value.error(format!("{name} comes from a column: {name} = {{ column = \"...\" }}")));
        }
        return checked(table, name, target, text).map(Source::Constant).map_err(|m| value.error(m));
    }
    let section = value
        .table(name)
        .map_err(|_| value.error(format!("{name} is a constant in quotes, or {{ column = \"...\" }}")))?;
    if target.is_time() && section.get("offset").is_some() {
        let section = section.only(&["offset", "anchor"])?;
        let slot = columns.slot(section.must("offset")?)?;
        let wanted = section.must("anchor")?;
        let Some((_, anchor)) = scope.anchors.iter().find(|(n, _)| n.text == wanted.text) else {
            let known = scope.anchors.iter().map(|(n, _)| n.text).collect::<Vec<_>>().join(", ");
            let message = format!("anchor \"{}\" is not known; there are: {known}; add [anchor.{0}]", wanted.text);
            return Err(section.doc.error(wanted.at, message));
        };
        return Ok(Source::Offset { slot, anchor: Anchor::parse(wanted.text, *anchor, columns)? });
    }
    if target == Target::Birth && section.get("year").is_some() {
        let section = section.only(&["year", "minus", "capped_from"])?;
        let capped_from = match section.text("capped_from")? {
            None => None,
            Some(t) => {
                Some(t.text.parse::<f64>().map_err(|_| section.doc.error(t.at, "capped_from is an age in quotes"))?)
            }
        };
        let year = columns.slot(section.must("year")?)?;
        return Ok(Source::Age { year, age: columns.slot(section.must("minus")?)?, capped_from });
    }
    column(table, name, target, section, columns).map(Source::Column)
}

fn column<'d, 't>(
    table: Table,
    name: &str,
    target: Target,
    section: Section<'d, 't>,
    columns: &mut Columns<'d, 't>,
) -> Result<Column, AdapterError> {
    let known: &[&str] = match target {
        // One value for many would make them one person.
        Target::Linkage => &["column"],
        Target::Birth => &["column", "map", "unmapped", "default", "capped_before", "capped_years"],
        Target::Column("value_num", ..) => &["column", "map", "unmapped", "default", "text"],
        _ => &["column", "map", "unmapped", "default"],
    };
    let section = section.only(known)?;
    let doc = section.doc;
    let slot = columns.slot(section.must("column")?)?;
    let mut map = None;
    if let Some(entries) = section.get("map") {
        let mut read = ValueMap::new();
        for (key, to) in columns.map(entries)?.entries() {
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
            "null" => Unmapped::Null,
            "default" if section.text("default")?.is_some() => Unmapped::Default,
            "default" => return Err(doc.error(t.at, "unmapped = \"default\" needs default = \"...\" beside it")),
            _ => {
                let words = "unmapped is \"quarantine\", \"keep\", \"skip\", \"null\" or \"default\"";
                return Err(doc.error(t.at, words));
            }
        },
    };
    let default = match section.text("default")? {
        None => None,
        Some(t) => Some(checked(table, name, target, t.text).map_err(|m| doc.error(t.at, m))?),
    };
    let tolerant = match section.text("text")? {
        None => false,
        Some(t) if t.text == "null" => true,
        Some(t) => return Err(doc.error(t.at, "text is \"null\": a cell that is no number is empty")),
    };
    let capped = match (section.text("capped_before")?, section.text("capped_years")?) {
        (None, None) => None,
        (Some(day), Some(years)) => {
            let wrong = || {
                doc.error(
                    day.at,
                    "capped_before is a day such as \"2000-01-01\", capped_years a whole number in quotes",
                )
            };
            let day: NaiveDate = day.text.parse().map_err(|_| wrong())?;
            Some((day, years.text.parse::<i64>().ok().filter(|y| (0..=1000).contains(y)).ok_or_else(wrong)?))
        }
        (Some(t), None) | (None, Some(t)) => {
            return Err(doc.error(t.at, "capped_before and capped_years stand together"));
        }
    };
    Ok(Column { slot, map, unmapped, default, tolerant, capped })
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
        Target::Column(_, Kind::Real, _) if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text.to_owned()),
        Target::Column(_, Kind::Real, _) => Err(format!("{name} is a number, written \"1.5\" in a mapping")),
        Target::Column(_, Kind::Integer, _) if text.parse::<i64>().is_ok() => Ok(text.to_owned()),
        Target::Column(_, Kind::Integer, _) => Err(format!("{name} is a whole number, written \"1\" in a mapping")),
        Target::Column(_, Kind::Flag, _) if matches!(text, "true" | "false") => Ok(text.to_owned()),
        Target::Column(_, Kind::Flag, _) => Err(format!("{name} is \"true\" or \"false\"")),
        _ => Ok(text.to_owned()),
    }
}
