//! A picture's rows from top to bottom, whatever it came as.

use super::png_rows::PngRows;
use super::{PreprocessError, Unpacked};

/// A supply of RGB rows; made by [`super::Preprocessor::rows`].
pub struct SourceRows<'a> {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    pub(super) next: usize,
    pub(super) rows: Rows<'a>,
}

/// Where the rows come from.
pub(super) enum Rows<'a> {
    /// Converted one by one, or there as a whole.
    Unpacked(Unpacked<'a>),
    /// Decoded one by one.
    Png(Box<PngRows<'a>>),
}

impl SourceRows<'_> {
    /// Writes the next row: `width * 3` bytes, red first.
    ///
    /// # Errors
    /// [`PreprocessError`] where the picture cannot be decoded.
    ///
    /// # Panics
    /// If `out` has another length, or all `height` rows were read.
    pub fn read(&mut self, out: &mut [u8]) -> Result<(), PreprocessError> {
        let length = self.width as usize * 3;
        assert_eq!(out.len(), length, "the row's length");
        assert!(self.next < self.height as usize, "there is no further row");
        let y = self.next;
        self.next += 1;
        match &mut self.rows {
            Rows::Unpacked(Unpacked::Plain(rows, kernel)) => rows.convert(y, *kernel, out),
            Rows::Unpacked(Unpacked::Whole(pixels)) => {
                out.copy_from_slice(&pixels[y * length..][..length]);
            }
            Rows::Png(rows) => rows.read(out)?,
        }
        Ok(())
    }
}
