//! Trees, bushes and hedges, painted into cut-out textures once for each scene.

use super::math::{Rgb, cos_turns, lerp, mix3, scale, sin_turns, smooth};
use super::noise::Field;
use super::rng::Rng;
use super::texture::{Texture, pack};

/// Texels along each side of a sprite, as a power of two.
const BITS: u32 = 8;
const SIDE: usize = 1 << BITS;

/// A tree to put up: its picture stands on its lower edge.
pub struct Tree {
    pub sprite: Texture,
    /// Width over height.
    pub aspect: f32,
    /// Metres, the usual height.
    pub height: f32,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    Leafy,
    Bare,
    Conifer,
    Bush,
}

struct Sketch {
    texels: Vec<(Rgb, f32)>,
}

impl Sketch {
    fn new() -> Self {
        Self {
            texels: vec![([0.0; 3], 0.0); SIDE * SIDE],
        }
    }

    fn dot(&mut self, x: f32, y: f32, r: f32, colour: Rgb) {
        let end = SIDE as f32 - 1.0;
        let (x0, x1) = (
            (x - r - 1.0).clamp(1.0, end) as usize,
            (x + r + 2.0).clamp(1.0, end) as usize,
        );
        let (y0, y1) = (
            (y - r - 1.0).clamp(1.0, end) as usize,
            (y + r + 2.0).clamp(1.0, end + 1.0) as usize,
        );
        for py in y0..y1 {
            for px in x0..x1 {
                let (dx, dy) = (px as f32 + 0.5 - x, py as f32 + 0.5 - y);
                let cover = (r + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0);
                let (c, a) = &mut self.texels[py * SIDE + px];
                *c = mix3(*c, colour, if *a > 0.0 { cover } else { 1.0 });
                *a = a.max(cover);
            }
        }
    }

    fn branch(&mut self, a: [f32; 2], b: [f32; 2], ra: f32, rb: f32, bark: Rgb) {
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let steps = ((dx * dx + dy * dy).sqrt() / (0.6 * rb.max(0.8)) + 1.0) as usize;
        for i in 0..=steps {
            let t = i as f32 / steps as f32;
            let r = lerp(ra, rb, t);
            let (x, y) = (lerp(a[0], b[0], t), lerp(a[1], b[1], t));
            self.dot(x, y, r, scale(bark, 0.8));
            if r > 1.5 {
                self.dot(x - r * 0.3, y, r * 0.5, scale(bark, 1.25));
            }
        }
    }

    fn finish(self) -> Texture {
        let texels = self
            .texels
            .iter()
            .map(|&(c, a)| pack(scale(c, a).map(|v| v.min(1.0)), a));
        Texture::new(BITS, BITS, false, texels.collect())
    }
}

/// Boughs that fork until they are twigs.
fn boughs(
    sketch: &mut Sketch,
    at: [f32; 2],
    turn: f32,
    length: f32,
    r: f32,
    bark: Rgb,
    rng: &mut Rng,
) {
    let tip = [
        at[0] + length * sin_turns(turn),
        at[1] - length * cos_turns(turn),
    ];
    sketch.branch(at, tip, r, r * 0.68, bark);
    if length < 7.0 {
        return;
    }
    let forks = 2 + rng.below(2);
    for i in 0..forks {
        let spread = if forks == 1 {
            0.0
        } else {
            i as f32 / (forks - 1) as f32 - 0.5
        };
        let next = turn + spread * rng.range(0.14, 0.24) + rng.range(-0.03, 0.03);
        // Boughs grow upwards again.
        let next = next * 0.93;
        boughs(
            sketch,
            tip,
            next,
            length * rng.range(0.62, 0.84),
            r * 0.62,
            bark,
            rng,
        );
    }
}

/// Leaves heaped around `centre`, the lit ones on top.
fn crown(
    sketch: &mut Sketch,
    centre: [f32; 2],
    radius: [f32; 2],
    leaf: Rgb,
    sun: f32,
    rng: &mut Rng,
) {
    let mut clumps: Vec<[f32; 3]> = Vec::new();
    while clumps.len() < 46 {
        let (x, y) = (rng.range(-1.0, 1.0), rng.range(-1.0, 1.0));
        if x * x + y * y < 1.0 {
            clumps.push([x * 0.86, y * 0.86, rng.range(0.14, 0.30)]);
        }
    }
    // Lower clumps lie behind: upper ones catch the light.
    clumps.sort_by(|a, b| b[1].total_cmp(&a[1]));
    for [cx, cy, r] in clumps {
        let tone = rng.range(0.8, 1.1) - 0.22 * cy + 0.14 * cx * sun;
        for k in 0..64 {
            let (turn, out) = (rng.unit(), rng.unit().sqrt());
            let (dx, dy) = (out * cos_turns(turn), out * sin_turns(turn));
            let light = tone * (0.72 - 0.34 * dy + 0.16 * dx * sun) * rng.range(0.78, 1.2);
            let light = if k < 20 { light * 0.6 } else { light };
            let (x, y) = (cx + dx * r, cy + dy * r);
            let warm = mix3(
                leaf,
                [leaf[0] * 1.35, leaf[1] * 1.12, leaf[2] * 0.7],
                rng.unit() * 0.5,
            );
            let size = rng.range(1.6, 3.4);
            sketch.dot(
                centre[0] + x * radius[0],
                centre[1] + y * radius[1],
                size,
                scale(warm, light),
            );
        }
    }
}

impl Tree {
    /// Paints a plant whose leaves have the colour `leaf`; `sun` is -1 with light from the left
    /// and 1 with light from the right.
    pub fn new(growth: Growth, leaf: Rgb, sun: f32, rng: &mut Rng) -> Self {
        let mut sketch = Sketch::new();
        let side = SIDE as f32;
        let bark = mix3([0.22, 0.18, 0.14], [0.28, 0.26, 0.23], rng.unit());
        let (aspect, height) = match growth {
            Growth::Leafy => {
                let (top, bottom) = (0.04 * side, rng.range(0.62, 0.72) * side);
                let middle = [side * 0.5, (top + bottom) * 0.5];
                let lean = rng.range(-6.0, 6.0);
                sketch.branch([side * 0.5 + lean, side], middle, 7.5, 4.5, bark);
                for i in 0..5 {
                    let x = side * (0.28 + 0.11 * i as f32);
                    sketch.branch([side * 0.5, bottom * 0.95], [x, middle[1]], 3.0, 1.5, bark);
                }
                let tall = (bottom - top) * 0.5;
                let wide = side * 0.36;
                crown(
                    &mut sketch,
                    [middle[0], middle[1]],
                    [wide, tall * 0.9],
                    leaf,
                    sun,
                    rng,
                );
                for _ in 0..3 {
                    let x = middle[0] + rng.range(-0.16, 0.16) * side;
                    let y = middle[1] + rng.range(-0.3, 0.55) * tall;
                    let r = [wide * rng.range(0.5, 0.72), tall * rng.range(0.35, 0.5)];
                    crown(&mut sketch, [x, y], r, leaf, sun, rng);
                }
                (rng.range(0.72, 0.95), rng.range(6.5, 10.5))
            }
            Growth::Bare => {
                let fork = [
                    side * 0.5 + rng.range(-4.0, 4.0),
                    side * rng.range(0.62, 0.72),
                ];
                sketch.branch([side * 0.5, side], fork, 6.5, 5.0, bark);
                for i in 0..4 {
                    let turn = (i as f32 - 1.5) * 0.075 + rng.range(-0.02, 0.02);
                    boughs(
                        &mut sketch,
                        fork,
                        turn,
                        side * rng.range(0.12, 0.155),
                        3.4,
                        bark,
                        rng,
                    );
                }
                (rng.range(0.8, 1.0), rng.range(7.5, 12.0))
            }
            Growth::Conifer => {
                sketch.branch([side * 0.5, side], [side * 0.5, side * 0.1], 5.0, 1.0, bark);
                // Tiers of drooping needles, the upper over the lower.
                for tier in 0..30 {
                    let t = tier as f32 / 29.0;
                    let y = side * (0.90 - 0.86 * t);
                    let wide = side * 0.42 * (1.0 - t) + 5.0;
                    for k in 0..150 {
                        let x = rng.range(-1.0, 1.0);
                        let droop = x.abs() * 16.0 * (1.0 - t);
                        let under = if k < 70 { 0.55 } else { 1.0 };
                        let light = (0.95 - 0.3 * x.abs() + 0.25 * x * sun) * under;
                        let light = light * rng.range(0.7, 1.25);
                        let (px, py) = (side * 0.5 + x * wide, y + droop + rng.range(-7.0, 7.0));
                        sketch.dot(px, py, rng.range(1.8, 3.6), scale(leaf, light));
                    }
                }
                (rng.range(0.45, 0.6), rng.range(6.0, 11.0))
            }
            Growth::Bush => {
                for i in 0..4 {
                    let x = side * (0.26 + 0.16 * i as f32);
                    let tall = side * rng.range(0.28, 0.42);
                    let r = [side * 0.22, tall];
                    crown(&mut sketch, [x, side - tall * 0.92], r, leaf, sun, rng);
                }
                (rng.range(1.2, 1.9), rng.range(1.2, 2.2))
            }
        };
        Self {
            sprite: sketch.finish(),
            aspect,
            height,
        }
    }
}

/// Clipped leaves that tile both ways; one repeat is about 2 m.
pub fn hedge(leaf: Rgb, noise: &Field, rng: &mut Rng) -> Texture {
    let texels = (0..128 * 128i32).map(|i| {
        let (x, y) = (i % 128 * 2, i / 128 * 2);
        let clump = smooth(0.3, 0.7, noise.texel(x, y));
        let fine = rng.range(0.7, 1.25);
        let light = (0.45 + 0.65 * clump) * fine;
        pack(scale(leaf, light).map(|v| v.min(1.0)), 0.0)
    });
    Texture::new(7, 7, true, texels.collect())
}
