//! A model as an ONNX graph, in 64-bit floating point (opset 17): `features`, patients × features in their own units, a category as the place of
//! its level, become `prediction`, patients × the outcome in its unit, the probability of yes, of each level, or the mean count.
//!
//! Numbers are clipped to their bounds, scaled and bent as in training, categories become indicators, and products of columns follow, so that the same file
//! says the same at every site. A missing number, or a category that is not among the levels, becomes what the training had in its place; where that left
//! such patients out, the prediction is no number.

use prost::Message as _;
use study::analysis::training::{FamilyWord, MOST_HAZARD, RELU_CUT};
use study::model::pieces::{Basis, Piece, Pieces, Source};

use super::messages::{
    Attribute, Dimension, Extent, Graph, Model, Node, OperatorSet, Property, Shape, Tensor, TensorType, Type, ValueInfo,
};
use super::{Asked, ModelError, Trained};

const INT64: i32 = 7;
const DOUBLE: i32 = 11;

/// The graph as it grows: nodes, constants, and the name of the last value.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Builder {
    pub(super) fn constant(&mut self, dims: &[usize], values: &[f64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.keep(dims, DOUBLE, raw)
    }

    fn place(&mut self, place: usize) -> String {
        self.places(&[place])
    }

    pub(super) fn places(&mut self, places: &[usize]) -> String {
        let raw = places.iter().flat_map(|p| (*p as i64).to_le_bytes()).collect();
        self.keep(&[places.len()], INT64, raw)
    }

    /// Yes and no as 1 and 0.
    pub(super) fn as_numbers(&mut self, value: &str) -> String {
        self.node("Cast", &[value], &[("to", i64::from(DOUBLE))])
    }

    fn keep(&mut self, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let name = format!("c{}", self.constants.len());
        let dims = dims.iter().map(|d| *d as i64).collect();
        self.constants.push(Tensor { dims, data_type, name: name.clone(), raw_data });
        name
    }

    pub(super) fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, i64)]) -> String {
        let name = format!("n{}", self.nodes.len());
        self.nodes.push(Node {
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: vec![name.clone()],
            name: format!("{op}_{}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute: attributes.iter().map(|(n, i)| Attribute { name: (*n).to_owned(), i: *i, r#type: 2 }).collect(),
        });
        name
    }

    /// Within two numbers.
    fn between(&mut self, value: &str, low: f64, high: f64) -> String {
        let (low, high) = (self.constant(&[1], &[low]), self.constant(&[1], &[high]));
        let above = self.node("Max", &[value, &low], &[]);
        self.node("Min", &[&above, &high], &[])
    }

    /// The inputs of a network.
    fn prepared(&mut self, pieces: &Pieces) -> String {
        let (mut columns, mut lacking) = (Vec::new(), Vec::new());
        for (i, piece) in pieces.of_features.iter().enumerate() {
            let place = self.place(i);
            let own = self.node("Gather", &["features", &place], &[("axis", 1)]);
            let (scaled, lacks) = self.scaled(&own, &piece.source);
            if let Some(scaled) = scaled {
                columns.push(self.ready(&scaled, &lacks, piece));
            }
            lacking.push(lacks);
        }
        let all: Vec<&str> = columns.iter().map(String::as_str).collect();
        let bases = self.node("Concat", &all, &[("axis", 1)]);
        let mut behind = vec![bases.clone()];
        if !pieces.pairs.is_empty() {
            let (a, b): (Vec<usize>, Vec<usize>) = pieces.pairs.iter().copied().unzip();
            let [a, b] = [a, b].map(|places| {
                let places = self.places(&places);
                self.node("Gather", &[&bases, &places], &[("axis", 1)])
            });
            behind.push(self.node("Mul", &[&a, &b], &[]));
        }
        if pieces.indicators {
            behind.extend(lacking.iter().map(|l| self.as_numbers(l)).collect::<Vec<_>>());
        }
        let all: Vec<&str> = behind.iter().map(String::as_str).collect();
        if let [one] = all.as_slice() { (*one).to_owned() } else { self.node("Concat", &all, &[("axis", 1)]) }
    }

    /// A feature's scaled columns, and of which patients it is missing. A category of one level has no column.
    fn scaled(&mut self, own: &str, source: &Source) -> (Option<String>, String) {
        if let Source::Level(n) = source {
            let n = *n;
            let levels: Vec<f64> = (0..n).map(|l| l as f64).collect();
            let levels = self.constant(&[1, n], &levels);
            let is = self.node("Equal", &[own, &levels], &[]);
            let is = self.as_numbers(&is);
            let ones = self.constant(&[n, 1], &vec![1.0; n]);
            let known = self.node("MatMul", &[&is, &ones], &[]);
            let none = self.constant(&[1], &[0.0]);
            let lacks = self.node("Equal", &[&known, &none], &[]);
            if n < 2 {
                return (None, lacks);
            }
            // All levels but the first, to which the others are compared.
            let others: Vec<f64> = (0..n).flat_map(|i| (1..n).map(move |j| f64::from(u8::from(i == j)))).collect();
            let others = self.constant(&[n, n - 1], &others);
            return (Some(self.node("MatMul", &[&is, &others], &[])), lacks);
        }
        let lacks = self.node("IsNaN", &[own], &[]);
        let (low, high) = match source {
            Source::Spline(basis) => basis.bounds(),
            Source::Number([low, high]) => (*low, *high),
            Source::Level(_) => (0.0, 0.0),
        };
        let within = self.between(own, low, high);
        if let Source::Spline(basis) = source {
            return (Some(self.spline(&within, basis)), lacks);
        }
        let (middle, half) = (f64::midpoint(low, high), (high - low) / 2.0);
        let (middle, half) = (self.constant(&[1], &[middle]), self.constant(&[1], &[half]));
        let off = self.node("Sub", &[&within, &middle], &[]);
        (Some(self.node("Div", &[&off, &half], &[])), lacks)
    }

    /// The scaled columns of a spline: cubes above its knots, straightened beyond the last two, then its map.
    fn spline(&mut self, within: &str, basis: &Basis) -> String {
        let (knots, k, n) = (basis.knots(), basis.knots().len(), basis.columns());
        let at = self.constant(&[1, k], knots);
        let above = self.node("Sub", &[within, &at], &[]);
        let zero = self.constant(&[1], &[0.0]);
        let above = self.node("Max", &[&above, &zero], &[]);
        let squared = self.node("Mul", &[&above, &above], &[]);
        let cubes = self.node("Mul", &[&squared, &above], &[]);
        let mut bent = vec![0.0; k * (n - 1)];
        if let [first, .., before, last] = knots {
            let (unit, width) = ((last - first).powi(2), last - before);
            for (j, t) in knots.iter().take(n - 1).enumerate() {
                let c = (last - t) / width;
                for (knot, weight) in [(j, 1.0), (k - 2, -c), (k - 1, c - 1.0)] {
                    if let Some(slot) = bent.get_mut(knot * (n - 1) + j) {
                        *slot += weight / unit;
                    }
                }
            }
        }
        let bent = self.constant(&[k, n - 1], &bent);
        let bent = self.node("MatMul", &[&cubes, &bent], &[]);
        let own = self.node("Concat", &[within, &bent], &[("axis", 1)]);
        let map = basis.map();
        let linear: Vec<f64> = (0..n).flat_map(|j| (0..n).map(move |i| map[(i + 1, j + 1)])).collect();
        let linear = self.constant(&[n, n], &linear);
        let shift = self.constant(&[1, n], &(0..n).map(|i| map[(i + 1, 0)]).collect::<Vec<_>>());
        let own = self.node("MatMul", &[&own, &linear], &[]);
        let own = self.node("Add", &[&own, &shift], &[]);
        self.between(&own, -1.0, 1.0)
    }

    /// Columns less their shifts, times their factors; of who lacks the feature what stands for it, or no number.
    fn ready(&mut self, scaled: &str, lacks: &str, piece: &Piece) -> String {
        let n = piece.affine.len();
        let mut own = scaled.to_owned();
        if piece.affine.iter().any(|a| *a != [0.0, 1.0]) {
            let (shifts, factors): (Vec<f64>, Vec<f64>) = piece.affine.iter().map(|[s, f]| (*s, *f)).unzip();
            let (shifts, factors) = (self.constant(&[1, n], &shifts), self.constant(&[1, n], &factors));
            own = self.node("Sub", &[&own, &shifts], &[]);
            own = self.node("Mul", &[&own, &factors], &[]);
        }
        let fill = piece.fill.clone().unwrap_or_else(|| vec![f64::NAN; n]);
        let fill = self.constant(&[1, n], &fill);
        self.node("Where", &[lacks, &fill, &own], &[])
    }

    /// A network's outputs.
    fn network(&mut self, model: &Trained) -> Result<String, ModelError> {
        let pieces = model.network()?.pieces(&model.parameters);
        let pieces = pieces.ok_or_else(|| ModelError::Parameters(model.origin.analysis.clone()))?;
        let mut own = self.prepared(&pieces);
        let layers = model.layers()?;
        let last = layers.len().saturating_sub(1);
        for (i, layer) in layers.iter().enumerate() {
            let weights = self.constant(&[layer.outputs, layer.inputs], &layer.weights);
            let biases = self.constant(&[layer.outputs], &layer.biases);
            own = self.node("Gemm", &[&own, &weights, &biases], &[("transB", 1)]);
            if i < last {
                own = if model.is_tanh() { self.node("Tanh", &[&own], &[]) } else { self.between(&own, 0.0, RELU_CUT) };
            }
        }
        Ok(own)
    }

    /// What outputs mean.
    fn meaning(&mut self, model: &Trained, outputs: &str) -> String {
        let [low, high] = model.outcome.bounds.unwrap_or([0.0, 0.0]);
        match model.family() {
            FamilyWord::Logistic => self.node("Sigmoid", &[outputs], &[]),
            FamilyWord::Multinomial => self.node("Softmax", &[outputs], &[("axis", 1)]),
            FamilyWord::PartialLikelihood => self.node("Exp", &[outputs], &[]),
            FamilyWord::Poisson => {
                let mean = self.node("Exp", &[outputs], &[]);
                let most = self.constant(&[1], &[high]);
                self.node("Min", &[&mean, &most], &[])
            }
            FamilyWord::Hazards => {
                // 1 − exp(−Σ h), the hazards at most what they are in training.
                let n = model.outputs();
                let hazards = self.node("Exp", &[outputs], &[]);
                let most = self.constant(&[1], &[MOST_HAZARD]);
                let hazards = self.node("Min", &[&hazards, &most], &[]);
                let minus = self.constant(&[n, 1], &vec![-1.0; n]);
                let sum = self.node("MatMul", &[&hazards, &minus], &[]);
                let left = self.node("Exp", &[&sum], &[]);
                let one = self.constant(&[1], &[1.0]);
                self.node("Sub", &[&one, &left], &[])
            }
            FamilyWord::Linear => {
                let (half, middle) = ((high - low) / 2.0, f64::midpoint(low, high));
                let (half, middle) = (self.constant(&[1], &[half]), self.constant(&[1], &[middle]));
                let scaled = self.node("Mul", &[outputs, &half], &[]);
                self.node("Add", &[&scaled, &middle], &[])
            }
        }
    }
}

fn value(name: &str, columns: usize) -> ValueInfo {
    let dim = |value: Extent| Dimension { value: Some(value) };
    let dims = vec![dim(Extent::Named("patients".to_owned())), dim(Extent::Fixed(columns as i64))];
    let tensor_type = Some(TensorType { elem_type: DOUBLE, shape: Some(Shape { dim: dims }) });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
}

/// The file's bytes.
///
/// # Errors
/// The model has no feature, its file does not say what they are, or the parameters are not its own.
pub fn write(model: &Trained) -> Result<Vec<u8>, ModelError> {
    if model.inputs.iter().all(|i| i.columns() == 0) {
        return Err(ModelError::Export("it has no feature".to_owned()));
    }
    let mut graph = Builder::default();
    let outputs = match &model.asked {
        Asked::Train(_) => graph.network(model)?,
        Asked::Trees(t) => graph.trees(&model.boosted(t)?),
    };
    let own = graph.meaning(model, &outputs);
    graph.nodes.push(Node {
        input: vec![own],
        output: vec!["prediction".to_owned()],
        name: "prediction".to_owned(),
        op_type: "Identity".to_owned(),
        attribute: Vec::new(),
    });
    let file = Model {
        ir_version: 8,
        producer_name: "insitu".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: super::card::text(model),
        graph: Some(Graph {
            node: graph.nodes,
            name: "model".to_owned(),
            initializer: graph.constants,
            input: vec![value("features", model.inputs.len())],
            output: vec![value("prediction", model.foretold())],
        }),
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        metadata_props: vec![Property { key: "insitu".to_owned(), value: serde_json::to_string(model)? }],
    };
    Ok(file.encode_to_vec())
}
