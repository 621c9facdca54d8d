//! Parts of a mask as COCO's run lengths, and components as polygons.

use super::{Connectivity, Labeller};
use crate::mask::Mask;
use crate::postprocess::region::ClassSet;

/// What one segment holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Per {
    /// One connected component.
    #[default]
    Component,
    /// All pixels of a class.
    Class,
}

/// A set of pixels of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Label of its pixels.
    pub class: u8,
    /// Number of pixels.
    pub area: u64,
    /// Leftmost column.
    pub x: u32,
    /// Topmost row.
    pub y: u32,
    /// Width of the bounding box in pixels.
    pub width: u32,
    /// Height of the bounding box in pixels.
    pub height: u32,
    /// Its first pixel (column, row) in reading order.
    pub first: (u32, u32),
    /// COCO's uncompressed run lengths: the pixels of the picture column by column,
    /// alternately outside and inside, beginning with those outside (which may be 0).
    pub counts: Vec<u32>,
}

impl Segment {
    fn new(class: u8) -> Self {
        Self {
            class,
            area: 0,
            x: u32::MAX,
            y: u32::MAX,
            width: 0,
            height: 0,
            first: (u32::MAX, u32::MAX),
            counts: Vec::new(),
        }
    }

    /// Adds the pixels `from..to` of column `x`; `done` are the pixels counted before. Width
    /// and height are the right and lower end for now.
    fn add(&mut self, x: u32, (from, to): (u32, u32), height: u32, done: &mut u64) {
        let at = u64::from(x) * u64::from(height) + u64::from(from);
        // A picture has fewer pixels than a u32 can count.
        let (outside, inside) = ((at - *done) as u32, to - from);
        *done = at + u64::from(inside);
        match self.counts.last_mut() {
            // The column before was inside down to its end.
            Some(last) if outside == 0 => *last += inside,
            _ => self.counts.extend([outside, inside]),
        }
        self.area += u64::from(inside);
        self.x = self.x.min(x);
        self.y = self.y.min(from);
        self.width = x + 1;
        self.height = self.height.max(to);
        if (from, x) < (self.first.1, self.first.0) {
            self.first = (x, from);
        }
    }
}

/// COCO's compressed form of run lengths: each, from the fourth on less the one two before
/// it, in groups of five bits, lowest first, as characters from `0` on; the sixth bit says
/// that another follows.
pub fn compressed(counts: &[u32]) -> String {
    let mut text = String::new();
    for (at, &count) in counts.iter().enumerate() {
        let before = if at > 2 { counts[at - 2] } else { 0 };
        let mut rest = i64::from(count) - i64::from(before);
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            let ends = rest == if group & 0x10 != 0 { -1 } else { 0 };
            text.push(char::from(48 + group + if ends { 0 } else { 0x20 }));
            if ends {
                break;
            }
        }
    }
    text
}

impl Labeller {
    /// The segments of `classes` with at least `least` pixels: components in the reading
    /// order of their first pixels, classes in that of their labels.
    pub fn segments(
        &mut self,
        mask: &Mask,
        classes: &ClassSet,
        (per, connectivity): (Per, Connectivity),
        least: u64,
    ) -> Vec<Segment> {
        // Runs of the transposed mask are those that COCO counts.
        let columns = transposed(mask);
        self.find(&columns, connectivity, u32::from, |l| classes.contains(l));
        let mut segments: Vec<Segment> = Vec::new();
        // The number of each component's, or of each label's, segment; none where it is
        // too small, so that specks cost no memory.
        let mut areas = [0u64; 256];
        for sums in &self.sums {
            areas[usize::from(sums.class)] += sums.area;
        }
        let mut add = |class: u8, area: u64| {
            (area > 0 && area >= least).then(|| {
                segments.push(Segment::new(class));
                segments.len() - 1
            })
        };
        let numbers: Vec<Option<usize>> = match per {
            Per::Component => self.sums.iter().map(|s| add(s.class, s.area)).collect(),
            Per::Class => (0..=255u8)
                .map(|label| add(label, areas[usize::from(label)]))
                .collect(),
        };
        let mut done = vec![0u64; segments.len()];
        for (x, row) in (0u32..).zip(self.rows.windows(2)) {
            for run in &self.runs[row[0]..row[1]] {
                let key = match per {
                    Per::Component => run.parent as usize,
                    Per::Class => usize::from(run.label),
                };
                if let Some(number) = numbers[key] {
                    let ends = (run.start, run.end);
                    segments[number].add(x, ends, mask.height, &mut done[number]);
                }
            }
        }
        let all = u64::from(mask.width) * u64::from(mask.height);
        for (segment, done) in segments.iter_mut().zip(done) {
            if done < all {
                segment.counts.push((all - done) as u32);
            }
            segment.width -= segment.x;
            segment.height -= segment.y;
        }
        if per == Per::Component {
            segments.sort_unstable_by_key(|segment| (segment.first.1, segment.first.0));
        }
        segments
    }
}

fn transposed(mask: &Mask) -> Mask {
    let mut out = Mask::new(mask.height, mask.width);
    let (width, height) = (mask.width as usize, mask.height as usize);
    // In squares, so that both sides stay in the cache.
    const SIDE: usize = 64;
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            for y in top..(top + SIDE).min(height) {
                for x in left..(left + SIDE).min(width) {
                    out.labels[x * height + y] = mask.labels[y * width + x];
                }
            }
        }
    }
    out
}

/// Which way a side of a pixel is followed.
const EAST: usize = 0;

/// One step along each direction, clockwise from the east.
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// The outer boundary of a component along its pixels' sides: its corners (x, y), clockwise,
/// in whole pixels with (0, 0) at the picture's top left corner. Holes are not in it.
///
/// `first` is the component's first pixel (column, row) in reading order.
///
/// # Panics
/// If `first` is outside of the mask.
pub fn outline(mask: &Mask, first: (u32, u32), connectivity: Connectivity) -> Vec<(u32, u32)> {
    let label = mask.row(first.1)[first.0 as usize];
    let (width, height) = (i64::from(mask.width), i64::from(mask.height));
    let is_in = |(x, y): (i64, i64)| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        inside && mask.row(y as u32)[x as usize] == label
    };
    let start = (i64::from(first.0), i64::from(first.1));
    let (mut corner, mut direction) = (start, EAST);
    let mut corners = Vec::new();
    loop {
        corner = (corner.0 + STEPS[direction].0, corner.1 + STEPS[direction].1);
        // The pixels ahead of the corner, on the left and on the right.
        let (x, y) = corner;
        let around = [(x, y - 1), (x, y), (x - 1, y), (x - 1, y - 1)];
        let left = is_in(around[direction]);
        let right = is_in(around[(direction + 1) % 4]);
        let turn = match (connectivity, left, right) {
            (_, true, true) | (Connectivity::Eight, true, false) => 3,
            (_, false, true) => 0,
            (Connectivity::Four, true, false) | (_, false, false) => 1,
        };
        if turn != 0 {
            // Corners lie within the picture.
            corners.push((x as u32, y as u32));
            direction = (direction + turn) % 4;
        }
        if corner == start && direction == EAST {
            return corners;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{connectivity, mask, masks};
    use super::*;

    fn all() -> ClassSet {
        (0..=255).collect()
    }

    /// The pixels that run lengths stand for, row by row.
    fn decoded(counts: &[u32], width: u32, height: u32) -> Vec<bool> {
        let columns: Vec<bool> = (0..counts.len())
            .flat_map(|i| std::iter::repeat_n(i % 2 == 1, counts[i] as usize))
            .collect();
        assert_eq!(columns.len(), (width * height) as usize);
        let at = |y: u32, x: u32| columns[(x * height + y) as usize];
        (0..height)
            .flat_map(|y| (0..width).map(move |x| at(y, x)))
            .collect()
    }

    #[test]
    fn run_lengths_are_as_pycocotools_writes_them() {
        // From pycocotools 2.0.11: encode() of these masks, and their uncompressed counts.
        let ring = mask(&["00000", "01110", "01010", "01110", "00000"]);
        let one: ClassSet = [1].into_iter().collect();
        let found = Labeller::default().segments(&ring, &one, Default::default(), 0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].counts, [6, 3, 2, 1, 1, 1, 2, 3, 6]);
        assert_eq!(compressed(&found[0].counts), GOLDEN_RING);
        assert_eq!(compressed(&[0, 5000, 3, 70_000, 1, 2]), GOLDEN_LONG);
    }

    const GOLDEN_RING: &str = "632NO0124";
    const GOLDEN_LONG: &str = "0Xl43X_o1NbdkM";

    #[test]
    fn what_touches_the_ends_is_counted_from_there() {
        let m = mask(&["11", "01"]);
        let mut labeller = Labeller::default();
        let found = labeller.segments(&m, &all(), Default::default(), 0);
        assert_eq!(found[0].counts, [0, 1, 1, 2]);
        assert_eq!(found[1].counts, [1, 1, 2]);
        assert_eq!((found[0].first, found[1].first), ((0, 0), (0, 1)));
        assert!(
            labeller
                .segments(&m, &all(), Default::default(), 4)
                .is_empty()
        );
        let none = labeller.segments(&Mask::default(), &all(), Default::default(), 0);
        assert!(none.is_empty());
    }

    #[test]
    fn outlines_turn_where_the_connectivity_says() {
        let m = mask(&["10", "01"]);
        let eight = outline(&m, (0, 0), Connectivity::Eight);
        assert_eq!(
            eight,
            [
                (1, 0),
                (1, 1),
                (2, 1),
                (2, 2),
                (1, 2),
                (1, 1),
                (0, 1),
                (0, 0)
            ]
        );
        let four = outline(&m, (0, 0), Connectivity::Four);
        assert_eq!(four, [(1, 0), (1, 1), (0, 1), (0, 0)]);
    }

    /// Whether a pixel's centre lies inside a polygon, by the even-odd rule.
    fn is_inside(polygon: &[(u32, u32)], x: u32, y: u32) -> bool {
        let next = polygon.iter().cycle().skip(1);
        let crossings = polygon.iter().zip(next).filter(|&(&a, &b)| {
            // Vertical edges to the right of the centre that pass its height.
            a.0 == b.0 && a.0 > x && (a.1.min(b.1)..a.1.max(b.1)).contains(&y)
        });
        crossings.count() % 2 == 1
    }

    proptest! {
        #[test]
        fn segments_are_the_components(mask in masks(), connectivity in connectivity()) {
            let mut labeller = Labeller::default();
            let want = labeller.per_class(&mask, connectivity).to_vec();
            let how = (Per::Component, connectivity);
            let got = labeller.segments(&mask, &all(), how, 0);
            prop_assert_eq!(got.len(), want.len());
            let mut covered = vec![0; mask.labels.len()];
            for (segment, component) in got.iter().zip(&want) {
                prop_assert_eq!((segment.class, segment.area), (component.class, component.area));
                let boxed = (segment.x, segment.y, segment.width, segment.height);
                let wanted = (component.x, component.y, component.width, component.height);
                prop_assert_eq!(boxed, wanted);
                let pixels = decoded(&segment.counts, mask.width, mask.height);
                for (at, _) in pixels.iter().enumerate().filter(|(_, inside)| **inside) {
                    prop_assert_eq!(mask.labels[at], segment.class);
                    covered[at] += 1;
                }
                // Inside of the outline lies the component, and what is in its holes.
                let polygon = outline(&mask, segment.first, connectivity);
                for (at, &inside) in pixels.iter().enumerate() {
                    let (x, y) = (at as u32 % mask.width, at as u32 / mask.width);
                    prop_assert!(!inside || is_inside(&polygon, x, y), "{x} {y} {polygon:?}");
                }
                let open = polygon.iter().zip(polygon.iter().cycle().skip(1));
                prop_assert!(open.clone().all(|(a, b)| (a.0 == b.0) != (a.1 == b.1)));
            }
            prop_assert!(covered.iter().all(|&times| times == 1));
        }

        #[test]
        fn segments_of_classes_hold_every_pixel(mask in masks()) {
            let how = (Per::Class, Connectivity::Eight);
            let got = Labeller::default().segments(&mask, &all(), how, 0);
            for segment in &got {
                let pixels = decoded(&segment.counts, mask.width, mask.height);
                let wanted: Vec<_> = mask.labels.iter().map(|&l| l == segment.class).collect();
                prop_assert_eq!(pixels, wanted);
            }
            prop_assert!(got.is_sorted_by_key(|segment| segment.class));
        }
    }
}
