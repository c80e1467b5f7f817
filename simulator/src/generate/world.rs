//! The patients, before any dialect: who they are, what they have, what was measured.

use chrono::{Datelike, Days, NaiveDate};

use super::chance::Chance;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Analyte {
    Hba1c,
    Creatinine,
    Glucose,
    /// Systolic; the diastolic pressure goes with it.
    Pressure,
}

impl Analyte {
    pub(super) const ALL: [Analyte; 4] = [Analyte::Hba1c, Analyte::Creatinine, Analyte::Glucose, Analyte::Pressure];
}

/// The class of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Inpatient,
    Emergency,
    Outpatient,
}

pub(super) struct Visit {
    pub(super) number: u64,
    pub(super) class: Class,
    pub(super) start: NaiveDate,
    pub(super) end: NaiveDate,
}

pub(super) struct Condition {
    pub(super) number: u64,
    /// ICD-10 with its dot.
    pub(super) icd: &'static str,
    pub(super) date: NaiveDate,
    pub(super) visit: Option<u64>,
}

pub(super) struct Measure {
    pub(super) number: u64,
    pub(super) analyte: Analyte,
    pub(super) date: NaiveDate,
    /// Minutes since midnight; always before noon, while diagnoses are made after it.
    pub(super) minute: u32,
    /// In the schema's standard unit.
    pub(super) value: f64,
    pub(super) diastolic: f64,
    pub(super) visit: Option<u64>,
}

/// A drug or a procedure.
pub(super) struct Act {
    pub(super) number: u64,
    pub(super) date: NaiveDate,
    pub(super) visit: Option<u64>,
    pub(super) kind: usize,
}

pub(super) struct Person {
    pub(super) male: bool,
    pub(super) born: NaiveDate,
    pub(super) died: Option<NaiveDate>,
    /// The first diagnosis of type 2 diabetes.
    pub(super) index: Option<NaiveDate>,
    /// Whether heart failure follows within a year.
    pub(super) outcome: bool,
    pub(super) visits: Vec<Visit>,
    pub(super) conditions: Vec<Condition>,
    pub(super) measures: Vec<Measure>,
    pub(super) drugs: Vec<Act>,
    pub(super) procedures: Vec<Act>,
}

impl Person {
    /// The value that counts: the last on or before the index.
    pub(super) fn at_index(&self, analyte: Analyte) -> Option<&Measure> {
        let index = self.index?;
        let known = self.measures.iter().filter(|m| m.analyte == analyte && m.date <= index);
        known.max_by_key(|m| (m.date, m.minute))
    }
}

/// The running numbers of a site.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Measurements lie in this many days before the index.
const BEFORE: i64 = 200;
const DIABETES: &[&str] = &["E11.9", "E11.6", "E11.7", "E11.2"];
const FAILURE: &[&str] = &["I50.1", "I50.9"];
const OTHER: &[&str] = &["J18.9", "N39.0", "K21.9", "M54.5", "F32.9"];

fn shift(date: NaiveDate, days: i64) -> NaiveDate {
    let by = Days::new(days.unsigned_abs());
    let shifted = if days < 0 { date.checked_sub_days(by) } else { date.checked_add_days(by) };
    shifted.unwrap_or(date)
}

/// A person, with everything that the site will write about them.
pub(super) fn person(numbers: &mut Numbers, chance: &mut Chance) -> Person {
    let male = chance.happens(0.5);
    let first = NaiveDate::from_ymd_opt(2022, 1, 1).unwrap_or_default();
    let reference = shift(first, chance.between(0, 729));
    let age = chance.normal(66.0, 11.0).clamp(30.0, 95.0);
    #[allow(clippy::cast_possible_truncation)]
    let born = shift(reference, -((age * 365.25) as i64));
    let index = chance.happens(0.8).then_some(reference);
    let mut person = Person {
        male,
        born,
        died: None,
        index,
        outcome: false,
        visits: Vec::new(),
        conditions: Vec::new(),
        measures: Vec::new(),
        drugs: Vec::new(),
        procedures: Vec::new(),
    };
    let visit = person.visit(reference, if chance.happens(0.15) { 4 } else { 0 }, numbers, chance);
    if index.is_some() {
        let icd = chance.pick(DIABETES, "E11.9");
        person.condition(icd, reference, Some(visit), numbers);
        if chance.happens(0.4) {
            person.condition("E11.9", shift(reference, chance.between(30, 300)), None, numbers);
        }
    }
    if index.is_none() || chance.happens(0.6) {
        person.condition("I10", shift(reference, -chance.between(0, 150)), None, numbers);
    }
    if chance.happens(0.3) {
        let icd = chance.pick(OTHER, "J18.9");
        person.condition(icd, shift(reference, chance.between(-180, 300)), None, numbers);
    }
    let hba1c = person.measured(Analyte::Hba1c, (55.0, 12.0, 25.0, 140.0), reference, numbers, chance);
    let pressure = person.measured(Analyte::Pressure, (135.0, 16.0, 85.0, 220.0), reference, numbers, chance);
    person.measured(Analyte::Creatinine, (85.0, 22.0, 30.0, 400.0), reference, numbers, chance);
    person.measured(Analyte::Glucose, (8.2, 2.0, 3.0, 25.0), reference, numbers, chance);
    if index.is_some() {
        let years = f64::from(reference.year() - born.year());
        let odds = -2.0
            + 0.04 * (years - 65.0)
            + 0.5 * f64::from(u8::from(male))
            + 0.02 * (hba1c - 53.0)
            + 0.015 * (pressure - 135.0);
        person.outcome = chance.happens(1.0 / (1.0 + (-odds).exp()));
        if person.outcome {
            let date = shift(reference, chance.between(1, 365));
            let visit = person.visit(date, chance.between(3, 12), numbers, chance);
            let icd = chance.pick(FAILURE, "I50.9");
            person.condition(icd, date, Some(visit), numbers);
        }
        for month in 0..chance.between(1, 4) {
            person.act(true, shift(reference, month * 90), numbers, chance);
        }
    }
    for _ in 0..chance.between(0, 2) {
        person.act(false, shift(reference, chance.between(-100, 300)), numbers, chance);
    }
    if chance.happens(0.5) {
        person.visit(shift(reference, chance.between(-300, -1)), 0, numbers, chance);
    }
    // Nobody dies before the year of the outcome is over, so that the outcome is known for all.
    if chance.happens(0.04) {
        person.died = Some(shift(reference, chance.between(366, 640)));
    }
    person
}

impl Person {
    fn visit(&mut self, start: NaiveDate, nights: i64, numbers: &mut Numbers, chance: &mut Chance) -> u64 {
        let class = match nights {
            0 if chance.happens(0.2) => Class::Emergency,
            0 => Class::Outpatient,
            _ => Class::Inpatient,
        };
        let number = numbers.next();
        self.visits.push(Visit { number, class, start, end: shift(start, nights) });
        number
    }

    fn condition(&mut self, icd: &'static str, date: NaiveDate, visit: Option<u64>, numbers: &mut Numbers) {
        self.conditions.push(Condition { number: numbers.next(), icd, date, visit });
    }

    /// Measures something before the reference, with some older values and some later ones; returns what counts.
    fn measured(
        &mut self,
        analyte: Analyte,
        (mean, sd, low, high): (f64, f64, f64, f64),
        reference: NaiveDate,
        numbers: &mut Numbers,
        chance: &mut Chance,
    ) -> f64 {
        let value = chance.normal(mean, sd).clamp(low, high);
        let later = chance.happens(0.3).then(|| shift(reference, chance.between(1, 200)));
        let mut dates = Vec::new();
        if !chance.happens(0.05) {
            let last = chance.between(0, BEFORE);
            dates.push((shift(reference, -last), value));
            if chance.happens(0.4) && last + 1 < BEFORE {
                let older = chance.between(last + 1, BEFORE);
                dates.push((shift(reference, -older), chance.normal(value, sd / 3.0).clamp(low, high)));
            }
        }
        if let Some(date) = later {
            dates.push((date, chance.normal(value, sd / 3.0).clamp(low, high)));
        }
        for (date, value) in dates {
            let minute = u32::try_from(chance.between(7 * 60, 11 * 60)).unwrap_or(480);
            let diastolic = (50.0 + 0.22 * value).clamp(40.0, 120.0);
            let visit = self.visits.iter().find(|v| v.start == date).map(|v| v.number);
            self.measures.push(Measure { number: numbers.next(), analyte, date, minute, value, diastolic, visit });
        }
        value
    }

    fn act(&mut self, drug: bool, date: NaiveDate, numbers: &mut Numbers, chance: &mut Chance) {
        let kind = usize::try_from(chance.between(0, 1)).unwrap_or(0);
        let visit = self.visits.iter().find(|v| v.start == date).map(|v| v.number);
        let act = Act { number: numbers.next(), date, visit, kind };
        if drug { self.drugs.push(act) } else { self.procedures.push(act) }
    }
}
