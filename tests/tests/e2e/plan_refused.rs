//! An expired, wrong-role or unsigned plan is refused with its reason, and so is one that shows smaller numbers than the site.

use crate::harness::{COUNT, Federation, read_plan, study, text};
use certs::Folder;
use coordinator::analyst;

#[test]
fn expired_and_too_small_cells_are_refused_by_the_site() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    // An expired study is refused before it is signed; a site that is sent one refuses it for itself.
    let late = f.submit(&study("late", "min_sites = 1\ngather_seconds = 5", COUNT).replace("2035-12-31", "2020-01-01"));
    assert_eq!(late.status.code(), Some(3));
    assert!(text(&late).contains("line 5: expires: the study expired on 2020-01-01"), "{}", text(&late));
    let file = f.write_study("study.toml", &study("late", "min_sites = 1", COUNT));
    let mut plan = read_plan(&file);
    plan.study.expires = "2020-01-01".to_owned();
    let (ada, _) = Folder::new(&f.path("ada")).load().unwrap();
    let signed = analyst::sign(&plan, &ada, false).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    assert_eq!(site_agent::policy::verify(&signed, &ada.ca_pem, "test", now).unwrap_err().code, "plan_expired");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        let (mut client, _, _) = analyst::connect(&f.path("ada")).await.unwrap();
        client.submit(signed).await.unwrap_err()
    });
    assert!(refused.message().contains("expired"), "{refused}");

    f.submit(&study("small", "min_sites = 1\ngather_seconds = 5", &format!("{COUNT}[suppression]\nk = 3\n")));
    assert_eq!(f.over("small")["state"], "failed");
    assert_eq!(f.site_status("small", "s-1")["code"], "suppression_below_minimum");

    let costly = study("costly", "min_sites = 1\ngather_seconds = 5", COUNT).replace("epsilon = 0.8", "epsilon = 4");
    f.submit(&costly);
    assert_eq!(f.over("costly")["state"], "failed");
    assert_eq!(f.site_status("costly", "s-1")["code"], "epsilon_above_cap");
}

#[test]
fn a_site_can_not_sign_and_nobody_submits_unsigned() {
    let f = Federation::new();
    f.add_site("s-1", 10, "");
    let file = f.write_study("study.toml", &study("forged", "min_sites = 1", COUNT));
    let plan = read_plan(&file);
    let (site, _) = Folder::new(&f.site_home("s-1").join("state/identity")).load().unwrap();
    let by_site = analyst::sign(&plan, &site, false).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // The site's own connection may not submit at all.
        let (mut client, _, _) = analyst::connect(&f.site_home("s-1").join("state/identity")).await.unwrap();
        let refused = client.submit(by_site.clone()).await.unwrap_err();
        assert!(refused.message().contains("may not do this"), "{refused}");
        // An analyst can't hand in what a site signed, nor what nobody signed.
        let (mut client, ada, _) = analyst::connect(&f.path("ada")).await.unwrap();
        let refused = client.submit(by_site.clone()).await.unwrap_err();
        assert!(refused.message().contains("role site"), "{refused}");
        let mut unsigned = analyst::sign(&plan, &ada, false).unwrap();
        unsigned.signature = Vec::new().into();
        let refused = client.submit(unsigned.clone()).await.unwrap_err();
        assert!(refused.message().contains("signature"), "{refused}");
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let check = |s| site_agent::policy::verify(&s, &ada.ca_pem, "test", now).unwrap_err().code;
        assert_eq!(check(by_site), "wrong_role");
        assert_eq!(check(unsigned), "signature_invalid");
    });
}
