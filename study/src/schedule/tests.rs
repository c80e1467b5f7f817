use super::*;
use crate::template;

fn surveillance(change: impl Fn(&str) -> String) -> Result<Study, String> {
    let text = change(template::text("surveillance").unwrap());
    crate::read::checked(&text).map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn stream(window: &str, from: &str, until: &str, emit: &str) -> Study {
    surveillance(|t| {
        t.replace("tumbling 1w\"               #", &format!("{window}\" #"))
            .replace("alarm = ", "# ")
            .replace("\"2027-01-01\"", &format!("\"{from}\""))
            .replace("\"2027-12-31\"", &format!("\"{until}\""))
            .replace("[\"+24h:preliminary\", \"+7d:final\"]", emit)
    })
    .unwrap()
}

#[test]
fn tumbling_windows_part_the_days_and_rounds_are_in_the_order_in_which_they_fall_due() {
    let study = stream("tumbling 1d", "2027-02-27", "2027-03-02", "[\"+24h:preliminary\", \"+2d:final\"]");
    let schedule = Schedule::of(&study).unwrap();
    assert_eq!((schedule.windows(), schedule.emissions().len()), (4, 8));
    let told: Vec<String> = schedule.emissions().iter().map(|e| format!("{} {}", e.label(), e.word.as_str())).collect();
    assert_eq!(told[..4], ["2027-02-27 preliminary", "2027-02-27 final", "2027-02-28 preliminary", "2027-02-28 final"]);
    assert!(schedule.emissions().windows(2).all(|p| p[0].due_micros <= p[1].due_micros));
    // The first day ends at midnight, and a day is added.
    let due = chrono::DateTime::from_timestamp_micros(schedule.emissions()[0].due_micros).unwrap();
    assert_eq!(due.to_rfc3339(), "2027-03-01T00:00:00+00:00");
    assert_eq!(schedule.emission(8), None);
}

#[test]
fn sliding_windows_share_days_and_none_reaches_beyond_the_last() {
    let study = stream("sliding 7d every 2d", "2027-01-01", "2027-01-12", "[\"+7d:final\"]");
    let schedule = Schedule::of(&study).unwrap();
    let days: Vec<_> = schedule.emissions().iter().map(|e| (e.first.to_string(), e.last.to_string())).collect();
    let want = [("2027-01-01", "2027-01-07"), ("2027-01-03", "2027-01-09"), ("2027-01-05", "2027-01-11")];
    assert_eq!(days, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn a_round_asks_the_same_study_between_the_days_of_its_window() {
    let mut study = stream("tumbling 1d", "2027-02-27", "2027-03-02", "[\"+7d:final\"]");
    let entry = study.cohorts.get_mut("target").unwrap().entry.as_mut().unwrap();
    entry.between = Some(["2027-02-28".to_owned(), "2027-12-31".to_owned()]);
    let schedule = Schedule::of(&study).unwrap();
    let between = |round| schedule.study_at(&study, round).unwrap().cohorts["target"].entry.clone().unwrap().between;
    // The study's own days hold as well: the first window has none of them.
    assert_eq!(between(0), Some(["2027-02-28".to_owned(), "2027-02-27".to_owned()]));
    assert_eq!(between(1), Some(["2027-02-28".to_owned(), "2027-02-28".to_owned()]));
    assert_eq!(between(3), Some(["2027-03-02".to_owned(), "2027-03-02".to_owned()]));
    assert_eq!(schedule.study_at(&study, 4), None);
    assert_eq!(schedule.study_at(&study, 0).unwrap().stream, None);
}

#[test]
fn what_does_not_fit_is_said_with_its_line_and_remedy() {
    let fault = |from: &str, to: &str| {
        assert!(template::text("surveillance").unwrap().contains(from), "{from}");
        surveillance(|t| t.replace(from, to)).unwrap_err()
    };
    for (from, to, says) in [
        ("\"tumbling 1w\"", "\"hopping 1w\"", "is no window; write"),
        ("\"tumbling 1w\"", "\"sliding 1d every 1w\"", "no longer than the window"),
        ("\"tumbling 1w\"", "\"sliding 7d every 1d\"", "share no days"),
        ("\"tumbling 1w\"", "\"tumbling 400d\"", "no whole window"),
        ("\"+24h:preliminary\"", "\"+2h:preliminary\"", "before its last day is over"),
        ("\"+24h:preliminary\"", "\"+8d:preliminary\"", "each time later"),
        (":preliminary", ":final", "final exactly once"),
        ("2028-03-31", "2027-12-31", "when the study has expired"),
        ("kind = \"count\"", "kind = \"attrition\"", "can't be told by windows"),
        ("min_sites = 3 ", "min_sites = 3\n[subgroups.f]\ninclusion = [{ sex = [\"F\"] }]\n# ", "no subgroups"),
        ("epsilon = 0.8 ", "aggregation = \"secure\"\nepsilon = 0.8 ", "has local noise"),
        (
            "table = \"condition\", set = \"ili\", occurrence = \"first\", washout = 30",
            "table = \"patient\"",
            "this cohort has none",
        ),
    ] {
        let said = fault(from, to);
        assert!(said.contains(says) && said.contains("line "), "{to}: {said}");
    }
}

#[test]
fn a_plan_of_windows_reads_back_and_pays_for_each_telling() {
    let study = surveillance(str::to_owned).unwrap();
    let plan = crate::Plan::new("f", study).unwrap();
    assert_eq!(crate::Plan::parse(&plan.canonical().unwrap()).unwrap(), plan);
    let rounds = &crate::budget::allocate(&plan).unwrap()[0];
    assert_eq!(rounds.len(), 2 * 52);
    let all = rounds.iter().fold(privacy::Rho::ZERO, |a, b| a.plus(*b));
    assert!(all <= crate::budget::total(&plan));
    // Another study's answer is none for windows.
    assert_eq!(crate::question::of_plan(&plan).unwrap(), []);
}

#[test]
fn the_planner_tells_of_one_window_and_a_cap_makes_it_more_precise() {
    let of = |cap: &str| {
        let study = surveillance(|t| t.replace("window = ", &format!("{cap}window = "))).unwrap();
        crate::planner::cost(&crate::Plan::new("f", study).unwrap(), 40, 500).unwrap()
    };
    let (all, four) = (of(""), of("windows_per_patient = 4\n"));
    assert_eq!((all.windows, four.windows), (Some([52, 52]), Some([52, 4])));
    assert_eq!((all.rho, all.analyses[0].rho.nano() >= all.rho.nano() - 104), (four.rho, true));
    let width =
        |c: &crate::planner::Cost| c.analyses[0].expected.iter().map(|e| e.half_width_privacy).collect::<Vec<_>>();
    let ([one], [other]) = (width(&all).try_into().unwrap(), width(&four).try_into().unwrap());
    assert!(((one / other) - 13f64.sqrt()).abs() < 0.01, "{one} and {other}");
}
