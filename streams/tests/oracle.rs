//! Jobs against a plain reading of the same rows: whatever the batches, the crashes, the backend and the shards, the answers
//! are the same.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use world::{Answers, Event, Plan, World};

/// The watermark that each event of the one channel met.
fn met(events: &[Event], bound: i64) -> Vec<i64> {
    let mut highest = i64::MIN;
    let line = |h: i64| if h == i64::MIN { i64::MIN } else { h - bound - 1 };
    events
        .iter()
        .map(|e| {
            let met = line(highest);
            highest = highest.max(e.time);
            met
        })
        .collect()
}

/// Windows of `panes` steps: for each, its rows that came before it closed.
fn windowed(events: &[Event], plan: &Plan, lateness: i64) -> BTreeMap<(i64, u32), Vec<usize>> {
    let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let met = met(events, plan.bound);
    for (i, e) in events.iter().enumerate() {
        let pane = e.time.div_euclid(plan.step);
        for last in pane..pane + plan.panes {
            if (last + 1) * plan.step - 1 + lateness > met[i] {
                out.entry((last, e.group)).or_default().push(i);
            }
        }
    }
    out
}

fn expected(events: &[Event], plan: &Plan) -> Answers {
    let mut answers = Answers::default();
    let end = |last: i64| (last + 1) * plan.step;
    let met = met(events, plan.bound);
    // 0: counts and sums, with lateness: the last telling of each window.
    for ((last, group), rows) in windowed(events, plan, plan.lateness) {
        let sum = rows.iter().map(|i| events[*i].value).sum();
        answers.sums.insert((end(last), group), (rows.len() as i64, sum));
    }
    // 1: distinct patients, without lateness.
    for ((last, group), rows) in windowed(events, plan, 0) {
        let patients: BTreeSet<_> = rows.iter().map(|i| events[*i].key).collect();
        answers.distinct.insert((end(last), group), patients.len() as i64);
    }
    // 2: sessions, one event after the other.
    let mut open: BTreeMap<u128, Vec<(i64, i64, i64)>> = BTreeMap::new();
    let gap = plan.gap;
    for (i, e) in events.iter().enumerate() {
        let sessions = open.entry(e.key).or_default();
        let (over, mut rest): (Vec<_>, Vec<_>) = sessions.drain(..).partition(|s| s.1 + gap - 1 <= met[i]);
        answers.sessions.extend(over.into_iter().map(|s| (e.key, s.0, s.1, s.2)));
        let mut new = (e.time, e.time, 1);
        while let Some(at) = rest.iter().position(|s| new.0 - s.1 <= gap && s.0 - new.1 <= gap) {
            let s = rest.remove(at);
            new = (s.0.min(new.0), s.1.max(new.1), s.2 + new.2);
        }
        match new.1 + gap - 1 <= met[i] {
            true => answers.late.push((2, e.time, e.key)),
            false => rest.push(new),
        }
        *sessions = rest;
    }
    answers.sessions.extend(open.into_iter().flat_map(|(k, all)| all.into_iter().map(move |s| (k, s.0, s.1, s.2))));
    for (i, e) in events.iter().enumerate() {
        let pane = e.time.div_euclid(plan.step);
        let closes = end(pane + plan.panes - 1) - 1;
        if closes + plan.lateness <= met[i] {
            answers.late.push((0, e.time, e.key));
        }
        if closes <= met[i] {
            answers.late.push((1, e.time, e.key));
        }
    }
    answers.sorted()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0i64..400, 0u128..5, 0u32..3, -9i64..10, 0u8..20);
    prop::collection::vec(event, 1..120).prop_map(|all| {
        let mut at = 0;
        all.into_iter()
            .map(|(back, key, group, value, kind)| {
                // Time goes on; some come a little late, a few very late, and now and then there is a long gap.
                at += match kind {
                    0 => 5_000,
                    _ => 7,
                };
                let time = match kind {
                    1..=3 => at - back,
                    4 => at - 10 * back,
                    5 => at + 3_000,
                    _ => at - back % 20,
                };
                Event { time, key: key + 1, group, value }
            })
            .collect()
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    (5i64..80, 1i64..6, 0i64..150, 0i64..60, 1i64..120).prop_map(|(step, panes, lateness, bound, gap)| Plan {
        step,
        panes,
        lateness,
        bound,
        gap,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_are_those_of_a_plain_reading(
        events in events(), plan in plan(), batch in 1usize..40, rocks: bool, shards in 1u16..4,
        // After which batch it dies, how many checkpoints it then goes back, and where it dies within a checkpoint.
        deaths in prop::collection::vec((1usize..12, 0usize..3, 0u8..4), 0..4),
    ) {
        let mut world = World::new(&events, plan.clone(), batch, rocks, shards);
        for (after, back, within) in deaths {
            world.run_and_die(after, within);
            world.go_back(back);
        }
        let seen = world.finish();
        prop_assert_eq!(seen, expected(&events, &plan));
    }

    /// A savepoint restored into the other backend and another number of shards goes on to the same answers.
    #[test]
    fn a_savepoint_goes_on_elsewhere(events in events(), plan in plan(), batch in 1usize..40, rocks: bool, after in 1usize..8) {
        let mut world = World::new(&events, plan.clone(), batch, rocks, 1);
        world.run_and_die(after, 0);
        let mut elsewhere = world.moved(!rocks, 3);
        let seen = elsewhere.finish();
        prop_assert_eq!(seen, expected(&events, &plan));
    }
}
