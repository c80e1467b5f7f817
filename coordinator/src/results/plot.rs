//! Small drawings as inline SVG. Colours come from the page's classes, so they follow light, dark and paper. Margins are
//! made from the widths of labels, and a label that would touch its neighbour is left out.

use super::text::{Style, clip, escape, number, width};

/// The width of every drawing, in its own units; the page scales it.
pub(super) const WIDTH: f64 = 600.0;
const PLOT_HEIGHT: f64 = 240.0;

/// A drawing in the making.
pub(super) struct Svg {
    body: String,
    title: String,
    height: f64,
}

impl Svg {
    /// An empty one; the title is for screen readers.
    pub(super) fn new(title: &str, height: f64) -> Svg {
        Svg { body: String::new(), title: escape(title), height }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.body.push_str(&format!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(super) fn rect(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.body.push_str(&format!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            from.0.min(to.0),
            from.1.min(to.1),
            (to.0 - from.0).abs(),
            (to.1 - from.1).abs()
        ));
    }

    pub(super) fn dot(&mut self, class: &str, at: (f64, f64)) {
        self.body.push_str(&format!("<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/>", at.0, at.1));
    }

    /// A path through points, closed or not.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let steps: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let end = if closed { "Z" } else { "" };
        self.body.push_str(&format!("<path class=\"{class}\" d=\"M{}{end}\"/>", steps.join("L")));
    }

    /// A text; `anchor` is `start`, `middle` or `end`. `extra` are attributes written here, never from a study.
    fn label(&mut self, anchor: &str, at: (f64, f64), extra: &str, text: &str) {
        self.body.push_str(&format!(
            "<text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\"{extra}>{}</text>",
            at.0,
            at.1,
            escape(text)
        ));
    }

    pub(super) fn text(&mut self, anchor: &str, at: (f64, f64), text: &str) {
        self.label(anchor, at, "", text);
    }

    /// Five days below an axis of years.
    fn days_below(&mut self, across: (f64, f64), x: &Scale, axis: f64) {
        for k in 0..5 {
            let year = across.0 + (across.1 - across.0) * f64::from(k) / 4.0;
            let Some(day) = study::analysis::day(year) else { continue };
            let at = x.at(year);
            self.line("axis", (at, axis), (at, axis + 4.0));
            let anchor = ["start", "middle", "middle", "middle", "end"].get(k as usize).copied().unwrap_or("middle");
            self.text(anchor, (at, axis + 18.0), &day.to_string());
        }
    }

    /// Labels under ticks of a horizontal scale, with grid lines up to `top`.
    pub(super) fn ticks_below(&mut self, scale: &Scale, top: f64, bottom: f64) {
        let mut free = f64::NEG_INFINITY;
        for tick in scale.ticks(6) {
            let x = scale.at(tick);
            self.line("grid", (x, top), (x, bottom));
            let text = number(tick, Style::Plain);
            let half = width(&text) / 2.0;
            let middle = x.min(WIDTH - half);
            if middle - half > free {
                self.text("middle", (middle, bottom + 16.0), &text);
                free = middle + half + 8.0;
            }
        }
    }

    /// The element.
    pub(super) fn finish(self) -> String {
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {WIDTH:.0} {:.0}\" aria-label=\"{}\"><title>{}</title>{}</svg>",
            self.height, self.title, self.title, self.body
        )
    }
}

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// A linear scale; a range without length is widened.
    pub(super) fn linear((low, high): (f64, f64), from: f64, to: f64) -> Scale {
        let least = 1e-9 * low.abs().max(high.abs());
        let (low, high) = if high - low > least { (low, high) } else { (low - 0.5 - least, low + 0.5 + least) };
        Scale { low, high, from, to, log: false }
    }

    /// A logarithmic scale over a range above 0.
    pub(super) fn log((low, high): (f64, f64), from: f64, to: f64) -> Scale {
        let low = low.max(1e-12);
        Scale { low, high: high.max(low * 1.1), from, to, log: true }
    }

    /// The place of a value, kept within the scale.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(1e-300) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Whether a value is on the scale.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values within the scale, about so many.
    pub(super) fn ticks(&self, want: usize) -> Vec<f64> {
        if self.log {
            let steps: &[f64] = if self.high / self.low <= 1000.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let ticks: Vec<f64> =
                decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d))).filter(|t| self.holds(*t)).collect();
            if ticks.len() >= 3 {
                return ticks;
            }
        }
        let step = round_step(self.high - self.low, want);
        let first = (self.low / step - 1e-9).ceil();
        (0..40u32).map(|i| (first + f64::from(i)) * step + 0.0).take_while(|t| *t <= self.high + step * 1e-9).collect()
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts a length into about so many.
pub(super) fn round_step(length: f64, want: usize) -> f64 {
    let raw = length / want.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999_999).unwrap_or(10.0 * power)
}

/// The least and greatest of values; none where there is none that is finite.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|v| v.is_finite())
        .fold(None, |r, v| Some(r.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// The label of an axis of years whose ticks are days.
const DAY: &str = "day";

/// Two axes with labels and grid; the drawing, the scale across and the scale up.
pub(super) fn axes(title: &str, across: (f64, f64), up: (f64, f64), labels: (&str, &str)) -> (Svg, Scale, Scale) {
    let (top, bottom) = (10.0, 10.0 + PLOT_HEIGHT);
    let mut svg = Svg::new(title, bottom + 46.0);
    let y = Scale::linear(up, bottom, top);
    let ticks = y.ticks(5);
    let widest = ticks.iter().map(|t| width(&number(*t, Style::Plain))).fold(0.0, f64::max);
    let left = 32.0 + widest;
    let right = WIDTH - 20.0;
    let x = Scale::linear(across, left, right);
    for tick in ticks {
        let at = y.at(tick);
        svg.line("grid", (left, at), (right, at));
        svg.text("end", (left - 6.0, at + 4.0), &number(tick, Style::Plain));
    }
    if labels.0 == DAY {
        svg.days_below(across, &x, bottom);
    } else {
        svg.ticks_below(&x, bottom, bottom + 4.0);
    }
    svg.line("axis", (left, bottom), (right, bottom));
    svg.text("middle", (f64::midpoint(left, right), bottom + 38.0), &clip(labels.0, right - left));
    let middle = f64::midpoint(top, bottom);
    let turn = format!(" transform=\"rotate(-90 14 {middle:.1})\"");
    svg.label("middle", (14.0, middle), &turn, &clip(labels.1, PLOT_HEIGHT));
    (svg, x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::linear((0.0, 103.0), 0.0, 1.0).ticks(5), [0.0, 50.0, 100.0]);
        assert_eq!(Scale::log((0.4, 12.0), 0.0, 1.0).ticks(5), [0.5, 1.0, 2.0, 5.0, 10.0]);
        assert!(Scale::linear((3.0, 3.0), 0.0, 1.0).ticks(5).len() >= 2);
        assert!(Scale::log((0.95, 1.05), 0.0, 1.0).ticks(5).len() >= 3);
    }

    #[test]
    fn text_in_a_drawing_is_escaped() {
        let mut svg = Svg::new("<b>", 10.0);
        svg.text("start", (0.0, 0.0), "<script>");
        let out = svg.finish();
        assert!(!out.contains("<script>") && !out.contains("<b>") && out.contains("role=\"img\""));
    }
}
