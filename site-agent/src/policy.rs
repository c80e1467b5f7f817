//! What the site agrees to. The coordinator can only narrow it.

use std::collections::BTreeSet;

use certs::Peer;
use privacy::accounting;
use privacy::{Cost, Delta, Epsilon};
use proto::wire::SignedPlan;
use serde::{Deserialize, Serialize};
use study::Plan;
use study::plan::{PlanError, hash_of};
use study::spec::Aggregation;

use crate::config::{AggregationMode, Answer, ApprovalMode, Config};

/// A named reason against a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Objection {
    /// Its name, stable for programs.
    pub code: String,
    /// In plain words.
    pub reason: String,
    /// Other sites whose doing it is, where that can be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
}

impl Objection {
    /// An objection.
    pub fn new(code: &str, reason: impl Into<String>) -> Objection {
        Objection { code: code.to_owned(), reason: reason.into(), sites: Vec::new() }
    }

    /// The same, laid to other sites.
    #[must_use]
    pub fn of(mut self, sites: impl IntoIterator<Item = impl Into<String>>) -> Objection {
        self.sites = sites.into_iter().map(Into::into).collect();
        self
    }
}

/// A plan that was checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The plan.
    pub plan: Plan,
    /// Its hash.
    pub hash: proto::Hash,
    /// Who signed it.
    pub signer: Peer,
}

/// Checks everything about a plan but the site's wishes: form, signature, role, federation, expiry, schema.
///
/// # Errors
/// The first objection.
pub fn verify(signed: &SignedPlan, ca_pem: &str, federation: &str, now_seconds: i64) -> Result<Checked, Objection> {
    let hash = hash_of(&signed.plan);
    let now = u64::try_from(now_seconds).unwrap_or_default();
    let signer = certs::signature::verify(ca_pem, &signed.signer_chain_pem, &hash.0, &signed.signature, now).map_err(
        |e| match e {
            certs::CertError::Role { .. } => Objection::new("wrong_role", e.to_string()),
            certs::CertError::Signature => Objection::new("signature_invalid", e.to_string()),
            certs::CertError::Untrusted(_) => Objection::new("signer_untrusted", e.to_string()),
            other => Objection::new("unsigned", format!("the plan has no readable signature: {other}")),
        },
    )?;
    let plan = Plan::parse(&signed.plan).map_err(|e| match &e {
        PlanError::Invalid(text) if text.contains("schema") => Objection::new("schema_unsupported", e.to_string()),
        _ => Objection::new("plan_invalid", e.to_string()),
    })?;
    if plan.federation != federation {
        let reason = format!("the plan is for the federation '{}'", plan.federation);
        return Err(Objection::new("other_federation", reason));
    }
    let today = chrono::DateTime::from_timestamp(now_seconds, 0).map(|t| t.date_naive());
    let last = chrono::NaiveDate::parse_from_str(&plan.study.expires, "%Y-%m-%d").ok();
    if today > last {
        return Err(Objection::new("plan_expired", format!("the plan was valid until {}", plan.study.expires)));
    }
    Ok(Checked { plan, hash, signer })
}

/// The id in an analyst's name.
pub fn analyst_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// How many cohorts a plan has.
pub fn cohorts(plan: &Plan) -> usize {
    plan.study.analysis.iter().map(|a| a.cohort.as_str()).collect::<BTreeSet<_>>().len()
}

/// What the check of a cohort's size costs, as ε; 0 where neither the site nor the study asks for a least number.
pub fn cohort_epsilon(config: &Config, plan: &Plan) -> f64 {
    let least = config.disclosure.min_cohort.max(plan.study.suppression.min_cohort);
    if least > 0 { config.disclosure.cohort_epsilon } else { 0.0 }
}

/// What a study's data-quality gate costs at a site, as ε; 0 without one. A patient of m hospitals may be charged for it m times, so
/// that each charges an m-th.
pub fn gate_epsilon(plan: &Plan) -> f64 {
    let hospitals = f64::from(plan.study.privacy.hospitals_per_patient.max(1));
    plan.study.dq_gate.as_ref().map_or(0.0, |g| g.epsilon / hospitals)
}

/// What a whole study may cost a block here: its ρ, a count a cohort where cohorts are checked, and its data-quality gate.
///
/// # Errors
/// The plan's budget can't be divided.
pub fn whole_cost(config: &Config, plan: &Plan) -> Result<Cost, Objection> {
    let mut whole = study::budget::whole_cost(plan).map_err(|e| Objection::new("plan_invalid", e))?;
    let gate = gate_epsilon(plan);
    if gate > 0.0 {
        whole = whole.plus(&Cost::pure(gate));
    }
    let epsilon = cohort_epsilon(config, plan);
    let add = |sum: Cost, _| if epsilon > 0.0 { sum.plus(&Cost::pure(epsilon)) } else { sum };
    Ok((0..cohorts(plan)).fold(whole, add))
}

/// What a study means at a δ of 1e-6, whatever its own.
fn at_fixed_delta(plan: &Plan) -> Result<Epsilon, Objection> {
    study::budget::epsilon(plan, Delta(1e-6)).map_err(|e| Objection::new("plan_invalid", e))
}

/// Checks a plan against the site's disclosure settings and budget caps. The settings are the least that a study must keep to;
/// a study can only be stricter.
///
/// # Errors
/// The first objection.
pub fn allowed(config: &Config, plan: &Plan, analyst: &str, signer_key: Option<&str>) -> Result<(), Objection> {
    let d = &config.disclosure;
    let s = &plan.study;
    if !d.purposes.contains(&s.purpose) {
        let reason = format!("the purpose '{}' is not among {}", s.purpose, d.purposes.join(", "));
        return Err(Objection::new("purpose_not_allowed", reason));
    }
    if !d.analysts.is_empty() && !d.analysts.iter().any(|a| a == analyst) {
        let reason = format!("the analyst '{analyst}' is not on the site's list");
        return Err(Objection::new("analyst_not_allowed", reason));
    }
    let pinned = |key: &str| d.signers.iter().any(|s| fingerprint(key).is_some_and(|f| f == plain(s)));
    if !d.signers.is_empty() && !signer_key.is_some_and(pinned) {
        let reason = format!("the key that '{analyst}' signed with is not among the site's signers");
        return Err(Objection::new("signer_not_allowed", reason));
    }
    if s.suppression.k < d.min_cell {
        let reason = format!("the study shows numbers from {} patients, the site from {}", s.suppression.k, d.min_cell);
        return Err(Objection::new("suppression_below_minimum", reason));
    }
    if let Some(a) = s.analysis.iter().find(|a| !d.kinds.is_empty() && !d.kinds.iter().any(|k| k == a.what.kind())) {
        let reason = format!("the site allows {} and not {}", d.kinds.join(", "), a.what.kind());
        return Err(Objection::new("kind_not_allowed", reason));
    }
    if d.sql == Answer::Refuse && s.has_sql() {
        let reason = "the study has SQL of its own, and the site takes studies of criteria alone";
        return Err(Objection::new("sql_not_allowed", reason));
    }
    if d.own_estimates == Answer::Refuse && s.analysis.iter().any(|a| a.by_hospital) {
        let reason = "the study tells each hospital's own estimates, and the site takes part in common ones alone";
        return Err(Objection::new("own_estimates_not_allowed", reason));
    }
    if d.streams == Answer::Refuse && s.stream.is_some() {
        let reason = "the study is told window after window, and the site takes part in studies that are asked once";
        return Err(Objection::new("streams_not_allowed", reason));
    }
    match (config.aggregation.mode, s.privacy.aggregation) {
        (AggregationMode::Secure, Aggregation::Local) => {
            let reason = "the site takes part in secure aggregation alone, and the study asks for local noise";
            return Err(Objection::new("aggregation_not_allowed", reason));
        }
        (AggregationMode::Local, Aggregation::Secure) => {
            let reason = "the site takes part with local noise alone, and the study asks for secure aggregation";
            return Err(Objection::new("aggregation_not_allowed", reason));
        }
        _ => {}
    }
    let delta = Delta(s.privacy.delta);
    // As it is written, and at a fixed δ, so that a study can't look small by a large δ of its own.
    let asked = s.privacy.epsilon.max(at_fixed_delta(plan)?.0);
    if let Some(most) = d.max_epsilon.filter(|most| asked > *most * (1.0 + 1e-9)) {
        let reason = format!("the study asks for ε = {asked:.2}, the site allows {most:.2}");
        return Err(Objection::new("epsilon_above_cap", reason));
    }
    let (whole, cap) = (whole_cost(config, plan)?, config.budget.caps().study);
    if !cap.holds(&whole) {
        let reason = format!(
            "the study costs {whole} (ε = {:.2}), the site allows a study ρ = {} (ε = {:.2}) at δ = {}",
            whole.epsilon(delta).0,
            cap.rho,
            accounting::epsilon(cap.rho, delta).0,
            delta.0
        );
        return Err(Objection::new("epsilon_above_cap", reason));
    }
    Ok(())
}

/// The fingerprint of a public key in hexadecimal.
fn fingerprint(key: &str) -> Option<String> {
    let bytes = certs::head::unhex::<32>(key).ok()?;
    Some(privacy::secagg::Identity(bytes).fingerprint().to_string())
}

fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase()
}

/// Whether the rules of `[approval]` say yes without a person.
pub fn approves(config: &Config, plan: &Plan, analyst: &str) -> bool {
    let rules = &config.approval;
    let any = |list: &[String], word: &str| list.is_empty() || list.iter().any(|l| l == word);
    // The ε of the study's ρ at a fixed δ, so that a study can't look small by a large δ of its own.
    let Ok(own) = at_fixed_delta(plan) else { return false };
    let own = Epsilon(own.0 + gate_epsilon(plan));
    rules.mode == ApprovalMode::Auto
        && rules.max_epsilon.is_none_or(|most| own <= Epsilon(most))
        && any(&rules.analysts, analyst)
        && any(&rules.purposes, &plan.study.purpose)
        && plan.study.analysis.iter().all(|a| any(&rules.kinds, a.what.kind()))
        && rules.aggregation.is_none_or(|a| a == plan.study.privacy.aggregation)
        && (config.disclosure.sql == Answer::Allow || !plan.study.has_sql())
        && (config.disclosure.streams == Answer::Allow || plan.study.stream.is_none())
        && (config.disclosure.own_estimates == Answer::Allow || plan.study.analysis.iter().all(|a| !a.by_hospital))
}
