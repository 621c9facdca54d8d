//! How the values of a tensor are distributed, over any number of pictures.

/// Bins on either side of zero.
const HALF: usize = 2048;

/// Counts of values in bins of equal width around zero; the width doubles when a value lies
/// outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Width of a bin; 0 before there is a value other than zero.
    width: f32,
    counts: Vec<u64>,
    /// Values that are zero, which every quantization represents exactly; they are in no bin.
    zeros: u64,
    least: f32,
    most: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            width: 0.0,
            counts: vec![0; 2 * HALF],
            zeros: 0,
            least: f32::INFINITY,
            most: f32::NEG_INFINITY,
        }
    }
}

impl Histogram {
    /// Counts values, which must be finite.
    pub fn add(&mut self, values: &[f32]) {
        let (least, most) = extent(values);
        self.cover(least, most);
        if self.width == 0.0 {
            self.zeros += values.len() as u64;
            return;
        }
        let per_bin = 1.0 / self.width;
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
            } else {
                let bin = (value * per_bin + HALF as f32) as usize;
                self.counts[bin.min(2 * HALF - 1)] += 1;
            }
        }
    }

    /// Counts what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        self.cover(other.least, other.most);
        if other.width == 0.0 {
            return;
        }
        let mut other = other.clone();
        while other.width < self.width {
            other.widen();
        }
        while self.width < other.width {
            self.widen();
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The smallest and the largest value; `None` where there was none.
    pub fn extent(&self) -> Option<[f32; 2]> {
        (self.least <= self.most).then_some([self.least, self.most])
    }

    /// The middle of each bin that counts anything, the width, and the count.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> {
        let width = f64::from(self.width);
        let bins = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        bins.map(move |(bin, &n)| ((bin as f64 - HALF as f64 + 0.5) * width, n))
    }

    /// Number of values, zeros among them.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Makes the bins reach from `least` to `most`.
    fn cover(&mut self, least: f32, most: f32) {
        if least > most {
            return;
        }
        self.least = self.least.min(least);
        self.most = self.most.max(most);
        let reach = most.max(-least);
        if reach == 0.0 {
            return;
        }
        if self.width == 0.0 {
            // A power of two, so that bins of two histograms always fit each other.
            self.width = (reach / HALF as f32)
                .max(f32::MIN_POSITIVE)
                .log2()
                .ceil()
                .exp2();
        }
        while reach >= self.width * HALF as f32 {
            self.widen();
        }
    }

    /// Doubles the width of the bins.
    fn widen(&mut self) {
        let mut counts = vec![0; 2 * HALF];
        for (bin, &count) in self.counts.iter().enumerate() {
            counts[(bin + HALF) / 2] += count;
        }
        self.counts = counts;
        self.width *= 2.0;
    }
}

fn extent(values: &[f32]) -> (f32, f32) {
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    values
        .iter()
        .fold(start, |(least, most), &v| (least.min(v), most.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_values_keep_the_counts_and_their_places() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.5, -0.25, 0.0]);
        histogram.add(&[100.0, 0.0]);
        assert_eq!(histogram.total(), 5);
        assert_eq!(histogram.extent(), Some([-0.25, 100.0]));
        let bins: Vec<(f64, u64)> = histogram.bins().collect();
        assert_eq!(bins.iter().map(|b| b.1).sum::<u64>(), 3);
        for (value, (middle, _)) in [-0.25, 0.5, 100.0].into_iter().zip(&bins) {
            assert!(
                (value - middle).abs() <= f64::from(histogram.width),
                "{value}: {middle}"
            );
        }
    }

    #[test]
    fn merging_is_adding() {
        let lists = [&[0.1, -3.0, 0.0][..], &[1e-3, 7.5], &[0.0, 0.0], &[]];
        let mut whole = Histogram::default();
        let mut merged = Histogram::default();
        for list in lists {
            whole.add(list);
            let mut part = Histogram::default();
            part.add(list);
            merged.merge(&part);
        }
        assert_eq!(merged.extent(), whole.extent());
        assert_eq!(merged.total(), 7);
        assert_eq!(merged.width, whole.width);
        assert_eq!(merged.zeros, whole.zeros);
    }

    #[test]
    fn nothing_but_zeros_has_no_width() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.extent(), None);
        histogram.add(&[0.0; 9]);
        assert_eq!(histogram.extent(), Some([0.0, 0.0]));
        assert_eq!(histogram.bins().count(), 0);
        assert_eq!(histogram.total(), 9);
    }
}
