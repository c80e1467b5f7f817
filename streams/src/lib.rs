//! Event time, for what a hospital tells while it happens.
//!
//! Events come out of order, twice, late, and after a restart. A window still closes once, with the sum that a batch over
//! the same events would give.
//!
//! * [`batch`], [`source`]: events in columns, from sources that can be read again from a position.
//! * [`watermark`]: how far event time has come, by channel; [`window`]: stretches of it.
//! * [`operator`]: windows, sessions, joins; what they keep of a pane is an [`aggregate`].
//! * [`keyed`] state over a [`backend`], which is written at checkpoints alone.
//! * [`job`]: holds all of it together; [`sink`]: where answers go; [`savepoint`]: state that moves; [`metrics`].
//!
//! Why it is exactly-once: a checkpoint is one commit of positions, watermark and state, and answers are seen only after
//! it. Why the batches don't matter: a row is judged by the watermark that it met, sums are of whole numbers, and sketches
//! forget the order of rows.
//!
//! Nothing here is private. A window that leaves the hospital is a study's, with its noise and its charge; and when it is
//! told follows the calendar, since a watermark moves with a single patient's event.

pub mod aggregate;
pub mod backend;
pub mod batch;
mod history;
pub mod job;
pub mod keyed;
pub mod keys;
pub mod metrics;
pub mod operator;
pub mod out;
pub mod savepoint;
pub mod sink;
pub mod source;
pub mod watermark;
pub mod window;
