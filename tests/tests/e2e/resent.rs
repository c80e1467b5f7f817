//! A release that is asked for again is the same bytes, and costs nothing.

use crate::harness::{COUNT, Federation, array, ledger, study, until};

#[test]
fn a_coordinator_that_lost_a_release_gets_the_same_bytes() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    // The second site is known but not there: the first one's release waits in memory.
    f.add_site("s-2", 60, "[approval]\nmode = \"auto\"");
    assert!(
        f.submit(&study("again", "min_sites = 1\ngather_seconds = 0\ndeadline_seconds = 4", COUNT)).status.success()
    );
    f.start_agent("s-2");
    until("the first site has sealed", || !ledger(&f, "s-1").is_empty());
    let before = ledger(&f, "s-1");
    f.kill_coordinator();
    f.start_coordinator();
    assert_eq!(f.over("again")["state"], "done");
    assert_eq!(ledger(&f, "s-1"), before, "the same release, one charge");
    let (_, provenance) = f.results("again");
    let releases = array(&provenance["rounds"][0], "releases");
    let own = releases.iter().find(|r| r["site"] == "s-1").unwrap();
    assert_eq!(own["release"], before[0].2);
    until("it is acknowledged", || f.agent_json("s-1", &["releases", "list"])[0]["state"] == "acknowledged");
    assert!(f.agent_command("s-1", &["releases", "verify"]).status.success());
}
