//! What a model's outputs are, and how well they fit an outcome.
//!
//! | loss | outputs | outcome | slope of the log-likelihood in the output | the most that a patient's loss counts for |
//! |---|---|---|---|---|
//! | squared | the outcome, its bounds at −1 and 1 | a number, clipped to its bounds | y − η | 2 |
//! | logistic | the logit | no or yes | y − p | 4 ln 2 |
//! | multinomial | a logit for each level | a level | 1 − p of the own level, −p of others | 4 ln k |
//! | Poisson | the logarithm of the mean | a count of at most M | y − μ, μ at most M | M |
//! | hazards | of each interval, the logarithm of the hazard | a time, and whether there was an event | d − T h | 8 |
//! | partial | the logarithm of the relative hazard | the same | d − e^η Σ 1/(its sum over who is at risk) | 8 |
//!
//! Hazards are constant within intervals of one width up to a horizon (Friedman 1982; without an interval for itself the exponential model): a
//! patient is T of an interval at risk, 0 to 1, and has d events there, 0 or 1, so that a sum over patients says all, and nobody else's row is needed
//! as for the partial likelihood. A time and an event are one number: of who had none the time is negative.
//!
//! The partial likelihood (Cox 1972) of a patient with an event is their share of the hazards of all at risk then, of the patients who are summed at once: a batch of local
//! steps, as FLamby has it. A patient's slope hangs on the others', so that no clip bounds what one of them does: it is for simulations without noise.
//!
//! The losses are −log p, half the squared error, and half the deviance. Slopes of patients whose gradient is longer than the clip are cut
//! with it, so that none of them has to be bounded for privacy.

use ndarray::{Array2, ArrayViewMut1};
use summaries::interval::logistic;
use summaries::{AccumulateError, Column, Input, MISSING, PatientBatch};

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Half the squared error of a number within public bounds.
    Squared {
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },
    /// −log p of no or yes.
    Logistic,
    /// −log p of one of so many levels.
    Softmax(u32),
    /// Half the deviance of a count.
    Poisson {
        /// The most events.
        most: f64,
    },
    /// Half the deviance of events over time at risk.
    Hazards {
        /// Times from here on count as this, without an event.
        horizon: f64,
        /// Intervals up to it.
        intervals: u32,
    },
    /// Less the logarithm of the partial likelihood among the patients who are summed at once.
    Partial,
}

/// An event counts with at least so much of an interval at risk.
const LEAST_RISK: f64 = 1e-3;
/// No hazard of an interval is larger: of a hundred who are at risk for all of it less than two are left.
pub const MOST_HAZARD: f64 = 4.0;

/// Events and time at risk in an interval of the patient whose outcome is so.
fn at_risk(y: f64, (horizon, intervals): (f64, u32), interval: usize) -> [f64; 2] {
    let width = horizon / f64::from(intervals.max(1));
    let (time, start) = (y.abs().min(horizon), interval as f64 * width);
    let risk = ((time - start) / width).clamp(0.0, 1.0);
    let ends = y.is_sign_positive() && y < horizon && time >= start && time < start + width;
    if ends { [1.0, risk.max(LEAST_RISK)] } else { [0.0, risk] }
}

impl Loss {
    /// How many outputs a model has.
    pub fn outputs(self) -> usize {
        match self {
            Loss::Softmax(levels) => levels as usize,
            Loss::Hazards { intervals, .. } => intervals as usize,
            _ => 1,
        }
    }

    /// What the outcome is: a column, or a time and whether there was an event.
    pub fn inputs(self) -> Vec<Input> {
        match self {
            Loss::Squared { .. } | Loss::Poisson { .. } => vec![Input::Real],
            Loss::Logistic => vec![Input::Level(2)],
            Loss::Softmax(levels) => vec![Input::Level(levels)],
            Loss::Hazards { .. } | Loss::Partial => vec![Input::Real, Input::Level(2)],
        }
    }

    /// The most that a patient's loss counts for.
    pub fn most(self) -> f64 {
        match self {
            Loss::Squared { .. } => 2.0,
            Loss::Logistic => 4.0 * std::f64::consts::LN_2,
            Loss::Softmax(levels) => 4.0 * f64::from(levels.max(2)).ln(),
            Loss::Poisson { most } => most.max(1.0),
            Loss::Hazards { .. } | Loss::Partial => 8.0,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Squared { .. } => "half squared error, of bounds at -1 and 1",
            Loss::Logistic | Loss::Softmax(_) => "log loss",
            Loss::Poisson { .. } | Loss::Hazards { .. } => "half deviance",
            Loss::Partial => "negative log partial likelihood",
        }
    }

    /// The outcomes of a batch, from a place on.
    ///
    /// # Errors
    /// The batch lacks a column, or one is of another kind.
    pub(crate) fn outcomes<'a>(
        self,
        statistic: &'static str,
        patients: &'a PatientBatch,
        place: usize,
    ) -> Result<Outcomes<'a>, AccumulateError> {
        let wrong = AccumulateError::Column { statistic, wanted: "outcome", place };
        let mut columns = Vec::new();
        for (i, input) in self.inputs().into_iter().enumerate() {
            let Some(column) = patients.column(place + i) else { return Err(wrong) };
            let fits = match input {
                Input::Real => matches!(column, Column::Real(_)),
                _ => matches!(column, Column::Level(_)),
            };
            if !fits {
                return Err(wrong);
            }
            columns.push(column);
        }
        Ok(Outcomes { loss: self, columns })
    }

    /// A patient's outcome out of a column, as the loss has it; `None` where it is missing.
    fn outcome(self, column: &Column, patient: usize) -> Option<f64> {
        match (column, self) {
            (Column::Real(values), Loss::Hazards { .. } | Loss::Partial) => {
                values.get(patient).copied().filter(|t| !t.is_nan()).map(|t| if t > 0.0 { t } else { 0.0 })
            }
            (Column::Real(values), Loss::Squared { lower, upper }) => {
                let y = values.get(patient).copied().filter(|y| !y.is_nan())?;
                let half = (upper - lower) / 2.0;
                Some(((y.clamp(lower, upper) - f64::midpoint(lower, upper)) / half).clamp(-1.0, 1.0))
            }
            (Column::Real(values), Loss::Poisson { most }) => {
                values.get(patient).copied().filter(|y| !y.is_nan()).map(|y| y.clamp(0.0, most))
            }
            (Column::Level(values), Loss::Logistic | Loss::Softmax(_)) => {
                let levels = if let Loss::Softmax(levels) = self { levels } else { 2 };
                values.get(patient).copied().filter(|l| *l != MISSING && *l < levels).map(f64::from)
            }
            _ => None,
        }
    }

    /// The losses of patients who are summed at once; their outputs, patients × outputs, become the slopes. Rows beyond the outcomes stay as they are, but for those of a
    /// partial likelihood, which become 0.
    pub(crate) fn turn_all(self, outputs: &mut Array2<f64>, outcomes: &[f64]) -> Vec<f64> {
        if self == Loss::Partial {
            return partial(outputs, outcomes);
        }
        let turn = |(mut own, y): (ArrayViewMut1<'_, f64>, &f64)| {
            own.as_slice_mut().map_or(f64::NAN, |own| self.turn(own, *y))
        };
        outputs.rows_mut().into_iter().zip(outcomes).map(turn).collect()
    }

    /// A patient's loss at outputs η, which become the slope of the log-likelihood in them.
    pub(crate) fn turn(self, outputs: &mut [f64], y: f64) -> f64 {
        match (self, outputs) {
            (Loss::Squared { .. }, [eta]) => {
                let residual = y - *eta;
                *eta = residual;
                residual * residual / 2.0
            }
            (Loss::Logistic, [eta]) => {
                let signed = if y > 0.5 { -*eta } else { *eta };
                *eta = y - logistic(*eta);
                // log(1 + e^s), where e^s may be beyond all numbers.
                signed.max(0.0) + (-signed.abs()).exp().ln_1p()
            }
            (Loss::Softmax(_), etas) => {
                let own = y as usize;
                let highest = etas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = etas.iter().map(|e| (e - highest).exp()).sum();
                let loss = highest + sum.ln() - etas.get(own).copied().unwrap_or(f64::NAN);
                for (level, eta) in etas.iter_mut().enumerate() {
                    *eta = f64::from(u8::from(level == own)) - (*eta - highest).exp() / sum;
                }
                loss
            }
            (Loss::Poisson { most }, [eta]) => {
                let mean = eta.exp().min(most);
                *eta = y - mean;
                if y > 0.0 { y * (y / mean).ln() - (y - mean) } else { mean }
            }
            (Loss::Hazards { horizon, intervals }, etas) => {
                let mut loss = 0.0;
                for (interval, eta) in etas.iter_mut().enumerate() {
                    let [events, risk] = at_risk(y, (horizon, intervals), interval);
                    let mean = risk * eta.exp().min(MOST_HAZARD);
                    *eta = events - mean;
                    loss += if events > 0.0 { mean - 1.0 - mean.ln() } else { mean };
                }
                loss
            }
            _ => f64::NAN,
        }
    }

    /// What outputs mean: the outcome, a probability, the levels' probabilities, a mean, the probability of an event up to the horizon, a relative hazard.
    pub fn predict(self, outputs: &[f64]) -> Vec<f64> {
        match (self, outputs) {
            (Loss::Squared { lower, upper }, [eta]) => {
                vec![f64::midpoint(lower, upper) + eta * (upper - lower) / 2.0]
            }
            (Loss::Logistic, [eta]) => vec![logistic(*eta)],
            (Loss::Softmax(_), etas) => {
                let highest = etas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = etas.iter().map(|e| (e - highest).exp()).sum();
                etas.iter().map(|e| (e - highest).exp() / sum).collect()
            }
            (Loss::Poisson { most }, [eta]) => vec![eta.exp().min(most)],
            (Loss::Partial, [eta]) => vec![eta.exp()],
            (Loss::Hazards { .. }, etas) => {
                let whole: f64 = etas.iter().map(|eta| eta.exp().min(MOST_HAZARD)).sum();
                vec![-(-whole).exp_m1()]
            }
            _ => Vec::new(),
        }
    }
}

/// The partial likelihood of some patients: each one's loss, and in place of their logarithms of relative hazards its slopes. Who is at risk at a time is who stays at least as
/// long; of those with one time, whoever comes first counts as staying longer, as FLamby has it.
fn partial(outputs: &mut Array2<f64>, outcomes: &[f64]) -> Vec<f64> {
    let eta: Vec<f64> = outputs.iter().copied().take(outcomes.len()).collect();
    outputs.fill(0.0);
    let time = |p: usize| outcomes.get(p).map_or(0.0, |y| y.abs());
    let of = |p: usize| eta.get(p).copied().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    order.sort_by(|a, b| time(*b).total_cmp(&time(*a)));
    let mut losses = vec![0.0; outcomes.len()];
    let mut slope = vec![0.0; outcomes.len()];
    for (place, patient) in order.iter().enumerate() {
        if !outcomes.get(*patient).is_some_and(|y| y.is_sign_positive()) {
            continue;
        }
        let at_risk = order.get(..=place).unwrap_or_default();
        let highest = at_risk.iter().map(|p| of(*p)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = at_risk.iter().map(|p| (of(*p) - highest).exp()).sum();
        for p in at_risk {
            if let Some(own) = slope.get_mut(*p) {
                *own += f64::from(u8::from(p == patient)) - (of(*p) - highest).exp() / sum;
            }
        }
        if let Some(own) = losses.get_mut(*patient) {
            *own = highest + sum.ln() - of(*patient);
        }
    }
    outputs.iter_mut().zip(slope).for_each(|(slot, s)| *slot = s);
    losses
}

/// The outcomes of a batch.
pub(crate) struct Outcomes<'a> {
    loss: Loss,
    columns: Vec<&'a Column>,
}

impl Outcomes<'_> {
    /// A patient's, as the loss has it; `None` where it is missing.
    pub(crate) fn of(&self, patient: usize) -> Option<f64> {
        let first = self.columns.first().and_then(|c| self.loss.outcome(c, patient))?;
        match (self.loss, self.columns.get(1)) {
            (Loss::Hazards { .. } | Loss::Partial, Some(Column::Level(events))) => {
                let event = events.get(patient).copied().filter(|e| *e < 2)?;
                Some(if event == 1 { first } else { -first })
            }
            _ => Some(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_at_risk_and_events_are_where_they_belong() {
        let of = |y: f64| [0, 1, 2].map(|i| at_risk(y, (30.0, 3), i));
        assert_eq!(of(14.0), [[0.0, 1.0], [1.0, 0.4], [0.0, 0.0]]);
        assert_eq!(of(-14.0), [[0.0, 1.0], [0.0, 0.4], [0.0, 0.0]]);
        assert_eq!(of(10.0), [[0.0, 1.0], [1.0, LEAST_RISK], [0.0, 0.0]]);
        assert_eq!((of(0.0)[0], of(-0.0)[0]), ([1.0, LEAST_RISK], [0.0, 0.0]));
        // What comes at the horizon or after it is not seen.
        assert!(of(30.0) == of(-50.0) && of(30.0) == [[0.0, 1.0]; 3]);
    }

    #[test]
    fn the_partial_likelihood_is_the_one_by_hand() {
        // Events at 2 and 4, censored at 3; relative hazards 1, 2, 4. At 4 its patient is alone; at 2 all three are at risk.
        let outcomes = [2.0, -3.0, 4.0];
        let mut outputs = ndarray::arr2(&[[0.0], [2f64.ln()], [4f64.ln()], [7.0]]);
        let losses = Loss::Partial.turn_all(&mut outputs, &outcomes);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(losses[0], 7f64.ln()) && losses[1..] == [0.0, 0.0], "{losses:?}");
        let slopes: Vec<f64> = outputs.iter().copied().collect();
        assert!(near(slopes[0], 6.0 / 7.0) && near(slopes[1], -2.0 / 7.0) && near(slopes[2], -4.0 / 7.0));
        assert!(slopes[3] == 0.0);
        // Of one time, whoever comes first counts as staying longer.
        let mut outputs = ndarray::arr2(&[[0.0], [2f64.ln()]]);
        let losses = Loss::Partial.turn_all(&mut outputs, &[5.0, 5.0]);
        assert!(near(losses[0], 0.0) && near(losses[1], 1.5f64.ln()), "{losses:?}");
    }

    #[test]
    fn slopes_of_the_partial_likelihood_are_those_of_its_losses() {
        let (outcomes, eta) = ([3.0, -1.0, 2.0, 7.0, -7.0, 2.0], [0.3, -0.8, 1.1, 0.2, -0.4, 0.6]);
        let whole = |eta: &[f64]| {
            let mut outputs = Array2::from_shape_fn((eta.len(), 1), |(p, _)| eta[p]);
            let losses = Loss::Partial.turn_all(&mut outputs, &outcomes);
            (losses.iter().sum::<f64>(), outputs)
        };
        let (_, slopes) = whole(&eta);
        for p in 0..eta.len() {
            let mut moved = [eta; 2];
            moved[0][p] += 1e-5;
            moved[1][p] -= 1e-5;
            let slope = (whole(&moved[1]).0 - whole(&moved[0]).0) / 2e-5;
            assert!((slope - slopes[[p, 0]]).abs() < 1e-8, "{slope} and not {}", slopes[[p, 0]]);
        }
    }
}
