//! Settings as a hospital writes them.

use super::JobSettings;

fn parse(text: &str) -> JobSettings {
    toml::from_str(text).unwrap()
}

#[test]
fn settings_are_checked_by_name() {
    let good = "name = \"labs\"\ntable = \"measurement\"\ntell = \"counts\"\ngroup = \"std_code\"\nvalue = \"value_std\"\nwindow = \"24h\"\nstep = \"1h\"\n";
    assert_eq!(parse(good).objection(), None);
    for (from, to, says) in [
        ("\"labs\"", "\"La bs\"", "`name`"),
        ("measurement", "measurements", "no table 'measurements'"),
        ("\"std_code\"", "\"value_num\"", "`group`"),
        ("\"value_std\"", "\"code\"", "`value`"),
        ("\"24h\"", "\"a day\"", "no length of time"),
        ("\"1h\"", "\"7h\"", "whole multiple"),
        ("window = \"24h\"\n", "", "needs `window`"),
        ("\"counts\"", "\"sessions\"", "needs `gap`"),
        ("\"counts\"", "\"followed\"", "needs `then` and `within`"),
        ("\"counts\"", "\"counts\"\nthen = \"measurement\"", "`then` does nothing"),
        ("window = \"24h\"", "shards = 0\nwindow = \"24h\"", "`shards`"),
        ("window = \"24h\"", "remembered = \"1h\"\nwindow = \"24h\"", "`remembered`"),
        ("\"counts\"", "\"eras\"\ngap = \"30d\"", "do not last"),
        ("\"counts\"", "\"counts\"\nmost = 3\nlateness = \"1h\"", "told once"),
        ("\"counts\"", "\"counts\"\nforget = \"9d\"", "`forget` does nothing"),
    ] {
        let said = parse(&good.replace(from, to)).objection().unwrap_or_default();
        assert!(said.contains(says), "{to}: {said}");
    }
}

#[test]
fn totals_are_told_by_one_trigger() {
    let good = "name = \"all\"\ntable = \"visit\"\ntell = \"totals\"\nevery_rows = 100\nforget = \"365d\"\n";
    assert_eq!(parse(good).objection(), None);
    assert!(parse(good).made_of().contains("every_rows 100 forget 365d"), "{}", parse(good).made_of());
    for (from, to, says) in [
        ("every_rows = 100", "every_rows = 100\nwindow = \"1h\"", "needs `window`, `every_rows` or `every_sum`"),
        ("every_rows = 100\n", "", "needs `window`, `every_rows` or `every_sum`"),
        ("every_rows = 100", "every_rows = 0", "`every_rows` must"),
        ("every_rows = 100", "every_sum = 0.0", "`every_sum` must"),
        ("365d", "0d", "`forget` must"),
    ] {
        let said = parse(&good.replace(from, to)).objection().unwrap_or_default();
        assert!(said.contains(says), "{to}: {said}");
    }
}
