//! The mappings of the fuzz targets must open: a target that can't start fuzzes nothing, and is built too seldom to be the first to say so.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

#[test]
fn every_mapping_of_a_fuzz_target_opens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/mappings");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        adapters::open("csv", Some(&text), &name).map(|_| ()).map_err(|e| e.to_string()).unwrap();
        seen += 1;
    }
    assert!(seen >= 2, "no mapping was found");
}
