//! The ledger in plain words: what an auditor or a data-protection officer reads. It has what an accounting of disclosures asks for
//! (45 CFR 164.528(b)(2) and (b)(4)): the date, who received, what, for which purpose and protocol, and the statement that a
//! patient's information may or may not have been in it.

use platform::Micros;
use privacy::{Block, Delta};
use serde::Serialize;

use super::{Entry, Kind};
use crate::agent::{Agent, AgentError};

/// The δ at which costs are named in ε.
const DELTA: f64 = 1e-6;

/// One disclosure.
#[derive(Clone, Debug, Serialize)]
pub struct Disclosure {
    /// Its place in the ledger.
    pub sequence: u64,
    /// When, RFC 3339.
    pub date: String,
    /// Who received it.
    pub recipient: String,
    /// Where: the address that the site connects to, as far as it is enrolled.
    pub address: String,
    /// What was disclosed, in words.
    pub description: String,
    /// Why.
    pub purpose: String,
    /// The protocol: the study's id and version.
    pub protocol: String,
    /// Its title.
    pub title: String,
    /// Whose information may be in it.
    pub patients: String,
    /// What one patient's presence may change, as ε at δ = 1e-6.
    pub epsilon: f64,
    /// The same in ρ.
    pub rho: f64,
    /// The release's id.
    pub release: String,
    /// SHA-256 of the bytes.
    pub payload_sha256: String,
    /// The hash of the ledger's entry.
    pub entry: String,
}

/// The ledger for an auditor.
#[derive(Clone, Debug, Serialize)]
pub struct Export {
    /// The site.
    pub site: String,
    /// The hospital.
    pub hospital: String,
    /// When this was written.
    pub written: String,
    /// What the lines mean.
    pub statement: String,
    /// The disclosures.
    pub disclosures: Vec<Disclosure>,
    /// The head of the chain.
    pub head: String,
    /// How many entries.
    pub entries: u64,
    /// The newest head that the coordinator signed as well, if any.
    pub cosigned: Option<Receipt>,
}

/// That the coordinator has seen the ledger up to an entry.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Up to which entry.
    pub entries: u64,
    /// When the site signed it, RFC 3339.
    pub signed: String,
    /// The fingerprint of the coordinator's key that signed beside.
    pub coordinator: String,
}

/// The newest receipt, its signatures and its place in the chain checked.
///
/// # Errors
/// It does not verify, or the store fails.
pub fn receipt(agent: &Agent) -> Result<Option<Receipt>, AgentError> {
    let Some((head, cosignature)) = agent.ledger.cosigned()? else { return Ok(None) };
    let no = |why: &dyn std::fmt::Display| super::LedgerError::Receipt(why.to_string());
    head.verify().map_err(|e| no(&e))?;
    let by = head.verify_cosignature(&cosignature).map_err(|e| no(&e))?;
    if !agent.ledger.goes_through(&head.head) {
        return Err(no(&"it is not a head of this ledger").into());
    }
    Ok(Some(Receipt {
        entries: head.head.entries,
        signed: Micros(head.head.at_micros).to_string(),
        coordinator: certs::bundle::shown(&by.fingerprint()),
    }))
}

/// Years of entry in words.
pub fn years(entered: &[[Block; 2]], first: Block) -> String {
    let one = |[from, to]: &[Block; 2]| match (*from <= first, from == to) {
        (true, true) => format!("{first} and before"),
        (true, false) => format!("the years up to {to}"),
        (false, true) => to.to_string(),
        (false, false) => format!("{from} to {to}"),
    };
    entered.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The ledger of an agent, for an auditor.
///
/// # Errors
/// The ledger or the store can't be read.
pub fn export(agent: &Agent) -> Result<Export, AgentError> {
    let first = agent.config.budget.first_block;
    let disclosures =
        agent.ledger.entries()?.iter().map(|e| disclosure(agent, e, first)).collect::<Result<_, AgentError>>()?;
    let (entries, head) = agent.ledger.head();
    Ok(Export {
        site: agent.config.id.to_string(),
        hospital: agent.config.name.clone(),
        written: agent.clock.now().to_string(),
        statement:
            "Each line is a sum over many patients with random noise, not a record of any. The information of a \
                    particular patient may or may not have been in it; ε bounds what anyone can tell of that."
                .to_owned(),
        disclosures,
        head: head.to_string(),
        entries,
        cosigned: receipt(agent)?,
    })
}

fn disclosure(agent: &Agent, e: &Entry, first: Block) -> Result<Disclosure, AgentError> {
    let record = agent.studies.get(&e.round.study)?;
    let plan = agent.plan(&e.round.study).ok().map(|(p, _)| p);
    let analysis = plan.as_ref().and_then(|p| p.study.analysis.get(e.round.analysis as usize));
    let label = analysis
        .map_or_else(|| format!("analysis {}", e.round.analysis), |a| format!("'{}' ({})", a.label(), a.what.kind()));
    let cohort = analysis.map_or("", |a| a.cohort.as_str());
    let round = e.round.round + 1;
    let description = match e.kind {
        Kind::Release => format!("a noised sum: {label}, round {round}, cohort '{cohort}'"),
        Kind::SecureRelease => {
            format!(
                "a masked part of a sum over hospitals, noised: {label}, round {round}, attempt {}, cohort '{cohort}'",
                e.attempt + 1
            )
        }
        Kind::CohortCheck => {
            format!("whether the noisy number of patients in cohort '{cohort}' is large enough; the number stayed here")
        }
        Kind::QualityCheck => {
            "whether noised sums say that the data's quality is as the study asks; the sums stayed here".to_owned()
        }
        Kind::Prepaid => {
            "what all windows of the study, or all rounds of a training, cost together; each is told for nothing more"
                .to_owned()
        }
        Kind::Reuse => {
            format!("the bytes of an earlier release once more, for an equal question: {label}, round {round}")
        }
    };
    // A check discloses nothing but how it came out: no bytes left.
    let left = |h: proto::Hash| if e.kind.decides() { "none".to_owned() } else { h.to_string() };
    let signer = record.as_ref().map_or("unknown", |r| r.signer.as_str());
    Ok(Disclosure {
        sequence: e.sequence,
        date: Micros(e.at_micros).to_string(),
        recipient: format!(
            "the coordinator of the federation {}, for {signer}",
            plan.as_ref().map_or("unknown", |p| p.federation.as_str())
        ),
        address: crate::enroll::folder(&agent.config).load().map(|(_, c)| c.address).unwrap_or_default(),
        description,
        purpose: plan.as_ref().map_or_else(|| "unknown".to_owned(), |p| p.study.purpose.clone()),
        protocol: plan
            .as_ref()
            .map_or_else(|| e.round.study.to_string(), |p| format!("{} {}", p.study.id, p.study.version)),
        title: record.map(|r| r.title).unwrap_or_default(),
        patients: format!("patients who entered in {}", years(&e.entered, first)),
        epsilon: e.cost.epsilon(Delta(DELTA)).0,
        rho: e.cost.rho.value(),
        release: left(e.release),
        payload_sha256: left(e.payload_hash),
        entry: e.hash().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_in_words() {
        assert_eq!(years(&[[2000, 2026]], 2000), "the years up to 2026");
        assert_eq!(years(&[[2000, 2000], [2003, 2004], [2007, 2007]], 2000), "2000 and before, 2003 to 2004, 2007");
    }
}
