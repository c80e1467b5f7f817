//! A state folder from a backup is noticed: the coordinator has seen more of the ledger, and the agent stops until the missing
//! entries are back.

use crate::harness::{COUNT, Federation, ledger, study, text, until};

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn an_old_ledger_stops_the_agent_and_the_coordinators_copy_brings_it_back() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    let one =
        |id: &str| study(id, "min_sites = 1\ngather_seconds = 5", COUNT).replace("epsilon = 0.8", "epsilon = 0.3");
    f.submit(&one("first"));
    assert_eq!(f.over("first")["state"], "done");
    f.kill_agent("s-1");
    let (store, backup) = (f.site_home("s-1").join("state/store"), f.path("backup"));
    copy(&store, &backup);
    f.start_agent("s-1");
    let other = one("second")
        .replace("entry = { table = \"patient\" }", "entry = { table = \"patient\" }\ninclusion = [{ sex = [\"F\"] }]");
    f.submit(&other);
    assert_eq!(f.over("second")["state"], "done");
    until("the second entry is anchored", || {
        let out = f.coordinator_json(&["site", "ledger", "s-1"]);
        out["entries"].as_array().is_some_and(|e| e.len() == 2)
    });
    f.kill_agent("s-1");
    std::fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    f.start_agent("s-1");
    until("the agent notices", || f.read_log("s-1.log").contains("it is an old copy"));
    f.submit(&one("third").replace(
        "entry = { table = \"patient\" }",
        "entry = { table = \"patient\" }\ninclusion = [{ sex = [\"M\"] }]",
    ));
    assert_eq!(f.over("third")["state"], "failed", "nothing is released from an old ledger");
    assert_eq!(ledger(&f, "s-1").len(), 1);
    let file = f.path("s-1.json");
    let out = f.coordinator_command(&["site", "ledger", "s-1", "--out", file.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out));
    let out = f.agent_command("s-1", &["ledger", "recover", file.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(ledger(&f, "s-1").len(), 2);
}
