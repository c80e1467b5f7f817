//! What is wrong with the windows of a continuous study.

use schema::tables::Table;

use super::Checker;
use crate::analysis::What;
use crate::compile;
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
        for (i, a) in study.analysis.iter().enumerate() {
            let place = i.to_string();
            if a.by_hospital {
                let path = ["analysis", &place, "by_hospital"];
                self.say(&path, "windows are told of all sites together", "leave it out");
            }
            if matches!(
                a.what,
                What::Attrition { .. } | What::Prevalence { .. } | What::Distinct { .. } | What::TopCodes { .. }
            ) {
                let message = format!("the kind {} can't be told by windows", a.what.kind());
                self.say(&["analysis", &place, "kind"], message, "count, or another statistic of one round");
            }
            if study.analysis.first().is_some_and(|first| first.cohort != a.cohort) {
                let remedy = "make a study of each cohort, or one cohort with a feature that tells them apart";
                self.say(
                    &["analysis", &place, "cohort"],
                    "the analyses of a continuous study are of one cohort",
                    remedy,
                );
            }
        }
        if let Some(first) = study.analysis.first() {
            self.entered_by_events(&first.cohort);
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
        self.correlated(stream, &schedule);
        let last = schedule.emissions().last().and_then(|e| chrono::DateTime::from_timestamp_micros(e.due_micros));
        let last = last.map(|t| t.date_naive());
        if chrono::NaiveDate::parse_from_str(&study.expires, "%Y-%m-%d").ok() < last {
            let day = last.map(|d| d.to_string()).unwrap_or_default();
            let message = format!("the last window is told on {day}, when the study has expired");
            self.say(&["expires"], message, "give a later day, or an earlier stream.until");
        }
    }

    /// What noises that hang together ask for.
    fn correlated(&mut self, stream: &Stream, schedule: &Schedule) {
        if stream.noise.correlation().is_none() {
            return;
        }
        let path = ["stream", "noise"];
        if self.study.privacy.aggregation != Aggregation::Local {
            let remedy = "leave privacy.aggregation out: a window's noise would have to take back what other sites drew for the windows before";
            self.say(&path, "noises that hang together are each site's own", remedy);
        }
        if stream.windows_per_patient.is_none() {
            let remedy = "say in how many windows a patient counts: windows_per_patient = 1";
            self.say(&path, "noises that hang together are paid for at once", remedy);
        }
        if stream.emit.len() != 1 {
            self.say(&path, "each window is told once, where the noises hang together", "emit = [\"+7d:final\"]");
        }
        if !stream.window.is_tumbling() {
            self.say(&path, "sums are over windows that share no days", "use tumbling windows");
        }
        if schedule.windows() > privacy::continual::MOST_WINDOWS {
            let message = format!("there are more than {} windows", privacy::continual::MOST_WINDOWS);
            self.say(&path, message, "choose longer windows, or independent noise");
        }
        let work = compile::program(self.study, 0).and_then(|p| {
            p.work(0, &p.first()).map_err(|e| compile::CompileError { analysis: String::new(), reason: e.to_string() })
        });
        // What does not compile is said elsewhere.
        if work.is_ok_and(|work| work.iter().any(|w| w.statistic.layout().scale != 1.0)) {
            let remedy =
                "use kind = \"count\", \"crosstab\", \"histogram\", \"codes\" or \"quantiles\", or independent noise";
            self.say(&path, "only whole numbers have noises that hang together", remedy);
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
        if stream.window.is_of_days() && stream.emit.iter().any(|e| e.hours < 12) {
            let remedy = "12h is the least: by then the day has ended in every time zone of the federation";
            self.say(&path, "a window is told before its last day is over everywhere", remedy);
        }
        if stream.alarm.is_some_and(|a| a.threshold.is_some_and(|t| !(t > 0.0 && t <= 100.0))) {
            self.say(&["stream", "alarm", "threshold"], "it must lie above 0 and be at most 100", "3 is usual");
        }
        if stream.alarm.is_some() && !stream.window.is_tumbling() {
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
        let own = cohort.entry.iter().chain(arms.filter_map(|c| c.entry.as_ref()));
        let untimed = |e: &&crate::cohort::Entry| {
            Table::parse(&e.table)
                .is_some_and(|t| matches!(t, Table::Death | Table::ObservationPeriod | Table::Derived))
        };
        let of_hours = self.study.stream.as_ref().is_some_and(|s| !s.window.is_of_days());
        if of_hours && own.into_iter().any(|e| untimed(&e)) {
            let remedy = "use windows of days";
            self.say(&["cohorts", name, "entry"], "the rows of this table have no time of the day", remedy);
        }
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
