//! A release that is asked for again is the same bytes, and costs nothing.

use crate::harness::{Federation, MODEL, array, ledger, study, until};

#[test]
fn a_coordinator_that_lost_a_release_gets_the_same_bytes() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    // The second site is so large that the first one's release waits in the coordinator's memory.
    f.add_site("s-2", 200_000, "[approval]\nmode = \"auto\"");
    f.start_agent("s-2");
    let text = study("again", "min_sites = 2\ngather_seconds = 30", MODEL).replace("steps = 8", "steps = 1");
    assert!(f.submit(&text).status.success());
    until("the first site has sealed", || !ledger(&f, "s-1").is_empty());
    let before = ledger(&f, "s-1");
    assert!(
        !f.read_log("coordinator.log").contains("checkpointed"),
        "the release was made durable too soon for this test"
    );
    f.kill_coordinator();
    f.start_coordinator();
    assert_eq!(f.over("again")["state"], "done");
    assert_eq!(ledger(&f, "s-1").len(), 2, "one charge a round");
    assert_eq!(ledger(&f, "s-1")[..1], before[..], "the same release");
    let (_, provenance) = f.results("again");
    let releases = array(&provenance["rounds"][0], "releases");
    let own = releases.iter().find(|r| r["site"] == "s-1").unwrap();
    assert_eq!(own["release"], before[0].2);
    until("it is acknowledged", || f.agent_json("s-1", &["releases", "list"])[0]["state"] == "acknowledged");
    assert!(f.agent_command("s-1", &["releases", "verify"]).status.success());
}
