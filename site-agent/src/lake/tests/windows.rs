//! The windows of a continuous study over a feed: whatever order its messages come in, however often, with corrections and results that are
//! taken back, and whatever was read in between, the last answer of a window is that of all messages at once, and of a plain reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;
use proto::Hash;
use study::schedule::Schedule;

use super::hl7::{HL7, hospital};
use super::*;
use crate::engine::Engine;

/// Of January 2022. The washout is at most four days, so that windows look into those before them.
const DAYS: u32 = 28;

fn study(window: &str, washout: u32) -> study::Study {
    let text = format!(
        "id = \"s\"\nversion = \"1.0.0\"\nschema = \">=1.1,<2\"\npurpose = \"research\"\nexpires = \"2035-12-31\"\n\
         [concept_sets.k]\nloinc = [\"2823-3\"]\n\
         [cohorts.target]\nentry = {{ table = \"measurement\", set = \"k\", occurrence = \"first\", washout = {washout} }}\n\
         [stream]\nfrom = \"2022-01-01\"\nuntil = \"2022-01-{DAYS}\"\nwindow = \"{window}\"\nemit = [\"+24h:final\"]\n\
         [privacy]\nepsilon = 0.8\n[[analysis]]\nkind = \"count\"\n"
    );
    study::read::checked(&text).unwrap_or_else(|p| panic!("{p:?}"))
}

/// What a feed says at a minute: of an order of a patient, the day of its result, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Said {
    minute: u32,
    order: u32,
    day: u32,
    gone: bool,
}

/// Three patients have five orders each.
fn patient(order: u32) -> u32 {
    order % 3
}

fn message(said: &Said) -> String {
    let Said { minute, order, day, gone } = *said;
    let time = format!("20220301{:02}{:02}00", minute / 60, minute % 60);
    let obx = if gone { "||||||||D" } else { "||4.1|mmol/L|||||C" };
    format!(
        "MSH|^~\\&|HIS|H|E|H|{time}||ORU^R01|M{minute}|P|2.5\rPID|1||P{}^^^H^MR||DOE^X||19500101|M\r\
         OBR|1||F{order}^LAB|1^C^LN|||202201{day:02}120000\rOBX|1|NM|2823-3^K^LN{obx}\r",
        patient(order)
    )
}

/// How many patients each window has.
async fn told(hospital: &Hospital, study: &study::Study, engine: &Engine) -> Vec<usize> {
    let schedule = Schedule::of(study).unwrap();
    let blocks = hospital.config.budget.blocks(2026, None);
    let mut out = Vec::new();
    for round in 0..schedule.emissions().len() as u32 {
        let own = schedule.study_at(study, round).unwrap();
        let hash = Hash([round as u8; 32]);
        let patients = engine.patients(&hospital.config, &hospital.lake, &own, hash, 0, &blocks).await;
        out.push(patients.unwrap_or_else(|e| panic!("{e}")).0.persons.len());
    }
    out
}

/// The same by a plain reading of what was said last of each order.
fn expected(said: &[Said], study: &study::Study, washout: u32) -> Vec<usize> {
    let mut last: BTreeMap<u32, Said> = BTreeMap::new();
    for s in said {
        let held = last.entry(s.order).or_insert(*s);
        if s.minute >= held.minute {
            *held = *s;
        }
    }
    let mut days: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for s in last.values().filter(|s| !s.gone) {
        days.entry(patient(s.order)).or_default().insert(s.day);
    }
    let day = |date: &chrono::NaiveDate| chrono::Datelike::day(date);
    let schedule = Schedule::of(study).unwrap();
    let enters = |own: &BTreeSet<u32>, from: u32, until: u32| {
        own.range(from..=until).any(|d| own.range(d.saturating_sub(washout)..*d).next().is_none())
    };
    let windows = schedule.emissions().iter().map(|e| (day(&e.first), day(&e.last)));
    windows.map(|(from, until)| days.values().filter(|own| enters(own, from, until)).count()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn the_last_answer_of_a_window_is_that_of_all_rows_at_once(
        said in prop::collection::vec((0u32..15, 1..=DAYS, prop::bool::weighted(0.2)), 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        window in prop::sample::select(vec!["tumbling 7d", "sliding 7d every 2d", "tumbling 1d"]),
        washout in 0u32..5, parts in 1usize..4,
    ) {
        let said: Vec<Said> =
            said.into_iter().zip(1..).map(|((order, day, gone), minute)| Said { minute, order, day, gone }).collect();
        // Each message at least once, some more often, in any order.
        let mut replay: Vec<Said> = said.iter().copied().chain(order.iter().take(9).map(|i| said[i.index(said.len())])).collect();
        for (i, other) in order.iter().enumerate().take(replay.len()) {
            let j = other.index(replay.len());
            replay.swap(i, j);
        }
        let study = study(window, washout);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (streamed, at_once) = runtime.block_on(async {
            let engine = Engine::new(Arc::new(ManualClock::at(Micros(1_700_000_000_000_000))));
            let live = hospital(HL7, &[]);
            let mut streamed = Vec::new();
            for (i, part) in replay.chunks(replay.len().div_ceil(parts)).enumerate() {
                let text = part.iter().fold(String::new(), |mut text, s| {
                    let _ = write!(text, "{}", message(s));
                    text
                });
                std::fs::write(live.file(&format!("{i}.hl7")), text).unwrap();
                live.ingest().await;
                // What is told before all has come is not the last answer, and must not stand in its way.
                streamed = told(&live, &study, &engine).await;
            }
            let whole = hospital(HL7, &[("feed.hl7", said.iter().map(message).collect())]);
            whole.ingest().await;
            (streamed, told(&whole, &study, &engine).await)
        });
        let expected = expected(&said, &study, washout);
        prop_assert_eq!(&at_once, &expected, "the batch");
        prop_assert_eq!(&streamed, &expected, "the stream");
    }
}
