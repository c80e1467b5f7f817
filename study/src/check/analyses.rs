//! What is wrong with a study's analyses: names, features that do not fit, settings out of range.

use super::{Checker, distinct, fixed, ignored, near, regressions, settled, times, training, trees};
use crate::analysis::training::Holdout;
use crate::analysis::{Analysis, MOST_DAYS, What};
use crate::compile;
use crate::feature::Shape;
use crate::spec::{Aggregation, Study};

/// What is wrong with one analysis; each problem names the setting.
pub(super) struct Place<'a, 'b> {
    pub(super) checker: &'a mut Checker<'b>,
    pub(super) index: String,
}

impl Place<'_, '_> {
    /// A problem of a setting; of the analysis itself, where the setting is empty.
    pub(super) fn say(&mut self, setting: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let path = ["analysis", &self.index, setting];
        let path = if setting.is_empty() { &path[..2] } else { &path };
        self.checker.say(path, message, remedy);
    }

    pub(super) fn shape(&self, feature: &str) -> Option<Shape> {
        compile::shape(self.checker.study, feature)
    }

    /// Says that a feature which there is does not have a shape.
    pub(super) fn wants(&mut self, setting: &str, feature: &str, fits: fn(&Shape) -> bool, what: &str, remedy: &str) {
        if self.shape(feature).is_some_and(|s| !fits(&s)) {
            self.say(setting, format!("'{feature}' is not {what}"), remedy);
        }
    }
}

/// Two levels.
pub(super) fn yes_no(shape: &Shape) -> bool {
    matches!(shape, Shape::Level { levels } if levels.len() == 2)
}

impl Checker<'_> {
    pub(super) fn analyses(&mut self) {
        let study = self.study;
        let mut labels = std::collections::BTreeSet::new();
        for (i, a) in study.analysis.iter().enumerate() {
            let before = self.problems.len();
            let mut place = Place { checker: self, index: i.to_string() };
            if !labels.insert(a.label()) {
                let remedy = "give each its own name = \"...\"";
                place.say("name", format!("two analyses are called '{}'", a.label()), remedy);
            }
            of_every_kind(&mut place, a);
            of_its_kind(&mut place, &a.what);
            times::check(&mut place, a);
            regressions::check(&mut place, &a.what);
            regressions::propensity(&mut place, &a.what);
            fixed::check(&mut place, a);
            settled::check(&mut place, a);
            training::check(&mut place, &a.what);
            trees::check(&mut place, &a.what);
            ignored::check(&mut place, &a.what);
            if before == self.problems.len()
                && self.problems.is_empty()
                && let Err(e) = compiled(study, i)
            {
                let mut place = Place { checker: self, index: i.to_string() };
                place.say("", e.reason, "see the features it names");
            }
        }
    }
}

/// Whether an analysis compiles. Those of a continuous study behind the first are told in its rounds, and have no program of their own.
fn compiled(study: &Study, i: usize) -> Result<(), compile::CompileError> {
    match study.stream.is_some() && i > 0 {
        true => compile::of_one(study, i).map(|_| ()),
        false => compile::program(study, i).map(|_| ()),
    }
}

fn of_every_kind(place: &mut Place<'_, '_>, a: &Analysis) {
    let study = place.checker.study;
    if !(a.share > 0.0 && a.share.is_finite()) {
        place.say("share", "share must be above 0", "1 is usual");
    }
    if !study.cohorts.contains_key(&a.cohort) {
        let cohorts: Vec<&str> = study.cohorts.keys().map(String::as_str).collect();
        place.say("cohort", format!("there is no cohort '{}'", a.cohort), near(&a.cohort, &cohorts));
    }
    for name in a.subgroups.iter().filter(|n| !study.subgroups.contains_key(*n)) {
        let groups: Vec<&str> = study.subgroups.keys().map(String::as_str).collect();
        place.say("subgroups", format!("there is no subgroup '{name}'"), near(name, &groups));
    }
    if !distinct(&a.subgroups) {
        place.say("subgroups", "a subgroup is named twice", "name each once");
    }
    if a.by_hospital && study.privacy.aggregation == Aggregation::Secure {
        let remedy = "leave it out, or set [privacy] aggregation = \"local\"";
        place.say("by_hospital", "a secure sum says nothing of one hospital", remedy);
    }
    let no_own = ["attrition", "distinct", "gamma", "piecewise_exponential", "propensity"];
    if a.by_hospital && no_own.contains(&a.what.kind()) {
        let message = format!("the kind {} has no estimate of one hospital alone", a.what.kind());
        place.say("by_hospital", message, "leave it out, or use a cox, logistic, poisson or linear model");
    }
    let holdout = match &a.what {
        What::Train(train) => Some(train.holdout.as_ref()),
        What::Trees(trees) => Some(trees.holdout.as_ref()),
        _ => None,
    };
    let tested = |h: &Holdout| h.test.is_some() || h.feature.is_some();
    if a.by_hospital && holdout.is_some_and(|h| !h.is_some_and(tested)) {
        let message = "of one hospital it is told how good the model is there, and nobody is tested";
        place.say("by_hospital", message, "leave it out, or write test = 0.2 in [analysis.holdout]");
    }
    if a.own_steps > 0 {
        let remedy = "leave it out";
        match () {
            () if !a.has_own_steps() => {
                let message = format!("the hospitals take no steps of their own in the kind {}", a.what.kind());
                place.say("own_steps", message, "leave it out, or use a logistic, poisson or cox model");
            }
            () if !a.by_hospital => {
                place.say(
                    "own_steps",
                    "nothing is told of one hospital",
                    "set by_hospital = true, or leave own_steps out",
                );
            }
            () if a.own_steps > 100 => place.say("own_steps", "own_steps must be at most 100", "3 or 4 are usual"),
            () if study.stream.is_some() => place.say("own_steps", "windows are told of the sum alone", remedy),
            () => {}
        }
    }
    let features = a.what.features();
    if let Some(twice) = features.iter().enumerate().find(|(i, f)| features.iter().take(*i).any(|g| g == *f)) {
        let setting = setting_of(a, twice.1);
        place.say(&setting, format!("the feature '{}' is named twice", twice.1), "name it once");
    }
    let of_none =
        matches!(a.what, What::Count { .. } | What::Distinct { .. } | What::Attrition {} | What::Prevalence { .. });
    if features.is_empty() && !of_none {
        place.say("", "the analysis names no feature", "name one or more");
    }
    let known: Vec<&str> = study.features.keys().map(String::as_str).collect();
    for f in features.iter().filter(|f| !study.features.contains_key(*f)) {
        place.say("", format!("there is no feature '{f}'"), near(f, &known));
    }
}

/// The setting that names a feature: of several that do a list, and otherwise the last.
fn setting_of(a: &Analysis, feature: &str) -> String {
    let Ok(serde_json::Value::Object(settings)) = serde_json::to_value(&a.what) else { return String::new() };
    let lists = |v: &serde_json::Value| v.as_array().is_some_and(|l| l.iter().any(|f| f == feature));
    let of = |names: &dyn Fn(&serde_json::Value) -> bool| {
        settings.iter().filter(|(_, v)| names(v)).map(|(k, _)| k.clone()).next_back()
    };
    of(&lists).or_else(|| of(&|v| v == feature)).unwrap_or_default()
}

fn of_its_kind(place: &mut Place<'_, '_>, what: &What) {
    match what {
        What::Distinct { buckets } => {
            if place.checker.study.privacy.aggregation != Aggregation::Secure {
                let remedy = "set [privacy] aggregation = \"secure\"";
                place.say("kind", "distinct patients can be counted in secure rounds alone", remedy);
            }
            if !buckets.is_power_of_two() || !(64..=1 << 16).contains(buckets) {
                let remedy = "4096 is usual; 16384 for more than a million patients";
                place.say("buckets", "the buckets must be a power of two from 64 to 65536", remedy);
            }
        }
        What::Prevalence { table, set, filter, calendar, lookback } => {
            let index = place.index.clone();
            let at = |key: &'static str| ["analysis", index.as_str(), key];
            let checker = &mut place.checker;
            let t = checker.table(&at("table"), table);
            checker.set(&at("set"), set.as_ref());
            checker.filter(&at("where"), t, filter);
            checker.date(&at("from"), &calendar.from);
            checker.date(&at("to"), &calendar.to);
            if checker.problems.is_empty() && calendar.days().is_none() {
                let remedy = format!("give from before to, and at most {MOST_DAYS} days");
                place.say("from", "there is no day from the first to the last, or there are too many", remedy);
            }
            if lookback.is_some_and(|d| d > 73_050) {
                place.say("lookback", "the look back is longer than two centuries", "give days, or leave it out");
            }
        }
        What::TopCodes { of, top, length } => {
            let keys = |s: &Shape| matches!(s, Shape::Keys { .. });
            place.wants("of", of, keys, "a feature of open codes", "give the feature kind = \"open_codes\"");
            if !(1..=100).contains(top) {
                place.say("top", "top must be 1 to 100", "20 is usual");
            }
            let most = summaries::top_codes::key::LONGEST as u32;
            if !(1..=most).contains(length) {
                place.say(
                    "length",
                    format!("length must be 1 to {most}"),
                    "as many characters as the system's codes have",
                );
            }
        }
        What::Histogram { bins, .. } if *bins == 0 || *bins > 100_000 => {
            place.say("bins", "bins must be 1 to 100,000", "20 is usual");
        }
        What::RankSum { bins, .. } if !(2..=65_536).contains(bins) => {
            place.say("bins", "bins must be 2 to 65,536", "1000 is usual");
        }
        What::Quantiles { probabilities, branching, depth, .. } => tree(place, probabilities, *branching, *depth),
        What::Competing { cause, .. } => {
            let several = |s: &Shape| matches!(s, Shape::Level { levels } if levels.len() > 2);
            let what = "a category whose first level is free of all causes and that has two causes or more";
            place.wants("cause", cause, several, what, "give levels = [0, 1, 2], or use survival for one event");
        }
        What::MantelHaenszel { exposure, outcome, strata } => {
            let remedy = "use a feature of the kind has, or a measurement with above = ...";
            place.wants("exposure", exposure, yes_no, "no or yes", remedy);
            place.wants("outcome", outcome, yes_no, "no or yes", remedy);
            place.wants("strata", strata, category, "a category", "give the feature levels");
        }
        What::Table1 { by: Some(by), .. } => {
            place.wants("by", by, category, "a category, and arms are one", "give the feature levels");
        }
        What::Survival { by: None, strata, weight, .. } => {
            let alone =
                [("strata", strata.is_some()), ("weight", *weight != summaries::survival::log_rank::Weight::default())];
            for (setting, _) in alone.into_iter().filter(|(_, given)| *given) {
                let message = format!(
                    "{setting} is of the test between groups, and the analysis names none; the curve is of all"
                );
                place.say(setting, message, "name the groups, by = \"...\", or leave it out");
            }
        }
        What::Pca { of, .. } => {
            for f in of {
                place.wants(
                    "of",
                    f,
                    regressions::number,
                    "a number with bounds",
                    "give the feature bounds = [low, high]",
                );
            }
            if !(2..=50).contains(&of.len()) {
                place.say("of", format!("components of {} numbers", of.len()), "name 2 to 50");
            }
        }
        _ => {}
    }
}

/// Says what is wrong with a tree of quantiles.
fn tree(place: &mut Place<'_, '_>, probabilities: &[f64], branching: u32, depth: u32) {
    if let Some(p) = probabilities.iter().find(|p| !(**p > 0.0 && **p < 1.0)) {
        let message = format!("the probability {p} does not lie between 0 and 1");
        place.say("probabilities", message, "write them like [0.25, 0.5, 0.75]");
    }
    if !(2..=64).contains(&branching) {
        place.say("branching", "branching must be 2 to 64", "4 is usual");
    }
    let bins = branching.checked_pow(depth).filter(|b| *b <= 1 << 20);
    if depth == 0 || bins.is_none() {
        let message = "the tree has no level, or more than a million intervals";
        place.say("depth", message, "5 levels of 4 are 1,024 intervals, which is usual");
    }
}

fn category(shape: &Shape) -> bool {
    matches!(shape, Shape::Level { .. })
}
