//! Pictures in which the pixels of some classes stay and the rest is changed.

use std::sync::Arc;

use super::guided::{self, GuidedFilter};
use super::region::ClassSet;
use super::window;
use crate::kernels::imaging::RowRing;
use crate::mask::Mask;
use crate::preprocess::resize::Resizer;
use crate::preprocess::{Fit, Placement};

/// What becomes of the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is transparent.
    Cutout,
    /// It is blurred.
    Blur,
    /// It loses its colour.
    Grayscale,
    /// Another picture stands in its place, enlarged or reduced until it covers all, and
    /// cut at the sides it goes beyond.
    Replace(Backdrop),
}

impl Change {
    /// Bytes of a pixel in the result: 4 with alpha last, or 3.
    pub fn channels(&self) -> usize {
        if *self == Self::Cutout { 4 } else { 3 }
    }
}

/// A picture for the background.
#[derive(Debug, Clone, PartialEq)]
pub struct Backdrop {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// `height * width * 3` bytes, row-major, red first.
    pub rgb: Arc<Vec<u8>>,
}

impl Backdrop {
    /// Whether both are the same pixels in memory.
    fn is(&self, other: &Self) -> bool {
        let size = |of: &Self| (of.width, of.height);
        size(self) == size(other) && Arc::ptr_eq(&self.rgb, &other.rgb)
    }
}

/// Changes pictures; its buffers are reused.
#[derive(Debug, Default)]
pub struct Changer {
    filter: GuidedFilter,
    alpha: Vec<u8>,
    /// Red, green and blue times their weight, and 255 times the weight.
    weighted: Vec<[u16; 4]>,
    swapped: Vec<[u16; 4]>,
    resizer: Resizer,
    backdrop: Vec<u8>,
    /// The picture that `backdrop` was made of, and the size it was made for.
    covered: Option<(Backdrop, (u32, u32))>,
}

impl Changer {
    /// Keeps the pixels of `kept` and changes the rest; between them the
    /// [guided filter](guided) blends. `out` is resized to
    /// [`channels`](Change::channels) bytes a pixel.
    ///
    /// # Panics
    /// If `rgb` does not have three bytes for each pixel of the mask.
    pub fn run(
        &mut self,
        rgb: &[u8],
        mask: &Mask,
        kept: &ClassSet,
        change: &Change,
        out: &mut Vec<u8>,
    ) {
        let radius = guided::radius(mask.width, mask.height);
        self.filter.run(rgb, mask, kept, radius, &mut self.alpha);
        out.resize(mask.labels.len() * change.channels(), 0);
        if out.is_empty() {
            return;
        }
        let size = (mask.width, mask.height);
        let (pixels, _) = rgb.as_chunks::<3>();
        match change {
            Change::Cutout => {
                let (out, _) = out.as_chunks_mut::<4>();
                for ((out, &[r, g, b]), &alpha) in out.iter_mut().zip(pixels).zip(&self.alpha) {
                    *out = [r, g, b, alpha];
                }
            }
            Change::Grayscale => {
                let (out, _) = out.as_chunks_mut::<3>();
                for ((out, &pixel), &alpha) in out.iter_mut().zip(pixels).zip(&self.alpha) {
                    *out = blend(pixel, [guided::lightness(pixel); 3], alpha);
                }
            }
            Change::Blur => {
                self.blur(pixels, size);
                let (out, _) = out.as_chunks_mut::<3>();
                let blurred = self.weighted.iter();
                let pixels = pixels.iter().zip(&self.alpha).zip(blurred);
                for (out, ((&pixel, &alpha), &[r, g, b, weight])) in out.iter_mut().zip(pixels) {
                    let colour = |value: u16| {
                        let (value, weight) = (u32::from(value), u32::from(weight));
                        // Rounding may carry it a little beyond.
                        ((value * 255 + weight / 2) / weight).min(255) as u8
                    };
                    *out = match weight {
                        // Nothing of the rest is near.
                        0 => pixel,
                        _ => blend(pixel, [colour(r), colour(g), colour(b)], alpha),
                    };
                }
            }
            Change::Replace(backdrop) => {
                self.cover(backdrop, size);
                let (out, _) = out.as_chunks_mut::<3>();
                let (behind, _) = self.backdrop.as_chunks::<3>();
                let pixels = pixels.iter().zip(behind).zip(&self.alpha);
                for (out, ((&pixel, &behind), &alpha)) in out.iter_mut().zip(pixels) {
                    *out = blend(pixel, behind, alpha);
                }
            }
        }
    }

    /// Fills `weighted` with the blurred rest: every pixel counts by how little it is
    /// kept, so that what is kept does not shine into its surroundings. Two box filters
    /// each way, whose radius is a thirtieth of the shorter side.
    fn blur(&mut self, pixels: &[[u8; 3]], (width, height): (u32, u32)) {
        let radius = (width.min(height) / 30).clamp(2, 200) as usize;
        let weigh = |(&[r, g, b], &alpha): (&[u8; 3], &u8)| {
            let weight = 255 - u16::from(alpha);
            [
                u16::from(r) * weight,
                u16::from(g) * weight,
                u16::from(b) * weight,
                255 * weight,
            ]
        };
        self.weighted.clear();
        let weighted = pixels.iter().zip(&self.alpha).map(weigh);
        self.weighted.extend(weighted);
        self.swapped.resize(self.weighted.len(), [0; 4]);
        let (width, height) = (width as usize, height as usize);
        for _ in 0..2 {
            box_rows(&self.weighted, (width, height), radius, &mut self.swapped);
            box_rows(&self.swapped, (height, width), radius, &mut self.weighted);
        }
    }

    /// Fills `backdrop` with the picture at this size, where it does not hold it yet.
    fn cover(&mut self, picture: &Backdrop, (width, height): (u32, u32)) {
        let covered = self.covered.as_ref();
        if covered.is_some_and(|(of, size)| *size == (width, height) && of.is(picture)) {
            return;
        }
        let (w, h) = (u64::from(picture.width), u64::from(picture.height));
        // The largest part of the picture with the aspect that is needed.
        let cut_w = (h * u64::from(width) / u64::from(height)).clamp(1, w) as u32;
        let cut_h = (w * u64::from(height) / u64::from(width)).clamp(1, h) as u32;
        let (left, top) = ((picture.width - cut_w) / 2, (picture.height - cut_h) / 2);
        let stride = picture.width as usize * 3;
        let part = RowRing {
            data: &picture.rgb[top as usize * stride + left as usize * 3..],
            stride,
            count: cut_h as usize,
        };
        let placement = Placement::new((cut_w, cut_h), (width, height), Fit::Stretch);
        self.backdrop
            .resize(width as usize * height as usize * 3, 0);
        self.resizer.run(part, &placement, &mut self.backdrop);
        self.covered = Some((picture.clone(), (width, height)));
    }
}

/// `kept` where `alpha` is 255, `other` where it is 0, rounded to the nearest between.
fn blend(kept: [u8; 3], other: [u8; 3], alpha: u8) -> [u8; 3] {
    let alpha = u32::from(alpha);
    std::array::from_fn(|i| {
        let sum = alpha * u32::from(kept[i]) + (255 - alpha) * u32::from(other[i]);
        ((sum + 127) / 255) as u8
    })
}

/// The mean of each pixel's row within `radius`, cut at the ends and rounded to the
/// nearest. What was row by row is column by column in `out`.
fn box_rows(
    rows: &[[u16; 4]],
    (width, height): (usize, usize),
    radius: usize,
    out: &mut [[u16; 4]],
) {
    for (y, row) in rows.chunks_exact(width).enumerate() {
        let row = row.iter().map(|pixel| pixel.map(u32::from));
        for (x, (count, sums)) in window::sums(row, radius).enumerate() {
            let count = count as u32;
            // A mean of u16 is one.
            out[x * height + y] = sums.map(|sum| ((sum + count / 2) / count) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red on the left half, which is class 1, and blue on the right.
    fn scene(width: u32, height: u32) -> (Vec<u8>, Mask) {
        let mut mask = Mask::new(width, height);
        let mut rgb = Vec::new();
        for (at, label) in mask.labels.iter_mut().enumerate() {
            let left = (at as u32 % width) < width / 2;
            *label = u8::from(left);
            rgb.extend(if left { [200, 0, 0] } else { [0, 0, 120] });
        }
        (rgb, mask)
    }

    fn changed(width: u32, height: u32, change: &Change) -> Vec<u8> {
        let (rgb, mask) = scene(width, height);
        let (mut out, kept) = (vec![1; 5], [1].into_iter().collect());
        let mut changer = Changer::default();
        changer.run(&rgb, &mask, &kept, change, &mut out);
        // Buffers that were used before change nothing.
        let mut again = Vec::new();
        changer.run(&rgb, &mask, &kept, change, &mut again);
        assert_eq!(out, again);
        out
    }

    fn backdrop(width: u32, height: u32) -> Change {
        let pixels = width as usize * height as usize;
        Change::Replace(Backdrop {
            width,
            height,
            rgb: Arc::new([0, 250, 0].repeat(pixels)),
        })
    }

    #[test]
    fn what_is_kept_stays_and_the_rest_is_changed() {
        let row = 60 * 20;
        let at = |out: &[u8], x: usize| out[(row + x) * 3..][..3].to_vec();
        let out = changed(60, 40, &Change::Cutout);
        assert_eq!(out[(row + 2) * 4..][..4], [200, 0, 0, 255]);
        assert_eq!(out[(row + 57) * 4..][..4], [0, 0, 120, 0]);
        let out = changed(60, 40, &Change::Grayscale);
        assert_eq!((at(&out, 2), at(&out, 57)), (vec![200, 0, 0], vec![14; 3]));
        let out = changed(60, 40, &backdrop(7, 3));
        assert_eq!(
            (at(&out, 2), at(&out, 57)),
            (vec![200, 0, 0], vec![0, 250, 0])
        );
        // Nothing of the red reaches the blurred blue, not even beside it.
        let out = changed(60, 40, &Change::Blur);
        assert_eq!(
            (at(&out, 2), at(&out, 57)),
            (vec![200, 0, 0], vec![0, 0, 120])
        );
        assert!(at(&out, 33)[0] < 20, "{:?}", at(&out, 33));
    }

    #[test]
    fn a_backdrop_is_made_again_for_another_picture_or_size() {
        let mut changer = Changer::default();
        let mut pixel = |width, height, change: &Change| {
            let (rgb, mask) = scene(width, height);
            let mut out = Vec::new();
            changer.run(&rgb, &mask, &ClassSet::default(), change, &mut out);
            assert_eq!(out.len(), rgb.len());
            [out[0], out[1], out[2]]
        };
        let green = backdrop(8, 5);
        let grey = Change::Replace(Backdrop {
            width: 8,
            height: 5,
            rgb: Arc::new(vec![77; 120]),
        });
        for (width, height) in [(9, 7), (9, 7), (7, 9), (30, 2)] {
            for _ in 0..2 {
                assert_eq!(pixel(width, height, &green), [0, 250, 0]);
            }
            assert_eq!(pixel(width, height, &grey), [77; 3]);
        }
    }

    #[test]
    fn blurring_a_whole_picture_is_a_mean() {
        let mask = Mask::new(9, 7);
        let rgb: Vec<u8> = (0..63)
            .flat_map(|at| [if at % 9 < 4 { 0 } else { 240 }; 3])
            .collect();
        let mut out = Vec::new();
        let kept = [1].into_iter().collect();
        Changer::default().run(&rgb, &mask, &kept, &Change::Blur, &mut out);
        let row: Vec<u8> = out[..27].chunks(3).map(|p| p[0]).collect();
        assert!(row.is_sorted() && row[0] > 0 && row[8] == 240, "{row:?}");
        assert!(row[4] > 60 && row[4] < 180, "{row:?}");
    }

    #[test]
    fn every_size_is_taken() {
        for (width, height) in [(1, 1), (1, 50), (50, 1), (3, 2), (333, 7)] {
            for change in [Change::Cutout, Change::Blur, Change::Grayscale] {
                let pixels = (width * height) as usize;
                assert_eq!(
                    changed(width, height, &change).len(),
                    pixels * change.channels()
                );
            }
            for backdrop in [backdrop(1, 1), backdrop(2000, 1), backdrop(1, 300)] {
                let pixels = (width * height) as usize;
                assert_eq!(changed(width, height, &backdrop).len(), pixels * 3);
            }
        }
        let mut out = vec![0];
        let none = ClassSet::default();
        Changer::default().run(&[], &Mask::default(), &none, &Change::Blur, &mut out);
        assert!(out.is_empty());
    }
}
