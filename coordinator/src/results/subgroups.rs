//! Subgroups declared in advance: an analysis' ratios in all of its cohort and in each subgroup, side by side, and whether the subgroups
//! differ.

use study::Study;
use summaries::Row;
use summaries::estimate::RATIOS;
use summaries::interval::degrees_of_freedom;
use summaries::meta;

use super::text::{Style, escape, number};
use super::{AnalysisResult, Results, figures};

/// Figures of one analysis, at most.
const MOST: usize = 12;

/// The section; nothing where no analysis has subgroups with ratios.
pub(super) fn section(results: &Results, study: &Study, level: &str) -> String {
    let mut out = String::new();
    for a in &results.analyses {
        let own: Vec<(&str, &AnalysisResult)> = study
            .subgroups
            .keys()
            .filter_map(|name| {
                let label = format!("{}: {name}", a.name);
                Some((name.as_str(), results.analyses.iter().find(|b| b.name == label)?))
            })
            .collect();
        if own.is_empty() {
            continue;
        }
        let ratio = |r: &&Row| RATIOS.contains(&r.statistic.as_str()) && !r.suppressed;
        for row in a.estimate.rows.iter().filter(ratio).take(MOST) {
            out.push_str(&of(a, row, &own, level));
        }
    }
    if out.is_empty() { out } else { format!("<section><h2>Subgroups</h2>{out}</section>") }
}

/// One ratio in all and in the subgroups.
fn of(a: &AnalysisResult, whole: &Row, own: &[(&str, &AnalysisResult)], level: &str) -> String {
    let same = |b: &AnalysisResult| {
        b.estimate.rows.iter().find(|r| r.term == whole.term && r.statistic == whole.statistic).cloned()
    };
    let named = |name: &str, row: Row| Row { term: name.to_owned(), ..row };
    let told: Vec<Row> = own.iter().filter_map(|(name, b)| Some(named(name, same(b)?))).collect();
    let all: Vec<Row> =
        std::iter::once(named("all of the cohort", whole.clone())).chain(told.iter().cloned()).collect();
    let title = format!("{}: {}", a.name, whole.term);
    let mut out = format!("<h3>{}</h3>{}", escape(&title), figures::forest(&title, &all, level));
    let logs: Vec<meta::Own> = told.iter().filter_map(meta::own).collect();
    if let Some(m) = meta::analyse(&logs, 0.95) {
        out.push_str(&format!(
            "<p class=\"meta\">Do the subgroups differ? Cochran’s Q {}, {}, p = {}. It supposes that they share no patient; with many subgroups one in twenty differs by chance.</p>",
            number(m.q, Style::Value),
            degrees_of_freedom((logs.len() - 1) as f64),
            number(m.q_p, Style::Value),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{analysis, plan, results};

    fn cox(name: &str, log: f64) -> AnalysisResult {
        let rows = vec![Row::ratio("arm=b", "hazard ratio", log, 0.2, 0.1, 1.96), Row::test("arm=b", "p", 0.5, "")];
        analysis(name, "cox", rows, vec![])
    }

    #[test]
    fn subgroups_stand_beside_all_with_the_test_between_them() {
        let mut study = plan().study;
        for name in ["men", "women"] {
            study.subgroups.insert(name.to_owned(), study::subgroup::Subgroup::default());
        }
        let analyses = vec![cox("cox", 0.3), cox("cox: women", 0.9), cox("cox: men", -0.4)];
        let html = section(&Results { analyses, ..results(false) }, &study, "95 %");
        for words in ["all of the cohort", "women", "1 degree of freedom"] {
            assert!(html.contains(words), "{words}: {html}");
        }
        // 1.3 apart, each with an error of √0.05: Q = 1.3²/0.1.
        assert!(html.contains("16.9"), "{html}");
        assert_eq!(section(&Results { analyses: vec![cox("cox", 0.3)], ..results(false) }, &study, "95 %"), "");
    }
}
