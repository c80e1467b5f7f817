//! An agent that listens for HL7 v2 and is killed with −9 again and again loses no message that it acknowledged, and takes none twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Float64Type;
use insitu_tests::sized;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::harness::{Federation, text};

/// What senders know: what they sent, and what they were told is kept.
#[derive(Default)]
struct Books {
    sent: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

/// A message of its own patient, with one result whose value is its number.
fn message(n: u64) -> String {
    let (day, second) = (1 + n % 28, n % 60);
    format!(
        "\x0bMSH|^~\\&|LAB|H|EHR|H|202403{day:02}1200{second:02}||ORU^R01|{n}|P|2.5\rPID|1||P{n}^^^H^MR||DOE^X||19500615|F\r\
         OBR|1||F{n}|PANEL|||20240301090000\rOBX|1|NM|X{}^x^99L||{n}|1|||||F\r\x1c\r",
        n % 5
    )
}

/// Sends a message and waits for its answer; false where the connection breaks first.
fn exchange(stream: &mut TcpStream, n: u64) -> bool {
    if stream.write_all(message(n).as_bytes()).is_err() {
        return false;
    }
    let (mut got, mut chunk) = (Vec::new(), [0; 1024]);
    while !got.ends_with(&[0x1c, 0x0d]) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return false,
            Ok(k) => got.extend_from_slice(&chunk[..k]),
        }
    }
    let got = String::from_utf8_lossy(&got);
    assert!(got.contains(&format!("MSA|AA|{n}\r")), "{got}");
    true
}

/// One interface engine: it repeats what was not acknowledged, but for every seventh message, which it forgets.
fn send(address: &str, first: u64, step: u64, books: &Mutex<Books>, enough: &AtomicBool) {
    let (mut n, mut stream) = (first, None);
    while !enough.load(Ordering::Relaxed) {
        if stream.is_none() {
            stream = TcpStream::connect(address).ok();
        }
        let Some(open) = &mut stream else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        open.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        books.lock().unwrap().sent.insert(n);
        if exchange(open, n) {
            books.lock().unwrap().acknowledged.insert(n);
            n += step;
        } else {
            stream = None;
            n += if n % 7 == 0 { step } else { 0 };
        }
    }
}

/// How often each value stands in gold's measurements.
fn in_gold(f: &Federation, id: &str) -> BTreeMap<u64, u32> {
    let lake = f.agent_json(id, &["lake"]);
    let files = lake["gold"]["files"].as_array().unwrap();
    let file = files.iter().find(|p| p[0] == "measurement").unwrap()[1].as_str().unwrap();
    let file = std::fs::File::open(f.site_home(id).join("state/lake").join(file)).unwrap();
    let mut out = BTreeMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        for value in batch.column_by_name("value_num").unwrap().as_primitive::<Float64Type>().iter().flatten() {
            // The extract's own patients have blood pressures below.
            if value >= 1_000_000.0 {
                *out.entry(value as u64).or_default() += 1;
            }
        }
    }
    out
}

#[test]
fn what_was_acknowledged_is_in_the_lake_once() {
    let mut f = Federation::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let feed = format!(
        "[[source]]\nname = \"live\"\nkind = \"mllp\"\nlisten = \"{address}\"\npeers = [\"127.0.0.1\"]\n\
         feed = {{ segment_mib = 1, ingest_seconds = 1 }}"
    );
    f.add_site("de-01", 3, &feed);
    let (books, enough) = (Arc::new(Mutex::new(Books::default())), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..6)
        .map(|s| {
            let (address, books, enough) = (address.clone(), books.clone(), enough.clone());
            std::thread::spawn(move || send(&address, 1_000_000 + s, 6, &books, &enough))
        })
        .collect();
    let kills = sized(8, 60);
    for kill in 0..kills {
        f.start_agent("de-01");
        // At moments of start, of traffic, and of ingestion.
        std::thread::sleep(Duration::from_millis([700, 2300, 1500, 3100, 1100, 1900, 2700, 900][kill % 8]));
        f.kill_agent("de-01");
    }
    f.start_agent("de-01");
    std::thread::sleep(Duration::from_millis(1500));
    enough.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|s| s.join().unwrap());
    let out = f.agent_command("de-01", &["ingest"]);
    assert!(out.status.success(), "{}", text(&out));
    let (gold, books) = (in_gold(&f, "de-01"), books.lock().unwrap());
    let twice: Vec<_> = gold.iter().filter(|(_, times)| **times > 1).collect();
    let lost: Vec<_> = books.acknowledged.iter().filter(|n| !gold.contains_key(n)).collect();
    let made_up: Vec<_> = gold.keys().filter(|n| !books.sent.contains(n)).collect();
    println!("{} sent, {} acknowledged, {} in gold", books.sent.len(), books.acknowledged.len(), gold.len());
    assert!(books.acknowledged.len() > 500, "the test says something: {}", books.acknowledged.len());
    assert!(lost.is_empty() && twice.is_empty() && made_up.is_empty(), "lost {lost:?}, twice {twice:?}, {made_up:?}");
    // A clean stop leaves nothing behind, and the log holds nothing of a patient.
    assert!(!f.read_log("de-01.log").contains("DOE") && !f.read_log("de-01.log").contains("P100"));
}
