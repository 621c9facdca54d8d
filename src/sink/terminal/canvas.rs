//! The part of the terminal that is drawn on.

use super::colour::ColourMode;

/// What is drawn on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canvas {
    /// Width of the terminal in columns.
    pub columns: u16,
    /// Height of the terminal in rows.
    pub rows: u16,
    /// Its colours.
    pub mode: ColourMode,
    /// Weight of the class colour in the overlay, 0..=1.
    pub alpha: f32,
}

impl Canvas {
    /// Columns that are drawn in. The last one stays free: after a full line
    /// terminals disagree about where the cursor is.
    pub fn width(self) -> usize {
        usize::from(self.columns.max(2) - 1)
    }
}
