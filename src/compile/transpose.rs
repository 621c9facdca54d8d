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

/// All of them, in ONNX's own order.
const ALL: [Axis; 4] = [Batch, Channel, Row, Column];

/// The meaning of each axis of an ONNX tensor, in its order. A tensor of fewer
/// than four axes has a side of 1 along those it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes([Option<Axis>; 4]);

impl Axes {
    pub const NCHW: Self = Self([Some(Batch), Some(Channel), Some(Row), Some(Column)]);
    pub const NHWC: Self = Self([Some(Batch), Some(Row), Some(Column), Some(Channel)]);

    /// `None` where there are more than four or one stands twice.
    fn new(axes: &[Axis]) -> Option<Self> {
        let mut list = [None; 4];
        for (index, axis) in axes.iter().enumerate() {
            if axes[..index].contains(axis) {
                return None;
            }
            *list.get_mut(index)? = Some(*axis);
        }
        Some(Self(list))
    }

    fn iter(self) -> impl Iterator<Item = Axis> {
        self.0.into_iter().flatten()
    }

    /// Number of axes.
    pub fn rank(self) -> usize {
        self.iter().count()
    }

    /// After an ONNX Transpose: output axis `i` is input axis `order[i]`.
    pub fn transposed(self, order: &[usize]) -> Option<Self> {
        let axes: Option<Vec<Axis>> = order.iter().map(|&i| self.meaning(i)).collect();
        Self::new(&axes?).filter(|_| order.len() == self.rank())
    }

    /// After a reduction that drops axes; `None` where none is left.
    pub fn without(self, dropped: &[Axis]) -> Option<Self> {
        let left: Vec<Axis> = self.iter().filter(|axis| !dropped.contains(axis)).collect();
        Self::new(&left).filter(|_| !left.is_empty())
    }

    /// What axis `index` means.
    pub fn meaning(self, index: usize) -> Option<Axis> {
        self.0.get(index).copied().flatten()
    }

    /// Where an axis stands.
    pub fn position(self, axis: Axis) -> Option<usize> {
        self.iter().position(|a| a == axis)
    }

    /// The picture that an ONNX shape is; `None` where its batch is not 1.
    pub fn size(self, shape: &[usize]) -> Option<Size> {
        if shape.len() != self.rank() {
            return None;
        }
        let side = |axis: Axis| match self.position(axis) {
            Some(at) => u32::try_from(shape[at]).ok(),
            None => Some(1),
        };
        let size = Size {
            height: side(Row)?,
            width: side(Column)?,
            channels: side(Channel)?,
        };
        (side(Batch)? == 1).then_some(size)
    }

    /// The axes after a Reshape of `size` to `shape`, where that moves nothing: the
    /// sides other than 1 are the same and in the same order.
    pub fn reshaped(self, size: Size, shape: &[usize]) -> Option<Self> {
        if self.size(shape) == Some(size) {
            return Some(self);
        }
        let side = |axis: Axis| match axis {
            Batch => 1,
            Channel => size.channels as usize,
            Row => size.height as usize,
            Column => size.width as usize,
        };
        let order = |axes: Self| axes.iter().filter(|&axis| side(axis) != 1);
        // Where sides of 1 leave a choice, the usual meanings.
        let usual = [
            Self::NCHW,
            Self::NHWC,
            Self([Some(Channel), Some(Row), Some(Column), None]),
            Self([Some(Batch), Some(Channel), None, None]),
        ];
        let fits = |axes: &Self| axes.size(shape) == Some(size) && order(*axes).eq(order(self));
        if let Some(axes) = usual.into_iter().find(fits) {
            return Some(axes);
        }
        let mut long = order(self);
        let mut short = ALL.into_iter().filter(|&axis| side(axis) == 1);
        let mut axes = Vec::with_capacity(shape.len());
        for &given in shape {
            let axis = if given == 1 {
                short.next()?
            } else {
                long.next().filter(|&axis| side(axis) == given)?
            };
            axes.push(axis);
        }
        Self::new(&axes).filter(|_| long.next().is_none())
    }

    /// The axes of the result of an operator that repeats sides of 1: those of the
    /// operand with more axes, whose last ones the other's must be.
    pub fn broadcast(self, other: Self) -> Option<Self> {
        let (long, short) = if self.rank() < other.rank() {
            (other, self)
        } else {
            (self, other)
        };
        let skipped = long.rank() - short.rank();
        long.iter().skip(skipped).eq(short.iter()).then_some(long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(channels: u32) -> Size {
        Size {
            height: 1,
            width: 1,
            channels,
        }
    }

    #[test]
    fn two_transposes_cancel() {
        let there = Axes::NCHW.transposed(&[0, 2, 3, 1]).unwrap();
        assert_eq!(there, Axes::NHWC);
        assert_eq!(there.transposed(&[0, 3, 1, 2]), Some(Axes::NCHW));
    }

    #[test]
    fn impossible_orders_are_refused() {
        for order in [
            &[0, 1, 2][..],
            &[0, 0, 1, 2],
            &[0, 1, 2, 9],
            &[0, 1, 2, 3, 3],
        ] {
            assert_eq!(Axes::NCHW.transposed(order), None);
        }
    }

    #[test]
    fn a_pixel_may_be_reshaped_and_a_picture_may_not() {
        assert_eq!(
            Axes::NCHW.reshaped(pixel(8), &[1, 1, 1, 8]),
            Some(Axes::NHWC)
        );
        let picture = Axes::NCHW.size(&[1, 8, 2, 2]).unwrap();
        for shape in [&[1, 2, 2, 8][..], &[1, 32], &[1, 8, 4], &[8, 2, 2, 1, 1]] {
            assert_eq!(Axes::NCHW.reshaped(picture, shape), None, "{shape:?}");
        }
        assert_eq!(
            Axes::NCHW.reshaped(picture, &[1, 8, 2, 2]),
            Some(Axes::NCHW)
        );
    }

    #[test]
    fn axes_of_one_pixel_come_and_go() {
        let flat = Axes::NCHW.reshaped(pixel(8), &[1, 8]).unwrap();
        assert_eq!((flat.rank(), flat.position(Channel)), (2, Some(1)));
        assert_eq!(flat.size(&[1, 8]), Some(pixel(8)));
        assert_eq!(flat.reshaped(pixel(8), &[1, 8, 1, 1]), Some(Axes::NCHW));
        assert_eq!(flat.reshaped(pixel(8), &[1, 1, 1, 8]), Some(Axes::NHWC));
        assert_eq!(flat.reshaped(pixel(8), &[8, 8]), None);
        assert_eq!(flat.reshaped(pixel(8), &[1, 1]), None);
    }

    #[test]
    fn a_channel_moves_past_sides_of_one_only() {
        let picture = Axes::NCHW.size(&[1, 1, 4, 5]).unwrap();
        let mask = Axes::NCHW.reshaped(picture, &[1, 4, 5]).unwrap();
        assert_eq!(mask.reshaped(picture, &[1, 4, 5, 1]), Some(Axes::NHWC));
        assert_eq!(mask.reshaped(picture, &[1, 5, 4, 1]), None);
    }

    #[test]
    fn the_last_axes_must_agree() {
        assert_eq!(Axes::NHWC.broadcast(Axes::NCHW), None);
        assert_eq!(Axes::NCHW.broadcast(Axes::NCHW), Some(Axes::NCHW));
        let batchless = Axes::NCHW.reshaped(pixel(8), &[8, 1, 1]).unwrap();
        assert_eq!(batchless.broadcast(Axes::NCHW), Some(Axes::NCHW));
    }

    #[test]
    fn a_batch_is_no_picture() {
        assert_eq!(Axes::NCHW.size(&[2, 8, 1, 1]), None);
    }
}
