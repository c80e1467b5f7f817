//! Golden bytes: what two versions of the software must agree on to the last bit.
//!
//! A change here is a change of what is signed, charged or sent. Old plans, ledgers and releases would no longer verify, so it
//! needs a new version prefix, not a new golden value. The hashes were computed once by another implementation (Python's
//! `hashlib`), from the texts and the prefixes alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use proptest::prelude::*;
use proto::manifest::parameters_hash;
use proto::{Hash, Manifest, PartManifest, RoundId, SiteId, StudyId, payload};
use study::plan::hash_of;
use study::{Plan, budget, read};

const STUDY: &str = r#"
id = "golden"
version = "1.0"
title = "Golden"
schema = ">=1.1,<2"
purpose = "research"
expires = "2030-06-30"

[rounds]
min_sites = 3
deadline_seconds = 60
gather_seconds = 5
attempts = 2

[code_systems]
own = "urn:insitu:golden"

[concept_sets.diabetes]
icd10 = ["E10*", "E11*"]

[cohorts.target]
entry = { table = "visit", where = { class = ["ER"] } }
inclusion = [{ age = [18, 90] }, { has = "condition", set = "diabetes", within = [-365, 0] }]

[features.age]
kind = "age"
bounds = [18.0, 90.0]

[features.sex]
kind = "sex"
levels = ["F", "M"]

[features.weight]
kind = "measurement"
code = "own:weight"
unit = "kg"
bounds = [20.0, 250.0]

[features.readmitted]
kind = "has"
table = "visit"
window = [1, 30]

[[analysis]]
kind = "count"

[[analysis]]
kind = "table1"
variables = ["age", "sex", "weight"]
share = 2.0

[[analysis]]
name = "model"
kind = "logistic"
outcome = "readmitted"
features = ["age", "sex"]
steps = 2

[privacy]
epsilon = 1.5
delta = 1e-7
"#;

fn plan() -> Plan {
    Plan::new("golden-federation", read::checked(STUDY).unwrap()).unwrap()
}

fn manifest() -> Manifest {
    let bytes = payload::encode([&[1i64, -2, i64::MAX][..], &[i64::MIN][..]]);
    Manifest {
        site: SiteId::parse("de-01").unwrap(),
        round: RoundId { study: StudyId::parse("golden").unwrap(), analysis: 2, round: 1 },
        attempt: 1,
        plan_hash: Hash([0xab; 32]),
        parameters_hash: parameters_hash(&[0.5, -0.0]),
        mechanism: "discrete-gaussian".into(),
        rho_nano: 1_234_567,
        entered: vec![[2000, 2019], [2021, 2026]],
        secure: Some(proto::SecureManifest { instance: Hash([0xcd; 32]), threshold: 27, colluders: 2 }),
        reused: None,
        parts: vec![
            PartManifest {
                name: "gradient".into(),
                lanes: 3,
                sigma_nano: "123456789012345678901".into(),
                grid_bits: 0,
            },
            PartManifest { name: "curvature".into(), lanes: 1, sigma_nano: "1".into(), grid_bits: 7 },
        ],
        payload_hash: Hash::of(&bytes),
    }
}

#[test]
fn the_payload_is_64_bit_little_endian() {
    let bytes = payload::encode([&[1i64, -2, i64::MAX][..], &[i64::MIN][..]]);
    let words = [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        [0, 0, 0, 0, 0, 0, 0, 0x80],
    ];
    assert_eq!(bytes, words.concat());
    assert_eq!(payload::decode(&bytes, 4).unwrap(), [1, -2, i64::MAX, i64::MIN]);
}

#[test]
fn the_parameters_hash_is_of_their_bits() {
    assert_eq!(parameters_hash(&[]).to_string(), "3210fe2be52399a4f230574501f9fedb92443a6be2c8ac0e09beb7b988752007");
    assert_eq!(
        parameters_hash(&[0.5, -0.0, 1e300]).to_string(),
        "2fbc8470267353d92e34e188a5248f819447c054c96ebaddfa3c920db332ea60"
    );
    assert_ne!(parameters_hash(&[0.0]), parameters_hash(&[-0.0]));
    assert_ne!(parameters_hash(&[0.1 + 0.2]), parameters_hash(&[0.3]));
}

#[test]
fn the_manifest_and_its_id() {
    let bytes = manifest().canonical().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(
        Hash::of(&bytes).to_string(),
        "cf2f1780ea7e7ef27b2b8daf29ea391f271f3e1fcbdd9724b2af6b1bb2215ba7",
        "{text}"
    );
    assert_eq!(
        manifest().id().unwrap().to_string(),
        "bbcf93be6fcf10f5fa1f5d27d6ac9e287c73c979130ba85d6733cc037c60ac6e",
        "{text}"
    );
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest());
}

#[test]
fn the_plan_and_its_hash() {
    let bytes = plan().canonical().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.starts_with(r#"{"format":"insitu-plan-2","federation":"golden-federation","study":{"id":"golden""#),
        "{text}"
    );
    assert_eq!(
        Hash::of(&bytes).to_string(),
        "72793e41df127357c416905446c4e256b8fee6e9fbd69162d89affa7339213b5",
        "{text}"
    );
    assert_eq!(
        plan().hash().unwrap().to_string(),
        "350d44507c76cb7ac9eb4865f8421796ad9df34cd3a98d0078a4584fb7ca99dc",
        "{text}"
    );
    assert_eq!(Plan::parse(&bytes).unwrap(), plan());
    assert_eq!(hash_of(&bytes), plan().hash().unwrap());
}

/// Sites and coordinator derive every charge from the plan alone, each for itself; a billionth of difference and no release
/// would be taken.
#[test]
fn the_charges_of_the_plan() {
    let nano: Vec<Vec<u64>> =
        budget::allocate(&plan()).unwrap().iter().map(|a| a.iter().map(|r| r.nano()).collect()).collect();
    let golden: Vec<Vec<u64>> = vec![vec![12_194_836], vec![24_389_674], vec![5_419_927, 5_419_927, 1_354_981]];
    assert_eq!(nano, golden);
    let sum: u64 = nano.iter().flatten().sum();
    let total = budget::total(&plan()).nano();
    assert!(sum <= total && sum + 10 > total, "{sum} of {total}");
}

/// Comments, spaces and the order of keys in `study.toml` are not part of the plan; a word of it is.
#[test]
fn the_same_study_written_otherwise_has_the_same_hash() {
    let (head, tail) = STUDY.split_once("[features.age]").unwrap();
    let (age, rest) = tail.split_once("[features.sex]").unwrap();
    let (sex, rest) = rest.split_once("[features.weight]").unwrap();
    let turned = format!("# a comment\n{head}\n[features.sex]{sex}\n\n[features.age]{age}[features.weight]{rest}");
    let other = Plan::new("golden-federation", read::checked(&turned).unwrap()).unwrap();
    assert_eq!(other.hash().unwrap(), plan().hash().unwrap());
    let elsewhere = Plan::new("another-federation", read::checked(STUDY).unwrap()).unwrap();
    assert_ne!(elsewhere.hash().unwrap(), plan().hash().unwrap(), "a plan can't be replayed in another federation");
}

/// Reads bytes that are not the plan's: they are no plan, or another one with another hash.
fn other(bytes: &[u8], whole: &Plan, hash: Hash) -> Result<bool, String> {
    match Plan::parse(bytes) {
        Err(_) => Ok(false),
        Ok(p) if p == *whole => Err("other bytes mean the same plan".to_owned()),
        Ok(_) if hash_of(bytes) == hash => Err("another plan has the same hash".to_owned()),
        Ok(p) if p.canonical().ok().as_deref() != Some(bytes) => Err("it was taken and is not canonical".to_owned()),
        Ok(_) => Ok(true),
    }
}

#[test]
fn a_flipped_bit_is_no_plan_or_another_one() {
    let (plan, bytes) = (plan(), plan().canonical().unwrap());
    let hash = hash_of(&bytes);
    let (mut refused, mut others) = (0, 0);
    for at in 0..bytes.len() {
        // Each bit, and each byte that means something to JSON.
        let flipped = (0..8).map(|bit| bytes[at] ^ (1 << bit));
        let marks = br#" "\{}[],:0-+.eE"#.iter().copied();
        for byte in flipped.chain(marks).filter(|b| *b != bytes[at]) {
            let mut changed = bytes.clone();
            changed[at] = byte;
            match other(&changed, &plan, hash).unwrap_or_else(|e| panic!("byte {at} as {byte:#x}: {e}")) {
                true => others += 1,
                false => refused += 1,
            }
        }
    }
    println!("{} bytes: {refused} changes are no plan, {others} are another plan", bytes.len());
    assert!(refused > others && others > 0);
    for at in 0..bytes.len() {
        assert!(Plan::parse(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(Plan::parse(&[&bytes[..], b" "].concat()).is_err() && Plan::parse(&[&bytes[..], b"\n"].concat()).is_err());
}

#[test]
fn a_flipped_bit_is_no_manifest_or_another_one() {
    let (whole, bytes) = (manifest(), manifest().canonical().unwrap());
    let id = whole.id().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(m) = Manifest::parse(&changed) {
                assert!(m != whole && m.id().unwrap() != id, "byte {at}, bit {bit}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Pieces cut out, doubled and put elsewhere: an answer, never a panic.
    #[test]
    fn a_mangled_plan_is_an_answer(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4)) {
        let whole = plan_once();
        let mut bytes = whole.1.clone();
        for (a, b, to) in cuts {
            let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
            let piece = bytes[a.min(b)..a.max(b)].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..to, piece);
        }
        if bytes != whole.1 {
            prop_assert!(other(&bytes, &whole.0, hash_of(&whole.1)).is_ok());
        }
    }
}

fn plan_once() -> &'static (Plan, Vec<u8>) {
    static ONCE: std::sync::OnceLock<(Plan, Vec<u8>)> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| (plan(), plan().canonical().unwrap()))
}
