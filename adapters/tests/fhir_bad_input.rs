//! FHIR that is broken in the ways that files are: each fault is told with its file, its line and a remedy, the rest goes on, and
//! memory stays bounded.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{self, BufReader, Read as _, Write as _};

use adapters::{AdapterError, Context, Extract, Quarantined, Read, Reason, Sink};
use schema::{Cell, Record};

#[derive(Default)]
struct Seen {
    records: u64,
    bad: Vec<Quarantined>,
}

impl Sink for Seen {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        // That nobody says dead is a row as well, and takes back a death.
        self.records += u64::from(r.get("op") == &Cell::from("upsert"));
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

fn context() -> Context {
    Context {
        source_system: "test".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: schema::record::Pseudonyms::new(&[9; 32]),
        linkage: None,
        ingest_micros: 0,
        revision: 1,
    }
}

fn read(name: &str, reader: Box<dyn io::BufRead + '_>) -> (Seen, Read) {
    let adapter = adapters::open("fhir", None, "").unwrap();
    let mut seen = Seen::default();
    let read = adapter.read(&context(), Extract { name, reader }, &mut seen).unwrap();
    assert!(seen.bad.iter().all(|q| q.file == name && q.line > 0 && !q.detail.is_empty()));
    (seen, read)
}

fn bytes(name: &str, bytes: &[u8]) -> (Seen, Read) {
    read(name, Box::new(bytes))
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","gender":"male"}"#;

/// The most memory that this process has held, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A stream of a beginning, a middle that comes again and again, and an end.
fn long(begin: &str, middle: &'static str, times: usize, end: &str) -> Box<dyn io::BufRead> {
    let (begin, end) = (begin.as_bytes().to_vec(), end.as_bytes().to_vec());
    let mut chain: Box<dyn io::Read> = Box::new(io::Cursor::new(begin));
    let block = middle.repeat(10_000);
    for _ in 0..times / 10_000 {
        chain = Box::new(chain.chain(io::Cursor::new(block.clone().into_bytes())));
    }
    Box::new(BufReader::with_capacity(1 << 16, chain.chain(io::Cursor::new(end))))
}

#[test]
fn a_line_of_a_hundred_megabytes_is_passed_over() {
    let huge = |n: usize| io::Read::take(io::repeat(b'x'), n as u64);
    let before = peak();
    for (name, head, tail) in [
        ("a.ndjson", format!("{PATIENT}\n{{\"resourceType\":\"Patient\",\"id\":\""), format!("\"}}\n{PATIENT}\n")),
        (
            "a.json",
            format!("{{\"resourceType\":\"Bundle\",\"entry\":[{{\"resource\":{PATIENT}}},{{\"resource\":{{\"id\":\""),
            format!("\"}}}},{{\"resource\":{PATIENT}}}]}}"),
        ),
    ] {
        let whole = head.as_bytes().chain(huge(100_000_000)).chain(tail.as_bytes());
        let (seen, read) = read(name, Box::new(BufReader::new(whole)));
        assert_eq!((seen.records, read.quarantined), (2, 1), "{name}: {:?}", seen.bad);
        assert!(matches!(seen.bad[0].reason, Reason::LineTooLong | Reason::TooLarge));
        assert!(seen.bad[0].detail.contains("8 MiB"));
    }
    assert!(peak() - before < 64, "{} MiB more", peak() - before);
}

#[test]
fn a_bundle_of_many_entries_is_not_held() {
    let before = peak();
    let entry = r#"{"fullUrl":"urn:uuid:22bbe238-220e-495c-8abc-0ce3aa28a605","resource":{"resourceType":"Condition","id":"c","code":{"coding":[{"system":"http://snomed.info/sct","code":"1"}]},"subject":{"reference":"urn:uuid:22bbe238-220e-495c-8abc-0ce3aa28a605"}}},"#;
    let last = format!("{{\"resource\":{PATIENT}}}]}}");
    let (seen, read) = read("b.json", long("{\"entry\":[", entry, 100_000, &last));
    assert_eq!((seen.records, read.items, read.quarantined), (100_001, 100_001, 0), "{:?}", seen.bad.first());
    // The stream itself is 26 MB, in blocks.
    assert!(peak() - before < 96, "{} MiB more", peak() - before);
}

#[test]
fn a_gzip_that_breaks_off_in_a_bundle_keeps_its_first_entries() {
    let entries: Vec<String> = (0..5_000)
        .map(|i| format!("{{\"resource\":{}}}", PATIENT.replace("\"p\"", &format!("\"p{}\"", i * 7919 % 100_003))))
        .collect();
    let text =
        format!("{{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[\n{}\n]}}", entries.join(",\n"));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let whole = gz.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.json.gz");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (seen, _) = read("b.json.gz", adapters::reader(&path).unwrap());
    assert!(seen.records > 1_000, "{}", seen.records);
    let q = &seen.bad[0];
    assert_eq!((seen.bad.len(), q.reason), (1, Reason::Truncated));
    assert_eq!(q.line, seen.records + 2);
    assert!(q.detail.starts_with(&format!("Bundle.entry[{}]", seen.records)), "{}", q.detail);
}

#[test]
fn faults_in_lines_name_their_line_and_their_field() {
    let deep =
        format!("{{\"resourceType\":\"Patient\",\"id\":\"d\",\"link\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let obs = |rest: &str| {
        format!(
            r#"{{"resourceType":"Observation","id":"o","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"1988-5"}}]}},"subject":{{"reference":"Patient/p"}},{rest}}}"#
        )
    };
    let lines = [
        format!("\u{feff}{PATIENT}"),
        PATIENT[..30].to_owned(),
        deep,
        format!("{PATIENT}\0"),
        obs(r#""valueQuantity":{"value":"5.4","unit":"mg/L"}"#),
        obs(r#""effectiveDateTime":"2023-02-31""#),
        obs(r#""valueQuantity":{"value":5.4,"unit":"mg/L"}"#),
        PATIENT.to_owned(),
    ];
    let (seen, read) = bytes("l.ndjson", lines.join("\n").as_bytes());
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    let want =
        [(2, Reason::BadJson), (3, Reason::BadJson), (4, Reason::NotText), (5, Reason::BadJson), (6, Reason::BadDate)];
    assert_eq!(got, want, "{:?}", seen.bad);
    assert!(seen.bad[3].detail.contains("valueQuantity.value"), "{}", seen.bad[3].detail);
    assert!(!seen.bad[3].detail.contains("5.4"));
    assert!(seen.bad[4].detail.contains("effectiveDateTime"));
    assert_eq!((read.items, seen.records), (8, 3));
}

#[test]
fn other_encodings_are_told() {
    let utf16: Vec<u8> = std::iter::once(0xFEFF).chain(PATIENT.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for name in ["u.ndjson", "u.json"] {
        let (seen, read) = bytes(name, &utf16);
        assert_eq!((seen.bad.len(), read.records), (1, 0));
        assert_eq!(seen.bad[0].reason, Reason::NotUtf8, "{name}");
        let latin = [b"{\"resourceType\":\"Patient\",\"id\":\"J\xf6rg\"}\n".as_slice(), PATIENT.as_bytes()].concat();
        let (seen, _) = bytes(name, &latin);
        assert_eq!((seen.bad[0].reason, seen.records), (Reason::NotUtf8, 1), "{name}");
    }
}
