//! How many distinct patients are at all hospitals together: a private sketch whose cells are joined by OR.
//!
//! The sketch is that of Flajolet and Martin (PCSA, 1985): a patient's tag, a keyed PRF of the linkage id, sets one
//! cell of `levels` × `buckets`; level l has probability 2^−(l+1) and the last level takes the rest. One tag gives one
//! cell at every hospital, so the OR over hospitals counts a patient once. Two things make it private: a tag is *kept*
//! with probability π = 1 − e^−ε, always or never, and each site sets each cell *falsely* with probability
//! q_k = 1 − (1−q)^(1/t), where q = 1/(1+e^ε). A site sends a uniform 64-bit number for a set cell and 0 for
//! another, under secure aggregation; the sum is 0 if no site set the cell.
//!
//! # The bound
//! One patient, added or removed, at one hospital or at all, changes the probability of any sum by a factor of at most
//! e^ε, if at least t sites that follow the protocol are in the sum. Proof. Fix the tags of all others; let c be the
//! patient's cell. The other cells have the same law in both worlds and are independent of c. If another patient sets
//! c, both worlds give 1. Else let f = 1 − (1−q_k)^s with s ≥ t sites, so that f ≥ q:
//!
//! | | cell is 0 | cell is 1 |
//! |---|---|---|
//! | without the patient | 1 − f | f |
//! | with the patient | (1 − f)·e^−ε | 1 − (1 − f)·e^−ε |
//!
//! For 0 the ratio is e^ε. For 1 it is (1 − e^−ε)/f + e^−ε, which falls in f and is e^ε at f = q. The opposite ratios
//! are at most 1. This holds for each c, so for their mixture. The sum of one or more uniform numbers is uniform: it
//! shows whether the cell is set and not how often, and misses a set cell with probability 2^−64. It is made from the
//! OR alone, so ε stays as it is. ∎ What ε-DP costs in the ledger is for the mechanism in `privacy` to say.
//!
//! # What must hold
//! - **A fresh key for each release**, such as a PRF of key and manifest hash. Under one key a tag is kept in both
//!   releases or in neither, and they do not compose: at ε = 1 a cell set in both has the ratio 9.1, above e² = 7.4.
//! - Nobody who sees the sum knows the key, which would show the cell and the keep decision. One colluding hospital
//!   that holds the key breaks the bound. If c sites may reveal their own false cells, then t + c must take part.
//! - Every site takes part whatever it holds. An id that is written in m ways gives m tags, the bound mε and a
//!   count of m.

pub mod estimate;
pub mod statistic;

pub use estimate::DistinctEstimate;
pub use statistic::DistinctPatients;

/// 2^64.
const RANGE: f64 = 18_446_744_073_709_551_616.0;
/// Probabilities are moved to the safe side by this part of themselves: far above the error of `exp_m1` and `ln_1p`, a
/// few times 2^−53, and far below what an estimate shows.
const GUARD: f64 = 1.0 / (1u64 << 48) as f64;

/// Why a sketch can't be made or read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DistinctError {
    /// The parameters are out of range.
    #[error(
        "a distinct count of {buckets} buckets, {levels} levels and epsilon {epsilon}: choose a power of two up to \
         2^20, 1 to 64 and 0.01 to 16"
    )]
    Parameters {
        /// Buckets given.
        buckets: usize,
        /// Levels given.
        levels: usize,
        /// Epsilon given.
        epsilon: f64,
    },
    /// The merged vector is not one of this sketch.
    #[error("a distinct count was given {given} cells and needs {needed}; use the parameters of the plan")]
    Cells {
        /// Cells given.
        given: usize,
        /// Cells needed.
        needed: usize,
    },
    /// Fewer sites than the false cells were made for.
    #[error("a distinct count has {sites} sites and needs at least {threshold}; run the round again with more")]
    Sites {
        /// Sites in the sum.
        sites: usize,
        /// Sites needed.
        threshold: usize,
    },
}

/// The parameters of a sketch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distinct {
    buckets: usize,
    levels: usize,
    epsilon: f64,
}

impl Distinct {
    /// Buckets of the usual sketch.
    pub const BUCKETS: usize = 4096;
    /// Levels of the usual sketch: enough for 2^24 patients a bucket.
    pub const LEVELS: usize = 24;

    /// Checks the parameters.
    ///
    /// # Errors
    /// The buckets are not a power of two up to 2^20, the levels not 1 to 64, or ε not 0.01 to 16.
    pub fn new(buckets: usize, levels: usize, epsilon: f64) -> Result<Distinct, DistinctError> {
        let fits = buckets.is_power_of_two() && buckets <= 1 << 20 && (1..=64).contains(&levels);
        if fits && (0.01..=16.0).contains(&epsilon) {
            Ok(Distinct { buckets, levels, epsilon })
        } else {
            Err(DistinctError::Parameters { buckets, levels, epsilon })
        }
    }

    /// The usual sketch: 4096 buckets of 24 levels.
    ///
    /// # Errors
    /// ε is not 0.01 to 16.
    pub fn with_epsilon(epsilon: f64) -> Result<Distinct, DistinctError> {
        Distinct::new(Distinct::BUCKETS, Distinct::LEVELS, epsilon)
    }

    /// Buckets a level.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// Levels.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// The bound of the release.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Cells, one lane each. The lanes of a level are side by side: a cell's lane is `level · buckets + bucket`.
    pub fn lanes(&self) -> usize {
        self.buckets * self.levels
    }

    /// The probability π = 1 − e^−ε that a tag is kept.
    pub fn keep(&self) -> f64 {
        -(-self.epsilon).exp_m1()
    }

    /// The probability q = 1/(1 + e^ε) that a cell without patients is set, if t sites take part.
    pub fn background(&self) -> f64 {
        1.0 / (1.0 + self.epsilon.exp())
    }

    /// The probability q_k = 1 − (1−q)^(1/t) that one site sets a cell falsely. A `t` of 0 is taken as 1.
    pub fn false_set(&self, t: usize) -> f64 {
        self.background_of(1, t)
    }

    /// 1 − (1−q_k)^sites = 1 − (1−q)^(sites/t), where 1 − q = 1/(1 + e^−ε).
    fn background_of(&self, sites: usize, t: usize) -> f64 {
        -(-(-self.epsilon).exp().ln_1p() * sites as f64 / t.max(1) as f64).exp_m1()
    }

    /// A tag is kept if its 64 bits are below this. Rounded down: a smaller π moves both ratios toward 1.
    fn keep_below(&self) -> u64 {
        (self.keep() * (1.0 - GUARD) * RANGE).floor() as u64
    }

    /// A cell is set falsely if 64 uniform bits are below this. Rounded up: a larger q_k keeps f ≥ q.
    fn false_below(&self, t: usize) -> u64 {
        (self.false_set(t) * (1.0 + GUARD) * RANGE).ceil() as u64
    }

    /// The cell of a tag; `None` if the tag is not kept. The tag is 32 bytes of a PRF, read as big-endian numbers:
    ///
    /// | bytes | used for |
    /// |---|---|
    /// | 0 to 7 | the bucket: the number modulo `buckets`, a power of two |
    /// | 8 to 15 | the level: the zero bits it begins with, at most `levels` − 1 |
    /// | 16 to 23 | kept if the number is below π·2^64, less the guard of 2^−48 |
    /// | 24 to 31 | nothing |
    pub fn cell_of(&self, tag: &[u8; 32]) -> Option<usize> {
        let (words, _) = tag.as_chunks::<8>();
        let mut words = words.iter().map(|w| u64::from_be_bytes(*w));
        let (bucket, level, keep) = (words.next()?, words.next()?, words.next()?);
        if keep >= self.keep_below() {
            return None;
        }
        let bucket = bucket as usize & (self.buckets - 1);
        Some((level.leading_zeros() as usize).min(self.levels - 1) * self.buckets + bucket)
    }

    /// The cells that a site's patients set; a tag may come more than once.
    pub fn cells<'a>(&self, tags: impl IntoIterator<Item = &'a [u8; 32]>) -> Vec<bool> {
        let mut cells = vec![false; self.lanes()];
        for tag in tags {
            if let Some(cell) = self.cell_of(tag).and_then(|c| cells.get_mut(c)) {
                *cell = true;
            }
        }
        cells
    }

    /// Sets cells falsely with probability q_k, for a round that refuses fewer than `t` sites. `uniform` draws 64 bits
    /// for every cell, set or not. They are compared exactly: the probability is above q_k by less than q_k·2^−47 +
    /// 2^−64.
    pub fn randomise(&self, cells: &mut [bool], t: usize, uniform: &mut dyn FnMut() -> u64) {
        let below = self.false_below(t);
        for cell in cells {
            *cell |= uniform() < below;
        }
    }
}

/// What a site puts into secure aggregation: a uniform number for a set cell, 0 for another. `random` draws for every
/// cell. A set cell, and a sum with any, is 0 with probability 2^−64 and then reads as not set.
pub fn mask_values(cells: &[bool], random: &mut dyn FnMut() -> u64) -> Vec<u64> {
    cells.iter().map(|set| random() & u64::from(*set).wrapping_neg()).collect()
}

/// Which cells of the sum, taken modulo 2^64, no site set.
pub fn zeros(merged: &[u64]) -> Vec<bool> {
    merged.iter().map(|v| *v == 0).collect()
}

#[cfg(test)]
mod tests;
