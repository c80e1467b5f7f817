//! The attrition diagram: a box for each step with who is left, and beside it who goes.

use summaries::Row;

use super::figures::figure;
use super::plot::{Svg, WIDTH};
use super::text::{Style, number, width};

const BOX: f64 = 350.0;
const SIDE: f64 = 180.0;
const LINE: f64 = 17.0;
const PAD: f64 = 10.0;
const GAP: f64 = 34.0;

/// The diagram of an analysis of attrition; nothing where it has no rows.
pub(super) fn diagram(title: &str, rows: &[Row], level: &str) -> String {
    let steps: Vec<&Row> = rows.iter().filter(|r| r.statistic == "n").collect();
    let gone = |term: &str| rows.iter().find(|r| r.term == term && r.statistic == "excluded");
    let texts: Vec<Vec<String>> = steps.iter().map(|r| wrapped(&r.term, BOX - 2.0 * PAD)).collect();
    let heights: Vec<f64> = texts.iter().map(|t| (t.len() + 1) as f64 * LINE + 2.0 * PAD).collect();
    let whole: f64 = heights.iter().map(|h| h + GAP).sum();
    if steps.is_empty() {
        return String::new();
    }
    let mut svg = Svg::new(&format!("{title}: attrition"), whole - GAP + 12.0);
    let mut top = 4.0;
    for (i, ((row, lines), height)) in steps.iter().zip(&texts).zip(&heights).enumerate() {
        svg.rect("box", (2.0, top), (2.0 + BOX, top + height));
        for (l, line) in lines.iter().enumerate() {
            svg.text("start", (2.0 + PAD, top + PAD + 12.0 + l as f64 * LINE), line);
        }
        let said = people(row);
        svg.text("start", (2.0 + PAD, top + PAD + 12.0 + lines.len() as f64 * LINE), &said);
        let below = top + height;
        if let Some(next) = steps.get(i + 1) {
            let middle = 2.0 + BOX / 2.0;
            svg.line("axis", (middle, below), (middle, below + GAP));
            svg.path(
                "axis",
                &[(middle - 4.0, below + GAP - 6.0), (middle, below + GAP), (middle + 4.0, below + GAP - 6.0)],
                false,
            );
            if let Some(out) = gone(&next.term) {
                let at = below + GAP / 2.0;
                svg.line("axis", (middle, at), (WIDTH - SIDE, at));
                svg.rect("box", (WIDTH - SIDE, at - 13.0), (WIDTH - 2.0, at + 13.0));
                svg.text("start", (WIDTH - SIDE + PAD, at + 4.0), &format!("excluded: {}", short(out)));
            }
        }
        top = below + GAP;
    }
    figure(&svg.finish(), &format!("Who is left after each criterion, with {level} interval of the noise."))
}

fn short(row: &Row) -> String {
    match row.estimate.filter(|_| !row.suppressed) {
        Some(n) => number(n, Style::Count),
        None => "few".to_owned(),
    }
}

fn people(row: &Row) -> String {
    match (row.estimate, row.lower, row.upper) {
        (Some(n), Some(low), Some(high)) if !row.suppressed => {
            let [n, low, high] = [n, low, high].map(|v| number(v, Style::Count));
            if low == high { format!("n = {n}") } else { format!("n = {n} ({low} to {high})") }
        }
        _ => "n suppressed".to_owned(),
    }
}

/// A text in lines of at most a width.
fn wrapped(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + width(word) + 4.0 <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.truncate(6);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_box_and_what_is_withheld_no_number() {
        let n = |term: &str, v: f64| Row::normal(term, "n", v, 0.0, 3.0, 2.0);
        let mut out = n("1. adults <b>", 12.0);
        "excluded".clone_into(&mut out.statistic);
        let rows = [
            n("0. entry", 1234.0),
            n("1. adults <b>", 1222.0),
            out,
            Row::withheld("2. few", "n", "fewer than 11 (noisy)"),
        ];
        let html = diagram("a", &rows, "95 %");
        assert_eq!(html.matches("class=\"box\"").count(), 4, "{html}");
        assert!(html.contains("excluded: 12") && html.contains("n suppressed") && !html.contains("<b>"));
        assert!(diagram("a", &[], "95 %").is_empty());
    }
}
