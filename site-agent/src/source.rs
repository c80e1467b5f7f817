//! `site-agent source` and `ingest --dry-run`: what is in an extract and what would become of it. Nothing is written into the lake,
//! nothing is told to a running agent, and nothing leaves the terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adapters::profile::{self, FileProfile};
use anyhow::Context as _;
use clap::Subcommand;
use indicatif::ProgressBar;
use platform::terminal::say;
use platform::{OsEntropy, SystemClock};
use serde_json::{Value, json};

use crate::config::Config;
use crate::lake::rehearse::{FileRehearsal, Rehearsal, Understood};
use crate::lake::{self, rehearse as lake_rehearse};

/// Records and rejected items of a file that `source map --check` looks at.
const CHECKED: u64 = 1000;

/// What can be asked of an extract.
#[derive(Subcommand)]
pub(crate) enum SourceVerb {
    /// What is in a file or a folder: formats, columns, and a guess at each. It stays on this screen
    #[command(
        after_help = "Example:\n  site-agent source profile /data/extract\n  site-agent source profile /data/extract --draft mapping.toml"
    )]
    Profile {
        /// The file or the folder
        path: PathBuf,
        /// Rows that are looked at in each file
        #[arg(long, default_value_t = 100_000)]
        rows: u64,
        /// Write the beginning of a mapping for the tables into this file
        #[arg(long)]
        draft: Option<PathBuf>,
    },
    /// Whether the mappings of site.toml are right and fit the files
    #[command(after_help = "Example:\n  site-agent source map --check\n  site-agent source map --check --source lab")]
    Map {
        /// Check; there is nothing else to do with them
        #[arg(long, required = true)]
        check: bool,
        /// One source; all, where not given
        #[arg(long)]
        source: Option<String>,
    },
    /// Print a shipped mapping, to read it or to copy and change it
    #[command(after_help = "Example:\n  site-agent source mapping omop > mapping.toml")]
    Mapping {
        /// Its format, such as omop or mimic-iv
        format: String,
    },
}

/// Prints one answer, and what could not be read on the error stream as well; in JSON that is the answer's `error`. Fails where there is
/// any of it.
pub(crate) fn finish(json: bool, mut value: Value, text: &str, unread: &[String]) -> anyhow::Result<ExitCode> {
    if let (false, Value::Object(answer)) = (unread.is_empty(), &mut value) {
        answer.insert("error".to_owned(), unread.join("; ").into());
    }
    say(json, &value, text)?;
    for line in unread {
        writeln!(std::io::stderr(), "site-agent: {line}")?;
    }
    Ok(if unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What an ingestion could not read, and the remedy: sources, sources without a file, and files of which nothing was taken.
pub(crate) fn unread_of(report: &Value) -> Vec<String> {
    let list = |key: &str| report.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let failed = list("failed").iter().map(|f| source_unread(&text(f, "source"), &text(f, "reason")));
    let empty = list("empty").iter().filter_map(Value::as_str).map(nothing_read);
    let is = |f: &&Value| f.get("unread").and_then(Value::as_bool) == Some(true);
    let files = list("files").iter().filter(is).map(|f| {
        let (source, file, listed) = (text(f, "source"), text(f, "file"), text(f, "quarantine"));
        file_unread(&source, &file, &format!("nothing of it is taken; {listed} says why"))
    });
    failed.chain(empty).chain(files).collect()
}

fn source_unread(source: &str, reason: &str) -> String {
    format!("source '{source}' can't be read: {reason}; put it right, or correct path, format and mapping in site.toml")
}

fn file_unread(source: &str, file: &str, why: &str) -> String {
    format!("{source} / {file}: {why}; mend the file or site.toml, or move the file away")
}

/// Looks at files that need no settings.
pub(crate) fn look(verb: &SourceVerb, json: bool, bar: &ProgressBar) -> anyhow::Result<ExitCode> {
    match verb {
        SourceVerb::Profile { path, rows, draft } => {
            let files = profile_all(path, *rows, bar)?;
            bar.finish_and_clear();
            let mut text: String = files.iter().map(profile_text).collect();
            if let Some(to) = draft {
                anyhow::ensure!(!to.exists(), "{} is there already; name another file", to.display());
                platform::files::write_atomic(to, profile::draft(&files).as_bytes())
                    .with_context(|| format!("{} can't be written", to.display()))?;
                let _ = writeln!(text, "the beginning of a mapping was written to {}", to.display());
            }
            let failed = files.iter().filter_map(|f| Some(format!("{} can't be read: {}", f.file, f.failed.as_ref()?)));
            finish(json, json!({ "files": files, "draft": draft }), text.trim_end(), &failed.collect::<Vec<_>>())
        }
        SourceVerb::Mapping { format } => {
            let text = adapters::shipped(format).with_context(|| {
                format!("no mapping is shipped for '{format}'; there are: {}", adapters::SHIPPED.join(", "))
            })?;
            finish(json, json!({ "format": format, "mapping": text }), text.trim_end(), &[])
        }
        SourceVerb::Map { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Carries a command on the sources out.
pub(crate) fn run(config: &Config, verb: &SourceVerb, json: bool, bar: &ProgressBar) -> anyhow::Result<ExitCode> {
    match verb {
        SourceVerb::Map { source, .. } => rehearse(config, source.as_deref(), Some(CHECKED), json, bar),
        other => look(other, json, bar),
    }
}

/// Reads the sources without writing anything.
pub(crate) fn rehearse(
    config: &Config,
    only: Option<&str>,
    most: Option<u64>,
    json: bool,
    bar: &ProgressBar,
) -> anyhow::Result<ExitCode> {
    let mut progress = |what: &str, done: u64, of: u64| {
        bar.set_length(of.max(done));
        bar.set_position(done);
        bar.set_message(what.to_owned());
    };
    let found = lake_rehearse::rehearse(config, only, most, (&SystemClock, &OsEntropy), &mut progress)?;
    bar.finish_and_clear();
    // The mapping is wrong where nothing of a file is taken under it; other rejected items are the files' own.
    let failed = found.failed.iter().map(|f| source_unread(&f.source, &f.reason));
    let empty = found.empty.iter().map(|source| nothing_read(source));
    let files = found.files.iter().filter_map(|f| Some(file_unread(&f.source, &f.file, f.failed.as_ref()?)));
    let unread: Vec<String> = failed.chain(empty).chain(files).collect();
    finish(json, json!(found), rehearsal_text(&found, most).trim_end(), &unread)
}

fn profile_all(path: &Path, rows: u64, bar: &ProgressBar) -> anyhow::Result<Vec<FileProfile>> {
    let (root, files) = if path.is_dir() {
        (path.to_owned(), lake::files(path)?)
    } else {
        // A pipe or a device has no end that could be waited for.
        let what = std::fs::metadata(path).with_context(|| format!("{} can't be read", path.display()))?;
        anyhow::ensure!(
            what.is_file(),
            "{} is no file and no folder; write what it gives into a file, and name that",
            path.display()
        );
        (path.parent().map(Path::to_owned).unwrap_or_default(), vec![path.to_owned()])
    };
    let mut out = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        bar.set_message(name.clone());
        bar.set_length(std::fs::metadata(&file).map(|m| m.len()).unwrap_or_default());
        // One file that can't be read stops no other.
        out.push(match profile::profile(&file, &name, rows, &mut |bytes| bar.set_position(bytes)) {
            Ok(found) => found,
            Err(e) => FileProfile { file: name, failed: Some(e.to_string()), ..FileProfile::default() },
        });
    }
    anyhow::ensure!(!out.is_empty(), "{} holds no file", path.display());
    Ok(out)
}

fn word(value: &impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

fn profile_text(file: &FileProfile) -> String {
    if let Some(why) = &file.failed {
        return format!("{}: can't be read: {why}\n\n", file.file);
    }
    let mut out = format!("{}: {}", file.file, word(&file.kind));
    if let Some(encoding) = file.encoding {
        let _ = write!(out, ", {encoding}");
    }
    if let Some(delimiter) = file.delimiter {
        let _ = write!(out, ", cells between {delimiter:?}");
    }
    let _ = write!(out, "; {} item(s){}", file.items, if file.whole { "" } else { " looked at, there are more" });
    if file.unreadable > 0 {
        let _ = write!(out, ", {} unreadable", file.unreadable);
    }
    out.push('\n');
    if file.no_header {
        let _ = writeln!(out, "  {}", profile::NO_HEADER);
    }
    if !file.shipped.is_empty() {
        let _ = writeln!(out, "  a file of this name is read by the shipped mapping: {}", file.shipped.join(", "));
    }
    let told = |kind: &String| file.contents.iter().flat_map(|c| &c.kinds).any(|k| k.name == *kind);
    for (kind, n) in file.holds.iter().filter(|(kind, _)| !told(kind)) {
        let _ = writeln!(out, "  {kind:<40} {n:>10}");
    }
    if let Some(contents) = &file.contents {
        contents_text(&mut out, contents);
    }
    if !file.columns.is_empty() {
        let _ = writeln!(out, "  {:<32} {:>9} {:>9} {:>9}  guess", "column", "filled", "empty", "distinct");
    }
    for c in &file.columns {
        let distinct = c.distinct.map_or_else(|| "> 4096".to_owned(), |n| n.to_string());
        let dates = if c.dates.is_empty() { String::new() } else { format!(" ({})", c.dates.join(" or ")) };
        let misfits = if c.misfits > 0 { format!("; {} are not", c.misfits) } else { String::new() };
        let _ =
            writeln!(out, "  {:<32} {:>9} {:>9} {distinct:>9}  {}{dates}{misfits}", c.name, c.filled, c.empty, c.guess);
        if !c.values.is_empty() {
            let values: Vec<String> = c.values.iter().map(|(v, n)| format!("{v} ({n})")).collect();
            let _ = writeln!(out, "  {:<32}   {}", "", values.join(", "));
        }
    }
    out.push('\n');
    out
}

/// What resources, messages and documents hold.
fn contents_text(out: &mut String, contents: &profile::ContentProfile) {
    for kind in &contents.kinds {
        let _ = writeln!(out, "  {:<40} {:>10}", kind.name, kind.items);
        for field in &kind.fields {
            let _ = writeln!(out, "    {:<38} {:>10} {:>6.1} %", field.name, field.filled, field.share * 100.0);
        }
    }
    let all = [
        ("code systems", &contents.systems),
        ("units", &contents.units),
        ("patients' numbers of", &contents.authorities),
    ];
    for (what, counts) in all.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        let _ = writeln!(out, "  {what}");
        for (text, n) in counts {
            let _ = writeln!(out, "    {text:<60} {n:>10}");
        }
    }
    if let Some((first, last)) = &contents.dates {
        let _ = writeln!(out, "  events from {first} to {last}");
    }
}

fn understood(what: &str, u: Understood) -> String {
    if u == Understood::default() {
        return String::new();
    }
    format!("    {what}: {} understood, {} not understood, {} without\n", u.known, u.unknown, u.missing)
}

fn file_text(f: &FileRehearsal) -> String {
    let mut out = format!("{} / {}", f.source, f.file);
    out += if f.whole { "\n" } else { " (its beginning)\n" };
    if let Some(why) = &f.failed {
        let _ = writeln!(out, "    can't be read: {why}");
    }
    for (table, n) in &f.records {
        let _ = writeln!(out, "    {table:<24} {n:>10} record(s)");
    }
    out += &understood("codes", f.codes);
    out += &understood("units of numbers", f.units);
    if f.skipped > 0 {
        let _ = writeln!(out, "    {} item(s) have no place in the schema", f.skipped);
    }
    for (kind, n) in &f.left_out {
        let _ = writeln!(out, "        {kind:<40} {n:>10}");
    }
    for (reason, r) in &f.rejected {
        let _ =
            writeln!(out, "    rejected, {reason}: {} item(s), the first in line {}: {}", r.items, r.line, r.detail);
    }
    if !f.unread.is_empty() {
        let _ = writeln!(out, "    columns that nothing reads: {}", f.unread.join(", "));
    }
    out
}

/// Why a file is not read, and what can be done.
pub(crate) fn not_read(name: &str) -> &'static str {
    let lower = name.to_ascii_lowercase();
    let is_archive = [".zip", ".7z", ".tar", ".tgz", ".tar.gz", ".rar"].iter().any(|end| lower.ends_with(end));
    match is_archive {
        true => "it is an archive; unpack it in the source's folder",
        false => "no mapping or format takes it",
    }
}

/// What is said of a source of which nothing is read.
pub(crate) fn nothing_read(source: &str) -> String {
    format!(
        "NOTHING IS READ of source '{source}': its path holds no file that its format or mapping takes; look at path, format and \
         match in site.toml, and at what lies there with site-agent source profile"
    )
}

fn rehearsal_text(found: &Rehearsal, most: Option<u64>) -> String {
    let mut out: String = found.files.iter().map(file_text).collect();
    for name in &found.ignored {
        let _ = writeln!(out, "{name}: not read; {}", not_read(name));
    }
    for f in &found.failed {
        let _ = writeln!(out, "source '{}' can't be read: {}", f.source, f.reason);
    }
    for name in &found.empty {
        let _ = writeln!(out, "{}", nothing_read(name));
    }
    if let Some(most) = most {
        let _ = writeln!(out, "looked at up to {most} records and rejected items of each file");
    }
    out += "nothing was written\n";
    out
}
