//! What leaves beside the noised lanes does not depend on rows: two hospitals, one with eight times the other's patients, say the same
//! to the byte, but for who they are, when it was, and hashes of the noised lanes.

use serde_json::{Value, json};

use crate::harness::{COUNT, Federation, MODEL, array, study, text};

/// Who, when, and hashes of what holds noise.
const OWN: &[&str] =
    &["id", "site", "name", "serial", "release", "payload_hash", "previous", "at_micros", "sealed_micros"];

/// The value without what is a site's own.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(k, _)| !OWN.contains(&k.as_str()));
            Value::Object(kept.map(|(k, v)| (k.clone(), stripped(v))).collect())
        }
        Value::Array(items) => items.iter().map(stripped).collect(),
        other => other.clone(),
    }
}

/// Refuses two sites that say different things.
fn same(a: &Value, b: &Value) -> Result<(), String> {
    let (a, b) = (stripped(a), stripped(b));
    if a == b { Ok(()) } else { Err(format!("two sites say different things:\n{a:#}\n{b:#}")) }
}

#[test]
fn two_hospitals_of_any_size_say_the_same() {
    let mut f = Federation::new();
    for (id, patients) in [("s-1", 60), ("s-2", 500)] {
        f.add_site(id, patients, "[approval]\nmode = \"auto\"");
        f.start_agent(id);
    }
    let both = format!("{COUNT}{MODEL}").replace("steps = 8", "steps = 2");
    let out = f.submit(&study("same", "min_sites = 2\ngather_seconds = 30", &both));
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(f.over("same")["state"], "done");
    // What the coordinator knows of each: its state, its entries as they were signed, and the releases in the sums.
    let file = f.path("bundle.json");
    let out = f.coordinator_command(&["study", "bundle", "same", "--out", file.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out));
    let bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let entries = |id: &str| -> Value {
        let proven = array(&bundle["sites"][id], "entries");
        proven.iter().map(|p| serde_json::from_str::<Value>(p["entry"].as_str().unwrap()).unwrap()).collect()
    };
    assert_eq!(entries("s-1").as_array().unwrap().len(), 4, "a count, two steps, an evaluation");
    same(&entries("s-1"), &entries("s-2")).unwrap();
    same(&f.site_status("same", "s-1"), &f.site_status("same", "s-2")).unwrap();
    let released = |id: &str| f.agent_json(id, &["releases", "list"]);
    same(&released("s-1"), &released("s-2")).unwrap();
    // Planted: a count of rows in any of it is found.
    let mut with_rows = released("s-2");
    with_rows[0]["rows"] = json!(500);
    assert!(same(&released("s-1"), &with_rows).is_err());
    let mut cost = entries("s-2");
    cost[1]["cost"]["rho"] = json!(500);
    assert!(same(&entries("s-1"), &cost).is_err());
}
