//! Interval join: each row of one channel with the rows of the same patient in another that come within a stretch before
//! or after it, such as a laboratory value in the fortnight after a drug.

use platform::Micros;

use super::timers::Timers;
use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::batch::{ChannelId, Key};
use crate::keyed::{Keyed, Table, Value};
use crate::keys::SlotKey;
use crate::out::{Closed, Emission, Out, Why};
use crate::window::{TIME_RANGE, Window};

/// A row that waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    time: i64,
    right: bool,
    group: u32,
    value: i64,
}

#[derive(Clone, Debug, Default)]
struct Buffer(Vec<Waiting>);

impl Value for Buffer {
    const KIND: &'static str = "join";

    fn write(&self) -> Vec<u8> {
        let bytes = |w: &Waiting| [w.time, i64::from(w.right), i64::from(w.group), w.value];
        self.0.iter().flat_map(bytes).flat_map(i64::to_le_bytes).collect()
    }

    fn read(bytes: &[u8]) -> Option<Buffer> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|b| i64::from_le_bytes(*b)).collect();
        let (rows, over) = numbers.as_chunks::<4>();
        let row = |[time, right, group, value]: &[i64; 4]| {
            Some(Waiting { time: *time, right: *right != 0, group: u32::try_from(*group).ok()?, value: *value })
        };
        (rest.is_empty() && over.is_empty()).then(|| rows.iter().map(row).collect::<Option<_>>().map(Buffer))?
    }
}

/// Joins the rows of two channels by patient and time. Told is each pair, at once: the window from the left row's time to the
/// right one's, the left one's group, its value as `count`, the right one's value as `sum`, and its group as the one more number. A row that is
/// taken back while its others are there withdraws its pairs.
pub struct Join {
    left: ChannelId,
    right: ChannelId,
    lower: i64,
    upper: i64,
    rows: Keyed<Buffer>,
    /// When rows of a patient need not wait any more: at or before the first of it.
    timers: Timers<Key>,
    watermark: i64,
}

impl Join {
    /// Pairs with `lower ≤ right − left ≤ upper` microseconds.
    ///
    /// # Errors
    /// `lower` above `upper`, one channel twice, or the state failed.
    pub fn open(
        left: ChannelId,
        right: ChannelId,
        lower: i64,
        upper: i64,
        place: &Place,
    ) -> Result<Join, OperatorError> {
        if lower > upper || left == right {
            let message = "a join needs two channels and a lower bound that is not above the upper one".to_owned();
            return Err(OperatorError::Settings(message));
        }
        let (lower, upper) = (lower.max(-TIME_RANGE), upper.min(TIME_RANGE));
        let rows = Keyed::open(place.table, "rows", place.groups.clone(), place.backend.clone(), place.most)?;
        let width = reach(lower, upper) / 4;
        let mut join = Join { left, right, lower, upper, rows, timers: Timers::new(width), watermark: place.watermark };
        let mut timers = Timers::new(width);
        join.rows.each(&mut |k, buffer: &Buffer| {
            if let Some(until) = buffer.0.iter().map(|w| join.until(w)).min() {
                timers.set(until, k.key);
            }
            true
        })?;
        join.timers = timers;
        Ok(join)
    }

    /// How far apart the rows of a pair may be. A row may come late, or be taken back, until the watermark is so far behind it. Each is kept for
    /// as long again, so that whatever such a row is joined to is still here.
    fn reach(&self) -> i64 {
        reach(self.lower, self.upper)
    }

    /// Until when a row is kept.
    fn until(&self, row: &Waiting) -> i64 {
        until(row, self.lower, self.upper)
    }
}

fn reach(lower: i64, upper: i64) -> i64 {
    lower.saturating_abs().max(upper.saturating_abs())
}

/// Tells, or withdraws, the pairs that a row makes with rows of the other side.
fn pairs(row: &Waiting, others: &[Waiting], (lower, upper): (i64, i64), key: Key, emission: Emission, out: &mut Out) {
    for other in others.iter().filter(|w| w.right != row.right) {
        let (l, r) = if row.right { (other, row) } else { (row, other) };
        if (lower..=upper).contains(&(r.time - l.time)) {
            let window = Window { start: Micros(l.time), end: Micros(r.time) };
            let more = vec![i64::from(r.group)];
            let (operator, group, count, sum) = (0, l.group, l.value, r.value);
            out.closed.push(Closed { operator, window, group, key, emission, count, sum, more });
        }
    }
}

fn until(row: &Waiting, lower: i64, upper: i64) -> i64 {
    row.time.saturating_add(reach(lower, upper).saturating_mul(2))
}

impl Operator for Join {
    fn spread(&self) -> Spread {
        Spread::ByPatient
    }

    fn deadline(&self) -> Option<i64> {
        None
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        let right = match rows.batch.channel {
            c if c == self.left => false,
            c if c == self.right => true,
            _ => return Ok(()),
        };
        for row in rows.each() {
            let Row { place: row, watermark, time, key, group, value, sign } = row;
            let time = time.clamp(-TIME_RANGE, TIME_RANGE);
            // Late is what may no more be said of: until then all that it is joined to is here.
            if time.saturating_add(self.reach()) <= watermark {
                out.aside(rows.batch, row, Why::Late, watermark);
                continue;
            }
            let this = Waiting { time, right, group, value };
            let until = self.until(&this);
            let (lower, upper) = (self.lower, self.upper);
            let slot = SlotKey { window: 0, group: 0, key };
            if sign < 0 {
                let found = self.rows.update(slot, |buffer| {
                    let Some(rows) = buffer.as_mut().map(|b| &mut b.0) else { return false };
                    let Ok(place) = rows.binary_search(&this) else { return false };
                    rows.remove(place);
                    pairs(&this, rows, (lower, upper), key, Emission::Withdrawn, out);
                    buffer.take_if(|b| b.0.is_empty());
                    true
                })?;
                if !found {
                    out.aside(rows.batch, row, Why::CannotForget, watermark);
                }
                continue;
            }
            let first = self.rows.update(slot, |buffer| {
                let buffer = buffer.get_or_insert_default();
                pairs(&this, &buffer.0, (lower, upper), key, Emission::First, out);
                // Where an earlier row waits, its timer finds this one.
                let first = buffer.0.iter().all(|w| until < self::until(w, lower, upper));
                let place = buffer.0.partition_point(|w| *w < this);
                buffer.0.insert(place, this);
                first
            })?;
            if first {
                self.timers.set(until, key);
            }
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, _: &mut Out) -> Result<(), OperatorError> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        let (lower, upper) = (self.lower, self.upper);
        let until = |w: &Waiting| until(w, lower, upper);
        while let Some(key) = self.timers.due(watermark) {
            let slot = SlotKey { window: 0, group: 0, key };
            let Some(buffer) = self.rows.get(slot)? else { continue };
            let left: Vec<_> = buffer.0.iter().copied().filter(|w| until(w) > watermark).collect();
            let next = left.iter().map(until).min();
            if left.len() != buffer.0.len() {
                self.rows.update(slot, |buffer| *buffer = (!left.is_empty()).then_some(Buffer(left)))?;
            }
            if let Some(next) = next {
                self.timers.set(next, key);
            }
        }
        Ok(())
    }

    fn tables(&self) -> Vec<&dyn Table> {
        vec![&self.rows]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.rows]
    }
}
