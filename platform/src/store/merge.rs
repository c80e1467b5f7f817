//! Values that join: sums, sets of bits, largest bytes. A stored value of this kind says by its first byte how it joins.
//!
//! All three are associative and commutative, so that the order in which a store joins them does not matter.

/// Whole numbers, eight bytes each, little-endian, that are added. Overflow wraps, so that the order never matters.
const SUM: u8 = 1;
/// Bytes of which each bit is set once any has it.
const UNION: u8 = 2;
/// Bytes of which the largest at each place stays.
const LARGEST: u8 = 3;

/// The value of sums.
pub fn sums(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 8 * numbers.len());
    out.push(SUM);
    numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
    out
}

/// The sums of a value.
pub fn read_sums(value: &[u8]) -> Option<Vec<i64>> {
    let (chunks, rest) = value.strip_prefix(&[SUM])?.as_chunks::<8>();
    rest.is_empty().then(|| chunks.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

/// The value of a set of bits.
pub fn union(bits: &[u8]) -> Vec<u8> {
    [&[UNION], bits].concat()
}

/// The bits of a value.
pub fn read_union(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(&[UNION])
}

/// The value of largest bytes.
pub fn largest(bytes: &[u8]) -> Vec<u8> {
    [&[LARGEST], bytes].concat()
}

/// The largest bytes of a value.
pub fn read_largest(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(&[LARGEST])
}

/// Two values joined; the shorter counts as padded with zeros. `None` where they are not of one kind.
pub fn joined(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let (kind, longer, shorter) = match (a.split_first()?, b.split_first()?) {
        ((x, a), (y, b)) if x == y => {
            if a.len() >= b.len() {
                (*x, a, b)
            } else {
                (*x, b, a)
            }
        }
        _ => return None,
    };
    let bytes = |join: fn(u8, u8) -> u8| {
        let shorter = shorter.iter().copied().chain(std::iter::repeat(0));
        std::iter::once(kind).chain(longer.iter().zip(shorter).map(|(x, y)| join(*x, y))).collect()
    };
    match kind {
        SUM => {
            let mut numbers = read_sums(&[&[SUM], longer].concat())?;
            for (n, more) in numbers.iter_mut().zip(read_sums(&[&[SUM], shorter].concat())?) {
                *n = n.wrapping_add(more);
            }
            Some(sums(&numbers))
        }
        UNION => Some(bytes(|x, y| x | y)),
        LARGEST => Some(bytes(u8::max)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joining_has_no_order(kind in 0usize..3, parts in prop::collection::vec(prop::collection::vec(any::<i64>(), 0..4), 1..6)) {
            let value = |n: &Vec<i64>| {
                let bytes: Vec<u8> = n.iter().flat_map(|n| n.to_le_bytes()).collect();
                match kind { 0 => sums(n), 1 => union(&bytes), _ => largest(&bytes) }
            };
            let values: Vec<_> = parts.iter().map(value).collect();
            let fold = |v: &mut dyn Iterator<Item = &Vec<u8>>| {
                let first = v.next().unwrap().clone();
                v.fold(first, |a, b| joined(&a, b).unwrap())
            };
            prop_assert_eq!(fold(&mut values.iter()), fold(&mut values.iter().rev()));
            prop_assert_eq!(joined(&values[0], &[9, 9]), None);
        }
    }
}
