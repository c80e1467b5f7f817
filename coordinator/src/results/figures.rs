//! Which drawings an analysis has: bars of patients, odds ratios, and its curves.

use summaries::estimate::{RATIOS, is_logarithmic};
use summaries::{Curve, Row};

use super::AnalysisResult;
use super::plot::{Scale, Svg, WIDTH, axes, range};
use super::text::{Style, clip, escape, number, width};

const LINE: f64 = 24.0;
const LABEL_MOST: f64 = 220.0;
/// Odds ratios beyond this, or below its inverse, are drawn at the edge.
const ODDS_MOST: f64 = 1000.0;

/// A drawing with what is under it.
pub(super) fn figure(drawing: &str, caption: &str) -> String {
    format!("<figure><div class=\"scroll\">{drawing}</div><figcaption>{}</figcaption></figure>", escape(caption))
}

fn label_width(rows: &[&Row]) -> f64 {
    rows.iter().map(|r| width(&r.term)).fold(40.0, f64::max).min(LABEL_MOST)
}

/// Numbers of patients as bars with whiskers; nothing for one row or more than 40.
pub(super) fn patients(title: &str, rows: &[Row], level: &str) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|r| r.statistic == "n").collect();
    let shown = || rows.iter().filter(|r| !r.suppressed);
    let most = shown().filter_map(|r| r.upper.or(r.estimate)).filter(|v| v.is_finite()).fold(0.0, f64::max);
    if !(2..=40).contains(&rows.len()) || most <= 0.0 {
        return String::new();
    }
    let value = |r: &Row| number(r.estimate.unwrap_or(f64::NAN), Style::Count);
    let names = label_width(&rows);
    let values = shown().map(|r| width(&value(r))).fold(0.0, f64::max);
    let bottom = 8.0 + LINE * rows.len() as f64;
    let x = Scale::linear((0.0, most), names + 10.0, WIDTH - values - 16.0);
    let mut svg = Svg::new(&format!("{title}: number of patients"), bottom + 42.0);
    svg.ticks_below(&x, 4.0, bottom);
    for (i, row) in rows.iter().enumerate() {
        let y = 8.0 + LINE * (i as f64 + 0.5);
        svg.text("end", (names, y + 4.0), &clip(&row.term, names));
        let (false, Some(n)) = (row.suppressed, row.estimate) else {
            svg.text("start", (x.at(0.0) + 6.0, y + 4.0), "suppressed");
            continue;
        };
        svg.rect("bar", (x.at(0.0), y - 7.0), (x.at(n), y + 7.0));
        whisker(&mut svg, (row.lower, row.upper), &x, y);
        svg.text("end", (WIDTH - 4.0, y + 4.0), &value(row));
    }
    svg.line("axis", (x.at(0.0), 4.0), (x.at(0.0), bottom));
    svg.text("middle", (f64::midpoint(x.at(0.0), x.at(most)), bottom + 36.0), "patients");
    figure(&svg.finish(), &format!("Number of patients with {level} interval."))
}

fn whisker(svg: &mut Svg, ends: (Option<f64>, Option<f64>), x: &Scale, y: f64) {
    let (Some(low), Some(high)) = ends else { return };
    svg.line("whisker", (x.at(low), y), (x.at(high), y));
    for end in [low, high] {
        if x.holds(end) {
            svg.line("whisker", (x.at(end), y - 4.0), (x.at(end), y + 4.0));
            continue;
        }
        // The interval goes on beyond the edge: an arrow instead of an end.
        let (tip, back) = (x.at(end), if end < low.max(1.0) { 6.0 } else { -6.0 });
        svg.path("whisker", &[(tip + back, y - 4.0), (tip, y), (tip + back, y + 4.0)], false);
    }
}

/// Ratios on a logarithmic axis: odds, hazards, rates or means.
pub(super) fn forest(title: &str, rows: &[Row], level: &str) -> String {
    let usable = |r: &&Row| {
        let numbers = [r.estimate, r.lower, r.upper];
        RATIOS.contains(&r.statistic.as_str()) && !r.suppressed && numbers.iter().all(|v| v.is_some_and(|v| v > 0.0))
    };
    let what = rows.iter().find(usable).map_or("odds ratio", |r| r.statistic.as_str());
    let rows: Vec<&Row> = rows.iter().filter(|r| usable(r) && r.statistic == what).collect();
    let ends = rows.iter().flat_map(|r| [r.lower, r.upper]).flatten().map(|v| v.clamp(1.0 / ODDS_MOST, ODDS_MOST));
    let Some((low, high)) = range(ends.chain([0.8, 1.25])) else { return String::new() };
    if rows.is_empty() {
        return String::new();
    }
    let say = |r: &Row| {
        let [e, l, u] = [r.estimate, r.lower, r.upper].map(|v| number(v.unwrap_or(f64::NAN), Style::Value));
        format!("{e} ({l} to {u})")
    };
    let names = label_width(&rows);
    let values = rows.iter().map(|r| width(&say(r))).fold(0.0, f64::max).min(200.0);
    let bottom = 8.0 + LINE * rows.len() as f64;
    let x = Scale::log((low / 1.05, high * 1.05), names + 14.0, WIDTH - values - 18.0);
    let mut svg = Svg::new(&format!("{title}: {what}s"), bottom + 42.0);
    svg.ticks_below(&x, 4.0, bottom);
    svg.line("reference", (x.at(1.0), 4.0), (x.at(1.0), bottom));
    for (i, row) in rows.iter().enumerate() {
        let y = 8.0 + LINE * (i as f64 + 0.5);
        svg.text("end", (names, y + 4.0), &clip(&row.term, names));
        whisker(&mut svg, (row.lower, row.upper), &x, y);
        if let Some(odds) = row.estimate.filter(|v| x.holds(*v)) {
            svg.dot("dot", (x.at(odds), y));
        }
        svg.text("end", (WIDTH - 4.0, y + 4.0), &clip(&say(row), values + 8.0));
    }
    let middle = f64::midpoint(names + 14.0, WIDTH - values - 18.0);
    svg.text("middle", (middle, bottom + 36.0), &format!("{what} (log scale)"));
    figure(&svg.finish(), &format!("{}s with {level} interval; the dashed line is no effect.", sentence(what)))
}

/// A love plot: how far each covariate's arms are apart, before and after weighting, in absolute standardised differences.
pub(super) fn love(title: &str, rows: &[Row]) -> String {
    let of = |term: &str, statistic: &str| {
        let row = rows.iter().find(|r| r.term == term && r.statistic == statistic && !r.suppressed);
        row.and_then(|r| r.estimate).filter(|v| v.is_finite()).map(f64::abs)
    };
    let terms: Vec<&str> = rows.iter().filter(|r| r.statistic == "smd before").map(|r| r.term.as_str()).collect();
    let values: Vec<(&str, Option<f64>, Option<f64>)> =
        terms.into_iter().take(60).map(|t| (t, of(t, "smd before"), of(t, "smd after"))).collect();
    let most = values.iter().flat_map(|(_, a, b)| [*a, *b]).flatten().fold(0.2, f64::max);
    if values.iter().all(|(_, a, b)| a.is_none() && b.is_none()) {
        return String::new();
    }
    let names = values.iter().map(|(t, ..)| width(t)).fold(40.0, f64::max).min(LABEL_MOST);
    let bottom = 8.0 + LINE * values.len() as f64;
    let x = Scale::linear((0.0, most * 1.05), names + 14.0, WIDTH - 16.0);
    let mut svg = Svg::new(&format!("{title}: balance before and after weighting"), bottom + 42.0);
    svg.ticks_below(&x, 4.0, bottom);
    svg.line("reference", (x.at(0.1), 4.0), (x.at(0.1), bottom));
    for (i, (term, before, after)) in values.iter().enumerate() {
        let y = 8.0 + LINE * (i as f64 + 0.5);
        svg.text("end", (names, y + 4.0), &clip(term, names));
        if let (Some(a), Some(b)) = (before, after) {
            svg.line("grid", (x.at(*a), y), (x.at(*b), y));
        }
        if let Some(a) = before {
            svg.dot("hollow", (x.at(*a), y));
        }
        if let Some(b) = after {
            svg.dot("dot", (x.at(*b), y));
        }
    }
    svg.text("middle", (f64::midpoint(names + 14.0, WIDTH - 16.0), bottom + 36.0), "absolute standardised difference");
    figure(&svg.finish(), "Balance: hollow before weighting, full after it; the dashed line is 0.1.")
}

/// The hospitals' own estimates of a number, with what they say together.
pub(super) fn between(a: &AnalysisResult, term: &str, statistic: &str, level: &str) -> String {
    let find = |rows: &[Row], statistic: &str| {
        let shown = |r: &&Row| r.term == term && r.statistic == statistic && !r.suppressed;
        rows.iter().find(shown).cloned()
    };
    let mut rows: Vec<(&str, Row)> =
        a.hospitals.iter().filter_map(|h| Some((h.site.as_str(), find(&h.rows, statistic)?))).collect();
    let own = rows.len();
    for name in ["fixed effect", "random effects", "prediction"] {
        rows.extend(find(&a.meta, &format!("{statistic}, {name}")).map(|r| (name, r)));
    }
    // A ratio is drawn on a logarithmic axis about 1; a rate, which has no value of no effect, without the line.
    let log = is_logarithmic(statistic);
    let no_effect = if log { RATIOS.iter().any(|r| statistic.ends_with(r)).then_some(1.0) } else { Some(0.0) };
    let within = |v: f64| if log && no_effect.is_some() { v.clamp(1.0 / ODDS_MOST, ODDS_MOST) } else { v };
    let ends = rows.iter().flat_map(|(_, r)| [r.lower, r.upper, r.estimate]).flatten().filter(|v| !log || *v > 0.0);
    let Some((low, high)) = range(ends.map(within).chain(no_effect)) else { return String::new() };
    let say = |r: &Row| {
        let [e, l, u] = [r.estimate, r.lower, r.upper].map(|v| number(v.unwrap_or(f64::NAN), Style::Value));
        format!("{e} ({l} to {u})")
    };
    let names = rows.iter().map(|(n, _)| width(n)).fold(40.0, f64::max).min(LABEL_MOST);
    let values = rows.iter().map(|(_, r)| width(&say(r))).fold(0.0, f64::max).min(200.0);
    let bottom = 16.0 + LINE * rows.len() as f64;
    let (left, right) = (names + 14.0, WIDTH - values - 18.0);
    let x =
        if log { Scale::log((low / 1.05, high * 1.05), left, right) } else { Scale::linear((low, high), left, right) };
    let mut svg = Svg::new(&format!("{term}, {statistic}, by hospital"), bottom + 42.0);
    svg.ticks_below(&x, 4.0, bottom);
    if let Some(at) = no_effect {
        svg.line("reference", (x.at(at), 4.0), (x.at(at), bottom));
    }
    for (i, (name, row)) in rows.iter().enumerate() {
        let y = 8.0 + LINE * (i as f64 + 0.5) + if i >= own { 8.0 } else { 0.0 };
        svg.text("end", (names, y + 4.0), &clip(name, names));
        let (Some(e), Some(l), Some(u)) = (row.estimate, row.lower, row.upper) else { continue };
        if i < own || *name == "prediction" {
            whisker(&mut svg, (row.lower, row.upper), &x, y);
        }
        if i < own && x.holds(e) {
            svg.dot("dot", (x.at(e), y));
        } else if i >= own && *name != "prediction" {
            let at = |v: f64| x.at(within(v));
            svg.path("diamond", &[(at(l), y), (at(e), y - 6.0), (at(u), y), (at(e), y + 6.0)], true);
        }
        svg.text("end", (WIDTH - 4.0, y + 4.0), &clip(&say(row), values + 8.0));
    }
    let axis = if log { format!("{statistic} (log scale)") } else { statistic.to_owned() };
    svg.text("middle", (f64::midpoint(left, right), bottom + 36.0), &axis);
    figure(
        &svg.finish(),
        &format!("{term}: {statistic} by hospital with {level} interval, noise included; below, all together."),
    )
}

/// With a capital.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A curve, by its kind.
pub(super) fn curve(curve: &Curve, level: &str) -> String {
    let mut points: Vec<[f64; 4]> = curve.points.iter().filter(|p| p.iter().all(|v| v.is_finite())).copied().collect();
    points.sort_by(|[a, ..], [b, ..]| a.total_cmp(b));
    let places = range(points.iter().map(|[x, ..]| *x));
    let heights = range(points.iter().flat_map(|[_, y, low, high]| [*y, *low, *high]));
    let (Some(places), Some(heights)) = (places, heights) else {
        return format!("<p class=\"meta\">{}: no point could be shown.</p>", escape(&curve.title));
    };
    let unit = |(low, high): (f64, f64)| low >= 0.0 && high <= 1.0;
    let bars = curve.kind == "bars";
    let gaps = points.windows(2).filter_map(|w| if let [[a, ..], [b, ..]] = w { Some(b - a) } else { None });
    let half = gaps.filter(|g| *g > 0.0).fold(f64::INFINITY, f64::min) / 2.0;
    let half = if half.is_finite() { half } else { 0.5 };
    let calibration = curve.kind == "line" && unit(places) && unit(heights);
    let across = match (bars, calibration) {
        (true, _) => (places.0 - half, places.1 + half),
        (false, true) => (0.0, 1.0),
        (false, false) => places,
    };
    let whole = calibration || (curve.kind == "step" && unit(heights));
    let up = if whole { (0.0, 1.0) } else { (heights.0.min(0.0), heights.1) };
    let (mut svg, x, y) = axes(&curve.title, across, up, (&curve.x_label, &curve.y_label));
    match curve.kind.as_str() {
        "step" => stairs(&mut svg, &points, &x, &y, ("band", "curve")),
        kind => {
            if calibration {
                svg.line("reference", (x.at(0.0), y.at(0.0)), (x.at(1.0), y.at(1.0)));
            }
            if !bars {
                let line: Vec<_> = points.iter().map(|[a, b, ..]| (x.at(*a), y.at(*b))).collect();
                svg.path("curve", &line, false);
            }
            for [at, value, low, high] in &points {
                if kind == "bars" {
                    svg.rect("bar", (x.at(at - 0.92 * half), y.at(0.0)), (x.at(at + 0.92 * half), y.at(*value)));
                } else {
                    svg.dot("dot", (x.at(*at), y.at(*value)));
                }
                svg.line("whisker", (x.at(*at), y.at(*low)), (x.at(*at), y.at(*high)));
            }
        }
    }
    let what = match (curve.kind.as_str(), calibration) {
        ("bars", _) => "Whiskers are the interval; a gap is a suppressed cell.",
        ("step", _) => "The band is the interval at each point.",
        (_, true) => "The dashed diagonal is perfect agreement; whiskers are the interval.",
        _ => "Whiskers are the interval.",
    };
    figure(&svg.finish(), &format!("{}. {what} Level: {level}.", curve.title))
}

/// A curve of steps with its band; of either only where it has a class.
pub(super) fn stairs(
    svg: &mut Svg,
    points: &[[f64; 4]],
    x: &Scale,
    y: &Scale,
    (band_class, curve_class): (&str, &str),
) {
    let stair = |value: &dyn Fn(&[f64; 4]) -> f64| {
        let mut out: Vec<(f64, f64)> = Vec::new();
        for point in points {
            let here = (x.at(point.first().copied().unwrap_or_default()), y.at(value(point)));
            if let Some((_, before)) = out.last().copied() {
                out.push((here.0, before));
            }
            out.push(here);
        }
        out
    };
    if !band_class.is_empty() {
        let mut band = stair(&|[_, _, low, _]| *low);
        band.extend(stair(&|[_, _, _, high]| *high).into_iter().rev());
        svg.path(band_class, &band, true);
    }
    if !curve_class.is_empty() {
        svg.path(curve_class, &stair(&|[_, value, ..]| *value), false);
    }
}
