use std::sync::Arc;

use platform::MemoryStore;
use proto::StudyId;
use proto::secure::PartTerms;

use super::*;

const SITES: usize = 5;
const THRESHOLD: u32 = 4;

struct Site {
    rounds: SecureRounds,
    store: SharedStore,
    identity: IdentityKey,
}

fn id(n: usize) -> SiteId {
    SiteId::parse(&format!("s-{n}")).unwrap()
}

fn identity(n: usize) -> IdentityKey {
    IdentityKey::from_seed(&Zeroizing::new([n as u8 + 1; 32])).unwrap()
}

fn sites() -> Vec<Site> {
    let one = |n| {
        let store: SharedStore = Arc::new(MemoryStore::new());
        Site { rounds: SecureRounds::new(store.clone(), id(n)), store, identity: identity(n) }
    };
    (0..SITES).map(one).collect()
}

fn round() -> RoundId {
    RoundId { study: StudyId::parse("study").unwrap(), analysis: 0, round: 0 }
}

fn terms(attempt: u32) -> RoundTerms {
    let member = |n| Member { site: id(n), fingerprint: Hash(identity(n).public().fingerprint().0) };
    RoundTerms {
        federation: "f".into(),
        plan_hash: Hash([1; 32]),
        round: round(),
        attempt,
        parameters_hash: Hash([2; 32]),
        mechanism: "none".into(),
        rho_nano: 5,
        threshold: THRESHOLD,
        colluders: 0,
        roster: (0..SITES).map(member).collect(),
        parts: vec![PartTerms { name: "n".into(), lanes: 1, sigma_nano: "0".into(), grid_bits: 0 }],
        linkage_key: String::new(),
    }
}

fn join(site: &Site, attempt: u32, charged: bool, seed: u8) -> Result<Advertisement, Objection> {
    let mut pins = Pins::default();
    (0..SITES).for_each(|n| pins.pin(id(n), identity(n).public().fingerprint()));
    let identities: Vec<Identity> = (0..SITES).map(|n| identity(n).public()).collect();
    site.rounds.join((terms(attempt), charged), &[], &identities, &pins, &site.identity, || Ok([seed; 32]))
}

/// All phases up to the masked input, everyone present.
fn sealed() -> Vec<Site> {
    let all = sites();
    let keys: Vec<Vec<u8>> = all.iter().zip(1..).map(|(s, seed)| join(s, 0, false, seed).unwrap().to_bytes()).collect();
    let shares: Vec<SealedShare> = all.iter().flat_map(|s| s.rounds.share(&round(), 0, &keys).unwrap()).collect();
    for (n, s) in all.iter().enumerate() {
        let mut attempt = s.rounds.open(&round(), 0).unwrap().unwrap();
        let own: Vec<_> = shares.iter().filter(|s| s.to == n as u32).cloned().collect();
        attempt.take_shares(&[0, 1, 2, 3, 4], &own).unwrap();
        let mut t = Transaction::new("seal");
        attempt.enter(&mut t);
        s.store.commit(t, Durability::Synced).unwrap();
    }
    all
}

fn code<T>(result: Result<T, Objection>) -> String {
    result.err().map(|o| o.code).unwrap_or_default()
}

/// Two sets of survivors that come at once: one is signed, by every site, whatever the order.
#[test]
fn two_sets_at_once_give_one_signature() {
    for _ in 0..20 {
        let all = sealed();
        let s = &all[0];
        let sets: [&[u32]; 2] = [&[0, 1, 2, 3], &[0, 1, 2, 4]];
        let barrier = std::sync::Barrier::new(8);
        let signed: Vec<usize> = std::thread::scope(|scope| {
            let one = |i: usize| {
                let (barrier, s) = (&barrier, &s);
                scope.spawn(move || {
                    barrier.wait();
                    s.rounds.consent(&round(), 0, sets[i % 2], &s.identity).is_ok().then_some(i % 2)
                })
            };
            let threads: Vec<_> = (0..8).map(one).collect();
            threads.into_iter().filter_map(|t| t.join().unwrap()).collect()
        });
        assert!(!signed.is_empty() && signed.iter().all(|i| *i == signed[0]), "{signed:?}");
    }
}

#[test]
fn the_first_survivors_and_the_first_keys_stand() {
    let all = sealed();
    let (s, four) = (&all[1], [0, 1, 2, 3]);
    assert!(s.rounds.consent(&round(), 0, &four, &s.identity).is_ok());
    assert_eq!(code(s.rounds.consent(&round(), 0, &[0, 1, 2, 3, 4], &s.identity)), "already_answered");
    assert!(s.rounds.consent(&round(), 0, &four, &s.identity).is_ok(), "the same again");

    let all = sites();
    let keys: Vec<Vec<u8>> = all.iter().zip(1..).map(|(s, seed)| join(s, 0, false, seed).unwrap().to_bytes()).collect();
    let first = all[0].rounds.share(&round(), 0, &keys).unwrap();
    assert_eq!(code(all[0].rounds.share(&round(), 0, &keys[..4])), "already_answered");
    assert_eq!(all[0].rounds.share(&round(), 0, &keys).unwrap(), first);
}

#[test]
fn a_charged_attempt_whose_secrets_are_gone_is_not_joined_anew() {
    let all = sites();
    let first = join(&all[0], 0, false, 1).unwrap();
    assert_eq!(join(&all[0], 0, true, 9).unwrap(), first, "what is there is said again, with the first seed");
    let mut t = Transaction::new("recover");
    all[0].rounds.forget_all(&mut t).unwrap();
    all[0].store.commit(t, Durability::Synced).unwrap();
    assert_eq!(code(join(&all[0], 0, true, 1)), "release_lost");
    assert!(join(&all[0], 1, false, 2).is_ok(), "another attempt is another matter");
}

#[test]
fn a_site_that_is_not_pinned_or_has_another_key_is_refused() {
    let all = sites();
    let mut pins = Pins::default();
    (0..SITES).filter(|n| *n != 3).for_each(|n| pins.pin(id(n), identity(n).public().fingerprint()));
    let identities: Vec<Identity> = (0..SITES).map(|n| identity(n).public()).collect();
    let with =
        |pins: &Pins| all[0].rounds.join((terms(0), false), &[], &identities, pins, &all[0].identity, || Ok([1; 32]));
    assert_eq!(code(with(&pins)), "peer_not_pinned");
    pins.pin(id(3), identity(2).public().fingerprint());
    assert_eq!(code(with(&pins)), "peer_key_changed");
    pins.pin(id(3), identity(3).public().fingerprint());
    assert!(with(&pins).is_ok());
}
