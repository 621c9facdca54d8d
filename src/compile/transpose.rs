//! Which axis of an ONNX tensor is which. The program has one layout, so a
//! transpose moves nothing: it only renames the axes, and a pair of them cancels.

use super::net::Size;

/// What an axis of a picture means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Batch,
    Channel,
    Row,
    Column,
}

use Axis::{Batch, Channel, Column, Row};

/// The meaning of each axis of an ONNX tensor, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes([Axis; 4]);

impl Axes {
    pub const NCHW: Self = Self([Batch, Channel, Row, Column]);
    pub const NHWC: Self = Self([Batch, Row, Column, Channel]);

    /// After an ONNX Transpose: output axis `i` is input axis `order[i]`.
    pub fn transposed(self, order: &[usize]) -> Option<Self> {
        let &[a, b, c, d] = order else { return None };
        let axis = |i: usize| self.0.get(i).copied();
        let axes = Self([axis(a)?, axis(b)?, axis(c)?, axis(d)?]);
        let all = [Batch, Channel, Row, Column];
        all.iter().all(|x| axes.0.contains(x)).then_some(axes)
    }

    /// What axis `index` means.
    pub fn meaning(self, index: usize) -> Option<Axis> {
        self.0.get(index).copied()
    }

    /// The picture that an ONNX shape is; `None` where its batch is not 1.
    pub fn size(self, shape: &[usize]) -> Option<Size> {
        let &[_, _, _, _] = shape else { return None };
        let side = |axis: Axis| {
            let at = self.0.iter().position(|&a| a == axis)?;
            u32::try_from(*shape.get(at)?).ok()
        };
        let size = Size {
            height: side(Row)?,
            width: side(Column)?,
            channels: side(Channel)?,
        };
        (side(Batch)? == 1).then_some(size)
    }

    /// The axes after a Reshape of `size` to `shape`, where that moves nothing:
    /// the same sides, or one pixel whose channels become another axis.
    pub fn reshaped(self, size: Size, shape: &[usize]) -> Option<Self> {
        let candidates = [self, Self::NCHW, Self::NHWC];
        let fits = |axes: &Self| axes.size(shape) == Some(size);
        let mut fitting = candidates.into_iter().filter(fits);
        let first = fitting.next()?;
        // Unless it is one pixel, other axes would mean that pixels move.
        (first == self || size.is_pixel()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_transposes_cancel() {
        let there = Axes::NCHW.transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!(there, Axes::NHWC);
        assert_eq!(there.transposed(&[0, 3, 1, 2]), Some(Axes::NCHW));
    }

    #[test]
    fn impossible_orders_are_refused() {
        for order in [&[0, 1, 2][..], &[0, 0, 1, 2], &[0, 1, 2, 9]] {
            assert_eq!(Axes::NCHW.transposed(order), None);
        }
    }

    #[test]
    fn a_pixel_may_be_reshaped_and_a_picture_may_not() {
        let pixel = Axes::NCHW.size(&[1, 8, 1, 1]).unwrap();
        assert_eq!(Axes::NCHW.reshaped(pixel, &[1, 1, 1, 8]), Some(Axes::NHWC));
        let picture = Axes::NCHW.size(&[1, 8, 2, 2]).unwrap();
        assert_eq!(Axes::NCHW.reshaped(picture, &[1, 2, 2, 8]), None);
        assert_eq!(
            Axes::NCHW.reshaped(picture, &[1, 8, 2, 2]),
            Some(Axes::NCHW)
        );
    }

    #[test]
    fn a_batch_is_no_picture() {
        assert_eq!(Axes::NCHW.size(&[2, 8, 1, 1]), None);
    }
}
