//! What is wrong with a cohort, a subgroup or a criterion.

use schema::tables::Table;

use super::{Checker, near};
use crate::cohort::{
    AfterObservation, Age, AllOf, AnyOf, Cohort, Comparison, Criterion, Entry, Exit, Occurrence, PriorObservation, Sex,
};

/// Criteria in criteria, at most.
const DEEPEST: usize = 8;

impl Checker<'_> {
    pub(super) fn cohort(&mut self, name: &str, cohort: &Cohort) {
        let path = ["cohorts", name];
        let ways = [cohort.entry.is_some(), cohort.sql.is_some(), !cohort.arms.is_empty()];
        if ways.iter().filter(|w| **w).count() != 1 {
            let remedy = "give entry = { table = ... }, or sql = \"...\", or arms = [\"...\", \"...\"]";
            self.say(&path, "a cohort has exactly one of entry, sql and arms", remedy);
        }
        if let Some(entry) = &cohort.entry {
            self.entry(&["cohorts", name, "entry"], entry);
        }
        if cohort.sql.as_ref().is_some_and(|s| s.trim().is_empty() || s.len() > 100_000) {
            self.say(&["cohorts", name, "sql"], "the query is empty or longer than 100,000 characters", "shorten it");
        }
        self.arms(name, cohort);
        let dated = self.is_dated(cohort);
        self.exit(&["cohorts", name, "exit"], &cohort.exit, dated);
        if cohort.criteria().count() > 100 {
            self.say(&path, "a cohort has at most 100 criteria", "join some in one concept set");
        }
        self.criteria(&path, &cohort.inclusion, &cohort.exclusion, dated);
    }

    fn arms(&mut self, name: &str, cohort: &Cohort) {
        let path = ["cohorts", name, "arms"];
        let study = self.study;
        if cohort.arms.len() == 1 || cohort.arms.len() > 20 || !super::distinct(&cohort.arms) {
            self.say(&path, "a cohort has 2 to 20 different arms", "name each once");
        }
        let known: Vec<&str> = study.cohorts.keys().map(String::as_str).collect();
        let first = cohort.arms.first().and_then(|a| study.cohorts.get(a));
        for arm in &cohort.arms {
            match study.cohorts.get(arm) {
                None => self.say(&path, format!("there is no cohort '{arm}'"), near(arm, &known)),
                Some(of) if !of.arms.is_empty() => {
                    self.say(&path, format!("the cohort '{arm}' has arms itself"), "name cohorts with an entry or sql");
                }
                Some(of) if of.is_dated(study) != first.is_none_or(|f| f.is_dated(study)) => {
                    self.say(&path, "one arm has an entry date, and another has none", "give both an entry event");
                }
                Some(_) => {}
            }
        }
    }

    /// Whether a cohort's patients have a day of entry; those of arms where the arms' have.
    pub(super) fn is_dated(&self, cohort: &Cohort) -> bool {
        cohort.is_dated(self.study)
    }

    fn entry(&mut self, path: &[&str; 3], entry: &Entry) {
        let [a, b, c] = *path;
        let table = self.table(&[a, b, c, "table"], &entry.table);
        self.set(&[a, b, c, "set"], entry.set.as_ref());
        self.filter(&[a, b, c, "where"], table, &entry.filter);
        if entry.occurrence == Occurrence::Nth(0) {
            self.say(&[a, b, c, "occurrence"], "events are counted from 1", "write 1 for the first");
        }
        if let Some([from, to]) = &entry.between {
            self.date(&[a, b, c, "between"], from);
            self.date(&[a, b, c, "between"], to);
            if from > to {
                self.say(&[a, b, c, "between"], "the first day is after the last", "write the earlier day first");
            }
        }
        let special = entry.washout.is_some() || entry.between.is_some() || entry.occurrence != Occurrence::First;
        if table == Some(Table::Patient) && special {
            let message = "the table patient has no events, so there is no occurrence, washout or between";
            self.say(path, message, "leave them out, or enter by another table");
        }
    }

    fn exit(&mut self, path: &[&str; 3], exit: &Exit, dated: bool) {
        let [a, b, c] = *path;
        if exit.days.is_some_and(|d| d < 0) {
            self.say(path, "the exit lies before the entry", "give 0 or more days");
        }
        if let Some(date) = &exit.date {
            self.date(&[a, b, c, "date"], date);
        }
        if let Some(event) = &exit.event {
            self.event(&[a, b, c, "event"], event);
        }
        if let Some(exposure) = &exit.exposure {
            self.set(&[a, b, c, "exposure", "set"], Some(&exposure.set));
            if exposure.gap > 36_525 || exposure.surveillance > 36_525 {
                self.say(&[a, b, c, "exposure"], "a gap or surveillance is longer than a century", "give days");
            }
        }
        if *exit != Exit::default() && !dated {
            self.say(path, "the cohort has no entry date, so there is no exit", "leave it out");
        }
    }

    fn criteria(&mut self, path: &[&str], inclusion: &[Criterion], exclusion: &[Criterion], dated: bool) {
        for (list, criteria) in [("inclusion", inclusion), ("exclusion", exclusion)] {
            for (i, criterion) in criteria.iter().enumerate() {
                let place = i.to_string();
                self.criterion(&[path, &[list, &place]].concat(), criterion, dated, 0);
            }
        }
    }

    pub(super) fn subgroups(&mut self) {
        let study = self.study;
        for (name, group) in &study.subgroups {
            let path = ["subgroups", name.as_str()];
            if group.inclusion.is_empty() && group.exclusion.is_empty() {
                self.say(&path, "the subgroup is everybody", "give inclusion or exclusion criteria");
            }
            let used = |c: &&Cohort| {
                study.analysis.iter().any(|a| a.subgroups.contains(name) && study.cohorts.get(&a.cohort) == Some(*c))
            };
            let dated = study.cohorts.values().filter(used).all(|c| self.is_dated(c));
            self.criteria(&path, &group.inclusion, &group.exclusion, dated);
        }
    }

    fn criterion(&mut self, at: &[&str], criterion: &Criterion, dated: bool, depth: usize) {
        if depth > DEEPEST {
            self.say(at, format!("criteria are nested deeper than {DEEPEST}"), "join some");
            return;
        }
        match criterion {
            Criterion::Age(Age { age: [low, high] }) => {
                if low > high {
                    self.say(at, "the ages are in the wrong order", "write the younger first");
                }
                if !dated {
                    self.say(at, "the cohort has no entry date, so there is no age at entry", "use a measurement");
                }
            }
            Criterion::Sex(Sex { sex }) => {
                let levels = Table::Patient.levels("sex").unwrap_or_default();
                for s in sex.iter().filter(|s| !levels.contains(&s.as_str())) {
                    self.say(at, format!("'{s}' is no sex"), near(s, levels));
                }
            }
            Criterion::PriorObservation(PriorObservation { prior_obs_days: days })
            | Criterion::AfterObservation(AfterObservation { after_obs_days: days }) => {
                if *days < 0 || !dated {
                    self.say(
                        at,
                        "observation around the entry needs an entry date and 0 or more days",
                        "change the entry",
                    );
                }
            }
            Criterion::Has(h) => {
                let table = self.table(at, &h.has);
                if table == Some(Table::Patient) {
                    self.say(at, "everybody is in the table patient", "ask for age or sex, or leave it out");
                }
                self.set(at, h.set.as_ref());
                self.filter(at, table, &h.filter);
                self.window(at, h.within, dated);
                if h.at_least == Some(0) {
                    self.say(at, "at_least is 0, which everybody fulfils", "give 1 or more days");
                }
            }
            Criterion::Lab(l) => {
                self.codes_and_unit(at, at, &l.lab, &l.unit);
                self.window(at, l.within, dated);
                if !l.value.is_finite() || l.upper.is_some_and(|u| !u.is_finite()) {
                    self.say(at, "the value is not finite", "give a number");
                }
                if (l.op == Comparison::Between) != l.upper.is_some() || l.upper.is_some_and(|u| u < l.value) {
                    let remedy = "write op = \"between\", value = 60, upper = 90";
                    self.say(
                        at,
                        "between needs an upper value that is not below value, and nothing else has one",
                        remedy,
                    );
                }
            }
            Criterion::AnyOf(AnyOf { any_of: list }) | Criterion::AllOf(AllOf { all_of: list }) => {
                if list.is_empty() || list.len() > 100 {
                    self.say(at, "any_of and all_of take 1 to 100 criteria", "name some");
                }
                for c in list {
                    self.criterion(at, c, dated, depth + 1);
                }
            }
        }
    }
}
