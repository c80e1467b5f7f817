//! A coordinator killed with −9 again and again goes on to the end, with every round charged once.

use std::time::Duration;

use crate::harness::{Federation, MODEL, array, ledger, study, unique};

#[test]
fn the_study_goes_on_to_its_result() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2", "s-3"]);
    let text = study("killed", "min_sites = 3\ngather_seconds = 30", &MODEL.replace("steps = 8", "steps = 30"));
    assert!(f.submit(&text).status.success());
    for pause in [10, 60, 150, 20, 90] {
        std::thread::sleep(Duration::from_millis(pause));
        f.kill_coordinator();
        f.start_coordinator();
    }
    let status = f.over("killed");
    assert_eq!(status["state"], "done", "{status:#}");
    let (_, provenance) = f.results("killed");
    let rounds = array(&provenance, "rounds");
    assert_eq!(rounds.len(), 31);
    for site in ["s-1", "s-2", "s-3"] {
        let entries = ledger(&f, site);
        assert_eq!(entries.len(), 31, "one charge a round at {site}");
        let ids: Vec<String> = entries.iter().map(|e| e.0.clone()).collect();
        assert!(unique(&ids));
        // What the coordinator merged is what the site released.
        for (entry, round) in entries.iter().zip(rounds) {
            let taken = array(round, "releases").iter().find(|r| r["site"] == site).unwrap();
            assert_eq!(taken["release"], entry.2);
        }
    }
}
