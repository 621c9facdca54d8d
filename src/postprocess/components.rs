//! Connected components of a mask: counting things, and clearing away specks.
//!
//! Two passes over runs (stretches of equal pixels in a row): runs of
//! neighbouring rows that touch are joined in a union-find forest, then each tree
//! becomes a component. Time grows with the number of runs, not of pixels.

use std::cmp::Reverse;

use super::region::ClassSet;
use crate::mask::Mask;

pub mod segment;
pub mod shape;

/// Which pixels are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Connectivity {
    /// Those that share a side.
    Four,
    /// Those that share a side or a corner.
    #[default]
    Eight,
}

/// One connected set of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// Label of its first pixel in reading order; of every pixel where classes
    /// were kept apart.
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
    /// Mean position (x, y) of its pixels' centres, in pixels; the centre of the
    /// top left pixel is (0.5, 0.5).
    pub centroid: (f32, f32),
}

/// A stretch of pixels in one row that belong together.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    /// One past the last column.
    end: u32,
    label: u8,
    /// First an ancestor in the union-find forest, then the component's index.
    parent: u32,
}

/// What a component is made from.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    class: u8,
    area: u64,
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
    /// Sums of twice the centres' coordinates, which are whole numbers.
    twice_x: u64,
    twice_y: u64,
}

impl Sums {
    /// Mean of the pixels' centres.
    fn centroid(&self) -> (f64, f64) {
        let mean = |twice: u64| twice as f64 / (2 * self.area) as f64;
        (mean(self.twice_x), mean(self.twice_y))
    }
}

/// Finds components and removes small ones. Its buffers are reused.
#[derive(Debug, Default)]
pub struct Labeller {
    runs: Vec<Run>,
    /// Index of each row's first run, and the number of runs at the end.
    rows: Vec<usize>,
    sums: Vec<Sums>,
    components: Vec<Component>,
    specks: Specks,
}

impl Labeller {
    /// Components of equal labels: every pixel is in exactly one. They come in
    /// the reading order of their first pixels.
    pub fn per_class(&mut self, mask: &Mask, connectivity: Connectivity) -> &[Component] {
        self.find(mask, connectivity, u32::from, |_| true);
        self.finish()
    }

    /// Components of the pixels whose label is in `classes`, whichever of them:
    /// an area of two classes side by side is one component. They come in the
    /// reading order of their first pixels.
    pub fn of_set(
        &mut self,
        mask: &Mask,
        classes: &ClassSet,
        connectivity: Connectivity,
    ) -> &[Component] {
        self.find(mask, connectivity, |_| 0, |label| classes.contains(label));
        self.finish()
    }

    /// Gives components of equal labels with fewer than `min_area` pixels to their
    /// surroundings.
    ///
    /// With [`Fill::Label`] their pixels get that label. With
    /// [`Fill::Neighbours`] a small component takes the label it borders most:
    /// each side of a pixel that it shares with a pixel of a component that is not
    /// small counts one; equal counts go to the lowest label. Those that border
    /// only small components wait, and are decided in the same way against those
    /// decided before them, round by round; all of a round are decided at once.
    /// Where every component is small nothing changes.
    ///
    /// Areas are those before the call: components which the filling joins are not
    /// looked at again.
    pub fn remove_small(
        &mut self,
        mask: &mut Mask,
        connectivity: Connectivity,
        min_area: u64,
        fill: Fill,
    ) {
        self.find(mask, connectivity, u32::from, |_| true);
        let small = |sums: &Sums| sums.area < min_area;
        if !self.sums.iter().any(small) {
            return;
        }
        let mut labels = std::mem::take(&mut self.specks.labels);
        labels.clear();
        labels.extend(
            self.sums
                .iter()
                .map(|sums| (!small(sums)).then_some(sums.class)),
        );
        match fill {
            Fill::Label(label) => labels.iter_mut().for_each(|l| *l = l.or(Some(label))),
            Fill::Neighbours => self.decide(&mut labels),
        }
        for y in 0..mask.height {
            for run in &self.runs[self.rows[y as usize]..self.rows[y as usize + 1]] {
                if let Some(label) = labels[run.parent as usize]
                    && label != run.label
                {
                    mask.row_mut(y)[run.start as usize..run.end as usize].fill(label);
                }
            }
        }
        self.specks.labels = labels;
    }

    /// Fills `runs`, `rows` and `sums`. Pixels whose label is `wanted` and has the
    /// same `key` belong together.
    fn find(
        &mut self,
        mask: &Mask,
        connectivity: Connectivity,
        key: impl Fn(u8) -> u32,
        wanted: impl Fn(u8) -> bool,
    ) {
        // Runs that only touch at corners: one column further counts as overlap.
        let reach = u32::from(connectivity == Connectivity::Eight);
        self.runs.clear();
        self.rows.clear();
        self.rows.push(0);
        let mut above = 0..0;
        for y in 0..mask.height {
            let first = self.runs.len();
            let row = mask.row(y);
            let mut start = 0;
            for stretch in row.chunk_by(|&a, &b| key(a) == key(b) && wanted(a) == wanted(b)) {
                let end = start + stretch.len();
                if wanted(stretch[0]) {
                    let parent = self.runs.len() as u32;
                    let (start, end) = (start as u32, end as u32);
                    self.runs.push(Run {
                        start,
                        end,
                        label: stretch[0],
                        parent,
                    });
                }
                start = end;
            }
            let mut upper = above.start;
            for lower in first..self.runs.len() {
                let Run {
                    start, end, label, ..
                } = self.runs[lower];
                while upper < above.end && self.runs[upper].end + reach <= start {
                    upper += 1;
                }
                let touching = (upper..above.end).take_while(|&i| self.runs[i].start < end + reach);
                // Collected by index: joining changes the runs.
                let touching = touching.count();
                for upper in upper..upper + touching {
                    if key(self.runs[upper].label) == key(label) {
                        self.join(upper, lower);
                    }
                }
            }
            above = first..self.runs.len();
            self.rows.push(self.runs.len());
        }
        self.resolve();
    }

    /// The root of a run's tree; halves the path on the way.
    fn root(&mut self, mut run: usize) -> usize {
        loop {
            let parent = self.runs[run].parent;
            let grandparent = self.runs[parent as usize].parent;
            if parent == grandparent {
                return parent as usize;
            }
            self.runs[run].parent = grandparent;
            run = grandparent as usize;
        }
    }

    /// Joins two trees. The earlier root wins, so a root is its tree's first run.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.runs[a.max(b)].parent = a.min(b) as u32;
    }

    /// Replaces parents by component indices and sums up each component.
    fn resolve(&mut self) {
        self.sums.clear();
        let Self {
            runs, rows, sums, ..
        } = self;
        for (y, row) in (0..).zip(rows.windows(2)) {
            for index in row[0]..row[1] {
                let Run {
                    start,
                    end,
                    label,
                    parent,
                } = runs[index];
                // A parent comes before its children, so its index is known.
                let component = if parent as usize == index {
                    sums.push(Sums {
                        class: label,
                        left: start,
                        top: y,
                        ..Sums::default()
                    });
                    sums.len() as u32 - 1
                } else {
                    runs[parent as usize].parent
                };
                runs[index].parent = component;
                let sums = &mut sums[component as usize];
                let length = u64::from(end - start);
                sums.area += length;
                sums.left = sums.left.min(start);
                sums.right = sums.right.max(end);
                sums.bottom = y + 1;
                sums.twice_x += length * u64::from(start + end);
                sums.twice_y += length * u64::from(2 * y + 1);
            }
        }
    }

    fn finish(&mut self) -> &[Component] {
        self.components.clear();
        self.components.extend(self.sums.iter().map(|sums| {
            let (x, y) = sums.centroid();
            Component {
                class: sums.class,
                area: sums.area,
                x: sums.left,
                y: sums.top,
                width: sums.right - sums.left,
                height: sums.bottom - sums.top,
                centroid: (x as f32, y as f32),
            }
        }));
        &self.components
    }

    /// Gives every component that has no label the one it borders most.
    fn decide(&mut self, labels: &mut [Option<u8>]) {
        let specks = &mut self.specks;
        specks.borders.clear();
        let mut border = |a: &Run, b: &Run, sides: u32| {
            if a.parent == b.parent {
                return;
            }
            for (from, to) in [(a.parent, b.parent), (b.parent, a.parent)] {
                if labels[from as usize].is_none() {
                    specks.borders.push(Border { from, to, sides });
                }
            }
        };
        for row in self.rows.windows(2) {
            let row = &self.runs[row[0]..row[1]];
            row.windows(2)
                .for_each(|pair| border(&pair[0], &pair[1], 1));
        }
        shared_sides(&self.runs, &self.rows, border);
        specks.borders.sort_unstable_by_key(|border| border.from);
        specks.spread(labels);
    }
}

/// Calls `see` for every two runs, one below the other, that share sides of pixels, with
/// how many. The runs cover their rows without gaps.
fn shared_sides(runs: &[Run], rows: &[usize], mut see: impl FnMut(&Run, &Run, u32)) {
    for rows in rows.windows(3) {
        let mut upper = runs[rows[0]..rows[1]].iter().peekable();
        let mut lower = runs[rows[1]..rows[2]].iter().peekable();
        while let (Some(&a), Some(&b)) = (upper.peek(), lower.peek()) {
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            see(a, b, end - start);
            // What ends first makes room.
            if a.end == end {
                upper.next();
            }
            if b.end == end {
                lower.next();
            }
        }
    }
}

/// What [`Labeller::remove_small`] puts in a small component's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// The label around it.
    Neighbours,
    /// This label.
    Label(u8),
}

/// Sides that two components share.
#[derive(Debug, Clone, Copy)]
struct Border {
    /// A small component.
    from: u32,
    /// Any component.
    to: u32,
    sides: u32,
}

/// Buffers for deciding small components.
#[derive(Debug, Default)]
struct Specks {
    /// What each component becomes, where known.
    labels: Vec<Option<u8>>,
    /// Sorted by `from`.
    borders: Vec<Border>,
    /// Small components to decide in this round, and what they become.
    round: Vec<(u32, u8)>,
    next: Vec<u32>,
}

impl Specks {
    fn borders_of(borders: &[Border], component: u32) -> &[Border] {
        let start = borders.partition_point(|border| border.from < component);
        let length = borders[start..].partition_point(|border| border.from == component);
        &borders[start..start + length]
    }

    fn spread(&mut self, labels: &mut [Option<u8>]) {
        let Self {
            borders,
            round,
            next,
            ..
        } = self;
        next.clear();
        next.extend(
            borders
                .iter()
                .filter(|b| labels[b.to as usize].is_some())
                .map(|b| b.from),
        );
        // Sides shared with each label; all 0 between components.
        let mut sides = [0u64; 256];
        while !next.is_empty() {
            next.sort_unstable();
            next.dedup();
            round.clear();
            for &component in next.iter() {
                let known = Self::borders_of(borders, component).iter();
                let known = known.filter_map(|b| Some((labels[b.to as usize]?, b.sides)));
                for (label, count) in known.clone() {
                    sides[usize::from(label)] += u64::from(count);
                }
                // The highest count, and of equals the lowest label.
                let rank = |label: u8| (sides[usize::from(label)], Reverse(label));
                let most = known
                    .clone()
                    .map(|(label, _)| label)
                    .max_by_key(|&label| rank(label));
                round.extend(most.map(|label| (component, label)));
                for (label, _) in known {
                    sides[usize::from(label)] = 0;
                }
            }
            next.clear();
            for &(component, label) in round.iter() {
                labels[component as usize] = Some(label);
            }
            for &(component, _) in round.iter() {
                // What this one borders and is still undecided comes next.
                let borders = Self::borders_of(borders, component);
                next.extend(
                    borders
                        .iter()
                        .map(|b| b.to)
                        .filter(|&to| labels[to as usize].is_none()),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn mask(rows: &[&str]) -> Mask {
        let labels = rows
            .iter()
            .flat_map(|row| row.bytes().map(|b| b - b'0'))
            .collect();
        Mask {
            width: rows[0].len() as u32,
            height: rows.len() as u32,
            labels,
        }
    }

    fn neighbours(mask: &Mask, at: usize, connectivity: Connectivity) -> Vec<usize> {
        let (w, h) = (mask.width as i64, mask.height as i64);
        let (x, y) = (at as i64 % w, at as i64 / w);
        let mut all = vec![(1, 0), (-1, 0), (0, 1), (0, -1)];
        if connectivity == Connectivity::Eight {
            all.extend([(1, 1), (1, -1), (-1, 1), (-1, -1)]);
        }
        all.into_iter()
            .map(|(dx, dy)| (x + dx, y + dy))
            .filter(|&(x, y)| (0..w).contains(&x) && (0..h).contains(&y))
            .map(|(x, y)| (y * w + x) as usize)
            .collect()
    }

    /// Flood fill: the pixels of each component, by first pixel.
    fn flood(
        mask: &Mask,
        connectivity: Connectivity,
        same: impl Fn(u8, u8) -> bool,
    ) -> Vec<Vec<usize>> {
        let mut seen = vec![false; mask.labels.len()];
        let mut all = Vec::new();
        for first in 0..seen.len() {
            let label = mask.labels[first];
            if seen[first] || !same(label, label) {
                continue;
            }
            seen[first] = true;
            let (mut pixels, mut next) = (vec![first], 0);
            while next < pixels.len() {
                for to in neighbours(mask, pixels[next], connectivity) {
                    if !seen[to] && same(label, mask.labels[to]) {
                        seen[to] = true;
                        pixels.push(to);
                    }
                }
                next += 1;
            }
            all.push(pixels);
        }
        all
    }

    fn describe(mask: &Mask, pixels: &[usize]) -> Component {
        let width = mask.width as usize;
        let xs = || pixels.iter().map(|p| (p % width) as u32);
        let ys = || pixels.iter().map(|p| (p / width) as u32);
        let (x, y) = (xs().min().unwrap(), ys().min().unwrap());
        let mean = |sum: u32| {
            (f64::from(2 * sum + pixels.len() as u32) / (2 * pixels.len()) as f64) as f32
        };
        Component {
            class: mask.labels[pixels[0]],
            area: pixels.len() as u64,
            x,
            y,
            width: xs().max().unwrap() + 1 - x,
            height: ys().max().unwrap() + 1 - y,
            centroid: (mean(xs().sum()), mean(ys().sum())),
        }
    }

    /// `remove_small` with [`Fill::Neighbours`] by its definition.
    fn remove_reference(mask: &Mask, connectivity: Connectivity, min_area: u64) -> Mask {
        let all = flood(mask, connectivity, |a, b| a == b);
        let mut of = vec![0; mask.labels.len()];
        for (i, pixels) in all.iter().enumerate() {
            pixels.iter().for_each(|&p| of[p] = i);
        }
        let mut decided: Vec<Option<u8>> = all
            .iter()
            .map(|pixels| (pixels.len() as u64 >= min_area).then(|| mask.labels[pixels[0]]))
            .collect();
        loop {
            let before = decided.clone();
            for (i, pixels) in all.iter().enumerate().filter(|(i, _)| before[*i].is_none()) {
                let mut sides = [0; 256];
                for &p in pixels {
                    for to in neighbours(mask, p, Connectivity::Four) {
                        if let (true, Some(label)) = (of[to] != i, before[of[to]]) {
                            sides[usize::from(label)] += 1;
                        }
                    }
                }
                let most = sides.iter().max().copied().unwrap_or(0);
                if most > 0 {
                    decided[i] = sides
                        .iter()
                        .position(|&s| s == most)
                        .map(|label| label as u8);
                }
            }
            if decided == before {
                break;
            }
        }
        let mut out = mask.clone();
        for (p, label) in out.labels.iter_mut().enumerate() {
            *label = decided[of[p]].unwrap_or(*label);
        }
        out
    }

    #[test]
    fn corners_join_only_with_eight() {
        let mask = mask(&["100", "010", "001"]);
        let one: ClassSet = [1].into_iter().collect();
        let mut labeller = Labeller::default();
        assert_eq!(labeller.of_set(&mask, &one, Connectivity::Four).len(), 3);
        let eight = labeller.of_set(&mask, &one, Connectivity::Eight);
        assert_eq!(
            eight,
            [Component {
                class: 1,
                area: 3,
                x: 0,
                y: 0,
                width: 3,
                height: 3,
                centroid: (1.5, 1.5)
            }]
        );
    }

    #[test]
    fn a_set_joins_its_classes() {
        let mask = mask(&["0120", "0000", "0003"]);
        let set: ClassSet = [1, 2, 3].into_iter().collect();
        let mut labeller = Labeller::default();
        let areas: Vec<_> = labeller
            .of_set(&mask, &set, Connectivity::Eight)
            .iter()
            .map(|c| (c.class, c.area))
            .collect();
        assert_eq!(areas, [(1, 2), (3, 1)]);
    }

    #[test]
    fn specks_take_what_surrounds_them() {
        let mut labeller = Labeller::default();
        let mut m = mask(&["00011", "02011", "00013"]);
        labeller.remove_small(&mut m, Connectivity::Eight, 2, Fill::Neighbours);
        assert_eq!(m, mask(&["00011", "00011", "00011"]));
        // One side each: the lowest label; the inner speck waits for the outer.
        let mut m = mask(&["1111", "1231", "0000"]);
        labeller.remove_small(&mut m, Connectivity::Four, 2, Fill::Neighbours);
        assert_eq!(m, mask(&["1111", "1111", "0000"]));
        let mut m = mask(&["12", "34"]);
        labeller.remove_small(&mut m, Connectivity::Four, 9, Fill::Neighbours);
        assert_eq!(m, mask(&["12", "34"]));
        labeller.remove_small(&mut m, Connectivity::Four, 2, Fill::Label(7));
        assert_eq!(m, mask(&["77", "77"]));
    }

    #[test]
    fn an_empty_mask_has_no_components() {
        let mut labeller = Labeller::default();
        assert!(
            labeller
                .per_class(&Mask::default(), Connectivity::Eight)
                .is_empty()
        );
        labeller.remove_small(
            &mut Mask::default(),
            Connectivity::Eight,
            9,
            Fill::Neighbours,
        );
    }

    pub fn masks() -> impl Strategy<Value = Mask> {
        (1u32..14, 1u32..14, 1u8..5).prop_flat_map(|(width, height, classes)| {
            prop::collection::vec(0..classes, (width * height) as usize).prop_map(move |labels| {
                Mask {
                    width,
                    height,
                    labels,
                }
            })
        })
    }

    pub fn connectivity() -> impl Strategy<Value = Connectivity> {
        prop_oneof![Just(Connectivity::Four), Just(Connectivity::Eight)]
    }

    proptest! {
        #[test]
        fn components_are_those_of_flood_fill(mask in masks(), connectivity in connectivity()) {
            let mut labeller = Labeller::default();
            let want: Vec<_> = flood(&mask, connectivity, |a, b| a == b)
                .iter().map(|pixels| describe(&mask, pixels)).collect();
            prop_assert_eq!(labeller.per_class(&mask, connectivity), &want[..]);
            let set: ClassSet = [1, 3].into_iter().collect();
            let want: Vec<_> = flood(&mask, connectivity, |a, b| set.contains(a) && set.contains(b))
                .iter().map(|pixels| describe(&mask, pixels)).collect();
            prop_assert_eq!(labeller.of_set(&mask, &set, connectivity), &want[..]);
        }

        #[test]
        fn small_ones_go_as_defined(
            mask in masks(), connectivity in connectivity(), min_area in 0u64..12,
        ) {
            let want = remove_reference(&mask, connectivity, min_area);
            let mut got = mask;
            Labeller::default().remove_small(&mut got, connectivity, min_area, Fill::Neighbours);
            prop_assert_eq!(got, want);
        }
    }
}
