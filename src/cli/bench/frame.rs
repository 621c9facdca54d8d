//! The frame that the way from a camera to a result is timed with.

use std::str::FromStr;

use anyhow::Result;

use atrous::frame::{Frame, PixelFormat};
use atrous::source::scene::SceneSource;
use atrous::source::uri::SceneRequest;
use atrous::source::{FrameSource, Pace};

use super::super::compile::size_of;

/// Pixel formats by the names that the command line takes.
const FORMATS: [(&str, PixelFormat); 7] = [
    ("rgb", PixelFormat::Rgb8),
    ("grey", PixelFormat::Grey8),
    ("yuyv", PixelFormat::Yuyv),
    ("nv12", PixelFormat::Nv12),
    ("i420", PixelFormat::I420),
    ("i422", PixelFormat::I422),
    ("i444", PixelFormat::I444),
];

/// The size and pixel format of a camera's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameKind {
    width: u32,
    height: u32,
    format: PixelFormat,
}

impl FromStr for FrameKind {
    type Err = String;

    /// Reads `WIDTHxHEIGHT:FORMAT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (size, name) = text
            .split_once(':')
            .ok_or("a frame is WIDTHxHEIGHT:FORMAT, such as 640x480:yuyv")?;
        let (width, height) = size_of(size)?;
        let format = FORMATS.iter().find(|(known, _)| *known == name);
        let format = format.ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!(
                "'{name}' is no pixel format; known are {}",
                names.join(", ")
            )
        })?;
        Ok(Self {
            width,
            height,
            format: format.1,
        })
    }
}

impl FrameKind {
    /// A drawn street, as a camera would deliver it: BT.601, limited range, the chroma
    /// of every first pixel.
    ///
    /// # Errors
    /// Where no street of this size can be drawn.
    pub fn draw(self) -> Result<Frame> {
        let mut street = SceneSource::new(SceneRequest {
            seed: 1,
            width: self.width,
            height: self.height,
            fps: 30.0,
            frames: None,
            pace: Pace::OnDemand,
        })?;
        let mut frame = Frame::default();
        street.next_frame(&mut frame)?;
        frame.truth = None;
        let rgb = std::mem::take(&mut frame.data);
        let (width, height) = (self.width as usize, self.height as usize);
        let pixel = |x: usize, y: usize| {
            let at = (y.min(height - 1) * width + x.min(width - 1)) * 3;
            [rgb[at], rgb[at + 1], rgb[at + 2]].map(i32::from)
        };
        let luma = |x, y| code(pixel(x, y), [66, 129, 25], 16);
        let cb = |x, y| code(pixel(x, y), [-38, -74, 112], 128);
        let cr = |x, y| code(pixel(x, y), [112, -94, -18], 128);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let data = &mut frame.data;
        let mut plane = |columns: usize, rows: usize, at: &dyn Fn(usize, usize) -> u8| {
            data.extend((0..columns * rows).map(|i| at(i % columns, i / columns)));
        };
        frame.stride = width;
        match self.format {
            PixelFormat::Yuyv => {
                plane(half_width * 4, height, &|at, y| match at % 4 {
                    1 => cb(at / 4 * 2, y),
                    3 => cr(at / 4 * 2, y),
                    _ => luma(at / 2, y),
                });
                frame.stride = half_width * 4;
            }
            PixelFormat::Nv12 => {
                frame.stride = half_width * 2;
                plane(frame.stride, height, &luma);
                plane(frame.stride, half_height, &|at, y| {
                    let (x, y) = (at / 2 * 2, y * 2);
                    if at % 2 == 0 { cb(x, y) } else { cr(x, y) }
                });
            }
            PixelFormat::I420 => {
                plane(width, height, &luma);
                plane(half_width, half_height, &|x, y| cb(x * 2, y * 2));
                plane(half_width, half_height, &|x, y| cr(x * 2, y * 2));
            }
            PixelFormat::I422 => {
                plane(width, height, &luma);
                plane(half_width, height, &|x, y| cb(x * 2, y));
                plane(half_width, height, &|x, y| cr(x * 2, y));
            }
            PixelFormat::I444 => {
                plane(width, height, &luma);
                plane(width, height, &cb);
                plane(width, height, &cr);
            }
            PixelFormat::Grey8 => plane(width, height, &luma),
            PixelFormat::Rgb8 | PixelFormat::Mjpeg | PixelFormat::Png => {
                frame.data = rgb;
                frame.stride = width * 3;
            }
        }
        frame.format = self.format;
        Ok(frame)
    }
}

/// A code value from red, green and blue.
fn code(rgb: [i32; 3], factors: [i32; 3], offset: i32) -> u8 {
    let sum: i32 = rgb.iter().zip(factors).map(|(c, f)| c * f).sum();
    (((sum + 128) >> 8) + offset) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use atrous::kernels::scalar;
    use atrous::preprocess::colour;

    #[test]
    fn frames_are_read_and_others_refused() {
        let kind: FrameKind = "640x480:yuyv".parse().unwrap();
        assert_eq!((kind.width, kind.height), (640, 480));
        for (text, word) in [
            ("640x480", "FORMAT"),
            ("0x480:yuyv", "size"),
            ("640x480:mjpeg", "known are rgb"),
        ] {
            let error = text.parse::<FrameKind>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn every_format_shows_the_same_street() {
        let rgb = |format| {
            let kind = FrameKind {
                width: 33,
                height: 17,
                format,
            };
            let mut rgb = Vec::new();
            let frame = kind.draw().unwrap();
            colour::Rows::of(&frame)
                .unwrap()
                .convert_all(scalar::colour, &mut rgb);
            rgb
        };
        let street = rgb(PixelFormat::Rgb8);
        for (name, format) in FORMATS {
            let shown = rgb(format);
            assert_eq!(shown.len(), street.len(), "{name}");
            // Chroma is coarser and grey has none: lightness is what all share.
            let sum = |rgb: &[u8]| rgb.iter().map(|&v| i64::from(v)).sum::<i64>();
            let mean = (sum(&shown) - sum(&street)) as f64 / street.len() as f64;
            assert!(mean.abs() < 8.0, "{name}: {mean}");
        }
    }
}
