//! The privacy loss of a mechanism in one direction: how much of each of the two distributions lies below a loss.

use super::super::normal::above;

/// Half a unit in the last place of 1.
pub(super) const UNIT: f64 = f64::EPSILON / 2.0;

/// What lies on both sides of a loss, under the upper distribution P and the lower one Q; the privacy loss is
/// ln(dP/dQ).
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) upper_below: f64,
    pub(super) upper_above: f64,
    pub(super) lower_below: f64,
    pub(super) lower_above: f64,
    /// A bound on the relative rounding error of the four.
    pub(super) error: f64,
}

/// A pair of distributions whose privacy loss is known.
pub(super) trait Loss {
    /// Losses between which all but a negligible mass of P lies. What lies outside is charged, not forgotten.
    fn range(&self) -> (f64, f64);

    /// How P and Q fall into losses of at most `loss` and losses above it.
    fn split(&self, loss: f64) -> Split;
}

/// The Gaussian mechanism on a Poisson sample, in units of its noise, so that the densities are N(0, 1) and N(±μ, 1).
/// The outcome is mirrored where needed, so that the loss grows with it.
///
/// Remove: P = (1−q) N(0,1) + q N(μ,1), Q = N(0,1), loss(y) = ln(1 − q + q e^{μy − μ²/2}). Add: P = N(0,1), Q = (1−q)
/// N(0,1) + q N(−μ,1), loss(y) = −ln(1 − q + q e^{−μy − μ²/2}).
pub(super) struct Gaussian {
    mu: f64,
    rate: f64,
    added: bool,
}

/// P(Z > 9.9) is 2e-23: what is cut off a round.
const CUT: f64 = 9.9;

impl Gaussian {
    pub(super) fn remove(sigma: f64, rate: f64) -> Gaussian {
        Gaussian { mu: 1.0 / sigma, rate, added: false }
    }

    pub(super) fn add(sigma: f64, rate: f64) -> Gaussian {
        Gaussian { mu: 1.0 / sigma, rate, added: true }
    }

    /// ln(1 − q + q e^{μy − μ²/2}).
    fn removal_loss(&self, y: f64) -> f64 {
        let exponent = self.mu * (y - 0.5 * self.mu);
        if self.rate == 1.0 {
            exponent
        } else if exponent > 30.0 {
            exponent + self.rate.ln() + ((1.0 - self.rate) / self.rate * (-exponent).exp()).ln_1p()
        } else {
            (self.rate * exponent.exp_m1()).ln_1p()
        }
    }

    /// The outcome with this loss, −∞ when all losses are above.
    fn removal_outcome(&self, loss: f64) -> f64 {
        let exponent = if self.rate == 1.0 {
            loss
        } else if loss > 1.0 {
            loss + (-(1.0 - self.rate) * (-loss).exp()).ln_1p() - self.rate.ln()
        } else {
            let inner = loss.exp_m1() / self.rate;
            if inner <= -1.0 {
                return f64::NEG_INFINITY;
            }
            inner.ln_1p()
        };
        exponent / self.mu + 0.5 * self.mu
    }
}

impl Loss for Gaussian {
    fn range(&self) -> (f64, f64) {
        match self.added {
            false => (self.removal_loss(-CUT), self.removal_loss(CUT + self.mu)),
            true => (-self.removal_loss(CUT + self.mu), -self.removal_loss(-CUT)),
        }
    }

    fn split(&self, loss: f64) -> Split {
        let (y, centre) = match self.added {
            false => (self.removal_outcome(loss), self.mu),
            true => (-self.removal_outcome(-loss), -self.mu),
        };
        let (plain, moved) = (both_sides(y), both_sides(y - centre));
        let mix = |a: f64, b: f64| (1.0 - self.rate) * a + self.rate * b;
        let mixed = (mix(plain.0, moved.0), mix(plain.1, moved.1));
        let (upper, lower) = if self.added { (plain, mixed) } else { (mixed, plain) };
        // The tail at x has the relative error of x², times x²/2.
        let far = y.abs().max((y - centre).abs()).min(40.0);
        Split {
            upper_below: upper.0,
            upper_above: upper.1,
            lower_below: lower.0,
            lower_above: lower.1,
            error: (32.0 + 2.0 * far * far) * UNIT,
        }
    }
}

/// P(Z ≤ y) and P(Z > y), the smaller one with all its digits.
fn both_sides(y: f64) -> (f64, f64) {
    if y < 0.0 {
        let below = above(-y);
        (below, 1.0 - below)
    } else {
        let over = above(y);
        (1.0 - over, over)
    }
}

/// Laplace noise of the scale b: P around 1, Q around 0. The loss at x is (|x| − |x−1|)/b, with atoms at both ends
/// ±1/b.
pub(super) struct Laplace {
    most: f64,
}

impl Laplace {
    pub(super) fn new(scale: f64) -> Laplace {
        Laplace { most: 1.0 / scale }
    }
}

impl Loss for Laplace {
    fn range(&self) -> (f64, f64) {
        (-self.most, self.most)
    }

    fn split(&self, loss: f64) -> Split {
        // Between the ends P(loss ≤ l) = ½ e^{−(1/b−l)/2} and Q(loss > l) = ½ e^{−(1/b+l)/2}.
        let (upper_below, lower_above) = if loss < -self.most {
            (0.0, 1.0)
        } else if loss >= self.most {
            (1.0, 0.0)
        } else {
            (0.5 * (-0.5 * (self.most - loss)).exp(), 0.5 * (-0.5 * (self.most + loss)).exp())
        };
        Split {
            upper_below,
            upper_above: 1.0 - upper_below,
            lower_below: 1.0 - lower_above,
            lower_above,
            error: (32.0 + self.most) * UNIT,
        }
    }
}
