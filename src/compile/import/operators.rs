//! From an operator's name to what it is, and the operators that are neither
//! windows nor resizes.

use super::super::fuse::{Activation, Arithmetic};
use super::super::{limits, shape};
use super::view::{Read, Unread, View, misshapen, unsupported};
use super::{CodeInputs, Operator};

impl View<'_> {
    pub fn read(&self) -> Result<Read, Unread> {
        let op = self.node.op_type.as_str();
        match self.node.domain.as_str() {
            "" | "ai.onnx" | "com.microsoft" => {}
            other => return unsupported(format!("an operator of the domain '{other}'")),
        }
        let real = match op {
            "QGemm" => Some("Gemm"),
            _ => op.strip_prefix("QLinear"),
        };
        let Some(real) = real else {
            return self.operator(op, 1);
        };
        let inputs = self.code_inputs(real);
        let second = inputs.operands.get(1).copied().unwrap_or(1);
        let read = self.operator(real, second)?;
        Ok(Read {
            operator: Operator::OnCodes(Box::new(read.operator), inputs),
            shape: read.shape,
        })
    }

    /// Where an operator on codes has its inputs.
    fn code_inputs(&self, real: &str) -> CodeInputs {
        let mut inputs = CodeInputs {
            operands: vec![0],
            result: 3,
            bias: None,
            scale_axis: 0,
        };
        match real {
            "Conv" | "Add" | "Mul" | "MatMul" | "Gemm" => {
                inputs.operands.push(3);
                inputs.result = 6;
            }
            "Concat" => {
                inputs.operands = (2..self.inputs.len()).step_by(3).collect();
                inputs.result = 0;
            }
            _ => {}
        }
        match real {
            "Conv" => inputs.bias = Some(8),
            "MatMul" => inputs.scale_axis = 1,
            "Gemm" => {
                inputs.bias = Some(6);
                inputs.result = 7;
                inputs.scale_axis = i64::from(self.int("transB", 0) == 0);
            }
            _ => {}
        }
        inputs
    }

    /// An operator on real values; `second` is the place of its second operand.
    fn operator(&self, op: &str, second: usize) -> Result<Read, Unread> {
        let same = |operator| {
            let shape = self.shape(0)?.to_vec();
            Ok(Read { operator, shape })
        };
        let activation = |f| same(Operator::Activation(f));
        match op {
            "QuantizeLinear" => {
                // Without a zero point the codes are unsigned, unless this says otherwise.
                let output_type = self.int("output_dtype", 0);
                if !self.has(2) && !matches!(output_type, 0 | 2) {
                    return unsupported("output_dtype without a zero point; give it one");
                }
                same(Operator::Quantize {
                    axis: self.int("axis", 1),
                })
            }
            "DequantizeLinear" => same(Operator::Dequantize {
                axis: self.int("axis", 1),
            }),
            "Conv" => self.conv(second),
            "ConvTranspose" => self.conv_transpose(second),
            "DepthToSpace" => self.depth_to_space(),
            "Max" => self.max(),
            "MatMul" => self.mat_mul(second),
            "Gemm" => self.gemm(second),
            "Add" => self.arithmetic(Arithmetic::Add, second),
            "Sub" => self.arithmetic(Arithmetic::Sub, second),
            "Mul" => self.arithmetic(Arithmetic::Mul, second),
            "Div" => self.arithmetic(Arithmetic::Div, second),
            "BatchNormalization" => {
                if self.int("training_mode", 0) != 0 {
                    return unsupported("training_mode is set");
                }
                same(Operator::BatchNormalization {
                    epsilon: self.float("epsilon", 1e-5),
                })
            }
            "Concat" => self.concat(),
            "Relu" => activation(Activation::Clip(0.0, f32::INFINITY)),
            "Clip" => {
                let bound = |index, name, default| -> Result<f32, Unread> {
                    if !self.has(index) {
                        return Ok(self.float(name, default));
                    }
                    match self.known(index, name)?.float() {
                        Some(bound) if !bound.is_nan() => Ok(bound),
                        _ => unsupported(format!("its {name} is not one number")),
                    }
                };
                let low = bound(1, "min", f32::NEG_INFINITY)?;
                let high = bound(2, "max", f32::INFINITY)?;
                activation(Activation::Clip(low, high))
            }
            "LeakyRelu" => activation(Activation::LeakyRelu(self.float("alpha", 0.01))),
            "PRelu" => same(Operator::PRelu),
            "Sigmoid" => activation(Activation::Sigmoid),
            "Tanh" => activation(Activation::Tanh),
            "HardSigmoid" => activation(Activation::HardSigmoid(
                self.float("alpha", 0.2),
                self.float("beta", 0.5),
            )),
            "HardSwish" => activation(Activation::HardSwish),
            "GlobalAveragePool" => self.global_average_pool(),
            "ReduceMean" => self.reduce_mean(),
            "AveragePool" => self.average_pool(),
            "MaxPool" => self.max_pool(),
            "Resize" => self.resize(),
            "Upsample" => self.upsample(),
            "Tile" | "Expand" => self.tile(op),
            "Pad" => self.pad(),
            "Slice" => self.slice(),
            "Transpose" => self.transpose(),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => Ok(Read {
                operator: Operator::Reshape,
                shape: self.reshaped()?,
            }),
            "Cast" => same(Operator::Cast),
            // Without training, whatever its other inputs say, Dropout is one too.
            "Identity" => same(Operator::Identity),
            "Dropout" if !self.has(2) => same(Operator::Identity),
            "Dropout" => unsupported("its training_mode is given"),
            "Softmax" | "LogSoftmax" => {
                let axis = self.axis(-1, self.shape(0)?.len())?;
                same(Operator::Softmax { axis })
            }
            "ArgMax" => self.arg_max(),
            _ => unsupported(
                "it has no integer form here; keep it out of the graph or run the model in tract",
            ),
        }
    }

    fn arithmetic(&self, operation: Arithmetic, second: usize) -> Result<Read, Unread> {
        let (a, b) = (self.shape(0)?, self.shape(second)?);
        match shape::broadcast(a, b) {
            Some(shape) => Ok(Read {
                operator: Operator::Arithmetic(operation),
                shape,
            }),
            None => misshapen(format!("{a:?} and {b:?} do not fit each other")),
        }
    }

    fn mat_mul(&self, matrix: usize) -> Result<Read, Unread> {
        let (input, matrix) = (self.shape(0)?, self.shape(matrix)?);
        let &[inputs, outputs] = matrix else {
            return unsupported(format!(
                "its second operand, of shape {matrix:?}, is no matrix of weights"
            ));
        };
        let Some((&last, rest)) = input.split_last().filter(|(_, rest)| !rest.is_empty()) else {
            return unsupported(format!("its first operand has the shape {input:?}"));
        };
        if last != inputs {
            return misshapen(format!("{input:?} and {matrix:?} do not fit each other"));
        }
        let shape = rest.iter().copied().chain([outputs]).collect();
        Ok(Read {
            operator: Operator::MatMul { transposed: false },
            shape,
        })
    }

    fn gemm(&self, matrix: usize) -> Result<Read, Unread> {
        if self.int("transA", 0) != 0 {
            return unsupported("transA is set");
        }
        if self.float("alpha", 1.0) != 1.0 || self.float("beta", 1.0) != 1.0 {
            return unsupported("alpha or beta is not 1");
        }
        let (input, matrix) = (self.shape(0)?, self.shape(matrix)?);
        let (&[rows, inputs], &[m, n]) = (input, matrix) else {
            return misshapen(format!("{input:?} and {matrix:?} are not two matrices"));
        };
        let transposed = self.int("transB", 0) != 0;
        let (expected, outputs) = if transposed { (n, m) } else { (m, n) };
        if expected != inputs {
            return misshapen(format!("{input:?} and {matrix:?} do not fit each other"));
        }
        Ok(Read {
            operator: Operator::MatMul { transposed },
            shape: vec![rows, outputs],
        })
    }

    fn reduce_mean(&self) -> Result<Read, Unread> {
        let input = self.shape(0)?;
        // On codes the second input is a scale, and the axes are an attribute.
        let place = if self.node.op_type == "ReduceMean" {
            1
        } else {
            usize::MAX
        };
        let Some(axes) = self.axes(place, input.len())? else {
            return unsupported("it names no axes");
        };
        let keep = self.int("keepdims", 1) != 0;
        let mut shape = Vec::with_capacity(input.len());
        for (axis, &side) in input.iter().enumerate() {
            match axes.contains(&axis) {
                true if keep => shape.push(1),
                true => {}
                false => shape.push(side),
            }
        }
        Ok(Read {
            operator: Operator::Mean { axes, keep },
            shape,
        })
    }

    fn slice(&self) -> Result<Read, Unread> {
        let input = self.shape(0)?;
        // Attributes before opset 10.
        let list = |index: usize, name: &str| -> Result<Vec<i64>, Unread> {
            if self.has(index) {
                return Ok(self.known(index, name)?.integers().unwrap_or_default());
            }
            Ok(self.ints(name).to_vec())
        };
        let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
        if list(4, "steps")?.iter().any(|&step| step != 1) {
            return unsupported("its steps are not 1");
        }
        let axes = self.axes(3, input.len())?;
        let axes = axes.unwrap_or_else(|| (0..starts.len()).collect());
        if starts.len() != axes.len() || ends.len() != axes.len() {
            return misshapen(format!(
                "{} starts and {} ends for {} axes",
                starts.len(),
                ends.len(),
                axes.len()
            ));
        }
        let mut begins = vec![0; input.len()];
        let mut shape = input.to_vec();
        for ((&axis, start), end) in axes.iter().zip(starts).zip(ends) {
            let Some(&side) = input.get(axis) else {
                return misshapen(format!("axis {axis} of {input:?}"));
            };
            // Numbers below 0 count from the end; all are kept within the side.
            let place = |at: i64| {
                let side = side as i64;
                let at = if at < 0 { at.saturating_add(side) } else { at };
                at.clamp(0, side) as usize
            };
            let (start, end) = (place(start), place(end));
            if end <= start {
                return unsupported("nothing is left of it");
            }
            begins[axis] = start;
            shape[axis] = end - start;
        }
        Ok(Read {
            operator: Operator::Slice(begins),
            shape,
        })
    }

    fn transpose(&self) -> Result<Read, Unread> {
        let input = self.shape(0)?;
        let order: Option<Vec<usize>> = match self.ints("perm") {
            [] => Some((0..input.len()).rev().collect()),
            order => order.iter().map(|&i| usize::try_from(i).ok()).collect(),
        };
        let shape = order.as_ref().and_then(|order| {
            let sides = order.iter().map(|&i| input.get(i).copied());
            sides.collect::<Option<Vec<_>>>()
        });
        match (order, shape) {
            (Some(order), Some(shape)) if order.len() == input.len() => Ok(Read {
                operator: Operator::Transpose(order),
                shape,
            }),
            _ => misshapen("its perm does not fit its input"),
        }
    }

    fn concat(&self) -> Result<Read, Unread> {
        // QLinearConcat starts with the result's scale and zero point; then each
        // part has its own after it.
        let on_codes = self.node.op_type == "QLinearConcat";
        let (start, step) = if on_codes { (2, 3) } else { (0, 1) };
        let parts: Vec<usize> = (start..self.inputs.len()).step_by(step).collect();
        if parts.len() > limits::MAX_PARTS {
            return unsupported(format!(
                "{} parts; at most {} are joined",
                parts.len(),
                limits::MAX_PARTS
            ));
        }
        let mut shape = self.shape(start)?.to_vec();
        let axis = self.axis(1, shape.len())?;
        let mut total = 0usize;
        for part in parts {
            let part = self.shape(part)?;
            let others = |s: &[usize]| {
                let sides = s.iter().enumerate().filter(|(i, _)| *i != axis);
                sides.map(|(_, &side)| side).collect::<Vec<_>>()
            };
            if part.len() != shape.len() || others(part) != others(&shape) {
                return misshapen(format!("its parts {shape:?} and {part:?} do not fit"));
            }
            total = total.saturating_add(part[axis]);
        }
        shape[axis] = total;
        Ok(Read {
            operator: Operator::Concat { axis },
            shape,
        })
    }

    fn arg_max(&self) -> Result<Read, Unread> {
        if self.int("select_last_index", 0) != 0 {
            return unsupported("select_last_index is set");
        }
        let mut shape = self.shape(0)?.to_vec();
        let axis = self.axis(0, shape.len())?;
        if self.int("keepdims", 1) != 0 {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Ok(Read {
            operator: Operator::ArgMax { axis },
            shape,
        })
    }
}
