//! Pools as slices that are combined, axis by axis.
//!
//! The largest value of a window is the largest of its columns' largest values, and its
//! sum the sum of their sums. Along one axis the first values of all windows are a slice
//! of the tensor, the second ones another: combining these slices is the pool.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

/// Longest window that is taken apart, in values along an axis; a window over the whole
/// axis may have any length.
const MAX_TAPS: usize = 64;

/// Rewrites every pool of floats whose geometry is fixed; any other stays.
///
/// # Errors
/// tract's, where it rejects what was made.
pub fn rewrite(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for("max-pool-as-slices", max_pool)
        .with_rule_for("sum-pool-as-slices", sum_pool)
        .rewrite(&(), model)
}

fn max_pool(
    _: &(),
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: &MaxPool,
) -> TractResult<Option<TypedModelPatch>> {
    if op.with_index_outputs.is_some() {
        return Ok(None);
    }
    let combine = Combine {
        op: math::max,
        reducer: Reducer::Max,
        outside: f32::NEG_INFINITY,
    };
    let Some((mut patch, wire)) = combine.slices(model, node, name, &op.pool_spec)? else {
        return Ok(None);
    };
    patch.shunt_outside(model, node.id.into(), wire)?;
    Ok(Some(patch))
}

fn sum_pool(
    _: &(),
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: &SumPool,
) -> TractResult<Option<TypedModelPatch>> {
    let combine = Combine {
        op: math::add,
        reducer: Reducer::Sum,
        outside: 0.0,
    };
    let Some((mut patch, mut wire)) = combine.slices(model, node, name, &op.pool_spec)? else {
        return Ok(None);
    };
    if op.normalize {
        let fact = model.outlet_fact(node.inputs[0])?;
        let shares = shares(op, fact)?.cast_to_dt(fact.datum_type)?.into_owned();
        let shares = patch.add_const(format!("{name}.shares"), shares)?;
        wire = patch.wire_node(format!("{name}.mean"), math::mul(), &[wire, shares])?[0];
    }
    patch.shunt_outside(model, node.id.into(), wire)?;
    Ok(Some(patch))
}

/// What each window's sum is multiplied by to give tract's mean, for one channel of one
/// picture. Windows at an edge may count what is padded or not, so tract is asked: for a
/// picture of ones it gives each window's sum and its mean.
fn shares(op: &SumPool, input: &TypedFact) -> TractResult<Tensor> {
    let shape = input.shape.as_concrete().unwrap_or_default();
    let format = op.pool_spec.data_format;
    let hw = format.shape(shape)?.hw_dims().to_vec();
    let of_ones = |normalize: bool| -> TractResult<Tensor> {
        let shape = format.from_n_c_hw(1usize, 1usize, hw.clone())?.shape;
        let ones = Tensor::from_shape(&shape, &vec![1f32; shape.iter().product()])?;
        let mut model = TypedModel::default();
        let input = model.add_source("ones", f32::fact(&shape))?;
        let pool = SumPool {
            normalize,
            pool_spec: PoolSpec {
                input_channels: 1,
                output_channels: 1,
                ..op.pool_spec.clone()
            },
            ..op.clone()
        };
        let output = model.wire_node("pool", pool, &[input])?;
        model.select_output_outlets(&output)?;
        let mut outputs = TypedSimplePlan::new(model)?.run(tvec!(ones.into()))?;
        Ok(outputs.remove(0).into_tensor())
    };
    let (sums, means) = (of_ones(false)?, of_ones(true)?);
    let shape: TVec<usize> = sums.shape().into();
    let (sums, means) = (sums.try_as_plain_ram()?, means.try_as_plain_ram()?);
    let pairs = sums.as_slice::<f32>()?.iter().zip(means.as_slice::<f32>()?);
    // A window that holds nothing has no mean.
    let share = |(&sum, &mean): (&f32, &f32)| if sum > 0.0 { mean / sum } else { 0.0 };
    Tensor::from_shape(&shape, &pairs.map(share).collect::<Vec<f32>>())
}

/// How the values of a window become one.
struct Combine {
    op: fn() -> TypedBinOp,
    /// The same over a whole axis.
    reducer: Reducer,
    /// What a value outside of the tensor counts as.
    outside: f32,
}

/// The windows along one axis.
struct Windows {
    taps: usize,
    dilation: usize,
    stride: usize,
    count: usize,
    /// Length of the axis, and values put before it.
    length: usize,
    before: usize,
}

impl Windows {
    /// Along every axis of the picture; `None` where there are too many taps.
    fn of(spec: &PoolSpec, shape: &[usize]) -> TractResult<Option<Vec<Self>>> {
        let shape = spec.data_format.shape(shape)?;
        let padding = spec.computed_padding(shape.hw_dims());
        let windows = padding.iter().enumerate().map(|(axis, padded)| Self {
            taps: spec.kernel_shape[axis],
            dilation: spec.dilation(axis),
            stride: spec.stride(axis),
            count: padded.convoluted,
            length: shape.hw_dims()[axis],
            before: padded.pad_before,
        });
        let windows: Vec<Self> = windows.collect();
        let is_fit = |w: &Self| {
            let some = w.taps > 0 && w.dilation > 0 && w.stride > 0 && w.count > 0;
            some && (w.is_whole() || w.taps <= MAX_TAPS)
        };
        Ok(windows.iter().all(is_fit).then_some(windows))
    }

    /// Whether the one window is the axis.
    fn is_whole(&self) -> bool {
        self.count == 1 && self.before == 0 && self.dilation == 1 && self.taps == self.length
    }

    /// Length that all slices together ask for, from the values before the axis on. A
    /// slice is as long as its windows' steps, so that it can be folded into them.
    fn reach(&self) -> usize {
        (self.taps - 1) * self.dilation + self.count * self.stride
    }
}

impl Combine {
    /// The pool without its mean; `None` where it has to stay.
    fn slices(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        name: &str,
        spec: &PoolSpec,
    ) -> TractResult<Option<(TypedModelPatch, OutletId)>> {
        let fact = model.outlet_fact(node.inputs[0])?;
        let Some(shape) = fact.shape.as_concrete() else {
            return Ok(None);
        };
        if !fact.datum_type.is_float() || spec.input_channels != spec.output_channels {
            return Ok(None);
        }
        let Some(windows) = Windows::of(spec, shape)? else {
            return Ok(None);
        };
        let first = spec.data_format.shape(shape)?.h_axis();
        let mut patch = TypedModelPatch::default();
        let mut wire = patch.tap_model(model, node.inputs[0])?;
        for (axis, windows) in (first..).zip(&windows) {
            let name = format!("{name}.axis-{axis}");
            wire = if windows.is_whole() {
                let reduce = Reduce::new(tvec!(axis), self.reducer);
                patch.wire_node(name, reduce, &[wire])?[0]
            } else {
                self.along(&mut patch, &name, wire, axis, windows)?
            };
        }
        Ok(Some((patch, wire)))
    }

    fn along(
        &self,
        patch: &mut TypedModelPatch,
        name: &str,
        input: OutletId,
        axis: usize,
        windows: &Windows,
    ) -> TractResult<OutletId> {
        let fact = patch.outlet_fact(input)?.clone();
        let after = (windows.reach()).saturating_sub(windows.before + windows.length);
        let mut wire = input;
        if windows.before + after > 0 {
            let mut pads = vec![(0, 0); fact.rank()];
            pads[axis] = (windows.before, after);
            let outside = tensor0(self.outside)
                .cast_to_dt(fact.datum_type)?
                .into_owned();
            let mode = PadMode::Constant(outside.into_arc_tensor());
            wire = patch.wire_node(format!("{name}.pad"), Pad { pads, mode }, &[wire])?[0];
        }
        let mut combined: Option<OutletId> = None;
        for tap in 0..windows.taps {
            let label = |step: &str| format!("{name}.{step}-{tap}");
            let start = tap * windows.dilation;
            let slice = Slice::new(axis, start, start + windows.count * windows.stride);
            let mut values = patch.wire_node(label("slice"), slice, &[wire])?[0];
            if windows.stride > 1 {
                // Of every step only its first value belongs to this tap.
                let (count, stride) = (windows.count.to_dim(), windows.stride.to_dim());
                let whole = tvec!(count.clone() * &stride);
                let fold = AxisOp::Reshape(axis, whole, tvec!(count, stride));
                values = patch.wire_node(label("fold"), fold, &[values])?[0];
                let first = Slice::new(axis + 1, 0, 1);
                values = patch.wire_node(label("first"), first, &[values])?[0];
                values = patch.wire_node(label("line"), AxisOp::Rm(axis + 1), &[values])?[0];
            }
            combined = Some(match combined {
                None => values,
                Some(so_far) => {
                    patch.wire_node(label("combine"), (self.op)(), &[so_far, values])?[0]
                }
            });
        }
        // There is at least one tap.
        combined.context("a window without values")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{drawn, largest_difference};
    use super::*;
    use tract_onnx::tract_core::ops::cnn::PaddingSpec;
    use tract_onnx::tract_core::ops::nn::DataFormat;

    fn spec(
        kernel: [usize; 2],
        padding: PaddingSpec,
        dilations: [usize; 2],
        strides: [usize; 2],
    ) -> PoolSpec {
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: TVec::from_slice(&kernel),
            padding,
            dilations: Some(TVec::from_slice(&dilations)),
            strides: Some(TVec::from_slice(&strides)),
            input_channels: 3,
            output_channels: 3,
        }
    }

    fn model(op: impl Into<Box<dyn TypedOp>>, shape: [usize; 4]) -> TypedModel {
        let mut model = TypedModel::default();
        let input = model.add_source("x", f32::fact(shape)).unwrap();
        let output = model.wire_node("pool", op, &[input]).unwrap();
        model.select_output_outlets(&output).unwrap();
        model
    }

    fn stays(model: &TypedModel) -> bool {
        let order = model.eval_order().unwrap();
        let is_pool = |node: &TypedNode| node.op_is::<MaxPool>() || node.op_is::<SumPool>();
        order.iter().any(|&id| is_pool(model.node(id)))
    }

    #[test]
    fn slices_are_what_tracts_pools_give() {
        use PaddingSpec::*;
        let explicit = |before: [usize; 2], after: [usize; 2]| {
            ExplicitOnnxPool(TVec::from_slice(&before), TVec::from_slice(&after), false)
        };
        let ceiling = |before: [usize; 2], after: [usize; 2]| {
            ExplicitOnnxPool(TVec::from_slice(&before), TVec::from_slice(&after), true)
        };
        let cases = [
            (spec([2, 2], Valid, [1, 1], [2, 2]), [1, 3, 8, 6]),
            (spec([2, 2], Valid, [1, 1], [2, 2]), [1, 3, 9, 7]),
            (
                spec([3, 3], explicit([1, 1], [1, 1]), [1, 1], [2, 2]),
                [1, 3, 11, 8],
            ),
            (
                spec([3, 3], explicit([1, 1], [1, 1]), [1, 1], [1, 1]),
                [2, 3, 5, 7],
            ),
            (
                spec([3, 5], explicit([0, 2], [1, 1]), [1, 1], [3, 1]),
                [1, 3, 10, 9],
            ),
            (
                spec([3, 3], explicit([2, 2], [2, 2]), [2, 2], [1, 1]),
                [1, 3, 9, 9],
            ),
            (
                spec([3, 2], ceiling([1, 0], [1, 0]), [1, 1], [2, 2]),
                [1, 3, 8, 9],
            ),
            (spec([3, 3], SameUpper, [1, 1], [2, 2]), [1, 3, 7, 10]),
            (spec([3, 3], SameLower, [1, 1], [2, 2]), [1, 3, 7, 10]),
            (spec([9, 7], Valid, [1, 1], [1, 1]), [1, 3, 9, 7]),
            (spec([9, 2], Valid, [1, 1], [9, 2]), [1, 3, 9, 7]),
            (spec([1, 1], Valid, [1, 1], [2, 3]), [1, 3, 9, 7]),
        ];
        for (seed, (spec, shape)) in (1..).zip(&cases) {
            let input = drawn(shape, seed);
            let mut models = vec![model(MaxPool::new(spec.clone(), None), *shape)];
            for (count_include_pad, normalize) in [(false, true), (true, true), (false, false)] {
                let pool = SumPool::new(spec.clone(), count_include_pad, normalize);
                models.push(model(pool, *shape));
            }
            for before in models {
                let mut after = before.clone();
                rewrite(&mut after).unwrap();
                assert!(!stays(&after), "{spec:?} of {shape:?}");
                let difference = largest_difference(&before, &after, &input);
                assert!(difference < 1e-5, "{spec:?} of {shape:?}: {difference}");
            }
        }
    }

    #[test]
    fn channels_may_be_last() {
        let spec = PoolSpec {
            data_format: DataFormat::NHWC,
            ..spec([3, 2], PaddingSpec::SameUpper, [1, 1], [2, 1])
        };
        let before = model(SumPool::new(spec, false, true), [1, 7, 9, 3]);
        let mut after = before.clone();
        rewrite(&mut after).unwrap();
        assert!(!stays(&after));
        let difference = largest_difference(&before, &after, &drawn(&[1, 7, 9, 3], 5));
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn what_cannot_be_taken_apart_stays() {
        let model_of = |spec: PoolSpec, shape| {
            let mut model = model(MaxPool::new(spec, None), shape);
            rewrite(&mut model).unwrap();
            stays(&model)
        };
        let wide = [MAX_TAPS + 1, 1];
        let shape = [1, 3, 2 * MAX_TAPS, 4];
        assert!(model_of(
            spec(wide, PaddingSpec::Valid, [1, 1], [1, 1]),
            shape
        ));
        let whole = [2 * MAX_TAPS, 1];
        assert!(!model_of(
            spec(whole, PaddingSpec::Valid, [1, 1], [1, 1]),
            shape
        ));
        let op = MaxPool::new(
            spec([2, 2], PaddingSpec::Valid, [1, 1], [2, 2]),
            Some(i64::datum_type()),
        );
        let mut model = model(op, [1, 3, 4, 4]);
        rewrite(&mut model).unwrap();
        assert!(stays(&model), "its places are asked for too");
    }
}
