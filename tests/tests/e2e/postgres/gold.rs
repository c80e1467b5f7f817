//! The same data by files and by a server, in the shapes of 5.3 and 5.4, give the same gold; and what changed there, changes here.

use super::server::Server;
use super::site::{Site, same, shared};
use crate::harness::array;

#[test]
fn a_server_and_files_give_the_same_gold() {
    let Some(folder) = shared("omop-synthea-1k") else { return };
    let files = Site::new(&format!("format = \"omop\"\npath = \"{}\"", folder.display()));
    files.ingest();
    let by_files = files.gold();
    assert!(by_files["measurement"].len() > 100_000 && by_files["patient"].len() == 1_130);

    let server = Server::start();
    server.load(&folder);
    server.as_5_3();
    let rest = "mib_per_second = 0, chunk_rows = 50000";
    let new = Site::pulling(&server, &format!("schema = \"cdm\", {rest}"));
    let report = new.ingest();
    same(&by_files, &new.gold());
    assert_eq!(report["pulls"][0]["tables"], 9, "{report:#}");
    let chunks = new.chunks();
    assert_eq!(chunks.iter().filter(|c| c.starts_with("measurement/")).count(), 4, "{chunks:?}");
    // Only what the mapping reads has left the server: no notes, no names of columns that nobody reads.
    assert!(!server.log().contains("\"note\"") && !server.log().contains("\"race_source_value\""));
    assert!(!chunks.iter().any(|c| c.starts_with("note") || c.starts_with("drug_era")), "{chunks:?}");

    let old = Site::pulling(&server, &format!("schema = \"old\", {rest}, password_env = \"CDM_PASSWORD\""));
    let report = old.ingest();
    same(&by_files, &old.gold());
    let notes = report["pulls"][0]["notes"].to_string();
    assert!(notes.contains("measurement has no index that begins with measurement_id"), "{notes}");

    // The next pass: one row gone, one changed, one new; every chunk but theirs is known by its bytes.
    server.omop(
        "DELETE FROM cdm.measurement WHERE measurement_id = (SELECT min(measurement_id) FROM cdm.measurement);\n\
         UPDATE cdm.person SET year_of_birth = 1900 WHERE person_id = (SELECT min(person_id) FROM cdm.person);\n\
         INSERT INTO cdm.condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date, \
           condition_type_concept_id) SELECT 10000000, min(person_id), 28060, '2020-02-29', 0 FROM cdm.person;",
    );
    let before = new.gold();
    let report = new.ingest();
    let after = new.gold();
    let read: Vec<&str> = array(&report, "files")
        .iter()
        .filter(|f| f["unchanged"] == false)
        .map(|f| f["file"].as_str().unwrap())
        .collect();
    assert_eq!(read, ["condition_occurrence/start.pgcopy", "measurement/start.pgcopy", "person/start.pgcopy"]);
    let counts = |t: &str| (before[t].len(), after[t].len());
    let (was, is) = counts("measurement");
    assert_eq!(was - 1, is);
    let (was, is) = counts("condition");
    assert_eq!(was + 1, is);
    let born = after["patient"].iter().filter(|r| !before["patient"].contains(r)).count();
    assert!(born == 1 && after["patient"].len() == 1_130, "{born}");
    // A third pass finds nothing new.
    let report = new.ingest();
    assert!(array(&report, "files").iter().all(|f| f["unchanged"] == true), "{report:#}");
    same(&after, &new.gold());
}
