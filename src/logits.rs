//! What a model says before the best class is taken.

/// Class scores at the model's own output resolution.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logits {
    /// Width in cells; at most the model's input width.
    pub width: u32,
    /// Height in cells.
    pub height: u32,
    /// Number of classes.
    pub classes: usize,
    /// Scores in the order row, column, class (NHWC without N).
    pub values: Vec<f32>,
}
