//! Events of one cell of time, and who else has left it by then.

use serde::{Deserialize, Serialize};

/// What events of one cell are to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Efron's: each of them leaves a part of the others behind. The default, as in R.
    #[default]
    Efron,
    /// Breslow's: all are at risk for each.
    Breslow,
}

impl Ties {
    /// Which part of a cell's events has left before each of some equal shares of them. Efron's d events leave 0, 1/d, … (d − 1)/d behind;
    /// under noise, which has no whole number of events, the mean over them is taken as an integral, by its middles.
    pub(super) fn parts(self, events: f64, noise: bool) -> Vec<f64> {
        match self {
            Ties::Breslow => vec![0.0],
            Ties::Efron if !noise => (0..(events.round() as usize).max(1)).map(|k| k as f64 / events).collect(),
            Ties::Efron => {
                let middle = |k: usize| (k as f64 + 0.5) / MIDDLES as f64 - 0.5 / events.max(1.0);
                (0..MIDDLES).map(|k| middle(k).max(0.0)).collect()
            }
        }
    }
}

impl Ties {
    /// Which part of a cell's censored has left when a part of its events has, of whom a part leaves on average: with Efron's ties they
    /// leave beside the events.
    pub(super) fn gone(self, left: f64, average: f64) -> f64 {
        match self {
            _ if average == 0.0 => 0.0,
            Ties::Breslow => average,
            Ties::Efron => (left + average - 0.5).clamp(0.0, 1.0),
        }
    }
}

/// Middles of the integral over a cell's events.
const MIDDLES: usize = 8;
