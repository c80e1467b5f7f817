//! CSV with one row a fact, in the words of a country, and the mapping that reads it.

use std::fmt::Write;
use std::path::Path;

use chrono::NaiveDate;

use super::super::GenerateError;
use super::super::chance::Chance;
use super::super::files::TextFile;
use super::super::sites::{Lab, Site};
use super::super::world::{Act, Analyte, Class, Person};
use super::words::{FileWords, Words, of};
use super::{Counts, DIRT, Writer};

pub(super) struct Long {
    words: Words,
    labs: [(Analyte, Lab); 4],
    files: Vec<TextFile>,
    counts: Counts,
}

/// The files, in the order in which they are opened.
#[derive(Clone, Copy)]
enum Which {
    Patients,
    Visits,
    Diagnoses,
    Labs,
    Vitals,
    Drugs,
    Procedures,
}

impl Long {
    pub(super) fn create(site: &Site, folder: &Path) -> Result<Long, GenerateError> {
        let words = of(site);
        let mut files = Vec::new();
        for file in words.files() {
            let mut out = TextFile::create(&folder.join(file.name), words.latin, false)?;
            out.line(&file.columns.join(&words.delimiter.to_string()))?;
            files.push(out);
        }
        let labs = Analyte::ALL.map(|a| (a, site.lab(a)));
        Ok(Long { words, labs, files, counts: Counts::default() })
    }

    fn lab(&self, analyte: Analyte) -> Option<Lab> {
        self.labs.iter().find(|(a, _)| *a == analyte).map(|(_, lab)| *lab)
    }

    fn date(&self, date: NaiveDate) -> String {
        date.format(self.words.date).to_string()
    }

    fn number(&self, text: String) -> String {
        if self.words.comma { text.replace('.', ",") } else { text }
    }

    /// Writes a row; now and then a cut copy follows, under a number of its own.
    fn row(&mut self, which: Which, cells: &[&str], chance: &mut Chance) -> Result<(), GenerateError> {
        let delimiter = self.words.delimiter.to_string();
        let Some(file) = self.files.get_mut(which as usize) else { return Ok(()) };
        file.line(&cells.join(&delimiter))?;
        self.counts.rows += 1;
        if chance.happens(DIRT) {
            self.counts.rows += 1;
            self.counts.dirty += 1;
            let dirty = match (which, chance.happens(0.5)) {
                // A day that does not exist, in a laboratory result of its own.
                (Which::Labs, true) => {
                    let mut cells: Vec<String> = cells.iter().map(|c| (*c).to_owned()).collect();
                    if let Some(number) = cells.first_mut() {
                        number.push('X');
                    }
                    if let Some(date) = cells.get_mut(3) {
                        *date = "99.99.2023 10:00".to_owned();
                    }
                    cells.join(&delimiter)
                }
                // A row that broke off.
                _ => format!("X{}{}", delimiter, cells.get(1).copied().unwrap_or("")),
            };
            file.line(&dirty)?;
        }
        Ok(())
    }

    fn acts(
        &mut self,
        which: Which,
        id: &str,
        acts: &[Act],
        codes: [&str; 2],
        chance: &mut Chance,
    ) -> Result<(), GenerateError> {
        for act in acts {
            let date = self.date(act.date);
            let code = codes.get(act.kind).copied().unwrap_or(codes[0]);
            self.row(which, &[&act.number.to_string(), id, &visit(act.visit), code, &date], chance)?;
        }
        Ok(())
    }
}

fn visit(number: Option<u64>) -> String {
    number.map_or_else(String::new, |n| format!("V{n}"))
}

impl Words {
    fn files(&self) -> [&FileWords; 7] {
        [&self.patients, &self.visits, &self.diagnoses, &self.labs, &self.vitals, &self.drugs, &self.procedures]
    }

    fn class(&self, class: Class) -> &'static str {
        match class {
            Class::Inpatient => self.classes[0],
            Class::Emergency => self.classes[1],
            Class::Outpatient => self.classes[2],
        }
    }
}

impl Writer for Long {
    fn mapping(&self) -> Option<String> {
        Some(mapping(&self.words, &self.labs))
    }

    fn person(&mut self, id: &str, person: &Person, chance: &mut Chance) -> Result<(), GenerateError> {
        let sex = if person.male { self.words.male } else { self.words.female };
        let born = self.date(person.born);
        let died = person.died.map_or_else(String::new, |d| self.date(d));
        self.row(Which::Patients, &[id, sex, &born, &died], chance)?;
        for v in &person.visits {
            let (class, ward) = (self.words.class(v.class), self.words.ward);
            let (start, end) = (self.date(v.start), self.date(v.end));
            let number = format!("V{}", v.number);
            let ward = if v.class == Class::Inpatient { ward } else { "" };
            self.row(Which::Visits, &[&number, id, class, &start, &end, ward], chance)?;
        }
        for c in &person.conditions {
            let code = if self.words.icd_dot { c.icd.to_owned() } else { c.icd.replace('.', "") };
            let date = self.date(c.date);
            self.row(Which::Diagnoses, &[&c.number.to_string(), id, &visit(c.visit), &code, &date], chance)?;
        }
        for m in &person.measures {
            let Some(lab) = self.lab(m.analyte) else { continue };
            let (number, seen) = (m.number.to_string(), visit(m.visit));
            let date = self.date(m.date);
            let value = self.number(lab.write(m.value));
            if m.analyte == Analyte::Pressure {
                let diastolic = format!("{:.0}", m.diastolic);
                self.row(Which::Vitals, &[&number, id, &seen, &date, &value, &diastolic], chance)?;
            } else {
                let taken = format!("{date} {:02}:{:02}", m.minute / 60, m.minute % 60);
                let test = self.words.test(m.analyte);
                self.row(Which::Labs, &[&number, id, &seen, &taken, test, &value, lab.unit], chance)?;
            }
        }
        let drug = self.words.drug_code;
        self.acts(Which::Drugs, id, &person.drugs, [drug, drug], chance)?;
        let procedures = self.words.procedure_codes;
        self.acts(Which::Procedures, id, &person.procedures, procedures, chance)
    }

    fn finish(self: Box<Self>) -> Result<Counts, GenerateError> {
        for file in self.files {
            file.finish()?;
        }
        Ok(self.counts)
    }
}

/// The mapping of a country's words.
fn mapping(w: &Words, labs: &[(Analyte, Lab); 4]) -> String {
    let mut t = String::from("# Written by the simulator for this site's extract.\nformat = \"csv\"\n");
    let delimiter = if w.delimiter == '\t' { "\\t".to_owned() } else { w.delimiter.to_string() };
    let encoding = if w.latin { "windows-1252" } else { "utf-8" };
    let decimal = if w.comma { "," } else { "." };
    let column = |f: &FileWords, i: usize| f.columns.get(i).copied().unwrap_or("");
    let open = |t: &mut String, f: &FileWords, person: usize| {
        let _ = write!(
            t,
            "\n[[file]]\nmatch = \"{}\"\ndelimiter = \"{delimiter}\"\nencoding = \"{encoding}\"\n\
             decimal = \"{decimal}\"\ndates = [\"{}\", \"{} %H:%M\"]\nperson = {{ column = \"{}\" }}\n",
            f.name,
            w.date,
            w.date,
            column(f, person)
        );
    };
    open(&mut t, &w.patients, 0);
    let p = &w.patients;
    let _ = write!(
        t,
        "[[file.row]]\ntable = \"patient\"\n[file.row.set]\n\
         sex = {{ column = \"{}\", map = {{ \"{}\" = \"M\", \"{}\" = \"F\" }} }}\nbirth = {{ column = \"{}\" }}\n\
         [[file.row]]\ntable = \"death\"\nrequire = [\"{died}\"]\n[file.row.set]\nevent = {{ column = \"{died}\" }}\n",
        column(p, 1),
        w.male,
        w.female,
        column(p, 2),
        died = column(p, 3)
    );
    open(&mut t, &w.visits, 1);
    let v = &w.visits;
    let _ = write!(
        t,
        "[[file.row]]\ntable = \"visit\"\n[file.row.set]\nvisit = {{ column = \"{}\" }}\n\
         class = {{ column = \"{}\", map = {{ \"{}\" = \"IP\", \"{}\" = \"ER\", \"{}\" = \"OP\" }} }}\n\
         start = {{ column = \"{}\" }}\nend = {{ column = \"{}\" }}\nward = {{ column = \"{}\" }}\n",
        column(v, 0),
        column(v, 2),
        w.classes[0],
        w.classes[1],
        w.classes[2],
        column(v, 3),
        column(v, 4),
        column(v, 5)
    );
    for (f, table, system) in [
        (&w.diagnoses, "condition", w.icd),
        (&w.drugs, "drug_exposure", w.drug_system),
        (&w.procedures, "procedure", w.procedure_system),
    ] {
        open(&mut t, f, 1);
        let _ = write!(
            t,
            "[[file.row]]\ntable = \"{table}\"\nid = [\"{}\"]\n[file.row.set]\ncode_system = \"{system}\"\n\
             code = {{ column = \"{}\" }}\nevent = {{ column = \"{}\" }}\nvisit = {{ column = \"{}\" }}\n",
            column(f, 0),
            column(f, 3),
            column(f, 4),
            column(f, 2)
        );
    }
    open(&mut t, &w.labs, 1);
    let l = &w.labs;
    let codes: Vec<String> = labs
        .iter()
        .filter(|(a, _)| *a != Analyte::Pressure)
        .map(|(a, lab)| format!("\"{}\" = \"{}\"", w.test(*a), lab.loinc))
        .collect();
    let _ = write!(
        t,
        "[[file.row]]\ntable = \"measurement\"\nid = [\"{}\"]\n[file.row.set]\ncode_system = \"loinc\"\n\
         code = {{ column = \"{}\", map = {{ {} }} }}\nvalue_num = {{ column = \"{}\" }}\n\
         unit_src = {{ column = \"{}\" }}\nevent = {{ column = \"{}\" }}\nvisit = {{ column = \"{}\" }}\n",
        column(l, 0),
        column(l, 4),
        codes.join(", "),
        column(l, 5),
        column(l, 6),
        column(l, 3),
        column(l, 2)
    );
    open(&mut t, &w.vitals, 1);
    for (i, loinc) in [(4, "8480-6"), (5, "8462-4")] {
        let value = column(&w.vitals, i);
        let _ = write!(
            t,
            "[[file.row]]\ntable = \"measurement\"\nrequire = [\"{value}\"]\nid = [\"{}\"]\n[file.row.set]\n\
             code_system = \"loinc\"\ncode = \"{loinc}\"\nvalue_num = {{ column = \"{value}\" }}\n\
             unit_src = \"mmHg\"\nevent = {{ column = \"{}\" }}\nvisit = {{ column = \"{}\" }}\n",
            column(&w.vitals, 0),
            column(&w.vitals, 3),
            column(&w.vitals, 2)
        );
    }
    t
}
