//! Positions of output pixels among input pixels, without a division for each.

use crate::kernels::{Coordinates, NearestRule};

/// Bits of a bilinear position's fraction.
pub const FRACTION_BITS: u32 = 11;
/// Steps from one pixel to the next.
pub const ONE: u32 = 1 << FRACTION_BITS;

/// Numbers `floor((scale * o + offset) / divisor)` for `o = 0, 1, ..`, each kept
/// within `0 ..= last`.
#[derive(Debug, Clone)]
struct Steps {
    quotient: i64,
    remainder: i64,
    step_quotient: i64,
    step_remainder: i64,
    divisor: i64,
    last: i64,
}

impl Steps {
    fn new(scale: i64, offset: i64, divisor: i64, last: i64) -> Self {
        Self {
            quotient: offset.div_euclid(divisor),
            remainder: offset.rem_euclid(divisor),
            step_quotient: scale / divisor,
            step_remainder: scale % divisor,
            divisor,
            last,
        }
    }
}

impl Iterator for Steps {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        let value = self.quotient.max(0).min(self.last);
        self.quotient += self.step_quotient;
        self.remainder += self.step_remainder;
        if self.remainder >= self.divisor {
            self.remainder -= self.divisor;
            self.quotient += 1;
        }
        Some(value as u64)
    }
}

/// The position of output pixel `o` of `n` among `m` is
/// `(scale * o + offset) / divisor`.
fn ratio(coordinates: Coordinates, n: usize, m: usize) -> (i64, i64, i64) {
    let (n, m) = (n as i64, m as i64);
    match coordinates {
        Coordinates::AlignCorners => (m - 1, 0, (n - 1).max(1)),
        Coordinates::HalfPixel => (2 * m, m - n, 2 * n),
        Coordinates::Asymmetric => (m, 0, n),
        Coordinates::Middle => (1, -(n - m).div_euclid(2), 1),
    }
}

/// The input pixel nearest to each of `n` output pixels, without an end.
pub fn nearest(
    coordinates: Coordinates,
    rule: NearestRule,
    n: usize,
    m: usize,
) -> impl Iterator<Item = usize> {
    let (scale, offset, divisor) = ratio(coordinates, n, m);
    let last = m as i64 - 1;
    // Of p = a / d: ceil p = floor((a + d - 1) / d); the nearer one below a tie is
    // ceil(p - 1/2), the one above floor(p + 1/2).
    match rule {
        NearestRule::Floor => Steps::new(scale, offset, divisor, last),
        NearestRule::Ceil => Steps::new(scale, offset + divisor - 1, divisor, last),
        NearestRule::RoundPreferFloor => {
            Steps::new(2 * scale, 2 * offset + divisor - 1, 2 * divisor, last)
        }
        NearestRule::RoundPreferCeil => {
            Steps::new(2 * scale, 2 * offset + divisor, 2 * divisor, last)
        }
    }
    .map(|index| index as usize)
}

/// Two neighbouring input pixels and where an output pixel lies between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// The pixel before.
    pub before: usize,
    /// The pixel after; the same one where `fraction` is 0.
    pub after: usize,
    /// How far after `before`, in 1/2048: `0 ..= 2047`.
    pub fraction: u32,
}

/// Where each of `n` output pixels lies among `m` input pixels, without an end.
pub fn between(coordinates: Coordinates, n: usize, m: usize) -> impl Iterator<Item = Between> {
    let (scale, offset, divisor) = ratio(coordinates, n, m);
    let one = i64::from(ONE);
    // Rounding to the nearest, ties up: floor(2048 p + 1/2).
    let last = (m as i64 - 1) * one;
    Steps::new(
        2 * one * scale,
        2 * one * offset + divisor,
        2 * divisor,
        last,
    )
    .map(|position| {
        let before = (position >> FRACTION_BITS) as usize;
        let fraction = position as u32 & (ONE - 1);
        Between {
            before,
            after: before + usize::from(fraction != 0),
            fraction,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nearest_pixels_are_those_of_the_definition(
            coordinates in testing::coordinates(), rule in testing::nearest_rule(),
            n in 1usize..300, m in 1usize..300,
        ) {
            for (o, index) in nearest(coordinates, rule, n, m).take(n).enumerate() {
                prop_assert_eq!(index, testing::nearest(coordinates, rule, o, n, m));
            }
        }

        #[test]
        fn positions_are_those_of_the_definition(
            coordinates in testing::coordinates(), n in 1usize..5000, m in 1usize..5000,
        ) {
            for (o, place) in between(coordinates, n, m).take(n).enumerate() {
                let (before, fraction) = testing::bilinear_position(coordinates, o, n, m);
                prop_assert_eq!(place.before, before);
                prop_assert_eq!(place.fraction, fraction);
                prop_assert!(place.after < m);
                prop_assert_eq!(place.after, before + usize::from(fraction > 0));
            }
        }
    }

    #[test]
    fn ties_follow_the_rule() {
        // Pixel 1 of 4 among 2 lies at 0.5.
        let at = |rule| nearest(Coordinates::Asymmetric, rule, 4, 2).nth(1);
        assert_eq!(at(NearestRule::Floor), Some(0));
        assert_eq!(at(NearestRule::Ceil), Some(1));
        assert_eq!(at(NearestRule::RoundPreferFloor), Some(0));
        assert_eq!(at(NearestRule::RoundPreferCeil), Some(1));
    }

    #[test]
    fn a_fraction_that_rounds_to_one_is_the_next_pixel() {
        // 4095/4096 of a pixel is 2047.5 parts of 2048: a tie, which goes up.
        let place = between(Coordinates::Asymmetric, 4096, 4095).nth(1).unwrap();
        assert_eq!((place.before, place.after, place.fraction), (1, 1, 0));
        // A little less does not.
        let place = between(Coordinates::Asymmetric, 4095, 4094).nth(1).unwrap();
        assert_eq!((place.before, place.after, place.fraction), (0, 1, 2047));
    }
}
