//! How many patients a sliding window has, exactly, by group.
//!
//! For each patient and group a word of bits says in which panes there was a row. A window counts a patient when the first
//! of its panes gets one; so a row costs a look at one word, and a closing window a look at its count.

use std::collections::{BTreeMap, HashMap};

use platform::store::merge;

use super::windowed::Mark;
use super::{Operator, OperatorError, Place, Row, Rows, Spread};
use crate::backend::StateError;
use crate::keyed::{Keyed, Table, Value};
use crate::keys::{KEY_GROUPS, SlotKey, Spread as Hashed, key_group};
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
    /// Rows too far ahead of the oldest open window for its word of bits, by pane.
    ahead: Keyed<Mark>,
    again: Option<Again>,
    open: BTreeMap<i64, BTreeMap<u32, Vec<u16>>>,
    waiting: BTreeMap<i64, Vec<SlotKey>>,
    watermark: i64,
    /// Where the search for words that are over goes on.
    swept: i64,
}

/// What a batch adds: by group and, in a list, key group, from each window on (counted from the floor) how many patients more
/// or fewer than in the one before.
type Counts = HashMap<u32, Vec<[i32; 129]>, Hashed>;

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
        Ok(Distinct { windows, seen, counts, ahead, again: None, open, waiting, watermark, swept })
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
    fn take(&mut self, group: u32, key: u128, pane: i64, counts: &mut Counts) -> Result<(), StateError> {
        let (floor, panes) = (self.floor(), self.windows.panes());
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
            (Some(new), _) => step(counts, (group, key), self.open_of(new), 1),
            (None, Some(again)) => again.more(SlotKey { window: pane, group, key })?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes one row of a patient out of a pane that an open window has; `false` where it is not known to be there.
    fn take_back(&mut self, group: u32, key: u128, pane: i64, counts: &mut Counts) -> Result<bool, StateError> {
        let (floor, panes) = (self.floor(), self.windows.panes());
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
        step(counts, (group, key), self.open_of(gone), -1);
        Ok(true)
    }

    /// Of windows, counted from the floor by their last pane, those that are open: the first panes belong to closed ones too.
    fn open_of(&self, windows: u128) -> u128 {
        windows & (u128::MAX << (self.windows.panes() - 1))
    }

    fn add(&mut self, counts: Counts) -> Result<(), StateError> {
        let floor = self.floor();
        for (group, groups) in counts {
            for (of, steps) in (0..).zip(groups) {
                let mut n = 0;
                for (window, step) in (floor..).zip(steps) {
                    n += i64::from(step);
                    if n == 0 {
                        continue;
                    }
                    self.counts.add(counted(window, group, of), &Sums::of(n, 0))?;
                    let groups = self.open.entry(window).or_default().entry(group).or_default();
                    if let Err(place) = groups.binary_search(&of) {
                        groups.insert(place, of);
                    }
                }
            }
        }
        Ok(())
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

/// Counts a patient in each of these windows `by` more.
fn step(counts: &mut Counts, (group, key): (u32, u128), mut windows: u128, by: i32) {
    if windows == 0 {
        return;
    }
    let groups = counts.entry(group).or_insert_with(|| vec![[0; 129]; usize::from(KEY_GROUPS)]);
    let Some(steps) = groups.get_mut(usize::from(key_group(key))) else { return };
    while windows != 0 {
        // A run of windows is a step up and a step down.
        let from = windows.trailing_zeros();
        let until = from + (windows >> from).trailing_ones();
        steps[from as usize] += by;
        steps[until as usize] -= by;
        windows = windows.checked_shr(until).map_or(0, |rest| rest << until);
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
        let mut counts = HashMap::default();
        let (mut pane, mut from, mut until) = (0, 0, 0);
        for Row { place: row, watermark: met, time, key, group, sign, .. } in rows.each() {
            if time < from || time >= until {
                pane = self.windows.pane(time.clamp(-TIME_RANGE, TIME_RANGE));
                (from, until) = (self.windows.start(pane), self.windows.start(pane + 1));
            }
            if pane < floor {
                out.aside(rows.batch, row, Why::Late, met);
            } else if sign > 0 {
                self.take(group, key, pane, &mut counts)?;
            } else if !self.take_back(group, key, pane, &mut counts)? {
                out.aside(rows.batch, row, Why::CannotForget, met);
            }
        }
        Ok(self.add(counts)?)
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        while self.watermark < watermark {
            // At once, or to where the first row that waits ahead has a place.
            let place = |pane: i64| self.windows.start(pane - 64 + self.windows.panes()) - 1;
            let step = self.waiting.keys().next().map_or(watermark, |pane| place(*pane).max(self.watermark + 1));
            self.watermark = step.min(watermark);
            let closed = self.windows.closed(self.watermark, 0);
            while let Some((last, groups)) = self.open.first_key_value().filter(|(last, _)| **last <= closed) {
                let (last, groups) = (*last, groups.clone());
                for (group, of) in groups {
                    let mut count = 0;
                    for of in of {
                        count += self.counts.take(counted(last, group, of))?.map_or(0, |s| s.count);
                    }
                    if count == 0 {
                        continue;
                    }
                    let window = self.windows.ending(last);
                    out.closed.push(Closed {
                        operator: 0,
                        window,
                        group,
                        key: 0,
                        emission: Emission::First,
                        count,
                        sum: 0,
                        more: Vec::new(),
                    });
                }
                self.open.remove(&last);
            }
            let floor = self.floor();
            let mut counts = HashMap::default();
            while let Some((pane, _)) = self.waiting.first_key_value().filter(|(p, _)| **p - floor < 64) {
                let pane = *pane;
                for slot in self.waiting.remove(&pane).unwrap_or_default() {
                    if self.ahead.take(slot)?.is_some() && pane >= floor {
                        self.take(slot.group, slot.key, pane, &mut counts)?;
                    }
                }
            }
            self.add(counts)?;
            if let Some(again) = &mut self.again {
                again.passed(floor)?;
            }
            if floor.saturating_sub(self.swept) >= self.windows.panes() {
                self.sweep()?;
            }
        }
        Ok(())
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
