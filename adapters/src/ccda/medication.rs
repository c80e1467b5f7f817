//! A drug that was ordered, dispensed, given or is taken; and immunizations, which are given.

use schema::{Record, Table};

use super::document::Whose;
use super::element::Element;
use super::leaves::Leaf;
use super::template::{Kind, Section};
use super::{No, Row, code, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

const MATERIAL: [&str; 3] = ["manufacturedProduct", "manufacturedMaterial", "code"];

/// The code of the drug: of the statement itself, else of the order that it belongs to.
fn drug<'e>(leaf: &Leaf<'e>) -> Option<&'e Element> {
    let of = |e: &'e Element| ["consumable", "product"].iter().find_map(|c| e.child(c)?.at(&MATERIAL));
    of(leaf.element).or_else(|| leaf.within("substanceAdministration").and_then(of))
}

/// Sets a quantity with its unit; `1` is UCUM's word for none.
fn set_quantity(row: &mut Record, quantity: Option<&Element>, path: &str) -> Result<(), No> {
    let Some(quantity) = quantity.filter(|q| q.null().is_none()) else { return Ok(()) };
    let Some(text) = quantity.get("value") else { return Ok(()) };
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => row.set("qty", v),
        _ => {
            let detail = format!("{path}/@value is not a number; write digits and a point");
            return Err(No::bad(Reason::BadNumber, detail));
        }
    };
    row.set("unit", quantity.get("unit").filter(|u| *u != "1"));
    Ok(())
}

pub(super) fn row(leaf: &Leaf<'_>, whose: &Whose, env: &Envelope<'_>) -> Row {
    let act = leaf.element;
    let kind = match (leaf.kind, act.get("moodCode"), leaf.section) {
        (Kind::Dispense, None | Some("EVN"), _) => "dispensed",
        (Kind::Immunization, None | Some("EVN"), _) => "given",
        (Kind::Medication, None | Some("EVN"), Section::MedicationsGiven) => "given",
        (Kind::Medication, None | Some("EVN"), _) => "reported",
        (Kind::Medication, Some("INT" | "RQO"), _) => "ordered",
        // What is planned, proposed or refused; a vaccine that is to be given.
        _ => return Err(No::Skipped),
    };
    let status = match act.status() {
        Some("completed" | "active" | "aborted" | "suspended") | None => "final",
        Some("new" | "held") => "preliminary",
        Some("cancelled") => "cancelled",
        Some("nullified") => "error",
        Some(_) => "unknown",
    };
    let mut row =
        env.row(Table::DrugExposure, whose.key, schema::Key::default()).with("kind", kind).with("status", status);
    if status == "error" {
        row.set("op", "retract");
    }
    match drug(leaf) {
        Some(concept) => match code::choose(concept) {
            Some(coded) => {
                row.set("code", coded.code);
                row.set("code_system", coded.system);
            }
            None if concept.null().is_some() => return Err(No::Skipped),
            None => {
                let detail = "manufacturedMaterial/code has no code; map it at the source";
                return Err(No::bad(Reason::MissingCode, detail));
            }
        },
        None => return Err(No::Skipped),
    }
    // The first time is from when to when; the others say how often.
    let how_often = |t: &&Element| matches!(t.data_type(), Some("PIVL_TS" | "EIVL_TS" | "SXPR_TS"));
    let time = act.all("effectiveTime").find(|t| !how_often(t));
    let span = when::span(time, "effectiveTime", env.zone())?;
    let author = when::moment(act.at(&["author", "time"]), "author/time", env.zone())?;
    if let Some(when) = span.start.as_ref().or(author.as_ref()) {
        envelope::set_event(&mut row, when);
    }
    if let Some(known) = &author {
        row.set("t_known", known.instant_cell());
    }
    if let Some(end) = &span.end {
        envelope::set_end(&mut row, end);
        row.set("end_kind", "explicit");
    }
    row.set("route", code::bare(act, "routeCode"));
    match kind {
        // What was given at once is a quantity; what is taken each time is none.
        "given" => set_quantity(&mut row, act.child("doseQuantity"), "doseQuantity")?,
        "ordered" => {
            let supply = act.all("entryRelationship").find_map(|r| r.child("supply")).filter(|s| !s.happened());
            set_quantity(&mut row, supply.and_then(|s| s.child("quantity")), "supply/quantity")?;
        }
        "dispensed" => set_quantity(&mut row, act.child("quantity"), "quantity")?,
        _ => {}
    }
    Ok(row)
}
