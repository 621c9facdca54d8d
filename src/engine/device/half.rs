//! A graph in floats of 16 bits.

use tract_onnx::tract_core::floats::FloatPrecisionTranslator;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::transform::ModelTransform;

/// Every tensor of 32 bits becomes one of 16, the input too; outputs are given with 32.
///
/// # Errors
/// tract's, where an operator has no form of 16 bits.
pub fn translate(model: &mut TypedModel) -> TractResult<()> {
    let wanted: Vec<DatumType> = (0..model.outputs.len())
        .map(|output| Ok(model.output_fact(output)?.datum_type))
        .collect::<TractResult<_>>()?;
    FloatPrecisionTranslator::new(f32::datum_type(), f16::datum_type()).transform(model)?;
    let mut outputs = model.outputs.clone();
    for (outlet, wanted) in outputs.iter_mut().zip(wanted) {
        if model.outlet_fact(*outlet)?.datum_type != wanted {
            let name = format!("{}.wide", model.node(outlet.node).name);
            *outlet = model.wire_node(name, cast(wanted), &[*outlet])?[0];
        }
    }
    model.select_output_outlets(&outputs)
}
