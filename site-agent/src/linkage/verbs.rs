//! `site-agent keys linkage`: on files alone, so that it needs no running agent and disturbs none.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use platform::terminal::say;
use platform::{OsEntropy, SystemClock, files};
use serde_json::json;

use super::{Held, exchange, held};
use crate::config::Config;

/// What can be done with the linkage key.
#[derive(Subcommand)]
pub enum LinkageVerb {
    /// Ask the custodian for the key: a signed file to send by any channel
    #[command(
        after_help = "Give the custodian this site's fingerprint by telephone or letter; site-agent keys show prints it.\n\nExample:\n  site-agent keys linkage request --out de-01.request"
    )]
    Request {
        /// Where the request goes
        #[arg(long)]
        out: PathBuf,
    },
    /// Take in the key that the custodian sealed for the request
    #[command(after_help = "Example:\n  site-agent keys linkage accept de-01.sealed --custodian '1a2b 3c4d ...'")]
    Accept {
        /// The file that custodian seal wrote
        file: PathBuf,
        /// The custodian's fingerprint, as its staff gave it to you
        #[arg(long)]
        custodian: String,
        /// Take it even if it is older than the key that was here, or of another custodian
        #[arg(long)]
        force: bool,
    },
    /// Which key is here; never the key
    #[command(after_help = "Example:\n  site-agent keys linkage show --json")]
    Show,
    /// Remove the key; the next ingest removes the tags that were made with it
    #[command(after_help = "Example:\n  site-agent keys linkage forget && site-agent ingest")]
    Forget,
}

fn line(held: &Held) -> String {
    format!("generation {}, key id {}, of the custodian {}", held.generation, held.key_id, held.custodian)
}

/// Carries a verb out.
///
/// # Errors
/// What the person should know.
pub fn run(config: &Config, verb: &LinkageVerb, json: bool) -> anyhow::Result<()> {
    match verb {
        LinkageVerb::Request { out } => {
            let request = exchange::request(config, &OsEntropy)?;
            files::write_atomic(out, request.to_text().as_bytes())
                .with_context(|| format!("{} can't be written", out.display()))?;
            let text = format!(
                "the request was written to {}; send it to the custodian, and give this site's fingerprint by another way",
                out.display()
            );
            Ok(say(
                json,
                &json!({ "site": config.id, "federation": request.request.federation, "written": out }),
                &text,
            )?)
        }
        LinkageVerb::Accept { file, custodian, force } => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
            let custodian = exchange::fingerprint(custodian).context("--custodian")?;
            let held = exchange::accept(config, &text, &custodian, *force, &SystemClock)?;
            Ok(say(json, &json!(held), &format!("{}\nrun site-agent ingest to make the tags", line(&held)))?)
        }
        LinkageVerb::Show => match held(config)? {
            Some((held, here)) => {
                let mut value = json!(held);
                if let Some(map) = value.as_object_mut() {
                    map.insert("held".to_owned(), json!(here));
                }
                let gone = if here { "" } else { " (forgotten)" };
                Ok(say(json, &value, &(line(&held) + gone))?)
            }
            None => {
                let text = "no linkage key; ask with site-agent keys linkage request";
                Ok(say(json, &json!({ "held": false }), text)?)
            }
        },
        LinkageVerb::Forget => {
            let held = exchange::forget(config)?;
            let text = format!("{}: forgotten\nrun site-agent ingest to remove its tags", line(&held));
            Ok(say(json, &json!({ "generation": held.generation, "key_id": held.key_id, "held": false }), &text)?)
        }
    }
}
