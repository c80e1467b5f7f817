//! Where a first guess of the mean is far away: the intercept goes to where the mean is, before Newton's step of all coefficients.
//!
//! With the logarithm as its link a Newton step from a mean that is m times too small moves the intercept by m − 1, far beyond log m, and
//! from one that is too large by about 1 at most, however far away it is. The sums of one round say m, the outcome's mean over the model's,
//! and what they would be with the intercept moved by log m. Of rows u that begin with 1/N, gradient g and curvature H, whose first column
//! is h and its first entry a: m = 1 + g₁/(N a), and there
//!
//! * of a gamma's sums, Σ (y/μ − 1) u and Σ u uᵀ: g' = (g + N h)/m − N h, H' = H;
//! * of a Poisson's, Σ (y − μ) u and Σ μ u uᵀ: g' = g − (m − 1) N h, H' = m H. A negative binomial's step is the same but for a factor of
//!   both, where the mean is one for all, and near it elsewhere.
//!
//! So nothing more is released. It is done only where m is told from 1, and far from it: the last steps are Newton's alone.

use crate::ascent::Sums;
use crate::design::Design;
use crate::family::Family;

/// Within this of 1, either way, Newton's step is as good.
const NEAR: f64 = 1.2;
/// Where the noise's error of log m is larger than this, the intercept alone is moved: the noise of a mean that is much too large would throw
/// the slopes far.
const LOUD: f64 = 0.05;
/// m below this counts as this.
const LEAST: f64 = 1e-6;

/// Moves the sums to where the mean is, and says by how much the first coefficient moves; 0 where it stays.
pub(crate) fn leveled(design: &Design, family: Family, sums: &mut Sums) -> f64 {
    if family == Family::Logistic || !design.is_intercept(0) || sums.gradient.is_empty() {
        return 0.0;
    }
    let (norm, a) = (sums.norm, sums.curvature[(0, 0)]);
    if a <= (4.0 * sums.curvature_variance.sqrt()).max(f64::MIN_POSITIVE) {
        return 0.0;
    }
    let m = 1.0 + sums.gradient[0] / (norm * a);
    let error = sums.gradient_variance.sqrt() / (norm * a);
    let near = (1.0 / NEAR..=NEAR).contains(&m) || (m - 1.0).abs() <= 4.0 * error;
    if !m.is_finite() || near {
        return 0.0;
    }
    let m = m.max(2.0 * error).max(LEAST);
    let loud = error / m > LOUD;
    let first = sums.curvature.column(0) * norm;
    if family == Family::Gamma {
        sums.gradient = (&sums.gradient + &first) / m - &first;
        sums.gradient_variance /= m * m;
    } else {
        sums.gradient -= &first * (m - 1.0);
        sums.gradient_variance += ((m - 1.0) * norm).powi(2) * sums.curvature_variance;
        sums.curvature *= m;
        sums.curvature_variance *= m * m;
    }
    if loud {
        sums.gradient.fill(0.0);
    }
    norm * m.ln()
}
