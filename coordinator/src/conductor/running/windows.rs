//! The windows of a continuous study, for those who watch it.

use std::collections::VecDeque;

use platform::{Micros, StoreError};
use proto::StudyId;
use proto::wire::WindowStatus;
use study::schedule::Schedule;

use super::Running;
use crate::journal::{Checkpoint, Journal};
use crate::round::Decision;

/// Windows that are kept for those who begin to watch.
const KEPT: usize = 20;

/// The calendar of a continuous study, and what was told of it last.
pub(super) struct Windows {
    schedule: Option<Schedule>,
    told: VecDeque<WindowStatus>,
}

impl Windows {
    /// Of a study, with what its checkpoints say.
    pub(super) fn open(study: &study::Study, id: &StudyId, journal: &Journal) -> Result<Windows, StoreError> {
        let mut windows = Windows { schedule: Schedule::of(study), told: VecDeque::new() };
        if windows.schedule.is_some() {
            for checkpoint in journal.checkpoints(id)? {
                windows.tell(&checkpoint, Vec::new());
            }
        }
        Ok(windows)
    }

    /// When a round is due.
    pub(super) fn due(&self, round: u32) -> Option<Micros> {
        Some(Micros(self.schedule.as_ref()?.emission(round)?.due_micros))
    }

    /// A round was told, or is a gap.
    pub(super) fn tell(&mut self, checkpoint: &Checkpoint, missing: Vec<String>) {
        let Some(emission) = self.schedule.as_ref().and_then(|s| s.emission(checkpoint.round)) else { return };
        if self.told.len() >= KEPT {
            self.told.pop_front();
        }
        self.told.push_back(WindowStatus {
            round: checkpoint.round,
            label: emission.label(),
            word: emission.word.as_str().to_owned(),
            sites: checkpoint.releases.keys().map(ToString::to_string).collect(),
            missing,
            told_micros: checkpoint.finished_micros,
        });
    }

    /// What was told last, the newest last.
    pub(super) fn told(&self) -> Vec<WindowStatus> {
        self.told.iter().cloned().collect()
    }

    /// What a round tells, in words.
    pub(super) fn label(&self, round: u32) -> String {
        let emission = self.schedule.as_ref().and_then(|s| s.emission(round));
        emission.map_or_else(String::new, |e| format!("{} {}", e.label(), e.word.as_str()))
    }
}

impl Running {
    /// The name of what is told: of a continuous study all its analyses, whose rows begin with their own names.
    pub(super) fn told_together(&self) -> String {
        let study = &self.plan.study;
        let of = |a: &study::analysis::Analysis| a.label();
        match study.stream {
            Some(_) => study.analysis.iter().map(of).collect::<Vec<_>>().join(", "),
            None => self.analysis().map(of).unwrap_or_default(),
        }
    }

    /// Who takes part in the study and is not in a round.
    pub(super) fn missing(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let takes_part = |decision| matches!(decision, Decision::Approved | Decision::Paused);
        let all = self.run.sites().iter().filter(|(_, site)| takes_part(site.decision));
        all.filter(|(id, _)| !checkpoint.releases.contains_key(*id)).map(|(id, _)| id.to_string()).collect()
    }
}
