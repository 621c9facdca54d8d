//! Which taps of a window lie inside the picture.

use std::ops::Range;

use crate::kernels::Window;

/// Direction along a picture: index into the arrays of a [`Window`].
pub const ROWS: usize = 0;
/// The other one.
pub const COLUMNS: usize = 1;

/// The taps of output row (or column) `o` that lie inside `len` rows (columns).
#[inline]
pub fn inside(window: &Window, axis: usize, o: usize, len: usize) -> Range<usize> {
    let (start, pad) = (o * window.stride[axis], window.pad[axis]);
    let dilation = window.dilation[axis];
    let end = (len + pad)
        .saturating_sub(start)
        .div_ceil(dilation)
        .min(window.kernel[axis]);
    let first = pad.saturating_sub(start).div_ceil(dilation).min(end);
    first..end
}

/// The output rows (or columns) all of whose taps lie inside `len` rows (columns).
pub fn within(window: &Window, axis: usize, len: usize) -> Range<usize> {
    let reach = (window.kernel[axis] - 1) * window.dilation[axis];
    let start = window.pad[axis].div_ceil(window.stride[axis]);
    // The last one's last tap: o * stride - pad + reach <= len - 1.
    let end = match (len + window.pad[axis]).checked_sub(reach + 1) {
        Some(most) => most / window.stride[axis] + 1,
        None => 0,
    };
    start..end.max(start)
}

/// The row (or column) that tap `t` of output row `o` reads; the tap is inside.
#[inline]
pub fn at(window: &Window, axis: usize, o: usize, t: usize) -> usize {
    o * window.stride[axis] + t * window.dilation[axis] - window.pad[axis]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_taps_inside_are_listed(
            kernel in 1usize..8, stride in 1usize..5, dilation in 1usize..30,
            pad in 0usize..40, o in 0usize..20, len in 1usize..25,
        ) {
            let window = Window {
                kernel: [kernel, 1], stride: [stride, 1], dilation: [dilation, 1], pad: [pad, 0],
            };
            let position = |t: usize| (o * stride + t * dilation) as i64 - pad as i64;
            let is_inside = |&t: &usize| (0..len as i64).contains(&position(t));
            let wanted: Vec<usize> = (0..kernel).filter(is_inside).collect();
            let listed: Vec<usize> = inside(&window, ROWS, o, len).collect();
            prop_assert_eq!(&listed, &wanted);
            let all = within(&window, ROWS, len).contains(&o);
            prop_assert_eq!(all, listed.len() == kernel);
            for t in listed {
                prop_assert_eq!(at(&window, ROWS, o, t) as i64, position(t));
            }
        }
    }
}
