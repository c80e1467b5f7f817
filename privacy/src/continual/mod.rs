//! Noise for a series of windows whose sums are read as well: what a window's noise adds, later ones take back in part.
//!
//! With X the windows' sums and C a lower triangular matrix of integers ≥ 0, the mechanism releases q = C·X + n, with n discrete Gaussian
//! on the integers, and everything else is made of q (the matrix mechanism: Li and others 2015; for streams: Denisov and others 2022).
//! What leaves for window t is X + C⁻¹·n, rounded to the grid: it is a function of q, since C⁻¹·q is X + C⁻¹·n and X lies on the grid. So
//! each window is told by itself, a site may miss some, and sums over windows have little noise.
//!
//! A patient is in at most w windows and moves each by at most Δ. C·X then moves by at most Δ·‖Σ C·eⱼ‖ over the worst w columns, as C has
//! no negative numbers: [`Continual::squared`]. It also holds where later rows hang on what was told before, row by row, since each
//! row is a discrete Gaussian mechanism of its own and their costs add up to the same bound whatever was told.
//!
//! * [`Correlation::Tree`]: the binary counter's nodes (Chan, Shi, Song 2011): row t sums the last `lowbit(t + 1)` windows. C⁻¹ is of
//!   integers.
//! * [`Correlation::Toeplitz`]: the square root of the matrix of prefix sums, cₖ = binom(2k, k)/4ᵏ (Fichtenberger, Henzinger, Upadhyay 2023),
//!   in 1024ths, so that C is of integers and the noise stays exact. C⁻¹ is computed in integers of any length.

mod history;
mod sums;

pub use history::History;
pub(crate) use sums::unfolded;

use serde::{Deserialize, Serialize};

/// How the noises of a series hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Correlation {
    /// Nodes of a binary tree.
    Tree,
    /// The square root of the prefix sums.
    Toeplitz,
}

/// A series with correlated noise has no more windows: the cost of a window's noise grows with those before.
pub const MOST_WINDOWS: u32 = 1024;

/// The first coefficient of [`Correlation::Toeplitz`] as an integer, a power of two.
const WHOLE_BITS: u32 = 10;

/// A series of windows, of which a patient is in `most`, with correlated noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continual {
    strategy: Correlation,
    windows: u32,
    most: u32,
}

impl Continual {
    /// Of these; `None` unless 1 ≤ `most` ≤ `windows` ≤ [`MOST_WINDOWS`].
    pub fn new(strategy: Correlation, windows: u32, most: u32) -> Option<Continual> {
        (1 <= most && most <= windows && windows <= MOST_WINDOWS).then_some(Continual { strategy, windows, most })
    }

    /// How the noises hang together.
    pub fn strategy(&self) -> Correlation {
        self.strategy
    }

    /// How many windows.
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// The mechanism's word in manifests.
    pub fn word(&self) -> &'static str {
        match self.strategy {
            Correlation::Tree => "discrete-gaussian-tree",
            Correlation::Toeplitz => "discrete-gaussian-toeplitz",
        }
    }

    /// What the integer strategy's first coefficient is: noise is drawn so many times larger, and divided at the end.
    pub(crate) fn whole(&self) -> u32 {
        match self.strategy {
            Correlation::Tree => 1,
            Correlation::Toeplitz => 1 << WHOLE_BITS,
        }
    }

    /// By how much C·X moves with a patient who moves each of `most` windows by 1: the square of it, in units of C's first coefficient,
    /// rounded up.
    pub fn squared(&self) -> f64 {
        let whole = f64::from(self.whole());
        // Below 2^53, so exact before the division.
        let exact = match self.strategy {
            Correlation::Tree => tree_squared(self.windows, self.most),
            Correlation::Toeplitz => toeplitz_squared(self.windows, self.most),
        };
        (exact as f64 / (whole * whole)).next_up()
    }

    /// A window's noise by the noises that are drawn, which are independent and of one size: their places and coefficients.
    pub fn row(&self, window: u32) -> Vec<(u32, f64)> {
        match self.strategy {
            Correlation::Tree => tree_row(window).into_iter().map(|(place, sign)| (place, f64::from(sign))).collect(),
            Correlation::Toeplitz => (0..=window).zip(inverse(window + 1).into_iter().rev()).collect(),
        }
    }

    /// All rows.
    pub fn rows(&self) -> Vec<Vec<(u32, f64)>> {
        match self.strategy {
            Correlation::Tree => (0..self.windows).map(|w| self.row(w)).collect(),
            Correlation::Toeplitz => {
                let d = inverse(self.windows);
                let row = |w: u32| (0..=w).zip(d.iter().take(w as usize + 1).rev().copied()).collect();
                (0..self.windows).map(row).collect()
            }
        }
    }

    /// The noise of a window, in units of one that is drawn.
    pub fn window_factor(&self, window: u32) -> f64 {
        self.row(window).iter().map(|(_, d)| d * d).sum::<f64>().sqrt()
    }

    /// The noise of the sum of the first windows, up to one, in the same units.
    pub fn prefix_factor(&self, window: u32) -> f64 {
        let mut all = vec![0.0; self.windows as usize];
        for (place, d) in self.rows().iter().take(window as usize + 1).flatten() {
            if let Some(sum) = all.get_mut(*place as usize) {
                *sum += d;
            }
        }
        all.iter().map(|d| d * d).sum::<f64>().sqrt()
    }
}

/// The coefficients of the square root of the prefix sums in 1024ths, to the nearest: none is larger than the one before, or negative.
pub(crate) fn coefficients(windows: u32) -> Vec<u64> {
    const ONE: u128 = 1 << 60;
    let mut c = ONE;
    let mut out = Vec::with_capacity(windows as usize);
    for k in 0..u128::from(windows) {
        if k > 0 {
            c = c * (2 * k - 1) / (2 * k);
        }
        let half = ONE >> (WHOLE_BITS + 1);
        out.push(((c + half) >> (60 - WHOLE_BITS)) as u64);
    }
    out
}

/// The first coefficients of the inverse of the integer strategy over 1024.
fn inverse(windows: u32) -> Vec<f64> {
    let c: Vec<f64> = coefficients(windows).iter().map(|c| *c as f64 / f64::from(1u32 << WHOLE_BITS)).collect();
    let mut d: Vec<f64> = Vec::with_capacity(c.len());
    for k in 0..c.len() {
        let before: f64 = c.iter().skip(1).zip(d.iter().rev()).map(|(c, d)| c * d).sum();
        d.push(if k == 0 { 1.0 } else { -before });
    }
    d
}

/// The squared norm of the sum of the first `most` columns. No other columns have a larger one: two columns' product grows when the first
/// of them moves to the left, having more rows, and when they come nearer, as the coefficients only fall.
fn toeplitz_squared(windows: u32, most: u32) -> u64 {
    let c = coefficients(windows);
    let (mut running, mut sum) = (0u64, 0u64);
    for (row, new) in c.iter().enumerate() {
        running += new;
        if let Some(old) = row.checked_sub(most as usize).and_then(|old| c.get(old)) {
            running -= old;
        }
        sum += running * running;
    }
    sum
}

/// The nodes of which a window's noise is made: that which ends with it, less those that it takes the place of.
pub(crate) fn tree_row(window: u32) -> Vec<(u32, i8)> {
    let level = (window + 1).trailing_zeros();
    let absorbed = (0..level).map(|below| (((window >> below) << below).wrapping_sub(1), -1));
    std::iter::once((window, 1)).chain(absorbed).collect()
}

/// For each number of windows of a patient up to `most`, the largest squared norm over the nodes within the first `windows` windows.
fn tree_squared(windows: u32, most: u32) -> u64 {
    // Of whole blocks of 1, 2, 4, ... windows: the left half of a block is a node, the right half is none.
    let mut whole: Vec<Vec<u64>> = vec![vec![0; 2]];
    let longest = windows.checked_ilog2().unwrap_or_default();
    for level in 0..longest as usize {
        let halves = whole.get(level).cloned().unwrap_or_default();
        whole.push(joined(&halves, &halves, most));
    }
    let mut all = vec![0];
    // From the right: each block of the binary form of the number is a node.
    for level in 0..=longest {
        if windows >> level & 1 == 1
            && let Some(block) = whole.get(level as usize)
        {
            all = joined(block, &all, most);
        }
    }
    all.last().copied().unwrap_or_default()
}

/// A node and what comes after it, of so many of a patient's windows in both.
fn joined(node: &[u64], after: &[u64], most: u32) -> Vec<u64> {
    let last = (node.len() + after.len()).saturating_sub(2).min(most as usize);
    let of = |n: usize| {
        let split = node.iter().enumerate().filter_map(|(own, within)| {
            let rest = after.get(n.checked_sub(own)?)?;
            Some(within + (own * own) as u64 + rest)
        });
        split.max().unwrap_or_default()
    };
    (0..=last).map(of).collect()
}

#[cfg(test)]
mod tests;
