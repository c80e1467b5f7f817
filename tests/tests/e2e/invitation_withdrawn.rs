//! An invitation that went to the wrong address is taken back before it is used; and a program reads why something failed.

use crate::harness::{Federation, text};

#[test]
fn an_invitation_that_was_taken_back_enrols_nobody() {
    let f = Federation::new();
    f.make_site("s-1", 5, "");
    let file = f.path("s-1.invitation");
    let file = file.to_str().unwrap();
    let invite = || f.coordinator_command(&["site", "invite", "s-1", "--country", "DE", "--out", file]);
    assert!(invite().status.success());
    let withdraw = || f.coordinator_json(&["site", "withdraw", "s-1"])["withdrawn"].as_u64();
    assert_eq!((withdraw(), withdraw()), (Some(1), Some(0)));
    let refused = f.agent_command("s-1", &["--json", "enroll", file]);
    assert_eq!(refused.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert!(said["error"].as_str().unwrap().contains("not known here"), "{said}");
    assert!(text(&refused).contains("site-agent: "), "for people too");
    // A new one works, and can't be taken back once it was used.
    assert!(invite().status.success());
    assert!(f.agent_command("s-1", &["enroll", file]).status.success());
    assert_eq!(withdraw(), Some(0));
}
