//! The common clinical schema: what both an adapter and a study may speak of.
//!
//! OMOP-shaped and event-sourced: every row carries an envelope (who, which record, which revision, when it
//! happened, when it became known), and nine tables add their own columns. The same page owns the code systems
//! and the unit rules, so that a study's mistake is found before it travels.
//!
//! * [`tables`]: the nine tables and their columns.
//! * [`version`]: the schema's version, its hash, and the range that a study asks for.
//! * [`codes`]: code systems by alias and URI.
//! * [`units`]: from a hospital's unit text to a standard unit, per analyte.
//! * [`record`]: one row on its way from an adapter.
//! * [`linkage`]: one tag for one person at every hospital of a federation.
//! * [`batch`]: rows to Arrow.

pub mod batch;
pub mod codes;
pub mod linkage;
pub mod record;
pub mod tables;
pub mod units;
pub mod version;

pub use batch::{BatchBuilder, Pattern, Row};
pub use record::{Cell, Key, Record};
pub use tables::{Column, IMPLAUSIBLE, Kind, Table};
