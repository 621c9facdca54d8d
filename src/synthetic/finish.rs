//! What a lens and a sensor do to the picture.

use super::rng::mix;

/// Length of the noise table, a power of two.
const TABLE: usize = 1 << 14;

/// Vignetting, exposure and noise.
pub struct Finish {
    /// Sums of uniform numbers, bell shaped, in 1/16 counts.
    noise: Vec<i16>,
    columns: Vec<u16>,
}

impl Finish {
    /// A sensor with noise of `grain` counts of 255.
    pub fn new(seed: u64, grain: f32) -> Self {
        let noise = (0..TABLE as u64).map(|i| {
            let bits = mix(seed, i);
            let sum: i32 = (0..4)
                .map(|k| ((bits >> (k * 16)) & 0xffff) as i32 - 32_768)
                .sum();
            // Four uniform numbers of width 65536 have a deviation of 37837.
            (sum as f32 * (grain * 16.0 / 37_837.0)) as i16
        });
        Self {
            noise: noise.collect(),
            columns: Vec::new(),
        }
    }

    /// Treats the picture of frame `index`.
    pub fn apply(
        &mut self,
        rgb: &mut [u8],
        (width, height): (usize, usize),
        exposure: f32,
        index: u64,
    ) {
        let fall = |at: usize, size: usize| {
            let t = (at as f32 + 0.5) / size as f32 * 2.0 - 1.0;
            1.0 - 0.11 * t * t
        };
        self.columns.clear();
        self.columns
            .extend((0..width * 3).map(|x| (fall(x / 3, width) * 256.0) as u16));
        for (y, row) in rgb.chunks_exact_mut(width * 3).enumerate() {
            let gain = (fall(y, height) * exposure * 256.0) as u32;
            // Every row of every frame starts elsewhere in the table.
            let start = mix(index, y as u64) as usize & (TABLE - 1);
            let mut at = start;
            let mut x = 0;
            while x < row.len() {
                let run = (row.len() - x).min(TABLE - at);
                let noise = &self.noise[at..at + run];
                let columns = &self.columns[x..x + run];
                for ((value, &noise), &column) in row[x..x + run].iter_mut().zip(noise).zip(columns)
                {
                    let lit = (u32::from(*value) * gain * u32::from(column)) >> 12;
                    // The deviation grows with the light, gently.
                    let out = lit as i32 + i32::from(noise);
                    *value = ((out + 8) >> 4).clamp(0, 255) as u8;
                }
                x += run;
                at = 0;
            }
        }
    }
}
