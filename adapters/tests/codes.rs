//! Units and codes against the open tables that are published for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod given;

/// Every unit of UCUM's own table is read, unless a hospital's spelling goes before it.
#[test]
fn all_of_ucums_units_are_read() {
    let Some(folder) = given::shared("terminology/ucum") else { return };
    let text = std::fs::read_to_string(folder.join("ucum-essence.xml")).unwrap();
    let (mut read, mut by_spelling) = (0, Vec::new());
    for start in ["<unit Code=\"", "<base-unit Code=\"", "<unit xmlns=\"\" Code=\""] {
        for part in text.split(start).skip(1) {
            let code = part.split('"').next().unwrap().replace("&quot;", "\"").replace("&apos;", "'");
            let found = schema::units::ucum(&code).unwrap_or_else(|| panic!("{code}"));
            if *found == *code {
                read += 1;
            } else {
                by_spelling.push(code);
            }
        }
    }
    println!("{read} units as they are, {by_spelling:?} by a hospital's spelling");
    assert!(read > 280 && by_spelling.len() < 12, "{read}, {by_spelling:?}");
}

/// The open ICD-9-CM to ICD-10-CM mappings: codes whose targets are exact are mapped, what is approximate or a combination is not.
#[test]
fn the_general_equivalence_mappings_map_what_is_the_same() {
    use adapters::terminology::{Format, Mappings, Relation, Settings, load};
    let Some(folder) = given::shared("terminology/icd") else { return };
    let settings = |file: &str, take: &[Relation]| Settings {
        path: file.into(),
        format: Format::Gem,
        take: take.to_vec(),
        min_confidence: 0.0,
        systems: Default::default(),
        concepts: None,
    };
    let today = chrono::NaiveDate::from_ymd_opt(2025, 6, 1).unwrap();
    let read = |file: &str, take: &[Relation]| {
        let (settings, mut maps) = (settings(file, take), Mappings::default());
        maps.add(file, load(&folder, &settings).unwrap(), &settings, today);
        maps
    };
    let (exact, close) = ([Relation::Exact, Relation::Narrow], [Relation::Exact, Relation::Close]);
    let forward = read("icd9toicd10cmgem.csv.gz", &exact);
    let f = &forward.files[0];
    assert_eq!((f.codes, f.ambiguous, f.unreadable), (3_533, 0, 0), "{f:?}");
    let icd9 = schema::codes::canonical("icd9cm").unwrap();
    let to = |maps: &Mappings, code: &str| maps.find(schema::Table::Condition, &icd9, code).map(|t| t.code.clone());
    assert_eq!(to(&forward, "001.0").as_deref(), Some("A000"));
    assert_eq!(to(&forward, "002.0"), None, "its only target is approximate");
    assert_eq!(to(&read("icd9toicd10cmgem.csv.gz", &close), "002.0").as_deref(), Some("A0100"));
    assert!(read("icd10cmtoicd9gem.csv.gz", &exact).files[0].codes > 3_000);
}
