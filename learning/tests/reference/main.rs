//! Models against R 4.2.2 and its survival 3.5-3, on the reference data's EXPECTED.txt, patients split over three sites; what that has
//! not, against an independent computation whose way is told beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod classical;
mod counts;
mod effects;
mod harness;
mod hazards;
mod terms;
