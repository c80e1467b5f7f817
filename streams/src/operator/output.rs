//! What comes out of an operator, and how it waits in the store until it is taken.

use platform::Micros;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use summaries::Lanes;

use crate::event::{Event, Record};
use crate::state::{StateBackend, StateError, window_bytes};
use crate::window::Window;

const CLOSED: &[u8] = b"closed/";
const SIDE: &[u8] = b"side/";

/// Why an event went to the side output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// All its windows were closed.
    Late {
        /// The watermark it met, in microseconds.
        watermark: i64,
    },
    /// Its time is too far ahead of processing time, or out of all range.
    Implausible,
    /// Its values are not what the statistic reads.
    Misfit {
        /// The first wrong column, from 0.
        place: usize,
    },
    /// Its source and kind were not announced.
    UnknownChannel,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken in.
    Kept {
        /// Those of its windows that were already closed and go without it.
        missed: Vec<Window>,
    },
    /// Its position had been taken in before; nothing changed.
    Replayed,
    /// It went to the side output.
    Side(Why),
}

/// A closed window and its sum. It has no `Debug`: the sum is not yet noised.
#[derive(Clone)]
pub struct ClosedWindow {
    /// The window.
    pub window: Window,
    /// The sum over its patients.
    pub lanes: Lanes,
}

/// An event of the side output.
#[derive(Clone)]
pub struct SideEvent {
    /// The event.
    pub event: Event,
    /// Why it is here.
    pub why: Why,
}

/// Committed output that nobody has taken yet.
#[derive(Clone)]
pub struct Pending {
    /// Closed windows, in order of time.
    pub closed: Vec<ClosedWindow>,
    /// The side output.
    pub side: Vec<SideEvent>,
}

impl Pending {
    /// Reads what waits.
    pub(super) fn read(state: &dyn StateBackend) -> Result<Pending, StateError> {
        let (mut closed, mut side) = (Vec::new(), Vec::new());
        for (_, bytes) in state.records(CLOSED)? {
            let (start, end, values): (i64, i64, Vec<i64>) = decode(&bytes, "closed window")?;
            let window = Window { start: Micros(start), end: Micros(end) };
            closed.push(ClosedWindow { window, lanes: Lanes::from_values(values) });
        }
        for (_, bytes) in state.records(SIDE)? {
            let (record, why): (Record, Why) = decode(&bytes, "side output")?;
            side.push(SideEvent { event: Event::from_record(record), why });
        }
        Ok(Pending { closed, side })
    }
}

impl ClosedWindow {
    /// Its bytes in the store.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StateError> {
        encode(&(self.window.start.0, self.window.end.0, self.lanes.values()), "closed window")
    }
}

pub(super) fn closed_record(window: Window) -> Vec<u8> {
    [CLOSED, &window_bytes(window)[..]].concat()
}

pub(super) fn side_record(event: &Event) -> Vec<u8> {
    [SIDE, event.channel().source.as_bytes(), &event.position().to_be_bytes()[..]].concat()
}

pub(super) fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value).map_err(|_| StateError::Damaged(what))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, StateError> {
    serde_json::from_slice(bytes).map_err(|_| StateError::Damaged(what))
}
