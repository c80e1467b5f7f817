//! Tumbling and sliding windows: rows are summed in panes, and a window tells the join of its panes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Combiner, Operator, OperatorError, Partial, Place, Row, Rows, Spread};
use crate::aggregate::Aggregate;
use crate::backend::StateError;
use crate::batch::{EventBatch, Key};
use crate::keyed::{Keyed, Table, Value};
use crate::keys::{SlotKey, Spread as Hashed};
use crate::out::{Closed, Emission, Out, Why};
use crate::window::{TIME_RANGE, Windows};

/// What a window is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Each group, such as a code or a ward.
    Group,
    /// Each patient.
    Patient,
}

/// A mark without a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Mark;

impl Value for Mark {
    const KIND: &'static str = "mark";

    fn write(&self) -> Vec<u8> {
        Vec::new()
    }

    fn read(bytes: &[u8]) -> Option<Mark> {
        bytes.is_empty().then_some(Mark)
    }
}

/// Sums by pane, and group or patient.
type Sums<A> = HashMap<SlotKey, <A as Aggregate>::Kept, Hashed>;

/// What sums rows in panes, without state.
struct Stage<A> {
    aggregate: A,
    windows: Windows,
    lateness: i64,
    by: By,
}

/// An aggregate over windows.
pub struct Windowed<A: Aggregate> {
    stage: Arc<Stage<A>>,
    windows: Windows,
    lateness: i64,
    panes: Keyed<A::Kept>,
    /// Windows whose first telling late rows have changed, by their last pane.
    changed: Keyed<Mark>,
    /// Who has a pane, so that closing finds them.
    present: BTreeMap<i64, BTreeSet<(u32, Key)>>,
    marked: BTreeMap<i64, BTreeSet<(u32, Key)>>,
    /// How many groups of a window are told.
    most: Option<usize>,
    watermark: i64,
}

impl<A: Aggregate> Windowed<A> {
    /// An aggregate over `windows`, by group or patient. A window is told when the watermark passes its end, and once more,
    /// where late rows changed it, `lateness` microseconds after.
    ///
    /// # Errors
    /// The state failed.
    pub fn open(
        aggregate: A,
        windows: Windows,
        lateness: i64,
        by: By,
        place: &Place,
    ) -> Result<Windowed<A>, OperatorError> {
        let panes = Keyed::open(place.table, "panes", place.groups.clone(), place.backend.clone(), place.most)?;
        let changed = Keyed::open(place.table + 1, "changed", place.groups.clone(), place.backend.clone(), place.most)?;
        let (mut present, mut marked) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
        panes.each(&mut |k, _: &A::Kept| {
            present.entry(k.window).or_default().insert((k.group, k.key));
            true
        })?;
        changed.each(&mut |k, _| {
            marked.entry(k.window).or_default().insert((k.group, k.key));
            true
        })?;
        let lateness = lateness.clamp(0, TIME_RANGE);
        let stage = Arc::new(Stage { aggregate, windows, lateness, by });
        Ok(Windowed {
            stage,
            windows,
            lateness,
            panes,
            changed,
            present,
            marked,
            most: None,
            watermark: place.watermark,
        })
    }

    /// The same, which tells of each window the `most` groups with the largest counts.
    ///
    /// # Errors
    /// It is by patient, or late rows are taken in: whose turn it would be then is not known.
    pub fn with_most(mut self, most: usize) -> Result<Windowed<A>, OperatorError> {
        if self.lateness > 0 || self.stage.by == By::Patient || most == 0 {
            let message = "the largest groups of a window are told once, at least one of them, and by group";
            return Err(OperatorError::Settings(message.to_owned()));
        }
        self.most = Some(most);
        Ok(self)
    }

    /// Joins sums to what is kept, and marks the windows that were told without them.
    fn add(&mut self, sums: &Sums<A>) -> Result<(), StateError> {
        let windows = self.windows;
        let (told, closed) = (windows.closed(self.watermark, 0), windows.closed(self.watermark, self.lateness));
        for (slot, kept) in sums {
            self.panes.add(*slot, kept)?;
            self.present.entry(slot.window).or_default().insert((slot.group, slot.key));
            for last in (closed + 1).max(slot.window)..=told.min(slot.window + windows.panes() - 1) {
                let whom = (slot.group, slot.key);
                if self.marked.entry(last).or_default().insert(whom) {
                    self.changed.update(SlotKey { window: last, ..*slot }, |mark| *mark = Some(Mark))?;
                }
            }
        }
        Ok(())
    }

    /// Tells a window of one group or patient.
    fn tell(
        &mut self,
        last: i64,
        (group, key): (u32, Key),
        emission: Emission,
        out: &mut Out,
    ) -> Result<(), StateError> {
        let mut whole = A::Kept::default();
        for pane in last + 1 - self.windows.panes()..=last {
            if let Some(kept) = self.panes.get(SlotKey { window: pane, group, key })? {
                whole.join(kept);
            }
        }
        let told = self.stage.aggregate.tell(&whole);
        // All its rows were taken back before anybody heard of it.
        if told.count == 0 && matches!(emission, Emission::First) {
            return Ok(());
        }
        let window = self.windows.ending(last);
        out.closed.push(Closed {
            operator: 0,
            window,
            group,
            key,
            emission,
            count: told.count,
            sum: told.sum,
            more: told.more,
        });
        Ok(())
    }

    /// Tells the windows whose last pane is in `from..=to`.
    fn close(&mut self, from: i64, to: i64, out: &mut Out) -> Result<(), StateError> {
        let mut last = from;
        while last <= to {
            // A window without rows is not told; a gap in time is passed at once.
            let Some(pane) = self.present.range(last + 1 - self.windows.panes()..).next().map(|(p, _)| *p) else {
                break;
            };
            last = last.max(pane);
            if last > to {
                break;
            }
            let whom: BTreeSet<_> = self
                .present
                .range(last + 1 - self.windows.panes()..=last)
                .flat_map(|(_, w)| w.iter().copied())
                .collect();
            for whom in whom {
                self.tell(last, whom, Emission::First, out)?;
            }
            last += 1;
        }
        Ok(())
    }
}

impl<A: Aggregate> Stage<A> {
    fn whom(&self, batch: &EventBatch, row: usize) -> (u32, Key) {
        match self.by {
            By::Group => (batch.group.get(row).copied().unwrap_or_default(), 0),
            By::Patient => (0, batch.key.get(row).copied().unwrap_or_default()),
        }
    }

    /// What rows come to in each pane.
    fn sums(&self, rows: Rows<'_>, out: &mut Out) -> Sums<A> {
        let (windows, lateness) = (self.windows, self.lateness);
        let mut sums: Sums<A> = HashMap::default();
        let (mut pane, mut from, mut until, mut last) = (0, 0, 0, 0);
        for Row { place: row, watermark, time, .. } in rows.each() {
            if time < from || time >= until {
                pane = windows.pane(time.clamp(-TIME_RANGE, TIME_RANGE));
                (from, until) = (windows.start(pane), windows.start(pane + 1));
                last = from + windows.size() - 1 + lateness;
            }
            if last <= watermark {
                out.aside(rows.batch, row, Why::Late, watermark);
                continue;
            }
            let (group, key) = self.whom(rows.batch, row);
            let kept = sums.entry(SlotKey { window: pane, group, key }).or_default();
            if !self.aggregate.row(rows.batch, row, kept) {
                out.aside(rows.batch, row, Why::CannotForget, watermark);
            }
        }
        sums
    }
}

impl<A: Aggregate> Combiner for Stage<A> {
    fn deadline(&self, watermark: i64) -> i64 {
        let end = |last: i64| self.windows.start(last + 1) - 1;
        let first = end(self.windows.closed(watermark, 0) + 1);
        let last = end(self.windows.closed(watermark, self.lateness) + 1) + self.lateness;
        first.min(last)
    }

    fn combine(&self, rows: Rows<'_>, out: &mut Out) -> Partial {
        Box::new(self.sums(rows, out))
    }
}

impl<A: Aggregate> Operator for Windowed<A> {
    fn spread(&self) -> Spread {
        match self.stage.by {
            By::Group => Spread::ByGroup,
            By::Patient => Spread::ByPatient,
        }
    }

    fn deadline(&self) -> Option<i64> {
        Some(self.stage.deadline(self.watermark))
    }

    fn rows(&mut self, rows: Rows<'_>, out: &mut Out) -> Result<(), OperatorError> {
        let sums = self.stage.sums(rows, out);
        Ok(self.add(&sums)?)
    }

    fn most(&self) -> Option<usize> {
        self.most
    }

    fn combiner(&self) -> Option<Arc<dyn Combiner>> {
        match self.stage.by {
            By::Group => Some(self.stage.clone()),
            By::Patient => None,
        }
    }

    fn absorb(&mut self, part: Partial) -> Result<(), OperatorError> {
        let wrong = || OperatorError::Settings("these sums are another operator's".to_owned());
        let sums = part.downcast::<Sums<A>>().map_err(|_| wrong())?;
        Ok(self.add(&sums)?)
    }

    fn passed(&mut self, watermark: i64, out: &mut Out) -> Result<(), OperatorError> {
        if watermark <= self.watermark {
            return Ok(());
        }
        let (before, windows) = (self.watermark, self.windows);
        self.watermark = watermark;
        self.close(windows.closed(before, 0).saturating_add(1), windows.closed(watermark, 0), out)?;
        let closed = windows.closed(watermark, self.lateness);
        while let Some((last, whom)) = self.marked.first_key_value().filter(|(last, _)| **last <= closed) {
            let (last, whom) = (*last, whom.clone());
            for (group, key) in whom {
                self.tell(last, (group, key), Emission::Correction, out)?;
                self.changed.take(SlotKey { window: last, group, key })?;
            }
            self.marked.remove(&last);
        }
        // A pane is needed until the last window that has it is closed for good.
        while let Some((pane, whom)) =
            self.present.first_key_value().filter(|(p, _)| **p + windows.panes() - 1 <= closed)
        {
            let pane = *pane;
            for (group, key) in whom {
                self.panes.take(SlotKey { window: pane, group: *group, key: *key })?;
            }
            self.present.remove(&pane);
        }
        Ok(())
    }

    fn tables(&self) -> Vec<&dyn Table> {
        vec![&self.panes, &self.changed]
    }

    fn tables_mut(&mut self) -> Vec<&mut dyn Table> {
        vec![&mut self.panes, &mut self.changed]
    }
}
