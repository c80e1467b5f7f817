//! A continuous study over real processes: windows are told as they fall due, each once and with one noise, through kills of everybody;
//! what is told can be read while it runs; and without noise each window is what a study of those days alone says.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Federation, array, ledger, simulated_here, text, unique, until};

/// Patients with a measurement on each of some days of the winter of 2023, the more the later.
fn extract(site: usize, days: usize) -> String {
    let mut out = "id,sex,birth,sbp,day\n".to_owned();
    for day in 0..days {
        let date = chrono::NaiveDate::from_ymd_opt(2023, 1, 1).unwrap() + chrono::Days::new(day as u64);
        for i in 0..220 + (day * 7 + site * 5) % 30 {
            let _ = writeln!(
                out,
                "p{day}-{i},{},1960-03-04,{},{date}",
                if i % 3 == 0 { "m" } else { "f" },
                100 + (i * 37) % 80
            );
        }
    }
    out
}

fn live(id: &str, stream: &str, rounds: &str) -> String {
    format!(
        "id = \"{id}\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"public_health\"\nexpires = \"2035-12-31\"\n\
         [rounds]\n{rounds}\n[cohorts.target]\nentry = {{ table = \"measurement\" }}\n[features.sex]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n\
         {stream}[[analysis]]\nkind = \"count\"\n[privacy]\nepsilon = 0.8\n[suppression]\nk = 0\n"
    )
}

const DAILY: &str = "[stream]\nfrom = \"2023-01-01\"\nuntil = \"2023-02-09\"\nwindow = \"tumbling 1d\"\n\
                     emit = [\"+24h:preliminary\", \"+7d:final\"]\nalarm = { method = \"ears_c2\" }\n";

fn told<'r>(results: &'r Value, statistic: &str) -> Vec<&'r Value> {
    array(&array(results, "analyses")[0]["estimate"], "rows").iter().filter(|r| r["statistic"] == statistic).collect()
}

#[test]
fn every_window_is_told_once_whoever_is_killed_and_can_be_read_meanwhile() {
    let mut f = Federation::new();
    let sites = ["s-1", "s-2", "s-3"];
    for (i, id) in sites.iter().enumerate() {
        f.make_site(id, 1, "[approval]\nmode = \"auto\"\n[disclosure]\nmin_cell = 0\nstreams = \"allow\"");
        std::fs::write(f.site_home(id).join("extract/patients.csv"), extract(i, 40)).unwrap();
        f.enroll(id);
        f.start_agent(id);
    }
    let out = f.submit(&live("live", DAILY, "min_sites = 3\ngather_seconds = 30"));
    assert!(out.status.success(), "{}", text(&out));
    until("the first windows were told", || f.status("live")["rounds_done"].as_u64().unwrap() > 4);
    let (so_far, _) = f.results("live");
    let early = told(&so_far, "n").len();
    assert!((1..40).contains(&early) || f.status("live")["state"] == "done", "{early} windows");
    for pause in [10, 80, 30] {
        f.kill_coordinator();
        f.start_coordinator();
        std::thread::sleep(Duration::from_millis(pause));
        f.kill_agent("s-2");
        f.start_agent("s-2");
        std::thread::sleep(Duration::from_millis(pause));
    }
    let status = f.over("live");
    assert_eq!(status["state"], "done", "{status:#}");
    let (results, provenance) = f.results("live");
    let windows = told(&results, "n");
    assert_eq!(windows.len(), 40);
    assert!(windows.iter().all(|w| w["note"].as_str().unwrap().ends_with("3 sites")), "{windows:#?}");
    assert_eq!(windows[0]["term"], "2023-01-01: cohort");
    // Nine windows have no seven before them with two between.
    assert_eq!(told(&results, "EARS C2").len(), 31);
    let rounds = array(&provenance, "rounds");
    assert_eq!(rounds.len(), 80);
    let watched = text(&f.coordinator_command(&["study", "watch", "live"]));
    assert!(watched.contains("2023-02-09 final: 3 sites, s-1, s-2, s-3\n"), "{watched}");
    let shown = f.status("live");
    assert_eq!(array(&shown, "windows").last().unwrap()["window"], "2023-02-09");
    assert_eq!((array(&shown, "windows").len(), &shown["next"]), (20, &Value::Null));
    for site in sites {
        let entries = ledger(&f, site);
        assert_eq!(entries.len(), 80, "one charge a telling at {site}");
        let ids: Vec<String> = entries.iter().map(|e| e.0.clone()).collect();
        assert!(unique(&ids));
        for (entry, round) in entries.iter().zip(rounds) {
            let taken = array(round, "releases").iter().find(|r| r["site"] == site).unwrap();
            assert_eq!(taken["release"], entry.2, "what was merged is what was sealed");
        }
    }
}

#[test]
fn a_hospital_whose_people_do_not_allow_it_is_not_waited_for() {
    let mut f = Federation::new();
    for (i, id) in ["s-1", "s-2", "s-3"].iter().enumerate() {
        // The third one's people never allow it.
        let streams = if i == 2 { "ask" } else { "allow" };
        f.make_site(
            id,
            1,
            &format!("[approval]\nmode = \"auto\"\n[disclosure]\nmin_cell = 0\nstreams = \"{streams}\""),
        );
        std::fs::write(f.site_home(id).join("extract/patients.csv"), extract(i, 4)).unwrap();
        f.enroll(id);
        f.start_agent(id);
    }
    let short = DAILY.replace("2023-02-09", "2023-01-04").replace("\"+24h:preliminary\", ", "");
    let rounds = "min_sites = 2\ngather_seconds = 1\ndeadline_seconds = 1\nattempts = 2";
    assert!(f.submit(&live("two", &short, rounds)).status.success());
    let status = f.over("two");
    assert_eq!(status["state"], "done", "{status:#}");
    let (results, _) = f.results("two");
    let windows = told(&results, "n");
    assert_eq!(windows.iter().filter(|w| w["note"].as_str().unwrap().ends_with("2 sites")).count(), 4, "{windows:#?}");
}

/// Each patient of the extract comes on one day. With the cap one payment covers all windows, and the noise is that of one window.
#[test]
fn windows_of_which_a_patient_is_in_one_are_paid_once() {
    let mut f = Federation::new();
    for (i, id) in ["s-1", "s-2", "s-3"].iter().enumerate() {
        f.make_site(id, 1, "[approval]\nmode = \"auto\"\n[disclosure]\nmin_cell = 0\nstreams = \"allow\"");
        std::fs::write(f.site_home(id).join("extract/patients.csv"), extract(i, 20)).unwrap();
        f.enroll(id);
        f.start_agent(id);
    }
    let once = DAILY.replace("2023-02-09", "2023-01-20").replace("[stream]", "[stream]\nwindows_per_patient = 1");
    assert!(f.submit(&live("once", &once, "min_sites = 3\ngather_seconds = 30")).status.success());
    let status = f.over("once");
    assert_eq!(status["state"], "done", "{status:#}");
    let (results, _) = f.results("once");
    let windows = told(&results, "n");
    assert_eq!(windows.len(), 20);
    // rho of (0.8, 1e-6) is 0.0114 or so; half of it a telling, at three sites: sigma = sqrt(3 / (2 rho / 2)).
    let analysis = &array(&results, "analyses")[0];
    let rho = analysis["rho"].as_f64().unwrap();
    for window in windows {
        let se = window["dp_se"].as_f64().unwrap();
        assert!((se / (3.0 / rho).sqrt() - 1.0).abs() < 0.01, "{se} of {rho}");
    }
    for site in ["s-1", "s-2", "s-3"] {
        let entries = ledger(&f, site);
        assert_eq!(entries.len(), 41, "a payment and 40 tellings");
        assert_eq!(entries.iter().filter(|e| e.1 > 0).count(), 1);
        let verified = f.agent_command(site, &["releases", "verify"]);
        assert!(verified.status.success(), "{}", text(&verified));
    }
}

/// Noises that hang together, through kills of everybody: one payment, each window's noise as the strategy says, and the sums' far smaller
/// than that of independent windows.
#[test]
fn sums_of_windows_whose_noises_hang_together_are_precise() {
    let mut f = Federation::new();
    let sites = ["s-1", "s-2", "s-3"];
    for (i, id) in sites.iter().enumerate() {
        f.make_site(id, 1, "[approval]\nmode = \"auto\"\n[disclosure]\nmin_cell = 0\nstreams = \"allow\"");
        std::fs::write(f.site_home(id).join("extract/patients.csv"), extract(i, 40)).unwrap();
        f.enroll(id);
        f.start_agent(id);
    }
    let series = DAILY
        .replace("[stream]", "[stream]\nnoise = \"toeplitz\"\nwindows_per_patient = 1")
        .replace("\"+24h:preliminary\", ", "");
    let study = live("sums", &series, "min_sites = 3\ngather_seconds = 30");
    let planned = text(&f.coordinator_command(&[
        "study",
        "plan",
        f.write_study("sums.toml", &study).to_str().unwrap(),
        "--sites",
        "3",
    ]));
    assert!(
        planned.contains(
            "for each window by itself, noise = \"independent\" in [stream]; for the sum of all, \"toeplitz\""
        ),
        "{planned}"
    );
    assert!(f.submit(&study).status.success());
    for _ in 0..3 {
        let done = f.status("sums")["rounds_done"].as_u64().unwrap();
        until("more windows were told", || {
            let status = f.status("sums");
            status["rounds_done"].as_u64().unwrap() > done || status["state"] == "done"
        });
        f.kill_agent("s-2");
        f.kill_coordinator();
        f.start_coordinator();
        f.start_agent("s-2");
    }
    let status = f.over("sums");
    assert_eq!(status["state"], "done", "{status:#}");
    let (results, provenance) = f.results("sums");
    assert_eq!(provenance["mechanism"], "discrete-gaussian-toeplitz");
    let rows = told(&results, "n");
    let (sums, windows): (Vec<&Value>, Vec<&Value>) =
        rows.into_iter().partition(|r| r["term"].as_str().unwrap().starts_with("all until"));
    assert_eq!((windows.len(), sums.len()), (40, 40));
    let rho = array(&results, "analyses")[0]["rho"].as_f64().unwrap();
    let one = (3.0 / (2.0 * rho)).sqrt();
    let strategy = privacy::Continual::new(privacy::Correlation::Toeplitz, 40, 1).unwrap();
    let norm = strategy.squared().sqrt();
    let (mut truth, mut noise_of_all) = (0.0, 0.0);
    for (day, (window, sum)) in windows.iter().zip(&sums).enumerate() {
        truth += (0..3).map(|site| 220 + (day * 7 + site * 5) % 30).sum::<usize>() as f64;
        let of = |row: &Value, factor: f64| {
            let se = row["dp_se"].as_f64().unwrap();
            assert!((se / (one * norm * factor) - 1.0).abs() < 0.01, "{day}: {se}, {row}");
        };
        of(window, strategy.window_factor(day as u32));
        of(sum, strategy.prefix_factor(day as u32));
        noise_of_all = sum["estimate"].as_f64().unwrap() - truth;
        assert!(noise_of_all.abs() < 6.0 * one * norm * strategy.prefix_factor(39), "{day}: off by {noise_of_all}");
    }
    // Of independent windows it would be √40 = 6.3.
    assert!(norm * strategy.prefix_factor(39) < 2.3, "{noise_of_all}");
    for site in sites {
        let entries = ledger(&f, site);
        assert_eq!((entries.len(), entries.iter().filter(|e| e.1 > 0).count()), (41, 1), "a payment and 40 tellings");
        let verified = f.agent_command(site, &["releases", "verify"]);
        assert!(verified.status.success(), "{}", text(&verified));
    }
}

#[test]
fn without_noise_a_window_is_what_a_study_of_its_days_alone_says() {
    let federation = |study: &str| {
        let dir = tempfile::tempdir().unwrap();
        for site in 0..3 {
            let home = dir.path().join(format!("sites/s-{site}"));
            std::fs::create_dir_all(home.join("extract")).unwrap();
            std::fs::write(home.join("mapping.toml"), crate::harness::MAPPING).unwrap();
            let toml = format!(
                "id = \"s-{site}\"\nname = \"Hospital {site}\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\n\
                 format = \"csv\"\npath = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nmin_cell = 0\nmin_cohort = 0\n"
            );
            std::fs::write(home.join("site.toml"), toml).unwrap();
            std::fs::write(home.join("extract/rows.csv"), extract(site, 20)).unwrap();
        }
        simulated_here(dir.path(), study)
    };
    let stream = "[stream]\nfrom = \"2023-01-01\"\nuntil = \"2023-01-18\"\nwindow = \"sliding 7d every 3d\"\n";
    let by_sex = |text: String| text.replace("kind = \"count\"\n", "kind = \"count\"\nby = [\"sex\"]\n");
    let series = federation(&by_sex(live("series", stream, "")));
    let rows = told(&series, "n");
    let mut seen = 0;
    for (from, to) in [
        ("2023-01-01", "2023-01-07"),
        ("2023-01-04", "2023-01-10"),
        ("2023-01-07", "2023-01-13"),
        ("2023-01-10", "2023-01-16"),
    ] {
        let days = format!("table = \"measurement\", between = [\"{from}\", \"{to}\"]");
        let alone = federation(&by_sex(live("alone", "", "").replace("table = \"measurement\"", &days)));
        for row in told(&alone, "n") {
            let term = format!("{from} to {to}: {}", row["term"].as_str().unwrap());
            let same = rows.iter().find(|r| r["term"] == term.as_str()).unwrap_or_else(|| panic!("{term}: {rows:#?}"));
            assert_eq!(same["estimate"], row["estimate"], "{term}");
            seen += 1;
        }
    }
    assert_eq!(seen, rows.len());
    assert!(seen >= 8);
}

#[test]
fn analyses_that_are_told_together_say_what_each_says_alone() {
    let dir = tempfile::tempdir().unwrap();
    for site in 0..3 {
        let home = dir.path().join(format!("sites/s-{site}"));
        std::fs::create_dir_all(home.join("extract")).unwrap();
        std::fs::write(home.join("mapping.toml"), crate::harness::MAPPING).unwrap();
        let toml = format!(
            "id = \"s-{site}\"\nname = \"Hospital {site}\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"x\"\n\
             format = \"csv\"\npath = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nmin_cell = 0\nmin_cohort = 0\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        std::fs::write(home.join("extract/rows.csv"), extract(site, 12)).unwrap();
    }
    let stream = "[stream]\nfrom = \"2023-01-01\"\nuntil = \"2023-01-12\"\nwindow = \"tumbling 3d\"\n";
    let age = "[features.age]\nkind = \"age\"\nbounds = [0.0, 120.0]\n[stream]";
    let of = |id: &str, analyses: &str| {
        let text = live(id, stream, "").replace("[stream]", age).replace("[[analysis]]\nkind = \"count\"\n", analyses);
        simulated_here(dir.path(), &text)
    };
    let (sex, mean) = (
        "[[analysis]]\nname = \"sex\"\nkind = \"crosstab\"\nby = [\"sex\"]\n",
        "[[analysis]]\nname = \"age\"\nkind = \"moments\"\nof = \"age\"\n",
    );
    let both = of("both", &format!("{mean}{sex}"));
    let rows = array(&array(&both, "analyses")[0]["estimate"], "rows");
    assert_eq!(array(&both, "analyses").len(), 1);
    let mut seen = 0;
    for (name, analysis) in [("sex", sex), ("age", mean)] {
        let alone = of(name, analysis);
        for row in array(&array(&alone, "analyses")[0]["estimate"], "rows") {
            let (window, term) = row["term"].as_str().unwrap().split_once(": ").unwrap();
            let term = format!("{window}: {name}: {term}");
            let same = rows.iter().find(|r| r["term"] == term.as_str() && r["statistic"] == row["statistic"]);
            assert_eq!(same.unwrap_or_else(|| panic!("{term}: {rows:#?}"))["estimate"], row["estimate"], "{term}");
            seen += 1;
        }
    }
    assert_eq!(seen, rows.len());
    assert!(seen > 20, "{seen}");
}

/// Rows with a time of the day fall into the windows of their hour in UTC, once; rows with a date alone into none.
#[test]
fn windows_of_hours_take_rows_by_their_instant() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = [0i64; 8];
    for site in 0..3usize {
        let home = dir.path().join(format!("sites/s-{site}"));
        std::fs::create_dir_all(home.join("extract")).unwrap();
        let mapping = crate::harness::MAPPING.replace("[\"%Y-%m-%d\"]", "[\"%Y-%m-%dT%H:%M\", \"%Y-%m-%d\"]");
        std::fs::write(home.join("mapping.toml"), mapping).unwrap();
        let toml = format!(
            "id = \"s-{site}\"\nname = \"Hospital {site}\"\ncountry = \"DE\"\ntime_zone = \"Europe/Berlin\"\n[[source]]\nname = \"x\"\n\
             format = \"csv\"\npath = \"extract\"\nmapping = \"mapping.toml\"\n[disclosure]\nmin_cell = 0\nmin_cohort = 0\n"
        );
        std::fs::write(home.join("site.toml"), toml).unwrap();
        let mut out = "id,sex,birth,sbp,day\n".to_owned();
        for i in 0..200 {
            // Minutes since midnight in Berlin on 2 January, an hour ahead of UTC.
            let minute = (i * 37 + site * 11) % 2880;
            let (day, hour) = (2 + minute / 1440, minute % 1440 / 60);
            let _ = writeln!(out, "p{i},f,1960-03-04,120,2023-01-{day:02}T{hour:02}:{:02}", minute % 60);
            if let Some(window) = minute.checked_sub(60) {
                want[window / 360] += 1;
            }
        }
        (200..240).for_each(|i| out += &format!("p{i},f,1960-03-04,120,2023-01-02\n"));
        std::fs::write(home.join("extract/rows.csv"), out).unwrap();
    }
    let stream =
        "[stream]\nfrom = \"2023-01-02\"\nuntil = \"2023-01-03\"\nwindow = \"tumbling 6h\"\nemit = [\"+1h:final\"]\n";
    let series = simulated_here(dir.path(), &live("hours", stream, ""));
    let rows = told(&series, "n");
    let told: Vec<(&str, i64)> =
        rows.iter().map(|r| (r["term"].as_str().unwrap(), r["estimate"].as_f64().unwrap() as i64)).collect();
    assert_eq!(told.len(), 8, "{told:?}");
    assert_eq!(told[1].0, "2023-01-02 06:00 to 2023-01-02 12:00 UTC: cohort");
    assert_eq!(told.iter().map(|t| t.1).collect::<Vec<_>>(), want, "{told:?}");
}
