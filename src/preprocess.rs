//! From a frame as it came to RGB at the model's size, and the way back.
//!
//! [`Preprocessor`] joins the steps: [`colour`] or [`mjpeg`] make RGB of the
//! frame, [`placement`] says where the picture lies in the model's input, and
//! [`resize`] puts it there. All arithmetic on pixels is integer, so every CPU
//! feeds the model the same bytes for the same uncompressed frame.

use thiserror::Error;

use crate::frame::{Frame, MAX_PIXELS, MAX_SIDE, PixelFormat, size_is_allowed};
use crate::kernels::cpu::Cpu;
use crate::kernels::imaging::RowRing;
use crate::kernels::variants::{COLOUR, Colour, best};

pub mod colour;
pub mod mjpeg;
pub mod placement;
pub mod png_rows;
pub mod resize;
pub mod source_rows;
pub mod tiles;

pub use placement::{Fit, Placement, WayBack};

use png_rows::PngRows;
use source_rows::{Rows, SourceRows};

/// Grey that fills the border of a letterboxed picture.
pub const PAD: [u8; 3] = [127; 3];

/// Why a frame could not be converted. It concerns this frame only.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The frame holds fewer bytes than its header says.
    #[error("frame {sequence}: {width}x{height} needs {needed} bytes, only {got} came")]
    Short {
        /// The frame's sequence number.
        sequence: u64,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes the format needs.
        needed: usize,
        /// Bytes present.
        got: usize,
    },
    /// The frame's JPEG data cannot be decoded.
    #[error("frame {sequence}: {reason}")]
    Jpeg {
        /// The frame's sequence number.
        sequence: u64,
        /// The decoder's message.
        reason: String,
    },
    /// The frame's PNG data cannot be decoded.
    #[error("frame {sequence}: {reason}")]
    Png {
        /// The frame's sequence number.
        sequence: u64,
        /// The picture's name and the decoder's message.
        reason: String,
    },
    /// The frame's size or stride makes no sense.
    #[error("frame {sequence}: {reason}")]
    Geometry {
        /// The frame's sequence number.
        sequence: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One frame, ready for the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prepared<'a> {
    /// The picture at its own size: `height * width * 3` bytes, row-major, red
    /// first. `None` where it was not [asked for](Preprocessor::keep_picture) and
    /// nothing else needed it.
    pub source_rgb: Option<&'a [u8]>,
    /// Width of the picture in pixels. For JPEG it is what the picture says.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// The picture at the model's size, laid out likewise.
    pub model_rgb: &'a [u8],
    /// Where the picture lies in the model's input.
    pub placement: Placement,
}

/// Turns frames into the model's input. Its buffers are reused: while sizes
/// repeat, uncompressed frames cost no allocation.
#[derive(Debug)]
pub struct Preprocessor {
    model: (u32, u32),
    fit: Fit,
    pad: [u8; 3],
    unpacker: Unpacker,
    resizer: resize::Resizer,
    input: Vec<u8>,
    /// The placement whose padding `input` holds.
    padded: Option<Placement>,
}

/// Makes pictures of frames as they came.
#[derive(Debug)]
struct Unpacker {
    keep_picture: bool,
    colour: Colour,
    decoder: mjpeg::Decoder,
    source: Vec<u8>,
}

/// A frame's picture.
enum Unpacked<'a> {
    /// RGB without padding.
    Whole(&'a [u8]),
    /// Uncompressed; its rows are converted one by one.
    Plain(colour::Rows<'a>, Colour),
}

impl Unpacker {
    /// The frame's picture with its width and height. It is whole where it was coded, or is
    /// to be kept and does not lie in the frame as it is wanted.
    fn unpack<'a>(
        &'a mut self,
        frame: &'a Frame,
    ) -> Result<((u32, u32), Unpacked<'a>), PreprocessError> {
        let size = match frame.format {
            PixelFormat::Mjpeg => self.decoder.decode(frame, &mut self.source)?,
            PixelFormat::Png => decode_png(frame, &mut self.source)?,
            _ => {
                let size = (frame.width, frame.height);
                let rows = colour::Rows::of(frame)?;
                if !self.keep_picture || rows.tight_rgb().is_some() {
                    return Ok((size, Unpacked::Plain(rows, self.colour)));
                }
                rows.convert_all(self.colour, &mut self.source);
                size
            }
        };
        Ok((size, Unpacked::Whole(&self.source)))
    }
}

impl Preprocessor {
    /// For a model input of `model` (width, height) pixels, with the best kernels of
    /// this processor. `pad` is the colour (red, green, blue) of the bars that
    /// [`Fit::Letterbox`] leaves.
    pub fn new(model: (u32, u32), fit: Fit, pad: [u8; 3]) -> Self {
        let cpu = Cpu::detect();
        Self {
            model,
            fit,
            pad,
            unpacker: Unpacker {
                keep_picture: false,
                colour: best(COLOUR, cpu).1,
                decoder: mjpeg::Decoder::default(),
                source: Vec::new(),
            },
            resizer: resize::Resizer::new(cpu),
            input: Vec::new(),
            padded: None,
        }
    }

    /// The same with the kernels that `cpu` allows. Pixels do not depend on it.
    pub fn with_cpu(mut self, cpu: Cpu) -> Self {
        self.unpacker.colour = best(COLOUR, cpu).1;
        self.resizer = resize::Resizer::new(cpu);
        self
    }

    /// Whether the picture at its own size is wanted, too. If not, it is converted row
    /// by row on the way to the model's input, and never whole.
    pub fn keep_picture(&mut self, keep: bool) {
        self.unpacker.keep_picture = keep;
    }

    /// Converts one frame.
    ///
    /// An RGB frame without padding between rows is used as it lies; so is a
    /// picture that has the model's size.
    ///
    /// # Errors
    /// [`PreprocessError`] where the frame contradicts itself or cannot be
    /// decoded. The next frame may be converted all the same.
    pub fn run<'a>(&'a mut self, frame: &'a Frame) -> Result<Prepared<'a>, PreprocessError> {
        let ((width, height), picture) = self.unpacker.unpack(frame)?;
        let whole = match &picture {
            Unpacked::Whole(pixels) => Some(*pixels),
            Unpacked::Plain(rows, _) => rows.tight_rgb(),
        };
        let placement = Placement::new((width, height), self.model, self.fit);
        if let Some(source_rgb) = whole
            && (width, height) == self.model
        {
            return Ok(Prepared {
                source_rgb: whole,
                width,
                height,
                model_rgb: source_rgb,
                placement,
            });
        }
        if self.padded != Some(placement) {
            self.input.clear();
            let (model_width, model_height) = placement.model;
            let pixels = model_width as usize * model_height as usize;
            self.input
                .extend(std::iter::repeat_n(self.pad, pixels).flatten());
            self.padded = Some(placement);
        }
        match &picture {
            Unpacked::Whole(data) => {
                let picture = RowRing {
                    data,
                    stride: width as usize * 3,
                    count: height as usize,
                };
                self.resizer.run(picture, &placement, &mut self.input);
            }
            Unpacked::Plain(rows, colour) => match rows.rgb() {
                Some(picture) => self.resizer.run(picture, &placement, &mut self.input),
                None => {
                    let make = |y: usize, row: &mut [u8]| rows.convert(y, *colour, row);
                    self.resizer.stream(make, &placement, &mut self.input);
                }
            },
        }
        Ok(Prepared {
            source_rgb: whole,
            width,
            height,
            model_rgb: &self.input,
            placement,
        })
    }

    /// The frame's rows at its own size, from top to bottom. Only where the picture is
    /// [kept](Self::keep_picture), or is a JPEG, is it decoded whole.
    ///
    /// # Errors
    /// As [`run`](Self::run); a PNG may prove broken in any row.
    pub fn rows<'a>(&'a mut self, frame: &'a Frame) -> Result<SourceRows<'a>, PreprocessError> {
        let by_rows = frame.format == PixelFormat::Png && !self.unpacker.keep_picture;
        let ((width, height), rows) = if by_rows {
            let rows = Rows::Png(Box::new(PngRows::new(frame)?));
            ((frame.width, frame.height), rows)
        } else {
            let (size, picture) = self.unpacker.unpack(frame)?;
            (size, Rows::Unpacked(picture))
        };
        Ok(SourceRows {
            width,
            height,
            next: 0,
            rows,
        })
    }

    /// Moves the picture that [`run`](Self::run) or [`rows`](Self::rows) has just made of `frame` into `rgb`,
    /// without copying it: `height * width * 3` bytes. The buffer that was in `rgb`
    /// takes its place, in the frame where the picture was used as it lay there. Only
    /// for a picture that [was kept](Self::keep_picture).
    pub fn take_source(&mut self, frame: &mut Frame, rgb: &mut Vec<u8>) {
        let tight = match frame.format {
            PixelFormat::Rgb8 => colour::Rows::of(frame).ok(),
            _ => None,
        };
        let tight = tight.and_then(|rows| rows.tight_rgb().map(<[u8]>::len));
        match tight {
            Some(bytes) => {
                std::mem::swap(&mut frame.data, rgb);
                rgb.truncate(bytes);
            }
            None => std::mem::swap(&mut self.unpacker.source, rgb),
        }
    }
}

/// Decodes a whole PNG to RGB; gives its width and height.
fn decode_png(frame: &Frame, out: &mut Vec<u8>) -> Result<(u32, u32), PreprocessError> {
    let mut rows = PngRows::new(frame)?;
    let row = frame.width as usize * 3;
    out.resize(row * frame.height as usize, 0);
    for row in out.chunks_exact_mut(row) {
        rows.read(row)?;
    }
    Ok((frame.width, frame.height))
}

/// Refuses sizes that may not be allocated.
fn check_size(sequence: u64, width: u32, height: u32) -> Result<(), PreprocessError> {
    if size_is_allowed(width, height) {
        return Ok(());
    }
    Err(PreprocessError::Geometry {
        sequence,
        reason: format!(
            "{width}x{height} pixels; each side must be 1 to {MAX_SIDE}, and the picture have at \
             most {MAX_PIXELS} pixels"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb_frame(width: u32, height: u32, stride: usize) -> Frame {
        let len = stride * height as usize;
        let data = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        Frame {
            width,
            height,
            stride,
            data,
            ..Frame::default()
        }
    }

    #[test]
    fn tight_rgb_is_not_copied() {
        let frame = rgb_frame(8, 4, 24);
        let mut preprocessor = Preprocessor::new((4, 4), Fit::Stretch, [0; 3]);
        let prepared = preprocessor.run(&frame).unwrap();
        assert_eq!(prepared.source_rgb.unwrap().as_ptr(), frame.data.as_ptr());
        assert_eq!(prepared.model_rgb.len(), 4 * 4 * 3);
    }

    #[test]
    fn a_picture_of_the_models_size_is_the_input() {
        let frame = rgb_frame(5, 4, 17);
        let mut preprocessor = Preprocessor::new((5, 4), Fit::Letterbox, [9; 3]);
        assert_eq!(preprocessor.run(&frame).unwrap().source_rgb, None);
        preprocessor.keep_picture(true);
        let prepared = preprocessor.run(&frame).unwrap();
        assert_eq!(prepared.source_rgb, Some(prepared.model_rgb));
        assert_eq!(prepared.model_rgb[15..30], frame.data[17..32]);
    }

    #[test]
    fn letterbox_pads_with_the_colour_and_forgets_the_last_picture() {
        let mut preprocessor = Preprocessor::new((8, 8), Fit::Letterbox, [1, 2, 3]);
        let square = rgb_frame(4, 4, 12);
        preprocessor.run(&square).unwrap();
        let wide = rgb_frame(16, 8, 48);
        let prepared = preprocessor.run(&wide).unwrap();
        let p = prepared.placement;
        assert_eq!((p.x, p.y, p.width, p.height), (0, 2, 8, 4));
        for row in [0, 1, 6, 7] {
            for pixel in prepared.model_rgb[row * 24..][..24].chunks(3) {
                assert_eq!(pixel, [1, 2, 3]);
            }
        }
    }

    #[test]
    fn sizes_beyond_the_limits_are_refused() {
        let mut preprocessor = Preprocessor::new((8, 8), Fit::Stretch, [0; 3]);
        for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 1), (MAX_SIDE, MAX_SIDE)] {
            let frame = Frame {
                width,
                height,
                stride: 1 << 20,
                ..Frame::default()
            };
            let result = preprocessor.run(&frame);
            assert!(
                matches!(result, Err(PreprocessError::Geometry { .. })),
                "{width}x{height}"
            );
        }
    }

    #[test]
    fn an_error_does_not_spoil_the_next_frame() {
        let mut preprocessor = Preprocessor::new((3, 3), Fit::Stretch, [0; 3]);
        let good = rgb_frame(6, 6, 20);
        let first = preprocessor.run(&good).unwrap().model_rgb.to_vec();
        let mut bad = good.clone();
        bad.data.truncate(50);
        assert!(matches!(
            preprocessor.run(&bad),
            Err(PreprocessError::Short { .. })
        ));
        assert_eq!(preprocessor.run(&good).unwrap().model_rgb, first);
    }
}
