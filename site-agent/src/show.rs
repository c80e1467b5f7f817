//! Answers of commands as text for people.

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

fn when(micros: f64) -> String {
    platform::Micros(micros as i64).to_string()
}

fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

fn none() -> Value {
    Value::Null
}

/// The text of an answer.
pub fn text(command: &Command, value: &Value) -> String {
    let mut out = String::new();
    let empty = none();
    let part = |key: &str| value.get(key).unwrap_or(&empty);
    match command {
        Command::Ingest => {
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
                let _ =
                    writeln!(out, "{:<40} not read: no mapping or format takes it", name.as_str().unwrap_or_default());
            }
            let _ = write!(out, "gold version {}:", text_of(value, "gold_version"));
            for row in list(part("gold_rows")) {
                if let (Some(t), Some(n)) = (row.get(0).and_then(Value::as_str), row.get(1)) {
                    let _ = write!(out, " {t} {n}");
                }
            }
            out.push('\n');
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
            let _ = writeln!(
                out,
                "study {}: ε {} at δ {}, ρ {}; spent {} of {} (study), {} of {} (year), {} of {} (lifetime)",
                text_of(value, "study"),
                text_of(value, "epsilon"),
                text_of(value, "delta"),
                rho(value, "rho"),
                rho(part("spent"), "study"),
                rho(part("caps"), "study"),
                rho(part("spent"), "year"),
                rho(part("caps"), "year"),
                rho(part("spent"), "lifetime"),
                rho(part("caps"), "lifetime"),
            );
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
            for e in list(part("entries")) {
                let r = e.get("round").unwrap_or(&empty);
                let _ = writeln!(
                    out,
                    "{:>6} {} {}/{}/{} ρ {} release {}",
                    text_of(e, "sequence"),
                    when(number(e, "at_micros")),
                    text_of(r, "study"),
                    text_of(r, "analysis"),
                    text_of(r, "round"),
                    rho(e, "rho"),
                    text_of(e, "release").chars().take(12).collect::<String>()
                );
            }
            let caps = part("caps");
            let _ = writeln!(
                out,
                "spent this year ρ {} of {}; ever ρ {} of {}; a study may spend ρ {}",
                rho(value, "year_rho"),
                rho(caps, "year"),
                rho(value, "lifetime_rho"),
                rho(caps, "lifetime"),
                rho(caps, "study")
            );
        }
        Command::LedgerVerify => {
            let _ = writeln!(
                out,
                "the ledger is intact: {} entries, head {}",
                text_of(value, "entries"),
                text_of(value, "head")
            );
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
        Command::Study { .. } | Command::Lake => {
            out = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
        }
    }
    out
}
