//! What a fit can't be of: levels without an event, or without anybody, and columns that do not vary within a hospital.

use summaries::{MergedRound, ProgramError};

use super::{Cox, Score, Solved};
use crate::ascent::Past;
use crate::support;

/// A column of which less than this is left within hospitals does not vary there.
const WITHIN: f64 = 0.25;

impl Cox {
    /// The columns that do not vary within a hospital, as far as the noise tells: what is left of their curvature, and twice its noise, is a
    /// small part of that with one baseline.
    pub(super) fn constant_within(
        &self,
        parameters: &[f64],
        releases: &[MergedRound],
        merged: &MergedRound,
    ) -> Result<Vec<usize>, ProgramError> {
        let of = |r: &[MergedRound]| self.solved(parameters, r, (false, false), (0, &mut Past::default()));
        let (Ok(own), Ok(common)) = (of(releases)?, of(std::slice::from_ref(merged))?) else { return Ok(Vec::new()) };
        let noise = 2.0 * own.score.variance_of_curvature().sqrt();
        let at = |s: &Solved, i: usize| s.score.curvature[(i, i)];
        Ok((0..parameters.len()).filter(|i| at(&own, *i) + noise < WITHIN * at(&common, *i)).collect())
    }

    /// At one hospital, the columns of levels that tell nothing: nobody is of them, or nobody of them has the event.
    pub(super) fn absent(&self, score: &Score, exact: bool) -> Vec<usize> {
        let told = 3.0 * score.variance_of_curvature().sqrt();
        let floor = 1e-9 * score.curvature.diagonal().max().max(f64::MIN_POSITIVE);
        let none = 0.5 / self.model.design.norm();
        let is_absent = |c: &usize| {
            let (w, events) = (score.curvature[(*c, *c)], score.ends[*c]);
            w <= if exact { floor } else { told.max(floor) } || (exact && events < none)
        };
        self.model.design.categories().into_iter().flatten().filter(is_absent).collect()
    }

    /// The levels of which nobody has the event, or so few that they are not told from the noise: Σ u of those with events counts them. The
    /// events of a reference level are the others; under noise they are not known by so much.
    pub(super) fn without_events(&self, score: &Score, exact: bool) -> Vec<usize> {
        let norm = self.model.design.norm();
        let least = if exact { 0.5 } else { 4.0 * norm * score.variance.sqrt() };
        let events = |c: usize| norm * score.ends.get(c).copied().unwrap_or(0.0);
        let mut out = Vec::new();
        for (category, columns) in self.model.design.categories().into_iter().enumerate() {
            let of_levels: f64 = columns.clone().map(events).sum();
            if exact && score.events - of_levels < least {
                out.push(support::REFERENCE + category);
            }
            out.extend(columns.filter(|c| events(*c) < least));
        }
        out
    }

    /// Whether a level's hazard is at the cap beside another's: nobody, or everybody, of a level has the event.
    pub(super) fn is_at_cap(&self, theta: &[f64]) -> bool {
        let design = &self.model.design;
        let farthest = self.model.cap.ln() + 1.0;
        let at_cap = |(i, t): (usize, &f64)| design.is_indicator(i) && (t / design.norm()).abs() > farthest;
        theta.iter().enumerate().any(at_cap)
    }
}
