//! What is refused by its name, in bounded memory; and that nothing panics.
#![allow(clippy::unwrap_used)]

use std::io::{BufReader, Read as _};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use schema::Table;

use super::{HEADER, SNOMED, Seen, document, problem, read, read_from, section};
use crate::sink::Reason;

fn whole() -> String {
    let entries = vec![problem(SNOMED); 3];
    let entries: Vec<String> =
        entries.iter().enumerate().map(|(i, e)| e.replace("\"c\"", &format!("\"c{i}\""))).collect();
    document(HEADER, &section("11450-4", &entries.join("||")))
}

fn refused(bytes: &[u8]) -> (Reason, u64, String) {
    let (seen, read) = read(bytes);
    assert_eq!(read.quarantined, 1, "{:?}", seen.bad);
    (seen.bad[0].reason, seen.bad[0].line, seen.bad[0].detail.clone())
}

fn conditions(seen: &Seen) -> usize {
    seen.of(Table::Condition).len()
}

#[test]
fn dtds_and_entity_bombs_are_refused_before_anything_is_read() {
    let bomb = r#"<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"#;
    let outside = r#"<!DOCTYPE ClinicalDocument SYSTEM "file:///etc/passwd">"#;
    for dtd in [bomb, outside, "<!DOCTYPE d>"] {
        let text = whole().replacen("?>", &format!("?>\n{dtd}"), 1);
        let (seen, _) = read(text.as_bytes());
        assert!(seen.records.is_empty());
        let (reason, line, detail) = refused(text.as_bytes());
        assert_eq!((reason, line), (Reason::DtdForbidden, 2));
        assert!(detail.contains("<!DOCTYPE") && !detail.contains("passwd"), "{detail}");
    }
    let entity = whole().replace("\"233604007\"", "\"&xxe;\"");
    assert_eq!(refused(entity.as_bytes()).0, Reason::BadXml);
}

#[test]
fn a_document_cut_anywhere_keeps_what_came_before() {
    let whole = whole();
    let mut most = 0;
    for end in (0..whole.len()).step_by(7) {
        let (seen, _) = read(whole.as_bytes().get(..end).unwrap());
        assert_eq!(seen.bad.len(), 1, "cut at {end}");
        let reason = seen.bad[0].reason;
        assert!(matches!(reason, Reason::Truncated | Reason::NotCda), "cut at {end}: {reason:?}");
        most = most.max(conditions(&seen));
    }
    assert_eq!(most, 3);
    let (seen, _) = read(whole.as_bytes());
    assert_eq!((seen.bad.len(), conditions(&seen)), (0, 3));
}

#[test]
fn a_gzip_that_breaks_off_is_named() {
    let long: String =
        (0..400).map(|i| problem(SNOMED).replace("\"c\"", &format!("\"c{}\"", i * 7919 % 100_003)) + "||").collect();
    let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, document(HEADER, &section("11450-4", &long)).as_bytes()).unwrap();
    let packed = gz.finish().unwrap();
    for end in [30, packed.len() / 2] {
        let (seen, _) = read_from(Box::new(BufReader::new(MultiGzDecoder::new(&packed[..end]))));
        assert_eq!(seen.bad[0].reason, Reason::Truncated, "{end}");
        assert!(end == 30 || conditions(&seen) > 10);
    }
}

#[test]
fn nesting_ten_thousand_deep_is_refused() {
    for inside in ["<text>", "<entry>", "<observation>"] {
        let deep = whole().replacen("<text>", &inside.repeat(10_000), 1);
        let (reason, _, detail) = refused(deep.as_bytes());
        assert_eq!(reason, Reason::TooDeep, "{inside}");
        assert!(detail.contains("128 deep"));
    }
}

#[test]
fn bytes_that_are_no_text_of_the_declared_encoding() {
    let nul = whole().replace("233604007", "2336\u{0}04007");
    assert_eq!(refused(nul.as_bytes()).0, Reason::NotText);
    let mut latin = whole().replace("<text>n", "<text>M?ller").into_bytes();
    // Other question marks are the declaration's.
    let last = latin.iter().rposition(|b| *b == b'?').unwrap();
    latin[last] = 0xfc;
    assert_eq!(refused(&latin).0, Reason::NotUtf8);
    let told = String::from_utf8_lossy(&latin).replace("UTF-8", "ISO-8859-1");
    assert!(read(told.as_bytes()).0.bad.is_empty());
    let label = whole().replace("UTF-8", "klingon-1");
    assert_eq!(refused(label.as_bytes()).0, Reason::NotUtf8);
}

#[test]
fn encodings_are_read_by_their_declaration() {
    let text = whole().replace("233604007", "Kö");
    let code = |bytes: &[u8]| {
        let (seen, _) = read(bytes);
        assert!(seen.bad.is_empty(), "{:?}", seen.bad);
        seen.of(Table::Condition)[0].get("code").clone()
    };
    let want = schema::Cell::from("Kö");
    assert_eq!(code(text.as_bytes()), want);
    assert_eq!(code([b"\xEF\xBB\xBF", text.as_bytes()].concat().as_slice()), want);
    let latin: Vec<u8> =
        text.replace("UTF-8", "ISO-8859-1").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(code(&latin), want);
    let wide = text.replace("UTF-8", "UTF-16");
    let little: Vec<u8> = wide.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = wide.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(code(&little), want, "without a mark");
    assert_eq!(code(&big), want);
    assert_eq!(code(&[b"\xFF\xFE".as_slice(), &little].concat()), want);
    // Said to be UTF-16 and written as UTF-8: a program's string that went to a file.
    assert_eq!(code(wide.as_bytes()), want);
}

#[test]
fn files_that_are_no_clinical_document() {
    for text in [
        "",
        "no XML at all",
        "{\"resourceType\":\"Patient\"}",
        "<html><body/></html>",
        "<ClinicalDocument xmlns=\"urn:x\"/>",
    ] {
        assert_eq!(refused(text.as_bytes()).0, Reason::NotCda, "{text}");
    }
    let mismatch = whole().replace("</section>", "</sektion>");
    assert_eq!(refused(mismatch.as_bytes()).0, Reason::BadXml);
    let nobody = whole().replace("recordTarget", "dataEnterer");
    assert_eq!(refused(nobody.as_bytes()).0, Reason::MissingPatient);
    let two = whole().replacen("<recordTarget>", "<recordTarget><patientRole/></recordTarget><recordTarget>", 1);
    assert_eq!(refused(two.as_bytes()).0, Reason::MissingPatient);
    let both =
        document(&format!("{HEADER}<recordTarget><patientRole><id root=\"1\"/></patientRole></recordTarget>"), "");
    let (seen, _) = read(both.as_bytes());
    assert!(seen.records.is_empty() && seen.bad[0].detail.contains("two recordTargets"));
}

/// Bytes without end, without holding them.
fn long(front: String, filler: &'static [u8], times: usize, back: String) -> Box<dyn std::io::BufRead> {
    struct Filler(&'static [u8], u64, u64);
    impl std::io::Read for Filler {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = out.len().min(usize::try_from(self.2 - self.1).unwrap());
            for slot in out.iter_mut().take(n) {
                *slot = self.0[usize::try_from(self.1 % self.0.len() as u64).unwrap()];
                self.1 += 1;
            }
            Ok(n)
        }
    }
    let all = (filler.len() * times) as u64;
    Box::new(BufReader::new(
        std::io::Cursor::new(front).chain(Filler(filler, 0, all)).chain(std::io::Cursor::new(back)),
    ))
}

/// The peak of this process's memory, in KiB, where the system tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_hundred_megabytes_in_one_place_cost_no_memory() {
    const TIMES: usize = 1024 * 1024;
    let hundred: &[u8] = &[b'A'; 100];
    let cut = |at: &str| {
        let text = whole();
        let (front, back) = text.split_once(at).unwrap();
        (format!("{front}{at}"), back.to_owned())
    };
    let before = peak();
    // A narrative of that length is passed over: it is no fault.
    let (front, back) = cut("<text>");
    let (seen, _) = read_from(long(front, hundred, TIMES, back));
    assert_eq!((seen.bad.len(), conditions(&seen)), (0, 3));
    // So is an entry's text, but not its code.
    let (front, back) = cut("<code code=\"");
    let (seen, _) = read_from(long(front, hundred, TIMES, back));
    assert_eq!(seen.bad[0].reason, Reason::TooLarge);
    let (front, back) = cut("<section>");
    let (seen, _) = read_from(long(format!("{front}<!--"), hundred, TIMES, format!("-->{back}")));
    assert_eq!(seen.bad[0].reason, Reason::TooLarge);
    // A million elements in one entry: that entry is refused, the others are read.
    let (front, back) = cut("<entry>");
    let (seen, _) = read_from(long(front, b"<observation><value/></observation>", TIMES, back));
    assert_eq!((seen.bad.len(), seen.bad[0].reason, conditions(&seen)), (1, Reason::TooLarge, 2));
    let grown = peak() - before;
    assert!(grown < 64 * 1024, "{grown} KiB");
}

#[test]
fn one_value_over_its_bound_costs_its_entry_alone() {
    let long = "x".repeat(5000);
    let text = whole().replacen("233604007", &long, 1);
    let (seen, _) = read(text.as_bytes());
    assert_eq!((seen.bad.len(), seen.bad[0].reason, conditions(&seen)), (1, Reason::TooLarge, 2));
    assert!(seen.bad[0].detail.starts_with("section[1]/entry[1]"), "{}", seen.bad[0].detail);
    let text = whole().replacen(SNOMED, &format!("<value xsi:type=\"ST\">{long}</value>"), 1);
    assert_eq!(read(text.as_bytes()).0.bad[0].reason, Reason::TooLarge);
}

proptest! {
    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (seen, _) = read(&bytes);
        prop_assert!(seen.records.is_empty());
        prop_assert_eq!(seen.bad.len(), 1);
    }

    #[test]
    fn never_panics_on_a_damaged_document(
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..12),
        cut in 0usize..40,
    ) {
        let mut bytes = whole().into_bytes();
        let from = at.index(bytes.len());
        let to = (from + cut).min(bytes.len());
        bytes.splice(from..to, with);
        let (seen, _) = read(&bytes);
        prop_assert!(seen.records.len() <= 5);
    }

    #[test]
    fn never_panics_on_strange_statements(
        element in "(observation|act|organizer|procedure|substanceAdministration|supply|encounter)",
        template in "(2|4|12|14|16|18|49|52|78|79)",
        child in "(id|code|value|effectiveTime|statusCode|doseQuantity|quantity|consumable|author)",
        attribute in "(root|extension|code|codeSystem|value|unit|xsi:type|nullFlavor|moodCode)",
        text in "[-+.0-9A-Z_]{0,20}",
    ) {
        let entry = format!(
            "<{element}><templateId root=\"2.16.840.1.113883.10.20.22.4.{template}\"/><{child} {attribute}=\"{text}\"><low value=\"{text}\"/>\
             <translation code=\"{text}\"/></{child}><code code=\"1\"/><id root=\"{text}\"/></{element}>"
        );
        let (_, read) = read(document(HEADER, &section("11450-4", &entry)).as_bytes());
        prop_assert_eq!(read.items, 2);
    }
}
