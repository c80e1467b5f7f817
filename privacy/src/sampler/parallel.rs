//! Lanes over threads, each with a generator of its own that is wiped when it is done.

use std::hint::black_box;
use std::thread;

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

use super::error::SamplerError;

/// With fewer lanes than this a thread costs more than it saves.
const LANES_A_THREAD: usize = 4096;

/// A law to draw from.
pub(super) trait Law: Sync {
    /// One draw.
    fn draw<R: CryptoRng>(&self, rng: &mut R) -> Result<i64, SamplerError>;
}

/// A generator that is overwritten before its memory is given back. It stays in one place, so that no copy is left behind.
struct Wiped(Box<ChaCha20Rng>);

impl Wiped {
    fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(ChaCha20Rng::from_seed(*seed)))
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // Key, counter and unread output; `black_box` keeps the compiler from leaving the store out.
        *self.0 = ChaCha20Rng::from_seed([0; 32]);
        black_box(&mut self.0);
    }
}

/// Fills `out`; all zero on an error.
pub(super) fn fill<L: Law>(out: &mut [i64], law: &L, rng: &mut impl CryptoRng) -> Result<(), SamplerError> {
    let outcome = out.iter_mut().try_for_each(|cell| law.draw(rng).map(|noise| *cell = noise));
    outcome.inspect_err(|_| out.zeroize())
}

/// Adds noise to every lane; all zero on an error, whatever it was, since some lanes would still be without noise.
///
/// That lanes are zero tells that a sum overflowed. A caller that bounds its lanes by 2^62 sees that with a chance below
/// e^(−40 000) a lane, patient or no patient.
pub(super) fn add<L: Law>(
    lanes: &mut [i64],
    law: &L,
    seeds: &mut dyn FnMut(&mut [u8]) -> Result<(), String>,
    threads: usize,
) -> Result<(), SamplerError> {
    let outcome = try_add(lanes, law, seeds, threads);
    outcome.inspect_err(|_| lanes.zeroize())
}

fn try_add<L: Law>(
    lanes: &mut [i64],
    law: &L,
    seeds: &mut dyn FnMut(&mut [u8]) -> Result<(), String>,
    threads: usize,
) -> Result<(), SamplerError> {
    let shares = threads.min(lanes.len() / LANES_A_THREAD).max(1);
    let seeds = draw_seeds(seeds, shares)?;
    if let [seed] = &seeds[..] {
        return add_share(lanes, law, seed);
    }
    let share = lanes.len().div_ceil(shares);
    thread::scope(|scope| {
        let started: Vec<_> = lanes
            .chunks_mut(share)
            .zip(&seeds[..])
            .map(|(lanes, seed)| thread::Builder::new().spawn_scoped(scope, move || add_share(lanes, law, seed)))
            .collect();
        started.into_iter().try_for_each(|thread| match thread.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            _ => Err(SamplerError::Thread),
        })
    })
}

/// One seed a thread. Equal seeds would give two threads the same noise; from a sound source they have a chance of 2^(−256).
fn draw_seeds(
    seeds: &mut dyn FnMut(&mut [u8]) -> Result<(), String>,
    count: usize,
) -> Result<Zeroizing<Vec<[u8; 32]>>, SamplerError> {
    let mut all = Zeroizing::new(vec![[0; 32]; count]);
    for i in 0..count {
        let (before, rest) = all.split_at_mut(i);
        let Some(seed) = rest.first_mut() else { continue };
        seeds(seed).map_err(SamplerError::Seed)?;
        if *seed == [0; 32] || before.contains(seed) {
            return Err(SamplerError::RepeatedSeed);
        }
    }
    Ok(all)
}

fn add_share<L: Law>(lanes: &mut [i64], law: &L, seed: &[u8; 32]) -> Result<(), SamplerError> {
    let mut rng = Wiped::from_seed(seed);
    for lane in lanes {
        let noise = Zeroizing::new(law.draw(&mut *rng.0)?);
        *lane = lane.checked_add(*noise).ok_or(SamplerError::Overflow)?;
    }
    Ok(())
}
