//! What is wrong with the windows of a continuous study.

use schema::tables::Table;

use super::Checker;
use crate::analysis::What;
use crate::schedule::{MOST_ROUNDS, Schedule};
use crate::spec::Aggregation;
use crate::stream::{Stream, Word};

impl Checker<'_> {
    pub(super) fn stream(&mut self) {
        let study = self.study;
        let Some(stream) = &study.stream else { return };
        self.date(&["stream", "from"], &stream.from);
        self.date(&["stream", "until"], &stream.until);
        self.emissions(stream);
        if study.privacy.aggregation != Aggregation::Local {
            let remedy = "leave privacy.aggregation out: a window's sites are those that are ready by its deadline, and no secret outlives them";
            self.say(&["stream"], "a continuous study has local noise", remedy);
        }
        if !study.subgroups.is_empty() {
            let remedy = "count by a feature instead: kind = \"count\", by = [\"sex\"]";
            self.say(&["subgroups"], "a continuous study has no subgroups", remedy);
        }
        match study.analysis.as_slice() {
            [a] => {
                if a.by_hospital {
                    self.say(
                        &["analysis", "0", "by_hospital"],
                        "windows are told of all sites together",
                        "leave it out",
                    );
                }
                if matches!(
                    a.what,
                    What::Attrition { .. } | What::Prevalence { .. } | What::Distinct { .. } | What::TopCodes { .. }
                ) {
                    let message = format!("the kind {} can't be told by windows", a.what.kind());
                    self.say(&["analysis", "0", "kind"], message, "count, or another statistic of one round");
                }
                self.entered_by_events(&a.cohort);
            }
            _ => {
                let remedy = "make a study of each; their windows are told apart";
                self.say(&["analysis"], "a continuous study has exactly one analysis", remedy);
            }
        }
        let Some(schedule) = Schedule::of(study) else {
            let message = format!(
                "there is no whole window between from and until, or there are more than {MOST_ROUNDS} tellings"
            );
            self.say(&["stream", "until"], message, "choose longer windows, fewer tellings or another last day");
            return;
        };
        if stream.windows_per_patient.is_some_and(|w| w == 0 || w > schedule.windows()) {
            let message = format!("it must lie between 1 and the {} windows", schedule.windows());
            self.say(&["stream", "windows_per_patient"], message, "leave it out where patients come in all of them");
        }
        let last = schedule.emissions().last().and_then(|e| chrono::DateTime::from_timestamp_micros(e.due_micros));
        let last = last.map(|t| t.date_naive());
        if chrono::NaiveDate::parse_from_str(&study.expires, "%Y-%m-%d").ok() < last {
            let day = last.map(|d| d.to_string()).unwrap_or_default();
            let message = format!("the last window is told on {day}, when the study has expired");
            self.say(&["expires"], message, "give a later day, or an earlier stream.until");
        }
    }

    fn emissions(&mut self, stream: &Stream) {
        let path = ["stream", "emit"];
        if stream.emit.iter().filter(|e| e.word == Word::Final).count() != 1 {
            self.say(
                &path,
                "a window is told as final exactly once",
                "write it like [\"+1d:preliminary\", \"+7d:final\"]",
            );
        }
        let ordered = |pair: &[crate::stream::Emit]| matches!(pair, [a, b] if a.hours < b.hours && a.word <= b.word);
        if stream.emit.len() > 10 || !stream.emit.windows(2).all(ordered) {
            let remedy = "earlier ones first: preliminary, final, correction";
            self.say(&path, "a window is told at most 10 times, each time later", remedy);
        }
        if stream.emit.iter().any(|e| e.hours < 12) {
            let remedy = "12h is the least: by then the day has ended in every time zone of the federation";
            self.say(&path, "a window is told before its last day is over everywhere", remedy);
        }
        if stream.alarm.is_some_and(|a| a.threshold.is_some_and(|t| !(t > 0.0 && t <= 100.0))) {
            self.say(&["stream", "alarm", "threshold"], "it must lie above 0 and be at most 100", "3 is usual");
        }
        if stream.alarm.is_some() && stream.window.days != stream.window.every {
            let remedy = "use tumbling windows";
            self.say(&["stream", "alarm"], "an alarm compares windows that share no days", remedy);
        }
    }

    /// Windows are of the day of entry: a cohort needs one, and not from a query that says it itself.
    fn entered_by_events(&mut self, name: &str) {
        let Some(cohort) = self.study.cohorts.get(name) else { return };
        let arms = cohort.arms.iter().filter_map(|a| self.study.cohorts.get(a));
        let of_events = |c: &crate::cohort::Cohort| c.entry.as_ref().is_some_and(|e| e.table != Table::Patient.name());
        let entered = if cohort.arms.is_empty() { of_events(cohort) } else { arms.clone().all(of_events) };
        if !entered {
            let remedy = "enter by an event: entry = { table = \"visit\", where = { class = [\"ER\"] } }";
            self.say(
                &["cohorts", name, "entry"],
                "the windows are of the day of entry, and this cohort has none",
                remedy,
            );
        }
    }
}
