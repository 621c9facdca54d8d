//! Building fronts, walls and roofs, painted into textures once for each scene.

use super::math::{Rgb, floor, lerp, mix3, scale, tint};
use super::noise::Field;
use super::rng::{Rng, mix, unit};
use super::texture::{Texture, pack};

/// Window bays painted side by side on one front.
pub const BAYS: usize = 4;

/// What a front is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Shops below, windows above.
    Shops,
    /// A dwelling with front doors.
    Home,
    /// Bands of glass.
    Office,
}

/// A front and the walls that go with it.
pub struct Facade {
    pub front: Texture,
    pub usage: Use,
    /// Metres along [`BAYS`] bays.
    pub width: f32,
    /// Metres from the ground to the eaves.
    pub height: f32,
    pub wall: Rgb,
    pub brick: bool,
}

/// Paints rectangles given in metres, y upwards.
struct Board<'a> {
    width: usize,
    height: usize,
    /// Texels a metre.
    x: f32,
    y: f32,
    texels: Vec<(Rgb, f32)>,
    noise: &'a Field,
}

impl Board<'_> {
    /// Gives every texel of a rectangle the colour `paint(old, along, up)` returns; `along` and
    /// `up` are 0..1 within it.
    fn each(&mut self, r: [f32; 4], paint: impl Fn((Rgb, f32), f32, f32) -> (Rgb, f32)) {
        let [left, bottom, right, top] = r;
        let cut = |v: f32, end: usize| floor(v + 0.5).clamp(0, end as i32) as usize;
        let (x0, x1) = (
            cut(left * self.x, self.width),
            cut(right * self.x, self.width),
        );
        let h = self.height as f32;
        let (y0, y1) = (
            cut(h - top * self.y, self.height),
            cut(h - bottom * self.y, self.height),
        );
        for y in y0..y1 {
            for x in x0..x1 {
                let along = (x as f32 + 0.5 - left * self.x) / ((right - left) * self.x);
                let up = 1.0 - (y as f32 + 0.5 - (h - top * self.y)) / ((top - bottom) * self.y);
                let texel = &mut self.texels[y * self.width + x];
                *texel = paint(*texel, along, up);
            }
        }
    }

    fn rect(&mut self, r: [f32; 4], colour: Rgb) {
        self.each(r, |_, _, _| (colour, 0.0));
    }

    fn shade(&mut self, r: [f32; 4], factor: f32) {
        self.each(r, |(c, g), _, _| (scale(c, factor), g));
    }

    /// A pane: sky in its upper part, a dark room below, perhaps curtains, perhaps a lamp.
    fn glass(&mut self, r: [f32; 4], rng: &mut Rng) {
        let seed = rng.bits();
        let (tone, blind) = (rng.range(0.5, 1.1), rng.range(0.0, 1.0));
        let glow = if rng.chance(0.45) {
            rng.range(0.8, 2.2)
        } else {
            0.0
        };
        let curtain = rng.pick(&[[0.72, 0.70, 0.66], [0.66, 0.58, 0.50], [0.62, 0.66, 0.70]]);
        let drawn = if rng.chance(0.5) {
            rng.range(0.08, 0.3)
        } else {
            0.0
        };
        self.each(r, |_, along, up| {
            let slant = (along * 0.35 + up + unit(seed) * 0.4).clamp(0.0, 1.4) / 1.4;
            let mut colour = scale(
                mix3([0.08, 0.09, 0.10], [0.36, 0.42, 0.48], slant * slant),
                tone,
            );
            let mut own = glow;
            if along < drawn || along > 1.0 - drawn {
                colour = scale(
                    curtain,
                    0.55 + 0.12 * unit(mix(seed, (along * 24.0) as u64)),
                );
                own *= 1.4;
            } else if blind > 0.8 && up > 1.6 - blind {
                colour = scale(curtain, 0.7);
            }
            if own > 0.0 {
                // Own light is a share of full scale over the painted colour: warm and even.
                colour = mix3(colour, [0.62, 0.47, 0.26], 0.10);
            }
            (colour, (own * 0.4).min(1.0))
        });
    }

    /// A sash window with frame, sill and lintel.
    fn window(&mut self, r: [f32; 4], frame: Rgb, stone: Rgb, bars: usize, rng: &mut Rng) {
        let [l, b, t_r, t] = r;
        let f = 0.07;
        self.rect([l - 0.12, t, t_r + 0.12, t + 0.2], stone);
        self.rect([l - 0.1, b - 0.12, t_r + 0.1, b], scale(stone, 1.08));
        self.shade([l - 0.08, b - 0.26, t_r + 0.08, b - 0.12], 0.72);
        self.rect(r, frame);
        self.glass([l + f, b + f, t_r - f, t - f], rng);
        // The reveal throws a shadow on the pane.
        self.shade([l + f, t - f - 0.12, t_r - f, t - f], 0.55);
        let middle = (b + t) * 0.5;
        self.rect([l, middle - 0.03, t_r, middle + 0.03], frame);
        for i in 1..bars {
            let x = lerp(l, t_r, i as f32 / bars as f32);
            self.rect([x - 0.03, b, x + 0.03, t], frame);
        }
    }

    fn door(&mut self, l: f32, r: f32, top: f32, colour: Rgb, frame: Rgb, rng: &mut Rng) {
        self.rect([l - 0.12, 0.0, r + 0.12, top + 0.45], frame);
        self.glass([l, top + 0.06, r, top + 0.38], rng);
        self.rect([l, 0.12, r, top], colour);
        let m = (l + r) * 0.5;
        for (a, b) in [(0.3, 0.95), (1.1, top - 0.15)] {
            self.shade([l + 0.1, a, m - 0.05, b], 0.8);
            self.shade([m + 0.05, a, r - 0.1, b], 0.8);
        }
        self.rect([l - 0.1, 0.0, r + 0.1, 0.12], [0.6, 0.59, 0.56]);
    }

    /// The lower floor of a shop across `l..r`.
    fn shop(&mut self, l: f32, r: f32, rng: &mut Rng) {
        let brand = rng.pick(&[
            [0.12, 0.22, 0.45],
            [0.55, 0.12, 0.12],
            [0.10, 0.33, 0.22],
            [0.16, 0.16, 0.17],
            [0.80, 0.62, 0.16],
            [0.42, 0.20, 0.38],
            [0.82, 0.80, 0.74],
            [0.10, 0.42, 0.52],
        ]);
        let ink = if brand[0] + brand[1] > 0.9 {
            [0.15, 0.13, 0.12]
        } else {
            [0.92, 0.90, 0.82]
        };
        self.rect([l, 0.0, r, 3.5], scale(brand, 0.75));
        self.rect([l, 2.75, r, 3.45], brand);
        self.rect([l, 3.45, r, 3.6], [0.72, 0.70, 0.66]);
        self.shade([l, 2.55, r, 2.75], 0.5);
        let word = rng.range(0.35, 0.7) * (r - l);
        let mut x = (l + r - word) * 0.5;
        let end = x + word;
        while x < end {
            let w = rng.range(0.10, 0.26);
            if rng.chance(0.85) {
                self.rect([x, 2.95, x + w, 3.05 + rng.range(0.05, 0.22)], ink);
            }
            x += w + 0.08;
        }
        let door = if rng.chance(0.5) { l + 0.25 } else { r - 1.25 };
        self.glass([l + 0.18, 0.55, r - 0.18, 2.6], rng);
        let goods = rng.bits();
        let noise = self.noise;
        self.each([l + 0.25, 0.6, r - 0.25, 1.7], |(c, g), along, up| {
            let cell = floor(along * 11.0) as u64;
            let pick = unit(mix(goods, cell));
            if up < pick * 0.9 && noise.sample(along * 60.0, up * 40.0 + pick * 99.0) > 0.45 {
                let hue = [
                    unit(mix(goods, cell + 50)),
                    unit(mix(goods, cell + 60)),
                    pick,
                ];
                (mix3(c, mix3(hue, [0.5; 3], 0.5), 0.4), g + 0.12)
            } else {
                (c, g)
            }
        });
        self.rect([door, 0.1, door + 1.0, 2.55], scale(brand, 0.6));
        self.glass([door + 0.12, 0.5, door + 0.88, 2.4], rng);
        for x in [l + 0.06, r - 0.06] {
            self.rect([x - 0.06, 0.0, x + 0.06, 3.5], scale(brand, 0.85));
        }
    }
}

impl Facade {
    /// Paints a front for `usage`.
    pub fn new(usage: Use, rng: &mut Rng, noise: &Field) -> Self {
        let brick = match usage {
            Use::Home => rng.chance(0.65),
            Use::Shops => rng.chance(0.5),
            Use::Office => rng.chance(0.2),
        };
        let wall: Rgb = if brick {
            rng.pick(&[
                [0.50, 0.29, 0.22],
                [0.56, 0.38, 0.28],
                [0.62, 0.52, 0.38],
                [0.44, 0.27, 0.23],
                [0.58, 0.47, 0.36],
                [0.40, 0.33, 0.29],
            ])
        } else {
            rng.pick(&[
                [0.78, 0.75, 0.68],
                [0.70, 0.66, 0.58],
                [0.60, 0.59, 0.57],
                [0.76, 0.68, 0.54],
                [0.66, 0.70, 0.72],
                [0.72, 0.58, 0.50],
                [0.80, 0.79, 0.76],
            ])
        };
        let floors = match usage {
            Use::Home => 2 + usize::from(rng.chance(0.5)),
            Use::Shops => 3 + rng.below(2),
            Use::Office => 3 + rng.below(4),
        };
        let bay = match usage {
            Use::Home => rng.range(2.5, 3.2),
            Use::Shops => rng.range(2.6, 3.4),
            Use::Office => rng.range(3.0, 3.8),
        };
        let (ground, storey) = match usage {
            Use::Home => (2.9, 2.9),
            Use::Shops => (3.7, 3.2),
            Use::Office => (3.9, 3.4),
        };
        let (width, height) = (
            bay * BAYS as f32,
            ground + storey * (floors as f32 - 1.0) + 0.5,
        );
        let (wb, hb) = (9, if floors > 3 { 9 } else { 8 });
        let (tw, th) = (1usize << wb, 1usize << hb);
        let mut board = Board {
            width: tw,
            height: th,
            x: tw as f32 / width,
            y: th as f32 / height,
            texels: vec![(wall, 0.0); tw * th],
            noise,
        };
        let seed = rng.bits();
        let joint = scale(wall, 1.12);
        board.each([0.0, 0.0, width, height], |_, along, up| {
            let (x, y) = (along * width, up * height);
            let stain = 0.86 + 0.28 * noise.sample(x * 9.0 + 40.0, y * 7.0);
            let streak = 0.94 + 0.12 * noise.sample(x * 40.0, y * 2.0);
            let mut colour = wall;
            if brick {
                let course = floor(y / 0.11);
                let x = x / 0.33 + if course & 1 == 0 { 0.5 } else { 0.0 };
                let id = mix(seed, (course as u64) << 20 | floor(x) as u64 & 0xfffff);
                colour = scale(wall, 0.88 + 0.24 * unit(id));
                if y / 0.11 - course as f32 > 0.84 {
                    colour = mix3(colour, joint, 0.5);
                }
            }
            // Rain splashes the foot of a wall.
            let foot = 0.8 + 0.2 * (y / 0.7).min(1.0);
            (scale(colour, stain * streak * foot), 0.0)
        });
        let stone = rng.pick(&[[0.70, 0.68, 0.62], [0.62, 0.60, 0.57], [0.78, 0.76, 0.72]]);
        let frame = if rng.chance(0.75) {
            [0.86, 0.86, 0.84]
        } else {
            [0.25, 0.26, 0.28]
        };
        let bars = 1 + rng.below(3);
        let (ww, wh) = (rng.range(0.36, 0.6) * bay, rng.range(1.35, 1.8));
        match usage {
            Use::Home | Use::Shops => {
                for level in 0..floors {
                    let base = if level == 0 {
                        0.0
                    } else {
                        ground + storey * (level as f32 - 1.0)
                    };
                    if level == 0 && usage == Use::Shops {
                        let per = 1 + rng.below(2);
                        for i in 0..BAYS / per {
                            let l = i as f32 * bay * per as f32;
                            board.shop(l, l + bay * per as f32, rng);
                        }
                        continue;
                    }
                    for i in 0..BAYS {
                        let middle = (i as f32 + 0.5) * bay;
                        if level == 0 && i % 2 == 1 {
                            let colour = rng.pick(&[
                                [0.16, 0.25, 0.42],
                                [0.45, 0.12, 0.12],
                                [0.14, 0.30, 0.20],
                                [0.18, 0.18, 0.19],
                                [0.75, 0.73, 0.68],
                            ]);
                            board.door(middle - 0.48, middle + 0.48, 2.1, colour, stone, rng);
                        } else {
                            let low = base + 0.85;
                            let wide = if level == 0 { ww * 1.25 } else { ww };
                            let r = [middle - wide / 2.0, low, middle + wide / 2.0, low + wh];
                            board.window(r, frame, stone, bars + usize::from(level == 0), rng);
                        }
                    }
                    if level > 0 && rng.chance(0.4) {
                        board.rect([0.0, base + 0.05, width, base + 0.2], stone);
                        board.shade([0.0, base - 0.05, width, base + 0.05], 0.75);
                    }
                }
                // A drain pipe where two houses meet.
                board.rect([0.02, 0.0, 0.12, height], scale(wall, 0.45));
            }
            Use::Office => {
                for level in 0..floors {
                    let base = if level == 0 {
                        0.4
                    } else {
                        ground + storey * (level as f32 - 1.0) + 0.8
                    };
                    let top = if level == 0 {
                        ground - 0.5
                    } else {
                        base + storey - 1.1
                    };
                    for i in 0..BAYS * 2 {
                        let l = i as f32 * bay * 0.5;
                        let gap = if i % 2 == 0 { 0.22 } else { 0.05 };
                        board.rect([l + gap, base, l + bay * 0.5, top], frame);
                        board.glass(
                            [l + gap + 0.06, base + 0.06, l + bay * 0.5 - 0.06, top],
                            rng,
                        );
                        board.shade([l + gap, top - 0.25, l + bay * 0.5, top], 0.6);
                    }
                }
                board.rect([0.0, ground - 0.5, width, ground], scale(stone, 0.9));
            }
        }
        // Eaves: a pale board with its shadow below.
        board.rect([0.0, height - 0.25, width, height], scale(stone, 0.95));
        board.shade([0.0, height - 0.6, width, height - 0.25], 0.7);
        let texels = board
            .texels
            .iter()
            .map(|&(c, glow)| pack(c.map(|v| v.min(1.0)), glow));
        let front = Texture::new(wb, hb, false, texels.collect());
        Self {
            front,
            usage,
            width,
            height,
            wall,
            brick,
        }
    }
}

/// A grey pattern to be tinted, 128 texels square and tiling both ways.
fn pattern(paint: impl Fn(usize, usize) -> f32) -> Texture {
    let texels = (0..128 * 128).map(|i| {
        let v = paint(i % 128, i / 128).clamp(0.0, 1.0);
        pack([v; 3], 0.0)
    });
    Texture::new(7, 7, true, texels.collect())
}

/// Side walls without openings; one repeat is about 4 m.
pub fn plain_wall(noise: &Field, seed: u64) -> Texture {
    pattern(|x, y| {
        let course = y / 4;
        let id = mix(seed, ((x + (course & 1) * 8) / 16 % 8 + course * 64) as u64);
        let joint = if y % 4 == 3 { 0.06 } else { 0.0 };
        0.62 + 0.14 * unit(id) + joint + 0.22 * (noise.texel(x as i32 * 2, y as i32 * 2) - 0.5)
    })
}

/// Slates or tiles; one repeat is about 4 m.
pub fn roof_tiles(noise: &Field, seed: u64) -> Texture {
    pattern(|x, y| {
        let row = y / 8;
        let id = mix(seed, ((x + (row & 1) * 4) / 8 % 16 + row * 64) as u64);
        let lip = if y % 8 == 7 { -0.2 } else { 0.0 };
        0.64 + 0.2 * (unit(id) - 0.5) + lip + 0.3 * (noise.texel(x as i32 * 2, y as i32 * 2) - 0.5)
    })
}

/// Upright boards with gaps; one repeat is 2 m.
pub fn boards(noise: &Field, seed: u64) -> Texture {
    pattern(|x, y| {
        let plank = x / 8;
        let gap = if x % 8 == 0 { -0.35 } else { 0.0 };
        let rail = if (20..26).contains(&y) || (100..106).contains(&y) {
            0.08
        } else {
            0.0
        };
        let grain = noise.texel(x as i32 * 8, y as i32) - 0.5;
        0.62 + 0.2 * (unit(mix(seed, plank as u64)) - 0.5) + gap + rail + 0.2 * grain
    })
}

/// Iron railings, cut out; one repeat is 2 m wide and as high as the fence.
pub fn railings() -> Texture {
    let texels = (0..128 * 128).map(|i| {
        let (x, y) = (i % 128, i / 128);
        let bar = x % 10 < 3 && y > 6;
        let rail = (14..22).contains(&y) || (104..112).contains(&y);
        let post = x < 6;
        if bar || rail || post {
            pack(tint([0.5; 3], [0.36, 0.38, 0.38]), 1.0)
        } else {
            0
        }
    });
    Texture::new(7, 7, false, texels.collect())
}
