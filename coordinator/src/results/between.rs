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

/// Those that show a number at the edge of its range, as of no event, which has no error on the scale of the average.
fn at_the_edge<'a>(hospitals: &'a [Hospital], term: &str, statistic: &str) -> Vec<&'a str> {
    let shows = |h: &&Hospital| {
        let row = h.rows.iter().find(|r| r.term == term && r.statistic == statistic);
        row.is_some_and(|r| !r.suppressed && r.estimate.is_some() && r.se.is_some() && meta::own(r).is_none())
    };
    hospitals.iter().filter(shows).map(|h| h.site.as_str()).collect()
}

/// The meta-analyses of all that two hospitals or more estimate.
pub fn rows(hospitals: &[Hospital], confidence: f64) -> Vec<Row> {
    let mut out = Vec::new();
    for (term, statistic) in estimated(hospitals) {
        let (sites, own) = shown(hospitals, &term, &statistic);
        let edge = at_the_edge(hospitals, &term, &statistic);
        if !edge.is_empty() {
            // Without them the average would be of those alone that have events.
            let why = format!(
                "{}: nobody or everybody there has it, which logits and logarithms can't average, and an average without would be of those \
                 alone that have some",
                edge.join(", ")
            );
            out.push(Row::withheld(&term, &format!("{statistic}, random effects"), &why));
            continue;
        }
        if let Some(meta) = meta::analyse(&own, confidence) {
            let without: Vec<&str> =
                hospitals.iter().map(|h| h.site.as_str()).filter(|s| !sites.iter().any(|own| own == s)).collect();
            let mut rows = meta::rows(&term, &statistic, &meta, &sites);
            // Who does not tell the term is in none of its numbers.
            for row in rows.iter_mut().filter(|_| !without.is_empty()) {
                let apart = if row.note.is_empty() { "" } else { "; " };
                row.note += &format!("{apart}of {} hospitals: {} does not tell it", sites.len(), without.join(", "));
            }
            out.extend(rows);
        }
    }
    out
}

/// How many hospitals' estimates a row of a meta-analysis is from.
pub(super) fn many(hospitals: &[Hospital], term: &str, statistic: &str) -> Option<usize> {
    let (quantity, what) = statistic.rsplit_once(", ")?;
    let all = shown(hospitals, term, quantity).1.len();
    (all > 0).then(|| if what.starts_with("without ") { all - 1 } else { all })
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
        assert_eq!(many(&three, "age", "coefficient, fixed effect"), Some(3));
        assert_eq!(many(&three, "age", "coefficient, without b"), Some(2));
    }

    #[test]
    fn a_hospital_without_events_is_not_left_out_of_an_average() {
        let share = |site: &str, p: f64, se: f64| Hospital {
            site: site.to_owned(),
            rows: vec![Row::normal("died=yes", "proportion", p, se, 0.0, 1.96)],
        };
        let three = [share("a", 0.4, 0.02), share("b", 0.5, 0.02), share("c", 0.0, 0.0)];
        let told = rows(&three, 0.95);
        assert!(told.len() == 1 && told[0].suppressed && told[0].note.starts_with("c: nobody"), "{told:?}");
        assert!(rows(&three[..2], 0.95).iter().any(|r| r.estimate.is_some_and(|p| (p - 0.45).abs() < 0.01)));
    }

    #[test]
    fn a_hospital_that_lacks_a_term_is_named() {
        let mut three = [hospital("a", 1.0, 0.5), hospital("b", 3.0, 0.5), hospital("c", 2.0, 0.5)];
        three[2].rows.clear();
        let rows = rows(&three, 0.95);
        assert!(rows.iter().all(|r| r.note.ends_with("of 2 hospitals: c does not tell it")), "{rows:?}");
        assert_eq!(many(&three, "age", "coefficient, tau2"), Some(2));
    }
}
