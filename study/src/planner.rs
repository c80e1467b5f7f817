//! Cost and expected error before anything is spent and without touching a site's data: the study's own programs run over
//! made-up patients (see `made_up`), as many as are expected, with the noise's variance but no noise.

mod made_up;

use serde::Serialize;
use summaries::walk;
use summaries::{Lanes, MergedRelease, MergedRound, OfSite, ProgramError, Row, Step};

use privacy::mechanism::gaussian_sigma;
use privacy::{Continual, Epsilon, Rho, distributed};

use crate::analysis::What;
use crate::budget;
use crate::compile;
use crate::plan::Plan;
use crate::spec::{Aggregation, Study};
use crate::stream::Noise;

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
    /// What would not be told.
    pub withheld: Vec<Withheld>,
    /// Of a training that samples patients: what is paid for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<SampledCost>,
}

/// What a training that samples patients costs, and what noise its steps have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampledCost {
    /// With which probability a patient is in a step.
    pub rate: f64,
    /// How many steps.
    pub steps: u32,
    /// The noise of a step over how far one patient moves its sum.
    pub noise_multiplier: f64,
    /// What all its rounds mean at the study's δ.
    pub epsilon: Epsilon,
    /// Patients of all sites that are expected in a step.
    pub expected: f64,
    /// The noise's standard deviation of each number of the mean gradient, with local noise.
    pub noise_local: f64,
    /// The same under secure aggregation.
    pub noise_secure: f64,
}

/// Of an analysis that samples patients.
fn sampled(plan: &Plan, analysis: usize, (sites, patients): (usize, usize)) -> Result<Option<SampledCost>, String> {
    let sampling = budget::sampled(&plan.study)?;
    let Some(own) = sampling.analyses().get(&analysis) else { return Ok(None) };
    let Some(What::Train(train)) = plan.study.analysis.get(analysis).map(|a| &a.what) else { return Ok(None) };
    let held_out: f64 = train.holdout.iter().map(|h| h.test.unwrap_or(0.0) + h.validate.unwrap_or(0.0)).sum();
    let trained = train.strategy.patients.map_or((sites * patients) as f64 * (1.0 - held_out), |n| n as f64);
    let program = compile::program(&plan.study, analysis).map_err(|e| e.to_string())?;
    let first = (0..program.rounds()).find(|r| program.tolls(*r).iter().any(|t| t.step));
    let work = program.work(first.unwrap_or_default(), &program.first()).map_err(|e| e.to_string())?;
    let step = work.first().ok_or("a step has no sum")?;
    let expected = trained * own.rate();
    let privacy = &plan.study.privacy;
    let parties = distributed::parties(privacy.threshold(sites), privacy.colluders as usize);
    let one = own.multiplier() * step.sensitivity().l2 / step.layout().scale / expected.max(1.0);
    Ok(Some(SampledCost {
        rate: own.rate(),
        steps: own.steps(),
        noise_multiplier: own.multiplier(),
        epsilon: own.epsilon(),
        expected,
        noise_local: one * (sites as f64).sqrt(),
        noise_secure: one * (sites as f64 / parties.max(1) as f64).sqrt(),
    }))
}

/// A number that would not be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Withheld {
    /// What it is about.
    pub term: String,
    /// Which number.
    pub statistic: String,
    /// Why.
    pub reason: String,
}

/// The expected half-width of an interval.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedError {
    /// What it is about.
    pub term: String,
    /// Which number.
    pub statistic: String,
    /// Half the width of the interval, sampling and noise, as the study asks; the noise's alone of a number that has no interval.
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

/// What a kind of noise would be in a continuous study, for a number that a patient moves by 1, over all sites.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoiseOf {
    /// `independent`, `tree` or `toeplitz`.
    pub noise: Noise,
    /// Whether it is the plan's.
    pub planned: bool,
    /// The standard deviation of one window's, at most.
    pub window: f64,
    /// That of the sum of all windows.
    pub all: f64,
}

/// The kinds of noise side by side, where a patient is in some of the windows and each is told once.
fn noises(plan: &Plan, sites: usize) -> Vec<NoiseOf> {
    let Some(stream) = plan.study.stream.as_ref().filter(|s| s.emit.len() == 1 && s.window.is_tumbling()) else {
        return Vec::new();
    };
    let windows = crate::schedule::Schedule::of(&plan.study).map_or(0, |s| s.windows());
    let Some(most) = stream.windows_per_patient.filter(|_| windows > 1) else { return Vec::new() };
    let one = gaussian_sigma(1.0, budget::total(plan)) * (sites as f64).sqrt();
    let kinds = [Noise::Independent, Noise::Tree, Noise::Toeplitz];
    let of = |noise: Noise| {
        let (window, all) = match noise.correlation() {
            None => (f64::from(most).sqrt(), (f64::from(most) * f64::from(windows)).sqrt()),
            Some(correlation) => {
                let series = Continual::new(correlation, windows, most)?;
                let norm = series.squared().sqrt();
                let window = (0..windows).map(|w| series.window_factor(w));
                (window.fold(0.0, f64::max) * norm, series.prefix_factor(windows - 1) * norm)
            }
        };
        Some(NoiseOf { noise, planned: noise == stream.noise, window: one * window, all: one * all })
    };
    kinds.into_iter().filter_map(of).collect()
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
    /// Of a continuous study: its windows, and in how many of them a patient counts at most. The errors are those of each window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<[u32; 2]>,
    /// Of a continuous study whose windows may have noises that hang together: what each kind of noise would be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noises: Vec<NoiseOf>,
    /// What the study's data-quality gate costs at each site, beside that, as ε; 0 without one.
    pub gate_epsilon: f64,
}

/// The plan's cost and expected error for so many sites of so many patients in the cohort.
///
/// # Errors
/// An analysis does not compile or has no budget.
pub fn cost(plan: &Plan, sites: usize, patients: usize) -> Result<Cost, String> {
    let allocation = budget::allocate(plan)?;
    let privacy = plan.study.privacy;
    let mut analyses = Vec::new();
    for (i, analysis) in plan.study.analysis.iter().enumerate() {
        let rounds = &own(&plan.study, &allocation, i);
        let z = summaries::interval::normal_quantile(0.5 + plan.study.report.confidence / 2.0);
        let rows = rehearse(plan, i, rounds, sites, patients)?;
        let under = |aggregation| -> Result<Vec<Row>, String> {
            let other = with(plan, privacy.epsilon, aggregation);
            let rounds = own(&other.study, &budget::allocate(&other)?, i);
            rehearse(&other, i, &rounds, sites, patients)
        };
        let local = under(Aggregation::Local)?;
        // Windows have local noise.
        let secure = if plan.study.stream.is_some() { Vec::new() } else { under(Aggregation::Secure)? };
        let wide = |rows: &[Row], r: &Row| Some(z * spread(find(rows, &r.term, &r.statistic)?)?);
        let expected = rows
            .iter()
            .filter_map(|r| {
                Some(ExpectedError {
                    term: r.term.clone(),
                    statistic: r.statistic.clone(),
                    half_width: z * spread(r)?,
                    half_width_privacy: z * r.dp_se?,
                    half_width_local: wide(&local, r),
                    half_width_secure: wide(&secure, r),
                })
            })
            .collect();
        let withheld = rows.iter().filter(|r| r.suppressed).map(|r| Withheld {
            term: r.term.clone(),
            statistic: r.statistic.clone(),
            reason: r.note.clone(),
        });
        analyses.push(AnalysisCost {
            analysis: analysis.label(),
            withheld: withheld.collect(),
            rounds: rounds.len() as u32,
            rho: match plan.study.stream {
                Some(_) => budget::of(&plan.study, analysis),
                None => budget::cost_of(&plan.study, i, rounds),
            },
            expected,
            sampled: sampled(plan, i, (sites, patients))?,
        });
    }
    let rho = budget::total(plan);
    Ok(Cost {
        epsilon: budget::epsilon(plan, privacy::Delta(privacy.delta))?,
        delta: privacy.delta,
        rho,
        sites,
        patients,
        analyses,
        windows: crate::schedule::Schedule::of(&plan.study).map(|s| {
            let most = plan.study.stream.as_ref().and_then(|s| s.windows_per_patient);
            [s.windows(), most.unwrap_or(s.windows())]
        }),
        noises: noises(plan, sites),
        gate_epsilon: plan.study.dq_gate.as_ref().map_or(0.0, |g| g.epsilon),
        cohorts: plan.study.analysis.iter().map(|a| a.cohort.as_str()).collect::<std::collections::BTreeSet<_>>().len(),
    })
}

/// The rounds of an analysis: of a continuous study, its share of those in which all are told.
fn own(study: &Study, allocation: &[Vec<Rho>], analysis: usize) -> Vec<Rho> {
    let of = |i: usize| allocation.get(i).cloned().unwrap_or_default();
    match (study.stream.is_some(), study.analysis.get(analysis)) {
        (true, Some(a)) => {
            let whole: f64 = study.analysis.iter().map(|a| a.share).sum();
            of(0).into_iter().map(|rho| rho.share(a.share, whole)).collect()
        }
        _ => of(analysis),
    }
}

/// A row's error; the noise's alone where it has no other.
fn spread(row: &Row) -> Option<f64> {
    row.se.or(row.dp_se)
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
        for i in 0..allocation.len() {
            let rows = rehearse(&other, i, &own(&other.study, &allocation, i), sites, patients)?;
            if let Some(row) = find(&rows, &wanted.term, &wanted.statistic) {
                return Ok(spread(row).map_or(f64::INFINITY, |se| z * se));
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
    let epsilon_local = least(Aggregation::Local)?;
    let epsilon_secure = if plan.study.stream.is_some() { None } else { least(Aggregation::Secure)? };
    Ok(Needed { wanted, epsilon_local, epsilon_secure })
}

/// No more steps of a training are rehearsed.
const REHEARSED: u32 = 10;

/// Runs one analysis over the made-up patients and returns its rows; of a continuous study, for one window with these patients.
fn rehearse(plan: &Plan, analysis: usize, rounds: &[Rho], sites: usize, patients: usize) -> Result<Vec<Row>, String> {
    let text = |e: ProgramError| e.to_string();
    let mut window = Study { stream: None, ..plan.study.clone() };
    if let Some(What::Train(train)) = window.analysis.get_mut(analysis).map(|a| &mut a.what) {
        // What each step has of noise is the same in all.
        let most = REHEARSED.next_multiple_of(train.strategy.accumulate.unwrap_or(1).max(1));
        train.strategy.rounds = train.strategy.rounds.min(most);
        if let Some(local) = &mut train.strategy.local {
            local.steps = local.steps.min(10 * REHEARSED);
        }
    }
    if let Some(What::Trees(trees)) = window.analysis.get_mut(analysis).map(|a| &mut a.what) {
        trees.trees = trees.trees.min(REHEARSED);
    }
    let mut program = compile::program(&window, analysis).map_err(|e| e.to_string())?;
    if let Some(What::Distinct { .. }) = plan.study.analysis.get(analysis).map(|a| &a.what) {
        return distinct(plan, analysis, rounds, sites, patients);
    }
    let of = plan.study.analysis.get(analysis);
    let batch = of.and_then(|a| made_up::patients(&plan.study, a)).ok_or("the features do not fit")?;
    let scale = (sites * patients) as f64 / made_up::GRID as f64;
    let privacy = &plan.study.privacy;
    let shared = match privacy.aggregation {
        Aggregation::Local => 1.0,
        Aggregation::Secure => distributed::parties(privacy.threshold(sites), privacy.colluders as usize) as f64,
    };
    let series = budget::series(&plan.study);
    let last = series.map_or(1.0, |series| series.window_factor(series.windows() - 1));
    let (mut round, mut parameters) = (0u32, program.first());
    loop {
        let mut work = program.work(round, &parameters).map_err(text)?;
        // A training is rehearsed with fewer steps than it has; its last round is the plan's.
        let own = if round + 1 == program.rounds() { rounds.last() } else { rounds.get(round as usize) };
        let rho = own.copied().unwrap_or(Rho::ZERO);
        let whole: f64 = work.iter().map(|w| w.weight).sum();
        let mut parts = Vec::with_capacity(work.len());
        for w in &mut work {
            let own = batch.select(&w.columns).ok_or("the features do not fit")?;
            let sigma = gaussian_sigma(w.sensitivity().l2, rho.share(w.weight, whole)) * last;
            let lanes = match w.walk.as_deref_mut() {
                // Every site goes the same way with an equal part of the patients.
                Some(walk) => {
                    let each = scale / sites.max(1) as f64;
                    let one = walk::rehearsed(walk, &own, each).map_err(|e| e.to_string())?;
                    one.into_iter().map(|v| v.saturating_mul(sites as i64)).collect()
                }
                None => {
                    let mut lanes = Lanes::zeros(w.layout().lanes);
                    w.statistic.accumulate(&own, &mut lanes).map_err(|e| e.to_string())?;
                    let scale = scale * w.rate.unwrap_or(1.0);
                    lanes.values().iter().map(|v| (*v as f64 * scale) as i64).collect()
                }
            };
            parts.push(MergedRelease {
                lanes,
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
