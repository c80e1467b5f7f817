//! How the length of a step changes over the rounds.

use std::f64::consts::PI;

/// How it falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// It is multiplied by a factor after every so many rounds.
    Step {
        /// Rounds.
        every: u32,
        /// The factor.
        factor: f64,
    },
    /// Half a wave from the first round's to nothing after the last (Loshchilov and Hutter 2017).
    Cosine,
    /// It is divided by 1 + factor · round.
    InverseTime {
        /// The factor.
        factor: f64,
    },
}

/// A rate and its decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The first round's.
    pub start: f64,
    /// How it falls.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of a round, counted from 0, of so many.
    pub fn rate(&self, round: u32, rounds: u32) -> f64 {
        let t = f64::from(round);
        let kept = match self.decay {
            Decay::Constant => 1.0,
            Decay::Step { every, factor } => factor.powf(f64::from(round / every.max(1))),
            Decay::Cosine => 0.5 * (1.0 + (PI * t / f64::from(rounds.max(1))).cos()),
            Decay::InverseTime { factor } => 1.0 / (1.0 + factor * t),
        };
        self.start * kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_as_they_say() {
        let of = |decay, round| Schedule { start: 2.0, decay }.rate(round, 10);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and not {b}");
        near(of(Decay::Constant, 9), 2.0);
        let step = Decay::Step { every: 4, factor: 0.5 };
        [(3, 2.0), (4, 1.0), (7, 1.0), (8, 0.5)].iter().for_each(|(t, r)| near(of(step, *t), *r));
        [(0, 2.0), (5, 1.0), (10, 0.0)].iter().for_each(|(t, r)| near(of(Decay::Cosine, *t), *r));
        near(of(Decay::InverseTime { factor: 0.25 }, 4), 1.0);
    }
}
