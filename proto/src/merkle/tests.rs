//! The vectors of certificate transparency, and every proof of every tree of up to 70 leaves.

use proptest::prelude::*;

use super::*;

/// The inputs and roots of the reference implementation of certificate transparency, `merkle_tree_test.cc`.
const INPUTS: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn text(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(Hash::to_string).collect()
}

#[test]
fn reference_vectors() {
    let leaves: Vec<Hash> = INPUTS.iter().map(|i| leaf(i)).collect();
    for (size, wanted) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..size]).to_string(), *wanted, "{size} leaves");
    }
    assert_eq!(
        text(&inclusion_proof(&leaves, 0).unwrap()),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        text(&inclusion_proof(&leaves, 5).unwrap()),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(text(&consistency_proof(&leaves, 1).unwrap()), text(&inclusion_proof(&leaves, 0).unwrap()));
    assert_eq!(
        text(&consistency_proof(&leaves, 6).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        text(&consistency_proof(&leaves[..5], 2).unwrap()),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

const MOST: u64 = 70;

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
}

/// The largest power of two below a size of at least 2.
fn below(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The sides of the siblings from the leaf upward, by the definition of the tree; `true` is left.
fn sides(index: u64, size: u64) -> Vec<bool> {
    if size < 2 {
        return Vec::new();
    }
    let k = below(size);
    let (mut path, left) = if index < k { (sides(index, k), false) } else { (sides(index - k, size - k), true) };
    path.push(left);
    path
}

/// The same for a consistency proof by the definition of `SUBPROOF`, with whether the old root is left out.
fn shape(old: u64, size: u64, at_start: bool) -> (bool, Vec<bool>) {
    if old == size {
        return (at_start, Vec::new());
    }
    let k = below(size);
    let left = old > k;
    let (known, mut path) = if left { shape(old - k, size - k, false) } else { shape(old, k, at_start) };
    path.push(left);
    (known, path)
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = hash.0;
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash(bytes)
}

/// Proofs that are wrong in one place: an element changed, dropped, added, or two of them exchanged.
fn wrong_proofs(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut wrong = Vec::new();
    for i in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[i] = flipped(&proof[i], i * 37 + 5);
        let mut dropped = proof.to_vec();
        dropped.remove(i);
        wrong.extend([changed, dropped]);
        if i > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(i - 1, i);
            wrong.push(swapped);
        }
    }
    for i in [0, proof.len()] {
        let mut longer = proof.to_vec();
        longer.insert(i, leaf(b"more"));
        wrong.push(longer);
    }
    wrong
}

#[test]
fn every_inclusion_proof_verifies_and_no_other() {
    let all = leaves(MOST);
    let three = inclusion_proof(&all[..3], 0).unwrap();
    assert!(verify_inclusion(&all[0], 0, 4, &three, &root(&all[..3])), "the example of the module's comment");
    for size in 1..=MOST {
        let tree = &all[..size as usize];
        let top = root(tree);
        assert_eq!(inclusion_proof(tree, size), None);
        for index in 0..size {
            let of = &tree[index as usize];
            let proof = inclusion_proof(tree, index).unwrap();
            assert!(verify_inclusion(of, index, size, &proof, &top), "{index} of {size}");
            assert!(!verify_inclusion(&flipped(of, 9), index, size, &proof, &top));
            assert!(!verify_inclusion(of, index, size, &proof, &flipped(&top, 200)));
            for other in (0..=size + 1).filter(|i| *i != index) {
                assert!(!verify_inclusion(of, other, size, &proof, &top), "{index} of {size} as {other}");
            }
            // A root does not hold its size: another size verifies if and only if the path is the same.
            for other in (0..=2 * size + 2).filter(|n| *n != size) {
                let same = index < other && sides(index, other) == sides(index, size);
                assert_eq!(verify_inclusion(of, index, other, &proof, &top), same, "{index} of {size} as of {other}");
            }
            for wrong in wrong_proofs(&proof) {
                assert!(!verify_inclusion(of, index, size, &wrong, &top));
            }
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_no_other() {
    let all = leaves(MOST);
    let roots: Vec<Hash> = (0..=MOST as usize).map(|n| root(&all[..n])).collect();
    for new in 0..=MOST {
        let tree = &all[..new as usize];
        let new_root = &roots[new as usize];
        assert_eq!(consistency_proof(tree, new + 1), None);
        for old in 0..=new {
            let old_root = &roots[old as usize];
            let proof = consistency_proof(tree, old).unwrap();
            assert!(verify_consistency(old, new, old_root, new_root, &proof), "{old} in {new}");
            assert!(!verify_consistency(old, new, &flipped(old_root, 77), new_root, &proof));
            for wrong in wrong_proofs(&proof) {
                assert!(!verify_consistency(old, new, old_root, new_root, &wrong), "{old} in {new}");
            }
            if old == 0 {
                let other = verify_consistency(0, new, old_root, &flipped(new_root, 3), &proof);
                assert_eq!(other, new > 0, "the empty tree begins every tree, and is alone in its size");
                continue;
            }
            assert!(!verify_consistency(old, new, old_root, &flipped(new_root, 3), &proof));
            let same = |m: u64, n: u64| match (m == n, old == new) {
                (false, false) => 0 < m && m < n && shape(m, n, true) == shape(old, new, true),
                (one, two) => m > 0 && one && two,
            };
            for other in 0..=new + 2 {
                let ok = verify_consistency(other, new, old_root, new_root, &proof);
                assert_eq!(ok, same(other, new), "{old} in {new} as {other}");
                let ok = verify_consistency(old, other, old_root, new_root, &proof);
                assert_eq!(ok, same(old, other), "{old} in {new} as in {other}");
            }
        }
    }
}

#[test]
fn a_rewritten_log_is_not_consistent() {
    let old = leaves(20);
    for changed in 0..20 {
        let mut new = leaves(33);
        new[changed] = leaf(b"rewritten");
        let proof = consistency_proof(&new, 20).unwrap();
        assert!(!verify_consistency(20, 33, &root(&old), &root(&new), &proof), "entry {changed}");
    }
}

fn hashes() -> impl Strategy<Value = Vec<Hash>> {
    prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70)
}

/// Any number, with the small and the largest as likely as the rest.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..200u64, (0..200u64).prop_map(|d| u64::MAX - d), (0..64u32).prop_map(|k| 1 << k)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Random proofs never verify and never panic, whatever the size.
    #[test]
    fn random_proofs(a in sizes(), b in sizes(), h in any::<[u8; 32]>(), r in any::<[u8; 32]>(), proof in hashes()) {
        let (h, r) = (Hash(h), Hash(r));
        prop_assert!(!verify_inclusion(&h, a, b, &proof, &r));
        prop_assert!(!verify_consistency(a, b, &h, &r, &proof));
        prop_assert_eq!(inclusion_proof(&proof, a).is_some(), a < proof.len() as u64);
        prop_assert_eq!(consistency_proof(&proof, a).is_some(), a <= proof.len() as u64);
    }

    /// A path in a tree far too large to build: hashed upward by the definition, it verifies.
    #[test]
    fn huge_trees(size in sizes(), at in any::<u64>(), h in any::<[u8; 32]>(), seed in any::<[u8; 32]>()) {
        prop_assume!(size > 0);
        let (index, h) = (at % size, Hash(h));
        let path = sides(index, size);
        let proof: Vec<Hash> = (0..path.len()).map(|i| Hash::of_parts(&[&seed, &[i as u8]])).collect();
        let climb = |h, (left, s): (&bool, &Hash)| if *left { node(s, &h) } else { node(&h, s) };
        let top = path.iter().zip(&proof).fold(h, climb);
        prop_assert!(verify_inclusion(&h, index, size, &proof, &top));
        prop_assert!(proof.is_empty() || !verify_inclusion(&h, index, size, &proof[1..], &top));
    }

    /// One random change anywhere in a true statement makes it false.
    #[test]
    fn one_change(n in 1..=MOST, at in any::<u64>(), bit in 0..256usize, which in any::<prop::sample::Index>()) {
        let tree = leaves(n);
        let (index, top) = (at % n, root(&tree));
        let proof = inclusion_proof(&tree, index).unwrap();
        prop_assert!(verify_inclusion(&tree[index as usize], index, n, &proof, &top));
        if !proof.is_empty() {
            let mut changed = proof.clone();
            let slot = which.get_mut(&mut changed);
            *slot = flipped(slot, bit);
            prop_assert!(!verify_inclusion(&tree[index as usize], index, n, &changed, &top));
        }
        let old_root = root(&tree[..index as usize + 1]);
        let mut proof = consistency_proof(&tree, index + 1).unwrap();
        prop_assert!(verify_consistency(index + 1, n, &old_root, &top, &proof));
        if !proof.is_empty() {
            let slot = which.get_mut(&mut proof);
            *slot = flipped(slot, bit);
            prop_assert!(!verify_consistency(index + 1, n, &old_root, &top, &proof));
        }
    }
}
