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
    if let What::Rate { events, time, .. } = &a.what {
        at_risk(place, events, time);
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
    let (of_time, of_event) = (single(t), single(e));
    if of_time.is_none() && of_event.is_none() {
        return;
    }
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

/// Events are counted in the time at risk that they are divided by.
fn at_risk(place: &mut Place<'_, '_>, events: &str, time: &str) {
    let study = place.checker.study;
    let (Some(e), Some(t)) = (study.features.get(events), study.features.get(time)) else { return };
    let Feature::FollowUp { table, set, filter, from, horizon, .. } = t else {
        if matches!(e, Feature::FollowedBy { .. }) {
            let remedy = "take a time of the kind follow_up with the same settings";
            place.say("time", format!("'{events}' ends a follow-up, and '{time}' is none"), remedy);
        }
        return;
    };
    match e {
        Feature::FollowedBy { .. } => partners(place, "events", time, events),
        Feature::Count { table: of, set: codes, filter: which, window, .. } => {
            let all =
                [i32::try_from(*from), i32::try_from(from.saturating_add(*horizon))].map(Result::unwrap_or_default);
            if (of, codes, which) == (table, set, filter) {
                let message =
                    format!("'{time}' ends with the first event, and '{events}' counts those after it as well");
                let remedy = "take the follow-up of what ends the time at risk, such as table = \"death\", or events of the kind followed_by";
                place.say("events", message, remedy);
            } else if *window != Some(all) {
                let [first, last] = all;
                let message = format!("'{events}' is not counted on the days of '{time}', {first} to {last}");
                place.say("events", message, format!("give it window = [{first}, {last}]"));
            }
        }
        _ => {
            let remedy = "use followed_by with the same settings, or a count of the same days";
            place.say("events", format!("'{events}' is not counted in the time at risk of '{time}'"), remedy);
        }
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
    let Some(cohort) = study.cohorts.get(&a.cohort) else { return };
    // Of arms, the one that stays longest.
    let arms: Vec<Option<i32>> =
        cohort.arms.iter().filter_map(|c| study.cohorts.get(c)).map(|arm| arm.exit.days).collect();
    let of_arms = if arms.iter().all(Option::is_some) { arms.into_iter().flatten().max() } else { None };
    let Some(days) = cohort.exit.days.into_iter().chain(of_arms).min() else { return };
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
