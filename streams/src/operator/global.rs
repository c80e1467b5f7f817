//! One window without an end, told when a trigger says so: a count since the beginning.

use platform::Micros;

use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::keyed::{Keyed, Table, Value};
use crate::keys::SlotKey;
use crate::out::{Closed, Emission, Out};
use crate::window::{Sums, TIME_RANGE, Window};

/// When the window is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At every so many rows of a group.
    Count(i64),
    /// Whenever the watermark passes a multiple of so many microseconds, for each group that changed since. Told is all that was
    /// seen by then, rows ahead of the watermark too.
    Every(i64),
}

/// Counts and sums by group since the beginning. Nothing is late for it.
pub struct Global {
    trigger: Trigger,
    sums: Keyed<Sums>,
    /// What was told last.
    told: Keyed<Sums>,
    watermark: i64,
}

impl Global {
    /// Told by a trigger of at least one row or microsecond.
    ///
    /// # Errors
    /// A trigger of less, or the state failed.
    pub fn open(trigger: Trigger, place: &Place) -> Result<Global, OperatorError> {
        let (Trigger::Count(n) | Trigger::Every(n)) = trigger;
        if !(1..=TIME_RANGE).contains(&n) {
            return Err(OperatorError::Settings("a trigger is of at least one row or one microsecond".to_owned()));
        }
        let sums = Keyed::open(place.table, "sums", place.groups.clone(), place.backend.clone(), place.most)?;
        let told = Keyed::open(place.table + 1, "told", place.groups.clone(), place.backend.clone(), place.most)?;
        Ok(Global { trigger, sums, told, watermark: place.watermark })
    }

    fn tell(group: u32, until: i64, sums: Sums, out: &mut Out) {
        let window = Window { start: Micros(-TIME_RANGE), end: Micros(until) };
        let (Sums { count, sum, .. }, more) = (sums, crate::aggregate::too_large(&sums));
        out.closed.push(Closed { operator: 0, window, group, key: 0, emission: Emission::Running, count, sum, more });
    }
}

impl Operator for Global {
    fn spread(&self) -> Spread {
        Spread::ByGroup
    }

    fn deadline(&self) -> Option<i64> {
        match self.trigger {
            Trigger::Count(_) => None,
            Trigger::Every(n) => {
                let passed = self.watermark.clamp(-TIME_RANGE, TIME_RANGE).saturating_add(1).div_euclid(n);
                Some((passed + 1).saturating_mul(n) - 1)
            }
        }
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        for Row { time, group, value, sign, .. } in rows.each() {
            let now = self.sums.update(SlotKey { window: 0, group, key: 0 }, |sums| {
                let sums = sums.get_or_insert_default();
                sums.join(&Sums::of(sign, sign.wrapping_mul(value)));
                *sums
            })?;
            if matches!(self.trigger, Trigger::Count(n) if now.count % n == 0) {
                Self::tell(group, time, now, out);
            }
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        let due = self.deadline().is_some_and(|d| d <= watermark);
        self.watermark = self.watermark.max(watermark);
        let Trigger::Every(n) = self.trigger else { return Ok(()) };
        if !due {
            return Ok(());
        }
        let until = watermark.clamp(-TIME_RANGE, TIME_RANGE).saturating_add(1).div_euclid(n) * n;
        let mut all = Vec::new();
        self.sums.each(&mut |k, sums| {
            all.push((k, *sums));
            true
        })?;
        all.sort_unstable_by_key(|(k, _)| *k);
        for (slot, sums) in all {
            if self.told.get(slot)?.is_none_or(|told| *told != sums) {
                self.told.update(slot, |told| *told = Some(sums))?;
                Self::tell(slot.group, until, sums, out);
            }
        }
        Ok(())
    }

    fn tables(&self) -> Vec<&dyn Table> {
        vec![&self.sums, &self.told]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.sums, &mut self.told]
    }
}
