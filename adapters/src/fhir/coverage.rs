//! Coverage: when a person was insured, which is when an insurer's or a national record would know of them.

use schema::Table;
use serde::Deserialize;

use super::told::{Told, set_status};
use super::wire::{Contained, Meta, Modifiers, Period, Reference, Text, of};
use super::{Rows, delete};
use crate::envelope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Coverage<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    beneficiary: Option<Reference<'a>>,
    #[serde(borrow)]
    period: Option<Period<'a>>,
    #[serde(borrow, default, deserialize_with = "super::wire::list")]
    contained: Vec<Contained<'a>>,
    #[serde(default, deserialize_with = "super::wire::list")]
    modifier_extension: Modifiers,
}

pub(super) fn rows(coverage: &Coverage<'_>, told: &Told<'_>) -> Rows {
    let error = of(&coverage.status) == Some("entered-in-error");
    let start = coverage.period.as_ref().map_or(Ok(None), |p| told.date(&p.start, "Coverage.period.start"))?;
    let drafted = of(&coverage.status) == Some("draft");
    // A period without a beginning states none.
    if !coverage.modifier_extension.is_empty() || drafted || (start.is_none() && !error) {
        return Err(delete::gone(told, "Coverage", &coverage.id));
    }
    let id = told.own_id(&coverage.id, "Coverage")?;
    let person = told.person_of(&coverage.beneficiary, &coverage.contained, "Coverage.beneficiary", error)?;
    let key = told.key(Table::ObservationPeriod, id);
    let mut row = told.env.row(Table::ObservationPeriod, person, key).with("basis", "insurance");
    set_status(&mut row, if error { "error" } else { "final" });
    if let Some(start) = &start {
        envelope::set_start(&mut row, start);
    }
    let end = coverage.period.as_ref().and_then(|p| told.end(&p.end, "Coverage.period.end"));
    if let Some(end) = &end {
        envelope::set_end(&mut row, end);
    }
    Ok(vec![row])
}
