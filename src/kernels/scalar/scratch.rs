//! Working memory of the kernels.

/// Working memory that a caller keeps from one kernel to the next.
///
/// It grows to the largest need seen and never shrinks, so only the first run of a
/// program allocates. What it holds between two calls means nothing.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    patches: Vec<i16>,
    sums: Vec<i32>,
    labels: Vec<u8>,
}

impl Scratch {
    /// Patches of a convolution's input and its accumulators.
    pub(super) fn conv(&mut self, patches: usize, sums: usize) -> (&mut [i16], &mut [i32]) {
        (
            grown(&mut self.patches, patches),
            grown(&mut self.sums, sums),
        )
    }

    /// Classes of pixels.
    pub(super) fn labels(&mut self, len: usize) -> &mut [u8] {
        grown(&mut self.labels, len)
    }
}

fn grown<T: Default + Clone>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
