//! Smooth random fields that tile, made once and looked up while drawing.

use super::math::{floor, lerp};
use super::rng::{mix, unit};

/// Side of a [`Field`], a power of two.
pub const SIDE: usize = 256;
const MASK: i32 = SIDE as i32 - 1;

/// A tiling square of smooth noise, values in 0..1.
pub struct Field {
    values: Vec<f32>,
}

impl Field {
    /// Sums `octaves` of value noise; the coarsest has `cells` cells along each side (a power of
    /// two, so that the square tiles).
    pub fn new(seed: u64, cells: u32, octaves: u32) -> Self {
        let mut values = vec![0.0f32; SIDE * SIDE];
        let (mut weight, mut total) = (0.5f32, 0.0f32);
        for octave in 0..octaves {
            let count = cells << octave;
            if count as usize > SIDE {
                break;
            }
            let step = count as f32 / SIDE as f32;
            let at = |x: i32, y: i32| {
                let (x, y) = (x as u32 & (count - 1), y as u32 & (count - 1));
                unit(mix(
                    seed ^ u64::from(octave) << 56,
                    u64::from(x) << 32 | u64::from(y),
                ))
            };
            for y in 0..SIDE {
                let fy = y as f32 * step;
                let (iy, ty) = (floor(fy), ease(fy - floor(fy) as f32));
                for x in 0..SIDE {
                    let fx = x as f32 * step;
                    let (ix, tx) = (floor(fx), ease(fx - floor(fx) as f32));
                    let top = lerp(at(ix, iy), at(ix + 1, iy), tx);
                    let low = lerp(at(ix, iy + 1), at(ix + 1, iy + 1), tx);
                    values[y * SIDE + x] += weight * lerp(top, low, ty);
                }
            }
            total += weight;
            weight *= 0.5;
        }
        for value in &mut values {
            *value /= total;
        }
        Self { values }
    }

    /// The value at a whole position, wrapping round.
    pub fn texel(&self, x: i32, y: i32) -> f32 {
        self.values[((y & MASK) as usize) * SIDE + (x & MASK) as usize]
    }

    /// The value between the positions, wrapping round.
    pub fn sample(&self, x: f32, y: f32) -> f32 {
        let (ix, iy) = (floor(x), floor(y));
        let (tx, ty) = (x - ix as f32, y - iy as f32);
        let (right, below) = (ix.wrapping_add(1), iy.wrapping_add(1));
        lerp(
            lerp(self.texel(ix, iy), self.texel(right, iy), tx),
            lerp(self.texel(ix, below), self.texel(right, below), tx),
            ty,
        )
    }

    /// One line of the field at height `y`: a picture row looks up many `x` at the same `y`.
    pub fn line(&self, y: f32, out: &mut [f32; SIDE]) {
        let iy = floor(y);
        let t = y - iy as f32;
        let a = ((iy & MASK) as usize) * SIDE;
        let b = ((iy.wrapping_add(1) & MASK) as usize) * SIDE;
        let (a, b) = (&self.values[a..a + SIDE], &self.values[b..b + SIDE]);
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = lerp(a, b, t);
        }
    }
}

/// The value of a [`Field::line`] at `x`, wrapping round.
pub fn along(line: &[f32; SIDE], x: f32) -> f32 {
    let ix = floor(x);
    let a = line[(ix & MASK) as usize];
    let b = line[(ix.wrapping_add(1) & MASK) as usize];
    lerp(a, b, x - ix as f32)
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_tiles_and_stays_in_range() {
        let field = Field::new(1, 4, 5);
        for i in 0..SIDE as i32 {
            let value = field.texel(i, 17);
            assert!((0.0..=1.0).contains(&value));
            assert_eq!(value, field.texel(i + SIDE as i32, 17 - SIDE as i32));
        }
    }
}
