//! The report's part for each analysis: heading, drawings, and tables of rows.

use study::Study;
use study::analysis::{Analysis, What};
use summaries::Row;
use summaries::estimate::is_logarithmic;

use super::AnalysisResult;
use super::text::{Style, escape, number};
use super::{attrition, between, curves, figures, table1};

/// The study, and the analysis in its plan.
pub(super) type Planned<'a> = Option<(&'a Study, &'a Analysis)>;

/// An analysis. `level` is the interval's level in words, such as `95 %`.
pub(super) fn section(a: &AnalysisResult, planned: Planned<'_>, level: &str, private: bool) -> String {
    let cost = match (private, a.epsilon.is_finite()) {
        (true, true) => format!("ε {} for this analysis alone", number(a.epsilon, Style::Plain)),
        _ => "not private".to_owned(),
    };
    let mut out = format!(
        "<section><h2>{}</h2><p class=\"meta\">{} · cohort {} · {} · {} · {cost}</p>",
        escape(&a.name),
        escape(&a.kind),
        escape(&a.cohort),
        some(a.sites, "site"),
        some(a.rounds, "round"),
    );
    if let Some(reason) = &a.failed {
        out.push_str(&format!("<p class=\"failed\">This analysis failed: {}</p>", escape(reason)));
    }
    let rows = &a.estimate.rows;
    let all: Vec<&Row> = rows.iter().collect();
    if planned.is_some_and(|(study, _)| study.stream.is_some()) {
        return out + &windows(a, &all, level) + "</section>";
    }
    match a.kind.as_str() {
        "logistic" | "linear" | "poisson" | "negative_binomial" | "gamma" | "cox" | "piecewise_exponential" => {
            let of_model = |r: &&Row| r.term != "model";
            let (model, scores): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(of_model);
            out.push_str(&figures::forest(&a.name, rows, level));
            out.push_str(&titled("Coefficients", &model, level, false));
            let rest = if a.kind == "logistic" { "How well the model predicts" } else { "The model as a whole" };
            out.push_str(&titled(rest, &scores, level, false));
        }
        "attrition" => {
            out.push_str(&attrition::diagram(&a.name, rows, level));
            out.push_str(&titled("", &all, level, false));
        }
        // Only propensity scores tell balance; of the others the plot is empty.
        "rate" | "mantel_haenszel" | "propensity" => {
            out.push_str(&figures::love(&a.name, rows));
            out.push_str(&figures::forest(&a.name, rows, level));
            out.push_str(&titled("", &all, level, false));
        }
        kind => {
            if let Some((study, What::Table1 { variables, by, .. })) = planned.map(|(s, a)| (s, &a.what)) {
                out.push_str(&table1::Layout { study, variables, by: by.as_ref(), rows }.html());
            }
            if matches!(kind, "count" | "crosstab" | "codes" | "top_codes") {
                out.push_str(&figures::patients(&a.name, rows, level));
            }
            out.push_str(&titled("", &all, level, kind == "table1"));
        }
    }
    for group in curves::grouped(&a.estimate.curves) {
        match group.as_slice() {
            [one] => out.push_str(&figures::curve(one, level)),
            several => out.push_str(&curves::together(several, rows, level)),
        }
    }
    out.push_str(&hospitals(a, level));
    if rows.is_empty() && a.failed.is_none() {
        out.push_str("<p>This analysis has no rows.</p>");
    }
    out + "</section>"
}

/// The windows of a continuous study: what raised an alarm, the series, and every row, folded.
fn windows(a: &AnalysisResult, rows: &[&Row], level: &str) -> String {
    let alarms: Vec<&Row> = rows.iter().copied().filter(|r| r.note.starts_with("ALARM")).collect();
    let gaps: Vec<&Row> = rows.iter().copied().filter(|r| r.statistic == "window").collect();
    let mut out = titled("Alarms", &alarms, level, false) + &titled("Gaps", &gaps, level, false);
    for curve in &a.estimate.curves {
        out.push_str(&figures::curve(curve, level));
    }
    if rows.is_empty() {
        return out + "<p>No window has been told yet.</p>";
    }
    let table = titled("", rows, level, false);
    out + &format!("<details><summary>{} of all windows</summary>{table}</details>", some(rows.len() as u32, "row"))
}

/// The hospitals' own estimates, and what they say together.
fn hospitals(a: &AnalysisResult, level: &str) -> String {
    if a.hospitals.is_empty() {
        return String::new();
    }
    let mut out = "<h3>Between hospitals</h3>".to_owned();
    let estimated = between::estimated(&a.hospitals);
    // A coefficient whose ratio is shown as well is in the table; the ratio is drawn.
    let has_ratio = |term: &str| estimated.iter().any(|(t, s)| t == term && is_logarithmic(s));
    let drawn = estimated.iter().filter(|(term, s)| s != "coefficient" || !has_ratio(term));
    for (term, statistic) in drawn.clone().take(MOST_FORESTS) {
        out.push_str(&figures::between(a, term, statistic, level));
    }
    if estimated.is_empty() {
        out.push_str("<p>No number is shown by two hospitals or more, so that nothing can be compared.</p>");
    }
    let drawn = drawn.count();
    if drawn > MOST_FORESTS {
        let more = drawn - MOST_FORESTS;
        out.push_str(&format!("<p class=\"meta\">{more} more are in the table and in the files.</p>"));
    }
    out + &titled("Meta-analysis of the hospitals’ own estimates", &a.meta.iter().collect::<Vec<_>>(), level, false)
}

/// Forests of hospitals that are drawn for an analysis.
const MOST_FORESTS: usize = 12;

/// A number of things, in words.
pub(super) fn some(n: u32, thing: &str) -> String {
    format!("{} {thing}{}", number(f64::from(n), Style::Count), if n == 1 { "" } else { "s" })
}

fn titled(title: &str, rows: &[&Row], level: &str, grouped: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading = if title.is_empty() { String::new() } else { format!("<h3>{title}</h3>") };
    let mut body = String::new();
    let mut group: Option<&str> = None;
    for row in rows {
        let (variable, term) = match row.term.split_once('=') {
            Some((variable, value)) if grouped => (variable, value),
            _ if grouped => (row.term.as_str(), ""),
            _ => ("", row.term.as_str()),
        };
        if grouped && group != Some(variable) {
            group = Some(variable);
            body.push_str(&format!(
                "<tr class=\"group\"><th colspan=\"6\" scope=\"colgroup\">{}</th></tr>",
                escape(variable)
            ));
        }
        body.push_str(&line(row, term));
    }
    format!(
        "{heading}<div class=\"scroll\"><table><thead><tr><th>Term</th><th>Statistic</th>\
         <th class=\"number\">Estimate</th><th class=\"number\">{level} interval</th>\
         <th class=\"number\">Wider through noise</th><th>Note</th></tr></thead><tbody>{body}</tbody></table></div>"
    )
}

/// A row. A suppressed one shows the word and the reason, whatever else it holds.
fn line(row: &Row, term: &str) -> String {
    let head = format!("<tr><th scope=\"row\">{}</th><td>{}</td>", escape(term), escape(&row.statistic));
    let note = format!("<td>{}</td></tr>", escape(&row.note));
    if row.suppressed {
        return format!("{head}<td class=\"suppressed\" colspan=\"3\">suppressed</td>{note}");
    }
    let style = if matches!(row.statistic.as_str(), "n" | "missing" | "at risk" | "events") {
        Style::Count
    } else {
        Style::Value
    };
    let say = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| number(v, style));
    let interval = match (row.lower, row.upper) {
        (None, None) => "–".to_owned(),
        (low, high) => format!("{} to {}", say(low), say(high)),
    };
    format!(
        "{head}<td class=\"number\">{}</td><td class=\"number\">{interval}</td><td class=\"number\">{}</td>{note}",
        say(row.estimate),
        wider(row)
    )
}

/// How much wider the noise makes the interval.
fn wider(row: &Row) -> String {
    match (row.se, row.sampling_se, row.dp_se) {
        (Some(_), _, Some(noise)) if noise <= 0.0 => "none".to_owned(),
        (Some(se), Some(sampling), Some(_)) if sampling > 0.0 => {
            let percent = 100.0 * (se / sampling - 1.0);
            if percent < 0.1 {
                "< 0.1 %".to_owned()
            } else {
                let places = if percent < 10.0 { 10.0 } else { 1.0 };
                format!("+{} %", number((percent * places).round() / places, Style::Plain))
            }
        }
        (Some(_), Some(_), Some(_)) => "all of it".to_owned(),
        // A number without an interval: what the noise may be off by.
        (None, None, Some(noise)) if noise > 0.0 => format!("error {}", number(noise, Style::Value)),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_the_noise() {
        assert_eq!(wider(&Row::normal("x", "mean", 1.0, 3.0, 4.0, 1.96)), "+67 %");
        assert_eq!(wider(&Row::normal("x", "mean", 1.0, 3.0, 0.0, 1.96)), "none");
        assert_eq!(wider(&Row::normal("x", "n", 1.0, 0.0, 4.0, 1.96)), "all of it");
        assert_eq!(wider(&Row::withheld("x", "n", "few")), "–");
    }
}
