//! US CSV with one row an encounter: diagnoses, values and the drug of that day stand in columns.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDate;

use super::super::GenerateError;
use super::super::chance::Chance;
use super::super::files::TextFile;
use super::super::sites::Lab;
use super::super::sites::Site;
use super::super::world::{Analyte, Class, Person};
use super::{Counts, DIRT, Writer};

const DATE: &str = "%m/%d/%Y";

pub(super) struct Wide {
    labs: [(Analyte, Lab); 4],
    patients: TextFile,
    encounters: TextFile,
    counts: Counts,
    next: u64,
}

/// One day of one person.
#[derive(Default)]
struct Day {
    class: Option<Class>,
    end: Option<NaiveDate>,
    diagnoses: Vec<&'static str>,
    /// In the order of the columns: HbA1c, creatinine, glucose, systolic, diastolic.
    values: [String; 5],
    drug: bool,
    procedure: &'static str,
}

impl Wide {
    pub(super) fn create(site: &Site, folder: &Path) -> Result<Wide, GenerateError> {
        let mut patients = TextFile::create(&folder.join("patients.csv"), false, false)?;
        patients.line("patient_id,sex,dob,dod")?;
        let mut encounters = TextFile::create(&folder.join("encounters_wide.csv"), false, false)?;
        encounters.line("enc_id,patient_id,enc_type,enc_date,end_date,dx1,dx2,dx3,a1c,creat,gluc,sbp,dbp,rxcui,cpt")?;
        let labs = Analyte::ALL.map(|a| (a, site.lab(a)));
        Ok(Wide { labs, patients, encounters, counts: Counts::default(), next: 0 })
    }

    fn days(&self, person: &Person) -> BTreeMap<NaiveDate, Day> {
        let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
        for v in &person.visits {
            let day = days.entry(v.start).or_default();
            // A stay goes before a visit of the same day.
            if day.class != Some(Class::Inpatient) {
                day.class = Some(v.class);
                day.end = Some(v.end);
            }
        }
        for c in &person.conditions {
            days.entry(c.date).or_default().diagnoses.push(c.icd);
        }
        for m in &person.measures {
            let Some((_, lab)) = self.labs.iter().find(|(a, _)| *a == m.analyte) else { continue };
            let place = match m.analyte {
                Analyte::Hba1c => 0,
                Analyte::Creatinine => 1,
                Analyte::Glucose => 2,
                Analyte::Pressure => 3,
            };
            let values = &mut days.entry(m.date).or_default().values;
            values[place] = lab.write(m.value);
            if m.analyte == Analyte::Pressure {
                values[4] = format!("{:.0}", m.diastolic);
            }
        }
        for d in &person.drugs {
            days.entry(d.date).or_default().drug = true;
        }
        for p in &person.procedures {
            days.entry(p.date).or_default().procedure = if p.kind == 0 { "93000" } else { "93306" };
        }
        days
    }
}

impl Writer for Wide {
    fn mapping(&self) -> Option<String> {
        Some(mapping(&self.labs))
    }

    fn person(&mut self, id: &str, person: &Person, chance: &mut Chance) -> Result<(), GenerateError> {
        let sex = if person.male { "M" } else { "F" };
        let died = person.died.map_or_else(String::new, |d| d.format(DATE).to_string());
        self.patients.line(&format!("{id},{sex},{},{died}", person.born.format(DATE)))?;
        self.counts.rows += 1;
        for (date, day) in self.days(person) {
            self.next += 1;
            let class = match day.class {
                Some(Class::Inpatient) => "IP",
                Some(Class::Emergency) => "ED",
                Some(Class::Outpatient) | None => "CLINIC",
            };
            let mut diagnoses = day.diagnoses.chunks(3);
            let first = diagnoses.next().unwrap_or_default();
            let [a1c, creat, gluc, sbp, dbp] = &day.values;
            let dx = |chunk: &[&str], i: usize| chunk.get(i).copied().unwrap_or("").to_owned();
            let end = day.end.unwrap_or(date).format(DATE).to_string();
            let date = date.format(DATE).to_string();
            let rxcui = if day.drug { "6809" } else { "" };
            self.encounters.line(&format!(
                "E{},{id},{class},{date},{end},{},{},{},{a1c},{creat},{gluc},{sbp},{dbp},{rxcui},{}",
                self.next,
                dx(first, 0),
                dx(first, 1),
                dx(first, 2),
                day.procedure
            ))?;
            self.counts.rows += 1;
            for more in diagnoses {
                self.next += 1;
                self.encounters.line(&format!(
                    "E{},{id},{class},{date},{end},{},{},{},,,,,,,",
                    self.next,
                    dx(more, 0),
                    dx(more, 1),
                    dx(more, 2)
                ))?;
                self.counts.rows += 1;
            }
            if chance.happens(DIRT) {
                self.counts.rows += 1;
                self.counts.dirty += 1;
                self.encounters.line(&format!("EX{},{id},{class},{date}", self.next))?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Counts, GenerateError> {
        self.patients.finish()?;
        self.encounters.finish()?;
        Ok(self.counts)
    }
}

fn mapping(labs: &[(Analyte, Lab); 4]) -> String {
    use std::fmt::Write;
    let mut t = String::from(
        r#"# Written by the simulator for this site's extract.
format = "csv"

[[file]]
match = "patients.csv"
dates = ["%m/%d/%Y"]
person = { column = "patient_id" }
[[file.row]]
table = "patient"
[file.row.set]
sex = { column = "sex", map = { M = "M", F = "F" } }
birth = { column = "dob" }
[[file.row]]
table = "death"
require = ["dod"]
[file.row.set]
event = { column = "dod" }

[[file]]
match = "encounters_wide.csv"
dates = ["%m/%d/%Y"]
person = { column = "patient_id" }
[[file.row]]
table = "visit"
[file.row.set]
visit = { column = "enc_id" }
class = { column = "enc_type", map = { IP = "IP", ED = "ER", CLINIC = "OP" } }
start = { column = "enc_date" }
end = { column = "end_date" }
"#,
    );
    let mut fact = |table: &str, column: &str, extra: &str| {
        let _ = write!(
            t,
            "[[file.row]]\ntable = \"{table}\"\nrequire = [\"{column}\"]\nid = [\"enc_id\", \"{column}\"]\n\
             [file.row.set]\n{extra}visit = {{ column = \"enc_id\" }}\nevent = {{ column = \"enc_date\" }}\n"
        );
    };
    for (table, system, column) in [
        ("condition", "icd10cm", "dx1"),
        ("condition", "icd10cm", "dx2"),
        ("condition", "icd10cm", "dx3"),
        ("drug_exposure", "rxnorm", "rxcui"),
        ("procedure", "cpt", "cpt"),
    ] {
        fact(table, column, &format!("code_system = \"{system}\"\ncode = {{ column = \"{column}\" }}\n"));
    }
    for (analyte, lab) in labs {
        let column = match analyte {
            Analyte::Hba1c => "a1c",
            Analyte::Creatinine => "creat",
            Analyte::Glucose => "gluc",
            Analyte::Pressure => "sbp",
        };
        fact("measurement", column, &measured(lab.loinc, column, lab.unit));
    }
    fact("measurement", "dbp", &measured("8462-4", "dbp", "mmHg"));
    t
}

fn measured(loinc: &str, column: &str, unit: &str) -> String {
    format!(
        "code_system = \"loinc\"\ncode = \"{loinc}\"\nvalue_num = {{ column = \"{column}\" }}\nunit_src = \"{unit}\"\n"
    )
}
