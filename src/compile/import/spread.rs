//! Operators that make a picture of more rows and columns without resampling it, and the
//! element-wise maximum.

use super::Operator;
use super::view::{Read, Unread, View, misshapen, unsupported};

impl View<'_> {
    pub fn conv_transpose(&self, weights: usize) -> Result<Read, Unread> {
        let (input, weights) = (self.shape(0)?, self.shape(weights)?);
        let (&[batch, channels, height, width], &[inputs, outputs, kh, kw]) = (input, weights)
        else {
            return unsupported(format!("weights of shape {weights:?}: only 2-D pictures"));
        };
        if inputs != channels || outputs == 0 || kh == 0 || kw == 0 {
            return misshapen(format!(
                "weights {weights:?} do not fit an input of {channels} channels"
            ));
        }
        if self.int("group", 1) != 1 {
            return unsupported("it has groups; a Resize is faster where it interpolates");
        }
        if self.ints("dilations").iter().any(|&d| d != 1) {
            return unsupported("its dilations are not 1");
        }
        let auto_pad = self.text("auto_pad", "NOTSET");
        if !matches!(auto_pad, "" | "NOTSET" | "VALID") || !self.ints("output_shape").is_empty() {
            return unsupported("its pads are not given as numbers; export it with pads");
        }
        let pair = |name: &str, default: i64| -> Result<[u64; 2], Unread> {
            let list = self.ints(name);
            let of = |i: usize| u64::try_from(list.get(i).copied().unwrap_or(default));
            match (list.len(), of(0), of(1)) {
                (0 | 2, Ok(a), Ok(b)) => Ok([a, b]),
                _ => misshapen(format!("{name} {list:?} are not two numbers of 0 and more")),
            }
        };
        let (stride, extra) = (pair("strides", 1)?, pair("output_padding", 0)?);
        let pads = match (auto_pad, self.ints("pads")) {
            ("VALID", _) | (_, []) => [0; 4],
            (_, &[a, b, c, d]) => [a, b, c, d],
            (_, other) => return misshapen(format!("pads {other:?} are not four numbers")),
        };
        self.check_kernel([kh, kw])?;
        let side = |side: usize, input: usize, kernel: usize| {
            let whole = stride[side]
                .checked_mul(input.checked_sub(1)? as u64)?
                .checked_add(kernel as u64)?
                .checked_add(extra[side])?;
            let cut = [pads[side], pads[side + 2]].map(u64::try_from);
            let [Ok(before), Ok(after)] = cut else {
                return None;
            };
            let left = whole.checked_sub(before)?.checked_sub(after)?;
            let fits = left > 0 && stride[side] > 0 && extra[side] < stride[side];
            let number = |n: u64| u32::try_from(n).ok();
            let parts = [kernel as u64, stride[side], before].map(number);
            let [Some(kernel), Some(stride), Some(before)] = parts else {
                return None;
            };
            fits.then_some((number(left)?, [kernel, stride, before]))
        };
        let (Some((rows, down)), Some((columns, right))) =
            (side(0, height, kh), side(1, width, kw))
        else {
            return misshapen(format!(
                "kernel {kh}x{kw}, strides {stride:?}, pads {pads:?} and output_padding {extra:?} \
                 give no picture of {input:?}"
            ));
        };
        Ok(Read {
            operator: Operator::ConvTranspose {
                kernel: [down[0], right[0]],
                stride: [down[1], right[1]],
                pad: [down[2], right[2]],
            },
            shape: vec![batch, outputs, rows as usize, columns as usize],
        })
    }

    pub fn depth_to_space(&self) -> Result<Read, Unread> {
        let &[batch, channels, height, width] = self.shape(0)? else {
            return unsupported("its input is not a picture");
        };
        if self.text("mode", "DCR") != "DCR" {
            return unsupported("its mode is CRD; export it with DCR");
        }
        let side = self.int("blocksize", 0);
        let block = usize::try_from(side).ok().filter(|&b| b > 0 && b < 1 << 8);
        let parts = block.filter(|b| channels.is_multiple_of(b * b));
        let (Some(block), true) = (parts, channels > 0) else {
            return misshapen(format!("blocksize {side} for {channels} channels"));
        };
        Ok(Read {
            operator: Operator::DepthToSpace(block as u32),
            shape: vec![
                batch,
                channels / (block * block),
                height.saturating_mul(block),
                width.saturating_mul(block),
            ],
        })
    }

    pub fn max(&self) -> Result<Read, Unread> {
        let shape = self.shape(0)?.to_vec();
        for at in 1..self.inputs.len() {
            if self.shape(at)? != shape {
                return unsupported("its inputs have different shapes");
            }
        }
        Ok(Read {
            operator: Operator::Max,
            shape,
        })
    }
}
