//! Where in the arena each tensor lies: values that never live at the same time
//! share bytes.

use super::net::{Net, ValueId};
use super::{Fault, limits};

/// Tensors start at multiples of this.
const ALIGNMENT: u64 = 64;

/// The arena's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For each value the offset of its first channel; `None` for values that no
    /// step makes or reads.
    pub offsets: Vec<Option<u64>>,
    /// Bytes in all.
    pub arena_bytes: u64,
    /// Bytes of the largest set of tensors that live at the same time: no layout
    /// is smaller.
    pub largest_live: u64,
}

/// A tensor with storage of its own.
#[derive(Debug, Clone, Copy)]
struct Block {
    value: ValueId,
    bytes: u64,
    /// First and last step in which it is written or read.
    steps: [usize; 2],
    offset: u64,
}

impl Block {
    fn overlaps(&self, other: &Self) -> bool {
        self.steps[0] <= other.steps[1] && other.steps[0] <= self.steps[1]
    }
}

/// Places every value, the largest first, each in the smallest gap that holds it
/// among those it lives together with.
///
/// # Errors
/// [`Fault::TooLarge`] where the arena would be too large.
pub fn plan(net: &Net) -> Result<Plan, Fault> {
    let mut blocks = blocks(net);
    let largest_live = largest_live(&blocks, net.steps.len());
    blocks.sort_by_key(|b| (std::cmp::Reverse(b.bytes), b.steps[0]));
    let mut placed: Vec<Block> = Vec::with_capacity(blocks.len());
    let mut arena_bytes = 0;
    for mut block in blocks {
        let mut neighbours: Vec<(u64, u64)> = placed
            .iter()
            .filter(|other| other.overlaps(&block))
            .map(|other| (other.offset, other.offset + other.bytes))
            .collect();
        neighbours.sort_unstable();
        block.offset = best_gap(&neighbours, block.bytes);
        arena_bytes = arena_bytes.max(block.offset + block.bytes);
        placed.push(block);
    }
    if arena_bytes > limits::MAX_ARENA_BYTES {
        return Err(Fault::TooLarge {
            what: format!("the arena of {arena_bytes} bytes"),
            limit: limits::MAX_ARENA_BYTES,
        });
    }
    let mut own = vec![None; net.values.len()];
    for block in placed {
        own[block.value.0] = Some(block.offset);
    }
    let offsets = (0..net.values.len()).map(|index| {
        let mut id = ValueId(index);
        let mut channels = 0;
        while let Some(slice) = net.value(id).slice {
            channels += u64::from(slice.channel);
            id = slice.of;
        }
        own[id.0].map(|offset| offset + channels)
    });
    Ok(Plan {
        offsets: offsets.collect(),
        arena_bytes,
        largest_live,
    })
}

/// Every value with storage of its own that a step touches; slices lengthen the
/// life of what they lie in.
fn blocks(net: &Net) -> Vec<Block> {
    let mut lives: Vec<Option<[usize; 2]>> = vec![None; net.values.len()];
    for (index, step) in net.steps.iter().enumerate() {
        for value in step.kind.inputs().into_iter().chain(step.output) {
            let life = &mut lives[net.root(value).0];
            let first = life.map_or(index, |[first, _]| first);
            *life = Some([first, index]);
        }
    }
    let block = |(index, life): (usize, Option<[usize; 2]>)| {
        Some(Block {
            value: ValueId(index),
            bytes: net.values[index]
                .size
                .elements()
                .next_multiple_of(ALIGNMENT),
            steps: life?,
            offset: 0,
        })
    };
    lives.into_iter().enumerate().filter_map(block).collect()
}

fn largest_live(blocks: &[Block], steps: usize) -> u64 {
    let mut begun = vec![0u64; steps];
    let mut ended = vec![0u64; steps + 1];
    for block in blocks {
        begun[block.steps[0]] += block.bytes;
        ended[block.steps[1] + 1] += block.bytes;
    }
    let mut live = 0;
    let mut largest = 0;
    for (begun, ended) in begun.iter().zip(&ended) {
        live = live + begun - ended;
        largest = largest.max(live);
    }
    largest
}

/// The offset of the smallest gap of at least `bytes` between taken ranges, which
/// are sorted by their start; after all of them where none is large enough.
fn best_gap(taken: &[(u64, u64)], bytes: u64) -> u64 {
    let mut end = 0;
    let mut best: Option<(u64, u64)> = None;
    for &(start, stop) in taken {
        if start > end {
            let gap = start - end;
            if gap >= bytes && best.is_none_or(|(smallest, _)| gap < smallest) {
                best = Some((gap, end));
            }
        }
        end = end.max(stop);
    }
    best.map_or(end, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::super::concat::place_parts;
    use super::super::testing::{add, argmax, concat, conv, net_of, quant};
    use super::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let mut net = net_of(&[(64, quant(1.0, 0)); 5]);
        for i in 0..4 {
            conv(&mut net, i, i + 1);
        }
        argmax(&mut net, 4);
        let plan = plan(&net).unwrap();
        assert_eq!((plan.arena_bytes, plan.largest_live), (512, 512));
        assert_eq!(plan.offsets[0], plan.offsets[2]);
        assert_ne!(plan.offsets[0], plan.offsets[1]);
    }

    #[test]
    fn what_lives_together_never_overlaps() {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(64, q), (16, q), (64, q), (64, q), (16, q), (80, q)]);
        conv(&mut net, 0, 1);
        conv(&mut net, 1, 2);
        add(&mut net, 0, 2, 3);
        conv(&mut net, 3, 4);
        concat(&mut net, &[3, 4], 5);
        argmax(&mut net, 5);
        place_parts(&mut net).unwrap();
        let plan = plan(&net).unwrap();
        let blocks = blocks(&net);
        for (i, a) in blocks.iter().enumerate() {
            for b in &blocks[i + 1..] {
                if a.overlaps(b) {
                    let [x, y] = [a, b].map(|k| plan.offsets[k.value.0].unwrap());
                    assert!(x + a.bytes <= y || y + b.bytes <= x, "{a:?} {b:?}");
                }
            }
        }
        // A part lies in its slice.
        assert_eq!(plan.offsets[3], plan.offsets[5]);
    }

    #[test]
    fn the_smallest_gap_that_holds_it_is_taken() {
        let taken = [(64, 128), (320, 384), (512, 576)];
        assert_eq!(best_gap(&taken, 64), 0);
        assert_eq!(best_gap(&taken, 128), 384);
        assert_eq!(best_gap(&taken, 192), 128);
        assert_eq!(best_gap(&taken, 256), 576);
    }
}
