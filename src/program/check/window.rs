//! The rules of a window that moves over a picture.

use super::{MAX_BORDER, MAX_EXTENT, MAX_WINDOW};
use crate::program::{Tensor, Window};

/// One direction of a window over a picture; every number fits 2^21.
struct Axis {
    name: &'static str,
    input: i64,
    output: i64,
    kernel: i64,
    stride: i64,
    dilation: i64,
    pad: i64,
}

fn axes(input: &Tensor, output: &Tensor, window: &Window) -> [Axis; 2] {
    let axis = |name, at: usize, input: u32, output: u32| Axis {
        name,
        input: input.into(),
        output: output.into(),
        kernel: window.kernel[at].into(),
        stride: window.stride[at].into(),
        dilation: window.dilation[at].into(),
        pad: window.pad[at].into(),
    };
    [
        axis("rows", 0, input.height, output.height),
        axis("columns", 1, input.width, output.width),
    ]
}

/// Whether the window is one, and takes the input's size to the output's.
pub(super) fn check(input: &Tensor, output: &Tensor, window: &Window) -> Result<(), String> {
    axes(input, output, window).iter().try_for_each(Axis::check)
}

/// Whether each window covers at least one pixel of the picture, without which
/// neither a mean nor a maximum exists.
pub(super) fn check_taps(input: &Tensor, output: &Tensor, window: &Window) -> Result<(), String> {
    let axes = axes(input, output, window);
    axes.iter().try_for_each(Axis::check_taps)
}

impl Axis {
    fn check(&self) -> Result<(), String> {
        let limit = i64::from(MAX_WINDOW);
        for (what, value) in [
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ] {
            if !(1..=limit).contains(&value) {
                let name = self.name;
                return Err(format!("its {what} in {name} is {value}, not 1..={limit}"));
            }
        }
        let extent = (self.kernel - 1) * self.dilation + 1;
        if extent > i64::from(MAX_EXTENT) {
            return Err(format!(
                "its kernel spans {extent} {}; at most {MAX_EXTENT} are allowed",
                self.name
            ));
        }
        let border = i64::from(MAX_BORDER);
        if self.pad > border {
            return Err(format!(
                "its border of {} {} is wider than {border}",
                self.pad, self.name
            ));
        }
        // The last window may lie past the picture, as far as a border would allow,
        // and no window more would fit without one.
        let last = (self.output - 1) * self.stride - self.pad;
        let fits = last < self.input + border && last + extent + self.stride > self.input;
        if !fits {
            return Err(format!(
                "{} {} do not give {} with kernel {}, stride {}, dilation {}, border {}",
                self.input,
                self.name,
                self.output,
                self.kernel,
                self.stride,
                self.dilation,
                self.pad
            ));
        }
        Ok(())
    }

    fn check_taps(&self) -> Result<(), String> {
        for at in 0..self.output {
            let start = at * self.stride - self.pad;
            // Taps before the picture's edge: a division rounded up.
            let skipped = ((-start).max(0) + self.dilation - 1) / self.dilation;
            if skipped >= self.kernel || start + skipped * self.dilation >= self.input {
                return Err(format!(
                    "its window {at} in {} lies wholly outside the picture",
                    self.name
                ));
            }
        }
        Ok(())
    }
}
