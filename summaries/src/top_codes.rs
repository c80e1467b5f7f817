//! The most frequent codes of a system whose codes in use are not known beforehand.
//!
//! A vocabulary that is asked for code by code must be public; a table of the codes that occur would tell of the patients who have
//! the rare ones. So codes are found from their beginnings on: each round counts, with noise, the patients with every way to go on from
//! the beginnings that are left, and the coordinator keeps those that stand out of the noise, the most frequent first. The last round
//! counts the codes found with noise of its own, which had no part in choosing them. Source: the tree of Bassily, Nissim, Stemmer and
//! Thakurta, NeurIPS 2017, and of Zhu et al., AISTATS 2020, here with Gaussian noise on whole levels of it.
//!
//! A code may be missed that is frequent, where more than [`TopCodes::BREADTH`] times as many beginnings of rarer codes are together more frequent.

pub mod key;
mod prefixes;

pub use key::{Alphabet, Key};
pub use prefixes::Prefixes;

use crate::estimate::{Estimate, Reporting, Row, patients};
use crate::interval::normal_quantile;
use crate::lanes::MergedRelease;
use crate::program::{MergedRound, PartWork, Program, ProgramError, Step};
use crate::statistic::Statistic as _;

/// The most frequent codes.
pub struct TopCodes {
    top: usize,
    length: usize,
    alphabet: Alphabet,
    per_patient: usize,
    reporting: Reporting,
}

impl TopCodes {
    /// A round keeps so many times as many beginnings as codes are asked for.
    pub const BREADTH: usize = 4;

    /// The most frequent `top` codes, known to `length` characters, of which a patient counts for at most `per_patient`; `None`
    /// where one is 0, more than 100 codes are asked for, or the length is above [`key::LONGEST`].
    pub fn new(
        top: usize,
        length: usize,
        alphabet: Alphabet,
        per_patient: usize,
        reporting: Reporting,
    ) -> Option<TopCodes> {
        let fits = (1..=100).contains(&top) && (1..=key::LONGEST).contains(&length) && per_patient > 0;
        fits.then_some(TopCodes { top, length, alphabet, per_patient, reporting })
    }

    fn last(&self) -> u32 {
        self.length.div_ceil(self.alphabet.step()) as u32
    }

    /// How many symbols are known before a round.
    fn depth(&self, round: u32) -> usize {
        (round as usize * self.alphabet.step()).min(self.length)
    }

    /// The beginnings that parameters name: each so many symbols, -1 for what is not known.
    fn beginnings(&self, round: u32, parameters: &[f64]) -> Result<Vec<Vec<u8>>, ProgramError> {
        if round > self.last() {
            return Err(ProgramError::Round { asked: round, planned: self.rounds() });
        }
        let most = self.rounds() as usize * self.top * Self::BREADTH;
        let needed = self.length * (parameters.len() / self.length).clamp(usize::from(round > 0), most);
        let wrong = ProgramError::Parameters { given: parameters.len(), needed };
        if parameters.len() != needed {
            return Err(wrong);
        }
        let mut out = Vec::with_capacity(parameters.len() / self.length);
        for chunk in parameters.chunks(self.length) {
            let known: Vec<u8> = chunk.iter().take_while(|s| **s >= 0.0).map(|s| *s as u8).collect();
            let of_alphabet = |s: &f64| s.fract() == 0.0 && (0.0..self.alphabet.size() as f64).contains(s);
            let rest = chunk.get(known.len()..).unwrap_or_default();
            let sound = chunk.iter().take(known.len()).all(of_alphabet) && rest.iter().all(|s| *s == -1.0);
            if !sound || !(is_whole(&known, self.length) || known.len() == self.depth(round)) {
                return Err(wrong);
            }
            out.push(known);
        }
        if round == 0 {
            out = vec![Vec::new()];
        }
        Ok(out)
    }

    /// What a round counts.
    fn counted(&self, round: u32, parameters: &[f64]) -> Result<Prefixes, ProgramError> {
        let mut beginnings = self.beginnings(round, parameters)?;
        let depth = self.depth(round);
        let more = if round == self.last() { 0 } else { self.depth(round + 1) - depth };
        if more > 0 {
            beginnings.retain(|b| !is_whole(b, self.length));
        }
        beginnings.sort();
        beginnings.dedup();
        Ok(Prefixes { beginnings, more, alphabet: self.alphabet, per_patient: self.per_patient })
    }

    fn told(&self, counted: &Prefixes, release: &MergedRelease) -> Estimate {
        let layout = counted.layout();
        let se = release.variance(&layout).sqrt();
        let mut found: Vec<(f64, String)> =
            counted.beginnings.iter().enumerate().map(|(i, b)| (release.value(i, &layout), key::text(b))).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let rows = found.iter().take(self.top).map(|(n, code)| patients(code, *n, se, &self.reporting));
        let rows: Vec<Row> = rows.filter(|r| !r.suppressed).collect();
        if rows.is_empty() { none() } else { Estimate { rows, curves: Vec::new() } }
    }
}

/// Whether there is nothing more to find out: the end is there, or as much as is asked for.
fn is_whole(beginning: &[u8], length: usize) -> bool {
    beginning.contains(&0) || beginning.len() >= length
}

fn none() -> Estimate {
    let why = "no code is frequent enough to be told from noise, or to be shown";
    Estimate { rows: vec![Row::withheld("all codes", "n", why)], curves: Vec::new() }
}

impl Program for TopCodes {
    fn rounds(&self) -> u32 {
        self.last() + 1
    }
    /// The last round is what is read.
    fn weight(&self, round: u32) -> f64 {
        if round == self.last() { 2.0 } else { 1.0 }
    }
    fn first(&self) -> Vec<f64> {
        Vec::new()
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        let statistic = Box::new(self.counted(round, parameters)?);
        Ok(vec![PartWork {
            name: format!("top_codes:{round}"),
            statistic,
            columns: vec![0],
            weight: 1.0,
            walk: None,
            rate: None,
        }])
    }
    fn next(&mut self, round: u32, parameters: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let counted = self.counted(round, parameters)?;
        let [release] = merged.parts.as_slice() else { return Err(ProgramError::Merged) };
        let layout = counted.layout();
        if release.lanes.len() != layout.lanes {
            return Err(ProgramError::Merged);
        }
        if round == self.last() {
            return Ok(Step::Done(self.told(&counted, release)));
        }
        // Of all cells that nobody is in, half a one is expected above it.
        let noise = normal_quantile(1.0 - 0.5 / layout.lanes.max(1) as f64) * release.variance(&layout).sqrt();
        let least = noise.max(self.reporting.min_cell as f64).max(0.5);
        let mut found: Vec<(f64, usize)> =
            (0..layout.lanes).map(|cell| (release.value(cell, &layout), cell)).filter(|(n, _)| *n >= least).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(self.top * Self::BREADTH);
        let mut beginnings = self.beginnings(round, parameters)?;
        beginnings.retain(|b| is_whole(b, self.length) && round > 0);
        // Behind an end comes nothing.
        let real = |b: &Vec<u8>| b.iter().skip_while(|s| **s != 0).all(|s| *s == 0) && b.first() != Some(&0);
        beginnings.extend(found.iter().map(|(_, cell)| counted.beginning(*cell)).filter(real));
        if beginnings.is_empty() {
            return Ok(Step::Done(none()));
        }
        let open = beginnings.iter().any(|b| !is_whole(b, self.length));
        let round = if open { round + 1 } else { self.last() };
        let parameters = beginnings
            .iter()
            .flat_map(|b| (0..self.length).map(|i| b.get(i).map_or(-1.0, |s| f64::from(*s))))
            .collect();
        Ok(Step::Continue { round, parameters })
    }
    fn own(&self, _: &str, round: u32, parameters: &[f64], release: &MergedRound) -> Option<Estimate> {
        let counted = self.counted(round, parameters).ok().filter(|_| round == self.last())?;
        let [release] = release.parts.as_slice() else { return None };
        (release.lanes.len() == counted.layout().lanes).then(|| self.told(&counted, release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Column, PatientBatch};
    use crate::lanes::Lanes;

    fn program(top: usize, length: usize, alphabet: Alphabet, min_cell: u64) -> TopCodes {
        let reporting = Reporting { confidence: 0.95, min_cell, names: vec![], levels: vec![] };
        TopCodes::new(top, length, alphabet, 3, reporting).unwrap()
    }

    /// Patients with each of some codes, one a patient.
    fn batch(codes: &[(&str, usize)]) -> PatientBatch {
        let keys: Vec<Key> = codes.iter().flat_map(|(c, n)| std::iter::repeat_n(key::key(c), *n)).collect();
        let offsets = (0..=keys.len() as u32).collect();
        PatientBatch::new(keys.len(), vec![Column::Keys { offsets, keys }]).unwrap()
    }

    /// Runs the program to its end, with noise of a standard deviation drawn from a seed.
    fn run(mut program: TopCodes, batch: &PatientBatch, sd: f64, mut seed: u64) -> (Estimate, u32) {
        let (mut round, mut parameters, mut rounds) = (0, program.first(), 0);
        loop {
            rounds += 1;
            let work = program.work(round, &parameters).unwrap();
            let mut lanes = Lanes::zeros(work[0].statistic.layout().lanes);
            work[0].statistic.accumulate(batch, &mut lanes).unwrap();
            let mut noise = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                normal_quantile(((seed >> 11) as f64 + 0.5) / (1u64 << 53) as f64) * sd
            };
            let lanes = lanes.values().iter().map(|v| v + noise().round() as i64).collect();
            let part = MergedRelease { lanes, noise_variance: sd * sd, unit: 1.0, sites: 1, shared: 1 };
            let merged = MergedRound { parts: vec![part], sites: 1 };
            match program.next(round, &parameters, &merged).unwrap() {
                Step::Continue { round: r, parameters: p } => (round, parameters) = (r, p),
                Step::Done(estimate) => return (estimate, rounds),
            }
        }
    }

    fn told(e: &Estimate) -> Vec<(&str, f64)> {
        e.rows.iter().map(|r| (r.term.as_str(), r.estimate.unwrap_or(f64::NAN))).collect()
    }

    #[test]
    fn without_noise_they_are_the_most_frequent() {
        let codes = [("E119", 40), ("I10", 70), ("E11", 30), ("J45", 20), ("J4590", 10), ("Z", 5), ("", 9)];
        let (e, rounds) = run(program(4, 7, Alphabet::Letters, 0), &batch(&codes), 0.0, 1);
        assert_eq!(told(&e), [("I10", 70.0), ("E119", 40.0), ("E11", 30.0), ("J45", 20.0)]);
        // After three rounds of two symbols nothing is left open: the round of the seventh is left out.
        assert_eq!(rounds, 4);
    }

    #[test]
    fn codes_longer_than_asked_are_one_beginning() {
        let codes = [("44054006", 12), ("44054007", 5), ("15777000", 9), ("AB", 99)];
        let (e, _) = run(program(5, 6, Alphabet::Digits, 0), &batch(&codes), 0.0, 1);
        assert_eq!(told(&e), [("440540*", 17.0), ("157770*", 9.0)], "and letters are no code of digits");
    }

    #[test]
    fn what_nobody_has_is_not_found_in_noise() {
        let codes = [("I10", 2000), ("E119", 900), ("Q899", 12)];
        for seed in 1..40 {
            let (e, _) = run(program(5, 6, Alphabet::Letters, 11), &batch(&codes), 20.0, seed);
            let names: Vec<&str> = e.rows.iter().map(|r| r.term.as_str()).collect();
            assert_eq!(names.get(..2), Some(&["I10", "E119"][..]), "seed {seed}");
            for row in &e.rows {
                assert_eq!(row.dp_se, Some(20.0));
            }
            assert!(names.len() <= 3, "seed {seed}: {names:?}");
        }
        let (e, rounds) = run(program(5, 6, Alphabet::Letters, 11), &batch(&codes[2..]), 0.0, 1);
        assert_eq!((told(&e), rounds), (vec![("Q899", 12.0)], 4), "its end is known after the third round");
        let (e, rounds) = run(program(5, 6, Alphabet::Letters, 20), &batch(&codes[2..]), 0.0, 1);
        assert!(e.rows[0].suppressed && rounds == 1, "fewer than may be shown");
    }

    #[test]
    fn parameters_of_another_program_are_refused() {
        let p = program(4, 4, Alphabet::Letters, 0);
        assert!(p.work(0, &[1.0]).is_err());
        assert!(p.work(1, &[]).is_err());
        assert!(p.work(1, &[1.0, 2.0, -1.0, -1.0]).is_ok());
        for bad in [[1.0, -1.0, -1.0, -1.0], [1.0, 2.5, -1.0, -1.0], [1.0, 40.0, -1.0, -1.0], [1.0, 2.0, 3.0, -1.0]] {
            assert!(p.work(1, &bad).is_err(), "{bad:?}");
        }
        assert!(p.work(1, &[f64::NAN; 4]).is_err() && p.work(9, &[1.0; 4]).is_err());
        assert!(p.work(1, &[1.0, 2.0].repeat(4 * 100)).is_err(), "more than a round keeps");
    }
}
