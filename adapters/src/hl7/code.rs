//! Coded elements: code, text and system, and the same again in another system.

use std::borrow::Cow;

use schema::codes;
use schema::{Cell, Record, Table};

use super::scan::Field;
use super::segment::{No, Segment};
use crate::sink::Reason;
use crate::systems::place;

/// A code and its system.
pub(crate) struct Coded<'m> {
    /// The code.
    pub(crate) code: Cow<'m, str>,
    /// The system's URI, where it is known.
    pub(crate) system: Option<Cow<'static, str>>,
}

/// What the name of a coding system begins with that is no system known here, such as a laboratory's own `99LAB`: two laboratories'
/// codes are not one, and a site's mappings can name them.
const LOCAL: &str = "urn:hl7:";
/// The longest name of a local system.
const LONGEST: usize = 64;

fn system(name: &str) -> Option<Cow<'static, str>> {
    if let Some(uri) = codes::listed(name) {
        return Some(Cow::Borrowed(uri));
    }
    codes::canonical(name).or_else(|| local(name)).map(Cow::Owned)
}

/// The URI of a local system: its name in capitals, with a hyphen for what can't stand in a URI.
fn local(name: &str) -> Option<String> {
    let name = name.trim();
    let plain =
        |c: char| if c.is_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_uppercase() } else { '-' };
    (!name.is_empty() && name.len() <= LONGEST)
        .then(|| format!("{LOCAL}{}", name.chars().map(plain).collect::<String>()))
}

/// Whether a system is one that is known by its name alone.
pub(crate) fn is_local(uri: &str) -> bool {
    uri.starts_with(LOCAL)
}

/// The code to keep: the one of the system that a table's studies ask for first, else the first. Both triplets of the field are looked
/// into.
pub(crate) fn choose<'m, const N: usize>(
    segment: &Segment<'_, N>,
    n: usize,
    field: Field<'m>,
    fallback: Option<&str>,
    table: Table,
) -> Result<Option<Coded<'m>>, No> {
    let triplet = |at: usize| -> Result<Option<Coded<'m>>, No> {
        let read = |c: usize| {
            field.component(c).text().map_err(|_| {
                segment.bad(n, Reason::NotUtf8, "not UTF-8; have the sender name its character set in MSH-18")
            })
        };
        let Some(code) = read(at)? else { return Ok(None) };
        let system = match read(at + 2)? {
            Some(name) => system(&name),
            None => fallback.and_then(system),
        };
        Ok(Some(Coded { code, system }))
    };
    let known = |c: &Coded<'_>| c.system.as_deref().is_some_and(|uri| !is_local(uri));
    let of = |c: &Coded<'_>| (place(c.system.as_deref(), table), !known(c));
    Ok(match (triplet(1)?, triplet(4)?) {
        (Some(first), Some(other)) if of(&other) < of(&first) => Some(other),
        (first, other) => first.or(other),
    })
}

/// Sets the code of a row from a field.
pub(crate) fn set<const N: usize>(
    row: &mut Record,
    segment: &Segment<'_, N>,
    n: usize,
    fallback: Option<&str>,
) -> Result<(), No> {
    match choose(segment, n, segment.field(n), fallback, row.table())? {
        Some(coded) => {
            row.set("code", coded.code);
            row.set("code_system", coded.system);
            Ok(())
        }
        None => Err(segment.bad(n, Reason::MissingCode, "the code is missing; map it at the source")),
    }
}

/// Sets a column from a field's bare code: one that is empty says nothing, and `""` empties the column.
pub(crate) fn say<const N: usize>(
    row: &mut Record,
    column: &str,
    segment: &Segment<'_, N>,
    n: usize,
) -> Result<(), No> {
    if !segment.field(n).component(1).is_empty() {
        row.set(column, bare(segment, n)?);
    }
    Ok(())
}

/// A field's bare code.
pub(crate) fn bare<const N: usize>(segment: &Segment<'_, N>, n: usize) -> Result<Cell, No> {
    Ok(segment.text(n)?.map_or(Cell::Null, Cell::from))
}
