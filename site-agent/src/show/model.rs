//! What a model said, or what became of it, for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{list, number, text_of};

/// Says of every such command where its answer is.
const HERE: &str = "nothing left this site, and nothing was charged";

/// The text of `site-agent model predict`.
pub(super) fn predicted(value: &Value) -> String {
    let mut out = String::new();
    let n = |key: &str| text_of(value, key);
    let missing = value.get("missing").and_then(Value::as_object);
    for (name, lacking) in missing.into_iter().flatten().filter(|(_, n)| n.as_u64() != Some(0)) {
        let _ = writeln!(out, "{lacking} of {} patients lack '{name}'", n("patients"));
    }
    let lacks: Vec<&str> = value.get("lacks").map(list).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    if !lacks.is_empty() {
        let _ = writeln!(
            out,
            "the model can't be used here: nobody in the cohort '{}' has {}; see site-agent terminology for codes that are not mapped",
            n("cohort"),
            lacks.join(", ")
        );
        return out;
    }
    let _ = writeln!(
        out,
        "{} of {} patients of the cohort '{}' foretold ({}); written to {}",
        n("foretold"),
        n("patients"),
        n("cohort"),
        n("outcome"),
        n("written")
    );
    let _ = writeln!(out, "{HERE}; the keys stand for patients of this site: keep the file here");
    out
}

/// The text of `site-agent model tune`.
pub(super) fn tuned(value: &Value) -> String {
    let mut out = String::new();
    let n = |key: &str| text_of(value, key);
    let loss = |i: usize| value.get("loss").and_then(|l| l.get(i)).and_then(Value::as_f64).unwrap_or_default();
    let _ = writeln!(
        out,
        "{} steps over {} patients: their mean loss went from {:.4} to {:.4}",
        n("steps"),
        n("patients"),
        loss(0),
        loss(1)
    );
    let seen = value.get("held_out_unseen").and_then(Value::as_bool) == Some(false);
    let who = if seen {
        "on patients held out here, whom the released model was trained on"
    } else {
        "on held-out patients of this site, exactly"
    };
    let _ = writeln!(out, "\n{who:<60} {:>12} {:>12}", "before", "after");
    for row in value.get("judged").map(list).unwrap_or_default() {
        let shown = |key: &str| match row.get(key) {
            Some(Value::Number(_)) => format!("{:.4}", number(row, key)),
            _ => "-".to_owned(),
        };
        let what = format!("{} {}", text_of(row, "of"), text_of(row, "what"));
        let _ = writeln!(out, "{what:<60} {:>12} {:>12}", shown("before"), shown("after"));
    }
    let _ = writeln!(
        out,
        "\nwritten to {}; {HERE}. No noise protects it: what single patients are like may be read out of it, so it must never leave this site",
        n("written")
    );
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn answers_say_that_nothing_left() {
        let mut value = json!({ "patients": 9, "foretold": 8, "cohort": "target", "outcome": "high", "written": "p.csv",
                                "missing": { "sbp": 1, "sex": 0 }, "lacks": [] });
        let text = super::predicted(&value);
        assert!(
            text.contains("1 of 9 patients lack 'sbp'")
                && !text.contains("sex")
                && text.contains("nothing left this site"),
            "{text}"
        );
        value["lacks"] = json!(["sbp"]);
        assert!(super::predicted(&value).contains("nobody in the cohort 'target' has sbp"));
        let value = json!({ "steps": 5, "patients": 40, "loss": [0.7, 0.5], "held_out_unseen": true, "written": "t.safetensors",
                            "judged": [{ "of": "test", "what": "auc", "before": 0.71, "after": null }] });
        let text = super::tuned(&value);
        assert!(
            text.contains("from 0.7000 to 0.5000") && text.contains("0.7100") && text.contains("never leave this site"),
            "{text}"
        );
    }
}
