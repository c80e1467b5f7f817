//! The terms of a secure round, derived alike by the coordinator and by every site.

use privacy::mechanism::scale_of;
use privacy::{MechanismError, MechanismName, Rho, distributed};
use proto::secure::{Member, PartTerms, RoundTerms};
use proto::{Hash, RoundId};
use summaries::PartWork;

use crate::analysis::What;
use crate::plan::Plan;

/// The mechanism of an analysis: the usual one, or that of its kind.
pub fn mechanism(plan: &Plan, analysis: u32, usual: MechanismName) -> MechanismName {
    match plan.study.analysis.get(analysis as usize).map(|a| &a.what) {
        Some(What::Distinct { .. }) => MechanismName::Presence,
        _ => usual,
    }
}

/// Which round the terms are for.
#[derive(Clone, Debug)]
pub struct Of {
    /// The federation.
    pub federation: String,
    /// The plan.
    pub plan_hash: Hash,
    /// The round.
    pub round: RoundId,
    /// Which attempt at it.
    pub attempt: u32,
    /// The parameters.
    pub parameters_hash: Hash,
    /// The charge at each site.
    pub rho: Rho,
    /// The usual mechanism.
    pub mechanism: MechanismName,
    /// The id of the linkage key; of no account but to an analysis that counts distinct patients.
    pub linkage_key: String,
}

/// The terms for a roster, in ascending order of ids. The noise is sized for the threshold less the colluders.
///
/// # Errors
/// A part's share of the charge is too small for any noise.
pub fn terms(plan: &Plan, of: Of, roster: Vec<Member>, work: &[PartWork]) -> Result<RoundTerms, MechanismError> {
    let privacy = &plan.study.privacy;
    let threshold = privacy.threshold(roster.len());
    let colluders = privacy.colluders;
    let parties = distributed::parties(threshold, colluders as usize);
    let mechanism = mechanism(plan, of.round.analysis, of.mechanism);
    let whole: f64 = work.iter().map(|w| w.weight).sum();
    let part = |w: &PartWork| {
        let share = of.rho.share(w.weight, whole);
        let lanes = w.layout().lanes;
        let scale = scale_of(mechanism, &w.sensitivity(), share, parties, lanes)?;
        Ok(PartTerms {
            name: w.name.clone(),
            lanes: lanes as u64,
            sigma_nano: scale.sigma_nano.to_string(),
            grid_bits: scale.grid_bits,
        })
    };
    Ok(RoundTerms {
        parts: work.iter().map(part).collect::<Result<_, MechanismError>>()?,
        federation: of.federation,
        plan_hash: of.plan_hash,
        round: of.round,
        attempt: of.attempt,
        parameters_hash: of.parameters_hash,
        mechanism: mechanism.word().to_owned(),
        rho_nano: of.rho.nano(),
        threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
        colluders,
        roster,
        linkage_key: if mechanism == MechanismName::Presence { of.linkage_key } else { String::new() },
    })
}
