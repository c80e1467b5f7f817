//! Certificates renew by themselves, at the site and at the coordinator, without a restart.

use std::time::Duration;

use crate::harness::{COUNT, Federation, study, until};

#[test]
fn a_short_lived_certificate_is_replaced_in_time() {
    let mut f = Federation::with(&["--certificate-seconds", "20"]);
    f.sites(&["s-1"]);
    let serial = |f: &Federation| {
        let (identity, _) = certs::Folder::new(&f.site_home("s-1").join("state/identity")).load().unwrap();
        identity.peer().unwrap().serial
    };
    let first = serial(&f);
    until("the site has a new certificate", || serial(&f) != first);
    until("the coordinator has too", || {
        f.read_log("coordinator.log").contains("the coordinator's certificate was renewed")
    });
    std::thread::sleep(Duration::from_secs(2));
    // Ada's certificate was as short: she renews with a new invitation, the site needed nobody.
    let again = f.path("ada-again.txt");
    f.coordinator_command(&["analyst", "invite", "ada", "--out", again.to_str().unwrap()]);
    f.coordinator_command(&["analyst", "enroll", again.to_str().unwrap()]);
    f.submit(&study("renewed", "min_sites = 1\ngather_seconds = 5", COUNT));
    assert_eq!(f.over("renewed")["state"], "done");
}
