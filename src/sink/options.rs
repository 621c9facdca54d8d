//! Choices that concern every sink which makes pictures.

use super::Visual;

/// How results are drawn and encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkOptions {
    /// The pictures that a folder or file pattern gets of each result.
    pub visualize: Vec<Visual>,
    /// Weight of the class colour in an overlay, 0..=1.
    pub alpha: f32,
    /// Quality of JPEG files, 1..=100.
    pub jpeg_quality: u8,
    /// Colour in the terminal; without it a letter stands for a class.
    pub colour: bool,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            visualize: vec![Visual::Overlay],
            alpha: 0.5,
            jpeg_quality: 90,
            colour: true,
        }
    }
}
