//! A graph of which only some nodes have an integer form, region by region and node by
//! node.

use std::fmt;

use serde::Serialize;

use atrous::compile::region::{CompiledRegion, Mixed, Port};

use super::{OpRow, op_rows};

/// What runs where.
#[derive(Serialize)]
pub struct Parts<'a> {
    regions: Vec<RegionRow<'a>>,
    /// Nodes that run in tract.
    in_tract: Vec<NodeRow<'a>>,
}

/// A region and its program.
#[derive(Serialize)]
struct RegionRow<'a> {
    /// How many nodes of the graph it stands for.
    nodes: usize,
    macs: u64,
    /// Tensors of the graph that it reads and makes.
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    gives_mask: bool,
    /// Nodes around it that run in tract.
    neighbours: &'a [String],
    ops: Vec<OpRow>,
}

/// A node that runs in tract.
#[derive(Serialize)]
struct NodeRow<'a> {
    node: &'a str,
    op: &'a str,
    because: &'a str,
}

impl<'a> Parts<'a> {
    /// Of a graph that was taken apart; `kernels` are those of the regions' operations,
    /// region after region.
    pub fn of(mixed: &'a Mixed, kernels: &[&'static str]) -> Self {
        let mut kernels = kernels;
        let regions = mixed.regions.iter().map(|region| {
            let count = region.region.body.ops.len().min(kernels.len());
            let (these, others) = kernels.split_at(count);
            kernels = others;
            RegionRow::of(region, these)
        });
        let others = mixed.others.iter().map(|other| NodeRow {
            node: &other.node,
            op: &other.op,
            because: &other.reason,
        });
        Self {
            regions: regions.collect(),
            in_tract: others.collect(),
        }
    }
}

impl<'a> RegionRow<'a> {
    fn of(region: &'a CompiledRegion, kernels: &[&'static str]) -> Self {
        let names = |ports: &'a [Port]| ports.iter().map(|port| port.name.as_str()).collect();
        Self {
            nodes: region.nodes.len(),
            macs: region.macs,
            inputs: names(&region.inputs),
            outputs: names(&region.outputs),
            gives_mask: region.gives_mask,
            neighbours: &region.neighbours,
            ops: op_rows(&region.region.body, kernels),
        }
    }
}

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, region) in self.regions.iter().enumerate() {
            let mut outputs = region.outputs.clone();
            outputs.extend(region.gives_mask.then_some("the mask"));
            writeln!(
                f,
                "  region {number}: {} nodes as one program, {:.2} MMAC, from {} to {}",
                region.nodes,
                region.macs as f64 / 1e6,
                region.inputs.join(", "),
                outputs.join(", ")
            )?;
            if !region.neighbours.is_empty() {
                writeln!(
                    f,
                    "    beside it in tract: {}",
                    region.neighbours.join(", ")
                )?;
            }
            for op in &region.ops {
                writeln!(f, "  {op}")?;
            }
        }
        writeln!(f, "  in tract: {} nodes", self.in_tract.len())?;
        for NodeRow { node, op, because } in &self.in_tract {
            writeln!(f, "    {op:<18} {node}: {because}")?;
        }
        Ok(())
    }
}
