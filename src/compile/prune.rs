//! Removes operations whose result nothing reads.

use super::net::Net;

/// Keeps what the last step, the choice of the class, depends on.
pub fn prune(net: &mut Net) {
    let mut read = vec![false; net.values.len()];
    let mut kept = vec![false; net.steps.len()];
    for (step, kept) in net.steps.iter().zip(&mut kept).rev() {
        *kept = step.output.is_none_or(|output| read[output.0]);
        if *kept {
            for input in step.kind.inputs() {
                read[input.0] = true;
            }
        }
    }
    let mut kept = kept.into_iter();
    net.steps.retain(|_| kept.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{argmax, conv, net_of, quant};
    use super::*;

    #[test]
    fn what_nothing_reads_goes_with_all_that_only_it_reads() {
        let mut net = net_of(&[(4, quant(1.0, 0)); 4]);
        conv(&mut net, 0, 1);
        conv(&mut net, 0, 2);
        conv(&mut net, 2, 3);
        argmax(&mut net, 1);
        prune(&mut net);
        let outputs: Vec<_> = net.steps.iter().map(|s| s.output.map(|o| o.0)).collect();
        assert_eq!(outputs, [Some(1), None]);
    }
}
