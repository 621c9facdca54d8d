//! The last resize and the choice of the class become one operation, which never
//! makes the resized picture; or, in a program that ends in scores, both are left
//! to whoever reads them.

use super::fuse;
use super::net::{Kind, Net};
use crate::program::Resample;

/// Merges a resize to the mask's size into the argmax that reads it.
///
/// A table before the argmax that never orders two codes the other way round is
/// left out: the class found is among those that are largest after the table too,
/// and where several are, the codes before it decide.
pub fn merge_resize(net: &mut Net) {
    let producers = net.producers();
    let Some(last) = net.steps.len().checked_sub(1) else {
        return;
    };
    let mut may_resize = true;
    while let Kind::Argmax { input, resample } = net.steps[last].kind {
        let Some(producer) = producers[input.0] else {
            return;
        };
        let size = net.value(input).size;
        let (input, resample) = match net.steps[producer].kind {
            Kind::Map { input, ref table } if fuse::is_monotone(table) => (input, resample),
            // Two resizes are not one: only the last of them is merged.
            Kind::Resize { input, resample }
                if may_resize && (size.width, size.height) == net.mask =>
            {
                may_resize = false;
                (input, resample)
            }
            _ => return,
        };
        let node = format!("{}+{}", net.steps[producer].node, net.steps[last].node);
        net.steps[last].kind = Kind::Argmax { input, resample };
        net.steps[last].node = node;
    }
}

/// Leaves out a resize to the mask's size of scores that the program ends in, where
/// it is `reader`, the one by which their reader brings them to that size.
///
/// Another resize stays, and so does one that makes a picture smaller: scores are at
/// most as fine as the mask.
pub fn leave_resize(net: &mut Net, reader: Resample) {
    let producers = net.producers();
    let Some(last) = net.steps.len().checked_sub(1) else {
        return;
    };
    let Kind::Argmax { input, .. } = net.steps[last].kind else {
        return;
    };
    let size = net.value(input).size;
    let Some(Kind::Resize {
        input: coarse,
        resample,
    }) = producers[input.0].map(|producer| &net.steps[producer].kind)
    else {
        return;
    };
    let (coarse, resample) = (*coarse, *resample);
    let from = net.value(coarse).size;
    let is_enlarged = from.width <= size.width && from.height <= size.height;
    if (size.width, size.height) == net.mask && resample == reader && is_enlarged {
        net.steps[last].kind = Kind::Argmax {
            input: coarse,
            resample,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::{Size, ValueId};
    use super::super::testing::{argmax, conv, net_of, quant};
    use super::*;
    use crate::program::{Coordinates, Resample};

    const LINEAR: Resample = Resample::Bilinear(Coordinates::AlignCorners);

    /// A convolution, a resize from 2x2 to 4x4, a table, an argmax.
    fn ending(mask: (u32, u32), reversed: bool) -> Net {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(3, q), (4, q), (4, q), (4, q)]);
        for value in &mut net.values[2..] {
            value.size = Size {
                height: 4,
                width: 4,
                channels: 4,
            };
        }
        net.mask = mask;
        conv(&mut net, 0, 1);
        let resize = Kind::Resize {
            input: ValueId(1),
            resample: LINEAR,
        };
        net.add_step("resize", resize, Some(ValueId(2))).unwrap();
        let code = |i: usize| if reversed { 255 - i as u8 } else { i as u8 / 2 };
        let map = Kind::Map {
            input: ValueId(2),
            table: Box::new(std::array::from_fn(code)),
        };
        net.add_step("map", map, Some(ValueId(3))).unwrap();
        argmax(&mut net, 3);
        net
    }

    #[test]
    fn table_and_resize_vanish() {
        let mut net = ending((4, 4), false);
        merge_resize(&mut net);
        super::super::prune::prune(&mut net);
        assert_eq!(net.steps.len(), 2);
        let expected = Kind::Argmax {
            input: ValueId(1),
            resample: LINEAR,
        };
        assert_eq!(net.steps[1].kind, expected);
    }

    #[test]
    fn a_resize_to_another_size_stays() {
        let mut net = ending((9, 9), false);
        merge_resize(&mut net);
        super::super::prune::prune(&mut net);
        assert_eq!(net.steps.len(), 3);
    }

    #[test]
    fn a_table_that_turns_the_order_round_stays() {
        let mut net = ending((4, 4), true);
        let before = net.clone();
        merge_resize(&mut net);
        assert_eq!(net, before);
    }

    /// The value that the choice of the class reads.
    fn chosen_from(net: &Net) -> ValueId {
        let Some(Kind::Argmax { input, .. }) = net.steps.last().map(|s| &s.kind) else {
            panic!("{:?}", net.steps)
        };
        *input
    }

    #[test]
    fn scores_keep_every_resize_but_their_readers() {
        let plain = |mask| {
            let mut net = ending(mask, false);
            // Without the table.
            net.steps.truncate(2);
            argmax(&mut net, 2);
            net
        };
        let mut net = plain((4, 4));
        leave_resize(&mut net, LINEAR);
        assert_eq!(chosen_from(&net), ValueId(1));
        for (mut net, reader) in [
            (plain((4, 4)), Resample::Bilinear(Coordinates::HalfPixel)),
            (plain((9, 9)), LINEAR),
        ] {
            let before = net.clone();
            leave_resize(&mut net, reader);
            assert_eq!(net, before);
        }
        // A table after the resize is part of what the scores mean.
        let mut net = ending((4, 4), false);
        let before = net.clone();
        leave_resize(&mut net, LINEAR);
        assert_eq!(net, before);
        // From 4x4 to 2x2.
        let mut net = plain((2, 2));
        for (value, side) in [(1, 4), (2, 2)] {
            net.values[value].size.height = side;
            net.values[value].size.width = side;
        }
        let before = net.clone();
        leave_resize(&mut net, LINEAR);
        assert_eq!(net, before);
    }
}
