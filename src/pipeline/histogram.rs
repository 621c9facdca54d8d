//! Distributions of durations in a fixed amount of memory.

use std::time::Duration;

/// Bits of a value that its bucket keeps below the leading one.
const FINE_BITS: u32 = 8;

/// Buckets for each power of two.
const FINE: usize = 1 << FINE_BITS;

/// Powers of two that have buckets of their own: up to 2^36 µs, 19 hours.
const POWERS: usize = 36 - FINE_BITS as usize;

/// Percentiles and the maximum of durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the values were at most this.
    pub p50: Duration,
    /// 95 of 100 were at most this.
    pub p95: Duration,
    /// 99 of 100 were at most this.
    pub p99: Duration,
    /// The greatest, exactly.
    pub max: Duration,
}

/// Counts of durations in buckets whose width grows with the value.
///
/// A percentile is a nearest rank, told as the upper end of its bucket: never too
/// small, too great by at most 1/256 of itself or one microsecond. Values above 19
/// hours share a bucket.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; FINE * (POWERS + 1)].into(),
            total: 0,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: Duration) {
        // Rounded up, so that no percentile is told too small.
        let micros = value.as_nanos().div_ceil(1000);
        let bucket = bucket(u64::try_from(micros).unwrap_or(u64::MAX));
        self.counts[bucket.min(self.counts.len() - 1)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.max = Duration::ZERO;
    }

    /// The percentiles; none without values.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.total > 0).then(|| Percentiles {
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            max: self.max,
        })
    }

    fn percentile(&self, percent: u64) -> Duration {
        let rank = u128::from(self.total) * u128::from(percent);
        let rank = rank.div_ceil(100).max(1) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(self.max, |bucket| {
            Duration::from_micros(upper_end(bucket)).min(self.max)
        })
    }
}

/// The bucket of a number of microseconds: exact below [`FINE`], from there on by the
/// leading one and the [`FINE_BITS`] below it.
fn bucket(micros: u64) -> usize {
    if micros < FINE as u64 {
        return micros as usize;
    }
    let shift = micros.ilog2() - FINE_BITS;
    let fine = (micros >> shift) as usize - FINE;
    FINE * (shift as usize + 1) + fine
}

/// The greatest number of microseconds in a bucket.
fn upper_end(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let (shift, fine) = (bucket / FINE - 1, bucket % FINE);
    ((FINE + fine + 1) as u64 * (1 << shift)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_gaps() {
        let mut next = 0;
        for index in 0..FINE * (POWERS + 1) {
            let end = upper_end(index);
            assert_eq!((bucket(next), bucket(end)), (index, index));
            next = end + 1;
        }
        assert_eq!(next, 1 << 36);
    }

    #[test]
    fn percentiles_are_nearest_rank_within_the_stated_error() {
        let mut values: Vec<Duration> = (0..5000u64)
            .map(|i| Duration::from_nanos(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 40_000_000_000))
            .collect();
        let mut histogram = Histogram::default();
        values.iter().for_each(|&value| histogram.add(value));
        values.sort_unstable();
        let told = histogram.percentiles().unwrap();
        for (told, percent) in [(told.p50, 50), (told.p95, 95), (told.p99, 99)] {
            let exact = values[(values.len() * percent).div_ceil(100) - 1];
            assert!(told >= exact, "{percent}: {told:?} {exact:?}");
            let allowed = (exact / FINE as u32).max(Duration::from_micros(1));
            assert!(told - exact <= allowed, "{percent}: {told:?} {exact:?}");
        }
        assert_eq!(told.max, values[4999]);
    }

    #[test]
    fn the_ends_of_the_range_are_no_trouble() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), None);
        histogram.add(Duration::ZERO);
        assert_eq!(histogram.percentiles(), Some(Percentiles::default()));
        histogram.add(Duration::MAX);
        let told = histogram.percentiles().unwrap();
        assert_eq!((told.p50, told.max), (Duration::ZERO, Duration::MAX));
        histogram.clear();
        assert_eq!(histogram.percentiles(), None);
    }
}
