//! The protocol as a whole: parties that drop out in every phase, parties that lie, and a coordinator that tries to learn more.

use std::collections::BTreeSet;

use proptest::prelude::*;
use summaries::Lanes;
use zeroize::Zeroizing;

use super::aggregator::{add, unmask};
use super::stream::{Mask, Sign, apply};
use super::*;
use crate::sensitive::Sensitive;

struct Site {
    party: Party,
    identity: IdentityKey,
    input: Vec<i64>,
}

fn identity(i: usize) -> IdentityKey {
    let mut seed = Zeroizing::new([7; 32]);
    seed[..8].copy_from_slice(&(i as u64).to_le_bytes());
    IdentityKey::from_seed(&seed).unwrap()
}

fn federation(n: usize, t: usize, lanes: usize, instance: u8) -> (Terms, Vec<Site>) {
    let roster = (0..n).map(|i| identity(i).public()).collect();
    let terms = Terms::new(Instance([instance; 32]), roster, t, 0).unwrap();
    let site = |i: usize| {
        let mut seed = Zeroizing::new([instance; 32]);
        seed[..8].copy_from_slice(&(i as u64 + 1).to_le_bytes());
        Site {
            party: Party::new(terms.clone(), i as u32, &seed).unwrap(),
            identity: identity(i),
            input: (0..lanes).map(|l| (i * 1000 + l) as i64 - 500).collect(),
        }
    };
    let sites = (0..n).map(site).collect();
    (terms, sites)
}

/// Runs the protocol; `gone[phase]` drop out before they answer in that phase. Returns survivors and the sum.
fn run(terms: &Terms, sites: &[Site], gone: &[BTreeSet<u32>; 5]) -> Result<(BTreeSet<u32>, Vec<i64>), SecaggError> {
    let lanes = sites[0].input.len();
    let mut alive: Vec<u32> = (0..sites.len() as u32).collect();
    let leave = |alive: &mut Vec<u32>, phase: usize| alive.retain(|p| !gone[phase].contains(p));
    let at = |p: u32| &sites[p as usize];

    leave(&mut alive, 0);
    let list: Vec<_> = alive.iter().map(|p| at(*p).party.advertise(&at(*p).identity).unwrap()).collect();
    let list: Vec<_> = list.iter().map(|a| Advertisement::from_bytes(&a.to_bytes()).unwrap()).collect();
    let keys = Keys::new(terms, list.clone())?;

    leave(&mut alive, 1);
    let mut sealed = Vec::new();
    for p in &alive {
        sealed.extend(at(*p).party.share(&at(*p).party.keys(list.clone())?)?);
    }
    let together = alive.clone();
    let shared = Shared::new(terms, &keys, &together)?;

    leave(&mut alive, 2);
    let mut sum = vec![0; lanes];
    let mut peers = std::collections::BTreeMap::new();
    for p in &alive {
        let own: Vec<_> = sealed.iter().filter(|s| s.to == *p).cloned().collect();
        let got = at(*p).party.receive(&keys, &together, &own)?;
        let input = Sensitive::new(Lanes::from_values(at(*p).input.clone()));
        let masked = at(*p).party.mask(&keys, &got, input, 2)?;
        assert!(add(&mut sum, masked.get()));
        peers.insert(*p, got);
    }
    let survivors = alive.clone();

    leave(&mut alive, 3);
    let mut consents = Vec::new();
    for p in &alive {
        consents.push(at(*p).party.consent(&keys, &peers[p], &survivors, &at(*p).identity)?);
    }

    leave(&mut alive, 4);
    let mut reveals = Vec::new();
    for p in &alive {
        reveals.push(at(*p).party.reveal(&keys, &peers[p], &survivors, &consents)?);
    }
    let survivors: BTreeSet<u32> = survivors.into_iter().collect();
    unmask(terms, &keys, &shared, &survivors, &reveals, &mut sum, 2)?;
    Ok((survivors, sum.into_iter().map(u64::cast_signed).collect()))
}

fn truth(sites: &[Site], survivors: &BTreeSet<u32>) -> Vec<i64> {
    let lanes = sites[0].input.len();
    (0..lanes).map(|l| survivors.iter().map(|p| sites[*p as usize].input[l]).sum()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whoever leaves whenever: the sum over the survivors, exactly, or an error where fewer than the threshold are left.
    #[test]
    fn any_dropouts_down_to_the_threshold(n in 3usize..9, lanes in 1usize..5, leaves in prop::collection::vec(0usize..12, 9), seed in 1u8..255) {
        let t = default_threshold(n);
        let (terms, sites) = federation(n, t, lanes, seed);
        let mut gone: [BTreeSet<u32>; 5] = Default::default();
        for (p, phase) in leaves.iter().take(n).enumerate() {
            if *phase < 5 {
                gone[*phase].insert(p as u32);
            }
        }
        let left = n - gone.iter().map(BTreeSet::len).sum::<usize>();
        match run(&terms, &sites, &gone) {
            Ok((survivors, sum)) => {
                prop_assert!(left >= t);
                prop_assert_eq!(sum, truth(&sites, &survivors));
            }
            Err(e) => {
                prop_assert!(left < t, "{} of {} are left, the threshold is {}: {}", left, n, t, e);
                prop_assert!(matches!(e, SecaggError::TooFew { .. }), "another error");
            }
        }
    }
}

#[test]
fn forty_sites_with_dropouts_in_every_phase() {
    let (terms, sites) = federation(40, 27, 600, 9);
    let gone = [
        BTreeSet::from([3, 4]),
        BTreeSet::from([0]),
        BTreeSet::from([11, 12, 13, 39]),
        BTreeSet::from([20, 21]),
        BTreeSet::from([22, 23, 24, 25]),
    ];
    let (survivors, sum) = run(&terms, &sites, &gone).unwrap();
    assert_eq!(survivors.len(), 33);
    assert_eq!(sum, truth(&sites, &survivors));
}

#[test]
fn a_regular_graph_gives_the_same_sum() {
    let (terms, sites) = federation(230, default_threshold(230), 3, 5);
    let gone =
        [BTreeSet::new(), BTreeSet::from([100]), (0..20).collect(), BTreeSet::from([50, 51]), BTreeSet::from([60])];
    let (survivors, sum) = run(&terms, &sites, &gone).unwrap();
    assert_eq!(sum, truth(&sites, &survivors));
}

/// All phases up to the survivors, with everyone present.
struct Midway {
    terms: Terms,
    sites: Vec<Site>,
    keys: Keys,
    peers: Vec<Peers>,
    sum: Vec<u64>,
}

fn midway(n: usize, t: usize) -> Midway {
    let (terms, sites) = federation(n, t, 4, 33);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let keys = Keys::new(&terms, list).unwrap();
    let sealed: Vec<_> = sites.iter().flat_map(|s| s.party.share(&keys).unwrap()).collect();
    let all: Vec<u32> = (0..n as u32).collect();
    let own = |i: usize| sealed.iter().filter(|s| s.to == i as u32).cloned().collect::<Vec<_>>();
    let peers: Vec<_> = sites.iter().enumerate().map(|(i, s)| s.party.receive(&keys, &all, &own(i)).unwrap()).collect();
    let mut sum = vec![0; 4];
    for (s, p) in sites.iter().zip(&peers) {
        let input = Sensitive::new(Lanes::from_values(s.input.clone()));
        assert!(add(&mut sum, s.party.mask(&keys, p, input, 1).unwrap().get()));
    }
    Midway { terms, sites, keys, peers, sum }
}

impl Midway {
    fn consents(&self, survivors: &[u32]) -> Vec<Consent> {
        let own = |p: &u32| {
            let s = &self.sites[*p as usize];
            s.party.consent(&self.keys, &self.peers[*p as usize], survivors, &s.identity).unwrap()
        };
        survivors.iter().map(own).collect()
    }
    fn reveal(&self, p: usize, survivors: &[u32], consents: &[Consent]) -> Result<Reveal, SecaggError> {
        self.sites[p].party.reveal(&self.keys, &self.peers[p], survivors, consents)
    }
}

#[test]
fn nobody_reveals_both_secrets_of_a_peer() {
    let m = midway(6, 5);
    let survivors = [0, 1, 2, 3, 5];
    let consents = m.consents(&survivors);
    for p in survivors {
        let reveal = m.reveal(p as usize, &survivors, &consents).unwrap();
        let mut seen = BTreeSet::new();
        for s in &reveal.shares {
            assert!(seen.insert(s.of), "one share a peer");
            assert_eq!(s.secret == Secret::SelfMask, survivors.contains(&s.of));
        }
    }
}

#[test]
fn survivors_that_too_few_signed_are_not_unmasked() {
    let m = midway(6, 5);
    let all = [0, 1, 2, 3, 4, 5];
    let consents = m.consents(&all);
    let few = m.reveal(0, &all, &consents[..4]).err().unwrap();
    assert!(matches!(few, SecaggError::TooFew { phase: "ConsistencyCheck", given: 4, needed: 5 }), "{few}");
    // The off-by-one: exactly the threshold is enough.
    assert!(m.reveal(0, &all, &consents[..5]).is_ok());
    // One signer counted twice is one signer.
    let twice = [consents[..4].to_vec(), vec![consents[0].clone()]].concat();
    assert!(m.reveal(0, &all, &twice).is_err());
    // Signatures on other survivors do not count.
    let five = m.consents(&all[..5]);
    assert_eq!(m.reveal(0, &all, &five).err().unwrap(), SecaggError::Signature { phase: "ConsistencyCheck" });
    let other = Consent { place: 1, ..consents[2].clone() };
    let forged = [vec![consents[0].clone(), other], consents[2..].to_vec()].concat();
    assert!(m.reveal(0, &all, &forged).is_err());
}

#[test]
fn a_set_of_survivors_without_oneself_or_below_the_threshold_is_not_signed() {
    let m = midway(6, 5);
    let s = &m.sites[0];
    let consent = |survivors: &[u32]| s.party.consent(&m.keys, &m.peers[0], survivors, &s.identity);
    assert!(consent(&[1, 2, 3, 4, 5]).is_err());
    assert!(consent(&[0, 1, 2, 3]).is_err());
    assert!(consent(&[0, 2, 1, 3, 4]).is_err(), "one order, so one signature");
    assert!(consent(&[0, 1, 2, 3, 9]).is_err());
    assert!(consent(&[0, 1, 2, 3, 4]).is_ok());
}

#[test]
fn keys_of_another_instance_another_signer_or_twice_are_refused() {
    let (terms, sites) = federation(5, 4, 1, 1);
    let (_, others) = federation(5, 4, 1, 2);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    assert!(Keys::new(&terms, list.clone()).is_ok());
    let mut elsewhere = list.clone();
    elsewhere[2] = others[2].party.advertise(&others[2].identity).unwrap();
    assert_eq!(Keys::new(&terms, elsewhere).unwrap_err(), SecaggError::Signature { phase: "AdvertiseKeys" });
    let mut swapped = list.clone();
    swapped[2].mask_key = [5; 32];
    assert!(Keys::new(&terms, swapped).is_err(), "the coordinator puts a key of its own in");
    let mut twice = list.clone();
    twice[1] = Advertisement { place: 1, ..list[0].clone() };
    assert!(Keys::new(&terms, twice).is_err());
    assert!(Keys::new(&terms, list[..3].to_vec()).is_err(), "fewer than the threshold");
    // A list without one's own keys, or with others under one's place.
    assert!(sites[0].party.keys(list[1..].to_vec()).is_err());
}

/// The coordinator tells two parties two lists of keys: what they sign does not count for the other, and nothing is sealed twice
/// under one key.
#[test]
fn two_lists_of_keys_are_two_rounds() {
    let (terms, sites) = federation(6, 4, 1, 3);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let (all, five) = (Keys::new(&terms, list.clone()).unwrap(), Keys::new(&terms, list[..5].to_vec()).unwrap());
    let survivors = [0, 1, 2, 3];
    let sealed: Vec<_> = sites[..5].iter().flat_map(|s| s.party.share(&five).unwrap()).collect();
    let own: Vec<_> = sealed.iter().filter(|s| s.to == 0).cloned().collect();
    let told = [0, 1, 2, 3, 4];
    let peers = sites[0].party.receive(&five, &told, &own).unwrap();
    assert!(sites[0].party.receive(&all, &told, &own).is_err(), "sealed for the other list");
    let consent = sites[0].party.consent(&five, &peers, &survivors, &sites[0].identity).unwrap();
    let of = |keys: &Keys, told: &[u32]| Shared::new(&terms, keys, told).unwrap();
    assert!(consent.verifies(&terms, &of(&five, &told), &survivors));
    assert!(!consent.verifies(&terms, &of(&all, &told), &survivors), "another list of keys");
    assert!(!consent.verifies(&terms, &of(&five, &told[..4]), &survivors), "another set of those who shared");
    let other = sites[1].party.share(&all).unwrap();
    let one = sites[1].party.share(&five).unwrap();
    assert!(one.iter().all(|s| other.iter().all(|o| o.sealed != s.sealed)));
}

#[test]
fn a_key_of_small_order_or_of_another_is_refused() {
    let (terms, sites) = federation(4, 3, 1, 6);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let with = |cipher: [u8; 32], mask: [u8; 32]| {
        let a = Advertisement { cipher_key: cipher, mask_key: mask, ..list[1].clone() };
        a.signed(&terms.instance, &sites[1].identity)
    };
    for bad in [with([0; 32], list[1].mask_key), with(list[1].cipher_key, list[0].mask_key)] {
        assert!(bad.verifies(&terms) && !bad.stands_beside(Some(&list[0])));
        let spoiled = [list[..1].to_vec(), vec![bad], list[2..].to_vec()].concat();
        assert!(matches!(Keys::new(&terms, spoiled), Err(SecaggError::Message(_))));
    }
    assert!(list[1].stands_beside(Some(&list[0])) && list[1].stands_beside(None));
}

#[test]
fn a_share_for_another_or_changed_is_refused() {
    let (terms, sites) = federation(4, 3, 1, 1);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let keys = Keys::new(&terms, list).unwrap();
    let sealed: Vec<_> = sites.iter().flat_map(|s| s.party.share(&keys).unwrap()).collect();
    let own: Vec<_> = sealed.iter().filter(|s| s.to == 0).cloned().collect();
    let receive = |shared: &[u32], own: &[SealedShare]| sites[0].party.receive(&keys, shared, own);
    let all = [0, 1, 2, 3];
    assert!(receive(&all, &own).is_ok());
    assert!(receive(&all[..3], &own).is_err(), "a share of one who did not share");
    assert!(receive(&all[..3], &own[..2]).is_ok());
    assert!(receive(&[1, 2, 3], &own).is_err(), "this party is not among them");
    assert!(receive(&[0, 2, 1, 3], &own).is_err(), "one order, so one hash");
    let mut changed = own.clone();
    changed[0].sealed[3] ^= 1;
    assert_eq!(receive(&all, &changed).err(), Some(SecaggError::Share { from: own[0].from }));
    let mut moved = own.clone();
    moved[0].from = 2;
    assert!(receive(&all, &moved).is_err());
    assert!(receive(&all, &own[..2]).is_err(), "one was held back");
    assert!(receive(&all[..2], &own[..1]).is_err(), "two with itself, and three are needed");
    let twice = [own.clone(), own[..1].to_vec()].concat();
    assert!(receive(&all, &twice).is_err());
}

#[test]
fn a_wrong_share_is_passed_over_where_one_can_be_spared_and_noticed_where_not() {
    let m = midway(6, 5);
    let all: Vec<u32> = (0..6).collect();
    let shared: BTreeSet<u32> = all.iter().copied().collect();
    let consents = m.consents(&all);
    let mut reveals: Vec<Reveal> = (0..6).map(|p| m.reveal(p, &all, &consents).unwrap()).collect();
    for s in &mut reveals[2].shares {
        s.share[0] ^= 1;
    }
    let mut sum = m.sum.clone();
    let told = Shared::new(&m.terms, &m.keys, &all).unwrap();
    unmask(&m.terms, &m.keys, &told, &shared, &reveals, &mut sum, 1).unwrap();
    let found: Vec<i64> = sum.into_iter().map(u64::cast_signed).collect();
    assert_eq!(found, truth(&m.sites, &shared));
    let mut sum = m.sum.clone();
    assert!(unmask(&m.terms, &m.keys, &told, &shared, &reveals[..5], &mut sum, 1).is_err());
}

/// One that deals shares of something else than it advertised is named, with how sure that is.
#[test]
fn whose_secret_does_not_come_out_is_told() {
    let m = midway(6, 4);
    let all: Vec<u32> = (0..6).collect();
    let consents = m.consents(&all);
    let mut reveals: Vec<Reveal> = (0..6).map(|p| m.reveal(p, &all, &consents).unwrap()).collect();
    for share in reveals.iter_mut().flat_map(|r| &mut r.shares).filter(|s| s.of == 3) {
        share.share[0] ^= 1 << (share.of + 1);
        share.share[9] ^= 1;
    }
    let told = Shared::new(&m.terms, &m.keys, &all).unwrap();
    let everyone: BTreeSet<u32> = all.into_iter().collect();
    let unmask = |reveals: &[Reveal]| unmask(&m.terms, &m.keys, &told, &everyone, reveals, &mut m.sum.clone(), 1);
    assert_eq!(unmask(&reveals), Err(SecaggError::Secret { of: 3, spare: 2 }));
    assert_eq!(unmask(&reveals[..4]), Err(SecaggError::Secret { of: 3, spare: 0 }));
}

/// Wrong shares at places that no run of the threshold can pass by: the sum is found where enough good ones are there.
#[test]
fn several_wrong_shares_are_passed_over_wherever_they_stand() {
    let m = midway(12, 8);
    let all: Vec<u32> = (0..12).collect();
    let everyone: BTreeSet<u32> = all.iter().copied().collect();
    let consents = m.consents(&all);
    let mut reveals: Vec<Reveal> = (0..12).map(|p| m.reveal(p, &all, &consents).unwrap()).collect();
    for liar in [1, 5, 9] {
        for s in &mut reveals[liar].shares {
            s.share[3] ^= 4;
        }
    }
    let told = Shared::new(&m.terms, &m.keys, &all).unwrap();
    let mut sum = m.sum.clone();
    unmask(&m.terms, &m.keys, &told, &everyone, &reveals, &mut sum, 1).unwrap();
    let found: Vec<i64> = sum.into_iter().map(u64::cast_signed).collect();
    assert_eq!(found, truth(&m.sites, &everyone));
}

/// A coordinator that tells a part of a regular graph that only they shared, and the others the truth: the part's masks are of
/// another set, so nothing that the others reveal opens the part's sum.
#[test]
fn parties_that_were_told_other_sets_have_no_masks_in_common() {
    let (terms, sites) = federation(6, 4, 1, 4);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let keys = Keys::new(&terms, list).unwrap();
    let sealed: Vec<_> = sites.iter().flat_map(|s| s.party.share(&keys).unwrap()).collect();
    let masked = |place: u32, shared: &[u32]| {
        let own: Vec<_> = sealed.iter().filter(|s| s.to == place && shared.contains(&s.from)).cloned().collect();
        let party = &sites[place as usize].party;
        let peers = party.receive(&keys, shared, &own).unwrap();
        party.mask(&keys, &peers, Sensitive::new(Lanes::zeros(1)), 1).unwrap().get()[0]
    };
    let (all, four) = ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3]);
    // Self-masks out of the way: what is left of two parties' inputs is the mask of the pair, and of those outside.
    let selves = |shared: &[u32]| shared.iter().map(|p| masked(*p, shared)).fold(0u64, u64::wrapping_add);
    assert_eq!(selves(&all).wrapping_sub(selves(&four)), masked_selves(&sites, &[4, 5]));
    let mixed = four.iter().map(|p| masked(*p, if *p < 2 { &four } else { &all })).fold(0u64, u64::wrapping_add);
    assert_ne!(mixed, selves(&four));
}

/// The sum of self-masks alone, as the seeds say.
fn masked_selves(sites: &[Site], places: &[u32]) -> u64 {
    let of = |p: &u32| {
        let mut word = vec![0u64];
        let key = sites[*p as usize].party.self_mask().unwrap();
        apply(&mut word, &[Mask { key, sign: Sign::Plus }], 1);
        word[0]
    };
    places.iter().map(of).fold(0, u64::wrapping_add)
}

#[test]
fn a_killed_party_says_the_same_again() {
    let (terms, sites) = federation(4, 3, 2, 8);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let keys = Keys::new(&terms, list.clone()).unwrap();
    let mut seed = Zeroizing::new([8; 32]);
    seed[..8].copy_from_slice(&1u64.to_le_bytes());
    let again = Party::new(terms, 0, &seed).unwrap();
    assert_eq!(again.advertise(&identity(0)).unwrap(), list[0]);
    assert_eq!(again.share(&keys).unwrap(), sites[0].party.share(&keys).unwrap());
}

/// One site's masked input alone is uniform: the same input under two seeds has nothing in common, and bits are fair
/// (12,800 of 25,600 expected, false alarm 1e-6).
#[test]
fn a_masked_input_alone_is_uniform() {
    let (terms, sites) = federation(3, 3, 400, 77);
    let list: Vec<_> = sites.iter().map(|s| s.party.advertise(&s.identity).unwrap()).collect();
    let keys = Keys::new(&terms, list).unwrap();
    let sealed: Vec<_> = sites.iter().flat_map(|s| s.party.share(&keys).unwrap()).filter(|s| s.to == 0).collect();
    let peers = sites[0].party.receive(&keys, &[0, 1, 2], &sealed).unwrap();
    let masked = sites[0].party.mask(&keys, &peers, Sensitive::new(Lanes::zeros(400)), 1).unwrap();
    let ones: u32 = masked.get().iter().map(|w| w.count_ones()).sum();
    assert!((f64::from(ones) - 12_800.0).abs() < 4.9 * 80.0, "{ones}");
}

/// Two unmaskings of one round would show one site alone: the terms do not allow a threshold at which two groups could each
/// sign their own survivors.
#[test]
fn thresholds_that_allow_two_unmaskings_are_refused() {
    let roster = |n: usize| (0..n).map(|i| identity(i).public()).collect::<Vec<_>>();
    let terms = |n, t, c| Terms::new(Instance([0; 32]), roster(n), t, c);
    assert!(terms(40, 20, 0).is_err() && terms(40, 21, 0).is_ok());
    assert!(terms(40, 27, 13).is_ok() && terms(40, 27, 14).is_err());
    assert!(terms(3, 3, 2).is_ok() && terms(3, 3, 3).is_err() && terms(3, 4, 0).is_err() && terms(1, 1, 0).is_err());
    let mut twice = roster(4);
    twice[1] = twice[0];
    assert!(Terms::new(Instance([0; 32]), twice, 3, 0).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Advertisement::from_bytes(&bytes);
    }
}
