//! Resizes as matrix products.
//!
//! A resize is linear and goes one axis after the other: along each axis every output is
//! a weighted sum of inputs, with weights that depend on the geometry alone. As a matrix
//! product with constant weights it runs wherever matrix products do.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::resize::Resize;

/// Most weights of one axis. A picture's axis has far fewer; an axis of a hostile file
/// could ask for a matrix of any size.
const MAX_WEIGHTS: usize = 1 << 24;

/// Rewrites every resize of floats whose geometry is fixed; any other stays.
///
/// # Errors
/// tract's, where it rejects what was made.
pub fn rewrite(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for("resize-as-products", as_products)
        .rewrite(&(), model)
}

fn as_products(
    _: &(),
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: &Resize,
) -> TractResult<Option<TypedModelPatch>> {
    let fact = model.outlet_fact(node.inputs[0])?;
    let (Some(from), Some(to)) = (
        fact.shape.as_concrete(),
        node.outputs[0].fact.shape.as_concrete(),
    ) else {
        return Ok(None);
    };
    let Some(scales) = scales(op, model, node, from, to)? else {
        return Ok(None);
    };
    // tract leaves out an axis by the same rule.
    let is_kept = |axis: usize| from[axis] == to[axis] && scales[axis] == 1.0;
    let changed: TVec<usize> = (0..from.len()).filter(|&axis| !is_kept(axis)).collect();
    let fits = |&axis: &usize| {
        let weights = from[axis].checked_mul(to[axis]);
        weights.is_some_and(|n| (1..=MAX_WEIGHTS).contains(&n))
    };
    let is_whole_numbers = !fact.datum_type.is_float() && !changed.is_empty();
    if is_whole_numbers || !changed.iter().all(fits) {
        return Ok(None);
    }
    let datum_type = fact.datum_type;
    let (from, to): (TVec<usize>, TVec<usize>) = (from.into(), to.into());
    let mut patch = TypedModelPatch::default();
    let mut wire = patch.tap_model(model, node.inputs[0])?;
    let mut shape = from.clone();
    for axis in changed {
        let matrix = weights_of(op, scales[axis], from[axis], to[axis])?;
        let matrix = matrix.cast_to_dt(datum_type)?.into_owned();
        let matrix = patch.add_const(format!("{name}.weights-{axis}"), matrix)?;
        let along = Along { axis, to: to[axis] };
        wire = along.product(&mut patch, name, wire, matrix, &shape)?;
        shape[axis] = to[axis];
    }
    patch.shunt_outside(model, node.id.into(), wire)?;
    Ok(Some(patch))
}

/// The scale of every axis, as tract's own resize has it; `None` where the graph does not
/// fix them.
fn scales(
    op: &Resize,
    model: &TypedModel,
    node: &TypedNode,
    from: &[usize],
    to: &[usize],
) -> TractResult<Option<TVec<f32>>> {
    if let Some(input) = op.optional_scales_input {
        let Some(&outlet) = node.inputs.get(input) else {
            return Ok(None);
        };
        let Some(scales) = &model.outlet_fact(outlet)?.konst else {
            return Ok(None);
        };
        if scales.len() == from.len() {
            let scales = scales.cast_to::<f32>()?;
            return Ok(Some(scales.try_as_plain_ram()?.as_slice::<f32>()?.into()));
        }
    }
    let ratio = |(from, to): (&usize, &usize)| *to as f32 / *from as f32;
    Ok(Some(from.iter().zip(to).map(ratio).collect()))
}

/// What each output of an axis takes of each input: `[to, from]`.
fn weights_of(op: &Resize, scale: f32, from: usize, to: usize) -> TractResult<Tensor> {
    let plan = op.plan_axis(scale, from, to);
    let mut weights = vec![0f32; to * from];
    let taps = plan.indices.chunks_exact(plan.window);
    let taps = taps.zip(plan.weights.chunks_exact(plan.window));
    for (row, (indices, shares)) in weights.chunks_exact_mut(from).zip(taps) {
        // At an edge two taps may read the same input.
        for (&index, &share) in indices.iter().zip(shares) {
            row[index] += share;
        }
    }
    Tensor::from_shape(&[to, from], &weights)
}

/// One axis of a resize.
struct Along {
    axis: usize,
    /// Its length afterwards.
    to: usize,
}

impl Along {
    /// `input`, of `shape`, times `matrix`: the axis is moved to the end, and all the
    /// others are rows.
    fn product(
        &self,
        patch: &mut TypedModelPatch,
        name: &str,
        input: OutletId,
        matrix: OutletId,
        shape: &[usize],
    ) -> TractResult<OutletId> {
        let Self { axis, to } = *self;
        let label = |step: &str| format!("{name}.{step}-{axis}");
        let last = shape.len() - 1;
        let mut moved: TVec<usize> = shape.into();
        let from = moved.remove(axis);
        let rows: usize = moved.iter().product();
        moved.push(from);
        let dims = |shape: &[usize]| -> TVec<TDim> { shape.iter().map(ToDim::to_dim).collect() };
        let mut wire = input;
        if axis != last {
            wire = patch.wire_node(label("last"), AxisOp::Move(axis, last), &[wire])?[0];
        }
        let flat = AxisOp::Reshape(0, dims(&moved), dims(&[rows, from]));
        wire = patch.wire_node(label("rows"), flat, &[wire])?[0];
        let datum_type = patch.outlet_fact(wire)?.datum_type;
        let product = EinSum::new("rk,ck->rc".parse()?, datum_type);
        wire = patch.wire_node(label("product"), product, &[wire, matrix])?[0];
        moved[last] = to;
        let unfolded = AxisOp::Reshape(0, dims(&[rows, to]), dims(&moved));
        wire = patch.wire_node(label("unfold"), unfolded, &[wire])?[0];
        if axis != last {
            wire = patch.wire_node(label("back"), AxisOp::Move(last, axis), &[wire])?[0];
        }
        Ok(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{drawn, largest_difference};
    use super::*;
    use tract_onnx::tract_core::ops::nn::resize::{CoordTransformer, Interpolator, Nearest};

    enum By {
        Scales([f32; 4]),
        Sizes([i64; 4]),
    }

    fn model(op: &Resize, shape: [usize; 4], by: &By) -> TypedModel {
        let mut model = TypedModel::default();
        let input = model.add_source("x", f32::fact(shape)).unwrap();
        let (konst, op) = match by {
            By::Scales(scales) => {
                let by_scales = Resize {
                    optional_scales_input: Some(1),
                    optional_sizes_input: None,
                    ..op.clone()
                };
                (tensor1(scales), by_scales)
            }
            By::Sizes(sizes) => {
                let by_sizes = Resize {
                    optional_scales_input: None,
                    optional_sizes_input: Some(1),
                    ..op.clone()
                };
                (tensor1(sizes), by_sizes)
            }
        };
        let konst = model.add_const("by", konst).unwrap();
        let output = model.wire_node("resize", op, &[input, konst]).unwrap();
        model.select_output_outlets(&output).unwrap();
        model
    }

    fn op(coordinates: CoordTransformer, interpolator: Interpolator) -> Resize {
        Resize {
            coord_transformer: coordinates,
            interpolator,
            nearest: Nearest::Floor,
            optional_scales_input: None,
            optional_sizes_input: None,
        }
    }

    fn count(model: &TypedModel) -> usize {
        let order = model.eval_order().unwrap();
        order
            .iter()
            .filter(|&&id| model.node(id).op_is::<Resize>())
            .count()
    }

    #[test]
    fn products_are_what_tracts_resize_gives() {
        use CoordTransformer::*;
        let geometries = [
            ([1, 3, 5, 7], By::Sizes([1, 3, 13, 11])),
            ([1, 4, 33, 33], By::Sizes([1, 4, 129, 129])),
            ([2, 3, 9, 4], By::Sizes([2, 3, 9, 31])),
            ([1, 2, 17, 23], By::Sizes([1, 2, 6, 5])),
            ([1, 2, 1, 1], By::Sizes([1, 2, 8, 9])),
            ([1, 3, 6, 5], By::Sizes([1, 3, 1, 1])),
            ([1, 5, 7, 6], By::Scales([1.0, 1.0, 2.0, 4.0])),
            ([1, 5, 7, 6], By::Scales([1.0, 1.0, 2.5, 1.7])),
            ([1, 5, 7, 6], By::Scales([1.0, 1.0, 0.5, 0.7])),
            ([1, 7, 6, 5], By::Sizes([1, 12, 13, 5])),
            ([1, 3, 4, 5], By::Scales([1.0; 4])),
        ];
        let mut seed = 1;
        for coordinates in [
            HalfPixel,
            AlignCorners,
            Asymmetric,
            PytorchHalfPixel,
            HalfPixelSymmetric,
        ] {
            for interpolator in [
                Interpolator::Linear,
                Interpolator::Nearest,
                Interpolator::Cubic,
            ] {
                for (shape, by) in &geometries {
                    seed += 1;
                    let op = op(coordinates.clone(), interpolator.clone());
                    let before = model(&op, *shape, by);
                    let mut after = before.clone();
                    rewrite(&mut after).unwrap();
                    assert_eq!(count(&after), 0, "{op:?} of {shape:?}");
                    let input = drawn(shape, seed);
                    let difference = largest_difference(&before, &after, &input);
                    assert!(difference < 1e-5, "{op:?} of {shape:?}: {difference}");
                }
            }
        }
    }

    #[test]
    fn what_has_no_matrix_stays() {
        let linear = op(CoordTransformer::HalfPixel, Interpolator::Linear);
        // A matrix of 2^26 weights.
        let mut model = model(&linear, [1, 1, 1, 1 << 12], &By::Sizes([1, 1, 1, 1 << 14]));
        rewrite(&mut model).unwrap();
        assert_eq!(count(&model), 1);
        let mut codes = TypedModel::default();
        let input = codes.add_source("x", u8::fact([1, 1, 2, 2])).unwrap();
        let sizes = codes.add_const("by", tensor1(&[1i64, 1, 4, 4])).unwrap();
        let by_sizes = Resize {
            optional_sizes_input: Some(1),
            ..linear
        };
        let output = codes.wire_node("resize", by_sizes, &[input, sizes]);
        codes.select_output_outlets(&output.unwrap()).unwrap();
        rewrite(&mut codes).unwrap();
        assert_eq!(
            count(&codes),
            1,
            "of whole numbers the rounding is the resize's own"
        );
    }
}
