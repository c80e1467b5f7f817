//! Trainings that sample patients, from a study's text to what they cost: the noise is searched for, all rounds are paid for at once, and what no accountant
//! here proves is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

use privacy::{Cap, Cost, Delta, Rho};
use study::{Plan, budget, planner, read};

fn text(privacy: &str, strategy: &str, rest: &str) -> String {
    format!(
        r#"
id = "sampled"
version = "1"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[cohorts.target]
entry = {{ table = "patient" }}
[code_systems]
own = "urn:own"
[features.age]
kind = "measurement"
code = "own:age"
unit = "1"
bounds = [18.0, 100.0]
[features.ill]
kind = "has"
table = "condition"
[features.split]
kind = "sex"
levels = ["F", "M"]
[privacy]
epsilon = 1.0
{privacy}
[[analysis]]
kind = "train"
outcome = "ill"
features = ["age"]
[analysis.model]
family = "logistic"
[analysis.strategy]
learning_rate = 1
clip = 1
{strategy}
{rest}
"#
    )
}

fn plan(privacy: &str, strategy: &str, rest: &str) -> Plan {
    Plan::new("f", read::checked(&text(privacy, strategy, rest)).unwrap()).unwrap()
}

fn problem(privacy: &str, strategy: &str, rest: &str) -> String {
    match read::checked(&text(privacy, strategy, rest)) {
        Err(problems) => format!("{problems:?}"),
        Ok(study) => format!("{:?}", Plan::new("f", study).unwrap_err()),
    }
}

/// A thousand steps on a twentieth: the noise of a step, what the ledger is charged and what is told of it.
#[test]
fn the_noise_is_the_least_that_keeps_to_epsilon_and_to_the_cap() {
    let plan = plan("", "rounds = 1000\nsampling = 0.05\npatients = 20000", "");
    let sampling = budget::sampled(&plan.study).unwrap();
    let own = &sampling.analyses()[&0];
    let (z, epsilon) = (own.multiplier(), own.epsilon().0);
    println!("z {z:.4}, ε {epsilon:.4}");
    assert!((own.rate(), own.steps()) == (0.05, 1000) && epsilon <= 1.0 && epsilon > 0.7, "{epsilon}");
    // Without sampling a step of a thousand would have noise of √1000 · 4.23.
    assert!(z > 5.0 && z < 133.0 / 5.0, "{z}");
    let total = budget::total(&plan);
    let (whole, cap) = (budget::whole_cost(&plan).unwrap(), Cap::new(total, 0.0));
    assert!(cap.holds(&whole) && whole == own.plan().cost_from(0) && whole.rho == Rho::ZERO);
    // So do the larger caps of years and of life, and they have more left than the whole ρ would leave them.
    for nano in [20_000_000, 100_000_000, 500_000_000] {
        let cap = Cap::new(Rho::from_nano(nano.max(total.nano())), 0.0);
        assert!(cap.holds(&whole) && cap.left(&whole) >= cap.left(&Cost::gaussian(total)), "{nano}");
    }
    assert_eq!(budget::epsilon(&plan, Delta(1e-6)).unwrap().0, epsilon);
    assert!(budget::epsilon(&plan, Delta(1e-9)).unwrap().0 > epsilon);
    // Each round has the noise of z, whatever it costs.
    let rounds = &budget::allocate(&plan).unwrap()[0];
    assert!(rounds.len() == 1000 && rounds.iter().all(|r| *r == rounds[0]));
    assert!(rounds[0].nano().abs_diff(privacy::sampled::noise_of(z).nano()) <= 1, "{}", rounds[0]);
    let told = planner::cost(&plan, 10, 2_000).unwrap();
    let cost = told.analyses[0].sampled.clone().unwrap();
    assert_eq!((cost.rate, cost.steps, cost.expected, cost.epsilon.0), (0.05, 1000, 1000.0, epsilon));
    assert!((cost.noise_local / cost.noise_secure).powi(2) > 6.0 && cost.noise_secure > z / 1000.0);
    let notes = study::check::notes(&plan.study);
    assert!(notes.iter().any(|n| n.message.contains("paid at once")), "{notes:?}");
}

/// Who is trained on pays for counting and steps, who is held out for the test: the whole charge goes into each.
#[test]
fn held_out_patients_pay_for_their_own_rounds() {
    let holdout = "[analysis.holdout]\ntest = 0.2\nvalidate = 0.1\n";
    let plan = plan("", "rounds = 50\nsampling = 0.1\nstop = { every = 5, patience = 3 }", holdout);
    let sampling = budget::sampled(&plan.study).unwrap();
    let own = sampling.analyses()[&0].plan();
    let (rounds, total) = (budget::allocate(&plan).unwrap()[0].clone(), budget::total(&plan));
    assert_eq!(rounds.len(), 52);
    assert!(rounds[51].value() > 0.999 * total.value() && rounds[51] < total, "the test has all of it");
    assert!((rounds[0].value() / total.value() - 0.1 / 1.1).abs() < 0.02, "{}", rounds[0]);
    assert!(
        rounds[5].nano() > rounds[4].nano() || rounds.windows(2).any(|w| w[0] != w[1]),
        "a look has noise of its own"
    );
    assert!(Cap::new(total, 0.0).holds(&own.cost_from(0)));
    assert!(budget::epsilon(&plan, Delta(1e-6)).unwrap().0 <= 1.0);
    assert!(own.is_apart());
    // All in each round, and held out by a feature: exact Gaussian mechanisms, at the larger of both.
    let holdout = "[analysis.holdout]\nfeature = \"split\"\n";
    let all = self::plan("", "rounds = 10\nsampling = 1", holdout);
    let sampling = budget::sampled(&all.study).unwrap();
    let cost = sampling.analyses()[&0].plan().cost_from(0);
    assert!(cost.rdp.is_zero() && cost.rho <= total && cost.rho.value() > 0.999 * total.value(), "{cost}");
    let before = self::plan("", "rounds = 10", holdout);
    let step = |p: &Plan| budget::allocate(p).unwrap()[0][3].value();
    // A fifth of the charge went into the test.
    assert!((step(&all) / step(&before) - 1.35 / 1.1).abs() < 0.01, "{} {}", step(&all), step(&before));
}

#[test]
fn several_trainings_and_others_keep_to_epsilon_together() {
    let more = "[[analysis]]\nkind = \"count\"\n[[analysis]]\nkind = \"train\"\nname = \"second\"\noutcome = \"ill\"\nfeatures = [\"age\"]\n\
                [analysis.model]\nfamily = \"logistic\"\n[analysis.strategy]\nrounds = 40\nlearning_rate = 1\nclip = 1\nsampling = 0.1\n\
                [analysis.holdout]\ntest = 0.2\n";
    let plan = plan("", "rounds = 100\nsampling = 0.05\n[analysis.holdout]\ntest = 0.2", more);
    let sampling = budget::sampled(&plan.study).unwrap();
    assert_eq!(sampling.analyses().keys().copied().collect::<Vec<_>>(), [0, 2]);
    let epsilon = budget::epsilon(&plan, Delta(1e-6)).unwrap().0;
    println!("together ε {epsilon:.4}");
    assert!(epsilon <= 1.0 && epsilon > 0.6);
    assert!(Cap::new(budget::total(&plan), 0.0).holds(&budget::whole_cost(&plan).unwrap()));
    let other = sampling.analyses()[&0].multiplier();
    assert!(other > 1.0);
}

#[test]
fn a_multiplier_that_is_given_is_kept_where_it_is_enough() {
    let plan = plan("", "rounds = 100\nsampling = 0.05\nnoise_multiplier = 9.5", "");
    let sampling = budget::sampled(&plan.study).unwrap();
    let own = &sampling.analyses()[&0];
    assert!((own.multiplier() - 9.5).abs() < 1e-6 && own.epsilon().0 < 1.0);
    let said = problem("", "rounds = 100\nsampling = 0.05\nnoise_multiplier = 0.7", "");
    assert!(said.contains("is too small for its part"), "{said}");
}

#[test]
fn what_is_not_proved_is_refused() {
    let local = "[analysis.strategy.local]\nsteps = 2\nlearning_rate = 1\n";
    for (privacy, strategy, rest, says) in [
        ("", "rounds = 5\nsampling = 0", "", "sampling must be above 0"),
        ("", "rounds = 5\nsampling = 1.5", "", "sampling must be above 0"),
        ("", "rounds = 5\nsampling = 0.1", local, "sampling is of rounds of one sum"),
        ("", "rounds = 5\nsampling = 0.1\nmerge = \"median\"", "", "sampling is of rounds of one sum"),
        ("", "rounds = 5\nsampling = 0.1\nbound = 1.0", "", "sampling is of rounds of one sum"),
        ("hospitals_per_patient = 2", "rounds = 5\nsampling = 0.1", "", "several hospitals"),
        ("", "rounds = 5\nnoise_multiplier = 2.0", "", "noise_multiplier is of sampling"),
        ("", "rounds = 5\nsampling = 0.1\nnoise_multiplier = 0.01", "", "noise_multiplier must be"),
        ("", "rounds = 5\nclip_quantile = 1.0", "", "clip_quantile must lie"),
        ("", "rounds = 5\nclip_quantile = 0.5", local, "a clip follows"),
    ] {
        let said = problem(privacy, strategy, rest);
        assert!(said.contains(says), "{strategy}: {said}");
    }
}

/// A sample is its own study's: no other study is answered from it, and it is answered from no other.
#[test]
fn no_release_of_a_sample_answers_another_question() {
    let plan = plan("", "rounds = 5\nsampling = 0.1", "[[analysis]]\nkind = \"count\"\n");
    let hash = |analysis| study::question::hash(&plan.study, (analysis, 0, proto::Hash([0; 32])), &[2020], 1);
    assert!(hash(0).is_none() && hash(1).is_some());
    assert!(study::question::of_plan(&plan).unwrap().is_empty());
    let whole = self::plan("", "rounds = 5", "");
    assert_eq!(study::question::of_plan(&whole).unwrap().len(), 1);
}

/// The setting is not in the canonical text of a study that has none.
#[test]
fn a_study_without_it_is_written_as_before() {
    let plan = plan("", "rounds = 5", "");
    let written = String::from_utf8(plan.canonical().unwrap()).unwrap();
    for word in ["sampling", "noise_multiplier", "clip_quantile"] {
        assert!(!written.contains(word), "{written}");
    }
}

const HEAD: &str = "| steps | `sampling` | how often each patient is used | multiplier | noise of the mean | over that of all | ε |\n\
                    |---|---|---|---|---|---|---|\n";

/// The table of docs/statistics.md: 20,000 patients, ε = 1, δ = 1e-6. At the same number of steps a sample's mean has never less noise than that of all
/// patients, and hardly more as long as the multiplier is well above 1; the work is that of the rate.
#[test]
fn a_sample_saves_work_and_costs_hardly_any_noise() {
    let (patients, mut text) = (20_000.0, String::new());
    for rounds in [100u32, 1000] {
        let mut whole = 0.0;
        for rate in [1.0, 0.2, 0.05, 0.01] {
            let plan = plan("", &format!("rounds = {rounds}\nsampling = {rate:?}\npatients = 20000"), "");
            let sampling = budget::sampled(&plan.study).unwrap();
            let own = &sampling.analyses()[&0];
            let (z, epsilon) = (own.multiplier(), own.epsilon().0);
            let cost = planner::cost(&plan, 1, 20_000).unwrap().analyses[0].sampled.clone().unwrap();
            let noise = cost.noise_local;
            assert!((noise / (z * 1.02f64.sqrt() / (rate * patients)) - 1.0).abs() < 1e-3);
            if rate == 1.0 {
                whole = noise;
            }
            let more = noise / whole;
            text += &format!(
                "| {rounds} | {rate} | {:.0} | {z:.2} | {noise:.5} | {more:.2} | {epsilon:.3} |\n",
                rate * f64::from(rounds)
            );
            assert!(more > 0.999, "{text}");
            assert!(z < 3.0 || more < 1.35, "{text}");
            if (rounds, rate) == (1000, 0.05) {
                assert!(more < 1.1, "{text}");
            }
        }
    }
    println!("{text}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/statistics.md");
    let page = std::fs::read_to_string(path).unwrap();
    if std::env::var_os("INSITU_WRITE").is_some() {
        let (before, rest) = page.split_once(HEAD).unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        std::fs::write(path, format!("{before}{HEAD}{text}\n{after}")).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page.contains(&(HEAD.to_owned() + &text)),
        "INSITU_WRITE=1 writes the table of docs/statistics.md anew:\n{text}"
    );
}
