//! The windows of a continuous study as a program.

use summaries::Program;
use summaries::joint::{Joint, Member};
use summaries::windowed::{Telling, Windowed};

use super::CompileError;
use crate::analysis::Analysis;
use crate::schedule::Schedule;
use crate::spec::Study;
use crate::stream::Rule;

/// The analyses of a continuous study side by side, told for each window: one program, whose columns are those of
/// [`crate::schedule::Schedule::study_at`]'s first analysis.
pub(super) fn program(study: &Study, analysis: usize) -> Result<Box<dyn Program>, CompileError> {
    let label = study.analysis.get(analysis).map(Analysis::label).unwrap_or_default();
    let wrong = |reason: &str| CompileError { analysis: label.clone(), reason: reason.to_owned() };
    if analysis != 0 {
        return Err(wrong("the windows of a continuous study are told with its first analysis"));
    }
    let inner = match study.analysis.as_slice() {
        [_] => super::of_one(study, 0)?,
        several => together(study, several, &wrong)?,
    };
    let schedule = Schedule::of(study).ok_or_else(|| wrong("the stream has no window"))?;
    let tellings = schedule.emissions().iter().map(|e| Telling {
        window: e.window,
        label: e.label(),
        last: e.end(),
        year: e.year(),
        word: e.word.as_str(),
    });
    let alarm = study.stream.as_ref().and_then(|s| s.alarm).map(|a| {
        let rule = match a.method {
            Rule::EarsC1 => summaries::alarm::Rule::C1,
            Rule::EarsC2 => summaries::alarm::Rule::C2,
            Rule::EarsC3 => summaries::alarm::Rule::C3,
            Rule::Cusum => summaries::alarm::Rule::Cusum,
        };
        summaries::alarm::Alarm::new(rule, a.threshold, study.suppression.k)
    });
    let told = Windowed::new(inner, tellings.collect(), alarm);
    let told = told.ok_or_else(|| wrong("windows are of statistics of one round; this one has more"))?;
    Ok(Box::new(told.with_sums(crate::budget::series(study).map(|series| series.rows()))))
}

fn together(
    study: &Study,
    several: &[Analysis],
    wrong: &dyn Fn(&str) -> CompileError,
) -> Result<Box<dyn Program>, CompileError> {
    let all = first_with_all(several).map(|first| first.columns()).unwrap_or_default();
    let mut members = Vec::with_capacity(several.len());
    for (i, analysis) in several.iter().enumerate() {
        let columns = analysis.what.features();
        let places = columns.iter().map(|c| all.iter().position(|a| a == c)).collect::<Option<Vec<_>>>();
        members.push(Member {
            name: analysis.label(),
            program: super::of_one(study, i)?,
            columns: places.ok_or_else(|| wrong("its features are not among those of the study"))?,
            share: analysis.share,
        });
    }
    let joint =
        Joint::new(members).ok_or_else(|| wrong("windows are of statistics of one round; one of these has more"))?;
    Ok(Box::new(joint))
}

/// The first analysis, with the features of all.
pub(crate) fn first_with_all(several: &[Analysis]) -> Option<Analysis> {
    let mut first = several.first().cloned()?;
    first.beside = several.iter().skip(1).flat_map(|a| a.what.features()).collect();
    Some(first)
}
