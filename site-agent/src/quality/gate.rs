//! A study's `[dq_gate]`: checks in their private form.
//!
//! A patient's part in a check is the share of their judged rows that are bad, in ten-thousandths, less the share that is tolerated,
//! 0 where nothing of theirs is judged. So a patient moves a check's sum by at most the larger of the tolerated share and the rest,
//! whatever their number of rows, and the sum is above 0 where the mean share is above what is tolerated. All sums get discrete
//! Laplace noise of one scale; the margin of a check is where that noise lies 19 times out of 20.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use privacy::{Block, Sensitive};
use study::Plan;
use study::quality::Check;
use study::spec::QualityGate;
use summaries::Lanes;

use super::State;
use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::lake::Lake;
use crate::releases::Verdict;

/// The name of the decision within its study.
pub const NAME: &str = "dq_gate";

/// Ten-thousandths in a whole.
const WHOLE: f64 = 10_000.0;

fn tolerated(pct: f64) -> i64 {
    (pct.clamp(0.0, 100.0) * 100.0).round() as i64
}

/// How far a patient moves all sums of a gate together: its L1 sensitivity, in ten-thousandths.
pub fn sensitivity(gate: &QualityGate) -> u32 {
    let one = |pct: &f64| tolerated(*pct).max(WHOLE as i64 - tolerated(*pct));
    u32::try_from(gate.require.values().map(one).sum::<i64>()).unwrap_or(u32::MAX)
}

/// The decision on a gate's noisy sums, in the order of its checks, under Laplace noise of a scale.
///
/// A check passes where its sum lies below 0 by more than the margin, and fails where it lies above by more; between them it is
/// unknown. The words name every check's state.
pub fn verdict(gate: &QualityGate, sums: &[i64], scale: f64, leave_out_unknown: bool) -> Verdict {
    let margin = scale * 20f64.ln();
    let state = |sum: i64| match sum as f64 {
        s if s > margin => State::Fail,
        s if s <= -margin => State::Pass,
        _ => State::Unknown,
    };
    let states: Vec<(String, State)> =
        gate.require.iter().zip(sums).map(|((id, pct), s)| (format!("{id} of {pct} %"), state(*s))).collect();
    let bad = |s: State| s == State::Fail || (leave_out_unknown && s == State::Unknown);
    let passed = sums.len() == gate.require.len() && !states.iter().any(|(_, s)| bad(*s));
    let words: Vec<String> = states.iter().map(|(id, s)| format!("{id}: {}", s.word())).collect();
    Verdict { passed, words: words.join(", ") }
}

/// The query of a check: a patient a row, with the share of their rows that are bad.
fn shares(check: &Check) -> String {
    format!(
        "SELECT person_key, avg(CASE WHEN {} THEN 1.0 ELSE 0.0 END) AS share FROM {} AS r GROUP BY person_key",
        check.bad, check.relation
    )
}

impl Engine {
    /// The sums of a plan's gate over the patients who entered in the years of some blocks, without whoever may not be read; and the
    /// version of that.
    ///
    /// # Errors
    /// There is no data, the gate asks for a check that has no private form, or a query fails.
    pub async fn bad_shares(
        &self,
        config: &Config,
        lake: &Lake,
        plan: &Plan,
        blocks: &[Block],
    ) -> Result<(Sensitive<Lanes>, u64), EngineError> {
        let (ctx, version) = self.readable(config, lake, &plan.study).await?;
        let checks = study::quality::all();
        let mut sums = Vec::new();
        for (id, pct) in plan.study.dq_gate.iter().flat_map(|g| &g.require) {
            let check = checks.iter().find(|c| c.id == *id && c.of_patients);
            let check = check.ok_or_else(|| EngineError::Plan(format!("'{id}' is no check of patients' rows")))?;
            let own = query::entered(&shares(check), config.budget.first_block, blocks);
            let sql = format!(
                "SELECT CAST(sum(CAST(round(share * {WHOLE}) AS BIGINT) - {}) AS BIGINT) FROM ({own}) s",
                tolerated(*pct)
            );
            let batches = ctx.sql(&sql).await?.collect().await?;
            let sum = batches.iter().find(|b| b.num_rows() == 1).and_then(|b| {
                let column = b.column(0).as_primitive_opt::<Int64Type>()?;
                column.is_valid(0).then(|| column.value(0))
            });
            sums.push(sum.unwrap_or(0));
        }
        Ok((Sensitive::new(Lanes::from_values(sums)), version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(pct: &[(&str, f64)]) -> QualityGate {
        let require = pct.iter().map(|(id, p)| ((*id).to_owned(), *p)).collect();
        QualityGate { require, epsilon: 0.1, unknown: study::spec::Unknown::Keep }
    }

    #[test]
    fn a_patient_moves_a_check_by_the_larger_side() {
        assert_eq!(sensitivity(&gate(&[("a", 5.0)])), 9_500);
        assert_eq!(sensitivity(&gate(&[("a", 5.0), ("b", 95.0), ("c", 0.0)])), 29_000);
    }

    #[test]
    fn a_sum_within_the_noise_says_nothing() {
        let g = gate(&[("a", 5.0), ("b", 1.0)]);
        let scale = 1_000.0;
        let passes = verdict(&g, &[-3_000, -2_996], scale, true);
        assert!(passes.passed, "{}", passes.words);
        let near = verdict(&g, &[-3_000, -2_995], scale, false);
        assert!(near.passed && near.words.ends_with("b of 1 %: unknown"), "{}", near.words);
        assert!(!verdict(&g, &[-3_000, -2_995], scale, true).passed);
        let fails = verdict(&g, &[2_996, -9_000], scale, false);
        assert_eq!((fails.passed, fails.words.as_str()), (false, "a of 5 %: fail, b of 1 %: pass"));
        assert!(!verdict(&g, &[-9_000], scale, false).passed, "a check is missing");
        // Without noise the threshold itself is tolerated.
        assert!(verdict(&g, &[0, 0], 0.0, true).passed);
    }
}
