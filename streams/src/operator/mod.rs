//! The window operator: one row a patient and window, closed once.
//!
//! A row is kept in its pane. When the watermark passes a window's last instant plus the allowed lateness, the window's
//! panes are joined, one row a patient, and summed by the statistic. Then the window is closed: what comes later goes to
//! the side output, and the sum is never revised.

mod closing;
mod output;

pub use output::{ClosedWindow, Outcome, Pending, SideEvent, Why};

use std::collections::BTreeSet;
use std::time::Duration;

use platform::{Micros, Transaction};
use summaries::{AccumulateError, Statistic};

use self::output::{closed_record, decode, encode, side_record};
use crate::event::{Event, Row};
use crate::state::{StateBackend, StateError};
use crate::watermark::Watermarks;
use crate::window::{TIME_RANGE, Window, WindowAssigner, micros};

const WATERMARK: &[u8] = b"watermark";

/// Which of a patient's rows in a window counts. Either way it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participation {
    /// The row with the latest event time.
    LastValue,
    /// The row with the earliest event time.
    FirstEvent,
}

impl Participation {
    fn prefers(self, new: &Row, old: &Row) -> bool {
        match self {
            Participation::LastValue => new > old,
            Participation::FirstEvent => new < old,
        }
    }
}

/// How an operator treats its events.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which of a patient's rows counts.
    pub participation: Participation,
    /// How long after its end, by the watermark, a window still takes events in.
    pub allowed_lateness: Duration,
    /// How far ahead of processing time an event may claim to be. One date of 9999 must not close every window.
    pub ahead: Duration,
}

/// What an operator could not do. The text names no patient.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// State failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The statistic refused a window.
    #[error(transparent)]
    Statistic(#[from] AccumulateError),
}

/// Events in, closed windows out. See the module and the crate.
pub struct WindowOperator {
    statistic: Box<dyn Statistic>,
    assigner: Box<dyn WindowAssigner>,
    settings: Settings,
    watermarks: Watermarks,
    state: Box<dyn StateBackend>,
    panes: BTreeSet<Window>,
    /// The watermark up to which windows are closed.
    passed: Option<Micros>,
}

impl WindowOperator {
    /// Takes up where the state's last checkpoint left off. The statistic, windows and settings must be those that
    /// wrote the state: a study with others takes another operator name.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn open(
        statistic: Box<dyn Statistic>,
        assigner: Box<dyn WindowAssigner>,
        settings: Settings,
        mut watermarks: Watermarks,
        state: Box<dyn StateBackend>,
    ) -> Result<WindowOperator, OperatorError> {
        if let Some(bytes) = state.record(WATERMARK)? {
            watermarks.restore(decode(&bytes, "watermark")?);
        }
        let (panes, passed) = (state.windows()?, watermarks.current());
        Ok(WindowOperator { statistic, assigner, settings, watermarks, state, panes, passed })
    }

    /// Takes in an event at `now` of processing time. A source's events come in the order of their positions; one at or
    /// before the last position changes nothing. After an error, bring the event again.
    ///
    /// # Errors
    /// The state failed, or the statistic refused a window that closed.
    pub fn process(&mut self, event: &Event, now: Micros) -> Result<Outcome, OperatorError> {
        let source = &event.channel().source;
        if self.state.position(source)?.is_some_and(|p| event.position() <= p) {
            self.advance(now)?;
            return Ok(Outcome::Replayed);
        }
        let outcome = match self.refusal(event, now) {
            None => self.keep(event)?,
            Some(why) => {
                self.state.set_record(&side_record(event), encode(&(event.record(), &why), "side output")?);
                Outcome::Side(why)
            }
        };
        self.state.advance(source, event.position());
        if outcome != Outcome::Side(Why::Implausible) {
            self.watermarks.observe(event.channel(), event.time(), now);
        }
        self.advance(now)?;
        Ok(outcome)
    }

    /// Notes processing time, so that idle channels are found, and closes the windows that are due.
    ///
    /// # Errors
    /// As for [`WindowOperator::process`].
    pub fn advance(&mut self, now: Micros) -> Result<(), OperatorError> {
        self.watermarks.tick(now);
        self.close_due()
    }

    /// The sources have ended: closes every window.
    ///
    /// # Errors
    /// As for [`WindowOperator::process`].
    pub fn finish(&mut self) -> Result<(), OperatorError> {
        self.watermarks.finish();
        self.close_due()
    }

    /// Commits positions, rows, watermark and output in one synced transaction, and gives the output not yet taken.
    ///
    /// # Errors
    /// As for [`WindowOperator::process`]; nothing was committed unless reading the output back failed.
    pub fn checkpoint(&mut self) -> Result<Pending, OperatorError> {
        self.close_due()?;
        let snapshot = encode(&self.watermarks.snapshot(), "watermark")?;
        self.state.set_record(WATERMARK, snapshot);
        self.state.commit()?;
        Ok(Pending::read(&*self.state)?)
    }

    /// Adds to the caller's transaction that a closed window was taken, so that taking and paying commit together.
    pub fn take_closed(&self, closed: &ClosedWindow, transaction: &mut Transaction) {
        self.state.discard(&closed_record(closed.window), transaction);
    }

    /// Adds to the caller's transaction that an event of the side output was taken.
    pub fn take_side(&self, side: &SideEvent, transaction: &mut Transaction) {
        self.state.discard(&side_record(&side.event), transaction);
    }

    /// The last position taken in from a source, committed or not. After opening, it is where to replay from.
    ///
    /// # Errors
    /// The state failed.
    pub fn position(&self, source: &str) -> Result<Option<u64>, OperatorError> {
        Ok(self.state.position(source)?)
    }

    /// The watermark.
    pub fn watermark(&self) -> Option<Micros> {
        self.watermarks.current()
    }

    fn refusal(&self, event: &Event, now: Micros) -> Option<Why> {
        let time = event.time();
        let latest = now.0.saturating_add(micros(self.settings.ahead)).min(TIME_RANGE);
        if !self.watermarks.knows(event.channel()) {
            return Some(Why::UnknownChannel);
        }
        if !(-TIME_RANGE..=latest).contains(&time.0) {
            return Some(Why::Implausible);
        }
        if let Some(place) = event.row().misfit(&self.statistic.inputs()) {
            return Some(Why::Misfit { place });
        }
        let passed = self.passed?;
        let late = self.assigner.assign(time).into_iter().all(|w| self.due(w, Some(passed)));
        late.then_some(Why::Late { watermark: passed.0 })
    }

    fn keep(&mut self, event: &Event) -> Result<Outcome, OperatorError> {
        let pane = self.assigner.pane(event.time());
        let old: Option<Row> = match self.state.get(pane, event.key())? {
            Some(bytes) => Some(decode(&bytes, "row")?),
            None => None,
        };
        if old.is_none_or(|old| self.settings.participation.prefers(event.row(), &old)) {
            self.state.put(pane, event.key(), encode(event.row(), "row")?);
            self.panes.insert(pane);
        }
        let windows = self.assigner.assign(event.time()).into_iter();
        Ok(Outcome::Kept { missed: windows.filter(|w| self.due(*w, self.passed)).collect() })
    }
}
