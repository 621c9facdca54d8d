//! The sky and what closes the view at the horizon.

use super::math::{Rgb, floor, mix3, scale, smooth};
use super::mood::Mood;
use super::noise::{Field, SIDE, along};
use super::raster::Canvas;
use super::rng::{Rng, mix};
use super::view::View;
use super::{BUILDING, SKY, TREE};

/// Clouds and skyline of a scene.
pub struct Sky {
    clouds: Field,
    outline: Field,
    line: Box<[f32; SIDE]>,
    lit_line: Box<[f32; SIDE]>,
    /// Share of the skyline that is built up.
    built: f32,
    phase: f32,
}

impl Sky {
    /// The sky of a seed; `built` is how much of the skyline is houses.
    pub fn new(seed: u64, built: f32, rng: &mut Rng) -> Self {
        Self {
            clouds: Field::new(mix(seed, 81), 4, 6),
            outline: Field::new(mix(seed, 82), 16, 4),
            line: Box::new([0.0; SIDE]),
            lit_line: Box::new([0.0; SIDE]),
            built,
            phase: rng.range(0.0, 256.0),
        }
    }

    /// Draws all rows above the horizon, then the skyline.
    pub fn draw(&mut self, view: &View, mood: &Mood, time: f64, canvas: &mut Canvas) {
        let (width, height) = (canvas.width, canvas.height);
        let end = floor((view.horizon + 1.5).clamp(0.0, height as f32)) as usize;
        let drift = (time * 0.35 / 256.0).fract() as f32 * 256.0 + self.phase;
        let sun = mood.to_sun;
        let sun_at = if sun[2] > 0.05 {
            let k = view.focal / sun[2];
            Some([
                view.centre + (sun[0] - view.heading * sun[2]) * k,
                view.horizon - sun[1] * k,
            ])
        } else {
            None
        };
        let pixel = 1.0 / view.focal;
        for y in 0..end {
            let up = ((view.horizon - y as f32 - 0.5) / view.focal).max(0.0);
            let base = mix3(mood.skyline, mood.zenith, smooth(-0.05, 0.55, up));
            // A flat layer of cloud: its features shrink towards the horizon.
            let far = 1.0 / (up + 0.14);
            let v = far * 26.0 + drift;
            self.clouds.line(v, &mut self.line);
            self.clouds.line(v - 3.0, &mut self.lit_line);
            let thin = smooth(0.0, 0.10, up);
            let step = far * 30.0 / view.focal;
            let mut u = (0.0 - view.centre) * step + view.heading * far * 30.0 + drift * 0.5;
            let row = &mut canvas.rgb[y * width * 3..(y + 1) * width * 3];
            let dy = sun_at.map_or(0.0, |s| (y as f32 - s[1]) / view.focal);
            for (x, out) in row.chunks_exact_mut(3).enumerate() {
                let density = along(&self.line, u);
                let mut colour = base;
                let mut cover = 0.0;
                if density > mood.cloud_from {
                    cover = ease((density - mood.cloud_from) * 4.5) * thin;
                    // Thicker than its neighbour towards the light: the shaded side.
                    let slope = (density - along(&self.lit_line, u)) * 5.0;
                    let shade = (ease((density - 0.5) * 2.8) * 0.75 + slope).clamp(0.0, 1.0);
                    colour = mix3(colour, mix3(mood.cloud, mood.cloud_shade, shade), cover);
                }
                if let Some(at) = sun_at {
                    let dx = (x as f32 - at[0]) * pixel;
                    let glow = 1.0 / (1.0 + (dx * dx + dy * dy) * 14.0);
                    let glow = glow * glow * 0.75 * (1.0 - cover * 0.4);
                    colour = mix3(colour, [1.0, 0.97, 0.88], glow);
                }
                for (out, c) in out.iter_mut().zip(colour) {
                    *out = (c * 255.0 + 0.5) as u8;
                }
                u += step;
            }
            canvas.labels[y * width..(y + 1) * width].fill(SKY);
        }
        self.skyline(view, mood, canvas);
    }

    /// Two rows of distant trees and roofs.
    fn skyline(&self, view: &View, mood: &Mood, canvas: &mut Canvas) {
        let (width, height) = (canvas.width, canvas.height);
        let light = mood.on([0.0, 0.3, -0.95], 1.0);
        let layers = [(0.62f32, 0.085f32, 9.0f32), (0.40, 0.055, 23.0)];
        for (index, (fade, tall, freq)) in layers.into_iter().enumerate() {
            for x in 0..width {
                let angle = (x as f32 + 0.5 - view.centre) / view.focal + view.heading;
                let at = angle * freq + index as f32 * 57.0 + self.phase;
                let region = self.outline.sample(at * 0.9, 11.0);
                let house = region < self.built;
                let (albedo, label, rise): (Rgb, u8, f32) = if house {
                    // Roofs: steps of even height.
                    let block = floor(at * 1.9);
                    let step = self.outline.texel(block.wrapping_mul(37), 90);
                    let tone = 0.8 + 0.4 * self.outline.texel(block.wrapping_mul(11), 40);
                    (scale([0.50, 0.45, 0.41], tone), BUILDING, 0.35 + 0.9 * step)
                } else {
                    let bumps = self.outline.sample(at * 7.0, 31.0)
                        + 0.4 * self.outline.sample(at * 40.0, 61.0);
                    (
                        scale([0.25, 0.30, 0.18], 0.8 + 0.3 * region),
                        TREE,
                        0.25 + 0.6 * bumps,
                    )
                };
                let rise = (rise * tall * view.focal).max(1.0);
                let colour = mix3(
                    [
                        albedo[0] * light[0],
                        albedo[1] * light[1],
                        albedo[2] * light[2],
                    ],
                    mood.haze,
                    fade,
                );
                let top = (view.horizon - rise).clamp(0.0, height as f32);
                let bottom = floor((view.horizon + 1.5).clamp(0.0, height as f32)) as usize;
                let first = floor(top) as usize;
                for y in first..bottom {
                    let cover = if y == first {
                        1.0 - (top - first as f32)
                    } else {
                        1.0
                    };
                    let grain = 0.93 + 0.14 * self.outline.texel(x as i32 * 5, y as i32 * 5);
                    let px = y * width + x;
                    for (dst, c) in canvas.rgb[px * 3..px * 3 + 3].iter_mut().zip(colour) {
                        let old = f32::from(*dst);
                        *dst = (old + ((c * grain).min(1.0) * 255.0 - old) * cover + 0.5) as u8;
                    }
                    if cover >= 0.5 {
                        canvas.labels[px] = label;
                    }
                }
            }
        }
    }
}

/// 0 at 0 and below, 1 at 1 and above, smooth between.
fn ease(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
