//! A site whose data don't pass a study's gate is left out with its reason, before anything else is asked of it.

use crate::harness::{COUNT, Federation, array, rows, study, text};

const GATE: &str = "[dq_gate]\nepsilon = 0.2\nrequire = { unknown_sex_pct = 20, no_birth_year_pct = 50 }\n";

/// Three sites in order, and one that knows nobody's sex.
fn federation() -> Federation {
    let mut f = Federation::new();
    for id in ["s-1", "s-2", "s-3", "worse"] {
        f.make_site(id, 400, "[approval]\nmode = \"auto\"");
        if id == "worse" {
            let file = f.site_home(id).join("extract/patients.csv");
            std::fs::write(file, rows(400).replace(",m,", ",,").replace(",f,", ",,")).unwrap();
        }
        f.enroll(id);
        f.start_agent(id);
    }
    f
}

#[test]
fn a_site_that_fails_is_left_out_and_pays_for_the_gate_alone() {
    let f = federation();
    f.pin(&["s-1", "s-2", "s-3", "worse"]);
    let head = "min_sites = 3\ngather_seconds = 10";
    let out = f.submit(&study("local", head, &format!("{GATE}{COUNT}")).replace("epsilon = 0.8", "epsilon = 0.4"));
    assert!(out.status.success(), "{}", text(&out));
    let over = f.over("local");
    assert_eq!(over["state"], "done", "{over:#}");
    let refused = f.site_status("local", "worse");
    assert_eq!(refused["code"], "quality_gate", "{refused}");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("unknown_sex_pct of 20 %: fail"), "{reason}");
    assert!(reason.contains("no_birth_year_pct of 50 %: pass"), "{reason}");

    // Secure sums: it is left out before it joins, so that no attempt breaks.
    let secure = study("secure", head, &format!("{GATE}{COUNT}"));
    let secure = secure.replace("epsilon = 0.8", "epsilon = 0.3\naggregation = \"secure\"");
    let out = f.submit(&secure);
    assert!(out.status.success(), "{}", text(&out));
    let over = f.over("secure");
    assert_eq!(over["state"], "done", "{over:#}");
    assert_eq!(f.site_status("secure", "worse")["code"], "quality_gate");

    let kinds = |site: &str| {
        let shown = f.agent_json(site, &["ledger", "show"]);
        array(&shown, "entries").iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The second study's gate is the same question of the same data: it has the same answer for nothing.
    assert_eq!(kinds("worse"), ["quality-check"]);
    assert_eq!(kinds("s-1"), ["quality-check", "release", "secure-release"]);
    assert!(f.agent_command("s-1", &["releases", "verify"]).status.success());
    let export = f.agent_json("worse", &["ledger", "export"]);
    let line = &array(&export, "disclosures")[0];
    assert!(line["description"].as_str().unwrap().contains("quality"), "{line}");
    let preview = f.agent_json("s-1", &["preview", "local"]);
    assert_eq!(preview["gate_epsilon"], 0.2, "{preview}");
}

#[test]
fn a_gate_that_asks_for_what_there_is_not_is_refused_with_its_line() {
    let f = Federation::new();
    let wrong = "[dq_gate]\nrequire = { unmaped_drug_pct = 5, unit_mix_pct = 5, no_unit_pct = 101 }\n";
    let out = f.submit(&study("wrong", "min_sites = 3", &format!("{wrong}{COUNT}")));
    assert_eq!(out.status.code(), Some(3));
    let said = text(&out);
    for part in [
        "'unmaped_drug_pct' is no check",
        "unmapped_drug_pct",
        "'unit_mix_pct' is not about patients' rows",
        "between 0 and 100",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
