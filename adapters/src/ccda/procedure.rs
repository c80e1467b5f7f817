//! A procedure, in any of its three kinds: one that changes the body, one that looks, and any other.

use schema::Table;

use super::document::Whose;
use super::leaves::Leaf;
use super::{No, Row, code, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

pub(super) fn row(leaf: &Leaf<'_>, whose: &Whose, env: &Envelope<'_>) -> Row {
    let procedure = leaf.element;
    if !procedure.happened() {
        return Err(No::Skipped);
    }
    let status = match procedure.status() {
        Some("completed") | None => "final",
        Some("active" | "suspended" | "held") => "preliminary",
        Some("aborted" | "cancelled") => "cancelled",
        Some("nullified") => "error",
        Some(_) => "unknown",
    };
    let mut row = env.row(Table::Procedure, whose.key, schema::Key::default()).with("status", status);
    if status == "error" {
        row.set("op", "retract");
    }
    match procedure.child("code").and_then(code::choose) {
        Some(coded) => {
            row.set("code", coded.code);
            row.set("code_system", coded.system);
        }
        None if procedure.child("code").is_none_or(|c| c.null().is_some()) => return Err(No::Skipped),
        None => return Err(No::bad(Reason::MissingCode, "code has no code; map it at the source")),
    }
    let span = when::span(procedure.child("effectiveTime"), "effectiveTime", env.zone())?;
    if let Some(when) = &span.start {
        envelope::set_event(&mut row, when);
    }
    if let Some(end) = &span.end {
        envelope::set_end(&mut row, end);
    }
    Ok(row)
}
