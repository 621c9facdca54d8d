//! Shapes of a graph's tensors, as tract infers them.

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

use crate::compile::region::Shapes;
use crate::engine::tract::{contained, parse};
use crate::model::Manifest;

/// The shapes of the results of the graph's nodes, by their names, as far as tract can
/// tell them. What it says of a graph that it cannot import is left out; the engine
/// names the cause when it imports the graph.
pub fn shapes(proto: &ModelProto, manifest: &Manifest) -> Shapes {
    contained(|| inferred(proto, manifest).map_err(|e| e.to_string())).unwrap_or_default()
}

fn inferred(proto: &ModelProto, manifest: &Manifest) -> TractResult<Shapes> {
    let mut model = parse(proto, manifest, &tract_onnx::onnx())?;
    // An error at one node leaves what is known of others.
    if let Err(error) = model.analyse(true) {
        log::debug!("shapes: {error:#}");
    }
    let mut shapes = Shapes::new();
    for node in model.nodes() {
        for (slot, output) in node.outputs.iter().enumerate() {
            let shape = output.fact.shape.as_concrete_finite()?;
            let name = model.outlet_label(OutletId::new(node.id, slot));
            if let (Some(name), Some(shape)) = (name, shape) {
                shapes.insert(name.to_owned(), shape.to_vec());
            }
        }
    }
    Ok(shapes)
}
