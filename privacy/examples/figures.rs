//! Figures of the privacy room: a secure round at 40 sites, samples of noise, a privacy loss distribution.
//!
//! `cargo run --release --package privacy --example figures`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use privacy::accounting::{Accountant, search};
use privacy::secagg::aggregator::{add, unmask};
use privacy::secagg::{IdentityKey, Instance, Keys, Party, Shared, Terms, default_threshold};
use privacy::{Sensitive, sampler};
use summaries::Lanes;
use zeroize::Zeroizing;

const SITES: usize = 40;

/// One round with `dropped` sites that leave before their masked input. Every site's time is its own; the threads are one.
fn round(lanes: usize, dropped: usize) {
    let seed = |i: usize, b: u8| {
        let mut s = Zeroizing::new([b; 32]);
        s[..8].copy_from_slice(&(i as u64).to_le_bytes());
        s
    };
    let keys: Vec<IdentityKey> = (0..SITES).map(|i| IdentityKey::from_seed(&seed(i, 1)).unwrap()).collect();
    let roster = keys.iter().map(IdentityKey::public).collect();
    let terms = Terms::new(Instance([lanes as u8; 32]), roster, default_threshold(SITES), 0).unwrap();
    let mut site = Duration::ZERO;
    let mut coordinator = Duration::ZERO;
    let mut bytes = 0;
    let timed = |own: &mut Duration, from: Instant| *own += from.elapsed();

    let t = Instant::now();
    let parties: Vec<Party> = (0..SITES).map(|i| Party::new(terms.clone(), i as u32, &seed(i, 2)).unwrap()).collect();
    let list: Vec<_> = parties.iter().zip(&keys).map(|(p, k)| p.advertise(k).unwrap()).collect();
    timed(&mut site, t);
    bytes += privacy::secagg::Advertisement::BYTES;
    let t = Instant::now();
    let round_keys = Keys::new(&terms, list.clone()).unwrap();
    timed(&mut coordinator, t);
    let t = Instant::now();
    let mut sealed = Vec::new();
    for p in &parties {
        sealed.extend(p.share(&p.keys(list.clone()).unwrap()).unwrap());
    }
    timed(&mut site, t);
    bytes += (SITES - 1) * privacy::secagg::SealedShare::BYTES;

    let everyone: Vec<u32> = (0..SITES as u32).collect();
    let survivors: Vec<u32> = (dropped as u32..SITES as u32).collect();
    let mut sum = vec![0u64; lanes];
    let mut peers = BTreeMap::new();
    for p in &survivors {
        let own: Vec<_> = sealed.iter().filter(|s| s.to == *p).cloned().collect();
        let t = Instant::now();
        let party = &parties[*p as usize];
        let got = party.receive(&round_keys, &everyone, &own).unwrap();
        let masked = party.mask(&round_keys, &got, Sensitive::new(Lanes::from_values(vec![7; lanes])), 1).unwrap();
        timed(&mut site, t);
        let t = Instant::now();
        assert!(add(&mut sum, masked.get()));
        timed(&mut coordinator, t);
        peers.insert(*p, got);
    }
    bytes += lanes * 8;
    let t = Instant::now();
    let consent =
        |p: &u32| parties[*p as usize].consent(&round_keys, &peers[p], &survivors, &keys[*p as usize]).unwrap();
    let consents: Vec<_> = survivors.iter().map(consent).collect();
    let reveal = |p: &u32| parties[*p as usize].reveal(&round_keys, &peers[p], &survivors, &consents).unwrap();
    let reveals: Vec<_> = survivors.iter().map(reveal).collect();
    timed(&mut site, t);
    bytes += 64 + (SITES - 1) * privacy::secagg::shamir::SHARE_BYTES;
    let t = Instant::now();
    let shared = Shared::new(&terms, &round_keys, &everyone).unwrap();
    let alive: BTreeSet<u32> = survivors.iter().copied().collect();
    unmask(&terms, &round_keys, &shared, &alive, &reveals, &mut sum, 2).unwrap();
    timed(&mut coordinator, t);
    assert!(sum.iter().all(|v| *v == 7 * survivors.len() as u64));
    println!(
        "secure round, {SITES} sites, {dropped} dropped, {lanes} lanes: {:.1} ms a site, {:.1} ms the coordinator, {:.2} s in all, {} bytes up a site ({:.3} of the lanes)",
        site.as_secs_f64() * 1e3 / SITES as f64,
        coordinator.as_secs_f64() * 1e3,
        (site + coordinator).as_secs_f64(),
        bytes,
        bytes as f64 / (lanes * 8) as f64
    );
}

fn main() {
    for lanes in [10_000, 100_000, 1_000_000] {
        round(lanes, 0);
        round(lanes, 4);
    }
    for sigma in [4.2, 1e3, 1e11] {
        let mut lanes = vec![0i64; 4_000_000];
        let scale = sampler::Scale::from_nano((sigma * 1e9) as u128).unwrap();
        let mut n = 1u8;
        let mut seeds = |b: &mut [u8]| {
            b.fill(n);
            n += 1;
            Ok(())
        };
        let t = Instant::now();
        sampler::add_noise(&mut lanes, &scale, &mut seeds, 2).unwrap();
        println!(
            "discrete Gaussian, σ = {sigma:e}: {:.1} million samples a second on two threads",
            4.0 / t.elapsed().as_secs_f64()
        );
    }
    let t = Instant::now();
    let e = search::epsilon(Accountant::Pld, 1.1, 256.0 / 60_000.0, 14_063, 1e-5).unwrap();
    println!("privacy loss distribution, 14,063 rounds: ε = {e:.4} in {:.2} s", t.elapsed().as_secs_f64());
}
