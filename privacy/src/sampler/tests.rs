//! The samplers, against the gates.

mod arithmetic;
mod faults;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::bernoulli::MARGIN;
use super::gates::{self, LAPLACE, MANY};
use super::laplace::{self, LaplaceScale};
use super::parallel::Law as _;
use super::proposal::uniform;
use super::{SamplerError, Scale, add_noise, fill};

/// Draws where each is slow.
const SOME: usize = 10_000;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn scale(sigma: f64) -> Scale {
    Scale::from_nano((sigma * 1e9).round() as u128).unwrap()
}

/// Seeds from a fixed generator, in place of the operating system's.
fn seeds(seed: u8) -> impl FnMut(&mut [u8]) -> Result<(), String> {
    let mut rng = rng(seed);
    move |out| {
        rng.fill_bytes(out);
        Ok(())
    }
}

/// Draws through the internal door, with a margin and a uniform number of the test's choice.
fn drawn<const M: u32>(sigma: f64, seed: u8, uniform: fn(&mut ChaCha20Rng, u64) -> (u64, bool)) -> Vec<i64> {
    let (scale, mut rng) = (scale(sigma), rng(seed));
    // Coins tossed by integers alone take some 10 µs.
    (0..if M == 0 { SOME } else { MANY }).map(|_| scale.draw_with::<M, _>(&mut rng, uniform).unwrap()).collect()
}

#[test]
fn the_law_is_right_at_every_scale() {
    for (i, sigma) in [0.3, 1.0, 2.0, 4.2247, 20.0, 1e3, 1e11].into_iter().enumerate() {
        let mut out = vec![0; MANY];
        fill(&mut out, &scale(sigma), &mut rng(i as u8)).unwrap();
        gates::gaussian(&out, sigma).unwrap_or_else(|e| panic!("σ = {sigma}: {e}"));
    }
}

#[test]
fn the_law_is_right_at_the_ends_of_the_range() {
    let mut out = vec![1; MANY];
    fill(&mut out, &Scale::from_nano(10_000_000).unwrap(), &mut rng(1)).unwrap();
    assert!(out.iter().all(|x| *x == 0), "exp(−5000) is never seen");
    fill(&mut out, &scale(1e14), &mut rng(2)).unwrap();
    gates::gaussian(&out, 1e14).unwrap();
}

#[test]
fn the_laplace_is_right() {
    for (i, (num, den)) in
        [(1, 2), (1, 1), (7, 3), (20, 1), (u64::MAX >> 2, (u64::MAX >> 2) / 3)].into_iter().enumerate()
    {
        let (b, mut out) = (num as f64 / den as f64, vec![0; MANY]);
        laplace::fill(&mut out, &LaplaceScale::new(num, den).unwrap(), &mut rng(i as u8)).unwrap();
        gates::mass(&out, b, LAPLACE).and(gates::symmetric(&out, b)).unwrap_or_else(|e| panic!("b = {b}: {e}"));
        gates::apart(&out[1..], &out[..MANY - 1], b).unwrap();
    }
    let mut out = vec![0; MANY];
    laplace::fill(&mut out, &LaplaceScale::new(100_000_000_000, 1).unwrap(), &mut rng(9)).unwrap();
    let cdf = |x: f64| if x < 0.0 { 0.5 * (x / 1e11).exp() } else { 1.0 - 0.5 * (-x / 1e11).exp() };
    gates::distribution(&out, cdf).unwrap();
}

/// With a margin of 1 every coin is decided by integers.
#[test]
fn the_fallback_alone_gives_the_right_law() {
    for sigma in [0.3, 4.2247, 1e11] {
        gates::gaussian(&drawn::<0>(sigma, 3, uniform), sigma).unwrap();
    }
    let (b, mut rng) = (LaplaceScale::new(7, 3).unwrap(), rng(4));
    let out: Vec<i64> = (0..SOME).map(|_| b.draw_with::<0, _>(&mut rng).unwrap()).collect();
    gates::mass(&out, 7.0 / 3.0, LAPLACE).unwrap();
}

#[test]
fn scales_out_of_range_are_refused() {
    for nano in [0, 1, 9_999_999, 100_000_000_000_000_000_000_001, u128::MAX] {
        assert_eq!(Scale::from_nano(nano), Err(SamplerError::Gaussian { nano }));
    }
    for nano in [10_000_000, 100_000_000_000_000_000_000_000] {
        assert_eq!(Scale::from_nano(nano).unwrap().nano(), nano);
    }
    for (n, d) in [(0, 1), (1, 0), (1, 101), (100_000_000_000_001, 1), (u64::MAX, u64::MAX), (1 << 62, 1)] {
        assert!(LaplaceScale::new(n, d).is_err(), "{n}/{d}");
    }
    LaplaceScale::new(1, 100).unwrap();
    LaplaceScale::new(100_000_000_000_000, 1).unwrap();
}

#[test]
fn noise_is_added_on_every_thread() {
    let (scale, n) = (scale(4.2247), MANY);
    for threads in [0, 1, 2, 3, 64] {
        let mut lanes: Vec<i64> = (0..n as i64).collect();
        add_noise(&mut lanes, &scale, &mut seeds(11), threads).unwrap();
        let noise: Vec<i64> = lanes.iter().enumerate().map(|(i, x)| x - i as i64).collect();
        gates::gaussian(&noise, 4.2247).unwrap();
        let share = n.div_ceil(threads.min(n / 4096).max(1));
        if share < n {
            let (first, second) = noise.split_at(share);
            let common = first.len().min(second.len());
            gates::apart(&first[..common], &second[..common], 4.2247).unwrap();
        }
    }
    let mut lanes = vec![0; n];
    laplace::add_noise(&mut lanes, &LaplaceScale::new(5, 1).unwrap(), &mut seeds(12), 2).unwrap();
    gates::mass(&lanes, 5.0, LAPLACE).unwrap();
    add_noise(&mut [], &scale, &mut seeds(13), 2).unwrap();
}

#[test]
fn threads_that_share_a_seed_are_caught_and_refused() {
    let (a, b) = (drawn::<MARGIN>(4.2247, 14, uniform), drawn::<MARGIN>(4.2247, 14, uniform));
    gates::apart(&a, &b, 4.2247).unwrap_err();
    let mut lanes = vec![7; MANY];
    let mut same = |out: &mut [u8]| {
        out.fill(1);
        Ok(())
    };
    assert_eq!(add_noise(&mut lanes, &scale(1.0), &mut same, 2), Err(SamplerError::RepeatedSeed));
    assert!(lanes.iter().all(|x| *x == 0));
}

#[test]
fn no_lane_leaves_without_noise() {
    for threads in [1, 2] {
        let mut lanes = vec![7; MANY];
        let outcome = add_noise(&mut lanes, &scale(1.0), &mut |_| Err("gone".to_owned()), threads);
        assert_eq!(outcome, Err(SamplerError::Seed("gone".to_owned())));
        assert!(lanes.iter().all(|x| *x == 0));
        // A source that forgets to fill the seed.
        lanes.fill(7);
        assert_eq!(add_noise(&mut lanes, &scale(1.0), &mut |_| Ok(()), threads), Err(SamplerError::RepeatedSeed));
        assert!(lanes.iter().all(|x| *x == 0));
        lanes.fill(7);
        lanes[MANY - 100..].fill(i64::MAX);
        assert_eq!(add_noise(&mut lanes, &scale(1.0), &mut seeds(15), threads), Err(SamplerError::Overflow));
        assert!(lanes.iter().all(|x| *x == 0));
    }
}

/// Bits that make a proposal too long: the sampler says so and leaves zeros.
#[test]
fn a_draw_that_does_not_fit_is_an_error() {
    struct Capped(u64);
    impl rand_core::TryRng for Capped {
        type Error = rand_core::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            self.0 += 1;
            // A uniform number, 93 000 blocks, and the end of them.
            Ok(match self.0 {
                1 => 0x1234_5678_9abc_def0,
                93_002 => u64::MAX,
                _ => 0,
            })
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Capped {}
    let mut out = vec![5; 3];
    assert_eq!(fill(&mut out, &scale(1e14), &mut Capped(0)), Err(SamplerError::Overflow));
    assert_eq!(out, [0; 3]);
    let b = LaplaceScale::new(100_000_000_000_000, 1).unwrap();
    assert_eq!(b.draw(&mut Capped(0)), Err(SamplerError::Overflow));
}

/// Processor time of this process, all threads, in seconds: right on a busy machine too. Linux alone; to 10 ms.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Prints millions of draws a second: of processor time, and of the clock.
fn measure(name: &str, draw: impl FnOnce(&mut [i64])) {
    let mut out = vec![0; 10_000_000];
    let (clock, processor) = (std::time::Instant::now(), processor_seconds());
    draw(&mut out);
    let (clock, processor) = (clock.elapsed().as_secs_f64(), processor_seconds() - processor);
    println!("{name}: {:.1} M/s a core, {:.1} M/s by the clock", 10.0 / processor, 10.0 / clock);
}

#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    for sigma in [0.3, 1.0, 4.2, 1e3, 1e11, 1e14] {
        let scale = scale(sigma);
        measure(&format!("σ = {sigma:e}, one thread"), |out| fill(out, &scale, &mut rng(1)).unwrap());
        measure(&format!("σ = {sigma:e}, two threads"), |out| add_noise(out, &scale, &mut seeds(1), 2).unwrap());
    }
    for (num, den) in [(5, 1), (4_200_000_000, 1_000_000_000), (100_000_000_000, 1)] {
        let scale = LaplaceScale::new(num, den).unwrap();
        measure(&format!("b = {num}/{den}, one thread"), |out| laplace::fill(out, &scale, &mut rng(1)).unwrap());
    }
}
