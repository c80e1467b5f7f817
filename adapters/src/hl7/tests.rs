//! The scanner on any bytes, escapes there and back, and how many messages a second of the processor reads.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod faults;

use std::io::{BufReader, Cursor};

use proptest::prelude::*;
use schema::Record;

use super::escape::{escape, unescape};
use super::scan::Field;
use super::*;
use crate::sink::Quarantined;

const USUAL: Separators = Separators { field: b'|', component: b'^', repetition: b'~', escape: b'\\', sub: b'&' };

/// Counts only.
#[derive(Default)]
struct Count(u64, u64);

impl crate::Sink for Count {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        assert_eq!(record.missing(), None);
        self.0 += 1;
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        assert!(q.line > 0 && !q.detail.is_empty());
        self.1 += 1;
        Ok(())
    }
}

fn context() -> Context {
    Context {
        source_system: "his".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: schema::record::Pseudonyms::new(&[1; 32]),
        linkage: None,
        ingest_micros: 1_800_000_000_000_000,
        revision: 1,
    }
}

fn read_all(bytes: &[u8], capacity: usize) -> (Read, Count) {
    let mut count = Count::default();
    let reader = Box::new(BufReader::with_capacity(capacity, Cursor::new(bytes)));
    let read = Hl7::new(Some("MR"), &[], true).read(&context(), Extract { name: "a.hl7", reader }, &mut count).unwrap();
    (read, count)
}

/// Every message of a file as bytes, under bounds.
fn frames(bytes: &[u8], capacity: usize, bounds: Bounds) -> Vec<(Frame, Vec<Vec<u8>>)> {
    let mut frames = Frames::new(BufReader::with_capacity(capacity, Cursor::new(bytes)), bounds);
    let mut out = Vec::new();
    loop {
        let frame = frames.advance().unwrap();
        if frame == Frame::End {
            return out;
        }
        let (bytes, spans) = frames.message();
        let spans = if frame == Frame::Message { spans } else { &[] };
        out.push((frame, spans.iter().map(|s| bytes.get(s.start..s.end).unwrap().to_vec()).collect()));
    }
}

#[test]
fn parts_of_a_field() {
    let f = |text: &'static str| Field::new(text.as_bytes(), USUAL);
    let field = f("a^b&c^~d^e");
    assert_eq!(field.component(2).sub(2).bytes(), b"c");
    assert!(field.component(3).is_empty() && field.component(9).is_empty() && field.sub(0).bytes() == b"a^b");
    let second = field.repetitions().nth(1).unwrap();
    assert_eq!(second.component(2).text(), Ok(Some("e".into())));
    assert!(f("\"\"").is_null() && !f("").is_null());
    assert_eq!(
        (f("\"\"").text(), f(" ").text(), Field::new(b"\xff", USUAL).text()),
        (Ok(None), Ok(None), Err(scan::NotText))
    );
    let fields = Fields::<4>::of(b"OBX|1|NM|a|b|c", USUAL);
    assert_eq!(
        (fields.get(0).bytes(), fields.get(3).bytes(), fields.get(4).bytes()),
        (b"OBX".as_slice(), b"a".as_slice(), b"".as_slice())
    );
    assert_eq!(Fields::<19>::of(b"MSH|^~\\&|app", USUAL).get(3).bytes(), b"app");
}

#[test]
fn memory_is_bounded_by_segment_by_message_and_by_their_number() {
    let bounds = Bounds { segment: 64, message: 200, segments: 8 };
    let head = "MSH|^~\\&|A\r";
    let good = format!("{head}PID|1\r");
    let long = format!("{head}OBX|{}\rPID|1\r", "x".repeat(100));
    let big = format!("{head}{}", "OBX|1234567890123456789012345678901234567890\r".repeat(7));
    let many = format!("{head}{}", "NTE\r".repeat(12));
    let own = format!("MSH|^~\\&|{}\rPID|1\r", "x".repeat(100));
    for capacity in [1, 3, 4096] {
        let text = [good.as_str(), &long, &good, &big, &good, &many, &good, &own, &good].concat();
        let got = frames(text.as_bytes(), capacity, bounds);
        let kinds: Vec<&str> = got
            .iter()
            .map(|(frame, _)| match frame {
                Frame::Message => "ok",
                Frame::Over(limit) => limit,
                _ => "other",
            })
            .collect();
        let (segment, message, segments) =
            ("a segment is over 8 MiB", "the message is over 16 MiB", "the message has over 65,536 segments");
        assert_eq!(kinds, ["ok", segment, "ok", message, "ok", segments, "ok", segment, "ok"], "{capacity}");
        assert!(got.iter().filter(|(f, _)| *f == Frame::Message).all(|(_, s)| s.len() == 2));
    }
}

#[test]
fn a_text_that_was_broken_in_two_reads_with_a_space() {
    let got = frames(b"MSH|^~\\&|A\rOBX|a\nb c|d\r\n\r\n e|f\rNTE|1", 4, Bounds::default());
    let segments: Vec<&[u8]> = got.first().unwrap().1.iter().map(Vec::as_slice).collect();
    assert_eq!(segments, [b"MSH|^~\\&|A".as_slice(), b"OBX|a b c|d  e|f", b"NTE|1"]);
}

/// Bytes that look like messages often enough to get past the header.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "MSH|^~\\&|A|B|C|D|20240301||ORU^R01|1|P|2.5\r",
        "MSH|^~\\&|A|B|C|D|20240301||ADT^A40|1|P|2.5||||||8859/1\r",
        "MSH",
        "MSH#",
        "MSH|^~\\&|A||||20240301||RDE^O11|1|P|2.5||||||GB 18030-2000\r",
        "PID|1||9^^^H^MR~8\r",
        "PV1|1|I||||||||||||||||V1\r",
        "ORC|NW|1|2\r",
        "OBR|1|1|2\r",
        "OBX|1|NM|X||",
        "OBX|1|SN|X^y^LN||<^5^-^7|",
        "RXE|^^^20240301|1^x^L|5\r",
        "TQ1|||||||20240301\r",
        "RXR|PO\r",
        "MRG|3\r",
        "DG1|1||E11^x^I10\r",
        "|",
        "^",
        "~",
        "\\",
        "&",
        "\"\"",
        "\\X0D0A\\",
        "\\X",
        "\r",
        "\n",
        "\r\n",
        "\x0b",
        "\x1c\r",
        "FHS|^~\\&\r",
        "BTS|1\r",
        "20240231",
        "<5",
        "\u{feff}",
        "Ω",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(|w| w.as_bytes().to_vec());
    let piece = prop_oneof![8 => word, 1 => proptest::collection::vec(any::<u8>(), 0..12)];
    proptest::collection::vec(piece, 0..40).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic_and_the_buffer_makes_no_difference(bytes in pieces(), raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        for bytes in [&bytes, &raw] {
            let (a, ca) = read_all(bytes, 1);
            let (b, cb) = read_all(bytes, 4096);
            prop_assert_eq!(a, b);
            prop_assert_eq!((ca.0, ca.1), (cb.0, cb.1));
            let tight = Bounds { segment: 20, message: 60, segments: 3 };
            prop_assert_eq!(frames(bytes, 1, tight), frames(bytes, 4096, tight));
        }
    }

    #[test]
    fn escapes_go_there_and_back(text in ".{0,60}", any in "[|^~&\\\\XHNFSTRE.br0-9A-F\r\n]{0,40}") {
        for text in [&text, &any] {
            let sent = escape(text, &USUAL);
            prop_assert!(!sent.bytes().any(|b| matches!(b, b'|' | b'^' | b'~' | b'&' | b'\r' | b'\n')));
            let got = unescape(&sent, &USUAL);
            prop_assert_eq!(got.as_ref(), text.as_str());
            let _ = unescape(text, &USUAL);
        }
    }

    #[test]
    fn any_separators_are_read(text in "[a-z]{1,5}", marks in proptest::sample::subsequence(b"|^~\\&#$!%@".to_vec(), 5).prop_shuffle()) {
        let [field, component, repetition, esc, sub] = <[u8; 5]>::try_from(marks).unwrap();
        let want = Separators { field, component, repetition, escape: esc, sub };
        let mut head = b"MSH".to_vec();
        head.extend_from_slice(&[field, component, repetition, esc, sub, field]);
        prop_assert_eq!(Separators::of(&head), Some(want));
        let sent = escape(&format!("{text}|^~\\&{text}"), &want);
        let got = unescape(&sent, &want);
        prop_assert_eq!(got.into_owned(), format!("{text}|^~\\&{text}"));
    }
}

/// Nanoseconds of the processor that this thread has had.
fn processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or_default()
}

/// Twelve results a message, about 1.5 kB, as a laboratory sends them.
fn feed(messages: u64) -> Vec<u8> {
    const LABS: [(&str, &str, &str, u64); 12] = [
        ("718-7", "HEMOGLOBIN", "g/dL", 138),
        ("6690-2", "LEUKOCYTES", "10*3/uL", 72),
        ("777-3", "PLATELETS", "10*3/uL", 2550),
        ("2345-7", "GLUCOSE", "mg/dL", 980),
        ("2160-0", "CREATININE", "mg/dL", 9),
        ("2951-2", "SODIUM", "mmol/L", 1400),
        ("2823-3", "POTASSIUM", "mmol/L", 42),
        ("1742-6", "ALT", "U/L", 250),
        ("1920-8", "AST", "U/L", 240),
        ("1975-2", "BILIRUBIN", "mg/dL", 7),
        ("17861-6", "CALCIUM", "mg/dL", 94),
        ("2885-2", "PROTEIN", "g/dL", 70),
    ];
    use std::fmt::Write as _;
    let mut out = String::new();
    for i in 0..messages {
        let (mrn, day, hour) = (i * 7919 % 100_000_000, 1 + i % 28, i % 24);
        let t = format!("202301{day:02}{hour:02}1500");
        let _ = write!(
            out,
            "MSH|^~\\&|LABSYS|HOSP{h}|EHR|HOSP{h}|{t}||ORU^R01^ORU_R01|MSG{i:08}|P|2.5.1\rPID|1||{mrn:08}^^^HOSP^MR~{ssn:09}^^^USSSA^SS||DOE{h}^JANE^Q^^MS||19500415|F|||1 MAIN ST^^SPRINGFIELD^IL^62701^USA||(217)555-0110||EN|M||ACC{mrn}\rPV1|1|I|W1^100^A^HOSP||||12345^SMITH^JOHN^^^DR|||MED||||||||V{mrn}\rORC|RE|ORD{i}|FIL{i}||CM||||{t}|||12345^SMITH^JOHN^^^DR\rOBR|1|ORD{i}|FIL{i}|24323-8^COMPREHENSIVE PANEL^LN|||{t}|||||||||12345^SMITH^JOHN^^^DR||||||{t}|||F\r",
            h = i % 40,
            ssn = mrn * 7 % 1_000_000_000,
        );
        for (k, (code, name, unit, tenths)) in LABS.iter().enumerate() {
            let v = (tenths * (60 + (i + k as u64) % 80)) as f64 / 1000.0;
            let (lo, hi) = (*tenths as f64 * 0.07, *tenths as f64 * 0.13);
            let _ = write!(
                out,
                "OBX|{n}|NM|{code}^{name}^LN||{v:.2}|{unit}^{unit}^UCUM|{lo:.1}-{hi:.1}|N|||F|||{t}\r",
                n = k + 1
            );
        }
    }
    out.into_bytes()
}

/// Frames each message and reads PID-3.1 and OBX-3.1, -5 and -6.1 of every result.
fn scan_only(bytes: &[u8]) -> (u64, f64) {
    let mut frames = Frames::new(BufReader::with_capacity(128 * 1024, Cursor::new(bytes)), Bounds::default());
    let (mut messages, mut sum) = (0, 0.0);
    while frames.advance().unwrap() == Frame::Message {
        let (bytes, spans) = frames.message();
        let seps = Separators::of(bytes).unwrap();
        messages += 1;
        for at in 0..spans.len() {
            let raw = Raw { bytes, spans, at };
            match raw.name() {
                b"PID" => sum += raw.fields::<4>(seps).text(3).unwrap().map_or(0.0, |t| t.len() as f64),
                b"OBX" => {
                    let obx = raw.fields::<7>(seps);
                    sum += obx.text(5).unwrap().and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
                    sum += (obx.text(3).unwrap().map_or(0, |t| t.len()) + obx.text(6).unwrap().map_or(0, |t| t.len()))
                        as f64;
                }
                _ => {}
            }
        }
    }
    (messages, sum)
}

/// A figure, and no gate: `cargo nextest run --workspace -E 'test(messages_per_second_of_the_processor)' --run-ignored all --no-capture`.
#[test]
#[ignore = "a figure"]
fn messages_per_second_of_the_processor() {
    let bytes = feed(20_000);
    println!("{} messages, {} bytes", 20_000, bytes.len());
    for round in 0..5 {
        let began = processor();
        let (messages, sum) = scan_only(&bytes);
        let scanned = processor();
        let (read, count) = read_all(&bytes, 128 * 1024);
        let mapped = processor();
        assert_eq!((messages, read.items, read.quarantined, count.0), (20_000, 20_000, 0, 20_000 * 14));
        let per = |ns: u64| 20_000.0 / (ns as f64 / 1e9);
        println!(
            "round {round}: scan {:.0} messages/s, {:.0} MB/s; scan and rows {:.0} messages/s, {:.0} rows/s (check {sum:.1})",
            per(scanned - began),
            bytes.len() as f64 / 1e6 / ((scanned - began) as f64 / 1e9),
            per(mapped - scanned),
            14.0 * per(mapped - scanned),
        );
    }
}

/// Keeps what is said of rejected items.
struct Hears<'a>(&'a mut Vec<String>);
impl crate::Sink for Hears<'_> {
    fn record(&mut self, _: schema::Record) -> Result<(), AdapterError> {
        Ok(())
    }
    fn quarantine(&mut self, item: crate::Quarantined) -> Result<(), AdapterError> {
        self.0.push(item.detail);
        Ok(())
    }
}

#[test]
fn segments_between_a_backslash_and_a_letter_are_told_as_such() {
    let text = "MSH|^~\\&|A|H|B|C|20240102030405||ADT^A01|1|P|2.5\\rPID|1||7^^^H^MR\\rPV1|1|I\r";
    let adapter = crate::open("hl7v2", None, "").unwrap();
    let extract = Extract { name: "a.hl7", reader: Box::new(std::io::Cursor::new(text.as_bytes().to_vec())) };
    let mut said = Vec::new();
    adapter.read(&context(), extract, &mut Hears(&mut said)).unwrap();
    assert!(said.iter().any(|s| s.contains("carriage return")), "{said:?}");
}
