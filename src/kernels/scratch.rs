//! Working memory of the kernels.

use super::aligned::AlignedBytes;

/// Working memory that a caller keeps from one kernel to the next.
///
/// It grows to the largest need seen and never shrinks, so only the first run of a
/// program allocates. What it holds between two calls means nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: AlignedBytes,
    patches: Vec<i16>,
    sums: Vec<i32>,
}

impl Scratch {
    /// Grows the memory, so that a kernel that needs so many bytes does not allocate.
    pub fn reserve(&mut self, len: usize) {
        self.bytes(len);
    }

    /// Memory for any purpose, from a cache line on.
    pub(super) fn bytes(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes = AlignedBytes::new(len);
        }
        &mut self.bytes.get_mut()[..len]
    }

    /// Memory for 32-bit numbers, from a cache line on.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn words(&mut self, len: usize) -> &mut [i32] {
        bytemuck::cast_slice_mut(self.bytes(len * size_of::<i32>()))
    }

    /// Bytes, patches and sums there is room for.
    #[cfg(test)]
    pub(super) fn reserved(&self) -> [usize; 3] {
        [self.bytes.len(), self.patches.len(), self.sums.len()]
    }

    /// Patches of a convolution's input and its accumulators.
    pub(super) fn conv(&mut self, patches: usize, sums: usize) -> (&mut [i16], &mut [i32]) {
        (
            grown(&mut self.patches, patches),
            grown(&mut self.sums, sums),
        )
    }
}

fn grown<T: Default + Clone>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
