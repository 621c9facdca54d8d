//! Which range of real numbers the 256 codes of a tensor stand for.

use super::histogram::Histogram;

/// How the range of a tensor is chosen from the values it had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// From the smallest to the largest.
    MinMax,
    /// What holds this share of the values, in percent; what is left out is cut off.
    Percentile(f64),
    /// What makes the mean squared error of rounding and cutting off smallest.
    Mse,
}

/// Smallest width of a range: a tensor that is always zero has codes all the same.
const LEAST_WIDTH: f32 = 1e-6;
/// Ends that are tried for each side, as shares of the extent.
const STEPS: usize = 128;
/// Smallest share.
const LEAST_SHARE: f64 = 0.01;
/// Rounds of trying one side and then the other.
const ROUNDS: usize = 3;

/// A quantization of one tensor into unsigned bytes: `real = (code - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codes {
    /// Real distance of two codes.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: u8,
}

impl Codes {
    /// The codes of a range, which is widened to hold zero.
    pub fn of([low, high]: [f32; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low).max(LEAST_WIDTH) / 255.0;
        let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { scale, zero_point }
    }

    /// The real numbers of the first and the last code.
    pub fn range(self) -> [f32; 2] {
        let zero = f32::from(self.zero_point);
        [(0.0 - zero) * self.scale, (255.0 - zero) * self.scale]
    }
}

/// Chooses a range that holds zero.
pub fn choose(histogram: &Histogram, method: Method) -> [f32; 2] {
    let Some([least, most]) = histogram.extent() else {
        return [0.0, 0.0];
    };
    let extent = [least.min(0.0), most.max(0.0)];
    match method {
        Method::MinMax => extent,
        Method::Percentile(percent) => percentile(histogram, extent, percent),
        Method::Mse => least_squares(histogram, extent),
    }
}

fn percentile(histogram: &Histogram, extent: [f32; 2], percent: f64) -> [f32; 2] {
    let outside = histogram.total() as f64 * (1.0 - percent / 100.0).max(0.0);
    // Both tails share what is cut off; where there is one, it has all of it.
    let sides = extent.map(|end| if end == 0.0 { 0.0 } else { 1.0 });
    let tail = outside / f64::max(1.0, sides[0] + sides[1]);
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let end = |bins: &mut dyn Iterator<Item = &(f64, u64)>, extent: f32| {
        let mut passed = 0.0;
        for &(middle, count) in bins {
            passed += count as f64;
            if passed > tail {
                return middle as f32;
            }
        }
        extent
    };
    let low = end(&mut bins.iter(), extent[0]);
    let high = end(&mut bins.iter().rev(), extent[1]);
    [low.clamp(extent[0], 0.0), high.clamp(0.0, extent[1])]
}

fn least_squares(histogram: &Histogram, extent: [f32; 2]) -> [f32; 2] {
    let bins: Vec<(f64, u64)> = histogram.bins().collect();
    let extent = extent.map(f64::from);
    let (mut best, mut least) = (extent, error(&bins, extent));
    for _ in 0..ROUNDS {
        let before = best;
        for side in [0, 1] {
            for step in 0..STEPS {
                let share = LEAST_SHARE.powf(step as f64 / STEPS as f64);
                let mut range = best;
                range[side] = extent[side] * share;
                let error = error(&bins, range);
                if error < least {
                    (best, least) = (range, error);
                }
            }
        }
        if best == before {
            break;
        }
    }
    best.map(|end| end as f32)
}

/// Sum of the squared errors of codes for a range: a step's uniform error inside, the
/// distance to the nearer end outside.
fn error(bins: &[(f64, u64)], [low, high]: [f64; 2]) -> f64 {
    let step = (high - low) / 255.0;
    let rounding = step * step / 12.0;
    let errors = bins.iter().map(|&(middle, count)| {
        let outside = (middle - high).max(low - middle).max(0.0);
        count as f64 * (outside * outside + rounding)
    });
    errors.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many values up to 1 and one outlier.
    fn with_outlier(outlier: f32) -> Histogram {
        let mut values: Vec<f32> = (1..=100_000).map(|i| i as f32 / 1e5).collect();
        values.push(outlier);
        let mut histogram = Histogram::default();
        histogram.add(&values);
        histogram
    }

    #[test]
    fn the_extent_holds_zero() {
        let mut histogram = Histogram::default();
        histogram.add(&[3.0, 5.0]);
        assert_eq!(choose(&histogram, Method::MinMax), [0.0, 5.0]);
        assert_eq!(choose(&Histogram::default(), Method::Mse), [0.0, 0.0]);
    }

    #[test]
    fn an_outlier_is_cut_off_where_that_pays() {
        let histogram = with_outlier(4.0);
        let [low, high] = choose(&histogram, Method::Mse);
        assert_eq!(low, 0.0);
        // Where (4 - h)^2 + 10^5 (h / 255)^2 / 12 is smallest.
        assert!((3.4..3.7).contains(&high), "{high}");
        let [_, high] = choose(&histogram, Method::Percentile(99.9));
        assert!((0.98..1.01).contains(&high), "{high}");
        assert_eq!(choose(&histogram, Method::MinMax)[1], 4.0);
        assert!(choose(&histogram, Method::Percentile(100.0))[1] > 3.9);
    }

    #[test]
    fn a_few_steps_of_error_do_not_shrink_an_even_range() {
        let histogram = with_outlier(1.0);
        let [_, high] = choose(&histogram, Method::Mse);
        assert!(high > 0.98, "{high}");
    }

    #[test]
    fn codes_reach_both_ends_and_zero_is_one_of_them() {
        for range in [[-1.0, 3.0], [0.0, 6.0], [-2.0, 0.0], [1.0, 4.0], [0.0, 0.0]] {
            let codes = Codes::of(range);
            assert!(codes.scale > 0.0);
            let [low, high] = codes.range();
            assert!((low - range[0].min(0.0)).abs() <= codes.scale, "{range:?}");
            assert!(
                (high - range[1].max(0.0)).abs() <= codes.scale.max(1e-5),
                "{range:?}"
            );
        }
    }
}
