//! How the numbers of a training go, for those who watch it.

use proto::wire;
use summaries::Course;

/// Rounds that are told; older ones are in the results.
const KEPT: usize = 200;

/// The last rounds of each number.
pub(super) fn courses(all: &[Course]) -> Vec<wire::Course> {
    let told = |c: &Course| {
        let first = c.values.len().saturating_sub(KEPT);
        let last = c.values.get(first..).unwrap_or_default();
        wire::Course {
            name: c.name.clone(),
            first: first as u32,
            values: last.iter().map(|[v, _]| *v).collect(),
            errors: last.iter().map(|[_, e]| *e).collect(),
        }
    };
    all.iter().filter(|c| !c.values.is_empty()).map(told).collect()
}
