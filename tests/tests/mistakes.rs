//! The table of what holds the fifteen mistakes off (`privacy/src/manual/guards.rs`) is true of the tree; and what no other place tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use privacy::{Caps, Cost, DiscreteGaussian, Mechanism, Part, PrivacyFilter, Rho, Sensitive, Spent};
use summaries::{Lanes, Sensitivity};

const MISTAKES: u32 = 15;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// One row: the mistake, a name, the file that it is in, whether it plants the mistake.
struct Guard {
    mistake: u32,
    name: String,
    file: String,
    planted: bool,
}

fn table(text: &str) -> Vec<Guard> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("//! | ")?.split('|').map(str::trim).collect();
        let [mistake, name, file, planted, ..] = cells.as_slice() else { return None };
        Some(Guard {
            mistake: mistake.parse().ok()?,
            name: name.trim_matches('`').to_owned(),
            file: file.trim_matches('`').to_owned(),
            planted: *planted == "planted",
        })
    };
    text.lines().filter_map(row).collect()
}

/// Whether a file has the name as a test of its own, or as a type.
fn stands(name: &str, text: &str) -> bool {
    if name.starts_with(char::is_uppercase) {
        return [format!("struct {name}"), format!("enum {name}")].iter().any(|t| text.contains(t.as_str()));
    }
    // The attribute stands on one of the lines before the function, with nothing but attributes and comments between.
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|l| l.starts_with(&format!("fn {name}("))) else { return false };
    let above = lines[..at].iter().rev().take_while(|l| l.starts_with("#[") || l.starts_with("//"));
    above.into_iter().any(|l| *l == "#[test]")
}

/// What is wrong with a table, given how files are read.
fn faults(table: &[Guard], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut out = Vec::new();
    let held: BTreeSet<u32> = table.iter().map(|g| g.mistake).collect();
    let missing = (1..=MISTAKES).filter(|m| !held.contains(m));
    out.extend(missing.map(|m| format!("nothing is named for mistake {m}")));
    for g in table {
        match read(&g.file) {
            None => out.push(format!("mistake {}: there is no file {}", g.mistake, g.file)),
            Some(text) if !stands(&g.name, &text) => {
                out.push(format!("mistake {}: {} has no test and no type {}", g.mistake, g.file, g.name));
            }
            Some(_) => {}
        }
    }
    out
}

#[test]
fn every_mistake_has_its_guards_in_the_tree() {
    let table = table(&read("privacy/src/manual/guards.rs").unwrap());
    let found = faults(&table, read);
    assert!(found.is_empty(), "{}", found.join("\n"));
    println!("{} guards, {} of them with the mistake planted", table.len(), table.iter().filter(|g| g.planted).count());
}

/// Planted: a test that was renamed, one that is a test no more, a file that is gone, a mistake without a guard.
#[test]
fn a_table_that_rots_is_found() {
    let text = "//! | 1 | `kept` | `a.rs` | |\n//! | 2 | `renamed` | `a.rs` | |\n//! | 3 | `plain` | `a.rs` | |\n\
                //! | 4 | `kept` | `gone.rs` | planted |\n//! | 5 | `Kind` | `a.rs` | |\n";
    let source =
        "/// A type.\npub struct Kind;\n#[test]\n/// Says.\nfn kept() {}\nfn plain() {}\n#[test]\nfn other() {}\n";
    let found = faults(&table(text), |file| (file == "a.rs").then(|| source.to_owned()));
    let of = |m: u32| found.iter().filter(|f| f.contains(&format!("mistake {m}:"))).count();
    assert_eq!((of(1), of(2), of(3), of(4), of(5)), (0, 1, 1, 1, 0), "{found:?}");
    assert_eq!(found.iter().filter(|f| f.starts_with("nothing is named")).count(), 10);
}

/// Where it is set, this program draws noise, prints it and ends.
const DRAWS: &str = "INSITU_TEST_DRAWS";

/// Noise for eight counts, through OpenDP's sampler, and for a thousand, through the room's own.
fn noise() -> String {
    let drawn = |lanes: usize| {
        let rho = Rho::from_nano(28_000_000);
        let filter = PrivacyFilter::new(Caps::flat(rho));
        let charge = filter.admit(Cost::gaussian(rho), &[(2020, Spent::default())]).unwrap();
        let lanes = Sensitive::new(Lanes::zeros(lanes));
        let part = Part { lanes, sensitivity: Sensitivity::cells(1), weight: 1.0 };
        DiscreteGaussian.release(vec![part], charge).unwrap().into_inner().pop().unwrap().lanes
    };
    format!("few {:?}\nmany {:?}", drawn(8), &drawn(1_000)[..8])
}

/// Two draws that have a line of noise in common came from one state.
fn repeats(a: &str, b: &str) -> bool {
    a.lines().zip(b.lines()).any(|(a, b)| a == b)
}

#[test]
fn two_processes_draw_different_noise() {
    if std::env::var_os(DRAWS).is_some() {
        println!("{}", noise());
        return;
    }
    let child = || {
        let mut c = Command::new(std::env::current_exe().unwrap());
        c.args(["--exact", "two_processes_draw_different_noise", "--nocapture"]).env(DRAWS, "1");
        let out = String::from_utf8(c.output().unwrap().stdout).unwrap();
        let of = |word: &str| out.lines().find_map(|l| Some(l[l.find(word)?..].to_owned())).unwrap();
        format!("{}\n{}", of("few ["), of("many ["))
    };
    let (a, b) = (child(), child());
    assert!(!repeats(&a, &b), "two processes drew the same noise:\n{a}\n{b}");
    // Planted: a process that starts from the other's state.
    assert!(repeats(&a, &a) && repeats(&a, &a.replacen("few", "other", 1)));
}
