//! From the network and its plan to the program.

use super::net::{Kind, Net, ValueId};
use super::plan::Plan;
use super::{Ending, Fault, Placed};
use crate::program::constants::ALIGN;
use crate::program::{Conv, Op, Output, Program, Region, Residual, Span, Tensor, TensorId};

/// Writes the program and a report of its operations.
///
/// A program that ends in scores has no operation for the choice of the class: its
/// output is what that step reads.
///
/// # Errors
/// [`Fault::Shape`] where the network is not complete.
pub fn emit(net: &Net, plan: &Plan, ending: Ending) -> Result<(Program, Vec<Placed>), Fault> {
    let (region, report) = emit_region(net, plan, ending)?;
    Ok((region.body, report))
}

/// Writes a part of a model and a report of its operations. Its inputs and outputs are
/// those of the steps [`Kind::Given`] and [`Kind::Kept`], in their order.
///
/// # Errors
/// As [`emit`].
pub fn emit_region(net: &Net, plan: &Plan, ending: Ending) -> Result<(Region, Vec<Placed>), Fault> {
    let mut emitter = Emitter {
        net,
        plan,
        ids: vec![None; net.values.len()],
        tensors: Vec::new(),
        constants: Vec::new(),
    };
    let mut ops = Vec::with_capacity(net.steps.len());
    let mut report = Vec::with_capacity(net.steps.len());
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let (width, height) = net.mask;
    let mut output = Output::Codes;
    for step in &net.steps {
        if let (&Kind::Argmax { input, resample }, Ending::Logits) = (&step.kind, ending) {
            let scores = emitter.tensor(input)?;
            output = Output::Logits { scores, resample };
            continue;
        }
        // An argmax has no tensor of its own: the mask lies outside the arena.
        let written = step.output.map(|value| emitter.tensor(value)).transpose()?;
        let target = |node: &str| {
            written.ok_or_else(|| Fault::Shape {
                node: node.to_owned(),
                reason: "it has no output".into(),
            })
        };
        let op = match &step.kind {
            Kind::Given => {
                inputs.push(target(&step.node)?);
                continue;
            }
            Kind::Kept { input } => {
                outputs.push(emitter.tensor(*input)?);
                continue;
            }
            Kind::Argmax { input, resample } => {
                output = Output::Labels { width, height };
                Op::Argmax {
                    input: emitter.tensor(*input)?,
                    resample: *resample,
                }
            }
            kind => emitter.op(kind, target(&step.node)?)?,
        };
        let shape = match step.output {
            Some(value) => {
                let size = net.value(value).size;
                [size.height, size.width, size.channels]
            }
            None => [height, width, 1],
        };
        report.push(Placed {
            node: step.node.clone(),
            kind: step.kind.name(),
            shape,
            macs: 0,
        });
        ops.push(op);
    }
    let program = Program {
        width,
        height,
        tensors: emitter.tensors,
        ops,
        output,
        arena_bytes: plan.arena_bytes,
        constants: emitter.constants.into(),
    };
    for (placed, op) in report.iter_mut().zip(&program.ops) {
        placed.macs = program.macs(op);
    }
    let region = Region {
        body: program,
        inputs,
        outputs,
    };
    Ok((region, report))
}

struct Emitter<'a> {
    net: &'a Net,
    plan: &'a Plan,
    ids: Vec<Option<TensorId>>,
    tensors: Vec<Tensor>,
    constants: Vec<u8>,
}

impl Emitter<'_> {
    /// The tensor of a value, which is added where it is first used.
    fn tensor(&mut self, value: ValueId) -> Result<TensorId, Fault> {
        if let Some(id) = self.ids[value.0] {
            return Ok(id);
        }
        let of = self.net.value(value);
        let Some(offset) = self.plan.offsets[value.0] else {
            return Err(Fault::Shape {
                node: of.name.clone(),
                reason: "it is read, but nothing makes it".into(),
            });
        };
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(Tensor {
            name: of.name.clone(),
            height: of.size.height,
            width: of.size.width,
            channels: of.size.channels,
            quant: of.quant,
            offset,
            pixel_stride: self.net.value(self.net.root(value)).size.channels,
        });
        self.ids[value.0] = Some(id);
        Ok(id)
    }

    fn op(&mut self, kind: &Kind, output: TensorId) -> Result<Op, Fault> {
        Ok(match kind {
            Kind::Input { order, tables } => {
                let tables: Vec<u8> = tables.iter().flat_map(|t| t.iter().copied()).collect();
                Op::Input {
                    output,
                    order: *order,
                    tables: self.span(&tables, |&code| [code]),
                }
            }
            Kind::Conv(conv) => Op::Conv(Conv {
                input: self.tensor(conv.input)?,
                output,
                groups: conv.groups,
                window: conv.window,
                weights: self.span(&conv.weights, |w| w.to_le_bytes()),
                weight_zero_points: self.span(&conv.weight_zero_points, |z| z.to_le_bytes()),
                bias: self.span(&conv.bias, |b| b.to_le_bytes()),
                multipliers: self.span(&conv.multipliers, |m| m.to_le_bytes()),
                clamp: conv.clamp,
                quant: conv.quant,
                residual: match conv.residual {
                    Some(residual) => Some(Residual {
                        tensor: self.tensor(residual.value)?,
                        clamp: residual.clamp,
                        first: residual.first,
                    }),
                    None => None,
                },
            }),
            &Kind::Add { a, b, clamp } => Op::Add {
                a: self.tensor(a)?,
                b: self.tensor(b)?,
                output,
                clamp,
            },
            &Kind::Mul { a, b, clamp } => Op::Mul {
                a: self.tensor(a)?,
                b: self.tensor(b)?,
                output,
                clamp,
            },
            Kind::Map { input, table } => Op::Map {
                input: self.tensor(*input)?,
                output,
                table: self.span(&table[..], |&code| [code]),
            },
            &Kind::AveragePool {
                input,
                window,
                count_outside,
            } => Op::AveragePool {
                input: self.tensor(input)?,
                output,
                window,
                count_outside,
            },
            &Kind::MaxPool { input, window } => Op::MaxPool {
                input: self.tensor(input)?,
                output,
                window,
            },
            &Kind::Max { a, b } => Op::Max {
                a: self.tensor(a)?,
                b: self.tensor(b)?,
                output,
            },
            &Kind::DepthToSpace {
                input,
                block,
                begin,
            } => Op::DepthToSpace {
                input: self.tensor(input)?,
                output,
                block,
                begin,
            },
            &Kind::Resize { input, resample } => Op::Resize {
                input: self.tensor(input)?,
                output,
                resample,
            },
            Kind::Given | Kind::Kept { .. } | Kind::Concat { .. } | Kind::Argmax { .. } => {
                return Err(Fault::Shape {
                    node: self.tensors[output.0 as usize].name.clone(),
                    reason: format!("{} has no operation of its own", kind.name()),
                });
            }
        })
    }

    /// Appends elements; an empty list takes no bytes.
    fn span<T, const N: usize>(&mut self, list: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Span {
        if list.is_empty() {
            return Span::default();
        }
        let offset = self.constants.len().next_multiple_of(ALIGN as usize);
        self.constants.resize(offset, 0);
        self.constants.extend(list.iter().flat_map(bytes));
        Span {
            offset: offset as u64,
            len: list.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::plan;
    use super::super::testing::{argmax, conv, net_of, quant};
    use super::*;

    #[test]
    fn constants_are_aligned_and_little_endian() {
        let mut net = net_of(&[(3, quant(1.0, 0)), (2, quant(2.0, 5))]);
        conv(&mut net, 0, 1);
        argmax(&mut net, 1);
        let (program, report) = emit(&net, &plan(&net).unwrap(), Ending::Labels).unwrap();
        let Op::Conv(conv) = &program.ops[0] else {
            panic!("{:?}", program.ops)
        };
        assert_eq!(conv.weight_zero_points, Span::default());
        for span in [conv.weights, conv.bias, conv.multipliers] {
            assert_eq!(span.offset % 64, 0);
        }
        let at = conv.multipliers.offset as usize;
        assert_eq!(program.constants[at..at + 4], 0.1f32.to_le_bytes());
        assert_eq!(report[0].macs, 24);
        assert_eq!(report[1].shape, [2, 2, 1]);
    }

    #[test]
    fn a_program_that_ends_in_scores_chooses_no_class() {
        let mut net = net_of(&[(3, quant(1.0, 0)), (2, quant(2.0, 5))]);
        conv(&mut net, 0, 1);
        argmax(&mut net, 1);
        let (program, report) = emit(&net, &plan(&net).unwrap(), Ending::Logits).unwrap();
        assert_eq!((program.ops.len(), report.len()), (1, 1));
        let Output::Logits { scores, .. } = program.output else {
            panic!("{:?}", program.output)
        };
        assert_eq!(program.tensors[scores.0 as usize].name, "v1");
    }
}
