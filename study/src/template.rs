//! Studies to begin with: commented, and without a mistake.

/// Their names, in the order in which one needs them.
pub const NAMES: &[&str] =
    &["feasibility", "table1", "survival", "regression", "training", "comparative", "surveillance"];

/// The text of one; `None` where there is none of that name.
pub fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "feasibility" => include_str!("template/feasibility.toml"),
        "table1" => include_str!("template/table1.toml"),
        "survival" => include_str!("template/survival.toml"),
        "regression" => include_str!("template/regression.toml"),
        "training" => include_str!("template/training.toml"),
        "surveillance" => include_str!("template/surveillance.toml"),
        "comparative" => include_str!("template/comparative.toml"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_no_mistake_and_a_price() {
        for name in NAMES {
            let study = crate::read::checked(text(name).unwrap()).unwrap_or_else(|p| {
                panic!("{name}: {}", p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            });
            let plan = crate::Plan::new("f", study).unwrap();
            let cost = crate::planner::cost(&plan, 40, 5_000).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!cost.analyses.is_empty() && cost.analyses.iter().any(|a| !a.expected.is_empty()), "{name}");
        }
        assert_eq!(text("else"), None);
    }
}
