//! Rounds on Poisson samples: the only place where sampling makes a cost smaller.
//!
//! A [`FixedPlan`] says of each of its rounds whose sums it releases, with which noise, and with which probability each of these patients
//! is in it. It is a function of a study's plan alone, and is paid for as a whole before its first round: one charge of everything that is
//! still to come ([`FixedPlan::cost_from`]), then charges of nothing ([`FixedPlan::charge`]). Patients are neighbours by adding or removing one.
//!
//! **What must hold.** Each patient is in a round by a coin of the own, from the operating system's randomness, anew in each round, and nobody learns
//! how it fell or how many fell so: what leaves is divided by an expected number. A shuffled order, or a sample of fixed size, has other costs.
//!
//! **The ledger's number** is the curve of Mironov, Talwar, Zhang 2019. Their noise is continuous; ours lies on the integers, and so does what a
//! patient adds. Let μ₀ be the discrete Gaussian around 0, μ₁ around a whole vector v, r = μ₁/μ₀, and m = 1 − q + qr. At a whole order α
//!
//! * E_μ₀[m^α] = Σ C(α,k)(1−q)^{α−k}q^k·E_μ₀[r^k], and E_μ₀[r^k] = e^{(k²−k)‖v‖²/2σ²}·Σ_x e^{−‖x−kv‖²/2σ²}/Σ_x e^{−‖x‖²/2σ²}. The quotient of sums
//!   over the lattice is 1, since kv is one of its points. So these moments are those of the continuous Gaussian, to the last digit.
//! * The other direction is never larger: E_μ₀[m^{1−α}] ≤ E_μ₀[m^α]. The map x ↦ v − x swaps μ₀ and μ₁ and maps the lattice to itself, so E_μ₀[f(r)] =
//!   E_μ₀[r·f(1/r)], and both sides are means of a sum of two terms, with a = 1 − q + qr and b = 1 − q + q/r: it is enough that a^α − a^{1−α} ≥
//!   r(b^{1−α} − b^α), for r ≥ 1 (where r < 1 the two change places). With s = α − ½ that is √a·sinh(s ln a) ≥ r√b·sinh(s|ln b|). At s = ½ both are q(r−1)/2.
//!   Since ab = 1 + q(1−q)(r + 1/r − 2) ≥ 1, |ln b| ≤ ln a, and then sinh(s ln a)/sinh(s|ln b|) grows with s.
//!
//! Between whole orders the logarithm of the moment is convex (Hölder), and the chord bounds it; the series for the continuous Gaussian is not used.
//!
//! **The study's number** is the ε of the composed privacy loss distributions ([`Mechanisms::epsilon`]), of the continuous Gaussian at 0.99 of δ,
//! as for all noise here: on the grids that are used the lattice's δ is within a thousandth (tests sum it, with sampling too).
//!
//! **Disjoint patients.** A patient who is trained on is in no sum over those who are tested. So a patient's cost is that of the own population, and a
//! plan costs, at each order, as much as its dearest population (parallel composition). It is the site that keeps a patient in one.

mod mechanisms;
mod solve;

use std::collections::BTreeMap;

pub use mechanisms::Mechanisms;
pub use solve::{Aim, solve};
use summaries::Population;

use crate::accounting::orders::Curve;
use crate::accounting::{Rho, sampled_rdp};
use crate::cost::Cost;
use crate::filter::{Block, Charge, PrivacyFilter, Refusal, Spent};

/// One part of a round: whose sum, with the noise of which ρ where all of them are in it, and with which probability each is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Release {
    /// Over whom.
    pub of: Population,
    /// σ = Δ/√(2ρ).
    pub noise: Rho,
    /// Above 0, at most 1.
    pub rate: f64,
}

impl Release {
    /// The noise multiplier: σ over the sensitivity, rounded down.
    pub fn multiplier(&self) -> f64 {
        multiplier(self.noise)
    }

    /// What it costs whoever is of its population.
    pub fn cost(&self) -> Cost {
        if self.rate >= 1.0 {
            return Cost::gaussian(self.noise);
        }
        let (z, q) = (self.multiplier(), self.rate);
        Cost { rdp: Curve::cost(|alpha| sampled_rdp::at_whole_orders(z, q, alpha)), ..Cost::default() }
    }
}

/// σ over the sensitivity of noise of a ρ, rounded down.
pub fn multiplier(noise: Rho) -> f64 {
    (1.0 / (2.0 * noise.value()).sqrt()) * (1.0 - 4.0 * f64::EPSILON)
}

/// The ρ of noise of at least so many sensitivities.
pub fn noise_of(multiplier: f64) -> Rho {
    Rho::allowance(1.0 / (2.0 * multiplier * multiplier))
}

/// Rounds that are fixed before the first of them.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedPlan {
    rounds: Vec<Vec<Release>>,
    /// What they cost together.
    whole: Cost,
}

impl FixedPlan {
    /// `None` where there is no round, a round has no part, a rate is not above 0 and at most 1, or a part has no noise.
    pub fn new(rounds: Vec<Vec<Release>>) -> Option<FixedPlan> {
        let right = |r: &Release| r.rate > 0.0 && r.rate <= 1.0 && r.noise > Rho::ZERO;
        let all = !rounds.is_empty() && rounds.iter().all(|round| !round.is_empty() && round.iter().all(right));
        all.then(|| FixedPlan { whole: cost(&rounds), rounds })
    }

    /// The parts of each round.
    pub fn parts(&self) -> &[Vec<Release>] {
        &self.rounds
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// The ρ of a round's noise: of all its parts together. Nothing where there is no such round.
    pub fn noise(&self, round: u32) -> Rho {
        self.rounds.get(round as usize).into_iter().flatten().fold(Rho::ZERO, |sum, r| sum.plus(r.noise))
    }

    /// Whether its rounds are over several populations, so that it must be kept who is of which.
    pub fn is_apart(&self) -> bool {
        let mut all = self.rounds.iter().flatten().map(|r| r.of);
        let first = all.next();
        all.any(|of| Some(of) != first)
    }

    /// Whether a round's parts are over samples of these rates.
    pub fn has_rates(&self, round: u32, rates: &[f64]) -> bool {
        self.rounds.get(round as usize).is_some_and(|parts| parts.iter().map(|p| &p.rate).eq(rates))
    }

    /// What the rounds from one on cost together: at each order as much as the dearest population.
    pub fn cost_from(&self, round: u32) -> Cost {
        if round == 0 {
            return self.whole.clone();
        }
        cost(self.rounds.get(round as usize..).unwrap_or_default())
    }

    /// What one round costs by itself: a secure round that came to nothing is tried again with noise of its own.
    pub fn cost_of(&self, round: u32) -> Cost {
        cost(self.rounds.get(round as usize..).and_then(|r| r.get(..1)).unwrap_or_default())
    }

    /// What a patient may be in, of each population that some part is over.
    pub fn of_patients(&self) -> Vec<Mechanisms> {
        let parts: Vec<&Release> = self.rounds.iter().flatten().collect();
        let own = |of: Population| {
            let mut all = Mechanisms::default();
            parts.iter().filter(|r| r.of.meets(of)).for_each(|r| all.add(r, 1));
            all
        };
        let some = |of: &Population| parts.iter().any(|r| r.of == *of);
        let apart: Vec<Mechanisms> = Population::APART.into_iter().filter(some).map(own).collect();
        if apart.is_empty() { vec![own(Population::All)] } else { apart }
    }

    /// A charge of nothing for a round. `paid` says what each block paid at once, and from which round on. `None` unless every block paid at
    /// this round or before it, and as much as all rounds from there on cost.
    pub fn charge(&self, round: u32, paid: &[(Block, u32, Cost)]) -> Option<Charge> {
        let covers = |(_, from, cost): &(Block, u32, Cost)| *from <= round && cost.covers(&self.cost_from(*from));
        let all = !paid.is_empty() && paid.iter().all(covers) && (round as usize) < self.rounds.len();
        all.then(|| Charge::of_paid(self.noise(round), paid.iter().map(|(block, ..)| *block).collect()))
    }

    /// A charge for one more attempt at a round that was released before. It is a curve alone, so that a manifest says of it what it says of all
    /// rounds that were paid for at once: no ρ.
    ///
    /// # Errors
    /// The first cap that does not hold what the round costs by itself.
    pub fn admit_again(
        &self,
        filter: &PrivacyFilter,
        round: u32,
        blocks: &[(Block, Spent)],
    ) -> Result<Charge, Refusal> {
        filter.admit_with(self.cost_of(round).in_the_curve(), self.noise(round), blocks)
    }
}

/// What rounds cost together.
fn cost(rounds: &[Vec<Release>]) -> Cost {
    // Equal parts are counted first: a plan has many rounds and few kinds of them.
    let mut kinds: BTreeMap<(Population, Rho, u64), u64> = BTreeMap::new();
    for part in rounds.iter().flatten() {
        *kinds.entry((part.of, part.noise, part.rate.to_bits())).or_default() += 1;
    }
    let each: Vec<(Population, Cost)> = kinds
        .into_iter()
        .map(|((of, noise, rate), times)| (of, Release { of, noise, rate: f64::from_bits(rate) }.cost().times(times)))
        .collect();
    let own = |of: Population| {
        each.iter().filter(|(p, _)| p.meets(of)).fold(Cost::default(), |sum, (_, cost)| sum.plus(cost))
    };
    Population::APART.into_iter().map(own).reduce(|a, b| a.larger(&b)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
