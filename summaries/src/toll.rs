//! Whom a part of a round is of, and how many of them are in it: what its cost is derived from where an analysis is paid for at once.

/// Which patients a part of a round is over. But for [`Population::All`] they are disjoint: no patient is in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Population {
    /// Everybody.
    All,
    /// Those whom a model is trained on.
    Trained,
    /// Those of whom it is judged in the end.
    Tested,
    /// Those who say when to stop.
    Validating,
}

impl Population {
    /// Those that are disjoint.
    pub const APART: [Population; 3] = [Population::Trained, Population::Tested, Population::Validating];

    /// Whether a patient of another population may be in this one's sums.
    pub fn meets(self, other: Population) -> bool {
        self == other || self == Population::All || other == Population::All
    }
}

/// A part of a round, as its cost sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Toll {
    /// Over whom.
    pub of: Population,
    /// Its weight in the round's ρ, as [`crate::PartWork::weight`].
    pub weight: f64,
    /// With which probability each of them is in it, by a coin of the own and anew in each round; 1 where all are.
    pub rate: f64,
    /// Whether its noise is what is searched for: `weight` times that of every such part. The noise of any other is its part of the charge.
    pub step: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_patient_is_in_two_but_for_all() {
        for a in Population::APART {
            assert!(Population::APART.iter().all(|b| a.meets(*b) == (a == *b)) && a.meets(Population::All));
        }
    }
}
