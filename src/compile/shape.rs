//! Shapes of ONNX operators' results.

use crate::program::{Window, check};

/// Elements of a shape; `None` where they cannot be counted.
pub fn elements(shape: &[usize]) -> Option<u64> {
    shape
        .iter()
        .try_fold(1u64, |n, &side| n.checked_mul(u64::try_from(side).ok()?))
}

/// An axis that may be counted from the end.
pub fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank_signed = i64::try_from(rank).ok()?;
    let from_start = if axis < 0 {
        axis.checked_add(rank_signed)?
    } else {
        axis
    };
    usize::try_from(from_start).ok().filter(|&a| a < rank)
}

/// Sides that are given as numbers.
pub fn sides(numbers: &[i64]) -> Option<Vec<usize>> {
    let side = |&n: &i64| usize::try_from(n).ok().filter(|&n| n > 0);
    numbers.iter().map(side).collect()
}

/// The common shape of two operands: sides of 1 are repeated.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let side = |shape: &[usize], i: usize| {
        let missing = rank - shape.len();
        if i < missing { 1 } else { shape[i - missing] }
    };
    (0..rank)
        .map(|i| match (side(a, i), side(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Sides times scales, rounded down in 32-bit float as ONNX Runtime does. With
/// `any` the scales need not be exact: only positions that depend on the sizes
/// alone allow that.
pub fn scaled(input: &[usize], scales: &[f32], any: bool) -> Option<Vec<usize>> {
    if input.len() != scales.len() {
        return None;
    }
    let side = |(&side, &scale): (&usize, &f32)| {
        let product = side as f32 * scale;
        let whole = product.floor();
        let is_exact = any || (product - whole).abs() <= 1e-3;
        let is_sound = product.is_finite() && (1.0..=16_777_216.0).contains(&whole);
        (is_exact && is_sound).then_some(whole as usize)
    };
    input.iter().zip(scales).map(side).collect()
}

/// The shape after a Reshape: 0 keeps a side, one -1 takes what is left.
pub fn reshaped(input: &[usize], target: &[i64]) -> Option<Vec<usize>> {
    let total = elements(input)?;
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, &side) in target.iter().enumerate() {
        shape.push(match side {
            0 => *input.get(i)?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            side => usize::try_from(side).ok()?,
        });
    }
    if let Some(i) = open {
        let known = elements(&shape)?;
        let left = total.checked_div(known)?;
        shape[i] = usize::try_from(left).ok()?;
    }
    (elements(&shape) == Some(total)).then_some(shape)
}

/// The attributes of a convolution or pool, as the node has them.
#[derive(Debug, Clone, Copy)]
pub struct WindowAttributes<'a> {
    /// Rows and columns of the input.
    pub input: [usize; 2],
    pub kernel: [usize; 2],
    pub strides: &'a [i64],
    pub dilations: &'a [i64],
    pub pads: &'a [i64],
    pub auto_pad: &'a str,
    /// Whether a last, partial window counts.
    pub round_up: bool,
}

/// A window and the size it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowShape {
    pub window: Window,
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Whether every window covers a pixel of the input.
    pub always_inside: bool,
    /// Whether a last, partial window reaches beyond the border.
    pub overhangs: bool,
}

/// Works out a window; the error says what does not fit.
pub fn window(attributes: &WindowAttributes) -> Result<WindowShape, String> {
    let mut result = WindowShape {
        window: Window {
            kernel: [1; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [0; 2],
        },
        output: [1; 2],
        always_inside: true,
        overhangs: false,
    };
    for (name, list, len) in [
        ("strides", attributes.strides, 2),
        ("dilations", attributes.dilations, 2),
        ("pads", attributes.pads, 4),
    ] {
        if !list.is_empty() && list.len() != len {
            return Err(format!("{name} has {} numbers, not {len}", list.len()));
        }
    }
    for side in 0..2 {
        let at = |list: &[i64], i: usize, default: i64| list.get(i).copied().unwrap_or(default);
        let small = |value: i64| (0..=1 << 30).contains(&value);
        let input = i64::try_from(attributes.input[side]).unwrap_or(i64::MAX);
        let kernel = i64::try_from(attributes.kernel[side]).unwrap_or(i64::MAX);
        let stride = at(attributes.strides, side, 1);
        let dilation = at(attributes.dilations, side, 1);
        let pads = [
            at(attributes.pads, side, 0),
            at(attributes.pads, side + 2, 0),
        ];
        let all = [input, kernel, stride, dilation, pads[0], pads[1]];
        if !all.into_iter().all(small) || kernel < 1 || stride < 1 || dilation < 1 || input < 1 {
            return Err(format!(
                "kernel {kernel}, stride {stride}, dilation {dilation}, pads {pads:?} over {input}"
            ));
        }
        // At most 2^60.
        let reach = dilation * (kernel - 1) + 1;
        let same = (input - 1) / stride + 1;
        let total = ((same - 1) * stride + reach - input).max(0);
        let pads = match attributes.auto_pad {
            "" | "NOTSET" => pads,
            "VALID" => [0, 0],
            "SAME_UPPER" => [total / 2, total - total / 2],
            "SAME_LOWER" => [total - total / 2, total / 2],
            other => return Err(format!("auto_pad '{other}' is unknown")),
        };
        let room = input + pads[0] + pads[1] - reach;
        if room < 0 {
            return Err(format!(
                "a kernel that spans {reach} does not fit {input} with pads {pads:?}"
            ));
        }
        let mut output = room / stride + 1;
        // A partial window must start inside the picture or the border before it.
        let starts_inside = output * stride < input + pads[0];
        if attributes.round_up && room % stride != 0 && starts_inside {
            output += 1;
        }
        let last = (output - 1) * stride - pads[0];
        result.overhangs |= last + reach > input + pads[1];
        // First the ends, so that a window far outside costs no time.
        result.always_inside &= reach > pads[0] && last < input;
        result.always_inside &= dilation == 1
            || output > i64::from(crate::frame::MAX_SIDE)
            || (0..output).all(|o| covers(o * stride - pads[0], dilation, kernel, input));
        let narrow = |value: i64| u32::try_from(value).map_err(|_| format!("{value} is too large"));
        result.window.kernel[side] = narrow(kernel)?;
        result.window.stride[side] = narrow(stride)?;
        result.window.dilation[side] = narrow(dilation)?;
        result.window.pad[side] = narrow(pads[0])?;
        result.output[side] = usize::try_from(output).map_err(|e| e.to_string())?;
    }
    Ok(result)
}

/// Whether a tap of a window that starts at `start` lies among `len` pixels.
fn covers(start: i64, dilation: i64, kernel: i64, len: i64) -> bool {
    // The first tap that is not before them: a division rounded up.
    let tap = ((-start).max(0) + dilation - 1) / dilation;
    tap < kernel && start + tap * dilation < len
}

/// Whether a program may hold a window: its borders are within limits, and no other window
/// would fit behind the last one.
pub fn is_runnable(window: &Window, input: [u32; 2], output: [u32; 2]) -> bool {
    (0..2).all(|side| {
        let (reach, last) = reach_and_last(window, side, output);
        let (stride, input) = (i64::from(window.stride[side]), i64::from(input[side]));
        let border = i64::from(check::MAX_BORDER);
        let pad = i64::from(window.pad[side]);
        pad <= border && last < input + border && last + reach + stride > input
    })
}

/// Whether the first and the last window begin and end on the picture, as those of a pool
/// must: it makes nothing of zeros alone.
pub fn begins_and_ends_inside(window: &Window, input: [u32; 2], output: [u32; 2]) -> bool {
    (0..2).all(|side| {
        let (reach, last) = reach_and_last(window, side, output);
        i64::from(window.pad[side]) < reach && last < i64::from(input[side])
    })
}

/// How many pixels a window spans along a side, and where the last one begins.
fn reach_and_last(window: &Window, side: usize, output: [u32; 2]) -> (i64, i64) {
    let reach = (i64::from(window.kernel[side]) - 1) * i64::from(window.dilation[side]) + 1;
    let start = (i64::from(output[side]) - 1) * i64::from(window.stride[side]);
    (reach, start - i64::from(window.pad[side]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(input: usize, kernel: usize) -> WindowAttributes<'static> {
        WindowAttributes {
            input: [input; 2],
            kernel: [kernel; 2],
            strides: &[2, 2],
            dilations: &[],
            pads: &[],
            auto_pad: "NOTSET",
            round_up: false,
        }
    }

    #[test]
    fn same_padding_puts_the_odd_pixel_last_or_first() {
        let mut attributes = plain(224, 3);
        attributes.auto_pad = "SAME_UPPER";
        let upper = window(&attributes).unwrap();
        assert_eq!((upper.window.pad, upper.output), ([0, 0], [112, 112]));
        attributes.auto_pad = "SAME_LOWER";
        let lower = window(&attributes).unwrap();
        assert_eq!((lower.window.pad, lower.output), ([1, 1], [112, 112]));
    }

    #[test]
    fn rounding_up_adds_the_partial_window() {
        let mut attributes = plain(4, 3);
        assert_eq!(window(&attributes).unwrap().output, [1, 1]);
        attributes.round_up = true;
        assert_eq!(window(&attributes).unwrap().output, [2, 2]);
    }

    #[test]
    fn a_window_may_step_over_the_picture() {
        let mut attributes = plain(1, 2);
        attributes.pads = &[1, 1, 1, 1];
        assert!(window(&attributes).unwrap().always_inside);
        attributes.dilations = &[2, 2];
        assert!(!window(&attributes).unwrap().always_inside);
    }

    #[test]
    fn a_partial_window_may_reach_beyond_the_border() {
        let mut attributes = plain(4, 3);
        attributes.round_up = true;
        assert!(window(&attributes).unwrap().overhangs);
        attributes.pads = &[0, 0, 1, 1];
        assert!(!window(&attributes).unwrap().overhangs);
    }

    #[test]
    fn a_border_may_be_wider_than_the_kernel_and_has_a_limit() {
        let window = |pad| Window {
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [pad; 2],
        };
        assert!(is_runnable(&window(2), [4, 4], [6, 6]));
        assert!(begins_and_ends_inside(&window(2), [4, 4], [6, 6]));
        assert!(is_runnable(&window(100), [4, 4], [202, 202]));
        assert!(!begins_and_ends_inside(&window(3), [4, 4], [7, 7]));
        assert!(!begins_and_ends_inside(&window(0), [4, 4], [5, 5]));
        assert!(!is_runnable(&window(1025), [4, 4], [2052, 2052]));
        assert!(!is_runnable(&window(0), [4, 4], [1029, 1029]));
        assert!(!is_runnable(&window(0), [4, 4], [1, 1]));
    }

    #[test]
    fn impossible_windows_are_named() {
        assert!(window(&plain(2, 3)).unwrap_err().contains("spans 3"));
        let mut attributes = plain(8, 3);
        attributes.pads = &[-1, 0, 0, 0];
        assert!(window(&attributes).is_err());
        attributes.pads = &[0];
        assert!(window(&attributes).unwrap_err().contains("pads"));
        attributes.pads = &[3, 0, 0, 0];
        assert!(!window(&attributes).unwrap().always_inside);
    }

    #[test]
    fn reshape_fills_the_open_side() {
        assert_eq!(reshaped(&[1, 8, 1, 1], &[0, -1]), Some(vec![1, 8]));
        assert_eq!(reshaped(&[1, 8], &[-1, 3]), None);
        assert_eq!(reshaped(&[1, 8], &[-1, -1]), None);
        assert_eq!(reshaped(&[1, 8], &[0, 0, 0]), None);
    }

    #[test]
    fn scales_round_down() {
        let scales = [1.0, 1.0, 15.545_455, 15.545_455];
        assert_eq!(
            scaled(&[1, 21, 33, 33], &scales, true),
            Some(vec![1, 21, 513, 513])
        );
        assert_eq!(scaled(&[3], &[1.5], false), None);
        assert_eq!(scaled(&[3], &[f32::NAN], true), None);
        assert_eq!(scaled(&[3], &[f32::INFINITY], true), None);
    }

    #[test]
    fn sides_of_one_are_repeated() {
        assert_eq!(broadcast(&[1, 8, 4, 4], &[8, 1, 1]), Some(vec![1, 8, 4, 4]));
        assert_eq!(broadcast(&[2], &[3]), None);
    }
}
