//! What the operations of a class took, beside what they would take at least.

use std::time::Duration;

use super::ceilings::Ceilings;
use super::work::{Class, Work};

/// An operation that was timed.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its size.
    pub work: Work,
    /// Whether its kernel is the portable one.
    pub is_portable: bool,
    /// What it took.
    pub time: Duration,
}

/// The operations of a class, all together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// The class.
    pub class: Class,
    /// Number of operations.
    pub ops: usize,
    /// See [`Work`].
    pub macs: u64,
    /// See [`Work`].
    pub codes: u64,
    /// See [`Work`].
    pub terms: u64,
    /// See [`Work`].
    pub bytes: u64,
    /// What they took.
    pub ms: f64,
    /// What those of them took that portable kernels do.
    pub portable_ms: f64,
    /// What they take at least: the sum of the operations' floors, for they run one after
    /// the other. `None` where that of one is not known.
    pub floor_ms: Option<f64>,
}

impl Totals {
    /// A class of which nothing was counted yet.
    fn none(class: Class) -> Self {
        Self {
            class,
            ops: 0,
            macs: 0,
            codes: 0,
            terms: 0,
            bytes: 0,
            ms: 0.0,
            portable_ms: 0.0,
            floor_ms: Some(0.0),
        }
    }

    /// The classes that occur, in the order of [`Class`].
    pub fn by_class(samples: &[Sample], ceilings: &Ceilings) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for sample in samples {
            let class = sample.work.class;
            let index = all.iter().position(|totals| totals.class == class);
            let index = index.unwrap_or_else(|| {
                all.push(Self::none(class));
                all.len() - 1
            });
            all[index].count(sample, ceilings);
        }
        all.sort_unstable_by_key(|totals| totals.class);
        all
    }

    fn count(&mut self, sample: &Sample, ceilings: &Ceilings) {
        let Sample { work, time, .. } = sample;
        let ms = time.as_secs_f64() * 1e3;
        self.ops += 1;
        self.macs += work.macs;
        self.codes += work.codes;
        self.terms += work.terms;
        self.bytes += work.bytes;
        self.ms += ms;
        if sample.is_portable {
            self.portable_ms += ms;
        }
        let floor = ceilings.floor_ms(work);
        self.floor_ms = self.floor_ms.zip(floor).map(|(sum, floor)| sum + floor);
    }

    /// How many times their floor they took.
    pub fn ratio(&self) -> Option<f64> {
        self.floor_ms.map(|floor| self.ms / floor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ceilings::CopyRate;
    use super::*;

    fn sample(class: Class, macs: u64, ms: u64, is_portable: bool) -> Sample {
        Sample {
            work: Work {
                class,
                macs,
                codes: 10,
                terms: 20,
                bytes: 1_000_000,
            },
            is_portable,
            time: Duration::from_millis(ms),
        }
    }

    #[test]
    fn operations_are_added_up_by_class() {
        let ceilings = Ceilings {
            peak: None,
            copies: vec![CopyRate {
                working_set: 1,
                gb_per_s: 1.0,
            }],
        };
        let samples = [
            sample(Class::Argmax, 0, 9, false),
            sample(Class::Map, 0, 2, false),
            sample(Class::Pointwise, 5, 1, false),
            sample(Class::Map, 0, 4, true),
        ];
        let all = Totals::by_class(&samples, &ceilings);
        let classes: Vec<Class> = all.iter().map(|totals| totals.class).collect();
        assert_eq!(classes, [Class::Pointwise, Class::Map, Class::Argmax]);
        let map = Totals {
            class: Class::Map,
            ops: 2,
            macs: 0,
            codes: 20,
            terms: 40,
            bytes: 2_000_000,
            ms: 6.0,
            portable_ms: 4.0,
            floor_ms: Some(2.0),
        };
        assert_eq!(all[1], map);
        assert_eq!(map.ratio(), Some(3.0));
        // Products, and no peak.
        assert_eq!((all[0].floor_ms, all[0].ratio()), (None, None));
    }
}
