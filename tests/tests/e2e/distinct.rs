//! Distinct patients across hospitals: who was at two of them counts once, though no hospital knows of another's patients.

use std::fmt::Write as _;

use crate::harness::{Federation, ledger, study, text};
use crate::linkage::{custodian, hand_over, json};

const DISTINCT: &str = "[[analysis]]\nkind = \"distinct\"\nbuckets = 16384\n";

/// Four hospitals of 400, of whom each shares 100 with the next: 1,300 persons and 1,600 patients. Each writes ids in its own way.
fn federation() -> (Federation, [&'static str; 4]) {
    let f = Federation::new();
    let made = custodian(&f, &["init", "--federation", "test", "--json"]);
    let print = json(&made)["fingerprint"].as_str().unwrap().to_owned();
    let ids = ["s-1", "s-2", "s-3", "s-4"];
    let caps = "[approval]\nmode = \"auto\"\n[budget]\nstudy_rho = 40\nyear_rho = 80\nlifetime_rho = 400";
    for (n, id) in ids.into_iter().enumerate() {
        f.add_site(id, 5, caps);
        let home = f.site_home(id);
        let mapping = std::fs::read_to_string(home.join("mapping.toml")).unwrap();
        let mapping = mapping.replace("birth = {", "linkage = { column = \"nr\" }\nbirth = {");
        std::fs::write(home.join("mapping.toml"), mapping).unwrap();
        let mut rows = "id,sex,birth,sbp,day,nr\n".to_owned();
        for person in n * 300..n * 300 + 400 {
            let nr = if n % 2 == 0 { format!("DE-{person:06}") } else { format!("de {person:06} ") };
            writeln!(rows, "p{n}-{person},f,1950-01-02,120,2023-05-06,{nr}").unwrap();
        }
        std::fs::write(home.join("extract/patients.csv"), rows).unwrap();
        if id != "s-4" {
            hand_over(&f, id, &print);
            assert!(f.agent_command(id, &["ingest"]).status.success());
        }
    }
    f.pin(&ids);
    (f, ids)
}

fn plan(id: &str, analyses: &str) -> String {
    study(id, "min_sites = 3\ngather_seconds = 30", analyses)
        .replace("epsilon = 0.8", "epsilon = 12\naggregation = \"secure\"")
}

#[test]
fn who_was_at_two_hospitals_counts_once() {
    let (mut f, ids) = federation();
    let print = json(&custodian(&f, &["show", "--json"]))["fingerprint"].as_str().unwrap().to_owned();
    hand_over(&f, "s-4", &print);
    assert!(f.agent_command("s-4", &["ingest"]).status.success());
    ids.iter().for_each(|id| f.start_agent(id));
    let out = f.submit(&plan("distinct", DISTINCT));
    assert!(out.status.success(), "{}", text(&out));
    let status = f.over("distinct");
    assert_eq!(status["state"], "done", "{status:#}");
    let (estimates, _) = f.results("distinct");
    let row = &estimates["analyses"][0]["estimate"]["rows"][0];
    let (n, se) = (row["estimate"].as_f64().unwrap(), row["se"].as_f64().unwrap());
    // 1,300 within 5 standard errors (of some 36), and not the 1,600 of a plain sum: false alarm 1e-6.
    assert!((n - 1_300.0).abs() < 5.0 * se && n + 2.0 * se < 1_600.0, "{row}");
    assert!(row["note"].as_str().unwrap().contains("experimental"), "{row}");
    for id in ids {
        let entries = ledger(&f, id);
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert!(f.agent_command(id, &["releases", "verify"]).status.success());
    }
    let preview = f.agent_json("s-1", &["preview", "distinct"]);
    assert_eq!(preview["analyses"][0]["parts"][0]["lanes"], 393_216, "{preview:#}");
    // With local noise there is no such study.
    let local = f.submit(&plan("plain", DISTINCT).replace("aggregation = \"secure\"", ""));
    assert!(!local.status.success() && text(&local).contains("in secure rounds alone"), "{}", text(&local));
}

#[test]
fn a_site_without_the_key_is_a_named_refusal() {
    let (mut f, ids) = federation();
    ids.iter().for_each(|id| f.start_agent(id));
    assert!(f.submit(&plan("keyless", DISTINCT)).status.success());
    let status = f.over("keyless");
    let site = status["sites"].as_array().unwrap().iter().find(|s| s["id"] == "s-4").unwrap();
    assert_eq!(site["code"], "no_linkage_tags", "{status:#}");
    assert!(ledger(&f, "s-4").is_empty(), "it paid for nothing");
}
