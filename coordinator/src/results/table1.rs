//! Table 1 as journals print it: a line for each variable or level, a column for each arm, and the standardised difference.

use study::Study;
use study::feature::Shape;
use summaries::Row;

use super::text::{Style, escape, number};

/// What a table is of.
pub(super) struct Layout<'a> {
    pub(super) study: &'a Study,
    pub(super) variables: &'a [String],
    pub(super) by: Option<&'a String>,
    pub(super) rows: &'a [Row],
}

impl Layout<'_> {
    fn levels(&self, feature: &str) -> Vec<String> {
        match study::compile::shape(self.study, feature) {
            Some(Shape::Level { levels }) => levels,
            _ => Vec::new(),
        }
    }

    /// The endings of terms, one a column, with the column's head.
    fn columns(&self) -> Vec<(String, String)> {
        match self.by {
            None => vec![(String::new(), "All".to_owned())],
            Some(by) => self.levels(by).into_iter().map(|l| (format!(", {by}={l}"), l)).collect(),
        }
    }

    fn find(&self, term: &str, statistic: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.term == term && r.statistic == statistic)
    }

    fn value(&self, term: &str, statistic: &str, style: Style) -> Option<String> {
        let row = self.find(term, statistic)?;
        Some(match row.estimate.filter(|_| !row.suppressed) {
            Some(v) => number(v, style),
            None => "–".to_owned(),
        })
    }

    /// n (%) of a level, or of the missing.
    fn share(&self, term: &str) -> Option<String> {
        let n = self.value(term, "n", Style::Count)?;
        let share = self.find(term, "proportion").and_then(|r| r.estimate.filter(|_| !r.suppressed));
        Some(share.map_or(n.clone(), |p| format!("{n} ({:.1} %)", 100.0 * p)))
    }

    /// The differences of a variable, first arm against each other.
    fn difference(&self, variable: &str) -> String {
        let Some(by) = self.by else { return String::new() };
        let start = format!("{variable}, {by}=");
        let rows = self.rows.iter().filter(|r| r.statistic == "smd" && r.term.starts_with(&start));
        let say = |r: &Row| r.estimate.filter(|_| !r.suppressed).map_or("–".to_owned(), |v| number(v, Style::Value));
        rows.map(say).collect::<Vec<_>>().join(", ")
    }

    fn line(&self, head: &str, indent: bool, smd: &str, cell: impl Fn(&str) -> Option<String>) -> Option<String> {
        let cells: Vec<Option<String>> = self.columns().iter().map(|(ending, _)| cell(ending)).collect();
        if cells.iter().all(Option::is_none) {
            return None;
        }
        let class = if indent { " class=\"indent\"" } else { "" };
        let mut out = format!("<tr><th scope=\"row\"{class}>{}</th>", escape(head));
        for cell in cells {
            out += &format!("<td class=\"number\">{}</td>", escape(&cell.unwrap_or_default()));
        }
        if self.by.is_some() {
            out += &format!("<td class=\"number\">{smd}</td>");
        }
        Some(out + "</tr>")
    }

    fn variable(&self, v: &str) -> String {
        let levels = self.levels(v);
        let smd = self.difference(v);
        let mut lines: Vec<Option<String>> = Vec::new();
        if levels.is_empty() {
            let pair = |end: &str, a: &str, b: &str| {
                Some((
                    self.value(&format!("{v}{end}"), a, Style::Value)?,
                    self.value(&format!("{v}{end}"), b, Style::Value)?,
                ))
            };
            lines.push(self.line(&format!("{v}, mean (SD)"), false, &smd, |end| {
                pair(end, "mean", "sd").map(|(mean, sd)| format!("{mean} ({sd})"))
            }));
            lines.push(self.line(&format!("{v}, median [IQR]"), false, "", |end| {
                let median = self.value(&format!("{v}{end}"), "median", Style::Value)?;
                pair(end, "q0.25", "q0.75").map(|(low, high)| format!("{median} [{low} to {high}]"))
            }));
            lines.push(self.line("missing", true, "", |end| self.value(&format!("{v}{end}"), "missing", Style::Count)));
        } else {
            let columns = self.columns().len() + 1 + usize::from(self.by.is_some());
            let fill = if self.by.is_some() {
                format!("<td colspan=\"{}\"></td><td class=\"number\">{smd}</td>", columns - 2)
            } else {
                format!("<td colspan=\"{}\"></td>", columns - 1)
            };
            lines.push(Some(format!("<tr><th scope=\"row\">{}, n (%)</th>{fill}</tr>", escape(v))));
            for level in levels.iter().map(String::as_str).chain(["missing"]) {
                lines.push(self.line(level, true, "", |end| self.share(&format!("{v}={level}{end}"))));
            }
        }
        lines.into_iter().flatten().collect()
    }

    /// The table.
    pub(super) fn html(&self) -> String {
        let mut head = "<th scope=\"col\">Variable</th>".to_owned();
        for (_, name) in self.columns() {
            let n = self.by.and_then(|by| self.value(&format!("{by}={name}"), "n", Style::Count));
            let n = n.map_or(String::new(), |n| format!("<br>n = {}", escape(&n)));
            head += &format!("<th scope=\"col\" class=\"number\">{}{n}</th>", escape(&name));
        }
        if self.by.is_some() {
            head += "<th scope=\"col\" class=\"number\">SMD</th>";
        }
        let body: String = self.variables.iter().map(|v| self.variable(v)).collect();
        format!(
            "<h3>Table 1</h3><div class=\"scroll\"><table class=\"one\"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\
             <p class=\"meta\">Noisy numbers; a dash is withheld. Intervals stand in the table below.</p>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_for_each_arm_and_a_dash_for_what_is_withheld() {
        let text = "id = \"s\"\nversion = \"1\"\nschema = \">=1\"\npurpose = \"research\"\nexpires = \"2099-01-01\"\nanalysis = []\n[cohorts]\n\
                    [features.age]\nkind = \"age\"\nbounds = [0, 100]\n[features.sex]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n\
                    [features.arm]\nkind = \"arm\"\nlevels = [\"a\", \"b\"]\n[privacy]\nepsilon = 1.0\n";
        let study = study::read::study(text).unwrap();
        let row = |term: &str, statistic: &str, v: f64| Row::normal(term, statistic, v, 1.0, 1.0, 2.0);
        let rows = [
            row("arm=a", "n", 40.0),
            row("age, arm=a", "mean", 51.5),
            row("age, arm=a", "sd", 9.0),
            Row::withheld("age, arm=b", "mean", "few"),
            row("age, arm=b", "sd", 8.0),
            row("age, arm=b − a", "smd", 0.25),
            row("sex=F, arm=a", "n", 30.0),
            row("sex=F, arm=a", "proportion", 0.75),
        ];
        let (variables, by) = (["age".to_owned(), "sex".to_owned()], "arm".to_owned());
        let html = Layout { study: &study, variables: &variables, by: Some(&by), rows: &rows }.html();
        for part in ["n = 40", "51.50 (9.000)", "– (8.000)", "0.2500", "30 (75.0 %)", "age, mean (SD)"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("median"));
    }
}
