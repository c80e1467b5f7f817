//! A site refuses when its budget is spent, and says so by name; the others go on.

use crate::harness::{COUNT, Federation, array, ledger, study};

#[test]
fn a_spent_budget_is_a_named_refusal() {
    let mut f = Federation::new();
    f.sites(&["s-1", "s-2"]);
    f.add_site(
        "s-poor",
        60,
        "[approval]\nmode = \"auto\"\n[budget]\nstudy_rho = 0.02\nyear_rho = 0.025\nlifetime_rho = 0.5",
    );
    f.start_agent("s-poor");
    assert!(f.submit(&study("first", "min_sites = 3\ngather_seconds = 5", COUNT)).status.success());
    assert_eq!(f.over("first")["state"], "done");
    assert!(f.submit(&study("second", "min_sites = 2\ngather_seconds = 5", COUNT)).status.success());
    assert_eq!(f.over("second")["state"], "done");
    let poor = f.site_status("second", "s-poor");
    assert_eq!(poor["code"], "budget_spent", "{poor}");
    assert!(poor["reason"].as_str().unwrap().contains("site-year"), "{poor}");
    assert_eq!(ledger(&f, "s-poor").len(), 1);
    let (_, provenance) = f.results("second");
    assert_eq!(array(&provenance["rounds"][0], "releases").len(), 2);
}
