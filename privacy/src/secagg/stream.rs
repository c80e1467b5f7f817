//! ChaCha20 (RFC 8439) as a generator: masks over lanes, and words for the coefficients of shares.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use zeroize::Zeroize as _;

/// Bytes of a keystream that are made at once: they stay in the first cache.
const BLOCK_LANES: usize = 512;

/// A key is used for one stream and never again, so the nonce is zero.
fn cipher(key: &[u8; 32]) -> ChaCha20 {
    ChaCha20::new(key.into(), &[0; 12].into())
}

/// Words of a keystream.
pub(crate) struct Words {
    cipher: ChaCha20,
}

impl Words {
    pub(crate) fn new(key: &[u8; 32]) -> Words {
        Words { cipher: cipher(key) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let mut word = [0; 8];
        self.cipher.apply_keystream(&mut word);
        u64::from_le_bytes(word)
    }
}

/// Whether a mask is added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

/// A mask: the keystream of a key as 64-bit words, added or taken away.
pub(crate) struct Mask {
    pub(crate) key: zeroize::Zeroizing<[u8; 32]>,
    pub(crate) sign: Sign,
}

/// Adds masks to lanes, modulo 2^64, on so many threads. Each thread owns a run of lanes and goes through it block by block.
pub(crate) fn apply(lanes: &mut [u64], masks: &[Mask], threads: usize) {
    let run = lanes.len().div_ceil(threads.max(1)).max(BLOCK_LANES);
    if lanes.len() <= run {
        return apply_run(lanes, 0, masks);
    }
    std::thread::scope(|scope| {
        for (i, part) in lanes.chunks_mut(run).enumerate() {
            scope.spawn(move || apply_run(part, i * run, masks));
        }
    });
}

fn apply_run(lanes: &mut [u64], from: usize, masks: &[Mask]) {
    let mut ciphers: Vec<(ChaCha20, Sign)> = masks
        .iter()
        .map(|mask| {
            let mut c = cipher(&mask.key);
            c.seek(from as u64 * 8);
            (c, mask.sign)
        })
        .collect();
    let mut block = [0u8; BLOCK_LANES * 8];
    for chunk in lanes.chunks_mut(BLOCK_LANES) {
        for (cipher, sign) in &mut ciphers {
            block.fill(0);
            let Some(bytes) = block.get_mut(..chunk.len() * 8) else { continue };
            cipher.apply_keystream(bytes);
            for (lane, word) in chunk.iter_mut().zip(bytes.chunks_exact(8)) {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                *lane = match sign {
                    Sign::Plus => lane.wrapping_add(word),
                    Sign::Minus => lane.wrapping_sub(word),
                };
            }
        }
    }
    block.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn mask(byte: u8, sign: Sign) -> Mask {
        Mask { key: Zeroizing::new([byte; 32]), sign }
    }

    /// RFC 8439, section 2.4.2's key stream begins so for the zero key, nonce and counter (appendix A.1, vector 1).
    #[test]
    fn the_keystream_is_the_standards() {
        let mut lanes = [0; 2];
        apply(&mut lanes, &[mask(0, Sign::Plus)], 1);
        assert_eq!(lanes[0].to_le_bytes(), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(lanes[1].to_le_bytes(), [0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn threads_and_order_change_nothing_and_opposite_masks_cancel(n in 0usize..3000, threads in 1usize..5) {
            let masks = [mask(1, Sign::Plus), mask(2, Sign::Minus), mask(3, Sign::Plus)];
            let undo = [mask(3, Sign::Minus), mask(1, Sign::Minus), mask(2, Sign::Plus)];
            let mut one = vec![7u64; n];
            let mut many = one.clone();
            apply(&mut one, &masks, 1);
            apply(&mut many, &masks, threads);
            prop_assert_eq!(&one, &many);
            apply(&mut many, &undo, threads);
            prop_assert_eq!(many, vec![7u64; n]);
        }
    }
}
