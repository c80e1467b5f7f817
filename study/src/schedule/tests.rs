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

/// The template with noises that hang together.
fn correlated(change: impl Fn(String) -> String) -> Result<Study, String> {
    surveillance(|t| {
        change(
            t.replace("[\"+24h:preliminary\", \"+7d:final\"]", "[\"+7d:final\"]")
                .replace("window = \"", "windows_per_patient = 1\nnoise = \"toeplitz\"\nwindow = \""),
        )
    })
}

#[test]
fn noises_that_hang_together_are_of_whole_numbers_in_windows_that_are_paid_for_at_once_and_told_once() {
    assert!(correlated(|t| t).is_ok());
    for (from, to, says) in [
        ("windows_per_patient = 1\n", "", "are paid for at once"),
        ("[\"+7d:final\"]", "[\"+24h:preliminary\", \"+7d:final\"]", "told once"),
        ("\"tumbling 1w\"", "\"sliding 7d every 1d\"", "share no days"),
        ("epsilon = 0.8 ", "aggregation = \"secure\"\nepsilon = 0.8 ", "each site's own"),
        (
            "[[analysis]]\nkind = \"count\"  ",
            "[features.age]\nkind = \"age\"\nbounds = [0.0, 100.0]\n[[analysis]]\nkind = \"moments\"\nof = \"age\"",
            "only whole numbers",
        ),
    ] {
        let said = correlated(|t| {
            assert!(t.contains(from), "{from}");
            t.replacen(from, to, 1)
        });
        let said = said.unwrap_err();
        assert!(said.contains(says), "{to}: {said}");
    }
    let days = |t: String| {
        t.replace("tumbling 1w", "tumbling 1d").replace("2027-12-31", "2029-12-31").replace("2028-03-31", "2031-01-01")
    };
    assert!(correlated(days).unwrap_err().contains("more than 1024 windows"));
    assert!(surveillance(|t| t.replace("window = \"", "noise = \"pink\"\nwindow = \"")).is_err());
}

#[test]
fn a_plan_says_how_noises_hang_together_only_where_they_do_and_the_planner_compares() {
    let plan = crate::Plan::new("f", correlated(|t| t).unwrap()).unwrap();
    let bytes = plan.canonical().unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"noise\":\"toeplitz\""));
    assert_eq!(crate::Plan::parse(&bytes).unwrap(), plan);
    let usual = crate::Plan::new("f", surveillance(str::to_owned).unwrap()).unwrap();
    assert!(!String::from_utf8_lossy(&usual.canonical().unwrap()).contains("\"noise\""));
    let series = crate::budget::series(&plan.study).unwrap();
    let rounds = &crate::budget::allocate(&plan).unwrap()[0];
    assert_eq!((rounds.len(), series.windows()), (52, 52));
    assert!(rounds[0].value() * series.squared() <= crate::budget::total(&plan).value());
    assert!(crate::budget::factor(&plan.study, 0) == 1.0 && crate::budget::factor(&plan.study, 51) > 1.1);
    let cost = crate::planner::cost(&plan, 4, 500).unwrap();
    // Four sites: twice the noise of one.
    let one = privacy::mechanism::gaussian_sigma(1.0, cost.rho) * 2.0;
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-3;
    let [independent, tree, toeplitz] = &cost.noises[..] else { panic!("{:?}", cost.noises) };
    assert!(near(independent.window, one) && near(independent.all, one * 52f64.sqrt()));
    assert!(toeplitz.planned && !tree.planned && toeplitz.window < tree.window && toeplitz.all < independent.all / 2.5);
    let expected = cost.analyses[0].expected[0].half_width_privacy;
    assert!(near(expected, 1.959_964 * toeplitz.window), "{expected} of {}", toeplitz.window);
    // Where noises can't hang together as the plan says, nothing is allocated, and nothing falls back to less noise.
    let mut other = plan.clone();
    other.study.stream.as_mut().unwrap().windows_per_patient = None;
    assert!(crate::budget::prepaid(&other.study).is_none() && crate::budget::allocate(&other).is_err());
}

#[test]
fn several_analyses_of_one_cohort_are_told_in_one_round_and_share_its_charge() {
    let more = "[features.sex]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n[features.age]\nkind = \"age\"\nbounds = [0.0, 100.0]\n\
                [[analysis]]\nkind = \"crosstab\"\nby = [\"sex\"]\nshare = 2.0\n[[analysis]]\nname = \"mean age\"\nkind = \"moments\"\nof = \"age\"\n\n[privacy]";
    let study = surveillance(|t| t.replacen("[privacy]", more, 1)).unwrap();
    let plan = crate::Plan::new("f", study.clone()).unwrap();
    assert_eq!(crate::Plan::parse(&plan.canonical().unwrap()).unwrap(), plan);
    let rounds = crate::budget::allocate(&plan).unwrap();
    assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [104, 0, 0]);
    let program = crate::compile::program(&study, 0).unwrap();
    assert!(crate::compile::program(&study, 1).is_err());
    let work = program.work(3, &[]).unwrap();
    let told: Vec<_> = work.iter().map(|w| (w.name.as_str(), w.columns.clone(), w.weight)).collect();
    assert_eq!(
        told,
        [("count/count", vec![], 1.0), ("crosstab/crosstab", vec![0], 2.0), ("mean age/moments", vec![1], 1.0)]
    );
    // What a window asks has the features of all.
    let window = Schedule::of(&study).unwrap().study_at(&study, 3).unwrap();
    assert_eq!((window.analysis.len(), window.analysis[0].columns()), (1, vec!["sex".to_owned(), "age".to_owned()]));
    assert_eq!(crate::compile::columns(&window, &window.analysis[0]).unwrap().len(), 2);
    let cost = crate::planner::cost(&plan, 10, 500).unwrap();
    assert_eq!(cost.analyses.len(), 3);
    assert!((cost.analyses[1].rho.value() / cost.rho.value() - 0.5).abs() < 1e-6);
    let other = surveillance(|t| {
        let arm = "[cohorts.other]\nentry = { table = \"visit\" }\n[[analysis]]\nkind = \"count\"\nname = \"b\"\ncohort = \"other\"\n\n[privacy]";
        t.replacen("[privacy]", arm, 1)
    });
    assert!(other.unwrap_err().contains("are of one cohort"));
}

#[test]
fn windows_of_hours_are_of_utc_and_due_when_they_end() {
    let study = stream("tumbling 6h", "2027-02-27", "2027-02-28", "[\"+1h:final\"]");
    assert_eq!(String::from(study.stream.as_ref().unwrap().window), "tumbling 6h");
    let schedule = Schedule::of(&study).unwrap();
    let labels: Vec<String> = schedule.emissions().iter().map(Emission::label).collect();
    assert_eq!((labels.len(), labels[1].as_str()), (8, "2027-02-27 06:00 to 2027-02-27 12:00 UTC"));
    assert_eq!(
        (labels[7].as_str(), schedule.emission(7).unwrap().end().as_str()),
        ("2027-02-28 18:00 to 2027-03-01 00:00 UTC", "2027-03-01 00:00 UTC")
    );
    let due = |round| {
        chrono::DateTime::from_timestamp_micros(schedule.emission(round).unwrap().due_micros).unwrap().to_rfc3339()
    };
    assert_eq!((due(0), due(7)), ("2027-02-27T07:00:00+00:00".to_owned(), "2027-03-01T01:00:00+00:00".to_owned()));
    // They part the instants.
    let instants: Vec<[i64; 2]> = schedule.emissions().iter().map(|e| e.instants.unwrap()).collect();
    assert!(instants.windows(2).all(|p| p[0][1] == p[1][0]));
    let entry = |round| schedule.study_at(&study, round).unwrap().cohorts["target"].entry.clone().unwrap();
    assert_eq!((entry(1).instants, entry(1).between), (Some(instants[1]), None));
    assert!((schedule.emission(2).unwrap().year() - schedule.emission(0).unwrap().year() - 0.5 / 365.25).abs() < 1e-6);
    // A day written as 24 hours is a day.
    let days = stream("tumbling 24h", "2027-02-27", "2027-02-28", "[\"+1d:final\"]");
    assert_eq!(String::from(days.stream.unwrap().window), "tumbling 1d");
    let sliding = stream("sliding 1d every 6h", "2027-02-27", "2027-02-28", "[\"+1h:final\"]");
    assert_eq!(Schedule::of(&sliding).unwrap().windows(), 5);
    // The day of a death has no hours.
    let of = |table: &str| {
        surveillance(|t| {
            t.replace("tumbling 1w\"", "tumbling 6h\"")
                .replace("table = \"condition\", set = \"ili\", occurrence = \"first\", washout = 30", table)
        })
    };
    assert!(of("table = \"death\"").unwrap_err().contains("no time of the day"));
}
