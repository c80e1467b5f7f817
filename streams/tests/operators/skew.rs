//! Most of the rows in one group: all shards work on them, and the answers are those of one shard that takes each row in its order.

use std::time::Duration;

use proptest::prelude::*;
use streams::aggregate::{HllOfPatients, QuantilesOfValues, SumsOfValues};
use streams::job::Settings;
use streams::operator::{By, Distinct, Global, Maker, Sessions, Span, Trigger, Windowed};
use streams::out::{Closed, LateRow, Out};
use streams::watermark::Channel;
use streams::window::Windows;

use crate::pieces::{Piece, row, run};

fn settings(shards: u16, bound: u64) -> Settings {
    let channel = Channel { source: "s".to_owned(), kind: "event".to_owned() };
    let channels = vec![(channel, Duration::from_micros(bound))];
    Settings { channels, checkpoint_every: Duration::ZERO, shards, ..Settings::default() }
}

/// Sums that may be corrected, a sketch that can't forget, quantiles, and operators that take rows in their order: a count that tells
/// every third row, patients, sessions.
fn makers(lateness: i64) -> Vec<Maker> {
    let us = Duration::from_micros;
    let sliding = Windows::sliding(us(40), us(10), us(0)).unwrap();
    vec![
        Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, sliding, lateness, By::Group, p)?))),
        Box::new(move |p| Ok(Box::new(Windowed::open(HllOfPatients, sliding, 0, By::Group, p)?))),
        Box::new(move |p| Ok(Box::new(Windowed::open(QuantilesOfValues(vec![0.9]), sliding, 5, By::Group, p)?))),
        Box::new(move |p| Ok(Box::new(Windowed::open(SumsOfValues, sliding, 0, By::Patient, p)?))),
        Box::new(move |p| Ok(Box::new(Global::open(Trigger::Count(3), p)?))),
        Box::new(move |p| Ok(Box::new(Distinct::open(sliding, p)?))),
        Box::new(move |p| Ok(Box::new(Sessions::open(3, Span::Instant, false, p)?))),
    ]
}

/// Everything that was told, in an order that hangs on nothing; what is told of one watermark has no order of its own.
fn sorted(mut out: Out) -> (Vec<Closed>, Vec<LateRow>) {
    out.closed.sort();
    out.late.sort();
    (out.closed, out.late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nine_rows_of_ten_in_one_group_give_the_same_answers(
        seed in 0u64..1_000_000, shards in 2u16..6, batch in 1100usize..5000, bound in 0u64..30, lateness in 0i64..40,
    ) {
        let mut state = seed;
        let mut next = move |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        let rows: Vec<Piece> = (0..6000i64).map(|i| {
            let group = if next(10) < 9 { 3 } else { next(4) as u32 };
            let time = i / 10 - next(60) as i64;
            Piece { gone: next(40) == 0, ..row(time, u128::from(next(50)) + 1, group, next(1000) as i64) }
        }).collect();
        let one = run(settings(1, bound), makers(lateness), &rows, batch);
        let many = run(settings(shards, bound), makers(lateness), &rows, batch);
        prop_assert!(!one.closed.is_empty() && !one.late.is_empty());
        let (one, many) = (sorted(one), sorted(many));
        prop_assert!(one.0 == many.0, "{} and {} answers", one.0.len(), many.0.len());
        prop_assert!(one.1 == many.1, "{} and {} late rows", one.1.len(), many.1.len());
    }
}
