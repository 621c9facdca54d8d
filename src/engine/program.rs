//! A compiled program, run operation by operation with the integer kernels.
//!
//! The same labels on every CPU: each step is integer arithmetic, or f32
//! arithmetic in an order that the operation's definition fixes.

use super::{EngineError, Segmenter, Shape};
use crate::kernels::cpu::Cpu;
use crate::kernels::scalar;
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::{Convolution, pack_conv};
use crate::kernels::{
    AddArgs, ConvArgs, Coordinates, MulArgs, PoolArgs, Resample, Residual, Source, Target, Window,
};
use crate::logits::Logits;
use crate::mask::Mask;
use crate::model::Manifest;
use crate::postprocess::upsample::Upsample;
use crate::program::{self, Conv, Op, Output, Program, Quant, Tensor, TensorId};

/// A program with its weights packed and its arena allocated: running it
/// allocates nothing.
pub struct ProgramSegmenter {
    name: String,
    shape: Shape,
    tensors: Vec<Place>,
    steps: Vec<Step>,
    output: Output,
    /// How codes reach the mask's size where the program ends in logits.
    upsample: Resample,
    arena: Vec<u8>,
    scratch: Scratch,
}

/// Where a tensor lies in the arena.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// First byte and the byte after the last.
    start: usize,
    end: usize,
    height: usize,
    width: usize,
    channels: usize,
    pixel_stride: usize,
    quant: Quant,
}

/// An operation with what is worked out once, at load.
enum Step {
    Input {
        output: usize,
        order: [u8; 3],
        tables: Vec<u8>,
    },
    Conv(Box<ConvStep>),
    Add {
        a: usize,
        b: usize,
        output: usize,
        args: AddArgs,
    },
    Mul {
        a: usize,
        b: usize,
        output: usize,
        args: MulArgs,
    },
    Map {
        input: usize,
        output: usize,
        table: Box<[u8; 256]>,
    },
    AveragePool {
        input: usize,
        output: usize,
        args: PoolArgs,
    },
    MaxPool {
        input: usize,
        output: usize,
        window: Window,
    },
    Resize {
        input: usize,
        output: usize,
        resample: Resample,
    },
    Argmax {
        input: usize,
        resample: Resample,
    },
}

struct ConvStep {
    input: usize,
    output: usize,
    packed: Box<dyn Convolution>,
    residual: Option<(usize, AddArgs)>,
}

impl ProgramSegmenter {
    /// Packs a program's weights and allocates its arena.
    ///
    /// # Panics
    /// If the program does not pass [`Program::check`]: whoever makes or reads a
    /// program checks it.
    pub fn new(manifest: &Manifest, program: &Program) -> Self {
        let tensors: Vec<Place> = program.tensors.iter().map(Place::of).collect();
        let steps = program
            .ops
            .iter()
            .map(|op| Step::new(op, program, &tensors));
        Self {
            name: manifest.name.clone(),
            shape: Shape {
                width: program.width,
                height: program.height,
                classes: manifest.classes.len(),
            },
            steps: steps.collect(),
            tensors,
            output: program.output,
            upsample: Resample::Bilinear(match manifest.output.upsample {
                Upsample::AlignCorners => Coordinates::AlignCorners,
                Upsample::HalfPixel => Coordinates::HalfPixel,
                Upsample::Asymmetric => Coordinates::Asymmetric,
            }),
            arena: vec![0; program.arena_bytes as usize],
            scratch: Scratch::default(),
        }
    }

    /// Runs all steps; the labels go to `mask` where the program ends in them.
    fn run(&mut self, rgb: &[u8], mask: &mut Mask) {
        for step in &self.steps {
            step.run(rgb, &self.tensors, &mut self.arena, &mut self.scratch, mask);
        }
    }
}

impl Segmenter for ProgramSegmenter {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn segment(&mut self, rgb: &[u8], labels: &mut Mask) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        labels.resize(self.shape.width, self.shape.height);
        self.run(rgb, labels);
        if let Output::Logits(tensor) = self.output {
            let input = tensor.0 as usize;
            let step = Step::Argmax {
                input,
                resample: self.upsample,
            };
            step.run(
                rgb,
                &self.tensors,
                &mut self.arena,
                &mut self.scratch,
                labels,
            );
        }
        Ok(())
    }

    fn logits(&mut self, rgb: &[u8], logits: &mut Logits) -> Result<(), EngineError> {
        self.shape.check(rgb)?;
        let Output::Logits(tensor) = self.output else {
            return Err(EngineError::NoLogits {
                model: self.name.clone(),
            });
        };
        self.run(rgb, &mut Mask::default());
        let place = self.tensors[tensor.0 as usize];
        logits.width = place.width as u32;
        logits.height = place.height as u32;
        logits.classes = place.channels;
        logits.values.clear();
        let source = place.source(&self.arena[place.start..place.end]);
        for y in 0..place.height {
            for x in 0..place.width {
                let real = |&code: &u8| {
                    (f32::from(code) - f32::from(place.quant.zero_point)) * place.quant.scale
                };
                logits.values.extend(source.pixel(y, x).iter().map(real));
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let Shape { width, height, .. } = self.shape;
        format!(
            "integer program, {} operations, arena {:.1} MB, scalar kernels, one thread, {width}x{height}",
            self.steps.len(),
            self.arena.len() as f64 / 1e6
        )
    }
}

impl Place {
    fn of(tensor: &Tensor) -> Self {
        let (height, width) = (tensor.height as usize, tensor.width as usize);
        let (channels, pixel_stride) = (tensor.channels as usize, tensor.pixel_stride as usize);
        let start = tensor.offset as usize;
        Self {
            start,
            end: start + (height * width - 1) * pixel_stride + channels,
            height,
            width,
            channels,
            pixel_stride,
            quant: tensor.quant,
        }
    }

    fn source(self, data: &[u8]) -> Source<'_> {
        Source {
            data,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.pixel_stride,
        }
    }
}

/// The arena taken apart around the tensor that is written.
struct Around<'a> {
    before: &'a [u8],
    target: Target<'a>,
    after: &'a [u8],
    /// Arena offset of `after`.
    after_start: usize,
}

impl<'a> Around<'a> {
    fn new(arena: &'a mut [u8], output: Place) -> Self {
        let (before, rest) = arena.split_at_mut(output.start);
        let (data, after) = rest.split_at_mut(output.end - output.start);
        let target = Target {
            data,
            range: 0..output.height * output.width,
            height: output.height,
            width: output.width,
            channels: output.channels,
            pixel_stride: output.pixel_stride,
        };
        Self {
            before,
            target,
            after,
            after_start: output.end,
        }
    }

    /// A tensor that is read; a checked program has none that overlaps the one
    /// that is written.
    fn source(&self, place: Place) -> Source<'a> {
        let bytes = if place.end <= self.before.len() {
            &self.before[place.start..place.end]
        } else {
            &self.after[place.start - self.after_start..place.end - self.after_start]
        };
        place.source(bytes)
    }
}

impl Step {
    fn new(op: &Op, program: &Program, tensors: &[Place]) -> Self {
        let index = |id: TensorId| id.0 as usize;
        let place = |id: TensorId| tensors[id.0 as usize];
        let constants = &program.constants;
        match op {
            Op::Input {
                output,
                order,
                tables,
            } => Self::Input {
                output: index(*output),
                order: *order,
                tables: checked(constants.u8s(*tables)).to_vec(),
            },
            Op::Conv(conv) => Self::Conv(Box::new(ConvStep::new(conv, program, tensors))),
            Op::Add {
                a,
                b,
                output,
                clamp,
            } => {
                let args = add_args(
                    place(*a).quant,
                    place(*b).quant,
                    place(*output).quant,
                    *clamp,
                );
                Self::Add {
                    a: index(*a),
                    b: index(*b),
                    output: index(*output),
                    args,
                }
            }
            Op::Mul {
                a,
                b,
                output,
                clamp,
            } => {
                let (qa, qb, q) = (place(*a).quant, place(*b).quant, place(*output).quant);
                let args = MulArgs {
                    a_zero_point: qa.zero_point,
                    b_zero_point: qb.zero_point,
                    scale: qa.scale * qb.scale / q.scale,
                    output_zero_point: q.zero_point,
                    clamp: *clamp,
                };
                Self::Mul {
                    a: index(*a),
                    b: index(*b),
                    output: index(*output),
                    args,
                }
            }
            Op::Map {
                input,
                output,
                table,
            } => {
                let mut codes = Box::new([0; 256]);
                codes.copy_from_slice(checked(constants.u8s(*table)));
                Self::Map {
                    input: index(*input),
                    output: index(*output),
                    table: codes,
                }
            }
            Op::AveragePool {
                input,
                output,
                window,
                count_outside,
            } => {
                let (from, to) = (place(*input).quant, place(*output).quant);
                let args = PoolArgs {
                    window: window_of(window),
                    count_outside: *count_outside,
                    input_zero_point: from.zero_point,
                    scale: from.scale / to.scale,
                    output_zero_point: to.zero_point,
                    clamp: [0, 255],
                };
                Self::AveragePool {
                    input: index(*input),
                    output: index(*output),
                    args,
                }
            }
            Op::MaxPool {
                input,
                output,
                window,
            } => Self::MaxPool {
                input: index(*input),
                output: index(*output),
                window: window_of(window),
            },
            Op::Resize {
                input,
                output,
                resample,
            } => Self::Resize {
                input: index(*input),
                output: index(*output),
                resample: *resample,
            },
            Op::Argmax { input, resample } => Self::Argmax {
                input: index(*input),
                resample: *resample,
            },
        }
    }

    fn run(
        &self,
        rgb: &[u8],
        tensors: &[Place],
        arena: &mut [u8],
        scratch: &mut Scratch,
        mask: &mut Mask,
    ) {
        match self {
            Self::Input {
                output,
                order,
                tables,
            } => {
                let around = Around::new(arena, tensors[*output]);
                scalar::input(rgb, *order, tables, around.target);
            }
            Self::Conv(step) => {
                let around = Around::new(arena, tensors[step.output]);
                let source = around.source(tensors[step.input]);
                let residual = step.residual.map(|(tensor, add)| Residual {
                    source: around.source(tensors[tensor]),
                    add,
                });
                step.packed
                    .run(source, residual.as_ref(), around.target, scratch);
            }
            Self::Add { a, b, output, args } => {
                let around = Around::new(arena, tensors[*output]);
                let (a, b) = (around.source(tensors[*a]), around.source(tensors[*b]));
                scalar::add(a, b, args, around.target);
            }
            Self::Mul { a, b, output, args } => {
                let around = Around::new(arena, tensors[*output]);
                let (a, b) = (around.source(tensors[*a]), around.source(tensors[*b]));
                scalar::mul(a, b, args, around.target);
            }
            Self::Map {
                input,
                output,
                table,
            } => {
                let around = Around::new(arena, tensors[*output]);
                scalar::map(around.source(tensors[*input]), table, around.target);
            }
            Self::AveragePool {
                input,
                output,
                args,
            } => {
                let around = Around::new(arena, tensors[*output]);
                scalar::average_pool(around.source(tensors[*input]), args, around.target);
            }
            Self::MaxPool {
                input,
                output,
                window,
            } => {
                let around = Around::new(arena, tensors[*output]);
                scalar::max_pool(around.source(tensors[*input]), window, around.target);
            }
            Self::Resize {
                input,
                output,
                resample,
            } => {
                let around = Around::new(arena, tensors[*output]);
                scalar::resize(around.source(tensors[*input]), *resample, around.target);
            }
            Self::Argmax { input, resample } => {
                let place = tensors[*input];
                let source = place.source(&arena[place.start..place.end]);
                let (width, height) = (mask.width as usize, mask.height as usize);
                let labels = Target {
                    data: &mut mask.labels,
                    range: 0..width * height,
                    height,
                    width,
                    channels: 1,
                    pixel_stride: 1,
                };
                scalar::argmax(source, *resample, labels, scratch);
            }
        }
    }
}

impl ConvStep {
    fn new(conv: &Conv, program: &Program, tensors: &[Place]) -> Self {
        let place = |id: TensorId| tensors[id.0 as usize];
        let constants = &program.constants;
        let bias = checked(constants.i32s(conv.bias));
        let multipliers = checked(constants.f32s(conv.multipliers));
        let input = place(conv.input);
        let (_, packed) = pack_conv(
            &ConvArgs {
                groups: conv.groups as usize,
                window: window_of(&conv.window),
                weights: checked(constants.i8s(conv.weights)),
                weight_zero_points: checked(constants.i8s(conv.weight_zero_points)),
                bias: &bias,
                multipliers: &multipliers,
                input_zero_point: input.quant.zero_point,
                output_zero_point: conv.quant.zero_point,
                clamp: conv.clamp,
            },
            Cpu::detect(),
        );
        let residual = conv.residual.map(|residual| {
            let other = place(residual.tensor).quant;
            let sum = place(conv.output).quant;
            let args = add_args(conv.quant, other, sum, residual.clamp);
            (residual.tensor.0 as usize, args)
        });
        Self {
            input: conv.input.0 as usize,
            output: conv.output.0 as usize,
            packed,
            residual,
        }
    }
}

fn add_args(a: Quant, b: Quant, sum: Quant, clamp: [u8; 2]) -> AddArgs {
    AddArgs {
        a_zero_point: a.zero_point,
        b_zero_point: b.zero_point,
        a_scale: a.scale / sum.scale,
        b_scale: b.scale / sum.scale,
        output_zero_point: sum.zero_point,
        clamp,
    }
}

fn window_of(window: &program::Window) -> Window {
    let pair = |v: [u32; 2]| v.map(|side| side as usize);
    Window {
        kernel: pair(window.kernel),
        stride: pair(window.stride),
        dilation: pair(window.dilation),
        pad: pair(window.pad),
    }
}

/// A constant of a program that passed its check.
fn checked<T>(constant: Option<T>) -> T {
    constant.expect("the program was not checked: a constant lies outside its file")
}
