//! What the coordinator makes of a round's mean gradient (Reddi and others 2021, "Adaptive federated optimization"): a step upwards on the
//! log-likelihood, by itself, with momentum, or with each parameter's rate fitted to how its gradients were.
//!
//! With g the mean gradient, η the round's rate, and squares taken parameter by parameter:
//!
//! | optimiser | memory | step |
//! |---|---|---|
//! | sgd | m ← μ m + g | η m |
//! | adam | m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g² | η m/(√v + τ) |
//! | yogi | m as adam; v ← v − (1 − β₂) g² sign(v − g²) | the same |
//! | adagrad | m as adam; v ← v + g² | the same |

/// An optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimiser {
    /// Steps along the gradient.
    Sgd {
        /// μ; 0 is none.
        momentum: f64,
    },
    /// Adam.
    Adam(Moments),
    /// Yogi.
    Yogi(Moments),
    /// Adagrad.
    Adagrad(Moments),
}

/// How long adaptive optimisers remember.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// β₁, of gradients.
    pub first: f64,
    /// β₂, of their squares.
    pub second: f64,
    /// τ: how small a root of squares counts as nothing.
    pub tau: f64,
}

/// What an optimiser remembers of the rounds so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) m: Vec<f64>,
    pub(crate) v: Vec<f64>,
}

impl Optimiser {
    /// Whether it remembers gradients, and whether their squares.
    fn remembers(self) -> [bool; 2] {
        match self {
            Optimiser::Sgd { momentum } => [momentum > 0.0, false],
            _ => [true, true],
        }
    }

    /// As numbers, of what it needs.
    pub(crate) fn numbers(self, memory: &Memory) -> Vec<f64> {
        let kept = [&memory.m, &memory.v].into_iter().zip(self.remembers()).filter(|(_, r)| *r);
        kept.flat_map(|(v, _)| v.iter().copied()).collect()
    }

    /// From numbers; `None` where they are not as many.
    pub(crate) fn memory(self, numbers: &[f64], parameters: usize) -> Option<Memory> {
        let mut rest = numbers;
        let mut take = |kept: bool| {
            if !kept {
                return Some(vec![0.0; parameters]);
            }
            let (own, more) = rest.split_at_checked(parameters)?;
            rest = more;
            Some(own.to_vec())
        };
        let [m, v] = self.remembers();
        let memory = Memory { m: take(m)?, v: take(v)? };
        rest.is_empty().then_some(memory)
    }
}

impl Optimiser {
    /// What the rate of a step, counted from 1, is multiplied by so that moments that begin at nothing count as they are (Kingma and Ba
    /// 2015); of Adam alone. A server's rounds are too few for it (Reddi and others leave it out); a hospital's own steps are begun anew in each.
    pub(crate) fn unbiased(self, step: u32) -> f64 {
        let Optimiser::Adam(b) = self else { return 1.0 };
        let left = |beta: f64| 1.0 - beta.powf(f64::from(step));
        left(b.second).sqrt() / left(b.first)
    }
}

impl Memory {
    /// Of nothing yet, for so many parameters.
    pub(crate) fn new(parameters: usize) -> Memory {
        Memory { m: vec![0.0; parameters], v: vec![0.0; parameters] }
    }
}

impl Optimiser {
    /// Moves parameters by a round's mean gradient.
    pub(crate) fn step(self, memory: &mut Memory, theta: &mut [f64], gradient: &[f64], rate: f64) {
        let slots = memory.m.iter_mut().zip(&mut memory.v);
        for ((t, g), (m, v)) in theta.iter_mut().zip(gradient).zip(slots) {
            let squared = g * g;
            let moments = match self {
                Optimiser::Sgd { momentum } => {
                    *m = momentum * *m + g;
                    *t += rate * *m;
                    continue;
                }
                Optimiser::Adam(b) => {
                    *v = b.second * *v + (1.0 - b.second) * squared;
                    b
                }
                Optimiser::Yogi(b) => {
                    // The sign of 0 is 0.
                    let sign = if *v > squared { 1.0 } else { f64::from(i8::from(*v == squared)) - 1.0 };
                    *v -= (1.0 - b.second) * squared * sign;
                    b
                }
                Optimiser::Adagrad(b) => {
                    *v += squared;
                    b
                }
            };
            *m = moments.first * *m + (1.0 - moments.first) * g;
            *t += rate * *m / (v.max(0.0).sqrt() + moments.tau);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: Moments = Moments { first: 0.9, second: 0.99, tau: 1e-3 };

    /// Two steps by hand, of gradients 2 and then −1 at rate 0.5.
    fn two(optimiser: Optimiser) -> (f64, f64, f64) {
        let (mut memory, mut theta) = (Memory::new(1), vec![1.0]);
        optimiser.step(&mut memory, &mut theta, &[2.0], 0.5);
        optimiser.step(&mut memory, &mut theta, &[-1.0], 0.5);
        (theta[0], memory.m[0], memory.v[0])
    }

    #[test]
    fn two_steps_are_those_by_hand() {
        let near = |(t, m, v): (f64, f64, f64), (a, b, c): (f64, f64, f64)| {
            assert!((t - a).abs() < 1e-12 && (m - b).abs() < 1e-12 && (v - c).abs() < 1e-12, "{t} {m} {v}");
        };
        near(two(Optimiser::Sgd { momentum: 0.0 }), (1.5, -1.0, 0.0));
        near(two(Optimiser::Sgd { momentum: 0.5 }), (1.0 + 1.0 + 0.5 * (0.5 * 2.0 - 1.0), 0.0, 0.0));
        // m: 0.2, then 0.9·0.2 − 0.1 = 0.08. v of adam: 0.04, then 0.0396 + 0.01 = 0.0496.
        let at = |v: [f64; 2]| 1.0 + 0.5 * 0.2 / (v[0].sqrt() + 1e-3) + 0.5 * 0.08 / (v[1].sqrt() + 1e-3);
        near(two(Optimiser::Adam(B)), (at([0.04, 0.0496]), 0.08, 0.0496));
        // Of yogi: 0 + 0.01·4; then 1 is above 0.04, so 0.04 + 0.01·1.
        near(two(Optimiser::Yogi(B)), (at([0.04, 0.05]), 0.08, 0.05));
        near(two(Optimiser::Adagrad(B)), (at([4.0, 5.0]), 0.08, 5.0));
    }
}
