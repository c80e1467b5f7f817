//! Each feature of the language, and what its mistakes are told.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sink::Reason;

/// A mapping of one file of measurements.
fn mapping(file: &str, row: &str, set: &str) -> String {
    format!(
        "format = \"csv\"\n{file}\n[[file.row]]\ntable = \"measurement\"\n{row}\n[file.row.set]\ncode_system = \"loinc\"\n\
         code = \"8480-6\"\n{set}\n"
    )
}

fn one(file: &str, row: &str, set: &str, bytes: &str) -> (Seen, Read) {
    let (seen, result) = read(&mapping(file, row, set), "a.csv", bytes.as_bytes());
    (seen, result.unwrap())
}

const FILE: &str =
    "[[file]]\nmatch = \"a.csv\"\nperson = { column = \"p\" }\ndates = [\"%Y-%m-%d %H:%M\", \"%Y-%m-%d\"]";

fn texts(seen: &Seen, column: &str) -> Vec<String> {
    seen.records
        .iter()
        .map(|r| match r.get(column) {
            Cell::Text(t) => t.to_string(),
            Cell::Null => "-".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn midnight_is_a_day_where_the_mapping_says_so() {
    let event = "event = { column = \"d\" }";
    let bytes = "p,d\n1,2020-03-01 00:00\n1,2020-03-01 08:15\n";
    let (seen, _) = one(FILE, "", event, bytes);
    assert_eq!(texts(&seen, "t_prec"), ["minute", "minute"]);
    let (seen, _) = one(&format!("{FILE}\nmidnight = \"day\""), "", event, bytes);
    assert_eq!(texts(&seen, "t_prec"), ["day", "minute"]);
    assert_eq!(seen.records[0].get("t_event"), &Cell::Null);
}

#[test]
fn cells_are_made_of_cells() {
    let file = format!(
        "{FILE}\n[file.column]\nscheme = {{ column = \"c\", before = \":\", case = \"lower\" }}\n\
         bare = {{ column = \"c\", after = \":\" }}\nwhole = {{ join = [\"bare\", \"x\"], with = \"/\" }}\n\
         chosen = {{ first = [\"x\", \"bare\"] }}\nsigned = {{ column = \"x\", present = \"yes\" }}\n\
         tagged = {{ column = \"chosen\", prefix = \"t-\", null = [\"9\"] }}"
    );
    let set = "specimen = { column = \"scheme\" }\nflag = { column = \"whole\" }\nvalue_code = { column = \"chosen\" }\n\
               ref_lo = { column = \"n\", default = \"1\" }\nstd_system = \"loinc\"\nstd_code = { column = \"tagged\" }\n\
               map_id = { column = \"signed\", default = \"no\" }";
    let (seen, _) = one(&file, "", set, "p,c,x,n\n1,LOINC:123,9,2\n1,abc,7,\n1,A:b,,\n");
    assert_eq!(texts(&seen, "specimen"), ["loinc", "-", "a"]);
    assert_eq!(texts(&seen, "flag"), ["123/9", "-", "b"]);
    assert_eq!(texts(&seen, "value_code"), ["9", "7", "b"]);
    assert_eq!(texts(&seen, "std_code"), ["-", "t-7", "t-b"]);
    assert_eq!(texts(&seen, "map_id"), ["yes", "yes", "no"]);
    assert_eq!(seen.records[1].get("ref_lo"), &Cell::Real(1.0));
}

#[test]
fn conditions_choose_rows_by_texts_and_by_their_beginnings() {
    let row = "only = { c = [\"LAB*\"] }\nexcept = { c = [\"LAB:x\"], v = [\"*\"] }";
    let (_, read) = one(FILE, row, "", "p,c,v\n1,LAB:a,\n1,LAB:x,\n1,VIT:a,\n1,LAB:b,3\n");
    assert_eq!((read.records, read.skipped), (1, 3));
}

#[test]
fn a_pair_counts_where_both_parts_are_there() {
    let text = "format = \"csv\"\n[[file]]\nmatch = \"a.csv\"\nperson = { column = \"p\" }\n[[file.row]]\ntable = \"condition\"\n\
                id = [\"n\"]\n[file.row.set]\ncoded = [\n{ system = { column = \"v\", map = { S = \"snomed\" }, unmapped = \"null\" }, \
                code = { column = \"c\" } },\n{ system = \"urn:own\", code = { column = \"i\" } },\n]\n";
    let (seen, result) = read(text, "a.csv", b"n,p,v,c,i\n1,1,S,44,9\n2,1,X,44,9\n3,1,S,,9\n4,1,X,44,\n");
    assert_eq!(texts(&seen, "code"), ["44", "9", "9"]);
    assert_eq!(texts(&seen, "code_system"), ["http://snomed.info/sct", "urn:own", "urn:own"]);
    assert_eq!((result.unwrap().quarantined, seen.bad[0].reason, seen.bad[0].line), (1, Reason::MissingCode, 5));
}

#[test]
fn offsets_are_counted_from_their_anchor() {
    let anchor = "[anchor.in]\ndate = \"day\"\ntime = \"clock\"\nminus = \"back\"\n";
    let set = "event = { offset = \"o\", anchor = \"in\" }";
    let bytes = "p,o,day,clock,back\n1,90,2020-03-28,23:00:00,-60\n1,x,2020-03-28,23:00,0\n1,5,,23:00,0\n1,5,2020-03-28,25:00,0\n";
    let (seen, _) = one(&format!("{anchor}{FILE}"), "", set, bytes);
    // 23:00, an hour for what is taken off, an hour and a half: 01:30 in Berlin, half an hour before the clock goes forward.
    assert_eq!(seen.records[0].get("event_date"), &Cell::Date(18_350));
    assert_eq!(seen.records[0].get("t_event"), &Cell::Instant(1_585_441_800_000_000));
    assert_eq!(texts(&seen, "t_prec"), ["minute", "none"]);
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason, q.detail.as_str())).collect();
    assert_eq!(got.len(), 2);
    assert!(got[0].1 == Reason::BadNumber && got[0].2.contains("\"o\""), "{got:?}");
    assert!(got[1].1 == Reason::BadDate && got[1].2.contains("\"clock\""), "{got:?}");
}

#[test]
fn an_anchor_of_a_year_keeps_the_days_between_and_claims_no_more() {
    let anchor = "[anchor.in]\nyear = \"y\"\nunit = \"hours\"\n";
    let (seen, _) = one(
        &format!("{anchor}{FILE}"),
        "",
        "event = { offset = \"o\", anchor = \"in\" }",
        "p,o,y\n1,0,2015\n1,49,2015\n",
    );
    let day = |i: usize| match seen.records[i].get("event_date") {
        Cell::Date(d) => *d,
        _ => 0,
    };
    assert_eq!(day(1) - day(0), 2);
    assert_eq!((texts(&seen, "t_prec"), seen.records[0].get("t_event")), (vec!["year".to_owned(); 2], &Cell::Null));
}

#[test]
fn ages_and_hidden_ages_become_years_of_birth() {
    let text = |birth: &str| {
        format!(
            "format = \"csv\"\ndates = [\"%Y-%m-%d\"]\n[[file]]\nmatch = \"a.csv\"\nperson = {{ column = \"p\" }}\n[[file.row]]\n\
             table = \"patient\"\n[file.row.set]\nbirth = {birth}\n"
        )
    };
    let years = |birth: &str, bytes: &str| {
        let (seen, _) = read(&text(birth), "a.csv", bytes.as_bytes());
        let got = seen.records.iter().map(|r| (r.get("birth_year").clone(), r.get("age_capped").clone()));
        (got.collect::<Vec<_>>(), seen.bad.len())
    };
    let born = |y: i64, capped: bool| (Cell::Int(y), Cell::Flag(capped));
    assert_eq!(
        years(
            "{ year = \"y\", minus = \"a\", capped_from = \"91\" }",
            "p,y,a\n1,2015,60\n2,2015,> 89\n3,2015,91\n4,2015,old\n"
        ),
        // An age that is none costs the year alone.
        (vec![born(1955, false), born(1925, true), born(1924, true), (Cell::Null, Cell::Flag(false))], 1)
    );
    assert_eq!(
        years(
            "{ column = \"b\", capped_before = \"2000-01-01\", capped_years = \"210\" }",
            "p,b\n1,2040-05-06\n2,1850-01-02\n"
        ),
        (vec![born(2040, false), born(2060, true)], 0)
    );
}

#[test]
fn a_text_that_is_no_number_is_null_where_the_mapping_says_so() {
    let set = "value_num = { column = \"v\", text = \"null\" }\n\
               value_code = { column = \"v\", map = { NEG = \"NEG\" }, unmapped = \"null\" }";
    let (seen, _) = one(FILE, "", set, "p,v\n1,NEG\n1,<0.5\n1,see note\n");
    assert_eq!(texts(&seen, "value_code"), ["NEG", "-", "-"]);
    assert_eq!(texts(&seen, "comparator"), ["eq", "lt", "eq"]);
    assert_eq!(seen.records[1].get("value_hi"), &Cell::Real(0.5));
    let (seen, _) = one(FILE, "", "value_num = { column = \"v\" }", "p,v\n1,NEG\n");
    assert_eq!(seen.bad[0].reason, Reason::BadNumber);
}

#[test]
fn the_first_line_decides_between_delimiters_and_names_may_differ_in_case() {
    let file = format!("{FILE}\ndelimiter = [\",\", \"\\t\", \"|\"]\nignore_case = true\noptional = [\"none\"]");
    let set = "value_num = { column = \"v\" }\nflag = { column = \"none\" }";
    for text in ["P,V\n1,2\n", "P\tV\n1\t2\n", "\"P\"|\"V\"\n\"1\"|\"2\"\n"] {
        let (seen, result) = read(&mapping(&file, "", set), "A.CSV", text.as_bytes());
        assert_eq!(result.unwrap().records, 1, "{text}");
        assert_eq!(seen.records[0].get("value_num"), &Cell::Real(2.0));
    }
    // Between tabs a quote is a letter, unless the header has quotes.
    let (seen, _) = read(&mapping(&file, "", set), "a.csv", b"p\tv\n\"1\t2\n");
    assert_eq!(seen.records.len(), 1);
}

#[test]
fn rows_of_one_identity_are_one_record_unless_repeats_count() {
    let keys = |row: &str, top: &str| {
        let file = format!("{top}{FILE}");
        let (seen, _) = one(&file, row, "", "n,p,v\n1,a,1\n1,a,1\n1,b,1\n1,a,1\n");
        texts(&seen, "record_key")
    };
    let same = keys("id = [\"n\"]", "");
    assert!(same[0] == same[1] && same[0] == same[3] && same[0] != same[2]);
    let counted = keys("id = [\"n\"]\nrepeats = true", "");
    assert_ne!(counted[2], counted[0]);
    assert!(counted[1] != counted[0] && counted[3] != counted[0] && counted[3] != counted[1]);
    assert_ne!(keys("id = [\"n\"]", "separate_files = true\n")[0], same[0]);
}

#[test]
fn a_visit_without_an_end_is_open_where_the_file_tells_of_ends() {
    let text = |row: &str| {
        format!(
            "format = \"csv\"\ndates = [\"%Y-%m-%d\"]\n[[file]]\nmatch = \"a.csv\"\nperson = {{ column = \"p\" }}\noptional = [\"e\"]\n\
             [[file.row]]\ntable = \"visit\"\n{row}\n[file.row.set]\nclass = \"IP\"\nvisit = {{ column = \"v\" }}\nend = {{ column = \"e\" }}\n"
        )
    };
    let open = |row: &str, bytes: &str| {
        let (seen, _) = read(&text(row), "a.csv", bytes.as_bytes());
        seen.records[0].get("open") == &Cell::Flag(true)
    };
    assert!(open("", "p,v,e\n1,1,\n"));
    assert!(!open("", "p,v,e\n1,1,2020-01-01\n"));
    assert!(!open("", "p,v\n1,1\n"));
    assert!(!open("may_be_open = false", "p,v,e\n1,1,\n"));
}

#[test]
fn an_observation_period_that_the_extract_states_is_taken() {
    let text = "format = \"csv\"\ndates = [\"%Y-%m-%d\"]\n[[file]]\nmatch = \"a.csv\"\nperson = { column = \"p\" }\n[[file.row]]\n\
                table = \"observation_period\"\nid = [\"s\"]\n[file.row.set]\nstart = { column = \"s\" }\nend = { column = \"e\" }\n";
    let (seen, _) = read(text, "a.csv", b"p,s,e\n1,2020-01-01,2020-02-01\n");
    let r = &seen.records[0];
    assert_eq!((r.get("start_date"), r.get("end_date")), (&Cell::Date(18_262), &Cell::Date(18_293)));
    assert_eq!((r.get("basis"), r.get("event_date")), (&Cell::from("enrolment"), &Cell::Date(18_262)));
}

/// Day and month the other way round, a decimal comma read as a point: the rows that seem to fit are refused too.
#[test]
fn a_column_that_contradicts_its_mapping_is_refused_whole() {
    let mut text = "p,d,v\n".to_owned();
    for i in 0..60 {
        text += &format!("1,2020-{:02}-{:02},{}\n", 1 + i % 28, 1 + i % 12, i % 9);
    }
    let (seen, tally) = one(FILE, "", "event = { column = \"d\" }\nvalue_num = { column = \"v\" }", &text);
    assert_eq!((tally.records, tally.quarantined), (0, 60));
    assert_eq!(seen.bad[0].reason, Reason::Contradiction);
    assert!(seen.bad[0].detail.contains("column \"d\"") && seen.bad[0].detail.contains("of its first 60 values"));
    // What does not read the column goes on.
    let (_, tally) = one(FILE, "", "value_num = { column = \"v\" }", &text);
    assert_eq!(tally.records, 60);
    // A few faults are faults of their rows alone.
    let text: String = std::iter::once("p,v\n".to_owned())
        .chain((0..60).map(|i| if i % 10 == 0 { "1,\"1,5\"\n".to_owned() } else { "1,2.5\n".to_owned() }))
        .collect();
    let (_, tally) = one(FILE, "", "value_num = { column = \"v\" }", &text);
    assert_eq!((tally.records, tally.quarantined), (54, 6));
}

#[test]
fn hostile_files_cost_their_rows_and_no_more() {
    let set = "value_num = { column = \"v\" }\nevent = { column = \"d\" }";
    let (seen, tally) = one(FILE, "", set, "p,d,v\n1,2020-02-31,1\n1,2020-01-01\n1,2020-01-01,\x001\n1,2020-01-01,1\n");
    let got: Vec<_> = seen.bad.iter().map(|q| (q.line, q.reason)).collect();
    assert_eq!(got, [(2, Reason::BadDate), (3, Reason::WrongColumns), (4, Reason::NotText)]);
    assert_eq!(tally.records, 1);
}

#[test]
fn mistakes_are_told_with_their_line() {
    let lookup = "[lookup.x]\nmatch = \"x.csv\"\nkey = \"k\"\n";
    for (file, row, set, line, says) in [
        (FILE.to_owned(), "", "event = { offset = \"o\", anchor = \"in\" }", 12, "anchor \"in\" is not known"),
        (format!("[anchor.in]\n{FILE}"), "", "event = { offset = \"o\", anchor = \"in\" }", 2, "one of date"),
        (
            format!("[anchor.in]\nyear = \"y\"\nunit = \"weeks\"\n{FILE}"),
            "",
            "event = { offset = \"o\", anchor = \"in\" }",
            4,
            "\"days\"",
        ),
        (
            format!("{FILE}\n[file.column]\na = {{ column = \"b\" }}\nb = {{ column = \"a\" }}"),
            "",
            "flag = { column = \"a\" }",
            0,
            "made of itself",
        ),
        (format!("{FILE}\n[file.column]\na = {{ column = \"b\" }}"), "", "", 7, "nothing reads it"),
        (format!("{FILE}\n[file.column]\na = {{ colum = \"b\" }}"), "", "flag = { column = \"a\" }", 7, "join"),
        (
            format!("{FILE}\n[file.column]\na = {{ lookup = \"y\", key = \"b\", column = \"c\" }}"),
            "",
            "flag = { column = \"a\" }",
            7,
            "[lookup.y]",
        ),
        (
            format!("{lookup}{FILE}\n[file.column]\na = {{ lookup = \"x\", key = [\"b\", \"d\"], column = \"c\" }}"),
            "",
            "flag = { column = \"a\" }",
            10,
            "found by 1 columns",
        ),
        (format!("[lookup.x]\nmatch = \"x.csv\"\n{FILE}"), "", "", 2, "key ="),
        (format!("[lookup.x]\nmatch = \"x\"\nkey = \"k\"\nlimit_mib = \"many\"\n{FILE}"), "", "", 5, "MiB"),
        (FILE.to_owned(), "", "flag = { column = \"f\", map = \"words\" }", 12, "[map.words]"),
        (FILE.to_owned(), "", "value_num = { column = \"v\", text = \"zero\" }", 12, "text is \"null\""),
        (FILE.to_owned(), "", "coded = [{ system = \"loinc\", code = \"1\" }]", 0, "write either"),
        (format!("{FILE}\nmidnight = \"noon\""), "", "", 6, "midnight is"),
        (FILE.to_owned(), "only = { c = \"x\" }", "", 8, "list of texts"),
    ] {
        let message =
            Tabular::new("csv", &mapping(&file, row, set), "m.toml").err().map_or(String::new(), |e| e.to_string());
        assert!(message.contains(says), "{says}: {message}");
        assert!(line == 0 || message.contains(&format!("line {line}:")), "line {line}: {message}");
    }
}

#[test]
fn a_file_without_a_column_that_it_needs_is_refused_with_its_name() {
    let (_, result) = read(&mapping(FILE, "", "flag = { column = \"f\" }"), "a.csv", b"p\n1\n");
    let message = result.unwrap_err().to_string();
    assert!(message.contains("column \"f\" is not among the 1 columns of a.csv"), "{message}");
}

proptest! {
    #[test]
    fn never_panics_on_made_cells(cells in proptest::collection::vec("[0-9:/., a-z\"-]{0,10}", 3)) {
        let anchor = "[anchor.in]\ndate = \"b\"\nunit = \"days\"\n";
        let file = format!("{anchor}{FILE}\n[file.column]\nx = {{ column = \"a\", before = \":\", dots = \"icd10\" }}\n\
                            y = {{ join = [\"x\", \"c\"], prefix = \"q\" }}");
        let set = "event = { offset = \"c\", anchor = \"in\" }\nflag = { column = \"y\" }\nvalue_num = { column = \"a\" }";
        let bytes = format!("p,a,b,c\n1,{}\n", cells.join(","));
        let _ = read(&mapping(&file, "", set), "a.csv", bytes.as_bytes());
    }
}
