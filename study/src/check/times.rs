//! What is wrong with an analysis' times: a time and its event that are of different follow-ups, times behind the horizon, and windows
//! behind the cohort's exit.

use std::collections::BTreeSet;

use super::analyses::Place;
use crate::analysis::{Analysis, What};
use crate::feature::{Feature, Shape};

/// Says what is wrong.
pub(super) fn check(place: &mut Place<'_, '_>, a: &Analysis) {
    if let Some((key, time, event)) = follow_up(&a.what) {
        partners(place, key, time, event);
    }
    match &a.what {
        What::Survival { time, horizon, at, tau, .. } => {
            let last = last(place, time, *horizon);
            told(place, at, last);
            if tau.is_some_and(|t| !(t > 0.0 && t <= last)) {
                place.say(
                    "tau",
                    "the restricted mean ends at 0 or behind the horizon",
                    format!("give a time up to {last}"),
                );
            }
        }
        What::Competing { time, horizon, at, .. } => {
            let last = last(place, time, *horizon);
            told(place, at, last);
        }
        _ => {}
    }
    match &a.what {
        What::Survival { time, horizon, width, .. }
        | What::Competing { time, horizon, width, .. }
        | What::Cox { time, horizon, width, .. } => cells(place, *width, last(place, time, *horizon)),
        _ => {}
    }
    behind_the_exit(place, a);
}

/// One cell tells no course of time.
fn cells(place: &mut Place<'_, '_>, width: f64, last: f64) {
    if width > 0.0 && last.is_finite() && width >= last {
        let message = format!("cells of {width} make a single one of the time up to the horizon, {last}");
        place.say("width", message, "10 to 30 cells are usual; give a smaller width, or a longer horizon");
    }
}

/// The time and the event of an analysis of survival, and how the event's setting is called.
fn follow_up(what: &What) -> Option<(&'static str, &str, &str)> {
    match what {
        What::Survival { time, event, .. }
        | What::Cox { time, event, .. }
        | What::PiecewiseExponential { time, event, .. } => Some(("event", time, event)),
        What::Competing { time, cause, .. } => Some(("cause", time, cause)),
        _ => None,
    }
}

/// A time of a follow-up needs the event of the same one.
fn partners(place: &mut Place<'_, '_>, key: &str, time: &str, event: &str) {
    let study = place.checker.study;
    let (Some(t), Some(e)) = (study.features.get(time), study.features.get(event)) else { return };
    let single = |f: &Feature| match f {
        Feature::FollowUp { .. } | Feature::FollowedBy { .. } => Some(true),
        Feature::TimeToFirst { .. } | Feature::FirstOf { .. } => Some(false),
        _ => None,
    };
    let (Some(of_time), Some(of_event)) = (single(t), single(e)) else { return };
    if of_time != of_event {
        let remedy = "use follow_up with followed_by, and time_to_first with first_of";
        place.say(key, format!("'{time}' and '{event}' are of different kinds of follow-up"), remedy);
        return;
    }
    let settings = |f: &Feature| match serde_json::to_value(f) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().filter(|(k, _)| k != "kind").collect(),
        _ => serde_json::Map::new(),
    };
    let (t, e) = (settings(t), settings(e));
    let keys: BTreeSet<&String> = t.keys().chain(e.keys()).collect();
    let differ: Vec<&str> = keys.into_iter().filter(|k| t.get(*k) != e.get(*k)).map(String::as_str).collect();
    if !differ.is_empty() {
        let message =
            format!("'{time}' and '{event}' are of different follow-ups: they differ in {}", differ.join(", "));
        place.say(key, message, "give both the same settings");
    }
}

fn last(place: &Place<'_, '_>, time: &str, horizon: Option<f64>) -> f64 {
    let upper = if let Some(Shape::Real { upper, .. }) = place.shape(time) { upper } else { f64::INFINITY };
    horizon.unwrap_or(upper)
}

/// Says what is wrong with the times at which a curve is told.
fn told(place: &mut Place<'_, '_>, at: &[f64], last: f64) {
    if at.iter().any(|t| !(*t >= 0.0 && *t <= last)) {
        let message = format!("a time to tell the curve at is not between 0 and the horizon, {last}");
        place.say("at", message, "give times such as [30, 365], or widen the horizon");
    }
}

/// Nobody has anything after they have left.
fn behind_the_exit(place: &mut Place<'_, '_>, a: &Analysis) {
    let study = place.checker.study;
    let Some(days) = study.cohorts.get(&a.cohort).and_then(|c| c.exit.days) else { return };
    for name in a.what.features() {
        let begins = match study.features.get(&name) {
            Some(
                Feature::Has { window, .. }
                | Feature::Count { window, .. }
                | Feature::Measurement { window, .. }
                | Feature::Codes { window, .. }
                | Feature::OpenCodes { window, .. },
            ) => window.map(|[from, _]| i64::from(from)),
            Some(
                Feature::FollowUp { from, .. }
                | Feature::FollowedBy { from, .. }
                | Feature::TimeToFirst { from, .. }
                | Feature::FirstOf { from, .. },
            ) => Some(i64::from(*from)),
            _ => None,
        };
        if let Some(begins) = begins.filter(|b| *b > i64::from(days)) {
            let message =
                format!("'{name}' begins on day {begins}, and every patient of '{}' leaves by day {days}", a.cohort);
            place.say("", message, "begin it earlier, or let the cohort's exit be later");
        }
    }
}
