//! Questions in canonical form: two rounds of two studies that ask for the same vector over the same patients have the same hash,
//! whatever their names, their cost and the order of their lists. A site answers the second from the bytes of the first.

use privacy::Rho;
use proto::Hash;
use serde_json::Value;

use crate::analysis::What;
use crate::plan::Plan;
use crate::spec::Study;

/// The hash of the question of a round: analysis, round and parameters, over the patients of some years of entry, in a version of
/// the data. `None` where there is no such analysis, or it samples patients: then no release answers another question.
pub fn hash(
    study: &Study,
    (analysis, round, parameters): (u32, u32, Hash),
    entered: &[u16],
    version: u64,
) -> Option<Hash> {
    let a = study.analysis.get(analysis as usize)?;
    // Who is in a sample must not be told twice, and what is paid for at once is no other study's.
    if crate::budget::samples(study, analysis as usize) {
        return None;
    }
    let names = a.what.features();
    let cohort = cohort_of(study, &a.cohort)?;
    // The steps of an attrition are told in the order in which the study has them.
    let order = match a.what {
        What::Attrition {} => serde_json::to_value(study.cohorts.get(&a.cohort)?.steps()).ok()?,
        _ => Value::Null,
    };
    let features = names.iter().map(|n| Some(canonical(study, serde_json::to_value(study.features.get(n)?).ok()?)));
    let features = features.collect::<Option<Vec<Value>>>()?;
    let mut what = canonical(study, serde_json::to_value(&a.what).ok()?);
    rename(&mut what, &names);
    let question = serde_json::json!([
        cohort,
        order,
        features,
        what,
        round,
        parameters,
        entered,
        version,
        systems(study),
        study.precision
    ]);
    Some(Hash::of_parts(&[b"insitu question v3\0", question.to_string().as_bytes()]))
}

/// The hash of the question how large a cohort is, among the patients of some years of entry, in a version of the data. `None`
/// where there is no such cohort.
pub fn cohort(study: &Study, name: &str, entered: &[u16], version: u64) -> Option<Hash> {
    let cohort = cohort_of(study, name)?;
    let question = serde_json::json!([cohort, entered, version, systems(study), study.precision]);
    Some(Hash::of_parts(&[b"insitu cohort v3\0", question.to_string().as_bytes()]))
}

/// The hash of the question whether the data pass a study's gate, of the patients of some years of entry, in a version of the data.
/// `None` where the study has no gate.
pub fn gate(study: &Study, entered: &[u16], version: u64) -> Option<Hash> {
    let gate = study.dq_gate.as_ref()?;
    let question = serde_json::json!([gate, study.privacy.hospitals_per_patient, entered, version]);
    Some(Hash::of_parts(&[b"insitu gate v1\0", question.to_string().as_bytes()]))
}

/// The questions of a plan, whatever the years that sites pay for and the version of their data, with what each analysis costs.
///
/// # Errors
/// The plan's budget can't be divided.
pub fn of_plan(plan: &Plan) -> Result<Vec<(Hash, Rho)>, String> {
    // Windows are told when their time comes, from what is known then; a sample is drawn for its own study.
    let sampled = (0..plan.study.analysis.len()).any(|i| crate::budget::samples(&plan.study, i));
    if plan.study.stream.is_some() || sampled {
        return Ok(Vec::new());
    }
    let allocation = crate::budget::allocate(plan)?;
    let entered = plan.study.privacy.entered.map(|e| e.to_vec()).unwrap_or_default();
    let one = |(i, rounds): (u32, Vec<Rho>)| {
        let cost = rounds.into_iter().fold(Rho::default(), Rho::plus);
        Some((hash(&plan.study, (i, 0, Hash([0; 32])), &entered, 0)?, cost))
    };
    Ok((0..).zip(allocation).filter_map(one).collect())
}

/// Whether a second plan asks nothing that a first one does not answer, with as much precision or more.
pub fn answers(first: &[(Hash, Rho)], second: &[(Hash, Rho)]) -> bool {
    !second.is_empty() && second.iter().all(|(asked, cost)| first.iter().any(|(q, paid)| q == asked && paid >= cost))
}

/// A cohort, with what its arms are in the place of their names.
fn cohort_of(study: &Study, name: &str) -> Option<Value> {
    let of = study.cohorts.get(name)?;
    let own = canonical(study, serde_json::to_value(of).ok()?);
    // An arm has no arms, as the check says; were one to, it stays a name.
    let arm = |name: &String| canonical(study, serde_json::to_value(study.cohorts.get(name)).unwrap_or(Value::Null));
    Some(serde_json::json!([own, of.arms.iter().map(arm).collect::<Vec<_>>()]))
}

/// What the study's own names of code systems stand for: a code `x:1` says nothing without it.
fn systems(study: &Study) -> Value {
    serde_json::json!(study.code_systems)
}

/// Names of concept sets become what they stand for; lists whose order means nothing are sorted.
fn canonical(study: &Study, value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let of =
                |(key, value): (String, Value)| match (&value, study.concept_sets.get(value.as_str().unwrap_or(""))) {
                    (Value::String(_), Some(set)) if key == "set" => {
                        let sorted = set.iter().map(|(alias, codes)| {
                            let uri =
                                study.code_systems.get(alias).cloned().or_else(|| schema::codes::canonical(alias));
                            let mut codes = codes.clone();
                            codes.sort();
                            codes.dedup();
                            // The name stays beside it: how a code is written depends on it.
                            (format!("{alias} {}", uri.unwrap_or_default()), codes)
                        });
                        (key, serde_json::json!(sorted.collect::<std::collections::BTreeMap<_, _>>()))
                    }
                    _ => {
                        let inner = canonical(study, value);
                        (
                            key.clone(),
                            if ["inclusion", "exclusion"].contains(&key.as_str()) { sorted(inner) } else { inner },
                        )
                    }
                };
            Value::Object(map.into_iter().map(of).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|v| canonical(study, v)).collect()),
        other => other,
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(mut items) => {
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other,
    }
}

/// Settings that are words of their kind, and never a feature's name.
const WORDS: &[&str] = &[
    "kind",
    "effect",
    "cuts",
    "scale",
    "weight",
    "ties",
    "family",
    "activation",
    "optimiser",
    "decay",
    "control",
    "weights",
    "merge",
    "missing",
    "edges",
];

/// Names of features become their places.
fn rename(value: &mut Value, names: &[String]) {
    match value {
        Value::String(text) => {
            if let Some(place) = names.iter().position(|n| n == text) {
                *text = format!("#{place}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, names)),
        Value::Object(map) => {
            map.iter_mut().filter(|(k, _)| !WORDS.contains(&k.as_str())).for_each(|(_, v)| rename(v, names))
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"
id = "a"
version = "1.0.0"
schema = ">=1.1,<2"
purpose = "research"
expires = "2035-12-31"
[concept_sets.t2d]
icd10 = ["E11*", "E14*"]
[concept_sets.hf]
icd10 = ["I50*"]
[cohorts.target]
entry = { table = "condition", set = "t2d", occurrence = "first" }
inclusion = [{ age = [18, 120] }, { sex = ["F"] }]
[features.age]
kind = "age"
bounds = [18.0, 100.0]
[features.failure]
kind = "has"
table = "condition"
set = "hf"
window = [1, 365]
[[analysis]]
kind = "moments"
of = "age"
[[analysis]]
kind = "count"
by = ["failure"]
[privacy]
epsilon = 0.5
"#;

    fn of(text: &str, analysis: u32) -> Hash {
        let study: Study = toml::from_str(text).unwrap();
        hash(&study, (analysis, 0, Hash([0; 32])), &[2000, 2001], 3).unwrap()
    }

    #[test]
    fn names_costs_and_orders_do_not_matter() {
        let other = STUDY
            .replace("id = \"a\"", "id = \"b\"")
            .replace("t2d", "diabetes")
            .replace("[features.age]", "[features.years]")
            .replace("of = \"age\"", "of = \"years\"")
            .replace("[\"E11*\", \"E14*\"]", "[\"E14*\", \"E11*\"]")
            .replace("[{ age = [18, 120] }, { sex = [\"F\"] }]", "[{ sex = [\"F\"] }, { age = [18, 120] }]")
            .replace("epsilon = 0.5", "epsilon = 0.25");
        assert_eq!(of(STUDY, 0), of(&other, 0));
        assert_eq!(of(STUDY, 1), of(&other, 1));
    }

    /// Of a plan for the one that has its results.
    #[test]
    fn a_plan_is_answered_by_one_that_asked_as_much_as_precisely() {
        let questions = |text: &str| of_plan(&Plan::new("f", toml::from_str(text).unwrap()).unwrap()).unwrap();
        let first = questions(STUDY);
        let fewer = STUDY.replace("[[analysis]]\nkind = \"count\"\nby = [\"failure\"]\n", "");
        let renamed = STUDY.replace("id = \"a\"", "id = \"b\"").replace("t2d", "diabetes");
        assert!(answers(&first, &questions(&renamed)));
        assert!(!answers(&questions(&fewer), &first), "one of its questions was not asked");
        assert!(!answers(&first, &questions(&STUDY.replace("epsilon = 0.5", "epsilon = 0.51"))), "more precise");
        assert!(!answers(&first, &questions(&STUDY.replace("\"first\"", "\"last\""))));
        let years = STUDY.replace("epsilon = 0.5", "epsilon = 0.5\nentered = [2001, 2005]");
        assert!(!answers(&first, &questions(&years)), "other patients");
        assert!(!answers(&first, &[]));
    }

    /// The arms of a cohort are what they stand for, not their names.
    #[test]
    fn an_arm_that_is_another_is_another_question() {
        let arms = "[cohorts.a]\nentry = { table = \"condition\", set = \"t2d\" }\n[cohorts.b]\nentry = { table = \"condition\", set = \"hf\" }\n\
                    [cohorts.target]\narms = [\"a\", \"b\"]\n";
        let of_target = "[cohorts.target]\nentry = { table = \"condition\", set = \"t2d\", occurrence = \"first\" }\n";
        let text = STUDY.replace(of_target, arms);
        assert_ne!(text, STUDY);
        let other = text.replace("set = \"hf\" }", "set = \"hf\", washout = 365 }");
        assert_ne!(of(&text, 0), of(&other, 0));
        let size = |text: &str| cohort(&toml::from_str(text).unwrap(), "target", &[2000], 3).unwrap();
        assert_ne!(size(&text), size(&other));
    }

    /// How many are left after each step depends on the steps' order.
    #[test]
    fn an_attrition_in_another_order_is_another_question() {
        let text = STUDY.replace("kind = \"moments\"\nof = \"age\"", "kind = \"attrition\"");
        let list = "[{ age = [18, 120] }, { sex = [\"F\"] }]";
        let other = text.replace(list, "[{ sex = [\"F\"] }, { age = [18, 120] }]");
        assert_ne!(of(&text, 0), of(&other, 0));
        assert_eq!(of(&text, 1), of(&other, 1));
    }

    /// A feature may be called as a setting's word is.
    #[test]
    fn a_word_of_a_kind_is_no_feature() {
        let asked = |word: &str| {
            let analysis = format!(
                "kind = \"propensity\"\ntreatment = \"failure\"\nfeatures = [\"age\"]\noutcomes = [\"{word}\"]\neffect = \"{word}\"\n"
            );
            let feature = format!("[features.{word}]\nkind = \"sex\"\nlevels = [\"F\", \"M\"]\n[privacy]");
            let text = STUDY.replace("kind = \"moments\"\nof = \"age\"\n", &analysis).replace("[privacy]", &feature);
            of(&text, 0)
        };
        assert_ne!(asked("ate"), asked("att"));
    }

    #[test]
    fn another_question_is_another() {
        let base = of(STUDY, 0);
        for (from, to) in [
            ("18.0, 100.0", "18.0, 99.0"),
            ("\"E11*\"", "\"E10*\""),
            ("[18, 120]", "[19, 120]"),
            ("\"first\"", "\"last\""),
            ("[concept_sets.hf]", "[code_systems]\nx = \"urn:x\"\n[concept_sets.hf]"),
            ("purpose = \"research\"", "purpose = \"research\"\nprecision = \"month\""),
        ] {
            assert_ne!(of(&STUDY.replace(from, to), 0), base, "{from} to {to}");
        }
        assert_ne!(of(STUDY, 1), base);
        let study: Study = toml::from_str(STUDY).unwrap();
        let with =
            |round, p, blocks: &[u16], version| hash(&study, (0, round, Hash([p; 32])), blocks, version).unwrap();
        let all = [
            with(0, 0, &[2000], 3),
            with(1, 0, &[2000], 3),
            with(0, 1, &[2000], 3),
            with(0, 0, &[2001], 3),
            with(0, 0, &[2000], 4),
        ];
        assert!((0..5).all(|i| (0..i).all(|j| all[i] != all[j])));
    }
}
