//! Secure aggregation over real processes: the coordinator gets the sum with the error of one central holder; a site that is
//! killed in the middle is left out; a site whose key was not pinned keeps others from a round with it.

use crate::harness::{COUNT, Federation, MODEL, array, ledger, study, text, unique};

fn secure(id: &str, head: &str) -> String {
    study(id, head, COUNT).replace("epsilon = 0.8", "epsilon = 0.8\naggregation = \"secure\"")
}

#[test]
fn the_sum_is_right_and_its_noise_is_shared() {
    let mut f = Federation::new();
    let ids = ["s-1", "s-2", "s-3", "s-4"];
    for id in ids {
        f.add_site(id, 500, "[approval]\nmode = \"auto\"\n[aggregation]\nmode = \"secure\"");
    }
    f.pin(&ids);
    ids.iter().for_each(|id| f.start_agent(id));
    let out = f.submit(&secure("sum", "min_sites = 4\ngather_seconds = 30"));
    assert!(out.status.success(), "{}", text(&out));
    let status = f.over("sum");
    assert_eq!(status["state"], "done", "{status:#}");
    let (estimates, provenance) = f.results("sum");
    assert_eq!(provenance["aggregation"], "secure");
    let row = &estimates["analyses"][0]["estimate"]["rows"][0];
    let (n, se) = (row["estimate"].as_f64().unwrap(), row["dp_se"].as_f64().unwrap());
    // σ at one central holder is about 5.2 at ε 0.8; four sites, a threshold of three: √(4/3) of it. Local noise has twice it.
    assert!((4.0..8.0).contains(&se), "{row}");
    assert!((n - 2_000.0).abs() < 6.0 * se, "{row}");
    for id in ids {
        let entries = array(&f.agent_json(id, &["ledger", "show"]), "entries").clone();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["kind"], "secure-release");
        assert!(f.agent_command(id, &["releases", "verify"]).status.success());
    }
    // What the sums hold is in the ledgers that the sites signed, offline.
    let bundle = f.path("bundle.json");
    let file = bundle.to_str().unwrap();
    let out = f.coordinator_command(&["study", "bundle", "sum", "--out", file]);
    assert!(out.status.success(), "{}", text(&out));
    let verified = f.agent_json("s-1", &["releases", "verify", "--bundle", file]);
    assert_eq!(verified["merged"], 4, "{verified:#}");
    let changed = std::fs::read_to_string(&bundle).unwrap().replacen("\\\"rho\\\":1", "\\\"rho\\\":2", 1);
    std::fs::write(&bundle, changed).unwrap();
    let out = f.coordinator_command(&["releases", "verify", file]);
    assert!(!out.status.success() && text(&out).contains("not in the ledger that was signed"), "{}", text(&out));
}

#[test]
fn a_site_that_others_have_not_pinned_is_not_masked_with() {
    let mut f = Federation::new();
    let ids = ["s-1", "s-2", "s-3"];
    for id in ids {
        f.add_site(id, 60, "[approval]\nmode = \"auto\"");
    }
    f.pin(&ids[..2]);
    ids.iter().for_each(|id| f.start_agent(id));
    assert!(f.submit(&secure("stranger", "min_sites = 3\ngather_seconds = 30")).status.success());
    let status = f.over("stranger");
    assert_eq!(status["state"], "failed", "{status:#}");
    let said = status.to_string();
    assert!(said.contains("has not pinned the identity keys"), "{said}");
    assert!(ids.iter().all(|id| ledger(&f, id).is_empty()), "nobody has paid");
}

/// Killed with −9 again and again in the middle of secure rounds: no attempt is charged twice, and the study comes to its end or
/// fails openly, within the reruns that its plan allows.
#[test]
fn agents_and_coordinator_killed_in_secure_rounds_charge_no_attempt_twice() {
    let mut f = Federation::new();
    let ids = ["s-1", "s-2", "s-3", "s-4"];
    for id in ids {
        f.add_site(id, 200, "[approval]\nmode = \"auto\"\n[budget]\nstudy_rho = 0.1");
    }
    f.pin(&ids);
    ids.iter().for_each(|id| f.start_agent(id));
    let text_of = study("mortal", "min_sites = 3\ngather_seconds = 30\ndeadline_seconds = 8\nattempts = 9", MODEL)
        .replace("epsilon = 0.8", "epsilon = 0.8\naggregation = \"secure\"\nreruns = 6");
    assert!(f.submit(&text_of).status.success());
    for (pause, whole) in [(150, false), (40, true), (90, false), (60, false), (120, true)] {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        if whole {
            f.kill_coordinator();
            f.start_coordinator();
        } else {
            f.kill_agent("s-1");
            f.start_agent("s-1");
        }
    }
    let status = f.over("mortal");
    assert_eq!(status["state"], "done", "{status:#}");
    for id in ids {
        let shown = f.agent_json(id, &["ledger", "show"]);
        let attempts: Vec<String> =
            array(&shown, "entries").iter().map(|e| format!("{}/{}", e["round"], e["attempt"])).collect();
        assert!(unique(&attempts), "{attempts:?}");
        assert!(f.agent_command(id, &["releases", "verify"]).status.success());
    }
    let (_, provenance) = f.results("mortal");
    println!("burned: {}", provenance["burned"]);
}
