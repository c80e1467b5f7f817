//! Windows of event time, and the panes they are made of.
//!
//! Sliding windows overlap. An event is kept once, in its pane; a window is the union of its panes.

use std::time::Duration;

use platform::Micros;

/// Event times lie within plus and minus this, some 73,000 years, so that window arithmetic can't overflow.
pub(crate) const TIME_RANGE: i64 = i64::MAX / 4;

/// A half-open stretch of event time: `start ≤ t < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first instant inside.
    pub start: Micros,
    /// The first instant after.
    pub end: Micros,
}

impl Window {
    /// The last instant inside.
    pub fn last(self) -> Micros {
        Micros(self.end.0.saturating_sub(1))
    }

    /// Whether an instant is inside.
    pub fn contains(self, t: Micros) -> bool {
        self.start <= t && t < self.end
    }
}

/// Which windows an event belongs to.
pub trait WindowAssigner: Send + Sync {
    /// The windows that hold this instant, in order of time.
    fn assign(&self, t: Micros) -> Vec<Window>;
    /// The one pane that holds this instant.
    fn pane(&self, t: Micros) -> Window;
    /// The panes of a window, in order of time.
    fn panes(&self, window: Window) -> Vec<Window>;
}

/// Windows of one size, a slide apart, aligned to 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug)]
pub struct Sliding {
    slide: i64,
    panes: i64,
}

impl Sliding {
    /// `None` unless the slide is at least a microsecond and the size is a whole multiple of it.
    pub fn new(size: Duration, slide: Duration) -> Option<Sliding> {
        let (size, slide) = (micros(size), micros(slide));
        let fits = slide > 0 && (slide..=TIME_RANGE).contains(&size) && size % slide == 0;
        fits.then(|| Sliding { slide, panes: size / slide })
    }

    fn stretch(start: i64, length: i64) -> Window {
        Window { start: Micros(start), end: Micros(start.saturating_add(length)) }
    }
}

impl WindowAssigner for Sliding {
    fn assign(&self, t: Micros) -> Vec<Window> {
        let newest = self.pane(t).start.0;
        let size = self.slide * self.panes;
        (0..self.panes).rev().map(|k| Self::stretch(newest.saturating_sub(k * self.slide), size)).collect()
    }

    fn pane(&self, t: Micros) -> Window {
        // The Euclidean remainder floors below zero too.
        Self::stretch(t.0.saturating_sub(t.0.rem_euclid(self.slide)), self.slide)
    }

    fn panes(&self, window: Window) -> Vec<Window> {
        (0..self.panes).map(|k| Self::stretch(window.start.0.saturating_add(k * self.slide), self.slide)).collect()
    }
}

/// Windows of one size, end to end: each instant is in exactly one, and the window is its own pane.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling(Sliding);

impl Tumbling {
    /// `None` for a size under a microsecond.
    pub fn new(size: Duration) -> Option<Tumbling> {
        Sliding::new(size, size).map(Tumbling)
    }
}

impl WindowAssigner for Tumbling {
    fn assign(&self, t: Micros) -> Vec<Window> {
        self.0.assign(t)
    }

    fn pane(&self, t: Micros) -> Window {
        self.0.pane(t)
    }

    fn panes(&self, window: Window) -> Vec<Window> {
        self.0.panes(window)
    }
}

/// A length of time in microseconds, at most the largest `i64`.
pub(crate) fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn negative_times_floor_and_odd_sizes_are_refused() {
        let day = Tumbling::new(Duration::from_micros(10)).unwrap();
        let starts: Vec<_> = [-11, -10, -1, 0, 9, 10].map(|t| day.pane(Micros(t)).start.0).to_vec();
        assert_eq!(starts, [-20, -10, -10, 0, 0, 10]);
        let sliding = |size, slide| Sliding::new(Duration::from_micros(size), Duration::from_micros(slide));
        assert!(sliding(10, 3).is_none() && sliding(10, 0).is_none() && sliding(5, 10).is_none());
        assert!(Tumbling::new(Duration::ZERO).is_none() && Tumbling::new(Duration::MAX).is_none());
    }

    proptest! {
        #[test]
        fn an_event_is_in_one_tumbling_window(t in -TIME_RANGE..TIME_RANGE, size in 1u64..1_000_000_000) {
            let windows = Tumbling::new(Duration::from_micros(size)).unwrap().assign(Micros(t));
            prop_assert_eq!(windows.len(), 1);
            prop_assert!(windows.iter().all(|w| w.contains(Micros(t)) && w.start.0.rem_euclid(size as i64) == 0));
        }

        #[test]
        fn an_event_is_in_size_over_slide_windows(t in -TIME_RANGE..TIME_RANGE, slide in 1u64..1_000_000, n in 1u64..20) {
            let sliding =
                Sliding::new(Duration::from_micros(slide * n), Duration::from_micros(slide)).unwrap();
            let (t, pane) = (Micros(t), sliding.pane(Micros(t)));
            let windows = sliding.assign(t);
            prop_assert_eq!(windows.len() as u64, n);
            prop_assert!(windows.windows(2).all(|w| w[0] < w[1]));
            for w in windows {
                prop_assert!(w.contains(t) && (w.end.0 - w.start.0) as u64 == slide * n);
                prop_assert!(sliding.panes(w).contains(&pane));
            }
        }
    }
}
