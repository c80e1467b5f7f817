//! Approval is by a person unless the site says otherwise; a preview spends nothing; pause holds a study.

use crate::harness::{COUNT, Federation, array, ledger, study, text, until};

#[test]
fn nothing_leaves_before_a_person_agrees() {
    let mut f = Federation::new();
    f.add_site("s-1", 60, "");
    f.start_agent("s-1");
    f.submit(&study("asks", "min_sites = 1\ngather_seconds = 2", COUNT));
    until("the study has come", || f.agent_json("s-1", &["studies", "list"])[0]["decision"] == "pending");
    assert_eq!(f.status("asks")["state"], "waiting");
    let preview = f.agent_json("s-1", &["preview", "asks"]);
    let part = &preview["analyses"][0]["parts"][0];
    assert_eq!(part["lanes"], 1);
    assert!(part["sigma"].as_f64().unwrap() > 1.0);
    assert!(ledger(&f, "s-1").is_empty(), "a preview spends nothing");
    let out = f.agent_command("s-1", &["studies", "approve", "asks", "--by", "Dr. Weber"]);
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(f.over("asks")["state"], "done");
    assert_eq!(f.agent_json("s-1", &["studies", "list"])[0]["decided_by"], "Dr. Weber");
    assert_eq!(ledger(&f, "s-1").len(), 1);
}

#[test]
fn a_refusal_and_a_pause_hold() {
    let mut f = Federation::new();
    f.add_site("s-1", 60, "");
    f.add_site("s-2", 60, "[approval]\nmode = \"auto\"");
    f.start_agent("s-1");
    f.start_agent("s-2");
    f.submit(&study("held", "min_sites = 1\ngather_seconds = 60", COUNT));
    until("the study has come", || !array_of(&f).is_empty());
    assert!(f.agent_command("s-1", &["studies", "refuse", "held", "--reason", "no staff"]).status.success());
    assert_eq!(f.over("held")["state"], "done", "the other site is enough");
    assert_eq!(f.site_status("held", "s-1")["reason"], "no staff");
    assert!(ledger(&f, "s-1").is_empty());
    let out = f.agent_command("s-1", &["studies", "pause", "held"]);
    assert!(!out.status.success() && text(&out).contains("only an approved study can be paused"));
}

fn array_of(f: &Federation) -> Vec<serde_json::Value> {
    let v = serde_json::json!({ "studies": f.agent_json("s-1", &["studies", "list"]) });
    array(&v, "studies").clone()
}
