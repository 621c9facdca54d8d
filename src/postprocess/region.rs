//! Parts of a picture, and how much of them a set of classes covers.

use thiserror::Error;

use super::coverage::{BLOCK, is_uniform};
use crate::mask::Mask;

/// A set of labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ClassSet([u64; 4]);

impl ClassSet {
    /// Puts a label in.
    pub fn insert(&mut self, label: u8) {
        self.0[usize::from(label >> 6)] |= 1 << (label & 63);
    }

    /// Whether a label is in.
    #[inline]
    pub fn contains(&self, label: u8) -> bool {
        self.0[usize::from(label >> 6)] >> (label & 63) & 1 == 1
    }

    /// Whether no label is in.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// 1 for each label that is in, 0 for the others.
    fn table(&self) -> [u8; 256] {
        std::array::from_fn(|label| u8::from(self.contains(label as u8)))
    }
}

impl FromIterator<u8> for ClassSet {
    fn from_iter<I: IntoIterator<Item = u8>>(labels: I) -> Self {
        let mut set = Self::default();
        labels.into_iter().for_each(|label| set.insert(label));
        set
    }
}

/// Why points do not make a region. Points are counted from 1.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// A polygon has at least three corners.
    #[error("a region needs at least 3 points, not {count}; or leave it out for the whole picture")]
    TooFewPoints {
        /// The number given.
        count: usize,
    },
    /// A coordinate is infinite or not a number.
    #[error("point {point} of the region, [{x}, {y}], is not a pair of numbers")]
    NotFinite {
        /// Which point.
        point: usize,
        /// Its horizontal coordinate.
        x: f32,
        /// Its vertical coordinate.
        y: f32,
    },
    /// A coordinate lies outside the picture.
    #[error(
        "point {point} of the region, [{x}, {y}], is outside the picture; coordinates go from 0 \
         (left, top) to 1 (right, bottom)"
    )]
    OutOfRange {
        /// Which point.
        point: usize,
        /// Its horizontal coordinate.
        x: f32,
        /// Its vertical coordinate.
        y: f32,
    },
    /// All points lie on one line.
    #[error("the region has no area: its points lie on one line")]
    NoArea,
}

/// A part of the picture, whatever the picture's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Corners in 0..=1; none for the whole picture.
    points: Vec<[f64; 2]>,
}

impl Region {
    /// The whole picture.
    pub fn whole() -> Self {
        Self { points: Vec::new() }
    }

    /// The inside of a polygon, by the even-odd rule. `points` are its corners
    /// `[x, y]` in either direction, as fractions of the picture's width and
    /// height: `[0, 0]` is the top left corner, `[1, 1]` the bottom right one. An
    /// edge leads from the last corner to the first.
    ///
    /// # Errors
    /// [`RegionError`] where the points are too few, not within the picture, or
    /// all on one line.
    pub fn polygon(points: &[[f32; 2]]) -> Result<Self, RegionError> {
        let count = points.len();
        if count < 3 {
            return Err(RegionError::TooFewPoints { count });
        }
        for (index, &[x, y]) in points.iter().enumerate() {
            let point = index + 1;
            if !(x.is_finite() && y.is_finite()) {
                return Err(RegionError::NotFinite { point, x, y });
            }
            if !((0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y)) {
                return Err(RegionError::OutOfRange { point, x, y });
            }
        }
        let points: Vec<[f64; 2]> = points.iter().map(|p| p.map(f64::from)).collect();
        let [x0, y0] = points[0];
        let from_first = |p: &[f64; 2]| [p[0] - x0, p[1] - y0];
        let farthest = points.iter().map(from_first).max_by(|a, b| {
            let square = |v: &[f64; 2]| v[0] * v[0] + v[1] * v[1];
            square(a).total_cmp(&square(b))
        });
        let [dx, dy] = farthest.unwrap_or_default();
        // Twice the area of a triangle; f32 inputs leave f64 errors far below this.
        let off_line = |p: &[f64; 2]| (p[0] * dy - p[1] * dx).abs() > 1e-12;
        if !points.iter().map(from_first).any(|p| off_line(&p)) {
            return Err(RegionError::NoArea);
        }
        Ok(Self { points })
    }

    /// The region's pixels in a picture of `width` by `height` pixels.
    ///
    /// A pixel belongs to the region when its centre does: `((x + 1/2) / width,
    /// (y + 1/2) / height)`. A centre exactly on an edge belongs to the side to
    /// the right of it, or below a level one, so that regions which share an edge
    /// share no pixel and leave none out. A small region may have no pixel at all:
    /// see [`RegionSpans::is_empty`].
    pub fn rasterize(&self, width: u32, height: u32) -> RegionSpans {
        let mut spans = Vec::new();
        if self.points.is_empty() {
            spans.extend((0..height).map(|y| Span {
                y,
                start: 0,
                end: width,
            }));
        } else {
            let mut crossings = Vec::new();
            for y in 0..height {
                self.crossings((f64::from(y) + 0.5) / f64::from(height), &mut crossings);
                for pair in crossings.chunks_exact(2) {
                    // The first pixel whose centre is not left of the crossing.
                    let first = |x: f64| (x * f64::from(width) - 0.5).ceil().max(0.0) as u32;
                    let (start, end) = (first(pair[0]).min(width), first(pair[1]).min(width));
                    if start < end {
                        spans.push(Span { y, start, end });
                    }
                }
            }
        }
        let pixels = spans
            .iter()
            .map(|span| u64::from(span.end - span.start))
            .sum();
        RegionSpans {
            width,
            height,
            spans,
            pixels,
        }
    }

    /// Where the edges cross the level line at `y`, from left to right.
    fn crossings(&self, y: f64, out: &mut Vec<f64>) {
        out.clear();
        let ends = self.points.iter().skip(1).chain(self.points.first());
        for (a, b) in self.points.iter().zip(ends) {
            // Computed from the upper end, whichever way the edge leads, so that
            // both polygons at an edge get the same number.
            let (upper, lower) = if a[1] <= b[1] { (a, b) } else { (b, a) };
            if upper[1] <= y && y < lower[1] {
                let along = (y - upper[1]) / (lower[1] - upper[1]);
                out.push(upper[0] + along * (lower[0] - upper[0]));
            }
        }
        out.sort_by(f64::total_cmp);
    }
}

/// Part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    y: u32,
    start: u32,
    /// One past the last column.
    end: u32,
}

/// The pixels of a [`Region`] in pictures of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSpans {
    width: u32,
    height: u32,
    spans: Vec<Span>,
    pixels: u64,
}

impl RegionSpans {
    /// Width and height of the pictures this is for.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Number of pixels in the region.
    pub fn pixels(&self) -> u64 {
        self.pixels
    }

    /// Whether the region is too small to hold any pixel's centre. Its fraction
    /// is then always 0, which a rule should refuse rather than wait for.
    pub fn is_empty(&self) -> bool {
        self.pixels == 0
    }

    /// Whether a pixel belongs to the region.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        self.spans
            .iter()
            .any(|span| span.y == y && (span.start..span.end).contains(&x))
    }

    /// The share of the region's pixels whose label is in `classes`, 0..=1; 0
    /// for a region without pixels. Counted exactly, then rounded to `f32`.
    ///
    /// # Panics
    /// If the mask has another size than [`size`](Self::size).
    pub fn fraction(&self, mask: &Mask, classes: &ClassSet) -> f32 {
        assert_eq!(
            (mask.width, mask.height),
            self.size(),
            "the mask's size is not the region's"
        );
        if self.pixels == 0 {
            return 0.0;
        }
        let table = classes.table();
        let hits = |span: &Span| {
            let row = &mask.row(span.y)[span.start as usize..span.end as usize];
            let of = |labels: &[u8]| -> u32 {
                let hits = labels.iter().map(|&l| u32::from(table[usize::from(l)]));
                hits.sum()
            };
            let (blocks, rest) = row.as_chunks::<BLOCK>();
            let in_blocks = blocks.iter().map(|block| match is_uniform(block) {
                true => u32::from(table[usize::from(block[0])]) * BLOCK as u32,
                false => of(block),
            });
            // A row has fewer pixels than a u32 can count.
            u64::from(in_blocks.sum::<u32>() + of(rest))
        };
        let hits: u64 = self.spans.iter().map(hits).sum();
        (hits as f64 / self.pixels as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn class_sets_hold_every_label() {
        let set: ClassSet = (0..=255).step_by(3).collect();
        for label in 0..=255u8 {
            assert_eq!(set.contains(label), label % 3 == 0);
        }
        assert!(ClassSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn bad_points_are_named() {
        let error = |points: &[[f32; 2]]| Region::polygon(points).unwrap_err();
        assert_eq!(
            error(&[[0.0, 0.0], [1.0, 1.0]]),
            RegionError::TooFewPoints { count: 2 }
        );
        assert_eq!(
            error(&[[0.0, 0.0], [1.0, 1.5], [0.0, 1.0]]),
            RegionError::OutOfRange {
                point: 2,
                x: 1.0,
                y: 1.5
            }
        );
        assert!(matches!(
            error(&[[0.0, 0.0], [1.0, 1.0], [f32::NAN, 1.0]]),
            RegionError::NotFinite { point: 3, .. }
        ));
        assert_eq!(
            error(&[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]),
            RegionError::NoArea
        );
        assert_eq!(error(&[[0.3, 0.3]; 4]), RegionError::NoArea);
        assert_eq!(
            error(&[[0.1, 0.2], [0.3, 0.6], [0.1, 0.2], [0.3, 0.6]]),
            RegionError::NoArea
        );
    }

    #[test]
    fn a_bow_tie_has_area_though_its_halves_cancel() {
        let bow = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let spans = Region::polygon(&bow).unwrap().rasterize(10, 10);
        assert!(spans.contains(0, 5) && spans.contains(9, 5));
        assert!(!spans.contains(5, 0) && !spans.contains(5, 9));
    }

    #[test]
    fn a_rectangle_covers_the_pixels_whose_centres_it_holds() {
        let points = [[0.25, 0.5], [0.75, 0.5], [0.75, 1.0], [0.25, 1.0]];
        let spans = Region::polygon(&points).unwrap().rasterize(8, 4);
        assert_eq!(spans.pixels(), 4 * 2);
        for y in 0..4 {
            for x in 0..8 {
                assert_eq!(spans.contains(x, y), (2..6).contains(&x) && y >= 2);
            }
        }
        let mut mask = Mask::new(8, 4);
        mask.row_mut(3)[2..5].fill(7);
        mask.row_mut(0).fill(7);
        let seven: ClassSet = [7].into_iter().collect();
        assert_eq!(spans.fraction(&mask, &seven), 3.0 / 8.0);
        assert_eq!(
            Region::whole().rasterize(8, 4).fraction(&mask, &seven),
            11.0 / 32.0
        );
    }

    #[test]
    fn a_sliver_between_centres_is_empty() {
        let points = [[0.26, 0.1], [0.27, 0.1], [0.27, 0.9]];
        let spans = Region::polygon(&points).unwrap().rasterize(2, 2);
        assert!(spans.is_empty());
        assert_eq!(
            spans.fraction(&Mask::new(2, 2), &[0].into_iter().collect()),
            0.0
        );
    }

    /// Even-odd by a ray to the left, pixel by pixel.
    fn inside(points: &[[f32; 2]], x: f64, y: f64) -> bool {
        let mut inside = false;
        for i in 0..points.len() {
            let (a, b) = (
                points[i].map(f64::from),
                points[(i + 1) % points.len()].map(f64::from),
            );
            if (a[1] <= y) != (b[1] <= y) {
                let at = a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]);
                inside ^= at <= x;
            }
        }
        inside
    }

    fn corner() -> impl Strategy<Value = [f32; 2]> {
        [0f32..=1.0, 0f32..=1.0]
    }

    proptest! {
        #[test]
        fn spans_are_the_even_odd_rule(
            points in prop::collection::vec(corner(), 3..9), width in 1u32..30, height in 1u32..30,
        ) {
            let Ok(region) = Region::polygon(&points) else { return Ok(()) };
            let spans = region.rasterize(width, height);
            let mut count = 0;
            for y in 0..height {
                for x in 0..width {
                    let centre = |i: u32, n: u32| (f64::from(i) + 0.5) / f64::from(n);
                    let want = inside(&points, centre(x, width), centre(y, height));
                    prop_assert_eq!(spans.contains(x, y), want);
                    count += u64::from(want);
                }
            }
            prop_assert_eq!(spans.pixels(), count);
        }

        #[test]
        fn triangles_around_a_point_tile_the_picture(
            at in corner(), width in 1u32..40, height in 1u32..40,
        ) {
            let corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
            let mut seen = vec![0; (width * height) as usize];
            for i in 0..4 {
                let Ok(triangle) = Region::polygon(&[corners[i], corners[(i + 1) % 4], at]) else {
                    continue;
                };
                let spans = triangle.rasterize(width, height);
                for (i, seen) in seen.iter_mut().enumerate() {
                    *seen += u32::from(spans.contains(i as u32 % width, i as u32 / width));
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
        }
    }
}
