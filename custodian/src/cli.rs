//! The `custodian` command line.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a request was refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use certs::linkage::Request;
use clap::{Parser, Subcommand};
use platform::terminal::{end, misused, say};
use platform::{OsEntropy, SystemClock, files};
use privacy::secagg::Fingerprint;
use serde_json::json;

use crate::keeper::{Keeper, KeeperError, Shown};

/// The custodian of a federation's linkage key. Run it where the coordinator's staff has no access.
#[derive(Parser)]
#[command(
    name = "custodian",
    version,
    after_help = "Example:\n  custodian --dir keys init --federation northsea\n  custodian --dir keys seal --request de-01.request --fingerprint '1a2b 3c4d ...' --out de-01.sealed\n  custodian --dir keys list"
)]
struct Arguments {
    /// The folder with the key and the identity
    #[arg(long, global = true, default_value = "custodian")]
    dir: PathBuf,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make an identity and the first linkage key
    #[command(after_help = "Example:\n  custodian --dir keys init --federation northsea")]
    Init {
        /// The federation's name, as the coordinator's operator made it
        #[arg(long)]
        federation: String,
    },
    /// The fingerprint for the hospitals, and the key's generation; never the key
    #[command(after_help = "Example:\n  custodian --dir keys show")]
    Show,
    /// Seal the key to a hospital's request
    #[command(
        after_help = "Compare the fingerprint with the hospital's staff by telephone or letter: site-agent keys show prints it there.\n\nExample:\n  custodian --dir keys seal --request de-01.request --fingerprint '1a2b 3c4d ...' --out de-01.sealed"
    )]
    Seal {
        /// The file that site-agent keys linkage request wrote
        #[arg(long)]
        request: PathBuf,
        /// The hospital's fingerprint, 64 hexadecimal digits, as its staff gave it to you
        #[arg(long)]
        fingerprint: String,
        /// Where the sealed key goes; send it back by any channel
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a new key; the old one is gone, and every hospital needs the new one
    #[command(after_help = "Example:\n  custodian --dir keys rotate")]
    Rotate,
    /// For whom the key was sealed
    #[command(after_help = "Example:\n  custodian --dir keys list --json")]
    List,
}

/// Runs the command line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(a) => a,
        Err(e) => return misused(&given, e.use_stderr(), &e.to_string(), || drop(e.print())),
    };
    let refused = |e: &anyhow::Error| e.downcast_ref::<KeeperError>().is_some_and(KeeperError::refuses);
    end("custodian", arguments.json, run(&arguments).map(|()| ExitCode::SUCCESS), |e| if refused(e) { 3 } else { 1 })
}

fn day(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map(|t| t.format("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn text(shown: &Shown) -> String {
    format!(
        "federation   {}\nfingerprint  {}\ngeneration   {}, made on {}\nkey id       {}\nsealed for   {}",
        shown.federation,
        shown.fingerprint,
        shown.generation,
        day(shown.made_micros),
        shown.key_id,
        match shown.sealed {
            0 => "nobody yet".to_owned(),
            n => format!("{n} request(s); see custodian list"),
        }
    )
}

fn run(a: &Arguments) -> anyhow::Result<()> {
    match &a.verb {
        Verb::Init { federation } => {
            let shown = Keeper::init(&a.dir, federation, &OsEntropy, &SystemClock)?.shown()?;
            let told = "\ngive the fingerprint to the hospitals by telephone or letter, and keep a copy of the folder";
            Ok(say(a.json, &json!(shown), &(text(&shown) + told))?)
        }
        Verb::Show => {
            let shown = Keeper::open(&a.dir, &OsEntropy)?.shown()?;
            Ok(say(a.json, &json!(shown), &text(&shown))?)
        }
        Verb::Seal { request, fingerprint, out } => {
            let keeper = Keeper::open(&a.dir, &OsEntropy)?;
            let read =
                std::fs::read_to_string(request).with_context(|| format!("{} can't be read", request.display()))?;
            let request = Request::parse(&read).map_err(KeeperError::from)?;
            let print = Fingerprint::parse(fingerprint).context(
                "--fingerprint has 64 hexadecimal digits, as site-agent keys show prints them at the hospital",
            )?;
            let sealed = keeper.seal(&request, &print, &SystemClock)?;
            files::write_atomic(out, sealed.to_text().as_bytes())
                .with_context(|| format!("{} can't be written", out.display()))?;
            let terms = &sealed.sealed.bound.terms;
            let value = json!({
                "site": request.request.site, "generation": terms.generation, "key_id": terms.key_id, "written": out,
            });
            let text = format!(
                "generation {} was sealed for {} and written to {}; send the file back by any channel",
                terms.generation,
                request.request.site,
                out.display()
            );
            Ok(say(a.json, &value, &text)?)
        }
        Verb::Rotate => {
            let mut keeper = Keeper::open(&a.dir, &OsEntropy)?;
            keeper.rotate(&OsEntropy, &SystemClock)?;
            let shown = keeper.shown()?;
            let told = "\nseal it for every hospital again; each runs site-agent ingest afterwards";
            Ok(say(a.json, &json!(shown), &(text(&shown) + told))?)
        }
        Verb::List => {
            let sealed = Keeper::open(&a.dir, &OsEntropy)?.sealed()?;
            let lines: Vec<String> = sealed
                .iter()
                .map(|s| {
                    format!(
                        "{:<12} generation {:<4} {}  {}",
                        s.site.as_str(),
                        s.generation,
                        day(s.at_micros),
                        s.fingerprint
                    )
                })
                .collect();
            let text = if lines.is_empty() { "nobody yet".to_owned() } else { lines.join("\n") };
            Ok(say(a.json, &json!(sealed), &text)?)
        }
    }
}
