//! What would leave for a study: the lanes, the charge, the noise, what would be suppressed, the expected error. Nothing is
//! spent and nothing is kept. The vector shown is an example with noise of its own: what leaves later has other noise.

use privacy::{Block, Caps, Cost, PrivacyFilter, Rho, Spent};
use proto::StudyId;
use serde::Serialize;
use study::schedule::Schedule;

use crate::agent::{Agent, AgentError};

/// Values of a vector that are shown; a longer one is cut.
const SHOWN: usize = 64;

/// One vector of the first round of an analysis.
#[derive(Clone, Debug, Serialize)]
pub struct PartPreview {
    /// Its name.
    pub name: String,
    /// Lanes.
    pub lanes: usize,
    /// Bytes.
    pub bytes: usize,
    /// The L2 distance that one patient can move it, in the statistic's unit.
    pub sensitivity_l2: f64,
    /// The noise's scale in the statistic's unit.
    pub sigma: f64,
    /// Half the width of a 95 % interval from this site's noise alone, in the statistic's unit.
    pub half_width: f64,
    /// An example of what would leave, in the statistic's unit, at most the first 64 lanes.
    pub example: Vec<f64>,
    /// How many lanes of the example are below the least number of patients, where the lanes are numbers of patients.
    pub suppressed: Option<usize>,
}

/// An analysis.
#[derive(Clone, Debug, Serialize)]
pub struct AnalysisPreview {
    /// Its label.
    pub analysis: String,
    /// Its rounds.
    pub rounds: u32,
    /// ρ of all its rounds.
    pub rho: Rho,
    /// The first round's vectors.
    pub parts: Vec<PartPreview>,
    /// The query over gold.
    pub query: String,
}

/// A study.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// Which.
    pub study: StudyId,
    /// ε, δ of the study.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// ρ of the study.
    pub rho: Rho,
    /// What was spent so far, of each year of entry's budget that the study would charge.
    pub spent: Vec<(Block, Spent)>,
    /// How the sums meet: `local` or `secure`; in a secure round nobody sees this site's vector, and its noise is smaller.
    pub aggregation: study::spec::Aggregation,
    /// Who is protected.
    pub unit: String,
    /// The site's caps.
    pub caps: Caps,
    /// For each analysis.
    pub analyses: Vec<AnalysisPreview>,
    /// What the site's own check of each cohort's size costs beside that, as ε; 0 where it checks none.
    pub cohort_epsilon: f64,
    /// What the study's data-quality gate costs beside that, as ε; 0 where it has none.
    pub gate_epsilon: f64,
    /// How many cohorts are checked.
    pub cohorts: usize,
    /// How many ids on the lists of those who objected or consented are nobody's in the lake. Above 0 the lists may write ids otherwise
    /// than the source does, and whoever is meant is not heard. It never leaves the site.
    pub listed_unknown: usize,
}

/// Builds the preview of a study.
///
/// # Errors
/// There is no such study, or no data.
pub async fn preview(agent: &Agent, study: &StudyId) -> Result<Preview, AgentError> {
    let (plan, hash) = agent.plan(study)?;
    let now = agent.clock.now();
    let every = agent.config.budget.blocks(crate::ledger::year(now), plan.study.privacy.entered);
    let invalid = |e: String| AgentError::Engine(crate::engine::EngineError::Plan(e));
    let whole = crate::policy::whole_cost(&agent.config, &plan).map_err(|e| invalid(e.reason))?;
    let blocks = agent.releases.blocks(&agent.ledger, study, &whole, &every, false, now)?;
    let allocation = study::budget::allocate(&plan).map_err(invalid)?;
    // Of a continuous study the example is its first window.
    let windowed =
        Schedule::of(&plan.study).and_then(|s| s.study_at(&plan.study, 0)).unwrap_or_else(|| plan.study.clone());
    let (mut analyses, apart) = (Vec::new(), study::budget::apart(&plan.study));
    for (i, (analysis, rounds)) in plan.study.analysis.iter().zip(&allocation).enumerate().take(apart) {
        let program = study::compile::program(&plan.study, i).map_err(|e| invalid(e.to_string()))?;
        let work = program.work(0, &program.first()).map_err(|e| invalid(e.to_string()))?;
        let first = rounds.first().copied().unwrap_or_default();
        let whole: f64 = work.iter().map(|w| w.weight).sum();
        let usual = agent.mechanism.name();
        if study::secure::mechanism(&plan, i as u32, usual) == privacy::MechanismName::Presence {
            // What would leave is a masked word a cell; there is no example of that which says anything.
            let cells = work.iter().map(|w| PartPreview {
                name: w.name.clone(),
                lanes: w.layout().lanes,
                bytes: w.layout().lanes * 8,
                sensitivity_l2: 1.0,
                sigma: 0.0,
                half_width: 0.0,
                example: Vec::new(),
                suppressed: None,
            });
            analyses.push(AnalysisPreview {
                analysis: analysis.label(),
                rounds: 1,
                rho: first,
                parts: cells.collect(),
                query: query::of(&plan.study, &analysis.cohort, &[], agent.config.id.as_str()).map_err(invalid)?.text(),
            });
            continue;
        }
        let describe: Vec<_> = work
            .iter()
            .map(|w| {
                let (layout, sensitivity) = (w.layout(), w.sensitivity());
                let sigma = agent.mechanism.sigma(&sensitivity, first.share(w.weight, whole)) / layout.scale;
                (w.name.clone(), layout, sensitivity, sigma)
            })
            .collect();
        let (patients, _) =
            agent.engine.patients(&agent.config, &agent.lake, &windowed, hash, i as u32, &blocks).await?;
        let ready = crate::agent::sample::example(agent.entropy.as_ref(), work, &patients.batch).map_err(invalid)?;
        // A charge against nothing: it is minted for this example and never entered in the ledger.
        let free = PrivacyFilter::new(Caps::flat(first)).admit(Cost::gaussian(first), &[(0, Spent::default())]);
        let charge = free.map_err(|e| AgentError::Release(e.into()))?;
        let released = ready.release(agent.mechanism.as_ref(), charge).map_err(|e| AgentError::Release(e.into()))?;
        let parts = describe
            .into_iter()
            .zip(released.get())
            .map(|((name, layout, sensitivity, sigma), part)| {
                let unit = layout.scale * privacy::mechanism::grid(part.scale.grid_bits);
                let values: Vec<f64> = part.lanes.iter().map(|v| *v as f64 / unit).collect();
                let least = plan.study.suppression.k as f64;
                let counts = layout.scale == 1.0;
                PartPreview {
                    name,
                    lanes: layout.lanes,
                    bytes: layout.lanes * 8,
                    sensitivity_l2: sensitivity.l2 / layout.scale,
                    sigma,
                    half_width: 1.96 * sigma,
                    suppressed: counts.then(|| values.iter().filter(|v| **v < least).count()),
                    example: values.into_iter().take(SHOWN).collect(),
                }
            })
            .collect();
        analyses.push(AnalysisPreview {
            analysis: analysis.label(),
            rounds: rounds.len() as u32,
            rho: study::budget::cost_of(&plan.study, i, rounds),
            parts,
            query: query::analysis(&plan.study, windowed.analysis.get(i).unwrap_or(analysis), agent.config.id.as_str())
                .map_err(invalid)?
                .text(),
        });
    }
    Ok(Preview {
        study: study.clone(),
        epsilon: plan.study.privacy.epsilon,
        delta: plan.study.privacy.delta,
        rho: study::budget::total(&plan),
        spent: agent.ledger.spent(study, now, &blocks),
        aggregation: plan.study.privacy.aggregation,
        unit: plan.study.privacy.unit(),
        caps: agent.config.budget.caps(),
        analyses,
        cohort_epsilon: crate::policy::cohort_epsilon(&agent.config, &plan),
        gate_epsilon: crate::policy::gate_epsilon(&plan),
        cohorts: crate::policy::cohorts(&plan),
        listed_unknown: agent.engine.unknown(&agent.config, &agent.lake, &plan.study).await?,
    })
}
