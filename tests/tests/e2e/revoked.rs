//! A revoked site is cut off at once, its open stream included, and the others are not touched.

use crate::harness::{COUNT, Federation, study, until};

#[test]
fn cut_off_at_once() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2", "s-bad"]);
    f.submit(&study("before", "min_sites = 3\ngather_seconds = 30", COUNT));
    assert_eq!(f.over("before")["state"], "done");
    let log = f.read_log("s-1.log");
    assert!(log.contains("X25519MLKEM768") && log.contains("TLSv1_3"), "{log}");
    let connections = f.read_log("s-1.log").matches("welcomed").count();

    let out = f.coordinator_command(&["site", "revoke", "s-bad"]);
    assert!(out.status.success());
    until("the stream is cut", || f.read_log("s-bad.log").contains("the coordinator ended the stream"));
    until("it can't come back", || f.read_log("coordinator.log").contains("Revoked"));
    f.submit(&study("after", "min_sites = 2\ngather_seconds = 5", COUNT));
    assert_eq!(f.over("after")["state"], "done");
    assert!(f.site_status("after", "s-bad").is_null(), "a revoked site is not asked");
    assert_eq!(f.read_log("s-1.log").matches("welcomed").count(), connections, "the others' streams stayed up");
}
