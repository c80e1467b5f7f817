//! A multi-layer perceptron: layers of units, each a bounded function of a weighted sum of the layer before. Without hidden layers it is a
//! linear predictor, so that linear, logistic, multinomial and Poisson models are the same code.
//!
//! Parameters lie in one vector: layer by layer, unit by unit, the bias and then the weights. The gradient of one layer for patient p is
//! δₚ ⊗ (1, aₚ), of what comes back from above and what came from below, and its squared norm is ‖δₚ‖²(1 + ‖aₚ‖²) (Goodfellow 2015, "Efficient
//! per-example gradient computations"): so every patient's norm is known from matrix products over many patients at once, and no patient's
//! gradient is formed to know it.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice};

/// No network has more parameters: those of a round travel in one message of at most 16 MiB.
pub const MOST_PARAMETERS: usize = 1_500_000;

/// What a hidden unit does with its weighted sum. Both are bounded, so that a patient's activations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The hyperbolic tangent.
    Tanh,
    /// The sum where it lies between 0 and [`CUT`], else the nearer of both.
    Relu,
}

/// A unit of the kind [`Activation::Relu`] says no more than this.
pub const CUT: f64 = 8.0;

impl Activation {
    fn of(self, z: f64) -> f64 {
        match self {
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.clamp(0.0, CUT),
        }
    }

    /// The slope, from what the unit says.
    fn slope(self, a: f64) -> f64 {
        match self {
            Activation::Tanh => 1.0 - a * a,
            Activation::Relu => f64::from(u8::from(a > 0.0 && a < CUT)),
        }
    }
}

/// One layer's sizes, and the place of its first parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Units.
    pub outputs: usize,
    /// The place of its first parameter.
    pub first: usize,
}

/// A network's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    sizes: Vec<usize>,
    activation: Activation,
}

/// What a network said of some patients: what came into each layer, and the last sums.
pub(crate) struct Tape {
    into: Vec<Array2<f64>>,
    /// Patients × outputs.
    pub(crate) outputs: Array2<f64>,
}

/// The gradients of some patients, not multiplied out.
pub(crate) struct Factors {
    /// For each layer what came into it and what comes back to its sums: patients × inputs, patients × units.
    pub(crate) layers: Vec<(Layer, Array2<f64>, Array2<f64>)>,
    /// Each patient's squared norm over all layers.
    pub(crate) norm2: Array1<f64>,
}

/// The same, each patient's numbers side by side: a product with one column may come the other way.
fn by_rows(m: Array2<f64>) -> Array2<f64> {
    if m.is_standard_layout() { m } else { m.as_standard_layout().into_owned() }
}

impl Network {
    /// Of so many inputs, hidden units layer by layer, and outputs. `None` where a layer has no unit, or there are more than
    /// [`MOST_PARAMETERS`].
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Option<Network> {
        let sizes: Vec<usize> = std::iter::once(inputs).chain(hidden.iter().copied()).chain([outputs]).collect();
        let network = Network { sizes, activation };
        let each = network.sizes.windows(2).map(|w| match w {
            [a, b] => a.checked_add(1).and_then(|a| a.checked_mul(*b)),
            _ => None,
        });
        let all = each.collect::<Option<Vec<_>>>()?.into_iter().try_fold(0usize, usize::checked_add)?;
        (network.sizes.iter().skip(1).all(|n| *n > 0) && all <= MOST_PARAMETERS).then_some(network)
    }

    /// The layers, from the features on.
    pub fn layers(&self) -> impl Iterator<Item = Layer> + '_ {
        self.sizes.windows(2).scan(0usize, |next, w| {
            let [inputs, outputs] = *w else { return None };
            let first = *next;
            *next += outputs * (inputs + 1);
            Some(Layer { inputs, outputs, first })
        })
    }

    /// How many parameters.
    pub fn parameters(&self) -> usize {
        self.layers().map(|l| l.outputs * (l.inputs + 1)).sum()
    }

    /// Whether it has no hidden layer.
    pub fn is_linear(&self) -> bool {
        self.sizes.len() == 2
    }

    /// Features that come in.
    pub fn inputs(&self) -> usize {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// Numbers that come out.
    pub fn outputs(&self) -> usize {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// Whether the parameter at a place is a bias.
    pub fn is_bias(&self, place: usize) -> bool {
        let at = |l: Layer| place >= l.first && place < l.first + l.outputs * (l.inputs + 1);
        self.layers().find(|l| at(*l)).is_some_and(|l| (place - l.first).is_multiple_of(l.inputs + 1))
    }

    /// A layer's parameters: units × (1 + inputs). `None` where there are not so many.
    fn of_layer(theta: &[f64], layer: Layer) -> Option<ArrayView2<'_, f64>> {
        let many = layer.outputs * (layer.inputs + 1);
        let own = theta.get(layer.first..layer.first + many)?;
        ArrayView2::from_shape((layer.outputs, layer.inputs + 1), own).ok()
    }

    /// What it says of patients' features, patients × inputs. `None` where parameters or features are not as many as it has.
    pub(crate) fn forward(&self, theta: &[f64], x: Array2<f64>) -> Option<Tape> {
        if x.ncols() != self.inputs() || theta.len() != self.parameters() {
            return None;
        }
        let mut into = Vec::with_capacity(self.sizes.len());
        let last = self.sizes.len() - 2;
        let mut a = x;
        for (i, layer) in self.layers().enumerate() {
            let own = Self::of_layer(theta, layer)?;
            let mut z = by_rows(a.dot(&own.slice_axis(Axis(1), Slice::from(1..)).t()) + own.column(0));
            into.push(a);
            if i < last {
                z.mapv_inplace(|z| self.activation.of(z));
            }
            a = z;
        }
        Some(Tape { into, outputs: a })
    }

    /// The gradients at parameters, from the slope of each patient's log-likelihood in the outputs.
    pub(crate) fn backward(&self, theta: &[f64], tape: Tape, residual: Array2<f64>) -> Option<Factors> {
        let all: Vec<Layer> = self.layers().collect();
        let mut norm2 = Array1::zeros(residual.nrows());
        let mut layers = Vec::with_capacity(all.len());
        let mut delta = residual;
        for (layer, a) in all.into_iter().zip(tape.into).rev() {
            let squared = |m: &Array2<f64>| m.mapv(|v| v * v).sum_axis(Axis(1));
            norm2 += &(squared(&delta) * (squared(&a) + 1.0));
            let below = if layer.first > 0 {
                let own = Self::of_layer(theta, layer)?;
                let back = delta.dot(&own.slice_axis(Axis(1), Slice::from(1..)));
                Some(by_rows(back * a.mapv(|a| self.activation.slope(a))))
            } else {
                None
            };
            layers.push((layer, a, delta));
            match below {
                Some(below) => delta = below,
                None => break,
            }
        }
        layers.reverse();
        Some(Factors { layers, norm2 })
    }
}
