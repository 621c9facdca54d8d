//! The ground: carriageway, marks, kerbs, pavements and verges, one picture row after another.

use super::math::{Rgb, Vec3, floor, mix3, scale, tint};
use super::mood::Mood;
use super::noise::{Field, SIDE, along};
use super::pen::{Panel, Textured};
use super::raster::{Canvas, Paint, Pixel, Point, Scanner};
use super::rng::{Rng, mix, unit};
use super::street::{BLOCK, District, Plan, SIDE_STREET};
use super::view::View;
use super::{PAVEMENT, ROAD, TREE};

/// What a strip of ground is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surface {
    Asphalt,
    KerbFace,
    Kerb,
    Paving,
    Grass,
}

/// The ground's materials.
pub struct Ground {
    coarse: Field,
    fine: Field,
    asphalt: Rgb,
    paving: Rgb,
    grass: Rgb,
    slabs: bool,
    wear: f32,
    coarse_line: Box<[f32; SIDE]>,
    patch_line: Box<[f32; SIDE]>,
}

impl Ground {
    /// The ground of a scene with grass of the given colour.
    pub fn new(seed: u64, grass: Rgb, rng: &mut Rng) -> Self {
        let grey = rng.range(0.30, 0.46);
        let cast = rng.range(-0.012, 0.02);
        Self {
            coarse: Field::new(mix(seed, 71), 8, 5),
            fine: Field::new(mix(seed, 72), 128, 2),
            asphalt: [grey, grey + cast * 0.3, grey + cast],
            paving: rng.pick(&[
                [0.56, 0.55, 0.53],
                [0.50, 0.48, 0.46],
                [0.60, 0.55, 0.50],
                [0.46, 0.46, 0.47],
                [0.55, 0.46, 0.42],
            ]),
            grass,
            slabs: rng.chance(0.7),
            wear: rng.range(0.02, 0.06),
            coarse_line: Box::new([0.0; SIDE]),
            patch_line: Box::new([0.0; SIDE]),
        }
    }

    /// Draws all rows below the horizon. `shadow` holds how much of the sun each pixel lacks.
    pub fn draw(
        &mut self,
        plan: &Plan,
        view: &View,
        mood: &Mood,
        shadow: &[u8],
        canvas: &mut Canvas,
    ) {
        let (width, height) = (canvas.width, canvas.height);
        let top = floor((view.horizon + 0.5).clamp(0.0, height as f32)) as usize;
        let flat = mood.on([0.0, 1.0, 0.0], 0.0);
        let sunny = mood.on([0.0, 1.0, 0.0], 1.0);
        for y in top..height {
            let drop = (y as f32 + 0.5 - view.horizon).max(0.05);
            let z = view.focal * view.height / drop;
            // Metres of ground a pixel spans, along and across.
            let (deep, wide) = (z * z / (view.focal * view.height), z / view.focal);
            let row = Row {
                y,
                z,
                deep,
                wide,
                left: -view.centre * wide + view.lateral - view.bend(z.min(250.0)),
                s: view.s + f64::from(z.min(2000.0)),
                haze: mood.haze(z),
            };
            let bits = &shadow[y * width..(y + 1) * width];
            self.row(plan, mood, &row, (flat, sunny), bits, canvas);
            self.marks(plan, mood, &row, (flat, sunny), bits, canvas);
        }
    }

    fn row(
        &mut self,
        plan: &Plan,
        mood: &Mood,
        row: &Row,
        (flat, sunny): (Rgb, Rgb),
        shadow: &[u8],
        canvas: &mut Canvas,
    ) {
        let width = canvas.width;
        let wrap = |scale: f64, period: f64| {
            let turns = row.s * scale / period;
            ((turns - turns.floor()) * period) as f32
        };
        self.coarse.line(wrap(9.0, 256.0), &mut self.coarse_line);
        self.coarse.line(wrap(1.3, 256.0), &mut self.patch_line);
        let fine_row = wrap(70.0, 256.0) as i32;
        // Grain fades once a pixel spans more than it.
        let fine = (1.3 - row.deep * 22.0).clamp(0.0, 1.0) * 0.16;
        let middle = (1.5 - row.deep * 3.0).clamp(0.0, 1.0) * 0.15;
        let block = (row.s / BLOCK).floor() as i64;
        let near = (row.s / BLOCK + 0.5).floor() as i64;
        let off = (row.s - near as f64 * BLOCK) as f32;
        let junction = plan.junction(near);
        let side_street = junction && off.abs() < SIDE_STREET;
        let corner = junction && off.abs() < SIDE_STREET + plan.pave;
        let outside = |side: f32| match plan.district(block, side) {
            _ if corner => Surface::Paving,
            District::City => Surface::Paving,
            _ => Surface::Grass,
        };
        let (r, b) = (plan.road, plan.back());
        use Surface::{Asphalt, Grass, Kerb, KerbFace, Paving};
        // Where each strip ends, from left to right. A side street is asphalt all across; its
        // list is as long as the other only so that both have one type.
        let edges: [(f32, Surface); 9] = if side_street {
            [
                (-400.0, Grass),
                (-r - 0.31, Asphalt),
                (-r - 0.3, Asphalt),
                (-r, Asphalt),
                (r, Asphalt),
                (r + 0.1, Asphalt),
                (r + 0.3, Asphalt),
                (400.0, Asphalt),
                (f32::MAX, Grass),
            ]
        } else {
            [
                (-b, outside(-1.0)),
                (-r - 0.28, Paving),
                (-r - 0.09, Kerb),
                (-r, KerbFace),
                (r, Asphalt),
                (r + 0.09, KerbFace),
                (r + 0.28, Kerb),
                (b, Paving),
                (f32::MAX, outside(1.0)),
            ]
        };
        // Slab joints along the street; joints across it come from the row's own place.
        let slab = 0.62f64;
        let place = ((row.s / slab).fract() as f32 * slab as f32).abs();
        // A joint is 2 cm wide and lies round every multiple of the slab's length.
        let joint_cover = |at: f32, span: f32| {
            let nearest = at.min(slab as f32 - at);
            let low = (nearest - 0.5 * span).max(-0.01);
            let high = (nearest + 0.5 * span).min(0.01);
            ((high - low).max(0.0) / span).min(1.0)
        };
        let visible = self.slabs && row.deep < 0.5;
        let cross_joint = if visible {
            joint_cover(place, row.deep)
        } else {
            0.0
        };
        let slab_row = (row.s / slab).floor() as i64 as u64;
        let mut x = 0usize;
        let mut before: Option<(f32, usize)> = None;
        for (edge, surface) in edges {
            let stop = ((edge - row.left) / row.wide).min(width as f32);
            if stop <= x as f32 && before.is_none_or(|(at, _)| stop <= at) {
                continue;
            }
            let end = if stop >= width as f32 {
                width
            } else {
                (floor(stop.max(0.0)) as usize + 1).min(width)
            };
            let (albedo, label) = match surface {
                Surface::Asphalt => (self.asphalt, ROAD),
                Surface::KerbFace => (scale(self.paving, 0.62), PAVEMENT),
                Surface::Kerb => (mix3(self.paving, [0.74, 0.73, 0.70], 0.5), PAVEMENT),
                Surface::Paving => (self.paving, PAVEMENT),
                Surface::Grass => (self.grass, TREE),
            };
            let (lit, dark) = (tint(albedo, sunny), tint(albedo, flat));
            let (gain, rough) = match surface {
                Surface::Grass => (fine * 2.2, middle * 2.0),
                _ => (fine, middle),
            };
            let start = x;
            for (px, &shade) in shadow.iter().enumerate().take(end).skip(start) {
                let lateral = row.left + (px as f32 + 0.5) * row.wide;
                let mut tone = 1.0
                    + rough * (along(&self.coarse_line, lateral * 9.0) - 0.5)
                    + 0.22 * (along(&self.patch_line, lateral * 1.3) - 0.5);
                if gain > 0.0 {
                    tone += gain * (self.fine.texel(floor(lateral * 70.0), fine_row) - 0.5);
                }
                if surface == Surface::Asphalt && !side_street {
                    // Tyres polish two tracks in each lane.
                    let track = (lateral.abs() - plan.lane).abs() - 0.75;
                    tone += self.wear * (1.0 - track * track * 6.0).max(-0.6);
                    // Dirt gathers at the kerb.
                    tone -= 0.16 * (1.0 - (plan.road - lateral.abs()) * 2.2).max(0.0);
                } else if surface == Surface::Paving && visible {
                    let index = floor(lateral / 0.62);
                    let at = lateral - index as f32 * 0.62;
                    let id = mix(slab_row, index as u64);
                    tone += 0.10 * (unit(id) - 0.5);
                    tone *= 1.0 - 0.32 * cross_joint.max(joint_cover(at, row.wide));
                }
                let sun = 1.0 - f32::from(shade) * (1.0 / 255.0);
                let mut colour = scale(mix3(dark, lit, sun), tone);
                colour = mix3(colour, mood.haze, row.haze);
                let at = row.y * width + px;
                // The first pixel of a strip is shared with the strip before it.
                let share = match before {
                    Some((edge, shared)) if shared == px => edge - px as f32,
                    _ => 0.0,
                };
                for (dst, c) in canvas.rgb[at * 3..at * 3 + 3].iter_mut().zip(colour) {
                    let c = c * 255.0 + 0.5;
                    *dst = (if share > 0.0 {
                        c + (f32::from(*dst) - c) * share
                    } else {
                        c
                    }) as u8;
                }
                if share <= 0.5 {
                    canvas.labels[at] = label;
                }
            }
            if end >= width && stop >= width as f32 {
                break;
            }
            // The pixel the edge runs through is drawn again by the next strip.
            if stop >= 0.0 {
                before = Some((stop, end - 1));
                x = end - 1;
            }
        }
    }

    /// Paint on the carriageway.
    fn marks(
        &self,
        plan: &Plan,
        mood: &Mood,
        row: &Row,
        (flat, sunny): (Rgb, Rgb),
        shadow: &[u8],
        canvas: &mut Canvas,
    ) {
        if row.z > 140.0 {
            return;
        }
        let near = (row.s / BLOCK + 0.5).floor() as i64;
        let off = (row.s - near as f64 * BLOCK) as f32;
        let cover = |low: f32, high: f32, at: f32| {
            let (a, b) = (at - row.deep * 0.5, at + row.deep * 0.5);
            ((b.min(high) - a.max(low)).max(0.0) / row.deep).min(1.0)
        };
        let mut strip = |l: f32, r: f32, colour: Rgb, share: f32| {
            if share <= 0.02 {
                return;
            }
            let width = canvas.width as f32;
            let x0 = ((l - row.left) / row.wide).clamp(0.0, width);
            let x1 = ((r - row.left) / row.wide).clamp(0.0, width);
            let (first, last) = (floor(x0) as usize, floor(x1) as usize);
            for (px, &shade) in shadow.iter().enumerate().take(last + 1).skip(first) {
                let part = (x1.min(px as f32 + 1.0) - x0.max(px as f32)).max(0.0);
                let lateral = row.left + (px as f32 + 0.5) * row.wide;
                // Worn paint: patches of the road show through.
                let worn = 0.72 + 0.5 * along(&self.coarse_line, lateral * 9.0 + 31.0);
                let sun = 1.0 - f32::from(shade) * (1.0 / 255.0);
                let lit = mix3(
                    mix3(tint(colour, flat), tint(colour, sunny), sun),
                    mood.haze,
                    row.haze,
                );
                let a = (part * share * worn * 0.9).min(0.95);
                let at = (row.y * canvas.width + px) * 3;
                for (dst, c) in canvas.rgb[at..at + 3].iter_mut().zip(lit) {
                    let old = f32::from(*dst);
                    *dst = (old + ((c * 255.0).min(255.0) - old) * a + 0.5) as u8;
                }
            }
        };
        let white = [0.86, 0.86, 0.83];
        let yellow = [0.80, 0.66, 0.20];
        let junction = plan.junction(near);
        let stripes = plan.zebra(near);
        let middle = -plan.zebra_before();
        if stripes {
            let share = cover(middle - 1.5, middle + 1.5, off);
            let mut at = -plan.road + 0.3;
            while share > 0.0 && at < plan.road - 0.4 {
                strip(at, at + 0.5, white, share);
                at += 1.0;
            }
        }
        let quiet =
            (junction && off.abs() < SIDE_STREET + 0.6) || (stripes && (off - middle).abs() < 2.6);
        if junction || stripes {
            // Where to stop: before the stripes or before the junction, each in its direction.
            let ahead = if stripes {
                middle - 2.6
            } else {
                -SIDE_STREET - 1.6
            };
            let share = cover(ahead - 0.2, ahead + 0.2, off);
            let (l, r) = if plan.drive > 0.0 {
                (0.1, plan.road - 0.2)
            } else {
                (-plan.road + 0.2, -0.1)
            };
            strip(l, r, white, share);
            let back = if stripes && !junction {
                middle + 2.6
            } else {
                SIDE_STREET + 1.6
            };
            strip(-r, -l, white, cover(back - 0.2, back + 0.2, off));
        }
        if quiet {
            return;
        }
        let dash = {
            let period = 6.0f64;
            let at = ((row.s / period) - (row.s / period).floor()) as f32 * 6.0;
            let direct = cover(0.0, 3.0, at) + cover(6.0, 9.0, at) + cover(-6.0, -3.0, at);
            // Far away the dashes melt into an even line.
            if row.deep > 3.0 { 0.5 } else { direct.min(1.0) }
        };
        if plan.solid_centre {
            strip(-0.16, -0.05, white, 1.0);
            strip(0.05, 0.16, white, dash);
        } else {
            strip(-0.06, 0.06, white, dash);
        }
        let e = plan.road - 0.28;
        if plan.yellow {
            for at in [e, e - 0.18] {
                strip(at, at + 0.08, yellow, 1.0);
                strip(-at - 0.08, -at, yellow, 1.0);
            }
        } else if plan.parking > 0.0 {
            let e = plan.road - 2.1;
            strip(e, e + 0.08, white, dash * 0.7);
            strip(-e - 0.08, -e, white, dash * 0.7);
        } else {
            strip(e, e + 0.1, white, 1.0);
            strip(-e - 0.1, -e, white, 1.0);
        }
    }
}

struct Row {
    y: usize,
    /// Metres ahead.
    z: f32,
    deep: f32,
    wide: f32,
    /// Metres right of the centre line at column 0.
    left: f32,
    s: f64,
    haze: f32,
}

/// Which pixels of the ground the sun does not reach.
#[derive(Default)]
pub struct Shadows {
    pub mask: Vec<u8>,
    scanner: Scanner,
    shape: Vec<Point>,
    row: Vec<Pixel>,
}

impl Shadows {
    /// Forgets all shadows.
    pub fn clear(&mut self, size: usize) {
        self.mask.clear();
        self.mask.resize(size, 0);
    }

    /// Adds the shadow `points` on the ground, `depth` 0..=255 deep.
    pub fn add(
        &mut self,
        view: &View,
        (width, height): (usize, usize),
        points: &[Vec3],
        depth: u32,
    ) {
        view.shape(points, &mut self.shape);
        let mask = &mut self.mask;
        self.scanner
            .rows(&self.shape, width, height, |y, x, cover| {
                let out = &mut mask[y * width + x..y * width + x + cover.len()];
                for (dst, &cover) in out.iter_mut().zip(cover) {
                    *dst = (*dst).max((u32::from(cover) * depth / 255) as u8);
                }
            });
    }

    /// Adds the shadow of a cut-out picture, laid on the ground as `panel`.
    pub fn add_cut_out(
        &mut self,
        view: &View,
        (width, height): (usize, usize),
        panel: &Panel,
        paint: &Textured,
        depth: u32,
    ) {
        view.shape(&panel.corners(), &mut self.shape);
        let (mask, row) = (&mut self.mask, &mut self.row);
        self.scanner
            .rows(&self.shape, width, height, |y, x, cover| {
                row.clear();
                row.resize(cover.len(), [0; 4]);
                paint.row(x, y, row);
                let out = &mut mask[y * width + x..y * width + x + cover.len()];
                for ((dst, src), &cover) in out.iter_mut().zip(row.iter()).zip(cover) {
                    let share = u32::from(cover) * u32::from(src[3]) / 255 * depth / 255;
                    *dst = (*dst).max(share as u8);
                }
            });
    }
}
