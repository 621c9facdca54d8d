//! A vote of the last few masks over the class of each pixel.
//!
//! # Definition
//!
//! Of the last `N` masks, the new one included (fewer at the beginning), a pixel takes
//! the label that more than half of them give it. Where no label has more than half, it
//! takes the newest mask's.
//!
//! A change thus shows when more than half of the masks have seen it: a result is as old
//! as its median mask, which is what [`Vote::run`] gives as its stamp. With `N` masks at
//! a steady rate that is `(N - 1) / 2` frames older than the newest.
//!
//! The vote starts anew with a mask of another size or from a picture of another size,
//! with one that was captured before the last, and with one captured more than
//! [`MAX_GAP`] after it: what was seen before says nothing any more.

use std::time::Duration;

use crate::mask::Mask;

/// Fewest and most masks that vote; their number is odd.
pub const FRAMES: std::ops::RangeInclusive<u32> = 3..=15;

/// Longest time between two masks of one vote.
pub const MAX_GAP: Duration = Duration::from_secs(1);

/// Most masks, as a length.
const MOST: usize = *FRAMES.end() as usize;

/// Labels that are looked at together.
const BLOCK: usize = 16;

/// Whether so many masks can vote.
pub fn is_allowed(frames: u32) -> bool {
    FRAMES.contains(&frames) && frames % 2 == 1
}

/// The last masks and what they agree on.
///
/// A mask takes time in proportion to its pixels, whatever the number of masks, and that
/// number more for each pixel whose label changes. Memory is a byte a pixel and mask, and
/// two more; it grows with the first mask of a size.
#[derive(Debug, Clone)]
pub struct Vote {
    /// `N`.
    frames: usize,
    /// The size of the masks, and that of the pictures they come from.
    size: [(u32, u32); 2],
    /// The masks one after the other, of which `seen` are there.
    history: Vec<u8>,
    seen: usize,
    /// The mask that was written last.
    newest: usize,
    stamps: [Duration; MOST],
    /// What was given out last.
    winners: Vec<u8>,
    /// In how many of the masks each pixel has it.
    counts: Vec<u8>,
}

impl Vote {
    /// A vote of `frames` masks.
    ///
    /// # Panics
    /// If so many are not [allowed](is_allowed).
    pub fn new(frames: u32) -> Self {
        assert!(is_allowed(frames), "a vote of {frames} masks");
        Self {
            frames: frames as usize,
            size: [(0, 0); 2],
            history: Vec::new(),
            seen: 0,
            newest: 0,
            stamps: [Duration::ZERO; MOST],
            winners: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// Replaces a mask's labels by what it and those before agree on. `source` is the
    /// size of the picture it comes from, `captured` when that was taken.
    ///
    /// Gives the stamp of the median mask: see the [module](self).
    pub fn run(&mut self, mask: &mut Mask, source: (u32, u32), captured: Duration) -> Duration {
        let size = [(mask.width, mask.height), source];
        let pixels = mask.labels.len();
        let since = captured.checked_sub(self.stamps[self.newest]);
        let follows = since.is_some_and(|since| since <= MAX_GAP);
        if self.seen == 0 || self.size != size || !follows {
            self.size = size;
            self.seen = 0;
            self.newest = self.frames - 1;
            self.history.resize(self.frames * pixels, 0);
            self.winners.clone_from(&mask.labels);
            self.counts.clear();
            self.counts.resize(pixels, 0);
        }
        let is_full = self.seen == self.frames;
        self.seen += usize::from(!is_full);
        self.newest = (self.newest + 1) % self.frames;
        self.stamps[self.newest] = captured;
        for start in (0..pixels).step_by(BLOCK) {
            self.block(mask, start..(start + BLOCK).min(pixels), is_full);
        }
        let median = (self.newest + self.frames - self.seen / 2) % self.frames;
        self.stamps[median]
    }

    /// Some neighbouring pixels; the newest mask takes the place of one that leaves where
    /// there is one.
    fn block(&mut self, mask: &mut Mask, at: std::ops::Range<usize>, leaves: bool) {
        let pixels = mask.labels.len();
        let newest = &mut mask.labels[at.clone()];
        let winners = &mut self.winners[at.clone()];
        let place = self.newest * pixels;
        let leaving = &self.history[place + at.start..place + at.end];
        // Nearly always: what comes is what leaves and what won.
        if leaves && *newest == *leaving && *newest == *winners {
            return;
        }
        let counts = &mut self.counts[at.clone()];
        for (number, pixel) in at.enumerate() {
            let (new, winner, count) = (
                &mut newest[number],
                &mut winners[number],
                &mut counts[number],
            );
            let slot = place + pixel;
            *count -= u8::from(leaves && self.history[slot] == *winner);
            *count += u8::from(*new == *winner);
            self.history[slot] = *new;
            // A label that is not the newest cannot have come to more than half now: if
            // it has, it won before.
            if usize::from(*count) * 2 <= self.seen {
                *winner = *new;
                let masks = self.history[pixel..].iter().step_by(pixels).take(self.seen);
                *count = masks.filter(|&&label| label == *new).count() as u8;
            }
            *new = *winner;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCE: (u32, u32) = (64, 48);

    fn mask(labels: &[u8]) -> Mask {
        Mask {
            width: labels.len() as u32,
            height: 1,
            labels: labels.to_vec(),
        }
    }

    /// What each of these labels of one pixel becomes, 10 ms apart.
    fn story(frames: u32, labels: &[u8]) -> Vec<u8> {
        let mut vote = Vote::new(frames);
        let run = |(index, &label): (u64, &u8)| {
            let mut mask = mask(&[label]);
            vote.run(&mut mask, SOURCE, Duration::from_millis(10 * index));
            mask.labels[0]
        };
        (0..).zip(labels).map(run).collect()
    }

    #[test]
    fn a_flicker_is_outvoted_and_a_change_comes_through() {
        assert_eq!(story(3, &[1, 1, 2, 1, 1]), [1, 1, 1, 1, 1]);
        assert_eq!(
            story(5, &[1, 1, 1, 1, 2, 2, 2, 2]),
            [1, 1, 1, 1, 1, 1, 2, 2]
        );
    }

    #[test]
    fn without_more_than_half_the_newest_counts() {
        assert_eq!(story(3, &[1, 2, 3, 4]), [1, 2, 3, 4]);
        // Two and two of five, and one: no label has three.
        assert_eq!(story(5, &[1, 1, 2, 2, 3]).last(), Some(&3));
    }

    #[test]
    fn a_result_is_as_old_as_its_median_mask() {
        let mut vote = Vote::new(5);
        let stamps = (0..8u64).map(|index| {
            let captured = Duration::from_millis(100 * index);
            vote.run(&mut mask(&[0]), SOURCE, captured).as_millis()
        });
        let stamps: Vec<_> = stamps.collect();
        assert_eq!(stamps, [0, 0, 100, 100, 200, 300, 400, 500]);
    }

    #[test]
    fn sizes_gaps_and_a_clock_that_goes_back_start_anew() {
        let at = Duration::from_millis;
        for (source, captured, labels) in [
            ((32, 48), at(1030), 20),
            (SOURCE, at(1030), 21),
            (SOURCE, at(1020) + MAX_GAP + at(1), 20),
            (SOURCE, at(1019), 20),
        ] {
            let mut vote = Vote::new(3);
            for index in 0..3 {
                vote.run(&mut mask(&[1; 20]), SOURCE, at(1000 + 10 * index));
            }
            let mut new = mask(&vec![2; labels]);
            assert_eq!(vote.run(&mut new, source, captured), captured);
            assert_eq!(new.labels, vec![2; labels]);
        }
        // Without any of these the three before win.
        let mut vote = Vote::new(3);
        for index in 0..3 {
            vote.run(&mut mask(&[1; 20]), SOURCE, at(1000 + 10 * index));
        }
        let mut new = mask(&[2; 20]);
        vote.run(&mut new, SOURCE, at(1020) + MAX_GAP);
        assert_eq!(new.labels, [1; 20]);
    }

    #[test]
    fn only_odd_numbers_from_three_to_fifteen_vote() {
        let allowed: Vec<u32> = (0..20).filter(|&n| is_allowed(n)).collect();
        assert_eq!(allowed, [3, 5, 7, 9, 11, 13, 15]);
    }

    proptest! {
        #[test]
        fn as_the_definition_says(
            frames in prop::sample::select(vec![3u32, 5, 7, 15]),
            // Mostly the same label, so that the quick way is taken too.
            masks in prop::collection::vec(
                prop::collection::vec(prop_oneof![8 => Just(0u8), 2 => 1u8..4, 1 => Just(255)], 40),
                1..40,
            ),
        ) {
            let mut vote = Vote::new(frames);
            for (index, labels) in masks.iter().enumerate() {
                let mut got = mask(labels);
                vote.run(&mut got, SOURCE, Duration::from_millis(index as u64));
                let first = (index + 1).saturating_sub(frames as usize);
                let window = &masks[first..=index];
                for (pixel, &label) in got.labels.iter().enumerate() {
                    let votes = |l: u8| window.iter().filter(|mask| mask[pixel] == l).count();
                    let majority = (0..=255).find(|&l| votes(l) * 2 > window.len());
                    prop_assert_eq!(label, majority.unwrap_or(labels[pixel]));
                }
            }
        }
    }
}
