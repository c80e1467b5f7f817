//! The coordinator's side: it adds masked inputs up, and takes the masks away with what the survivors reveal. It learns the sum
//! over the survivors and nothing else of any input.

use std::collections::{BTreeMap, BTreeSet};

use super::SecaggError;
use super::agreement::Pair;
use super::party::sign;
use super::shamir::{Share, combine};
use super::stream::{Mask, Sign, apply};
use super::terms::{Keys, Reveal, Secret, Terms, commitment, pair_mask_key, self_mask_key};

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
    shared: &BTreeSet<u32>,
    survivors: &BTreeSet<u32>,
    reveals: &[Reveal],
    sum: &mut [u64],
    threads: usize,
) -> Result<(), SecaggError> {
    if survivors.len() < terms.threshold || !survivors.is_subset(shared) {
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
    for place in shared {
        let shares = found.get(place).map(Vec::as_slice).unwrap_or_default();
        if survivors.contains(place) {
            let fits = |seed: &[u8; 32]| {
                Ok(keys
                    .of(*place)
                    .is_some_and(|a| commitment(&terms.instance, *place, seed).is_ok_and(|c| c == a.commitment)))
            };
            let seed = secret(shares, t, fits)?;
            masks.push(Mask { key: self_mask_key(&terms.instance, *place, &seed)?, sign: Sign::Minus });
            continue;
        }
        let fits = |s: &[u8; 32]| {
            Ok(keys.of(*place).is_some_and(|a| Pair::from_secret(s).is_ok_and(|p| p.public == a.mask_key)))
        };
        let pair = Pair::from_secret(&*secret(shares, t, fits)?)?;
        for peer in keys.neighbours(*place).intersection(survivors) {
            let other = keys.of(*peer).ok_or(SecaggError::Message("a survivor has no keys"))?;
            let key = pair_mask_key(&terms.instance, *place, *peer, &*pair.agree(&other.mask_key)?)?;
            // The survivor's own sign, undone.
            let undo = if sign(*peer, *place) == Sign::Plus { Sign::Minus } else { Sign::Plus };
            masks.push(Mask { key, sign: undo });
        }
    }
    apply(sum, &masks, threads);
    Ok(())
}

/// The secret that fits what was advertised: of all shares where they agree, else of the first run of `t` that gives it, so that
/// a wrong share is passed over where there is one to spare.
fn secret(
    shares: &[(u32, Share)],
    t: usize,
    fits: impl Fn(&[u8; 32]) -> Result<bool, SecaggError>,
) -> Result<zeroize::Zeroizing<[u8; 32]>, SecaggError> {
    if shares.len() < t {
        return Err(SecaggError::TooFew { phase: "Unmasking", given: shares.len(), needed: t });
    }
    for from in 0..shares.len() {
        let run: Vec<(u32, Share)> = shares.iter().cycle().skip(from).take(t).cloned().collect();
        if let Ok(secret) = combine(&run, t)
            && fits(&secret)?
        {
            return Ok(secret);
        }
    }
    Err(SecaggError::Message("the revealed shares give no secret that was advertised"))
}
