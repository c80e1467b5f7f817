//! The ledger with the releases that it pays for: what is paid is paid once.

use std::sync::Arc;

use platform::{MemoryStore, Store as _};
use privacy::secagg::IdentityKey;
use privacy::{Caps, DiscreteGaussian, Mechanism as _, Part, Rho, Sensitive};
use proto::SiteId;
use summaries::{Lanes, Sensitivity};
use zeroize::Zeroizing;

use super::*;
use crate::releases::{Noised, Order, ReleaseError, Releases, Sealed};

struct Desk {
    store: Arc<MemoryStore>,
    ledger: Ledger,
    releases: Releases,
}

fn site() -> SiteId {
    SiteId::parse("s").unwrap()
}

fn identity() -> IdentityKey {
    IdentityKey::from_seed(&Zeroizing::new([4; 32])).unwrap()
}

fn desk(store: Arc<MemoryStore>) -> Desk {
    let ledger = Ledger::open(store.clone()).unwrap();
    let releases = Releases::new(store.clone(), site(), Caps::default());
    Desk { store, ledger, releases }
}

fn order(round: u32, attempt: u32, reruns: u32) -> Order {
    Order {
        round: RoundId { study: StudyId::parse("study").unwrap(), analysis: 0, round },
        attempt,
        plan_hash: Hash([1; 32]),
        parameters_hash: Hash([2; 32]),
        rho: Rho::from_nano(1_000),
        blocks: vec![2020],
        reruns,
        question: None,
        prepaid: None,
        planned: None,
    }
}

impl Desk {
    fn seal(&self, order: &Order) -> Result<Sealed, ReleaseError> {
        let sensitivity = Sensitivity { l1: 1.0, l2: 1.0, linf: 1.0 };
        let part = Part { lanes: Sensitive::new(Lanes::zeros(1)), sensitivity, weight: 1.0 };
        let noise = |charge| Ok(Noised::local(&DiscreteGaussian.release(vec![part], charge)?));
        let names = ["n".to_owned()];
        self.releases.seal(&self.ledger, order, Micros(7), (DiscreteGaussian.name(), &names), noise, |_| {})
    }
}

/// An old copy of the state takes the newer entries in: what they paid for is not paid for again, and the books are in order.
#[test]
fn what_was_paid_for_before_a_recovery_is_not_paid_for_twice() {
    let new = desk(Arc::new(MemoryStore::new()));
    new.seal(&order(0, 0, 0)).unwrap();
    let backup = Arc::new(MemoryStore::new());
    let mut t = Transaction::new("backup");
    for (key, value) in new.store.scan(b"").unwrap() {
        t.put(key, value);
    }
    backup.commit(t, platform::Durability::Synced).unwrap();
    let old = desk(backup);
    let backup_head = old.ledger.signed_head(&site(), &identity(), Micros(8));
    new.seal(&order(1, 0, 0)).unwrap();
    let head = new.ledger.signed_head(&site(), &identity(), Micros(9));
    let missing = new.ledger.bytes_between(1, 2).unwrap();

    let said = (2, new.ledger.head().1);
    let asked = |d: &Desk, said, shown| d.ledger.anchored(said, shown, &site(), &identity());
    asked(&old, said, None).unwrap_err();
    asked(&old, (0, Hash([0; 32])), None).unwrap();
    asked(&old, said, Some(&head)).unwrap_err();
    // What was shown with this site's signature is not taken back, by nobody, over a restart as well.
    let first = new.ledger.bytes_between(0, 1).unwrap();
    let short = backup_head;
    for d in [&old, &desk(old.store.clone())] {
        asked(d, (0, Hash([0; 32])), None).unwrap_err();
        asked(d, (1, short.head.last), Some(&short)).unwrap_err();
        let recover = d.ledger.recover(&first[1..], &short, &site(), &identity(), |_| Ok(()));
        assert!(recover.unwrap_err().to_string().contains("a head of 2 entries"));
    }
    assert!(matches!(old.seal(&order(2, 0, 0)), Err(ReleaseError::Ledger(LedgerError::Behind { .. }))));
    let also = |t: &mut Transaction| {
        t.put(b"also".to_vec(), Vec::new());
        Ok(())
    };
    assert_eq!(old.ledger.recover(&missing, &head, &site(), &identity(), also).unwrap(), 1);
    assert!(old.store.get(b"also").unwrap().is_some());

    for d in [&old, &desk(old.store.clone())] {
        assert!(matches!(d.seal(&order(1, 0, 0)), Err(ReleaseError::Lost(_))));
        assert!(matches!(d.releases.would_admit(&d.ledger, &order(1, 0, 0), Micros(9)), Err(ReleaseError::Lost(_))));
        assert!(d.seal(&order(0, 0, 0)).is_ok(), "its bytes are here");
        assert_eq!(d.ledger.head().0, 2);
        assert_eq!(d.releases.verify(&d.ledger).unwrap(), 1);
    }
    assert!(old.seal(&order(2, 0, 0)).is_ok());
    // A release that goes missing without a recovery is no such thing.
    let mut t = Transaction::new("lose");
    t.delete(b"release/study/000000/000002/0000".to_vec());
    old.store.commit(t, platform::Durability::Synced).unwrap();
    assert!(matches!(old.releases.verify(&old.ledger), Err(ReleaseError::Ledger(LedgerError::Broken { .. }))));
}

/// Many releases of which a patient is in six: they are paid once, for each year of entry, and cost nothing more.
#[test]
fn what_is_paid_at_once_is_paid_once_for_each_block_and_gives_each_release_its_noise() {
    let d = desk(Arc::new(MemoryStore::new()));
    let prepaid = privacy::Prepaid::new(Rho::from_nano(12_000_000), 6);
    let of = |round, blocks: &[u16]| Order { prepaid: Some(prepaid), blocks: blocks.to_vec(), ..order(round, 0, 0) };
    let study = StudyId::parse("study").unwrap();
    let spent = |d: &Desk, block| d.ledger.spent(&study, Micros(7), &[block])[0].1.lifetime.rho.nano();
    let first = d.seal(&of(0, &[2020])).unwrap();
    // The payment, and the release.
    assert_eq!((d.ledger.head().0, spent(&d, 2020), first.record.manifest.rho_nano), (2, 12_000_000, 0));
    let sigma: f64 = first.record.manifest.parts[0].sigma_nano.parse::<f64>().unwrap() / 1e9;
    let sigma = sigma / privacy::mechanism::grid(first.record.manifest.parts[0].grid_bits);
    assert!((sigma - (0.5f64 / 0.002).sqrt()).abs() < 0.01, "noise for a sixth: {sigma}");
    for round in 1..40 {
        d.seal(&of(round, &[2020])).unwrap();
    }
    assert_eq!((d.ledger.head().0, spent(&d, 2020)), (41, 12_000_000));
    // A year that begins meanwhile pays for itself, and the old one not again; also after a restart.
    let d = desk(d.store);
    d.seal(&of(40, &[2020, 2021])).unwrap();
    assert_eq!((d.ledger.head().0, spent(&d, 2020), spent(&d, 2021)), (43, 12_000_000, 12_000_000));
    assert_eq!(d.releases.verify(&d.ledger).unwrap(), 41);
    // A year whose budget does not hold all of them holds none.
    let other =
        Order { round: RoundId { study: StudyId::parse("other").unwrap(), ..order(0, 0, 0).round }, ..order(0, 0, 0) };
    for i in 0..9 {
        let round = RoundId { round: i, ..other.round.clone() };
        let study = StudyId::parse(&format!("o-{i}")).unwrap();
        let more = Order {
            round: RoundId { study, ..round },
            rho: Rho::from_nano(10_000_000),
            blocks: vec![2022],
            ..other.clone()
        };
        d.seal(&more).unwrap();
    }
    assert!(matches!(
        d.releases.would_admit(&d.ledger, &of(41, &[2020, 2022]), Micros(7)),
        Err(ReleaseError::Budget(_))
    ));
    assert!(matches!(d.seal(&of(41, &[2020, 2022])), Err(ReleaseError::Budget(_))));
    assert_eq!((spent(&d, 2022), d.ledger.head().0), (90_000_000, 52));
}

/// A crash between the payment and the release: the payment stands, and is not made again.
#[test]
fn a_payment_stands_without_its_release() {
    let d = desk(Arc::new(MemoryStore::new()));
    let order = Order { prepaid: Some(privacy::Prepaid::new(Rho::from_nano(12_000_000), 6)), ..order(0, 0, 0) };
    let lost = |_| Err(ReleaseError::Unreadable(order.round.clone()));
    let names = ["n".to_owned()];
    let failed = d.releases.seal(&d.ledger, &order, Micros(7), (DiscreteGaussian.name(), &names), lost, |_| {});
    assert!(failed.is_err());
    d.store.lose_unsynced();
    let d = desk(d.store);
    assert_eq!(d.ledger.head().0, 1);
    d.seal(&order).unwrap();
    assert_eq!(d.ledger.head().0, 2);
    assert_eq!(d.releases.verify(&d.ledger).unwrap(), 1);
}

/// Attempts in any order, over all rounds: as many beyond each round's first as the plan allows.
#[test]
fn reruns_are_counted_whatever_the_order_of_attempts() {
    let d = desk(Arc::new(MemoryStore::new()));
    assert!(d.seal(&order(0, 9_000, 1)).is_ok());
    assert!(d.seal(&order(0, 5, 1)).is_ok(), "one more is allowed");
    assert!(d.seal(&order(0, 9_000, 1)).is_ok(), "the same again is no rerun");
    for attempt in [4, 0, 9_999] {
        assert!(matches!(d.seal(&order(0, attempt, 1)), Err(ReleaseError::Reruns { burned: 1, allowed: 1 })));
    }
    assert!(d.seal(&order(1, 0, 1)).is_ok(), "another round's first");
    assert!(matches!(d.seal(&order(1, 1, 1)), Err(ReleaseError::Reruns { .. })));
    assert!(d.seal(&order(1, 1, 2)).is_ok());
}

#[test]
fn the_coordinators_receipt_is_kept_where_it_is_of_this_ledger() {
    let d = desk(Arc::new(MemoryStore::new()));
    d.seal(&order(0, 0, 0)).unwrap();
    let coordinator = IdentityKey::from_seed(&Zeroizing::new([5; 32])).unwrap();
    let receipt = |ledger: &Ledger, key: &IdentityKey, at| {
        let head = ledger.signed_head(&site(), key, Micros(at));
        let beside = head.cosign(&coordinator);
        serde_json::to_vec(&(head, beside)).unwrap()
    };
    assert!(d.ledger.cosigned().unwrap().is_none());
    d.ledger.keep_cosigned(&receipt(&d.ledger, &identity(), 20), &identity()).unwrap();
    d.seal(&order(1, 0, 0)).unwrap();
    d.ledger.keep_cosigned(&receipt(&d.ledger, &identity(), 10), &identity()).unwrap();
    assert_eq!(d.ledger.cosigned().unwrap().unwrap().0.head.entries, 1, "an older one does not replace it");
    let other = desk(Arc::new(MemoryStore::new()));
    other.seal(&order(5, 0, 0)).unwrap();
    assert!(d.ledger.keep_cosigned(&receipt(&other.ledger, &identity(), 30), &identity()).is_err(), "another ledger");
    assert!(d.ledger.keep_cosigned(&receipt(&d.ledger, &coordinator, 30), &identity()).is_err(), "another key");
    let mut changed = receipt(&d.ledger, &identity(), 30);
    let at = changed.len() - 10;
    changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
    assert!(d.ledger.keep_cosigned(&changed, &identity()).is_err());
}

#[test]
fn the_first_block_stays_once_something_was_charged() {
    let d = desk(Arc::new(MemoryStore::new()));
    d.ledger.keep_first_block(2000).unwrap();
    d.ledger.keep_first_block(2010).unwrap();
    d.seal(&order(0, 0, 0)).unwrap();
    d.ledger.keep_first_block(2010).unwrap();
    for d in [&d, &desk(d.store.clone())] {
        let said = d.ledger.keep_first_block(2000).unwrap_err().to_string();
        assert!(said.contains("first_block = 2010"), "{said}");
    }
}

fn fixed(rounds: usize) -> Arc<privacy::FixedPlan> {
    let of = summaries::Population::Trained;
    let step = privacy::sampled::Release { of, noise: privacy::sampled::noise_of(4.0), rate: 0.02 };
    Arc::new(privacy::FixedPlan::new(vec![vec![step]; rounds]).unwrap())
}

/// All rounds of a training that samples patients: paid for at the first that is asked, whichever that is; none before it is answered.
#[test]
fn a_plan_is_paid_for_at_its_first_round_and_none_before_that_is_answered() {
    let d = desk(Arc::new(MemoryStore::new()));
    let plan = fixed(50);
    let of = |round, attempt| Order { planned: Some(plan.clone()), rho: plan.noise(round), ..order(round, attempt, 3) };
    let study = StudyId::parse("study").unwrap();
    let spent = |d: &Desk| d.ledger.spent(&study, Micros(7), &[2020])[0].1.lifetime.clone();
    // It joins late.
    let first = d.seal(&of(10, 0)).unwrap();
    let due = plan.cost_from(10);
    assert!(due != plan.cost_from(0) && !due.rdp.is_zero());
    assert_eq!((d.ledger.head().0, spent(&d), first.record.manifest.rho_nano), (2, due.clone(), 0));
    let part = &first.record.manifest.parts[0];
    let sigma = part.sigma_nano.parse::<f64>().unwrap() / 1e9 / privacy::mechanism::grid(part.grid_bits);
    assert!((sigma - 4.0).abs() < 1e-6, "{sigma}");
    for round in 11..50 {
        d.seal(&of(round, 0)).unwrap();
    }
    assert_eq!((d.ledger.head().0, spent(&d)), (41, due.clone()));
    // After a restart as well.
    let d = desk(d.store);
    for round in [0, 9] {
        let asked = d.releases.would_admit(&d.ledger, &of(round, 0), Micros(7));
        assert!(matches!(asked, Err(ReleaseError::NotPrepaid(_))), "{asked:?}");
        assert!(matches!(d.seal(&of(round, 0)), Err(ReleaseError::NotPrepaid(_))));
    }
    assert_eq!(d.seal(&of(10, 0)).unwrap().payload, first.payload, "the same bytes");
    assert_eq!((d.ledger.head().0, spent(&d)), (41, due.clone()));
    // One more attempt has noise of its own, and pays for itself.
    let again = d.seal(&of(12, 1)).unwrap();
    assert_eq!((again.record.manifest.rho_nano, spent(&d)), (0, due.plus(&plan.cost_of(12).in_the_curve())));
    assert_eq!(d.releases.verify(&d.ledger).unwrap(), 41);
    // A plan that costs more than was paid, as with another version of the program, is not gone on with.
    let dearer = Order { planned: Some(fixed(51)), ..of(20, 2) };
    assert!(d.seal(&Order { round: RoundId { round: 50, ..dearer.round.clone() }, attempt: 0, ..dearer }).is_err());
}

/// A crash between the payment for a plan and its first release: the payment stands, and is not made again.
#[test]
fn a_payment_for_a_plan_stands_without_its_release() {
    let d = desk(Arc::new(MemoryStore::new()));
    let plan = fixed(20);
    let order = Order { planned: Some(plan.clone()), rho: plan.noise(3), ..order(3, 0, 0) };
    let lost = |_| Err(ReleaseError::Unreadable(order.round.clone()));
    let names = ["n".to_owned()];
    assert!(d.releases.seal(&d.ledger, &order, Micros(7), (DiscreteGaussian.name(), &names), lost, |_| {}).is_err());
    d.store.lose_unsynced();
    let d = desk(d.store);
    assert_eq!(d.ledger.head().0, 1);
    d.seal(&order).unwrap();
    let study = StudyId::parse("study").unwrap();
    let spent = d.ledger.spent(&study, Micros(7), &[2020])[0].1.lifetime.clone();
    assert_eq!((d.ledger.head().0, spent), (2, plan.cost_from(3)));
    assert_eq!(d.releases.verify(&d.ledger).unwrap(), 1);
}
