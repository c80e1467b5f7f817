//! Wald's χ² of several estimates together: z' V⁻¹ z, where V need not have full rank.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// An eigenvalue of the correlations below this, beside the largest, is rounding.
const RANK: f64 = 1e-10;

/// χ² and its degrees of freedom, the rank of V; those of the estimates that never vary are left out. `None` where no estimate varies.
/// Source: Rao and Mitra, Generalized Inverse of Matrices (1971), section 9.2.
pub fn chi2(z: &DVector<f64>, variance: &DMatrix<f64>) -> Option<(f64, usize)> {
    // In units of each one's own error, so that the scale of one does not hide another.
    let scale = variance.diagonal().map(|v| if v > 0.0 { v.sqrt().recip() } else { 0.0 });
    let correlations = DMatrix::from_fn(z.len(), z.len(), |i, j| variance[(i, j)] * scale[i] * scale[j]);
    let eigen = SymmetricEigen::new(correlations);
    let floor = eigen.eigenvalues.max() * RANK;
    let scaled = z.component_mul(&scale);
    let (mut sum, mut rank) = (0.0, 0);
    for (value, vector) in eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()) {
        if *value > floor && floor > 0.0 {
            sum += vector.dot(&scaled).powi(2) / value;
            rank += 1;
        }
    }
    (rank > 0 && sum.is_finite()).then_some((sum, rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_full_rank_it_is_the_inverse_and_below_it_what_varies() {
        let v = DMatrix::from_row_slice(2, 2, &[4.0, 1.0, 1.0, 9.0]);
        let z = DVector::from_vec(vec![2.0, -3.0]);
        let wanted = (z.transpose() * v.clone().try_inverse().unwrap() * &z)[(0, 0)];
        let (got, rank) = chi2(&z, &v).unwrap();
        assert!((got - wanted).abs() < 1e-12 && rank == 2);
        // Two that are opposite, and one that is nothing.
        let v = DMatrix::from_row_slice(3, 3, &[4.0, -4.0, 0.0, -4.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let (got, rank) = chi2(&DVector::from_vec(vec![2.0, -2.0, 0.0]), &v).unwrap();
        assert!((got - 1.0).abs() < 1e-9 && rank == 1, "{got} {rank}");
        assert!(chi2(&DVector::zeros(2), &DMatrix::zeros(2, 2)).is_none());
    }
}
