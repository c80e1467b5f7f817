//! Whether an outcome, and each level of a category, has what a coefficient is told by.
//!
//! Where nobody of a level has the outcome, or everybody, its coefficient has no value: each Newton step moves it by about 1, and steps that
//! end before the noise has swallowed the curvature leave a number that looks like one. What says so in any round is the sums themselves.
//! Over the patients of a level, whose indicator squared is itself, a round's lanes say G = Σ (y − μ) and W = Σ of the curvatures, for a
//! logistic outcome Σ p (1 − p), for a count Σ μ. Then G + W is Σ y − Σ p² and Σ y, and W − G is Σ (1 − y) − Σ (1 − p)² of a logistic outcome:
//! the events of the level, or those without one, less what steps have not reached yet. A separated level has W ≤ |G| but for noise,
//! wherever the steps have led to; at the likelihood's top G is 0, and W is less than the events and than those without. So W − |G| has to be
//! told from its noise. (Of counts everybody's having events separates nothing, and W + G alone is asked, where G is below 0.) The same holds of the reference level, by the sums of all less those of the other levels, and of all
//! patients, by the intercept: an outcome that everybody has, or nobody, tells nothing of anything.
//!
//! Without noise W is what says it: it vanishes as the coefficient grows.

use nalgebra::{DMatrix, DVector};

use crate::ascent::Sums;
use crate::design::Design;

/// So many standard errors of its noise tell W − |G| from nothing: of levels without events one in 30,000 passes.
const TOLD: f64 = 4.0;
/// Without noise: so few events expected are none.
const NOTHING: f64 = 1e-3;
/// A coefficient as long as this is on its way to where there is none: the ratio is near 3,000.
pub(crate) const FARTHEST: f64 = 8.0;
/// A linear predictor beyond this has been moved by several steps of 1.
const ON_ITS_WAY: f64 = 2.0;
/// What is added to a category's place among the categories for its reference level.
pub(crate) const REFERENCE: usize = 1 << 20;

/// A sum over the patients of one level, or of all.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The level's column, the intercept not counted; [`REFERENCE`] and more for a reference level; `None` for all patients.
    level: Option<usize>,
    /// The places of the sums, each with its sign and the norm of its rows.
    of: Vec<(usize, f64, f64)>,
    /// The places of the coefficients that it moves.
    moves: Vec<usize>,
    /// Whether everybody's having the outcome separates as nobody's does: of no or yes, not of counts.
    both: bool,
}

/// The groups of a design, whose rows begin with the places of these baselines and the norms of their rows: an intercept, or intervals.
pub(crate) fn groups(design: &Design, baselines: &[(usize, f64)], both: bool) -> Vec<Group> {
    let norm = design.norm();
    let (own, first) = (usize::from(design.is_intercept(0)), baselines.len());
    let all: Vec<(usize, f64, f64)> = baselines.iter().map(|(place, norm)| (*place, 1.0, *norm)).collect();
    let mut out = Vec::new();
    if !all.is_empty() {
        out.push(Group { level: None, moves: all.iter().map(|b| b.0).collect(), of: all.clone(), both });
    }
    for (category, columns) in design.categories().into_iter().enumerate() {
        let places = columns.map(|c| c - own);
        let mut rest = all.clone();
        for level in places.clone() {
            let of = vec![(level + first, 1.0, norm)];
            out.push(Group { level: Some(level), of, moves: vec![level + first], both });
            rest.push((level + first, -1.0, norm));
        }
        if !all.is_empty() {
            let moves = places.map(|p| p + first).collect();
            out.push(Group { level: Some(REFERENCE + category), of: rest, moves, both });
        }
    }
    out
}

/// What has too little to tell anything by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lack {
    /// The outcome.
    Outcome,
    /// These levels.
    Levels(Vec<usize>),
}

/// The sums of a round as [`lack`] takes them, of one hospital or of several.
pub(crate) struct Seen {
    gradient: DVector<f64>,
    diagonal: DVector<f64>,
    variances: (f64, f64),
    unit: f64,
}

impl Seen {
    pub(crate) fn of(sums: &Sums) -> Seen {
        Seen {
            gradient: sums.gradient.clone(),
            diagonal: sums.curvature.diagonal(),
            variances: (sums.gradient_variance, sums.curvature_variance),
            unit: sums.unit,
        }
    }

    /// Of all of them together.
    pub(crate) fn together<'a>(all: impl Iterator<Item = &'a Sums>) -> Option<Seen> {
        all.map(Seen::of).reduce(|a, b| Seen {
            gradient: a.gradient + b.gradient,
            diagonal: a.diagonal + b.diagonal,
            variances: (a.variances.0 + b.variances.0, a.variances.1 + b.variances.1),
            unit: a.unit,
        })
    }

    fn exact(&self) -> bool {
        self.variances == (0.0, 0.0)
    }

    /// W, what G takes of it, and the noise's standard error of their difference, in patients or events.
    fn of_group(&self, group: &Group) -> (f64, f64, f64) {
        let (mut w, mut g, mut variance) = (0.0, 0.0, 0.0);
        for (place, sign, norm) in &group.of {
            let at = |v: &DVector<f64>| v.get(*place).copied().unwrap_or(0.0);
            w += sign * norm * norm * at(&self.diagonal);
            g += sign * norm * at(&self.gradient);
            variance += norm.powi(2) * self.variances.0 + norm.powi(4) * self.variances.1;
        }
        let taken = if group.both { g.abs() } else { (-g).max(0.0) };
        (self.unit * w, self.unit * taken, self.unit * variance.sqrt())
    }

    /// Whether a group has too little.
    fn lacks(&self, group: &Group, theta: &[f64]) -> bool {
        let (w, g, noise) = self.of_group(group);
        if !self.exact() {
            return w - g <= TOLD * noise;
        }
        let norm = group.of.last().map_or(1.0, |(_, _, norm)| *norm);
        w < NOTHING && group.moves.iter().any(|m| theta.get(*m).is_some_and(|t| (t / norm).abs() > FARTHEST))
    }

    /// Whether coefficients lead a level to everybody's having the outcome and the reference to nobody's, or the other way round.
    fn opposite(&self, all: &Group, groups: &[Group], theta: &[f64]) -> bool {
        let (at, norm) = (|i: usize| theta.get(i).copied().unwrap_or(0.0), all.of.last().map_or(1.0, |o| o.2));
        let base = all.moves.first().map_or(0.0, |i| at(*i));
        let far = |eta: f64| (eta / norm).abs() > ON_ITS_WAY;
        let is_opposite = |i: &usize| far(base) && far(base + at(*i)) && base.signum() != (base + at(*i)).signum();
        let levels = groups.iter().filter(|g| g.level.is_some_and(|l| l < REFERENCE));
        all.both && levels.flat_map(|g| &g.moves).any(is_opposite)
    }

    /// What lacks, at coefficients.
    pub(crate) fn lack(&self, groups: &[Group], theta: &[f64]) -> Option<Lack> {
        let lacking: Vec<&Group> = groups.iter().filter(|g| self.lacks(g, theta)).collect();
        let levels: Vec<usize> = lacking.iter().filter_map(|g| g.level).collect();
        match lacking.iter().find(|g| g.level.is_none()) {
            // Where a level separates all patients, nobody of one has the outcome and everybody of another.
            Some(all) if !self.opposite(all, groups, theta) => Some(Lack::Outcome),
            _ => (!levels.is_empty()).then_some(Lack::Levels(levels)),
        }
    }

    /// Whether all patients of these sums have the outcome, or none has, as far as a late round tells: without noise the intercept alone
    /// would move by 1 or more.
    pub(crate) fn has_one_class(&self, groups: &[Group], late: bool) -> bool {
        let Some(all) = groups.iter().find(|g| g.level.is_none()) else { return false };
        let (w, g, noise) = self.of_group(all);
        if self.exact() { w < NOTHING || late && w <= g } else { w - g <= TOLD * noise }
    }

    /// Whether these sums say nothing of the outcome, wherever it may lead: unlike [`Seen::has_one_class`], at coefficients that may be far
    /// from the hospital's own.
    pub(crate) fn says_nothing(&self, groups: &[Group]) -> bool {
        let Some(all) = groups.iter().find(|g| g.level.is_none()) else { return false };
        let (w, _, noise) = self.of_group(all);
        if self.exact() { w < NOTHING } else { w <= TOLD * noise }
    }

    /// The columns of levels that tell nothing at one hospital: of which nobody, or everybody, has the outcome, or that nobody is of.
    pub(crate) fn untold(&self, groups: &[Group]) -> Vec<usize> {
        let lacking = |group: &&Group| {
            let (w, taken, noise) = self.of_group(group);
            w - taken <= TOLD * noise
        };
        groups.iter().filter(|g| g.level.is_some()).filter(lacking).flat_map(|g| g.moves.clone()).collect()
    }

    /// Of each category that lacks a level, the columns without which the others can be told: those of the levels that nobody is of, and
    /// where it is the reference that lacks, another level's, which takes its place.
    pub(crate) fn absent(&self, groups: &[Group]) -> Vec<usize> {
        let floor = 1e-9 * self.unit * self.diagonal.max().max(f64::MIN_POSITIVE);
        let is_absent = |group: &&Group| {
            let (w, _, noise) = self.of_group(group);
            w <= floor.max(TOLD * noise)
        };
        let mut out: Vec<usize> = Vec::new();
        for group in groups.iter().filter(|g| g.level.is_some()).filter(is_absent) {
            out.extend(group.moves.iter().copied().find(|m| !out.contains(m)));
        }
        out
    }
}

/// Takes columns out of a curvature and a gradient: they are 0, and move nothing.
pub(crate) fn mask(columns: &[usize], gradient: &mut DVector<f64>, curvature: &mut DMatrix<f64>) {
    let (largest, width) = (curvature.diagonal().max(), gradient.len());
    for c in columns.iter().filter(|c| **c < width) {
        gradient[*c] = 0.0;
        curvature.row_mut(*c).fill(0.0);
        curvature.column_mut(*c).fill(0.0);
        curvature[(*c, *c)] = largest;
    }
}

/// How levels are called, as [`Lack::Levels`] has them.
pub(crate) fn named(design: &Design, levels: &[usize]) -> String {
    let (names, own) = (design.names(), usize::from(design.is_intercept(0)));
    let of = |level: &usize| match level.checked_sub(REFERENCE) {
        Some(category) => design.reference(category),
        None => names.get(level + own).cloned(),
    };
    let all: Vec<String> = levels.iter().filter_map(of).map(|n| format!("'{n}'")).collect();
    all.join(" or ")
}
