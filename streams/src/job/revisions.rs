//! Rows that have an identity come once, however often they are sent; a later revision takes back the one before it.
//!
//! What is remembered of a row is forgotten when its time is further behind the watermark than a horizon, which should be no
//! shorter than any window with its lateness. A row sent again after that is late everywhere.

use std::collections::BTreeMap;

use crate::backend::StateError;
use crate::batch::{EventBatch, Key};
use crate::keyed::{Keyed, SharedBackend, Table, Value};
use crate::keys::{KEY_GROUPS, SlotKey};
use crate::window::TIME_RANGE;

/// The table's number: after those of all operators.
const TABLE: u8 = 250;

/// A row as it was last told.
#[derive(Clone, Copy)]
struct Row {
    rev: u32,
    /// The channel it came by.
    channel: u16,
    /// It was taken back, and is remembered so that an older revision does not bring it back.
    gone: bool,
    /// It went to the side output, so that there is nothing to take back.
    aside: bool,
    time: i64,
    key: Key,
    group: u32,
    value: i64,
}

impl Value for Row {
    const KIND: &'static str = "row";

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(43);
        out.extend(self.rev.to_le_bytes());
        out.extend(self.channel.to_le_bytes());
        out.push(u8::from(self.gone) | (u8::from(self.aside) << 1));
        out.extend(self.time.to_le_bytes());
        out.extend(self.key.to_le_bytes());
        out.extend(self.group.to_le_bytes());
        out.extend(self.value.to_le_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Option<Row> {
        let bytes: &[u8; 43] = bytes.try_into().ok()?;
        Some(Row {
            rev: u32::from_le_bytes(bytes[..4].try_into().ok()?),
            channel: u16::from_le_bytes(bytes[4..6].try_into().ok()?),
            gone: bytes[6] & 1 != 0,
            aside: bytes[6] & 2 != 0,
            time: i64::from_le_bytes(bytes[7..15].try_into().ok()?),
            key: Key::from_le_bytes(bytes[15..31].try_into().ok()?),
            group: u32::from_le_bytes(bytes[31..35].try_into().ok()?),
            value: i64::from_le_bytes(bytes[35..].try_into().ok()?),
        })
    }
}

impl Row {
    /// Whether two revisions say the same.
    fn says(&self) -> (bool, i64, Key, u32, i64) {
        (self.gone, self.time, self.key, self.group, self.value)
    }
}

/// The rows of a job by identity.
pub(super) struct Revisions {
    rows: Keyed<Row>,
    horizon: i64,
    /// Rows by the slot of time in which they are forgotten.
    over: BTreeMap<i64, Vec<SlotKey>>,
}

impl Revisions {
    pub(super) fn open(backend: &SharedBackend, most: usize, horizon: i64) -> Result<Revisions, StateError> {
        let rows = Keyed::open(TABLE, "rows", 0..KEY_GROUPS, backend.clone(), most)?;
        let horizon = horizon.clamp(1, TIME_RANGE);
        let mut over = BTreeMap::<i64, Vec<SlotKey>>::new();
        rows.each(&mut |k, row: &Row| {
            over.entry(slot(row.time, horizon)).or_default().push(k);
            true
        })?;
        Ok(Revisions { rows, horizon, over })
    }

    /// The batch without rows that came before, and with what later revisions take back. Gives how many came before. A row that does not
    /// fit is passed on, to be put aside: nothing is taken back of it later.
    pub(super) fn through(
        &mut self,
        batch: EventBatch,
        fits: impl Fn(i64) -> bool,
    ) -> Result<(EventBatch, u64), StateError> {
        if batch.whole.is_none() && (batch.id.len() != batch.len() || batch.rev.len() != batch.len()) {
            return Ok((batch, 0));
        }
        let mut out = EventBatch { channel: batch.channel, holds: batch.holds, ..EventBatch::default() };
        let mut push = |row: &Row, sign: i8| {
            out.time.push(row.time);
            out.key.push(row.key);
            out.group.push(row.group);
            out.value.push(row.value);
            out.sign.push(sign);
        };
        let mut again = 0;
        for i in 0..batch.len().min(batch.id.len()).min(batch.rev.len()) {
            let row = Row {
                rev: batch.rev[i],
                channel: batch.channel,
                gone: batch.sign_of(i) < 0,
                aside: batch.time.get(i).is_none_or(|t| !fits(*t)),
                time: batch.time[i],
                key: batch.key[i],
                group: batch.group[i],
                value: batch.value[i],
            };
            let at = SlotKey { window: 0, group: 0, key: batch.id[i] };
            let before = self.rows.get(at)?.copied();
            if before.is_some_and(|b| b.rev >= row.rev) {
                again += 1;
                continue;
            }
            self.rows.update(at, |held| *held = Some(row))?;
            // What was put aside since its time had not come may count by now.
            let came = before.is_some_and(|b| b.aside && !row.aside);
            if before.is_some_and(|b| b.says() == row.says()) && !came {
                again += 1;
                continue;
            }
            self.over.entry(slot(row.time, self.horizon)).or_default().push(at);
            if let Some(before) = before.filter(|b| !b.gone && !b.aside) {
                push(&before, -1);
            }
            if !row.gone {
                push(&row, 1);
            }
        }
        if let Some((rev, since)) = batch.whole {
            let mut gone = Vec::new();
            self.rows.each(&mut |k, row| {
                let left_out = row.channel == batch.channel && row.rev < rev && row.time >= since && !row.gone;
                gone.extend(left_out.then_some((k, *row)));
                true
            })?;
            gone.sort_unstable_by_key(|(k, row)| (row.time, *k));
            for (at, row) in gone {
                self.rows.update(at, |held| *held = Some(Row { rev, gone: true, ..row }))?;
                if !row.aside {
                    push(&row, -1);
                }
            }
        }
        Ok((out, again))
    }

    /// Forgets what is further behind than the horizon.
    pub(super) fn passed(&mut self, watermark: i64) -> Result<(), StateError> {
        let horizon = self.horizon;
        while let Some((at, _)) = self.over.first_key_value().filter(|(at, _)| **at <= watermark) {
            let at = *at;
            for key in self.over.remove(&at).unwrap_or_default() {
                // A later revision may have another time, and stands in the slot of that.
                if self.rows.get(key)?.is_some_and(|row| slot(row.time, horizon) <= at) {
                    self.rows.take(key)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn table(&self) -> &dyn Table {
        &self.rows
    }

    pub(super) fn table_mut(&mut self) -> &mut dyn Table {
        &mut self.rows
    }
}

/// The end of the slot, a sixteenth of the horizon wide, in which a row is forgotten.
fn slot(time: i64, horizon: i64) -> i64 {
    let width = (horizon / 16).max(1);
    ((time.clamp(-TIME_RANGE, TIME_RANGE) + horizon).div_euclid(width) + 1) * width
}
