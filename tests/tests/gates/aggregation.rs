//! Gate 5: secure aggregation end to end, with dropouts down to the threshold: the noise in the sum is at least what one central
//! holder owes. Finds noise that was sized for all sites (a wrong √K).

use std::collections::BTreeMap;

use privacy::mechanism::grid;
use privacy::secagg::aggregator::{add, unmask};
use privacy::secagg::{IdentityKey, Instance, Keys, Party, Shared, Terms};
use privacy::{Caps, Cost, DiscreteGaussian, Mechanism, Part, PrivacyFilter, Rho, Sensitive, Spent};
use summaries::{Lanes, Sensitivity};
use zeroize::Zeroizing;

use crate::sampler;

const SITES: usize = 6;
const THRESHOLD: usize = 5;
/// Lanes: each holds one draw of the sum's noise.
fn lanes() -> usize {
    insitu_tests::sized(40_000, 400_000)
}

/// The noise in the sum over exactly the threshold, in lane units, where each share is sized for `parties`.
fn summed(parties: usize, rho: Rho) -> Vec<f64> {
    let key = |i: usize| IdentityKey::from_seed(&Zeroizing::new([i as u8 + 1; 32])).unwrap();
    let roster = (0..SITES).map(|i| key(i).public()).collect();
    let terms = Terms::new(Instance([parties as u8; 32]), roster, THRESHOLD, 0).unwrap();
    let sites: Vec<Party> = (0..SITES)
        .map(|i| Party::new(terms.clone(), i as u32, &Zeroizing::new([i as u8 + 101; 32])).unwrap())
        .collect();
    let list: Vec<_> = sites.iter().enumerate().map(|(i, s)| s.advertise(&key(i)).unwrap()).collect();
    let keys = Keys::new(&terms, list).unwrap();
    let sealed: Vec<_> = sites.iter().flat_map(|s| s.share(&keys).unwrap()).collect();
    let everyone: Vec<u32> = (0..SITES as u32).collect();
    let survivors: Vec<u32> = (1..SITES as u32).collect();
    let (mut sum, mut bits, mut peers) = (vec![0u64; lanes()], 0, BTreeMap::new());
    for p in &survivors {
        let own: Vec<_> = sealed.iter().filter(|s| s.to == *p).cloned().collect();
        let got = sites[*p as usize].receive(&keys, &everyone, &own).unwrap();
        let filter = PrivacyFilter::new(Caps::flat(rho));
        let charge = filter.admit(Cost::gaussian(rho), &[(2020, Spent::default())]).unwrap();
        let lanes = Sensitive::new(Lanes::zeros(lanes()));
        let part = Part { lanes, sensitivity: Sensitivity::cells(1), weight: 1.0 };
        let share = DiscreteGaussian.share(vec![part], charge, parties).unwrap();
        bits = share.scales[0].grid_bits;
        let masked = sites[*p as usize].mask(&keys, &got, share.lanes, 2).unwrap();
        assert!(add(&mut sum, masked.get()));
        peers.insert(*p, got);
    }
    let party = |p: &u32| &sites[*p as usize];
    let consents: Vec<_> =
        survivors.iter().map(|p| party(p).consent(&keys, &peers[p], &survivors, &key(*p as usize)).unwrap()).collect();
    let reveals: Vec<_> =
        survivors.iter().map(|p| party(p).reveal(&keys, &peers[p], &survivors, &consents).unwrap()).collect();
    let shared = Shared::new(&terms, &keys, &everyone).unwrap();
    unmask(&terms, &keys, &shared, &survivors.into_iter().collect(), &reveals, &mut sum, 2).unwrap();
    sum.into_iter().map(|v| v.cast_signed() as f64 / grid(bits)).collect()
}

/// Refuses a sum whose noise is not that of one central holder.
pub(crate) fn gate(parties: usize, rho: Rho) -> Result<(), String> {
    // In thousandths of σ, so that the variance gate of the sampler takes it.
    let sigma = 1.0 / (2.0 * rho.value()).sqrt();
    let scaled: Vec<i64> = summed(parties, rho).into_iter().map(|v| (v / sigma * 1e6).round() as i64).collect();
    sampler::variance(&scaled, 1e6)
}

#[test]
fn the_sum_at_the_threshold_has_the_noise_of_one_holder() {
    gate(THRESHOLD, Rho::from_nano(28_000_000)).unwrap();
}

/// Planted: sized for all six sites, of which five came through.
#[test]
fn noise_that_is_sized_for_all_sites_is_found() {
    let said = gate(SITES, Rho::from_nano(28_000_000)).unwrap_err();
    assert!(said.contains("the variance is 0.8"), "{said}");
}
