//! Concatenations are written in place: each part is a slice of the result's
//! channels, made there by its own operation.
//!
//! A part is copied into its slice instead, by a table that changes nothing,
//! where it already is a slice, is the input picture, stands in the
//! concatenation twice, or is made from what lies in the same storage (an
//! operation never reads the storage it writes).

use super::Fault;
use super::net::{Kind, Net, Slice, Step, ValueId};

/// Turns every concatenation into slices, and copies where they are needed.
///
/// # Errors
/// [`Fault::TooLarge`] where the copies are too many.
pub fn place_parts(net: &mut Net) -> Result<(), Fault> {
    // From the end, so that a concatenation inside another one already has its
    // place when its own parts get theirs.
    for index in (0..net.steps.len()).rev() {
        let (Kind::Concat { parts }, Some(whole)) =
            (&net.steps[index].kind, net.steps[index].output)
        else {
            continue;
        };
        let parts = parts.clone();
        let mut copies = Vec::new();
        let mut channel = 0;
        for &part in &parts {
            let slice = Slice { of: whole, channel };
            channel += net.value(part).size.channels;
            let is_repeated = parts.iter().filter(|&&p| p == part).count() > 1;
            if !is_repeated && may_lie_in(net, part, whole) {
                net.values[part.0].slice = Some(slice);
            } else {
                copies.push((part, slice));
            }
        }
        let node = net.steps[index].node.clone();
        let mut steps = Vec::with_capacity(copies.len());
        for (part, slice) in copies {
            let value = net.value(part).clone();
            let copy = net.add_value(&value.name, value.size, value.quant)?;
            net.values[copy.0].slice = Some(slice);
            steps.push(Step {
                node: node.clone(),
                kind: Kind::Map {
                    input: part,
                    table: Box::new(std::array::from_fn(|code| code as u8)),
                },
                output: Some(copy),
            });
        }
        net.steps.splice(index..=index, steps);
    }
    if net.steps.len() > super::limits::MAX_STEPS {
        return Err(Fault::TooLarge {
            what: "the list of operations".into(),
            limit: super::limits::MAX_STEPS as u64,
        });
    }
    Ok(())
}

/// Whether a part's own operations may write it into the storage of `whole`.
fn may_lie_in(net: &Net, part: ValueId, whole: ValueId) -> bool {
    if net.value(part).slice.is_some() {
        return false;
    }
    let storage = net.root(whole);
    net.steps.iter().all(|step| match &step.kind {
        // A part that is a concatenation takes only the space: the producers of its
        // own parts write it, and they get their places later, one by one.
        Kind::Concat { .. } => true,
        Kind::Input { .. } | Kind::Given => step.output != Some(part),
        kind => {
            let inputs = kind.inputs();
            let lies_there = |value: ValueId| value == part || net.root(value) == storage;
            let touches = step.output == Some(part) || inputs.contains(&part);
            !touches || !step.output.is_some_and(lies_there) || !inputs.into_iter().any(lies_there)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{argmax, concat, conv, net_of, quant};
    use super::*;

    fn slices(net: &Net) -> Vec<Option<(usize, u32)>> {
        let slice = |v: &super::super::net::Value| v.slice.map(|s| (s.of.0, s.channel));
        net.values.iter().map(slice).collect()
    }

    #[test]
    fn parts_are_made_in_their_place() {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(3, q), (4, q), (4, q), (8, q)]);
        conv(&mut net, 0, 1);
        conv(&mut net, 0, 2);
        concat(&mut net, &[1, 2], 3);
        argmax(&mut net, 3);
        place_parts(&mut net).unwrap();
        assert_eq!(net.steps.len(), 3);
        assert_eq!(slices(&net), [None, Some((3, 0)), Some((3, 4)), None]);
    }

    #[test]
    fn a_part_made_from_another_part_is_copied() {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(3, q), (4, q), (4, q), (8, q)]);
        conv(&mut net, 0, 1);
        conv(&mut net, 1, 2);
        concat(&mut net, &[1, 2], 3);
        argmax(&mut net, 3);
        place_parts(&mut net).unwrap();
        assert_eq!(net.steps.len(), 4);
        let Kind::Map { input, .. } = net.steps[2].kind else {
            panic!("{:?}", net.steps)
        };
        assert_eq!(input, ValueId(2));
        assert_eq!(slices(&net), [None, Some((3, 0)), None, None, Some((3, 4))]);
    }

    #[test]
    fn a_repeated_part_is_copied_twice() {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(3, q), (4, q), (8, q)]);
        conv(&mut net, 0, 1);
        concat(&mut net, &[1, 1], 2);
        place_parts(&mut net).unwrap();
        assert_eq!(net.steps.len(), 3);
        assert_eq!(slices(&net), [None, None, None, Some((2, 0)), Some((2, 4))]);
    }

    #[test]
    fn no_operation_reads_the_storage_it_writes_through_two_levels() {
        let q = quant(1.0, 0);
        for order in [[3, 4], [4, 3]] {
            for read in [1, 3] {
                let mut net = net_of(&[(3, q), (4, q), (4, q), (8, q), (4, q), (12, q)]);
                conv(&mut net, 0, 1);
                conv(&mut net, 0, 2);
                concat(&mut net, &[1, 2], 3);
                conv(&mut net, read, 4);
                concat(&mut net, &order, 5);
                argmax(&mut net, 5);
                place_parts(&mut net).unwrap();
                for step in &net.steps {
                    let Some(output) = step.output else { continue };
                    let storage = net.root(output);
                    let inputs = step.kind.inputs();
                    assert!(inputs.iter().all(|&i| net.root(i) != storage), "{step:?}");
                }
            }
        }
    }

    #[test]
    fn concatenations_nest() {
        let q = quant(1.0, 0);
        let mut net = net_of(&[(3, q), (4, q), (4, q), (8, q), (4, q), (12, q)]);
        conv(&mut net, 0, 1);
        conv(&mut net, 0, 2);
        concat(&mut net, &[1, 2], 3);
        // Reads the inner concatenation, and so the storage of the outer one.
        conv(&mut net, 3, 4);
        concat(&mut net, &[3, 4], 5);
        argmax(&mut net, 5);
        place_parts(&mut net).unwrap();
        for step in &net.steps {
            if let Some(output) = step.output {
                let storage = net.root(output);
                assert!(step.kind.inputs().iter().all(|&i| net.root(i) != storage));
            }
        }
        assert_eq!(net.root(ValueId(1)), ValueId(5));
    }
}
