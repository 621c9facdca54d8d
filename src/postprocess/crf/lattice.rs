//! The permutohedral lattice: Gaussian filtering of points in a few dimensions.
//!
//! Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral
//! Lattice", Eurographics 2010. Points of `D` dimensions are mapped onto the plane of
//! `D + 1` coordinates whose sum is 0. The lattice there divides it into simplices; a
//! point is a mixture of the `D + 1` vertices around it, its corners. Blurring along
//! the `D + 1` directions of the lattice, by `[1/2, 1, 1/2]`, is a Gaussian filter of
//! the points' standard deviation, times a number that the normalization takes out.
//!
//! A vertex is known by its coordinates: integers that are all congruent modulo
//! `D + 1`. They are kept as quotient and common remainder, packed in 64 bits.

use std::io;

use super::numbers::Numbers;
use super::tasks::{for_each, part};
use crate::kernels::mean_field::{Corners, ROUND};
use crate::workers::Workers;

/// Where the common remainder is in a key.
const REMAINDER_SHIFT: u32 = 61;
/// The quotients' part of a key.
const QUOTIENTS: u64 = (1 << REMAINDER_SHIFT) - 1;
/// Bits of a coordinate's rank.
const RANK_BITS: u32 = 3;
/// Points that are placed at once.
const POINTS: usize = 8;
/// Simplices that are remembered.
const REMEMBERED: usize = 4096;
/// An odd number without a pattern: 2^64 divided by the golden ratio.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Pixels of a tile. A thread waits for the others after each.
const TILE: usize = 256 * POINTS;
/// Fewest pixels of a part.
const LEAST: usize = 16 * POINTS;

/// Why a lattice was not built.
#[derive(Debug)]
pub enum LatticeError {
    /// More vertices than the caller allowed.
    TooManyVertices,
    /// The system gives no more memory.
    Memory(io::Error),
}

impl From<io::Error> for LatticeError {
    fn from(error: io::Error) -> Self {
        Self::Memory(error)
    }
}

/// A lattice with `CORNERS = D + 1`, and where a picture's pixels lie in it. Its memory
/// is reused.
#[derive(Debug)]
pub struct Lattice<const D: usize, const CORNERS: usize> {
    /// What a point's coordinates, in standard deviations, are multiplied by on their
    /// way to the plane, so that a blur has a standard deviation of 1.
    scale: [f32; D],
    vertices: Vertices<D, CORNERS>,
    /// Of each pixel, those of its corners.
    corner_vertices: Numbers<u32>,
    corner_weights: Numbers<f32>,
    /// The pairs of neighbours of all vertices, direction after direction.
    neighbours: Vec<[u32; 2]>,
    /// Room for the next values of [`Vertices::ones`].
    next_ones: Vec<f32>,
}

/// The vertices that pixels lie between.
#[derive(Debug)]
struct Vertices<const D: usize, const CORNERS: usize> {
    /// Where each coordinate's quotient begins in a key; the plane's first coordinate is
    /// not kept, for the sum of all is 0.
    shifts: [u32; D],
    /// Of each vertex.
    keys: Vec<u64>,
    /// Open addressing by key: 1 more than the vertex, 0 where there is none.
    slots: Vec<u32>,
    remembered: Vec<Simplex<CORNERS>>,
    /// Of each vertex, what ones that are filtered make there.
    ones: Vec<f32>,
}

/// A simplex and its vertices.
#[derive(Debug, Clone, Copy)]
struct Simplex<const CORNERS: usize> {
    quotients: u64,
    /// As in [`Placed`].
    ranks: u32,
    vertices: [u32; CORNERS],
}

impl<const CORNERS: usize> Simplex<CORNERS> {
    /// None: a simplex has other ranks.
    const NONE: Self = Self {
        quotients: 0,
        ranks: 0,
        vertices: [0; CORNERS],
    };
}

/// The simplices of some points.
struct Placed<const CORNERS: usize> {
    /// The quotients of the vertex of remainder 0, as in a key.
    quotients: [u64; POINTS],
    /// The rank of each coordinate but the first, [`RANK_BITS`] each; at least one is
    /// not 0.
    ranks: [u32; POINTS],
    /// Barycentric coordinates, vertex after vertex.
    weights: [[f32; POINTS]; CORNERS],
}

/// Some pixels' corners, to write.
struct Part<'a, const CORNERS: usize> {
    /// The first of the pixels.
    first: usize,
    vertices: &'a mut [[u32; CORNERS]],
    weights: &'a mut [[f32; CORNERS]],
}

/// What is done for a tile of pixels.
enum Task<'a, const D: usize, const CORNERS: usize> {
    Place(Part<'a, CORNERS>),
    Find(&'a mut Vertices<D, CORNERS>, Part<'a, CORNERS>),
}

impl<const D: usize, const CORNERS: usize> Lattice<D, CORNERS> {
    /// An empty lattice. The quotient of coordinate `i + 1` of the plane has `bits[i]`
    /// bits, its sign included; a point must not need more, nor its neighbours.
    ///
    /// # Panics
    /// If the bits do not fit in a key.
    pub fn new(bits: [u32; D]) -> Self {
        assert!(D >= 2 && CORNERS == D + 1 && CORNERS <= 8);
        assert!(bits.iter().sum::<u32>() <= REMAINDER_SHIFT);
        let mut end = 0;
        let shifts = bits.map(|bits| {
            end += bits;
            end - bits
        });
        // A blur has the variance 2/3 (D + 1)^2 in the plane.
        let deviation = (2.0f32 / 3.0).sqrt() * CORNERS as f32;
        let scale = std::array::from_fn(|i| deviation / (((i + 1) * (i + 2)) as f32).sqrt());
        Self {
            scale,
            vertices: Vertices {
                shifts,
                keys: Vec::new(),
                slots: Vec::new(),
                remembered: Vec::new(),
                ones: Vec::new(),
            },
            corner_vertices: Numbers::default(),
            corner_weights: Numbers::default(),
            neighbours: Vec::new(),
            next_ones: Vec::new(),
        }
    }

    /// What the coordinates of a point, in standard deviations, are multiplied by before
    /// it is given to [`build`](Self::build).
    pub fn scale(&self) -> [f32; D] {
        self.scale
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.vertices.keys.len()
    }

    /// The corners of each pixel, their weights times the pixel's normalization.
    pub fn corners(&self) -> Corners<'_, CORNERS> {
        Corners {
            vertices: self.corner_vertices.get().as_chunks().0,
            weights: self.corner_weights.get().as_chunks().0,
        }
    }

    /// The neighbours of each vertex, direction after direction. One that does not
    /// exist is the number of vertices.
    pub fn directions(&self) -> impl Iterator<Item = &[[u32; 2]]> {
        self.neighbours.chunks_exact(self.vertices().max(1))
    }

    /// Places the pixels of a picture of a width and height, finds the vertices'
    /// neighbours and normalizes: the weights of a pixel are divided by the square root
    /// of what the filter makes of ones there, so that filtering is symmetric. `point`
    /// gives the point of the pixel in a column and a row, [scaled](Self::scale).
    ///
    /// # Errors
    /// [`LatticeError`]; there are too many vertices where there would be more than
    /// `most`.
    pub fn build(
        &mut self,
        workers: &mut Workers,
        (width, height): (usize, usize),
        most: usize,
        point: impl Fn(usize, usize) -> [f32; D] + Sync,
    ) -> Result<(), LatticeError> {
        self.corner_vertices.resize(width * height * CORNERS)?;
        self.corner_weights.resize(width * height * CORNERS)?;
        self.vertices.clear();
        self.place(workers, width, most, point)?;
        self.join(workers);
        self.normalize(workers);
        Ok(())
    }

    /// Threads share the placing of a tile's pixels, while one of them finds the
    /// vertices of the tile before.
    fn place(
        &mut self,
        workers: &mut Workers,
        width: usize,
        most: usize,
        point: impl Fn(usize, usize) -> [f32; D] + Sync,
    ) -> Result<(), LatticeError> {
        let shifts = self.vertices.shifts;
        let mut rest = Part::<CORNERS>::all(&mut self.corner_vertices, &mut self.corner_weights);
        let mut placed: Option<Part<'_, CORNERS>> = None;
        loop {
            let find = (placed.take()).map(|placed| Task::Find(&mut self.vertices, placed));
            let mut current = rest.take(TILE);
            let part = part(workers, current.vertices.len(), LEAST);
            let place = current.parts(part).map(Task::Place);
            for_each(workers, find.into_iter().chain(place), |task| match task {
                Task::Place(part) => part.place(&shifts, width, &point),
                Task::Find(vertices, part) => vertices.find(part),
            });
            if self.vertices.keys.len() > most {
                return Err(LatticeError::TooManyVertices);
            }
            if current.vertices.is_empty() {
                return Ok(());
            }
            placed = Some(current);
        }
    }

    /// Finds each vertex' neighbours in every direction.
    fn join(&mut self, workers: &mut Workers) {
        let count = self.vertices.keys.len();
        self.neighbours.clear();
        self.neighbours.resize(count * CORNERS, [count as u32; 2]);
        let directions = self.neighbours.chunks_exact_mut(count.max(1)).enumerate();
        for_each(workers, directions, |(direction, neighbours)| {
            self.vertices.join(direction, neighbours);
        });
    }

    /// Finishes the filtering of ones, and divides the weights.
    fn normalize(&mut self, workers: &mut Workers) {
        /// Keeps a quotient finite.
        const LEAST_SUM: f32 = 1e-20;
        let count = self.vertices.keys.len();
        let [mut from, mut to] = [&mut self.vertices.ones, &mut self.next_ones];
        // The last one is that of neighbours that do not exist.
        from.push(0.0);
        to.clear();
        to.resize(count + 1, 0.0);
        for direction in self.neighbours.chunks_exact(count.max(1)) {
            for (vertex, &[before, after]) in direction.iter().enumerate() {
                to[vertex] = from[vertex] + 0.5 * (from[before as usize] + from[after as usize]);
            }
            std::mem::swap(&mut from, &mut to);
        }
        let ones = &*from;
        let mut pixels = Part::<CORNERS>::all(&mut self.corner_vertices, &mut self.corner_weights);
        let part = part(workers, pixels.vertices.len(), LEAST);
        for_each(workers, pixels.parts(part), |part| {
            for (vertices, weights) in part.vertices.iter().zip(part.weights) {
                let mut sum = 0.0;
                for (&vertex, weight) in vertices.iter().zip(&*weights) {
                    sum += weight * ones[vertex as usize];
                }
                let factor = 1.0 / (sum + LEAST_SUM).sqrt();
                for weight in weights {
                    *weight *= factor;
                }
            }
        });
    }
}

impl<'a, const CORNERS: usize> Part<'a, CORNERS> {
    fn all(vertices: &'a mut Numbers<u32>, weights: &'a mut Numbers<f32>) -> Self {
        Self {
            first: 0,
            vertices: vertices.get_mut().as_chunks_mut().0,
            weights: weights.get_mut().as_chunks_mut().0,
        }
    }

    /// The first of them, at most so many; the others stay.
    fn take(&mut self, most: usize) -> Self {
        let count = most.min(self.vertices.len());
        let first = self.first;
        self.first += count;
        Self {
            first,
            vertices: self.vertices.split_off_mut(..count).unwrap_or_default(),
            weights: self.weights.split_off_mut(..count).unwrap_or_default(),
        }
    }

    /// Parts of so many pixels.
    fn parts(&mut self, each: usize) -> impl Iterator<Item = Part<'_, CORNERS>> {
        let pairs = (self.vertices.chunks_mut(each)).zip(self.weights.chunks_mut(each));
        let first = (self.first..).step_by(each);
        first.zip(pairs).map(|(first, (vertices, weights))| Part {
            first,
            vertices,
            weights,
        })
    }

    /// Finds out the weights and the simplices. These stand where the vertices will be,
    /// see [`Vertices::find`].
    fn place<const D: usize>(
        self,
        shifts: &[u32; D],
        width: usize,
        point: impl Fn(usize, usize) -> [f32; D],
    ) {
        let (mut column, mut row) = (self.first % width, self.first / width);
        let mut some = [[0.0; POINTS]; D];
        let groups = self.vertices.chunks_mut(POINTS);
        for (simplices, weights) in groups.zip(self.weights.chunks_mut(POINTS)) {
            for p in 0..simplices.len() {
                for (coordinates, coordinate) in some.iter_mut().zip(point(column, row)) {
                    coordinates[p] = coordinate;
                }
                column += 1;
                if column == width {
                    (column, row) = (0, row + 1);
                }
            }
            let placed: Placed<CORNERS> = place(shifts, &some);
            for (p, (simplex, weights)) in simplices.iter_mut().zip(weights).enumerate() {
                let quotients = placed.quotients[p];
                let known = [quotients as u32, (quotients >> 32) as u32, placed.ranks[p]];
                simplex[..3].copy_from_slice(&known);
                *weights = std::array::from_fn(|k| placed.weights[k][p]);
            }
        }
    }
}

/// The simplices of some points, which are given coordinate by coordinate. What is
/// done to one is done to all of them at once, in vectors. `shifts` are those of
/// [`Vertices`].
#[inline]
fn place<const D: usize, const CORNERS: usize>(
    shifts: &[u32; D],
    scaled: &[[f32; POINTS]; D],
) -> Placed<CORNERS> {
    // Onto the plane.
    let mut plane = [[0.0; POINTS]; CORNERS];
    let mut sum = [0.0; POINTS];
    for i in (1..CORNERS).rev() {
        for p in 0..POINTS {
            plane[i][p] = sum[p] - i as f32 * scaled[i - 1][p];
            sum[p] += scaled[i - 1][p];
        }
    }
    plane[0] = sum;
    // The nearest point whose coordinates are multiples of D + 1; their sum need
    // not be 0 yet.
    let mut quotients = [[0i32; POINTS]; CORNERS];
    let mut rest = [[0.0; POINTS]; CORNERS];
    let mut excess = [0i32; POINTS];
    for i in 0..CORNERS {
        for p in 0..POINTS {
            let value = plane[i][p] * (1.0 / CORNERS as f32);
            let rounded = value + ROUND;
            quotients[i][p] = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            rest[i][p] = value - (rounded - ROUND);
            excess[p] += quotients[i][p];
        }
    }
    // Coordinates in the order of what is left, largest first.
    let mut ranks = [[0i32; POINTS]; CORNERS];
    for i in 0..CORNERS {
        for j in i + 1..CORNERS {
            for p in 0..POINTS {
                let first = i32::from(rest[i][p] >= rest[j][p]);
                ranks[j][p] += first;
                ranks[i][p] += 1 - first;
            }
        }
    }
    // Those that were rounded furthest go back, so that the sum is 0.
    for i in 0..CORNERS {
        for p in 0..POINTS {
            let rank = ranks[i][p] + excess[p];
            let back = i32::from(rank >= CORNERS as i32) - i32::from(rank < 0);
            ranks[i][p] = rank - back * CORNERS as i32;
            quotients[i][p] -= back;
            rest[i][p] += back as f32;
        }
    }
    let mut by_rank = [[0.0; POINTS]; CORNERS];
    for (k, by_rank) in (0..).zip(&mut by_rank) {
        for i in 0..CORNERS {
            for p in 0..POINTS {
                by_rank[p] += if ranks[i][p] == k { rest[i][p] } else { 0.0 };
            }
        }
    }
    let mut placed = Placed {
        quotients: [0; POINTS],
        ranks: [0; POINTS],
        weights: [[0.0; POINTS]; CORNERS],
    };
    placed.weights[0] = std::array::from_fn(|p| 1.0 - by_rank[0][p] + by_rank[D][p]);
    for k in 1..CORNERS {
        let (more, less) = (by_rank[D - k], by_rank[CORNERS - k]);
        placed.weights[k] = std::array::from_fn(|p| more[p] - less[p]);
    }
    for i in 1..CORNERS {
        for p in 0..POINTS {
            placed.ranks[p] = placed.ranks[p] << RANK_BITS | ranks[i][p] as u32;
            let quotient = i64::from(quotients[i][p]) as u64;
            let place = quotient << shifts[i - 1];
            placed.quotients[p] = placed.quotients[p].wrapping_add(place);
        }
    }
    placed.quotients = placed.quotients.map(|quotients| quotients & QUOTIENTS);
    placed
}

impl<const D: usize, const CORNERS: usize> Vertices<D, CORNERS> {
    fn clear(&mut self) {
        self.keys.clear();
        self.ones.clear();
        self.slots.fill(0);
        self.remembered.clear();
        self.remembered.resize(REMEMBERED, Simplex::NONE);
    }

    /// The vertices of pixels whose simplices are known: quotients, lower half first,
    /// and ranks. The pixels' weights are added up.
    fn find(&mut self, pixels: Part<'_, CORNERS>) {
        for (corners, weights) in pixels.vertices.iter_mut().zip(&*pixels.weights) {
            let quotients = u64::from(corners[0]) | u64::from(corners[1]) << 32;
            *corners = self.simplex(quotients, corners[2]);
            for (&vertex, weight) in corners.iter().zip(weights) {
                self.ones[vertex as usize] += weight;
            }
        }
    }

    /// The vertices of a simplex: that of remainder 0 with these quotients, and those
    /// reached from it by the coordinates' ranks, packed as in [`Placed`].
    #[inline]
    fn simplex(&mut self, quotients: u64, ranks: u32) -> [u32; CORNERS] {
        let hash = (quotients ^ u64::from(ranks) << 40).wrapping_mul(SCATTER);
        let slot = (hash >> (u64::BITS - REMEMBERED.ilog2())) as usize;
        let known = &self.remembered[slot];
        if known.quotients == quotients && known.ranks == ranks {
            return known.vertices;
        }
        // The first coordinate has no place in a key.
        let mut by_rank = [0; CORNERS];
        for (i, &shift) in self.shifts.iter().rev().enumerate() {
            let rank = ranks >> (i as u32 * RANK_BITS) & ((1 << RANK_BITS) - 1);
            by_rank[rank as usize % CORNERS] = 1 << shift;
        }
        let mut key = quotients;
        let mut vertices = [self.find_or_add(key); CORNERS];
        for k in 1..CORNERS {
            key = key.wrapping_sub(by_rank[CORNERS - k]) & QUOTIENTS;
            vertices[k] = self.find_or_add(key | (k as u64) << REMAINDER_SHIFT);
        }
        self.remembered[slot] = Simplex {
            quotients,
            ranks,
            vertices,
        };
        vertices
    }

    fn slot(&self, key: u64) -> usize {
        let bits = self.slots.len().ilog2();
        ((key ^ key >> 29).wrapping_mul(SCATTER) >> (u64::BITS - bits)) as usize
    }

    /// The slot of a key: where it is, or where it would be.
    #[inline]
    fn probe(&self, key: u64) -> usize {
        let mut slot = self.slot(key);
        loop {
            match self.slots[slot] {
                0 => return slot,
                vertex if self.keys[vertex as usize - 1] == key => return slot,
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    fn find_or_add(&mut self, key: u64) -> u32 {
        // Half of the slots stay free.
        if self.keys.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let slot = self.probe(key);
        if self.slots[slot] == 0 {
            self.keys.push(key);
            self.ones.push(0.0);
            self.slots[slot] = self.keys.len() as u32;
        }
        self.slots[slot] - 1
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 4).max(1 << 12);
        self.slots.clear();
        self.slots.resize(slots, 0);
        for vertex in 0..self.keys.len() {
            let slot = self.probe(self.keys[vertex]);
            self.slots[slot] = vertex as u32 + 1;
        }
    }

    /// Finds each vertex' neighbours in a direction.
    fn join(&self, direction: usize, neighbours: &mut [[u32; 2]]) {
        let units = self.shifts.map(|shift| 1u64 << shift);
        let all = units.iter().fold(0, |all, unit| all | unit);
        // The first coordinate has no place in a key.
        let unit = direction.checked_sub(1).map_or(0, |i| units[i]);
        for (vertex, &key) in self.keys.iter().enumerate() {
            // One more in every coordinate, but D less in that of the direction.
            let remainder = (key >> REMAINDER_SHIFT) + 1;
            let mut quotients = key.wrapping_sub(unit);
            let remainder = if remainder == CORNERS as u64 {
                quotients = quotients.wrapping_add(all);
                0
            } else {
                remainder
            };
            let after = quotients & QUOTIENTS | remainder << REMAINDER_SHIFT;
            let found = self.slots[self.probe(after)];
            if found > 0 {
                neighbours[vertex][1] = found - 1;
                neighbours[found as usize - 1][0] = vertex as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{APPEARANCE_BITS, SMOOTHNESS_BITS};
    use super::*;
    use crate::frame::MAX_SIDE;

    /// A vertex' coordinates in the plane, but the first.
    fn coordinates<const D: usize>(key: u64, bits: [u32; D]) -> [i64; D] {
        let remainder = (key >> REMAINDER_SHIFT) as i64;
        // Sign extension field by field; what one borrows it takes from the next.
        let mut rest = (key & QUOTIENTS) as i64;
        bits.map(|bits| {
            let field = rest << (64 - bits) >> (64 - bits);
            rest = (rest - field) >> bits;
            field * (D as i64 + 1) + remainder
        })
    }

    /// Points at the corners of what is allowed, and some within.
    fn far_points<const D: usize>(ends: [f32; D]) -> Vec<[f32; D]> {
        let corners = (0..1 << D)
            .map(|which| std::array::from_fn(|i| if which >> i & 1 == 1 { ends[i] } else { 0.0 }));
        let within = (0..200).map(|step| {
            std::array::from_fn(|i| ends[i] * ((step * (7 + 4 * i)) % 199) as f32 / 199.0)
        });
        corners.chain(within).collect()
    }

    /// Points in a row.
    fn build<const D: usize, const CORNERS: usize>(
        lattice: &mut Lattice<D, CORNERS>,
        points: &[[f32; D]],
        most: usize,
    ) -> Result<(), LatticeError> {
        let point = |column: usize, _| points[column];
        lattice.build(&mut Workers::alone(), (points.len(), 1), most, point)
    }

    fn check<const D: usize, const CORNERS: usize>(bits: [u32; D], ends: [f32; D]) {
        let mut lattice = Lattice::<D, CORNERS>::new(bits);
        let points = far_points(ends).into_iter();
        let scaled: Vec<[f32; D]> = points
            .map(|point| std::array::from_fn(|i| point[i] * lattice.scale[i]))
            .collect();
        build(&mut lattice, &scaled, usize::MAX).unwrap();
        for (&point, vertices) in scaled.iter().zip(lattice.corners().vertices) {
            let points = point.map(|coordinate| [coordinate; POINTS]);
            let placed: Placed<CORNERS> = place(&lattice.vertices.shifts, &points);
            let weights = placed.weights.map(|weights| weights[0]);
            let sum: f32 = weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{point:?}: {sum}");
            assert!(weights.iter().all(|&w| w > -0.01), "{weights:?}");
            // The point is the mixture of its corners.
            let mut rest: f64 = point.iter().map(|&p| f64::from(p)).sum();
            for i in 0..D {
                let own = f64::from(point[i]);
                rest -= own;
                let want = rest - (i + 1) as f64 * own;
                let mixed: f64 = vertices
                    .iter()
                    .zip(&weights)
                    .map(|(&v, &w)| {
                        let key = lattice.vertices.keys[v as usize];
                        coordinates(key, bits)[i] as f64 * f64::from(w)
                    })
                    .sum();
                let slack = 0.01 + 1e-5 * want.abs();
                assert!(
                    (mixed - want).abs() < slack,
                    "{point:?} {i}: {mixed} {want}"
                );
            }
        }
        let by_place: HashMap<[i64; D], u32> = (0..)
            .zip(&lattice.vertices.keys)
            .map(|(vertex, &key)| (coordinates(key, bits), vertex))
            .collect();
        assert_eq!(by_place.len(), lattice.vertices());
        let none = lattice.vertices() as u32;
        for (direction, neighbours) in lattice.directions().enumerate() {
            for (&key, &[before, after]) in lattice.vertices.keys.iter().zip(neighbours) {
                let place = coordinates(key, bits);
                for (sign, found) in [(-1, before), (1, after)] {
                    let step = |i: usize| if i + 1 == direction { -(D as i64) } else { 1 };
                    let next = std::array::from_fn(|i| place[i] + sign * step(i));
                    assert_eq!(by_place.get(&next).copied().unwrap_or(none), found);
                }
            }
        }
    }

    #[test]
    fn positions_and_colours_of_any_picture_have_keys() {
        let side = MAX_SIDE as f32;
        check::<5, 6>(APPEARANCE_BITS, [side, side, 510.0, 510.0, 510.0]);
        check::<5, 6>(APPEARANCE_BITS, [6.0, 5.0, 20.0, 20.0, 20.0]);
        check::<2, 3>(SMOOTHNESS_BITS, [side / 0.5, side / 0.5]);
        check::<2, 3>(SMOOTHNESS_BITS, [30.0, 20.0]);
    }

    #[test]
    fn more_vertices_than_allowed_are_refused() {
        let mut lattice = Lattice::<2, 3>::new(SMOOTHNESS_BITS);
        let points: Vec<[f32; 2]> = (0..100).map(|i| [i as f32 * 10.0, 0.0]).collect();
        let refused = build(&mut lattice, &points, 100);
        assert!(matches!(refused, Err(LatticeError::TooManyVertices)));
        build(&mut lattice, &points, 1000).unwrap();
        assert!(lattice.vertices() > 200);
    }

    #[test]
    fn equal_points_share_their_weight_equally() {
        let mut lattice = Lattice::<2, 3>::new(SMOOTHNESS_BITS);
        build(&mut lattice, &[[0.3, 0.4]; 4], 100).unwrap();
        let all = lattice.corners();
        for (vertices, weights) in all.vertices.iter().zip(all.weights) {
            assert_eq!((vertices, weights), (&all.vertices[0], &all.weights[0]));
        }
        // Of one pixel, without blur: the sum of squares.
        assert!(all.weights[0].iter().map(|w| w * w).sum::<f32>() > 0.0);
    }
}
