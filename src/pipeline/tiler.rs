//! A picture that is larger than the model's input, tile by tile.

use std::time::{Duration, Instant};

use super::mosaic::{Mosaic, Ramps};
use crate::engine::scores::Scores;
use crate::engine::{EngineError, Segmenter, Shape};
use crate::mask::Mask;
use crate::postprocess::crf::CrfError;
use crate::preprocess::source_rows::SourceRows;
use crate::preprocess::{PreprocessError, tiles};

/// Cuts pictures into tiles of the model's size and joins their masks.
///
/// Of the picture, only a band as high as a tile is in memory, and rows are read once.
/// Where the picture is smaller than a tile along one axis, its last column or row is
/// repeated. Which tile a pixel's label comes from, [`tiles`] says: where the model gives
/// scores, tiles are blended around their seams, and where it gives labels only they are not.
#[derive(Debug)]
pub struct Tiler {
    /// Pixels by which neighbours overlap, horizontally and vertically.
    overlap: (u32, u32),
    /// Rows of the picture, RGB.
    band: Vec<u8>,
    input: Vec<u8>,
    mask: Mask,
    scores: Scores,
    mosaic: Mosaic,
}

/// Why a picture has no mask.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be decoded.
    Picture(PreprocessError),
    /// The model fails.
    Engine(EngineError),
    /// Its mask cannot be refined.
    Refine(CrfError),
    /// The run ends.
    Stopped,
}

impl From<PreprocessError> for Fault {
    fn from(error: PreprocessError) -> Self {
        Self::Picture(error)
    }
}

impl Tiler {
    /// For tiles that overlap by so many pixels (horizontally, vertically), each less than
    /// the model's side.
    pub fn new(overlap: (u32, u32)) -> Self {
        Self {
            overlap,
            band: Vec::new(),
            input: Vec::new(),
            mask: Mask::default(),
            scores: Scores::default(),
            mosaic: Mosaic::default(),
        }
    }

    /// Whether a picture of this size is cut: where it is larger than the model's input
    /// along an axis.
    pub fn takes(width: u32, height: u32, shape: Shape) -> bool {
        width > shape.width || height > shape.height
    }

    /// Labels every pixel of a picture; gives the time that the model took. `keep_on` is
    /// asked before every tile.
    ///
    /// # Errors
    /// [`Fault`]; what `out` then holds is unspecified.
    pub fn run(
        &mut self,
        rows: &mut SourceRows<'_>,
        segmenter: &mut dyn Segmenter,
        keep_on: &dyn Fn() -> bool,
        out: &mut Mask,
    ) -> Result<Duration, Fault> {
        let shape = segmenter.shape();
        let (width, height) = (rows.width, rows.height);
        let row_len = width as usize * 3;
        let held = shape.height.min(height) as usize;
        self.band.resize(held * row_len, 0);
        self.input
            .resize(shape.width as usize * shape.height as usize * 3, 0);
        out.resize(width, height);
        let ramps = segmenter.scored_classes().map_or(Ramps::NONE, |classes| {
            Ramps::longest((shape.width, shape.height), self.overlap, width, classes)
        });
        let columns = tiles::along(width, shape.width, self.overlap.0, ramps.columns);
        let mut spent = Duration::ZERO;
        // Rows of the picture that were read.
        let mut read = 0;
        for tile_row in tiles::along(height, shape.height, self.overlap.1, ramps.rows) {
            let top = tile_row.start as usize;
            let kept = read - top;
            self.band.copy_within((held - kept) * row_len.., 0);
            for row in self.band[kept * row_len..].chunks_exact_mut(row_len) {
                rows.read(row)?;
                read += 1;
            }
            for column in columns.clone() {
                if !keep_on() {
                    return Err(Fault::Stopped);
                }
                self.crop(column.start as usize, row_len, shape);
                let start = Instant::now();
                if ramps == Ramps::NONE {
                    segmenter.segment(&self.input, &mut self.mask)
                } else {
                    segmenter.segment_scored(&self.input, &mut self.mask, &mut self.scores)
                }
                .map_err(Fault::Engine)?;
                spent += start.elapsed();
                Mosaic::add_labels(&column, &tile_row, &self.mask, out);
                if ramps != Ramps::NONE {
                    self.mosaic
                        .add_scores(&column, &tile_row, &mut self.scores, out);
                }
            }
        }
        Ok(spent)
    }

    /// Fills `input` from the band, from column `x` on.
    fn crop(&mut self, x: usize, row_len: usize, shape: Shape) {
        let tile_len = shape.width as usize * 3;
        let copied = tile_len.min(row_len - x * 3);
        let last = self.band.len() / row_len - 1;
        for (y, target) in self.input.chunks_exact_mut(tile_len).enumerate() {
            let row = &self.band[y.min(last) * row_len..][..row_len];
            let (pixels, beyond) = target.split_at_mut(copied);
            pixels.copy_from_slice(&row[x * 3..][..copied]);
            let (beyond, _) = beyond.as_chunks_mut::<3>();
            beyond.fill(row.last_chunk().copied().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frame;
    use crate::kernels::{Coordinates, Resample, Source, scalar};
    use crate::logits::Logits;
    use crate::postprocess::upsample::Upsample;
    use crate::preprocess::{Fit, PAD, Preprocessor};

    /// Labels a pixel by its red value and by where it lies in the tile, so that a label
    /// tells which tile it came from.
    struct ByPlace(Shape);

    impl Segmenter for ByPlace {
        fn shape(&self) -> Shape {
            self.0
        }

        fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
            self.0.check(rgb)?;
            labels.resize(self.0.width, self.0.height);
            let width = self.0.width as usize;
            for (at, label) in labels.labels.iter_mut().enumerate() {
                *label = rgb[at * 3] ^ (at % width * 16 + at / width) as u8;
            }
            Ok(())
        }

        fn logits(&mut self, _: &[u8], _: &mut Logits) -> Result<(), EngineError> {
            Err(EngineError::NoLogits { model: "a".into() })
        }

        fn describe(&self) -> String {
            "by place".into()
        }
    }

    /// Scores of every pixel, from the tile and the pixel's place in it; labels are as
    /// [`ByPlace`] says, so that they can be told from what scores say.
    struct Scored<F> {
        shape: Shape,
        /// Code of a tile's pixel and class.
        code: F,
        /// Whether the codes are given as logits.
        real: bool,
    }

    impl<F: Fn(&[u8], usize, usize) -> u8> Scored<F> {
        fn codes(&self, rgb: &[u8]) -> Vec<u8> {
            let (pixels, classes) = (rgb.len() / 3, self.shape.classes);
            let codes = (0..pixels * classes).map(|i| (self.code)(rgb, i / classes, i % classes));
            codes.collect()
        }
    }

    impl<F: Fn(&[u8], usize, usize) -> u8 + Send> Segmenter for Scored<F> {
        fn shape(&self) -> Shape {
            self.shape
        }

        fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
            ByPlace(self.shape).segment(rgb, labels)
        }

        fn logits(&mut self, _: &[u8], _: &mut Logits) -> Result<(), EngineError> {
            Err(EngineError::NoLogits { model: "a".into() })
        }

        fn scored_classes(&self) -> Option<usize> {
            Some(self.shape.classes)
        }

        fn segment_scored(
            &mut self,
            rgb: &[u8],
            labels: &mut Mask,
            scores: &mut Scores,
        ) -> Result<(), EngineError> {
            self.segment(rgb, labels)?;
            let codes = self.codes(rgb);
            let Shape {
                width,
                height,
                classes,
            } = self.shape;
            if self.real {
                let logits = Logits {
                    width,
                    height,
                    classes,
                    values: codes.iter().map(|&code| f32::from(code)).collect(),
                };
                let give = |kept: &mut Logits| -> Result<(), EngineError> {
                    *kept = logits;
                    Ok(())
                };
                scores.keep_logits(Upsample::HalfPixel, self.shape, give)?;
            } else {
                let source = Source {
                    data: &codes,
                    height: height as usize,
                    width: width as usize,
                    channels: classes,
                    pixel_stride: classes,
                };
                let resample = Resample::Bilinear(Coordinates::HalfPixel);
                scores.keep_codes(source, resample, scalar::RESIZE, self.shape);
            }
            Ok(())
        }

        fn describe(&self) -> String {
            "scored".into()
        }
    }

    const SHAPE: Shape = Shape {
        width: 8,
        height: 6,
        classes: 256,
    };

    fn of_classes(classes: usize) -> Shape {
        Shape { classes, ..SHAPE }
    }

    fn picture(width: u32, height: u32) -> Frame {
        let pixels = width as usize * height as usize;
        Frame {
            width,
            height,
            stride: width as usize * 3,
            data: (0..pixels * 3).map(|i| (i * 31 % 253) as u8).collect(),
            ..Frame::default()
        }
    }

    fn tiled(frame: &Frame, overlap: (u32, u32), model: &mut dyn Segmenter) -> Mask {
        let shape = model.shape();
        let mut preprocessor = Preprocessor::new((shape.width, shape.height), Fit::Stretch, PAD);
        let mut rows = preprocessor.rows(frame).unwrap();
        let mut out = Mask::default();
        Tiler::new(overlap)
            .run(&mut rows, model, &|| true, &mut out)
            .unwrap();
        out
    }

    /// A part of a picture that has the model's size.
    fn crop(frame: &Frame, x: u32, y: u32) -> Vec<u8> {
        let mut rgb = Vec::new();
        for row in y..y + SHAPE.height {
            // What lies behind the picture repeats its last row and column.
            let row = row.min(frame.height - 1) as usize * frame.stride;
            for column in x..x + SHAPE.width {
                let at = row + column.min(frame.width - 1) as usize * 3;
                rgb.extend_from_slice(&frame.data[at..at + 3]);
            }
        }
        rgb
    }

    fn of_crop(frame: &Frame, x: u32, y: u32) -> Mask {
        let mut mask = Mask::default();
        ByPlace(SHAPE)
            .segment(&crop(frame, x, y), &mut mask)
            .unwrap();
        mask
    }

    #[test]
    fn a_picture_of_the_models_size_has_the_same_mask() {
        let frame = picture(8, 6);
        assert!(!Tiler::takes(8, 6, SHAPE));
        assert_eq!(
            tiled(&frame, (2, 2), &mut ByPlace(SHAPE)),
            of_crop(&frame, 0, 0)
        );
    }

    const SIZES: [(u32, u32); 6] = [(16, 12), (9, 6), (8, 7), (31, 23), (3, 20), (40, 2)];

    /// Whether every pixel that belongs to a single tile has that tile's label.
    fn keeps_own_labels(frame: &Frame, overlap: (u32, u32), ramps: Ramps, got: &Mask) {
        for row in tiles::along(frame.height, SHAPE.height, overlap.1, ramps.rows) {
            for column in tiles::along(frame.width, SHAPE.width, overlap.0, ramps.columns) {
                let alone = of_crop(frame, column.start, row.start);
                for y in row.own.clone() {
                    let wanted = alone.row(y - row.start);
                    for x in column.own.clone() {
                        let at = (x - column.start) as usize;
                        assert_eq!(got.row(y)[x as usize], wanted[at], "{x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn without_scores_each_pixel_has_the_label_of_the_nearest_tile() {
        for (width, height) in SIZES {
            let frame = picture(width, height);
            assert!(Tiler::takes(width, height, SHAPE));
            for overlap in [(0, 0), (2, 1), (4, 3)] {
                let got = tiled(&frame, overlap, &mut ByPlace(SHAPE));
                keeps_own_labels(&frame, overlap, Ramps::NONE, &got);
            }
        }
    }

    #[test]
    fn pixels_that_are_not_shared_have_the_label_of_their_tile() {
        for (width, height) in SIZES {
            let frame = picture(width, height);
            for (columns, rows) in [(0, 0), (2, 1), (4, 3), (0, 3)] {
                let mut model = Scored {
                    shape: of_classes(3),
                    code: |rgb: &[u8], at: usize, class: usize| rgb[at * 3 + class],
                    real: false,
                };
                let got = tiled(&frame, (columns, rows), &mut model);
                let ramps = Ramps { columns, rows };
                keeps_own_labels(&frame, (columns, rows), ramps, &got);
            }
        }
    }

    /// The blend of all tiles by its definition, in whole numbers: each code times its
    /// tile's weight across and down.
    fn blended<F: Fn(&[u8], usize, usize) -> u8>(
        frame: &Frame,
        overlap: (u32, u32),
        model: &Scored<F>,
    ) -> Vec<Option<u8>> {
        let Shape { width, classes, .. } = model.shape;
        let steps = |tile: &tiles::Tile, at: u32| {
            let weight = |pixels: &std::ops::Range<u32>| {
                (tiles::weight(at - pixels.start, pixels.len() as u32) * 256.0) as u32
            };
            match at {
                at if tile.before.contains(&at) => weight(&tile.before),
                at if tile.after.contains(&at) => 256 - weight(&tile.after),
                _ => 256,
            }
        };
        let mut sums = vec![0u32; frame.width as usize * frame.height as usize * classes];
        let mut shared = vec![false; sums.len() / classes];
        for row in tiles::along(frame.height, SHAPE.height, overlap.1, overlap.1) {
            for column in tiles::along(frame.width, SHAPE.width, overlap.0, overlap.0) {
                let codes = model.codes(&crop(frame, column.start, row.start));
                for y in row.reach() {
                    for x in column.reach() {
                        let weight = steps(&column, x) * steps(&row, y);
                        let in_tile = (y - row.start) * width + x - column.start;
                        let pixel = (y * frame.width + x) as usize;
                        shared[pixel] |= !row.own.contains(&y) || !column.own.contains(&x);
                        for class in 0..classes {
                            let code = codes[in_tile as usize * classes + class];
                            sums[pixel * classes + class] += u32::from(code) * weight;
                        }
                    }
                }
            }
        }
        let label = |(sums, shared): (&[u32], &bool)| {
            let most = sums.iter().max().unwrap();
            let first = sums.iter().position(|sum| sum == most).unwrap();
            shared.then_some(first as u8)
        };
        sums.chunks_exact(classes).zip(&shared).map(label).collect()
    }

    proptest! {
        #[test]
        fn shared_pixels_have_the_class_of_the_greatest_weighted_sum(
            width in 1u32..30, height in 1u32..30, columns in 0u32..5, rows in 0u32..4,
            classes in prop_oneof![Just(1usize), Just(2), Just(5), Just(256)],
            levels in 1u8..=255, real in any::<bool>(),
        ) {
            let frame = picture(width, height);
            // Few levels make ties.
            let code = |rgb: &[u8], at: usize, class: usize| {
                let mixed = usize::from(rgb[at * 3]) * 7 + at * 13 + class * (at % 11 + 29);
                (mixed % 251) as u8 / levels
            };
            let mut model = Scored { shape: of_classes(classes), code, real };
            let got = tiled(&frame, (columns, rows), &mut model);
            let wanted = blended(&frame, (columns, rows), &model);
            for (&got, wanted) in got.labels.iter().zip(wanted) {
                if let Some(wanted) = wanted {
                    prop_assert_eq!(got, wanted);
                }
            }
        }
    }

    #[test]
    fn a_model_that_sees_one_pixel_at_a_time_has_the_mask_of_the_whole_picture() {
        let code = |rgb: &[u8], at: usize, class: usize| rgb[at * 3 + class] / 16;
        for (width, height) in SIZES {
            let frame = picture(width, height);
            for overlap in [(2, 1), (4, 3)] {
                for real in [false, true] {
                    let shape = of_classes(3);
                    let got = tiled(&frame, overlap, &mut Scored { shape, code, real });
                    let shared = blended(&frame, overlap, &Scored { shape, code, real });
                    assert!(shared.iter().any(Option::is_some));
                    let pixels = frame.data.as_chunks::<3>().0;
                    for ((label, shared), rgb) in got.labels.iter().zip(shared).zip(pixels) {
                        let codes = rgb.map(|value| value / 16);
                        let most = codes.iter().max().unwrap();
                        let whole = codes.iter().position(|code| code == most).unwrap();
                        assert!(shared.is_none() || usize::from(*label) == whole);
                    }
                }
            }
        }
    }

    /// Class 1 lies below a line that a tile draws the lower the more blue its first
    /// pixel is: two tiles do not agree on it.
    fn below_a_line(rgb: &[u8], at: usize, class: usize) -> u8 {
        let y = at / 32;
        if class == 0 {
            100
        } else {
            (80 + 4 * y as u8).saturating_sub(rgb[2])
        }
    }

    #[test]
    fn a_seam_that_the_nearest_tile_leaves_is_gone_when_tiles_are_blended() {
        let shape = Shape {
            width: 32,
            height: 32,
            classes: 2,
        };
        let mut frame = picture(48, 32);
        for (at, pixel) in frame.data.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [0, 0, if at % 48 < 16 { 0 } else { 40 }];
        }
        // The first row of class 1 in each column.
        let line = |mask: &Mask, columns: std::ops::Range<usize>| -> Vec<usize> {
            let is_below = |x: usize| move |y: &u32| mask.row(*y)[x] == 1;
            let first = |x| (0..32).find(is_below(x)).unwrap() as usize;
            columns.map(first).collect()
        };
        let steepest = |line: &[usize]| line.windows(2).map(|w| w[1].abs_diff(w[0])).max();
        let alone = |blue: u8| (20 + usize::from(blue)) / 4 + 1;
        /// Labels that the scores say, without giving the scores.
        struct LabelsOnly;
        impl Segmenter for LabelsOnly {
            fn shape(&self) -> Shape {
                Shape {
                    width: 32,
                    height: 32,
                    classes: 2,
                }
            }
            fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
                labels.resize(32, 32);
                for (at, label) in labels.labels.iter_mut().enumerate() {
                    *label = u8::from(below_a_line(rgb, at, 1) > below_a_line(rgb, at, 0));
                }
                Ok(())
            }
            fn logits(&mut self, _: &[u8], _: &mut Logits) -> Result<(), EngineError> {
                Err(EngineError::NoLogits { model: "a".into() })
            }
            fn describe(&self) -> String {
                "labels only".into()
            }
        }
        let nearest = line(&tiled(&frame, (16, 0), &mut LabelsOnly), 0..48);
        assert_eq!((nearest[23], nearest[24]), (alone(0), alone(40)));
        assert_eq!(steepest(&nearest), Some(10));
        let code = below_a_line;
        let real = false;
        let mut model = Scored { shape, code, real };
        let blended = tiled(&frame, (16, 0), &mut model);
        let blended = line(&blended, 16..32);
        assert!(blended.is_sorted(), "{blended:?}");
        assert_eq!(steepest(&blended), Some(1), "{blended:?}");
        assert!(blended[0] <= alone(0) + 1 && blended[15] + 1 >= alone(40));
    }

    #[test]
    fn little_waits_in_memory_whatever_the_picture() {
        let frame = picture(300, 23);
        let code = |rgb: &[u8], at: usize, class: usize| rgb[at * 3] ^ class as u8;
        let shape = of_classes(5);
        let mut preprocessor = Preprocessor::new((8, 6), Fit::Stretch, PAD);
        let mut rows = preprocessor.rows(&frame).unwrap();
        let mut tiler = Tiler::new((2, 1));
        let mut model = Scored {
            shape,
            code,
            real: false,
        };
        let mut out = Mask::default();
        tiler
            .run(&mut rows, &mut model, &|| true, &mut out)
            .unwrap();
        // A row of the picture, and two columns of a tile.
        let (rows, columns) = tiler.mosaic.waiting();
        assert_eq!(rows, 300 * 5);
        assert!((1..=2 * 6 * 5).contains(&columns), "{columns}");
    }

    #[test]
    fn a_stop_is_heard_between_tiles() {
        let frame = picture(40, 40);
        let code = |_: &[u8], _: usize, _: usize| 1;
        let mut scored = Scored {
            shape: of_classes(2),
            code,
            real: true,
        };
        let models: [&mut dyn Segmenter; 2] = [&mut ByPlace(SHAPE), &mut scored];
        for model in models {
            let mut preprocessor = Preprocessor::new((8, 6), Fit::Stretch, PAD);
            let mut rows = preprocessor.rows(&frame).unwrap();
            let asked = std::cell::Cell::new(0);
            let keep_on = || {
                asked.set(asked.get() + 1);
                asked.get() < 5
            };
            let stopped = Tiler::new((2, 2)).run(&mut rows, model, &keep_on, &mut Mask::default());
            assert!(matches!(stopped, Err(Fault::Stopped)));
            assert_eq!(asked.get(), 5);
        }
    }
}
