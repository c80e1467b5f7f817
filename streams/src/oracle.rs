//! The operator against a naive batch: shuffles, copies and restarts change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use platform::store::SharedStore;
use platform::{Durability, MemoryStore, Micros, RocksStore, Store, Transaction};
use proptest::prelude::*;
use summaries::histogram::Histogram;
use summaries::{Column, PatientBatch};

use crate::*;

const NOW: Micros = Micros(1_000_000);
const CHANNELS: [(&str, &str, u64); 3] = [("his", "lab", 20), ("his", "ward", 40), ("lis", "lab", 30)];

type Sums = BTreeMap<Window, Vec<i64>>;

#[derive(Clone, Debug)]
struct Happening {
    channel: usize,
    time: i64,
    patient: u8,
    value: u8,
    jitter: i64,
    copy_after: Option<usize>,
}

#[derive(Clone, Debug)]
struct Case {
    happenings: Vec<Happening>,
    crashes: Vec<prop::sample::Index>,
    every: usize,
    size: i64,
    slide: i64,
    lateness: u64,
    participation: Participation,
}

fn cases() -> impl Strategy<Value = Case> {
    let happening = (0usize..3, -300i64..300, 0u8..5, 0u8..4, 0i64..=40, prop::option::of(0usize..30)).prop_map(
        |(channel, time, patient, value, jitter, copy_after)| {
            let jitter = jitter.min(CHANNELS[channel].2 as i64);
            Happening { channel, time, patient, value, jitter, copy_after }
        },
    );
    let participation = prop_oneof![Just(Participation::LastValue), Just(Participation::FirstEvent)];
    let shape = prop_oneof![Just((50i64, 50i64)), Just((60, 20))];
    let crashes = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (prop::collection::vec(happening, 1..80), crashes, 1usize..20, shape, 0u64..50, participation).prop_map(
        |(happenings, crashes, every, (size, slide), lateness, participation)| Case {
            happenings,
            crashes,
            every,
            size,
            slide,
            lateness,
            participation,
        },
    )
}

fn channel(i: usize) -> Channel {
    Channel { source: CHANNELS[i].0.into(), kind: CHANNELS[i].1.into() }
}

fn event(i: usize, position: u64, time: i64, patient: u8, value: f64) -> Event {
    let values = PatientBatch::new(1, vec![Column::Real(vec![value])]).unwrap();
    Event::new(channel(i), position, Micros(time), [patient], &values).unwrap()
}

impl Case {
    /// As the sources deliver: each event within its channel's bound, copies after their originals.
    fn log(&self) -> Vec<Event> {
        let mut shuffled = self.happenings.clone();
        shuffled.sort_by_key(|h| h.time + h.jitter);
        let mut places: Vec<(usize, &Happening)> = Vec::new();
        for (i, h) in shuffled.iter().enumerate() {
            places.push((2 * i, h));
            places.extend(h.copy_after.map(|d| (2 * (i + d) + 1, h)));
        }
        places.sort_by_key(|(place, _)| *place);
        let mut positions: BTreeMap<&str, u64> = BTreeMap::new();
        let mut log = Vec::new();
        for (_, h) in places {
            let next = positions.entry(CHANNELS[h.channel].0).or_default();
            log.push(event(h.channel, *next, h.time, h.patient, f64::from(h.value)));
            *next += 1;
        }
        log
    }

    fn oracle(&self) -> Sums {
        let mut sums = Sums::new();
        for start in (-50..50).map(|k| k * self.slide) {
            let window = Window { start: Micros(start), end: Micros(start + self.size) };
            let mut lanes = vec![0; 7];
            for patient in 0..5 {
                let of = |h: &&Happening| h.patient == patient && window.contains(Micros(h.time));
                let rows = self.happenings.iter().filter(of).map(|h| (h.time, h.value));
                let row = match self.participation {
                    Participation::LastValue => rows.max(),
                    Participation::FirstEvent => rows.min(),
                };
                if let Some((_, value)) = row {
                    lanes[usize::from(value)] += 1;
                }
            }
            if lanes.iter().any(|n| *n > 0) {
                sums.insert(window, lanes);
            }
        }
        sums
    }

    fn operator(&self, store: SharedStore) -> WindowOperator {
        let length = |t: i64| Duration::from_micros(t as u64);
        let bounds = (0..3).map(|i| (channel(i), Duration::from_micros(CHANNELS[i].2)));
        let settings = Settings {
            participation: self.participation,
            allowed_lateness: Duration::from_micros(self.lateness),
            ahead: Duration::ZERO,
        };
        WindowOperator::open(
            Box::new(Histogram::new(vec![0.0, 1.0, 2.0, 3.0, 4.0]).unwrap()),
            Box::new(Sliding::new(length(self.size), length(self.slide)).unwrap()),
            settings,
            Watermarks::new(bounds, Duration::from_secs(60), NOW),
            Box::new(StoreState::open(store, "labs").unwrap()),
        )
        .unwrap()
    }

    /// Runs the log to each crash and at last to its end, each time from the log's beginning.
    fn run(&self, mut open: impl FnMut() -> SharedStore) -> Sums {
        let (log, mut sums) = (self.log(), Sums::new());
        let mut stops: Vec<Option<usize>> = self.crashes.iter().map(|i| Some(i.index(log.len()))).collect();
        stops.push(None);
        for stop in stops {
            let store = open();
            let mut operator = self.operator(store.clone());
            for (i, event) in log.iter().enumerate().take(stop.unwrap_or(log.len())) {
                let known = operator.position(&event.channel().source).unwrap();
                let outcome = operator.process(event, NOW).unwrap();
                assert_eq!(outcome == Outcome::Replayed, known.is_some_and(|p| event.position() <= p));
                if i % self.every == self.every - 1 {
                    take(&mut operator, &*store, &mut sums);
                }
            }
            match stop {
                Some(stop) if stop % 2 == 1 => drop(operator.checkpoint().unwrap()), // the crash comes before the taking
                Some(_) => {}
                None => {
                    operator.finish().unwrap();
                    take(&mut operator, &*store, &mut sums);
                }
            }
        }
        sums
    }
}

fn take(operator: &mut WindowOperator, store: &dyn Store, sums: &mut Sums) {
    let pending = operator.checkpoint().unwrap();
    let mut transaction = Transaction::new("test/take");
    for closed in &pending.closed {
        assert!(sums.insert(closed.window, closed.lanes.values().to_vec()).is_none(), "closed twice");
        operator.take_closed(closed, &mut transaction);
    }
    for side in &pending.side {
        assert!(matches!(side.why, Why::Late { .. }));
        operator.take_side(side, &mut transaction);
    }
    store.commit(transaction, Durability::Synced).unwrap();
}

proptest! {
    #[test]
    fn any_shuffle_copies_and_restarts_give_the_batch(case in cases()) {
        let store = Arc::new(MemoryStore::new());
        let sums = case.run(|| -> SharedStore {
            store.lose_unsynced();
            store.clone()
        });
        prop_assert_eq!(sums, case.oracle());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn rocksdb_gives_the_batch_too(case in cases()) {
        let folder = tempfile::tempdir().unwrap();
        let sums = case.run(|| -> SharedStore { Arc::new(RocksStore::open(folder.path()).unwrap()) });
        prop_assert_eq!(sums, case.oracle());
    }
}

#[test]
fn the_side_output_says_why() {
    let happenings = Vec::new();
    let participation = Participation::LastValue;
    let case = Case { happenings, crashes: Vec::new(), every: 1, size: 60, slide: 20, lateness: 5, participation };
    let mut operator = case.operator(Arc::new(MemoryStore::new()));
    let mut position = 0;
    let mut send = |operator: &mut WindowOperator, i, time, columns| {
        position += 1;
        let values = PatientBatch::new(1, columns).unwrap();
        operator.process(&Event::new(channel(i), position, Micros(time), "p", &values).unwrap(), NOW).unwrap()
    };
    let one = || vec![Column::Real(vec![1.0])];
    for i in 0..3 {
        assert_eq!(send(&mut operator, i, 10, one()), Outcome::Kept { missed: Vec::new() });
    }
    for i in 0..3 {
        send(&mut operator, i, 124, one());
    }
    assert_eq!(operator.watermark(), Some(Micros(83)), "124 less the largest bound, 40, less 1");
    let window = |t| Window { start: Micros(t), end: Micros(t + 60) };
    // The window from 20 ended at 80, and its line is 84.
    assert_eq!(send(&mut operator, 0, 45, one()), Outcome::Kept { missed: vec![window(0)] });
    send(&mut operator, 1, 125, one());
    assert_eq!(send(&mut operator, 0, 45, one()), Outcome::Kept { missed: vec![window(0), window(20)] });
    assert_eq!(send(&mut operator, 0, 15, one()), Outcome::Side(Why::Late { watermark: 84 }));
    assert_eq!(send(&mut operator, 0, NOW.0 + 1, one()), Outcome::Side(Why::Implausible));
    assert_eq!(send(&mut operator, 0, 100, Vec::new()), Outcome::Side(Why::Misfit { place: 0 }));
    let pending = operator.checkpoint().unwrap();
    assert_eq!(pending.side.len(), 3);
    let closed: Vec<_> = pending.closed.iter().map(|c| (c.window.start.0, c.lanes.values()[1])).collect();
    assert_eq!(closed, [(-40, 1), (-20, 1), (0, 1), (20, 1)]);
}
