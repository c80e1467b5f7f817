//! The right edge of a growing tree: enough to add leaves and to tell the root, in memory that grows with its logarithm.

use super::{Hash, node};

/// The roots of the full trees that a tree of n leaves is made of, one for each bit of n that is set, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash. Two full trees of one size become one.
    pub fn push(&mut self, leaf: Hash) {
        let mut own = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                own = node(&left, &own);
            }
        }
        self.peaks.push(own);
        self.size += 1;
    }

    /// The root, as [`super::root`] gives it for all leaves.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return super::root(&[]) };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{leaf, root};

    #[test]
    fn the_root_of_every_size_is_the_trees() {
        let leaves: Vec<Hash> = (0..300u32).map(|i| leaf(&i.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), root(&[]));
        for (i, leaf) in leaves.iter().enumerate() {
            frontier.push(*leaf);
            assert_eq!((frontier.size(), frontier.root()), (i as u64 + 1, root(&leaves[..=i])));
        }
    }
}
