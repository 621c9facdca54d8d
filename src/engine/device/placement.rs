//! What tract-cuda 0.23.9 takes onto the GPU, read in its source: which nodes of a graph
//! run there, which stay on the CPU and why, and what is copied between the two.
//!
//! It is a prediction, made without a GPU. Before tract-cuda hands out nodes it rewrites
//! the graph; the rewrites that bear on a segmentation model are made here too, by the
//! same functions of tract-core.

use std::collections::BTreeMap;

use serde::Serialize;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{
    Gather, MultiBroadcastTo, Pad, PadMode, Slice, TypedConcat,
};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::conv::rewrite_kernel_conv_in_oihw;
use tract_onnx::tract_core::ops::cnn::{Conv, rewrite_conv_with_n_axis};
use tract_onnx::tract_core::ops::einsum::prefix_matmul::{
    PrefixMatMul, rewrite_einsum_to_prefix_matmul,
};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::{
    LeakyRelu, Reduce, Reducer, Softmax, rewrite_nearest_upsample_to_broadcast,
};
use tract_onnx::tract_core::ops::source::TypedSource;

/// Element-wise operators of one input that have a kernel, by tract's names in lower case.
const ELEMENT_WISE: [&str; 31] = [
    "neg",
    "abs",
    "square",
    "sqrt",
    "rsqrt",
    "recip",
    "ceil",
    "floor",
    "round",
    "roundhalftoeven",
    "exp",
    "sigmoid",
    "sin",
    "sinh",
    "asin",
    "asinh",
    "cos",
    "cosh",
    "acos",
    "acosh",
    "tan",
    "tanh",
    "atan",
    "atanh",
    "erf",
    "ln",
    "silu",
    "sign",
    "hardswish",
    "bitnot",
    "not",
];

/// Those of two inputs.
const BINARY: [&str; 18] = [
    "mul", "add", "div", "sub", "pow", "min", "max", "gt", "gte", "eq", "ne", "lt", "lte", "and",
    "or", "bitor", "bitand", "bitxor",
];

/// Where the nodes of a graph run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Operators that run on the GPU, and how many nodes of each; constants and inputs do
    /// not count.
    pub on_device: BTreeMap<String, usize>,
    /// Nodes that stay on the CPU, in the order in which they run.
    pub on_host: Vec<HostNode>,
    /// Copies to the GPU of each run, and back.
    pub to_device: usize,
    /// Copies to the CPU of each run.
    pub to_host: usize,
}

/// A node that the GPU does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostNode {
    /// Its name in the graph.
    pub node: String,
    /// Its operator in tract.
    pub op: String,
    /// Why it stays.
    pub reason: String,
}

impl Placement {
    /// Of a graph as it is handed to tract-cuda.
    ///
    /// # Errors
    /// tract's, where it cannot rewrite the graph.
    pub fn predict(model: &TypedModel) -> TractResult<Self> {
        let mut model = model.clone();
        rewrite_einsum_to_prefix_matmul(&mut model, false)?;
        Rewriter::default()
            .with_rule_for("kernel-in-oihw", rewrite_kernel_conv_in_oihw)
            .with_rule_for("conv-with-n-axis", rewrite_conv_with_n_axis)
            .with_rule_for(
                "nearest-as-broadcast",
                rewrite_nearest_upsample_to_broadcast,
            )
            .rewrite(&(), &mut model)?;
        let mut placement = Self {
            on_device: BTreeMap::new(),
            on_host: Vec::new(),
            to_device: 0,
            to_host: 0,
        };
        // What a node gives lies where the node runs; an input lies in main memory.
        let mut is_on_device = vec![false; model.nodes().len()];
        for id in model.eval_order()? {
            let node = model.node(id);
            if node.op_is::<Const>() || node.op_is::<TypedSource>() {
                continue;
            }
            let reason = stays(&model, node)?;
            is_on_device[id] = reason.is_none();
            let lies_there = |input: &&OutletId| is_on_device[input.node];
            // A constant is where it is needed before the first run.
            let is_made = |input: &&OutletId| {
                let fact = model.outlet_fact(**input);
                fact.is_ok_and(|fact| fact.konst.is_none())
            };
            let made: Vec<&OutletId> = node.inputs.iter().filter(is_made).collect();
            let there = made.iter().filter(|input| lies_there(input)).count();
            match reason {
                None => {
                    placement.to_device += made.len() - there;
                    let count = placement.on_device.entry(node.op.name().into_owned());
                    *count.or_default() += 1;
                }
                Some(reason) => {
                    placement.to_host += there;
                    placement.on_host.push(HostNode {
                        node: node.name.clone(),
                        op: node.op.name().into_owned(),
                        reason,
                    });
                }
            }
        }
        let outputs = model
            .outputs
            .iter()
            .filter(|outlet| is_on_device[outlet.node]);
        placement.to_host += outputs.count();
        Ok(placement)
    }

    /// Number of nodes on the GPU.
    pub fn device_nodes(&self) -> usize {
        self.on_device.values().sum()
    }
}

/// Why a node stays on the CPU; `None` where the GPU takes it.
fn stays(model: &TypedModel, node: &TypedNode) -> TractResult<Option<String>> {
    let facts = model.node_input_facts(node.id)?;
    if let Some(fact) = facts.iter().find(|fact| !is_supported(fact.datum_type)) {
        return Ok(Some(format!("the GPU holds no {:?}", fact.datum_type)));
    }
    let unless = |condition: bool, reason: &str| (!condition).then(|| reason.to_owned());
    let floats = facts.iter().all(|fact| fact.datum_type.is_float());
    let op = &node.op;
    if let Some(product) = op.downcast_ref::<PrefixMatMul>() {
        // One whose result is transposed has its operands exchanged instead.
        let is_plain = product.quantize_output.is_none();
        return Ok(unless(floats && is_plain, "products of floats only"));
    }
    if op.is::<Conv>() {
        return Ok(unless(floats, "convolutions of floats only"));
    }
    let is_copy = op.is::<MultiBroadcastTo>()
        || op.is::<AxisOp>()
        || op.is::<Slice>()
        || op.is::<TypedConcat>();
    if is_copy || op.is::<Iff>() {
        return Ok(None);
    }
    if let Some(pad) = op.downcast_ref::<Pad>() {
        let is_constant = matches!(pad.mode, PadMode::Constant(_));
        return Ok(unless(is_constant, "padding with a constant only"));
    }
    if let Some(reduce) = op.downcast_ref::<Reduce>() {
        let has_kernel = match reduce.reducer {
            Reducer::Sum | Reducer::Prod | Reducer::Min | Reducer::Max => floats,
            Reducer::MeanOfSquares => floats && reduce.axes.len() == 1,
            Reducer::All | Reducer::Any => facts[0].datum_type.is::<bool>(),
            Reducer::ArgMax(_) | Reducer::ArgMin(_) => false,
        };
        return Ok(unless(has_kernel, "no reduction of this kind"));
    }
    if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
        let name = op.0.name().to_lowercase();
        let datum_type = facts[0].datum_type;
        let has_kernel = match name.as_str() {
            "bitnot" => datum_type.is_integer() || datum_type.is::<bool>(),
            "not" => datum_type.is::<bool>(),
            name => floats && (ELEMENT_WISE.contains(&name) || op.0.is::<LeakyRelu>()),
        };
        return Ok(unless(has_kernel, "no kernel of this name"));
    }
    if let Some(op) = op.downcast_ref::<TypedBinOp>() {
        let name = op.0.name().to_lowercase();
        let has_kernel = BINARY.contains(&name.as_str());
        return Ok(unless(has_kernel, "no kernel of this name"));
    }
    if let Some(cast) = op.downcast_ref::<Cast>() {
        return Ok(unless(is_supported(cast.to), "no cast to this type"));
    }
    if op.is::<Softmax>() {
        return Ok(unless(floats, "softmax of floats only"));
    }
    if let Some(gather) = op.downcast_ref::<Gather>() {
        let is_plain = gather.output_type.is_none() && facts[1].datum_type.is::<i64>();
        return Ok(unless(is_plain, "no gather of this form"));
    }
    Ok(Some("no kernel".to_owned()))
}

/// Whether the GPU holds tensors of a type.
fn is_supported(datum_type: DatumType) -> bool {
    use DatumType::*;
    matches!(
        datum_type,
        Bool | F32 | F16 | I8 | U8 | I16 | U16 | I32 | U32 | I64 | U64
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::tract_core::ops::math;

    #[test]
    fn nodes_are_counted_where_they_run_and_copies_where_they_meet() {
        let mut model = TypedModel::default();
        let shape = [1, 2, 3, 4];
        let x = model.add_source("x", f32::fact(shape)).unwrap();
        let one = model.add_const("one", Tensor::from_shape(&[1, 1, 1, 1], &[1f32]).unwrap());
        let sum = model.wire_node("sum", math::add(), &[x, one.unwrap()]);
        // The GPU has no form of it, and what is around it has to be copied.
        let odd = model
            .wire_node("odd", math::rem(), &[sum.unwrap()[0], x])
            .unwrap();
        let end = model
            .wire_node("end", math::mul(), &[odd[0], odd[0]])
            .unwrap();
        model.select_output_outlets(&end).unwrap();
        let placement = Placement::predict(&model).unwrap();
        assert_eq!(placement.device_nodes(), 2);
        let host: Vec<&str> = placement.on_host.iter().map(|n| n.node.as_str()).collect();
        assert_eq!(host, ["odd"]);
        assert!(placement.on_host[0].reason.contains("kernel"));
        // x to the sum, and both inputs of the product.
        assert_eq!((placement.to_device, placement.to_host), (3, 2));
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn names_are_those_of_tract_cudas_kernels() {
        use std::collections::BTreeSet;
        let names = |functions: Vec<String>, prefix: &str, suffix: &str| -> BTreeSet<String> {
            let inner = functions.iter().filter_map(|name| {
                let name = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
                Some(name.to_owned())
            });
            inner.collect()
        };
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let unary = tract_cuda::kernels::element_wise::all_functions();
        let binary = tract_cuda::kernels::binary::all_functions();
        let expected: BTreeSet<String> = own(&ELEMENT_WISE);
        assert_eq!(names(unary, "element_wise_", "_f32"), expected);
        let expected: BTreeSet<String> = own(&BINARY);
        assert_eq!(names(binary, "binary_", "_large_f32"), expected);
    }

    #[test]
    fn what_the_gpu_cannot_hold_stays() {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f64::fact([3])).unwrap();
        let end = model.wire_node("sum", math::add(), &[x, x]).unwrap();
        model.select_output_outlets(&end).unwrap();
        let placement = Placement::predict(&model).unwrap();
        assert_eq!(placement.device_nodes(), 0);
        assert!(placement.on_host[0].reason.contains("F64"), "{placement:?}");
        assert_eq!((placement.to_device, placement.to_host), (0, 0));
    }
}
