//! What this machine can do at most, and how long an operation takes at least.

use serde::Serialize;

use super::work::Work;

/// Measured limits of the threads that run a model, all of them together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ceilings {
    /// Of convolutions; `None` where the kernels have no instructions of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// Of memory, the smallest working set first. Never empty.
    pub copies: Vec<CopyRate>,
}

/// The practical peak of a kernel of convolutions: its speed on a shape that suits it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peak {
    /// The kernel.
    pub kernel: &'static str,
    /// 10^9 products and sums a second, two for each multiplication.
    pub gops: f64,
    /// The shape.
    #[serde(flatten)]
    pub shape: IdealShape,
}

/// A 1x1 convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IdealShape {
    /// Pixels.
    pub pixels: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

/// How fast bytes are copied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CopyRate {
    /// Bytes of the source and of the copy together.
    pub working_set: u64,
    /// 10^9 bytes a second, those that are read and those that are written.
    pub gb_per_s: f64,
}

impl Ceilings {
    /// The least time in ms that an operation can take: the more of its products at the
    /// peak and its bytes at the speed of a copy. `None` of a convolution where no peak is
    /// known.
    pub fn floor_ms(&self, work: &Work) -> Option<f64> {
        let memory = work.bytes as f64 / (1e6 * self.gb_per_s(work.bytes));
        if work.macs == 0 {
            return Some(memory);
        }
        let peak = self.peak.as_ref()?;
        let compute = 2.0 * work.macs as f64 / (1e6 * peak.gops);
        Some(compute.max(memory))
    }

    /// The speed of a copy of so many bytes. Between two working sets that were measured
    /// it is the smaller one's, which is the faster as a rule: a floor shall not be too
    /// high.
    fn gb_per_s(&self, bytes: u64) -> f64 {
        let fits = |copy: &&CopyRate| copy.working_set <= bytes;
        let rate = self.copies.iter().take_while(fits).last();
        rate.or(self.copies.first())
            .map_or(f64::INFINITY, |rate| rate.gb_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::work::Class;
    use super::*;

    fn ceilings(gops: Option<f64>) -> Ceilings {
        let shape = IdealShape {
            pixels: 1,
            inputs: 1,
            outputs: 1,
        };
        let rate = |working_set, gb_per_s| CopyRate {
            working_set,
            gb_per_s,
        };
        Ceilings {
            peak: gops.map(|gops| Peak {
                kernel: "k",
                gops,
                shape,
            }),
            copies: vec![rate(1000, 40.0), rate(1_000_000, 10.0)],
        }
    }

    fn work(macs: u64, bytes: u64) -> Work {
        Work {
            class: Class::Pointwise,
            macs,
            codes: 1,
            terms: macs,
            bytes,
        }
    }

    #[test]
    fn the_floor_is_the_higher_one() {
        let ceilings = ceilings(Some(100.0));
        // 10^8 operations at 10^11 a second; 2 * 10^7 bytes at 10^10 a second.
        assert_eq!(ceilings.floor_ms(&work(50_000_000, 400)), Some(1.0));
        assert_eq!(ceilings.floor_ms(&work(50_000_000, 20_000_000)), Some(2.0));
    }

    #[test]
    fn a_copy_of_the_same_size_counts() {
        let ceilings = ceilings(None);
        let near = |bytes: u64, ms: f64| {
            let floor = ceilings.floor_ms(&work(0, bytes)).unwrap();
            assert!((floor / ms - 1.0).abs() < 1e-9, "{bytes}: {floor}");
        };
        near(400, 1e-5);
        near(999_999, 999_999.0 / 4e7);
        near(1_000_000, 0.1);
        near(100_000_000, 10.0);
    }

    #[test]
    fn products_without_a_peak_have_no_floor() {
        assert_eq!(ceilings(None).floor_ms(&work(1, 400)), None);
    }
}
