//! Diabetes-130 (Strack and others 2014, doi 10.1155/2014/781670): 101,766 encounters at 130 hospitals, of which the file does not say which.
//!
//! * The system's unit is a patient, so each of 71,518 patients is one row, the first encounter, as Strack has it: encounters of a patient hang together, and a
//!   later one tells of the one before, since it is the readmission. First encounters that ended in death or a hospice are left out, from where nobody is readmitted; 69,973
//!   patients stay.
//! * Sites and split are public: of the SHA-256 of the patient's number, in decimal, the first eight bytes modulo 40 are the site, and who has a multiple of five in the
//!   next eight is a test patient. So all that there is of a patient is at one site, and sites are of like size and kind: it is a test of size, not of differences.
//!
//! `tests/reference/diabetes.py` has the same columns.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use proto::Hash;

/// How many sites.
pub const SITES: usize = 40;

/// Numbers and their public bounds, which columns are clipped to.
pub const NUMBERS: [(&str, [f64; 2]); 9] = [
    ("age", [0.0, 100.0]),
    ("time_in_hospital", [1.0, 14.0]),
    ("num_lab_procedures", [0.0, 100.0]),
    ("num_procedures", [0.0, 6.0]),
    ("num_medications", [0.0, 50.0]),
    ("number_outpatient", [0.0, 5.0]),
    ("number_emergency", [0.0, 5.0]),
    ("number_inpatient", [0.0, 5.0]),
    ("number_diagnoses", [1.0, 9.0]),
];

/// Categories and how many levels they have.
pub const LEVELS: [(&str, u32); 11] = [
    ("female", 2),
    ("race", 5),
    ("admission", 4),
    ("discharge", 5),
    ("source", 3),
    ("diagnosis", 9),
    ("a1c", 4),
    ("insulin", 4),
    ("metformin", 2),
    ("change", 2),
    ("diabetes_med", 2),
];

/// A patient's first encounter.
pub struct Patient {
    /// The site.
    pub site: usize,
    /// Whether models are judged by it, and not trained on it.
    pub tested: bool,
    /// Whether the patient came back within 30 days.
    pub readmitted: bool,
    /// The numbers, and the places of the levels.
    pub columns: Vec<f64>,
}

/// Where a stay ended in death or a hospice.
const GONE: [&str; 6] = ["11", "13", "14", "19", "20", "21"];

/// Strack's groups of the first diagnosis: circulatory, respiratory, digestive, diabetes, injury, musculoskeletal, genitourinary, neoplasms, others.
fn group(code: &str) -> usize {
    if code.starts_with("250") {
        return 3;
    }
    let number: u32 = code.split('.').next().and_then(|c| c.parse().ok()).unwrap_or(0);
    match number {
        390..=459 | 785 => 0,
        460..=519 | 786 => 1,
        520..=579 | 787 => 2,
        800..=999 => 4,
        710..=739 => 5,
        580..=629 | 788 => 6,
        140..=239 => 7,
        _ => 8,
    }
}

/// The patients, in the order of their numbers.
///
/// # Panics
/// The file is not as it is published.
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test reads it.
pub fn patients(data: &Path) -> Vec<Patient> {
    let file = std::fs::File::open(data.join("diabetic_data.csv.gz")).unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| head.iter().position(|h| *h == name).unwrap();
    let (number, encounter) = (at("patient_nbr"), at("encounter_id"));
    let mut first: BTreeMap<u64, (u64, Vec<&str>)> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let (patient, id) = (cells[number].parse().unwrap(), cells[encounter].parse().unwrap());
        if first.get(&patient).is_none_or(|(known, _)| id < *known) {
            first.insert(patient, (id, cells));
        }
    }
    let place = |values: &[&str], value: &str, other: usize| values.iter().position(|v| *v == value).unwrap_or(other);
    let one = |cells: &Vec<&str>| {
        let of = |name: &str| cells[at(name)];
        let is = |yes: bool| usize::from(yes);
        let decade: f64 = of("age").trim_start_matches('[').split('-').next().unwrap().parse().unwrap();
        let number = |(name, [low, high]): &(&str, [f64; 2])| of(name).parse::<f64>().unwrap().clamp(*low, *high);
        let levels = [
            is(of("gender") == "Female"),
            place(&["Caucasian", "AfricanAmerican", "Hispanic", "Asian"], of("race"), 4),
            place(&["1", "2", "3"], of("admission_type_id"), 3),
            place(&["1", "6", "3", "22"], of("discharge_disposition_id"), 4),
            place(&["7", "1"], of("admission_source_id"), 2),
            group(of("diag_1")),
            place(&["None", "Norm", ">7", ">8"], of("A1Cresult"), 0),
            place(&["No", "Steady", "Up", "Down"], of("insulin"), 0),
            is(of("metformin") != "No"),
            is(of("change") == "Ch"),
            is(of("diabetesMed") == "Yes"),
        ];
        let numbers = std::iter::once(decade + 5.0).chain(NUMBERS[1..].iter().map(number));
        numbers.chain(levels.into_iter().map(|l| l as f64)).collect()
    };
    let kept = first.into_values().filter(|(_, cells)| !GONE.contains(&cells[at("discharge_disposition_id")]));
    kept.map(|(_, cells)| {
        let hash = Hash::of(cells[number].as_bytes()).0;
        let whole = |from: usize| u64::from_be_bytes(hash[from..from + 8].try_into().unwrap());
        Patient {
            site: (whole(0) % SITES as u64) as usize,
            tested: whole(8).is_multiple_of(5),
            readmitted: cells[at("readmitted")] == "<30",
            columns: one(&cells),
        }
    })
    .collect()
}

/// The area under the curve of scores: how often one who came back has a higher one than one who did not, ties for a half.
pub fn auc(scored: &[(f64, bool)]) -> f64 {
    let mut sorted: Vec<&(f64, bool)> = scored.iter().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let yes = equal.iter().filter(|s| s.1).count() as f64;
        let no = equal.len() as f64 - yes;
        wins += yes * (below + no / 2.0);
        below += no;
    }
    wins / (below * (scored.len() as f64 - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_one_by_hand() {
        // Of four pairs one who came back is higher in two, and level in one.
        let scored = [(0.1, false), (0.2, true), (0.2, false), (0.0, true), (0.3, true), (0.4, false)];
        assert!((auc(&scored) - (1.0 + 0.5 + 0.0 + 2.0) / 9.0).abs() < 1e-12);
    }
}
