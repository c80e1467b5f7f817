//! Windows of event time over panes, and what is summed in them.
//!
//! Sliding windows overlap. A row is kept once, in its pane; a window is the union of its panes, so that a day that slides
//! by the hour costs no more than its hours.

use std::time::Duration;

use platform::Micros;
use platform::store::merge;

use crate::keyed::Value;

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

/// Windows of one length, a step apart, the step a whole part of the length. With one pane they stand end to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    step: i64,
    panes: i64,
    offset: i64,
}

impl Windows {
    /// Windows of length `size`, a `step` apart, aligned to 1970-01-01T00:00:00Z and `offset` after. `None` unless the step is
    /// at least a microsecond and the size a whole multiple of it.
    pub fn sliding(size: Duration, step: Duration, offset: Duration) -> Option<Windows> {
        let (size, step, offset) = (micros(size), micros(step), micros(offset));
        let fits = step > 0 && (step..=TIME_RANGE).contains(&size) && size % step == 0 && offset <= TIME_RANGE;
        fits.then(|| Windows { step, panes: size / step, offset: offset % step })
    }

    /// Windows end to end.
    pub fn tumbling(size: Duration, offset: Duration) -> Option<Windows> {
        Windows::sliding(size, size, offset)
    }

    /// Their length, in microseconds.
    pub fn size(self) -> i64 {
        self.step * self.panes
    }

    /// How many panes a window has.
    pub fn panes(self) -> i64 {
        self.panes
    }

    /// The pane of an instant, counted from 1970.
    pub fn pane(self, t: i64) -> i64 {
        (t - self.offset).div_euclid(self.step)
    }

    /// The first instant of a pane.
    pub fn start(self, pane: i64) -> i64 {
        pane * self.step + self.offset
    }

    /// The window that ends with this pane.
    pub fn ending(self, pane: i64) -> Window {
        Window { start: Micros(self.start(pane + 1 - self.panes)), end: Micros(self.start(pane + 1)) }
    }

    /// The last window, by its last pane, that is closed when no row at or before `watermark` comes any more and windows stay
    /// open `lateness` longer.
    pub fn closed(self, watermark: i64, lateness: i64) -> i64 {
        // Closed: end - 1 + lateness <= watermark.
        self.pane(watermark.saturating_sub(lateness).saturating_add(1).clamp(-TIME_RANGE, TIME_RANGE)) - 1
    }
}

/// A count and a sum: of numbers in a fixed point, so that their order doesn't matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many rows.
    pub count: i64,
    /// The sum of their values. It wraps, see [`holds`](Sums::holds).
    pub sum: i64,
    /// The sum of their sizes, each in units of 2²⁰ and rounded down.
    pub size: i64,
}

impl Sums {
    /// So many rows, with this sum.
    pub fn of(count: i64, sum: i64) -> Sums {
        Sums { count, sum, size: (sum.unsigned_abs() >> 20) as i64 }
    }

    /// Whether the sum can't have wrapped: the sizes of its values are together less than 2⁶², counting a row that was taken back
    /// twice.
    pub fn holds(&self) -> bool {
        self.size < 1 << 42
    }
}

impl Value for Sums {
    const KIND: &'static str = "sums";
    const JOINS: bool = true;

    fn write(&self) -> Vec<u8> {
        merge::sums(&[self.count, self.sum, self.size])
    }

    fn read(bytes: &[u8]) -> Option<Sums> {
        match merge::read_sums(bytes)?.as_slice() {
            [count, sum, size] => Some(Sums { count: *count, sum: *sum, size: *size }),
            _ => None,
        }
    }

    fn join(&mut self, other: &Sums) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.size = self.size.wrapping_add(other.size);
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
    fn odd_sizes_are_refused() {
        let us = Duration::from_micros;
        let sliding = |size, step| Windows::sliding(us(size), us(step), us(0));
        assert!(sliding(10, 3).is_none() && sliding(10, 0).is_none() && sliding(5, 10).is_none());
        assert!(Windows::tumbling(Duration::MAX, us(0)).is_none());
    }

    proptest! {
        #[test]
        fn an_instant_is_in_its_panes_windows_alone(
            t in -TIME_RANGE..TIME_RANGE, step in 1u64..1_000_000, n in 1i64..20, offset in 0u64..2_000_000, ahead in -25i64..25,
        ) {
            let us = Duration::from_micros;
            let windows = Windows::sliding(us(step * n as u64), us(step), us(offset)).unwrap();
            let pane = windows.pane(t);
            prop_assert!(windows.start(pane) <= t && t < windows.start(pane + 1));
            let window = windows.ending(pane + ahead);
            prop_assert_eq!(window.start.0 <= t && t < window.end.0, (0..n).contains(&ahead));
            prop_assert_eq!(window.end.0 - window.start.0, step as i64 * n);
        }

        #[test]
        fn a_window_is_closed_from_its_last_instant_on(wm in -1000i64..1000, step in 1u64..50, n in 1u64..4, lateness in 0i64..90, offset in 0u64..50) {
            let us = Duration::from_micros;
            let windows = Windows::sliding(us(step * n), us(step), us(offset)).unwrap();
            let last = windows.closed(wm, lateness);
            prop_assert!(windows.ending(last).end.0 - 1 + lateness <= wm);
            prop_assert!(windows.ending(last + 1).end.0 - 1 + lateness > wm);
        }
    }
}
