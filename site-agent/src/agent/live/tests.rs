use std::sync::Arc;

use platform::{ManualClock, OsEntropy};
use proto::wire::SignedPlan;
use proto::{Hash, StudyId};

use super::*;
use crate::config::Config;
use crate::studies::{Decision, Record};

/// 10 February 2027: two days after the end of the week to the 7th.
const DUE: i64 = 1_802_217_600_000_000;

const STUDY: &str = r#"
id = "live"
version = "1"
schema = ">=1.1,<2"
purpose = "public_health"
expires = "2028-01-01"
[cohorts.target]
entry = { table = "measurement" }
[stream]
from = "2027-02-01"
until = "2027-02-14"
window = "tumbling 1w"
emit = ["+2d:final"]
[[analysis]]
kind = "count"
[privacy]
epsilon = 0.8
[suppression]
k = 11
"#;

struct Here {
    dir: tempfile::TempDir,
    agent: Agent,
    clock: Arc<ManualClock>,
    hash: Hash,
}

fn here(settings: &str) -> Here {
    with_study(settings, STUDY)
}

fn with_study(settings: &str, text: &str) -> Here {
    let dir = tempfile::tempdir().unwrap();
    let toml = "id = \"s-1\"\nname = \"S\"\ncountry = \"DE\"\ntime_zone = \"UTC\"\n[[source]]\nname = \"lab\"\nformat = \"csv\"\n\
                path = \"extract\"\nmapping = \"m.toml\"\n";
    let mapping = "format = \"csv\"\n[[file]]\nmatch = \"*.csv\"\ndates = [\"%Y-%m-%d\"]\nperson = { column = \"id\" }\n[[file.row]]\n\
                   table = \"patient\"\n[file.row.set]\nsex = { column = \"sex\", map = { f = \"F\" } }\nbirth = { column = \"birth\" }\n[[file.row]]\n\
                   table = \"measurement\"\n[file.row.set]\ncode_system = \"loinc\"\ncode = \"8480-6\"\nvalue_num = { column = \"v\" }\n\
                   unit_src = \"mmHg\"\nevent = { column = \"day\" }\n";
    std::fs::write(dir.path().join("site.toml"), format!("{toml}{settings}")).unwrap();
    std::fs::write(dir.path().join("m.toml"), mapping).unwrap();
    std::fs::create_dir(dir.path().join("extract")).unwrap();
    std::fs::write(dir.path().join("extract/a.csv"), "id,v,day,sex,birth\n1,120,2027-02-03,f,1960-01-01\n").unwrap();
    let clock = Arc::new(ManualClock::at(Micros(DUE - 60_000_000)));
    let config = Config::read(dir.path()).unwrap();
    let agent = Agent::open(config, Box::new(privacy::DiscreteGaussian), clock.clone(), Arc::new(OsEntropy)).unwrap();
    let plan = Plan::new("f", study::read::checked(text).unwrap()).unwrap();
    let hash = plan.hash().unwrap();
    let record = Record {
        study: plan.study.id.clone(),
        plan_hash: hash,
        decision: Decision::Approved,
        objection: None,
        decided_by: "policy".to_owned(),
        decided_micros: 0,
        outcome: None,
        signer: "ada".to_owned(),
        signer_key: None,
        title: String::new(),
        epsilon: 0.8,
    };
    let signed = SignedPlan { plan: plan.canonical().unwrap().into(), ..SignedPlan::default() };
    agent.studies.put(&record, Some(&signed)).unwrap();
    Here { dir, agent, clock, hash }
}

impl Here {
    fn order(&self, round: u32) -> wire::RoundOrder {
        let round = RoundId { study: StudyId::parse("live").unwrap(), analysis: 0, round };
        wire::RoundOrder { round: Some((&round).into()), plan_hash: self.hash.0.to_vec().into(), ..Default::default() }
    }

    /// Whether the window is still waited for after a while.
    async fn waits(&self, round: u32) -> bool {
        tokio::time::timeout(Duration::from_millis(1500), self.agent.window_is_due(&self.order(round))).await.is_err()
    }
}

#[tokio::test]
async fn a_window_waits_for_its_day_and_then_has_the_sources_read() {
    let here = here("");
    assert_eq!(Schedule::of(&study::read::checked(STUDY).unwrap()).unwrap().emission(0).unwrap().due_micros, DUE);
    assert!(here.waits(0).await, "it is not due yet");
    assert_eq!(here.agent.lake.last_read().unwrap(), Micros(i64::MIN));
    here.clock.advance_seconds(120);
    here.agent.window_is_due(&here.order(0)).await.unwrap();
    assert!(here.agent.lake.last_read().unwrap() >= Micros(DUE));
    assert_eq!(here.agent.lake.ingested().unwrap().len(), 1);
    // It was read for this window; the next one has a reading of its own.
    here.clock.advance_seconds(7 * 86_400);
    std::fs::write(here.dir.path().join("extract/b.csv"), "id,v,day,sex,birth\n2,120,2027-02-09,f,1960-01-01\n")
        .unwrap();
    here.agent.window_is_due(&here.order(1)).await.unwrap();
    assert_eq!(here.agent.lake.ingested().unwrap().len(), 2);
}

#[tokio::test]
async fn without_leave_to_read_a_window_waits_for_an_ingestion_that_began_after_it_was_due() {
    let here = here("[streams]\nread_sources = false\n");
    here.agent.ingest(&mut |_, _, _| ()).await.unwrap();
    here.clock.advance_seconds(120);
    assert!(here.waits(0).await, "what was read was read too early");
    here.agent.ingest(&mut |_, _, _| ()).await.unwrap();
    assert!(!here.waits(0).await);
}

#[tokio::test]
async fn sources_that_can_not_be_read_hold_the_window_back() {
    let here = here("");
    here.clock.advance_seconds(120);
    std::fs::rename(here.dir.path().join("extract"), here.dir.path().join("gone")).unwrap();
    assert!(here.waits(0).await);
    assert_eq!(here.agent.lake.last_read().unwrap(), Micros(i64::MIN));
}

#[tokio::test]
async fn a_window_is_not_waited_for_any_more_when_a_later_one_was_asked_or_the_site_has_paused() {
    let here = here("");
    assert!(here.waits(1).await);
    assert_eq!(here.agent.window_is_due(&here.order(0)).await.unwrap_err().code, "passed_over");
    let study = StudyId::parse("live").unwrap();
    let record = here.agent.studies.get(&study).unwrap().unwrap();
    here.agent.studies.put(&Record { decision: Decision::Paused, ..record }, None).unwrap();
    assert_eq!(here.agent.window_is_due(&here.order(1)).await.unwrap_err().code, "paused");
}

/// What the store has of a study's noises, by window.
fn noises(agent: &Agent) -> Vec<(Vec<u8>, Vec<u8>)> {
    agent.store.scan(b"noise/live/").unwrap()
}

/// Noises that hang together are drawn once, kept with the release, found again after a restart, and removed with the study.
#[tokio::test]
async fn noises_that_hang_together_are_kept_with_the_release_and_go_with_the_study() {
    let text = STUDY.replace("window = ", "noise = \"toeplitz\"\nwindows_per_patient = 1\nwindow = ");
    let text = text.replace("2027-02-14", "2027-03-07").replace("k = 11", "k = 0");
    let settings = "[disclosure]\nmin_cell = 0\nmin_cohort = 0\nstreams = \"allow\"\n";
    let mut here = with_study(settings, &text);
    here.clock.advance_seconds(120);
    let first = here.agent.answer(here.order(0)).await.unwrap();
    assert_eq!(first.record.manifest.mechanism, "discrete-gaussian-toeplitz");
    assert_eq!(noises(&here.agent).len(), 1);
    assert_eq!(here.agent.answer(here.order(0)).await.unwrap(), first, "sent again");
    // The second window is passed over; the agent starts anew between.
    let before = noises(&here.agent);
    let (config, clock) = (here.agent.config.clone(), here.clock.clone());
    drop(here.agent);
    here.agent = Agent::open(config, Box::new(privacy::DiscreteGaussian), clock, Arc::new(OsEntropy)).unwrap();
    here.clock.advance_seconds(14 * 86_400);
    let third = here.agent.answer(here.order(2)).await.unwrap();
    let kept = noises(&here.agent);
    assert_eq!(kept.len(), 3, "that of the window between was drawn as well");
    assert_eq!(kept[0], before[0], "and none was drawn again");
    // The windows are the patients and the noise that is kept, to the grid: one patient in the first, none in the third.
    let series = study::budget::series(&study::read::checked(&text).unwrap()).unwrap();
    let drawn: Vec<f64> =
        kept.iter().map(|(_, b)| i64::from_le_bytes(b[..8].try_into().unwrap()) as f64 / 1024.0).collect();
    for (sealed, window, patients) in [(&first, 0u32, 1.0), (&third, 2, 0.0)] {
        let part = &sealed.record.manifest.parts[0];
        let lanes = proto::payload::decode(&sealed.payload, part.lanes).unwrap();
        let unit = privacy::mechanism::grid(part.grid_bits);
        let noise: f64 = series.row(window).iter().map(|(p, d)| d * drawn[*p as usize]).sum();
        assert!((lanes[0] as f64 - patients * unit - noise).abs() < 0.51, "{window}: {lanes:?} of {noise}");
        let unit_sigma = privacy::mechanism::gaussian_sigma(1.0, sealed_rho(&text));
        let sigma = part.sigma().unwrap() / unit;
        assert!((sigma / (unit_sigma * series.window_factor(window)) - 1.0).abs() < 1e-5, "{sigma}");
    }
    here.agent.closed(&StudyId::parse("live").unwrap(), "done").unwrap();
    assert!(noises(&here.agent).is_empty());
}

fn sealed_rho(text: &str) -> privacy::Rho {
    study::budget::prepaid(&study::read::checked(text).unwrap()).unwrap().noise()
}
