//! How well masks agree with labels, or with the masks of another model.
//!
//! [`Predictor`] makes the mask of a picture at the picture's own size, [`label`] reads
//! the true one, [`LabelMap`] brings the values of either to the classes that are
//! scored, and [`Confusion`] and [`boundary`] count. Nothing here knows more than one
//! picture at a time.

pub mod boundary;
pub mod confusion;
pub mod label;
pub mod label_map;
pub mod predictor;

pub use boundary::{BoundaryCounts, BoundaryScorer, Tolerance};
pub use confusion::Confusion;
pub use label_map::LabelMap;
pub use predictor::{PredictError, Predictor};
