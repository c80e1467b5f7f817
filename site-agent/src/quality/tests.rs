use super::*;
use crate::lake::tests::Hospital;

const MAPPING: &str = r#"
format = "csv"
[[file]]
match = "p.csv"
person = { column = "id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex" }
birth_year = { column = "born" }
[[file]]
match = "v.csv"
dates = ["%Y-%m-%d"]
person = { column = "id" }
[[file.row]]
table = "visit"
id = ["visit"]
[file.row.set]
visit = { column = "visit" }
class = "IP"
start = { column = "start" }
end = { column = "end" }
[[file]]
match = "m.csv"
dates = ["%Y-%m-%d"]
person = { column = "id" }
[[file.row]]
table = "measurement"
id = ["n"]
[file.row.set]
visit = { column = "visit" }
code_system = { column = "system" }
code = { column = "code" }
value_num = { column = "value" }
unit_src = { column = "unit" }
event = { column = "day" }
[[file]]
match = "d.csv"
dates = ["%Y-%m-%d"]
person = { column = "id" }
[[file.row]]
table = "death"
[file.row.set]
event = { column = "day" }
"#;

/// Ten patients in order, and what a test adds to each file.
async fn hospital(patients: &str, visits: &str, measured: &str, deaths: &str) -> Report {
    let hospital = Hospital::csv();
    let home = hospital.config.home.clone();
    std::fs::remove_file(home.join("extract/a.csv")).unwrap();
    std::fs::write(home.join("mapping.toml"), MAPPING).unwrap();
    let write = |name: &str, head: &str, row: &dyn Fn(usize) -> String, more: &str| {
        let rows: String = (0..10).map(row).collect();
        std::fs::write(home.join("extract").join(name), format!("{head}\n{rows}{more}")).unwrap();
    };
    write("p.csv", "id,sex,born", &|i| format!("p{i},F,1950\n"), patients);
    write("v.csv", "id,visit,start,end", &|i| format!("p{i},v{i},2020-03-0{},2020-03-20\n", i.min(8) + 1), visits);
    let m = |i: usize| format!("n{i},p{i},v{i},http://loinc.org,2345-7,5.5,mmol/L,2020-03-1{i}\n");
    let measured: String = measured.lines().enumerate().map(|(i, line)| format!("m{i},{line}\n")).collect();
    write("m.csv", "n,id,visit,system,code,value,unit,day", &m, &measured);
    std::fs::write(home.join("extract/d.csv"), format!("id,day\n{deaths}")).unwrap();
    let report = hospital.ingest().await;
    assert!(report.files.iter().all(|f| f.quarantined == 0), "{report:?}");
    run(&hospital.config, &hospital.lake).await.unwrap()
}

fn found<'r>(report: &'r Report, id: &str) -> &'r Finding {
    report.findings.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("{id}"))
}

#[tokio::test]
async fn data_in_order_fail_nothing() {
    let report = hospital("", "", "", "").await;
    let bad: Vec<_> =
        report.findings.iter().filter(|f| f.state == State::Fail).map(|f| (&f.id, f.rows, f.bad)).collect();
    // Nobody has a condition, a drug or a procedure here: that is what these three say.
    let names: Vec<&str> = bad.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(names, ["no_condition_pct", "no_drug_pct", "no_procedure_pct"], "{bad:?}");
    assert_eq!(found(&report, "no_unit_pct").state, State::Pass);
    assert_eq!(found(&report, "unmapped_drug_pct").state, State::Unknown, "no row to judge");
    assert_eq!(found(&report, "implausible_value_pct").patients, Some(10));
    let ids: std::collections::BTreeSet<&str> = report.findings.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(ids.len(), report.findings.len(), "a name of two checks");
}

/// Each fault that is planted is found by its check, and by which patients it is found.
#[tokio::test]
async fn each_fault_is_found_by_its_check() {
    for (visits, measured, deaths, id, bad_patients) in [
        ("", "p1,,urn:lab,GLU,5,mmol/L,2020-03-11\n", "", "unmapped_measurement_pct", Some(1)),
        (
            "",
            "p1,,http://loinc.org,2345-7,5,,2020-03-11\np1,,http://loinc.org,2345-7,6,,2020-03-12\n",
            "",
            "no_unit_pct",
            Some(1),
        ),
        ("", "p1,,http://loinc.org,2345-7,5,furlong,2020-03-11\n", "", "unknown_unit_pct", Some(1)),
        ("", "p1,,http://loinc.org,2345-7,5,kg,2020-03-11\n", "", "unfit_unit_pct", Some(1)),
        ("", "p1,,http://loinc.org,2345-7,5000,mmol/L,2020-03-11\n", "", "implausible_value_pct", Some(1)),
        ("", "p1,,http://loinc.org,2345-7,5,mmol/L,1940-03-11\n", "", "measurement_before_birth_pct", Some(1)),
        ("", "p1,,http://loinc.org,2345-7,5,mmol/L,2030-03-11\n", "", "measurement_future_pct", Some(1)),
        ("", "p1,v1,http://loinc.org,2345-7,5,mmol/L,2020-05-11\n", "", "measurement_outside_visit_pct", Some(1)),
        ("", "p1,v99,http://loinc.org,2345-7,5,mmol/L,2020-03-11\n", "", "measurement_unknown_visit_pct", Some(1)),
        ("", "zz,,http://loinc.org,2345-7,5,mmol/L,2020-03-11\n", "", "measurement_without_patient_pct", Some(1)),
        ("", "p1,v1,http://loinc.org,2345-7,5.5,mmol/L,2020-03-11\n", "", "duplicate_measurement_pct", Some(1)),
        (
            "",
            "p1,,http://loinc.org,99-9,5,mmol/L,2020-03-11\np1,,http://loinc.org,99-9,5,mg/L,2020-03-11\n",
            "",
            "unit_mix_pct",
            None,
        ),
        ("p1,w1,2020-03-05,2020-03-01\n", "", "", "visit_end_before_start_pct", Some(1)),
        ("", "", "p3,2020-01-02\n", "measurement_after_death_pct", Some(1)),
        ("p1,w2,2010-01-01,2010-01-02\n", "", "", "visit_feed_gaps_pct", None),
    ] {
        let report = hospital("", visits, measured, deaths).await;
        let f = found(&report, id);
        assert!(f.bad >= 1 && f.state > State::Pass, "{f:?}");
        assert_eq!(f.bad_patients, bad_patients, "{id}");
    }
}

#[test]
fn thresholds_give_the_state() {
    let check = |id: &str| study::quality::all().into_iter().find(|c| c.id == id).unwrap();
    let c = check("unmapped_drug_pct");
    let of = |bad, pct| state(&c, bad, pct);
    assert_eq!(
        (of(0, Some(0.0)), of(1, Some(2.5)), of(1, Some(5.0)), of(1, Some(5.1))),
        (State::Pass, State::Pass, State::Warn, State::Fail)
    );
    assert_eq!(of(0, None), State::Unknown);
    assert_eq!(state(&check("visit_feed_gaps_pct"), 1, Some(50.0)), State::Warn);
    assert_eq!(state(&check("patient_rows_pct"), 1, Some(0.01)), State::Fail);
}
