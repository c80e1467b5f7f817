//! A changed byte of the ledger is found, and then nothing is released.

use crate::harness::{COUNT, Federation, study, text};
use platform::{Durability, RocksStore, Store as _, Transaction};

#[test]
fn a_changed_byte_is_found() {
    let mut f = Federation::new();
    f.sites(&["s-1"]);
    f.submit(&study("one", "min_sites = 1\ngather_seconds = 5", COUNT));
    assert_eq!(f.over("one")["state"], "done");
    f.kill_agent("s-1");
    assert!(f.agent_command("s-1", &["ledger", "verify"]).status.success());
    {
        let store = RocksStore::open(&f.site_home("s-1").join("state/store")).unwrap();
        let (key, value) = store.scan(b"ledger/entry/").unwrap().remove(0);
        let cheaper = String::from_utf8(value).unwrap().replacen("\"rho\":1", "\"rho\":2", 1);
        let mut t = Transaction::new("tamper");
        t.put(key, cheaper.into_bytes());
        store.commit(t, Durability::Synced).unwrap();
    }
    for verb in ["ledger", "releases"] {
        let out = f.agent_command("s-1", &[verb, "verify"]);
        assert!(!out.status.success(), "{}", text(&out));
        assert!(text(&out).contains("entry 1 of the ledger was changed"), "{}", text(&out));
    }
}
