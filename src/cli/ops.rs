//! The operations of an integer program, for people.

use std::fmt;

use serde::Serialize;

use atrous::program::{Op, Program, TensorId};

/// One operation of a program.
#[derive(Serialize)]
pub struct OpRow {
    /// What it does.
    pub kind: &'static str,
    /// The tensor it writes, by the name it has in the ONNX file.
    pub output: String,
    /// Rows, columns, channels.
    pub shape: [u32; 3],
    /// Multiplications of a convolution; 0 of anything else.
    pub macs: u64,
    /// Bytes of the result.
    pub bytes: u64,
    /// Where it lies in the arena; `None` for the mask.
    pub offset: Option<u64>,
    /// The kernel that does it.
    pub kernel: &'static str,
}

impl fmt::Display for OpRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width, channels] = self.shape;
        let shape = format!("{height}x{width}x{channels}");
        let offset = self.offset.map_or("-".into(), |offset| offset.to_string());
        write!(
            f,
            "  {:<12} {:<28} {shape:<14} {:>8.2} MMAC {:>9} bytes at {offset:<9} {}",
            self.kind,
            self.kernel,
            self.macs as f64 / 1e6,
            self.bytes,
            self.output
        )
    }
}

/// The operations of a program and their kernels, in its order.
pub fn op_rows(program: &Program, kernels: &[&'static str]) -> Vec<OpRow> {
    let row = |(op, &kernel): (&Op, &&'static str)| {
        let (kind, output): (_, Option<TensorId>) = match op {
            Op::Input { output, .. } => ("input", Some(*output)),
            Op::Conv(conv) => {
                let kind = match (conv.residual, conv.groups) {
                    (Some(_), _) => "conv+add",
                    (None, 1) => "conv",
                    (None, _) => "depthwise",
                };
                (kind, Some(conv.output))
            }
            Op::Add { output, .. } => ("add", Some(*output)),
            Op::Mul { output, .. } => ("mul", Some(*output)),
            Op::Map { output, .. } => ("map", Some(*output)),
            Op::AveragePool { output, .. } => ("average pool", Some(*output)),
            Op::MaxPool { output, .. } => ("max pool", Some(*output)),
            Op::Max { output, .. } => ("max", Some(*output)),
            Op::DepthToSpace { output, .. } => ("depth to space", Some(*output)),
            Op::Resize { output, .. } => ("resize", Some(*output)),
            Op::Argmax { .. } => ("argmax", None),
        };
        let tensor = output.map(|id| &program.tensors[id.0 as usize]);
        let shape = tensor.map_or([program.height, program.width, 1], |t| {
            [t.height, t.width, t.channels]
        });
        let elements: u64 = shape.iter().map(|&side| u64::from(side)).product();
        OpRow {
            kind,
            output: tensor.map_or("mask".into(), |t| t.name.clone()),
            shape,
            macs: program.macs(op),
            bytes: elements,
            offset: tensor.map(|t| t.offset),
            kernel,
        }
    };
    program.ops.iter().zip(kernels).map(row).collect()
}
