//! The rows of a PNG, one after the other, as RGB.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Reader, Transformations};

use super::PreprocessError;
use crate::frame::Frame;
use crate::guard;

/// A PNG that is decoded row by row, so that a picture which would not fit into memory
/// is never there as a whole.
///
/// Every colour type and depth becomes what [`crate::source::picture`] makes of it: 16
/// bits are rounded to 8, palettes looked up, and alpha is dropped.
pub struct PngRows<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    colour: ColorType,
    depth: BitDepth,
    what: Picture<'a>,
}

/// What an error names.
struct Picture<'a> {
    sequence: u64,
    name: &'a str,
}

impl Picture<'_> {
    fn fault(&self, reason: &str) -> PreprocessError {
        PreprocessError::Png {
            sequence: self.sequence,
            reason: format!("{}: {reason}", self.name),
        }
    }

    /// Runs the decoder, which has panicked on hostile files before.
    fn guarded<T>(
        &self,
        decode: impl FnOnce() -> Result<T, DecodingError>,
    ) -> Result<T, PreprocessError> {
        match guard::contain(decode) {
            Ok(decoded) => decoded.map_err(|error| self.fault(&error.to_string())),
            Err(panic) => Err(self.fault(&format!("the decoder failed: {panic}"))),
        }
    }
}

impl<'a> PngRows<'a> {
    /// Reads the header of the PNG in a frame's data.
    ///
    /// # Errors
    /// [`PreprocessError::Png`] where it is no PNG or an interlaced one, or not as large as
    /// the frame says; [`PreprocessError::Geometry`] where it is larger than
    /// [`crate::frame`] allows.
    pub fn new(frame: &'a Frame) -> Result<Self, PreprocessError> {
        super::check_size(frame.sequence, frame.width, frame.height)?;
        let what = Picture {
            sequence: frame.sequence,
            name: frame.name.as_deref().unwrap_or("a PNG"),
        };
        let mut decoder = Decoder::new(Cursor::new(frame.data.as_slice()));
        decoder.set_transformations(Transformations::EXPAND);
        let reader = what.guarded(|| decoder.read_info())?;
        let info = reader.info();
        if (info.width, info.height) != (frame.width, frame.height) {
            return Err(what.fault("its size is not the one that was announced"));
        }
        if info.interlaced {
            return Err(what.fault("its rows are interlaced"));
        }
        let (colour, depth) = reader.output_color_type();
        Ok(Self {
            reader,
            colour,
            depth,
            what,
        })
    }

    /// Decodes the next row: `width * 3` bytes, red first.
    ///
    /// # Errors
    /// [`PreprocessError::Png`] where the file is broken, or has no further row.
    pub fn read(&mut self, out: &mut [u8]) -> Result<(), PreprocessError> {
        let Self {
            reader,
            colour,
            depth,
            what,
        } = self;
        let row = what.guarded(|| reader.next_row())?;
        let row = row.ok_or_else(|| what.fault("it has fewer rows than it says"))?;
        let samples = colour.samples();
        let size = samples * if *depth == BitDepth::Sixteen { 2 } else { 1 };
        if row.data().len() < out.len() / 3 * size {
            return Err(what.fault("a row is too short"));
        }
        let (out, _) = out.as_chunks_mut::<3>();
        for (pixel, coded) in out.iter_mut().zip(row.data().chunks_exact(size)) {
            let value = |sample: usize| match *depth {
                BitDepth::Sixteen => {
                    let value = u16::from_be_bytes([coded[2 * sample], coded[2 * sample + 1]]);
                    // Rounded to the nearest of 8 bits; at most 255.
                    ((u32::from(value) + 128) / 257) as u8
                }
                _ => coded[sample],
            };
            *pixel = if samples < 3 {
                [value(0); 3]
            } else {
                [value(0), value(1), value(2)]
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;

    /// Two rows of two pixels, coded as told.
    fn frame(colour: ColorType, depth: BitDepth, rows: &[u8]) -> Frame {
        let mut data = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut data, 2, 2);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
            encoder.set_trns(vec![255, 0]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(rows).unwrap();
        writer.finish().unwrap();
        Frame {
            width: 2,
            height: 2,
            format: PixelFormat::Png,
            data,
            name: Some("photo".into()),
            ..Frame::default()
        }
    }

    fn decoded(frame: &Frame) -> Result<Vec<u8>, PreprocessError> {
        let mut out = vec![0; frame.width as usize * frame.height as usize * 3];
        let mut rows = PngRows::new(frame)?;
        for row in out.chunks_exact_mut(frame.width as usize * 3) {
            rows.read(row)?;
        }
        Ok(out)
    }

    #[test]
    fn every_colour_type_becomes_rgb() {
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        let grey = [0, 0, 0, 255, 255, 255, 85, 85, 85, 170, 170, 170];
        for (colour, depth, rows, wanted) in [
            (Grayscale, BitDepth::Two, &[0x30, 0x60][..], grey),
            (Grayscale, BitDepth::Eight, &[0, 255, 85, 170], grey),
            (
                Grayscale,
                BitDepth::Sixteen,
                &[0, 127, 255, 255, 85, 0, 0xaa, 0xff],
                grey,
            ),
            (
                GrayscaleAlpha,
                BitDepth::Eight,
                &[0, 0, 255, 9, 85, 0, 170, 255],
                grey,
            ),
            (Rgb, BitDepth::Eight, &grey, grey),
            (
                Rgba,
                BitDepth::Eight,
                &[1, 2, 3, 0, 4, 5, 6, 255, 7, 8, 9, 0, 10, 11, 12, 3],
                [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            ),
            (
                Indexed,
                BitDepth::One,
                &[0x40, 0x80],
                [1, 2, 3, 40, 50, 60, 40, 50, 60, 1, 2, 3],
            ),
        ] {
            let got = decoded(&frame(colour, depth, rows)).unwrap();
            assert_eq!(got, wanted, "{colour:?} {depth:?}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_picture() {
        let good = frame(ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 4]);
        // The pixels begin behind the signature, the header's chunk, the head of theirs and
        // the two bytes of zlib; what is cut behind the last of them is not missed.
        let pixels = 8 + 25 + 8 + 2;
        for cut in 0..good.data.len() {
            let mut bad = good.clone();
            bad.data.truncate(cut);
            match decoded(&bad) {
                Err(error) => assert!(error.to_string().contains("photo"), "{cut}: {error}"),
                Ok(rows) => assert!(cut > pixels && rows == decoded(&good).unwrap(), "{cut}"),
            }
        }
        for flipped in 8..good.data.len() - 16 {
            let mut bad = good.clone();
            bad.data[flipped] ^= 0x10;
            // A chunk's checksum may not cover what was hit; nothing may panic.
            let _ = decoded(&bad);
        }
        let larger = Frame {
            height: 3,
            ..good.clone()
        };
        let error = decoded(&larger).unwrap_err().to_string();
        assert!(error.contains("announced"), "{error}");
        let huge = Frame {
            width: 1 << 20,
            ..good.clone()
        };
        let error = PngRows::new(&huge).err();
        assert!(matches!(error, Some(PreprocessError::Geometry { .. })));
        let mut rows = PngRows::new(&good).unwrap();
        let mut row = [0; 6];
        assert_eq!((rows.read(&mut row), rows.read(&mut row)), (Ok(()), Ok(())));
        assert!(rows.read(&mut row).is_err());
    }
}
