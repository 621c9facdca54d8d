//! Operators that move a window over a picture.

use super::super::shape::{self, WindowShape};
use super::Operator;
use super::view::{Read, Unread, View, misshapen, unsupported};
use crate::program::Window;

impl View<'_> {
    pub fn conv(&self, weights: usize) -> Result<Read, Unread> {
        if self.int("channels_last", 0) != 0 {
            return unsupported("channels_last is set");
        }
        let (input, weights) = (self.shape(0)?, self.shape(weights)?);
        let (&[batch, channels, ..], &[outputs, per_group, kh, kw]) = (input, weights) else {
            return unsupported(format!("weights of shape {weights:?}: only 2-D pictures"));
        };
        let groups = self.int("group", 1);
        let count = usize::try_from(groups).unwrap_or(0);
        let fits = count > 0
            && per_group > 0
            && outputs > 0
            && outputs.checked_rem(count) == Some(0)
            && per_group.checked_mul(count) == Some(channels);
        if !fits {
            return misshapen(format!(
                "weights {weights:?} in {groups} groups do not fit an input of {channels} channels"
            ));
        }
        self.check_kernel([kh, kw])?;
        let window = self.window([kh, kw], input)?;
        let [height, width] = window.output;
        Ok(Read {
            operator: Operator::Conv {
                groups: groups as u32,
                window: window.window,
            },
            shape: vec![batch, outputs, height, width],
        })
    }

    /// Whether `kernel_shape`, where it is given, is that of the weights.
    pub fn check_kernel(&self, kernel: [usize; 2]) -> Result<(), Unread> {
        let declared = self.ints("kernel_shape");
        if !declared.is_empty() && declared != kernel.map(|side| side as i64) {
            return misshapen(format!(
                "kernel_shape {declared:?} is not that of its weights"
            ));
        }
        Ok(())
    }

    /// The window of a convolution or pool over an NCHW input.
    fn window(&self, kernel: [usize; 2], input: &[usize]) -> Result<WindowShape, Unread> {
        let &[_, _, height, width] = input else {
            return unsupported(format!("an input of shape {input:?}: only 2-D pictures"));
        };
        shape::window(&shape::WindowAttributes {
            input: [height, width],
            kernel,
            strides: self.ints("strides"),
            dilations: self.ints("dilations"),
            pads: self.ints("pads"),
            auto_pad: self.text("auto_pad", "NOTSET"),
            round_up: self.int("ceil_mode", 0) != 0,
        })
        .or_else(misshapen)
    }

    pub fn average_pool(&self) -> Result<Read, Unread> {
        let count_outside = self.int("count_include_pad", 0) != 0;
        let (pool, shape) = self.pool()?;
        if pool.window.dilation != [1, 1] {
            return unsupported("an average over a window with dilation");
        }
        if count_outside && pool.overhangs {
            return unsupported(
                "ceil_mode makes windows that reach beyond the border, and count_include_pad \
                 counts the border alone",
            );
        }
        Ok(Read {
            operator: Operator::AveragePool {
                window: pool.window,
                count_outside,
            },
            shape,
        })
    }

    pub fn max_pool(&self) -> Result<Read, Unread> {
        let (pool, shape) = self.pool()?;
        Ok(Read {
            operator: Operator::MaxPool {
                window: pool.window,
            },
            shape,
        })
    }

    fn pool(&self) -> Result<(WindowShape, Vec<usize>), Unread> {
        if self.int("channels_last", 0) != 0 {
            return unsupported("channels_last is set");
        }
        let input = self.shape(0)?;
        let side = |i: usize| {
            let side = self.ints("kernel_shape").get(i).copied();
            side.and_then(|s| usize::try_from(s).ok()).unwrap_or(0)
        };
        let read = self.window([side(0), side(1)], input)?;
        if !read.always_inside {
            return unsupported("some of its windows lie outside the picture");
        }
        let [height, width] = read.output;
        let shape = vec![input[0], input[1], height, width];
        Ok((read, shape))
    }

    pub fn global_average_pool(&self) -> Result<Read, Unread> {
        let &[batch, channels, height, width] = self.shape(0)? else {
            return unsupported("its input is not a picture");
        };
        if self.int("channels_last", 0) != 0 {
            return unsupported("channels_last is set");
        }
        let (Ok(height), Ok(width)) = (u32::try_from(height), u32::try_from(width)) else {
            return misshapen("its input is too large");
        };
        let window = Window {
            kernel: [height, width],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        };
        Ok(Read {
            operator: Operator::AveragePool {
                window,
                count_outside: false,
            },
            shape: vec![batch, channels, 1, 1],
        })
    }
}
