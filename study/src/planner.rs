//! Cost and expected error before anything is spent and without touching a site's data: the study's own programs run over
//! made-up patients, evenly spread over the declared bounds and levels, as many as are expected, with the noise's variance
//! but no noise.

use serde::Serialize;
use summaries::top_codes::key::key;
use summaries::{Column, Lanes, MergedRelease, MergedRound, OfSite, PatientBatch, ProgramError, Row, Step};

use privacy::mechanism::gaussian_sigma;
use privacy::{Epsilon, Rho, accounting, distributed};

use crate::analysis::What;
use crate::budget;
use crate::compile;
use crate::feature::Shape;
use crate::plan::Plan;
use crate::spec::Aggregation;

/// Made-up patients; their sums are scaled to the expected number.
const GRID: usize = 997;

/// What an analysis costs and how well it will be known.
#[derive(Clone, Debug, Serialize)]
pub struct AnalysisCost {
    /// Its label.
    pub analysis: String,
    /// Its rounds.
    pub rounds: u32,
    /// ρ at each site.
    pub rho: Rho,
    /// Expected estimates' widths.
    pub expected: Vec<ExpectedError>,
}

/// The expected half-width of an interval.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedError {
    /// What it is about.
    pub term: String,
    /// Which number.
    pub statistic: String,
    /// Half the width of the interval, sampling and noise, as the study asks.
    pub half_width: f64,
    /// The same with the noise alone.
    pub half_width_privacy: f64,
    /// Half the width with local noise; none where the number would be withheld as too noisy.
    pub half_width_local: Option<f64>,
    /// Half the width under secure aggregation; none where the number would be withheld as too noisy.
    pub half_width_secure: Option<f64>,
}

/// A precision that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wanted {
    /// What it is about, such as `age`.
    pub term: String,
    /// Which number, such as `mean`.
    pub statistic: String,
    /// Half the width of its interval.
    pub half_width: f64,
}

/// What ε a wanted precision takes.
#[derive(Clone, Debug, Serialize)]
pub struct Needed {
    /// The precision.
    pub wanted: Wanted,
    /// With local noise; none where sampling alone is wider, or ε would be above 1000.
    pub epsilon_local: Option<f64>,
    /// Under secure aggregation.
    pub epsilon_secure: Option<f64>,
}

/// What a study costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// ε of the study at each site.
    pub epsilon: Epsilon,
    /// δ.
    pub delta: f64,
    /// ρ of the study at each site.
    pub rho: Rho,
    /// Sites assumed.
    pub sites: usize,
    /// Patients a site assumed.
    pub patients: usize,
    /// For each analysis.
    pub analyses: Vec<AnalysisCost>,
    /// Cohorts: a site that asks for a least number of patients charges for one check of each, by its own settings.
    pub cohorts: usize,
    /// What the study's data-quality gate costs at each site, beside that, as ε; 0 without one.
    pub gate_epsilon: f64,
}

fn made_up(shapes: &[Shape]) -> Option<PatientBatch> {
    // Multiples of irrational steps fill every margin evenly and keep the columns apart.
    let place = |column: usize, i: usize| {
        let step = (2.0 + column as f64 * 1.37).sqrt();
        (i as f64 + 0.5).mul_add(step, 0.1 * column as f64).fract()
    };
    let columns = shapes
        .iter()
        .enumerate()
        .map(|(c, shape)| match shape {
            Shape::Real { lower, upper } => {
                Column::Real((0..GRID).map(|i| lower + (upper - lower) * place(c, i)).collect())
            }
            Shape::Level { levels } => {
                Column::Level((0..GRID).map(|i| (place(c, i) * levels.len() as f64) as u32).collect())
            }
            // Few codes, so that one of them stands out.
            Shape::Keys { .. } => Column::Keys {
                offsets: (0..=GRID as u32).collect(),
                keys: (0..GRID).map(|i| key(&format!("{:02}", (place(c, i) * 20.0) as u32))).collect(),
            },
            Shape::Codes { codes, .. } => Column::Codes {
                offsets: (0..=GRID as u32).collect(),
                codes: (0..GRID).map(|i| (place(c, i) * codes.len() as f64) as u32).collect(),
            },
        })
        .collect();
    PatientBatch::new(GRID, columns).ok()
}

/// The plan's cost and expected error for so many sites of so many patients in the cohort.
///
/// # Errors
/// An analysis does not compile or has no budget.
pub fn cost(plan: &Plan, sites: usize, patients: usize) -> Result<Cost, String> {
    let allocation = budget::allocate(plan)?;
    let privacy = plan.study.privacy;
    let mut analyses = Vec::new();
    for (i, (analysis, rounds)) in plan.study.analysis.iter().zip(&allocation).enumerate() {
        let z = summaries::interval::normal_quantile(0.5 + plan.study.report.confidence / 2.0);
        let rows = rehearse(plan, i, rounds, sites, patients)?;
        let under = |aggregation| -> Result<Vec<Row>, String> {
            let other = with(plan, privacy.epsilon, aggregation);
            let rounds = budget::allocate(&other)?;
            rehearse(&other, i, rounds.get(i).map(Vec::as_slice).unwrap_or_default(), sites, patients)
        };
        let (local, secure) = (under(Aggregation::Local)?, under(Aggregation::Secure)?);
        let wide = |rows: &[Row], r: &Row| Some(z * find(rows, &r.term, &r.statistic)?.se?);
        let expected = rows
            .iter()
            .filter_map(|r| {
                Some(ExpectedError {
                    term: r.term.clone(),
                    statistic: r.statistic.clone(),
                    half_width: z * r.se?,
                    half_width_privacy: z * r.dp_se?,
                    half_width_local: wide(&local, r),
                    half_width_secure: wide(&secure, r),
                })
            })
            .collect();
        analyses.push(AnalysisCost {
            analysis: analysis.label(),
            rounds: rounds.len() as u32,
            rho: budget::cost_of(&plan.study, rounds),
            expected,
        });
    }
    let rho = budget::total(plan);
    Ok(Cost {
        epsilon: accounting::epsilon(rho, privacy::Delta(privacy.delta)),
        delta: privacy.delta,
        rho,
        sites,
        patients,
        analyses,
        gate_epsilon: plan.study.dq_gate.as_ref().map_or(0.0, |g| g.epsilon),
        cohorts: plan.study.analysis.iter().map(|a| a.cohort.as_str()).collect::<std::collections::BTreeSet<_>>().len(),
    })
}

fn find<'a>(rows: &'a [Row], term: &str, statistic: &str) -> Option<&'a Row> {
    rows.iter().find(|r| r.term == term && r.statistic == statistic)
}

/// The plan with another ε and another aggregation.
fn with(plan: &Plan, epsilon: f64, aggregation: Aggregation) -> Plan {
    let mut other = plan.clone();
    other.study.privacy.epsilon = epsilon;
    other.study.privacy.aggregation = aggregation;
    other
}

/// What ε a wanted precision takes, with local noise and under secure aggregation, at the federation's size.
///
/// # Errors
/// No analysis of the plan says such a number, or one does not compile.
pub fn needed(plan: &Plan, sites: usize, patients: usize, wanted: Wanted) -> Result<Needed, String> {
    let z = summaries::interval::normal_quantile(0.5 + plan.study.report.confidence / 2.0);
    // The half-width at an ε, infinite where the number is withheld; an error where no analysis has it.
    let width = |epsilon: f64, aggregation| -> Result<f64, String> {
        let other = with(plan, epsilon, aggregation);
        let Ok(allocation) = budget::allocate(&other) else { return Ok(f64::INFINITY) };
        for (i, rounds) in allocation.iter().enumerate() {
            let rows = rehearse(&other, i, rounds, sites, patients)?;
            if let Some(row) = find(&rows, &wanted.term, &wanted.statistic) {
                return Ok(row.se.map_or(f64::INFINITY, |se| z * se));
            }
        }
        Err(format!(
            "no analysis of the study says '{}' of '{}'; see the table without --want",
            wanted.statistic, wanted.term
        ))
    };
    let least = |aggregation| -> Result<Option<f64>, String> {
        let (mut low, mut high) = (1e-3f64.ln(), 1e3f64.ln());
        if width(high.exp(), aggregation)? > wanted.half_width {
            return Ok(None);
        }
        while high - low > 1e-3 {
            let middle = f64::midpoint(low, high);
            if width(middle.exp(), aggregation)? > wanted.half_width { low = middle } else { high = middle }
        }
        Ok(Some(high.exp()))
    };
    let (epsilon_local, epsilon_secure) = (least(Aggregation::Local)?, least(Aggregation::Secure)?);
    Ok(Needed { wanted, epsilon_local, epsilon_secure })
}

/// Runs one analysis over the made-up patients and returns its rows.
fn rehearse(plan: &Plan, analysis: usize, rounds: &[Rho], sites: usize, patients: usize) -> Result<Vec<Row>, String> {
    let text = |e: ProgramError| e.to_string();
    let mut program = compile::program(&plan.study, analysis).map_err(|e| e.to_string())?;
    if let Some(What::Distinct { .. }) = plan.study.analysis.get(analysis).map(|a| &a.what) {
        return distinct(plan, analysis, rounds, sites, patients);
    }
    let shapes = plan.study.analysis.get(analysis).and_then(|a| compile::columns(&plan.study, a));
    let batch = shapes.as_deref().and_then(made_up).ok_or("the features do not fit")?;
    let scale = (sites * patients) as f64 / GRID as f64;
    let privacy = &plan.study.privacy;
    let shared = match privacy.aggregation {
        Aggregation::Local => 1.0,
        Aggregation::Secure => distributed::parties(privacy.threshold(sites), privacy.colluders as usize) as f64,
    };
    let (mut round, mut parameters) = (0u32, program.first());
    loop {
        let work = program.work(round, &parameters).map_err(text)?;
        let rho = rounds.get(round as usize).copied().unwrap_or(Rho::ZERO);
        let whole: f64 = work.iter().map(|w| w.weight).sum();
        let mut parts = Vec::with_capacity(work.len());
        for w in &work {
            let layout = w.statistic.layout();
            let mut lanes = Lanes::zeros(layout.lanes);
            let own = batch.select(&w.columns).ok_or("the features do not fit")?;
            w.statistic.accumulate(&own, &mut lanes).map_err(|e| e.to_string())?;
            let sigma = gaussian_sigma(w.statistic.sensitivity().l2, rho.share(w.weight, whole));
            parts.push(MergedRelease {
                lanes: lanes.values().iter().map(|v| (*v as f64 * scale) as i64).collect(),
                noise_variance: sigma * sigma * sites as f64 / shared,
                unit: 1.0,
                sites,
                shared: 1,
            });
        }
        // Every site has an equal part of what all have, with its own noise.
        let own = |i: usize| OfSite {
            site: i.to_string(),
            round: MergedRound {
                parts: parts
                    .iter()
                    .map(|p: &MergedRelease| MergedRelease {
                        lanes: p.lanes.iter().map(|v| v / sites.max(1) as i64).collect(),
                        noise_variance: p.noise_variance / sites.max(1) as f64,
                        sites: 1,
                        ..p.clone()
                    })
                    .collect(),
                sites: 1,
            },
        };
        let apart: Vec<OfSite> = if program.apart() { (0..sites).map(own).collect() } else { Vec::new() };
        let merged = MergedRound { parts, sites };
        let next = if program.apart() {
            program.next_apart(round, &parameters, &merged, &apart)
        } else {
            program.next(round, &parameters, &merged)
        };
        match next.map_err(text)? {
            Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
            Step::Done(estimate) => return Ok(estimate.rows),
        }
    }
}

/// What a count of distinct patients would say of so many, all different. With local noise it says nothing.
fn distinct(plan: &Plan, analysis: usize, rounds: &[Rho], sites: usize, patients: usize) -> Result<Vec<Row>, String> {
    let privacy = &plan.study.privacy;
    if privacy.aggregation == Aggregation::Local {
        return Ok(Vec::new());
    }
    let buckets = match plan.study.analysis.get(analysis).map(|a| &a.what) {
        Some(What::Distinct { buckets }) => *buckets as usize,
        _ => 0,
    };
    let rho = rounds.first().copied().unwrap_or_default();
    let sketch = privacy::presence::sketch(rho, buckets).map_err(|e| e.to_string())?;
    let parties = distributed::parties(privacy.threshold(sites), privacy.colluders as usize);
    let n = (sites * patients) as f64;
    let z = summaries::interval::normal_quantile(0.5 + plan.study.report.confidence / 2.0);
    Ok(vec![Row::normal("distinct patients", "n", n, 0.0, sketch.standard_error(n, sites, parties), z)])
}
