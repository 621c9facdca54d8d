//! The bytes a program's spans point into: owned, or borrowed from a mapped file.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::Span;

/// Alignment of every span, in bytes: a cache line, and the widest vector.
pub const ALIGN: u64 = 64;

/// Weights, biases, multipliers and tables of a program, little-endian.
///
/// A clone shares the bytes.
#[derive(Clone)]
pub struct Constants {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Constants {
    /// A part of what `owner` holds, without a copy. `None` where `range` is not
    /// inside it.
    pub fn shared(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Option<Self> {
        (*owner).as_ref().get(range.clone())?;
        Some(Self { owner, range })
    }

    /// The span's elements as bytes. `None` where it is not inside.
    pub fn u8s(&self, span: Span) -> Option<&[u8]> {
        self.elements(span, 1)
    }

    /// The span's elements as signed bytes. `None` where it is not inside.
    pub fn i8s(&self, span: Span) -> Option<&[i8]> {
        self.elements(span, 1).map(bytemuck::cast_slice)
    }

    /// The span's elements as 32-bit integers, decoded. `None` where it is not
    /// inside.
    pub fn i32s(&self, span: Span) -> Option<Vec<i32>> {
        self.words(span, i32::from_le_bytes)
    }

    /// The span's elements as 32-bit floats, decoded. `None` where it is not
    /// inside.
    pub fn f32s(&self, span: Span) -> Option<Vec<f32>> {
        self.words(span, f32::from_le_bytes)
    }

    fn words<T>(&self, span: Span, decode: fn([u8; 4]) -> T) -> Option<Vec<T>> {
        let (words, _) = self.elements(span, 4)?.as_chunks::<4>();
        Some(words.iter().copied().map(decode).collect())
    }

    fn elements(&self, span: Span, size: u64) -> Option<&[u8]> {
        let end = span.len.checked_mul(size)?.checked_add(span.offset)?;
        let (start, end) = (
            usize::try_from(span.offset).ok()?,
            usize::try_from(end).ok()?,
        );
        self.get(start..end)
    }
}

impl From<Vec<u8>> for Constants {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self {
            owner: Arc::new(bytes),
            range,
        }
    }
}

impl Default for Constants {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl Deref for Constants {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl PartialEq for Constants {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Constants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Megabytes of numbers tell no one anything.
        write!(f, "Constants({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: u64, len: u64) -> Span {
        Span { offset, len }
    }

    #[test]
    fn elements_are_little_endian() {
        let mut bytes = vec![0xfe, 0xff, 0xff, 0xff];
        bytes.extend(1.5f32.to_le_bytes());
        let constants = Constants::from(bytes);
        assert_eq!(constants.i8s(span(0, 2)), Some(&[-2, -1][..]));
        assert_eq!(constants.u8s(span(7, 1)), Some(&[0x3f][..]));
        assert_eq!(constants.i32s(span(0, 1)), Some(vec![-2]));
        assert_eq!(constants.f32s(span(4, 1)), Some(vec![1.5]));
    }

    #[test]
    fn a_span_outside_is_none() {
        let constants = Constants::from(vec![0; 8]);
        assert_eq!(constants.f32s(span(4, 2)), None);
        assert_eq!(constants.u8s(span(9, 0)), None);
        assert_eq!(constants.u8s(span(u64::MAX, 2)), None);
        assert_eq!(constants.i32s(span(0, u64::MAX)), None);
    }

    #[test]
    fn a_clone_shares_and_equality_is_by_bytes() {
        let constants = Constants::from(vec![1, 2, 3]);
        assert_eq!(constants.clone().as_ptr(), constants.as_ptr());
        let part = Constants::shared(Arc::new(vec![0, 1, 2, 3]), 1..4).unwrap();
        assert_eq!(part, constants);
        assert!(Constants::shared(Arc::new(vec![0]), 1..3).is_none());
    }
}
