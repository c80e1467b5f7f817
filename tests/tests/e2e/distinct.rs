//! Distinct patients across hospitals: who was at two of them counts once, though no hospital knows of another's patients.

use std::fmt::Write as _;

use crate::harness::{Federation, ledger, study, text};
use crate::linkage::{custodian, hand_over, json};

const DISTINCT: &str = "[[analysis]]\nkind = \"distinct\"\n";

/// Four hospitals of 400, of whom each shares 100 with the next: 1,300 persons and 1,600 patients. Each writes ids in its own way.
fn federation() -> (Federation, [&'static str; 4]) {
    let f = Federation::new();
    let made = custodian(&f, &["init", "--federation", "test", "--json"]);
    let print = json(&made)["fingerprint"].as_str().unwrap().to_owned();
    let ids = ["s-1", "s-2", "s-3", "s-4"];
    let caps = "[approval]\nmode = \"auto\"\n[budget]\nstudy_rho = 40\nyear_rho = 400\nlifetime_rho = 400";
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
        .replace("epsilon = 0.8", "epsilon = 30\naggregation = \"secure\"")
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
    // 1,300 within 5 standard errors (of 22 here), and not the 1,600 of a plain sum: false alarm 1e-6.
    assert!((n - 1_300.0).abs() < 5.0 * se && n + 2.0 * se < 1_600.0, "{row}");
    assert!(row["note"].as_str().unwrap().contains("experimental"), "{row}");
    for id in ids {
        let entries = ledger(&f, id);
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert!(f.agent_command(id, &["releases", "verify"]).status.success());
    }
    let preview = f.agent_json("s-1", &["preview", "distinct"]);
    assert_eq!(preview["analyses"][0]["parts"][0]["lanes"], 98_304, "{preview:#}");
    // With local noise there is no such study.
    let local = f.submit(&plan("plain", DISTINCT).replace("aggregation = \"secure\"", ""));
    assert!(!local.status.success() && text(&local).contains("in secure rounds alone"), "{}", text(&local));
}

/// Of a study that is over: its state, what is said of a site, and how many charges stand in that site's ledger.
fn ended(f: &Federation, study: &str, of: &str) -> (String, String, usize) {
    let status = f.over(study);
    let site = status["sites"].as_array().unwrap().iter().find(|s| s["id"] == of).unwrap();
    let word = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    (word(&status["state"]), word(&site["code"]), ledger(f, of).len())
}

#[test]
fn sites_of_another_key_or_none_are_left_out_and_pay_nothing() {
    let (mut f, ids) = federation();
    ids.iter().for_each(|id| f.start_agent(id));
    let ask = |id: &str, anew: &[&str]| {
        let file = f.write_study("study.toml", &plan(id, DISTINCT));
        f.coordinator_command(&[&["study", "submit", file.to_str().unwrap()], anew].concat())
    };
    assert!(ask("keyless", &[]).status.success());
    assert_eq!(ended(&f, "keyless", "s-4"), ("done".into(), "linkage_key_differs".into(), 0));
    // A new key that has come to one hospital: a person of two would be counted twice, and the sum would say what the tags are of.
    let print = json(&custodian(&f, &["show", "--json"]))["fingerprint"].as_str().unwrap().to_owned();
    assert!(custodian(&f, &["rotate"]).status.success());
    let renew = |id: &str| {
        hand_over(&f, id, &print);
        assert!(f.agent_command(id, &["ingest"]).status.success());
    };
    renew("s-4");
    let asked = ask("mixed", &[]);
    assert!(text(&asked).contains("'keyless' has answered this"), "{}", text(&asked));
    assert_eq!(asked.status.code(), Some(1));
    assert!(ask("mixed", &["--anew"]).status.success());
    assert_eq!(ended(&f, "mixed", "s-4"), ("done".into(), "linkage_key_differs".into(), 0));
    assert_eq!(ledger(&f, "s-1").len(), 2);
    // All have it: all are in, without a restart.
    ids.iter().take(3).for_each(|id| renew(id));
    assert!(ask("renewed", &["--anew"]).status.success());
    assert_eq!(ended(&f, "renewed", "s-4"), ("done".into(), String::new(), 1));
    assert_eq!(ledger(&f, "s-1").len(), 3);
}
