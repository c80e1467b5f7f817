//! The demo: synthetic hospitals, a study, each estimate beside the truth.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use summaries::Row;

use crate::local::{self, Local, plan_of};
use crate::{generate, truth};

const STUDY: &str = include_str!("../studies/demo.toml");

/// What to show.
pub struct Options {
    /// Hospitals.
    pub sites: usize,
    /// Patients a hospital, on average.
    pub patients: usize,
    /// The seed.
    pub seed: u64,
    /// Where the report goes.
    pub out: PathBuf,
    /// JSON instead of text.
    pub json: bool,
}

/// Generates with a bar.
///
/// # Errors
/// The disk fails.
pub fn generate_with_bar(options: &generate::Options, quiet: bool) -> anyhow::Result<generate::Summary> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message("making synthetic hospitals");
    let summary = generate::generate(options, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    })
    .map_err(|e| anyhow::anyhow!("{e}"))?;
    bar.finish_and_clear();
    Ok(summary)
}

fn value(v: Option<f64>) -> String {
    match v {
        None => "–".to_owned(),
        Some(v) if v.abs() >= 1000.0 => format!("{v:.0}"),
        Some(v) if v.abs() >= 10.0 => format!("{v:.2}"),
        Some(v) => format!("{v:.4}"),
    }
}

/// Prints rows with their intervals.
///
/// # Errors
/// The output is closed.
pub fn print_rows(out: &mut impl Write, rows: &[Row]) -> std::io::Result<()> {
    for r in rows {
        let interval = if r.suppressed {
            format!("suppressed: {}", r.note)
        } else {
            format!("[{}, {}]", value(r.lower), value(r.upper))
        };
        writeln!(out, "  {:<34} {:<12} {:>12}  {interval}", r.term, r.statistic, value(r.estimate))?;
    }
    Ok(())
}

/// Runs the demo.
///
/// # Errors
/// Something fails; what was started is ended.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut out = std::io::stdout();
    let quiet = options.json || !std::io::stderr().is_terminal();
    let folder = tempfile::Builder::new().prefix("insitu-hospitals-").tempdir()?;
    let generation = generate::Options {
        sites: options.sites,
        patients: options.patients,
        seed: options.seed,
        out: folder.path().to_owned(),
    };
    let summary = generate_with_bar(&generation, quiet)?;
    if !options.json {
        writeln!(
            out,
            "{} hospitals, {} patients, {} rows of extracts; coordinator and agents are {} processes over mutual TLS",
            summary.sites.len(),
            summary.patients(),
            summary.rows(),
            summary.sites.len() + 1
        )?;
    }
    let plan = plan_of(STUDY, true)?;
    let set_up = local::Options { sites: folder.path().to_owned(), noise: true, quiet, widen: true };
    let mut local = Local::set_up(&set_up).await?;
    local.start_agents().await?;
    let ready = begun.elapsed();
    let (results, provenance, files) = local.run(&plan, &options.out).await?;
    let truth = truth::of_demo(&folder.path().join("truth.csv")).context("the truth")?;
    let done = begun.elapsed();
    let mut compared = Vec::new();
    let (mut within, mut known) = (0, 0);
    for a in &results.analyses {
        if !options.json {
            writeln!(out, "\n{} ({} sites, {} round(s), ε {:.2})", a.name, a.sites, a.rounds, a.epsilon)?;
            writeln!(
                out,
                "  {:<34} {:<12} {:>12}  {:<26} {:>12}",
                "term", "statistic", "estimate", "95 % interval", "truth"
            )?;
        }
        for r in &a.estimate.rows {
            let key = (a.name.clone(), r.term.clone(), r.statistic.clone());
            let t = truth.get(&key).copied();
            let covered = match (t, r.lower, r.upper) {
                (Some(t), Some(l), Some(u)) => {
                    known += 1;
                    let inside = t >= l && t <= u;
                    within += usize::from(inside);
                    if inside { "" } else { "  outside" }
                }
                _ => "",
            };
            compared.push(json!({ "analysis": a.name, "row": r, "truth": t }));
            if !options.json {
                let interval = if r.suppressed {
                    format!("suppressed: {}", r.note)
                } else {
                    format!("[{}, {}]", value(r.lower), value(r.upper))
                };
                writeln!(
                    out,
                    "  {:<34} {:<12} {:>12}  {:<26} {:>12}{covered}",
                    r.term,
                    r.statistic,
                    value(r.estimate),
                    interval,
                    value(t)
                )?;
            }
        }
    }
    let spent = provenance.sites.first().map_or(0.0, |s| s.rho);
    let report = files.iter().find(|f| f.extension().is_some_and(|e| e == "html")).cloned().unwrap_or_default();
    if options.json {
        let value = json!({
            "estimates": compared, "covered": within, "compared": known, "rho_spent": spent, "rho_planned": provenance.rho,
            "report": report, "seconds_to_ready": ready.as_secs_f64(), "seconds": done.as_secs_f64(),
        });
        writeln!(out, "{value:#}")?;
        return Ok(());
    }
    writeln!(out, "\n{within} of {known} intervals hold the truth (95 % are expected to)")?;
    let left = (provenance.rho - spent).max(0.0);
    writeln!(
        out,
        "each hospital spent ρ {spent:.6} of the study's {:.6} (ε {} at δ {:e}); {left:.6} is left of it",
        provenance.rho, provenance.epsilon, provenance.delta
    )?;
    writeln!(out, "the report: {}", report.display())?;
    writeln!(
        out,
        "{:.1} s until all agents were online, {:.1} s in all; everything else was removed",
        ready.as_secs_f64(),
        done.as_secs_f64()
    )?;
    Ok(())
}
