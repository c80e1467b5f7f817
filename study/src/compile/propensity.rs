//! Propensity analyses: covariates, a treatment, outcomes.

use learning::propensity::{Plan, Propensity};
use learning::weighting::Outcome;
use summaries::{Program, Reporting};

use super::regression::design;
use super::{shape, yes_no};
use crate::analysis::What;
use crate::feature::Shape;
use crate::spec::Study;

fn outcome(study: &Study, name: &String) -> Result<(String, Outcome), String> {
    match shape(study, name) {
        Some(Shape::Real { lower, upper }) => Ok((name.clone(), Outcome::Number([lower, upper]))),
        Some(Shape::Level { levels }) if levels.len() == 2 => Ok((name.clone(), Outcome::YesNo)),
        _ => Err(format!("the outcome '{name}' is neither a number with bounds nor no or yes")),
    }
}

/// The program of a propensity analysis.
pub(super) fn program(study: &Study, what: &What, reporting: Reporting) -> Result<Box<dyn Program>, String> {
    let What::Propensity { treatment, formula, outcomes, effect, cap, strata, cuts, steps } = what else {
        return Err("this is no propensity analysis".to_owned());
    };
    yes_no(study, treatment)?;
    let plan = Plan {
        design: design(study, formula, None)?,
        kind: *effect,
        cap: *cap,
        strata: *strata as usize,
        cuts: *cuts,
        outcomes: outcomes.iter().map(|o| outcome(study, o)).collect::<Result<_, _>>()?,
    };
    let columns = (0..reporting.names.len()).collect();
    let program = Propensity::new(plan, columns, *steps, reporting);
    Ok(Box::new(program.ok_or("the cap is below 1, or the strata are fewer than 2 or more than 50")?))
}
