//! What stands in a site's folders: files of odd names, links that go round, sources that can't be read, and extracts that go back.

use super::*;
use crate::lake::rehearse::rehearse;

const TWO: &str = "format = \"csv\"\nmapping = \"mapping.toml\"";

fn years(hospital: &Hospital) -> Vec<Option<i64>> {
    hospital.tags().into_keys().collect()
}

#[tokio::test]
async fn a_file_that_goes_back_to_what_it_was_is_the_newest_again() {
    let hospital = Hospital::csv();
    let other = ROWS.replace("1950", "1960");
    hospital.ingest().await;
    std::fs::write(hospital.file("a.csv"), &other).unwrap();
    hospital.ingest().await;
    assert_eq!(years(&hospital), [Some(1951), Some(1960)]);
    std::fs::write(hospital.file("a.csv"), ROWS).unwrap();
    assert!(!hospital.ingest().await.files[0].unchanged);
    assert_eq!(years(&hospital), [Some(1950), Some(1951)]);
    // And only once.
    let again = hospital.ingest().await;
    assert!(again.files[0].unchanged);
    assert_eq!(hospital.lake.ingested().unwrap().len(), 2);
}

#[tokio::test]
async fn a_source_that_cannot_be_read_stops_no_other() {
    let more = "\n[[source]]\nname = \"gone\"\npath = \"/nope\"\nformat = \"omop\"\n[[source]]\nname = \"wrong\"\npath = \"extract\"\n\
                format = \"csv\"\nmapping = \"none.toml\"";
    let hospital = Hospital::new(&format!("{TWO}{more}"), "a.csv", ROWS);
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere/at/all", hospital.file("b.csv")).unwrap();
    let report = hospital.ingest().await;
    let failed: Vec<&str> = report.failed.iter().map(|f| f.source.as_str()).collect();
    assert_eq!(failed, ["gone", "wrong", "his"], "{:?}", report.failed);
    assert!(report.failed[0].reason.contains("/nope") && report.failed[2].reason.contains("b.csv"));
    assert_eq!(years(&hospital), [Some(1950), Some(1951)]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_leads_to_itself_is_gone_into_once_and_a_pipe_is_left() {
    let hospital = Hospital::csv();
    std::fs::create_dir(hospital.file("inner")).unwrap();
    std::os::unix::fs::symlink(hospital.file(""), hospital.file("inner").join("round")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(hospital.file("pipe.csv")).status();
    assert!(made.is_ok_and(|s| s.success()));
    let report = hospital.ingest().await;
    assert_eq!(report.files.len(), 1, "{:?}", report.files);
}

#[tokio::test]
async fn a_source_may_be_one_file() {
    let hospital = Hospital::csv();
    let toml = std::fs::read_to_string(hospital.dir.path().join("site.toml")).unwrap();
    std::fs::write(hospital.dir.path().join("site.toml"), toml.replace("\"extract\"", "\"extract/a.csv\"")).unwrap();
    let config = Config::read(hospital.dir.path()).unwrap();
    let report = hospital.lake.ingest(&config, &hospital.clock, &OsEntropy, &mut |_, _, _| ()).await.unwrap();
    assert_eq!((report.files.len(), report.files[0].file.as_str()), (1, "a.csv"));
}

const ADT: &str = "MSH|^~\\&|A|H|B|C|20240102030405||ADT^A01|1|P|2.5\rEVN|A01|20240102030405\rPID|1||7^^^H^MR||X^Y||19500101|F\r\
                   PV1|1|I|W^1||||||||||||||||V1^^^H\r";

#[tokio::test]
async fn files_are_known_by_what_they_hold() {
    let hospital = Hospital::new("format = \"hl7v2\"", "messages.out", ADT);
    for (name, text) in [("b.txt", ADT), ("c", ADT), ("d.csv", "a,b\n1,2\n"), ("e.xsl", "<x>ClinicalDocument</x>")] {
        std::fs::write(hospital.file(name), text).unwrap();
    }
    let report = hospital.ingest().await;
    let read: Vec<&str> = report.files.iter().map(|f| f.file.as_str()).collect();
    assert_eq!((read, report.ignored.len()), (vec!["b.txt", "c", "messages.out"], 2));

    let pretty =
        "{\n \"resourceType\": \"Patient\",\n \"id\": \"x\",\n \"gender\": \"female\", \"birthDate\": \"1950\"\n}\n";
    let line = PATIENT.replace("\"x\"", "\"y\"");
    let hospital = Hospital::new("format = \"fhir\"", "a.fhir", pretty);
    std::fs::write(hospital.file("b.ndjson.txt"), &line).unwrap();
    std::fs::write(hospital.file("c.ndjson"), pretty.replace("\"x\"", "\"z\"")).unwrap();
    let report = hospital.ingest().await;
    assert_eq!(report.files.iter().map(|f| f.records).collect::<Vec<_>>(), [2, 2, 2], "{report:?}");

    let hospital = Hospital::new("format = \"hl7v2\"\nmatch = \"*.out\"", "messages.out", ADT);
    std::fs::write(hospital.file("b.hl7"), ADT).unwrap();
    let report = hospital.ingest().await;
    assert_eq!((report.files.len(), report.ignored), (1, vec!["b.hl7".to_owned()]));
}

#[tokio::test]
async fn a_source_of_which_nothing_is_read_says_so() {
    let hospital = Hospital::new("format = \"omop\"", "notes.bin", "x");
    assert_eq!(hospital.ingest().await.empty, ["his"]);
    let found = rehearse(&hospital.config, None, None, (&hospital.clock, &OsEntropy), &mut |_, _, _| ()).unwrap();
    assert_eq!(found.empty, ["his"]);
    assert!(found.has_faults());
}

#[tokio::test]
async fn a_fault_that_comes_again_and_again_is_listed_a_thousand_times_and_counted() {
    let rows: String = (0..3000).map(|i| format!(",F,1950,{i}\n")).collect();
    let hospital = Hospital::new(TWO, "a.csv", &format!("id,sex,born,nr\n{rows}"));
    let report = hospital.ingest().await;
    assert_eq!(report.files[0].quarantined, 3000);
    let listed = std::fs::read_to_string(report.files[0].quarantine.as_ref().unwrap()).unwrap();
    assert_eq!(listed.lines().count(), 1001);
    assert!(listed.lines().last().unwrap().contains("2000 more such items, the first in line 2"), "{listed}");
}

/// A link that leads nowhere among files that are looked through first, as those of FHIR are.
#[cfg(unix)]
#[tokio::test]
async fn one_link_that_leads_nowhere_stops_no_source() {
    let hospital = Hospital::new("format = \"fhir\"", "p.ndjson", PATIENT);
    std::os::unix::fs::symlink("/nowhere/at/all", hospital.file("Patient.ndjson")).unwrap();
    let found = rehearse(&hospital.config, None, None, (&hospital.clock, &OsEntropy), &mut |_, _, _| ()).unwrap();
    let told: Vec<_> = found.files.iter().map(|f| (f.file.as_str(), f.failed.is_some())).collect();
    assert_eq!((told, found.failed.len()), (vec![("Patient.ndjson", true), ("p.ndjson", false)], 0));
    let report = hospital.ingest().await;
    assert_eq!((report.failed.len(), report.files.len(), report.files[0].records), (1, 1, 2), "{report:?}");
    assert!(report.failed[0].reason.contains("Patient.ndjson"), "{report:?}");
}

/// The same folder says the same until the file is read: at once, again, in the rehearsal and in the check.
#[tokio::test]
async fn a_file_of_which_nothing_is_taken_is_told_of_each_time() {
    let hospital = Hospital::new(TWO, "a.csv", "id,sex,born,nr\n,F,1950,1\n");
    std::fs::write(hospital.file("b.csv"), ROWS).unwrap();
    std::fs::write(hospital.file("c.csv"), "other,columns\n1,2\n").unwrap();
    for _ in 0..2 {
        let report = hospital.ingest().await;
        let unread: Vec<_> = report.files.iter().filter(|f| f.unread).map(|f| f.file.as_str()).collect();
        assert_eq!(unread, ["a.csv", "c.csv"]);
        assert!(report.files.iter().all(|f| f.unread == f.quarantine.is_some()), "{report:?}");
        for most in [None, Some(1)] {
            let found =
                rehearse(&hospital.config, None, most, (&hospital.clock, &OsEntropy), &mut |_, _, _| ()).unwrap();
            let failed: Vec<_> = found.files.iter().filter(|f| f.failed.is_some()).map(|f| f.file.as_str()).collect();
            assert_eq!(failed, ["a.csv", "c.csv"], "{most:?}");
        }
    }
    std::fs::remove_file(hospital.file("c.csv")).unwrap();
    std::fs::write(hospital.file("a.csv"), ROWS).unwrap();
    assert!(hospital.ingest().await.files.iter().all(|f| !f.unread));
}
