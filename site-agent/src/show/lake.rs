//! What is in the lake, for people: gold's rows, the files that were read, and the feeds.

use std::fmt::Write as _;

use serde_json::Value;

use super::{list, number, text_of};

/// The text of `site-agent lake`.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value.get("gold").filter(|gold| gold.is_object()) {
        None => out.push_str("nothing was ingested yet; run site-agent ingest\n"),
        Some(gold) => {
            let _ = writeln!(out, "gold {}, of schema {}", text_of(gold, "version"), text_of(gold, "schema"));
            for row in gold.get("rows").map(list).unwrap_or_default() {
                if let [table, rows] = list(row) {
                    let _ = writeln!(out, "    {:<24} {rows:>12} row(s)", table.as_str().unwrap_or_default());
                }
            }
        }
    }
    let files = value.get("files").map(list).unwrap_or_default();
    if !files.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<40} {:>6} {:>10} {:>10} {:>11} {:>8}",
            "file", "run", "items", "records", "quarantined", "skipped"
        );
    }
    for f in files {
        let _ = writeln!(
            out,
            "{:<40} {:>6} {:>10} {:>10} {:>11} {:>8}",
            format!("{} / {}", text_of(f, "source"), text_of(f, "file")),
            text_of(f, "run"),
            text_of(f, "items"),
            text_of(f, "records"),
            text_of(f, "quarantined"),
            text_of(f, "skipped")
        );
        if f.get("quarantine").is_some_and(Value::is_string) {
            let _ = writeln!(out, "    rejected items: {}", text_of(f, "quarantine"));
        }
    }
    for (name, counts) in value.get("feeds").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(
            out,
            "\nfeed {name}: {} connection(s), {} message(s) stored",
            number(counts, "connections"),
            number(counts, "stored")
        );
        for (answer, n) in counts.get("answers").and_then(Value::as_object).into_iter().flatten() {
            let _ = writeln!(out, "    {answer:<12} {n:>10} answer(s)");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_lake_in_words() {
        assert!(super::text(&json!({ "gold": null, "files": [], "feeds": {} })).contains("nothing was ingested yet"));
        let all = json!({
            "gold": { "version": 3, "schema": "1.2.0", "rows": [["patient", 7], ["visit", 9]] },
            "files": [{ "source": "his", "file": "a.hl7", "run": 1, "items": 4, "records": 9, "quarantined": 1, "skipped": 0,
                        "quarantine": "quarantine/1.jsonl" }],
            "feeds": { "live": { "connections": 1, "stored": 2, "answers": { "AA": 2 } } },
        });
        let text = super::text(&all);
        for part in [
            "gold 3, of schema 1.2.0",
            "patient",
            "his / a.hl7",
            "quarantine/1.jsonl",
            "feed live: 1 connection(s), 2 message(s) stored",
            "AA",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('{'));
    }
}
