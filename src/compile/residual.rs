//! A sum whose one operand is a convolution that nothing else reads becomes the
//! end of that convolution.

use super::net::{Kind, Net, Residual, Step, ValueId};

/// Moves sums into convolutions.
///
/// The fused convolution stands where the sum stood: there both operands are
/// made. Of two candidates the later one is taken, whose input lives longer anyway.
pub fn fuse_residuals(net: &mut Net) {
    let reads = net.read_counts();
    let producers = net.producers();
    let mut moved = vec![false; net.steps.len()];
    for index in 0..net.steps.len() {
        let Kind::Add { a, b, clamp } = net.steps[index].kind else {
            continue;
        };
        let candidate = |value: ValueId| {
            let step = producers[value.0].filter(|_| reads[value.0] == 1)?;
            let is_plain = match &net.steps[step].kind {
                Kind::Conv(conv) => conv.residual.is_none() && !moved[step],
                _ => false,
            };
            is_plain.then_some(step)
        };
        let later = [(candidate(a), b), (candidate(b), a)]
            .into_iter()
            .filter_map(|(step, other)| Some((step?, other)))
            .max();
        let Some((step, other)) = later else {
            continue;
        };
        let Kind::Conv(conv) = &net.steps[step].kind else {
            continue;
        };
        let mut conv = conv.clone();
        conv.residual = Some(Residual {
            value: other,
            clamp,
            first: other == a,
        });
        let node = format!("{}+{}", net.steps[step].node, net.steps[index].node);
        let output = net.steps[index].output;
        net.steps[index] = Step {
            node,
            kind: Kind::Conv(conv),
            output,
        };
        moved[step] = true;
    }
    let mut moved = moved.into_iter();
    net.steps.retain(|_| !moved.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{add, argmax, conv, net_of, quant};
    use super::*;

    #[test]
    fn a_sum_becomes_the_end_of_the_later_convolution() {
        let mut net = net_of(&[(4, quant(1.0, 0)); 4]);
        conv(&mut net, 0, 1);
        conv(&mut net, 0, 2);
        add(&mut net, 1, 2, 3);
        argmax(&mut net, 3);
        fuse_residuals(&mut net);
        assert_eq!(net.steps.len(), 3);
        let Kind::Conv(fused) = &net.steps[1].kind else {
            panic!("{:?}", net.steps)
        };
        let residual = Residual {
            value: ValueId(1),
            clamp: [0, 255],
            first: true,
        };
        assert_eq!(fused.residual, Some(residual));
        assert_eq!(net.steps[1].output, Some(ValueId(3)));
        assert_eq!(net.steps[1].node, "conv2+add3");
    }

    #[test]
    fn a_convolution_with_another_reader_keeps_its_result() {
        let mut net = net_of(&[(4, quant(1.0, 0)); 4]);
        conv(&mut net, 0, 1);
        add(&mut net, 1, 0, 2);
        add(&mut net, 1, 2, 3);
        argmax(&mut net, 3);
        let before = net.clone();
        fuse_residuals(&mut net);
        assert_eq!(net, before);
    }

    #[test]
    fn a_convolution_added_to_itself_stays() {
        let mut net = net_of(&[(4, quant(1.0, 0)); 3]);
        conv(&mut net, 0, 1);
        add(&mut net, 1, 1, 2);
        let before = net.clone();
        fuse_residuals(&mut net);
        assert_eq!(net, before);
    }
}
