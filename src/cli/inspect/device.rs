//! A graph on a GPU, node by node.

use std::fmt;

use serde::Serialize;

use atrous::engine::device::Placement;

/// What runs where.
#[derive(Serialize)]
pub struct OnDevice<'a> {
    #[serde(flatten)]
    placement: &'a Placement,
    /// Why it is a prediction; absent where a GPU has taken the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_because: Option<&'a str>,
}

impl<'a> OnDevice<'a> {
    pub fn new(placement: &'a Placement, predicted_because: Option<&'a str>) -> Self {
        Self {
            placement,
            predicted_because,
        }
    }
}

impl fmt::Display for OnDevice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Placement {
            on_device,
            on_host,
            to_device,
            to_host,
        } = self.placement;
        if let Some(reason) = self.predicted_because {
            writeln!(f, "  predicted, for want of a GPU: {reason}")?;
        }
        writeln!(f, "  on the GPU: {} nodes", self.placement.device_nodes())?;
        for (op, count) in on_device {
            writeln!(f, "    {count:>4} {op}")?;
        }
        writeln!(f, "  on the CPU: {} nodes", on_host.len())?;
        for node in on_host {
            writeln!(f, "    {:<18} {}: {}", node.op, node.node, node.reason)?;
        }
        writeln!(
            f,
            "  copies of each run: {to_device} to the GPU, {to_host} to the CPU"
        )
    }
}
