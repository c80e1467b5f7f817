//! What the site decides before it answers, by noised numbers that are paid for and stay here.

use std::sync::PoisonError;

use privacy::{Charge, DiscreteLaplace, MechanismError, MechanismName, Sensitive};
use proto::Hash;
use study::Plan;
use study::spec::Unknown;
use summaries::Lanes;

use super::{Agent, Refused};
use crate::engine::EngineError;
use crate::ledger::Kind;
use crate::policy::{self, Objection};
use crate::quality::gate;
use crate::releases::{Decide, Order, Verdict};

impl Agent {
    /// Whether a cohort is large enough here to be answered for: on a noisy count.
    pub(super) fn large_enough(
        &self,
        plan: &Plan,
        order: &Order,
        patients: usize,
        version: u64,
    ) -> Result<(), Refused> {
        let least = self.config.disclosure.min_cohort.max(plan.study.suppression.min_cohort);
        if least == 0 || self.mechanism.name() == MechanismName::None {
            return Ok(());
        }
        let laplace = DiscreteLaplace::new(self.config.disclosure.cohort_epsilon, 1)
            .ok_or_else(|| self.internal(&"[disclosure] cohort_epsilon must be above 0"))?;
        let cohort = plan.study.analysis.get(order.round.analysis as usize).map_or("", |a| a.cohort.as_str());
        let verdict = |charge: &Charge| {
            let exact = Lanes::from_values(vec![i64::try_from(patients).unwrap_or(i64::MAX)]);
            let noisy = laplace.release(Sensitive::new(exact), charge)?;
            let passed = noisy.get().first().is_some_and(|n| i128::from(*n) >= i128::from(least));
            Ok(Verdict { passed, words: String::new() })
        };
        let of_tags = self.mechanism(plan, order.round.analysis).name() == MechanismName::Presence;
        let settings = format!("{least} {} {of_tags}", self.config.disclosure.cohort_epsilon);
        let question = study::question::cohort(&plan.study, cohort, &order.blocks, version)
            .map(|q| Hash::of_parts(&[&q.0, settings.as_bytes()]));
        let name = format!("{cohort}/{settings}");
        let what = Decide {
            round: &order.round,
            plan_hash: order.plan_hash,
            blocks: &order.blocks,
            kind: Kind::CohortCheck,
            name: &name,
            question,
            cost: laplace.cost(),
        };
        if self.decided(what, verdict)?.passed {
            return Ok(());
        }
        let reason = format!("the cohort '{cohort}' has fewer than {least} patients here, on a noisy count");
        Err(Objection::new("cohort_too_small", reason))
    }

    /// Whether the data are as the study's gate asks. It is decided once a study, before an outcome is read.
    pub(super) async fn good_enough(&self, plan: &Plan, order: &Order) -> Result<(), Refused> {
        let Some(asked) = plan.study.dq_gate.as_ref().filter(|_| self.mechanism.name() != MechanismName::None) else {
            return Ok(());
        };
        let verdict = match self.releases.decided(Kind::QualityCheck, &order.round.study, gate::NAME) {
            Ok(Some(known)) => known,
            Ok(None) => self.judge(plan, order, asked).await?,
            Err(e) => return Err(self.release_refusal(&e)),
        };
        match verdict.passed {
            true => Ok(()),
            false => Err(Objection::new("quality_gate", format!("the data here do not pass: {}", verdict.words))),
        }
    }

    async fn judge(&self, plan: &Plan, order: &Order, asked: &study::spec::QualityGate) -> Result<Verdict, Refused> {
        let counted = self.engine.bad_shares(&self.config, &self.lake, plan, &order.blocks).await;
        let (scores, version) = counted.map_err(|e: EngineError| self.engine_refusal(&e))?;
        let leave_out = asked.unknown == Unknown::LeaveOut;
        let laplace = DiscreteLaplace::new(policy::gate_epsilon(plan), gate::sensitivity(asked))
            .ok_or_else(|| self.internal(&"the study's [dq_gate] epsilon must be above 0"))?;
        let verdict = |charge: &Charge| -> Result<Verdict, MechanismError> {
            let noisy = laplace.release(scores, charge)?;
            Ok(gate::verdict(asked, noisy.get(), laplace.scale(), leave_out))
        };
        let what = Decide {
            round: &order.round,
            plan_hash: order.plan_hash,
            blocks: &order.blocks,
            kind: Kind::QualityCheck,
            name: gate::NAME,
            question: study::question::gate(&plan.study, &order.blocks, version),
            cost: laplace.cost(),
        };
        let verdict = self.decided(what, verdict)?;
        tracing::info!(study = %order.round.study, "the study's data-quality gate: {}", verdict.words);
        Ok(verdict)
    }

    /// Takes a decision, or finds the one that was taken.
    fn decided(
        &self,
        what: Decide<'_>,
        verdict: impl FnOnce(&Charge) -> Result<Verdict, MechanismError>,
    ) -> Result<Verdict, Refused> {
        // Asked once more, since the query took its time: after a pause nothing is charged.
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.agreed(&what.round.study)?;
        self.releases.decide(&self.ledger, what, self.clock.now(), verdict).map_err(|e| self.release_refusal(&e))
    }
}
