//! Answers of commands as text for people.

mod lake;
mod model;

use std::fmt::Write as _;

use serde_json::Value;

use crate::control::Command;

fn text_of(v: &Value, key: &str) -> String {
    match v.get(key) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn number(v: &Value, key: &str) -> f64 {
    v.get(key).and_then(Value::as_f64).unwrap_or_default()
}

fn rho(v: &Value, key: &str) -> String {
    format!("{:.6}", number(v, key) / 1e9)
}

fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

fn none() -> Value {
    Value::Null
}

/// One line of the ledger in words.
fn disclosure(out: &mut String, d: &Value) {
    let _ = writeln!(out, "{:>5}  {}  {}", text_of(d, "sequence"), text_of(d, "date"), text_of(d, "description"));
    let _ = writeln!(
        out,
        "       to {}; {}, {} {}",
        text_of(d, "recipient"),
        text_of(d, "purpose"),
        text_of(d, "protocol"),
        text_of(d, "title")
    );
    let short: String = text_of(d, "release").chars().take(12).collect();
    let _ = writeln!(
        out,
        "       {}; cost ρ {:.6} (ε {:.3} at δ = 1e-6); release {short}",
        text_of(d, "patients"),
        number(d, "rho"),
        number(d, "epsilon"),
    );
}

/// What became of mapping files.
fn mapping_files(out: &mut String, files: &Value) {
    for f in list(files) {
        let _ = writeln!(
            out,
            "mapping {}: {} codes mapped of {} rows; {} ambiguous, {} expired, {} of another relation, {} unsure, {} unreadable",
            text_of(f, "file"),
            text_of(f, "codes"),
            text_of(f, "rows"),
            text_of(f, "ambiguous"),
            text_of(f, "expired"),
            text_of(f, "other_relation"),
            text_of(f, "unsure"),
            text_of(f, "unreadable")
        );
        for p in f.get("problems").map(list).unwrap_or_default() {
            let _ = writeln!(out, "    line {}: {}", text_of(p, "line"), text_of(p, "detail"));
        }
    }
}

/// The text of an answer.
pub fn text(command: &Command, value: &Value) -> String {
    let mut out = String::new();
    let empty = none();
    let part = |key: &str| value.get(key).unwrap_or(&empty);
    match command {
        Command::Ingest => {
            for p in list(part("pulls")) {
                let _ = writeln!(
                    out,
                    "pulled {}: {} tables, {} chunks of {} rows and {:.1} MiB in {:.0} s; {} chunks were there before",
                    text_of(p, "source"),
                    text_of(p, "tables"),
                    text_of(p, "chunks"),
                    text_of(p, "rows"),
                    number(p, "bytes") / 1_048_576.0,
                    number(p, "seconds"),
                    text_of(p, "chunks_before"),
                );
                for note in list(p.get("notes").unwrap_or(&empty)) {
                    let _ = writeln!(out, "    {}", note.as_str().unwrap_or_default());
                }
            }
            let _ = writeln!(
                out,
                "{:<40} {:>10} {:>10} {:>11} {:>8}",
                "file", "items", "records", "quarantined", "skipped"
            );
            for f in list(part("files")) {
                if f.get("unchanged").and_then(Value::as_bool) == Some(true) {
                    let _ = writeln!(out, "{:<40} unchanged", text_of(f, "file"));
                    continue;
                }
                let _ = writeln!(
                    out,
                    "{:<40} {:>10} {:>10} {:>11} {:>8}",
                    text_of(f, "file"),
                    text_of(f, "items"),
                    text_of(f, "records"),
                    text_of(f, "quarantined"),
                    text_of(f, "skipped")
                );
                if f.get("quarantine").is_some_and(Value::is_string) {
                    let _ = writeln!(out, "    rejected items: {}", text_of(f, "quarantine"));
                }
            }
            for name in list(part("ignored")) {
                let name = name.as_str().unwrap_or_default();
                let _ = writeln!(out, "{name:<40} not read: {}", crate::source::not_read(name));
            }
            for f in list(part("failed")) {
                let _ = writeln!(out, "source '{}' can't be read: {}", text_of(f, "source"), text_of(f, "reason"));
            }
            for name in list(part("empty")) {
                let _ = writeln!(out, "{}", crate::source::nothing_read(name.as_str().unwrap_or_default()));
            }
            for note in list(part("linkage").get("notes").unwrap_or(&empty)) {
                let _ = writeln!(out, "{}", note.as_str().unwrap_or_default());
            }
            mapping_files(&mut out, part("terminology"));
            let _ = write!(out, "gold version {}:", text_of(value, "gold_version"));
            for row in list(part("gold_rows")) {
                if let (Some(t), Some(n)) = (row.get(0).and_then(Value::as_str), row.get(1)) {
                    let _ = write!(out, " {t} {n}");
                }
            }
            out.push('\n');
        }
        Command::Quality => {
            let _ = writeln!(out, "{:<40} {:>10} {:>10} {:>9} {:>10}  state", "check", "rows", "bad", "%", "tolerated");
            for f in list(part("findings")) {
                let pct = f.get("pct").and_then(Value::as_f64).map_or("-".to_owned(), |p| format!("{p:.3}"));
                let _ = writeln!(
                    out,
                    "{:<40} {:>10} {:>10} {:>9} {:>10}  {}",
                    text_of(f, "id"),
                    text_of(f, "rows"),
                    text_of(f, "bad"),
                    pct,
                    text_of(f, "threshold"),
                    text_of(f, "state")
                );
                if ["warn", "fail"].contains(&text_of(f, "state").as_str()) {
                    let _ = writeln!(out, "    {}", text_of(f, "says"));
                }
            }
            let _ = writeln!(out, "gold version {}: {}", text_of(value, "gold_version"), text_of(value, "state"));
        }
        Command::Lookup => {
            let n = |key: &str| text_of(value, key);
            let _ = writeln!(
                out,
                "{} codes to ask for, {} answered, {} new or changed, {} failed; gold version {}",
                n("due"),
                n("answered"),
                n("changed"),
                n("failed"),
                n("gold_version")
            );
            if n("failed") != "0" {
                let _ = writeln!(out, "the last failure: {}", n("reason"));
            }
        }
        Command::Terminology => {
            mapping_files(&mut out, part("files"));
            let _ = writeln!(
                out,
                "{:<14} {:<44} {:>10} {:>10} {:>10}",
                "table", "code system", "rows", "mapped", "patients"
            );
            for c in list(part("coverage")) {
                let _ = writeln!(
                    out,
                    "{:<14} {:<44} {:>10} {:>10} {:>10}",
                    text_of(c, "table"),
                    text_of(c, "system"),
                    text_of(c, "rows"),
                    text_of(c, "mapped"),
                    text_of(c, "patients")
                );
            }
            for s in list(part("sets")) {
                let _ = writeln!(
                    out,
                    "study {} set {} in {}: {} patients, {} of them by a mapped code",
                    text_of(s, "study"),
                    text_of(s, "set"),
                    text_of(s, "table"),
                    text_of(s, "patients"),
                    text_of(s, "by_mapping")
                );
            }
            for u in list(part("unmapped")) {
                let _ = writeln!(
                    out,
                    "not mapped: {} {} {} ({} rows)",
                    text_of(u, "table"),
                    text_of(u, "system"),
                    text_of(u, "code"),
                    text_of(u, "rows")
                );
            }
        }
        Command::Studies => {
            if list(value).is_empty() {
                out.push_str("no study has come yet\n");
            }
            for r in list(value) {
                let _ = writeln!(
                    out,
                    "{:<30} {:<9} ε {:<6} {} {}",
                    text_of(r, "study"),
                    text_of(r, "decision"),
                    text_of(r, "epsilon"),
                    text_of(r, "title"),
                    r.get("objection")
                        .filter(|o| !o.is_null())
                        .map(|o| format!("[{}: {}]", text_of(o, "code"), text_of(o, "reason")))
                        .unwrap_or_default()
                );
            }
        }
        Command::Decide { .. } => {
            let _ = writeln!(out, "{} is {}", text_of(value, "study"), text_of(value, "decision"));
        }
        Command::Preview { .. } => {
            let most = |key: &str| {
                let all = list(part("spent")).iter().filter_map(|b| b.get(1)?.get(key)?.get("rho")?.as_f64());
                format!("{:.6}", all.fold(0.0, f64::max) / 1e9)
            };
            let cap = |key: &str| rho(part("caps").get(key).unwrap_or(&empty), "rho");
            let _ = writeln!(
                out,
                "study {}: ε {} at δ {} for a {}, ρ {}, {} aggregation\n\
                 spent of the most used year of entry: ρ {} of {} (study), {} of {} (year), {} of {} (lifetime)",
                text_of(value, "study"),
                text_of(value, "epsilon"),
                text_of(value, "delta"),
                text_of(value, "unit"),
                rho(value, "rho"),
                text_of(value, "aggregation"),
                most("study"),
                cap("study"),
                most("year"),
                cap("year"),
                most("lifetime"),
                cap("lifetime"),
            );
            if number(value, "listed_unknown") > 0.0 {
                let _ = writeln!(
                    out,
                    "WARNING: {} ids on your lists of objections and consents are nobody's in the lake (an id written 10006.0 counts twice). \
                     Write each id as docs/codes-and-units.md says; whoever is not found is not heard",
                    text_of(value, "listed_unknown")
                );
            }
            if number(value, "gate_epsilon") > 0.0 {
                let _ = writeln!(out, "beside it, the study's data-quality gate, ε {}", text_of(value, "gate_epsilon"));
            }
            if number(value, "cohort_epsilon") > 0.0 {
                let _ = writeln!(
                    out,
                    "beside it, {} check(s) of a cohort's size, ε {} each",
                    text_of(value, "cohorts"),
                    text_of(value, "cohort_epsilon")
                );
            }
            for a in list(part("analyses")) {
                let _ = writeln!(
                    out,
                    "\n{}: {} round(s), ρ {}",
                    text_of(a, "analysis"),
                    text_of(a, "rounds"),
                    rho(a, "rho")
                );
                for p in list(a.get("parts").unwrap_or(&empty)) {
                    let _ = writeln!(
                        out,
                        "  {}: {} lanes, {} bytes; one patient moves it by {:.4} (L2); noise σ {:.4}, ± {:.4} (95 %)",
                        text_of(p, "name"),
                        text_of(p, "lanes"),
                        text_of(p, "bytes"),
                        number(p, "sensitivity_l2"),
                        number(p, "sigma"),
                        number(p, "half_width")
                    );
                    let shown: Vec<String> = list(p.get("example").unwrap_or(&empty))
                        .iter()
                        .take(12)
                        .map(|v| format!("{:.3}", v.as_f64().unwrap_or_default()))
                        .collect();
                    let _ = writeln!(out, "    an example of what would leave: {}", shown.join(", "));
                    if p.get("suppressed").is_some_and(Value::is_number) {
                        let _ =
                            writeln!(out, "    lanes below the least number of patients: {}", text_of(p, "suppressed"));
                    }
                }
            }
            out.push_str("\nnothing was sent and nothing was spent\n");
        }
        Command::Ledger => {
            for d in list(part("disclosures")) {
                disclosure(&mut out, d);
            }
            if list(part("disclosures")).is_empty() {
                out.push_str("nothing has left and nothing was spent\n");
            }
            let _ = writeln!(
                out,
                "\n{:<10} {:>13} {:>8} {:>11} {:>13} {:>8} {:>11}",
                "entered", "this year ρ", "ε", "left ρ", "ever ρ", "ε", "left ρ"
            );
            for b in list(part("blocks")) {
                let cost = |key: &str| rho(b.get(key).unwrap_or(&empty), "rho");
                let _ = writeln!(
                    out,
                    "{:<10} {:>13} {:>8.3} {:>11} {:>13} {:>8.3} {:>11}",
                    text_of(b, "entered"),
                    cost("year"),
                    number(b, "year_epsilon"),
                    rho(b, "year_left_rho"),
                    cost("lifetime"),
                    number(b, "lifetime_epsilon"),
                    rho(b, "lifetime_left_rho"),
                );
            }
            let caps = part("caps");
            let cap = |key: &str| rho(caps.get(key).unwrap_or(&empty), "rho");
            let _ = writeln!(
                out,
                "caps for each year of entry: a study ρ {}, its first calendar year {}, each later one {}, ever {}; ε is at δ = 1e-6",
                cap("study"),
                cap("year"),
                cap("tranche"),
                cap("lifetime")
            );
            out.push_str(
                "ρ counts Gaussian noise; checks of a cohort's size cost as well, and stand in ε and in what is left\n",
            );
            if let Some(why) = part("halted").as_str() {
                let _ = writeln!(out, "STOPPED: {why}");
            }
        }
        Command::LedgerExport => {
            let _ = writeln!(
                out,
                "{} ({}), {}",
                text_of(value, "hospital"),
                text_of(value, "site"),
                text_of(value, "written")
            );
            let _ = writeln!(out, "{}\n", text_of(value, "statement"));
            for d in list(part("disclosures")) {
                disclosure(&mut out, d);
            }
            let _ = writeln!(out, "{} entries, head {}", text_of(value, "entries"), text_of(value, "head"));
        }
        Command::LedgerRecover { .. } => {
            let (n, all) = (text_of(value, "recovered"), text_of(value, "entries"));
            let _ = writeln!(out, "{n} entries were taken in; the ledger has {all} and the agent may go on");
        }
        Command::Keys => {
            let _ = writeln!(out, "{:<12} {}  (this site)", text_of(value, "site"), text_of(value, "fingerprint"));
            for (site, fingerprint) in part("pinned").as_object().into_iter().flatten() {
                let _ = writeln!(out, "{site:<12} {}", fingerprint.as_str().unwrap_or_default());
            }
        }
        Command::Pin { site, fingerprint, .. } => {
            let done = if fingerprint.is_some() { "is pinned" } else { "is no longer pinned" };
            let _ = writeln!(out, "the identity of {site} {done}");
        }
        Command::LedgerVerify => {
            let _ = writeln!(
                out,
                "the ledger is intact: {} entries, head {}",
                text_of(value, "entries"),
                text_of(value, "head")
            );
            let _ = match value.get("cosigned").filter(|c| !c.is_null()) {
                Some(c) => writeln!(
                    out,
                    "the coordinator has signed it up to entry {} ({}), with the key {}",
                    text_of(c, "entries"),
                    text_of(c, "signed"),
                    text_of(c, "coordinator")
                ),
                None => writeln!(out, "the coordinator has not signed it yet"),
            };
        }
        Command::Releases => {
            for r in list(value) {
                let m = r.get("manifest").unwrap_or(&empty);
                let round = m.get("round").unwrap_or(&empty);
                let _ = writeln!(
                    out,
                    "{} {:<12} {}/{}/{} ρ {} payload {}",
                    text_of(r, "id").chars().take(12).collect::<String>(),
                    text_of(r, "state"),
                    text_of(round, "study"),
                    text_of(round, "analysis"),
                    text_of(round, "round"),
                    rho(m, "rho_nano"),
                    text_of(m, "payload_hash").chars().take(12).collect::<String>()
                );
            }
        }
        Command::ReleasesVerify => {
            let _ = writeln!(out, "{} release(s) fit the ledger and their bytes", text_of(value, "verified"));
        }
        Command::Streams { ask } => ask.text(value, &mut out),
        Command::Lake => out = lake::text(value),
        Command::Predict { .. } => out = model::predicted(value),
        Command::Tune { .. } => out = model::tuned(value),
        Command::Study { .. } => {
            out = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
        }
    }
    out
}
