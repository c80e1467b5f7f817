//! Every kind of analysis from a text to its program and its price, and its mistakes in a statistician's words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use study::{Plan, planner, read};

const HEAD: &str = r#"
id = "kinds"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[concept_sets.hf]
icd10 = ["I50*"]
[cohorts.target]
entry = { table = "condition", set = "hf", occurrence = "first" }
[features.age]
kind = "age"
bounds = [18.0, 100.0]
[features.sex]
kind = "sex"
levels = ["F", "M"]
[features.died]
kind = "has"
table = "condition"
set = "hf"
window = [1, 365]
[features.drug]
kind = "has"
table = "drug_exposure"
window = [0, 0]
[features.visits]
kind = "count"
table = "visit"
max = 12
[features.days]
kind = "follow_up"
table = "condition"
set = "hf"
horizon = 365
[features.ended]
kind = "followed_by"
table = "condition"
set = "hf"
horizon = 365
[features.weight]
kind = "measurement"
code = "own:w"
unit = "1"
bounds = [0.0, 4.0]
[features.shift]
kind = "measurement"
code = "own:s"
unit = "1"
bounds = [-2.0, 2.0]
[features.stage]
kind = "measurement"
code = "own:stage"
unit = "1"
levels = [0, 1, 2]
[code_systems]
own = "urn:own"
[privacy]
epsilon = 2.0
"#;

/// What is wrong with a study of one analysis; empty where nothing is.
fn problems(analysis: &str) -> String {
    let text = format!("{HEAD}[[analysis]]\n{analysis}");
    match read::checked(&text) {
        Ok(_) => String::new(),
        Err(p) => p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// A study of one analysis is right, reads back from its canonical bytes, and has a price.
fn right(analysis: &str) {
    let text = format!("{HEAD}[[analysis]]\n{analysis}");
    let said = problems(analysis);
    assert!(said.is_empty(), "{analysis}\n{said}");
    let plan = Plan::new("f", read::checked(&text).unwrap());
    let plan = plan.unwrap_or_else(|p| panic!("{analysis}: {p:?}"));
    let cost = planner::cost(&plan, 40, 20_000).unwrap_or_else(|e| panic!("{analysis}: {e}"));
    assert!(cost.analyses.iter().all(|a| !a.expected.is_empty()), "{analysis}: {:?}", cost.analyses);
}

fn wrong(analysis: &str, said: &[&str]) {
    let found = problems(analysis);
    for s in said {
        assert!(found.contains(s), "{analysis}\nsays: {found}\nand not: {s}");
    }
}

#[test]
fn regressions() {
    right(
        "kind = \"negative_binomial\"\noutcome = \"visits\"\nfeatures = [\"age\", \"sex\"]\nexposure = \"days\"\nsteps = 6\n",
    );
    wrong(
        "kind = \"negative_binomial\"\noutcome = \"shift\"\nfeatures = [\"age\"]\n",
        &["analysis.0: 'shift' has a lower bound below 0"],
    );
    wrong(
        "kind = \"negative_binomial\"\noutcome = \"visits\"\nfeatures = [\"age\"]\nties = 1\n",
        &["no setting 'ties'"],
    );
}

#[test]
fn terms_of_a_formula() {
    let spline = "[[analysis.splines]]\nfeature = \"age\"\nknots = [40, 55, 70]\n";
    for kind in ["logistic", "poisson", "negative_binomial", "gamma"] {
        let outcome = if kind == "logistic" { "died" } else { "visits" };
        right(&format!(
            "kind = \"{kind}\"\noutcome = \"{outcome}\"\nfeatures = [\"age\", \"sex\"]\noffset = \"shift\"\nweights = \"weight\"\n\
             steps = 6\n{spline}"
        ));
    }
    right(&format!(
        "kind = \"linear\"\noutcome = \"visits\"\nfeatures = [\"age\", \"sex\"]\nweights = \"weight\"\n{spline}"
    ));
    right(&format!("kind = \"cox\"\ntime = \"days\"\nevent = \"ended\"\nfeatures = [\"age\"]\nwidth = 30\n{spline}"));
    let logistic = "kind = \"logistic\"\noutcome = \"died\"\nfeatures = [\"age\", \"sex\"]\n";
    wrong(
        &format!("{logistic}[[analysis.splines]]\nfeature = \"age\"\nknots = [55, 40, 70]\n"),
        &["analysis.0.splines: the knots of 'age' do not ascend within its bounds, 18 to 100; give three to ten"],
    );
    wrong(
        &format!("{logistic}[[analysis.splines]]\nfeature = \"weight\"\nknots = [1, 2, 3]\n"),
        &["the spline names 'weight', which is no feature of the model; list it there too"],
    );
    wrong(
        &format!("{logistic}[[analysis.splines]]\nfeature = \"sex\"\nknots = [1, 2, 3]\n"),
        &["'sex' is not a number with bounds, and a spline needs one"],
    );
    wrong(&format!("{logistic}[[analysis.splines]]\nfeature = \"age\"\nknot = [1, 2, 3]\n"), &["knot"]);
    wrong(&format!("{logistic}weights = \"shift\"\n"), &["the weights 'shift' have a lower bound below 0"]);
    wrong(&format!("{logistic}offset = \"stage\"\n"), &["analysis.0.offset: 'stage' is not a number with bounds"]);
    wrong(
        "kind = \"cox\"\ntime = \"days\"\nevent = \"ended\"\nfeatures = [\"age\"]\nweights = \"weight\"\n",
        &["no setting"],
    );
}

#[test]
fn competing_causes() {
    right("kind = \"competing\"\ntime = \"days\"\ncause = \"stage\"\nby = \"sex\"\nwidth = 30\nat = [90, 180]\n");
    wrong(
        "kind = \"competing\"\ntime = \"days\"\ncause = \"died\"\nat = [-1]\n",
        &[
            "'died' is not a category whose first level is free of all causes",
            "a time to tell the curve at is not between 0 and the horizon, 365",
        ],
    );
}

#[test]
fn hazards_by_interval() {
    let model = "kind = \"piecewise_exponential\"\ntime = \"days\"\nevent = \"ended\"\nfeatures = [\"age\", \"sex\"]\n";
    right(&format!("{model}cuts = [30, 90, 180]\n"));
    wrong(
        &format!("{model}cuts = [90, 30]\n"),
        &["analysis.0.cuts: the cuts do not ascend between 0 and the horizon, 365"],
    );
    wrong(&format!("{model}cuts = [30]\ncap = 0.5\n"), &["analysis.0.cap: cap must be 1 to 1000"]);
}

#[test]
fn tables_by_arm() {
    right("kind = \"table1\"\nvariables = [\"age\", \"sex\", \"stage\"]\n");
    right("kind = \"table1\"\nvariables = [\"age\", \"sex\", \"stage\"]\nby = \"drug\"\n");
    wrong(
        "kind = \"table1\"\nvariables = [\"sex\"]\nby = \"age\"\n",
        &["analysis.0.by: 'age' is not a category, and arms are one"],
    );
}

#[test]
fn risks_within_strata() {
    right("kind = \"mantel_haenszel\"\nexposure = \"drug\"\noutcome = \"died\"\nstrata = \"stage\"\n");
    wrong(
        "kind = \"mantel_haenszel\"\nexposure = \"stage\"\noutcome = \"died\"\nstrata = \"age\"\n",
        &["analysis.0.exposure: 'stage' is not no or yes", "analysis.0.strata: 'age' is not a category"],
    );
}

#[test]
fn components() {
    right("kind = \"pca\"\nof = [\"age\", \"weight\", \"shift\"]\n");
    right("kind = \"pca\"\nof = [\"age\", \"weight\", \"shift\"]\nscale = \"bounds\"\n");
    wrong(
        "kind = \"pca\"\nof = [\"sex\"]\n",
        &["'sex' is not a number with bounds", "components of 1 numbers; name 2 to 50"],
    );
}

#[test]
fn effects_by_propensity() {
    let model = "kind = \"propensity\"\ntreatment = \"drug\"\nfeatures = [\"age\", \"sex\"]\n";
    right(&format!("{model}outcomes = [\"visits\", \"died\"]\n"));
    right(&format!("{model}outcomes = [\"died\"]\neffect = \"att\"\ncuts = \"quantiles\"\nstrata = 10\ncap = 20\n"));
    wrong(
        &format!("{model}outcomes = [\"stage\"]\ncap = 0\nstrata = 1\n"),
        &["'stage' is not a number with bounds, nor no or yes", "cap must be 1 to 1000", "strata must be 2 to 50"],
    );
    wrong(&format!("{model}outcomes = []\n"), &["there are no covariates, or no outcomes"]);
}
