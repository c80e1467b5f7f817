//! Debits of the ledger: how many a second, each synced, beside plain synced writes of 4 KiB to the same disk.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use platform::{Clock as _, RocksStore, SystemClock};
use privacy::{Cap, Caps, DiscreteGaussian, Mechanism as _, Part, Rho, Sensitive};
use proto::{Hash, RoundId, SiteId, StudyId};
use serde_json::{Value, json};
use site_agent::ledger::Ledger;
use site_agent::releases::{Noised, Order, Releases};
use summaries::{Lanes, Sensitivity};

/// Years of entry that each debit touches: 27, as a study of patients since 2000 does.
const BLOCKS: std::ops::RangeInclusive<u16> = 2000..=2026;

/// Times in seconds of the three, one after the other, so that a disk that slows down slows all.
struct Times {
    overwrite: Vec<f64>,
    append: Vec<f64>,
    debit: Vec<f64>,
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// An order of a round that was not asked before.
fn order(study: &StudyId, round: u32, rho: Rho) -> Order {
    Order {
        round: RoundId { study: study.clone(), analysis: 0, round },
        attempt: 0,
        plan_hash: Hash([1; 32]),
        parameters_hash: Hash([2; 32]),
        rho,
        blocks: BLOCKS.collect(),
        reruns: 0,
        question: None,
        prepaid: None,
        planned: None,
    }
}

fn measure(debits: u32) -> anyhow::Result<Times> {
    let folder = tempfile::tempdir()?;
    let store: platform::store::SharedStore = Arc::new(RocksStore::open(&folder.path().join("store"))?);
    let wide = Cap::new(Rho::from_nano(1 << 50), 1.0);
    let caps = Caps { study: wide, year: wide, tranche: wide, lifetime: wide };
    let ledger = Ledger::open(store.clone())?;
    let releases = Releases::new(store, SiteId::parse("bench")?, caps);
    let (study, rho) = (StudyId::parse("bench")?, Rho::from_nano(28_000_000));
    let file = |name: &str| std::fs::File::create_new(folder.path().join(name));
    let (over, behind) = (file("overwritten")?, file("appended")?);
    let mut times = Times { overwrite: Vec::new(), append: Vec::new(), debit: Vec::new() };
    let timed = |own: &mut Vec<f64>, from: Instant| own.push(from.elapsed().as_secs_f64());
    for i in 0..debits {
        let t = Instant::now();
        over.write_all_at(&[7; 4096], 0)?;
        over.sync_data()?;
        timed(&mut times.overwrite, t);
        let t = Instant::now();
        behind.write_all_at(&[7; 4096], u64::from(i) * 4096)?;
        behind.sync_data()?;
        timed(&mut times.append, t);
        let t = Instant::now();
        let noise = |charge| {
            let lanes = Sensitive::new(Lanes::zeros(1));
            let part = Part { lanes, sensitivity: Sensitivity::cells(1), weight: 1.0 };
            Ok(Noised::local(&DiscreteGaussian.release(vec![part], charge)?))
        };
        let what = (DiscreteGaussian.name(), ["count".to_owned()]);
        releases.seal(&ledger, &order(&study, i, rho), SystemClock.now(), (what.0, &what.1), noise, |_| {})?;
        timed(&mut times.debit, t);
    }
    Ok(times)
}

/// Rows of figures: medians, and the ratio to the floors.
///
/// # Errors
/// The disk or the ledger fails.
pub fn run(debits: u32) -> anyhow::Result<Vec<Value>> {
    let mut t = measure(debits.max(1)).context("the ledger's figures")?;
    let (over, append, debit) = (median(&mut t.overwrite), median(&mut t.append), median(&mut t.debit));
    let row = |what: &str, value: f64| json!({ "what": what, "value": value });
    Ok(vec![
        row("synced write of 4 KiB over itself, median, ms", over * 1e3),
        row("synced write of 4 KiB behind the last, median, ms", append * 1e3),
        row("debit of the ledger with its release, one synced transaction, median, ms", debit * 1e3),
        row("debits a second, by the median", 1.0 / debit),
        row("debit to the write over itself, times", debit / over),
        row("debit to the write behind the last, times", debit / append),
    ])
}
