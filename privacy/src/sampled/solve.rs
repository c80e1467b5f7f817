//! From the ε that is wanted to the noise that it needs.

use super::{FixedPlan, Mechanisms, multiplier, noise_of};
use crate::accounting::{AccountError, Delta, Epsilon, Rho};
use crate::cost::Cost;

/// Multipliers are searched in steps of a ten-thousandth.
const STEPS: f64 = 1e4;

/// The largest that is considered.
const MOST: u64 = 10_000_000_000;

/// The grid of losses of the search: coarse, which says more and never less.
const COARSE: f64 = 1e-3;

/// What a plan must keep to.
#[derive(Clone, Debug)]
pub struct Aim {
    /// What else a patient may be in: each of these, with the plan, must keep to ε at δ.
    pub beside: Vec<Mechanisms>,
    /// The most.
    pub epsilon: Epsilon,
    /// At this δ.
    pub delta: Delta,
    /// What the plan's own cost must be within, at one order of the grid: the one that the study's cap watches.
    pub within: (usize, Rho),
    /// No smaller multiplier is taken.
    pub floor: f64,
}

impl Aim {
    /// Whether a plan keeps to it.
    ///
    /// # Errors
    /// As [`Mechanisms::epsilon`].
    pub fn holds(&self, plan: &FixedPlan) -> Result<bool, AccountError> {
        Ok(self.fits(plan) && self.epsilon(plan)? <= self.epsilon)
    }

    /// The largest ε of any patient of the plan.
    ///
    /// # Errors
    /// As [`Mechanisms::epsilon`].
    pub fn epsilon(&self, plan: &FixedPlan) -> Result<Epsilon, AccountError> {
        self.epsilon_on(None, plan)
    }

    fn epsilon_on(&self, interval: Option<f64>, plan: &FixedPlan) -> Result<Epsilon, AccountError> {
        let mut most = Epsilon(0.0);
        for own in plan.of_patients() {
            for beside in &self.beside {
                let all = own.plus(beside);
                let e = interval.map_or_else(|| all.epsilon(self.delta), |i| all.epsilon_on(i, self.delta))?;
                most = if e.0 <= most.0 { most } else { e };
            }
        }
        Ok(most)
    }

    /// Whether its cost is within the cap's part, with a little left for the rounding of sums.
    fn fits(&self, plan: &FixedPlan) -> bool {
        let (order, rho) = self.within;
        plan.cost_from(0).at(order).saturating_add(1_000) <= Cost::gaussian(rho).at(order)
    }
}

/// The noise of the smallest multiplier, in steps of 1e-4, with which a plan keeps to an aim. `plan` makes it from the noise.
///
/// # Errors
/// No multiplier up to a million is enough.
pub fn solve(aim: &Aim, plan: impl Fn(Rho) -> Option<FixedPlan>) -> Result<Rho, AccountError> {
    let rounds = plan(noise_of(1.0)).map_or(0, |p| p.rounds() as u64);
    let unreachable = || AccountError::Unreachable { epsilon: aim.epsilon.0, rounds, most: MOST as f64 / STEPS };
    let enough = |steps: u64| -> Result<bool, AccountError> {
        let Some(plan) = plan(noise_of(steps as f64 / STEPS)) else { return Ok(false) };
        if !aim.fits(&plan) {
            return Ok(false);
        }
        match aim.epsilon_on(Some(COARSE), &plan) {
            // Far too little noise.
            Err(AccountError::TooLarge(..)) => Ok(false),
            other => Ok(other?.0 <= aim.epsilon.0),
        }
    };
    let least = ((aim.floor.max(0.1) * STEPS).ceil() as u64).min(MOST);
    if enough(least)? {
        return Ok(noise_of(least as f64 / STEPS));
    }
    let (mut low, mut high) = (least, least.saturating_mul(2).min(MOST));
    while !enough(high)? {
        if high >= MOST {
            return Err(unreachable());
        }
        (low, high) = (high, high.saturating_mul(2).min(MOST));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle)? { high = middle } else { low = middle }
    }
    let noise = noise_of(high as f64 / STEPS);
    debug_assert!(multiplier(noise) >= high as f64 / STEPS * (1.0 - 1e-12));
    Ok(noise)
}
