//! What every party of an aggregation agrees on, and the messages of its phases.

use super::agreement::{agreeable, derive};
use super::graph::Graph;
use super::identity::Identity;
use super::shamir::SHARE_BYTES;
use super::{Instance, SecaggError};
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

const ADVERTISE: &[u8] = b"insitu secagg advertise v1\0";
const CONSENT: &[u8] = b"insitu secagg consent v2\0";

/// What every party of one instance agrees on. A party is named by its place in the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The hash of the round's manifest: query, parameters, cohort, charge, model, round, attempt and roster.
    pub instance: Instance,
    /// The parties' identities, by place.
    pub roster: Vec<Identity>,
    /// How many must come through for anything to be learned.
    pub threshold: usize,
    /// How many may help the coordinator.
    pub colluders: usize,
}

/// The threshold for so many parties: more than two thirds.
pub fn default_threshold(parties: usize) -> usize {
    parties * 2 / 3 + 1
}

impl Terms {
    /// Checked terms: distinct identities, at least two, and a threshold that no two disjoint groups of signers can both reach
    /// though `colluders` sign twice: 2t > n + c. Then no round can be unmasked for two sets of survivors.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn new(
        instance: Instance,
        roster: Vec<Identity>,
        threshold: usize,
        colluders: usize,
    ) -> Result<Terms, SecaggError> {
        let n = roster.len();
        let mut sorted = roster.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if n < 2 || sorted.len() != n || u32::try_from(n).is_err() {
            return Err(SecaggError::Terms("the roster needs two or more parties, each with an identity of its own"));
        }
        if threshold > n || 2 * threshold <= n + colluders || threshold <= colluders {
            return Err(SecaggError::Terms(
                "the threshold must be at most the parties, and twice it above parties and colluders",
            ));
        }
        Ok(Terms { instance, roster, threshold, colluders })
    }

    pub(crate) fn identity(&self, place: u32) -> Option<&Identity> {
        self.roster.get(place as usize)
    }
}

/// AdvertiseKeys: a party's two public keys of the round, signed by its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who.
    pub place: u32,
    /// For the encryption of shares.
    pub cipher_key: [u8; 32],
    /// For pairwise masks.
    pub mask_key: [u8; 32],
    /// A hash of the self-mask's seed, so that a wrong reconstruction is noticed.
    pub commitment: [u8; 32],
    /// Over all of it and the instance.
    pub signature: [u8; 64],
}

impl Advertisement {
    /// The bytes of one on the wire.
    pub const BYTES: usize = 4 + 32 * 3 + 64;

    pub(crate) fn message(&self, instance: &Instance) -> Vec<u8> {
        let place = self.place.to_be_bytes();
        [instance.0.as_slice(), &place, &self.cipher_key, &self.mask_key, &self.commitment].concat()
    }

    pub(crate) fn signed(mut self, instance: &Instance, key: &super::IdentityKey) -> Advertisement {
        self.signature = key.sign(ADVERTISE, &self.message(instance));
        self
    }

    /// Whether it was signed for these terms by the party whose place it names.
    pub fn verifies(&self, terms: &Terms) -> bool {
        terms
            .identity(self.place)
            .is_some_and(|i| i.verifies(ADVERTISE, &self.message(&terms.instance), &self.signature))
    }

    /// Whether a round can work with it beside another: no key is the other's, its own other one, or of small order.
    pub fn stands_beside(&self, other: Option<&Advertisement>) -> bool {
        let own = [self.cipher_key, self.mask_key];
        let others = other.map(|o| [o.cipher_key, o.mask_key]).unwrap_or_default();
        self.cipher_key != self.mask_key && own.iter().all(|k| agreeable(k) && !others.contains(k))
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.place.to_be_bytes().as_slice(), &self.cipher_key, &self.mask_key, &self.commitment, &self.signature]
            .concat()
    }

    /// From bytes; `None` where they are too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Advertisement> {
        let mut rest = bytes;
        let a = Advertisement {
            place: u32::from_be_bytes(take(&mut rest)?),
            cipher_key: take(&mut rest)?,
            mask_key: take(&mut rest)?,
            commitment: take(&mut rest)?,
            signature: take(&mut rest)?,
        };
        rest.is_empty().then_some(a)
    }
}

/// The next `N` bytes.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (own, after) = rest.split_at_checked(N)?;
    *rest = after;
    own.try_into().ok()
}

/// The keys that a round works with: every valid advertisement, by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub(crate) list: Vec<Advertisement>,
    pub(crate) graph: Graph,
    /// A hash of the instance and all of the list: who was told another list is in another round.
    pub(crate) digest: [u8; 32],
}

impl Keys {
    /// Checks the advertisements of a round: signed, in ascending order, no key twice or of small order, at least the threshold.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn new(terms: &Terms, list: Vec<Advertisement>) -> Result<Keys, SecaggError> {
        if list.len() < terms.threshold {
            return Err(SecaggError::TooFew { phase: "AdvertiseKeys", given: list.len(), needed: terms.threshold });
        }
        if list.windows(2).any(|w| matches!(w, [a, b] if a.place >= b.place)) {
            return Err(SecaggError::Message("advertisements are not in the order of their places"));
        }
        let mut keys: Vec<[u8; 32]> = list.iter().flat_map(|a| [a.cipher_key, a.mask_key]).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|w| matches!(w, [a, b] if a == b)) {
            return Err(SecaggError::Message("a public key is advertised twice"));
        }
        if !keys.iter().all(agreeable) {
            return Err(SecaggError::Message("a public key is a point of small order"));
        }
        if !list.iter().all(|a| a.verifies(terms)) {
            return Err(SecaggError::Signature { phase: "AdvertiseKeys" });
        }
        Ok(Keys::kept(terms, list))
    }

    /// The keys of a list that was checked by [`Keys::new`] before, and has lain on the own disk since. Forty signatures take
    /// longer than the rest of a phase.
    pub fn kept(terms: &Terms, list: Vec<Advertisement>) -> Keys {
        let mut context = Context::new(&SHA256);
        context.update(b"insitu secagg graph v1\0");
        list.iter().for_each(|a| context.update(&a.message(&terms.instance)));
        let seed = digest_of(context);
        let graph = Graph::new(list.iter().map(|a| a.place).collect(), terms.colluders, &seed);
        Keys { list, graph, digest: seed }
    }

    /// Who is in.
    pub fn places(&self) -> impl Iterator<Item = u32> {
        self.list.iter().map(|a| a.place)
    }

    /// The advertisements.
    pub fn advertisements(&self) -> &[Advertisement] {
        &self.list
    }

    /// Those to whom a party's secrets are shared.
    pub fn neighbours(&self, of: u32) -> std::collections::BTreeSet<u32> {
        self.graph.neighbours(of)
    }

    /// Whether the sum over these survivors, in ascending order, is the least that anybody can learn; see [`super::graph`].
    pub fn holds_together(&self, survivors: &[u32]) -> bool {
        self.graph.holds_together(survivors)
    }

    pub(crate) fn of(&self, place: u32) -> Option<&Advertisement> {
        self.list.binary_search_by_key(&place, |a| a.place).ok().and_then(|i| self.list.get(i))
    }
}

/// U2: those whose shares were handed on. Every party is told all of it, and its hash is in every pair's mask and in every consent:
/// parties that were told different sets have masks that do not cancel, and signatures that do not count for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    pub(crate) places: BTreeSet<u32>,
    pub(crate) digest: [u8; 32],
}

impl Shared {
    /// Checks a set: in ascending order, with keys, at least the threshold, and in one piece.
    ///
    /// # Errors
    /// Which of these does not hold.
    pub fn new(terms: &Terms, keys: &Keys, places: &[u32]) -> Result<Shared, SecaggError> {
        if places.len() < terms.threshold {
            return Err(SecaggError::TooFew { phase: "ShareKeys", given: places.len(), needed: terms.threshold });
        }
        let ascending = places.windows(2).all(|w| matches!(w, [a, b] if a < b));
        if !ascending || !places.iter().all(|p| keys.of(*p).is_some()) {
            return Err(SecaggError::Message("those who shared are not a set of the round's parties"));
        }
        if !keys.graph.holds_together(places) {
            return Err(SecaggError::Message("those who shared fall apart"));
        }
        let mut context = Context::new(&SHA256);
        context.update(b"insitu secagg shared v1\0");
        context.update(&keys.digest);
        places.iter().for_each(|p| context.update(&p.to_be_bytes()));
        Ok(Shared { places: places.iter().copied().collect(), digest: digest_of(context) })
    }

    /// Who.
    pub fn places(&self) -> &BTreeSet<u32> {
        &self.places
    }
}

fn digest_of(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// ShareKeys: both secrets' shares for one peer, sealed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedShare {
    /// Whose secrets.
    pub from: u32,
    /// For whom.
    pub to: u32,
    /// Sealed under a key that the two share.
    pub sealed: Vec<u8>,
}

impl SealedShare {
    /// The bytes of the sealed part: two places, two shares, a tag.
    pub const BYTES: usize = 8 + 2 * SHARE_BYTES + 16;
}

/// ConsistencyCheck: a party's signature on the one set of survivors, and the one set of those who shared (with the one list of keys), that it will help to unmask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who.
    pub place: u32,
    /// Over the survivors, those who shared, the round's keys and the instance.
    pub signature: [u8; 64],
}

impl Consent {
    fn message(instance: &Instance, shared: &Shared, survivors: &[u32]) -> Vec<u8> {
        let mut out = [instance.0, shared.digest].concat();
        survivors.iter().for_each(|s| out.extend(s.to_be_bytes()));
        out
    }

    pub(crate) fn signed(
        place: u32,
        instance: &Instance,
        shared: &Shared,
        survivors: &[u32],
        key: &super::IdentityKey,
    ) -> Consent {
        Consent { place, signature: key.sign(CONSENT, &Consent::message(instance, shared, survivors)) }
    }

    /// Whether the party at its place signed these survivors of those who shared.
    pub fn verifies(&self, terms: &Terms, shared: &Shared, survivors: &[u32]) -> bool {
        let message = Consent::message(&terms.instance, shared, survivors);
        terms.identity(self.place).is_some_and(|i| i.verifies(CONSENT, &message, &self.signature))
    }
}

/// Which of a party's two secrets a share belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The seed of its self-mask: revealed for survivors.
    SelfMask,
    /// Its key for pairwise masks: revealed for those who dropped out.
    MaskKey,
}

/// One share that a party reveals.
#[derive(Clone)]
pub struct RevealedShare {
    /// Whose secret.
    pub of: u32,
    /// Which.
    pub secret: Secret,
    /// The share.
    pub share: super::shamir::Share,
}

/// Unmasking: for each peer one share, of one secret or the other, never of both.
#[derive(Clone)]
pub struct Reveal {
    /// Who reveals.
    pub place: u32,
    /// What.
    pub shares: Vec<RevealedShare>,
}

/// The hash that an advertisement commits to.
pub(crate) fn commitment(instance: &Instance, place: u32, seed: &[u8; 32]) -> Result<[u8; 32], SecaggError> {
    Ok(*derive(instance, seed, "commitment", place, place)?)
}

/// The key of the mask of a party alone.
pub(crate) fn self_mask_key(
    instance: &Instance,
    place: u32,
    seed: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
    derive(instance, seed, "self", place, place)
}

/// The key of the mask of a pair; the same from both sides.
pub(crate) fn pair_mask_key(
    instance: &Instance,
    (a, b): (u32, u32),
    secret: &[u8; 32],
    shared: &Shared,
) -> Result<Zeroizing<[u8; 32]>, SecaggError> {
    let secret = Zeroizing::new([secret.as_slice(), &shared.digest].concat());
    derive(instance, &secret, "pair", a.min(b), a.max(b))
}
