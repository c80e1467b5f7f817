//! A Merkle tree over a log that only grows: that an entry is in it, and that an older tree is its beginning.
//!
//! The tree is that of RFC 6962, section 2.1; the verification is that of RFC 9162, sections 2.1.3.2 and 2.1.4.2. A
//! leaf is `SHA-256(0x00 ‖ entry)` and a node is `SHA-256(0x01 ‖ left ‖ right)`: with the two first bytes no node can
//! pass for a leaf. A tree of n leaves is split at the largest power of two below n.
//!
//! A root does not hold its size. A proof for leaf 0 of 3 also verifies as one for leaf 0 of 4 under the same root,
//! since the path is the same. So a signature must be over size and root together, and the size must come from there.

mod frontier;

pub use frontier::Frontier;

use crate::ids::Hash;

/// The hash of an entry, as a leaf.
pub fn leaf(entry: &[u8]) -> Hash {
    Hash::of_parts(&[&[0], entry])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[&[1], &left.0, &right.0])
}

/// Splits at the largest power of two below the length; `None` for fewer than two leaves.
fn halves(leaves: &[Hash]) -> Option<(&[Hash], &[Hash])> {
    if leaves.len() < 2 {
        return None;
    }
    leaves.split_at_checked(leaves.len().next_power_of_two() / 2)
}

/// The root over leaf hashes; for an empty tree the hash of no bytes. One hash a leaf, no memory but a stack of log₂ n.
pub fn root(leaves: &[Hash]) -> Hash {
    match (halves(leaves), leaves.first()) {
        (Some((left, right)), _) => node(&root(left), &root(right)),
        (None, Some(only)) => *only,
        (None, None) => Hash::of(&[]),
    }
}

/// The proof that the leaf at `index` is in the tree, from the leaf upward; `None` if there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut index = usize::try_from(index).ok().filter(|i| *i < leaves.len())?;
    let mut rest = leaves;
    let mut proof = Vec::new();
    while let Some((left, right)) = halves(rest) {
        if index < left.len() {
            proof.push(root(right));
            rest = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            rest = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the first `old_size` leaves are the beginning of the tree; `None` if it has fewer. It is empty for an
/// old size of 0 and for the whole tree.
pub fn consistency_proof(leaves: &[Hash], old_size: u64) -> Option<Vec<Hash>> {
    let mut old = usize::try_from(old_size).ok().filter(|m| *m <= leaves.len())?;
    let mut proof = Vec::new();
    if old == 0 {
        return Some(proof);
    }
    let mut rest = leaves;
    // Whether `rest` still begins where the tree begins: then the old root is known to who verifies.
    let mut at_start = true;
    while old < rest.len()
        && let Some((left, right)) = halves(rest)
    {
        if old <= left.len() {
            proof.push(root(right));
            rest = left;
        } else {
            proof.push(root(left));
            old -= left.len();
            rest = right;
            at_start = false;
        }
    }
    if !at_start {
        proof.push(root(rest));
    }
    proof.reverse();
    Some(proof)
}

/// Where a path stands: the place of its node at this height, and that of the last node.
struct Climb {
    place: u64,
    last: u64,
}

impl Climb {
    fn up(&mut self) {
        self.place >>= 1;
        self.last >>= 1;
    }

    /// Whether the next sibling is on the left. If the node is the last and has no sibling, climbs to where it has one.
    fn sibling_is_left(&mut self) -> bool {
        if self.place & 1 == 0 && self.place != self.last {
            return false;
        }
        while self.place & 1 == 0 && self.place != 0 {
            self.up();
        }
        true
    }
}

/// Whether the proof shows that the leaf is at `index` of the tree with this size and root. The size must be trusted.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut climb = Climb { place: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        if climb.last == 0 {
            return false;
        }
        hash = if climb.sibling_is_left() { node(sibling, &hash) } else { node(&hash, sibling) };
        climb.up();
    }
    climb.last == 0 && hash == *root
}

/// Whether the proof shows that the old tree is the beginning of the new one. The sizes must be trusted.
///
/// Two cases are not in the RFC. Trees of one size are consistent if the roots are equal and the proof is empty. The
/// empty tree, with its own root and an empty proof, is the beginning of every tree: that says nothing about the new
/// root.
pub fn verify_consistency(old_size: u64, new_size: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> bool {
    let empty = Hash::of(&[]);
    if old_size > new_size || (new_size == 0 && *new_root != empty) {
        return false;
    }
    if old_size == 0 {
        return proof.is_empty() && *old_root == empty;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    // An old tree of 2^k leaves is a node of the new one, so the proof leaves its root out.
    let (start, path) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some((first, path)) => (first, path),
        None => return false,
    };
    let mut climb = Climb { place: old_size - 1, last: new_size - 1 };
    while climb.place & 1 == 1 {
        climb.up();
    }
    let (mut old, mut new) = (*start, *start);
    for sibling in path {
        if climb.last == 0 {
            return false;
        }
        if climb.sibling_is_left() {
            old = node(sibling, &old);
            new = node(sibling, &new);
        } else {
            new = node(&new, sibling);
        }
        climb.up();
    }
    climb.last == 0 && old == *old_root && new == *new_root
}

#[cfg(test)]
mod tests;
