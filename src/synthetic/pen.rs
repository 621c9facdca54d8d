//! Draws things given in camera space: lights them, hazes them, projects and fills them.

use super::math::{Rgb, Vec3, add, cross, dot, mix3, scale, sub, tint, unit};
use super::mood::Mood;
use super::raster::{Canvas, Flat, Gradient, Paint, Pixel, Point};
use super::texture::{Texture, level};
use super::view::View;

/// Texels are looked up exactly every so many pixels and evenly between.
const RUN: usize = 16;
/// Half covered: the threshold for solid things.
pub const SOLID: u32 = 128;
/// The threshold for thin things.
pub const THIN: u32 = 70;

/// Draws with one class and one state of light until told otherwise.
pub struct Pen<'a, 'b> {
    pub view: &'a View,
    pub mood: &'a Mood,
    pub canvas: &'a mut Canvas<'b>,
    pub shape: &'a mut Vec<Point>,
    /// Class written; none leaves the labels alone.
    pub label: Option<u8>,
    /// How much of the sun reaches what is drawn, 0..1.
    pub lit: f32,
    pub threshold: u32,
}

/// A rectangle in space that carries a texture: `origin` is its lower left corner.
#[derive(Clone, Copy)]
pub struct Panel {
    pub origin: Vec3,
    pub along: Vec3,
    pub up: Vec3,
    /// The textures repeat so often along it and up it.
    pub repeat: [f32; 2],
    /// Where the texture starts along it, in repeats.
    pub shift: f32,
}

impl Panel {
    /// The corners in order.
    pub fn corners(&self) -> [Vec3; 4] {
        let right = add(self.origin, self.along);
        [
            self.origin,
            right,
            add(right, self.up),
            add(self.origin, self.up),
        ]
    }
}

fn opaque(colour: Rgb) -> Flat {
    Flat(pixel(colour, 1.0))
}

fn pixel(colour: Rgb, cover: f32) -> Pixel {
    let byte = |v: f32| (v.clamp(0.0, 1.0) * cover * 255.0 + 0.5) as u8;
    [
        byte(colour[0]),
        byte(colour[1]),
        byte(colour[2]),
        (cover * 255.0 + 0.5) as u8,
    ]
}

impl Pen<'_, '_> {
    /// Sets class and threshold for what follows.
    pub fn class(&mut self, label: u8, threshold: u32) {
        (self.label, self.threshold) = (Some(label), threshold);
    }

    fn fill(&mut self, points: &[Vec3], paint: &impl Paint) {
        self.view.shape(points, self.shape);
        self.canvas
            .fill(self.shape, paint, self.label, self.threshold);
    }

    /// A flat shape of one colour that takes no light (it is already in `colour`), hazed.
    pub fn plain(&mut self, points: &[Vec3], colour: Rgb) {
        let haze = self.mood.haze(points[0][2]);
        self.fill(points, &opaque(mix3(colour, self.mood.haze, haze)));
    }

    /// A flat shape lit as a surface facing `normal`.
    pub fn face(&mut self, points: &[Vec3], albedo: Rgb, normal: Vec3) {
        let light = self.mood.on(normal, self.lit);
        self.plain(points, tint(albedo, light));
    }

    /// A see-through shape, which leaves the labels alone unless `label` is set.
    pub fn veil(&mut self, points: &[Vec3], colour: Rgb, cover: f32, label: Option<u8>) {
        self.view.shape(points, self.shape);
        // A veil marks its class wherever it lies, however thin it is.
        let threshold = (cover * 127.0) as u32;
        self.canvas
            .fill(self.shape, &Flat(pixel(colour, cover)), label, threshold);
    }

    /// A shape shaded from `top` to `bottom` down the picture.
    pub fn graded(&mut self, points: &[Vec3], top: Rgb, bottom: Rgb) {
        let haze = self.mood.haze(points[0][2]);
        let (from, to) = (
            mix3(top, self.mood.haze, haze),
            mix3(bottom, self.mood.haze, haze),
        );
        self.view.shape(points, self.shape);
        let low = self.shape.iter().fold(f32::MAX, |m, p| m.min(p[1]));
        let high = self.shape.iter().fold(f32::MIN, |m, p| m.max(p[1]));
        let paint = Gradient {
            top: low,
            bottom: high,
            from,
            to,
        };
        self.canvas
            .fill(self.shape, &paint, self.label, self.threshold);
    }

    /// A straight stroke from `a` to `b`, `ra` and `rb` metres thick to either side.
    pub fn stroke(&mut self, a: Vec3, b: Vec3, ra: f32, rb: f32, colour: Rgb) {
        if let Some(quad) = self.ribbon(a, b, ra, rb) {
            self.plain(&quad, colour);
        }
    }

    /// The four corners of a stroke that turns its flat side to the camera.
    fn ribbon(&self, a: Vec3, b: Vec3, ra: f32, rb: f32) -> Option<[Vec3; 4]> {
        let across = unit(cross(sub(b, a), a));
        if dot(across, across) < 0.5 {
            return None;
        }
        let (wa, wb) = (scale(across, ra), scale(across, rb));
        Some([add(a, wa), add(b, wb), sub(b, wb), sub(a, wa)])
    }

    /// A limb: a stroke with one side in the light and one in the shade.
    pub fn limb(&mut self, a: Vec3, b: Vec3, ra: f32, rb: f32, albedo: Rgb) {
        let Some([p, q, r, s]) = self.ribbon(a, b, ra, rb) else {
            return;
        };
        let side = unit(sub(p, a));
        let front = unit(scale(a, -1.0));
        let half = |n: Vec3| unit(add(scale(n, 0.8), scale(front, 0.6)));
        let (one, other) = (half(side), half(scale(side, -1.0)));
        self.face(&[p, q, r, s], albedo, one);
        self.face(&[a, b, r, s], albedo, other);
    }

    /// A disc that faces the camera.
    pub fn ball(&mut self, centre: Vec3, radius: f32, colour: Rgb) {
        self.oval(centre, [radius, 0.0, 0.0], [0.0, radius, 0.0], colour);
    }

    /// An ellipse with the given half axes.
    pub fn oval(&mut self, centre: Vec3, a: Vec3, b: Vec3, colour: Rgb) {
        self.plain(&oval(centre, a, b), colour);
    }

    /// A textured rectangle. `cut_out` textures show what is behind where they have no coverage;
    /// the fourth channel of others is their own light.
    pub fn panel(&mut self, panel: &Panel, texture: &Texture, light: Rgb, cut_out: bool) {
        self.textured(&panel.corners(), panel, texture, light, cut_out);
    }

    /// The part `points` of a textured plane.
    pub fn textured(
        &mut self,
        points: &[Vec3],
        panel: &Panel,
        texture: &Texture,
        light: Rgb,
        cut_out: bool,
    ) {
        let paint = Textured::new(self.view, self.mood, panel, texture, light, cut_out);
        if let Some(paint) = paint {
            self.fill(points, &paint);
        }
    }
}

/// The outline of an ellipse.
pub fn oval(centre: Vec3, a: Vec3, b: Vec3) -> [Vec3; 14] {
    /// Cosine and sine of fourteenths of a turn.
    const RIM: [(f32, f32); 14] = [
        (1.0, 0.0),
        (0.901, 0.434),
        (0.623, 0.782),
        (0.223, 0.975),
        (-0.223, 0.975),
        (-0.623, 0.782),
        (-0.901, 0.434),
        (-1.0, 0.0),
        (-0.901, -0.434),
        (-0.623, -0.782),
        (-0.223, -0.975),
        (0.223, -0.975),
        (0.623, -0.782),
        (0.901, -0.434),
    ];
    RIM.map(|(c, s)| add(centre, add(scale(a, c), scale(b, s))))
}

/// A texture on a plane in space, as it looks from the camera.
pub struct Textured<'a> {
    texture: &'a Texture,
    /// u/z, v/z and 1/z as linear functions of column and row.
    u: [f32; 3],
    v: [f32; 3],
    w: [f32; 3],
    repeat: [f32; 2],
    shift: f32,
    light: Rgb,
    mood: &'a Mood,
    glow: f32,
    cut_out: bool,
}

impl<'a> Textured<'a> {
    /// The texture of `panel`; none if the plane is seen edge on.
    pub fn new(
        view: &View,
        mood: &'a Mood,
        panel: &Panel,
        texture: &'a Texture,
        light: Rgb,
        cut_out: bool,
    ) -> Option<Self> {
        let (a, b, c) = (panel.along, panel.up, panel.origin);
        let det = dot(cross(a, b), c);
        if det.abs() < 1e-9 {
            return None;
        }
        let (f, cx, hy) = (view.focal, view.centre, view.horizon);
        // Rows of the inverse of [along up origin], composed with the ray through a pixel.
        let plane = |n: Vec3| {
            let n = scale(n, 1.0 / det);
            [n[0] / f, -n[1] / f, n[2] - n[0] * cx / f + n[1] * hy / f]
        };
        Some(Self {
            texture,
            u: plane(cross(b, c)),
            v: plane(cross(c, a)),
            w: plane(cross(a, b)),
            repeat: panel.repeat,
            shift: panel.shift,
            light,
            mood,
            glow: mood.night,
            cut_out,
        })
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32, f32) {
        let linear = |p: &[f32; 3]| p[0] * x + p[1] * y + p[2];
        let z = 1.0 / linear(&self.w).max(1e-3);
        (linear(&self.u) * z, linear(&self.v) * z, z)
    }
}

impl Paint for Textured<'_> {
    fn row(&self, x: usize, y: usize, out: &mut [Pixel]) {
        let row = y as f32 + 0.5;
        let (width, height) = self.texture.size();
        let (ru, rv) = (self.repeat[0], self.repeat[1]);
        let (mut u0, mut v0, mut z0) = self.at(x as f32 + 0.5, row);
        for (k, run) in out.chunks_mut(RUN).enumerate() {
            let end = (x + k * RUN + run.len()) as f32 + 0.5;
            let (u1, v1, z1) = self.at(end, row);
            // Change of u and v a pixel, along the row and down the column.
            let (ux, uy) = (
                (self.u[0] - u0 * self.w[0]) * z0,
                (self.u[1] - u0 * self.w[1]) * z0,
            );
            let (vx, vy) = (
                (self.v[0] - v0 * self.w[0]) * z0,
                (self.v[1] - v0 * self.w[1]) * z0,
            );
            let (lu, lv) = (
                level(ux.abs().max(uy.abs()) * width * ru),
                level(vx.abs().max(vy.abs()) * height * rv),
            );
            let texels = self.texture.at(lu, lv);
            // Small leaves need no blending: their order is random anyway.
            let coarse = self.cut_out && lu > 0 && lv > 0;
            if self.cut_out
                && texels.clear([u0 + self.shift, u1 + self.shift], [1.0 - v0, 1.0 - v1])
            {
                run.fill([0; 4]);
                (u0, v0, z0) = (u1, v1, z1);
                continue;
            }
            let haze = self.mood.haze(z0);
            let mul = |i: usize| (self.light[i] * (1.0 - haze) * 256.0) as u32;
            let add = |i: usize| (self.mood.haze[i] * haze * 255.0) as u32;
            let (mul, add) = ([mul(0), mul(1), mul(2)], [add(0), add(1), add(2)]);
            let glow = (self.glow * (1.0 - haze) * 256.0) as u32;
            let step = 1.0 / run.len() as f32;
            let (du, dv) = ((u1 - u0) * step * ru, (v0 - v1) * step * rv);
            let from = [(u0 + self.shift) * ru, (1.0 - v0) * rv];
            let count = run.len();
            if self.cut_out {
                texels.walk(from, [du, dv], count, coarse, |i, texel| {
                    let texel = texel.to_le_bytes();
                    let cover = u32::from(texel[3]);
                    let colour = |c: usize| {
                        let sum = (u32::from(texel[c]) * mul[c] + add[c] * cover) >> 8;
                        sum.min(255) as u8
                    };
                    run[i] = [colour(0), colour(1), colour(2), texel[3]];
                });
            } else {
                texels.walk(from, [du, dv], count, false, |i, texel| {
                    let texel = texel.to_le_bytes();
                    let own = (u32::from(texel[3]) * glow) >> 8;
                    let colour = |c: usize| {
                        let sum = ((u32::from(texel[c]) * (mul[c] + own)) >> 8) + add[c];
                        sum.min(255) as u8
                    };
                    run[i] = [colour(0), colour(1), colour(2), 255];
                });
            }
            (u0, v0, z0) = (u1, v1, z1);
        }
    }
}
