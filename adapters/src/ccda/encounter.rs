//! A visit: of the header, or of the section of encounters.

use schema::Table;

use super::document::Whose;
use super::element::Element;
use super::{No, Row, code, when};
use crate::envelope::{self, Envelope};
use crate::sink::Reason;

/// The name of a visit.
pub(super) fn name(root: &str, extension: &str) -> String {
    format!("{root}|{extension}")
}

/// The class of HL7's ActCode; of CPT's numbers for the place and kind of a visit; of the SNOMED CT codes in use.
fn class(system: Option<&str>, text: &str) -> Option<&'static str> {
    match system {
        Some("http://www.ama-assn.org/go/cpt") => {
            let number: u32 = text.parse().ok()?;
            Some(match number {
                99_202..=99_205 | 99_201 | 99_211..=99_215 | 99_241..=99_245 | 99_381..=99_429 => "OP",
                99_217..=99_220 | 99_224..=99_226 => "OBS",
                99_221..=99_223 | 99_231..=99_233 | 99_238 | 99_239 | 99_251..=99_255 => "IP",
                99_281..=99_288 => "ER",
                99_291 | 99_292 => "ICU",
                _ => return None,
            })
        }
        Some("http://snomed.info/sct") => Some(match text {
            "4525004" | "50849002" => "ER",
            "32485007" | "183452005" | "183450002" | "8715000" => "IP",
            "11429006" | "185345009" | "185347001" | "185349003" | "270427003" | "308335008" | "390906007"
            | "448337001" => "OP",
            _ => return None,
        }),
        _ => Some(match text.to_ascii_uppercase().as_str() {
            "IMP" | "ACUTE" | "NONAC" => "IP",
            "EMER" => "ER",
            "OBSENC" | "SS" => "OBS",
            "AMB" | "HH" | "VR" | "FLD" | "PRENC" => "OP",
            _ => return None,
        }),
    }
}

pub(super) fn row(visit: &Element, whose: &Whose, env: &Envelope<'_>) -> Row {
    if !visit.happened() {
        return Err(No::Skipped);
    }
    let Some((root, extension)) = visit.id() else {
        return Err(No::bad(Reason::MissingId, "id is missing; export with the visit's id"));
    };
    let codes = || visit.all("code").flat_map(code::all);
    let found = codes().find_map(|c| class(c.system.as_deref(), c.code));
    let Some(class) = found else {
        let detail = "code says no kind of visit; add a translation of ActCode: IMP, EMER, OBSENC, AMB, HH, VR";
        return Err(No::bad(Reason::UnknownLevel, detail));
    };
    let id = name(root, extension);
    let mut row = env
        .row(Table::Visit, whose.key, env.record(Table::Visit, &[&whose.id, &id]))
        .with("visit_key", env.visit(&id))
        .with("class", class);
    let span = when::span(visit.child("effectiveTime"), "effectiveTime", env.zone())?;
    if let Some(start) = &span.start {
        envelope::set_event(&mut row, start);
        envelope::set_start(&mut row, start);
    }
    if let Some(end) = &span.end {
        envelope::set_end(&mut row, end);
        row.set("end_kind", "explicit");
    }
    let running = visit.status() == Some("active") && span.end.is_none();
    row.set("open", running);
    row.set(
        "status",
        match visit.status() {
            Some("cancelled" | "aborted") => "cancelled",
            _ if running => "preliminary",
            _ => "final",
        },
    );
    if visit.status() == Some("nullified") {
        row.set("status", "error");
        row.set("op", "retract");
    }
    if let Some(kind) = visit.child("code").and_then(code::choose)
        && kind.system.as_deref() != Some(code::ACT_CODE)
    {
        row.set("code", kind.code);
        row.set("code_system", kind.system);
    }
    row.set("discharge_to", code::bare(visit, "dischargeDispositionCode"));
    Ok(row)
}
