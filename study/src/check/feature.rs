//! What is wrong with a feature.

use std::collections::BTreeSet;

use schema::tables::Table;

use super::{Checker, distinct, near};
use crate::cohort::Event;
use crate::feature::{Feature, Shape};

impl Checker<'_> {
    /// Whether every cohort that uses the feature has an entry date.
    fn dated(&self, feature: &str) -> bool {
        self.study
            .analysis
            .iter()
            .filter(|a| a.what.features().iter().any(|f| f == feature))
            .all(|a| self.study.cohorts.get(&a.cohort).is_none_or(|c| self.is_dated(c)))
    }

    fn horizon(&mut self, path: &[&str], from: u32, horizon: u32, dated: bool) {
        if horizon == 0 || !dated {
            self.say(path, "time to an event needs an entry date and a horizon", "give days");
        }
        if horizon > 73_050 || from > 73_050 {
            self.say(path, "the time at risk is longer than two centuries", "give days");
        }
    }

    fn ascending(&mut self, path: &[&str], [low, high]: [f64; 2]) {
        if !(low.abs() <= 1e12 && high.abs() <= 1e12 && low < high) {
            self.say(path, "bounds must be two numbers within ±1e12, the lower first", "use public clinical bounds");
        }
    }

    pub(super) fn feature(&mut self, name: &str, feature: &Feature) {
        let path = ["features", name];
        let at = |key: &'static str| [path[0], path[1], key];
        let dated = self.dated(name);
        match feature {
            Feature::Age { bounds } => {
                self.ascending(&at("bounds"), *bounds);
                if !dated {
                    let remedy = "use a measurement of the age";
                    self.say(&path, "the cohort has no entry date, so there is no age at entry", remedy);
                }
            }
            Feature::Sex { levels } => {
                let known = Table::Patient.levels("sex").unwrap_or_default();
                for s in levels.iter().filter(|s| !known.contains(&s.as_str())) {
                    self.say(&at("levels"), format!("'{s}' is no sex"), near(s, known));
                }
            }
            Feature::Measurement { code, unit, window, bounds, levels, .. } => {
                self.codes_and_unit(&at("code"), &at("unit"), code, unit);
                self.window(&at("window"), *window, dated);
                if let Some(b) = bounds {
                    self.ascending(&at("bounds"), *b);
                }
                if levels.as_ref().is_some_and(|l| l.iter().any(|v| !v.is_finite())) {
                    self.say(&at("levels"), "a level is not finite", "give numbers");
                }
                if feature.shape().is_none() {
                    let remedy = "give bounds = [low, high], or levels = [1, 2, 3], or above = 0";
                    self.say(&path, "a measurement needs exactly one of bounds, levels and above", remedy);
                }
            }
            Feature::Has { table, set, filter, window } | Feature::Count { table, set, filter, window, .. } => {
                let t = self.table(&at("table"), table);
                self.set(&at("set"), set.as_ref());
                self.filter(&[path[0], path[1], "where"], t, filter);
                self.window(&at("window"), *window, dated);
                if matches!(feature, Feature::Count { max: 0, .. }) {
                    self.say(&at("max"), "max must be at least 1", "give the most events that count");
                }
            }
            Feature::TimeTo { table, set, filter, horizon } => {
                let t = self.table(&at("table"), table);
                self.set(&at("set"), set.as_ref());
                self.filter(&[path[0], path[1], "where"], t, filter);
                self.horizon(&at("horizon"), 0, *horizon, dated);
            }
            Feature::FollowUp { table, set, filter, from, horizon, censor, .. }
            | Feature::FollowedBy { table, set, filter, from, horizon, censor, .. } => {
                let t = self.table(&at("table"), table);
                self.set(&at("set"), set.as_ref());
                self.filter(&[path[0], path[1], "where"], t, filter);
                self.horizon(&at("horizon"), *from, *horizon, dated);
                if let Some(event) = censor {
                    self.event(&at("censor"), event);
                }
            }
            Feature::TimeToFirst { events, from, horizon, censor, .. }
            | Feature::FirstOf { events, from, horizon, censor, .. } => {
                let names: Vec<String> = events.iter().map(|e| e.name.clone()).collect();
                if events.len() < 2 || events.len() > 20 || !distinct(&names) || names.iter().any(|n| n == "none") {
                    let remedy = "give each a name of its own that is not none";
                    self.say(&at("events"), "there must be 2 to 20 events with different names", remedy);
                }
                for (i, e) in events.iter().enumerate() {
                    let event = Event { table: e.table.clone(), set: e.set.clone(), filter: e.filter.clone() };
                    let place = i.to_string();
                    self.event(&[path[0], path[1], "events", &place], &event);
                }
                self.horizon(&at("horizon"), *from, *horizon, dated);
                if let Some(event) = censor {
                    self.event(&at("censor"), event);
                }
            }
            Feature::Arm { levels } => {
                let study = self.study;
                let uses = |a: &&crate::analysis::Analysis| a.what.features().iter().any(|f| f == name);
                let cohorts: BTreeSet<&str> = study.analysis.iter().filter(uses).map(|a| a.cohort.as_str()).collect();
                for cohort in cohorts {
                    let arms = study.cohorts.get(cohort).map(|c| c.arms.as_slice()).unwrap_or_default();
                    let known: Vec<&str> = arms.iter().map(String::as_str).collect();
                    for l in levels.iter().filter(|l| !arms.contains(l)) {
                        let message = format!("'{l}' is no arm of the cohort '{cohort}'");
                        let remedy = if known.is_empty() {
                            "give the cohort arms = [\"...\", \"...\"]".to_owned()
                        } else {
                            near(l, &known)
                        };
                        self.say(&at("levels"), message, remedy);
                    }
                }
            }
            Feature::Hospital { levels } => {
                for l in levels.iter().filter(|l| proto::SiteId::parse(l).is_err()) {
                    self.say(&at("levels"), format!("'{l}' is no name of a site"), "see coordinator sites");
                }
            }
            Feature::Sql { sql, bounds, .. } => {
                if sql.trim().is_empty() || sql.len() > 100_000 {
                    self.say(&at("sql"), "the query is empty or longer than 100,000 characters", "shorten it");
                }
                if let Some(b) = bounds {
                    self.ascending(&at("bounds"), *b);
                }
                if feature.shape().is_none() {
                    let remedy = "give bounds = [low, high], or levels = [\"no\", \"yes\"]";
                    self.say(&path, "a feature of SQL needs exactly one of bounds and levels", remedy);
                }
            }
            Feature::OpenCodes { table, system, per_patient, window } => {
                self.table(&at("table"), table);
                self.window(&at("window"), *window, dated);
                self.system(&at("system"), system);
                if !(1..=1000).contains(per_patient) {
                    self.say(&at("per_patient"), "per_patient must be 1 to 1,000", "5 is usual; more takes more noise");
                }
            }
            Feature::Codes { table, list, per_patient, window } => {
                self.table(&at("table"), table);
                self.window(&at("window"), *window, dated);
                for code in list {
                    match code.split_once(':') {
                        Some((_, bare)) if bare.contains('*') => {
                            self.say(&at("list"), format!("'{code}' is a prefix"), "list whole codes");
                        }
                        Some((alias, _)) => self.system(&at("list"), alias),
                        None => self.say(&at("list"), format!("'{code}' is no code"), "write it like icd10:I10"),
                    }
                }
                if *per_patient == 0 || list.is_empty() || list.len() > 100_000 {
                    let remedy = "list 1 to 100,000 codes, and let a patient count for 1 or more";
                    self.say(&path, "the list or per_patient does not fit", remedy);
                }
            }
        }
        if let Some(Shape::Level { levels }) = feature.shape()
            && (levels.len() < 2 || levels.len() > 10_000)
        {
            self.say(&path, "a category needs 2 to 10,000 levels", "name the levels to tell apart");
        }
        if let Some(Shape::Level { levels }) = feature.shape()
            && !distinct(&levels)
        {
            self.say(&path, "a level is named twice", "name each once");
        }
    }
}
