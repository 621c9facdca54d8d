//! Tensors as slices of the arena.

use crate::kernels::{Source, Target};
use crate::program::{Quant, Tensor};

/// Where a tensor lies in the arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// First byte and the byte after the last.
    pub start: usize,
    pub end: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixel_stride: usize,
    pub quant: Quant,
}

impl Place {
    pub(super) fn of(tensor: &Tensor) -> Self {
        let (height, width) = (tensor.height as usize, tensor.width as usize);
        let (channels, pixel_stride) = (tensor.channels as usize, tensor.pixel_stride as usize);
        let start = tensor.offset as usize;
        Self {
            start,
            end: start + (height * width - 1) * pixel_stride + channels,
            height,
            width,
            channels,
            pixel_stride,
            quant: tensor.quant,
        }
    }

    /// The whole tensor, to write.
    pub(super) fn target(self, data: &mut [u8]) -> Target<'_> {
        Target {
            data,
            range: 0..self.height * self.width,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.pixel_stride,
        }
    }

    pub(super) fn source(self, data: &[u8]) -> Source<'_> {
        Source {
            data,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.pixel_stride,
        }
    }
}

/// The arena, but for the tensor that is written.
pub(super) struct Rest<'a> {
    before: &'a [u8],
    after: &'a [u8],
    /// Arena offset of `after`.
    after_start: usize,
}

impl<'a> Rest<'a> {
    /// The tensor that is written, and all but that.
    pub(super) fn around(arena: &'a mut [u8], output: Place) -> (Target<'a>, Self) {
        let (before, rest) = arena.split_at_mut(output.start);
        let (data, after) = rest.split_at_mut(output.end - output.start);
        let rest = Self {
            before,
            after,
            after_start: output.end,
        };
        (output.target(data), rest)
    }

    /// All of it, where what is written lies elsewhere.
    pub(super) fn whole(arena: &'a [u8]) -> Self {
        Self {
            before: arena,
            after: &[],
            after_start: arena.len(),
        }
    }

    /// A tensor that is read; a checked program has none that overlaps the one
    /// that is written.
    pub(super) fn source(&self, place: Place) -> Source<'a> {
        let bytes = if place.end <= self.before.len() {
            &self.before[place.start..place.end]
        } else {
            &self.after[place.start - self.after_start..place.end - self.after_start]
        };
        place.source(bytes)
    }
}
