//! Watermarks: how far event time has come.
//!
//! Each channel, a kind of event from a source, has its own bound on how far out of order its events come. The watermark
//! is the minimum over the channels that are not idle. It never goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::Micros;
use serde::{Deserialize, Serialize};

use crate::window::micros;

/// A kind of event from a source, such as laboratory results from one hospital system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Channel {
    /// Who sends. A source numbers its events with one rising position.
    pub source: String,
    /// What kind of event.
    pub kind: String,
}

#[derive(Clone, Debug)]
struct Progress {
    bound: i64,
    highest: Option<i64>,
    heard: Micros,
}

/// What a checkpoint keeps of the watermarks.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    current: Option<i64>,
    highest: Vec<(Channel, i64)>,
}

/// The watermark over all channels.
#[derive(Clone, Debug)]
pub struct Watermarks {
    channels: BTreeMap<Channel, Progress>,
    idle_after: i64,
    current: Option<Micros>,
}

impl Watermarks {
    /// Over these channels, each with its bound on out-of-orderness. A channel that is silent for `idle_after` of
    /// processing time no longer holds the watermark back. Silence counts from `now`.
    pub fn new(
        channels: impl IntoIterator<Item = (Channel, Duration)>,
        idle_after: Duration,
        now: Micros,
    ) -> Watermarks {
        let start = |bound| Progress { bound: micros(bound), highest: None, heard: now };
        let channels = channels.into_iter().map(|(channel, bound)| (channel, start(bound))).collect();
        Watermarks { channels, idle_after: micros(idle_after), current: None }
    }

    /// Whether it was told of this channel.
    pub fn knows(&self, channel: &Channel) -> bool {
        self.channels.contains_key(channel)
    }

    /// No event at or before this instant is expected any more; `None` before every active channel has spoken.
    pub fn current(&self) -> Option<Micros> {
        self.current
    }

    /// Notes an event, heard at `now` of processing time, and gives the watermark. An unknown channel is ignored.
    pub fn observe(&mut self, channel: &Channel, time: Micros, now: Micros) -> Option<Micros> {
        if let Some(p) = self.channels.get_mut(channel) {
            p.highest = p.highest.max(Some(time.0));
            p.heard = p.heard.max(now);
        }
        self.tick(now)
    }

    /// Notes that processing time is `now`, and gives the watermark. If all channels are idle it stands still.
    pub fn tick(&mut self, now: Micros) -> Option<Micros> {
        let active = self.channels.values().filter(|p| now.0.saturating_sub(p.heard.0) < self.idle_after);
        // `None` is the least: a channel that has not spoken holds the minimum back.
        let lowest = active.map(|p| p.highest.map(|h| Micros(h.saturating_sub(p.bound).saturating_sub(1)))).min();
        self.current = self.current.max(lowest.flatten());
        self.current
    }

    /// The sources have ended: moves the watermark to the end of time.
    pub fn finish(&mut self) {
        self.current = Some(Micros(i64::MAX));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let highest = self.channels.iter().filter_map(|(c, p)| Some((c.clone(), p.highest?))).collect();
        Snapshot { current: self.current.map(|t| t.0), highest }
    }

    /// Takes up a snapshot. Channels it does not name start afresh; the watermark does not go back for them.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.current = self.current.max(snapshot.current.map(Micros));
        for (channel, highest) in snapshot.highest {
            if let Some(p) = self.channels.get_mut(&channel) {
                p.highest = p.highest.max(Some(highest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel(i: usize) -> Channel {
        Channel { source: "his".into(), kind: format!("kind{i}") }
    }

    fn three(idle_after: u64) -> Watermarks {
        let bounds = (0..3).map(|i| (channel(i), Duration::from_micros(10 * i as u64)));
        Watermarks::new(bounds, Duration::from_micros(idle_after), Micros(0))
    }

    #[test]
    fn a_silent_channel_holds_until_it_is_idle() {
        let mut w = three(100);
        assert_eq!(w.observe(&channel(0), Micros(500), Micros(50)), None);
        assert_eq!(w.observe(&channel(1), Micros(400), Micros(60)), None);
        assert_eq!(w.tick(Micros(100)), Some(Micros(389)));
        assert_eq!(
            w.observe(&channel(2), Micros(7), Micros(110)),
            Some(Micros(389)),
            "back from idle, not back in time"
        );
        assert_eq!(w.tick(Micros(10_000)), Some(Micros(389)), "all idle");
        assert_eq!(w.observe(&channel(9), Micros(i64::MAX), Micros(110)), Some(Micros(389)), "unknown");
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_is_the_minimum(
            events in prop::collection::vec((0usize..3, -1000i64..1000, 0i64..40), 0..60),
            idle_after in prop_oneof![Just(30u64), Just(u64::MAX)],
        ) {
            let (mut w, mut now, mut before) = (three(idle_after), 0, None);
            let mut highest = [None::<i64>; 3];
            for (i, t, wait) in events {
                now += wait;
                let after = w.observe(&channel(i), Micros(t), Micros(now));
                prop_assert!(after >= before);
                before = after;
                highest[i] = highest[i].max(Some(t));
                if idle_after == u64::MAX {
                    let least = (0..3).map(|i| highest[i].map(|h| Micros(h - 10 * i as i64 - 1))).min().flatten();
                    prop_assert_eq!(after, least);
                }
                let mut again = three(idle_after);
                again.restore(w.snapshot());
                prop_assert_eq!(again.current(), after);
            }
        }
    }
}
