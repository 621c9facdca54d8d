//! Drawn pictures as PNG and JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::sink::visual::Painting;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lossless.
    Png,
    /// Smaller, lossy, colour only.
    Jpeg,
}

impl Format {
    /// The format that a file extension stands for; case does not count.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }
}

/// Encodes into `out`, which is overwritten; `quality` counts for JPEG only.
///
/// # Errors
/// The encoder's words.
pub fn encode(
    painting: &Painting<'_>,
    format: Format,
    quality: u8,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    out.clear();
    let colour = match painting.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let (pixels, width, height) = (painting.pixels, painting.width, painting.height);
    let written = match format {
        // Fast: a board has to keep up with the camera.
        Format::Png => {
            PngEncoder::new_with_quality(out, CompressionType::Fast, FilterType::Adaptive)
                .write_image(pixels, width, height, colour)
        }
        Format::Jpeg => {
            JpegEncoder::new_with_quality(out, quality).write_image(pixels, width, height, colour)
        }
    };
    written.map_err(|error| error.to_string())
}
