//! Results and provenance of a study, put together from the journal and the sites' ledgers.

use std::collections::{BTreeMap, BTreeSet};

use certs::Peer;
use certs::entry::Kind;
use platform::Micros;
use privacy::{Cost, Delta, Rho};
use proto::StudyId;
use study::Plan;

use crate::anchors::Anchors;
use crate::federation::Federation;
use crate::journal::Journal;
use crate::registry::Registry;
use crate::results::{Provenance, ReleaseProvenance, Results, RoundProvenance, SiteProvenance};

/// What an analyst fetches.
pub struct Collected {
    /// The plan's canonical bytes.
    pub plan: Vec<u8>,
    /// The results.
    pub results: Results,
    /// Where they come from.
    pub provenance: Provenance,
}

/// Why there is nothing to fetch.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store.
    #[error(transparent)]
    Store(#[from] platform::StoreError),
    /// There is no such study.
    #[error("there is no study '{0}'")]
    Missing(StudyId),
    /// No analysis is done.
    #[error("the study is {state} and has no result yet: {detail}")]
    Nothing {
        /// Where it stands.
        state: String,
        /// Why.
        detail: String,
    },
    /// The plan can't be read.
    #[error(transparent)]
    Plan(#[from] study::plan::PlanError),
}

/// Collects what there is of a study; analyses that are not done are left out.
///
/// # Errors
/// There is no such study, or nothing is done yet.
pub fn collect(
    federation: &Federation,
    registry: &Registry,
    (journal, anchors): (&Journal, &Anchors),
    id: &StudyId,
    simulation: bool,
) -> Result<Collected, CollectError> {
    let missing = || CollectError::Missing(id.clone());
    let signed = journal.plan(id)?.ok_or_else(missing)?;
    let state = journal.state(id)?.ok_or_else(missing)?;
    let plan = Plan::parse(&signed.plan)?;
    let analyses = journal.results(id)?;
    if analyses.is_empty() {
        return Err(CollectError::Nothing { state: state.state, detail: state.detail });
    }
    let signer = certs::identity::chain(&signed.signer_chain_pem).ok().and_then(|c| Peer::of(c.first()?).ok());
    let delta = Delta(plan.study.privacy.delta);
    let total = study::budget::total(&plan);
    let mut merged = BTreeSet::new();
    let mut rounds = Vec::new();
    for c in journal.checkpoints(id)? {
        let label = plan.study.analysis.get(c.analysis as usize).map(study::analysis::Analysis::label);
        merged.insert((c.analysis, c.round, c.attempt));
        rounds.push(RoundProvenance {
            analysis: label.unwrap_or_default(),
            round: c.round,
            sites: c.releases.len() as u32,
            parameters_hash: proto::manifest::parameters_hash(&c.parameters).to_string(),
            merged_hash: c.merged_hash.to_string(),
            started: Micros(c.started_micros).to_string(),
            finished: Micros(c.finished_micros).to_string(),
            releases: c
                .releases
                .iter()
                .map(|(site, t)| ReleaseProvenance {
                    site: site.to_string(),
                    release: t.release.to_string(),
                    payload_hash: t.payload_hash.to_string(),
                    rho: Rho::from_nano(t.rho_nano).value(),
                })
                .collect(),
        });
    }
    let decisions = journal.decisions(id)?;
    // The sites' own ledgers say what was paid: a round that came to nothing and a cohort check are in them too.
    let mut spent: BTreeMap<String, Cost> = BTreeMap::new();
    let mut burned = BTreeSet::new();
    for (site, _) in registry.sites()? {
        for e in anchors.of_study(&site, id)? {
            let attempt = (e.round.analysis, e.round.round, e.attempt);
            if e.kind == Kind::SecureRelease && !merged.contains(&attempt) {
                burned.insert(attempt);
            }
            let sum = spent.entry(site.to_string()).or_default();
            *sum = sum.plus(&e.cost);
        }
    }
    let sites = registry
        .members(certs::Role::Site)?
        .into_iter()
        .map(|m| {
            let (decision, reason) = decisions.get(&m.id).cloned().unwrap_or_else(|| ("none".into(), String::new()));
            let cost = spent.get(&m.id).cloned().unwrap_or_default();
            SiteProvenance {
                country: m.country,
                decision,
                reason,
                rho: cost.rho.value(),
                epsilon: cost.epsilon(delta).0,
                id: m.id,
            }
        })
        .collect();
    let study = &plan.study;
    let results = Results {
        study: study.id.to_string(),
        version: study.version.clone(),
        title: study.title.clone(),
        analyses,
        simulation,
    };
    let provenance = Provenance {
        federation: federation.settings.name.clone(),
        study: study.id.to_string(),
        plan_hash: study::plan::hash_of(&signed.plan).to_string(),
        signer: signer.as_ref().map(|s| s.name.to_string()).unwrap_or_default(),
        signer_certificate_serial: signer.map(|s| s.serial).unwrap_or_default(),
        signature_hex: certs::head::hex(&signed.signature),
        epsilon: study.privacy.epsilon,
        delta: study.privacy.delta,
        rho: total.value(),
        unit: study.privacy.unit(),
        aggregation: match study.privacy.aggregation {
            study::spec::Aggregation::Local => "local".to_owned(),
            study::spec::Aggregation::Secure => "secure".to_owned(),
        },
        burned: u32::try_from(burned.len()).unwrap_or(u32::MAX),
        mechanism: match study::budget::series(study) {
            _ if simulation => "none",
            Some(series) => series.word(),
            None => "discrete-gaussian",
        }
        .to_owned(),
        schema: study.schema.clone(),
        started: Micros(state.submitted_micros).to_string(),
        finished: Micros(state.updated_micros).to_string(),
        software: format!("insitu {}", env!("CARGO_PKG_VERSION")),
        private: !simulation,
        sites,
        rounds,
    };
    Ok(Collected { plan: signed.plan.to_vec(), results, provenance })
}
