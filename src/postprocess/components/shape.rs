//! What is measured of a component.

use super::{Connectivity, Labeller, shared_sides};
use crate::mask::Mask;

/// Measures of one component; lengths in pixels, in exact arithmetic but for the last
/// rounding of the centroid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
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
    /// Its crack length: how many sides of its pixels border on another component or on the
    /// outside of the picture, holes included.
    ///
    /// That is exact for what has horizontal and vertical edges. Along a slanted edge it
    /// is longer than the edge, by a factor of 4/pi averaged over all directions: times
    /// pi/4 it is the Cauchy-Crofton estimate from two directions.
    pub perimeter: u64,
    /// Mean position (x, y) of its pixels' centres, in pixels; the centre of the top left
    /// pixel is (0.5, 0.5).
    pub centroid: (f64, f64),
}

impl Labeller {
    /// Measures the components of equal labels, in the reading order of their first pixels.
    /// `out` is overwritten.
    pub fn shapes(&mut self, mask: &Mask, connectivity: Connectivity, out: &mut Vec<Shape>) {
        self.find(mask, connectivity, u32::from, |_| true);
        out.clear();
        out.extend(self.sums.iter().map(|sums| Shape {
            class: sums.class,
            area: sums.area,
            x: sums.left,
            y: sums.top,
            width: sums.right - sums.left,
            height: sums.bottom - sums.top,
            perimeter: 0,
            centroid: sums.centroid(),
        }));
        // All sides of all runs, without those that two runs of a component share.
        for run in &self.runs {
            let sides = 2 + 2 * u64::from(run.end - run.start);
            out[run.parent as usize].perimeter += sides;
        }
        shared_sides(&self.runs, &self.rows, |a, b, shared| {
            if a.parent == b.parent {
                out[a.parent as usize].perimeter -= 2 * u64::from(shared);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{connectivity, mask, masks};
    use super::*;

    fn shapes(mask: &Mask, connectivity: Connectivity) -> Vec<Shape> {
        let mut out = Vec::new();
        Labeller::default().shapes(mask, connectivity, &mut out);
        out
    }

    #[test]
    fn sides_are_counted_around_holes_too() {
        let ring = mask(&["00000", "01110", "01010", "01110", "00000"]);
        let found = shapes(&ring, Connectivity::Four);
        let perimeters: Vec<_> = found.iter().map(|s| (s.class, s.perimeter)).collect();
        // The ground: 20 sides outside and 12 at the ring. The ring: 12 and 4.
        assert_eq!(perimeters, [(0, 32), (1, 16), (0, 4)]);
        assert_eq!(found[1].centroid, (2.5, 2.5));
        assert_eq!((found[1].x, found[1].width, found[1].area), (1, 3, 8));
    }

    #[test]
    fn no_mask_has_no_shapes() {
        assert!(shapes(&Mask::default(), Connectivity::Eight).is_empty());
        let one = shapes(&mask(&["7"]), Connectivity::Eight);
        assert_eq!((one[0].area, one[0].perimeter), (1, 4));
    }

    proptest! {
        #[test]
        fn shapes_are_the_components_with_their_borders(
            mask in masks(), connectivity in connectivity(),
        ) {
            let got = shapes(&mask, connectivity);
            let mut labeller = Labeller::default();
            let components = labeller.per_class(&mask, connectivity);
            prop_assert_eq!(got.len(), components.len());
            for (shape, component) in got.iter().zip(components) {
                prop_assert_eq!((shape.class, shape.area), (component.class, component.area));
                prop_assert_eq!((shape.x, shape.y), (component.x, component.y));
                let size = (component.width, component.height);
                prop_assert_eq!((shape.width, shape.height), size);
                prop_assert!((shape.centroid.0 - f64::from(component.centroid.0)).abs() < 1e-4);
                prop_assert!((shape.centroid.1 - f64::from(component.centroid.1)).abs() < 1e-4);
            }
            // A side is one of equal labels' components only where labels are equal; those
            // that meet in a side are one component.
            let (w, h) = (mask.width as i64, mask.height as i64);
            let at = |x: i64, y: i64| {
                let inside = (0..w).contains(&x) && (0..h).contains(&y);
                inside.then(|| mask.labels[(y * w + x) as usize])
            };
            let mut sides = [0u64; 256];
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                    let label = mask.labels[(y * w + x) as usize];
                    sides[usize::from(label)] += u64::from(at(x + dx, y + dy) != Some(label));
                }
            }
            let mut summed = [0u64; 256];
            for shape in &got {
                summed[usize::from(shape.class)] += shape.perimeter;
            }
            prop_assert_eq!(summed, sides);
        }
    }
}
