//! Where a picture lies in the model's input, and the way back from there.

use serde::{Deserialize, Serialize};

use crate::kernels::cpu::Cpu;
use crate::kernels::imaging::{NearestColumns, nearest};
use crate::kernels::variants::{NEAREST, Nearest, best};
use crate::mask::Mask;

/// How a picture whose aspect differs from the model's is fitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Fills the whole input; the aspect changes.
    #[default]
    Stretch,
    /// Keeps the aspect, centred, with bars beside or above and below.
    Letterbox,
}

/// The rectangle of the model's input that the picture fills.
///
/// Continuous coordinates put the centre of the top left pixel at (0.5, 0.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the picture in pixels.
    pub source: (u32, u32),
    /// Width and height of the model's input in pixels.
    pub model: (u32, u32),
    /// Left edge of the rectangle, in model pixels.
    pub x: u32,
    /// Top edge, in model pixels.
    pub y: u32,
    /// Width in model pixels, at least 1.
    pub width: u32,
    /// Height in model pixels, at least 1.
    pub height: u32,
}

impl Placement {
    /// Fits a picture of size `source` into an input of size `model`, both as
    /// (width, height) in pixels; a 0 counts as 1.
    ///
    /// A letterboxed picture touches the input's border on the axis that limits
    /// it; its other side is rounded to the nearest pixel (half up), and an odd
    /// rest of the padding goes to the right or the bottom.
    pub fn new(source: (u32, u32), model: (u32, u32), fit: Fit) -> Self {
        let source = (source.0.max(1), source.1.max(1));
        let model = (model.0.max(1), model.1.max(1));
        let (width, height) = match fit {
            Fit::Stretch => model,
            Fit::Letterbox => {
                let limited_by_width = u64::from(model.0) * u64::from(source.1)
                    <= u64::from(model.1) * u64::from(source.0);
                if limited_by_width {
                    (model.0, scaled(source.1, model.0, source.0).min(model.1))
                } else {
                    (scaled(source.0, model.1, source.1).min(model.0), model.1)
                }
            }
        };
        let (x, y) = ((model.0 - width) / 2, (model.1 - height) / 2);
        Self {
            source,
            model,
            x,
            y,
            width,
            height,
        }
    }

    /// Carries labels from the model's geometry to the picture's.
    ///
    /// Each pixel of the picture takes the label of the model pixel that its
    /// centre falls into: column `x + floor((2 i + 1) * width / (2 w))` for
    /// pixel `i` of `w`, rows alike, in integers. `out` is resized to the
    /// picture's size and every pixel written.
    ///
    /// # Panics
    /// If `model_mask` does not have the model's size.
    pub fn mask_to_source(&self, model_mask: &Mask, out: &mut Mask) {
        WayBack::new(Cpu::detect()).run(self, model_mask, out);
    }

    /// From a continuous position in the model's input to one in the picture.
    /// Positions in the padding land outside the picture.
    pub fn to_source(&self, x: f32, y: f32) -> (f32, f32) {
        let (width, height) = self.source;
        (
            (x - self.x as f32) * (width as f32 / self.width as f32),
            (y - self.y as f32) * (height as f32 / self.height as f32),
        )
    }

    /// From a continuous position in the picture to one in the model's input:
    /// the inverse of [`to_source`](Self::to_source) up to rounding.
    pub fn to_model(&self, x: f32, y: f32) -> (f32, f32) {
        let (width, height) = self.source;
        (
            self.x as f32 + x * (self.width as f32 / width as f32),
            self.y as f32 + y * (self.height as f32 / height as f32),
        )
    }
}

/// `side * to / from`, rounded half up, at least 1.
fn scaled(side: u32, to: u32, from: u32) -> u32 {
    let (side, to, from) = (u64::from(side), u64::from(to), u64::from(from));
    let rounded = (2 * side * to + from) / (2 * from);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

/// [`Placement::mask_to_source`] for one mask after the other: allocates nothing while
/// the sizes repeat.
#[derive(Debug)]
pub struct WayBack {
    kernel: Nearest,
    columns: NearestColumns,
}

impl WayBack {
    /// With the best kernel that `cpu` allows.
    pub fn new(cpu: Cpu) -> Self {
        Self {
            kernel: best(NEAREST, cpu).1,
            columns: NearestColumns::default(),
        }
    }

    /// See [`Placement::mask_to_source`].
    ///
    /// # Panics
    /// If `model_mask` does not have the model's size.
    pub fn run(&mut self, placement: &Placement, model_mask: &Mask, out: &mut Mask) {
        assert_eq!(
            (model_mask.width, model_mask.height),
            placement.model,
            "the mask's size is not the model's"
        );
        let (width, height) = placement.source;
        out.resize(width, height);
        self.columns.plan(placement.width, width);
        let row_len = width as usize;
        let (x, inner) = (placement.x as usize, placement.width as usize);
        let mut last = None;
        for (row, from) in nearest(placement.height, height).enumerate() {
            let done = row * row_len;
            if last == Some(from) {
                out.labels.copy_within(done - row_len..done, done);
                continue;
            }
            last = Some(from);
            let inner = &model_mask.row(placement.y + from)[x..][..inner];
            let target = &mut out.labels[done..][..row_len];
            if placement.width == width {
                target.copy_from_slice(inner);
            } else {
                (self.kernel)(&self.columns, inner, target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letterbox_of_known_sizes() {
        let wide = Placement::new((640, 480), (481, 361), Fit::Letterbox);
        assert_eq!((wide.x, wide.y, wide.width, wide.height), (0, 0, 481, 361));
        let tall = Placement::new((480, 640), (481, 361), Fit::Letterbox);
        assert_eq!(
            (tall.x, tall.y, tall.width, tall.height),
            (105, 0, 271, 361)
        );
        let thin = Placement::new((16384, 1), (33, 33), Fit::Letterbox);
        assert_eq!((thin.x, thin.y, thin.width, thin.height), (0, 16, 33, 1));
        let stretched = Placement::new((16384, 1), (33, 33), Fit::Stretch);
        assert_eq!(
            (stretched.x, stretched.y, stretched.width, stretched.height),
            (0, 0, 33, 33)
        );
    }

    #[test]
    fn fit_is_spelt_in_lower_case() {
        assert_eq!(
            serde_json::to_string(&Fit::Letterbox).unwrap(),
            "\"letterbox\""
        );
        assert_eq!(
            serde_json::from_str::<Fit>("\"stretch\"").unwrap(),
            Fit::default()
        );
    }

    fn fit() -> impl Strategy<Value = Fit> {
        prop_oneof![Just(Fit::Stretch), Just(Fit::Letterbox)]
    }

    proptest! {
        #[test]
        fn the_rectangle_lies_inside_and_keeps_the_aspect(
            source in (1u32..=16384, 1u32..=16384), model in (1u32..=2049, 1u32..=2049), fit in fit(),
        ) {
            let p = Placement::new(source, model, fit);
            prop_assert!(p.width >= 1 && p.height >= 1);
            prop_assert!(p.x + p.width <= model.0 && p.y + p.height <= model.1);
            prop_assert!(p.width == model.0 || p.height == model.1);
            if fit == Fit::Letterbox {
                let scale = (f64::from(model.0) / f64::from(source.0))
                    .min(f64::from(model.1) / f64::from(source.1));
                prop_assert!((f64::from(p.width) - (f64::from(source.0) * scale).max(1.0)).abs() <= 0.5 + 1e-9);
                prop_assert!((f64::from(p.height) - (f64::from(source.1) * scale).max(1.0)).abs() <= 0.5 + 1e-9);
                prop_assert!(model.0 - p.x - p.width - p.x <= 1);
                prop_assert!(model.1 - p.y - p.height - p.y <= 1);
            }
        }

        #[test]
        fn labels_come_from_the_nearest_centre(
            source in (1u32..=90, 1u32..=40), model in (1u32..=50, 1u32..=16), fit in fit(),
        ) {
            let p = Placement::new(source, model, fit);
            let mut mask = Mask::new(model.0, model.1);
            for (i, label) in mask.labels.iter_mut().enumerate() {
                *label = i as u8;
            }
            let mut out = Mask { labels: vec![255; 7], ..Mask::new(7, 1) };
            p.mask_to_source(&mask, &mut out);
            prop_assert_eq!((out.width, out.height), source);
            for y in 0..source.1 {
                let from_y = p.y + (2 * y + 1) * p.height / (2 * source.1);
                for x in 0..source.0 {
                    let from_x = p.x + (2 * x + 1) * p.width / (2 * source.0);
                    prop_assert_eq!(out.row(y)[x as usize], mask.row(from_y)[from_x as usize]);
                }
            }
        }

        #[test]
        fn coordinates_go_there_and_back(
            source in (1u32..=4096, 1u32..=4096), model in (1u32..=2049, 1u32..=2049), fit in fit(),
            at in (0f32..1.0, 0f32..1.0),
        ) {
            let p = Placement::new(source, model, fit);
            let (x, y) = (at.0 * source.0 as f32, at.1 * source.1 as f32);
            let (mx, my) = p.to_model(x, y);
            prop_assert!(mx >= p.x as f32 - 1e-2 && mx <= (p.x + p.width) as f32 + 1e-2);
            let (bx, by) = p.to_source(mx, my);
            // The padding's offset costs bits where the picture is far larger.
            let slack = |from: u32, to: u32, offset: u32| {
                1e-3 + 1e-6 * from as f32 + 4e-7 * (offset + to) as f32 * from as f32 / to as f32
            };
            prop_assert!((bx - x).abs() <= slack(source.0, p.width, p.x), "{} {}", bx, x);
            prop_assert!((by - y).abs() <= slack(source.1, p.height, p.y), "{} {}", by, y);
        }
    }
}
