//! Windows of a continuous study over a network that loses, repeats and delays messages, with sites that come and go: seeded schedules
//! in virtual time against the pure machine.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const DEADLINE: i64 = 10;
const GATHER: i64 = 5;
const ATTEMPTS: i64 = 2;
/// From one window to the next.
const EVERY: i64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    /// An order, for a window, on its way to a site.
    Order(usize, u32),
    /// A release on its way back.
    Release(usize, u32),
    /// A site's connection is there again.
    Back(usize),
}

fn site(n: usize) -> SiteId {
    SiteId::parse(&format!("s-{n}")).unwrap()
}

/// What became of the windows: for each who was in, or nobody where it was passed over; and when.
struct Told {
    windows: Vec<(BTreeSet<usize>, bool, i64)>,
    closed: Option<Outcome>,
}

/// Plays a study of so many windows. After half of them the network loses nothing any more.
fn play(seed: u64, sites: usize, windows: u32, loss: u64) -> Told {
    let mut state = seed;
    let mut next = move |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let rounds = Rounds {
        min_sites: 2,
        deadline_seconds: DEADLINE as u32,
        gather_seconds: GATHER as u32,
        attempts: ATTEMPTS as u32,
    };
    let mut run = Run::new(rounds);
    run.wait_until(Micros(0), Micros(0));
    let mut queue: BTreeMap<(i64, u64), Message> = BTreeMap::new();
    let (mut number, mut window, mut accepted) = (0u64, 0u32, BTreeSet::new());
    let mut told = Told { windows: Vec::new(), closed: None };
    let mut online = vec![true; sites];
    let mut events: Vec<Event> = Vec::new();
    for n in 0..sites {
        events.extend([Event::Joined(site(n)), Event::Online(site(n)), Event::Decided(site(n), Decision::Approved)]);
    }
    let mut now = 0i64;
    while told.closed.is_none() && now < i64::from(windows + 3) * EVERY * SECOND {
        let calm = window >= windows / 2;
        if !calm && next(40) == 0 {
            let n = next(sites as u64) as usize;
            if std::mem::replace(&mut online[n], false) {
                events.push(Event::Offline(site(n)));
                queue.insert((now + (1 + next(20) as i64) * SECOND, number), Message::Back(n));
                number += 1;
            }
        }
        while let Some(first) = queue.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                // A site answers what it is asked, once and again with the same bytes.
                Message::Order(n, of) if online[n] => {
                    for _ in 0..1 + next(3) / 2 {
                        if calm || next(100) >= loss {
                            queue.insert((now + next(6 * SECOND as u64) as i64, number), Message::Release(n, of));
                            number += 1;
                        }
                    }
                }
                Message::Order(..) => {}
                // As the conductor does: of a window that is over, and of a connection that broke, nothing is taken.
                Message::Release(n, of) if of == window && online[n] => {
                    events.push(Event::Reported(site(n), Hash([n as u8; 32])));
                }
                Message::Release(..) => {}
                Message::Back(n) => {
                    online[n] = true;
                    events.push(Event::Online(site(n)));
                }
            }
        }
        events.push(Event::Tick);
        while !events.is_empty() {
            let mut later = Vec::new();
            for event in std::mem::take(&mut events) {
                for action in run.apply(event, Micros(now)) {
                    match action {
                        Action::Order(id) => {
                            assert!(
                                now >= i64::from(window) * EVERY * SECOND,
                                "window {window} was asked before it was due"
                            );
                            let n = id.as_str()[2..].parse().unwrap();
                            if calm || next(100) >= loss {
                                queue.insert((now + next(3 * SECOND as u64) as i64, number), Message::Order(n, window));
                                number += 1;
                            }
                        }
                        Action::Accept(id) => {
                            let n: usize = id.as_str()[2..].parse().unwrap();
                            assert!(accepted.insert(n), "{n} is counted twice in window {window}");
                        }
                        Action::Checkpoint | Action::PassOver => {
                            let gap = action == Action::PassOver;
                            told.windows.push((std::mem::take(&mut accepted), gap, now));
                            window += 1;
                            let over = window == windows;
                            later.push(if over { Event::Finished } else { Event::Advanced });
                            if !over {
                                run.wait_until(Micros(i64::from(window) * EVERY * SECOND), Micros(now));
                            }
                        }
                        Action::Close(outcome) => told.closed = Some(outcome),
                        _ => {}
                    }
                }
            }
            events = later;
        }
        now += SECOND / 2;
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_window_ends_once_and_in_time_whatever_is_lost(seed in any::<u64>(), sites in 3usize..7, loss in 0u64..90) {
        let windows = 12;
        let told = play(seed, sites, windows, loss);
        prop_assert_eq!(told.closed, Some(Outcome::Done));
        prop_assert_eq!(told.windows.len(), windows as usize);
        // It waits for enough sites, and then for their answers, as long as all attempts take each.
        let longest = (GATHER + 2 * ATTEMPTS * DEADLINE + 2) * SECOND;
        let mut before = 0;
        for (w, (who, gap, at)) in told.windows.iter().enumerate() {
            let begin = before.max(w as i64 * EVERY * SECOND);
            before = *at;
            // Before the first window a study waits for its sites as long as it takes.
            prop_assert!(*at >= begin && (w == 0 || *at <= begin + longest), "window {w} took {} s", (at - begin) / SECOND);
            prop_assert!(*gap || who.len() >= 2, "window {w} is told by {who:?}");
            prop_assert!(!gap || w <= windows as usize / 2, "window {w} was passed over in a calm");
            prop_assert!(!gap || *at >= begin + ATTEMPTS * DEADLINE * SECOND, "window {w} was passed over too soon");
        }
        prop_assert_eq!(told.windows[windows as usize - 1].0.len(), sites);
    }
}

/// The schedules do lose windows, and tell some by a part of the sites: what is tested is not a calm.
#[test]
fn the_network_is_rough() {
    let all: Vec<Told> = (0..60).map(|seed| play(seed, 3, 12, 50)).collect();
    let windows = || all.iter().flat_map(|t| &t.windows);
    assert!(windows().filter(|(_, gap, _)| *gap).count() > 10);
    assert!(windows().filter(|(who, gap, _)| !gap && who.len() == 2).count() > 10);
}
