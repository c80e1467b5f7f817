//! Joins, eras, running totals, revisions, several sources: each against a plain reading.

#![allow(clippy::unwrap_used, clippy::panic)]

mod pieces;
mod revised;
mod skew;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pieces::{Piece, row, run};
use proptest::prelude::*;
use streams::aggregate::{SumsOfValues, TOO_LARGE};
use streams::job::Settings;
use streams::operator::{By, Global, Join, Sessions, Span, Trigger, Windowed};
use streams::watermark::Channel;
use streams::window::Windows;

pub(crate) fn channels(bounds: &[u64]) -> Settings {
    let channel = |i: usize| Channel { source: format!("s{i}"), kind: "event".to_owned() };
    let channels = bounds.iter().enumerate().map(|(i, b)| (channel(i), Duration::from_micros(*b))).collect();
    Settings { channels, checkpoint_every: Duration::ZERO, ..Settings::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Within the bound nothing is late: every pair is told once, whatever the batches.
    #[test]
    fn a_join_is_every_pair_within_its_stretch(
        rows in prop::collection::vec((0i64..60, 0u128..3, any::<bool>()), 1..40), lower in -30i64..10, width in 0i64..40, batch in 1usize..9,
    ) {
        let upper = lower + width;
        let pieces: Vec<_> = rows.iter().enumerate()
            .map(|(i, (t, key, right))| Piece { channel: u16::from(*right), ..row(*t, *key + 1, 0, i as i64) }).collect();
        let out = run(channels(&[100, 100]), vec![Box::new(move |p| Ok(Box::new(Join::open(0, 1, lower, upper, p)?)))], &pieces, batch);
        let told: BTreeSet<_> = out.closed.iter().map(|c| (c.count, c.sum)).collect();
        prop_assert_eq!(told.len(), out.closed.len());
        let mut expected = BTreeSet::new();
        for (i, l) in rows.iter().enumerate().filter(|(_, l)| !l.2) {
            for (j, r) in rows.iter().enumerate().filter(|(_, r)| r.2 && r.1 == l.1) {
                if (lower..=upper).contains(&(r.0 - l.0)) {
                    expected.insert((i as i64, j as i64));
                }
            }
        }
        prop_assert_eq!(told, expected);
    }

    /// Eras over random exposures: a new one begins where the gap to the last day so far is longer.
    #[test]
    fn eras_are_those_of_the_batch(rows in prop::collection::vec((0i64..400, 0i64..60, 0u128..3, 0u32..2), 1..50), gap in 1i64..40, batch in 1usize..9) {
        let pieces: Vec<_> = rows.iter().map(|(first, length, key, drug)| row(*first, *key + 1, *drug, first + length)).collect();
        let out = run(channels(&[1000]), vec![Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::ToValue, true, p)?)))], &pieces, batch);
        let told: BTreeSet<_> = out.closed.iter().map(|c| (c.key, c.group, c.window.start.0, c.window.end.0, c.count)).collect();
        let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (first, length, key, drug) in &rows {
            of.entry((*key + 1, *drug)).or_default().push((*first, first + length));
        }
        let mut expected = BTreeSet::new();
        for ((key, drug), mut all) in of {
            all.sort_unstable();
            let mut era: Option<(i64, i64, i64)> = None;
            for (first, last) in all {
                era = match era {
                    Some((from, until, n)) if first - until <= gap => Some((from, until.max(last), n + 1)),
                    before => {
                        expected.extend(before.map(|(from, until, n)| (key, drug, from, until, n)));
                        Some((first, last, 1))
                    }
                };
            }
            expected.extend(era.map(|(from, until, n)| (key, drug, from, until, n)));
        }
        prop_assert_eq!(told, expected);
    }

    /// Sent twice, in any order, with revisions and deletions: the sums of the last revisions.
    #[test]
    fn revisions_count_once(
        rows in prop::collection::vec((0u128..6, 0u32..4, 0i64..50, -9i64..9, 0u8..6), 1..60), batch in 1usize..9, rocks: bool,
    ) {
        // The same identity and revision are the same row.
        let mut last = BTreeMap::new();
        let mut sent = Vec::new();
        let mut first = BTreeMap::new();
        for (id, rev, time, value, kind) in rows {
            let (time, value, gone) = *first.entry((id, rev)).or_insert((time, value, kind == 0));
            sent.push(Piece { id: Some((id, rev)), gone, ..row(time, 7, 0, value) });
            let before = last.entry(id).or_insert((rev, time, value, gone));
            if rev >= before.0 {
                *before = (rev, time, value, gone);
            }
        }
        let settings = Settings { remembered: Some(Duration::from_micros(10_000)), most_values: if rocks { 2 } else { 1 << 20 }, ..channels(&[1000]) };
        let out = run(settings, vec![Box::new(|p| Ok(Box::new(Global::open(Trigger::Every(1_000_000), p)?)))], &sent, batch);
        let held: Vec<_> = last.values().filter(|(.., gone)| !gone).collect();
        let expected = (held.len() as i64, held.iter().map(|(_, _, v, _)| v).sum::<i64>());
        let told = out.closed.last().map_or((0, 0), |c| (c.count, c.sum));
        prop_assert_eq!(told, expected);
    }
}

/// An open end that becomes known lengthens an era, and counts its row once.
#[test]
fn an_era_whose_row_is_revised_counts_it_once() {
    let sent = |id, rev, first, last| Piece { id: Some((id, rev)), ..row(first, 1, 0, last) };
    let pieces = [sent(1, 1, 0, 0), sent(2, 1, 5, 8), sent(1, 2, 0, 20), sent(3, 1, 100, 110)];
    let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[50]) };
    let out = run(
        settings,
        vec![Box::new(|p| Ok(Box::new(Sessions::open(10, Span::ToValue, true, p)?.revised(p)?)))],
        &pieces,
        1,
    );
    let told: Vec<_> = out.closed.iter().map(|c| (c.window.start.0, c.window.end.0, c.count)).collect();
    assert_eq!((told, out.late.len()), (vec![(0, 20, 2), (100, 110, 1)], 0));
}

/// A window whose rows were all taken back before it closed is told to nobody; one of which some are left tells those.
#[test]
fn what_was_taken_back_in_time_is_no_window() {
    let sent = |id, rev, time, gone| Piece { id: Some((id, rev)), gone, ..row(time, 1, 0, 5) };
    let pieces = [
        sent(1, 1, 10, false),
        sent(2, 1, 110, false),
        sent(3, 1, 120, false),
        sent(1, 2, 10, true),
        sent(2, 2, 110, true),
        sent(4, 1, 900, false),
    ];
    let window = Windows::tumbling(Duration::from_micros(100), Duration::ZERO).unwrap();
    let settings = Settings { remembered: Some(Duration::from_micros(10_000)), ..channels(&[500]) };
    let out = run(
        settings,
        vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, window, 0, By::Group, p)?)))],
        &pieces,
        1,
    );
    let told: Vec<_> = out.closed.iter().map(|c| (c.window.start.0, c.count, c.sum)).collect();
    assert_eq!(told, [(100, 1, 5), (900, 1, 5)]);
}

/// A sum that may have wrapped is not told as one.
#[test]
fn a_sum_too_large_says_so() {
    let pieces: Vec<_> = (0..4).map(|i| row(i, 1, 0, i64::MAX / 3)).chain([row(1_000, 1, 0, 1)]).collect();
    let window = Windows::tumbling(Duration::from_micros(100), Duration::ZERO).unwrap();
    let out = run(
        channels(&[0]),
        vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, window, 0, By::Group, p)?)))],
        &pieces,
        2,
    );
    assert_eq!(
        out.closed.iter().map(|c| (c.count, c.more.as_slice())).collect::<Vec<_>>(),
        [(4, &[TOO_LARGE][..]), (1, &[][..])]
    );
}

#[test]
fn running_totals_are_told_by_their_triggers() {
    let pieces: Vec<_> = (0..10).map(|i| row(i * 10, 1, 0, 1)).collect();
    let by_count =
        run(channels(&[0]), vec![Box::new(|p| Ok(Box::new(Global::open(Trigger::Count(4), p)?)))], &pieces, 3);
    assert_eq!(by_count.closed.iter().map(|c| c.count).collect::<Vec<_>>(), [4, 8]);
    let by_time =
        run(channels(&[0]), vec![Box::new(|p| Ok(Box::new(Global::open(Trigger::Every(30), p)?)))], &pieces, 3);
    // The row that brings the watermark to a multiple is told with it.
    assert_eq!(
        by_time.closed.iter().map(|c| (c.window.end.0, c.count)).take(4).collect::<Vec<_>>(),
        [(0, 1), (30, 4), (60, 7), (90, 10)]
    );
}

/// A source that is far ahead waits for the other; without that its windows would hold all of its rows at once.
#[test]
fn a_source_ahead_waits_for_the_one_behind() {
    let fast: Vec<_> = (0..200).map(|i| row(i * 100, 1, 0, 1)).collect();
    let slow: Vec<_> = (0..200).map(|i| Piece { channel: 1, ..row(i * 100, 2, 0, 1) }).collect();
    let settings = Settings { most_drift: Some(Duration::from_micros(500)), ..channels(&[0, 0]) };
    let order = pieces::order(settings, &fast, &slow, 2);
    let mut highest = [0i64; 2];
    for (channel, time) in order {
        highest[usize::from(channel)] = highest[usize::from(channel)].max(time);
        assert!(highest[0] - highest[1] <= 500 + 300, "{highest:?}");
    }
}
