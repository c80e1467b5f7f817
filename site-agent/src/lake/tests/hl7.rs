//! HL7 v2 in the lake: the same gold as from CSV, and the same whatever order and number a feed's messages come in.

use std::fmt::Write as _;

use super::*;

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "patients.csv"
dates = ["%Y-%m-%d"]
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth = { column = "born" }
[[file]]
match = "visits.csv"
dates = ["%Y-%m-%d %H:%M:%S"]
person = { column = "id" }
[[file.row]]
table = "visit"
[file.row.set]
visit = { column = "visit" }
class = { column = "class" }
start = { column = "start" }
end = { column = "end" }
end_kind = "explicit"
[[file.row]]
table = "condition"
id = ["visit", "dx"]
[file.row.set]
visit = { column = "visit" }
code_system = "icd10"
code = { column = "dx" }
role = "primary"
rank = "1"
event = { column = "start" }
[[file]]
match = "labs.csv"
dates = ["%Y-%m-%d %H:%M:%S"]
person = { column = "id" }
[[file.row]]
table = "measurement"
id = ["order", "code"]
[file.row.set]
visit = { column = "visit" }
code_system = "loinc"
code = { column = "code" }
value_num = { column = "value" }
unit_src = { column = "unit" }
event = { column = "taken" }
"#;

/// One stay of a patient with one result.
struct Stay {
    id: u32,
    sex: &'static str,
    born: u32,
    day: u32,
    value: String,
}

fn stays() -> Vec<Stay> {
    (0..60)
        .map(|id| Stay {
            id,
            sex: if id % 3 == 0 { "M" } else { "F" },
            born: 1930 + id,
            day: 1 + id % 28,
            value: if id % 7 == 0 { "<5".to_owned() } else { format!("{}.{}", 5 + id % 9, id % 10) },
        })
        .collect()
}

fn head(time: &str, kind: &str, control: &str) -> String {
    format!("MSH|^~\\&|HIS|H|E|H|{time}||{kind}|{control}|P|2.5\r")
}

fn pid(id: u32, s: &Stay) -> String {
    format!("PID|1||P{id}^^^H^MR||DOE^X||{}0615|{}\r", s.born, s.sex)
}

fn pv1(id: u32, day: u32, ended: bool) -> String {
    let end = if ended { format!("202202{day:02}220000") } else { String::new() };
    format!("PV1|1|I|||||||||||||||||V{id}{}202202{day:02}080000|{end}\r", "|".repeat(25))
}

fn adt(event: &str, time: &str, s: &Stay, ended: bool) -> String {
    let dx = if ended { format!("DG1|1||I2{}.0^x^I10||||||||||||1\r", s.id % 5) } else { String::new() };
    head(time, &format!("ADT^{event}"), &format!("{event}{}", s.id)) + &pid(s.id, s) + &pv1(s.id, s.day, ended) + &dx
}

fn oru(time: &str, s: &Stay, id: u32, value: &str, status: &str) -> String {
    let Stay { day, .. } = s;
    let order = format!("OBR|1||F{}|PANEL|||202202{day:02}090000\r", s.id);
    let result = format!("OBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|||||{status}\r");
    head(time, "ORU^R01", &format!("R{}{status}", s.id)) + &pid(id, s) + &pv1(s.id, s.day, false) + &order + &result
}

/// The feed of the same stays: only what stays true.
fn clean(stays: &[Stay]) -> Vec<String> {
    stays
        .iter()
        .flat_map(|s| {
            let at = |hour| format!("202202{:02}{hour:02}0000", s.day);
            [adt("A01", &at(8), s, false), oru(&at(12), s, s.id, &s.value, "F"), adt("A03", &at(22), s, true)]
        })
        .collect()
}

pub(super) fn hospital(source: &str, files: &[(&str, String)]) -> Hospital {
    let hospital = Hospital::new(source, ".none", "");
    std::fs::write(hospital.dir.path().join("mapping.toml"), MAPPING).unwrap();
    std::fs::create_dir_all(hospital.config.state_dir()).unwrap();
    std::fs::write(hospital.config.state_dir().join("pseudonym.key"), [5; 32]).unwrap();
    for (name, text) in files {
        std::fs::write(hospital.file(name), text).unwrap();
    }
    hospital
}

pub(super) const HL7: &str = "format = \"hl7v2\"";

/// Every row of gold as text, without the columns that are named.
pub(super) fn rows(hospital: &Hospital, without: &[&str]) -> Vec<String> {
    let gold = hospital.gold();
    let mut out = Vec::new();
    for table in Table::ALL {
        for batch in batches(&hospital.lake.gold_file(&gold, table).unwrap()) {
            for row in 0..batch.num_rows() {
                let mut text = table.name().to_owned();
                for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                    if !without.contains(&field.name().as_str()) {
                        let value = arrow::util::display::array_value_to_string(column, row).unwrap();
                        write!(text, " {}={value}", field.name()).unwrap();
                    }
                }
                out.push(text);
            }
        }
    }
    out.sort();
    out
}

#[tokio::test]
async fn the_same_patients_give_the_same_gold_by_csv_and_by_hl7() {
    let stays = stays();
    let mut texts =
        ["id,sex,born\n", "id,visit,class,start,end,dx\n", "id,visit,order,code,value,unit,taken\n"].map(str::to_owned);
    for s in &stays {
        let (id, day) = (s.id, format!("2022-02-{:02}", s.day));
        writeln!(texts[0], "P{id},{},{}-06-15", s.sex, s.born).unwrap();
        writeln!(texts[1], "P{id},V{id},IP,{day} 08:00:00,{day} 22:00:00,I2{}.0", id % 5).unwrap();
        writeln!(texts[2], "P{id},V{id},F{id},2345-7,{},mmol/L,{day} 09:00:00", s.value).unwrap();
    }
    let [patients, visits, labs] = texts;
    let csv = hospital(
        "format = \"csv\"\nmapping = \"mapping.toml\"",
        &[("patients.csv", patients), ("visits.csv", visits), ("labs.csv", labs)],
    );
    // The numbers of the authority that the source names are plain, as those of every other format.
    let named = format!("{HL7}\nauthority = \"H\"");
    let hl7 = hospital(&named, &[("feed.hl7", clean(&stays).concat())]);
    let reports = [csv.ingest().await, hl7.ingest().await];
    assert!(reports.iter().all(|r| r.files.iter().all(|f| f.quarantined == 0)), "{reports:?}");
    // What the formats do not share: the source's own keys, what was known when, and how often it was said.
    let without = ["record_key", "rev", "src_format", "t_known", "t_ingest"];
    let (a, b) = (rows(&csv, &without), rows(&hl7, &without));
    assert_eq!(a.len(), 60 * 4 + 60 + 60, "patients, visits, diagnoses, results, periods, eras");
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a, b);
    }
    assert_eq!(a.len(), b.len());
}

#[tokio::test]
async fn a_shuffled_repeated_and_corrected_feed_gives_the_gold_of_the_clean_one() {
    let stays = stays();
    // What was said wrongly first, and taken back or set right later.
    let mut noisy = clean(&stays);
    let mut wanted = clean(&stays);
    for s in &stays {
        let at = |hour| format!("202202{:02}{hour:02}3000", s.day);
        match s.id % 5 {
            // A wrong value, corrected by the message that is in the clean feed.
            0 => noisy.push(oru(&at(10), s, s.id, "99.9", "F")),
            // A result that was withdrawn.
            1 => {
                noisy.push(oru(&at(13), s, s.id, &s.value, "W"));
                wanted.retain(|m| !m.contains(&format!("||F{}|", s.id)));
                // The order's mention of the visit and the patient tells nothing that the snapshots do not.
            }
            // A discharge that was cancelled, before the one that holds.
            2 => noisy.extend([adt("A03", &at(18), s, true), adt("A13", &at(19), s, true)]),
            // A stay that never was.
            3 => {
                let ghost = Stay { id: 1000 + s.id, value: String::new(), ..*s };
                noisy.push(adt("A01", &at(8), &ghost, false));
                noisy.push(adt("A11", &at(9), &ghost, false));
                wanted.push(adt("A31", &at(9), &ghost, false));
            }
            // A preliminary result of the same second as the final one.
            _ => noisy.push(oru(&at(12).replace("123000", "120000"), s, s.id, "77.7", "P")),
        }
    }
    let first = hospital(HL7, &[("feed.hl7", wanted.concat())]);
    first.ingest().await;
    let want = rows(&first, &["t_ingest"]);
    assert!(want.len() > 250);
    for seed in 1..4u64 {
        let mut replay: Vec<String> = noisy.iter().chain(noisy.iter().step_by(2)).cloned().collect();
        let mut state = seed;
        for i in (1..replay.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            replay.swap(i, (state >> 33) as usize % (i + 1));
        }
        let files: Vec<(String, String)> =
            replay.chunks(97).enumerate().map(|(i, part)| (format!("{i}.hl7"), part.concat())).collect();
        let second = hospital(HL7, &[]);
        // A file at a time, so that the order of arrival is another in each run.
        for (name, text) in &files {
            std::fs::write(second.file(name), text).unwrap();
            let report = second.ingest().await;
            assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
        }
        let got = rows(&second, &["t_ingest"]);
        for (a, b) in want.iter().zip(&got) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(want.len(), got.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn the_events_of_a_merged_patient_are_those_of_the_one_who_stays() {
    let stays = stays();
    let [a, b, c] = [&stays[0], &stays[1], &stays[2]];
    let merge = |time: &str, stays: &Stay, old: u32| {
        head(time, "ADT^A40^ADT_A39", &format!("M{old}")) + &pid(stays.id, stays) + &format!("MRG|P{old}^^^H^MR\r")
    };
    let of = |order: &[&str]| -> String { order.concat() };
    let (one, two, three) = (
        oru("20220201120000", a, a.id, "5", "F"),
        oru("20220202120000", b, b.id, "6", "F"),
        oru("20220203120000", c, c.id, "7", "F"),
    );
    // P1 into P0, and then P0 into P2; and a result that still comes under the oldest number.
    let merges = [merge("20220210120000", a, b.id), merge("20220211120000", c, a.id)];
    let late = oru("20220212120000", &stays[3], b.id, "8", "F");
    let orders = [
        of(&[&one, &two, &three, &merges[0], &merges[1], &late]),
        of(&[&late, &merges[1], &merges[0], &three, &two, &one]),
    ];
    let mut seen = Vec::new();
    for text in orders {
        let hospital = hospital(HL7, &[("feed.hl7", text)]);
        hospital.ingest().await;
        let gold = hospital.gold();
        let persons = |table: Table| -> Vec<Vec<u8>> {
            let file = hospital.lake.gold_file(&gold, table).unwrap();
            batches(&file)
                .iter()
                .flat_map(|b| {
                    let keys = b.column_by_name("person_key").unwrap().as_fixed_size_binary().clone();
                    (0..keys.len()).map(|i| keys.value(i).to_vec()).collect::<Vec<_>>()
                })
                .collect()
        };
        let (patients, results) = (persons(Table::Patient), persons(Table::Measurement));
        assert_eq!((patients.len(), results.len()), (1, 4));
        assert!(results.iter().all(|p| *p == patients[0]), "all of them are of the one who stays");
        assert_eq!(persons(Table::ObservationPeriod), patients);
        seen.push(rows(&hospital, &["t_ingest"]));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_folder_of_gzipped_and_of_plain_files_and_of_what_is_none() {
    let stays = stays();
    let hospital = hospital(HL7, &[("a/feed.hl7", String::new())][..0]);
    std::fs::create_dir(hospital.file("a")).unwrap();
    let messages = clean(&stays);
    let (plain, packed) = messages.split_at(60);
    std::fs::write(hospital.file("a/1.hl7"), plain.concat()).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, packed.concat().as_bytes()).unwrap();
    std::fs::write(hospital.file("2.hl7.gz"), gz.finish().unwrap()).unwrap();
    std::fs::write(hospital.file("readme.txt"), "no HL7").unwrap();
    let report = hospital.ingest().await;
    assert_eq!((report.files.len(), report.ignored), (2, vec!["readme.txt".to_owned()]));
    let of = |name: &str| report.gold_rows.iter().find(|(t, _)| t == name).map(|(_, n)| *n);
    assert_eq!(
        (of("patient"), of("visit"), of("measurement"), of("condition")),
        (Some(60), Some(60), Some(60), Some(60))
    );
    assert!(hospital.ingest().await.files.iter().all(|f| f.unchanged));
}
