//! A training whose coordinator and agents are killed with −9 again and again goes on to its last step: every round is charged once, and
//! what the optimiser and the curves remember of the rounds before is there after each start.

use std::time::Duration;

use crate::harness::{Federation, array, ledger, study, unique};

const TRAIN: &str = "[[analysis]]\nkind = \"train\"\noutcome = \"high\"\nfeatures = [\"sbp\", \"sex\"]\n[analysis.model]\n\
                     family = \"logistic\"\nhidden = [3]\n[analysis.strategy]\nrounds = 30\nlearning_rate = 0.1\nclip = 1\noptimiser = \"adam\"\n";

#[test]
fn it_goes_on_to_its_last_step() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2"]);
    assert!(f.submit(&study("trained", "min_sites = 2\ngather_seconds = 30", TRAIN)).status.success());
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
