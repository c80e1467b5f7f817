//! A model's card (Mitchell and others 2019): what it is, of whom, how private, how good, and where every number comes from.

use std::fmt::Write as _;

use study::analysis::training::{ScaleWord, StrategySpec};
use study::model::pieces::{Piece, Source};

use super::{Asked, Input, Trained};

fn described(input: &Input, how: &str) -> String {
    match input.bounds {
        Some([low, high]) => format!("`{}`: a number, clipped to {low} to {high}{how}", input.name),
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

/// How a feature becomes inputs.
fn prepared(input: &Input, piece: Option<&Piece>, scale: ScaleWord) -> String {
    let mut out = match piece.map(|p| &p.source) {
        Some(Source::Spline(basis)) => described(input, &format!(", by a spline with knots at {:?}", basis.knots())),
        _ if scale == ScaleWord::Bounds => described(input, ", which become -1 and 1"),
        _ if scale == ScaleWord::None => described(input, ", in its own unit"),
        _ => described(input, ""),
    };
    let Some(piece) = piece else { return out };
    if let (ScaleWord::Moments, Source::Number([low, high]), [[mean, factor]]) =
        (scale, &piece.source, piece.affine.as_slice())
    {
        let (middle, half) = (f64::midpoint(*low, *high), (high - low) / 2.0);
        let _ =
            write!(out, ", standardised: mean {:.6}, standard deviation {:.6}", middle + mean * half, half / factor);
    }
    if piece.fill.is_some() {
        out += match piece.source {
            Source::Level(_) => "; where it is missing, the shares of its levels",
            _ => "; where it is missing, its mean",
        };
    }
    out
}

/// How it was trained.
fn training(model: &Trained) -> String {
    let settings = |value: serde_json::Result<String>| value.unwrap_or_default();
    let (what, text) = match &model.asked {
        Asked::Train(t) => {
            let optimiser = format!("{:?}", t.strategy.optimiser).to_lowercase();
            (
                format!("Steps of {optimiser} in {} rounds", t.strategy.rounds),
                settings(serde_json::to_string_pretty(&t.strategy)),
            )
        }
        Asked::Trees(t) => {
            let text = settings(serde_json::to_string_pretty(t));
            (format!("{} trees, a level a round, each leaf for {} of its value", t.trees, t.learning_rate), text)
        }
    };
    format!(
        "## Training\n\n{what}:\n\n```json\n{text}\n```\n\nThe parameters' SHA-256 is {}.\n\n",
        model.parameters_hash()
    )
}

/// The card, as Markdown.
pub fn text(model: &Trained) -> String {
    let (o, scale) = (&model.origin, model.scale());
    let mut out = format!("# Model '{}' of the study '{}', version {}\n\n", o.analysis, o.study, o.version);
    if let Some(tuned) = &model.tuned {
        let _ = writeln!(
            out,
            "**It must not leave the site {}**, which went on with it for {} steps over its own patients without noise. The parameters before had \
             the hash {}; what is told below is of those.\n",
            tuned.site, tuned.steps, tuned.from
        );
    }
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
    let pieces = model.network().ok().and_then(|n| n.pieces(&model.parameters));
    let piece = |i: usize| pieces.as_ref().and_then(|p| p.of_features.get(i));
    model.inputs.iter().enumerate().for_each(|(i, own)| out += &format!("- {}\n", prepared(own, piece(i), scale)));
    if let Asked::Train(t) = &model.asked {
        t.formula.interactions.iter().for_each(|pair| out += &format!("- products of {}\n", pair.join(" and ")));
    }
    if pieces.is_some_and(|p| p.indicators) {
        out += "- of each feature, whether it is missing\n";
    }
    let _ = writeln!(out, "\nThe outcome is {}.\n", described(&model.outcome, ""));
    out += &training(model);
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
