//! Gate 1: how far one patient moves a statistic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use summaries::top_codes::Key;
use summaries::top_codes::key::key;
use summaries::{Column, Input, Lanes, MISSING, PatientBatch, Statistic};

/// Pairs of groups of patients that are tried for each statistic.
fn cases() -> u32 {
    insitu_tests::sized(1_500, 15_000)
}

/// One patient's entry in one column.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Real(f64),
    Level(u32),
    Codes(Vec<u32>),
    Tag([u8; 32]),
    Keys(Vec<Key>),
}

/// Entries that fit the type of an input, and of which many are nonsense.
fn value(input: Input) -> BoxedStrategy<Value> {
    // Bounds that the statistics under test have, so that corners are hit; what no clinic ever wrote; what lies between.
    let corners = vec![
        -3.0,
        2.0,
        7.0,
        0.0,
        -0.0,
        10.0,
        20.0,
        50.0,
        100.0,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        1e300,
        -1e300,
    ];
    match input {
        Input::Real => prop_oneof![
            4 => prop::sample::select(corners),
            3 => -150.0..150.0f64,
            1 => prop::num::f64::ANY,
        ]
        .prop_map(Value::Real)
        .boxed(),
        Input::Level(n) => prop_oneof![
            6 => 0..n.max(1),
            1 => Just(MISSING),
            1 => Just(n),
            1 => any::<u32>(),
        ]
        .prop_map(Value::Level)
        .boxed(),
        Input::Keys => {
            // Beginnings of the example among them, so that cells are hit.
            let code = prop_oneof![6 => "(E1|I1)[0-9A-Z]{0,2}", 1 => "[0-9A-Z.-]{0,9}", 1 => any::<String>()];
            let any_bytes = any::<[u8; 24]>();
            let key = prop_oneof![6 => code.prop_map(|c| key(&c)), 1 => any_bytes];
            prop::collection::vec(key, 0..24).prop_map(Value::Keys).boxed()
        }
        Input::Tag => any::<[u8; 32]>().prop_map(Value::Tag).boxed(),
        Input::Codes(n) => {
            let code = prop_oneof![8 => 0..n.max(1), 1 => Just(n), 1 => any::<u32>()];
            prop::collection::vec(code, 0..24).prop_map(Value::Codes).boxed()
        }
    }
}

fn patient(inputs: &[Input]) -> BoxedStrategy<Vec<Value>> {
    inputs.iter().map(|i| value(*i)).collect::<Vec<_>>().boxed()
}

/// The patients as a batch.
pub(crate) fn batch(inputs: &[Input], patients: &[Vec<Value>]) -> PatientBatch {
    let columns = inputs
        .iter()
        .enumerate()
        .map(|(place, input)| {
            let own = patients.iter().map(|p| &p[place]);
            match input {
                Input::Real => Column::Real(own.map(|v| if let Value::Real(x) = v { *x } else { f64::NAN }).collect()),
                Input::Level(_) => {
                    Column::Level(own.map(|v| if let Value::Level(l) = v { *l } else { MISSING }).collect())
                }
                Input::Tag => Column::Tags(own.map(|v| if let Value::Tag(t) = v { *t } else { [0; 32] }).collect()),
                Input::Keys => {
                    let (mut offsets, mut keys) = (vec![0u32], Vec::new());
                    for v in own {
                        if let Value::Keys(k) = v {
                            keys.extend(k);
                        }
                        offsets.push(keys.len() as u32);
                    }
                    Column::Keys { offsets, keys }
                }
                Input::Codes(_) => {
                    let (mut offsets, mut codes) = (vec![0u32], Vec::new());
                    for v in own {
                        if let Value::Codes(c) = v {
                            codes.extend(c);
                        }
                        offsets.push(codes.len() as u32);
                    }
                    Column::Codes { offsets, codes }
                }
            }
        })
        .collect();
    PatientBatch::new(patients.len(), columns).unwrap()
}

fn sum(statistic: &dyn Statistic, patients: &[Vec<Value>]) -> Result<Vec<i64>, String> {
    let mut lanes = Lanes::zeros(statistic.layout().lanes);
    statistic.accumulate(&batch(&statistic.inputs(), patients), &mut lanes).map_err(|e| e.to_string())?;
    Ok(lanes.into_values())
}

/// L1, L2 and L∞ of a vector; the sums are exact, the root is rounded once.
fn norms(values: &[i64]) -> (f64, f64, f64) {
    let size = |v: &i64| u128::from(v.unsigned_abs());
    let l1: u128 = values.iter().map(size).sum();
    let l2: u128 = values.iter().map(|v| size(v) * size(v)).sum();
    let linf = values.iter().map(size).max().unwrap_or_default();
    (l1 as f64, (l2 as f64).sqrt(), linf as f64)
}

/// The declared norms can be the norms of one vector.
pub(crate) fn declared(statistic: &dyn Statistic) -> Result<(), String> {
    let s = statistic.sensitivity();
    let d = statistic.layout().lanes as f64;
    let slack = 1.0 + 1e-9;
    let coherent = s.linf > 0.0
        && s.linf <= s.l2 * slack
        && s.l2 <= s.l1 * slack
        && s.l1 <= d.sqrt() * s.l2 * slack
        && [s.l1, s.l2, s.linf].iter().all(|x| x.is_finite());
    if coherent { Ok(()) } else { Err(format!("{s:?} over {d} lanes is no set of norms")) }
}

/// Random patients, in two groups: what each adds is within the declared norms, and the sum over both groups is the sum of
/// the groups' sums, whether they come in one batch or one after the other.
pub(crate) fn fuzz(statistic: &dyn Statistic) -> Result<(), String> {
    let inputs = statistic.inputs();
    let group = || prop::collection::vec(patient(&inputs), 0..6);
    let limit = statistic.sensitivity();
    let wrong = |what: String| TestCaseError::fail(what);
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&(group(), group()), |(a, b)| {
        for one in a.iter().chain(&b) {
            let (l1, l2, linf) = norms(&sum(statistic, std::slice::from_ref(one)).map_err(wrong)?);
            for (norm, found, most) in [("L1", l1, limit.l1), ("L2", l2, limit.l2), ("L∞", linf, limit.linf)] {
                if found > most {
                    return Err(wrong(format!("one patient moves {norm} by {found}, and {most} is declared")));
                }
            }
        }
        let (of_a, of_b) = (sum(statistic, &a).map_err(wrong)?, sum(statistic, &b).map_err(wrong)?);
        let added: Vec<i64> = of_a.iter().zip(&of_b).map(|(x, y)| x + y).collect();
        let together = sum(statistic, &[a.clone(), b.clone()].concat()).map_err(wrong)?;
        let mut running = Lanes::from_values(of_a);
        statistic.accumulate(&batch(&inputs, &b), &mut running).map_err(|e| wrong(e.to_string()))?;
        if together != added || running.values() != added {
            return Err(wrong("the sum over two groups is not the sum of their sums".to_owned()));
        }
        Ok(())
    });
    outcome.map_err(|e| e.to_string())
}

/// Columns of every type, for so many patients.
fn columns(patients: usize) -> [Column; 5] {
    [
        Column::Real(vec![1.0; patients]),
        Column::Level(vec![0; patients]),
        Column::Codes { offsets: (0..=patients as u32).collect(), codes: vec![0; patients] },
        Column::Tags(vec![[0; 32]; patients]),
        Column::Keys { offsets: (0..=patients as u32).collect(), keys: vec![key("E11"); patients] },
    ]
}

fn fits(input: Input, column: &Column) -> bool {
    matches!(
        (input, column),
        (Input::Real, Column::Real(_))
            | (Input::Level(_), Column::Level(_))
            | (Input::Codes(_), Column::Codes { .. })
            | (Input::Tag, Column::Tags(_))
            | (Input::Keys, Column::Keys { .. })
    )
}

/// Batches and lanes that do not fit are errors; offsets that point nowhere and sums at the end of their range are no panics.
pub(crate) fn misfits(statistic: &dyn Statistic) -> Result<(), String> {
    let inputs = statistic.inputs();
    let needed = statistic.layout().lanes;
    let tried = |what: &str, batch: &PatientBatch, mut lanes: Lanes| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = statistic.accumulate(batch, &mut lanes);
            (result, lanes)
        }));
        result.map_err(|_| format!("{what}: it panicked"))
    };
    let refused = |what: &str, batch: &PatientBatch, lanes: usize| match tried(what, batch, Lanes::zeros(lanes))? {
        (Ok(()), _) => Err(format!("{what}: it was taken")),
        (Err(_), _) => Ok(()),
    };
    let pick = |input: Input, right: bool| columns(2).into_iter().filter(move |c| fits(input, c) == right);
    let good: Vec<Column> = inputs.iter().flat_map(|i| pick(*i, true)).collect();
    let batch = |c: Vec<Column>| PatientBatch::new(2, c).map_err(|e| e.to_string());
    for lanes in [0, needed - 1, needed + 1] {
        refused(&format!("{lanes} lanes for {needed}"), &batch(good.clone())?, lanes)?;
    }
    for place in 0..inputs.len() {
        refused("a column is missing", &batch(good[..place].to_vec())?, needed)?;
        for other in pick(inputs[place], false) {
            let mut columns = good.clone();
            columns[place] = other;
            refused("a column of another type", &batch(columns)?, needed)?;
        }
    }
    let nobody =
        PatientBatch::new(0, inputs.iter().flat_map(|i| columns(0).into_iter().filter(move |c| fits(*i, c))).collect());
    let (result, lanes) = tried("nobody", &nobody.map_err(|e| e.to_string())?, Lanes::zeros(needed))?;
    if result.is_err() || lanes.values().iter().any(|v| *v != 0) {
        return Err("an empty batch adds something".to_owned());
    }
    let wild = |c: Column| match c {
        Column::Codes { .. } => Column::Codes { offsets: vec![7, 0, u32::MAX], codes: vec![1, 2] },
        Column::Keys { .. } => Column::Keys { offsets: vec![7, 0, u32::MAX], keys: vec![[255; 24]; 2] },
        other => other,
    };
    let _ = tried("wild offsets", &batch(good.iter().cloned().map(wild).collect())?, Lanes::zeros(needed))?;
    // At the end of the range: an error, or exactly the sum; never a lane that wrapped.
    let (_, alone) = tried("alone", &batch(good.clone())?, Lanes::zeros(needed))?;
    for end in [i64::MAX, i64::MIN] {
        let full = Lanes::from_values(vec![end; needed]);
        if let (Ok(()), lanes) = tried("full lanes", &batch(good.clone())?, full)? {
            let exact = |(v, a): (&i64, &i64)| i128::from(*v) == i128::from(end) + i128::from(*a);
            if !lanes.values().iter().zip(alone.values()).all(exact) {
                return Err("a full lane wrapped".to_owned());
            }
        }
    }
    Ok(())
}
