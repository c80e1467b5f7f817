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
[concept_sets.stroke]
icd10 = ["I63*"]
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
set = "stroke"
horizon = 365
[features.ended]
kind = "followed_by"
table = "condition"
set = "stroke"
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
[features.lasted]
kind = "measurement"
code = "own:lasted"
unit = "1"
bounds = [0.0, 365.0]
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

const STRATEGY: &str = "[analysis.strategy]\nrounds = 5\nlearning_rate = 3\nclip = 0.5\n";

#[test]
fn trainings() {
    let of = |outcome: &str, model: &str, strategy: &str| {
        let head = format!("kind = \"train\"\noutcome = \"{outcome}\"\nfeatures = [\"age\", \"sex\"]\n");
        format!("{head}[analysis.model]\n{model}\n{strategy}")
    };
    right(&of("died", "family = \"logistic\"", STRATEGY));
    right(&of("stage", "family = \"multinomial\"\nhidden = [4]\nactivation = \"relu\"\nseed = 7", STRATEGY));
    right(&of("visits", "family = \"poisson\"\npenalty = 2", &format!("{STRATEGY}patients = 20000\nmomentum = 0.9\n")));
    let falling = STRATEGY.replace("= 3", "= { start = 0.1, decay = \"step\", every = 2, factor = 0.5 }");
    right(&of("weight", "family = \"linear\"", &format!("{falling}optimiser = \"yogi\"\naverage = false\n")));
    let timed = |model: &str| of("days", model, STRATEGY).replace("features", "event = \"died\"\nfeatures");
    right(&timed("family = \"hazards\"\nintervals = 4\nhorizon = 365\nhidden = [3]"));
    wrong(&of("days", "family = \"hazards\"", STRATEGY), &["hazards need an event"]);
    wrong(&timed("family = \"linear\""), &["an event is of hazards"]);
    wrong(&timed("family = \"hazards\"\nintervals = 0"), &["intervals are of hazards, and 1 to 100"]);
    wrong(&timed("family = \"hazards\"\nhorizon = -1"), &["a horizon is of hazards, and above 0"]);
    for (outcome, model, strategy, said) in [
        ("stage", "family = \"logistic\"", STRATEGY, "'stage' is not no or yes"),
        ("died", "family = \"linear\"", STRATEGY, "'died' is not a number with bounds"),
        ("age", "family = \"linear\"", STRATEGY, "the outcome is also a feature"),
        ("died", "family = \"logistic\"\nhidden = [0]", STRATEGY, "hidden layers have 1 to 4096 units"),
        ("died", "family = \"logistic\"\nunits = 3", STRATEGY, "units"),
        ("died", "family = \"logistic\"", &STRATEGY.replace("= 0.5", "= 0"), "clip must be 0.001 to 1000"),
        ("died", "family = \"logistic\"", &STRATEGY.replace("= 5", "= 0"), "rounds must be 1 to"),
        ("died", "family = \"logistic\"", &falling.replace("every = 2, ", ""), "needs every"),
        (
            "died",
            "family = \"logistic\"",
            &format!("{STRATEGY}momentum = 0.5\noptimiser = \"adam\""),
            "momentum is of sgd",
        ),
        ("died", "family = \"logistic\"", &format!("{STRATEGY}patients = 0"), "patients must be 1 or more"),
    ] {
        wrong(&of(outcome, model, strategy), &[said]);
    }
    let held = |head: &str| of("died", "family = \"logistic\"", &format!("{STRATEGY}[analysis.holdout]\n{head}\n"));
    right(&held("test = 0.2\nthresholds = [0.2, 0.5]"));
    right(&held("feature = \"drug\""));
    for (head, said) in [
        ("test = 0.2\nfeature = \"drug\"", "who is held out is a share, or what a feature says"),
        ("test = 1", "test must lie between 0 and 1"),
        ("feature = \"visits\"", "'visits' is not a feature of two or three levels"),
        ("feature = \"stage\"", "patients validate, and nobody asks them"),
        ("test = 0.5\nvalidate = 0.6", "leave patients to train on"),
        ("feature = \"dru\"", "there is no feature 'dru'"),
        ("test = 0.2\nthresholds = [2]", "thresholds must lie between 0 and 1"),
    ] {
        wrong(&held(head), &[said]);
    }
    let alone =
        |more: &str| of("died", "family = \"logistic\"", &format!("{STRATEGY}[analysis.strategy.local]\n{more}\n"));
    right(&alone("steps = 4\nlearning_rate = 0.5"));
    right(&alone(
        "steps = 4\nlearning_rate = { start = 0.5, decay = \"cosine\" }\ncontrol = \"variates\"\nweights = \"hospitals\"",
    ));
    right(&alone("steps = 4\nlearning_rate = 0.5\nproximal = 0.1\nturns = true\nbatch = 8"));
    for (more, said) in [
        ("steps = 0\nlearning_rate = 0.5", "local steps must be 1 to"),
        ("steps = 4\nlearning_rate = 0", "learning_rate must be above 0"),
        ("steps = 4\nlearning_rate = 0.5\nproximal = -1", "proximal must be 0 to"),
        ("steps = 4\nlearning_rate = 0.5\nturns = true\ncontrol = \"ends\"", "has no drift to correct"),
        ("steps = 4\nlearning_rate = 0.5\nbatch = 0", "a batch has at least one row"),
    ] {
        wrong(&alone(more), &[said]);
    }
    let batches = |model: &str, batch: &str| {
        timed(model) + &format!("[analysis.strategy.local]\nsteps = 4\nlearning_rate = 0.5\n{batch}\n")
    };
    right(&batches("family = \"partial_likelihood\"", "batch = 8"));
    for (model, batch, said) in [
        ("family = \"partial_likelihood\"", "", "in one batch of local steps, of 2 to 128 rows"),
        ("family = \"partial_likelihood\"", "batch = 129", "in one batch of local steps, of 2 to 128 rows"),
        ("family = \"partial_likelihood\"\nhorizon = 9", "batch = 8", "has no horizon, and judges nobody"),
        (
            "family = \"partial_likelihood\"",
            "batch = 8\n[analysis.holdout]\ntest = 0.2",
            "has no horizon, and judges nobody",
        ),
        ("family = \"partial_likelihood\"\nintervals = 2", "batch = 8", "intervals are of hazards"),
    ] {
        wrong(&batches(model, batch), &[said]);
    }
    wrong(&timed("family = \"partial_likelihood\""), &["in one batch of local steps"]);
    let text = format!("{HEAD}[[analysis]]\n{}", alone("steps = 4\nlearning_rate = 0.5"));
    let said = read::checked(&text.replace("[privacy]", "[privacy]\naggregation = \"secure\"")).unwrap_err();
    let hides = |p: &study::Problem| p.to_string().contains("adding them up in secret hides no patient better");
    assert!(said.iter().any(hides), "{said:?}");
    let stops = |stop: &str, holdout: &str| {
        of("died", "family = \"logistic\"", &format!("{STRATEGY}stop = {stop}\n[analysis.holdout]\n{holdout}\n"))
    };
    right(&stops("{ every = 2, patience = 1 }", "test = 0.2\nvalidate = 0.1"));
    right(&stops("{ every = 2, patience = 1 }", "validate = 0.1"));
    right(&stops("{ every = 2, patience = 1 }", "feature = \"stage\""));
    wrong(&stops("{ every = 2, patience = 1 }", "test = 0.2"), &["stop needs patients who validate"]);
    wrong(&stops("{ every = 6, patience = 1 }", "validate = 0.1"), &["stop needs every of 1 to below the rounds"]);
    wrong(&stops("{ every = 5, patience = 1 }", "validate = 0.1"), &["stop needs every of 1 to below the rounds"]);
    let gathered = |every: u32| {
        let text = stops(&format!("{{ every = {every}, patience = 1 }}"), "validate = 0.1");
        text.replace("rounds = 5", "rounds = 4").replace("stop = ", "accumulate = 2\nstop = ")
    };
    right(&gathered(2));
    wrong(&gathered(1), &["must be a multiple of accumulate"]);
    let merged = |more: &str| of("died", "family = \"logistic\"", &format!("{STRATEGY}{more}\n"));
    right(&merged("merge = \"median\""));
    right(&merged("merge = \"trimmed\"\ntrim = 0.1\nbound = 2"));
    wrong(&merged("trim = 0.1"), &["trim is of merge"]);
    wrong(&merged("bound = 0"), &["bound must be above 0"]);
    wrong(&merged("merge = \"median\"\npatients = 9"), &["looked at one by one"]);
    let known = alone("steps = 4\nlearning_rate = 0.5").replace("clip = 0.5", "clip = 0.5\npatients = 500");
    wrong(&known, &["counted where it takes steps by itself"]);
    wrong(&format!("by_hospital = true\n{}", of("died", "family = \"logistic\"", STRATEGY)), &["nobody is tested"]);
    right(&format!(
        "by_hospital = true\n{}",
        of("died", "family = \"logistic\"", &format!("{STRATEGY}[analysis.holdout]\ntest = 0.2\n"))
    ));
}

#[test]
fn boosted_trees() {
    let of = |outcome: &str, family: &str, more: &str| {
        let head = format!("kind = \"trees\"\noutcome = \"{outcome}\"\nfeatures = [\"age\", \"sex\", \"stage\"]\n");
        format!("{head}family = \"{family}\"\n{more}\n")
    };
    right(&of("died", "logistic", "trees = 4\n[analysis.holdout]\ntest = 0.2"));
    right(&of("weight", "linear", "trees = 2\ndepth = 2\nbins = 8\nlearning_rate = 0.5\npenalty = 3\nleast = 5"));
    right(&of("visits", "poisson", "trees = 3\nper_tree = 2\nseed = 4"));
    right(&of("days", "hazards", "trees = 3\nevent = \"died\"\nhorizon = 365\n[analysis.holdout]\ntest = 0.2"));
    wrong(&of("days", "hazards", "trees = 3"), &["hazards need an event"]);
    wrong(&of("visits", "poisson", "trees = 3\nevent = \"died\""), &["an event is of hazards"]);
    for (outcome, family, more, said) in [
        ("stage", "logistic", "trees = 4", "the outcome is also a feature"),
        ("visits", "logistic", "trees = 4", "'visits' is not no or yes"),
        ("died", "linear", "trees = 4", "'died' is not a number with bounds"),
        ("died", "logistic", "trees = 0", "trees must be 1 to"),
        ("died", "logistic", "trees = 1\ndepth = 9", "depth 1 to 8"),
        ("died", "logistic", "trees = 1\nbins = 1", "bins must be 2 to 256"),
        ("died", "logistic", "trees = 1\nlearning_rate = 2", "learning_rate must be above 0 and at most 1"),
        ("died", "logistic", "trees = 1\nper_tree = 4", "no more than there are features"),
        ("died", "logistic", "trees = 1\n[analysis.holdout]\ntest = 2", "test must lie between 0 and 1"),
        ("visits", "multinomial", "trees = 1", "a category of 2 to 100 levels"),
        ("died", "logistic", "trees = 2000\ndepth = 8", "all trees together"),
    ] {
        wrong(&of(outcome, family, more), &[said]);
    }
}

#[test]
fn penalties() {
    right("kind = \"logistic\"\noutcome = \"died\"\nfeatures = [\"age\", \"sex\"]\npenalty = 1\n");
    right("kind = \"cox\"\ntime = \"days\"\nevent = \"ended\"\nfeatures = [\"age\"]\nwidth = 30\npenalty = 2.5\n");
    wrong(
        "kind = \"poisson\"\noutcome = \"visits\"\nfeatures = [\"age\"]\npenalty = -1\n",
        &["analysis.0.penalty: penalty must be 0 to a billion"],
    );
    wrong(
        "kind = \"negative_binomial\"\noutcome = \"visits\"\nfeatures = [\"age\"]\npenalty = 1\n",
        &["no setting 'penalty'"],
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
    right("kind = \"competing\"\ntime = \"lasted\"\ncause = \"stage\"\nby = \"sex\"\nwidth = 30\nat = [90, 180]\n");
    wrong(
        "kind = \"competing\"\ntime = \"lasted\"\ncause = \"died\"\nat = [-1]\n",
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

/// A message names the setting and its line, and says what would fit.
#[test]
fn settings_are_named() {
    let line = |analysis: &str, setting: &str| {
        let text = format!("{HEAD}[[analysis]]\n{analysis}");
        let at = text.lines().position(|l| l.starts_with(setting)).unwrap() + 1;
        let p = read::checked(&text).unwrap_err();
        assert!(p.iter().all(|p| p.line == Some(at)), "{p:?} and not line {at}");
    };
    let quantiles = "kind = \"quantiles\"\nof = \"age\"\n";
    wrong(
        &format!("{quantiles}probabilities = [0, 1.5]\n"),
        &[
            "analysis.0.probabilities: the probability 0 does not lie between 0 and 1; write them like [0.25, 0.5, 0.75]",
        ],
    );
    line(&format!("{quantiles}probabilities = [0.5, 1.5]\n"), "probabilities");
    wrong(&format!("{quantiles}branching = 1\n"), &["analysis.0.branching: branching must be 2 to 64"]);
    wrong(&format!("{quantiles}depth = 30\n"), &["analysis.0.depth: the tree has no level, or more than a million"]);
    let ranks = "kind = \"rank_sum\"\nof = \"age\"\nby = \"sex\"\n";
    wrong(&format!("{ranks}bins = 4000000000\n"), &["analysis.0.bins: bins must be 2 to 65,536"]);
    // A value of another type: the analysis' kind is read first, and the line is that of the value all the same.
    let survival = "kind = \"survival\"\ntime = \"days\"\nevent = \"ended\"\n";
    wrong(&format!("{survival}tau = \"x\"\n"), &["analysis.0.tau: invalid type: string \"x\""]);
    line(&format!("{survival}tau = \"x\"\n"), "tau");
    wrong(
        &format!("{survival}horizon = 400\nweight = \"fleming\"\n"),
        &["analysis.0.weight: unknown variant `fleming`"],
    );
    line(&format!("{survival}horizon = 400\nweight = \"fleming\"\n"), "weight");
    let text = format!("{HEAD}[[analysis]]\nkind = \"count\"\n").replace("horizon = 365", "horizon = \"a year\"");
    let said = read::checked(&text).unwrap_err();
    assert!(said[0].path.ends_with(".horizon") && said[0].path.starts_with("features."), "{said:?}");
    let text = format!("{HEAD}[[analysis]]\nkind = \"count\"\n").replace("\"first\"", "\"second\"");
    let said = read::checked(&text).unwrap_err();
    assert_eq!(said[0].path, "cohorts.target.entry.occurrence");
    assert!(said[0].message.contains("\"first\", \"last\", \"any\" or a number from 1"), "{said:?}");
    for which in ["\"last\"", "\"any\"", "3"] {
        let text = format!("{HEAD}[[analysis]]\nkind = \"count\"\n").replace("\"first\"", which);
        assert!(read::checked(&text).is_ok(), "{which}");
    }
    // A number that does not read back names its place.
    let text = format!("{HEAD}[[analysis]]\nkind = \"count\"\nshare = 0.12345678901234568\n");
    if let Err(p) = Plan::new("f", read::checked(&text).unwrap()) {
        assert_eq!(p[0].path, "analysis.0.share");
    }
    // An arm that is none is said once, however many analyses have it.
    let arms = "[cohorts.a]\nentry = { table = \"visit\" }\n[cohorts.b]\nentry = { table = \"condition\" }\n\
                [cohorts.both]\narms = [\"a\", \"b\"]\n[features.which]\nkind = \"arm\"\nlevels = [\"a\", \"c\"]\n";
    let one = |name: &str| {
        format!("[[analysis]]\nname = \"{name}\"\nkind = \"count\"\ncohort = \"both\"\nby = [\"which\"]\n")
    };
    let text = format!("{HEAD}{arms}{}{}{}", one("x"), one("y"), one("z"));
    let said = read::checked(&text).unwrap_err();
    assert_eq!(said.iter().filter(|p| p.message.contains("'c' is no arm")).count(), 1, "{said:?}");
}

/// A model of women alone can't tell what sex does; nor can one of a subgroup.
#[test]
fn a_level_that_a_cohort_rules_out() {
    let model = "[[analysis]]\nkind = \"cox\"\ntime = \"days\"\nevent = \"ended\"\nfeatures = [\"age\", \"sex\"]\n";
    let said = |cohort: &str, rest: &str| {
        let text = HEAD.replacen("occurrence = \"first\" }", &format!("occurrence = \"first\" }}\n{cohort}"), 1);
        match read::checked(&format!("{text}{model}{rest}")) {
            Ok(_) => String::new(),
            Err(p) => p.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    };
    let none = "analysis.0.features: nobody of the cohort 'target' has sex = M";
    for cohort in [
        "inclusion = [{ sex = [\"F\"] }]",
        "exclusion = [{ sex = [\"M\"] }]",
        "inclusion = [{ all_of = [{ age = [20, 60] }, { sex = [\"F\", \"U\"] }] }]",
        "inclusion = [{ any_of = [{ sex = [\"U\"] }, { sex = [\"F\"] }] }]",
    ] {
        assert!(said(cohort, "").contains(none), "{cohort}: {}", said(cohort, ""));
    }
    for cohort in [
        "",
        "inclusion = [{ sex = [\"F\", \"M\"] }]",
        "inclusion = [{ any_of = [{ age = [20, 60] }, { sex = [\"F\"] }] }]",
    ] {
        assert_eq!(said(cohort, ""), "", "{cohort}");
    }
    let women = "subgroups = [\"women\"]\n[subgroups.women]\ninclusion = [{ sex = [\"F\"] }]\n";
    assert!(said("", women).contains("nobody of the subgroup 'women' has sex = M"), "{}", said("", women));
}

/// What would not be told is in the plan with its reason, and what was known of no interval is not left out.
#[test]
fn the_plan_says_what_is_withheld() {
    let cost = |analysis: &str, patients: usize| {
        let text = format!("{HEAD}[[analysis]]\n{analysis}");
        let plan = Plan::new("f", read::checked(&text).unwrap()).unwrap();
        planner::cost(&plan, 3, patients).unwrap().analyses.remove(0)
    };
    let model = "kind = \"logistic\"\noutcome = \"died\"\nfeatures = [\"age\", \"sex\"]\n";
    let few = cost(model, 60);
    let age = few.withheld.iter().find(|w| w.term == "age" && w.statistic == "coefficient").unwrap();
    assert!(age.reason.contains("nois") || age.reason.contains("not converged"), "{age:?}");
    let many = cost(model, 20_000);
    assert!(many.withheld.is_empty() && many.expected.iter().any(|e| e.term == "age"), "{:?}", many.withheld);
    let moments = cost("kind = \"moments\"\nof = \"age\"\n", 20_000);
    assert!(moments.expected.iter().any(|e| e.statistic == "sd" && e.half_width > 0.0));
    // Models of counts and of ratios are rehearsed with what they suppose.
    for kind in ["poisson", "negative_binomial", "gamma"] {
        let fitted = cost(&format!("kind = \"{kind}\"\noutcome = \"visits\"\nfeatures = [\"age\"]\n"), 20_000);
        let age = fitted.expected.iter().find(|e| e.term == "age" && e.statistic == "coefficient");
        assert!(age.is_some_and(|e| e.half_width > e.half_width_privacy), "{kind}: {:?}", fitted.withheld);
    }
}

/// What is no mistake but should be known.
#[test]
fn notes() {
    let notes = |analysis: &str| {
        let text = format!("{HEAD}[[analysis]]\n{analysis}");
        let said = study::check::notes(&read::checked(&text).unwrap());
        said.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let gamma = notes("kind = \"gamma\"\noutcome = \"visits\"\nfeatures = [\"age\"]\n");
    assert!(gamma.contains("analysis.0.outcome: patients whose 'visits' is not above 0 are left out"), "{gamma}");
    let calendar = "from = \"2020-01-01\"\nto = \"2022-01-01\"\nevery = \"year\"\n";
    let prevalence = format!("kind = \"prevalence\"\ntable = \"condition\"\nset = \"hf\"\n{calendar}");
    assert!(notes(&prevalence).contains("the prevalence is 1"), "{}", notes(&prevalence));
    let risk = notes("kind = \"logistic\"\noutcome = \"ended\"\nfeatures = [\"age\"]\n");
    assert!(risk.contains("whoever leaves before the horizon without 'ended'"), "{risk}");
    let score = notes("kind = \"propensity\"\ntreatment = \"drug\"\nfeatures = [\"age\"]\noutcomes = [\"died\"]\n");
    assert!(score.contains("one intercept for all hospitals"), "{score}");
    assert_eq!(notes(&format!("{prevalence}lookback = 365\n")), "");
    assert_eq!(notes(&prevalence.replace("condition", "visit").replace("set = \"hf\"\n", "")), "");
}

/// What nobody can be in, or what tells nothing, is found before anything is spent.
#[test]
fn what_is_impossible_is_said() {
    let with = |more: &str, analysis: &str| {
        let text = format!("{HEAD}{more}[[analysis]]\n{analysis}");
        match read::checked(&text) {
            Ok(_) => "no problem".to_owned(),
            Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
        }
    };
    let count = "kind = \"count\"\ncohort = \"other\"\n";
    let other = |more: &str| {
        with(&format!("[cohorts.other]\nentry = {{ table = \"condition\", set = \"hf\" }}\n{more}\n"), count)
    };
    for (criteria, said) in [
        (
            "inclusion = [{ sex = [\"F\"] }]\nexclusion = [{ sex = [\"F\"] }]",
            "the same criterion includes and excludes",
        ),
        ("inclusion = [{ age = [18, 40] }, { age = [60, 80] }]", "no year in common"),
        ("inclusion = [{ sex = [\"F\"] }, { sex = [\"M\"] }]", "one sex"),
        ("exit = { date = \"2019-01-01\" }", "no problem"),
    ] {
        let found = other(criteria);
        assert!(found.contains(said), "{criteria}: {found}");
    }
    let early = with(
        "[cohorts.other]\nentry = { table = \"condition\", set = \"hf\", between = [\"2020-01-01\", \"2021-01-01\"] }\n\
         exit = { date = \"2019-01-01\" }\n",
        count,
    );
    assert!(early.contains("before the first day of entry") && early.contains("line "), "{early}");
    let group = with(
        "[subgroups.men]\ninclusion = [{ sex = [\"M\"] }]\n[cohorts.other]\n\
         entry = { table = \"condition\", set = \"hf\" }\ninclusion = [{ sex = [\"F\"] }]\n",
        &format!("{count}subgroups = [\"men\"]\n"),
    );
    assert!(group.contains("nobody of the cohort 'other' can be in the subgroup 'men'"), "{group}");
    wrong("kind = \"survival\"\ntime = \"days\"\nevent = \"ended\"\nwidth = 1000", &["single one", "width"]);
    wrong("kind = \"cox\"\ntime = \"days\"\nevent = \"ended\"\nwidth = 365\nfeatures = [\"age\"]", &["single one"]);
    // What is settled before anybody is looked at.
    let settled = |cohort: &str, features: &str, analysis: &str, said: &str| {
        let cohort =
            format!("[cohorts.other]\nentry = {{ table = \"condition\", set = \"hf\" }}\n{cohort}\n{features}\n");
        let found = with(&cohort, &format!("{analysis}\ncohort = \"other\"\n"));
        assert!(found.contains(said), "{cohort}{analysis}: {found}");
    };
    let of = |name: &str, kind: &str, more: &str| {
        format!("[features.{name}]\nkind = \"{kind}\"\ntable = \"condition\"\nset = \"hf\"\n{more}\n")
    };
    let follow = |more: &str| {
        of("t", "follow_up", &format!("horizon = 90\n{more}"))
            + &of("e", "followed_by", &format!("horizon = 90\n{more}"))
    };
    let survival = "kind = \"survival\"\ntime = \"t\"\nevent = \"e\"";
    settled("", &follow(""), survival, "every time is 0");
    settled("", &follow("from = 1\nprior_lookback = 30"), survival, "nobody is");
    settled("", &follow("from = 1"), survival, "no problem");
    let before = of("before", "has", "window = [-365, -1]");
    let logistic = "kind = \"logistic\"\noutcome = \"before\"\nfeatures = [\"age\"]";
    let barred = "exclusion = [{ has = \"condition\", set = \"hf\", within = [-400, -1] }]";
    settled(barred, &before, logistic, "nobody in the cohort 'other' has 'before'");
    settled(&barred.replace("-400", "-300"), &before, logistic, "no problem");
    settled(&barred.replace("-1]", "-1], at_least = 2"), &before, logistic, "no problem");
    settled(
        &barred.replace("exclusion", "inclusion").replace("-400", "-30"),
        &before,
        logistic,
        "everybody in the cohort",
    );
    settled("", &of("now", "has", "window = [0, 0]"), &logistic.replace("before", "now"), "everybody in the cohort");
    settled(
        "inclusion = [{ has = \"visit\", within = [0, 2], at_least = 9 }]",
        "",
        "kind = \"count\"",
        "on 9 different days",
    );
    settled(
        "inclusion = [{ sex = [\"F\"] }]",
        "",
        "kind = \"table1\"\nvariables = [\"age\"]\nby = \"sex\"",
        "at most one of the groups",
    );
    wrong("kind = \"survival\"\ntime = \"days\"\nevent = \"died\"", &["different kinds of follow-up"]);
    wrong(
        "kind = \"survival\"\ntime = \"days\"\nevent = \"ended\"\nweight = \"peto\"\nstrata = \"sex\"",
        &["weight is of the test", "strata is of"],
    );
    wrong("kind = \"rate\"\ntime = \"days\"\nevents = \"visits\"", &["not counted on the days of 'days', 0 to 365"]);
    wrong("kind = \"rate\"\ntime = \"days\"\nevents = \"died\"", &["not counted in the time at risk"]);
    right("kind = \"rate\"\ntime = \"days\"\nevents = \"ended\"\nby = \"sex\"");
    wrong(
        "kind = \"logistic\"\noutcome = \"died\"\nfeatures = [\"age\", \"sex\"]\ninteractions = [[\"age\", \"sex\"], [\"sex\", \"age\"]]",
        &["the interaction of 'sex' and 'age' is named twice"],
    );
    wrong("kind = \"logistic\"\noutcome = \"died\"\nfeatures = []", &["the model has no features", "features"]);
}

/// Mistakes are told by their name, with their line, and with what would fit.
#[test]
fn mistakes_are_named() {
    wrong(
        "kind = \"logistic\"\noutcome = \"died\"\nfeatures = [\"age\", \"sex\", \"age\"]",
        &["'age' is named twice", "analysis.0.features"],
    );
    wrong(
        "kind = \"linear\"\noutcome = \"weight\"\nfeatures = [\"age\"]\n\
         [[analysis.splines]]\nfeature = \"age\"\nknots = [40, 60]",
        &["has 2 knots", "three to ten"],
    );
    wrong("kind = \"count\"\nsubgroups = [\"men\"]", &["there is no subgroup 'men'", "declares none"]);
    let missing = read::checked(HEAD).unwrap_err();
    let said: String = missing.iter().map(|p| format!("{p}\n")).collect();
    assert!(said.contains("analysis: the study has no 'analysis'") && !said.contains("line"), "{said}");
}
