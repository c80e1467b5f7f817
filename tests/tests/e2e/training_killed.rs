//! A training whose coordinator and agents are killed with −9 again and again goes on to its last step: every round is charged once, and
//! what the optimiser and the curves remember of the rounds before is there after each start.

use std::time::Duration;

use crate::harness::{Federation, array, ledger, study, unique};

const TRAIN: &str = "[[analysis]]\nkind = \"train\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\n[analysis.model]\n\
                     family = \"logistic\"\nhidden = [3]\n[analysis.strategy]\nrounds = 30\nlearning_rate = 0.1\nclip = 1\noptimiser = \"adam\"\n";

/// Local steps with what corrects their drift, then hospitals in turns, then trees.
const OTHERS: &str = "[[analysis]]\nkind = \"train\"\nname = \"local\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\n[analysis.model]\n\
                      family = \"logistic\"\n[analysis.strategy]\nrounds = 8\nlearning_rate = 1\nclip = 1\n[analysis.strategy.local]\nsteps = 3\n\
                      learning_rate = 0.5\ncontrol = \"variates\"\n\
                      [[analysis]]\nkind = \"train\"\nname = \"turns\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\n[analysis.model]\n\
                      family = \"logistic\"\n[analysis.strategy]\nrounds = 8\nlearning_rate = 1\nclip = 1\n[analysis.strategy.local]\nsteps = 2\n\
                      learning_rate = 0.5\nturns = true\n\
                      [[analysis]]\nkind = \"trees\"\nname = \"trees\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\nfamily = \"logistic\"\n\
                      trees = 5\ndepth = 2\n";

/// A federation of two sites that has done a study, with its coordinator and an agent killed again and again.
fn killed(analyses: &str) -> Federation {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2"]);
    assert!(f.submit(&study("trained", "min_sites = 2\ngather_seconds = 30", analyses)).status.success());
    for (round, pause) in [10, 150, 60, 200].into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(pause));
        f.kill_coordinator();
        f.start_coordinator();
        if round % 2 == 1 {
            f.kill_agent("s-1");
            f.start_agent("s-1");
        }
    }
    let status = f.over("trained");
    assert_eq!(status["state"], "done", "{status:#}");
    f
}

#[test]
fn it_goes_on_to_its_last_step() {
    let f = killed(TRAIN);
    let (estimates, provenance) = f.results("trained");
    // One round counts the patients.
    assert_eq!(array(&provenance, "rounds").len(), 31);
    let curves = array(&array(&estimates, "analyses")[0]["estimate"], "curves");
    let points: Vec<usize> = curves.iter().map(|c| array(c, "points").len()).collect();
    assert_eq!(points, [30, 30], "every round's loss and share of cut gradients");
    for site in ["s-1", "s-2"] {
        let entries = ledger(&f, site);
        let rounds: Vec<String> = entries.iter().map(|e| e.0.clone()).collect();
        assert!(entries.len() == 31 && unique(&rounds), "{} entries at {site}", entries.len());
        assert!(f.agent_command(site, &["releases", "verify"]).status.success());
    }
}

/// So does every strategy, and trees: each round is charged once at each site, in turns at one of them.
#[test]
fn strategies_and_trees_go_on_too() {
    let f = killed(OTHERS);
    let (estimates, provenance) = f.results("trained");
    let rounds = |name: &str| array(&provenance, "rounds").iter().filter(|r| r["analysis"] == name).count();
    assert_eq!((rounds("local"), rounds("turns"), rounds("trees")), (9, 9, 11));
    for (analysis, points) in array(&estimates, "analyses").iter().zip([8, 8, 5]) {
        let curves = array(&analysis["estimate"], "curves");
        assert!(curves.iter().all(|c| array(c, "points").len() == points), "{curves:?}");
        assert!(analysis["parameters"].as_str().is_some_and(|p| !p.is_empty()));
    }
    let mut turns = 0;
    for site in ["s-1", "s-2"] {
        let entries = ledger(&f, site);
        let rounds: Vec<String> = entries.iter().map(|e| e.0.clone()).collect();
        assert!(unique(&rounds), "{rounds:?}");
        turns += entries.len() - 9 - 11 - 1;
        assert!(f.agent_command(site, &["releases", "verify"]).status.success());
    }
    // A coordinator that is killed before it has taken an answer may ask the other site for the same turn.
    assert!((8..=12).contains(&turns), "each turn is one site's, and there are {turns}");
}
