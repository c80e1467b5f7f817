//! The house rules, over `cargo metadata` and over the tree.
//!
//! Which room may use which is a table here; a new dependency between rooms is a change of this table, and of the design.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The rooms, and which others each may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("platform", &[]),
    ("schema", &[]),
    ("summaries", &[]),
    ("certs", &["platform", "proto", "privacy"]),
    ("privacy", &["summaries"]),
    ("learning", &["summaries", "privacy"]),
    ("study", &["proto", "schema", "summaries", "privacy", "learning"]),
    ("query", &["schema", "study"]),
    ("adapters", &["schema"]),
    ("streams", &["platform"]),
    (
        "site-agent",
        &[
            "proto",
            "platform",
            "schema",
            "summaries",
            "certs",
            "privacy",
            "learning",
            "study",
            "query",
            "adapters",
            "streams",
        ],
    ),
    ("custodian", &["proto", "platform", "schema", "certs", "privacy"]),
    ("coordinator", &["proto", "platform", "schema", "summaries", "certs", "privacy", "learning", "study", "query"]),
];

/// Rooms that may use everything: they hold nothing that runs in a hospital.
const EVERYTHING: &[&str] = &["simulator", "insitu-tests"];

/// Outside crates that only some rooms may name. A name ending in `*` stands for any ending.
const KEPT: &[(&str, &[&str])] = &[
    ("rocksdb", &["platform"]),
    ("tonic*", &["proto", "coordinator", "site-agent"]),
    ("datafusion*", &["query", "site-agent"]),
    ("opendp", &["privacy"]),
    ("rcgen", &["certs"]),
    ("rustls", &["certs"]),
    ("tokio-rustls", &["proto", "coordinator", "site-agent"]),
    ("tokio-postgres", &["site-agent"]),
    ("rdkafka", &["site-agent"]),
    ("hyper", &["site-agent"]),
];

/// Rooms that know no async.
const CALM: &[&str] = &["summaries", "privacy", "learning", "study", "schema", "adapters", "streams"];

const MOST_LINES: usize = 700;

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec![
            "--offline".to_owned(),
            // What is built here has been fetched; what is for other machines may not have been.
            format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .expect("cargo metadata")
});

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What each room names in its Cargo.toml, with the kind; rooms and outside crates alike.
fn named() -> BTreeMap<String, Vec<(String, DependencyKind)>> {
    METADATA
        .workspace_packages()
        .iter()
        .map(|p| (p.name.to_string(), p.dependencies.iter().map(|d| (d.name.clone(), d.kind)).collect()))
        .collect()
}

fn rooms() -> BTreeSet<String> {
    named().into_keys().collect()
}

/// All rooms that a room reaches, through whatever kind of dependency.
fn reached(from: &str, named: &BTreeMap<String, Vec<(String, DependencyKind)>>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(room) = open.pop() {
        for (name, _) in named.get(&room).into_iter().flatten() {
            if named.contains_key(name) && out.insert(name.clone()) {
                open.push(name.clone());
            }
        }
    }
    out
}

fn none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let named = named();
    let rooms = rooms();
    let known: BTreeSet<String> =
        ROOMS.iter().map(|(r, _)| *r).chain(EVERYTHING.iter().copied()).map(str::to_owned).collect();
    assert_eq!(rooms, known, "a room was added or removed; say here what it may use");
    let mut broken = Vec::new();
    for (room, may) in ROOMS {
        for (name, kind) in &named[*room] {
            if rooms.contains(name) && !may.contains(&name.as_str()) {
                broken.push(format!("{room} may not use {name} ({kind:?})"));
            }
        }
    }
    none(&broken);
}

#[test]
fn coordinator_and_site_never_meet() {
    let named = named();
    for (a, b) in [("coordinator", "site-agent"), ("site-agent", "coordinator")] {
        let reached = reached(a, &named);
        assert!(!reached.contains(b), "{a} reaches {b}");
        assert!(EVERYTHING.iter().all(|e| !reached.contains(*e)), "{a} reaches {EVERYTHING:?}");
    }
    assert!(reached("site-agent", &named).contains("summaries"), "the walk itself works");
}

/// Whoever runs rounds never holds the linkage key, and whoever holds it reads no wire: nothing joins the two programs.
#[test]
fn the_custodian_meets_neither_side() {
    let named = named();
    let custodian = reached("custodian", &named);
    for room in ["coordinator", "site-agent", "adapters", "study", "streams"] {
        assert!(!custodian.contains(room), "the custodian reaches {room}");
    }
    for room in ["coordinator", "site-agent"] {
        assert!(!reached(room, &named).contains("custodian"), "{room} reaches the custodian");
    }
}

#[test]
fn outside_crates_stay_where_they_belong() {
    let mut broken = Vec::new();
    for (room, crates) in named() {
        for (name, kind) in crates {
            for (kept, may) in KEPT {
                // A test may make a certificate of its own.
                if name == "rcgen" && kind == DependencyKind::Development {
                    continue;
                }
                let hit = kept.strip_suffix('*').map_or(name == *kept, |stem| name.starts_with(stem));
                if hit && !may.contains(&room.as_str()) {
                    broken.push(format!("{room} names {name} ({kind:?}), which belongs to {may:?}"));
                }
            }
            let asynchronous = name == "futures" || name.starts_with("tokio");
            if CALM.contains(&room.as_str()) && asynchronous {
                broken.push(format!("{room} names {name}, and knows no async"));
            }
        }
    }
    none(&broken);
}

/// Rooms whose arithmetic an auditor reads alone reach no transport, no disk and no async, even through others.
#[test]
fn the_privacy_rooms_reach_neither_wire_nor_disk_nor_async() {
    let resolve = METADATA.resolve.as_ref().unwrap();
    let name = |id: &cargo_metadata::PackageId| METADATA[id].name.to_string();
    let mut broken = Vec::new();
    for room in ["summaries", "privacy", "learning"] {
        let start = METADATA.workspace_packages().iter().find(|p| p.name.as_str() == room).unwrap().id.clone();
        let (mut seen, mut open) = (BTreeSet::from([start.clone()]), vec![start]);
        while let Some(id) = open.pop() {
            let node = resolve.nodes.iter().find(|n| n.id == id).unwrap();
            let normal = |d: &&cargo_metadata::NodeDep| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            for dep in node.deps.iter().filter(normal) {
                let dep_name = name(&dep.pkg);
                if ["tokio", "tonic", "hyper", "rocksdb", "datafusion", "rustls"].contains(&dep_name.as_str()) {
                    broken.push(format!("{room} reaches {dep_name} through {}", name(&id)));
                }
                if seen.insert(dep.pkg.clone()) {
                    open.push(dep.pkg.clone());
                }
            }
        }
    }
    none(&broken);
}

/// Without it OpenDP falls back to a generator that its own documentation calls non-secure.
#[test]
fn opendp_draws_from_openssl() {
    let resolve = METADATA.resolve.as_ref().unwrap();
    let nodes: Vec<_> = resolve.nodes.iter().filter(|n| METADATA[&n.id].name.as_str() == "opendp").collect();
    assert_eq!(nodes.len(), 1, "one OpenDP");
    let features: Vec<String> = nodes[0].features.iter().map(ToString::to_string).collect();
    assert!(features.iter().any(|f| f == "use-openssl"), "{features:?}");
    assert!(!features.iter().any(|f| f == "floating-point"), "no noise on floats: {features:?}");
}

#[test]
fn every_room_is_under_the_lints() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let workspace: toml::Table = text.parse().unwrap();
    let lints = &workspace["workspace"]["lints"];
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for lint in ["unwrap_used", "expect_used", "panic", "disallowed_methods"] {
        assert!(lints["clippy"].get(lint).is_some(), "{lint}");
    }
    for package in METADATA.workspace_packages() {
        let manifest: toml::Table = fs::read_to_string(&package.manifest_path).unwrap().parse().unwrap();
        let on = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(on, Some(true), "{} lacks [lints] workspace = true", package.name);
    }
}

/// All Rust files of the tree: path from the root, text.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    walk(&path, out);
                }
            } else if name.ends_with(".rs") {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    assert!(paths.len() > 50, "the walk finds the tree");
    paths.sort();
    let from = root();
    paths
        .into_iter()
        .map(|p| (p.strip_prefix(&from).unwrap().to_string_lossy().into_owned(), fs::read_to_string(&p).unwrap()))
        .collect()
}

/// Whether a word stands in a text by itself, not as a part of a longer name.
fn says(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .any(|(at, _)| !inside(text[..at].chars().next_back()) && !inside(text[at + word.len()..].chars().next()))
}

#[test]
fn noise_is_switched_off_in_the_simulator_alone() {
    let word = "without_noise";
    assert!(says("x::without_noise()", word) && !says("exact_without_noise()", word));
    let allowed = ["privacy/", "simulator/", "tests/tests/architecture.rs"];
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| says(text, word) && !allowed.iter().any(|a| path.starts_with(a)))
        .map(|(path, _)| format!("{path} speaks of {word}"))
        .collect();
    none(&broken);
}

/// The files that speak of one of these words outside their tests and are not allowed to.
fn speak_of(words: &[&str], allowed: &[&str], sources: &[(String, String)]) -> Vec<String> {
    let mut out = Vec::new();
    for (path, text) in sources {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let kept = allowed.iter().any(|a| path.starts_with(a)) || path.contains("/tests");
        out.extend(words.iter().filter(|w| !kept && says(code, w)).map(|w| format!("{path} speaks of {w}")));
    }
    out
}

/// Amplification by sampling is a question that a person may ask (`coordinator privacy epsilon`). A charge is made smaller by it in exactly one place,
/// `privacy::sampled`, which has the proof, and makes charges of fixed plans alone (ADR 0029): nothing else may claim the smaller cost of a sample.
#[test]
fn no_charge_is_made_smaller_by_sampling_but_in_one_place() {
    let words = ["Accountant", "sampled_gaussian", "sampled_rdp", "Pld", "admit_with", "of_paid"];
    let allowed = [
        "privacy/src/accounting/",
        "privacy/src/sampled/",
        "privacy/src/filter.rs",
        "privacy/examples/",
        "coordinator/src/cli/privacy.rs",
    ];
    none(&speak_of(&words, &allowed, &sources()));
    let planted =
        ("site-agent/src/agent.rs".to_owned(), "let e = search::epsilon(Accountant::Pld, s, q, 1, d);".to_owned());
    assert_eq!(speak_of(&words, &allowed, &[planted]).len(), 2);
}

/// A sample is drawn in one place, from the operating system's randomness, within the release that it is for: nobody else may choose who is in a round.
#[test]
fn samples_are_drawn_in_one_place() {
    let words = ["poisson("];
    let allowed = ["tests/"];
    let calls = |sources: &[(String, String)]| -> Vec<String> {
        let mut out = Vec::new();
        for (path, text) in sources {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let drawn = words.iter().any(|w| code.contains(&format!("sample::{w}")));
            out.extend((drawn && !allowed.iter().any(|a| path.starts_with(a))).then(|| path.clone()));
        }
        out
    };
    none(&calls(&sources()));
    let own: Vec<_> = sources().into_iter().filter(|(path, _)| path == "site-agent/src/agent/sample.rs").collect();
    assert!(own.len() == 1 && !own[0].1.contains("tracing"), "no log has a sample");
    let planted = ("site-agent/src/preview.rs".to_owned(), "let rows = sample::poisson(e, q, n);".to_owned());
    assert_eq!(calls(&[planted]).len(), 1);
}

/// Seeds are for made-up patients and tests. The one place of the privacy room that seeds a generator takes the operating system's
/// bytes; the identity keys of secure rounds are kept secrets, not noise.
#[test]
fn no_noise_comes_from_a_chosen_seed() {
    let words = ["seed_from_u64", "SeedableRng", "StdRng", "SmallRng", "thread_rng"];
    let allowed = ["privacy/src/sampler/parallel.rs", "privacy/src/sampler/gates.rs", "simulator/", "tests/"];
    none(&speak_of(&words, &allowed, &sources()));
    let planted = ("site-agent/src/agent.rs".to_owned(), "let rng = ChaCha20Rng::seed_from_u64(7);".to_owned());
    assert_eq!(speak_of(&words, &allowed, &[planted]).len(), 1);
}

/// What leaves is read where those who objected are left out. The lake builds gold, and the site's own reports stay at the site.
#[test]
fn releases_read_patients_through_one_filter() {
    let words = ["gold_file", "entry_file"];
    let allowed = [
        "site-agent/src/lake/",
        "site-agent/src/engine/readable.rs",
        "site-agent/src/quality/",
        "site-agent/src/streaming/source.rs",
        "site-agent/src/coverage.rs",
    ];
    none(&speak_of(&words, &allowed, &sources()));
    // Neither report is within reach of what answers rounds.
    none(&speak_of(&["quality::run", "coverage::run"], &["site-agent/src/control.rs"], &sources()));
    // Nor are a site's own predictions.
    let for_itself = ["site-agent/src/engine/mod.rs", "site-agent/src/model.rs"];
    none(&speak_of(&["for_itself"], &for_itself, &sources()));
    none(&speak_of(&["model::predict"], &["site-agent/src/control.rs"], &sources()));
    let planted = ("site-agent/src/agent.rs".to_owned(), "let f = lake.gold_file(&gold, Table::Patient);".to_owned());
    assert_eq!(speak_of(&words, &allowed, &[planted]).len(), 1);
}

#[test]
fn files_say_what_they_own_and_stay_small() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let file = path.rsplit('/').next().unwrap_or_default();
        if !["build.rs", "tests.rs"].contains(&file) && !text.starts_with("//!") {
            broken.push(format!("{path} does not open with what it owns (//!)"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            broken.push(format!("{path} has {lines} lines; the most is {MOST_LINES}"));
        }
    }
    none(&broken);
}

#[test]
fn nothing_is_left_to_do_or_skipped_silently() {
    // Written in two halves, so that this file does not say them.
    let unfinished = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let ignored = concat!("#[ign", "ore]");
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (i, line) in text.lines().enumerate() {
            if unfinished.iter().any(|u| line.contains(u)) {
                broken.push(format!("{path}:{}: unfinished", i + 1));
            }
            if line.contains(ignored) {
                broken.push(format!("{path}:{}: ignored without a reason; write #[ignore = \"...\"]", i + 1));
            }
        }
    }
    none(&broken);
}

#[test]
fn no_room_is_a_drawer() {
    const DRAWERS: &[&str] = &["common", "core", "util", "utils", "misc", "helpers", "shared"];
    let mut broken = Vec::new();
    for room in rooms() {
        if DRAWERS.contains(&room.as_str()) {
            broken.push(format!("the room {room}"));
        }
    }
    for (path, text) in sources() {
        if path.split('/').any(|p| DRAWERS.contains(&p.strip_suffix(".rs").unwrap_or(p))) {
            broken.push(format!("the file {path}"));
        }
        for (i, line) in text.lines().enumerate() {
            let words: Vec<&str> =
                line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
            let declared = words.windows(2).any(|w| w[0] == "mod" && DRAWERS.contains(&w[1]));
            if declared && !line.trim_start().starts_with("//") {
                broken.push(format!("{path}:{}: a module that is a drawer", i + 1));
            }
        }
    }
    none(&broken);
}
