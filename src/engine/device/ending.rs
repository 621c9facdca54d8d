//! The end of a graph that whoever reads its scores does better: the resize to the mask's
//! size and the choice of the class. Without them the scores that have to be fetched are
//! as coarse as the decoder's.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::nn::resize::{CoordTransformer, Interpolator, Resize};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use crate::model::Manifest;
use crate::model::manifest::{Layout, OutputKind};
use crate::postprocess::upsample::Upsample;

/// How far a scale may be off the ratio of two sides, as part of it, to be that ratio.
const SCALE_TOLERANCE: f32 = 1e-6;

/// What a graph ends in after the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// Where the classes are.
    pub layout: Layout,
    /// How the scores reach the mask's size.
    pub upsample: Upsample,
    /// Number of classes, height and width.
    pub size: (usize, usize, usize),
}

/// Leaves only the first output, and makes it the scores before the last resize and the
/// choice of the class. `None` where the graph ends in something else: it is unchanged
/// then but for its other outputs.
///
/// # Errors
/// tract's.
pub fn cut(model: &mut TypedModel, manifest: &Manifest) -> TractResult<Option<Scores>> {
    let first = model.outputs.first().copied();
    let first = first.context("the graph has no output")?;
    model.select_output_outlets(&[first])?;
    let found = match manifest.output.kind {
        OutputKind::Logits => Some((first, manifest.output.layout)),
        OutputKind::Labels => chosen_from(model, first)?,
    };
    let Some((fine, layout)) = found else {
        return Ok(None);
    };
    let mask = (manifest.input.height, manifest.input.width);
    let mask = (mask.0 as usize, mask.1 as usize);
    let Some(fine_size) = size_of(model, fine, layout)? else {
        return Ok(None);
    };
    let resized = resized_from(model, fine, layout, mask)?;
    let (outlet, upsample) = match (resized, manifest.output.kind) {
        (Some(found), _) => found,
        // Labels are read as they are, so these scores must be of their size.
        (None, OutputKind::Labels) if (fine_size.1, fine_size.2) == mask => {
            (fine, Upsample::AlignCorners)
        }
        (None, OutputKind::Labels) => return Ok(None),
        (None, OutputKind::Logits) => (fine, manifest.output.upsample),
    };
    let Some(size) = size_of(model, outlet, layout)? else {
        return Ok(None);
    };
    let classes = manifest.classes.len();
    let has_classes = match manifest.output.kind {
        OutputKind::Logits => size.0 == classes,
        // Their manifest may have been derived from labels alone, which tell no number.
        OutputKind::Labels => (1..=classes).contains(&size.0),
    };
    if !has_classes || size.1 == 0 || size.2 == 0 {
        return Ok(None);
    }
    model.select_output_outlets(&[outlet])?;
    Ok(Some(Scores {
        layout,
        upsample,
        size,
    }))
}

/// Classes, height and width of scores of one picture; `None` of anything else.
fn size_of(
    model: &TypedModel,
    outlet: OutletId,
    layout: Layout,
) -> TractResult<Option<(usize, usize, usize)>> {
    let fact = model.outlet_fact(outlet)?;
    let shape = fact
        .shape
        .as_concrete()
        .filter(|_| fact.datum_type.is_float());
    Ok(match (layout, shape) {
        (Layout::Nchw, Some(&[1, c, h, w])) | (Layout::Nhwc, Some(&[1, h, w, c])) => {
            Some((c, h, w))
        }
        _ => None,
    })
}

/// The scores that labels are the best classes of.
fn chosen_from(model: &TypedModel, labels: OutletId) -> TractResult<Option<(OutletId, Layout)>> {
    let mut outlet = labels;
    loop {
        let node = model.node(outlet.node);
        if let Some(reduce) = node.op_as::<Reduce>() {
            // Of equal scores the first is taken, and so it is where they are read.
            let is_first = reduce.reducer == Reducer::ArgMax(false);
            let layout = match *reduce.axes {
                [1] if is_first => Layout::Nchw,
                [3] if is_first => Layout::Nhwc,
                _ => return Ok(None),
            };
            return Ok(Some((node.inputs[0], layout)));
        }
        let axis = node.op_as::<AxisOp>();
        let is_unit = axis.is_some_and(|op| matches!(op, AxisOp::Add(_) | AxisOp::Rm(_)));
        // A cast of labels to fewer bits would be another label.
        let is_wide = |cast: &Cast| cast.to.is_integer() && cast.to.size_of() >= 4;
        if !is_unit && !node.op_as::<Cast>().is_some_and(is_wide) {
            return Ok(None);
        }
        outlet = node.inputs[0];
    }
}

/// What scores of the mask's size were enlarged from, if our own enlargement does the
/// same.
fn resized_from(
    model: &TypedModel,
    scores: OutletId,
    layout: Layout,
    mask: (usize, usize),
) -> TractResult<Option<(OutletId, Upsample)>> {
    let node = model.node(scores.node);
    let Some(resize) = node.op_as::<Resize>() else {
        return Ok(None);
    };
    let upsample = match resize.coord_transformer {
        // The two differ where a side of the mask is one pixel.
        CoordTransformer::HalfPixel => Upsample::HalfPixel,
        CoordTransformer::PytorchHalfPixel if mask.0 > 1 && mask.1 > 1 => Upsample::HalfPixel,
        CoordTransformer::AlignCorners => Upsample::AlignCorners,
        CoordTransformer::Asymmetric => Upsample::Asymmetric,
        _ => return Ok(None),
    };
    let coarse = node.inputs[0];
    let sizes = (
        size_of(model, coarse, layout)?,
        size_of(model, scores, layout)?,
    );
    let (Some(from), Some(to)) = sizes else {
        return Ok(None);
    };
    let is_enlarged = from.0 == to.0 && from.1 <= to.1 && from.2 <= to.2;
    let is_linear = resize.interpolator == Interpolator::Linear;
    if !is_linear || !is_enlarged || (to.1, to.2) != mask {
        return Ok(None);
    }
    let has_ratios = match resize
        .optional_scales_input
        .map(|input| node.inputs.get(input))
    {
        None => true,
        Some(None) => false,
        Some(Some(&outlet)) => {
            let Some(scales) = &model.outlet_fact(outlet)?.konst else {
                return Ok(None);
            };
            let scales = scales.cast_to::<f32>()?;
            let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?;
            let hw = match (layout, scales) {
                (Layout::Nchw, &[_, _, h, w]) | (Layout::Nhwc, &[_, h, w, _]) => Some((h, w)),
                // Sizes are given instead.
                _ => None,
            };
            let is_ratio = |scale: f32, from: usize, to: usize| {
                let ratio = to as f32 / from as f32;
                (scale - ratio).abs() <= ratio * SCALE_TOLERANCE
            };
            hw.is_none_or(|(h, w)| is_ratio(h, from.1, to.1) && is_ratio(w, from.2, to.2))
        }
    };
    Ok(has_ratios.then_some((coarse, upsample)))
}
