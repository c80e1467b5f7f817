//! Watermarks: how far event time has come.
//!
//! Each channel, a kind of event from a source, has its own bound on how far out of order its events come. The watermark
//! is the minimum over the channels that are not idle. It never goes back.

use std::time::Duration;

use platform::Micros;
use serde::{Deserialize, Serialize};

use crate::batch::ChannelId;
use crate::window::{TIME_RANGE, micros};

/// A kind of event from a source, such as laboratory results from one hospital system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// Who sends.
    pub source: String,
    /// What kind of event.
    pub kind: String,
}

#[derive(Clone, Debug)]
struct Progress {
    channel: Channel,
    bound: i64,
    highest: Option<i64>,
    /// The highest of rows that are still held, see [`EventBatch::holds`](crate::batch::EventBatch::holds).
    held: Option<i64>,
    heard: Micros,
    ended: bool,
}

/// What a checkpoint keeps of the watermarks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    current: Option<i64>,
    highest: Vec<(Channel, i64)>,
    /// The highest of rows whose moment is not over: the watermark moves with the last batch of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<(Channel, i64)>,
}

impl Reached {
    /// The watermark, in microseconds; the least number before there is one.
    pub fn watermark(&self) -> i64 {
        self.current.unwrap_or(i64::MIN)
    }
}

/// The watermark over all channels.
#[derive(Clone, Debug)]
pub struct Watermarks {
    channels: Vec<Progress>,
    idle_after: i64,
    current: i64,
}

impl Watermarks {
    /// Over these channels, each with its bound on out-of-orderness. A channel that is silent for `idle_after` of
    /// processing time no longer holds the watermark back. Silence counts from `now`.
    pub fn new(
        channels: impl IntoIterator<Item = (Channel, Duration)>,
        idle_after: Duration,
        now: Micros,
    ) -> Watermarks {
        let start = |(channel, bound)| Progress {
            channel,
            bound: micros(bound),
            highest: None,
            held: None,
            heard: now,
            ended: false,
        };
        let channels = channels.into_iter().map(start).collect();
        Watermarks { channels, idle_after: micros(idle_after), current: i64::MIN }
    }

    /// No event at or before this instant is expected any more; the least number before every active channel has spoken.
    pub fn current(&self) -> i64 {
        self.current
    }

    /// Notes the events of a batch, heard at `now` of processing time. `before` becomes the watermark that each event met: that
    /// of all events before it. An unknown channel moves nothing. An event beyond all range moves nothing either.
    pub fn through(&mut self, channel: ChannelId, times: &[i64], now: Micros, before: &mut Vec<i64>) {
        before.clear();
        before.reserve(times.len());
        if let Some(p) = self.channels.get_mut(usize::from(channel)) {
            p.heard = p.heard.max(now);
        }
        // The least of the others stands still meanwhile; `None` where one has not spoken.
        let mut others = Some(i64::MAX);
        for (i, p) in self.channels.iter().enumerate() {
            if i != usize::from(channel) && !Self::is_idle(p, self.idle_after, now) {
                others = others.zip(p.highest).map(|(least, h)| least.min(Self::line(h, p.bound)));
            }
        }
        let Some(p) = self.channels.get_mut(usize::from(channel)) else {
            before.resize(times.len(), self.current);
            return;
        };
        let (mut highest, mut current) = (p.highest.unwrap_or(i64::MIN), self.current);
        for time in times {
            before.push(current);
            if (-TIME_RANGE..=TIME_RANGE).contains(time) {
                highest = highest.max(*time);
            }
            if let (Some(others), true) = (others, highest > i64::MIN) {
                current = current.max(others.min(Self::line(highest, p.bound)));
            }
        }
        if let Some(held) = p.held.take() {
            // The rows of this batch belong to those that were held: they meet what those met.
            before.fill(self.current);
            highest = highest.max(held);
            if let Some(others) = others {
                current = current.max(others.min(Self::line(highest, p.bound)));
            }
        }
        p.highest = (highest > i64::MIN).then_some(highest);
        self.current = current;
    }

    /// The same for events of one moment that others will follow: the watermark stands still for them.
    pub fn held(&mut self, channel: ChannelId, times: &[i64], now: Micros, before: &mut Vec<i64>) {
        before.clear();
        before.resize(times.len(), self.current);
        if let Some(p) = self.channels.get_mut(usize::from(channel)) {
            p.heard = p.heard.max(now);
            let within = times.iter().copied().filter(|t| (-TIME_RANGE..=TIME_RANGE).contains(t));
            p.held = p.held.max(within.max());
        }
    }

    fn line(highest: i64, bound: i64) -> i64 {
        highest.saturating_sub(bound).saturating_sub(1)
    }

    fn is_idle(p: &Progress, idle_after: i64, now: Micros) -> bool {
        p.ended || now.0.saturating_sub(p.heard.0) >= idle_after
    }

    /// Notes that processing time is `now`, and gives the watermark. If all channels are idle it stands still.
    pub fn tick(&mut self, now: Micros) -> i64 {
        let active = self.channels.iter().filter(|p| !Self::is_idle(p, self.idle_after, now));
        // `None` is the least: a channel that has not spoken holds the minimum back.
        let lowest = active.map(|p| p.highest.map(|h| Self::line(h, p.bound))).min();
        self.current = self.current.max(lowest.flatten().unwrap_or(i64::MIN));
        self.current
    }

    /// How far a channel is ahead of the one furthest behind, in microseconds: the job reads on where it is small.
    pub fn ahead(&self, channel: ChannelId, now: Micros) -> i64 {
        let Some(own) = self.channels.get(usize::from(channel)).and_then(|p| p.highest) else { return 0 };
        let active = self.channels.iter().filter(|p| !Self::is_idle(p, self.idle_after, now));
        // A channel that has not spoken is behind all others, until it is idle.
        active.map(|p| p.highest.unwrap_or(i64::MIN)).min().map_or(0, |least| own.saturating_sub(least).max(0))
    }

    /// A channel has ended: it holds nothing back any more.
    pub fn end(&mut self, channel: ChannelId) {
        if let Some(p) = self.channels.get_mut(usize::from(channel)) {
            p.ended = true;
        }
    }

    /// All sources have ended: moves the watermark to the end of time.
    pub fn finish(&mut self) {
        self.current = i64::MAX;
    }

    /// What a checkpoint keeps.
    pub fn reached(&self) -> Reached {
        let highest = self.channels.iter().filter_map(|p| Some((p.channel.clone(), p.highest?))).collect();
        let held = self.channels.iter().filter_map(|p| Some((p.channel.clone(), p.held?))).collect();
        Reached { current: (self.current > i64::MIN).then_some(self.current), highest, held }
    }

    /// Takes up what a checkpoint kept. Channels it does not name start afresh; the watermark does not go back for them.
    pub fn restore(&mut self, reached: &Reached) {
        self.current = self.current.max(reached.watermark());
        for (channel, highest) in &reached.highest {
            if let Some(p) = self.channels.iter_mut().find(|p| p.channel == *channel) {
                p.highest = p.highest.max(Some(*highest));
            }
        }
        for (channel, held) in &reached.held {
            if let Some(p) = self.channels.iter_mut().find(|p| p.channel == *channel) {
                p.held = p.held.max(Some(*held));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn three(idle_after: u64) -> Watermarks {
        let channel = |i: u64| Channel { source: "his".into(), kind: format!("kind{i}") };
        let bounds = (0..3).map(|i| (channel(i), Duration::from_micros(10 * i)));
        Watermarks::new(bounds, Duration::from_micros(idle_after), Micros(0))
    }

    fn observe(w: &mut Watermarks, channel: ChannelId, time: i64, now: i64) -> i64 {
        w.through(channel, &[time], Micros(now), &mut Vec::new());
        w.current()
    }

    /// A kill between the rows of a moment and its end loses nothing of how far they reach.
    #[test]
    fn what_is_held_outlives_a_checkpoint() {
        let mut w = three(100);
        (0..3).for_each(|c| {
            observe(&mut w, c, 100, 1);
        });
        w.held(0, &[900], Micros(2), &mut Vec::new());
        (1..3).for_each(|c| {
            observe(&mut w, c, 950, 3);
        });
        let mut again = three(100);
        again.restore(&w.reached());
        for w in [&mut w, &mut again] {
            w.through(0, &[], Micros(4), &mut Vec::new());
            assert_eq!(w.current(), 899);
        }
    }

    #[test]
    fn a_silent_channel_holds_until_it_is_idle() {
        let mut w = three(100);
        assert_eq!(observe(&mut w, 0, 500, 50), i64::MIN);
        assert_eq!(observe(&mut w, 1, 400, 60), i64::MIN);
        assert_eq!(w.tick(Micros(100)), 389);
        assert_eq!(observe(&mut w, 2, 7, 110), 389, "back from idle, not back in time");
        assert_eq!(w.ahead(0, Micros(110)), 493);
        assert_eq!(w.tick(Micros(10_000)), 389, "all idle");
        assert_eq!(observe(&mut w, 9, i64::MAX, 110), 389, "unknown");
        assert_eq!(observe(&mut w, 0, i64::MAX, 110), 389, "out of range");
    }

    #[test]
    fn what_is_known_at_one_moment_meets_one_watermark() {
        let (mut w, mut met) = (three(100), Vec::new());
        for channel in [1, 2] {
            observe(&mut w, channel, 10_000, 0);
        }
        assert_eq!(observe(&mut w, 0, 100, 0), 99);
        w.held(0, &[900, 50], Micros(1), &mut met);
        assert_eq!((met.as_slice(), w.tick(Micros(1))), ([99, 99].as_slice(), 99));
        w.through(0, &[40], Micros(1), &mut met);
        assert_eq!((met.as_slice(), w.current()), ([99].as_slice(), 899));
    }

    proptest! {
        /// However the events are cut into batches, each meets the same watermark: the minimum, and never back.
        #[test]
        fn batches_do_not_matter(
            events in prop::collection::vec((0u16..3, prop::collection::vec(-1000i64..1000, 1..8), 0i64..40), 0..30),
            idle_after in prop_oneof![Just(30u64), Just(u64::MAX)],
        ) {
            let (mut whole, mut single, mut now, mut met) = (three(idle_after), three(idle_after), 0, Vec::new());
            let mut highest = [None::<i64>; 3];
            for (channel, times, wait) in events {
                now += wait;
                whole.through(channel, &times, Micros(now), &mut met);
                prop_assert!(met.is_sorted());
                for (time, met) in times.iter().zip(&met) {
                    prop_assert_eq!(single.current(), *met);
                    let c = usize::from(channel);
                    observe(&mut single, channel, *time, now);
                    highest[c] = highest[c].max(Some(*time));
                    if idle_after == u64::MAX {
                        let least = (0..3).map(|i| highest[i].map(|h| h - 10 * i as i64 - 1)).min().flatten();
                        prop_assert_eq!(single.current(), least.unwrap_or(i64::MIN));
                    }
                }
                prop_assert_eq!(whole.current(), single.current());
                let mut again = three(idle_after);
                again.restore(&whole.reached());
                prop_assert_eq!(again.reached(), whole.reached());
            }
        }
    }
}
