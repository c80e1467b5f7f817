//! Whether an id of a file of patients stands for two people: with two sexes, or two years of birth.

use std::collections::HashMap;

use schema::{Cell, Key, Record};

/// Patients that are compared with those before them, at most: about 35 MiB. Of more it is not known.
const COMPARED: usize = 1 << 20;

/// A patient: in the lowest two bits the sex, above them the years since 1800 and one; zero where it is not known.
type Looks = u16;

const SEX: Looks = 0b11;

/// The patients of a file.
#[derive(Default)]
pub(super) struct Reused(HashMap<u64, Looks>);

impl Reused {
    /// Whether a patient of that key came before with another sex or, where that is compared, another year of birth.
    pub(super) fn is_another(&mut self, person: Key, patient: &Record, with_birth: bool) -> bool {
        let sex: Looks = match patient.get("sex") {
            Cell::Text(sex) => match sex.as_str() {
                "F" => 1,
                "M" => 2,
                "O" => 3,
                _ => 0,
            },
            _ => 0,
        };
        let born = match patient.get("birth_year") {
            Cell::Int(year) if with_birth => {
                Looks::try_from(year - 1799).ok().filter(|y| (1..=1000).contains(y)).unwrap_or(0)
            }
            _ => 0,
        };
        let mut half = [0; 8];
        half.copy_from_slice(&person[..8]);
        let full = self.0.len() >= COMPARED;
        let Some(before) = self.0.get_mut(&u64::from_le_bytes(half)) else {
            if !full {
                self.0.insert(u64::from_le_bytes(half), sex | born << 2);
            }
            return false;
        };
        let differs = |a: Looks, b: Looks| a != 0 && b != 0 && a != b;
        if differs(*before & SEX, sex) || differs(*before >> 2, born) {
            return true;
        }
        *before |= sex | born << 2;
        false
    }
}
