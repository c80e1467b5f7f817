//! The words of each country: file names, column names, codes.

use super::super::sites::{Dialect, Site};
use super::super::world::Analyte;

/// A file and its columns.
pub(super) struct FileWords {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// How a country's CSV speaks.
pub(super) struct Words {
    pub(super) delimiter: char,
    pub(super) comma: bool,
    /// The date in strftime's spelling.
    pub(super) date: &'static str,
    pub(super) latin: bool,
    pub(super) male: &'static str,
    pub(super) female: &'static str,
    /// Inpatient, emergency, outpatient.
    pub(super) classes: [&'static str; 3],
    /// Person, sex, birth, death.
    pub(super) patients: FileWords,
    /// Visit, person, class, start, end, ward.
    pub(super) visits: FileWords,
    pub(super) ward: &'static str,
    /// Number, person, visit, code, date.
    pub(super) diagnoses: FileWords,
    /// Number, person, visit, date and time, test, value, unit.
    pub(super) labs: FileWords,
    /// Number, person, visit, date, systolic, diastolic.
    pub(super) vitals: FileWords,
    /// Number, person, visit, code, date.
    pub(super) drugs: FileWords,
    /// Number, person, visit, code, date.
    pub(super) procedures: FileWords,
    pub(super) icd: &'static str,
    pub(super) icd_dot: bool,
    pub(super) drug_system: &'static str,
    pub(super) drug_code: &'static str,
    pub(super) procedure_system: &'static str,
    pub(super) procedure_codes: [&'static str; 2],
    /// HbA1c, creatinine, glucose.
    pub(super) tests: [&'static str; 3],
}

impl Words {
    pub(super) fn test(&self, analyte: Analyte) -> &'static str {
        match analyte {
            Analyte::Hba1c => self.tests[0],
            Analyte::Creatinine => self.tests[1],
            Analyte::Glucose | Analyte::Pressure => self.tests[2],
        }
    }
}

/// The words of a site.
pub(super) fn of(site: &Site) -> Words {
    match site.dialect {
        Dialect::German => german(site.odd()),
        Dialect::French => french(site.odd()),
        Dialect::Spanish => spanish(site.odd()),
        Dialect::UsLong | Dialect::UsWide | Dialect::Fhir => us(),
    }
}

const fn file(name: &'static str, columns: &'static [&'static str]) -> FileWords {
    FileWords { name, columns }
}

fn german(odd: bool) -> Words {
    Words {
        delimiter: ';',
        comma: true,
        date: "%d.%m.%Y",
        latin: odd,
        male: if odd { "männlich" } else { "m" },
        female: if odd { "weiblich" } else { "w" },
        classes: ["stationär", "Notaufnahme", "ambulant"],
        patients: file("patienten.csv", &["PatNr", "Geschlecht", "Geburtsdatum", "Sterbedatum"]),
        visits: file("faelle.csv", &["FallNr", "PatNr", "Fallart", "Aufnahme", "Entlassung", "Station"]),
        ward: "Innere Süd",
        diagnoses: file("diagnosen.csv", &["DiagNr", "PatNr", "FallNr", "ICD", "Datum"]),
        labs: file("labor.csv", &["BefundNr", "PatNr", "FallNr", "Abnahme", "Test", "Wert", "Einheit"]),
        vitals: file("vitalwerte.csv", &["Nr", "PatNr", "FallNr", "Datum", "RR_sys", "RR_dia"]),
        drugs: file("medikation.csv", &["VerordnungNr", "PatNr", "FallNr", "ATC", "Datum"]),
        procedures: file("prozeduren.csv", &["ProzNr", "PatNr", "FallNr", "OPS", "Datum"]),
        icd: "icd10gm",
        icd_dot: true,
        drug_system: "atc",
        drug_code: "A10BA02",
        procedure_system: "ops",
        procedure_codes: ["1-710", "3-052"],
        tests: if odd { ["HBA1C-IFCC", "KREA", "GLUK"] } else { ["HbA1c", "Kreatinin i.S.", "Glukose nüchtern"] },
    }
}

fn us() -> Words {
    Words {
        delimiter: ',',
        comma: false,
        date: "%m/%d/%Y",
        latin: false,
        male: "M",
        female: "F",
        classes: ["INPATIENT", "EMERGENCY", "OUTPATIENT"],
        patients: file("demographics.csv", &["mrn", "gender", "birth_date", "death_date"]),
        visits: file("encounters.csv", &["enc_id", "mrn", "enc_type", "admit_date", "discharge_date", "unit"]),
        ward: "3 West",
        diagnoses: file("diagnoses.csv", &["dx_id", "mrn", "enc_id", "icd10", "dx_date"]),
        labs: file("labs.csv", &["result_id", "mrn", "enc_id", "collected", "component", "result", "units"]),
        vitals: file("vitals.csv", &["vital_id", "mrn", "enc_id", "taken", "bp_systolic", "bp_diastolic"]),
        drugs: file("medications.csv", &["order_id", "mrn", "enc_id", "rxcui", "order_date"]),
        procedures: file("procedures.csv", &["proc_id", "mrn", "enc_id", "cpt", "proc_date"]),
        icd: "icd10cm",
        icd_dot: true,
        drug_system: "rxnorm",
        drug_code: "6809",
        procedure_system: "cpt",
        procedure_codes: ["93000", "93306"],
        tests: ["HEMOGLOBIN A1C", "CREATININE", "GLUCOSE"],
    }
}

fn french(odd: bool) -> Words {
    Words {
        delimiter: '\t',
        comma: true,
        date: "%d/%m/%Y",
        latin: odd,
        male: if odd { "homme" } else { "H" },
        female: if odd { "femme" } else { "F" },
        classes: ["hospitalisation", "urgences", "consultation"],
        patients: file("patients.tsv", &["IPP", "sexe", "date_naissance", "date_décès"]),
        visits: file("sejours.tsv", &["NDA", "IPP", "type", "entrée", "sortie", "unité"]),
        ward: "Médecine interne",
        diagnoses: file("diagnostics.tsv", &["id", "IPP", "NDA", "CIM10", "date"]),
        labs: file("biologie.tsv", &["id", "IPP", "NDA", "prélèvement", "analyse", "résultat", "unité"]),
        vitals: file("constantes.tsv", &["id", "IPP", "NDA", "date", "PAS", "PAD"]),
        drugs: file("prescriptions.tsv", &["id", "IPP", "NDA", "ATC", "date"]),
        procedures: file("actes.tsv", &["id", "IPP", "NDA", "CCAM", "date"]),
        icd: "icd10fr",
        icd_dot: false,
        drug_system: "atc",
        drug_code: "A10BA02",
        procedure_system: "urn:oid:1.2.250.1.213.2.5",
        procedure_codes: ["DEQP003", "DZQM006"],
        tests: ["HbA1c", "Créatinine", "Glycémie à jeun"],
    }
}

fn spanish(odd: bool) -> Words {
    Words {
        delimiter: ';',
        comma: true,
        date: "%d/%m/%Y",
        latin: odd,
        male: if odd { "hombre" } else { "H" },
        female: if odd { "mujer" } else { "M" },
        classes: ["hospitalización", "urgencias", "consulta"],
        patients: file("pacientes.csv", &["NHC", "sexo", "fecha_nacimiento", "fecha_éxitus"]),
        visits: file("episodios.csv", &["episodio", "NHC", "tipo", "ingreso", "alta", "unidad"]),
        ward: "Medicina interna año 1",
        diagnoses: file("diagnosticos.csv", &["id", "NHC", "episodio", "CIE10", "fecha"]),
        labs: file("laboratorio.csv", &["id", "NHC", "episodio", "extracción", "prueba", "resultado", "unidad"]),
        vitals: file("constantes.csv", &["id", "NHC", "episodio", "fecha", "TAS", "TAD"]),
        drugs: file("recetas.csv", &["id", "NHC", "episodio", "ATC", "fecha"]),
        procedures: file("procedimientos.csv", &["id", "NHC", "episodio", "código", "fecha"]),
        icd: "icd10es",
        icd_dot: true,
        drug_system: "atc",
        drug_code: "A10BA02",
        procedure_system: "snomed",
        procedure_codes: ["29303009", "40701008"],
        tests: ["Hemoglobina glicosilada", "Creatinina", "Glucosa"],
    }
}
