//! Weather, time of day and the colours of light they bring.

use super::math::{Rgb, Vec3, dot, unit};
use super::rng::Rng;

/// The light of a scene.
#[derive(Debug, Clone)]
pub struct Mood {
    /// Towards the sun, unit length.
    pub to_sun: Vec3,
    /// Direct light; zero when the sky is closed.
    pub sun: Rgb,
    /// Light from all over the sky.
    pub sky: Rgb,
    /// Sky colour overhead and at the horizon.
    pub zenith: Rgb,
    pub skyline: Rgb,
    /// Lit and shaded sides of clouds.
    pub cloud: Rgb,
    pub cloud_shade: Rgb,
    /// Cloud fields above this density show, 0..1: lower is cloudier.
    pub cloud_from: f32,
    /// What distant things fade to, and how fast (a metre).
    pub haze: Rgb,
    pub haze_rate: f32,
    /// Lamps and windows shine.
    pub night: f32,
    /// Sensor noise, counts of 255.
    pub grain: f32,
    /// Overall brightness.
    pub exposure: f32,
}

impl Mood {
    /// The mood of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let (height, side) = (
            rng.range(0.35, 1.1),
            if rng.chance(0.5) { 1.0 } else { -1.0 },
        );
        let to_sun = unit([side * rng.range(0.35, 1.0), height, rng.range(-0.9, 0.7)]);
        let mood = Self {
            to_sun,
            sun: [1.02, 0.95, 0.82],
            sky: [0.46, 0.50, 0.57],
            zenith: [0.38, 0.57, 0.85],
            skyline: [0.86, 0.93, 0.98],
            cloud: [0.98, 0.98, 0.97],
            cloud_shade: [0.74, 0.78, 0.83],
            cloud_from: rng.range(0.42, 0.66),
            haze: [0.80, 0.87, 0.92],
            haze_rate: rng.range(0.0022, 0.0045),
            night: 0.0,
            grain: rng.range(1.2, 3.0),
            exposure: rng.range(0.95, 1.15),
        };
        match rng.unit() {
            // Fair weather, as above.
            x if x < 0.40 => mood,
            // Bright, closed sky: no shadows.
            x if x < 0.62 => Self {
                sun: [0.10, 0.10, 0.10],
                sky: [0.90, 0.92, 0.95],
                zenith: [0.84, 0.87, 0.90],
                skyline: [0.95, 0.96, 0.97],
                cloud: [0.97, 0.98, 0.98],
                cloud_shade: [0.80, 0.82, 0.85],
                cloud_from: rng.range(0.25, 0.4),
                haze: [0.86, 0.88, 0.90],
                haze_rate: rng.range(0.003, 0.007),
                ..mood
            },
            // Heavy cloud.
            x if x < 0.75 => Self {
                sun: [0.04, 0.04, 0.04],
                sky: [0.66, 0.70, 0.75],
                zenith: [0.50, 0.55, 0.61],
                skyline: [0.84, 0.86, 0.87],
                cloud: [0.80, 0.82, 0.84],
                cloud_shade: [0.47, 0.51, 0.57],
                cloud_from: rng.range(0.3, 0.42),
                haze: [0.72, 0.76, 0.79],
                haze_rate: rng.range(0.004, 0.008),
                grain: 3.0,
                ..mood
            },
            // Low sun, warm light.
            x if x < 0.88 => Self {
                to_sun: unit([side * rng.range(0.5, 1.0), 0.38, rng.range(0.1, 0.9)]),
                sun: [1.05, 0.78, 0.48],
                sky: [0.54, 0.54, 0.58],
                zenith: [0.46, 0.60, 0.78],
                skyline: [0.98, 0.86, 0.66],
                cloud: [1.0, 0.90, 0.76],
                cloud_shade: [0.72, 0.66, 0.68],
                haze: [0.93, 0.82, 0.67],
                haze_rate: rng.range(0.004, 0.007),
                night: 0.15,
                ..mood
            },
            // Dusk.
            _ => Self {
                to_sun: unit([side * 0.7, 0.3, 0.9]),
                sun: [0.05, 0.03, 0.03],
                sky: [0.50, 0.51, 0.60],
                zenith: [0.24, 0.31, 0.47],
                skyline: [0.93, 0.70, 0.52],
                cloud: [0.80, 0.62, 0.58],
                cloud_shade: [0.36, 0.36, 0.46],
                haze: [0.62, 0.56, 0.58],
                haze_rate: rng.range(0.004, 0.007),
                night: 1.0,
                grain: 4.5,
                ..mood
            },
        }
    }

    /// The light falling on a surface that faces `normal`; `lit` is how much of the sun reaches
    /// it, 0..1.
    pub fn on(&self, normal: Vec3, lit: f32) -> Rgb {
        let open = 0.78 + 0.22 * normal[1];
        let facing = dot(normal, self.to_sun).max(0.0) * lit;
        [
            self.sky[0] * open + self.sun[0] * facing,
            self.sky[1] * open + self.sun[1] * facing,
            self.sky[2] * open + self.sun[2] * facing,
        ]
    }

    /// How much of the haze lies in front of something `distance` metres away, 0..1.
    pub fn haze(&self, distance: f32) -> f32 {
        let t = (distance * self.haze_rate).max(0.0);
        1.0 - 1.0 / (1.0 + t + 0.5 * t * t)
    }

    /// Whether the sun draws shadows worth drawing.
    pub fn casts(&self) -> bool {
        self.sun[0] > 0.3
    }
}
