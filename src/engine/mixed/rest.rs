//! What is left of a graph when each region is one node.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::operator::RegionOperator;
use crate::compile::region::{Mixed, names_read};
use crate::model::Manifest;

/// The graph with a node for each region, and without what its first output does not
/// depend on.
pub fn graph(proto: &ModelProto, mixed: &Mixed, manifest: &Manifest) -> ModelProto {
    let whole = proto.graph.as_ref();
    ModelProto {
        ir_version: proto.ir_version,
        opset_import: proto.opset_import.clone(),
        graph: whole.map(|graph| without_regions(graph, mixed, manifest)),
        ..Default::default()
    }
}

fn without_regions(graph: &GraphProto, mixed: &Mixed, manifest: &Manifest) -> GraphProto {
    let in_region: HashSet<usize> = (mixed.regions.iter())
        .flat_map(|region| region.nodes.iter().copied())
        .collect();
    let output = graph.output.first().map_or("", |output| &output.name);
    let regions: Vec<NodeProto> = (mixed.regions.iter().enumerate())
        .map(|(number, region)| RegionOperator::new(number, region, manifest).node(region, output))
        .collect();
    let others = graph.node.iter().enumerate();
    let others = others.filter(|(index, _)| !in_region.contains(index));
    let nodes: Vec<&NodeProto> = others.map(|(_, node)| node).chain(&regions).collect();
    let needed = needed(&nodes, output);
    let is_needed = |name: &str| needed.contains(name);
    let is_stored = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    // The mask is of another type than what the graph says of its output.
    let gives_mask = mixed.regions.iter().any(|region| region.gives_mask);
    let is_said = |name: &str| is_needed(name) && !(gives_mask && name == output);
    let makes_needed = |node: &&NodeProto| node.output.iter().any(|name| is_needed(name));
    GraphProto {
        name: graph.name.clone(),
        node: nodes.into_iter().filter(makes_needed).cloned().collect(),
        // The weights of the regions, most of the file, are not copied.
        initializer: (graph.initializer.iter())
            .filter(|tensor| is_needed(&tensor.name))
            .cloned()
            .collect(),
        // The picture stays, whatever reads it.
        input: (graph.input.iter())
            .filter(|input| is_needed(&input.name) || !is_stored(&input.name))
            .cloned()
            .collect(),
        output: graph.output.iter().take(1).cloned().collect(),
        value_info: (graph.value_info.iter())
            .filter(|value| is_said(&value.name))
            .cloned()
            .collect(),
        ..Default::default()
    }
}

/// The names that an output depends on, itself included.
fn needed<'a>(nodes: &[&'a NodeProto], output: &'a str) -> HashSet<&'a str> {
    let makes = |(index, node): (usize, &&'a NodeProto)| {
        let outputs = node.output.iter().filter(|name| !name.is_empty());
        outputs
            .map(move |name| (name.as_str(), index))
            .collect::<Vec<_>>()
    };
    let makers: HashMap<&str, usize> = nodes.iter().enumerate().flat_map(makes).collect();
    let mut needed = HashSet::from([output]);
    let mut visited = vec![false; nodes.len()];
    let mut waiting = vec![output];
    while let Some(name) = waiting.pop() {
        let Some(&maker) = makers.get(name) else {
            continue;
        };
        if !std::mem::replace(&mut visited[maker], true) {
            for name in names_read(nodes[maker]) {
                needed.insert(name);
                waiting.push(name);
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..Default::default()
        }
    }

    #[test]
    fn what_the_output_does_not_depend_on_is_left_out() {
        let nodes = [node(&["x"], "a"), node(&["x", "w"], "b"), node(&["a"], "y")];
        let nodes: Vec<&NodeProto> = nodes.iter().collect();
        assert_eq!(needed(&nodes, "y"), HashSet::from(["y", "a", "x"]));
    }

    #[test]
    fn what_a_subgraph_uses_is_needed() {
        let body = GraphProto {
            node: vec![node(&["outer"], "inner")],
            ..Default::default()
        };
        let mut branch = node(&["condition"], "y");
        branch.attribute.push(tract_onnx::pb::AttributeProto {
            g: Some(body),
            ..Default::default()
        });
        let needed = needed(&[&branch], "y");
        assert!(needed.contains("outer") && needed.contains("condition"));
    }
}
