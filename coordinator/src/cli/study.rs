//! `coordinator study`: for analysts.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use certs::bundle::Bundle;
use clap::Subcommand;
use platform::terminal::say;
use proto::wire;
use serde_json::{Value, json};
use study::planner::{Needed, Wanted};

use super::Arguments;
use crate::analyst;

#[derive(Subcommand)]
pub(super) enum StudyVerb {
    /// Write a commented study to begin with
    #[command(after_help = "Example:\n  coordinator study new study.toml --template survival")]
    New {
        /// Into this file, which must not be there yet
        #[arg(default_value = "study.toml")]
        file: PathBuf,
        /// Which: feasibility, table1, survival, regression, comparative, surveillance
        #[arg(long, default_value = "feasibility", value_parser = clap::builder::PossibleValuesParser::new(study::template::NAMES))]
        template: String,
    },
    /// Write the JSON Schema of study files, for editors
    #[command(
        after_help = "Example:\n  coordinator study schema study.schema.json\n\nThen begin study.toml with the line: #:schema ./study.schema.json"
    )]
    Schema {
        /// Into this file; printed, where not given
        file: Option<PathBuf>,
    },
    /// Find what is wrong with a study file, with its lines
    #[command(after_help = "Example:\n  coordinator study check study.toml")]
    Check {
        /// The study file
        file: PathBuf,
    },
    /// Print cost and expected error before anything is spent
    #[command(
        after_help = "Example:\n  coordinator study plan study.toml --sites 40 --patients 5000 --want age:mean=0.5"
    )]
    Plan {
        /// The study file
        file: PathBuf,
        /// How many sites; asked from the coordinator, where not given
        #[arg(long)]
        sites: Option<usize>,
        /// Expected patients of the cohort at a site
        #[arg(long, default_value_t = 1000)]
        patients: usize,
        /// A precision that is wanted, as TERM:STATISTIC=HALF-WIDTH; what ε it takes is said. May be given again
        #[arg(long)]
        want: Vec<String>,
    },
    /// Sign a study and hand it in
    #[command(after_help = "Example:\n  coordinator --identity ada study submit study.toml --watch")]
    Submit {
        /// The study file
        file: PathBuf,
        /// Watch it until it is over
        #[arg(long)]
        watch: bool,
        /// Ask and pay again, though a study has answered the same: as when the sites' data are newer
        #[arg(long)]
        anew: bool,
    },
    /// Follow a study until it is over
    #[command(after_help = "Example:\n  coordinator study watch ckd-feas")]
    Watch {
        /// The study's id
        study: String,
    },
    /// All studies
    #[command(after_help = "Example:\n  coordinator study list --json")]
    List,
    /// One study: its sites and what they said
    #[command(after_help = "Example:\n  coordinator study show ckd-feas")]
    Show {
        /// The study's id
        study: String,
    },
    /// Write estimates, provenance and report
    #[command(after_help = "Example:\n  coordinator --identity ada study results ckd-feas --out results")]
    Results {
        /// The study's id
        study: String,
        /// Into this folder
        #[arg(long, default_value = "results")]
        out: PathBuf,
    },
    /// Write a study's releases with their proofs, to be verified offline
    #[command(after_help = "Example:\n  coordinator --identity ada study bundle ckd-feas --out bundle.json")]
    Bundle {
        /// The study's id
        study: String,
        /// Into this file
        #[arg(long, default_value = "bundle.json")]
        out: PathBuf,
    },
    /// Stop a study
    #[command(after_help = "Example:\n  coordinator study cancel ckd-feas")]
    Cancel {
        /// The study's id
        study: String,
    },
}

pub(super) async fn run(a: &Arguments, verb: &StudyVerb) -> anyhow::Result<ExitCode> {
    let reference = |study: &str| wire::StudyRef { study: study.to_owned() };
    match verb {
        StudyVerb::New { file, template } => {
            let text = study::template::text(template).unwrap_or_default();
            let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
            let written = opened.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
            written.with_context(|| format!("{} can't be written", file.display()))?;
            let next = format!("coordinator study check {}", file.display());
            let value = json!({ "file": file, "template": template, "next": next });
            say(a.json, &value, &format!("{} is written; change it, then: {next}", file.display()))?;
        }
        StudyVerb::Schema { file: None } => {
            std::io::Write::write_all(&mut std::io::stdout(), study::schema_of::json().as_bytes())?;
        }
        StudyVerb::Schema { file: Some(file) } => {
            platform::files::write_atomic(file, study::schema_of::json().as_bytes())
                .with_context(|| format!("{} can't be written", file.display()))?;
            let next = format!("#:schema ./{}", file.display());
            say(
                a.json,
                &json!({ "file": file, "first_line": next }),
                &format!("{} is written; begin study.toml with: {next}", file.display()),
            )?;
        }
        StudyVerb::Check { file } => match analyst::read(file, "federation").await? {
            Ok(plan) => {
                let notes = study::check::notes(&plan.study);
                let value = json!({ "study": plan.study.id, "problems": [], "notes": notes });
                let listed: String = notes.iter().map(|n| format!("\nnote: {n}")).collect();
                say(a.json, &value, &format!("{}: {} has no problems{listed}", file.display(), plan.study.id))?;
            }
            Err(problems) => return problems_found(a, file, &problems),
        },
        StudyVerb::Plan { file, sites, patients, want } => {
            let (federation, known) = match sites {
                Some(n) => ("federation".to_owned(), *n),
                None => {
                    let (mut client, _, at) = analyst::connect(&a.identity).await.context(
                        "the number of sites is not known; give --sites, or --identity of an enrolled analyst",
                    )?;
                    let d = client.describe(wire::DescribeRequest {}).await.map_err(|s| analyst::refusal(&s))?;
                    (at.federation, d.into_inner().sites.len())
                }
            };
            anyhow::ensure!(known > 0 && *patients > 0, "a study is planned for one site and one patient or more");
            match analyst::read(file, &federation).await? {
                Ok(plan) => {
                    let least = plan.study.rounds.min_sites as usize;
                    anyhow::ensure!(known >= least, "the study needs {least} sites, and {known} are planned with");
                    let cost = study::planner::cost(&plan, known, *patients)
                        .map_err(|e| anyhow::anyhow!("the study can't be planned: {e}"))?;
                    let needed = want
                        .iter()
                        .map(|w| {
                            let wanted = wanted(w)?;
                            study::planner::needed(&plan, known, *patients, wanted).map_err(|e| anyhow::anyhow!(e))
                        })
                        .collect::<anyhow::Result<Vec<_>>>()?;
                    let mut value = json!(cost);
                    if let Some(map) = value.as_object_mut() {
                        map.insert("wanted".to_owned(), json!(needed));
                    }
                    say(a.json, &value, (needed_text(&needed) + &plan_text(&cost)).trim_end())?;
                }
                Err(problems) => return problems_found(a, file, &problems),
            }
        }
        StudyVerb::Submit { file, watch, anew } => {
            let (mut client, identity, at) = analyst::connect(&a.identity).await?;
            let plan = match analyst::read(file, &at.federation).await? {
                Ok(plan) => plan,
                Err(problems) => return problems_found(a, file, &problems),
            };
            let signed = analyst::sign(&plan, &identity, *anew)?;
            let status = client.submit(signed).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            if *watch {
                return over(a, &analyst::watch(&a.identity, &status.study, a.json).await?);
            }
            say(a.json, &analyst::status_json(&status), &analyst::status_line(&status))?;
        }
        StudyVerb::Watch { study } => return over(a, &analyst::watch(&a.identity, study, a.json).await?),
        StudyVerb::List => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let list = client.list(wire::ListRequest {}).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let text: Vec<String> = list.studies.iter().map(analyst::status_line).collect();
            let value: Vec<Value> = list.studies.iter().map(analyst::status_json).collect();
            say(a.json, &json!(value), &text.join("\n"))?;
        }
        StudyVerb::Show { study } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let status = client.show(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let mut text = analyst::status_line(&status);
            for s in &status.sites {
                let decision = s.decision().as_str_name().trim_start_matches("DECISION_").to_lowercase();
                let online = if s.online { "online" } else { "offline" };
                text += &format!("\n  {:<24} {online:<8} {decision:<12} {} {}", s.id, s.code, s.reason);
            }
            say(a.json, &analyst::status_json(&status), &text)?;
        }
        StudyVerb::Results { study, out } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let (results, _, files) = analyst::fetch(&mut client, study, out).await?;
            let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
            let value = json!({ "files": names, "analyses": results.analyses.len() });
            say(a.json, &value, &names.join("\n"))?;
        }
        StudyVerb::Bundle { study, out } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let reply = client.bundle(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            let bundle: Bundle = serde_json::from_slice(&reply.bundle_json)?;
            let verified = bundle.verify()?;
            anyhow::ensure!(
                verified.entries > 0,
                "no ledger has an entry of the study '{study}'; see coordinator study list"
            );
            platform::files::write_atomic(out, &serde_json::to_vec_pretty(&bundle)?)
                .with_context(|| format!("{} can't be written", out.display()))?;
            let text =
                format!("{} entries of {} sites written to {}", verified.entries, verified.sites.len(), out.display());
            say(a.json, &json!({ "written": out, "verified": verified }), &text)?;
        }
        StudyVerb::Cancel { study } => {
            let (mut client, _, _) = analyst::connect(&a.identity).await?;
            let status = client.cancel(reference(study)).await.map_err(|s| analyst::refusal(&s))?.into_inner();
            say(a.json, &analyst::status_json(&status), &analyst::status_line(&status))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn over(a: &Arguments, status: &wire::StudyStatus) -> anyhow::Result<ExitCode> {
    if !a.json && std::io::stderr().is_terminal() {
        say(false, &Value::Null, &analyst::status_line(status))?;
    }
    Ok(if status.state == "done" { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

fn problems_found(a: &Arguments, file: &Path, problems: &[study::Problem]) -> anyhow::Result<ExitCode> {
    let lines: Vec<String> = problems.iter().map(|p| format!("{}: {p}", file.display())).collect();
    say(a.json, &json!({ "problems": problems }), &lines.join("\n"))?;
    Ok(ExitCode::from(3))
}

/// The kinds of noise that windows may have, and which is best for what.
fn noises(kinds: &[study::planner::NoiseOf]) -> String {
    let Some(first) = kinds.first() else { return String::new() };
    let best = |of: fn(&study::planner::NoiseOf) -> f64| {
        kinds.iter().fold(first, |best, kind| if of(kind) < of(best) { kind } else { best }).noise.word()
    };
    let mut out = format!("noise (σ of a count, all sites): {:>14} {:>14}\n", "one window", "all windows");
    for kind in kinds {
        let mark = if kind.planned { "the plan's" } else { "" };
        out += &format!("  {:<31}{:>14.2} {:>14.2} {mark}\n", kind.noise.word(), kind.window, kind.all);
    }
    let (window, all) = (best(|k| k.window), best(|k| k.all));
    out + &format!("for each window by itself, noise = \"{window}\" in [stream]; for the sum of all, \"{all}\"\n")
}

fn plan_text(cost: &study::planner::Cost) -> String {
    let shown = |w: Option<f64>| w.map_or_else(|| "withheld".to_owned(), |w| format!("{w:.4}"));
    let mut out = format!(
        "at each site: ε {:.3} at δ {:e} (ρ {}), {} sites, about {} patients of the cohort at each\n",
        cost.epsilon.0, cost.delta, cost.rho, cost.sites, cost.patients
    );
    if let Some([windows, most]) = cost.windows {
        out += &format!(
            "{windows} windows, a patient in {most} of them at most; the errors are of each window with so many patients in it\n"
        );
        if most == windows && windows > 1 {
            out += "windows_per_patient in [stream] makes the noise smaller, where patients come in few windows\n";
        }
    }
    out += &noises(&cost.noises);
    for a in &cost.analyses {
        out += &format!("\n{}: {} round(s), ρ {}\n", a.analysis, a.rounds, a.rho);
        if let Some(s) = &a.sampled {
            out += &format!(
                "  sampling: {} of the patients in each of {} steps, about {:.0} of them; noise multiplier {:.4}; all rounds cost ε {:.3}, paid at once\n  \
                 noise of each number of the mean gradient: {:.2e} local, {:.2e} secure\n",
                s.rate, s.steps, s.expected, s.noise_multiplier, s.epsilon.0, s.noise_local, s.noise_secure
            );
        }
        out += &format!(
            "  {:<40} {:<14} {:>14} {:>18} {:>12} {:>12}\n",
            "term", "statistic", "± expected", "± privacy alone", "± local", "± secure"
        );
        for e in a.expected.iter().take(40) {
            out += &format!(
                "  {:<40} {:<14} {:>14.4} {:>18.4} {:>12} {:>12}\n",
                e.term,
                e.statistic,
                e.half_width,
                e.half_width_privacy,
                shown(e.half_width_local),
                shown(e.half_width_secure)
            );
        }
        for w in a.withheld.iter().take(40) {
            out += &format!("  {:<40} {:<14} withheld: {}\n", w.term, w.statistic, w.reason);
        }
    }
    out += &format!(
        "\nbeside it, a site that asks for a least number of patients charges for {} check(s) of a cohort's size; site-agent preview says how much\n",
        cost.cohorts
    );
    if cost.gate_epsilon > 0.0 {
        out += &format!("beside it, the data-quality gate charges ε {} once\n", cost.gate_epsilon);
    }
    out += "\nnothing was sent and nothing was spent\n";
    out
}

/// `TERM:STATISTIC=HALF-WIDTH`.
fn wanted(text: &str) -> anyhow::Result<Wanted> {
    let parts =
        text.rsplit_once('=').and_then(|(what, width)| Some((what.rsplit_once(':')?, width.parse::<f64>().ok()?)));
    match parts {
        Some(((term, statistic), half_width)) if half_width > 0.0 => {
            Ok(Wanted { term: term.to_owned(), statistic: statistic.to_owned(), half_width })
        }
        _ => anyhow::bail!("'{text}' is no wanted precision; write it like age:mean=0.5"),
    }
}

fn needed_text(needed: &[Needed]) -> String {
    let shown = |e: Option<f64>| {
        e.map_or_else(|| "no ε (the error of sampling alone is larger)".to_owned(), |e| format!("ε {e:.3}"))
    };
    let one = |n: &Needed| {
        format!(
            "± {} for {} of {} takes {} with local noise, {} under secure aggregation\n",
            n.wanted.half_width,
            n.wanted.statistic,
            n.wanted.term,
            shown(n.epsilon_local),
            shown(n.epsilon_secure)
        )
    };
    needed.iter().map(one).collect()
}
