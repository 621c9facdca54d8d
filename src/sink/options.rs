//! Choices that concern every sink which makes pictures.

use std::collections::HashSet;
use std::path::PathBuf;

use super::terminal::FiguresLine;
use super::{Effect, Visual};

/// How results are drawn and encoded.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// The pictures that a folder or file pattern gets of each result. A display shows
    /// the first that can be drawn.
    pub visualize: Vec<Visual>,
    /// Weight of the class colour in an overlay, 0..=1.
    pub alpha: f32,
    /// What [`Visual::Effect`] shows; must be there where that is chosen.
    pub effect: Option<Effect>,
    /// Quality of JPEG files, 1..=100.
    pub jpeg_quality: u8,
    /// Colour in the terminal; without it a letter stands for a class.
    pub colour: bool,
    /// Files that no sink may replace, the source's pictures, as
    /// [`std::fs::canonicalize`] gives their paths.
    pub keep: HashSet<PathBuf>,
    /// A line that stays below the drawing in the terminal.
    pub hint: Option<String>,
    /// Figures that stay below the drawing in the terminal.
    pub figures: Option<FiguresLine>,
    /// The pipeline whose results these are, where there are several.
    pub pipeline: Option<String>,
}

impl SinkOptions {
    /// Whether an effect is among the pictures.
    ///
    /// # Errors
    /// What to do where it is and none was chosen.
    pub(super) fn shows_effect(&self) -> Result<bool, String> {
        let shown = self.visualize.contains(&Visual::Effect);
        if shown && self.effect.is_none() {
            return Err(
                "no effect is chosen: name one with --effect, such as blur, or leave 'effect' \
                 out of the pictures"
                    .into(),
            );
        }
        Ok(shown)
    }
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            visualize: vec![Visual::Overlay],
            alpha: 0.5,
            effect: None,
            jpeg_quality: 90,
            colour: true,
            keep: HashSet::new(),
            hint: None,
            figures: None,
            pipeline: None,
        }
    }
}
