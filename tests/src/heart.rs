//! Fed-Heart-Disease, as FLamby has it: four hospitals, thirteen features, the published split.

use std::path::Path;

/// The hospitals, in the order of their numbers.
pub const HOSPITALS: [&str; 4] = ["cleveland", "hungarian", "switzerland", "va"];

/// The features, in order.
pub const FEATURES: [&str; 13] = [
    "age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak", "cp2", "cp3", "cp4", "restecg1", "restecg2",
];

/// Clinical bounds that no patient's values chose: ages of the trials of that time, what a pressure, a cholesterol (0 where it was not
/// measured), a heart rate, and an ST depression can be; and 0 and 1.
pub const BOUNDS: [[f64; 2]; 13] = [
    [28.0, 78.0],
    [0.0, 1.0],
    [80.0, 200.0],
    [0.0, 605.0],
    [0.0, 1.0],
    [60.0, 202.0],
    [0.0, 1.0],
    [-2.6, 6.2],
    [0.0, 1.0],
    [0.0, 1.0],
    [0.0, 1.0],
    [0.0, 1.0],
    [0.0, 1.0],
];

/// A patient.
pub struct Patient {
    /// The hospital's number.
    pub hospital: usize,
    /// Whether the split has the patient for training.
    pub training: bool,
    /// The features, in their own units.
    pub x: [f64; 13],
    /// Whether there is heart disease.
    pub ill: bool,
}

/// The patients whom the published split has, with their set.
///
/// # Panics
/// A file is not as it is published.
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test reads it.
pub fn patients(data: &Path) -> Vec<Patient> {
    let files: Vec<Vec<Vec<f64>>> = HOSPITALS
        .iter()
        .map(|h| {
            let text = std::fs::read_to_string(data.join(format!("processed.{h}.data"))).unwrap();
            text.lines().map(|l| l.split(',').map(|c| c.parse().unwrap_or(f64::NAN)).collect()).collect()
        })
        .collect();
    let split = std::fs::read_to_string(data.join("flamby_train_test_split.csv")).unwrap();
    let mut lines = split.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| head.iter().position(|h| *h == name).unwrap();
    let (number, line, set) = (at("center_id"), at("line_in_file"), at("set"));
    lines
        .map(|l| {
            let cells: Vec<&str> = l.split(',').collect();
            let hospital: usize = cells[number].parse().unwrap();
            let r = &files[hospital][cells[line].parse::<usize>().unwrap() - 1];
            let is = |column: usize, value: f64| f64::from(u8::from(r[column] == value));
            let x = [
                r[0],
                r[1],
                r[3],
                r[4],
                r[5],
                r[7],
                r[8],
                r[9],
                is(2, 2.0),
                is(2, 3.0),
                is(2, 4.0),
                is(6, 1.0),
                is(6, 2.0),
            ];
            Patient { hospital, training: cells[set] == "train", x, ill: r[13] != 0.0 }
        })
        .collect()
}

/// The linear predictor of coefficients, the intercept first.
#[allow(clippy::indexing_slicing)]
pub fn eta(beta: &[f64], p: &Patient) -> f64 {
    beta[0] + beta[1..].iter().zip(&p.x).map(|(b, x)| b * x).sum::<f64>()
}

/// The share of test patients of a hospital, or of all, told rightly; and the area under the curve.
pub fn judged(beta: &[f64], patients: &[Patient], hospital: Option<usize>) -> (f64, f64) {
    let test: Vec<&Patient> =
        patients.iter().filter(|p| !p.training && hospital.is_none_or(|h| h == p.hospital)).collect();
    let right = test.iter().filter(|p| (eta(beta, p) > 0.0) == p.ill).count() as f64;
    let (mut pairs, mut wins) = (0.0, 0.0);
    for a in test.iter().filter(|p| p.ill) {
        for b in test.iter().filter(|p| !p.ill) {
            pairs += 1.0;
            wins += if eta(beta, a) > eta(beta, b) { 1.0 } else { 0.0 };
        }
    }
    (right / test.len() as f64, wins / pairs)
}
