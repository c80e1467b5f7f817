//! How each feature becomes inputs of a network, piece by piece: for software that is not ours.

use super::gradient::Model;
use super::prepare::{Learned, Missing, Plan};
use crate::design::Term;
use crate::spline::Basis;

/// What the scaled columns of a feature are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A number, clipped to its bounds, which become −1 and 1.
    Number([f64; 2]),
    /// A spline of a number.
    Spline(Basis),
    /// Indicators of so many levels but the first.
    Level(usize),
}

/// The inputs of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Its scaled columns.
    pub source: Source,
    /// Of each column a shift, which is taken off, and a factor.
    pub affine: Vec<[f64; 2]>,
    /// What columns are, ready, where the feature is missing; `None` where there is no prediction then.
    pub fill: Option<Vec<f64>>,
}

/// All inputs: the pieces, then products of two of their columns, then for each feature whether it is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// A piece a feature.
    pub of_features: Vec<Piece>,
    /// The columns of each product, counted over all pieces.
    pub pairs: Vec<(usize, usize)>,
    /// Whether there are indicators of missing features.
    pub indicators: bool,
}

impl Model {
    /// The inputs, as parameters with what is frozen in front of them have it; `None` where these do not fit.
    pub fn pieces(&self, parameters: &[f64]) -> Option<Pieces> {
        let (model, _) = self.at(parameters)?;
        let nothing = Plan::new(self.design(), Learned { moments: false, missing: Missing::Drop, share: 0.0 });
        let plan = model.plan().unwrap_or(&nothing);
        let mut next = 0;
        let of = |term: &Term| {
            let source = match term {
                Term::Real { lower, upper, .. } => Source::Number([*lower, *upper]),
                Term::Spline { basis, .. } => Source::Spline(basis.clone()),
                Term::Level { levels, .. } => Source::Level(levels.len()),
            };
            let width = match &source {
                Source::Number(_) => 1,
                Source::Spline(basis) => basis.columns(),
                Source::Level(n) => n.saturating_sub(1),
            };
            let (affine, fill): (Vec<_>, Vec<_>) = (next..next + width).map(|c| model.prepared().of_column(c)).unzip();
            next += width;
            Piece { source, affine, fill: fill.into_iter().collect() }
        };
        let of_features = self.design().all().iter().map(of).collect();
        Some(Pieces { of_features, pairs: self.design().pairs(), indicators: plan.indicators() > 0 })
    }
}
