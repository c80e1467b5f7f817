//! The coordinator's side: it adds masked inputs up, and takes the masks away with what the survivors reveal. It learns the sum
//! over the survivors and nothing else of any input.

use std::collections::{BTreeMap, BTreeSet};

use super::SecaggError;
use super::agreement::Pair;
use super::party::sign;
use super::shamir::{Share, combine};
use super::stream::{Mask, Sign, Words, apply};
use super::terms::{Keys, Reveal, Secret, Shared, Terms, commitment, pair_mask_key, self_mask_key};

/// Adds a masked input to the running sum, modulo 2^64; `false` where the lengths differ.
#[must_use]
pub fn add(sum: &mut [u64], masked: &[u64]) -> bool {
    if sum.len() != masked.len() {
        return false;
    }
    sum.iter_mut().zip(masked).for_each(|(a, b)| *a = a.wrapping_add(*b));
    true
}

/// Takes the masks from the sum over `survivors`. `shared` are the parties whose shares were handed on in ShareKeys.
///
/// # Errors
/// Too few reveals, or shares that give no secret that fits what was advertised. The sum is then of no use.
pub fn unmask(
    terms: &Terms,
    keys: &Keys,
    shared: &Shared,
    survivors: &BTreeSet<u32>,
    reveals: &[Reveal],
    sum: &mut [u64],
    threads: usize,
) -> Result<(), SecaggError> {
    if survivors.len() < terms.threshold || !survivors.is_subset(&shared.places) {
        let (given, needed) = (survivors.len(), terms.threshold);
        return Err(SecaggError::TooFew { phase: "MaskedInputCollection", given, needed });
    }
    let revealing: BTreeSet<u32> = reveals.iter().map(|r| r.place).collect();
    if revealing.len() < terms.threshold || revealing.len() != reveals.len() || !revealing.is_subset(survivors) {
        return Err(SecaggError::TooFew { phase: "Unmasking", given: revealing.len(), needed: terms.threshold });
    }
    let mut found: BTreeMap<u32, Vec<(u32, Share)>> = BTreeMap::new();
    for reveal in reveals {
        for share in &reveal.shares {
            let due = if survivors.contains(&share.of) { Secret::SelfMask } else { Secret::MaskKey };
            if share.secret != due {
                return Err(SecaggError::Message("a share of the wrong secret was revealed"));
            }
            found.entry(share.of).or_default().push((reveal.place, share.share.clone()));
        }
    }
    let t = keys.graph.threshold(terms.threshold);
    let mut masks = Vec::new();
    let mut hint = BTreeSet::new();
    for place in &shared.places {
        let shares = found.get(place).map(Vec::as_slice).unwrap_or_default();
        if survivors.contains(place) {
            let fits = |seed: &[u8; 32]| {
                Ok(keys
                    .of(*place)
                    .is_some_and(|a| commitment(&terms.instance, *place, seed).is_ok_and(|c| c == a.commitment)))
            };
            let seed = secret(*place, shares, t, &mut hint, fits)?;
            masks.push(Mask { key: self_mask_key(&terms.instance, *place, &seed)?, sign: Sign::Minus });
            continue;
        }
        let fits = |s: &[u8; 32]| {
            Ok(keys.of(*place).is_some_and(|a| Pair::from_secret(s).is_ok_and(|p| p.public == a.mask_key)))
        };
        let pair = Pair::from_secret(&*secret(*place, shares, t, &mut hint, fits)?)?;
        for peer in keys.neighbours(*place).intersection(survivors) {
            let other = keys.of(*peer).ok_or(SecaggError::Message("a survivor has no keys"))?;
            let key = pair_mask_key(&terms.instance, (*place, *peer), &*pair.agree(&other.mask_key)?, shared)?;
            // The survivor's own sign, undone.
            let undo = if sign(*peer, *place) == Sign::Plus { Sign::Minus } else { Sign::Plus };
            masks.push(Mask { key, sign: undo });
        }
    }
    apply(sum, &masks, threads);
    Ok(())
}

/// How many chosen-at-random groups of shares are tried where no run of them fits. With two wrong shares of forty and a threshold of
/// 27 a group is good with probability 0.1; with four, 0.008.
const TRIES: usize = 2_000;

/// The secret that fits what was advertised, from the first group of `t` shares that gives it, so that wrong shares are passed over
/// where there are some to spare. The group that gave the last one is tried first: it is a hint, and blames nobody, since liars could
/// agree on errors that cancel in one group.
fn secret(
    of: u32,
    shares: &[(u32, Share)],
    t: usize,
    hint: &mut BTreeSet<u32>,
    fits: impl Fn(&[u8; 32]) -> Result<bool, SecaggError>,
) -> Result<zeroize::Zeroizing<[u8; 32]>, SecaggError> {
    if shares.len() < t {
        return Err(SecaggError::TooFew { phase: "Unmasking", given: shares.len(), needed: t });
    }
    let mut group = shares.to_vec();
    group.sort_by_key(|(place, _)| !hint.contains(place));
    let length = group.len();
    // Which groups are tried is no secret.
    let mut words = Words::new(&[7; 32]);
    for turn in 0..length + TRIES {
        if turn < length {
            group.rotate_left(usize::from(turn > 0));
        } else {
            for i in (1..length).rev() {
                group.swap(i, usize::try_from(words.next() % (i as u64 + 1)).unwrap_or_default());
            }
        }
        let (own, _) = group.split_at(t);
        if let Ok(secret) = combine(own, t)
            && fits(&secret)?
        {
            *hint = own.iter().map(|(place, _)| *place).collect();
            return Ok(secret);
        }
    }
    Err(SecaggError::Secret { of, spare: length - t })
}
