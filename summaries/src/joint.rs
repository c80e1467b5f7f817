//! Several programs of one round over the same patients, as one: their statistics stand side by side in a round, and share its charge.

use crate::estimate::Estimate;
use crate::program::{MergedRound, PartWork, Program, ProgramError, Step};

/// One of the programs.
pub struct Member {
    /// Its name, before its parts' and its rows'.
    pub name: String,
    /// The program.
    pub program: Box<dyn Program>,
    /// Where each column that it reads is in the common batch.
    pub columns: Vec<usize>,
    /// Its share of the charge, relative to the others'.
    pub share: f64,
}

/// Programs of one round.
pub struct Joint(Vec<Member>);

impl Joint {
    /// Of these. `None` where one has more than a round, or there is none.
    pub fn new(members: Vec<Member>) -> Option<Joint> {
        let fits = |m: &Member| m.program.rounds() == 1 && m.share > 0.0 && m.share.is_finite();
        (!members.is_empty() && members.iter().all(fits)).then_some(Joint(members))
    }
}

/// A member's work in the common batch.
fn own(member: &Member) -> Result<Vec<PartWork>, ProgramError> {
    let mut work = member.program.work(0, &member.program.first())?;
    let whole: f64 = work.iter().map(|w| w.weight).sum();
    for part in &mut work {
        part.name = format!("{}/{}", member.name, part.name);
        part.weight = member.share * part.weight / whole;
        let place = |column: &usize| member.columns.get(*column).copied().ok_or(ProgramError::Merged);
        part.columns = part.columns.iter().map(place).collect::<Result<_, _>>()?;
    }
    Ok(work)
}

impl Program for Joint {
    fn rounds(&self) -> u32 {
        1
    }
    fn weight(&self, _: u32) -> f64 {
        1.0
    }
    fn first(&self) -> Vec<f64> {
        Vec::new()
    }
    fn work(&self, round: u32, parameters: &[f64]) -> Result<Vec<PartWork>, ProgramError> {
        if round != 0 {
            return Err(ProgramError::Round { asked: round, planned: 1 });
        }
        if !parameters.is_empty() {
            return Err(ProgramError::Parameters { given: parameters.len(), needed: 0 });
        }
        let all = self.0.iter().map(own).collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().flatten().collect())
    }
    fn next(&mut self, _: u32, _: &[f64], merged: &MergedRound) -> Result<Step, ProgramError> {
        let mut out = Estimate::default();
        let mut rest = merged.parts.as_slice();
        for member in &mut self.0 {
            let first = member.program.first();
            let parts = member.program.work(0, &first)?.len();
            let (own, after) = rest.split_at_checked(parts).ok_or(ProgramError::Merged)?;
            rest = after;
            let round = MergedRound { parts: own.to_vec(), sites: merged.sites };
            let Step::Done(mut estimate) = member.program.next(0, &first, &round)? else {
                return Err(ProgramError::Merged);
            };
            estimate.rows.iter_mut().for_each(|row| row.term = format!("{}: {}", member.name, row.term));
            estimate.curves.iter_mut().for_each(|curve| curve.title = format!("{}: {}", member.name, curve.title));
            out.rows.append(&mut estimate.rows);
            out.curves.append(&mut estimate.curves);
        }
        if rest.is_empty() { Ok(Step::Done(out)) } else { Err(ProgramError::Merged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;
    use crate::estimate::Reporting;
    use crate::lanes::MergedRelease;
    use crate::moments::Moments;
    use crate::program::{OneShot, PartPlan};
    use crate::statistic::Statistic;

    fn member(name: &str, columns: Vec<usize>, share: f64, make: fn() -> Box<dyn Statistic>) -> Member {
        let reporting =
            Reporting { confidence: 0.95, min_cell: 0, names: vec!["age".to_owned()], levels: vec![Vec::new()] };
        let own = (0..columns.len()).collect();
        let part = PartPlan { name: "part".to_owned(), make: Box::new(make), columns: own, weight: 3.0, reporting };
        Member { name: name.to_owned(), program: Box::new(OneShot::new(vec![part])), columns, share }
    }

    #[test]
    fn each_has_its_columns_its_share_and_its_rows() {
        let mean = || Box::new(Moments::new(0.0, 100.0).unwrap()) as Box<dyn Statistic>;
        let members = vec![member("n", vec![], 1.0, || Box::new(Count)), member("age", vec![4], 3.0, mean)];
        let mut joint = Joint::new(members).unwrap();
        let work = joint.work(0, &[]).unwrap();
        let told: Vec<_> = work.iter().map(|w| (w.name.as_str(), w.columns.clone(), w.weight)).collect();
        assert_eq!(told, [("n/part", vec![], 1.0), ("age/part", vec![4], 3.0)]);
        let part = |lanes: usize| MergedRelease {
            lanes: vec![50; lanes],
            noise_variance: 1.0,
            unit: 1.0,
            sites: 2,
            shared: 1,
        };
        let lanes: Vec<usize> = work.iter().map(|w| w.statistic.layout().lanes).collect();
        let round = MergedRound { parts: lanes.iter().map(|n| part(*n)).collect(), sites: 2 };
        let Step::Done(estimate) = joint.next(0, &[], &round).unwrap() else { panic!("it is not over") };
        assert_eq!((estimate.rows[0].term.as_str(), estimate.rows[0].estimate), ("n: cohort", Some(50.0)));
        assert!(estimate.rows.len() > 1 && estimate.rows[1..].iter().all(|r| r.term.starts_with("age: ")));
        for wrong in [&round.parts[..1], &[round.parts.clone(), vec![part(1)]].concat()] {
            let round = MergedRound { parts: wrong.to_vec(), sites: 2 };
            assert_eq!(joint.next(0, &[], &round), Err(ProgramError::Merged));
        }
        assert!(Joint::new(Vec::new()).is_none());
    }
}
