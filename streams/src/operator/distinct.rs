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

/// Exact distinct patients by group, over sliding windows.
pub struct Distinct {
    windows: Windows,
    /// By group and patient.
    seen: Keyed<Seen>,
    /// By window (its last pane) and group, one a key group, so that shards can be cut anew.
    counts: Keyed<Sums>,
    /// Rows too far ahead of the oldest open window for its word of bits, by pane.
    ahead: Keyed<Mark>,
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
        Ok(Distinct { windows, seen, counts, ahead, open, waiting, watermark: place.watermark, swept: i64::MIN })
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
            if new {
                self.waiting.entry(pane).or_default().push(slot);
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
        if let Some(mut new) = new {
            // Of a pane below the first open window's last, only the windows that are open.
            new &= u128::MAX << (panes - 1);
            if new == 0 {
                return Ok(());
            }
            let groups = counts.entry(group).or_insert_with(|| vec![[0; 129]; usize::from(KEY_GROUPS)]);
            let Some(steps) = groups.get_mut(usize::from(key_group(key))) else { return Ok(()) };
            while new != 0 {
                // A run of windows is a step up and a step down.
                let from = new.trailing_zeros();
                let until = from + (new >> from).trailing_ones();
                steps[from as usize] += 1;
                steps[until as usize] -= 1;
                new = new.checked_shr(until).map_or(0, |rest| rest << until);
            }
        }
        Ok(())
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
            if sign < 0 {
                out.aside(rows.batch, row, Why::CannotForget, met);
            } else if pane < floor {
                out.aside(rows.batch, row, Why::Late, met);
            } else {
                self.take(group, key, pane, &mut counts)?;
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
                    self.ahead.take(slot)?;
                    if pane >= floor {
                        self.take(slot.group, slot.key, pane, &mut counts)?;
                    }
                }
            }
            self.add(counts)?;
            if floor.saturating_sub(self.swept) >= self.windows.panes() {
                self.sweep()?;
            }
        }
        Ok(())
    }

    fn tables(&self) -> Vec<&dyn Table> {
        vec![&self.seen, &self.counts, &self.ahead]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.seen, &mut self.counts, &mut self.ahead]
    }
}
