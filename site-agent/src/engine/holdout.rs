//! Which patients a model is not trained on: those whose keyed hash is small. The choice is the same in every round and for every study of
//! this site, so a question that is answered from the bytes of an equal one is of the same patients; and nobody without the site's key can
//! foresee it.

use std::path::Path;

use aws_lc_rs::hmac;

/// The level of who is trained on, of who is held out to the end, and of who says when to stop.
const TRAIN: u32 = 0;
const TEST: u32 = 1;
const VALIDATE: u32 = 2;

/// The key of the choice, from the site's secret; none without the secret.
pub(super) fn key(secret: &Path) -> Option<hmac::Key> {
    let secret = std::fs::read(secret).ok().filter(|s| s.len() == 32)?;
    let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), b"insitu holdout v1\0");
    Some(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
}

/// The group of a patient, where so large a share is tested, and one so large validates beside it. The tested of a smaller share are among those of a
/// larger one.
pub(super) fn group(key: &hmac::Key, person: &[u8], [test, validate]: [f64; 2]) -> u32 {
    let tag = hmac::sign(key, person);
    let bytes = tag.as_ref().first_chunk::<8>().copied().unwrap_or([u8::MAX; 8]);
    // In [0, 1), of 53 bits.
    let place = (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64;
    match place {
        p if p < test => TEST,
        // From the other end, so that whoever was tested in one study validates in none with the same test share.
        p if p >= 1.0 - validate => VALIDATE,
        _ => TRAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_held_out_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, [7u8; 32]).unwrap();
        std::fs::write(&other, [8u8; 32]).unwrap();
        let (a, b) = (key(&file).unwrap(), key(&other).unwrap());
        let people: Vec<[u8; 4]> = (0..20_000u32).map(u32::to_le_bytes).collect();
        let of = |key: &hmac::Key, share: f64| people.iter().map(|p| group(key, p, [share, 0.0])).collect::<Vec<_>>();
        let fifth = of(&a, 0.2);
        let held = fifth.iter().filter(|g| **g == TEST).count();
        // Six standard deviations of a binomial.
        assert!((3_660..=4_340).contains(&held), "{held}");
        assert!(fifth == of(&a, 0.2) && fifth != of(&b, 0.2));
        assert!(fifth.iter().zip(of(&a, 0.5)).all(|(small, large)| *small <= large));
        assert!(of(&a, 0.0).iter().all(|g| *g == TRAIN) && of(&a, 1.0).iter().all(|g| *g == TEST));
        let three: Vec<u32> = people.iter().map(|p| group(&a, p, [0.2, 0.1])).collect();
        assert!(three.iter().zip(&fifth).all(|(t, f)| (*t == TEST) == (*f == TEST)));
        let validate = three.iter().filter(|g| **g == VALIDATE).count();
        assert!((1_740..=2_260).contains(&validate), "{validate}");
        assert!(key(&folder.path().join("none")).is_none());
    }
}
