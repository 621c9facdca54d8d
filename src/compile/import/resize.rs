//! Operators that give a picture another size.

use super::super::shape;
use super::Operator;
use super::view::{Read, Unread, View, misshapen, unsupported};
use crate::program::{Coordinates, NearestRule, Resample};

impl View<'_> {
    pub fn resize(&self) -> Result<Read, Unread> {
        for (name, default) in [("antialias", 0), ("exclude_outside", 0)] {
            if self.int(name, default) != 0 {
                return unsupported(format!("{name} is set"));
            }
        }
        if !self.ints("axes").is_empty() {
            return unsupported("axes is given; give sizes for all axes");
        }
        if self.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
            return unsupported("keep_aspect_ratio_policy is not stretch");
        }
        // Before opset 11 the second input was scales, and positions asymmetric.
        let is_old = self.inputs.len() == 2;
        let default = if is_old { "asymmetric" } else { "half_pixel" };
        let mode = self.text("coordinate_transformation_mode", default);
        let coordinates = match mode {
            "align_corners" => Coordinates::AlignCorners,
            "half_pixel" | "pytorch_half_pixel" => Coordinates::HalfPixel,
            "asymmetric" => Coordinates::Asymmetric,
            other => return unsupported(format!("coordinate_transformation_mode {other}")),
        };
        let default = if is_old {
            "floor"
        } else {
            "round_prefer_floor"
        };
        let nearest = match self.text("nearest_mode", default) {
            "floor" => NearestRule::Floor,
            "ceil" => NearestRule::Ceil,
            "round_prefer_floor" => NearestRule::RoundPreferFloor,
            "round_prefer_ceil" => NearestRule::RoundPreferCeil,
            other => return unsupported(format!("nearest_mode {other}")),
        };
        let scales = if is_old { 1 } else { 2 };
        let read = self.resized(coordinates, nearest, scales, 3)?;
        // The one difference between the two: pytorch takes the first pixel there.
        let mut sides = self.shape(0)?.iter().zip(&read.shape);
        if mode == "pytorch_half_pixel" && sides.any(|(&from, &to)| from > 1 && to == 1) {
            return unsupported("pytorch_half_pixel to a side of 1");
        }
        Ok(read)
    }

    pub fn upsample(&self) -> Result<Read, Unread> {
        self.resized(Coordinates::Asymmetric, NearestRule::Floor, 1, usize::MAX)
    }

    fn resized(
        &self,
        coordinates: Coordinates,
        nearest: NearestRule,
        scales: usize,
        sizes: usize,
    ) -> Result<Read, Unread> {
        let resample = match self.text("mode", "nearest") {
            "nearest" => Resample::Nearest(coordinates, nearest),
            "linear" | "bilinear" => Resample::Bilinear(coordinates),
            other => return unsupported(format!("mode {other}")),
        };
        let input = self.shape(0)?;
        // An empty list stands for an input that is left out.
        let has = |index: usize| self.shape(index).is_ok_and(|shape| shape != [0]);
        let shape = if has(sizes) {
            let sizes = self.known(sizes, "sizes")?.integers().unwrap_or_default();
            shape::sides(&sizes)
        } else {
            let scales = self.known(scales, "scales")?.floats().unwrap_or_default();
            let exact = coordinates == Coordinates::AlignCorners;
            shape::scaled(input, scales, exact)
        };
        match shape {
            Some(shape) if shape.len() == input.len() => Ok(Read {
                operator: Operator::Resize(resample),
                shape,
            }),
            _ => unsupported("its sizes or scales do not give whole sides"),
        }
    }

    pub fn tile(&self, op: &str) -> Result<Read, Unread> {
        let input = self.shape(0)?;
        let what = self.known(1, "shape")?.integers().unwrap_or_default();
        let shape = shape::sides(&what).and_then(|sides| {
            if op == "Expand" {
                return shape::broadcast(input, &sides);
            }
            let pairs = input.iter().zip(&sides);
            let product: Option<Vec<usize>> = pairs.map(|(a, b)| a.checked_mul(*b)).collect();
            product.filter(|_| sides.len() == input.len())
        });
        match shape {
            Some(shape) => Ok(Read {
                operator: Operator::Tile,
                shape,
            }),
            None => misshapen(format!("{input:?} cannot be repeated to {what:?}")),
        }
    }

    /// Zeros around a tensor; whether the stored value is the zero is the reader's to
    /// know.
    pub fn pad(&self) -> Result<Read, Unread> {
        let mode = self.text("mode", "constant");
        if mode != "constant" {
            return unsupported(format!("mode {mode}: only a border of zeros is supported"));
        }
        // An attribute before opset 11, and an input since.
        if self.float("value", 0.0) != 0.0 {
            return unsupported("its value is not 0: only a border of zeros is supported");
        }
        let input = self.shape(0)?;
        let pads = if self.has(1) {
            self.known(1, "pads")?.integers().unwrap_or_default()
        } else {
            self.ints("pads").to_vec()
        };
        let axes = self.axes(3, input.len())?;
        let axes = axes.unwrap_or_else(|| (0..input.len()).collect());
        if pads.len() != 2 * axes.len() {
            return misshapen(format!("{} pads for {} axes", pads.len(), axes.len()));
        }
        let mut around = vec![[0usize; 2]; input.len()];
        let (before, behind) = pads.split_at(axes.len());
        for ((&axis, &before), &behind) in axes.iter().zip(before).zip(behind) {
            let (Ok(before), Ok(behind)) = (usize::try_from(before), usize::try_from(behind))
            else {
                return unsupported("it cuts a border off: its pads are negative");
            };
            around[axis] = [before, behind];
        }
        let grown = |(&side, [before, behind]): (&usize, &[usize; 2])| {
            side.checked_add(*before)?.checked_add(*behind)
        };
        let shape: Option<Vec<usize>> = input.iter().zip(&around).map(grown).collect();
        match shape {
            Some(shape) => Ok(Read {
                operator: Operator::Pad(around),
                shape,
            }),
            None => misshapen("its pads are too large"),
        }
    }
}
