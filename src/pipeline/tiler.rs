//! A picture that is larger than the model's input, tile by tile.

use std::time::{Duration, Instant};

use crate::engine::{EngineError, Segmenter, Shape};
use crate::mask::Mask;
use crate::postprocess::crf::CrfError;
use crate::preprocess::source_rows::SourceRows;
use crate::preprocess::{PreprocessError, tiles};

/// Cuts pictures into tiles of the model's size and joins their masks.
///
/// Of the picture, only a band as high as a tile is in memory, and rows are read once.
/// Where the picture is smaller than a tile along one axis, its last column or row is
/// repeated. Which tile a pixel's label comes from, [`tiles`] says.
#[derive(Debug)]
pub struct Tiler {
    /// Pixels by which neighbours overlap, horizontally and vertically.
    overlap: (u32, u32),
    /// Rows of the picture, RGB.
    band: Vec<u8>,
    input: Vec<u8>,
    mask: Mask,
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

impl Tiler {
    /// For tiles that overlap by so many pixels (horizontally, vertically), each less than
    /// the model's side.
    pub fn new(overlap: (u32, u32)) -> Self {
        Self {
            overlap,
            band: Vec::new(),
            input: Vec::new(),
            mask: Mask::default(),
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
        let columns = tiles::along(width, shape.width, self.overlap.0);
        let mut spent = Duration::ZERO;
        // Rows of the picture that were read.
        let mut read = 0;
        for tile_row in tiles::along(height, shape.height, self.overlap.1) {
            let top = tile_row.start as usize;
            let kept = read - top;
            let (from, to) = ((held - kept) * row_len, held * row_len);
            if read > 0 {
                self.band.copy_within(from..to, 0);
            }
            for row in self.band[kept * row_len..].chunks_exact_mut(row_len) {
                rows.read(row).map_err(Fault::Picture)?;
                read += 1;
            }
            for column in columns.clone() {
                if !keep_on() {
                    return Err(Fault::Stopped);
                }
                self.crop(column.start as usize, row_len, shape);
                let start = Instant::now();
                segmenter
                    .segment(&self.input, &mut self.mask)
                    .map_err(Fault::Engine)?;
                spent += start.elapsed();
                let (from, to) = (column.core.start as usize, column.core.end as usize);
                let left = from - column.start as usize;
                for y in tile_row.core.clone() {
                    let labels = &self.mask.row(y - tile_row.start)[left..][..to - from];
                    out.row_mut(y)[from..to].copy_from_slice(labels);
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
    use super::*;
    use crate::frame::Frame;
    use crate::logits::Logits;
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

    const SHAPE: Shape = Shape {
        width: 8,
        height: 6,
        classes: 256,
    };

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

    fn tiled(frame: &Frame, overlap: (u32, u32)) -> Mask {
        let mut preprocessor = Preprocessor::new((8, 6), Fit::Stretch, PAD);
        let mut rows = preprocessor.rows(frame).unwrap();
        let mut out = Mask::default();
        Tiler::new(overlap)
            .run(&mut rows, &mut ByPlace(SHAPE), &|| true, &mut out)
            .unwrap();
        out
    }

    /// The mask of a part of a picture that has the model's size.
    fn of_crop(frame: &Frame, x: u32, y: u32) -> Mask {
        let mut rgb = Vec::new();
        for row in y..y + SHAPE.height {
            // What lies behind the picture repeats its last row and column.
            let row = row.min(frame.height - 1) as usize * frame.stride;
            for column in x..x + SHAPE.width {
                let at = row + column.min(frame.width - 1) as usize * 3;
                rgb.extend_from_slice(&frame.data[at..at + 3]);
            }
        }
        let mut mask = Mask::default();
        ByPlace(SHAPE).segment(&rgb, &mut mask).unwrap();
        mask
    }

    #[test]
    fn a_picture_of_the_models_size_has_the_same_mask() {
        let frame = picture(8, 6);
        assert!(!Tiler::takes(8, 6, SHAPE));
        assert_eq!(tiled(&frame, (2, 2)), of_crop(&frame, 0, 0));
    }

    #[test]
    fn each_core_is_the_mask_of_its_crop_alone() {
        for (width, height) in [(16, 12), (9, 6), (8, 7), (31, 23), (3, 20), (40, 2)] {
            let frame = picture(width, height);
            assert!(Tiler::takes(width, height, SHAPE));
            for overlap in [(0, 0), (2, 1), (4, 3)] {
                let got = tiled(&frame, overlap);
                for row in tiles::along(height, SHAPE.height, overlap.1) {
                    for column in tiles::along(width, SHAPE.width, overlap.0) {
                        let alone = of_crop(&frame, column.start, row.start);
                        for y in row.core.clone() {
                            let wanted = alone.row(y - row.start);
                            for x in column.core.clone() {
                                let at = (x - column.start) as usize;
                                assert_eq!(got.row(y)[x as usize], wanted[at], "{x} {y}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_stop_is_heard_between_tiles() {
        let frame = picture(40, 40);
        let mut preprocessor = Preprocessor::new((8, 6), Fit::Stretch, PAD);
        let mut rows = preprocessor.rows(&frame).unwrap();
        let asked = std::cell::Cell::new(0);
        let keep_on = || {
            asked.set(asked.get() + 1);
            asked.get() < 5
        };
        let mut model = ByPlace(SHAPE);
        let stopped = Tiler::new((0, 0)).run(&mut rows, &mut model, &keep_on, &mut Mask::default());
        assert!(matches!(stopped, Err(Fault::Stopped)));
        assert_eq!(asked.get(), 5);
    }
}
