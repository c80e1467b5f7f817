//! Between hospitals: what their own estimates say together.

use summaries::Row;
use summaries::meta::{self, Own};

use super::Hospital;

/// A hospital's shown estimate of a term and a quantity.
fn of(hospital: &Hospital, term: &str, statistic: &str) -> Option<Own> {
    hospital.rows.iter().find(|r| r.term == term && r.statistic == statistic).and_then(meta::own)
}

/// The hospitals that show an estimate, and their estimates.
pub(super) fn shown(hospitals: &[Hospital], term: &str, statistic: &str) -> (Vec<String>, Vec<Own>) {
    hospitals.iter().filter_map(|h| Some((h.site.clone(), of(h, term, statistic)?))).unzip()
}

/// The terms and quantities that two hospitals or more estimate, in the order in which they come.
pub(super) fn estimated(hospitals: &[Hospital]) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for row in hospitals.iter().flat_map(|h| &h.rows).filter(|r| meta::is_averaged(&r.statistic)) {
        let key = (row.term.clone(), row.statistic.clone());
        if !out.contains(&key) && shown(hospitals, &key.0, &key.1).1.len() >= 2 {
            out.push(key);
        }
    }
    out
}

/// The meta-analyses of all that two hospitals or more estimate.
pub fn rows(hospitals: &[Hospital], confidence: f64) -> Vec<Row> {
    let mut out = Vec::new();
    for (term, statistic) in estimated(hospitals) {
        let (sites, own) = shown(hospitals, &term, &statistic);
        if let Some(meta) = meta::analyse(&own, confidence) {
            out.extend(meta::rows(&term, &statistic, &meta, &sites));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hospital(site: &str, estimate: f64, se: f64) -> Hospital {
        let rows = vec![
            Row::normal("age", "coefficient", estimate, se, 0.0, 1.96),
            Row::withheld("sex", "coefficient", "few"),
        ];
        Hospital { site: site.to_owned(), rows }
    }

    #[test]
    fn what_one_hospital_withholds_is_not_averaged() {
        let three = [hospital("a", 1.0, 0.5), hospital("b", 3.0, 0.5), hospital("c", 2.0, 0.5)];
        let rows = rows(&three, 0.95);
        assert!(rows.iter().all(|r| r.term == "age"));
        let of = |statistic: &str| rows.iter().find(|r| r.statistic == statistic).and_then(|r| r.estimate);
        assert_eq!(of("coefficient, fixed effect"), Some(2.0));
        assert!((of("coefficient, without b").unwrap() - 1.5).abs() < 1e-9);
        assert!(super::rows(&three[..1], 0.95).is_empty());
    }
}
