//! Which of several codings a row keeps, and the bare codes of concepts.

use std::borrow::Cow;

use schema::{Record, Table, codes};

use super::No;
use super::wire::{CodeableConcept, Coding, of};
use crate::sink::Reason;
use crate::systems::place;

/// The URI of a coding's system, as the schema spells it.
pub(super) fn system<'c>(coding: &'c Coding<'_>) -> Option<Cow<'c, str>> {
    let text = of(&coding.system)?;
    match codes::SYSTEMS.iter().find(|s| s.uri == text) {
        Some(known) => Some(Cow::Borrowed(known.uri)),
        None => codes::canonical(text).map(Cow::Owned),
    }
}

/// The coding that a row of the table keeps: of the most usual system, and of several the first. A coding without a code is none.
pub(super) fn choose<'c, 'a>(
    concept: &'c CodeableConcept<'a>,
    table: Table,
) -> Option<(&'c Coding<'a>, &'c str, Option<Cow<'c, str>>)> {
    let mut coded = concept.coding.iter().filter_map(|c| Some((c, of(&c.code)?, system(c))));
    let first = coded.next()?;
    let mut best = (place(first.2.as_deref(), table), first);
    for other in coded {
        let at = place(other.2.as_deref(), table);
        if at < best.0 {
            best = (at, other);
        }
    }
    Some(best.1)
}

/// Sets the code of a row.
pub(super) fn set(row: &mut Record, concept: Option<&CodeableConcept<'_>>, field: &str) -> Result<(), No> {
    let Some((_, code, system)) = concept.and_then(|c| choose(c, row.table())) else {
        return Err(No::bad(Reason::MissingCode, format!("{field} has no coding with a code; map it at the source")));
    };
    row.set("code", code);
    row.set("code_system", system.map(Cow::into_owned));
    Ok(())
}

/// The code of a concept, for columns that hold a bare code.
pub(super) fn bare<'c>(concept: Option<&'c CodeableConcept<'_>>) -> Option<&'c str> {
    concept?.coding.iter().find_map(|c| of(&c.code))
}

/// The code of the first concept that has one.
pub(super) fn first<'c>(concepts: &'c [CodeableConcept<'_>]) -> Option<&'c str> {
    concepts.iter().find_map(|c| bare(Some(c)))
}

/// Whether a concept has this code, in whatever system.
pub(super) fn has(concepts: &[CodeableConcept<'_>], code: &str) -> bool {
    concepts.iter().any(|c| c.coding.iter().any(|c| of(&c.code) == Some(code)))
}
