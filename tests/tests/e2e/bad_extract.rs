//! A truncated, binary or wrongly encoded extract is quarantined with its place; the rest is read.

use crate::harness::{Federation, array, rows};

#[test]
fn each_fault_has_its_file_line_and_reason() {
    let f = Federation::new();
    f.make_site("s-1", 20, "");
    let extract = f.site_home("s-1").join("extract");
    // A gzip cut in the middle.
    let packed = gzip(&rows(400));
    std::fs::write(extract.join("cut.csv.gz"), &packed[..packed.len() / 2]).unwrap();
    // Random bytes.
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(extract.join("noise.csv"), [b"id,sex,birth,sbp,day\n".as_slice(), &noise].concat()).unwrap();
    // Latin-1 in a file that is said to be UTF-8.
    std::fs::write(extract.join("latin.csv"), b"id,sex,birth,sbp,day\np1,f,1950-01-01,120,2023-01-01\nM\xfcller,f,1950-01-01,120,2023-01-01\np3,f,1950-01-01,130,2023-01-01\n").unwrap();
    // A date that is none.
    std::fs::write(
        extract.join("dates.csv"),
        "id,sex,birth,sbp,day\nq1,f,1950-01-01,120,2023-02-31\nq2,m,1950-01-01,125,2023-02-28\n",
    )
    .unwrap();
    let report = f.agent_json("s-1", &["ingest"]);
    let of = |name: &str| array(&report, "files").iter().find(|x| x["file"] == name).cloned().unwrap();
    let quarantine = |name: &str| std::fs::read_to_string(of(name)["quarantine"].as_str().unwrap()).unwrap();

    assert_eq!(of("patients.csv")["quarantined"], 0);
    assert!(of("cut.csv.gz")["records"].as_u64().unwrap() > 0 && quarantine("cut.csv.gz").contains("truncated"));
    assert_eq!(of("noise.csv")["records"], 0);
    assert!(of("noise.csv")["quarantined"].as_u64().unwrap() > 0);
    let latin = quarantine("latin.csv");
    assert!(latin.contains("\"line\":3") && latin.contains("not_utf8"), "{latin}");
    assert_eq!(of("latin.csv")["records"], 4, "the lines around it are read");
    let dates = quarantine("dates.csv");
    assert!(dates.contains("\"line\":2") && dates.contains("bad_date") && dates.contains("day"), "{dates}");
    assert!(!dates.contains("31"), "the value is not written down: {dates}");
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut c = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    c.write_all(text.as_bytes()).unwrap();
    c.finish().unwrap()
}
