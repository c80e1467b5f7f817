//! Trained models used at the hospital: over its own gold, for its own people. Nothing leaves, and nothing is charged.
//!
//! A model's file carries the study that says what its features and its cohort are, so that a patient's features are made here as they were in
//! training. Whoever objected, or did not consent to the study's purpose, is not read.
//!
//! * `table`: predictions as a file.

mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use study::model::foretell::lacking;
use study::model::tune::Tuning;
use study::model::{Trained, safetensors};
use summaries::Row;

use crate::agent::Agent;
use crate::config::Answer;

/// The model of a file.
fn read(file: &Path) -> anyhow::Result<Trained> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    safetensors::read(&bytes).with_context(|| file.display().to_string())
}

/// Whether the model may be used at this site.
fn allowed(agent: &Agent, model: &Trained) -> anyhow::Result<()> {
    let study = model.study()?;
    let problems = study::check::check(study);
    anyhow::ensure!(
        problems.is_empty(),
        "the model's study is not valid: {}",
        problems.first().map_or(String::new(), ToString::to_string)
    );
    let sql = agent.config.disclosure.sql == Answer::Allow || !study.has_sql();
    anyhow::ensure!(
        sql,
        "the model's study has SQL of its own, which this site does not run; see [disclosure] sql in site.toml"
    );
    if let Some(tuned) = model.tuned.as_ref().filter(|t| t.site != agent.config.id.as_str()) {
        anyhow::bail!("the model was tuned at {} over its patients, and must not have left it", tuned.site);
    }
    Ok(())
}

/// Writes what a model says of each patient of its cohort here. Where the site has no value of a feature that the model can't do without, nothing
/// is written, and the answer names such features in `lacks`.
///
/// # Errors
/// The file is no model, the site does not run it, there are no data, or the output can't be written.
pub async fn predict(agent: &Agent, file: &Path, out: &Path) -> anyhow::Result<Value> {
    let model = read(file)?;
    allowed(agent, &model)?;
    let format = table::Format::of(out)?;
    let names: Vec<String> = model.inputs.iter().map(|i| i.name.clone()).collect();
    let study = model.study()?;
    let patients =
        agent.engine.for_itself(&agent.config, &agent.lake, study, (&model.origin.cohort, &names), None).await?;
    let all = patients.persons.len();
    let missing: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(lacking(&patients.batch)).collect();
    let lacks: Vec<&str> =
        missing.iter().filter(|(_, n)| **n == all && all > 0 && !model.does_without()).map(|(name, _)| *name).collect();
    let mut answer = json!({
        "analysis": model.origin.analysis, "study": model.origin.study, "outcome": model.outcome.name,
        "cohort": model.origin.cohort, "patients": all, "missing": missing, "lacks": lacks, "foretold": 0, "written": null,
    });
    if lacks.is_empty() {
        let told = model.foretell(&patients.batch)?;
        let bytes = table::write(format, &patients.persons, &model.names(), &told)?;
        platform::files::write_secret(out, &bytes).with_context(|| format!("{} can't be written", out.display()))?;
        answer["foretold"] = json!(told.iter().flatten().count());
        answer["written"] = json!(out);
    }
    Ok(answer)
}

/// Goes on with a model over the site's own patients, writes what came of it, and says how well both do on patients who were held out.
///
/// # Errors
/// The file is no network, the site does not run it, there are no data or nobody to train on, or the output can't be written.
pub async fn tune(agent: &Agent, file: &Path, out: &Path, how: Tuning) -> anyhow::Result<Value> {
    let model = read(file)?;
    allowed(agent, &model)?;
    let (study, unseen) = model.to_tune()?;
    let analysis = study.analysis.first().context("the model's study has no analysis")?;
    let patients = agent
        .engine
        .for_itself(
            &agent.config,
            &agent.lake,
            &study,
            (&model.origin.cohort, &analysis.columns()),
            analysis.what.holdout(),
        )
        .await?;
    let tuned = model.tuned(&agent.config.id, &patients.batch, how)?;
    let bytes = safetensors::write(&tuned.model)?;
    platform::files::write_secret(out, &bytes).with_context(|| format!("{} can't be written", out.display()))?;
    let [before, after] = &tuned.judged;
    let pair = |row: &Row| {
        let other = after.rows.iter().find(|r| r.term == row.term && r.statistic == row.statistic);
        json!({ "of": row.term, "what": row.statistic, "before": row.estimate, "after": other.and_then(|r| r.estimate) })
    };
    Ok(json!({
        "analysis": model.origin.analysis, "study": model.origin.study, "outcome": model.outcome.name, "written": out,
        "steps": how.steps, "patients": tuned.patients, "loss": tuned.loss, "held_out_unseen": unseen,
        "judged": before.rows.iter().map(pair).collect::<Vec<Value>>(),
    }))
}
