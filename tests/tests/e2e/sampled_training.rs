//! A training that samples patients, over real processes whose coordinator and agents are killed with −9 again and again: all rounds are paid for at once,
//! before the first of them; each is sealed once, with noise of its own, for nothing more.

use std::time::Duration;

use crate::harness::{Federation, array, study, unique};

/// Twenty steps on half of the patients, a third of whom are held out and tested in the end.
const TRAIN: &str = "[[analysis]]\nkind = \"train\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\n[analysis.model]\n\
                     family = \"logistic\"\n[analysis.strategy]\nrounds = 20\nlearning_rate = 1\nclip = 1\nsampling = 0.5\n\
                     clip_quantile = 0.5\n[analysis.holdout]\ntest = 0.3\n";
/// One counts the patients, one tests.
const ROUNDS: usize = 22;

fn killed(f: &mut Federation, text: &str) {
    assert!(f.submit(text).status.success());
    for (round, pause) in [10, 150, 60, 200, 100, 250].into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(pause));
        if round % 3 != 2 {
            f.kill_coordinator();
            f.start_coordinator();
        }
        if round % 2 == 1 {
            f.kill_agent("s-1");
            f.start_agent("s-1");
        }
    }
    let status = f.over("sampled");
    assert_eq!(status["state"], "done", "{status:#}");
}

/// The ledger's entries of a site: kind, round, attempt, whether it cost something.
fn entries(f: &Federation, site: &str) -> Vec<(String, String, u64, bool)> {
    let shown = f.agent_json(site, &["ledger", "show"]);
    let one = |e: &serde_json::Value| {
        let cost = &e["cost"];
        let paid = cost["rho"].as_u64() != Some(0) || cost.get("rdp").is_some();
        (e["kind"].as_str().unwrap().to_owned(), e["round"].to_string(), e["attempt"].as_u64().unwrap(), paid)
    };
    array(&shown, "entries").iter().map(one).collect()
}

#[test]
fn it_is_paid_for_once_whoever_is_killed() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2"]);
    killed(&mut f, &study("sampled", "min_sites = 2\ngather_seconds = 30", TRAIN));
    let (estimates, provenance) = f.results("sampled");
    assert_eq!(array(&provenance, "rounds").len(), ROUNDS);
    let analysis = &array(&estimates, "analyses")[0];
    // All of the study's ε is this analysis', and is hardly more than it takes.
    let epsilon = analysis["epsilon"].as_f64().unwrap();
    assert!((0.3..=0.8).contains(&epsilon), "{epsilon}");
    assert!(array(&analysis["estimate"], "rows").iter().any(|r| r["term"] == "test"), "{analysis:#}");
    for site in ["s-1", "s-2"] {
        let all = entries(&f, site);
        let (paid, rounds): (Vec<_>, Vec<_>) = all.iter().partition(|e| e.0 == "prepaid");
        assert!(paid.len() == 1 && paid[0].3, "{site}: {paid:?}");
        let names: Vec<String> = rounds.iter().map(|e| e.1.clone()).collect();
        assert!(rounds.len() == ROUNDS && unique(&names), "{} rounds at {site}", rounds.len());
        assert!(rounds.iter().all(|e| e.0 == "release" && !e.3), "{site}: {rounds:?}");
        assert!(f.agent_command(site, &["releases", "verify"]).status.success());
        assert!(f.agent_command(site, &["ledger", "verify"]).status.success());
    }
}

/// Under secure aggregation an attempt that came to nothing is tried again with other noise: it pays for one round more.
#[test]
fn a_secure_one_pays_for_what_is_tried_again() {
    let mut f = Federation::new();
    let ids = ["s-1", "s-2", "s-3", "s-4"];
    for id in ids {
        f.add_site(id, 200, "[approval]\nmode = \"auto\"\n[budget]\nstudy_rho = 0.1");
    }
    f.pin(&ids);
    ids.iter().for_each(|id| f.start_agent(id));
    let rounds = "min_sites = 3\ngather_seconds = 30\ndeadline_seconds = 8\nattempts = 9";
    let text = study("sampled", rounds, TRAIN)
        .replace("epsilon = 0.8", "epsilon = 0.8\naggregation = \"secure\"\nreruns = 12");
    killed(&mut f, &text);
    for site in ids {
        let all = entries(&f, site);
        let (paid, attempts): (Vec<_>, Vec<_>) = all.iter().partition(|e| e.0 == "prepaid");
        assert!(paid.len() == 1 && paid[0].3, "{site}: {paid:?}");
        let names: Vec<(String, u64)> = attempts.iter().map(|e| (e.1.clone(), e.2)).collect();
        assert!(unique(&names), "{site}: an attempt was charged twice");
        let mut seen = std::collections::BTreeSet::new();
        for (kind, round, _, cost) in &attempts {
            assert_eq!(kind, "secure-release");
            assert_eq!(*cost, !seen.insert(round.clone()), "{site}: {round} is free the first time, and only then");
        }
        // The one that was killed may have been left out of some.
        assert!(seen.len() == ROUNDS || site == "s-1" && seen.len() < ROUNDS, "{site}: {}", seen.len());
        assert!(f.agent_command(site, &["releases", "verify"]).status.success());
    }
}
