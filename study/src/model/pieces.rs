//! How features become inputs of a network, piece by piece.

pub use learning::spline::Basis;
pub use learning::training::pieces::{Piece, Pieces, Source};
