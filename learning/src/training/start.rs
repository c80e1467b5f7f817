//! Where training begins: at zero, or at numbers that a seed gives, so that everyone has the same start.
//!
//! The numbers are public and no noise; they come from a generator of ten lines (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
//! number generators") and are the same on every machine.

use super::network::Network;

/// SplitMix64.
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn of(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// Puts places in an order (Fisher and Yates); the numbers are public, and the order hides nobody.
    pub(crate) fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in (−1, 1).
    fn even(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 52) as f64 - 1.0
    }
}

/// A network's first parameters. Without a seed a network without hidden layers begins at zero; one with hidden layers can't, since all
/// its units would stay alike, and has the seed 0. With a seed each weight and bias is even in ±1/√(inputs of its layer).
pub fn start(network: &Network, seed: Option<u64>) -> Vec<f64> {
    let seed = match seed {
        None if network.is_linear() => return vec![0.0; network.parameters()],
        seed => seed.unwrap_or(0),
    };
    let mut draws = SplitMix64(seed);
    let mut out = Vec::with_capacity(network.parameters());
    for layer in network.layers() {
        let far = 1.0 / (layer.inputs as f64).sqrt().max(1.0);
        out.extend((0..layer.outputs * (layer.inputs + 1)).map(|_| far * draws.even()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::network::Activation;

    #[test]
    fn a_seed_is_one_start_everywhere() {
        let mut one = SplitMix64(1_234_567);
        // The reference implementation's first numbers.
        assert_eq!([one.next(), one.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let network = Network::new(16, &[3], 1, Activation::Tanh).unwrap();
        let own = start(&network, Some(7));
        assert_eq!((own.len(), own == start(&network, Some(7)), own == start(&network, Some(8))), (55, true, false));
        assert!(own.iter().take(51).all(|w| w.abs() < 0.25) && own.iter().any(|w| w.abs() > 0.2));
        assert_eq!(start(&network, None), start(&network, Some(0)), "hidden units must not be alike");
        assert!(start(&Network::new(4, &[], 2, Activation::Tanh).unwrap(), None).iter().all(|w| *w == 0.0));
    }
}
