//! An agent killed with −9 in the middle of a study goes on without a second charge.

use std::time::Duration;

use crate::harness::{Federation, MODEL, ledger, study, unique};

#[test]
fn no_round_is_charged_twice() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2"]);
    let text = study("mortal", "min_sites = 2\ngather_seconds = 30", &MODEL.replace("steps = 8", "steps = 30"));
    assert!(f.submit(&text).status.success());
    for pause in [30, 5, 120, 60] {
        std::thread::sleep(Duration::from_millis(pause));
        f.kill_agent("s-1");
        f.start_agent("s-1");
    }
    let status = f.over("mortal");
    assert_eq!(status["state"], "done", "{status:#}");
    let entries = ledger(&f, "s-1");
    let rounds: Vec<String> = entries.iter().map(|e| e.0.clone()).collect();
    assert!(entries.len() == 31 && unique(&rounds), "{} entries", entries.len());
    assert!(f.agent_command("s-1", &["releases", "verify"]).status.success());
    let spent: u64 = entries.iter().map(|e| e.1).sum();
    assert!(spent <= 20_000_000, "the study's cap holds: {spent}");
}
