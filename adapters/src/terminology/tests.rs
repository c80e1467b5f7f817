use super::*;

const SSSOM: &str = "#mapping_set_id: https://example.org/maps/lab\n#mapping_set_version: \"2024-03\"\n#curie_map:\n\
#  LAB: urn:hospital:lab\n#  LOINC: http://loinc.org/\n#license: CC0\n\
subject_id\tpredicate_id\tobject_id\tmapping_justification\tconfidence\tmap_version\tvalid_from\tvalid_to\treviewer\tdomain\n\
LAB:GLU\tskos:exactMatch\tLOINC:2345-7\tsemapv:ManualMappingCuration\t0.99\t\t\t\tA\t\n\
LAB:NA\tskos:narrowMatch\tLOINC:2951-2\tsemapv:ManualMappingCuration\t\t3\t2020-01-01\t2030-12-31\t\tmeasurement\n\
LAB:OLD\tskos:exactMatch\tLOINC:2823-3\tsemapv:ManualMappingCuration\t\t\t\t2020-12-31\t\t\n\
LAB:WIDE\tskos:broadMatch\tLOINC:2160-0\tsemapv:ManualMappingCuration\t\t\t\t\t\t\n\
LAB:TWO\tskos:exactMatch\tLOINC:718-7\tsemapv:ManualMappingCuration\t\t\t\t\t\t\n\
LAB:TWO\tskos:exactMatch\tLOINC:59260-0\tsemapv:ManualMappingCuration\t\t\t\t\t\t\n\
LAB:BEST\tskos:exactMatch\tLOINC:718-7\tsemapv:ManualMappingCuration\t\t\t\t\t\t\n\
LAB:BEST\tskos:narrowMatch\tLOINC:59260-0\tsemapv:ManualMappingCuration\t\t\t\t\t\t\n\
LAB:UNSURE\tskos:exactMatch\tLOINC:1-8\tsemapv:LexicalMatching\t0.3\t\t\t\t\t\n\
XYZ:1\tskos:exactMatch\tLOINC:1-8\tsemapv:LexicalMatching\t\t\t\t\t\t\n\
LAB:BAD\tskos:exactMatch\tLOINC:1-8\tsemapv:LexicalMatching\t\t\t31.12.2020\t\t\t\n\
LAB:SHORT\tskos:exactMatch\n";

fn settings(format: Format) -> Settings {
    Settings {
        path: "map".into(),
        format,
        take: vec![Relation::Exact, Relation::Narrow],
        min_confidence: 0.0,
        systems: BTreeMap::new(),
        concepts: None,
    }
}

fn load_text(text: &str, settings: &Settings) -> Result<Loaded, TerminologyError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("map"), text).unwrap();
    load(dir.path(), settings)
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn mappings(text: &str, settings: &Settings, today: &str) -> Mappings {
    let mut out = Mappings::default();
    out.add("map", load_text(text, settings).unwrap(), settings, day(today));
    out
}

const LAB: &str = "urn:hospital:lab";

#[test]
fn sssom_uses_exact_and_narrow_and_says_what_became_of_the_rest() {
    let s = Settings { min_confidence: 0.5, ..settings(Format::Sssom) };
    let maps = mappings(SSSOM, &s, "2025-06-01");
    let to = |code: &str| maps.find(Table::Measurement, LAB, code).map(|t| (t.code.clone(), t.map_id.clone()));
    assert_eq!(to("GLU"), Some(("2345-7".into(), "map@2024-03#8".into())));
    assert_eq!(to("NA"), Some(("2951-2".into(), "map@3#9".into())));
    assert_eq!(to("BEST").unwrap().0, "718-7", "an exact match goes before a narrow one");
    assert_eq!((to("OLD"), to("WIDE"), to("TWO"), to("UNSURE"), to("BAD")), (None, None, None, None, None));
    assert_eq!(maps.find(Table::Condition, LAB, "NA"), None, "the mapping is for measurements");
    let f = &maps.files[0];
    assert_eq!(
        (f.rows, f.codes, f.ambiguous, f.expired, f.other_relation, f.unsure, f.unreadable),
        (9, 3, 1, 1, 1, 1, 3)
    );
    assert_eq!(f.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [17, 18, 19]);
    assert!(f.problems[0].detail.contains("curie_map") && f.problems[1].detail.contains("YYYY-MM-DD"));
    assert_eq!(mappings(SSSOM, &s, "2031-01-01").find(Table::Measurement, LAB, "NA"), None, "it has expired");
    let broad = Settings { take: vec![Relation::Exact, Relation::Broad], ..s };
    assert!(mappings(SSSOM, &broad, "2025-06-01").find(Table::Measurement, LAB, "WIDE").is_some());
}

#[test]
fn a_file_without_its_columns_is_refused() {
    let e = load_text("a\tb\n1\t2\n", &settings(Format::Sssom)).unwrap_err().to_string();
    assert!(e.contains("'subject_id'"), "{e}");
    assert!(load_text("{}", &settings(Format::ConceptMap)).is_err());
    assert!(load_text("x", &settings(Format::Omop)).unwrap_err().to_string().contains("CONCEPT.csv"));
}

#[test]
fn omop_goes_by_the_sites_own_concepts() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "map",
        "source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,target_vocabulary_id,valid_start_date,valid_end_date,invalid_reason\n\
         GLU,0,LAB,\"Glucose, serum\",3004501,LOINC,19700101,20991231,\n\
         GONE,0,LAB,x,3004501,LOINC,19700101,20991231,D\n\
         NIL,0,LAB,x,0,None,19700101,20991231,\n\
         FAR,0,LAB,x,99,LOINC,19700101,20991231,\n\
         E1,0,OTHER,x,3004501,LOINC,19700101,20991231,\n",
    );
    write(
        "CONCEPT.csv",
        "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\n\
         3004501\tGlucose\tMeasurement\tLOINC\tLab Test\tS\t2345-7\n",
    );
    let s = Settings {
        systems: [("LAB".to_owned(), LAB.to_owned())].into(),
        concepts: Some("CONCEPT.csv".into()),
        ..settings(Format::Omop)
    };
    let mut maps = Mappings::default();
    maps.add("map", load(dir.path(), &s).unwrap(), &s, day("2025-06-01"));
    assert_eq!(maps.find(Table::Measurement, LAB, "GLU").unwrap().system, "http://loinc.org");
    assert_eq!(maps.find(Table::Measurement, LAB, "GONE"), None);
    let f = &maps.files[0];
    assert_eq!((f.codes, f.expired, f.unreadable), (1, 1, 2), "{f:?}");
}

#[test]
fn concept_maps_of_both_versions_of_fhir() {
    let map = r#"{"resourceType":"ConceptMap","url":"http://x/labs","version":"2","status":"active","group":[
      {"source":"urn:hospital:lab","target":"http://loinc.org","element":[
        {"code":"A","target":[{"code":"2345-7","equivalence":"equivalent"}]},
        {"code":"B","target":[{"code":"2951-2","relationship":"source-is-broader-than-target"}]},
        {"code":"C","target":[{"code":"2823-3","equivalence":"wider"}]},
        {"code":"D","target":[{"code":"1","equivalence":"equal","dependsOn":[{"property":"x","value":"y"}]}]},
        {"code":"E","target":[{"equivalence":"unmatched"}]},
        {"code":"F","target":[{"code":"1","equivalence":"nonsense"}]}]}]}"#;
    let s = settings(Format::ConceptMap);
    for text in [map.to_owned(), format!("{{\"resourceType\":\"Bundle\",\"entry\":[{{\"resource\":{map}}}]}}")] {
        let maps = mappings(&text, &s, "2025-06-01");
        let found: Vec<&str> = ["A", "B", "C", "D", "E", "F"]
            .into_iter()
            .filter(|c| maps.find(Table::Measurement, LAB, c).is_some())
            .collect();
        assert_eq!(found, ["A", "B"]);
        assert_eq!(maps.find(Table::Measurement, LAB, "A").unwrap().map_id, "labs@2#1");
        assert_eq!(maps.files[0].unreadable, 1);
    }
    let retired = map.replace("active", "retired");
    assert!(mappings(&retired, &s, "2025-06-01").is_empty());
}

#[test]
fn a_code_is_found_with_and_without_its_dot_and_the_first_file_decides() {
    let gem = "\"icd9cm\",\"icd10cm\",\"flags\",\"approximate\",\"no_map\",\"combination\",\"scenario\",\"choice_list\"\n\
               \"25000\",\"E119\",\"00000\",0,0,0,0,0\n\"0020\",\"A0100\",\"10000\",1,0,0,0,0\n\"E8\",\"NoDx\",\"11000\",1,1,0,0,0\n";
    let s = settings(Format::Gem);
    let mut maps = mappings(gem, &s, "2025-06-01");
    let icd9 = codes::canonical("icd9cm").unwrap();
    assert_eq!(maps.find(Table::Condition, &icd9, "250.00").unwrap().code, "E119");
    assert_eq!((maps.find(Table::Condition, &icd9, "0020"), maps.find(Table::Condition, &icd9, "E8")), (None, None));
    assert_eq!(maps.find(Table::Condition, &codes::canonical("icd10gm").unwrap(), "25000"), None, "another system");
    maps.add("later", load_text(&gem.replace("E119", "E118"), &s).unwrap(), &s, day("2025-06-01"));
    assert_eq!(maps.find(Table::Condition, &icd9, "250.00").unwrap().code, "E119");
}
