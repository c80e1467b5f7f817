//! Closing windows: when the watermark crosses a window's line, its panes are joined and summed, once.

use std::collections::{BTreeMap, BTreeSet};

use platform::Micros;
use summaries::Lanes;

use super::output::{ClosedWindow, closed_record, decode};
use super::{OperatorError, WindowOperator};
use crate::event::Row;
use crate::state::StateError;
use crate::window::{Window, micros};

impl WindowOperator {
    /// Whether a watermark has passed the window's last instant and the allowed lateness.
    pub(super) fn due(&self, window: Window, watermark: Option<Micros>) -> bool {
        let line = window.last().0.saturating_add(micros(self.settings.allowed_lateness));
        watermark.is_some_and(|w| w.0 >= line)
    }

    /// Closes the windows whose line lies between the last watermark and this one. All that may fail comes first.
    pub(super) fn close_due(&mut self) -> Result<(), OperatorError> {
        let current = self.watermarks.current();
        if current == self.passed {
            return Ok(());
        }
        let crossed = |w: &Window| self.due(*w, current) && !self.due(*w, self.passed);
        let windows: BTreeSet<Window> =
            self.panes.iter().flat_map(|p| self.assigner.assign(p.start)).filter(crossed).collect();
        let mut closed = Vec::new();
        for window in windows {
            let value = ClosedWindow { window, lanes: self.sum(window)? }.encode()?;
            closed.push((closed_record(window), value));
        }
        let mut spent = Vec::new();
        for pane in &self.panes {
            if self.assigner.assign(pane.start).into_iter().all(|w| self.due(w, current)) {
                spent.push((*pane, self.state.scan(*pane)?));
            }
        }
        for (name, value) in closed {
            self.state.set_record(&name, value);
        }
        for (pane, rows) in spent {
            for (key, _) in rows {
                self.state.remove(pane, &key);
            }
            self.panes.remove(&pane);
        }
        self.passed = current;
        Ok(())
    }

    /// The window's sum, with one row a patient.
    fn sum(&self, window: Window) -> Result<Lanes, OperatorError> {
        let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        for pane in self.assigner.panes(window).into_iter().filter(|p| self.panes.contains(p)) {
            for (key, bytes) in self.state.scan(pane)? {
                let row: Row = decode(&bytes, "row")?;
                if rows.get(&key).is_none_or(|old| self.settings.participation.prefers(&row, old)) {
                    rows.insert(key, row);
                }
            }
        }
        let batch = Row::batch(rows.into_values()).ok_or(StateError::Damaged("row"))?;
        let mut lanes = Lanes::zeros(self.statistic.layout().lanes);
        self.statistic.accumulate(&batch, &mut lanes)?;
        Ok(lanes)
    }
}
