//! Event time, for live studies.
//!
//! Events come out of order, twice, and after a restart. A window still closes once, with the sum that a batch over the
//! same events would give.
//!
//! ```text
//!  source ─► Event ─► WindowOperator ─┬─ row per (pane, patient) ─► StateBackend ─┐
//!  (position)             │           ├─ late, implausible: side output ──────────┤ checkpoint: one synced
//!                         ▼           ├─ source positions, watermark ─────────────┤ transaction
//!                     Watermarks ─────┴─ closed: PatientBatch ─Statistic─► Lanes ─┘
//!                                              │
//!                                              └─► Pending ─► the caller's own transaction (charge and release)
//! ```
//!
//! Three things make it exactly-once. A patient's row in a pane is a maximum (or minimum) over an order of rows, so
//! neither order nor copies matter. A window closes when the watermark crosses its line, and the watermark never goes
//! back. Positions, rows, watermark and output commit together or not at all.
//!
//! What the caller still owes to privacy: every window is a charge of its own, and windows are released by the calendar.
//! A window in which nobody was seen never appears here; it is released as zeros, not skipped.

pub mod event;
pub mod operator;
pub mod state;
pub mod watermark;
pub mod window;

#[cfg(test)]
mod oracle;

pub use event::{Event, NotOnePatient};
pub use operator::{
    ClosedWindow, OperatorError, Outcome, Participation, Pending, Settings, SideEvent, Why, WindowOperator,
};
pub use state::{StateBackend, StateError, StoreState};
pub use watermark::{Channel, Watermarks};
pub use window::{Sliding, Tumbling, Window, WindowAssigner};
