//! One window without an end, told when a trigger says so: a count since the beginning.

use platform::Micros;

use super::timers::Timers;
use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::backend::StateError;
use crate::keyed::{Keyed, Table, Value};
use crate::keys::SlotKey;
use crate::out::{Closed, Emission, Out, Why};
use crate::window::{Sums, TIME_RANGE, Window};

/// When the window is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At every so many rows of a group: at each multiple, when it is first reached.
    Count(i64),
    /// Whenever the watermark passes a multiple of so many microseconds, for each group that changed since. Told is all that was
    /// seen by then, rows ahead of the watermark too.
    Every(i64),
    /// Whenever the sum of a group has moved by at least so much since it was last told.
    Delta(i64),
}

/// The latest time of a group's rows, and the earliest since it began.
#[derive(Clone, Copy)]
struct Latest(i64, i64);

impl Value for Latest {
    const KIND: &'static str = "latest";
    const VERSION: u16 = 2;

    fn write(&self) -> Vec<u8> {
        [self.0, self.1].into_iter().flat_map(i64::to_le_bytes).collect()
    }

    fn read(bytes: &[u8]) -> Option<Latest> {
        match bytes.as_chunks::<8>() {
            ([latest, earliest], []) => Some(Latest(i64::from_le_bytes(*latest), i64::from_le_bytes(*earliest))),
            _ => None,
        }
    }

    /// Before, the earliest was not kept.
    fn migrate(from: u16, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match from {
            1 => Ok([bytes, &i64::MIN.to_le_bytes()].concat()),
            _ => Err(format!("its form {from} is not known; run the job anew from its sources")),
        }
    }
}

/// Counts and sums by group since the beginning. Nothing is late for it.
pub struct Global {
    trigger: Trigger,
    sums: Keyed<Sums>,
    /// What was told last.
    told: Keyed<Sums>,
    /// How long after its last row a group is forgotten, and when to look.
    forget: Option<(i64, Timers<u32>)>,
    latest: Keyed<Latest>,
    watermark: i64,
}

impl Global {
    /// Told by a trigger of at least one row or microsecond.
    ///
    /// # Errors
    /// A trigger of less, or the state failed.
    pub fn open(trigger: Trigger, place: &Place) -> Result<Global, OperatorError> {
        let (Trigger::Count(n) | Trigger::Every(n) | Trigger::Delta(n)) = trigger;
        if !(1..=TIME_RANGE).contains(&n) {
            return Err(OperatorError::Settings("a trigger is of at least one row or one microsecond".to_owned()));
        }
        let sums = Keyed::open(place.table, "sums", place.groups.clone(), place.backend.clone(), place.most)?;
        let told = Keyed::open(place.table + 1, "told", place.groups.clone(), place.backend.clone(), place.most)?;
        let latest = Keyed::open(place.table + 2, "latest", place.groups.clone(), place.backend.clone(), place.most)?;
        Ok(Global { trigger, sums, told, forget: None, latest, watermark: place.watermark })
    }

    /// The same, which forgets a group when the watermark is so many microseconds after the latest of its rows; with [`Trigger::Every`] once
    /// that was told. A group that comes again begins anew.
    ///
    /// # Errors
    /// Less than a microsecond, or the state failed.
    pub fn forgetting(mut self, after: i64) -> Result<Global, OperatorError> {
        if !(1..=TIME_RANGE).contains(&after) {
            return Err(OperatorError::Settings("a group is forgotten after at least one microsecond".to_owned()));
        }
        let mut timers = Timers::new(after / 8);
        self.latest.each(&mut |k, latest: &Latest| {
            timers.set(latest.0.saturating_add(after), k.group);
            true
        })?;
        self.forget = Some((after, timers));
        Ok(self)
    }

    /// Notes the time of a group's row.
    fn note(&mut self, group: u32, time: i64) -> Result<(), StateError> {
        let Some((after, timers)) = &mut self.forget else { return Ok(()) };
        let time = time.clamp(-TIME_RANGE, TIME_RANGE);
        let new = self.latest.update(SlotKey { window: 0, group, key: 0 }, |latest| {
            let new = latest.is_none();
            *latest = Some(latest.map_or(Latest(time, time), |l| Latest(l.0.max(time), l.1.min(time))));
            new
        })?;
        if new {
            timers.set(time.saturating_add(*after), group);
        }
        Ok(())
    }

    /// Begins a group anew where the watermark that its row met says so, whatever the batches.
    fn anew(&mut self, group: u32, watermark: i64) -> Result<(), StateError> {
        let Some((after, _)) = &self.forget else { return Ok(()) };
        let slot = SlotKey { window: 0, group, key: 0 };
        let over = |latest: &Latest| latest.0.saturating_add(*after) <= watermark;
        if !matches!(self.trigger, Trigger::Every(_)) && self.latest.get(slot)?.is_some_and(over) {
            self.latest.take(slot)?;
            self.sums.take(slot)?;
            self.told.take(slot)?;
        }
        Ok(())
    }

    /// Whether a row that is taken back was of a life of its group that is forgotten.
    fn is_forgotten(&mut self, group: u32, time: i64) -> Result<bool, StateError> {
        if self.forget.is_none() {
            return Ok(false);
        }
        let latest = self.latest.get(SlotKey { window: 0, group, key: 0 })?;
        Ok(latest.is_none_or(|latest| time < latest.1))
    }

    fn forget(&mut self, watermark: i64) -> Result<(), StateError> {
        let Some((after, timers)) = &mut self.forget else { return Ok(()) };
        while let Some(group) = timers.due(watermark) {
            let slot = SlotKey { window: 0, group, key: 0 };
            match self.latest.get(slot)?.map(|latest| latest.0.saturating_add(*after)) {
                Some(at) if at > watermark => timers.set(at, group),
                Some(_) => {
                    self.latest.take(slot)?;
                    self.sums.take(slot)?;
                    self.told.take(slot)?;
                }
                None => {}
            }
        }
        Ok(())
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
            Trigger::Count(_) | Trigger::Delta(_) => None,
            Trigger::Every(n) => {
                let passed = self.watermark.clamp(-TIME_RANGE, TIME_RANGE).saturating_add(1).div_euclid(n);
                Some((passed + 1).saturating_mul(n) - 1)
            }
        }
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        for Row { place, time, group, value, sign, watermark, .. } in rows.each() {
            self.anew(group, watermark)?;
            if sign < 0 && self.is_forgotten(group, time)? {
                out.aside(rows.batch, place, Why::CannotForget, watermark);
                continue;
            }
            let now = self.sums.update(SlotKey { window: 0, group, key: 0 }, |sums| {
                let sums = sums.get_or_insert_default();
                sums.join(&Sums::of(sign, sign.wrapping_mul(value)));
                *sums
            })?;
            // A revision is two rows that follow each other: nothing is told between them.
            let half = sign < 0 && rows.batch.sign_of(place + 1) > 0 && rows.batch.group.get(place + 1) == Some(&group);
            let slot = SlotKey { window: 0, group, key: 0 };
            let due = match self.trigger {
                Trigger::Count(n) => {
                    now.count % n == 0 && now.count > self.told.get(slot)?.map_or(0, |told| told.count)
                }
                Trigger::Delta(n) => {
                    now.sum.abs_diff(self.told.get(slot)?.map_or(0, |told| told.sum)) >= n.unsigned_abs()
                }
                Trigger::Every(_) => false,
            };
            if due && !half {
                self.told.update(slot, |told| *told = Some(now))?;
                Self::tell(group, time, now, out);
            }
            self.note(group, time)?;
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        let due = self.deadline().is_some_and(|d| d <= watermark);
        self.watermark = self.watermark.max(watermark);
        let Trigger::Every(n) = self.trigger else { return Ok(self.forget(watermark)?) };
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
        // After it was told once more.
        Ok(self.forget(watermark)?)
    }

    fn tables(&self) -> Vec<&dyn Table> {
        vec![&self.sums, &self.told, &self.latest]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.sums, &mut self.told, &mut self.latest]
    }
}
