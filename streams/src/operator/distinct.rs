//! How many patients a sliding window has, exactly, by group.
//!
//! For each patient and group a word of bits says in which panes there was a row. A window counts a patient when the first
//! of its panes gets one; so a row costs a look at one word, and a closing window a look at its count. What was counted since the last
//! checkpoint lies in rings, a number a window, and is brought into the state when one is taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use platform::store::merge;

use super::windowed::Mark;
use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::backend::StateError;
use crate::keyed::{Keyed, Table, Value};
use crate::keys::{SlotKey, Spread as Hashed, key_group};
use crate::out::{Closed, Emission, Out, Why};
use crate::window::{Sums, TIME_RANGE, Windows};

/// The most panes of a window: as many again may be seen ahead.
pub const MOST_PANES: i64 = 32;

/// In which panes a patient has a row: bit `i` is pane `base + i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    base: i64,
    bits: u64,
}

impl Seen {
    /// From pane `floor` on; earlier ones are forgotten.
    fn from(self, floor: i64) -> Seen {
        let bits = match floor - self.base {
            0 => self.bits,
            n @ 1..64 => self.bits >> n,
            n @ -63..0 => self.bits << -n,
            _ => 0,
        };
        Seen { base: floor, bits }
    }
}

impl Value for Seen {
    const KIND: &'static str = "panes-seen";

    fn write(&self) -> Vec<u8> {
        merge::sums(&[self.base, self.bits as i64])
    }

    fn read(bytes: &[u8]) -> Option<Seen> {
        match merge::read_sums(bytes)?.as_slice() {
            [base, bits] => Some(Seen { base: *base, bits: *bits as u64 }),
            _ => None,
        }
    }
}

/// How many rows a patient has in a pane beside the first, where rows may be taken back.
struct Again {
    /// By pane, group and patient.
    rows: Keyed<Sums>,
    panes: BTreeMap<i64, Vec<SlotKey>>,
}

impl Again {
    fn more(&mut self, slot: SlotKey) -> Result<(), StateError> {
        let new = self.rows.update(slot, |n| {
            let new = n.is_none();
            n.get_or_insert_default().join(&Sums::of(1, 0));
            new
        })?;
        if new {
            self.panes.entry(slot.window).or_default().push(slot);
        }
        Ok(())
    }

    /// One row less; `false` where the patient has no row there beside the first.
    fn less(&mut self, slot: SlotKey) -> Result<bool, StateError> {
        self.rows.update(slot, |n| match n {
            Some(sums) => {
                sums.join(&Sums::of(-1, 0));
                *n = Some(*sums).filter(|sums| sums.count > 0);
                true
            }
            None => false,
        })
    }

    fn passed(&mut self, floor: i64) -> Result<(), StateError> {
        while let Some((pane, _)) = self.panes.first_key_value().filter(|(pane, _)| **pane < floor) {
            let pane = *pane;
            for slot in self.panes.remove(&pane).unwrap_or_default() {
                self.rows.take(slot)?;
            }
        }
        Ok(())
    }
}

/// Exact distinct patients by group, over sliding windows.
pub struct Distinct {
    windows: Windows,
    /// By group and patient.
    seen: Keyed<Seen>,
    /// By window (its last pane) and group, one a key group, so that shards can be cut anew.
    counts: Keyed<Sums>,
    pending: Counts,
    /// Rows too far ahead of the oldest open window for its word of bits, by pane.
    ahead: Keyed<Mark>,
    again: Option<Again>,
    open: BTreeMap<i64, BTreeMap<u32, Vec<u16>>>,
    waiting: BTreeMap<i64, Vec<SlotKey>>,
    watermark: i64,
    /// Where the search for words that are over goes on.
    swept: i64,
}

/// The numbers of a ring: more than there are windows that a row may be counted in.
const RING: usize = 128;

/// After so many rings they are brought into the state, so that many groups need no more memory.
const MOST_RINGS: usize = 1 << 14;

/// How many patients more or fewer each window has than the state says, by group and key group; a window stands at its last pane modulo
/// [`RING`].
type Counts = HashMap<(u32, u16), Box<[i32; RING]>, Hashed>;

fn place(window: i64) -> usize {
    window.rem_euclid(RING as i64) as usize
}

/// A count's slot carries its key group in place of a patient.
fn counted(window: i64, group: u32, of: u16) -> SlotKey {
    SlotKey { window, group, key: crate::keys::marked(of) }
}

impl Distinct {
    /// Distinct patients over `windows` of at most [`MOST_PANES`] panes.
    ///
    /// # Errors
    /// More panes, or the state failed.
    pub fn open(windows: Windows, place: &Place) -> Result<Distinct, OperatorError> {
        if windows.panes() > MOST_PANES {
            let panes = windows.panes();
            let message = format!(
                "an exact count of patients slides over at most {MOST_PANES} steps, not {panes}; take a longer step, or a sketch"
            );
            return Err(OperatorError::Settings(message));
        }
        let seen = Keyed::open(place.table, "seen", place.groups.clone(), place.backend.clone(), place.most)?;
        let counts = Keyed::open(place.table + 1, "counts", place.groups.clone(), place.backend.clone(), place.most)?;
        let ahead = Keyed::open(place.table + 2, "ahead", place.groups.clone(), place.backend.clone(), place.most)?;
        let mut open = BTreeMap::<i64, BTreeMap<u32, Vec<u16>>>::new();
        counts.each(&mut |k, _: &Sums| {
            open.entry(k.window).or_default().entry(k.group).or_default().push(k.key_group());
            true
        })?;
        open.values_mut().flat_map(BTreeMap::values_mut).for_each(|g| g.sort_unstable());
        let mut waiting = BTreeMap::<i64, Vec<SlotKey>>::new();
        ahead.each(&mut |k, _: &Mark| {
            waiting.entry(k.window).or_default().push(k);
            true
        })?;
        let (watermark, swept) = (place.watermark, i64::MIN);
        let pending = Counts::default();
        Ok(Distinct { windows, seen, counts, pending, ahead, again: None, open, waiting, watermark, swept })
    }

    /// The same, where rows may be taken back: it keeps how many rows of a patient are in a pane, which takes a look more for each
    /// row beside the first.
    ///
    /// # Errors
    /// The state failed.
    pub fn revised(mut self, place: &Place) -> Result<Distinct, OperatorError> {
        let rows = Keyed::open(place.table + 3, "again", place.groups.clone(), place.backend.clone(), place.most)?;
        let mut panes = BTreeMap::<i64, Vec<SlotKey>>::new();
        rows.each(&mut |k, _: &Sums| {
            panes.entry(k.window).or_default().push(k);
            true
        })?;
        self.again = Some(Again { rows, panes });
        Ok(self)
    }

    /// The first pane that an open window may have.
    fn floor(&self) -> i64 {
        self.windows.closed(self.watermark, 0) + 2 - self.windows.panes()
    }

    /// Takes one row of a patient in a pane that an open window has.
    fn take(&mut self, floor: i64, (group, key): (u32, u128), pane: i64) -> Result<(), StateError> {
        let panes = self.windows.panes();
        let place = pane - floor;
        if place >= 64 {
            let slot = SlotKey { window: pane, group, key };
            let new = self.ahead.update(slot, |mark| mark.replace(Mark).is_none())?;
            match (new, &mut self.again) {
                (true, _) => self.waiting.entry(pane).or_default().push(slot),
                (false, Some(again)) => again.more(slot)?,
                (false, None) => {}
            }
            return Ok(());
        }
        let new = self.seen.update(SlotKey { window: 0, group, key }, |seen| {
            let mut now = seen.unwrap_or(Seen { base: floor, bits: 0 }).from(floor);
            let before = now.bits;
            now.bits |= 1 << place;
            *seen = Some(now);
            // The windows that have the pane and had the patient in none of their panes.
            (now.bits != before).then(|| reach(1 << place, panes) & !reach(before, panes))
        })?;
        match (new, &mut self.again) {
            (Some(new), _) => self.count(floor, (group, key), new, 1),
            (None, Some(again)) => again.more(SlotKey { window: pane, group, key })?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes one row of a patient out of a pane that an open window has; `false` where it is not known to be there.
    fn take_back(&mut self, floor: i64, (group, key): (u32, u128), pane: i64) -> Result<bool, StateError> {
        let panes = self.windows.panes();
        let Some(again) = &mut self.again else { return Ok(false) };
        let slot = SlotKey { window: pane, group, key };
        if again.less(slot)? {
            return Ok(true);
        }
        let place = pane - floor;
        if place >= 64 {
            return Ok(self.ahead.take(slot)?.is_some());
        }
        let gone = self.seen.update(SlotKey { window: 0, group, key }, |seen| {
            let mut now = (*seen)?.from(floor);
            let before = now.bits;
            now.bits &= !(1 << place);
            if now.bits == before {
                return None;
            }
            *seen = Some(now).filter(|now| now.bits != 0);
            // The windows that had the patient by this pane alone.
            Some(reach(before, panes) & !reach(now.bits, panes))
        })?;
        let Some(gone) = gone else { return Ok(false) };
        self.count(floor, (group, key), gone, -1);
        Ok(true)
    }

    /// Counts a patient `by` more in each of these windows, counted from the floor by their last pane. The first panes belong to closed ones
    /// too, which are not counted any more.
    fn count(&mut self, floor: i64, (group, key): (u32, u128), windows: u128, by: i32) {
        let mut windows = windows & (u128::MAX << (self.windows.panes() - 1));
        if windows == 0 {
            return;
        }
        let ring = self.pending.entry((group, key_group(key))).or_insert_with(|| Box::new([0; RING]));
        while windows != 0 {
            let from = windows.trailing_zeros();
            let until = from + (windows >> from).trailing_ones();
            for window in from..until {
                if let Some(n) = ring.get_mut(place(floor + i64::from(window))) {
                    *n += by;
                }
            }
            windows = windows.checked_shr(until).map_or(0, |rest| rest << until);
        }
    }

    /// Brings what was counted into the state.
    fn bring(&mut self) -> Result<(), StateError> {
        let first = self.floor() + self.windows.panes() - 1;
        for ((group, of), ring) in self.pending.drain() {
            for window in first..first + RING as i64 {
                let n = ring.get(place(window)).copied().unwrap_or_default();
                if n == 0 {
                    continue;
                }
                self.counts.add(counted(window, group, of), &Sums::of(i64::from(n), 0))?;
                let groups = self.open.entry(window).or_default().entry(group).or_default();
                if let Err(place) = groups.binary_search(&of) {
                    groups.insert(place, of);
                }
            }
        }
        Ok(())
    }

    /// The counts of a window that closes, by group: the state has them no more.
    fn closing(&mut self, window: i64) -> Result<BTreeMap<u32, i64>, StateError> {
        let mut out = BTreeMap::<u32, i64>::new();
        for (group, of) in self.open.remove(&window).unwrap_or_default() {
            for of in of {
                *out.entry(group).or_default() += self.counts.take(counted(window, group, of))?.map_or(0, |s| s.count);
            }
        }
        for ((group, _), ring) in &mut self.pending {
            if let Some(n) = ring.get_mut(place(window)).map(std::mem::take).filter(|n| *n != 0) {
                *out.entry(*group).or_default() += i64::from(n);
            }
        }
        out.retain(|_, n| *n != 0);
        Ok(out)
    }

    /// Forgets the words of patients who have no row in any pane that an open window may have.
    fn sweep(&mut self) -> Result<(), StateError> {
        let floor = self.floor();
        let mut over = Vec::new();
        self.seen.each(&mut |k, seen| {
            if seen.from(floor).bits == 0 {
                over.push(k);
            }
            true
        })?;
        for slot in over {
            self.seen.take(slot)?;
        }
        self.swept = floor;
        Ok(())
    }
}

/// The windows, by their last pane, that have any of these panes: each bit and the `panes − 1` above it.
fn reach(bits: u64, panes: i64) -> u128 {
    let (mut out, mut have) = (u128::from(bits), 1);
    while have < panes {
        let step = have.min(panes - have);
        out |= out << step;
        have += step;
    }
    out
}

impl Operator for Distinct {
    fn spread(&self) -> Spread {
        Spread::ByPatient
    }

    fn deadline(&self) -> Option<i64> {
        Some(self.windows.start(self.windows.closed(self.watermark, 0) + 2) - 1)
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        let floor = self.floor();
        if self.pending.len() > MOST_RINGS {
            self.bring()?;
        }
        let (mut pane, mut from, mut until) = (0, 0, 0);
        for Row { place: row, watermark: met, time, key, group, sign, .. } in rows.each() {
            if time < from || time >= until {
                pane = self.windows.pane(time.clamp(-TIME_RANGE, TIME_RANGE));
                (from, until) = (self.windows.start(pane), self.windows.start(pane + 1));
            }
            if pane < floor {
                out.aside(rows.batch, row, Why::Late, met);
            } else if sign > 0 {
                self.take(floor, (group, key), pane)?;
            } else if !self.take_back(floor, (group, key), pane)? {
                out.aside(rows.batch, row, Why::CannotForget, met);
            }
        }
        Ok(())
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        while self.watermark < watermark {
            // At once, or to where the first row that waits ahead has a place.
            let place = |pane: i64| self.windows.start(pane - 64 + self.windows.panes()) - 1;
            let step = self.waiting.keys().next().map_or(watermark, |pane| place(*pane).max(self.watermark + 1));
            let first = self.windows.closed(self.watermark, 0) + 1;
            self.watermark = step.min(watermark);
            let closed = self.windows.closed(self.watermark, 0);
            let mut closing: BTreeSet<i64> = self.open.range(..=closed).map(|(window, _)| *window).collect();
            closing.extend((first..=closed).take(RING));
            for last in closing {
                for (group, count) in self.closing(last)? {
                    let (operator, window) = (0, self.windows.ending(last));
                    let (emission, more) = (Emission::First, Vec::new());
                    out.closed.push(Closed { operator, window, group, key: 0, emission, count, sum: 0, more });
                }
            }
            let floor = self.floor();
            while let Some((pane, _)) = self.waiting.first_key_value().filter(|(p, _)| **p - floor < 64) {
                let pane = *pane;
                for slot in self.waiting.remove(&pane).unwrap_or_default() {
                    if self.ahead.take(slot)?.is_some() && pane >= floor {
                        self.take(floor, (slot.group, slot.key), pane)?;
                    }
                }
            }
            if let Some(again) = &mut self.again {
                again.passed(floor)?;
            }
            if floor.saturating_sub(self.swept) >= self.windows.panes() {
                self.sweep()?;
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), StateError> {
        self.bring()
    }

    fn tables(&self) -> Vec<&dyn Table> {
        let again = self.again.as_ref().map(|again| &again.rows as &dyn Table);
        [&self.seen as &dyn Table, &self.counts, &self.ahead].into_iter().chain(again).collect()
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        let again = self.again.as_mut().map(|again| &mut again.rows as &mut dyn Table);
        [&mut self.seen as &mut dyn Table, &mut self.counts, &mut self.ahead].into_iter().chain(again).collect()
    }
}
