//! The keys of state: a slot in memory, and its bytes in a backend.
//!
//! ```text
//!   table (1 byte) │ key group (2) │ window (8) │ group (4) │ patient (16)      all big-endian, in the order of numbers
//! ```

use std::hash::{BuildHasher, Hasher};

use crate::batch::Key;

/// How many key groups there are. It is part of the format of checkpoints and savepoints: state moves between any
/// numbers of shards by whole key groups.
pub const KEY_GROUPS: u16 = 128;

/// In place of a patient: what belongs to a key group as a whole. A patient's pseudonym is one of these with a chance of
/// 2⁻¹¹², and would then only stand in another key group.
const MARK: Key = !0xffff;

/// What belongs to a key group as a whole, in place of a patient.
pub(crate) fn marked(key_group: u16) -> Key {
    MARK | Key::from(key_group)
}

/// Where a value of keyed state stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// The start of the window or pane, in microseconds, or 0.
    pub window: i64,
    /// The group, or 0.
    pub group: u32,
    /// The patient, or 0.
    pub key: Key,
}

impl SlotKey {
    /// The key group: by the patient, and by the group where there is no patient.
    pub fn key_group(&self) -> u16 {
        match self.key {
            0 => key_group(u128::from(self.group)),
            key if key & MARK == MARK => (key & 0xffff) as u16 % KEY_GROUPS,
            key => key_group(key),
        }
    }

    /// Its bytes in the table.
    pub fn bytes_of(&self, table: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(31);
        out.push(table);
        out.extend(self.key_group().to_be_bytes());
        out.extend(((self.window as u64) ^ (1 << 63)).to_be_bytes());
        out.extend(self.group.to_be_bytes());
        out.extend(self.key.to_be_bytes());
        out
    }

    /// Reads the bytes again.
    pub(crate) fn read(bytes: &[u8]) -> Option<SlotKey> {
        let bytes: &[u8; 31] = bytes.try_into().ok()?;
        let window = u64::from_be_bytes(bytes[3..11].try_into().ok()?) ^ (1 << 63);
        let group = u32::from_be_bytes(bytes[11..15].try_into().ok()?);
        let key = Key::from_be_bytes(bytes[15..].try_into().ok()?);
        Some(SlotKey { window: window as i64, group, key })
    }
}

/// The key group of a key: the same on every machine and in every version.
pub fn key_group(key: Key) -> u16 {
    let folded = mix(key as u64 ^ mix((key >> 64) as u64));
    (folded >> 32) as u16 % KEY_GROUPS
}

/// A step of `SplitMix64` (Steele, Lea, Flood 2014): a one-to-one map of 64 bits that spreads each over all.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hashes slots in memory. Keys are pseudonyms made with the hospital's secret, so nobody outside can choose them to collide.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u64(u64::from(*b));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64 ^ ((n >> 64) as u64).rotate_left(32));
    }
}

impl BuildHasher for Spread {
    type Hasher = Spread;

    fn build_hasher(&self) -> Spread {
        *self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_keep_the_slot_and_its_order(a: (i64, u32, u128), b: (i64, u32, u128)) {
            let slot = |(window, group, key): (i64, u32, u128)| SlotKey { window, group, key };
            let (a, b) = (slot(a), slot(b));
            prop_assert!(SlotKey::read(&a.bytes_of(1)) == Some(a));
            if a.key_group() == b.key_group() {
                prop_assert_eq!(a < b, a.bytes_of(1) < b.bytes_of(1));
            }
        }
    }

    /// Part of the format: a change would lose every savepoint.
    #[test]
    fn key_groups_are_as_they_were_and_even() {
        assert_eq!([0, 1, 2, 1 << 64, u128::MAX].map(key_group), GOLDEN);
        let mut of = vec![0u32; usize::from(KEY_GROUPS)];
        (0..128_000).for_each(|k| of[usize::from(key_group(k))] += 1);
        assert!(of.iter().all(|n| (850..1150).contains(n)), "{of:?}");
    }

    const GOLDEN: [u16; 5] = [47, 40, 116, 8, 62];
}
