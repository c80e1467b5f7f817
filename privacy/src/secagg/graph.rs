//! Who masks with whom: everybody with everybody up to [`COMPLETE_TO`] parties, and a regular graph above (Bell, Bonawitz,
//! Gascón, Lepoint, Raykova 2020, "Secure single-server aggregation with (poly)logarithmic overhead").
//!
//! The graph is a Harary graph over a permutation of the parties. The permutation is drawn from the hash of all signed key
//! advertisements, each of which holds a commitment to a secret, so nobody chooses its neighbours alone.

use std::collections::BTreeSet;

use super::stream::Words;

/// Up to so many parties the graph is complete.
pub const COMPLETE_TO: usize = 200;
/// The share of parties that may collude with the coordinator, for the degree of a regular graph.
const CORRUPT: f64 = 0.1;
/// The share of parties that may drop out, for the degree of a regular graph.
const DROPPED: f64 = 0.2;
/// log₂ of how likely a regular graph may be a bad one: one party with too many corrupt or too few living neighbours.
const FAILURE_BITS: f64 = 40.0;

/// A graph over the parties that advertised keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Graph {
    parties: Vec<u32>,
    /// For a regular graph: each party's place in the ring, and the degree.
    ring: Option<(Vec<u32>, usize)>,
}

impl Graph {
    /// The graph over these parties, in ascending order, with a seed that all of them know.
    pub(crate) fn new(parties: Vec<u32>, seed: &[u8; 32]) -> Graph {
        let n = parties.len();
        if n <= COMPLETE_TO {
            return Graph { parties, ring: None };
        }
        // Fisher and Yates, with uniform places by rejection.
        let mut ring = parties.clone();
        let mut words = Words::new(seed);
        for i in (1..n).rev() {
            let range = i as u64 + 1;
            let limit = u64::MAX - u64::MAX % range;
            let j = loop {
                let w = words.next();
                if w < limit {
                    break (w % range) as usize;
                }
            };
            ring.swap(i, j);
        }
        let degree = degree(n);
        if degree + 1 >= n { Graph { parties, ring: None } } else { Graph { parties, ring: Some((ring, degree)) } }
    }

    /// A party's neighbours, without itself, in ascending order.
    pub(crate) fn neighbours(&self, of: u32) -> BTreeSet<u32> {
        match &self.ring {
            None => self.parties.iter().copied().filter(|p| *p != of).collect(),
            Some((ring, degree)) => {
                let n = ring.len();
                let Some(at) = ring.iter().position(|p| *p == of) else { return BTreeSet::new() };
                (1..=degree / 2)
                    .flat_map(|d| [(at + d) % n, (at + n - d) % n])
                    .filter_map(|i| ring.get(i).copied())
                    .collect()
            }
        }
    }

    /// How many shares give a secret back: the round's threshold in a complete graph, more than half of the neighbours (and
    /// the party itself) in a regular one.
    pub(crate) fn threshold(&self, of_round: usize) -> usize {
        match &self.ring {
            None => of_round,
            Some((_, degree)) => degree / 2 + 1,
        }
    }
}

/// The smallest even degree at which, with probability 1 − 2^−40 over all parties, nobody has half or more of its neighbours
/// among the corrupt, nor half or more among the dropped (hypergeometric tails, exact).
pub(crate) fn degree(n: usize) -> usize {
    let corrupt = (n as f64 * CORRUPT).ceil() as usize;
    let dropped = (n as f64 * DROPPED).ceil() as usize;
    let bound = -(FAILURE_BITS + (2.0 * n as f64).log2()) * std::f64::consts::LN_2;
    (2..n)
        .step_by(2)
        .find(|k| tail(n - 1, corrupt, *k, k / 2) < bound && tail(n - 1, dropped, *k, k / 2) < bound)
        .unwrap_or(n - 1)
}

/// ln P[X ≥ least] for X hypergeometric: `draws` out of `all`, of which `marked` are marked.
fn tail(all: usize, marked: usize, draws: usize, least: usize) -> f64 {
    let choose = |n: usize, k: usize| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let whole = choose(all, draws);
    let terms: Vec<f64> = (least..=draws.min(marked))
        .filter(|x| draws - x <= all - marked)
        .map(|x| choose(marked, x) + choose(all - marked, draws - x) - whole)
        .collect();
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY { most } else { most + terms.iter().map(|t| (t - most).exp()).sum::<f64>().ln() }
}

fn ln_factorial(n: usize) -> f64 {
    statrs::function::gamma::ln_gamma(n as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_up_to_two_hundred_and_regular_and_symmetric_above() {
        let small = Graph::new((0..200).collect(), &[1; 32]);
        assert_eq!(small.neighbours(7).len(), 199);
        let n = 1_000u32;
        let g = Graph::new((0..n).collect(), &[1; 32]);
        let k = degree(n as usize);
        assert!(k.is_multiple_of(2) && (60..400).contains(&k), "degree {k}");
        for p in [0, 1, 500, 999] {
            let own = g.neighbours(p);
            assert_eq!(own.len(), k);
            assert!(own.iter().all(|q| g.neighbours(*q).contains(&p)) && !own.contains(&p));
        }
        assert_ne!(g, Graph::new((0..n).collect(), &[2; 32]), "the seed draws it");
        println!("degree at 250: {}, 1000: {k}, 10000: {}", degree(250), degree(10_000));
    }

    #[test]
    fn the_tail_is_a_probability() {
        // Five cards of 52, four aces: at least one ace, 0.3412.
        assert!((tail(52, 4, 5, 1).exp() - 0.341_158).abs() < 1e-5);
        assert!((tail(52, 4, 5, 0).exp() - 1.0).abs() < 1e-9);
        assert_eq!(tail(52, 4, 5, 5), f64::NEG_INFINITY);
    }
}
