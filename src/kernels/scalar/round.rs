//! From an exact number to a code.

use crate::kernels::AddArgs;

/// 1.5 * 2^23: between 2^23 and 2^24 neighbouring f32 are 1 apart, so adding this to
/// a small number rounds it to an integer, ties to even, and leaves the integer in
/// the low bits.
const SHIFTER: f32 = 12_582_912.0;

/// `code(value, zero_point, clamp)` as [`crate::kernels`] defines it.
#[inline]
pub(super) fn code(value: f32, zero_point: u8, clamp: [u8; 2]) -> u8 {
    // Beyond 1024 either way the clamp decides whatever the zero point is. Within,
    // `SHIFTER` rounds without the call that `round_ties_even` is on some processors.
    let value = value.clamp(-1024.0, 1024.0);
    let rounded = (value + SHIFTER).to_bits() as i32 - SHIFTER.to_bits() as i32;
    let code = rounded + i32::from(zero_point);
    code.max(i32::from(clamp[0])).min(i32::from(clamp[1])) as u8
}

/// An accumulator to a code.
#[inline]
pub(super) fn requantize(acc: i32, multiplier: f32, zero_point: u8, clamp: [u8; 2]) -> u8 {
    code(acc as f32 * multiplier, zero_point, clamp)
}

/// The sum of two codes.
#[inline]
pub(super) fn sum(a: u8, b: u8, args: &AddArgs) -> u8 {
    let mut first = (a, args.a_zero_point, args.a_scale);
    let mut second = (b, args.b_zero_point, args.b_scale);
    if args.b_first {
        (first, second) = (second, first);
    }
    let zeros = f32::from(first.1).mul_add(first.2, f32::from(second.1) * second.2);
    let offset = f32::from(args.output_zero_point) - zeros;
    let value = f32::from(second.0).mul_add(second.2, offset);
    code(f32::from(first.0).mul_add(first.2, value), 0, args.clamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_number_rounds_as_the_definition_says(
            bits in any::<u32>(), zero_point in any::<u8>(), clamp in testing::clamp(),
        ) {
            let value = f32::from_bits(bits);
            prop_assume!(!value.is_nan());
            let wanted = testing::code(value, zero_point, clamp);
            prop_assert_eq!(code(value, zero_point, clamp), wanted);
        }

        #[test]
        fn numbers_near_codes_round_as_the_definition_says(
            halves in -4096i32..4096, ulps in -2i32..=2,
            zero_point in any::<u8>(), clamp in testing::clamp(),
        ) {
            prop_assume!(halves != 0);
            let tie = (halves as f32 / 2.0).to_bits();
            let value = f32::from_bits(tie.wrapping_add_signed(ulps));
            let wanted = testing::code(value, zero_point, clamp);
            prop_assert_eq!(code(value, zero_point, clamp), wanted);
        }
    }

    #[test]
    fn ties_go_to_even_and_infinities_to_the_ends() {
        let all = [0, 255];
        assert_eq!(code(0.5, 10, all), 10);
        assert_eq!(code(1.5, 10, all), 12);
        assert_eq!(code(-0.5, 10, all), 10);
        assert_eq!(code(-1.5, 10, all), 8);
        assert_eq!(code(f32::INFINITY, 10, [3, 200]), 200);
        assert_eq!(code(f32::NEG_INFINITY, 10, [3, 200]), 3);
        assert_eq!(requantize(i32::MIN, 1.0, 255, all), 0);
    }
}
