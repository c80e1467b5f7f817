//! A model's card (Mitchell and others 2019): what it is, of whom, how private, how good, and where every number comes from.

use std::fmt::Write as _;

use study::analysis::training::{ScaleWord, StrategySpec};

use super::{Asked, Input, Trained};

fn described(input: &Input, scale: ScaleWord) -> String {
    match input.bounds {
        Some([low, high]) => {
            let scaled = if scale == ScaleWord::Bounds { ", which become -1 and 1" } else { ", in its own unit" };
            format!("`{}`: a number, clipped to {low} to {high}{scaled}", input.name)
        }
        None => format!("`{}`: one of {}; the first is the reference", input.name, input.levels.join(", ")),
    }
}

/// What bounded a patient's part in a round.
fn cut(s: &StrategySpec) -> String {
    let length = match s.clip_quantile {
        Some(quantile) => format!("a length that followed their {quantile}-quantile, first {},", s.clip),
        None => format!("the length {}", s.clip),
    };
    let sampled = s.sampling.filter(|rate| *rate < 1.0);
    let sampled = sampled.map(|rate| format!("Each patient was in a step with probability {rate}, secretly. "));
    format!("{}Every patient's gradient was cut to {length} in", sampled.unwrap_or_default())
}

/// The card, as Markdown.
pub(super) fn text(model: &Trained) -> String {
    let (o, scale) = (&model.origin, model.scale());
    let mut out = format!("# Model '{}' of the study '{}', version {}\n\n", o.analysis, o.study, o.version);
    let kind = match &model.asked {
        Asked::Train(t) if t.model.hidden.is_empty() => "without hidden layers".to_owned(),
        Asked::Train(t) => format!("with hidden layers of {:?} units", t.model.hidden),
        Asked::Trees(t) => format!("of {} boosted trees of a depth of {}", t.trees, t.depth),
    };
    let _ = writeln!(
        out,
        "A {:?} model {kind}, {} parameters, of the outcome `{}`.\n",
        model.family(),
        model.parameters.len(),
        model.outcome.name
    );
    out += "## Features, in order\n\n";
    model.inputs.iter().for_each(|i| out += &format!("- {}\n", described(i, scale)));
    let _ = writeln!(out, "\nThe outcome is {}.\n", described(&model.outcome, ScaleWord::Bounds));
    out += "## Data\n\n";
    let _ = writeln!(
        out,
        "Patients of the cohort '{}' at {} hospitals ({}). Their rows did not leave the hospitals.\n",
        o.cohort,
        o.sites.len(),
        o.sites.join(", ")
    );
    out += "## Privacy\n\n";
    if o.private {
        let cut = match &model.asked {
            Asked::Train(t) => cut(&t.strategy),
            Asked::Trees(_) => "Every patient is in one bin of each feature in".to_owned(),
        };
        let _ = writeln!(
            out,
            "ε = {:.4} for this model and {:.4} for the whole study, at δ = {:e}; {}. Sums were {}. {cut} each of {} rounds.\n",
            o.epsilon[0], o.epsilon[1], o.delta, o.unit, o.aggregation, o.rounds
        );
    } else {
        out += "NOT PRIVATE: a simulation without noise.\n\n";
    }
    out += "## How good it is\n\n| of | what | value | from | to |\n|---|---|---|---|---|\n";
    for row in &o.metrics {
        let shown = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.4}"));
        let value = if row.suppressed { row.note.clone() } else { shown(row.estimate) };
        let ends = [row.lower, row.upper].map(shown);
        let _ = writeln!(out, "| {} | {} | {value} | {} | {} |", row.term, row.statistic, ends[0], ends[1]);
    }
    if !o.metrics.iter().any(|r| r.term.starts_with("test")) {
        out += "\nNo patients were held out: what is told is of those it was trained on.\n";
    }
    let _ = write!(
        out,
        "\nIt was not judged for use in care. It says what goes with what among these patients, and is no reason to treat anybody.\n\n\
         ## Provenance\n\nFederation {}; plan {} signed by {}; the sums of its rounds:\n\n",
        o.federation, o.plan_hash, o.signer
    );
    o.merged.iter().enumerate().for_each(|(i, hash)| out += &format!("- round {}: {hash}\n", i + 1));
    out
}
