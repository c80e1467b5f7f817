//! The custodian of a federation's linkage key: whoever makes the key and gives it to the hospitals, and is not the coordinator.
//!
//! It is a program of its own, for a machine that need not be on any network: it reads a hospital's request from a file and
//! writes a sealed key to a file. The coordinator must never hold the key, so no room that the coordinator is built of is used
//! but identities and formats; see `docs/adr/0010-linkage-custodian.md`.
//!
//! * [`keeper`]: the folder with the key, and what is done with it.
//! * [`register`]: for whom it was sealed.
//! * [`cli`]: the command line.

pub mod cli;
pub mod keeper;
pub mod register;
