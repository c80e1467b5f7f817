//! The demo, in small: it ends, most intervals hold the truth, and nothing is left behind.

use std::process::Command;

use crate::harness::{program, run, text};

/// About 37 intervals of 95 %, fewer where noise withholds some; of 22, fewer than 60 % inside has a chance below 1e-6 where they are right.
#[test]
fn eight_hospitals() {
    let dir = tempfile::tempdir().unwrap();
    let mut c = Command::new(program("simulator"));
    c.args(["demo", "--json", "--sites", "8", "--patients", "150", "--out"]).arg(dir.path().join("out"));
    let out = run(c);
    assert!(out.status.success(), "{}", text(&out));
    let v: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let (covered, compared) = (v["covered"].as_u64().unwrap(), v["compared"].as_u64().unwrap());
    assert!(compared >= 22, "{compared} compared");
    assert!(covered * 5 >= compared * 3, "{covered} of {compared}");
    assert!(dir.path().join("out/report.html").is_file());
}
