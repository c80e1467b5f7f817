//! What an attack that worked proves: a lower bound on ε from one run (Steinke, Nasr, Jagielski 2023, "Privacy auditing with one
//! (1) training run", arXiv 2305.08846).
//!
//! m canaries are each put into the data or left out by a fair coin of their own. The mechanism runs once. An auditor who sees
//! the release alone guesses, for some of the canaries, whether they were in. Under (ε, δ)-differential privacy each guess is
//! right about as often as randomised response at ε tells the truth, 1/(1 + e^−ε), and the count of right guesses is hardly
//! ever larger than the binomial of that rate (their theorem 5.2, corollary 5.4). A count that is too large refutes ε.
//!
//! An audit refutes; it never proves. That the bound is below the ε that was charged is no evidence that the mechanism is
//! right, only that this auditor found nothing gross.

use statrs::function::gamma::ln_gamma;

use crate::accounting::{Delta, Epsilon};

/// No bound above this is looked for.
const MOST_EPSILON: f64 = 100.0;

/// An auditor's guesses about canaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    canaries: usize,
    made: usize,
    right: usize,
}

impl Guesses {
    /// About so many canaries, so many guesses were made (the others were passed over), of which so many were right. `None` where
    /// more were right than were made, or more made than there are canaries.
    pub fn new(canaries: usize, made: usize, right: usize) -> Option<Guesses> {
        (right <= made && made <= canaries).then_some(Guesses { canaries, made, right })
    }

    /// How likely so many right guesses are, at the most, where the mechanism is (ε, δ)-differentially private: with W binomial of
    /// `made` trials at 1/(1 + e^−ε), P[W ≥ right] + 2·m·δ·max over i of P[right > W ≥ right − i]/i (corollary 5.4).
    pub fn p_value(&self, epsilon: Epsilon, delta: Delta) -> f64 {
        let rate = 1.0 / (1.0 + (-epsilon.0.max(0.0)).exp());
        let right = self.right;
        let mut alpha = 0.0f64;
        let mut below = 0.0;
        for i in 1..=right {
            below += mass(self.made, right - i, rate);
            alpha = alpha.max(below / i as f64);
        }
        (tail(self.made, right, rate) + 2.0 * self.canaries as f64 * delta.0 * alpha).min(1.0)
    }

    /// The largest ε that these guesses refute at δ, 0 where they refute none: a mechanism that is (ε, δ)-differentially private
    /// gives a bound above ε with probability `alarm` at the most. By bisection from below.
    pub fn least_epsilon(&self, delta: Delta, alarm: f64) -> Epsilon {
        let (mut low, mut high) = (0.0, MOST_EPSILON);
        if self.p_value(Epsilon(high), delta) < alarm {
            return Epsilon(high);
        }
        while high - low > 1e-9 {
            let middle = f64::midpoint(low, high);
            if self.p_value(Epsilon(middle), delta) < alarm { low = middle } else { high = middle }
        }
        Epsilon(low)
    }
}

/// P[W = k] of a binomial of n trials at a rate between 0 and 1.
fn mass(n: usize, k: usize, rate: f64) -> f64 {
    if rate >= 1.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    let (n, k) = (n as f64, k as f64);
    let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    (ways + k * rate.ln() + (n - k) * (-rate).ln_1p()).exp()
}

/// P[W ≥ k] of a binomial, the sum of its masses, smallest first.
fn tail(n: usize, k: usize, rate: f64) -> f64 {
    (k..=n).rev().map(|i| mass(n, i, rate)).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn guesses(canaries: usize, made: usize, right: usize) -> Guesses {
        Guesses::new(canaries, made, right).unwrap()
    }

    /// P[Bin(10, ¾) ≥ 8] = 137,781/262,144 and P[Bin(100, ¾) ≥ 75], both from whole fractions.
    #[test]
    fn the_tail_is_exact() {
        assert!((tail(10, 8, 0.75) - 137_781.0 / 262_144.0).abs() < 1e-13);
        assert!((tail(100, 75, 0.75) - 0.553_470_823_848_248_2).abs() < 1e-12);
        assert!((tail(5, 0, 0.3) - 1.0).abs() < 1e-12);
        let p = guesses(100, 100, 75).p_value(Epsilon(3f64.ln()), Delta(0.0));
        assert!((p - 0.553_470_823_848_248_2).abs() < 1e-12, "{p}");
    }

    /// The figures that the paper prints: 0.673 (appendix D) and 2.675 (section 7); the third has a closed form, since all guesses
    /// are right: q^100 = 0.05.
    #[test]
    fn the_papers_bounds() {
        let bound = |g: Guesses, delta: f64| g.least_epsilon(Delta(delta), 0.05).0;
        assert!((bound(guesses(1_000, 100, 75), 1e-4) - 0.672_985).abs() < 1e-6);
        assert!((bound(guesses(100_000, 1_510, 1_439), 1e-5) - 2.675_851).abs() < 1e-6);
        let q = 0.05f64.powf(0.01);
        assert!((bound(guesses(1_000, 100, 100), 0.0) - (q / (1.0 - q)).ln()).abs() < 1e-8);
    }

    #[test]
    fn guesses_that_say_nothing_refute_nothing() {
        assert_eq!(guesses(1_000, 100, 50).least_epsilon(Delta(1e-6), 0.05), Epsilon(0.0));
        assert_eq!(guesses(0, 0, 0).least_epsilon(Delta(0.0), 0.05), Epsilon(0.0));
        assert_eq!(Guesses::new(10, 11, 5), None);
        assert_eq!(Guesses::new(10, 5, 6), None);
    }

    /// Randomised response at ε = 1 is the hardest case: the rate at which its ε is refuted is at most what was asked, and near it.
    /// A planted fault, twice ε, is refuted nearly always.
    #[test]
    fn randomised_response_is_refuted_as_rarely_as_promised() {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(5);
        let mut refuted = |truth: f64| {
            let rate = 1.0 / (1.0 + (-truth).exp());
            let runs = 4_000;
            let mut count = 0;
            for _ in 0..runs {
                let right = (0..200).filter(|_| (rng.next_u64() as f64) < rate * 2f64.powi(64)).count();
                count += usize::from(guesses(200, 200, right).p_value(Epsilon(1.0), Delta(0.0)) < 0.05);
            }
            count as f64 / f64::from(runs)
        };
        let (honest, faulty) = (refuted(1.0), refuted(2.0));
        assert!((0.02..0.065).contains(&honest), "{honest}");
        assert!(faulty > 0.99, "{faulty}");
    }

    proptest! {
        /// A larger ε or δ explains more right guesses, and more right guesses are less likely.
        #[test]
        fn the_p_value_is_monotone(made in 1usize..300, share in 0.5f64..1.0, e in 0.0f64..4.0, more in 0.0f64..2.0) {
            let right = (made as f64 * share) as usize;
            let g = guesses(made + 50, made, right);
            let p = g.p_value(Epsilon(e), Delta(1e-9));
            prop_assert!(g.p_value(Epsilon(e + more), Delta(1e-9)) >= p * (1.0 - 1e-9));
            prop_assert!(g.p_value(Epsilon(e), Delta(1e-6)) >= p);
            let found = g.least_epsilon(Delta(1e-9), 0.01);
            prop_assert!(found.0 == 0.0 || g.p_value(found, Delta(1e-9)) < 0.01);
        }
    }
}
