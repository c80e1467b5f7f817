//! Principal components of numbers within public bounds, from their noisy covariance in one round (Dwork and others 2014, "Analyze Gauss").
//!
//! Each of d numbers is mapped to [−1, 1] and divided by √d, so that a row u has ‖u‖ ≤ 1. A complete patient adds (1, u, u uᵀ), entries
//! above the diagonal times √2: the norm is at most √3, a lane at most 1.
//!
//! With C = S₂/n − m mᵀ, and R its correlations where numbers are scaled by their SDs, an eigenvalue λ_k moves by e_k' dR e_k and its
//! eigenvector by Σ_{l≠k} e_l (e_l' dR e_k)/(λ_k − λ_l). Both are linear in dC, tr(G dC): the sampling variance of normal numbers is
//! 2 tr(G C G C)/n (Anderson 2003, chapter 13), the noise's v times the squares of what each lane does.
//!
//! A component whose eigenvalue is below the spectral norm of the noise, or whose neighbour is too near to be told apart, is withheld: the
//! eigenvectors of noise alone look like any others.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::batch::PatientBatch;
use crate::estimate::{Curve, Estimate, Reporting, Row, patients};
use crate::lanes::{FIXED_POINT, Lanes, Layout, MergedRelease, Sensitivity, encode};
use crate::statistic::{AccumulateError, Input, Statistic, real};

/// What numbers are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Their standard deviations: components of the correlations.
    #[default]
    Sd,
    /// Half the distance of their public bounds.
    Bounds,
}

/// The covariance of some numbers. The inputs are these.
#[derive(Clone, Debug)]
pub struct Pca {
    bounds: Vec<[f64; 2]>,
    scale: Scale,
}

/// The moments that the lanes say.
struct Moments {
    n: f64,
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

/// A part of a decomposition: which lanes move it how is told by G.
struct Errors<'a> {
    moments: &'a Moments,
    v: f64,
}

impl Errors<'_> {
    /// The sampling and the noise standard error of what moves by tr(G dC).
    fn of(&self, g: &DMatrix<f64>) -> (f64, f64) {
        let Moments { n, mean, covariance } = self.moments;
        let gc = g * covariance;
        let sampling = (2.0 * (&gc * &gc).trace() / n).max(0.0).sqrt();
        let d = mean.len();
        let mut squares = ((mean.transpose() * g * mean)[(0, 0)] - gc.trace()).powi(2);
        squares += 4.0 * (g * mean).norm_squared();
        for i in 0..d {
            squares += g[(i, i)].powi(2) + (i + 1..d).map(|j| 2.0 * g[(i, j)].powi(2)).sum::<f64>();
        }
        (sampling, (self.v * squares).sqrt() / n)
    }
}

impl Pca {
    /// Of 2 to 50 numbers; `None` unless each has its lower bound first.
    pub fn new(bounds: Vec<[f64; 2]>, scale: Scale) -> Option<Pca> {
        let fit = bounds.iter().all(|[low, high]| low < high && low.is_finite() && high.is_finite());
        (fit && (2..=50).contains(&bounds.len())).then_some(Pca { bounds, scale })
    }

    fn moments(&self, merged: &MergedRelease) -> Moments {
        let (d, layout) = (self.bounds.len(), self.layout());
        let at = |lane: usize| merged.value(lane, &layout);
        let n = at(0);
        let mean = DVector::from_fn(d, |i, _| at(1 + i) / n);
        let mut second = DMatrix::zeros(d, d);
        let mut lane = 1 + d;
        for i in 0..d {
            for j in i..d {
                let value = at(lane) / n / if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
                second[(i, j)] = value;
                second[(j, i)] = value;
                lane += 1;
            }
        }
        let covariance = second - &mean * mean.transpose();
        Moments { n, mean, covariance }
    }
}

impl Statistic for Pca {
    fn name(&self) -> &'static str {
        "pca"
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::Real; self.bounds.len()]
    }
    fn layout(&self) -> Layout {
        let d = self.bounds.len();
        Layout { lanes: 1 + d + d * (d + 1) / 2, scale: FIXED_POINT }
    }
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::fixed_point(self.layout().lanes, 3f64.sqrt(), 1.0)
    }
    fn accumulate(&self, patients: &PatientBatch, lanes: &mut Lanes) -> Result<(), AccumulateError> {
        const NAME: &str = "pca";
        self.check(lanes)?;
        let d = self.bounds.len();
        let columns = (0..d).map(|i| real(NAME, patients, i)).collect::<Result<Vec<_>, _>>()?;
        let shrink = (d as f64).sqrt();
        for row in 0..patients.patients() {
            let scaled = |(column, [low, high]): (&&[f64], &[f64; 2])| {
                let x = column.get(row).copied().unwrap_or(f64::NAN);
                let y = (x.clamp(*low, *high) - f64::midpoint(*low, *high)) / ((high - low) / 2.0);
                y.clamp(-1.0, 1.0) / shrink
            };
            let u: Vec<f64> = columns.iter().zip(&self.bounds).map(scaled).collect();
            if u.iter().any(|u| u.is_nan()) {
                continue;
            }
            let entry = |i: usize, j: usize| if i == j { 1.0 } else { std::f64::consts::SQRT_2 };
            let products = u
                .iter()
                .enumerate()
                .flat_map(|(i, a)| u.iter().enumerate().skip(i).map(move |(j, b)| entry(i, j) * a * b));
            for (lane, x) in std::iter::once(1.0).chain(u.iter().copied()).chain(products).enumerate() {
                lanes.add(NAME, lane, encode(x))?;
            }
        }
        Ok(())
    }
    fn estimate(&self, merged: &MergedRelease, reporting: &Reporting) -> Estimate {
        let (d, layout) = (self.bounds.len(), self.layout());
        let v = merged.variance(&layout);
        let withheld = |why: &str| Row::withheld("component 1", "eigenvalue", why);
        let n = patients("complete", merged.value(0, &layout), v.sqrt(), reporting);
        let shown = !n.suppressed;
        let mut out = Estimate { rows: vec![n], curves: Vec::new() };
        let moments = self.moments(merged);
        if !shown || moments.n < (d as f64 + 1.0).max(5.0 * v.sqrt()) {
            out.rows.push(withheld("too few complete patients, or too noisy to report"));
            return out;
        }
        // The spectral norm of the noise in C, and the least variance that is told from it.
        let floor = (2.0 * d as f64 * v).sqrt() / moments.n;
        let variances = moments.covariance.diagonal();
        if variances.min() <= (2.0 * floor).max(1e-12) {
            out.rows.push(withheld("a number never varies, or its variance is lost in the noise"));
            return out;
        }
        // Numbers in units of their scale; u is 1/√d of the bounds' half.
        let per = match self.scale {
            Scale::Sd => variances.map(|s| 1.0 / s.sqrt()),
            Scale::Bounds => DVector::from_element(d, (d as f64).sqrt()),
        };
        let scaling = DMatrix::from_diagonal(&per);
        let eigen = (&scaling * &moments.covariance * &scaling).symmetric_eigen();
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let values: Vec<f64> = order.iter().map(|k| eigen.eigenvalues[*k]).collect();
        let vectors: Vec<DVector<f64>> =
            order.iter().map(|k| upright(eigen.eigenvectors.column(*k).into_owned())).collect();
        let errors = Errors { moments: &moments, v };
        let moves = |k: usize, l: usize| self.moves(&vectors, &values, (k, l), &scaling);
        let floor = floor * per.max().powi(2);
        let all: f64 = values.iter().sum();
        let mut points = Vec::new();
        for (k, (value, vector)) in values.iter().zip(&vectors).enumerate() {
            let term = format!("component {}", k + 1);
            if v > 0.0 && *value <= floor {
                out.rows.push(Row::withheld(&term, "eigenvalue", "below what the noise alone has"));
                continue;
            }
            let (sampling, noise) = errors.of(&moves(k, k));
            let row = Row::normal(&term, "eigenvalue", *value, sampling, noise, reporting.z());
            let row = row.within(0.0, f64::INFINITY);
            points.push([(k + 1) as f64, *value, row.lower.unwrap_or(*value), row.upper.unwrap_or(*value)]);
            out.rows.push(row);
            out.rows.push(Row::test(&term, "explained variance", value / all, "as a share of all"));
            let near = values.iter().enumerate().filter(|(l, _)| *l != k).map(|(_, o)| (value - o).abs());
            let near = near.fold(f64::INFINITY, f64::min);
            for i in 0..d {
                let term = format!("{term}, {}", reporting.name(i));
                if near <= floor.max(1e-9) {
                    out.rows.push(Row::withheld(&term, "loading", "another component's eigenvalue is too near"));
                    continue;
                }
                let mut g = DMatrix::zeros(d, d);
                for (l, (other, e)) in values.iter().zip(&vectors).enumerate().filter(|(l, _)| *l != k) {
                    g += moves(k, l) * (e[i] / (value - other));
                }
                let (sampling, noise) = errors.of(&g);
                out.rows
                    .push(Row::normal(&term, "loading", vector[i], sampling, noise, reporting.z()).within(-1.0, 1.0));
            }
        }
        out.curves.push(Curve {
            title: "eigenvalues".into(),
            kind: "line".into(),
            x_label: "component".into(),
            y_label: "eigenvalue".into(),
            points,
        });
        out
    }
}

impl Pca {
    /// G of e_l' dR e_k.
    fn moves(
        &self,
        e: &[DVector<f64>],
        values: &[f64],
        (k, l): (usize, usize),
        scaling: &DMatrix<f64>,
    ) -> DMatrix<f64> {
        let zero = || DMatrix::zeros(scaling.nrows(), scaling.ncols());
        let (Some(a), Some(b), Some(x), Some(y)) = (e.get(k), e.get(l), values.get(k), values.get(l)) else {
            return zero();
        };
        let mut g = (a * b.transpose() + b * a.transpose()) / 2.0;
        if self.scale == Scale::Sd {
            // The standard deviations that the numbers are divided by are estimates too.
            g -= DMatrix::from_diagonal(&a.component_mul(b)) * f64::midpoint(*x, *y);
        }
        scaling * g * scaling
    }
}

/// The vector whose largest entry is above 0.
fn upright(v: DVector<f64>) -> DVector<f64> {
    if v[v.iamax()] < 0.0 { -v } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::evidence::{Draws, get, near, noise_is_as_said, numbers, release, reporting, table};

    const PCA: [(f64, [f64; 4]); 4] = [
        (1.442_891_043, [0.543_811_787, 0.546_785_151, 0.491_282_065, 0.404_890_938]),
        (0.987_774_670, [-0.353_588_439, 0.288_838_069, -0.523_153_462, 0.719_623_681]),
        (0.794_902_940, [0.243_220_552, 0.621_912_275, -0.534_140_762, -0.518_423_120]),
        (0.774_431_347, [0.721_171_075, -0.480_441_142, -0.446_817_674, 0.222_356_820]),
    ];

    /// numpy's eigenvalues of the correlations of four numbers of birthwt; of R's prcomp(scale. = TRUE) they are sdev².
    #[test]
    fn birthwts_components_are_those_of_the_correlations() {
        let Some(d) = table("regression-reference/birthwt.csv") else { return };
        let names = ["age", "lwt", "ftv", "bwt"];
        let bounds = vec![[10.0, 50.0], [50.0, 300.0], [0.0, 10.0], [500.0, 6000.0]];
        let s = Pca::new(bounds, Scale::Sd).unwrap();
        let e = s.estimate(&release(&s, names.map(|n| numbers(&d[n])).to_vec()), &reporting(&names, &[]));
        for (k, (value, loadings)) in PCA.iter().enumerate() {
            let term = format!("component {}", k + 1);
            near(&e, &term, "eigenvalue", *value, 1e-8);
            near(&e, &term, "explained variance", value / 4.0, 1e-8);
            for (name, loading) in names.iter().zip(loadings) {
                near(&e, &format!("{term}, {name}"), "loading", *loading, 1e-7);
            }
        }
        assert!((get(&e, "complete", "n").estimate.unwrap() - 189.0).abs() < 1e-6);
    }

    fn drawn(draws: &mut Draws, n: usize) -> Vec<Column> {
        let mut columns = vec![Vec::new(); 3];
        for _ in 0..n {
            let common = draws.normal();
            for (i, c) in columns.iter_mut().enumerate() {
                c.push(common * [1.0, 0.8, 0.2][i] + draws.normal() * 0.7);
            }
        }
        columns.into_iter().map(Column::Real).collect()
    }

    #[test]
    fn both_errors_are_what_they_do() {
        let names = reporting(&["a", "b", "c"], &[]);
        for scale in [Scale::Sd, Scale::Bounds] {
            let s = Pca::new(vec![[-6.0, 6.0]; 3], scale).unwrap();
            let exact = release(&s, drawn(&mut Draws(2), 4_000));
            let rows = [("component 1", "eigenvalue"), ("component 1, c", "loading")];
            noise_is_as_said(&s, &exact, 1.0, &names, &rows);
            // Sampling: 300 samples, whose SD has a standard error of 4 %.
            let mut draws = Draws(8);
            let all: Vec<Estimate> =
                (0..300).map(|_| s.estimate(&release(&s, drawn(&mut draws, 500)), &names)).collect();
            for (term, statistic) in rows {
                let values: Vec<f64> = all.iter().map(|e| get(e, term, statistic).estimate.unwrap()).collect();
                let mean = values.iter().sum::<f64>() / 300.0;
                let seen = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 299.0).sqrt();
                let said = all.iter().map(|e| get(e, term, statistic).sampling_se.unwrap()).sum::<f64>() / 300.0;
                assert!((said / seen - 1.0).abs() < 0.2, "{scale:?} {term}: {seen} seen, {said} said");
            }
        }
    }

    #[test]
    fn a_component_of_noise_is_withheld() {
        let s = Pca::new(vec![[-6.0, 6.0]; 3], Scale::Bounds).unwrap();
        let exact = release(&s, drawn(&mut Draws(2), 300));
        let e = s.estimate(&Draws(3).noisy(&s, &exact, 10.0), &reporting(&["a", "b", "c"], &[]));
        assert!(e.rows.iter().filter(|r| r.statistic != "n").all(|r| r.suppressed), "{e:?}");
    }
}
