//! Which site is where, how large it is, and how it writes.

use super::chance::Chance;
use super::world::Analyte;

/// How a site writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    German,
    UsLong,
    UsWide,
    French,
    Spanish,
    Fhir,
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Dialect::German => "CSV, German",
            Dialect::UsLong => "CSV, US, one row a fact",
            Dialect::UsWide => "CSV, US, one row an encounter",
            Dialect::French => "CSV, French",
            Dialect::Spanish => "CSV, Spanish",
            Dialect::Fhir => "FHIR R4 NDJSON",
        }
    }
}

/// One site.
pub(super) struct Site {
    pub(super) id: String,
    pub(super) country: &'static str,
    pub(super) dialect: Dialect,
    pub(super) patients: u64,
    pub(super) stream: u64,
    /// Its number within the country, from 0: its habits follow from it.
    pub(super) habit: usize,
    name: String,
    zone: &'static str,
}

const COUNTRIES: [&str; 8] = ["DE", "AT", "US", "GB", "FR", "NL", "SE", "ES"];
const US_ZONES: [&str; 3] = ["America/New_York", "America/Chicago", "America/Los_Angeles"];

/// The sites of a federation.
pub(super) fn plan(sites: usize, mean: usize, seed: u64) -> Vec<Site> {
    // Stream 0 draws the sizes; site n has stream n + 1.
    let mut chance = Chance::new(seed, 0);
    let mut out = Vec::with_capacity(sites);
    for (nth, country) in COUNTRIES.iter().copied().cycle().take(sites).enumerate() {
        let habit = nth / COUNTRIES.len();
        let zone = match country {
            "DE" => "Europe/Berlin",
            "AT" => "Europe/Vienna",
            "GB" => "Europe/London",
            "FR" => "Europe/Paris",
            "NL" => "Europe/Amsterdam",
            "SE" => "Europe/Stockholm",
            "ES" => "Europe/Madrid",
            _ => US_ZONES.get(habit % US_ZONES.len()).copied().unwrap_or("America/New_York"),
        };
        let dialect = match country {
            "DE" | "AT" => Dialect::German,
            "US" if habit % 2 == 1 => Dialect::UsWide,
            "US" => Dialect::UsLong,
            "FR" => Dialect::French,
            "ES" => Dialect::Spanish,
            _ => Dialect::Fhir,
        };
        // Between half and twice, with mean 1.
        let factor = 0.5 + 1.5 * chance.unit().powi(2);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let patients = ((mean as f64 * factor).round() as u64).max(1);
        let number = habit + 1;
        out.push(Site {
            id: format!("{}-{number:02}", country.to_lowercase()),
            country,
            dialect,
            patients,
            stream: nth as u64 + 1,
            habit,
            name: format!("Synthetic Hospital {country} {number}"),
            zone,
        });
    }
    out
}

impl Site {
    /// The person's identifier at the site.
    pub(super) fn person_id(&self, nth: u64) -> String {
        format!("{}{:02}-{nth:06}", self.country, self.habit + 1)
    }

    /// The site's configuration.
    pub(super) fn toml(&self) -> String {
        let (source, format, mapping) = match self.dialect {
            Dialect::Fhir => ("fhir", "fhir-ndjson", ""),
            _ => ("his", "csv", "mapping = \"mapping.toml\"\n"),
        };
        format!(
            "id = \"{}\"\nname = \"{}\"\ncountry = \"{}\"\ntime_zone = \"{}\"\n\n[[source]]\nname = \"{source}\"\n\
             format = \"{format}\"\npath = \"extract\"\n{mapping}\n[approval]\nmode = \"manual\"\n",
            self.id, self.name, self.country, self.zone
        )
    }

    /// Whether this is one of the country's sites with the other of two habits.
    pub(super) fn odd(&self) -> bool {
        self.habit % 2 == 1
    }

    /// How the site writes a value: the LOINC code, the unit as it writes it, and the decimals.
    pub(super) fn lab(&self, analyte: Analyte) -> Lab {
        let lab = |loinc, unit, decimals| Lab { loinc, unit, decimals };
        let percent = lab("4548-4", "%", 1);
        let ifcc = lab("59261-8", "mmol/mol", 0);
        let micro = lab("14682-9", "µmol/L", 0);
        match (analyte, self.dialect, self.odd()) {
            (Analyte::Pressure, Dialect::Fhir, _) => lab("8480-6", "mm[Hg]", 0),
            (Analyte::Pressure, ..) => lab("8480-6", "mmHg", 0),
            (Analyte::Hba1c, Dialect::German, true) | (Analyte::Hba1c, Dialect::Fhir, _) => ifcc,
            (Analyte::Hba1c, ..) => percent,
            (Analyte::Creatinine, Dialect::Fhir, _) => lab("14682-9", "umol/L", 0),
            (Analyte::Creatinine, Dialect::French, false) => micro,
            (Analyte::Creatinine, Dialect::French, true) => lab("2160-0", "mg/L", 1),
            (Analyte::Creatinine, ..) => lab("2160-0", "mg/dL", 2),
            (Analyte::Glucose, Dialect::French, false) => lab("2345-7", "g/L", 2),
            (Analyte::Glucose, Dialect::French | Dialect::Fhir, _) => lab("14749-6", "mmol/L", 1),
            (Analyte::Glucose, ..) => lab("2345-7", "mg/dL", 0),
        }
    }
}

/// How a site writes one analyte.
#[derive(Clone, Copy)]
pub(super) struct Lab {
    pub(super) loinc: &'static str,
    pub(super) unit: &'static str,
    pub(super) decimals: usize,
}

const LOINC: &str = "http://loinc.org";

impl Lab {
    /// A standard value in the site's unit and rounding, with a decimal point.
    pub(super) fn write(&self, standard: f64) -> String {
        let rule = schema::units::ucum(self.unit)
            .and_then(|unit| schema::units::analyte(LOINC, self.loinc).and_then(|a| a.rule(&unit)));
        let value = rule.map_or(standard, |r| (standard - r.offset) / r.scale);
        format!("{value:.*}", self.decimals)
    }

    /// What a reader of that text finds, in the standard unit.
    pub(super) fn read(&self, text: &str) -> Option<f64> {
        let value = text.parse().ok()?;
        schema::units::standardise(LOINC, self.loinc, value, self.unit).ok().map(|s| s.value)
    }
}
