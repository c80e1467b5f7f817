//! Survival curves of several groups in one figure, with the numbers at risk under it.

use summaries::{Curve, Row};

use super::figures::{figure, stairs};
use super::plot::{axes, range};
use super::text::{Style, escape, number};

/// More groups than this are drawn one by one: lines could not be told apart.
const MOST: usize = 6;

/// Which curves belong in one figure: steps whose titles begin alike, up to the colon. Every curve is in one of the groups, in order.
pub(super) fn grouped(curves: &[Curve]) -> Vec<Vec<&Curve>> {
    let kind = |c: &Curve| c.title.split_once(": ").map(|(kind, _)| kind.to_owned());
    let mut out: Vec<Vec<&Curve>> = Vec::new();
    for curve in curves {
        let together = |g: &&mut Vec<&Curve>| {
            curve.kind == "step"
                && kind(curve).is_some()
                && g.len() < MOST
                && g.first().is_some_and(|f| f.kind == "step" && kind(f) == kind(curve))
        };
        match out.iter_mut().find(together) {
            Some(group) => group.push(curve),
            None => out.push(vec![curve]),
        }
    }
    out
}

/// A group's name: the title behind the colon.
fn name(curve: &Curve) -> &str {
    curve.title.split_once(": ").map_or(curve.title.as_str(), |(_, name)| name)
}

/// Several curves of steps in one figure.
pub(super) fn together(curves: &[&Curve], rows: &[Row], level: &str) -> String {
    let Some(first) = curves.first() else { return String::new() };
    let points = |c: &Curve| -> Vec<[f64; 4]> {
        let mut points: Vec<[f64; 4]> = c.points.iter().filter(|p| p.iter().all(|v| v.is_finite())).copied().collect();
        points.sort_by(|[a, ..], [b, ..]| a.total_cmp(b));
        points
    };
    let across = range(curves.iter().flat_map(|c| points(c)).map(|[x, ..]| x));
    let heights = range(curves.iter().flat_map(|c| points(c)).flat_map(|[_, y, low, high]| [y, low, high]));
    let (Some(across), Some(heights)) = (across, heights) else {
        return format!("<p class=\"meta\">{}: no point could be shown.</p>", escape(&first.title));
    };
    let kind = first.title.split_once(": ").map_or(first.title.as_str(), |(kind, _)| kind);
    let up = if first.y_label == "survival" { (0.0, 1.0) } else { (0.0, heights.1) };
    let (mut svg, x, y) = axes(kind, across, up, (&first.x_label, &first.y_label));
    let own: Vec<Vec<[f64; 4]>> = curves.iter().map(|c| points(c)).collect();
    for (i, points) in own.iter().enumerate() {
        stairs(&mut svg, points, &x, &y, (&format!("band g{i}"), ""));
    }
    for (i, points) in own.iter().enumerate() {
        stairs(&mut svg, points, &x, &y, ("", &format!("curve g{i}")));
    }
    let caption = format!("{kind} by group. The bands are the interval at each point. Level: {level}.");
    figure(&svg.finish(), &caption) + &key(curves) + &at_risk(curves, rows)
}

/// Which line is whose, below the drawing, where it is seen on a narrow screen too.
fn key(curves: &[&Curve]) -> String {
    let one = |(i, curve): (usize, &&Curve)| {
        format!(
            "<li><svg class=\"swatch\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><line class=\"curve g{i}\" x1=\"0\" y1=\"4\" \
             x2=\"28\" y2=\"4\"/></svg> {}</li>",
            escape(name(curve))
        )
    };
    format!("<ul class=\"key\">{}</ul>", curves.iter().enumerate().map(one).collect::<String>())
}

/// The numbers at risk at the times that are told, a row a group.
fn at_risk(curves: &[&Curve], rows: &[Row]) -> String {
    let of = |group: &str| -> Vec<(f64, &Row)> {
        let start = format!("{group}, time ");
        let told = rows.iter().filter(|r| r.statistic == "at risk");
        told.filter_map(|r| Some((r.term.strip_prefix(&start)?.parse().ok()?, r))).collect()
    };
    let all: Vec<(&str, Vec<(f64, &Row)>)> = curves.iter().map(|c| (name(c), of(name(c)))).collect();
    let mut times: Vec<f64> = all.iter().flat_map(|(_, r)| r.iter().map(|(t, _)| *t)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    if times.is_empty() {
        return String::new();
    }
    let heads: String =
        times.iter().map(|t| format!("<th class=\"number\">{}</th>", number(*t, Style::Plain))).collect();
    let mut body = String::new();
    for (group, own) in &all {
        let cell = |t: &f64| {
            let row = own.iter().find(|(time, _)| time == t).map(|(_, r)| *r);
            let text = match row {
                Some(r) if r.suppressed => "few".to_owned(),
                Some(r) => r.estimate.map_or(String::new(), |n| number(n, Style::Count)),
                None => String::new(),
            };
            format!("<td class=\"number\">{}</td>", escape(&text))
        };
        let cells: String = times.iter().map(cell).collect();
        body += &format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(group));
    }
    format!(
        "<div class=\"scroll\"><table class=\"risk\"><caption>Number at risk</caption><thead><tr><th></th>{heads}</tr></thead>\
         <tbody>{body}</tbody></table></div>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(title: &str) -> Curve {
        let points = vec![[0.0, 1.0, 1.0, 1.0], [10.0, 0.8, 0.7, 0.9], [20.0, 0.5, 0.4, 0.6]];
        let (x_label, y_label) = ("time".to_owned(), "survival".to_owned());
        Curve { title: title.to_owned(), kind: "step".to_owned(), x_label, y_label, points }
    }

    #[test]
    fn groups_are_in_one_figure_with_the_numbers_at_risk() {
        let curves = [curve("survival: sex=F"), curve("survival: sex=M"), curve("cumulative incidence: x")];
        let groups = grouped(&curves);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let rows = [
            Row { statistic: "at risk".into(), ..Row::test("sex=F, time 10", "n", 1234.0, "") },
            Row { statistic: "at risk".into(), ..Row::withheld("sex=M, time 10", "n", "fewer than 11 (noisy)") },
        ];
        let html = together(&groups[0], &rows, "95 %");
        assert_eq!(html.matches("class=\"curve g").count(), 4, "two lines, and two in the key");
        assert!(html.contains("1,234") || html.contains("1\u{202f}234") || html.contains("1234"), "{html}");
        assert!(html.contains(">few<") && html.contains("Number at risk"));
        assert!(!together(&groups[0], &[], "95 %").contains("Number at risk"));
    }
}
