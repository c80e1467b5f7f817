//! Which items of a patient count, where there are more than the bound: those with the least keyed hash. The choice is the same
//! each time it is asked for, so asking again reveals no more, and nobody without the site's key can foresee it.

use std::path::Path;

use aws_lc_rs::hmac;
use proto::Hash;
use summaries::top_codes::Key;

/// The key of the choices of one plan, from the site's secret; none without the secret.
pub fn salt(secret: &Path, plan: Hash) -> Option<[u8; 32]> {
    let secret = std::fs::read(secret).ok().filter(|s| s.len() == 32)?;
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &[b"insitu bound v1\0".as_slice(), &plan.0].concat());
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    Some(out)
}

/// An item that is chosen by its bytes.
pub trait Item: Ord + Copy {
    /// The bytes.
    fn bytes(&self) -> impl AsRef<[u8]>;
}

impl Item for u32 {
    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Item for Key {
    fn bytes(&self) -> impl AsRef<[u8]> {
        *self
    }
}

/// At most `most` distinct items of a patient, in the order of the items.
pub fn choose<T: Item>(salt: &[u8; 32], patient: &[u8], items: &[T], most: usize) -> Vec<T> {
    let mut distinct: Vec<T> = items.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() <= most {
        return distinct;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
    let mut ranked: Vec<(Vec<u8>, T)> = distinct
        .into_iter()
        .map(|i| (hmac::sign(&key, &[patient, i.bytes().as_ref()].concat()).as_ref().to_vec(), i))
        .collect();
    ranked.sort();
    let mut chosen: Vec<T> = ranked.into_iter().take(most).map(|(_, i)| i).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bounded_deterministic_and_blind_to_order(mut items in prop::collection::vec(0u32..40, 0..60), most in 1usize..10) {
            let a = choose(&[1; 32], b"p", &items, most);
            items.reverse();
            prop_assert_eq!(&a, &choose(&[1; 32], b"p", &items, most));
            prop_assert!(a.len() <= most && a.iter().all(|i| items.contains(i)));
        }
    }

    #[test]
    fn the_key_and_the_patient_decide() {
        let items: Vec<u32> = (0..100).collect();
        let a = choose(&[1; 32], b"p", &items, 5);
        assert_ne!(a, choose(&[2; 32], b"p", &items, 5));
        assert_ne!(a, choose(&[1; 32], b"q", &items, 5));
    }
}
