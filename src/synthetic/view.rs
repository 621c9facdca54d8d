//! The camera: where it stands on the street and how the street bends in front of it.

use super::math::{Vec3, floor, lerp, sin_turns};
use super::raster::Point;
use super::rng::{mix, unit};

/// Nothing nearer than this is drawn, metres.
pub const NEAR: f32 = 0.4;
/// Nothing farther than this is drawn as an object, metres.
pub const FAR: f32 = 190.0;
/// How far behind the camera the bend is known, metres.
const BEHIND: f32 = 24.0;
const STEP: f32 = 2.0;
const STEPS: usize = 160;
/// Metres between the control points of the bend.
const KNOT: f64 = 64.0;

/// The street's centre line: metres to the right as a smooth function of metres along.
#[derive(Debug, Clone, Copy)]
pub struct Bend {
    pub seed: u64,
    /// The control points lie within this many metres of a straight line.
    pub sway: f32,
}

impl Bend {
    /// The offset at `s` and its slope: a cubic B-spline, whose curvature has no jumps.
    fn at(&self, s: f64) -> (f32, f32) {
        let knot = (s / KNOT).floor();
        let t = (s / KNOT - knot) as f32;
        let p = |i: i64| {
            let index = (knot as i64).wrapping_add(i) as u64;
            (unit(mix(self.seed, index)) - 0.5) * 2.0 * self.sway
        };
        let (a, b, c, d) = (p(-1), p(0), p(1), p(2));
        let (t2, r) = (t * t, 1.0 - t);
        let value = (r * r * r * a
            + (3.0 * t2 * t - 6.0 * t2 + 4.0) * b
            + (-3.0 * t2 * t + 3.0 * t2 + 3.0 * t + 1.0) * c
            + t2 * t * d)
            / 6.0;
        let slope =
            (-r * r * a + (3.0 * t2 - 4.0 * t) * b + (-3.0 * t2 + 2.0 * t + 1.0) * c + t2 * d)
                / (2.0 * KNOT as f32);
        (value, slope)
    }
}

/// A camera at one moment. Camera space has its origin at the lens.
pub struct View {
    /// Focal length, pixels.
    pub focal: f32,
    /// Column the camera looks at.
    pub centre: f32,
    /// Row of the horizon.
    pub horizon: f32,
    /// Height of the lens above the road, metres.
    pub height: f32,
    /// Metres to the right of the street's centre line.
    pub lateral: f32,
    /// Metres along the street.
    pub s: f64,
    /// Heading against the far distance, as a slope.
    pub heading: f32,
    offsets: Vec<f32>,
}

/// How a camera is mounted; fixed for a scene.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    pub height: f32,
    pub lateral: f32,
    /// Sideways look, as a slope.
    pub yaw: f32,
    /// The horizon's distance below the top, as a share of the height.
    pub horizon: f32,
    /// Focal length as a share of the picture's height.
    pub zoom: f32,
}

impl View {
    /// An empty view, to be placed with [`View::place`].
    pub fn new() -> Self {
        Self {
            focal: 1.0,
            centre: 0.0,
            horizon: 0.0,
            height: 1.0,
            lateral: 0.0,
            s: 0.0,
            heading: 0.0,
            offsets: Vec::new(),
        }
    }

    /// Puts the camera `s` metres along the street at `time` seconds.
    pub fn place(&mut self, size: (usize, usize), mount: &Mount, bend: &Bend, s: f64, time: f64) {
        let (width, height) = (size.0 as f32, size.1 as f32);
        self.focal = (mount.zoom * height).max(0.55 * width);
        // Whole turns are dropped in f64: a phase keeps its precision after days of frames.
        let wave = |period: f64, phase: f64| {
            let turns = time / period + phase;
            sin_turns((turns - turns.floor()) as f32)
        };
        let yaw = mount.yaw + 0.006 * wave(5.3, 0.2);
        let pitch = 0.0028 * wave(1.9, 0.1) + 0.0014 * wave(0.7, 0.6);
        self.centre = width * 0.5 - yaw * self.focal;
        self.horizon = height * mount.horizon + pitch * self.focal;
        self.height = mount.height + 0.012 * wave(0.83, 0.0);
        self.lateral = mount.lateral + 0.12 * wave(9.1, 0.4);
        self.s = s;
        let (origin, slope) = bend.at(s);
        self.heading = slope + yaw;
        self.offsets.clear();
        self.offsets.extend((0..=STEPS).map(|i| {
            let ahead = i as f32 * STEP - BEHIND;
            // The camera points along the street where it stands: slope and offset vanish there.
            bend.at(s + f64::from(ahead)).0 - origin - slope * ahead
        }));
    }

    /// How far the centre line has bent to the right `ahead` metres from here.
    pub fn bend(&self, ahead: f32) -> f32 {
        let at = ((ahead + BEHIND) / STEP).clamp(0.0, STEPS as f32 - 0.001);
        let i = floor(at) as usize;
        lerp(self.offsets[i], self.offsets[i + 1], at - i as f32)
    }

    /// From street coordinates (metres ahead of the camera, metres to the right of the centre
    /// line, metres above the road) to camera space.
    pub fn point(&self, ahead: f32, lateral: f32, up: f32) -> Vec3 {
        [
            lateral + self.bend(ahead) - self.lateral,
            up - self.height,
            ahead,
        ]
    }

    /// The direction of the street `ahead` metres from here: metres right a metre ahead.
    pub fn slope(&self, ahead: f32) -> f32 {
        (self.bend(ahead + STEP) - self.bend(ahead - STEP)) / (2.0 * STEP)
    }

    /// A point in front of the camera on the picture.
    pub fn project(&self, p: Vec3) -> Point {
        let k = self.focal / p[2];
        [self.centre + p[0] * k, self.horizon - p[1] * k]
    }

    /// Cuts a shape off at [`NEAR`] and projects it; empty when nothing is left.
    pub fn shape(&self, points: &[Vec3], out: &mut Vec<Point>) {
        out.clear();
        if points.iter().all(|p| p[2] > NEAR) {
            out.extend(points.iter().map(|&p| self.project(p)));
            return;
        }
        for (i, &a) in points.iter().enumerate() {
            let b = points[(i + 1) % points.len()];
            if a[2] > NEAR {
                out.push(self.project(a));
            }
            if (a[2] > NEAR) != (b[2] > NEAR) {
                let t = (NEAR - a[2]) / (b[2] - a[2]);
                let cut = [lerp(a[0], b[0], t), lerp(a[1], b[1], t), NEAR];
                out.push(self.project(cut));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let mut view = View::new();
        let mount = Mount {
            height: 1.4,
            lateral: 0.0,
            yaw: 0.0,
            horizon: 0.45,
            zoom: 1.2,
        };
        view.place((64, 48), &mount, &Bend { seed: 1, sway: 9.0 }, 1234.5, 0.0);
        view
    }

    #[test]
    fn the_bend_starts_straight_ahead() {
        let view = view();
        assert!(view.bend(0.0).abs() < 1e-3 && view.bend(2.0).abs() < 0.05);
        assert!(view.bend(1e9).is_finite() && view.bend(-1e9).is_finite());
    }

    #[test]
    fn shapes_behind_the_camera_vanish_and_crossing_ones_are_cut() {
        let (view, mut out) = (view(), Vec::new());
        view.shape(
            &[[0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 1.0, -2.0]],
            &mut out,
        );
        assert!(out.is_empty());
        view.shape(
            &[[0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 1.0, 2.0]],
            &mut out,
        );
        assert_eq!(out.len(), 3);
    }
}
