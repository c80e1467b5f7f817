//! A model of more than a million parameters goes through a federation: its orders, its releases, the coordinator's state and the file.

use study::model::safetensors;

use crate::reference::{Table, feature, federated_at};

#[test]
fn a_million_parameters_are_trained_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["x", "y"].map(str::to_owned).to_vec();
    let row = |i: usize| vec![format!("{}", (i * 7) % 40), format!("{}", usize::from((i * 7) % 40 > 20))];
    let table = Table { names, rows: (0..24).map(row).collect() };
    let mut study = [feature("x", "bounds = [0, 40]"), feature("y", "levels = [0, 1]")].concat();
    study += "[[analysis]]\nkind = \"train\"\nname = \"large\"\noutcome = \"y\"\nfeatures = [\"x\"]\n[analysis.model]\nfamily = \"logistic\"\n\
              hidden = [4096, 250]\nseed = 3\n[analysis.prepare]\nscale = \"moments\"\n[analysis.strategy]\nrounds = 3\nlearning_rate = 0.05\nclip = 5\n\
              optimiser = \"adam\"\naverage = false\n";
    let results = federated_at(dir.path(), &table, &study, "off", (3, &|row| row % 3));
    let file = dir.path().join("out/models/large.safetensors");
    let model = safetensors::read(&std::fs::read(&file).unwrap()).unwrap();
    // Weights and biases of three layers, and what is frozen of one column.
    assert_eq!(model.parameters.len(), 4096 * 2 + 250 * 4097 + 251 + 2);
    let losses = results["analyses"][0]["estimate"]["curves"][0]["points"].as_array().unwrap();
    let loss = |i: usize| losses[i][1].as_f64().unwrap();
    assert!(losses.len() == 3 && loss(2) < loss(0), "{losses:?}");
}
