//! The random numbers of one site: ChaCha8, one stream a site, so that a site does not depend on the others.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) struct Chance {
    rng: ChaCha8Rng,
}

impl Chance {
    pub(super) fn new(seed: u64, stream: u64) -> Chance {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Chance { rng }
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let top = (self.rng.next_u64() >> 11) as f64;
        top / 9_007_199_254_740_992.0
    }

    /// Uniform among `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).saturating_add(1).max(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let step = (self.unit() * span as f64) as i64;
        low + step.min(span - 1)
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Normal, by Box and Muller.
    pub(super) fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + sd * radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// One of several.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let last = i64::try_from(from.len()).unwrap_or(1) - 1;
        let at = usize::try_from(self.between(0, last)).unwrap_or(0);
        from.get(at).copied().unwrap_or(otherwise)
    }
}
