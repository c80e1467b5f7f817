//! Who masks with whom: everybody with everybody up to [`COMPLETE_TO`] parties, and a regular graph above (Bell, Bonawitz,
//! Gascón, Lepoint, Raykova 2020, "Secure single-server aggregation with (poly)logarithmic overhead").
//!
//! The graph is a Harary graph over a permutation of the parties. The permutation is drawn from the hash of all signed key
//! advertisements, each of which holds a commitment to a secret, so nobody chooses its neighbours alone.
//!
//! The coordinator may still try many lists of advertisements, and it says who survived. So nothing that protects an input rests
//! on the draw, only on what each party checks for itself, at any colluders `c` (of all parties):
//!
//! * a secret needs `degree/2 + 1 > c` shares, so colluders alone never have one;
//! * every `degree/2` consecutive places of the ring hold more than `c` survivors (`Graph::holds_together`). Then each of them
//!   holds an honest survivor, so two honest survivors that follow each other on the ring are neighbours, and the honest
//!   survivors are one connected piece.
//! * all parties whose masks cancel were told the same U2, whose hash is in the masks' keys. So where one honest survivor's input is
//!   laid open, so must be all its neighbours' among the survivors, whether they signed or not, and so on through the whole piece:
//!   no part of it is learned before all of it is.
//!
//! The draw makes it likely that this holds though sites drop out by chance.

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
    colluders: usize,
    /// For a regular graph: each party's place in the ring, and the degree.
    ring: Option<(Vec<u32>, usize)>,
}

impl Graph {
    /// The graph over these parties, in ascending order, of which so many may collude, with a seed that all of them know.
    pub(crate) fn new(parties: Vec<u32>, colluders: usize, seed: &[u8; 32]) -> Graph {
        let n = parties.len();
        if n <= COMPLETE_TO {
            return Graph { parties, colluders, ring: None };
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
        let degree = degree(n, colluders);
        let ring = (degree + 1 < n).then_some((ring, degree));
        Graph { parties, colluders, ring }
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

    /// Whether the honest among these survivors, in ascending order, are one connected piece, whoever the colluders are.
    pub(crate) fn holds_together(&self, survivors: &[u32]) -> bool {
        let Some((ring, degree)) = &self.ring else { return survivors.len() > self.colluders };
        let lives: Vec<bool> = ring.iter().map(|p| survivors.binary_search(p).is_ok()).collect();
        let half = degree / 2;
        let mut inside = lives.iter().take(half).filter(|l| **l).count();
        for (leaves, comes) in lives.iter().zip(lives.iter().cycle().skip(half)) {
            if inside <= self.colluders {
                return false;
            }
            inside = inside + usize::from(*comes) - usize::from(*leaves);
        }
        true
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
/// among the corrupt, nor half or more among the dropped, and no half of a neighbourhood is without more survivors than there are
/// colluders (hypergeometric tails, exact); always more than two for each colluder.
pub(crate) fn degree(n: usize, colluders: usize) -> usize {
    let corrupt = ((n as f64 * CORRUPT).ceil() as usize).max(colluders);
    let dropped = (n as f64 * DROPPED).ceil() as usize;
    let bound = -(FAILURE_BITS + (2.0 * n as f64).log2()) * std::f64::consts::LN_2;
    (2..n)
        .step_by(2)
        .filter(|k| k / 2 > colluders)
        .find(|k| {
            tail(n - 1, corrupt, *k, k / 2) < bound
                && tail(n - 1, dropped, *k, k / 2) < bound
                && tail(n, dropped, k / 2, k / 2 - colluders) < bound
        })
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
        let small = Graph::new((0..200).collect(), 0, &[1; 32]);
        assert_eq!(small.neighbours(7).len(), 199);
        let n = 1_000u32;
        let g = Graph::new((0..n).collect(), 0, &[1; 32]);
        let k = degree(n as usize, 0);
        assert!(k.is_multiple_of(2) && (60..400).contains(&k), "degree {k}");
        for p in [0, 1, 500, 999] {
            let own = g.neighbours(p);
            assert_eq!(own.len(), k);
            assert!(own.iter().all(|q| g.neighbours(*q).contains(&p)) && !own.contains(&p));
        }
        assert_ne!(g, Graph::new((0..n).collect(), 0, &[2; 32]), "the seed draws it");
        println!("degree at 250: {}, 1000: {k}, 10000: {}", degree(250, 0), degree(10_000, 0));
    }

    /// The honest survivors of a graph, by who can reach whom.
    fn pieces(g: &Graph, alive: &BTreeSet<u32>) -> usize {
        let mut left = alive.clone();
        let mut pieces = 0;
        while let Some(first) = left.pop_first() {
            pieces += 1;
            let mut open = vec![first];
            while let Some(p) = open.pop() {
                for q in g.neighbours(p) {
                    if left.remove(&q) {
                        open.push(q);
                    }
                }
            }
        }
        pieces
    }

    /// A coordinator that leaves out whoever stands in its way: two runs of half a degree cut the ring in two, and that set of
    /// survivors does not hold together; nor does one that holds together only through colluders.
    #[test]
    fn survivors_that_cut_the_ring_are_found() {
        let n = 1000;
        let g = Graph::new((0..n).collect(), 0, &[1; 32]);
        let (ring, degree) = g.ring.clone().unwrap();
        let half = degree / 2;
        let without = |gaps: &[(usize, usize)]| -> Vec<u32> {
            let out = |i: usize| gaps.iter().any(|(from, long)| (i + ring.len() - from) % ring.len() < *long);
            let mut left: Vec<u32> = ring.iter().enumerate().filter(|(i, _)| !out(*i)).map(|(_, p)| *p).collect();
            left.sort_unstable();
            left
        };
        let cut = without(&[(980, half), (400, half)]);
        assert!(cut.len() > 2 * n as usize / 3, "the threshold alone would let it pass");
        assert_eq!(pieces(&g, &cut.iter().copied().collect()), 2);
        assert!(!g.holds_together(&cut));
        let whole = without(&[(980, half - 1), (400, half - 1)]);
        assert_eq!(pieces(&g, &whole.iter().copied().collect()), 1);
        assert!(g.holds_together(&whole));
        let wary = Graph { colluders: 1, ..g.clone() };
        assert!(!wary.holds_together(&whole) && wary.holds_together(&without(&[(980, half - 2), (400, half - 2)])));
    }

    #[test]
    fn the_degree_grows_with_the_colluders() {
        for (n, c) in [(250, 0), (250, 40), (1000, 0), (1000, 150)] {
            let k = degree(n, c);
            assert!(k + 1 >= n || k / 2 > c, "{n} parties, {c} colluders: degree {k}");
            assert!(k >= degree(n, 0));
        }
    }

    #[test]
    fn the_tail_is_a_probability() {
        // Five cards of 52, four aces: at least one ace, 0.3412.
        assert!((tail(52, 4, 5, 1).exp() - 0.341_158).abs() < 1e-5);
        assert!((tail(52, 4, 5, 0).exp() - 1.0).abs() < 1e-9);
        assert_eq!(tail(52, 4, 5, 5), f64::NEG_INFINITY);
    }
}
