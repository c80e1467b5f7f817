//! Rows that are revised and taken back: patients, sessions, eras and pairs are those of the last revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use streams::job::Settings;
use streams::operator::{Distinct, Global, Join, Maker, Sessions, Span, Trigger};
use streams::out::Emission;
use streams::window::Windows;

use crate::channels;
use crate::pieces::{Piece, row, run};

/// What an identity and a revision say: channel, time, patient, group, value, and whether it is taken back.
type Said = (u16, i64, u128, u32, i64, bool);

/// What is sent, in order, and the rows that stand in the end.
fn sent(rows: &[(u128, u32, Said)]) -> (Vec<Piece>, Vec<Said>) {
    let (mut said, mut last, mut pieces) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (id, rev, says) in rows {
        // The same identity and revision say the same; a channel is that of the identity.
        let mut says = *said.entry((*id, *rev)).or_insert(*says);
        says.0 = (*id % 2) as u16;
        let (channel, time, key, group, value, gone) = says;
        pieces.push(Piece { channel, id: Some((*id, *rev)), gone, ..row(time, key + 1, group, value) });
        let held = last.entry(*id).or_insert((*rev, says));
        if *rev >= held.0 {
            *held = (*rev, says);
        }
    }
    let stand = last.into_values().map(|(_, says)| says).filter(|says| !says.5).collect();
    (pieces, stand)
}

fn rows() -> impl Strategy<Value = Vec<(u128, u32, Said)>> {
    let says = (Just(0u16), 0i64..90, 0u128..3, 0u32..2, 0i64..12, prop::bool::weighted(0.2));
    prop::collection::vec((0u128..8, 0u32..5, says), 1..60)
}

fn settings(rocks: bool, shards: u16) -> Settings {
    let most_values = if rocks { 2 } else { 1 << 20 };
    Settings { remembered: Some(Duration::from_micros(10_000)), most_values, shards, ..channels(&[1000, 1000]) }
}

/// Sessions or eras: patient, group, from, until and how many rows.
fn sessions(mut stand: Vec<(u128, u32, i64, i64)>, gap: i64) -> BTreeSet<(u128, u32, i64, i64, i64)> {
    stand.sort_unstable();
    let mut out: Vec<(u128, u32, i64, i64, i64)> = Vec::new();
    for (key, group, first, last) in stand {
        match out.last_mut().filter(|s| (s.0, s.1) == (key, group) && first - s.3 <= gap) {
            Some(s) => (s.3, s.4) = (s.3.max(last), s.4 + 1),
            None => out.push((key, group, first, last, 1)),
        }
    }
    out.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn patients_of_what_stands(rows in rows(), step in 1i64..30, panes in 1i64..6, batch in 1usize..9, rocks: bool, shards in 1u16..3) {
        let (pieces, stand) = sent(&rows);
        let us = |t: i64| Duration::from_micros(t as u64);
        let windows = Windows::sliding(us(step * panes), us(step), Duration::ZERO).unwrap();
        let make: Maker = Box::new(move |p| Ok(Box::new(Distinct::open(windows, p)?.revised(p)?)));
        let out = run(settings(rocks, shards), vec![make], &pieces, batch);
        let mut expected: BTreeMap<(i64, u32), BTreeSet<u128>> = BTreeMap::new();
        for (_, time, key, group, ..) in &stand {
            let pane = time.div_euclid(step);
            for last in pane..pane + panes {
                expected.entry(((last + 1) * step, *group)).or_default().insert(*key);
            }
        }
        let told: BTreeMap<_, _> = out.closed.iter().map(|c| ((c.window.end.0, c.group), c.count as usize)).collect();
        prop_assert_eq!(told.len(), out.closed.len());
        prop_assert_eq!(told, expected.into_iter().map(|(k, v)| (k, v.len())).collect::<BTreeMap<_, _>>());
        prop_assert!(out.late.is_empty());
    }

    #[test]
    fn sessions_and_eras_of_what_stands(rows in rows(), gap in 1i64..25, batch in 1usize..9, rocks: bool, shards in 1u16..3) {
        let (pieces, stand) = sent(&rows);
        // An era's row lasts until its value.
        let lasting: Vec<_> = pieces.iter().map(|p| Piece { value: p.time + p.value, ..p.clone() }).collect();
        let make: Maker = Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::Instant, false, p)?.revised(p)?)));
        let out = run(settings(rocks, shards), vec![make], &pieces, batch);
        let told: BTreeSet<_> = out.closed.iter().map(|c| (c.key, 0, c.window.start.0, c.window.end.0, c.count)).collect();
        prop_assert_eq!(told.len(), out.closed.len());
        prop_assert_eq!(told, sessions(stand.iter().map(|s| (s.2 + 1, 0, s.1, s.1)).collect(), gap));
        prop_assert!(out.late.is_empty());
        let make: Maker = Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::ToValue, true, p)?.revised(p)?)));
        let out = run(settings(rocks, shards), vec![make], &lasting, batch);
        let told: BTreeSet<_> = out.closed.iter().map(|c| (c.key, c.group, c.window.start.0, c.window.end.0, c.count)).collect();
        prop_assert_eq!(told, sessions(stand.iter().map(|s| (s.2 + 1, s.3, s.1, s.1 + s.4)).collect(), gap));
    }

    /// Pairs that were told less those that were withdrawn.
    #[test]
    fn pairs_of_what_stands(rows in rows(), lower in -30i64..10, width in 0i64..40, batch in 1usize..9, rocks: bool, shards in 1u16..3) {
        let (pieces, stand) = sent(&rows);
        let upper = lower + width;
        let make: Maker = Box::new(move |p| Ok(Box::new(Join::open(0, 1, lower, upper, p)?)));
        let out = run(settings(rocks, shards), vec![make], &pieces, batch);
        let mut told: BTreeMap<_, i64> = BTreeMap::new();
        for c in &out.closed {
            let by = if c.emission == Emission::Withdrawn { -1 } else { 1 };
            *told.entry((c.key, c.window.start.0, c.window.end.0, c.group, c.count, c.sum)).or_default() += by;
        }
        told.retain(|_, n| *n != 0);
        let mut expected: BTreeMap<_, i64> = BTreeMap::new();
        for l in stand.iter().filter(|s| s.0 == 0) {
            for r in stand.iter().filter(|s| s.0 == 1 && s.2 == l.2 && (lower..=upper).contains(&(s.1 - l.1))) {
                *expected.entry((l.2 + 1, l.1, r.1, l.3, l.4, r.4)).or_default() += 1;
            }
        }
        prop_assert_eq!(told, expected);
    }
}

/// A row that moves within a session does not break it, though the session hangs on it and the watermark is between its parts.
#[test]
fn a_row_that_moves_keeps_its_session_together() {
    let sent = |id, rev, time| Piece { id: Some((id, rev)), ..row(time, 1, 0, 0) };
    let pieces = [sent(1, 1, 0), sent(2, 1, 10), sent(3, 1, 19), sent(2, 2, 9), sent(4, 1, 500)];
    let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[4]) };
    let make: Maker = Box::new(move |p| Ok(Box::new(Sessions::open(10, Span::Instant, false, p)?.revised(p)?)));
    let out = run(settings, vec![make], &pieces, 1);
    let told: Vec<_> = out.closed.iter().map(|c| (c.window.start.0, c.window.end.0, c.count)).collect();
    assert_eq!((told, out.late.len()), (vec![(0, 19, 3), (500, 500, 1)], 0));
}

/// A revision is one change: what a trigger tells is never the half of one, and a multiple is told when it is first reached.
#[test]
fn a_total_is_not_told_between_the_halves_of_a_revision() {
    let sent = |id, rev, value| Piece { id: Some((id, rev)), ..row(10 * id as i64, 1, 0, value) };
    let pieces = [sent(1, 1, 60), sent(2, 1, 3), sent(1, 2, 61), sent(3, 1, 1), sent(4, 1, 1), sent(1, 3, 62)];
    let of = |trigger| {
        let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[1_000]) };
        let out = run(settings, vec![Box::new(move |p| Ok(Box::new(Global::open(trigger, p)?)))], &pieces, 3);
        out.closed.iter().map(|c| (c.count, c.sum)).collect::<Vec<_>>()
    };
    assert_eq!(of(Trigger::Delta(50)), [(1, 60)]);
    assert_eq!(of(Trigger::Count(2)), [(2, 63), (4, 66)]);
}

/// A row that is put aside since its time has not come is not taken back; it counts once when its time has come.
#[test]
fn what_was_never_counted_is_not_taken_back() {
    // The clock stands at 0, and nothing may be more than 100 ahead of it.
    let sent = |id, rev, time, gone| Piece { id: Some((id, rev)), gone, ..row(time, 1, 0, 1) };
    let pieces = [
        sent(1, 1, 10, false),
        sent(2, 1, 500, false),
        sent(2, 2, 20, false),
        sent(3, 1, 500, false),
        sent(3, 2, 30, true),
    ];
    let settings = Settings {
        remembered: Some(Duration::from_micros(10_000)),
        most_ahead: Some(Duration::from_micros(100)),
        ..channels(&[1_000])
    };
    let out = run(settings, vec![Box::new(|p| Ok(Box::new(Global::open(Trigger::Every(1_000_000), p)?)))], &pieces, 1);
    assert_eq!(out.closed.last().map(|c| c.count), Some(2));
    assert_eq!(out.late.len(), 2, "both that were too far ahead");
}

/// What a silent group has forgotten is not taken from what it has since.
#[test]
fn a_forgotten_row_is_not_taken_back() {
    let sent = |id, rev, time, gone| Piece { id: Some((id, rev)), gone, ..row(time, 1, 0, 1) };
    let pieces = [
        sent(1, 1, 10, false),
        sent(2, 1, 20, false),
        // Another group brings the watermark on.
        Piece { group: 1, ..sent(9, 1, 400, false) },
        sent(3, 1, 500, false),
        sent(1, 2, 10, true),
        sent(4, 1, 510, false),
        sent(3, 2, 500, true),
    ];
    let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[0]) };
    let make: Maker = Box::new(|p| Ok(Box::new(Global::open(Trigger::Delta(1), p)?.forgetting(100)?)));
    let out = run(settings, vec![make], &pieces, 1);
    let own = out.closed.iter().filter(|c| c.group == 0);
    assert_eq!(own.map(|c| c.count).collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
    assert_eq!((out.late.len(), out.late[0].time), (1, 10));
}

/// A right row that comes late, or is corrected, while its left one waits.
#[test]
fn a_late_row_is_joined_to_what_still_waits() {
    let sent = |channel, id, rev, time, value| Piece { channel, id: Some((id, rev)), ..row(time, 1, 0, value) };
    let pieces = [
        sent(0, 1, 1, 100, 7),
        sent(1, 2, 1, 118, 5),
        sent(0, 3, 1, 180, 8),
        sent(1, 4, 1, 180, 6),
        // Both are at 179 by now.
        sent(1, 2, 2, 118, 9),
        sent(1, 5, 1, 119, 4),
        sent(1, 6, 1, 70, 3),
    ];
    let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[0, 0]) };
    let out = run(settings, vec![Box::new(|p| Ok(Box::new(Join::open(0, 1, 0, 100, p)?)))], &pieces, 1);
    let told: Vec<_> = out.closed.iter().map(|c| (c.emission == Emission::First, c.count, c.sum)).collect();
    let want = [(true, 7, 5), (true, 7, 6), (true, 8, 6), (false, 7, 5), (true, 7, 9), (true, 7, 4)];
    assert_eq!((told, out.late.len()), (want.to_vec(), 1));
}
