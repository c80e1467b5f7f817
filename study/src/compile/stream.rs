//! The windows of a continuous study as a program.

use summaries::Program;
use summaries::windowed::{Telling, Windowed};

use super::CompileError;
use crate::analysis::year;
use crate::schedule::Schedule;
use crate::spec::Study;
use crate::stream::Rule;

/// An analysis, told for each window.
pub(super) fn program(study: &Study, inner: Box<dyn Program>, label: &str) -> Result<Box<dyn Program>, CompileError> {
    let wrong = |reason: &str| CompileError { analysis: label.to_owned(), reason: reason.to_owned() };
    let schedule = Schedule::of(study).ok_or_else(|| wrong("the stream has no window"))?;
    let tellings = schedule.emissions().iter().map(|e| Telling {
        window: e.window,
        label: e.label(),
        year: year(e.first),
        word: e.word.as_str(),
    });
    let alarm = study.stream.as_ref().and_then(|s| s.alarm).map(|a| {
        let rule = match a.method {
            Rule::EarsC1 => summaries::alarm::Rule::C1,
            Rule::EarsC2 => summaries::alarm::Rule::C2,
            Rule::EarsC3 => summaries::alarm::Rule::C3,
            Rule::Cusum => summaries::alarm::Rule::Cusum,
        };
        summaries::alarm::Alarm::new(rule, a.threshold)
    });
    let told = Windowed::new(inner, tellings.collect(), alarm);
    Ok(Box::new(told.ok_or_else(|| wrong("windows are of statistics of one round; this one has more"))?))
}
