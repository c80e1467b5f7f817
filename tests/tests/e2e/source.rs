//! A hospital looks at an extract, checks its mapping and rehearses the ingestion; nothing is written until it ingests.

use std::collections::BTreeMap;

use crate::harness::{Federation, array, rows, text};

#[test]
fn what_the_rehearsal_says_is_what_the_ingestion_does() {
    let f = Federation::new();
    f.make_site("s-1", 40, "");
    let home = f.site_home("s-1");
    let bad = rows(40) + "broken row\np-x,f,1950-02-31,120,2023-05-06\n";
    std::fs::write(home.join("extract/patients.csv"), bad).unwrap();
    std::fs::write(home.join("extract/notes.txt"), "not for us").unwrap();

    let profile = f.agent_json("s-1", &["source", "profile", home.join("extract").to_str().unwrap()]);
    let table = array(&profile, "files").iter().find(|t| t["file"] == "patients.csv").unwrap();
    let guesses: BTreeMap<&str, &str> =
        array(table, "columns").iter().map(|c| (c["name"].as_str().unwrap(), c["guess"].as_str().unwrap())).collect();
    assert_eq!((guesses["sex"], guesses["birth"], guesses["sbp"]), ("sex", "date", "whole number"), "{table:#}");
    let birth = array(table, "columns").iter().find(|c| c["name"] == "birth").unwrap();
    assert_eq!(birth["misfits"], 1, "31 February");
    assert_eq!((&table["items"], &table["unreadable"]), (&42.into(), &1.into()));

    let rehearsed = f.agent_json("s-1", &["ingest", "--dry-run"]);
    let file = &array(&rehearsed, "files")[0];
    assert_eq!(rehearsed["ignored"], serde_json::json!(["notes.txt"]));
    assert!(!home.join("state/lake").exists() && !home.join("state/pseudonym.key").exists(), "nothing was written");
    let ingested = f.agent_json("s-1", &["ingest"]);
    let made = &array(&ingested, "files")[0];
    let sum: u64 = file["records"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(sum), made["records"].as_u64(), "{file:#}");
    let rejected: u64 = file["rejected"].as_object().unwrap().values().map(|r| r["items"].as_u64().unwrap()).sum();
    assert_eq!((Some(rejected), rejected > 1), (made["quarantined"].as_u64(), true), "{file:#}");
    assert_eq!(file["units"]["missing"], 0);

    let check = f.agent_command("s-1", &["source", "map", "--check"]);
    assert!(
        check.status.success() && text(&check).contains("rejected, wrong_columns: 1 item(s), the first in line 42"),
        "{}",
        text(&check)
    );
    // A mapping that names a column which is not there is told with its line.
    let mapping = std::fs::read_to_string(home.join("mapping.toml")).unwrap();
    std::fs::write(home.join("mapping.toml"), mapping.replace("\"sbp\"", "\"SBP\"")).unwrap();
    let check = f.agent_command("s-1", &["source", "map", "--check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check).contains("column \"SBP\" is not among"), "{}", text(&check));
    let other = f.agent_command("s-1", &["source", "map", "--check", "--source", "lab"]);
    assert!(text(&other).contains("there is no source 'lab'"), "{}", text(&other));
}

#[test]
fn a_shipped_mapping_is_printed_and_a_draft_is_written_once() {
    let f = Federation::new();
    f.make_site("s-1", 40, "");
    let extract = f.site_home("s-1").join("extract");
    let printed = f.agent_command("s-1", &["source", "mapping", "omop"]);
    assert!(printed.status.success() && text(&printed).contains("person_id"), "{}", text(&printed));
    assert!(text(&f.agent_command("s-1", &["source", "mapping", "x"])).contains("there are: omop"));
    let (to, from) = (f.path("draft.toml"), extract.to_str().unwrap());
    let draft = || f.agent_command("s-1", &["source", "profile", from, "--draft", to.to_str().unwrap()]);
    assert!(draft().status.success());
    assert!(std::fs::read_to_string(&to).unwrap().contains("dates = [\"%Y-%m-%d\"]"));
    assert_eq!(draft().status.code(), Some(1), "what is there is not written over");
}

/// One document, with what went wrong in it, and the same exit code for the same folder until the file is read.
#[test]
fn what_cannot_be_read_is_said_once_and_every_time() {
    let f = Federation::new();
    f.make_site("s-1", 40, "");
    std::fs::write(f.site_home("s-1").join("extract/other.csv"), "not,these,columns\n1,2,3\n").unwrap();
    let commands: [&[&str]; 4] = [&["ingest", "--dry-run"], &["ingest"], &["ingest"], &["source", "map", "--check"]];
    for args in commands {
        let all = [&["--json"], args].concat();
        let out = f.agent_command("s-1", &all);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {}", text(&out));
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert!(
            said["error"].as_str().unwrap().contains("other.csv") && said["files"].is_array(),
            "{args:?}: {said:#}"
        );
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(errors.contains("other.csv") && errors.contains("move the file away"), "{args:?}: {errors}");
    }
    std::fs::remove_file(f.site_home("s-1").join("extract/other.csv")).unwrap();
    assert!(f.agent_command("s-1", &["ingest"]).status.success());
    let lake = f.agent_command("s-1", &["lake"]);
    assert!(lake.status.success() && !text(&lake).contains('{') && text(&lake).contains("patient"), "{}", text(&lake));
}
