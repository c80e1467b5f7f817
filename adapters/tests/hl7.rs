//! HL7 v2: each trap of the format, with what becomes of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufReader, Cursor, Write as _};

use adapters::{AdapterError, Context, Extract, Quarantined, Read, Sink};
use schema::{Cell, Key, Record, Table};

#[derive(Default)]
struct Kept {
    rows: Vec<Record>,
    bad: Vec<Quarantined>,
}

impl Sink for Kept {
    fn record(&mut self, r: Record) -> Result<(), AdapterError> {
        self.rows.push(r);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
}

impl Kept {
    fn of(&self, table: Table) -> Vec<&Record> {
        self.rows.iter().filter(|r| r.table() == table).collect()
    }
    fn one(&self, table: Table) -> &Record {
        let rows = self.of(table);
        assert_eq!(rows.len(), 1, "{table:?}: {rows:?}; {:?}", self.bad);
        rows[0]
    }
    fn reasons(&self) -> Vec<&'static str> {
        self.bad.iter().map(|q| q.reason.code()).collect()
    }
}

fn pseudonyms() -> schema::record::Pseudonyms {
    schema::record::Pseudonyms::new(&[9; 32])
}

fn person(id: &str) -> Cell {
    Cell::Key(pseudonyms().key(&["person", "his", id]))
}

fn context(revision: u32) -> Context {
    Context {
        source_system: "his".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: pseudonyms(),
        linkage: None,
        ingest_micros: 1_800_000_000_000_000,
        revision,
    }
}

fn read(bytes: &[u8]) -> (Kept, Read) {
    let ctx = context(3);
    let mut kept = Kept::default();
    let authorities = ["HOSP", "H", "*"].map(str::to_owned);
    let settings = adapters::Settings { authorities: &authorities, ..adapters::Settings::default() };
    let adapter = adapters::open_with("hl7v2", None, "", settings).unwrap();
    // A small buffer, so that everything lies across its edges.
    let reader = Box::new(BufReader::with_capacity(7, Cursor::new(bytes.to_vec())));
    let read = adapter.read(&ctx, Extract { name: "a.hl7", reader }, &mut kept).unwrap();
    assert_eq!((read.records as usize, read.quarantined as usize), (kept.rows.len(), kept.bad.len()));
    assert!(kept.rows.iter().all(|r| r.missing().is_none()));
    (kept, read)
}

const PID: &str = "PID|1||9^^^HOSP^MR||DOE^JANE||19610215|F";

fn oru(obx: &str) -> String {
    format!(
        "MSH|^~\\&|LAB|H|EHR|H|20240301120000||ORU^R01|7|P|2.5\r{PID}\rORC|RE|P1|F1\rOBR|1|P1|F1|PANEL|||20240301080000|||||||||||||||20240301110000|||F\r{obx}"
    )
}

fn adt(event: &str, pv1: &str) -> String {
    format!("MSH|^~\\&|HIS|H|EHR|H|20240301120000||ADT^{event}|7|P|2.5\rEVN|{event}|20240301115900\r{PID}\r{pv1}\r")
}

/// PV1 with a class, a number, an admission, a discharge.
fn pv1(class: &str, number: &str, start: &str, end: &str) -> String {
    let mut f = vec![String::new(); 46];
    f[0] = "PV1".to_owned();
    for (at, text) in [(2, class), (3, "W1^2^3"), (14, "7"), (19, number), (36, "01"), (44, start), (45, end)] {
        f[at] = text.to_owned();
    }
    f.join("|")
}

fn obx(fields: &str) -> Kept {
    read(oru(&format!("OBX|1|{fields}")).as_bytes()).0
}

fn real(r: &Record, c: &str) -> Option<f64> {
    match r.get(c) {
        Cell::Real(v) => Some(*v),
        _ => None,
    }
}

fn key(r: &Record) -> Key {
    match r.get("record_key") {
        Cell::Key(k) => *k,
        other => panic!("{other:?}"),
    }
}

fn rev(r: &Record) -> i64 {
    match r.get("rev") {
        Cell::Int(v) => *v,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_with_its_order_its_unit_and_its_times() {
    let kept = obx("NM|718-7^Hb^LN||13.80|g/dL^^UCUM|12.0 - 16|H|||F|||20240301093000");
    let r = kept.one(Table::Measurement);
    assert_eq!(r.get("person_key"), &person("9"));
    assert_eq!((r.get("code"), r.get("code_system")), (&Cell::from("718-7"), &Cell::from("http://loinc.org")));
    assert_eq!((real(r, "value_num"), r.get("value_scale")), (Some(13.8), &Cell::Int(2)));
    assert_eq!((real(r, "ref_lo"), real(r, "ref_hi")), (Some(12.0), Some(16.0)));
    assert_eq!((r.get("unit_ucum"), r.get("flag")), (&Cell::from("g/dL"), &Cell::from("H")));
    // 09:30 in Berlin; the result of 11:00.
    assert_eq!(r.get("t_event"), &Cell::Instant(1_709_281_800_000_000));
    assert_eq!((r.get("t_zone_src"), r.get("utc_offset_min")), (&Cell::from("site"), &Cell::Int(60)));
    assert_eq!(r.get("t_known"), &Cell::Instant(1_709_287_200_000_000));
    let p = kept.one(Table::Patient);
    assert_eq!(
        (p.get("sex"), p.get("birth_year"), p.get("birth_month")),
        (&Cell::from("F"), &Cell::Int(1961), &Cell::Int(2))
    );
}

#[test]
fn values_of_every_type() {
    let comparator = |fields: &str| {
        let kept = obx(fields);
        let r = kept.one(Table::Measurement);
        (
            r.get("comparator").clone(),
            real(r, "value_num"),
            real(r, "value_lo"),
            real(r, "value_hi"),
            r.get("flag").clone(),
        )
    };
    let none = Cell::Null;
    assert_eq!(comparator("SN|X||<^5||||||F"), (Cell::from("lt"), Some(5.0), None, Some(5.0), none.clone()));
    assert_eq!(comparator("SN|X||^2^-^4||||||F"), (Cell::from("eq"), None, Some(2.0), Some(4.0), none.clone()));
    assert_eq!(comparator("SN|X||^1^:^64||||||F"), (Cell::from("eq"), Some(1.0 / 64.0), None, None, none.clone()));
    assert_eq!(comparator("ST|X||>=90||||||F"), (Cell::from("ge"), Some(90.0), Some(90.0), None, none.clone()));
    assert_eq!(comparator("NM|X||<0.5||||||F"), (Cell::from("lt"), Some(0.5), None, Some(0.5), none.clone()));
    assert_eq!(comparator("ST|X||haemolysed||||||F").4, Cell::from("text"));
    assert_eq!(comparator("TS|X||20240301||||||F").4, Cell::from("unsupported"));
    // `""` deletes the value; the observation stays.
    assert_eq!(comparator("NM|X||\"\"||||||F"), (Cell::from("eq"), None, None, None, none));
    let kept = obx("CWE|X||POS^positive^99L^10828004^Positive^SCT||||||F");
    assert_eq!(kept.one(Table::Measurement).get("value_code"), &Cell::from("10828004"));
    for wrong in ["1,5", "1.234,5", "12 mg", "0x1F", "1e", "--1", "NaN"] {
        let kept = obx(&format!("NM|X||{wrong}||||||F"));
        assert_eq!(kept.reasons(), ["bad_number"], "{wrong}");
        assert!(kept.bad[0].detail.starts_with("message 1, OBX[1]-5: "), "{}", kept.bad[0].detail);
        assert!(!kept.bad[0].detail.contains(wrong) && kept.bad[0].line == 5);
    }
    // Repetitions are values of their own; a page of text is one row.
    assert_eq!(obx("NM|X||1~2~3||||||F").of(Table::Measurement).len(), 3);
    let page = oru("OBX|1|TX|T||a||||||F\rOBX|2|TX|T||b||||||F\rOBX|3|NM|X|1|1||||||F\rOBX|4|NM|X|2|2||||||F");
    assert_eq!(read(page.as_bytes()).0.of(Table::Measurement).len(), 3);
}

#[test]
fn what_obx_11_says() {
    let of = |s: &str| {
        let kept = obx(&format!("NM|X||5||||||{s}"));
        kept.of(Table::Measurement)
            .first()
            .map(|r| (r.get("op").clone(), r.get("status").clone(), real(r, "value_num")))
    };
    let row = |op: &str, status: &str, v| Some((Cell::from(op), Cell::from(status), v));
    assert_eq!(of("F"), row("upsert", "final", Some(5.0)));
    assert_eq!(of("C"), row("upsert", "corrected", Some(5.0)));
    assert_eq!(of("P"), row("upsert", "preliminary", Some(5.0)));
    assert_eq!(of("D"), row("retract", "error", None));
    assert_eq!(of("W"), row("retract", "error", None));
    assert_eq!(of("X"), row("upsert", "cancelled", None));
    // No result yet, or none to come: what an earlier message said is not kept.
    assert_eq!(of("I"), row("retract", "unknown", None));
    assert_eq!(of("N"), row("retract", "unknown", None));
    // Without one, OBR-25 speaks.
    assert_eq!(of(""), row("upsert", "final", Some(5.0)));
    // A report of which some is there.
    let message = oru("OBX|1|NM|2345-7^^LN||5.5|mmol/L\r").replace("|||F\rOBX", "|||A\rOBX");
    assert_eq!(read(message.as_bytes()).0.one(Table::Measurement).get("status"), &Cell::from("preliminary"));
}

#[test]
fn a_correction_has_the_key_of_what_it_corrects_and_a_later_revision() {
    let first = oru("OBX|1|NM|718-7^Hb^LN|1|13.8|g/dL|||||F");
    let later = first
        .replace("20240301120000", "20240301130000")
        .replace("13.8|g/dL|||||F", "12.8|g/dL|||||C")
        .replace("OBX|1", "OBX|4");
    let other = first.replace("|F1|", "|F2|").replace("P1|F1", "P1|F2");
    let [a, b, c] = [first, later, other].map(|m| read(m.as_bytes()).0);
    let [a, b, c] = [&a, &b, &c].map(|k| k.one(Table::Measurement));
    assert_eq!(key(a), key(b));
    assert!(rev(b) == rev(a) + 3600, "{} {}", rev(a), rev(b));
    assert_ne!(key(a), key(c));
    // Without a filler order a correction would find nothing.
    let kept = read(oru("OBX|1|NM|X||5||||||F").replace("|F1", "|").as_bytes()).0;
    assert_eq!((kept.reasons(), kept.of(Table::Measurement).len()), (vec!["missing_id"], 0));
    assert!(kept.bad[0].detail.contains("OBR[1]-3"), "{:?}", kept.bad);
}

#[test]
fn times_keep_their_precision_and_their_offset() {
    let at = |t: &str| {
        let kept = obx(&format!("NM|X||5||||||F|||{t}"));
        kept.of(Table::Measurement).first().map(|r| {
            let days = match r.get("event_date") {
                Cell::Date(d) => i64::from(*d),
                _ => -1,
            };
            (days - 19_782, r.get("t_event").clone(), r.get("t_prec").clone(), r.get("t_zone_src").clone())
        })
    };
    // 2024-02-29 is day 19,782.
    let day = |d, p: &str| Some((d, Cell::Null, Cell::from(p), Cell::from("none")));
    assert_eq!(at("20240229"), day(0, "day"));
    assert_eq!(at("202402"), day(-28, "month"));
    assert_eq!(at("2024"), day(-59, "year"));
    assert_eq!(at("20240200"), day(-28, "month"));
    assert_eq!(at("2024022914"), day(0, "day"));
    assert_eq!(at("20240229143000^D"), day(0, "day"));
    assert_eq!(at("20240229+0100"), day(0, "day"));
    let micros = |s: i64| Cell::Instant(s * 1_000_000);
    assert_eq!(at("202402291430"), Some((0, micros(1_709_213_400), Cell::from("minute"), Cell::from("site"))));
    assert_eq!(
        at("20240229143000-0500"),
        Some((0, micros(1_709_235_000), Cell::from("second"), Cell::from("explicit")))
    );
    // 23:30 at -0500 is the next day in Berlin.
    assert_eq!(at("20240229233000-0500").unwrap().0, 1);
    assert_eq!(at("20240229143000.1234").unwrap().2, Cell::from("us"));
    for wrong in ["20240231", "2024-02-29", "202", "20241301", "20240229250000", "20240229143000+9900", "29.02.2024"] {
        let kept = obx(&format!("NM|X||5||||||F|||{wrong}"));
        assert_eq!(kept.reasons(), ["bad_date"], "{wrong}");
    }
}

#[test]
fn a_null_timestamp_is_no_time() {
    let kept = obx("NM|X||5||||||F|||\"\"");
    assert_eq!(kept.reasons(), Vec::<&str>::new());
    // OBR-7 then.
    assert_eq!(kept.one(Table::Measurement).get("t_prec"), &Cell::from("second"));
    let kept = read(adt("A08", "").replace("19610215", "\"\"").as_bytes()).0;
    assert_eq!(kept.one(Table::Patient).get("birth_year"), &Cell::Null);
}

#[test]
fn escapes_are_read_and_a_stray_backslash_stays() {
    let code = |text: &str| obx(&format!("NM|{text}||5||||||F")).one(Table::Measurement).get("code").clone();
    assert_eq!(code(r"A\S\B\T\C\F\D\R\E\E\"), Cell::from(r"A^B&C|D~E\"));
    assert_eq!(code(r"A\X0D0A\B"), Cell::from("A\r\nB"));
    assert_eq!(code(r"A\X4142\"), Cell::from("AAB"));
    assert_eq!(code(r"\H\A\N\B\.br\C"), Cell::from("AB\nC"));
    assert_eq!(code(r"\XC3A4\\XE4\"), Cell::from("ää"));
    for odd in [r"C:\lab", r"A\X0\B", r"A\Q\B", r"A\", r"\\x"] {
        assert_eq!(code(odd), Cell::from(odd), "{odd}");
    }
}

#[test]
fn character_sets_are_read_from_msh_18() {
    let with = |charset: &str, code: &[u8]| {
        let mut bytes = oru("OBX|1|NM|").replace("|P|2.5\r", &format!("|P|2.5||||||{charset}\r")).into_bytes();
        bytes.extend_from_slice(code);
        bytes.extend_from_slice(b"||5||||||F");
        read(&bytes).0
    };
    let code = |charset: &str, code: &[u8]| with(charset, code).one(Table::Measurement).get("code").clone();
    assert_eq!(code("UNICODE UTF-8", "Größe".as_bytes()), Cell::from("Größe"));
    assert_eq!(code("8859/1", b"Gr\xf6\xdfe"), Cell::from("Größe"));
    assert_eq!(code("8859/15", b"\xa4"), Cell::from("€"));
    assert_eq!(code("8859/5", b"\xb0"), Cell::from("А"));
    assert_eq!(code("", "Größe".as_bytes()), Cell::from("Größe"));
    // A second byte that looks like a separator: 表 is 95 5C in Shift-JIS and 95 5C... in GB 18030 it is B1 ED; 俓 is 82 7C.
    assert_eq!(code("GB 18030-2000", b"\x82\x7c"), Cell::from("倈"));
    // Not UTF-8 and nothing declared: the field is at fault, by its place.
    let kept = with("", b"Gr\xf6\xdfe");
    assert_eq!((kept.reasons(), kept.of(Table::Patient).len()), (vec!["not_utf8"], 1));
    assert_eq!(with("KLINGON", b"A").reasons(), ["unknown_charset"]);
    // A name in Latin-1 that nobody reads does no harm.
    let mut bytes = oru("OBX|1|NM|X||5||||||F").into_bytes();
    let at = bytes.windows(3).position(|w| w == b"DOE").unwrap();
    bytes[at] = 0xd6;
    assert_eq!(read(&bytes).0.of(Table::Measurement).len(), 1);
}

#[test]
fn any_line_end_any_frame_any_batch() {
    let one = oru("OBX|1|NM|X||5||||||F\rNTE|1||said\rZXX|1|local\r");
    let two = one.replace("|F1|", "|F2|");
    let pair = |text: &str| text.to_owned();
    let joined = format!("{one}{two}");
    let forms: Vec<Vec<u8>> = vec![
        pair(&joined).into_bytes(),
        joined.replace('\r', "\n").into_bytes(),
        joined.replace('\r', "\r\n").into_bytes(),
        format!("\u{feff}{}", joined.replacen('\r', "\n", 3)).into_bytes(),
        format!("{one}\n\n\n{two}\n\n").into_bytes(),
        format!("\u{feff}{one}\n\u{feff}{two}").into_bytes(),
        format!("\x0b{one}\x1c\r\x0b{two}\x1c\r").into_bytes(),
        format!("\x0b{}\x1c\x0d\x0a\x0b{}\x1c", one.trim_end(), two.trim_end()).into_bytes(),
        format!("FHS|^~\\&|A\rBHS|^~\\&|B\r{one}{two}BTS|2\rFTS|1\r").into_bytes(),
        format!("FHS|^~\\&|A\r\n\r\nBHS|^~\\&|B\r\n{}BTS|2\r\nFTS", joined.replace('\r', "\r\n")).into_bytes(),
    ];
    let (want, _) = read(&forms[0]);
    assert_eq!(want.of(Table::Measurement).len(), 2);
    for (i, form) in forms.iter().enumerate() {
        let (kept, told) = read(form);
        assert_eq!(kept.bad, [], "form {i}");
        assert_eq!((told.items, &kept.rows), (2, &want.rows), "form {i}");
    }
}

#[test]
fn a_line_that_is_no_segment_goes_on_with_the_one_before() {
    let kept = read(oru("OBX|1|TX|X||one\ntwo\n\nthree||||||F\nOBX|2|NM|Y||5||||||F").as_bytes()).0;
    let rows = kept.of(Table::Measurement);
    assert_eq!((rows.len(), rows[0].get("status")), (2, &Cell::from("final")));
}

#[test]
fn separators_are_the_messages_own() {
    let usual = oru("OBX|1|NM|A^b^LN||5||||||F");
    let own: String = usual
        .chars()
        .map(|c| match c {
            '|' => '#',
            '^' => '@',
            c => c,
        })
        .collect();
    let code = |text: &str| read(text.as_bytes()).0.one(Table::Measurement).get("code_system").clone();
    assert_eq!(code(&own), Cell::from("http://loinc.org"));
    assert_eq!(code(&usual.replace("|^~\\&|", "|^~\\\\&|")), Cell::from("http://loinc.org"));
    assert_eq!(code(&usual.replace("|^~\\&|", "|^~\\&#|")), Cell::from("http://loinc.org"));
    assert_eq!(code(&usual.replace("|^~\\&|", "|^~|")), Cell::from("http://loinc.org"));
    for wrong in ["|^^\\&|", "|ab\\&|", "||"] {
        assert_eq!(read(usual.replace("|^~\\&|", wrong).as_bytes()).0.reasons(), ["not_hl7"], "{wrong}");
    }
}

#[test]
fn bad_input_names_its_place_and_the_rest_goes_on() {
    let good = oru("OBX|1|NM|X||5||||||F\r");
    let bad = oru("OBX|1|NM|X||5||||||F\rOBX|2|NM|Y||five||||||F\rOBX|3|NM|Z||6||||||F\r").replace("|F1", "|F3");
    let none = good.replace(PID, "PIX|1").replace("|F1", "|F4");
    let (kept, told) = read(format!("what is this?\nthis too\n{good}{bad}{none}MSH|^~\\&\r{good}").as_bytes());
    assert_eq!(told.items, 5);
    assert_eq!(kept.reasons(), ["not_hl7", "bad_number", "missing_patient", "incomplete"]);
    // What can't be read takes back what was said before.
    let (gone, rows): (Vec<&Record>, Vec<&Record>) =
        kept.of(Table::Measurement).into_iter().partition(|r| r.get("op") == &Cell::from("retract"));
    assert_eq!((rows.len(), gone.len()), (4, 1));
    assert_eq!((kept.bad[0].line, kept.bad[1].line), (1, 3 + 5 + 5));
    assert!(kept.bad[1].detail.starts_with("message 2, OBX[2]-5: not a number"), "{:?}", kept.bad[1]);
    let crlf = format!("{good}{bad}").replace('\r', "\r\n");
    assert_eq!(read(crlf.as_bytes()).0.bad[0].line, 5 + 6);
    let nul = good.replace("|X|", "|\0|");
    assert_eq!(read(nul.as_bytes()).0.reasons(), ["not_text"]);
}

#[test]
fn a_hundred_megabytes_on_one_line_are_passed_over() {
    struct Long(u64, Vec<u8>);
    impl std::io::Read for Long {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            if self.0 > 0 {
                let n = buf.len().min(self.0 as usize);
                buf[..n].fill(b'A');
                self.0 -= n as u64;
                return Ok(n);
            }
            let n = buf.len().min(self.1.len());
            buf[..n].copy_from_slice(&self.1[..n]);
            self.1.drain(..n);
            Ok(n)
        }
    }
    let good = oru("OBX|1|NM|X||5||||||F\r");
    let open = oru("OBX|1|ED|X||");
    let reader = Cursor::new(open.into_bytes());
    let reader =
        std::io::Read::chain(reader, Long(100 << 20, format!("||||||F\rOBX|2|NM|Y||5||||||F\r{good}").into_bytes()));
    let ctx = context(1);
    let mut kept = Kept::default();
    let adapter = adapters::open("hl7v2", None, "").unwrap();
    let reader = Box::new(BufReader::with_capacity(1 << 16, reader));
    let told = adapter.read(&ctx, Extract { name: "a.hl7", reader }, &mut kept).unwrap();
    assert_eq!((told.items, kept.reasons()), (2, vec!["message_too_long"]));
    // The document's own message keeps its other result.
    assert_eq!(kept.of(Table::Measurement).len(), 2);
}

#[test]
fn a_gzip_that_breaks_off_keeps_what_was_whole() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for i in 0..3000 {
        write!(gz, "{}", oru(&format!("OBX|1|NM|X||{}||||||F\r", i * 7919 % 1009)).replace("|F1", &format!("|F{i}")))
            .unwrap();
    }
    let whole = gz.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.hl7.gz");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let adapter = adapters::open("hl7v2", None, "").unwrap();
    assert!(adapter.accepts("x/a.HL7.gz") && adapter.accepts("a.hl7") && !adapter.accepts("a.csv"));
    let ctx = context(1);
    let mut kept = Kept::default();
    adapter.read(&ctx, Extract { name: "a.hl7.gz", reader: adapters::reader(&path).unwrap() }, &mut kept).unwrap();
    assert_eq!(kept.reasons(), ["truncated"]);
    assert!(kept.of(Table::Measurement).len() > 500);
}

#[test]
fn admission_discharge_and_their_cancellation() {
    let v = |event: &str, end: &str| read(adt(event, &pv1("I", "V1", "20240228101500", end)).as_bytes()).0;
    let (a01, a03, a13, a11) = (v("A01", ""), v("A03", "20240301"), v("A13", "20240301"), v("A11", ""));
    let [a01, a03, a13, a11] = [&a01, &a03, &a13, &a11].map(|k| k.one(Table::Visit));
    assert!([a03, a13, a11].iter().all(|r| key(r) == key(a01)));
    assert_eq!(
        (a01.get("open"), a01.get("class"), a01.get("ward")),
        (&Cell::Null, &Cell::from("IP"), &Cell::from("W1"))
    );
    // Whether it is open is said by its end alone; an admission empties nothing.
    assert_eq!(a01.emptied().as_deref(), Some(" "));
    assert_eq!(a13.emptied().as_deref(), Some(" update t_end end_date end_kind discharge_to "));
    assert_eq!((a03.get("open"), a03.get("discharge_to")), (&Cell::Flag(false), &Cell::from("01")));
    assert_eq!(a03.get("end_date"), &Cell::Date(19_783));
    // A discharge that was cancelled has no end, whatever the segment still says.
    assert_eq!(
        (a13.get("open"), a13.get("end_date"), a13.get("discharge_to")),
        (&Cell::Flag(true), &Cell::Null, &Cell::Null)
    );
    assert_eq!((a11.get("op"), a11.get("status")), (&Cell::from("retract"), &Cell::from("cancelled")));
    // A cancelled transfer is a snapshot like any other.
    assert_eq!(v("A12", "").one(Table::Visit).get("op"), &Cell::from("upsert"));
    // Planned visits have not been, and a person's data are no visit.
    assert!(v("A05", "").of(Table::Visit).is_empty() && v("A31", "").of(Table::Visit).is_empty());
    let none = read(adt("A01", &pv1("I", "", "20240228", "")).as_bytes()).0;
    assert_eq!((none.reasons(), none.of(Table::Patient).len()), (vec!["missing_id"], 1));
    let odd = read(adt("A01", &pv1("Q", "V1", "20240228", "")).as_bytes()).0;
    assert_eq!(odd.reasons(), ["unknown_level"]);
}

#[test]
fn a_mention_never_outlives_a_snapshot() {
    let adt = read(adt("A08", &pv1("I", "V1", "20240228", "20240229")).as_bytes()).0;
    let later = oru("OBX|1|NM|X||5||||||F").replace("20240301120000", "20250301120000");
    let later = later.replace("ORC|", &format!("{}\rORC|", pv1("I", "V1", "", "")));
    let oru = read(later.as_bytes()).0;
    for table in [Table::Patient, Table::Visit] {
        let (snapshot, mention) = (adt.one(table), oru.one(table));
        assert_eq!(key(snapshot), key(mention));
        assert!(rev(snapshot) > rev(mention), "{table:?}");
    }
    assert_eq!(oru.one(Table::Measurement).get("visit_key"), adt.one(Table::Visit).get("visit_key"));
    assert!(rev(oru.one(Table::Measurement)) > rev(adt.one(Table::Visit)));
}

#[test]
fn a_message_from_the_future_is_refused_and_one_without_a_time_comes_first() {
    let text = oru("OBX|1|NM|X||5||||||F");
    assert_eq!(read(text.replace("20240301120000", "20990301120000").as_bytes()).0.reasons(), ["bad_date"]);
    let none = read(text.replace("20240301120000", "").as_bytes()).0;
    let old = read(text.replace("20240301120000", "1989").as_bytes()).0;
    assert_eq!(rev(none.one(Table::Measurement)), 1 << 31);
    assert!(rev(old.one(Table::Measurement)) > 1 << 31);
}

#[test]
fn a_merge_retracts_the_old_patient_for_the_one_who_stays() {
    let merge = adt("A40", "").replace("ADT^A40", "ADT^A40^ADT_A39") + "MRG|3^^^HOSP^MR\r";
    let kept = read(merge.as_bytes()).0;
    let rows = kept.of(Table::Patient);
    assert_eq!(rows.len(), 3);
    let old = read(adt("A28", "").replace("9^^^HOSP", "3^^^HOSP").as_bytes()).0;
    assert!(rows[1..].iter().all(|r| key(r) == key(old.one(Table::Patient))));
    assert_eq!((rows[1].get("op"), rows[1].get("person_key")), (&Cell::from("upsert"), &person("3")));
    assert!(rev(rows[1]) < rev(rows[2]));
    assert_eq!((rows[2].get("op"), rows[2].get("person_key")), (&Cell::from("retract"), &person("9")));
    // Nobody is merged into themselves.
    let same = merge.replace("MRG|3", "MRG|9");
    assert_eq!(read(same.as_bytes()).0.of(Table::Patient).len(), 1);
}

#[test]
fn the_patient_is_the_medical_record_number() {
    let of = |pid3: &str| {
        let kept = read(adt("A31", "").replace("9^^^HOSP^MR", pid3).as_bytes()).0;
        kept.one(Table::Patient).get("person_key").clone()
    };
    assert_eq!(of("123^^^SSA^SS~77^^^HOSP&1.2.3&ISO^MR"), person("77"));
    assert_eq!(of("123^^^SSA^SS~77^^^HOSP^PI"), person("77"));
    assert_eq!(of("77"), person("77"));
    let kept = read(adt("A31", "").replace("9^^^HOSP^MR", "^^^HOSP^MR").as_bytes()).0;
    assert_eq!(kept.reasons(), ["missing_patient"]);
}

#[test]
fn a_death_is_told_and_taken_back() {
    let of = |tail: &str| read(adt("A08", "").replace("|F\r", &format!("|F{}{tail}\r", "|".repeat(21))).as_bytes()).0;
    let told = of("20240229101500|Y");
    assert_eq!(told.one(Table::Death).get("death_date"), &Cell::Date(19_782));
    assert_eq!(of("|Y").one(Table::Death).get("death_date"), &Cell::Null);
    assert_eq!(of("\"\"|").one(Table::Death).get("op"), &Cell::from("retract"));
    assert_eq!(of("|N").one(Table::Death).get("op"), &Cell::from("retract"));
    assert!(of("|").of(Table::Death).is_empty());
}

#[test]
fn diagnoses_and_procedures() {
    let tail = "DG1|1||E11.9^Diabetes^I10C|||A\rDG1|2|I9|250.00^DM||20240229|F|||||||||1\rDG1|3||X1^local^99L|||W\rPR1|1||99213^Visit^C4||20240228120000\r";
    let kept = read((adt("A01", &pv1("I", "V1", "20240228", "")) + tail).as_bytes()).0;
    let (rows, stand_ins): (Vec<&Record>, Vec<&Record>) =
        kept.of(Table::Condition).into_iter().partition(|r| r.get("code") != &Cell::Null);
    let say = |r: &Record| (r.get("role").clone(), r.get("verification").clone(), r.get("code_system").clone());
    assert_eq!(
        say(rows[0]),
        (Cell::from("admit"), Cell::from("confirmed"), Cell::from("http://hl7.org/fhir/sid/icd-10-cm"))
    );
    // Without a day of its own the visit's start stands in, below all that is said of it.
    assert_eq!((rows[0].get("event_date"), stand_ins[0].get("event_date")), (&Cell::Null, &Cell::Date(19_781)));
    assert!(key(rows[0]) == key(stand_ins[0]) && rev(stand_ins[0]) < rev(rows[0]));
    assert_eq!(
        say(rows[1]),
        (Cell::from("primary"), Cell::from("confirmed"), Cell::from("http://hl7.org/fhir/sid/icd-9-cm"))
    );
    assert_eq!(rows[1].get("event_date"), &Cell::Date(19_782));
    assert_eq!(say(rows[2]), (Cell::from("secondary"), Cell::from("provisional"), Cell::from("urn:hl7:99L")));
    let p = kept.one(Table::Procedure);
    assert_eq!((p.get("code"), p.get("visit_key")), (&Cell::from("99213"), rows[0].get("visit_key")));
    // Charges carry diagnoses too, and the same one is the same record.
    let dft = adt("P03", &pv1("I", "V1", "20240228", "")).replace("ADT^", "DFT^") + tail;
    let dft = read(dft.as_bytes()).0;
    assert_eq!(key(dft.of(Table::Condition)[0]), key(rows[0]));
}

#[test]
fn drugs_ordered_dispensed_given_and_vaccinations() {
    let msg = |kind: &str, tail: &str| {
        let text = format!("MSH|^~\\&|RX|H|E|H|20240301120000||{kind}|1|P|2.5\r{PID}\r{tail}\r");
        read(text.as_bytes()).0
    };
    let rde = msg(
        "RDE^O11",
        "ORC|NW|P7|F7||||||20240301\rRXO|1^x\rRXE|^^^20240302^20240309|197361^amlodipine^RXNORM|5||mg|||||30|tab\rRXR|PO^oral\rORC|CA|P8|F8\rRXE||1^y^L|1||g",
    );
    let live = |kept: &Kept| -> Vec<Record> {
        kept.of(Table::DrugExposure).into_iter().filter(|r| r.get("op") == &Cell::from("upsert")).cloned().collect()
    };
    let rows = live(&rde);
    let rows: Vec<&Record> = rows.iter().collect();
    // The filler's number of the order is no order of its own, and a cancelled one is none under either number.
    assert_eq!((rows.len(), rde.of(Table::DrugExposure).len()), (1, 4));
    assert_eq!(
        (rows[0].get("kind"), rows[0].get("route"), real(rows[0], "qty")),
        (&Cell::from("ordered"), &Cell::from("PO"), Some(30.0))
    );
    assert_eq!((rows[0].get("event_date"), rows[0].get("end_date")), (&Cell::Date(19_784), &Cell::Date(19_791)));
    let tq1 = msg(
        "RDE^O11",
        "ORC|NW|P7|F7||||||20240301\rRXE||197361^amlodipine^RXNORM|5||mg\rRXR|PO\rTQ1|||||||20240305|20240306",
    );
    let tq1 = &live(&tq1)[0];
    assert_eq!((tq1.get("event_date"), tq1.get("route")), (&Cell::Date(19_787), &Cell::from("PO")));
    let rds = msg("RDS^O13", "ORC|RE|P7|F7\rRXE||1^x^L|5||mg\rRXD|1|197361^amlodipine^RXNORM|20240302|30|tab||RX1");
    assert_eq!(
        (rds.one(Table::DrugExposure).get("kind"), real(rds.one(Table::DrugExposure), "qty")),
        (&Cell::from("dispensed"), Some(30.0))
    );
    let ras = msg(
        "RAS^O17",
        "ORC|RE|P7|F7\rRXA|0|1|20240302080000|20240302081000|197361^amlodipine^RXNORM|5|mg\rRXA|0|2|20240303080000||197361^amlodipine^RXNORM|5|mg\rRXA|0|3|20240304080000||197361^amlodipine^RXNORM|5|mg|||||||||||||RE",
    );
    let keys: Vec<Key> = ras.of(Table::DrugExposure).iter().map(|r| key(r)).collect();
    assert!(keys.len() == 3 && keys[0] != keys[1] && live(&ras).len() == 2);
    let vxu =
        msg("VXU^V04", "ORC|RE||F9\rRXA|0|1|20240302||08^HepB^CVX|999|||01^historical\rRXR|IM\rOBX|1|CE|x||y||||||F");
    let r = vxu.one(Table::DrugExposure);
    assert_eq!(
        (r.get("kind"), r.get("qty"), r.get("code_system")),
        (&Cell::from("reported"), &Cell::Null, &Cell::from("http://hl7.org/fhir/sid/cvx"))
    );
    let none = msg("RDE^O11", "RXE||1^x^L|5||mg");
    assert_eq!(none.reasons(), ["missing_id"]);
}

#[test]
fn what_has_no_place_is_skipped_and_counted() {
    let (kept, told) = read(oru("OBX|1|NM|X||5||||||F").replace("ORU^R01", "SIU^S12").as_bytes());
    assert_eq!((told.items, told.skipped, kept.rows.len(), kept.bad.len()), (1, 1, 0, 0));
    // A type with one component takes its event from EVN.
    let kept = read(adt("A11", &pv1("I", "V1", "20240228", "")).replace("ADT^A11", "ADT").as_bytes()).0;
    assert_eq!(kept.one(Table::Visit).get("op"), &Cell::from("retract"));
}

#[test]
fn an_order_with_a_broken_time_keeps_its_number() {
    let text =
        oru("OBX|1|NM|X||5||||||F").replace("OBR|1|P1|F1", "OBR|1|P1|").replace("P1|F1", "P1|F1||||||31.12.2024");
    let kept = read(text.as_bytes()).0;
    assert_eq!((kept.reasons(), kept.of(Table::Measurement).len()), (vec!["bad_date"], 1));
}

#[test]
fn a_broken_event_time_costs_no_message() {
    let kept = read(adt("A08", &pv1("I", "V1", "20240228", "")).replace("20240301115900", "yesterday").as_bytes()).0;
    assert_eq!((kept.reasons(), kept.of(Table::Visit).len()), (vec!["bad_date"], 1));
    assert!(kept.bad[0].detail.starts_with("message 1, EVN[1]-2: "), "{:?}", kept.bad);
}

#[test]
fn an_identifier_of_two_people_is_one_patient_by_its_latest_message() {
    let of = |time: &str, pid: &str| adt("A08", "").replace("20240301120000", time).replace("|19610215|F", pid);
    let (first, second) = (of("20240301120000", "|19610215|F"), of("20240302120000", "|19991231|M"));
    let rows = [&first, &second].map(|m| read(m.as_bytes()).0.one(Table::Patient).clone());
    // One record with two revisions: the later one says everything anew. No error, and no third person.
    assert_eq!(key(&rows[0]), key(&rows[1]));
    assert!(rev(&rows[1]) > rev(&rows[0]) && rows[1].emptied().as_deref() == Some(" update "));
    assert_eq!((rows[1].get("sex"), rows[1].get("birth_year")), (&Cell::from("M"), &Cell::Int(1999)));
}

#[test]
fn utf_16_and_other_damage_are_told_and_the_rest_goes_on() {
    let good = oru("OBX|1|NM|X||5||||||F\r");
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = b"\xff\xfe".to_vec();
    bytes.extend_from_slice(&wide);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(good.as_bytes());
    let (kept, told) = read(&bytes);
    assert_eq!((kept.reasons(), kept.of(Table::Measurement).len(), told.items), (vec!["not_hl7"], 1, 1));
    // NUL within one message costs that message alone.
    let three = [good.as_str(), &good.replace("DOE", "D\0E"), &good.replace("|F1", "|F3")].concat();
    let (kept, told) = read(three.as_bytes());
    assert_eq!((kept.reasons(), kept.of(Table::Measurement).len(), told.items), (vec!["not_text"], 2, 3));
}

/// Japanese is named in MSH-18's second repetition, the first being empty; its bytes hold HL7's own separators.
#[test]
fn a_message_whose_escapes_switch_to_japanese() {
    let mut message = format!(
        "MSH|^~\\&|LAB|H|EHR|H|20240301120000||ORU^R01|7|P|2.5||||||~ISO IR87\r{PID}\rORC|RE|P1|F1\rOBR|1|P1|F1|PANEL|||20240301080000|||||||||||||||||||F\rOBX|1|NM|3D010000002327101^"
    )
    .into_bytes();
    // Blood glucose: one of the bytes is a bar.
    message.extend_from_slice(b"\x1b$B7lE|\x1b(B");
    message.extend_from_slice(b"^JC10||105|mg/dL|70-109||||F\r");
    let (kept, _) = read(&message);
    let row = kept.one(Table::Measurement);
    assert_eq!((real(row, "value_num"), row.get("unit_src")), (Some(105.0), &Cell::from("mg/dL")));
}

#[test]
fn results_of_an_unordered_observation() {
    let message = format!(
        "MSH|^~\\&|LAB|H|EHR|H|20240301120000||OUL^R22|7|P|2.5\r{PID}\rSPM|1|S1||BLD\rOBR|1|P1|F1|PANEL|||20240301080000\rNTE|1||x\rORC|SC|P1|F1\rOBX|1|NM|2345-7^^LN||5.5|mmol/L|||||F\r"
    );
    assert_eq!(real(read(message.as_bytes()).0.one(Table::Measurement), "value_num"), Some(5.5));
}

#[test]
fn an_order_is_of_its_laboratory() {
    let of = |oid: &str| {
        let message = oru("OBX|1|NM|2345-7^^LN||5.5|mmol/L|||||F\r").replace("|F1|", &format!("|F1^^{oid}^ISO|"));
        key(read(message.replace("|F1\r", &format!("|F1^^{oid}^ISO\r")).as_bytes()).0.one(Table::Measurement))
    };
    assert_ne!(of("1.2.3.1"), of("1.2.3.2"));
}

#[test]
fn a_diagnosis_keeps_the_classification() {
    let dg1 = "DG1|1||44054006^T2DM^SCT^E11.9^T2DM^I10C|||F\r";
    let message = adt("A01", &pv1("I", "7", "20240301080000", "")) + dg1;
    let (kept, _) = read(message.as_bytes());
    let codes: Vec<_> =
        kept.of(Table::Condition).iter().map(|r| r.get("code").clone()).filter(|c| *c != Cell::Null).collect();
    assert_eq!(codes, [Cell::from("E11.9")]);
}
