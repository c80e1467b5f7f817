//! What a perfect reader of all extracts would find: one line a person.

use std::path::Path;

use chrono::Datelike;

use super::GenerateError;
use super::files::TextFile;
use super::sites::Site;
use super::world::{Analyte, Person};

pub(super) struct Truth {
    file: TextFile,
}

/// What the summary counts.
pub(super) struct Row {
    pub(super) in_cohort: bool,
    pub(super) outcome: bool,
}

impl Truth {
    pub(super) fn create(out: &Path) -> Result<Truth, GenerateError> {
        let mut file = TextFile::create(&out.join("truth.csv"), false, false)?;
        file.line("site,person,sex,age,in_cohort,hba1c,sbp,creatinine,outcome")?;
        Ok(Truth { file })
    }

    pub(super) fn person(&mut self, site: &Site, id: &str, person: &Person) -> Result<Row, GenerateError> {
        let sex = if person.male { "M" } else { "F" };
        let Some(index) = person.index else {
            self.file.line(&format!("{},{id},{sex},,0,,,,", site.id))?;
            return Ok(Row { in_cohort: false, outcome: false });
        };
        let value = |analyte| {
            let lab = site.lab(analyte);
            let read = person.at_index(analyte).and_then(|m| lab.read(&lab.write(m.value)));
            read.map_or_else(String::new, |v| v.to_string())
        };
        self.file.line(&format!(
            "{},{id},{sex},{},1,{},{},{},{}",
            site.id,
            index.year() - person.born.year(),
            value(Analyte::Hba1c),
            value(Analyte::Pressure),
            value(Analyte::Creatinine),
            u8::from(person.outcome)
        ))?;
        Ok(Row { in_cohort: true, outcome: person.outcome })
    }

    pub(super) fn finish(self) -> Result<(), GenerateError> {
        self.file.finish()
    }
}
