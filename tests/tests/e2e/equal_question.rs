//! An equal question of another study is answered with the bytes of the first, for nothing.

use crate::harness::{COUNT, Federation, array, study, text};

#[test]
fn the_second_study_costs_nothing_and_says_the_same() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    let head = "min_sites = 1\ngather_seconds = 5";
    let first = study("first", head, COUNT);
    let again = study("again", head, COUNT).replace("epsilon = 0.8", "epsilon = 0.4");
    let finer = study("finer", head, COUNT).replace("epsilon = 0.8", "epsilon = 0.82");
    let mut numbers = Vec::new();
    for (id, content) in [("first", first), ("again", again), ("finer", finer)] {
        let out = f.submit(&content);
        assert!(out.status.success(), "{}", text(&out));
        assert_eq!(f.over(id)["state"], "done");
        numbers.push(f.results(id).0["analyses"][0]["estimate"]["rows"][0].clone());
    }
    assert_eq!(numbers[0], numbers[1], "the same bytes, with the same error");
    let shown = f.agent_json("s-1", &["ledger", "show"]);
    let kinds: Vec<&str> = array(&shown, "entries").iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["release", "reuse", "release"], "more precision is paid for");
    assert_eq!(shown["entries"][1]["cost"]["rho"], 0);
    assert!(f.agent_command("s-1", &["releases", "verify"]).status.success());
    let export = f.agent_json("s-1", &["ledger", "export"]);
    let line = &array(&export, "disclosures")[1];
    assert!(line["description"].as_str().unwrap().contains("equal question"), "{line}");
    assert_eq!((line["purpose"].as_str(), line["protocol"].as_str()), (Some("research"), Some("again 1.0.0")));
}
