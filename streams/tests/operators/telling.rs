//! What is told of a window, and when: sessions at their gap, the largest groups, groups that are silent for long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use streams::aggregate::SumsOfValues;
use streams::job::Settings;
use streams::operator::{By, Global, Sessions, Span, Trigger, Windowed};
use streams::window::Windows;

use crate::channels;
use crate::pieces::{Piece, row, run, told_so_far};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A session is told as soon as the watermark has come so far: with the batch in which it does.
    #[test]
    fn a_session_is_told_when_it_is_over(times in prop::collection::vec(0i64..40, 2..30), gap in 8i64..20) {
        let mut rows: Vec<Piece> = Vec::new();
        let mut at = 0;
        for (i, step) in times.iter().enumerate() {
            at += step;
            rows.push(row(at, i as u128 % 3 + 1, 0, 0));
        }
        // Its own last row is not needed: at each batch of one row everything that is over by the watermark was told.
        for n in 1..=rows.len() {
            let watermark = rows[n - 1].time - 1;
            let told = told_so_far(channels(&[0]), vec![Box::new(move |p| Ok(Box::new(Sessions::open(gap, Span::Instant, false, p)?)))], &rows[..n]);
            let mut expected = BTreeSet::new();
            for key in 1..4u128 {
                let own: Vec<i64> = rows[..n].iter().filter(|r| r.key == key).map(|r| r.time).collect();
                let mut session: Option<(i64, i64)> = None;
                for t in own {
                    session = match session {
                        Some((from, last)) if t - last <= gap => Some((from, t)),
                        before => {
                            expected.extend(before.map(|(from, last)| (key, from, last)));
                            Some((t, t))
                        }
                    };
                }
                expected.extend(session.filter(|(_, last)| last + gap - 1 <= watermark).map(|(from, last)| (key, from, last)));
            }
            let told: BTreeSet<_> = told.closed.iter().map(|c| (c.key, c.window.start.0, c.window.end.0)).collect();
            prop_assert_eq!(told, expected, "after {} rows", n);
        }
    }

    /// The two largest of four groups of each window, of equal ones the first by name, whatever the batches and the shards.
    #[test]
    fn the_largest_groups_of_a_window(rows in prop::collection::vec((0i64..60, 0u32..4), 1..80), batch in 1usize..20, shards in 1u16..4) {
        let mut pieces: Vec<Piece> = rows.iter().map(|(t, group)| row(*t, 1, *group, 0)).collect();
        pieces.sort_by_key(|p| p.time);
        let windows = Windows::tumbling(Duration::from_micros(10), Duration::ZERO).unwrap();
        let settings = Settings { shards, ..channels(&[0]) };
        let out = run(settings, vec![Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, windows, 0, By::Group, p)?.with_most(2)?)))], &pieces, batch);
        let told: BTreeSet<_> = out.closed.iter().map(|c| (c.window.start.0, c.group, c.count)).collect();
        let mut counts: BTreeMap<i64, BTreeMap<u32, i64>> = BTreeMap::new();
        for (t, group) in &rows {
            *counts.entry(t.div_euclid(10) * 10).or_default().entry(*group).or_default() += 1;
        }
        let mut expected = BTreeSet::new();
        for (window, groups) in counts {
            let mut all: Vec<_> = groups.into_iter().collect();
            all.sort_by_key(|(group, n)| (-n, *group));
            expected.extend(all.into_iter().take(2).map(|(group, n)| (window, group, n)));
        }
        prop_assert_eq!(told.len(), out.closed.len());
        prop_assert_eq!(told, expected);
    }

    /// A group is forgotten so long after its last row, by the watermark that its next row met; told is each step of the sum.
    #[test]
    fn a_group_begins_anew_after_a_silence(steps in prop::collection::vec((0i64..30, 0u32..2, 1i64..6), 1..40), batch in 1usize..9, after in 1i64..60, delta in 1i64..9) {
        let mut at = 0;
        let pieces: Vec<Piece> = steps.iter().map(|(step, group, value)| { at += step; row(at, 1, *group, *value) }).collect();
        let out = run(channels(&[0]), vec![Box::new(move |p| Ok(Box::new(Global::open(Trigger::Delta(delta), p)?.forgetting(after)?)))], &pieces, batch);
        let told: Vec<_> = out.closed.iter().map(|c| (c.group, c.window.end.0, c.sum)).collect();
        let mut state: BTreeMap<u32, (i64, i64, i64)> = BTreeMap::new();
        let (mut expected, mut watermark) = (Vec::new(), i64::MIN);
        for p in &pieces {
            let (mut latest, mut sum, mut last) = state.get(&p.group).copied().unwrap_or((p.time, 0, 0));
            if latest + after <= watermark {
                (latest, sum, last) = (p.time, 0, 0);
            }
            (latest, sum) = (latest.max(p.time), sum + p.value);
            if (sum - last).abs() >= delta {
                expected.push((p.group, p.time, sum));
                last = sum;
            }
            state.insert(p.group, (latest, sum, last));
            watermark = watermark.max(p.time - 1);
        }
        prop_assert_eq!(told, expected);
    }
}

#[test]
fn the_largest_are_told_once_and_by_group() {
    let windows = Windows::tumbling(Duration::from_micros(10), Duration::ZERO).unwrap();
    let fits = |lateness, by, most: usize| {
        let open =
            move |p: &streams::operator::Place| Windowed::open(SumsOfValues, windows, lateness, by, p)?.with_most(most);
        std::panic::catch_unwind(move || {
            run(channels(&[0]), vec![Box::new(move |p| Ok(Box::new(open(p)?)))], &[row(1, 1, 0, 0)], 1)
        })
        .is_ok()
    };
    assert!(fits(0, By::Group, 1));
    assert!(!fits(5, By::Group, 1) && !fits(0, By::Patient, 1) && !fits(0, By::Group, 0));
}
