//! Criteria that nobody can fulfil: no patient would be in the cohort, or in the subgroup, and the budget would be spent on noise.
//!
//! What is asked of one patient at one time contradicts itself: ages without a year in common, sexes without one, a criterion that both
//! includes and excludes. What may hold of one patient on different days, such as two results of one analyte, is left alone.

use std::collections::BTreeSet;

use super::Checker;
use crate::cohort::{Age, AllOf, AnyOf, Cohort, Criterion, Sex};
use crate::spec::Study;

/// Criteria that all hold, without those that only join others.
pub(super) fn joined(criteria: &[Criterion]) -> Vec<&Criterion> {
    let of = |c| match c {
        &Criterion::AllOf(AllOf { ref all_of }) => joined(all_of),
        other => vec![other],
    };
    criteria.iter().flat_map(of).collect()
}

/// Criteria each of which excludes alone.
pub(super) fn each(criteria: &[Criterion]) -> Vec<&Criterion> {
    let of = |c| match c {
        &Criterion::AnyOf(AnyOf { ref any_of }) => each(any_of),
        other => vec![other],
    };
    criteria.iter().flat_map(of).collect()
}

/// The ages that are left of a range without others.
fn without((low, high): (i64, i64), excluded: &[[i64; 2]]) -> Option<(i64, i64)> {
    // Ranges at either end shorten it; one in its middle leaves its ends.
    let (mut low, mut high) = (low, high);
    for _ in 0..=excluded.len() {
        for [a, b] in excluded {
            if *a <= low && low <= *b {
                low = b.saturating_add(1);
            }
            if *a <= high && high <= *b {
                high = a.saturating_sub(1);
            }
        }
    }
    (low <= high).then_some((low, high))
}

/// Why nobody fulfils all of some criteria and none of others.
pub(super) fn contradiction(inclusion: &[Criterion], exclusion: &[Criterion]) -> Option<String> {
    let (wanted, barred) = (joined(inclusion), each(exclusion));
    if wanted.iter().any(|c| barred.contains(c)) {
        return Some("the same criterion includes and excludes".to_owned());
    }
    let days = |c: &&&Criterion| match c {
        Criterion::Has(h) => {
            h.at_least.zip(h.within).is_some_and(|(n, [a, b])| i64::from(n) > i64::from(b) - i64::from(a) + 1)
        }
        _ => false,
    };
    if let Some(Criterion::Has(h)) = wanted.iter().find(days) {
        let (n, table) = (h.at_least.unwrap_or_default(), &h.has);
        return Some(format!("it wants {table} on {n} different days, and its window has fewer"));
    }
    let age = |c: &&Criterion| if let Criterion::Age(Age { age }) = c { Some(*age) } else { None };
    let ages: Vec<[i64; 2]> = wanted.iter().filter_map(age).collect();
    let (low, high) = ages.iter().fold((0, i64::MAX), |(l, h), [a, b]| (l.max(*a), h.min(*b)));
    if !ages.is_empty() && low > high {
        return Some("the ages of its criteria have no year in common".to_owned());
    }
    let barred_ages: Vec<[i64; 2]> = barred.iter().filter_map(age).collect();
    if without((low, high), &barred_ages).is_none() {
        return Some("it excludes every age that it includes".to_owned());
    }
    let sex = |c: &&Criterion| match c {
        Criterion::Sex(Sex { sex }) => Some(sex.iter().cloned().collect::<BTreeSet<String>>()),
        _ => None,
    };
    let known = schema::tables::Table::Patient.levels("sex").unwrap_or_default();
    let all: BTreeSet<String> = known.iter().map(|s| (*s).to_owned()).collect();
    let left = wanted.iter().filter_map(sex).fold(all, |l, s| l.intersection(&s).cloned().collect());
    if left.is_empty() {
        return Some("a patient has one sex, and its criteria leave none".to_owned());
    }
    let gone: BTreeSet<String> = barred.iter().filter_map(sex).flatten().collect();
    left.is_subset(&gone).then(|| "it excludes every sex that it includes".to_owned())
}

/// The ways into a cohort: its own criteria, with each arm's where there are arms.
fn ways(study: &Study, cohort: &Cohort) -> Vec<(Vec<Criterion>, Vec<Criterion>)> {
    let own = || (cohort.inclusion.clone(), cohort.exclusion.clone());
    let arms = cohort.arms.iter().filter_map(|a| study.cohorts.get(a));
    let with = |arm: &Cohort| {
        let (mut i, mut e) = own();
        i.extend(arm.inclusion.iter().cloned());
        e.extend(arm.exclusion.iter().cloned());
        (i, e)
    };
    let ways: Vec<_> = arms.map(with).collect();
    if ways.is_empty() { vec![own()] } else { ways }
}

impl Checker<'_> {
    /// Says which cohorts nobody can be in, and which subgroups of them.
    pub(super) fn possible(&mut self) {
        let study = self.study;
        let remedy = "leave one of the criteria out, or widen it";
        for (name, cohort) in &study.cohorts {
            let ways = ways(study, cohort);
            let mut none = ways.iter().filter_map(|(i, e)| contradiction(i, e));
            // Of arms, one that lets somebody in is enough.
            if let Some(why) = none.next().filter(|_| none.count() + 1 == ways.len()) {
                self.say(&["cohorts", name], format!("nobody can be in the cohort '{name}': {why}"), remedy);
                continue;
            }
            if let (Some(date), Some([from, _])) =
                (&cohort.exit.date, cohort.entry.as_ref().and_then(|e| e.between.as_ref()))
                && date < from
            {
                let message = format!("everybody leaves on {date}, before the first day of entry, {from}");
                self.say(&["cohorts", name, "exit", "date"], message, "give a later day, or enter earlier");
            }
        }
        for (i, a) in study.analysis.iter().enumerate() {
            let Some(cohort) = study.cohorts.get(&a.cohort) else { continue };
            for (name, group) in a.subgroups.iter().filter_map(|n| Some((n, study.subgroups.get(n)?))) {
                let with = |(mut i, mut e): (Vec<Criterion>, Vec<Criterion>)| {
                    i.extend(group.inclusion.iter().cloned());
                    e.extend(group.exclusion.iter().cloned());
                    contradiction(&i, &e)
                };
                let ways = ways(study, cohort);
                // What nobody can be in is said once.
                if ways.iter().all(|(i, e)| contradiction(i, e).is_some()) {
                    continue;
                }
                let all = ways.len();
                let mut none = ways.into_iter().filter_map(with);
                if let Some(why) = none.next().filter(|_| none.count() + 1 == all) {
                    let whose = format!("nobody of the cohort '{}' can be in the subgroup '{name}'", a.cohort);
                    let place = i.to_string();
                    self.say(&["analysis", &place, "subgroups"], format!("{whose}: {why}"), remedy);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(low: i64, high: i64) -> Criterion {
        Criterion::Age(Age { age: [low, high] })
    }

    fn sex(levels: &[&str]) -> Criterion {
        Criterion::Sex(Sex { sex: levels.iter().map(|s| (*s).to_owned()).collect() })
    }

    #[test]
    fn what_nobody_fulfils_is_found_and_what_somebody_does_is_not() {
        let all = |c: Vec<Criterion>| Criterion::AllOf(AllOf { all_of: c });
        let any = |c: Vec<Criterion>| Criterion::AnyOf(AnyOf { any_of: c });
        let impossible: Vec<(Vec<Criterion>, Vec<Criterion>)> = vec![
            (vec![sex(&["F"])], vec![sex(&["F"])]),
            (vec![sex(&["F"]), sex(&["M"])], vec![]),
            (vec![all(vec![sex(&["F"])]), all(vec![sex(&["M"])])], vec![]),
            (vec![age(18, 40), age(50, 60)], vec![]),
            (vec![age(18, 40)], vec![age(0, 30), age(31, 120)]),
            (vec![age(18, 40)], vec![any(vec![age(18, 40), sex(&["F"])])]),
        ];
        for (i, e) in impossible {
            assert!(contradiction(&i, &e).is_some(), "{i:?} without {e:?}");
        }
        let possible: Vec<(Vec<Criterion>, Vec<Criterion>)> = vec![
            (vec![], vec![]),
            (vec![age(18, 40), age(40, 60), sex(&["F", "M"])], vec![sex(&["F"])]),
            (vec![age(18, 60)], vec![age(30, 40)]),
            (vec![any(vec![sex(&["F"]), age(1, 2)]), sex(&["M"])], vec![]),
            (vec![sex(&["F"])], vec![all(vec![sex(&["F"]), age(0, 18)])]),
        ];
        for (i, e) in possible {
            assert_eq!(contradiction(&i, &e), None, "{i:?} without {e:?}");
        }
    }
}
