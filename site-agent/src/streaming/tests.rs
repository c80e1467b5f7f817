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
    ] {
        let said = parse(&good.replace(from, to)).objection().unwrap_or_default();
        assert!(said.contains(says), "{to}: {said}");
    }
}
