//! Soft edges for a mask: the guided filter.
//!
//! After He, Sun and Tang, "Guided Image Filtering" (ECCV 2010; IEEE TPAMI 35(6), 2013).
//! In every window of the picture the membership is taken for a linear function of
//! lightness, `a I + b`, by least squares with `a` held down by `EPSILON`; a pixel's result
//! is the mean over all windows that hold it. So an edge of the mask moves to the
//! picture's edge beside it, and hair is partly in.
//!
//! Windows are squares cut at the picture's border. Their sums are exact integers, renewed
//! row by row and column by column, so that time does not depend on the radius and memory
//! is a band of rows. `a` and `b` are rounded to multiples of 2^-16: the same on every CPU.

use super::region::ClassSet;
use super::window;
use crate::mask::Mask;

/// What is added to a window's variance, in squared code values of 0..=255: edges weaker
/// than 2 % of the range are smoothed over.
const EPSILON: f64 = 26.0;

/// Fraction bits of `a` and `b`.
const BITS: u32 = 16;

/// Largest radius, which bounds the sums.
const MAX_RADIUS: u32 = 64;

/// Lightness of a pixel, 0..=255: BT.601's weights in 256ths.
pub fn lightness([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
    ((sum + 128) >> 8) as u8
}

/// The radius for a picture of this size: a fiftieth of its shorter side, 2 to 32 pixels.
pub fn radius(width: u32, height: u32) -> u32 {
    (width.min(height) / 50).clamp(2, 32)
}

/// The filter with its buffers, which are reused.
#[derive(Debug, Default)]
pub struct GuidedFilter {
    guide: Vec<u8>,
    /// Of each column, over the rows of the window: how often its pixels are members, their
    /// lightness, its square, and that of the members.
    columns: Vec<[u32; 4]>,
    /// `a` and `b` of the last rows of windows, by their centres.
    band: Vec<[i32; 2]>,
    /// Of each column, the sums of these over the rows of the window.
    sums: Vec<[i64; 2]>,
}

impl GuidedFilter {
    /// How far each pixel of a picture belongs to `classes`, 0 to 255. `out` is resized.
    ///
    /// `rgb` holds three bytes for each pixel of the mask. `radius` is at most 64.
    ///
    /// # Panics
    /// If `rgb` has another length, or the radius is larger.
    pub fn run(
        &mut self,
        rgb: &[u8],
        mask: &Mask,
        classes: &ClassSet,
        radius: u32,
        out: &mut Vec<u8>,
    ) {
        assert_eq!(rgb.len(), mask.labels.len() * 3, "the picture's size");
        assert!(radius <= MAX_RADIUS, "a radius of {radius}");
        let (width, height) = (mask.width as usize, mask.height as usize);
        let radius = radius as usize;
        out.resize(width * height, 0);
        if out.is_empty() {
            return;
        }
        let (pixels, _) = rgb.as_chunks::<3>();
        self.guide.clear();
        self.guide.extend(pixels.iter().map(|&p| lightness(p)));
        let held = (2 * radius + 2).min(height);
        self.band.resize(held * width, [0; 2]);
        self.columns.clear();
        self.columns.resize(width, [0; 4]);
        self.sums.clear();
        self.sums.resize(width, [0; 2]);
        for y in 0..radius.min(height) {
            self.add_row(mask, classes, y, true);
        }
        for step in 0..height + radius {
            if step < height {
                if step + radius < height {
                    self.add_row(mask, classes, step + radius, true);
                }
                if step > radius {
                    self.add_row(mask, classes, step - radius - 1, false);
                }
                self.fit(step, (width, height), radius);
            }
            if step >= radius {
                let y = step - radius;
                if y > radius {
                    let gone = (y - radius - 1) % held * width;
                    let gone = &self.band[gone..][..width];
                    for (sum, gone) in self.sums.iter_mut().zip(gone) {
                        sum[0] -= i64::from(gone[0]);
                        sum[1] -= i64::from(gone[1]);
                    }
                }
                let rows = window::span(y, radius, height);
                self.mean(y, rows, radius, &mut out[y * width..][..width]);
            }
        }
    }

    /// Adds a row of the picture to the columns' sums, or takes it away.
    fn add_row(&mut self, mask: &Mask, classes: &ClassSet, y: usize, add: bool) {
        let labels = mask.row(y as u32);
        let guide = &self.guide[y * labels.len()..][..labels.len()];
        for ((sums, &label), &light) in self.columns.iter_mut().zip(labels).zip(guide) {
            let (member, light) = (u32::from(classes.contains(label)), u32::from(light));
            let values = [member, light, light * light, member * light];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = if add { *sum + value } else { *sum - value };
            }
        }
    }

    /// Fits `a` and `b` for the windows around row `y`, and adds them to their sums.
    fn fit(&mut self, y: usize, (width, height): (usize, usize), radius: usize) {
        let held = self.band.len() / width;
        let rows = window::span(y, radius, height);
        let band = &mut self.band[y % held * width..][..width];
        let columns = self.columns.iter().map(|column| column.map(i64::from));
        let windows = window::sums(columns, radius);
        for ((fit, sums), (count, window)) in band.iter_mut().zip(&mut self.sums).zip(windows) {
            let count = (rows * count) as i64;
            let [members, light, squares, both] = window;
            // Both times the square of the count; members are 255 each.
            let covariance = 255 * (count * both - light * members);
            let variance = count * squares - light * light;
            let a = covariance as f64 / (variance as f64 + EPSILON * (count * count) as f64);
            let b = ((255 * members) as f64 - a * light as f64) / count as f64;
            let fixed = |value: f64| (value * f64::from(1 << BITS)).round() as i32;
            *fit = [fixed(a), fixed(b)];
            sums[0] += i64::from(fit[0]);
            sums[1] += i64::from(fit[1]);
        }
    }

    /// Writes row `y` of the result; its windows are `rows` high.
    fn mean(&self, y: usize, rows: usize, radius: usize, out: &mut [u8]) {
        let width = out.len();
        let guide = &self.guide[y * width..][..width];
        let windows = window::sums(self.sums.iter().copied(), radius);
        for ((out, &light), (count, [a, b])) in out.iter_mut().zip(guide).zip(windows) {
            let one = ((rows * count) as i64) << BITS;
            let value = a * i64::from(light) + b;
            *out = ((value + one / 2).div_euclid(one)).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(rgb: &[u8], mask: &Mask, radius: u32) -> Vec<u8> {
        let mut out = vec![9; 3];
        let one: ClassSet = [1].into_iter().collect();
        GuidedFilter::default().run(rgb, mask, &one, radius, &mut out);
        out
    }

    /// The definition, window by window, in f64.
    fn reference(rgb: &[u8], mask: &Mask, radius: i64) -> Vec<f64> {
        let (w, h) = (i64::from(mask.width), i64::from(mask.height));
        let window = |x: i64, y: i64| {
            let rows = (y - radius).max(0)..(y + radius + 1).min(h);
            rows.flat_map(move |v| {
                let columns = (x - radius).max(0)..(x + radius + 1).min(w);
                columns.map(move |u| (v * w + u) as usize)
            })
        };
        let light =
            |at: usize| f64::from(lightness([rgb[at * 3], rgb[at * 3 + 1], rgb[at * 3 + 2]]));
        let member = |at: usize| if mask.labels[at] == 1 { 255.0 } else { 0.0 };
        let each = || (0..h).flat_map(move |y| (0..w).map(move |x| (x, y)));
        let fits: Vec<(f64, f64)> = each()
            .map(|(x, y)| {
                let n = window(x, y).count() as f64;
                let mean = |f: &dyn Fn(usize) -> f64| window(x, y).map(f).sum::<f64>() / n;
                let (i, p) = (mean(&light), mean(&member));
                let covariance = mean(&|at| (light(at) - i) * (member(at) - p));
                let variance = mean(&|at| (light(at) - i).powi(2));
                let a = covariance / (variance + EPSILON);
                (a, p - a * i)
            })
            .collect();
        each()
            .map(|(x, y)| {
                let n = window(x, y).count() as f64;
                let a = window(x, y).map(|at| fits[at].0).sum::<f64>() / n;
                let b = window(x, y).map(|at| fits[at].1).sum::<f64>() / n;
                a * light((y * w + x) as usize) + b
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_filter_is_the_papers(
            (width, height) in (1u32..14, 1u32..14), radius in 0u32..9, seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            let pixels = (width * height) as usize;
            let rgb: Vec<u8> = (0..pixels * 3).map(|_| next()).collect();
            let labels = (0..pixels).map(|_| next() % 3).collect();
            let mask = Mask { width, height, labels };
            let wanted = reference(&rgb, &mask, i64::from(radius));
            for (got, wanted) in filtered(&rgb, &mask, radius).iter().zip(wanted) {
                let wanted = wanted.clamp(0.0, 255.0);
                prop_assert!((f64::from(*got) - wanted).abs() < 0.51, "{got} {wanted}");
            }
        }
    }

    #[test]
    fn whole_masks_stay_whole() {
        let rgb: Vec<u8> = (0..70 * 50 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let mut mask = Mask::new(70, 50);
        assert_eq!(filtered(&rgb, &mask, 5), vec![0; 3500]);
        mask.labels.fill(1);
        assert_eq!(filtered(&rgb, &mask, 5), vec![255; 3500]);
        assert!(filtered(&[], &Mask::default(), 3).is_empty());
    }

    #[test]
    fn an_edge_moves_to_the_pictures() {
        // The picture's edge is at column 20, the mask's two columns beside it.
        let (width, height) = (40u32, 40u32);
        let rgb: Vec<u8> = (0..width * height)
            .flat_map(|at| [if at % width < 20 { 40 } else { 210 }; 3])
            .collect();
        let labels = (0..width * height)
            .map(|at| u8::from(at % width >= 22))
            .collect();
        let mask = Mask {
            width,
            height,
            labels,
        };
        let soft = filtered(&rgb, &mask, 6);
        let row = &soft[20 * 40..][..40];
        assert!(row[19] < 20 && row[20] > 140, "{row:?}");
        assert!(row[0] == 0 && row[39] == 255, "{row:?}");
    }
}
