use super::*;
use crate::alarm::Rule;
use crate::count::Count;
use crate::estimate::Reporting;
use crate::lanes::MergedRelease;
use crate::program::{OneShot, PartPlan};

fn program(tellings: Vec<Telling>, alarm: Option<Alarm>) -> Windowed {
    let reporting = Reporting { confidence: 0.95, min_cell: 0, names: Vec::new(), levels: Vec::new() };
    let make = Box::new(|| Box::new(Count) as Box<dyn crate::Statistic>);
    let part = PartPlan { name: "count".to_owned(), make, columns: Vec::new(), weight: 1.0, reporting };
    Windowed::new(Box::new(OneShot::new(vec![part])), tellings, alarm).unwrap()
}

fn telling(window: u32, word: &'static str) -> Telling {
    Telling { window, label: format!("day {window}"), last: format!("day {window}"), year: f64::from(window), word }
}

fn merged(n: i64, sites: usize) -> MergedRound {
    let part = MergedRelease { lanes: vec![n], noise_variance: 4.0, unit: 1.0, sites, shared: 1 };
    MergedRound { parts: vec![part], sites }
}

fn gap() -> MergedRound {
    MergedRound { parts: Vec::new(), sites: 0 }
}

fn numbers(e: &Estimate) -> Vec<(String, Option<f64>, String)> {
    e.rows.iter().map(|r| (r.term.clone(), r.estimate, r.note.clone())).collect()
}

#[test]
fn the_series_grows_a_final_takes_the_place_of_what_was_preliminary_and_a_gap_takes_nothing_back() {
    let tellings = vec![
        telling(0, "preliminary"),
        telling(1, "preliminary"),
        telling(0, "final"),
        telling(1, "final"),
        telling(2, "final"),
    ];
    let mut p = program(tellings, None);
    assert_eq!((p.rounds(), p.so_far()), (5, None));
    assert_eq!(p.next(0, &[], &merged(10, 3)).unwrap(), Step::Continue { round: 1, parameters: Vec::new() });
    p.next(1, &[], &merged(20, 3)).unwrap();
    p.next(2, &[], &merged(12, 4)).unwrap();
    let so_far = p.so_far().unwrap();
    let want = [("day 0: cohort", 12.0, "4 sites"), ("day 1: cohort", 20.0, "preliminary; 3 sites")];
    assert_eq!(numbers(&so_far), want.map(|(t, v, n)| (t.to_owned(), Some(v), n.to_owned())));
    assert_eq!(so_far.curves[0].points.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>(), [(0.0, 12.0), (1.0, 20.0)]);
    // Too few sites answered.
    p.next(3, &[], &gap()).unwrap();
    let Step::Done(done) = p.next(4, &[], &gap()).unwrap() else { panic!("it is not over") };
    assert_eq!(numbers(&done)[..2], numbers(&so_far)[..]);
    assert_eq!(numbers(&done)[2], ("day 2".to_owned(), None, "too few sites answered by the deadline".to_owned()));
}

#[test]
fn the_same_rounds_again_give_the_same_series() {
    let tellings: Vec<Telling> = (0..20).map(|w| telling(w, "final")).collect();
    let alarm = Some(Alarm::new(Rule::C2, None, 11));
    let rounds: Vec<MergedRound> = (0..20).map(|w| if w == 7 { gap() } else { merged(30 + w % 5, 3) }).collect();
    let (mut live, mut again) = (program(tellings.clone(), alarm), program(tellings, alarm));
    for (i, round) in rounds.iter().enumerate() {
        live.next(i as u32, &[], round).unwrap();
    }
    for (i, round) in rounds.iter().enumerate() {
        again.next(i as u32, &[], round).unwrap();
    }
    assert_eq!(live.so_far(), again.so_far());
    assert!(live.next(20, &[], &merged(1, 3)).is_err() && live.work(20, &[]).is_err());
}

/// Two noises that hang together: the second window takes half of the first one's noise back.
#[test]
fn sums_of_windows_have_the_noise_of_those_that_each_site_was_in() {
    let rows = vec![vec![(0, 1.0)], vec![(0, -0.5), (1, 1.0)], vec![(0, -0.125), (1, -0.5), (2, 1.0)]];
    let tellings: Vec<Telling> = (0..3).map(|w| telling(w, "final")).collect();
    let mut p = program(tellings, None).with_sums(Some(rows));
    let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<String>>();
    // Each site draws noises of variance 4; lanes are in quarters.
    let round = |n: i64, sites: usize, factor: f64| {
        let variance = 4.0 * 16.0 * factor * sites as f64;
        let part = MergedRelease { lanes: vec![n * 4], noise_variance: variance, unit: 4.0, sites, shared: 1 };
        MergedRound { parts: vec![part], sites }
    };
    p.answered_by(&names(&["a", "b"]));
    p.next(0, &[], &round(10, 2, 1.0)).unwrap();
    p.answered_by(&names(&["a", "c"]));
    p.next(1, &[], &round(7, 2, 1.25)).unwrap();
    p.answered_by(&names(&["a", "b"]));
    p.next(2, &[], &round(5, 2, 1.265_625)).unwrap();
    let done = p.so_far().unwrap();
    let sums: Vec<_> = done.rows.iter().filter(|r| r.term.starts_with("all until")).collect();
    assert_eq!(sums.len(), 3, "{:#?}", done.rows);
    let want = [
        ("all until day 0: cohort", 10.0, 4.0 * 2.0),
        // a: (½)² + 1; b: 1; c: (½)² + 1.
        ("all until day 1: cohort", 17.0, 4.0 * (1.25 + 1.0 + 1.25)),
        // a: (⅜)² + (½)² + 1; b: (⅞)² + (½)² + 1; c as before.
        ("all until day 2: cohort", 22.0, 4.0 * (0.140_625 + 1.25 + 0.765_625 + 1.25 + 1.25)),
    ];
    for (row, (term, n, variance)) in sums.iter().zip(want) {
        assert_eq!((row.term.as_str(), row.estimate), (term, Some(n)));
        let se = row.dp_se.unwrap();
        assert!((se * se - variance).abs() < 1e-9, "{term}: {} of {variance}", se * se);
    }
    assert_eq!(sums[2].note, "3 windows");
    assert!(
        done.curves.iter().any(|c| c.title == "all until the day, cohort: n" && c.points.len() == 3),
        "{:#?}",
        done.curves
    );
    // Who answered must be known.
    assert_eq!(p.next(2, &[], &round(5, 3, 1.0)), Err(ProgramError::Merged));
}
