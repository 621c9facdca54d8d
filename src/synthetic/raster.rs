//! Fills convex shapes with soft edges in colour and hard edges in class.

use super::math::floor;

/// Sub-rows a pixel row is cut into; within a sub-row coverage is exact.
const CUTS: usize = 4;

/// A place in the picture, pixels, y downwards; pixel centres lie at halves.
pub type Point = [f32; 2];

/// A colour with coverage 0..=255 in its fourth byte, colour premultiplied.
pub type Pixel = [u8; 4];

/// What a shape is filled with.
pub trait Paint {
    /// Writes the pixels of row `y` from column `x` on.
    fn row(&self, x: usize, y: usize, out: &mut [Pixel]);
}

/// One colour throughout.
pub struct Flat(pub Pixel);

impl Paint for Flat {
    fn row(&self, _x: usize, _y: usize, out: &mut [Pixel]) {
        out.fill(self.0);
    }
}

/// From one colour at row `top` to another at row `bottom`, both opaque.
pub struct Gradient {
    pub top: f32,
    pub bottom: f32,
    pub from: [f32; 3],
    pub to: [f32; 3],
}

impl Paint for Gradient {
    fn row(&self, _x: usize, y: usize, out: &mut [Pixel]) {
        let t = ((y as f32 + 0.5 - self.top) / (self.bottom - self.top).max(1e-3)).clamp(0.0, 1.0);
        let c = |i: usize| ((self.from[i] + (self.to[i] - self.from[i]) * t) * 255.0 + 0.5) as u8;
        out.fill([c(0), c(1), c(2), 255]);
    }
}

/// Turns shapes into rows of coverage; keeps its scratch memory.
#[derive(Default)]
pub struct Scanner {
    edges: Vec<(f32, f32)>,
    cover: Vec<u8>,
}

impl Scanner {
    /// Calls `sink(y, x, coverage)` for each row of a shape whose rows are single runs (every
    /// convex shape is), clipped to `width` by `height`.
    pub fn rows(
        &mut self,
        shape: &[Point],
        width: usize,
        height: usize,
        mut sink: impl FnMut(usize, usize, &[u8]),
    ) {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        for p in shape {
            (low, high) = (low.min(p[1]), high.max(p[1]));
            (left, right) = (left.min(p[0]), right.max(p[0]));
        }
        let inside = low < height as f32 && high > 0.0 && left < width as f32 && right > 0.0;
        // Written so that a NaN is refused too.
        if !inside || shape.len() < 3 {
            return;
        }
        let first = floor(low.max(0.0)) as usize;
        let last = (floor(high.min(height as f32 - 1.0)) as usize).min(height - 1);
        if first > last {
            return;
        }
        self.edges.clear();
        self.edges
            .resize((last - first + 1) * CUTS, (f32::MAX, f32::MIN));
        let cuts = CUTS as f32;
        for (i, &a) in shape.iter().enumerate() {
            let b = shape[(i + 1) % shape.len()];
            let (a, b) = if a[1] <= b[1] { (a, b) } else { (b, a) };
            if b[1] <= a[1] {
                continue;
            }
            let slope = (b[0] - a[0]) / (b[1] - a[1]);
            // Sub-row k lies at (k + 1/2) / CUTS below the first row's top.
            let from = ((a[1] - first as f32) * cuts - 0.5).clamp(-1.0, self.edges.len() as f32);
            let to = ((b[1] - first as f32) * cuts - 0.5).min(self.edges.len() as f32 - 1.0);
            let (from, to) = (floor(from) + 1, floor(to));
            for k in from.max(0)..=to {
                let y = first as f32 + (k as f32 + 0.5) / cuts;
                let x = a[0] + (y - a[1]) * slope;
                let edge = &mut self.edges[k as usize];
                *edge = (edge.0.min(x), edge.1.max(x));
            }
        }
        for (row, spans) in self.edges.chunks_exact(CUTS).enumerate() {
            let (mut start, mut end) = (f32::MAX, f32::MIN);
            let (mut full_start, mut full_end) = (0.0f32, width as f32);
            for &(a, b) in spans {
                if a < b {
                    (start, end) = (start.min(a), end.max(b));
                }
                (full_start, full_end) = (full_start.max(a), full_end.min(b));
            }
            if !(start < width as f32 && end > 0.0) || start >= end {
                continue;
            }
            let x0 = floor(start.max(0.0)) as usize;
            let x1 = (floor(end.min(width as f32 - 1.0)) as usize + 1).min(width);
            if x0 >= x1 {
                continue;
            }
            self.cover.clear();
            self.cover.resize(x1 - x0, 255);
            let full0 = if full_start < full_end {
                (floor(full_start) as usize + 1).clamp(x0, x1)
            } else {
                x1
            };
            let full1 = if full0 < x1 {
                (floor(full_end) as usize).clamp(full0, x1)
            } else {
                x1
            };
            for x in (x0..full0).chain(full1..x1) {
                let (l, r) = (x as f32, x as f32 + 1.0);
                let mut sum = 0.0f32;
                for &(a, b) in spans {
                    sum += (b.min(r) - a.max(l)).max(0.0);
                }
                self.cover[x - x0] = (sum * (255.0 / cuts) + 0.5) as u8;
            }
            sink(first + row, x0, &self.cover);
        }
    }
}

/// The picture and its classes while they are drawn, farthest things first.
pub struct Canvas<'a> {
    pub width: usize,
    pub height: usize,
    pub rgb: &'a mut [u8],
    pub labels: &'a mut [u8],
    scanner: &'a mut Scanner,
    row: &'a mut Vec<Pixel>,
}

impl<'a> Canvas<'a> {
    /// Over a picture of `width` by `height`; `scanner` and `row` are scratch memory.
    pub fn new(
        (width, height): (usize, usize),
        rgb: &'a mut [u8],
        labels: &'a mut [u8],
        scanner: &'a mut Scanner,
        row: &'a mut Vec<Pixel>,
    ) -> Self {
        Self {
            width,
            height,
            rgb,
            labels,
            scanner,
            row,
        }
    }

    /// Fills `shape`. Its class is set where at least `threshold` of 255 is covered; thin things
    /// take a low threshold, or they would vanish from the labels before they do from the eye.
    pub fn fill(&mut self, shape: &[Point], paint: &impl Paint, label: Option<u8>, threshold: u32) {
        let Self {
            width,
            height,
            rgb,
            labels,
            scanner,
            row,
        } = self;
        scanner.rows(shape, *width, *height, |y, x, cover| {
            row.clear();
            row.resize(cover.len(), [0; 4]);
            paint.row(x, y, row);
            let at = y * *width + x;
            let out = rgb[at * 3..(at + cover.len()) * 3].chunks_exact_mut(3);
            for ((dst, src), &cover) in out.zip(row.iter()).zip(cover) {
                if cover == 255 && src[3] == 255 {
                    dst.copy_from_slice(&src[..3]);
                } else if src[3] > 0 {
                    let cover = u32::from(cover);
                    let keep = 65_025 - u32::from(src[3]) * cover;
                    for (dst, &src) in dst.iter_mut().zip(src) {
                        let sum = u32::from(*dst) * keep + u32::from(src) * cover * 255;
                        *dst = ((sum + 32_512) / 65_025).min(255) as u8;
                    }
                }
            }
            if let Some(label) = label {
                let out = &mut labels[at..at + cover.len()];
                for ((dst, src), &cover) in out.iter_mut().zip(row.iter()).zip(cover) {
                    if u32::from(src[3]) * u32::from(cover) >= threshold * 255 {
                        *dst = label;
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(shape: &[Point]) -> Vec<u8> {
        let mut out = vec![0; 16];
        Scanner::default().rows(shape, 4, 4, |y, x, cover| {
            out[y * 4 + x..y * 4 + x + cover.len()].copy_from_slice(cover);
        });
        out
    }

    #[test]
    fn a_square_is_covered_by_its_area() {
        let got = coverage(&[[1.0, 1.0], [2.5, 1.0], [2.5, 2.5], [1.0, 2.5]]);
        assert_eq!(got, [0, 0, 0, 0, 0, 255, 128, 0, 0, 128, 64, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        assert_eq!(
            coverage(&[[-9.0, -9.0], [99.0, -9.0], [99.0, 99.0], [-9.0, 99.0]]),
            [255; 16]
        );
        assert_eq!(coverage(&[[5.0, 0.0], [9.0, 0.0], [9.0, 4.0]]), [0; 16]);
        assert_eq!(
            coverage(&[[f32::NAN, 0.0], [1.0, f32::NAN], [2.0, 3.0]]),
            [0; 16]
        );
    }
}
