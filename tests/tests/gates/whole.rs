//! A study's one analysis, run once as a site and a coordinator run it: the plan's allocation, charges under the plan's total, the
//! agent's own sums, the real mechanism, the program's own rounds.

use platform::OsEntropy;
use privacy::mechanism::grid;
use privacy::{Caps, Cost, DiscreteGaussian, Mechanism, PrivacyFilter, ReleasedPart, Rho, Spent};
use study::Plan;
use summaries::{Estimate, MergedRelease, MergedRound, PartWork, PatientBatch, Step};

/// What every plan of the gates shares.
const HEAD: &str = r#"
version = "1"
schema = ">=1.1,<2"
purpose = "research"
expires = "2099-12-31"
[code_systems]
own = "urn:insitu:gates"
[cohorts.target]
entry = { table = "patient" }
"#;

/// The plan of a study with these settings of privacy, features and analyses.
pub(crate) fn plan(privacy: &str, rest: &str) -> Plan {
    let text = format!("id = \"gates\"\n{HEAD}[privacy]\ndelta = 1e-6\n{privacy}\n{rest}");
    Plan::new("gates", study::read::checked(&text).unwrap()).unwrap()
}

/// Runs the first analysis over these patients at one site. `seen` is shown each round's work and what was released. Returns the
/// estimate and the ρ that was charged; nothing where all rounds were paid for at once. A planted fault divides the noise; 1 divides nothing.
pub(crate) fn run(
    plan: &Plan,
    patients: &PatientBatch,
    divided: f64,
    mut seen: impl FnMut(&[PartWork], &[ReleasedPart]) -> Result<(), String>,
) -> Result<(Estimate, Rho), String> {
    let allocation = study::budget::allocate(plan)?;
    let mut program = study::compile::program(&plan.study, 0).map_err(|e| e.to_string())?;
    let filter = PrivacyFilter::new(Caps::flat(study::budget::total(plan)));
    let sampling = study::budget::sampled(&plan.study)?;
    let planned = sampling.analyses().get(&0).map(|own| own.plan().clone());
    let mut spent = Spent::default();
    let (mut round, mut parameters) = (0u32, program.first());
    loop {
        let (cost, charge) = match &planned {
            Some(plan) => {
                let paid = plan.charge(round, &[(2020, 0, plan.cost_from(0))]);
                (Cost::default(), paid.ok_or("the round was not paid for")?)
            }
            None => {
                let cost = Cost::gaussian(allocation[0][round as usize]);
                let charge = filter.admit(cost.clone(), &[(2020, spent.clone())]).map_err(|e| e.to_string())?;
                (cost, charge)
            }
        };
        for total in [&mut spent.study, &mut spent.year, &mut spent.lifetime] {
            *total = total.plus(&cost);
        }
        let work = program.work(round, &parameters).map_err(|e| e.to_string())?;
        let asked = program.work(round, &parameters).map_err(|e| e.to_string())?;
        let draw = |rate, of| site_agent::agent::sample::poisson(&OsEntropy, rate, of);
        let mut parts = site_agent::agent::sampled(asked, patients, draw)?;
        parts.iter_mut().for_each(|p| p.sensitivity.l2 /= divided);
        let released = DiscreteGaussian.release(parts, charge).map_err(|e| e.to_string())?.into_inner();
        seen(&work, &released)?;
        let merged = released.into_iter().map(|part| MergedRelease {
            noise_variance: (part.scale.sigma_nano as f64 / 1e9).powi(2),
            unit: grid(part.scale.grid_bits),
            lanes: part.lanes,
            sites: 1,
            shared: 1,
        });
        let merged = MergedRound { parts: merged.collect(), sites: 1 };
        match program.next(round, &parameters, &merged).map_err(|e| e.to_string())? {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return Ok((estimate, spent.study.rho)),
        }
    }
}
