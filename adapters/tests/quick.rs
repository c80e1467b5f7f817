//! The quick ways of reading against the slow ones: a sink that lends its columns and one that takes records must come to the same
//! batches, the same quarantine and the same counts, on real files and on lines that were changed at random.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod given;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use adapters::{Adapter, AdapterError, Context, Extract, Neighbour, Place, Quarantined, Read, Sink};
use arrow::array::RecordBatch;
use given::shared;
use proptest::prelude::*;
use schema::{BatchBuilder, Record, Table};

/// Rows of a batch; few, so that files have many.
const BATCH: usize = 500;

/// Batches by table, of records or of columns that it lends.
struct Kept {
    lends: bool,
    tables: BTreeMap<Table, (BatchBuilder, Vec<RecordBatch>)>,
    bad: Vec<Quarantined>,
    skipped: BTreeMap<String, u64>,
    /// Rows that came as records.
    records: u64,
}

impl Kept {
    fn new(lends: bool) -> Kept {
        Kept { lends, tables: BTreeMap::new(), bad: Vec::new(), skipped: BTreeMap::new(), records: 0 }
    }

    fn table(&mut self, table: Table) -> &mut (BatchBuilder, Vec<RecordBatch>) {
        self.tables.entry(table).or_insert_with(|| (BatchBuilder::new(table), Vec::new()))
    }

    fn full(&mut self, table: Table, least: usize) {
        let (builder, batches) = self.table(table);
        if builder.rows() >= least {
            batches.push(builder.finish().unwrap());
        }
    }

    fn finish(&mut self) {
        for table in self.tables.keys().copied().collect::<Vec<_>>() {
            self.full(table, 1);
        }
    }
}

impl Sink for Kept {
    fn record(&mut self, record: Record) -> Result<(), AdapterError> {
        self.row(&record)
    }
    fn row(&mut self, record: &Record) -> Result<(), AdapterError> {
        self.records += 1;
        assert!(self.table(record.table()).0.push(record).unwrap());
        self.full(record.table(), BATCH);
        Ok(())
    }
    fn columns(&mut self, table: Table) -> Result<Option<&mut BatchBuilder>, AdapterError> {
        Ok(self.lends.then(|| &mut self.table(table).0))
    }
    fn filled(&mut self, table: Table) -> Result<(), AdapterError> {
        // As many rows may come at once, a batch may be fuller than those of records; the rows are compared, not the cuts.
        self.full(table, BATCH);
        Ok(())
    }
    fn quarantine(&mut self, q: Quarantined) -> Result<(), AdapterError> {
        self.bad.push(q);
        Ok(())
    }
    fn skipped(&mut self, kind: &str) {
        *self.skipped.entry(kind.to_owned()).or_default() += 1;
    }
}

fn context() -> Context {
    Context {
        source_system: "test".to_owned(),
        zone: chrono_tz::Europe::Berlin,
        pseudonyms: schema::record::Pseudonyms::new(&[9; 32]),
        linkage: None,
        ingest_micros: 1_790_000_000_000_000,
        revision: 1,
    }
}

/// One file as it is read, and what lies beside it.
struct Input<'a> {
    name: &'a str,
    bytes: &'a [u8],
    path: Option<&'a Path>,
    beside: &'a [Neighbour],
}

fn read(adapter: &dyn Adapter, input: &Input<'_>, lends: bool) -> (Kept, Read) {
    let mut kept = Kept::new(lends);
    let extract = Extract { name: input.name, reader: Box::new(Cursor::new(input.bytes)) };
    let place = Place { path: input.path, beside: input.beside };
    let read = adapter.read_at(&context(), extract, place, &mut kept).unwrap();
    kept.finish();
    (kept, read)
}

/// The batches of a table as one.
fn whole(kept: &Kept, table: Table) -> RecordBatch {
    arrow::compute::concat_batches(&table.silver(), &kept.tables[&table].1).unwrap()
}

/// Reads both ways, and gives how many rows there are and how many of them went the slow way in spite of all.
fn same(adapter: &dyn Adapter, input: &Input<'_>) -> Result<(u64, u64), String> {
    let ((slow, slow_read), (quick, quick_read)) = (read(adapter, input, false), read(adapter, input, true));
    let name = input.name;
    if slow_read != quick_read {
        return Err(format!("{name}: {slow_read:?} and {quick_read:?}"));
    }
    if slow.bad != quick.bad || slow.skipped != quick.skipped {
        return Err(format!("{name}: {:?} {:?} and {:?} {:?}", slow.bad, slow.skipped, quick.bad, quick.skipped));
    }
    let of = |kept: &Kept| kept.tables.keys().filter(|t| !kept.tables[t].1.is_empty()).copied().collect::<Vec<_>>();
    if of(&slow) != of(&quick) {
        return Err(format!("{name}: {:?} and {:?}", of(&slow), of(&quick)));
    }
    for table in of(&slow) {
        let (a, b) = (whole(&slow, table), whole(&quick, table));
        for (i, field) in a.schema().fields().iter().enumerate() {
            if a.column(i) != b.column(i) {
                let at =
                    (0..a.num_rows().min(b.num_rows())).find(|r| a.column(i).slice(*r, 1) != b.column(i).slice(*r, 1));
                return Err(format!("{name}: {}.{} differs first in row {at:?}", table.name(), field.name()));
            }
        }
    }
    Ok((quick_read.records, quick.records))
}

fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    adapters::reader(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Every file of a folder that a format reads, both ways; rows and slow rows by file.
fn folder(format: &str, folder: &Path) -> BTreeMap<String, (u64, u64)> {
    let adapter = adapters::open(format, None, "").unwrap();
    let all: Vec<PathBuf> =
        files(folder).into_iter().filter(|p| adapter.accepts(&name_of(p)) || adapter.lends(&name_of(p))).collect();
    for path in all.iter().filter(|p| adapter.surveys(&name_of(p))) {
        adapter.survey(Extract { name: &name_of(path), reader: adapters::reader(path).unwrap() }).unwrap();
    }
    let mut out = BTreeMap::new();
    for path in all.iter().filter(|p| adapter.accepts(&name_of(p))) {
        let name = name_of(path);
        let beside: Vec<Neighbour> = all
            .iter()
            .filter(|p| adapter.beside(&name, &name_of(p)))
            .map(|p| Neighbour { name: name_of(p), path: p.clone(), version: String::new() })
            .collect();
        let input = Input { name: &name, bytes: &bytes_of(path), path: Some(path), beside: &beside };
        let (rows, slow) = same(adapter.as_ref(), &input).unwrap();
        out.insert(name, (rows, slow));
    }
    out
}

#[test]
fn fhir_folders() {
    for name in
        ["fhir-r4-ndjson-synthea", "fhir-r4-ndjson-pathling", "fhir-r4-bulk-export-10", "fhir-r4-bundles-synthea"]
    {
        let Some(path) = shared(name) else { continue };
        for (file, (rows, slow)) in folder("fhir", &path) {
            if file.contains("Observation") {
                assert!(slow * 10 < rows, "{name}/{file}: {slow} of {rows} rows went the slow way");
            }
        }
    }
}

/// Lines as servers write them.
fn observations() -> Vec<String> {
    let head = |id: usize| {
        format!(
            r#"{{"resourceType":"Observation","id":"o-{id}","meta":{{"versionId":"{}","lastUpdated":"2023-10-{:02}T10:46:05.0{id}0-04:00","profile":["http://h.example/p"]}},"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"#,
            id % 3 + 1,
            id % 27 + 1
        )
    };
    let tail = |id: usize| {
        format!(
            r#""subject":{{"reference":"Patient/p{}","display":"A B"}},"encounter":{{"reference":"Encounter/e{}"}},"effectiveDateTime":"2023-0{}-1{}T10:46:05+02:00","issued":"2023-10-25T10:46:0{}.500Z","#,
            id / 3,
            id / 2,
            id % 9 + 1,
            id % 9,
            id % 10
        )
    };
    let code = |system: &str, code: &str| {
        format!(r#"{{"coding":[{{"system":"{system}","code":"{code}","display":"D {code}"}}],"text":"T"}}"#)
    };
    let quantity = |value: &str, unit: &str| {
        format!(r#"{{"value":{value},"unit":"{unit}","system":"http://unitsofmeasure.org","code":"{unit}"}}"#)
    };
    let loinc = "http://loinc.org";
    (0..9)
        .flat_map(|id| {
            let (head, tail) = (head(id), tail(id));
            let value = format!("{}.{}", id * 7 % 100, id * 31 % 97);
            let long = format!("88.3041685807{id}971");
            let range = format!(r#"[{{"low":{{"value":{id}}},"high":{{"value":9{id}.5}},"text":"normal"}}]"#);
            [
                format!(r#"{head}"code":{},{tail}"valueQuantity":{}}}"#, code(loinc, "4548-4"), quantity(&value, "%")),
                format!(r#"{head}"code":{},{tail}"valueQuantity":{}}}"#, code(loinc, "2571-8"), quantity(&long, "mg/dL")),
                format!(
                    r#"{head}"code":{},{tail}"valueQuantity":{},"referenceRange":{range}}}"#,
                    code(loinc, "718-7"),
                    quantity(&value, "g/dL")
                ),
                format!(
                    r#"{head}"code":{},{tail}"component":[{{"code":{},"valueQuantity":{}}},{{"code":{},"valueQuantity":{}}}]}}"#,
                    code(loinc, "85354-9"),
                    code(loinc, "8480-6"),
                    quantity(&format!("12{id}"), "mm[Hg]"),
                    code(loinc, "8462-4"),
                    quantity(&format!("7{id}.0"), "mm[Hg]")
                ),
                format!(
                    r#"{head}"code":{},{tail}"valueCodeableConcept":{}}}"#,
                    code(loinc, "72166-2"),
                    code("http://snomed.info/sct", "266919005")
                ),
            ]
        })
        .collect()
}

/// A change that a line may have suffered.
#[derive(Clone, Debug)]
enum Change {
    /// A byte at a place becomes another.
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    /// What stands between two places goes.
    Without(prop::sample::Index, u8),
    /// A text becomes another, wherever it stands.
    Text(usize),
    /// A member is put before another one.
    Member(prop::sample::Index, usize),
}

const TEXTS: [(&str, &str); 24] = [
    ("\"final\"", "\"entered-in-error\""),
    ("\"final\"", "\"amended\""),
    ("\"final\"", "null"),
    ("Patient/", "Group/"),
    ("Patient/", "https://h.example/fhir/Patient/"),
    ("Patient/p", "Patient/p%C3%B6"),
    ("Patient/p", "Patient/ö"),
    ("Encounter/", "#"),
    ("2023-0", "1023-0"),
    ("2023-0", "9999-0"),
    ("T10:46:05+02:00", ""),
    ("T10:46:05+02:00", "T02:30:00"),
    ("\"value\":", "\"value\":-"),
    ("\"value\":", "\"value\":1e"),
    ("\"value\":", "\"value\":0"),
    ("\"value\":", "\"value\": "),
    ("\"value\":", "\"value\":999999999999"),
    ("\"unit\":", "\"comparator\":\"<\",\"unit\":"),
    ("\"versionId\":\"", "\"versionId\":\" "),
    ("\"id\":\"", "\"id\":\" "),
    ("D ", "D \\u00e4 \\\" "),
    ("D ", "D\u{1} "),
    ("\"issued\":\"2023", "\"issued\":\"1023"),
    ("\"code\":\"8480-6\",", ""),
];

const MEMBERS: [&str; 18] = [
    "\"status\":\"final\",",
    "\"note\":[{\"text\":\"x\"}],",
    "\"modifierExtension\":[{\"url\":\"u\"}],",
    "\"specimen\":{\"reference\":\"Specimen/1\"},",
    "\"contained\":[{\"resourceType\":\"Specimen\",\"id\":\"s\"}],",
    "\"interpretation\":[{\"coding\":[{\"code\":\"H\"}]}],",
    "\"dataAbsentReason\":{\"coding\":[{\"code\":\"unknown\"}]},",
    "\"hasMember\":[{\"reference\":\"Observation/1\"}],",
    "\"valueString\":\"abc\",",
    "\"valueString\":\"<5\",",
    "\"valueCodeableConcept\":{\"text\":\"x\"},",
    "\"valueInteger\":7,",
    "\"effectivePeriod\":{\"start\":\"2020-01-01\"},",
    "\"comparator\":\">=\",",
    "\"value\":3,",
    "\"code\":\"x\",",
    "\"extension\":[{\"url\":\"u\",\"valueString\":\"v\"}],",
    "\"performer\":[{\"reference\":\"Practitioner/1\",\"display\":\"Dr\"}],",
];

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        place().prop_map(Change::Cut),
        (place(), 1u8..60).prop_map(|(at, n)| Change::Without(at, n)),
        (0..TEXTS.len()).prop_map(Change::Text),
        (0..TEXTS.len()).prop_map(Change::Text),
        (place(), 0..MEMBERS.len()).prop_map(|(at, which)| Change::Member(at, which)),
        (place(), 0..MEMBERS.len()).prop_map(|(at, which)| Change::Member(at, which)),
    ]
}

fn changed(line: &str, change: &Change) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    match change {
        Change::Byte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Without(at, n) => {
            let at = at.index(bytes.len());
            let end = (at + usize::from(*n)).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Text(which) => {
            let (from, to) = TEXTS[*which];
            bytes = line.replace(from, to).into_bytes();
        }
        Change::Member(at, which) => {
            let places: Vec<usize> =
                line.match_indices('"').filter(|(i, _)| line[..*i].ends_with(['{', ','])).map(|(i, _)| i).collect();
            let at = places[at.index(places.len())];
            bytes.splice(at..at, MEMBERS[*which].bytes());
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_observations(
        changes in prop::collection::vec((any::<prop::sample::Index>(), change(), any::<prop::sample::Index>()), 1..12),
    ) {
        let mut lines: Vec<Vec<u8>> = observations().into_iter().map(String::into_bytes).collect();
        for (which, change, to) in &changes {
            let base = observations();
            let line = changed(&base[which.index(base.len())], change);
            // A line end within a line makes two of it.
            let at = to.index(lines.len());
            lines.insert(at, line.clone());
            lines.insert(at, line);
        }
        let bytes = lines.join(&b'\n');
        let adapter = adapters::open("fhir", None, "").unwrap();
        let input = Input { name: "Observation.ndjson", bytes: &bytes, path: None, beside: &[] };
        let got = same(adapter.as_ref(), &input);
        prop_assert!(got.is_ok(), "{}", got.unwrap_err());
    }
}

#[test]
fn lines_of_a_kind_go_the_quick_way() {
    let lines = observations().join("\n");
    let adapter = adapters::open("fhir", None, "").unwrap();
    let input = Input { name: "Observation.ndjson", bytes: lines.as_bytes(), path: None, beside: &[] };
    // Of five kinds the first is read slowly, one of them twice, since its first value is implausible; two have two rows or parts.
    assert_eq!(same(adapter.as_ref(), &input), Ok((9 * 6, 8)));
}

#[test]
fn a_text_that_is_a_number_goes_the_slow_way() {
    let line = |(i, text): (usize, &&str)| {
        format!(
            r#"{{"resourceType":"Observation","id":"o{i}","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"5778-6"}}]}},"subject":{{"reference":"Patient/p"}},"effectiveDateTime":"2023-01-02","valueString":"{text}"}}"#
        )
    };
    let lines: Vec<String> = ["none", "5.5", "many", "<5", "few", "7", "x"].iter().enumerate().map(line).collect();
    let lines = lines.join("\n");
    let adapter = adapters::open("fhir", None, "").unwrap();
    let input = Input { name: "Observation.ndjson", bytes: lines.as_bytes(), path: None, beside: &[] };
    // The first of its kind, and the three numbers.
    assert_eq!(same(adapter.as_ref(), &input), Ok((7, 4)));
}

#[test]
fn hl7_folders() {
    let Some(path) = shared("hl7v2") else { return };
    folder("hl7v2", &path);
}

/// Messages of results, as a laboratory sends them.
fn results(n: usize) -> Vec<String> {
    let kinds =
        [("718-7", "HGB", "g/dL"), ("2345-7", "GLU", "mg/dL"), ("4548-4", "A1C", "%"), ("9999-9", "X", "furlong")];
    (0..n)
        .map(|i| {
            let at = format!("2023{:02}{:02}{:02}1500", i % 12 + 1, i % 27 + 1, i % 24);
            let mut lines = vec![
                format!("MSH|^~\\&|LAB|H|EHR|H|{at}||ORU^R01^ORU_R01|M{i}|P|2.5.1"),
                format!("PID|1||{:04}^^^HOSP^MR||DOE^J||19500102|F", i % 7),
                format!("PV1|1|I|W^1||||||||||||||||V{}", i % 5),
                format!("ORC|RE|O{i}|F{i}"),
                format!("OBR|1|O{i}|F{i}|24323-8^PANEL^LN|||{at}|||||||||||||||{at}|||F"),
            ];
            for (k, (code, name, unit)) in kinds.iter().enumerate() {
                let value = format!("{}.{}", i * 3 + k, i % 10);
                lines.push(format!("OBX|{k}|NM|{code}^{name}^LN||{value}|{unit}^{unit}^UCUM|1.0-9.5|N|||F|||{at}"));
            }
            lines.push(format!("OBX|9|TX|X^NOTE^L||{i}||||||F"));
            lines.push(format!("OBX|10|TX|X^NOTE^L||{i}||||||F"));
            lines.join("\r")
        })
        .collect()
}

const FIELDS: [(&str, &str); 30] = [
    ("|NM|", "|SN|"),
    ("|NM|", "|ST|"),
    ("|NM|", "|TX|"),
    ("||F|||", "||C|||"),
    ("||F|||", "||D|||"),
    ("||F|||", "||X|||"),
    ("||F|||", "||I|||"),
    ("||F|||2023", "||F|||1023"),
    ("||F|||2023", "||F|||\"\"2023"),
    ("^LN||", "^LN||<"),
    ("^LN||", "^LN||-"),
    ("^LN||", "^LN||1~"),
    ("^LN||", "^LN||1e"),
    ("^LN||", "^LN||0"),
    ("^LN||", "^LN|sub|"),
    ("^LN||", "^L||"),
    ("718-7^", "2345-7^"),
    ("1.0-9.5", "<5"),
    ("|N||", "|\\F\\||"),
    ("^~\\&", "^~\\&#"),
    ("^~\\&", "^.\\&"),
    ("OBR|1|O", "OBR|1||"),
    ("PID|1||", "PID|1||^"),
    ("ORU^R01", "ORM^O01"),
    ("V", "V\\S\\"),
    ("|LAB|", "|L\u{e4}B|"),
    ("^LN||", "^99LAB||"),
    ("|||||||||||||||2023", "|||||||||||||||x023"),
    ("OBR|", "ZBR|"),
    ("ORC|", "ZRC|"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_results(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..FIELDS.len(), any::<Option<u8>>()),
            1..10,
        ),
    ) {
        let mut messages: Vec<Vec<u8>> = results(12).into_iter().map(String::into_bytes).collect();
        for (which, place, field, byte) in &changes {
            let at = which.index(messages.len());
            let message = messages[at].clone();
            let mut text = String::from_utf8_lossy(&message).into_owned();
            let (from, to) = FIELDS[*field];
            let hits: Vec<usize> = text.match_indices(from).map(|(i, _)| i).collect();
            if !hits.is_empty() {
                let hit = hits[place.index(hits.len())];
                text.replace_range(hit..hit + from.len(), to);
            }
            let mut bytes = text.into_bytes();
            if let Some(byte) = byte {
                let at = place.index(bytes.len());
                bytes[at] = *byte;
            }
            messages.insert(at, bytes.clone());
            messages.insert(at, bytes);
        }
        let bytes = messages.join(&b'\n');
        let adapter = adapters::open("hl7v2", None, "").unwrap();
        let input = Input { name: "m.hl7", bytes: &bytes, path: None, beside: &[] };
        let got = same(adapter.as_ref(), &input);
        prop_assert!(got.is_ok(), "{}", got.unwrap_err());
    }
}

#[test]
fn tables_of_every_shipped_mapping() {
    for (format, name) in [
        ("omop", "omop-synthea-1k"),
        ("omop", "omop-synthea27nj-parquet"),
        ("mimic-iii", "mimic-iii-demo"),
        ("eicu", "eicu-crd-demo"),
        ("i2b2", "i2b2-star-lung228"),
        ("synthea-csv", "synthea-csv-ca50"),
    ] {
        let Some(path) = shared(name) else { continue };
        for (file, (rows, slow)) in folder(format, &path) {
            if format == "omop" && file.to_ascii_lowercase().starts_with("measurement") {
                assert!(slow * 10 < rows, "{name}/{file}: {slow} of {rows} rows went the slow way");
            }
        }
    }
}

/// A mapping with each kind of column that changes from row to row.
const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "*.csv"
dates = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]
null = ["NA"]
person = { column = "p" }
[file.column]
at = { first = ["t", "d"] }
[[file.row]]
table = "measurement"
require = ["v"]
except = { k = ["none"] }
id = ["id"]
[file.row.set]
code_system = "loinc"
code = { column = "c" }
value_num = { column = "v" }
unit_src = { column = "u" }
ref_lo = { column = "lo" }
event = { column = "at" }
visit = { column = "w" }
value_code = { column = "k" }
[[file.row]]
table = "visit"
[file.row.set]
class = { column = "k", map = { in = "IP", out = "OP" }, unmapped = "skip" }
visit = { column = "w" }
start = { column = "d" }
end = { column = "e" }
end_kind = "explicit"
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_tables(
        rows in prop::collection::vec((0..4usize, 0..9usize, 0..7usize, 0..6usize, 0..5usize, 0..6usize), 1..80),
    ) {
        let mut text = String::from("id,p,c,v,u,lo,t,d,e,w,k\n");
        for (i, (p, v, t, e, u, k)) in rows.iter().enumerate() {
            let p = ["1", "2", "", " 3 "][*p];
            let v = ["1.5", "7", "<5", "NA", "", "x", "-2.25", "007", "1e3"][*v];
            let t = ["2020-01-02 03:04:05", "2020-03-29 02:30:00", "NA", "2020-01-02", "2020-05-06", "2021-01-02 00:00:00", "x"][*t];
            let e = ["2020-02-03", "9999-12-31", "", "2020-02-30", "NA", "2020-02-04"][*e];
            let u = ["mg/dL", "%", "furlong", "", "NA"][*u];
            let k = ["in", "out", "none", "", "\"in\"", "other"][*k];
            text.push_str(&format!("{i},{p},{},{v},{u},{},{t},2020-01-0{},{e},w{},{k}\n", 4548 + i % 2, i % 3, i % 9 + 1, i / 4));
        }
        let adapter = adapters::open("csv", Some(MAPPING), "mapping.toml").unwrap();
        let input = Input { name: "a.csv", bytes: text.as_bytes(), path: None, beside: &[] };
        let got = same(adapter.as_ref(), &input);
        prop_assert!(got.is_ok(), "{}", got.unwrap_err());
    }
}
