//! The JSON Schema of `study.toml`, for editors: completion, hover texts, and mistakes as one types.
//!
//! It says less than [`crate::check`] does: what names refer to, and which settings fit together, is known to the check alone.

use crate::spec::Study;

/// The schema, as pretty JSON with a line feed at its end.
pub fn json() -> String {
    let mut schema = schemars::schema_for!(Study);
    schema.insert("title".to_owned(), "study.toml of InSitu".into());
    // An analysis has its own settings and those of its kind: what neither has is a mistake.
    if let Some(analysis) = schema.pointer_mut("/$defs/Analysis").and_then(serde_json::Value::as_object_mut) {
        analysis.insert("unevaluatedProperties".to_owned(), false.into());
    }
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published file is the types'. `INSITU_WRITE=1 cargo test -p study published` writes it anew.
    #[test]
    fn the_published_file_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/study.schema.json");
        if std::env::var_os("INSITU_WRITE").is_some() {
            std::fs::write(path, json()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), json(), "write docs/study.schema.json anew");
    }

    #[test]
    fn it_names_what_a_study_may_say() {
        let schema: serde_json::Value = serde_json::from_str(&json()).unwrap();
        for key in ["cohorts", "features", "analysis", "privacy", "subgroups", "dq_gate"] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        assert_eq!(schema["$defs"]["Analysis"]["unevaluatedProperties"], false, "misspelt settings pass");
        assert_eq!(schema["$defs"]["Analysis"]["properties"]["share"]["exclusiveMinimum"], 0);
        let text = json();
        for kind in ["competing", "attrition", "prior_obs_days", "between", "efron", "time_to_first"] {
            assert!(text.contains(&format!("\"{kind}\"")), "{kind}");
        }
    }
}
