//! `coordinator model`: trained models in the folder of a study's results. They are files of the analyst; no coordinator is asked.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use platform::terminal::say;
use serde_json::json;

use super::Arguments;
use crate::model::{Trained, card, onnx, safetensors};

#[derive(Subcommand)]
pub(super) enum ModelVerb {
    /// The models in a folder of results
    #[command(after_help = "Example:\n  coordinator model list results")]
    List {
        /// The folder that `study results` wrote
        #[arg(default_value = "results")]
        folder: PathBuf,
    },
    /// The card of a model: features, privacy, how good it is, provenance
    #[command(after_help = "Example:\n  coordinator model show results/models/train.safetensors")]
    Show {
        /// The model's file
        file: PathBuf,
    },
    /// Write a model for other software
    #[command(
        after_help = "Example:\n  coordinator model export results/models/train.safetensors --format onnx --out train.onnx"
    )]
    Export {
        /// The model's file
        file: PathBuf,
        /// As what
        #[arg(long, value_enum, default_value = "onnx")]
        format: Format,
        /// Into this file
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// The same file anew
    Safetensors,
    /// A graph from features in their own units to what is foretold
    Onnx,
    /// The card, as Markdown
    Card,
}

fn read(file: &Path) -> anyhow::Result<Trained> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    safetensors::read(&bytes).with_context(|| file.display().to_string())
}

/// The models of a folder, by their files' names.
fn models(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Trained)>> {
    let own = folder.join("models");
    let listed = std::fs::read_dir(&own).with_context(|| {
        format!("there are no models in {}; fetch results first, of a study that trains", own.display())
    })?;
    let mut files: Vec<PathBuf> = listed.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    files.into_iter().map(|f| read(&f).map(|m| (f, m))).collect()
}

pub(super) fn run(a: &Arguments, verb: &ModelVerb) -> anyhow::Result<()> {
    match verb {
        ModelVerb::List { folder } => {
            let models = models(folder)?;
            let value = |(f, m): &(PathBuf, Trained)| {
                json!({
                    "file": f, "analysis": m.origin.analysis, "study": m.origin.study, "outcome": m.outcome.name,
                    "parameters": m.parameters.len(), "epsilon": m.origin.epsilon[0], "private": m.origin.private,
                })
            };
            let line = |(f, m): &(PathBuf, Trained)| {
                let private =
                    if m.origin.private { format!("ε {:.3}", m.origin.epsilon[0]) } else { "not private".into() };
                format!("{}  {}, {} parameters, {private}", f.display(), m.outcome.name, m.parameters.len())
            };
            let text = models.iter().map(line).collect::<Vec<_>>().join("\n");
            say(a.json, &json!({ "models": models.iter().map(value).collect::<Vec<_>>() }), &text)?;
        }
        ModelVerb::Show { file } => {
            let model = read(file)?;
            say(a.json, &json!(model), card::text(&model).trim_end())?;
        }
        ModelVerb::Export { file, format, out } => {
            let model = read(file)?;
            if let Some(tuned) = &model.tuned {
                anyhow::bail!(
                    "{} went on with this model over its own patients without noise: it must not leave that site",
                    tuned.site
                );
            }
            let bytes = match format {
                Format::Safetensors => safetensors::write(&model)?,
                Format::Onnx => onnx::write(&model)?,
                Format::Card => card::text(&model).into_bytes(),
            };
            platform::files::write_atomic(out, &bytes)
                .with_context(|| format!("{} can't be written", out.display()))?;
            say(a.json, &json!({ "written": out }), &format!("written to {}", out.display()))?;
        }
    }
    Ok(())
}
