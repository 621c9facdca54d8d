//! A picture as a source delivers it, before any conversion.

use std::time::Duration;

use crate::mask::Mask;

/// Largest width or height, in pixels, that any source, model or sink accepts.
///
/// It bounds what a hostile header can make the program allocate.
pub const MAX_SIDE: u32 = 16_384;

/// Largest number of pixels in one frame.
pub const MAX_PIXELS: u64 = 120_000_000;

/// How the bytes of a [`Frame`] encode its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three bytes a pixel: red, green, blue.
    Rgb8,
    /// One byte a pixel: luma.
    Grey8,
    /// Packed 4:2:2, two pixels in four bytes: Y0 U Y1 V.
    Yuyv,
    /// A full plane of Y, then a plane of interleaved U and V at half size both
    /// ways (rounded up). Both planes have the frame's stride.
    Nv12,
    /// Planar 4:2:0: Y, then U, then V at half size both ways (rounded up);
    /// the chroma stride is half the luma stride, rounded up.
    I420,
    /// Planar 4:2:2: chroma at half width (rounded up), full height; the chroma
    /// stride is half the luma stride, rounded up.
    I422,
    /// Planar 4:4:4: three full planes with the frame's stride.
    I444,
    /// One JPEG picture; the stride is 0 and width and height are what the
    /// source announced (the picture's own header decides).
    Mjpeg,
    /// One PNG picture that is upright and not interlaced, so that its rows can be
    /// decoded one after the other; the stride is 0.
    Png,
}

/// Which linear map takes Y'CbCr to R'G'B'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, JPEG, most webcams.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// Which code values mean black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Range {
    /// Luma 16..=235, chroma 16..=240.
    #[default]
    Limited,
    /// All of 0..=255.
    Full,
}

/// How a YUV frame's code values map to colour. Ignored for RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ColourSpace {
    /// The conversion matrix.
    pub matrix: Matrix,
    /// The code value range.
    pub range: Range,
}

/// What [`Frame::captured`] was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stamp {
    /// The driver's stamp for the start of exposure.
    Exposure,
    /// The driver's stamp for the end of the transfer.
    Driver,
    /// Taken by this program when the frame reached it.
    #[default]
    Arrival,
}

impl Stamp {
    /// The stamp in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exposure => "exposure",
            Self::Driver => "driver",
            Self::Arrival => "arrival",
        }
    }
}

/// One picture. Buffers are reused: a source overwrites every field.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from the start of one row of the first plane to the next.
    pub stride: usize,
    /// Encoding of `data`.
    pub format: PixelFormat,
    /// Colour interpretation of a YUV encoding.
    pub colour: ColourSpace,
    /// The encoded pixels, already cut to what the source says is used.
    pub data: Vec<u8>,
    /// The source's own count of this frame, from 0. Gaps are frames that the
    /// driver lost.
    pub sequence: u64,
    /// When the picture was taken, on the clock of [`crate::clock::now`].
    pub captured: Duration,
    /// What `captured` was read from.
    pub stamp: Stamp,
    /// The true class of every pixel, where the source knows it.
    pub truth: Option<Mask>,
    /// A name for output files, where the source has one (a picture's stem).
    pub name: Option<String>,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            stride: 0,
            format: PixelFormat::Rgb8,
            colour: ColourSpace::default(),
            data: Vec::new(),
            sequence: 0,
            captured: Duration::ZERO,
            stamp: Stamp::Arrival,
            truth: None,
            name: None,
        }
    }
}

/// Whether a picture of this size may be allocated: both sides in
/// 1..=[`MAX_SIDE`] and at most [`MAX_PIXELS`] in all.
pub fn size_is_allowed(width: u32, height: u32) -> bool {
    (1..=MAX_SIDE).contains(&width)
        && (1..=MAX_SIDE).contains(&height)
        && u64::from(width) * u64::from(height) <= MAX_PIXELS
}
