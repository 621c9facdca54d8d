//! Memory that begins at a cache line.

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// Bytes, zero at first, aligned to 64.
#[derive(Debug, Default)]
pub struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// Allocates `len` bytes.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + LINE - 1];
        Self {
            start: bytes.as_ptr().align_offset(LINE),
            bytes,
            len,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    /// The bytes, to write.
    pub fn get_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}
