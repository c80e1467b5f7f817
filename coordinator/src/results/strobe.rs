//! The STROBE checklist (von Elm et al., PLoS Med 4 (2007) e296) for cohort studies: what this report says of each item, and what the
//! authors have to add.

use study::Plan;

use super::text::escape;
use super::{Provenance, Results};

/// An item: its number, what it asks, and what the report says of it; none where the authors have to write it.
type Item = (&'static str, &'static str, Option<String>);

fn items(results: &Results, p: &Provenance, plan: &Plan) -> Vec<Item> {
    let s = &plan.study;
    let kinds = |any: &[&str]| results.analyses.iter().any(|a| any.contains(&a.kind.as_str()));
    let named = |any: &[&str]| {
        let names: Vec<&str> =
            results.analyses.iter().filter(|a| any.contains(&a.kind.as_str())).map(|a| a.name.as_str()).collect();
        names.join(", ")
    };
    let where_kinds = |any: &[&str], text: &str| kinds(any).then(|| format!("{text}: {}", named(any)));
    let cohorts: Vec<String> = s
        .cohorts
        .iter()
        .map(|(n, c)| {
            let sql = c.sql.as_ref().map_or(String::new(), |sql| format!(" ({sql})"));
            let exits = c.exit.steps();
            let exits = if exits.is_empty() { String::new() } else { format!("; until {}", exits.join(" or ")) };
            format!("{n}: {}{sql}{exits}", c.steps().join("; "))
        })
        .collect();
    let variables: Vec<&str> = s.features.keys().map(String::as_str).collect();
    let models =
        ["linear", "logistic", "poisson", "negative_binomial", "gamma", "cox", "piecewise_exponential", "propensity"];
    let subgroups: Vec<&str> = s.subgroups.keys().map(String::as_str).collect();
    vec![
        ("1", "Design in title and abstract", None),
        ("2", "Background and rationale", None),
        (
            "3",
            "Objectives, with hypotheses stated in advance",
            Some(format!("the plan {} was signed before any data were read", super::text::short(&p.plan_hash))),
        ),
        (
            "4",
            "Study design",
            Some(format!(
                "{} cohort(s) in {} site(s) asked, federated; no row left a site",
                s.cohorts.len(),
                p.sites.len()
            )),
        ),
        ("5", "Setting, places and dates", Some(format!("table of sites; run from {} to {}", p.started, p.finished))),
        ("6", "Participants: eligibility, selection, follow-up", Some(cohorts.join(" | "))),
        ("7", "Variables", (!variables.is_empty()).then(|| format!("features of the plan: {}", variables.join(", ")))),
        (
            "8",
            "Data sources and measurement",
            Some(format!("electronic health records in the common schema {}", p.schema)),
        ),
        ("9", "Bias", where_kinds(&["propensity"], "propensity scores and balance").or(None)),
        ("10", "Study size", Some("numbers of patients in each table; the plan states the expected error".to_owned())),
        ("11", "Quantitative variables", Some("bounds and cut points are in the plan, stated in advance".to_owned())),
        (
            "12a",
            "Statistical methods, confounding",
            where_kinds(&models, "models").or_else(|| Some("section Methods".to_owned())),
        ),
        (
            "12b",
            "Subgroups and interactions",
            (!subgroups.is_empty()).then(|| format!("declared in the plan: {}", subgroups.join(", "))),
        ),
        (
            "12c",
            "Missing data",
            Some(
                "patients with a missing value are left out of that analysis".to_owned()
                    + if kinds(&["table1"]) { "; Table 1 shows how many" } else { "" },
            ),
        ),
        (
            "12d",
            "Loss to follow-up",
            where_kinds(
                &["survival", "cox", "competing", "rate", "piecewise_exponential"],
                "censoring at the end of observation",
            ),
        ),
        ("12e", "Sensitivity analyses", None),
        ("13", "Participants at each stage, flow diagram", where_kinds(&["attrition"], "attrition diagram")),
        (
            "14",
            "Descriptive data, missing data, follow-up time",
            where_kinds(&["table1", "moments", "quantiles", "count", "crosstab"], "tables"),
        ),
        ("15", "Outcome data", where_kinds(&["survival", "rate", "competing", "count", "crosstab"], "events")),
        (
            "16",
            "Main results with precision",
            Some("each estimate with its interval, sampling and noise together and apart".to_owned()),
        ),
        ("17", "Other analyses", (!subgroups.is_empty()).then(|| format!("subgroups {}", subgroups.join(", ")))),
        ("18", "Key results", None),
        ("19", "Limitations", Some("section Methods: what the intervals do not hold".to_owned())),
        ("20", "Interpretation", None),
        ("21", "Generalisability", None),
        ("22", "Funding", None),
    ]
}

/// The section.
pub(super) fn section(results: &Results, p: &Provenance, plan: &Plan) -> String {
    let rows: String = items(results, p, plan)
        .into_iter()
        .map(|(number, asks, said)| {
            let (class, said) = match said {
                Some(text) => ("", escape(&text)),
                None => (" class=\"suppressed\"", "to be written by the authors".to_owned()),
            };
            format!("<tr><td>{number}</td><td>{asks}</td><td{class}>{said}</td></tr>")
        })
        .collect();
    format!(
        "<section><h2>STROBE checklist</h2><p class=\"meta\">Items for cohort studies (von Elm et al. 2007): where this report \
         says it, and what the authors have to add.</p><div class=\"scroll\"><table><thead><tr><th scope=\"col\">Item</th>\
         <th scope=\"col\">Asks for</th><th scope=\"col\">In this report</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}
