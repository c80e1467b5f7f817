//! From what an EHR exports to the rows of the common schema.
//!
//! An [`Adapter`] reads one extract, piece by piece and in bounded memory, and hands a [`Sink`] two things: records
//! of the common schema, and quarantined items with the file, the line and the reason. Bad input never stops the
//! good input beside it, and no message ever carries a value of a patient.
//!
//! ```text
//! file (.gz or plain) ──reader()──► Extract ──Adapter::read──► Record      ──► Sink
//!                                                         └──► Quarantined ──►
//! ```
//!
//! * [`sink`]: the words between an adapter and the site.
//! * `lines`: bounded lines out of any bytes. `open`: which format is read by what.
//! * `time`: dates of any precision, zones, and the hours that a clock skips or repeats.
//! * `envelope`, `measurement`: what rows of every format share. `alike`: rows that are like those before them, straight into columns;
//!   `decimal`: their numbers.
//! * [`profile`]: what is in a file that nobody has described yet.
//! * [`pgcopy`]: chunks of a PostgreSQL table, as a site pulls them.
//! * `tabular`: delimited text, Parquet and such chunks, described by a TOML mapping, of which some are shipped. `fhir`: FHIR R4, lines
//!   and Bundles. `hl7`: HL7 v2 files and batches.
//!   `ccda`: C-CDA and its relatives, one document a file.
//! * `visits`: the class of a visit by its codes.
//! * [`people`]: lists of persons, such as those who objected.
//! * [`terminology`]: mapping files that the site loads, from its codes to standard ones.

mod alike;
mod ccda;
mod decimal;
mod envelope;
mod fhir;
mod hl7;
mod lines;
mod measurement;
mod open;
pub mod people;
pub mod pgcopy;
pub mod profile;
pub mod sink;
mod systems;
mod tabular;
pub mod terminology;
mod time;
mod visits;

pub use hl7::ack;
pub use open::{FORMATS, Settings, open, open_linking, open_with, reader};
pub use sink::{Adapter, AdapterError, Context, Extract, Neighbour, Place, Quarantined, Read, Reason, Sink};
pub use tabular::{SHIPPED, fits_glob, shipped};
