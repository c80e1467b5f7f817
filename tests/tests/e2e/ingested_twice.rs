//! Ingesting the same extract again changes nothing; a corrected one replaces the records that it names.

use crate::harness::{Federation, array, rows};

#[test]
fn the_same_bytes_change_nothing() {
    let f = Federation::new();
    f.make_site("s-1", 50, "");
    let first = f.agent_json("s-1", &["ingest"]);
    let again = f.agent_json("s-1", &["ingest"]);
    assert_eq!(first["gold_version"], again["gold_version"]);
    assert_eq!(array(&again, "files")[0]["unchanged"], true);
    // The same patients with another pressure: the same records, revised.
    let changed = rows(50).replace(",100,", ",101,");
    std::fs::write(f.site_home("s-1").join("extract/patients.csv"), changed).unwrap();
    let third = f.agent_json("s-1", &["ingest"]);
    assert!(third["gold_version"].as_u64() > first["gold_version"].as_u64());
    let patients = |v: &serde_json::Value| {
        array(v, "gold_rows").iter().find(|r| r[0] == "patient").map(|r| r[1].as_u64().unwrap()).unwrap()
    };
    assert_eq!((patients(&first), patients(&third)), (50, 50));
}

#[test]
fn no_time_zone_no_start() {
    let f = Federation::new();
    f.make_site("s-1", 5, "");
    let file = f.site_home("s-1").join("site.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("time_zone = \"Europe/Berlin\"\n", "");
    std::fs::write(&file, text).unwrap();
    let out = f.agent_command("s-1", &["ingest"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(crate::harness::text(&out).contains("time_zone = \"Europe/Berlin\""));
}
