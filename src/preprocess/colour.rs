//! Uncompressed frames to RGB.
//!
//! # Definition
//!
//! With luma weights `Kr`, `Kb` and `Kg = 1 - Kr - Kb` (ITU-R BT.601-7 §2.5.1:
//! 0.299 and 0.114; ITU-R BT.709-6 §3.2: 0.2126 and 0.0722), luma `Y`, and
//! chroma `U` (Cb) and `V` (Cr), as code values:
//!
//! ```text
//! R = s (Y - o)                                  + c 2 (1 - Kr)         (V - 128)
//! G = s (Y - o) - c 2 Kb (1 - Kb) / Kg (U - 128) - c 2 Kr (1 - Kr) / Kg (V - 128)
//! B = s (Y - o) + c 2 (1 - Kb)         (U - 128)
//! ```
//!
//! Limited range (BT.601-7 §2.5.3, BT.709-6 §4): `o` = 16, `s` = 255/219,
//! `c` = 255/224. Full range (JFIF, ITU-T T.871 §7): `o` = 0, `s` = `c` = 1.
//!
//! Each factor is rounded to a multiple of 2^-16, the sum is exact in 32-bit
//! integers, and the result is `floor(sum + 1/2)`, clamped to 0..=255: the same
//! on every CPU, and within one code value of the formula.
//!
//! Subsampled chroma is repeated: pixel `x` takes chroma sample `x / 2`, and in
//! 4:2:0 row `y` takes chroma row `y / 2`. Siting is ignored: it would move
//! colour by at most half a pixel.

use super::PreprocessError;
use crate::frame::{ColourSpace, Frame, Matrix, PixelFormat, Range};
use crate::kernels::imaging::{FACTOR_BITS, RowRing, YuvFactors, YuvRow};
use crate::kernels::variants::Colour;

/// The factors of the definition.
fn factors(colour: ColourSpace) -> YuvFactors {
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let (offset, luma, chroma) = match colour.range {
        Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
        Range::Full => (0, 1.0, 1.0),
    };
    let kg = 1.0 - kr - kb;
    let fixed = |factor: f64| (factor * f64::from(1 << FACTOR_BITS)).round() as i32;
    YuvFactors {
        offset,
        luma: fixed(luma),
        red_v: fixed(chroma * 2.0 * (1.0 - kr)),
        green_u: fixed(chroma * 2.0 * kb * (1.0 - kb) / kg),
        green_v: fixed(chroma * 2.0 * kr * (1.0 - kr) / kg),
        blue_u: fixed(chroma * 2.0 * (1.0 - kb)),
    }
}

/// Where a frame's planes lie.
struct Layout {
    /// Bytes of a row of the first plane that carry pixels.
    row: usize,
    /// Bytes from one row to the next in the first plane, and in the others.
    strides: (usize, usize),
    /// Offsets of the second and third plane.
    planes: (usize, usize),
}

impl Layout {
    /// Works out the layout and checks that the frame's data cover it.
    fn of(frame: &Frame) -> Result<Self, PreprocessError> {
        super::check_size(frame.sequence, frame.width, frame.height)?;
        let (width, height) = (frame.width as usize, frame.height as usize);
        let half_width = width.div_ceil(2);
        let stride = frame.stride;
        let half_stride = stride.div_ceil(2);
        // Row bytes of the first plane; then stride, row bytes, rows and count of
        // the others.
        let (row, other_stride, other_row, other_rows, others) = match frame.format {
            PixelFormat::Rgb8 => (width * 3, 0, 0, 0, 0),
            PixelFormat::Grey8 => (width, 0, 0, 0, 0),
            PixelFormat::Yuyv => (half_width * 4, 0, 0, 0, 0),
            PixelFormat::Nv12 => (width, stride, half_width * 2, height.div_ceil(2), 1),
            PixelFormat::I420 => (width, half_stride, half_width, height.div_ceil(2), 2),
            PixelFormat::I422 => (width, half_stride, half_width, height, 2),
            PixelFormat::I444 => (width, stride, width, height, 2),
            PixelFormat::Mjpeg | PixelFormat::Png => {
                return Err(geometry(
                    frame,
                    "a coded picture where plain pixels were expected",
                ));
            }
        };
        if stride < row || other_stride < other_row {
            let least = if stride < row { row } else { other_row };
            let format = frame.format;
            return Err(geometry(
                frame,
                &format!(
                    "a stride of {stride} bytes is too small for {width} pixels of {format:?}: it takes {least}"
                ),
            ));
        }
        let size = || {
            let first = stride.checked_mul(height)?;
            let other = other_stride.checked_mul(other_rows)?;
            let second = first.checked_add(other)?;
            // The padding after the last row of the last plane may be missing.
            let needed = match others {
                0 => stride.checked_mul(height - 1)?.checked_add(row)?,
                1 => second.checked_sub(other_stride)?.checked_add(other_row)?,
                _ => second
                    .checked_add(other)?
                    .checked_sub(other_stride)?
                    .checked_add(other_row)?,
            };
            Some((first, second, needed))
        };
        let (first, second, needed) = size()
            .ok_or_else(|| geometry(frame, &format!("a stride of {stride} bytes overflows")))?;
        if frame.data.len() < needed {
            return Err(PreprocessError::Short {
                sequence: frame.sequence,
                width: frame.width,
                height: frame.height,
                needed,
                got: frame.data.len(),
            });
        }
        Ok(Self {
            row,
            strides: (stride, other_stride),
            planes: (first, second),
        })
    }

    /// Row `y` of the first plane.
    fn first<'a>(&self, frame: &'a Frame, y: usize) -> &'a [u8] {
        &frame.data[y * self.strides.0..][..self.row]
    }

    /// `len` bytes of row `y` of the plane at `offset`.
    fn other<'a>(&self, frame: &'a Frame, offset: usize, y: usize, len: usize) -> &'a [u8] {
        &frame.data[offset + y * self.strides.1..][..len]
    }
}

fn geometry(frame: &Frame, reason: &str) -> PreprocessError {
    PreprocessError::Geometry {
        sequence: frame.sequence,
        reason: reason.to_owned(),
    }
}

/// The rows of a frame whose data were checked to cover them.
///
/// Rows may be padded; bytes beyond a row's pixels are ignored. A row of an odd
/// width still carries a whole last pair in YUYV and a whole last chroma sample
/// in the planar formats, and the stride must cover them.
pub struct Rows<'a> {
    frame: &'a Frame,
    layout: Layout,
    factors: YuvFactors,
}

impl<'a> Rows<'a> {
    /// The rows of an uncompressed frame.
    ///
    /// # Errors
    /// [`PreprocessError::Geometry`] where the size is beyond the limits of
    /// [`crate::frame`], the stride is less than a row, or the frame is a coded picture (JPEG, PNG);
    /// [`PreprocessError::Short`] where bytes are missing.
    pub fn of(frame: &'a Frame) -> Result<Self, PreprocessError> {
        Ok(Self {
            layout: Layout::of(frame)?,
            factors: factors(frame.colour),
            frame,
        })
    }

    /// The pixels of an RGB frame as they lie; `None` for every other frame.
    pub fn rgb(&self) -> Option<RowRing<'a>> {
        (self.frame.format == PixelFormat::Rgb8).then_some(RowRing {
            data: &self.frame.data,
            stride: self.frame.stride,
            count: self.frame.height as usize,
        })
    }

    /// The pixels of an RGB frame whose rows follow each other without padding;
    /// `None` for every other frame.
    pub fn tight_rgb(&self) -> Option<&'a [u8]> {
        let row = self.frame.width as usize * 3;
        let tight = self.frame.format == PixelFormat::Rgb8 && self.frame.stride == row;
        tight.then(|| &self.frame.data[..row * self.frame.height as usize])
    }

    /// Converts row `y` to RGB: `width * 3` bytes, red first.
    ///
    /// # Panics
    /// If there is no such row, or `out` has another length.
    pub fn convert(&self, y: usize, kernel: Colour, out: &mut [u8]) {
        let frame = self.frame;
        let width = frame.width as usize;
        assert_eq!(out.len(), width * 3, "the row's length");
        let half = width.div_ceil(2);
        let (second, third) = self.layout.planes;
        let row = self.layout.first(frame, y);
        let other = |offset, y, len| self.layout.other(frame, offset, y, len);
        let row = match frame.format {
            PixelFormat::Rgb8 => return out.copy_from_slice(row),
            PixelFormat::Grey8 => YuvRow::Grey(row),
            PixelFormat::Yuyv => YuvRow::Packed(row),
            PixelFormat::Nv12 => YuvRow::SemiPlanar(row, other(second, y / 2, half * 2)),
            PixelFormat::I420 => {
                YuvRow::HalfPlanar(row, other(second, y / 2, half), other(third, y / 2, half))
            }
            PixelFormat::I422 => {
                YuvRow::HalfPlanar(row, other(second, y, half), other(third, y, half))
            }
            PixelFormat::I444 => {
                YuvRow::FullPlanar(row, other(second, y, width), other(third, y, width))
            }
            PixelFormat::Mjpeg | PixelFormat::Png => unreachable!("refused by the layout"),
        };
        kernel(&self.factors, row, out);
    }

    /// Converts all rows: `height * width * 3` bytes, row-major. `out` is resized and
    /// wholly written.
    pub fn convert_all(&self, kernel: Colour, out: &mut Vec<u8>) {
        let (width, height) = (self.frame.width as usize, self.frame.height as usize);
        out.resize(width * height * 3, 0);
        for (y, target) in out.chunks_exact_mut(width * 3).enumerate() {
            self.convert(y, kernel, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::scalar;

    fn to_rgb(frame: &Frame, out: &mut Vec<u8>) -> Result<(), PreprocessError> {
        Rows::of(frame)?.convert_all(scalar::colour, out);
        Ok(())
    }

    const SPACES: [ColourSpace; 4] = [
        ColourSpace {
            matrix: Matrix::Bt601,
            range: Range::Limited,
        },
        ColourSpace {
            matrix: Matrix::Bt601,
            range: Range::Full,
        },
        ColourSpace {
            matrix: Matrix::Bt709,
            range: Range::Limited,
        },
        ColourSpace {
            matrix: Matrix::Bt709,
            range: Range::Full,
        },
    ];

    /// The definition in f64.
    fn reference(space: ColourSpace, y: u8, u: u8, v: u8) -> [f64; 3] {
        let (kr, kb) = match space.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (y, u, v) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (y, u, v) = match space.range {
            Range::Limited => ((y - 16.0) / 219.0, u / 224.0, v / 224.0),
            Range::Full => (y / 255.0, u / 255.0, v / 255.0),
        };
        let r = y + 2.0 * (1.0 - kr) * v;
        let b = y + 2.0 * (1.0 - kb) * u;
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|c| (c * 255.0).clamp(0.0, 255.0))
    }

    fn convert(frame: &Frame) -> Vec<u8> {
        let mut out = Vec::new();
        to_rgb(frame, &mut out).unwrap();
        out
    }

    /// A frame of one pixel in full chroma resolution.
    fn pixel(colour: ColourSpace, y: u8, u: u8, v: u8) -> [u8; 3] {
        let frame = Frame {
            width: 1,
            height: 1,
            stride: 1,
            format: PixelFormat::I444,
            colour,
            data: vec![y, u, v],
            ..Frame::default()
        };
        convert(&frame).try_into().unwrap()
    }

    #[test]
    fn every_code_value_is_within_one_of_the_formula() {
        let steps = || {
            (0..=255u8)
                .step_by(5)
                .chain([1, 15, 16, 127, 128, 129, 235, 240, 254])
        };
        for space in SPACES {
            for y in 0..=255 {
                let mut data = vec![y; 60 * 60];
                let (mut us, mut vs) = (Vec::new(), Vec::new());
                for u in steps().take(60) {
                    for v in steps().take(60) {
                        us.push(u);
                        vs.push(v);
                    }
                }
                data.extend_from_slice(&us);
                data.extend_from_slice(&vs);
                let frame = Frame {
                    width: 60,
                    height: 60,
                    stride: 60,
                    format: PixelFormat::I444,
                    colour: space,
                    data,
                    ..Frame::default()
                };
                for (i, got) in convert(&frame).chunks(3).enumerate() {
                    let want = reference(space, y, us[i], vs[i]);
                    for (got, want) in got.iter().zip(want) {
                        // Half for the rounding, and what 16-bit factors add.
                        assert!(
                            (f64::from(*got) - want).abs() < 0.52,
                            "{space:?} {y} {} {}",
                            us[i],
                            vs[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn primaries_come_out_right() {
        for space in SPACES {
            let (kr, kb) = match space.matrix {
                Matrix::Bt601 => (0.299, 0.114),
                Matrix::Bt709 => (0.2126, 0.0722),
            };
            for bits in 0..8 {
                let rgb = [bits & 1, bits >> 1 & 1, bits >> 2].map(f64::from);
                let luma = kr * rgb[0] + (1.0 - kr - kb) * rgb[1] + kb * rgb[2];
                let cb = (rgb[2] - luma) / (2.0 * (1.0 - kb));
                let cr = (rgb[0] - luma) / (2.0 * (1.0 - kr));
                let (y, u, v) = match space.range {
                    Range::Limited => (16.0 + 219.0 * luma, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr),
                    Range::Full => (255.0 * luma, 128.0 + 255.0 * cb, 128.0 + 255.0 * cr),
                };
                let code = |value: f64| value.round().clamp(0.0, 255.0) as u8;
                let got = pixel(space, code(y), code(u), code(v));
                for (got, want) in got.iter().zip(rgb) {
                    // The code values themselves were rounded.
                    assert!(
                        (f64::from(*got) - 255.0 * want).abs() <= 2.0,
                        "{space:?} {rgb:?} {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn grey_ramps_are_grey_and_reach_both_ends() {
        for space in SPACES {
            let (black, white) = if space.range == Range::Limited {
                (16, 235)
            } else {
                (0, 255)
            };
            assert_eq!(pixel(space, black, 128, 128), [0; 3]);
            assert_eq!(pixel(space, white, 128, 128), [255; 3]);
            assert_eq!(pixel(space, 0, 128, 128), [0; 3]);
            assert_eq!(pixel(space, 255, 128, 128), [255; 3]);
            let data: Vec<u8> = (0..=255).collect();
            let frame = Frame {
                width: 256,
                height: 1,
                stride: 256,
                format: PixelFormat::Grey8,
                colour: space,
                data,
                ..Frame::default()
            };
            for (y, got) in (0..=255).zip(convert(&frame).chunks(3)) {
                assert_eq!(got, pixel(space, y, 128, 128));
                assert!(got[0] == got[1] && got[1] == got[2]);
            }
        }
    }

    /// Builds a frame in `format` whose pixel (x, y) has known Y, U, V, with
    /// `0xAA` in all padding.
    fn picture(
        format: PixelFormat,
        width: usize,
        height: usize,
        pad: usize,
    ) -> (Frame, Vec<[u8; 3]>) {
        let luma = |x: usize, y: usize| (x * 37 + y * 91 + 5) as u8;
        let (cw, ch) = match format {
            PixelFormat::Yuyv | PixelFormat::I422 => (2, 1),
            PixelFormat::Nv12 | PixelFormat::I420 => (2, 2),
            _ => (1, 1),
        };
        let u = |x: usize, y: usize| (x * 53 + y * 29 + 11) as u8;
        let v = |x: usize, y: usize| (x * 17 + y * 71 + 200) as u8;
        let half = width.div_ceil(2);
        let row = match format {
            PixelFormat::Yuyv => half * 4,
            PixelFormat::Nv12 => half * 2,
            _ => width,
        };
        let stride = row + pad;
        let mut data = Vec::new();
        let mut plane =
            |stride: usize, rows: usize, row: usize, at: &dyn Fn(usize, usize) -> u8| {
                for y in 0..rows {
                    data.extend((0..stride).map(|x| if x < row { at(x, y) } else { 0xAA }));
                }
            };
        match format {
            PixelFormat::Yuyv => plane(stride, height, half * 4, &|x, y| match x % 4 {
                0 => luma(x / 2, y),
                1 => u(x / 4, y),
                2 => luma(x / 2, y),
                _ => v(x / 4, y),
            }),
            PixelFormat::Nv12 => {
                plane(stride, height, width, &luma);
                plane(stride, height.div_ceil(2), half * 2, &|x, y| {
                    if x % 2 == 0 { u(x / 2, y) } else { v(x / 2, y) }
                });
            }
            _ => {
                plane(stride, height, width, &luma);
                let stride = if cw == 2 { stride.div_ceil(2) } else { stride };
                plane(stride, height.div_ceil(ch), width.div_ceil(cw), &u);
                plane(stride, height.div_ceil(ch), width.div_ceil(cw), &v);
            }
        }
        let frame = Frame {
            width: width as u32,
            height: height as u32,
            stride,
            format,
            data,
            ..Frame::default()
        };
        let pixels = (0..height)
            .flat_map(|y| {
                (0..width).map(move |x| [luma(x, y), u(x / cw, y / ch), v(x / cw, y / ch)])
            })
            .collect();
        (frame, pixels)
    }

    const FORMATS: [PixelFormat; 5] = [
        PixelFormat::Yuyv,
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::I422,
        PixelFormat::I444,
    ];

    #[test]
    fn layouts_agree_with_single_pixels() {
        for format in FORMATS {
            for (width, height) in [
                (1, 1),
                (2, 2),
                (3, 1),
                (1, 3),
                (5, 3),
                (31, 2),
                (32, 2),
                (65, 9),
            ] {
                for pad in [0, 1, 6] {
                    let (mut frame, pixels) = picture(format, width, height, pad);
                    for colour in SPACES {
                        frame.colour = colour;
                        let got = convert(&frame);
                        for (got, &[y, u, v]) in got.chunks(3).zip(&pixels) {
                            assert_eq!(
                                got,
                                pixel(colour, y, u, v),
                                "{format:?} {width}x{height}+{pad}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn missing_bytes_and_narrow_strides_are_errors() {
        for format in FORMATS {
            let (mut frame, _) = picture(format, 5, 3, 2);
            frame.sequence = 7;
            // All the padding after the very last row may be missing, no pixel.
            let mut least = frame.data.len();
            while {
                frame.data.truncate(least);
                to_rgb(&frame, &mut Vec::new()).is_ok()
            } {
                least -= 1;
            }
            let short = to_rgb(&frame, &mut Vec::new()).unwrap_err();
            assert_eq!(
                short,
                PreprocessError::Short {
                    sequence: 7,
                    width: 5,
                    height: 3,
                    needed: least + 1,
                    got: least
                }
            );
            let (mut frame, _) = picture(format, 5, 3, 0);
            frame.stride -= 1;
            let error = to_rgb(&frame, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, PreprocessError::Geometry { .. }),
                "{format:?}: {error}"
            );
            frame.stride = usize::MAX;
            let error = to_rgb(&frame, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, PreprocessError::Geometry { .. }),
                "{format:?}: {error}"
            );
        }
    }

    #[test]
    fn padded_rgb_loses_its_padding() {
        let frame = Frame {
            width: 2,
            height: 2,
            stride: 8,
            data: vec![1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12],
            ..Frame::default()
        };
        assert_eq!(Rows::of(&frame).unwrap().tight_rgb(), None);
        assert_eq!(convert(&frame), (1..=12).collect::<Vec<u8>>());
    }

    proptest! {
        #[test]
        fn no_frame_panics(
            format in prop::sample::select(vec![
                PixelFormat::Rgb8, PixelFormat::Grey8, PixelFormat::Yuyv, PixelFormat::Nv12,
                PixelFormat::I420, PixelFormat::I422, PixelFormat::I444, PixelFormat::Mjpeg,
                PixelFormat::Png,
            ]),
            width in 0u32..12, height in 0u32..12, stride in 0usize..40,
            data in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let frame = Frame { width, height, stride, format, data, ..Frame::default() };
            let mut out = Vec::new();
            if to_rgb(&frame, &mut out).is_ok() {
                prop_assert_eq!(out.len(), width as usize * height as usize * 3);
            }
            let _ = Rows::of(&frame).map(|rows| rows.tight_rgb().is_some());
        }
    }
}
