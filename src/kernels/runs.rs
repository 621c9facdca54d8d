//! The codes of several pictures of one shape, walked together.

use super::{Source, Target};

/// One run of codes where no picture has bytes between its pixels, else one a pixel.
#[derive(Clone, Copy)]
pub struct Runs {
    first: usize,
    count: usize,
    len: usize,
    joined: bool,
}

impl Runs {
    /// The runs of a target, `joined` where no source has bytes between its pixels.
    pub fn new(target: &Target<'_>, joined: bool) -> Self {
        let first = target.range.start;
        if joined && target.is_packed() {
            Self {
                first,
                count: 1,
                len: target.range.len() * target.channels,
                joined: true,
            }
        } else {
            Self {
                first,
                count: target.range.len(),
                len: target.channels,
                joined: false,
            }
        }
    }

    fn step(self, pixel_stride: usize) -> usize {
        if self.joined { self.len } else { pixel_stride }
    }

    /// A source's.
    pub fn of<'a>(self, source: Source<'a>) -> impl Iterator<Item = &'a [u8]> {
        let data = source.from_pixel(self.first);
        let runs = data.chunks(self.step(source.pixel_stride).max(1));
        runs.take(self.count).map(move |run| &run[..self.len])
    }

    /// The target's.
    pub fn of_mut(self, target: Target<'_>) -> impl Iterator<Item = &mut [u8]> {
        let runs = target
            .data
            .chunks_mut(self.step(target.pixel_stride).max(1));
        runs.take(self.count).map(move |run| &mut run[..self.len])
    }
}
