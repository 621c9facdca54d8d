//! The pictures that can be made of a result.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Effect, Outcome};
use crate::classes::Classes;
use crate::postprocess::effect::Changer;
use crate::postprocess::overlay::{colour_mask, overlay};

/// A kind of picture made of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visual {
    /// The mask in class colours.
    Mask,
    /// The mask blended over the picture.
    Overlay,
    /// One grey byte a pixel: the class index. Lossless formats only.
    Index,
    /// The true mask in class colours; only where the source knows it.
    Truth,
    /// The picture itself.
    Frame,
    /// Picture, overlay and, where known, truth, side by side.
    Side,
    /// The picture with all but some classes changed: see
    /// [`SinkOptions::effect`](super::SinkOptions::effect).
    Effect,
}

impl Visual {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Mask,
        Self::Overlay,
        Self::Index,
        Self::Truth,
        Self::Frame,
        Self::Side,
        Self::Effect,
    ];

    /// The word that names it on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Overlay => "overlay",
            Self::Index => "index",
            Self::Truth => "truth",
            Self::Frame => "frame",
            Self::Side => "side",
            Self::Effect => "effect",
        }
    }

    /// Whether it shows the picture, so that [`Outcome::rgb`] must be there.
    pub fn needs_picture(self) -> bool {
        match self {
            Self::Overlay | Self::Frame | Self::Side | Self::Effect => true,
            Self::Mask | Self::Index | Self::Truth => false,
        }
    }

    /// Reads a comma-separated list such as `mask,overlay`.
    ///
    /// # Errors
    /// An unknown, missing or repeated word.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, UnknownVisual> {
        let mut visuals = Vec::new();
        for word in list.split(',') {
            let visual = word.trim().parse()?;
            if visuals.contains(&visual) {
                return Err(UnknownVisual {
                    given: word.trim().into(),
                    problem: "repeated",
                });
            }
            visuals.push(visual);
        }
        Ok(visuals)
    }
}

impl fmt::Display for Visual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Visual {
    type Err = UnknownVisual;

    fn from_str(word: &str) -> Result<Self, UnknownVisual> {
        let found = Self::ALL
            .into_iter()
            .find(|v| v.name().eq_ignore_ascii_case(word));
        found.ok_or_else(|| UnknownVisual {
            given: word.into(),
            problem: "unknown",
        })
    }
}

/// A word that is no kind of picture, or one too many.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{problem} picture '{given}': choose among mask, overlay, index, truth, frame, side, effect"
)]
pub struct UnknownVisual {
    /// The word as given.
    pub given: String,
    problem: &'static str,
}

/// Bytes of one drawn picture; buffers are reused from one result to the next.
#[derive(Debug, Default)]
pub(super) struct Painter {
    effect: Option<Effect>,
    pixels: Vec<u8>,
    part: Vec<u8>,
    changer: Changer,
}

/// A drawn picture.
pub(super) struct Painting<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes of a pixel: 1 for grey, 3 for red, green and blue, 4 with alpha after them.
    pub channels: usize,
    /// The pixels, row-major without padding.
    pub pixels: &'a [u8],
}

impl Painter {
    /// With the effect that [`Visual::Effect`] shows.
    pub fn new(effect: Option<Effect>) -> Self {
        Self {
            effect,
            ..Self::default()
        }
    }

    /// Draws an outcome that passed [`Outcome::check`], or [`Outcome::check_masks`] where
    /// `visual` shows no picture. `None` where it needs a truth that is not known, or an
    /// effect that was not chosen.
    pub fn paint<'a>(
        &'a mut self,
        visual: Visual,
        outcome: &'a Outcome,
        classes: &Classes,
        alpha: f32,
    ) -> Option<Painting<'a>> {
        let mut width = outcome.width;
        let mut channels = 3;
        let pixels = match visual {
            Visual::Frame => &outcome.rgb,
            Visual::Index => {
                channels = 1;
                &outcome.mask.labels
            }
            Visual::Mask => {
                colour_mask(&outcome.mask, classes, &mut self.pixels);
                &self.pixels
            }
            Visual::Truth => {
                colour_mask(outcome.truth.as_ref()?, classes, &mut self.pixels);
                &self.pixels
            }
            Visual::Overlay => {
                blend(outcome, classes, alpha, &mut self.pixels);
                &self.pixels
            }
            Visual::Effect => {
                let effect = self.effect.as_ref()?;
                let kept = effect.kept(classes);
                channels = effect.change.channels();
                let (rgb, mask) = (&outcome.rgb, &outcome.mask);
                self.changer
                    .run(rgb, mask, &kept, &effect.change, &mut self.pixels);
                &self.pixels
            }
            Visual::Side => {
                let panels = if outcome.truth.is_some() { 3 } else { 2 };
                width *= panels;
                self.pixels.resize(outcome.rgb.len() * panels as usize, 0);
                self.place(&outcome.rgb, 0, panels as usize, outcome.height);
                // Taken out so that drawing into it and placing it do not both
                // borrow the painter.
                let mut part = std::mem::take(&mut self.part);
                blend(outcome, classes, alpha, &mut part);
                self.place(&part, 1, panels as usize, outcome.height);
                if let Some(truth) = &outcome.truth {
                    colour_mask(truth, classes, &mut part);
                    self.place(&part, 2, panels as usize, outcome.height);
                }
                self.part = part;
                &self.pixels
            }
        };
        Some(Painting {
            width,
            height: outcome.height,
            channels,
            pixels,
        })
    }

    /// Copies a panel to its place among `panels` side by side.
    fn place(&mut self, panel: &[u8], at: usize, panels: usize, height: u32) {
        let row = panel.len() / height as usize;
        let wide = self.pixels.chunks_exact_mut(row * panels);
        for (wide, row_bytes) in wide.zip(panel.chunks_exact(row)) {
            wide[at * row..][..row].copy_from_slice(row_bytes);
        }
    }
}

/// The overlay of an outcome that passed [`Outcome::check`].
pub(super) fn blend(outcome: &Outcome, classes: &Classes, alpha: f32, out: &mut Vec<u8>) {
    // A float outside the byte's range saturates.
    let weight = (alpha * 255.0).round() as u8;
    overlay(&outcome.rgb, &outcome.mask, classes, weight, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::mask::Mask;

    fn classes() -> Classes {
        let class = |name: &str, colour| Class {
            name: name.into(),
            colour,
        };
        Classes::new(vec![class("a", [0, 0, 0]), class("b", [200, 100, 0])])
    }

    fn outcome() -> Outcome {
        Outcome {
            width: 1,
            height: 2,
            rgb: vec![10, 10, 10, 20, 20, 20],
            mask: Mask {
                width: 1,
                height: 2,
                labels: vec![0, 1],
            },
            ..Outcome::default()
        }
    }

    #[test]
    fn lists_are_read_strictly() {
        assert_eq!(
            Visual::parse_list("mask, Overlay"),
            Ok(vec![Visual::Mask, Visual::Overlay])
        );
        for bad in ["", "mask,", "masks", "mask,mask"] {
            let error = Visual::parse_list(bad).unwrap_err().to_string();
            assert!(error.contains("overlay"), "{bad}: {error}");
        }
        for visual in Visual::ALL {
            assert_eq!(visual.to_string().parse(), Ok(visual));
        }
    }

    #[test]
    fn side_puts_rows_beside_each_other() {
        let (mut painter, mut outcome) = (Painter::default(), outcome());
        outcome.truth = Some(Mask {
            width: 1,
            height: 2,
            labels: vec![1, 0],
        });
        let side = painter
            .paint(Visual::Side, &outcome, &classes(), 1.0)
            .unwrap();
        assert_eq!((side.width, side.height), (3, 2));
        assert_eq!(side.pixels[..3], [10, 10, 10]);
        assert_eq!(side.pixels[6..12], [200, 100, 0, 20, 20, 20]);
        outcome.truth = None;
        let side = painter
            .paint(Visual::Side, &outcome, &classes(), 1.0)
            .unwrap();
        assert_eq!((side.width, side.pixels.len()), (2, 12));
    }

    #[test]
    fn truth_is_drawn_only_where_known() {
        let (mut painter, outcome) = (Painter::default(), outcome());
        assert!(
            painter
                .paint(Visual::Truth, &outcome, &classes(), 0.5)
                .is_none()
        );
        let index = painter
            .paint(Visual::Index, &outcome, &classes(), 0.5)
            .unwrap();
        assert!(index.channels == 1 && index.pixels == [0, 1]);
    }
}
