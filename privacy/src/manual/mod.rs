//! The reviewer's manual of the privacy room.
//!
//! These modules hold text and no code. They are for a person who must decide whether this room may run in a hospital.
//!
//! * [`failures`]: what went wrong in other systems, and what prevents each of those failures here.
//! * [`mistakes`]: the fifteen mistakes that this room must not make, each with a number, a guard and a test.
//! * [`guards`]: which test or type holds each of the fifteen off, checked against the tree.
//! * [`sources`]: the papers, standards and threads behind both. A key in square brackets links to its entry there.
//!
//! # How to read it
//!
//! A section says what happened, then why, then what prevents it here. Where a guard has a name in the code, the
//! section says "see" and the name. If you can't find that name, or if it does less than the section says, then either
//! the code or the manual is wrong. Report it as a defect of privacy, not as a slip in a document.
//!
//! The word "reported" marks a claim that rests on an account of a work, or on a thread's opening post, and that
//! nobody here has repeated. Other claims come from the cited source itself, or are textbook facts.
//!
//! The systems named are named for what can be learned from them. Many of the faults were found and published by their
//! own authors, and many have since been mended. A section speaks of the version that its source speaks of. It does
//! not say that InSitu is free of other faults.
//!
//! # The reference point
//!
//! Worked figures share one setting: 40 sites, 5,000 patients at each, ε = 1 and δ = 1e-6. A Gaussian then needs σ =
//! 4.2247 at L2 sensitivity 1, which is ρ = 0.0280. Two modes are compared:
//!
//! * *local*: each site adds the full noise, and its vector is private by itself. The error of the sum is √40 = 6.3
//!   times that of one full noise.
//! * *secure*: each site adds a share of the noise, and secure aggregation shows the coordinator only the sum.
//!
//! In secure mode the stated ε belongs to the sum. One site's vector with its own share of noise alone would stand at
//! ε = 6.2, if the shares are sized for 27 sites. So in this mode the masks carry part of the promise.
//!
//! # What the manual does not do
//!
//! It is no proof: proofs are in `privacy/proofs`. It is no threat model: that is `docs/threat-model.md`, and it also
//! lists what is left open. It gives no advice on law.

pub mod failures;
pub mod guards;
pub mod mistakes;
pub mod sources;
