//! The study that every schedule runs.
//!
//! ε is so large that counts have no noise at all (σ = 0.04), while fixed-point lanes have noise in the billions of units. So
//! the first analysis, in which every patient of the federation has a code that nobody else has, shows each patient in the
//! sum exactly once or not at all; and in the rounds of the second, a model, noise that was drawn twice shows. The third is a training that
//! samples patients: its rounds are paid for once, together.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use privacy::{FixedPlan, Rho};
use proto::wire::SignedPlan;
use proto::{Hash, StudyId};
use study::Plan;
use study::spec::{Aggregation, Privacy, Rounds};
use summaries::{Column, PatientBatch};

pub(crate) const MOST_SITES: usize = 6;
pub(crate) const PATIENTS: usize = 3;
/// The most sites of a schedule of secure rounds.
pub(crate) const MOST_SECURE: usize = 9;
/// How long a round waits, in seconds.
pub(crate) const DEADLINE: u32 = 10;

/// A plan and what follows from it.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) hash: Hash,
    pub(crate) signed: SignedPlan,
    pub(crate) allocation: Vec<Vec<Rho>>,
    /// Analyses that sample patients: their rounds are paid for at once.
    pub(crate) planned: BTreeMap<u32, Arc<FixedPlan>>,
}

impl Prepared {
    pub(crate) fn id(&self) -> &StudyId {
        &self.plan.study.id
    }

    pub(crate) fn rho(&self, analysis: u32, round: u32) -> Rho {
        self.allocation.get(analysis as usize).and_then(|a| a.get(round as usize)).copied().unwrap_or_default()
    }

    /// What a round is charged when it is released: nothing, where all were paid for at once.
    pub(crate) fn charged(&self, analysis: u32, round: u32) -> Rho {
        if self.planned.contains_key(&analysis) { Rho::ZERO } else { self.rho(analysis, round) }
    }

    /// A cap that holds what a site spends that answers every round.
    pub(crate) fn total(&self) -> Rho {
        study::budget::total(&self.plan)
    }
}

fn text(sites: usize) -> String {
    let marks: Vec<String> = (0..sites * PATIENTS).map(|i| format!("\"own:p-{i}\"")).collect();
    format!(
        r#"
id = "marks"
version = "1"
schema = ">=1.1,<2"
purpose = "research"
expires = "2099-12-31"

[code_systems]
own = "urn:insitu:simulation"

[cohorts.target]
entry = {{ table = "patient" }}

[features.mark]
kind = "codes"
table = "condition"
list = [{}]
per_patient = 1

[features.sex]
kind = "sex"
levels = ["F", "M"]

[features.severe]
kind = "has"
table = "condition"

[features.weight]
kind = "measurement"
code = "own:weight"
unit = "kg"
bounds = [0.0, 200.0]

[[analysis]]
kind = "codes"
of = "mark"

[[analysis]]
kind = "logistic"
baseline = "common"
outcome = "severe"
features = ["sex", "weight"]
steps = 2

[[analysis]]
kind = "train"
outcome = "severe"
features = ["sex", "weight"]
[analysis.model]
family = "logistic"
[analysis.strategy]
rounds = 4
learning_rate = 0.1
clip = 1
patients = 18
sampling = 0.5

[privacy]
epsilon = 1000.0
"#,
        marks.join(", ")
    )
}

/// The study under an id, with these rounds. Plans are made once: the search for ρ is the dear part.
pub(crate) fn prepared(id: &str, min_sites: u32, attempts: u32) -> Arc<Prepared> {
    static MADE: LazyLock<Mutex<BTreeMap<(String, u32, u32), Arc<Prepared>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let entry = made.entry((id.to_owned(), min_sites, attempts));
    let make = || {
        let mut study = study::read::study(&text(MOST_SITES)).unwrap();
        study.id = StudyId::parse(id).unwrap();
        study.rounds = Rounds { min_sites, deadline_seconds: DEADLINE, gather_seconds: 5, attempts };
        of(study)
    };
    entry.or_insert_with(make).clone()
}

fn of(study: study::spec::Study) -> Arc<Prepared> {
    let plan = Plan::new("simulated", study).unwrap();
    let bytes = plan.canonical().unwrap();
    let hash = study::plan::hash_of(&bytes);
    let allocation = study::budget::allocate(&plan).unwrap();
    let sampling = study::budget::sampled(&plan.study).unwrap();
    let planned = sampling.analyses().iter().map(|(i, own)| (*i as u32, own.plan().clone())).collect();
    let signed = SignedPlan { plan: bytes.into(), ..SignedPlan::default() };
    Arc::new(Prepared { plan, hash, signed, allocation, planned })
}

/// The study with secure rounds: so many of its analyses, the same patients.
pub(crate) fn secured(rounds: Rounds, analyses: usize, set: impl FnOnce(&mut Privacy)) -> Arc<Prepared> {
    let mut study = study::read::study(&text(MOST_SECURE)).unwrap();
    study.rounds = rounds;
    study.analysis.truncate(analyses);
    study.privacy.aggregation = Aggregation::Secure;
    set(&mut study.privacy);
    of(study)
}

/// A site's patients, with the columns of an analysis. Patient `p` of site `i` has the code `i · PATIENTS + p`.
pub(crate) fn patients(site: usize, analysis: u32) -> PatientBatch {
    let columns = if analysis == 0 {
        let codes = (0..PATIENTS).map(|p| (site * PATIENTS + p) as u32).collect();
        vec![Column::Codes { offsets: (0..=PATIENTS as u32).collect(), codes }]
    } else {
        let each = |f: &dyn Fn(usize) -> u32| Column::Level((0..PATIENTS).map(f).collect());
        let weight = Column::Real((0..PATIENTS).map(|p| 50.0 + (13 * site + 7 * p) as f64).collect());
        vec![each(&|p| (p % 2) as u32), weight, each(&|p| ((site + p) % 2) as u32)]
    };
    PatientBatch::new(PATIENTS, columns).unwrap()
}
