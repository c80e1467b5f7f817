//! Windows of continuous studies: when they may be told, and by which days.
//!
//! When a window is told hangs on two things: the calendar of the plan, and that every source was read to its end after the window was
//! due. Neither is moved by a patient's row. A watermark of event times would be: one late result would tell of itself by its delay.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;

use platform::Micros;
use proto::{RoundId, wire};
use study::schedule::Schedule;
use study::{Plan, Study};

use super::participation::{self, Admitted};
use super::{Agent, Objection, Refused};
use crate::engine::Patients;
use crate::releases::Order;

/// How often a window that waits looks again.
const LOOK: Duration = Duration::from_secs(2);

/// The study that a round asks: of a continuous one, that of its window.
pub(super) fn study_of<'s>(study: &'s Study, round: &RoundId) -> Result<Cow<'s, Study>, Refused> {
    let Some(schedule) = Schedule::of(study) else { return Ok(Cow::Borrowed(study)) };
    let own = schedule.study_at(study, round.round).map(Cow::Owned);
    own.ok_or_else(|| Objection::new("not_in_plan", format!("the plan has no round {round}")))
}

impl Agent {
    /// Waits until the window of an order may be told. An order of any other study is due at once.
    pub(super) async fn window_is_due(&self, order: &wire::RoundOrder) -> Result<(), Refused> {
        let round = proto::parse::round(order.round.clone());
        let round = round.map_err(|e| Objection::new("malformed", e.to_string()))?;
        let record = self.studies.get(&round.study).map_err(|e| self.internal(&e))?;
        // What else is wrong with the order is said by who answers it.
        let Some(record) = record.filter(|r| r.plan_hash.0 == *order.plan_hash) else { return Ok(()) };
        self.agreed(&round.study)?;
        let prepared = self.prepare(&round.study, record.plan_hash)?;
        let Some(schedule) = Schedule::of(&prepared.plan.study) else { return Ok(()) };
        let due = schedule.emission(round.round).map(|e| Micros(e.due_micros));
        let due = due.ok_or_else(|| Objection::new("not_in_plan", format!("the plan has no round {round}")))?;
        {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let newest = windows.entry(round.study.clone()).or_default();
            *newest = round.round.max(*newest);
        }
        loop {
            if self.releases.get(&round, 0).map_err(|e| self.release_refusal(&e))?.is_some() {
                return Ok(());
            }
            self.agreed(&round.study)?;
            self.not_over(&round.study)?;
            if self.is_passed(&round) {
                return Err(Objection::new("passed_over", "a later window of the study was asked meanwhile"));
            }
            if self.clock.now() >= due && self.lake.last_read().map_err(|e| self.internal(&e))? >= due {
                return Ok(());
            }
            let pause = match self.clock.now() >= due && self.config.streams.read_sources {
                true => self.read_sources_since(due).await,
                false => LOOK,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Builds gold anew where its codes and units say something else now. Gives its version.
    ///
    /// # Errors
    /// As [`crate::lake::Lake::renew`].
    pub async fn renew_gold(&self) -> Result<u64, crate::lake::LakeError> {
        let _turn = self.ingesting.lock().await;
        self.lake.renew(&self.config, self.clock.as_ref()).await
    }

    fn is_passed(&self, round: &RoundId) -> bool {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(&round.study).is_some_and(|newest| *newest > round.round)
    }

    /// Reads every source, unless that was done since a time. Returns how long to wait before one looks again.
    async fn read_sources_since(&self, due: Micros) -> Duration {
        let _turn = self.reading.lock().await;
        if self.lake.last_read().is_ok_and(|read| read >= due) {
            return Duration::ZERO;
        }
        let wrong = match self.ingest(&mut |_, _, _| ()).await {
            Ok(report) if report.failed.is_empty() => return Duration::ZERO,
            Ok(report) => {
                report.failed.iter().map(|f| format!("{}: {}", f.source, f.reason)).collect::<Vec<_>>().join("; ")
            }
            Err(e) => e.to_string(),
        };
        tracing::error!("a window is due, and the sources can't all be read: {wrong}");
        Duration::from_secs(self.config.streams.retry_seconds.max(1))
    }

    /// How many patients decide whether a cohort is large enough: those of the whole study, so that a quiet window puts no hospital out.
    pub(super) async fn whole_cohort(&self, plan: &Plan, order: &Order, of_window: usize) -> Result<usize, Refused> {
        let least = self.config.disclosure.min_cohort.max(plan.study.suppression.min_cohort);
        if plan.study.stream.is_none() || least == 0 {
            return Ok(of_window);
        }
        let analysis = order.round.analysis;
        let all = self.engine.patients(&self.config, &self.lake, &plan.study, order.plan_hash, analysis, &order.blocks);
        let (patients, _) = all.await.map_err(|e| self.engine_refusal(&e))?;
        Ok(patients.batch.patients())
    }

    /// Who of a window counts, where the plan says in how many windows a patient does.
    pub(super) fn participants(
        &self,
        plan: &Plan,
        order: &Order,
        patients: Option<&Patients>,
    ) -> Result<Option<Admitted>, Refused> {
        let most = plan.study.stream.as_ref().and_then(|s| s.windows_per_patient);
        let (Some(most), Some(patients)) = (most, patients) else { return Ok(None) };
        if self.ledger.recovered_of(&order.round.study).map_err(|e| self.internal(&e))? {
            let reason =
                "who was in which window was lost with an old state folder, so that the cap of windows can't be kept";
            return Err(Objection::new("stream_state_lost", reason));
        }
        let window = Schedule::of(&plan.study).and_then(|s| Some(s.emission(order.round.round)?.window));
        let window = window.ok_or_else(|| Objection::new("not_in_plan", "the plan has no such round"))?;
        let study = &order.round.study;
        let admitted = participation::admit(&self.store, study, (window, most), &patients.persons, &patients.merged);
        admitted.map(Some).map_err(|e| self.internal(&e))
    }
}

#[cfg(test)]
mod tests;
