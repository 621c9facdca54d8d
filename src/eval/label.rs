//! Reading the true class of every pixel from a file.

use std::io::{Cursor, ErrorKind};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use thiserror::Error;

use crate::frame::size_is_allowed;
use crate::mask::Mask;
use crate::{guard, input_file};

/// Largest label file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Most memory that the decoder may take for itself, in bytes: rows and metadata.
const MAX_DECODER: usize = 64 << 20;

/// What a label file must be.
const WANTED: &str = "a label is a PNG of one index a pixel, 8 bits or fewer, grey or palette";

/// Why a label could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// There is no such file.
    #[error("there is no label '{path}'")]
    Missing {
        /// The file.
        path: String,
    },
    /// The file cannot be read, or is damaged.
    #[error("label '{path}': {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The file is whole, but no label.
    #[error("label '{path}': {reason}; {WANTED}")]
    Kind {
        /// The file.
        path: String,
        /// What it is instead.
        reason: String,
    },
    /// The label has another size than its picture.
    #[error(
        "label '{path}' is {}x{}, but its picture {}x{}: labels must be at the picture's own \
         size, resized by nearest neighbour where they are not",
        got.0, got.1, expected.0, expected.1
    )]
    Size {
        /// The file.
        path: String,
        /// Width and height of the label.
        got: (u32, u32),
        /// Width and height of the picture.
        expected: (u32, u32),
    },
}

/// Reads the label of a picture of `size` (width, height) pixels: the index of each pixel,
/// as it stands in the file. A palette's colours are not looked at.
///
/// # Errors
/// [`LabelError`]; what `out` holds is then unspecified.
pub fn read(path: &Path, size: (u32, u32), out: &mut Mask) -> Result<(), LabelError> {
    let name = || path.display().to_string();
    let encoded = input_file::read(path, MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => LabelError::Missing { path: name() },
        _ => LabelError::Unreadable {
            path: name(),
            reason: error.to_string(),
        },
    })?;
    // Decoders have a history of panics on files made to break them.
    let decoded = guard::contain(|| decode(&encoded, size, out))
        .unwrap_or_else(|panic| Err(Fault::Damaged(format!("the decoder failed: {panic}"))));
    decoded.map_err(|fault| match fault {
        Fault::Damaged(reason) => LabelError::Unreadable {
            path: name(),
            reason,
        },
        Fault::Kind(reason) => LabelError::Kind {
            path: name(),
            reason,
        },
        Fault::Size(got) => LabelError::Size {
            path: name(),
            got,
            expected: size,
        },
    })
}

/// What is wrong with the bytes of a label.
#[derive(Debug, PartialEq)]
enum Fault {
    Damaged(String),
    Kind(String),
    Size((u32, u32)),
}

impl From<png::DecodingError> for Fault {
    fn from(error: png::DecodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn decode(encoded: &[u8], size: (u32, u32), out: &mut Mask) -> Result<(), Fault> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    if !encoded.starts_with(SIGNATURE) {
        // A file that is cut short within its signature is damaged, not something else.
        return Err(if SIGNATURE.starts_with(encoded) {
            Fault::Damaged("the file ends before its picture does".into())
        } else {
            Fault::Kind("it is no PNG by its content".into())
        });
    }
    let limits = Limits { bytes: MAX_DECODER };
    let mut decoder = Decoder::new_with_limits(Cursor::new(encoded), limits);
    // Indices, not colours.
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let info = reader.info();
    let (got, depth) = ((info.width, info.height), info.bit_depth);
    let kind = match (info.color_type, depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Sixteen) => Some("16 bits a pixel"),
        (ColorType::Grayscale | ColorType::Indexed, _) => None,
        (ColorType::Rgb | ColorType::Rgba, _) => Some("a picture in colours, not of indices"),
        (ColorType::GrayscaleAlpha, _) => Some("grey with transparency"),
    };
    if let Some(kind) = kind {
        return Err(Fault::Kind(format!("it is {kind}")));
    }
    if got != size || !size_is_allowed(got.0, got.1) {
        return Err(Fault::Size(got));
    }
    let bytes = reader.output_buffer_size().unwrap_or(usize::MAX);
    let (width, height) = (size.0 as usize, size.1 as usize);
    // Rows begin at whole bytes, so never more than a byte a pixel.
    if bytes > width * height {
        return Err(Fault::Damaged("its rows are too long".into()));
    }
    out.resize(size.0, size.1);
    reader.next_frame(&mut out.labels[..bytes])?;
    // The checks at the end of the file belong to it, too.
    reader.finish()?;
    unpack(&mut out.labels, width, depth);
    Ok(())
}

/// Spreads indices of fewer than 8 bits, packed at the start of `labels` row by row, to
/// one a byte.
fn unpack(labels: &mut [u8], width: usize, depth: BitDepth) {
    let bits = match depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight | BitDepth::Sixteen => return,
    };
    let (in_byte, mask) = (8 / bits, (1 << bits) - 1);
    let packed = width.div_ceil(in_byte);
    // From the end: what is written lies at or after all that is still to be read.
    for row in (0..labels.len() / width).rev() {
        for x in (0..width).rev() {
            let byte = labels[row * packed + x / in_byte];
            let shift = 8 - bits * (x % in_byte + 1);
            labels[row * width + x] = byte >> shift & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(size: (u32, u32), colour: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            // Colours that no index is equal to.
            encoder.set_palette(vec![200; 3 * 16]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn decoded(bytes: &[u8], size: (u32, u32)) -> Result<Vec<u8>, Fault> {
        let mut mask = Mask::new(99, 1);
        decode(bytes, size, &mut mask)?;
        assert_eq!((mask.width, mask.height), size);
        Ok(mask.labels)
    }

    #[test]
    fn indices_come_as_they_stand_in_the_file() {
        for colour in [ColorType::Grayscale, ColorType::Indexed] {
            let bytes = png((3, 2), colour, BitDepth::Eight, &[0, 11, 7, 1, 2, 3]);
            assert_eq!(decoded(&bytes, (3, 2)), Ok(vec![0, 11, 7, 1, 2, 3]));
            let bytes = png((3, 2), colour, BitDepth::Four, &[0x0b, 0x70, 0x12, 0x30]);
            assert_eq!(decoded(&bytes, (3, 2)), Ok(vec![0, 11, 7, 1, 2, 3]));
            let bytes = png((5, 2), colour, BitDepth::Two, &[0x1b, 0x80, 0xe4, 0x40]);
            assert_eq!(
                decoded(&bytes, (5, 2)),
                Ok(vec![0, 1, 2, 3, 2, 3, 2, 1, 0, 1])
            );
            let bytes = png((9, 2), colour, BitDepth::One, &[0xa5, 0x80, 0x01, 0x00]);
            let bits = "101001011000000010";
            let want = bits.bytes().map(|bit| bit - b'0').collect();
            assert_eq!(decoded(&bytes, (9, 2)), Ok(want));
        }
        let one = png((1, 1), ColorType::Grayscale, BitDepth::One, &[0x80]);
        assert_eq!(decoded(&one, (1, 1)), Ok(vec![1]));
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for (colour, depth, bytes, word) in [
            (ColorType::Rgb, BitDepth::Eight, 3, "colours"),
            (ColorType::Rgba, BitDepth::Eight, 4, "colours"),
            (
                ColorType::GrayscaleAlpha,
                BitDepth::Eight,
                2,
                "transparency",
            ),
            (ColorType::Grayscale, BitDepth::Sixteen, 2, "16 bits"),
        ] {
            let bytes = png((1, 1), colour, depth, &vec![0; bytes]);
            match decoded(&bytes, (1, 1)) {
                Err(Fault::Kind(reason)) => assert!(reason.contains(word), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        let fault = decoded(b"\xff\xd8\xff\xe0 a JPEG", (1, 1));
        assert!(matches!(fault, Err(Fault::Kind(_))), "{fault:?}");
    }

    #[test]
    fn another_size_is_told_before_anything_is_decoded() {
        let mut bytes = png((4, 4), ColorType::Grayscale, BitDepth::Eight, &[0; 16]);
        assert_eq!(decoded(&bytes, (4, 3)), Err(Fault::Size((4, 4))));
        bytes.truncate(bytes.len() - 20);
        assert_eq!(decoded(&bytes, (3, 4)), Err(Fault::Size((4, 4))));
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_it_is_cut_or_changed() {
        let data: Vec<u8> = (0..64).map(|i| i % 11).collect();
        let bytes = png((8, 8), ColorType::Grayscale, BitDepth::Eight, &data);
        assert_eq!(decoded(&bytes, (8, 8)), Ok(data));
        for end in 0..bytes.len() {
            let fault = decoded(&bytes[..end], (8, 8));
            assert!(matches!(fault, Err(Fault::Damaged(_))), "{end}: {fault:?}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            assert!(decoded(&changed, (8, 8)).is_err(), "{at}");
        }
    }

    #[test]
    fn a_folder_and_nothing_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut mask = Mask::default();
        let missing = read(&folder.path().join("a.png"), (1, 1), &mut mask);
        assert!(matches!(missing, Err(LabelError::Missing { .. })));
        let error = read(folder.path(), (1, 1), &mut mask).unwrap_err();
        assert!(matches!(error, LabelError::Unreadable { .. }), "{error}");
    }
}
