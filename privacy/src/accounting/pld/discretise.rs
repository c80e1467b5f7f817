//! From the loss of a mechanism to a distribution on a grid, pessimistic, by connecting the dots.
//!
//! Doroshenko et al. 2022, algorithm 1, makes the δ(ε) of the result equal to the true one at every loss of the grid,
//! and a straight line in e^ε between them. We form the same masses without the difference of two δ: what falls
//! between the losses e and e + h, P under the upper and Q under the lower distribution, is moved to the two ends so
//! that both totals stay,
//!
//! at e + h: (P − e^e Q) / (1 − e^{−h}), at e: the rest of P.
//!
//! Rounding: the interval masses and the product e^e Q are known up to a bound, and the part at the upper end is
//! raised by that bound, divided by 1 − e^{−h}. A larger loss is always worse, so the result stays pessimistic, also
//! after composition.
//!
//! What lies below the grid is moved up to its first loss, and what lies above it, 2e-23 for a Gaussian, to infinity.

use super::super::error::AccountError;
use super::loss::{Loss, Split, UNIT};
use super::pmf::Pmf;

/// The most points of one round. At the default interval it holds losses within ±100.
pub(super) const MOST_POINTS: u64 = 1 << 21;

/// The distribution of the loss on the multiples of `interval`.
pub(super) fn connect_the_dots(loss: &impl Loss, interval: f64) -> Result<Pmf, AccountError> {
    if !(1e-7..=1.0).contains(&interval) {
        return Err(AccountError::Interval(interval));
    }
    let (low, high) = loss.range();
    let (first, last) = ((low / interval).floor(), (high / interval).ceil());
    let points = last - first + 1.0;
    if points.is_nan() || points > MOST_POINTS as f64 {
        return Err(AccountError::TooLarge(points as u64, MOST_POINTS));
    }
    let (first, points) = (first as i64, points as u64);
    let at = |i: u64| first.saturating_add_unsigned(i) as f64 * interval;

    let mut masses = Vec::with_capacity(points as usize);
    let share = -(-interval).exp_m1();
    let mut left = loss.split(at(0));
    // What waits for the part of the next interval that comes to the same loss.
    let mut here = left.upper_below * (1.0 + left.error);
    for i in 1..points {
        let right = loss.split(at(i));
        let (stays, moves) = connect(&left, &right, at(i - 1), share);
        masses.push(here + stays);
        (here, left) = (moves, right);
    }
    masses.push(here);
    Ok(Pmf::new(interval, first, masses, left.upper_above * (1.0 + left.error)))
}

/// The parts of the mass between two losses that go to the lower and to the upper one.
fn connect(left: &Split, right: &Split, loss: f64, share: f64) -> (f64, f64) {
    let (upper, upper_error) = between(
        (left.upper_below, left.upper_above),
        (right.upper_below, right.upper_above),
        left.error.max(right.error),
    );
    let (lower, lower_error) = between(
        (left.lower_below, left.lower_above),
        (right.lower_below, right.lower_above),
        left.error.max(right.error),
    );
    let growth = loss.exp();
    let product = growth * lower;
    let room = upper_error + growth * lower_error + (4.0 + loss.abs()) * UNIT * (upper + product);
    let most = upper + upper_error;
    let moves = (upper - product + room) / share;
    // A NaN, where e^e overflows, moves everything up.
    let moves = if moves < most { moves.max(0.0) } else { most };
    (most - moves, moves)
}

/// The mass between two points, of which what is below and above is known, and a bound on its error. The smaller
/// sides are used, for they have their digits.
fn between(left: (f64, f64), right: (f64, f64), error: f64) -> (f64, f64) {
    let (mass, tails) = if right.0 <= 0.5 {
        (right.0 - left.0, right.0 + left.0)
    } else if left.1 <= 0.5 {
        (left.1 - right.1, left.1 + right.1)
    } else {
        (1.0 - left.0 - right.1, left.0 + right.1 + 1.0)
    };
    (mass.max(0.0), tails * error + f64::MIN_POSITIVE)
}
