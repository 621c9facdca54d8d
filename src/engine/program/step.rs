//! Operations with what is worked out once, when a program is loaded.

use super::place::{Place, Rest};
use super::share::Team;
use crate::kernels::cpu::Cpu;
use crate::kernels::scratch::Scratch;
use crate::kernels::variants::{self, Convolution, Resampler, best, pack_conv};
use crate::kernels::{AddArgs, ConvArgs, MulArgs, PoolArgs, Resample, Residual, Target, Window};
use crate::mask::Mask;
use crate::program::{self, Conv, Op, Program, Quant, TensorId};

/// An operation that is ready to run.
pub(super) struct Step {
    /// Name of its kernel.
    pub kernel: &'static str,
    /// Places of the tensors it reads; a convolution's residual is the second one.
    inputs: Vec<usize>,
    /// Place of the tensor it writes; none where it writes the mask.
    output: Option<usize>,
    work: Work,
}

/// Numbers of an operation, and the kernel that does it.
enum Work {
    Input {
        order: [u8; 3],
        tables: Vec<u8>,
        run: variants::Input,
    },
    Conv {
        packed: Box<dyn Convolution>,
        residual: Option<AddArgs>,
    },
    Add {
        args: AddArgs,
        run: variants::Add,
    },
    Mul {
        args: MulArgs,
        run: variants::Mul,
    },
    Map {
        table: Box<[u8; 256]>,
        run: variants::Map,
    },
    AveragePool {
        args: PoolArgs,
        run: variants::AveragePool,
    },
    MaxPool {
        window: Window,
        run: variants::MaxPool,
    },
    Maximum(variants::Maximum),
    DepthToSpace {
        block: [usize; 2],
        begin: [usize; 2],
        run: variants::DepthToSpace,
    },
    /// Another size, or the classes of one.
    Resample {
        resample: Resample,
        kernel: Resampler,
    },
}

impl Step {
    pub(super) fn new(op: &Op, program: &Program, tensors: &[Place], cpu: Cpu) -> Self {
        let quant = |id: TensorId| tensors[id.0 as usize].quant;
        let constants = &program.constants;
        match op {
            Op::Input {
                output,
                order,
                tables,
            } => {
                let (name, run) = best(variants::INPUT, cpu);
                let tables = checked(constants.u8s(*tables)).to_vec();
                let order = *order;
                Self::of(name, &[], *output, Work::Input { order, tables, run })
            }
            Op::Conv(conv) => Self::conv(conv, program, tensors, cpu),
            Op::Add {
                a,
                b,
                output,
                clamp,
            } => {
                let (name, run) = best(variants::ADD, cpu);
                let args = add_args(quant(*a), quant(*b), quant(*output), *clamp);
                Self::of(name, &[*a, *b], *output, Work::Add { args, run })
            }
            Op::Mul {
                a,
                b,
                output,
                clamp,
            } => {
                let (name, run) = best(variants::MUL, cpu);
                let (qa, qb, q) = (quant(*a), quant(*b), quant(*output));
                let args = MulArgs {
                    a_zero_point: qa.zero_point,
                    b_zero_point: qb.zero_point,
                    scale: qa.scale * qb.scale / q.scale,
                    output_zero_point: q.zero_point,
                    clamp: *clamp,
                };
                Self::of(name, &[*a, *b], *output, Work::Mul { args, run })
            }
            Op::Map {
                input,
                output,
                table: codes,
            } => {
                let (name, run) = best(variants::MAP, cpu);
                let mut table = Box::new([0; 256]);
                table.copy_from_slice(checked(constants.u8s(*codes)));
                Self::of(name, &[*input], *output, Work::Map { table, run })
            }
            Op::AveragePool {
                input,
                output,
                window,
                count_outside,
            } => {
                let (name, run) = best(variants::AVERAGE_POOL, cpu);
                let (from, to) = (quant(*input), quant(*output));
                let args = PoolArgs {
                    window: window_of(window),
                    count_outside: *count_outside,
                    input_zero_point: from.zero_point,
                    scale: from.scale / to.scale,
                    output_zero_point: to.zero_point,
                    clamp: [0, 255],
                };
                Self::of(name, &[*input], *output, Work::AveragePool { args, run })
            }
            Op::MaxPool {
                input,
                output,
                window,
            } => {
                let (name, run) = best(variants::MAX_POOL, cpu);
                let window = window_of(window);
                Self::of(name, &[*input], *output, Work::MaxPool { window, run })
            }
            Op::Max { a, b, output } => {
                let (name, run) = best(variants::MAXIMUM, cpu);
                Self::of(name, &[*a, *b], *output, Work::Maximum(run))
            }
            Op::DepthToSpace {
                input,
                output,
                block,
                begin,
            } => {
                let (name, run) = best(variants::DEPTH_TO_SPACE, cpu);
                let [block, begin] = [*block, *begin].map(|sides| sides.map(|s| s as usize));
                let work = Work::DepthToSpace { block, begin, run };
                Self::of(name, &[*input], *output, work)
            }
            Op::Resize {
                input,
                output,
                resample,
            } => {
                let (name, kernel) = best(variants::RESIZE, cpu);
                let resample = *resample;
                let work = Work::Resample { resample, kernel };
                Self::of(name, &[*input], *output, work)
            }
            Op::Argmax { input, resample } => Self::argmax(*input, *resample, cpu),
        }
    }

    /// The class of every pixel of a mask.
    pub(super) fn argmax(input: TensorId, resample: Resample, cpu: Cpu) -> Self {
        let (name, kernel) = best(variants::ARGMAX, cpu);
        Self {
            kernel: name,
            inputs: vec![input.0 as usize],
            output: None,
            work: Work::Resample { resample, kernel },
        }
    }

    fn conv(conv: &Conv, program: &Program, tensors: &[Place], cpu: Cpu) -> Self {
        let quant = |id: TensorId| tensors[id.0 as usize].quant;
        let constants = &program.constants;
        let bias = checked(constants.i32s(conv.bias));
        let multipliers = checked(constants.f32s(conv.multipliers));
        let args = ConvArgs {
            groups: conv.groups as usize,
            window: window_of(&conv.window),
            weights: checked(constants.i8s(conv.weights)),
            weight_zero_points: checked(constants.i8s(conv.weight_zero_points)),
            bias: &bias,
            multipliers: &multipliers,
            input_zero_point: quant(conv.input).zero_point,
            output_zero_point: conv.quant.zero_point,
            clamp: conv.clamp,
        };
        let (name, packed) = pack_conv(&args, cpu);
        let mut inputs = vec![conv.input];
        inputs.extend(conv.residual.map(|residual| residual.tensor));
        let residual = conv.residual.map(|residual| {
            let (other, sum) = (quant(residual.tensor), quant(conv.output));
            AddArgs {
                b_first: residual.first,
                ..add_args(conv.quant, other, sum, residual.clamp)
            }
        });
        Self::of(name, &inputs, conv.output, Work::Conv { packed, residual })
    }

    fn of(kernel: &'static str, inputs: &[TensorId], output: TensorId, work: Work) -> Self {
        Self {
            kernel,
            inputs: inputs.iter().map(|id| id.0 as usize).collect(),
            output: Some(output.0 as usize),
            work,
        }
    }

    /// Grows the memory to what the step needs.
    pub(super) fn reserve(&self, tensors: &[Place], mask_width: usize, scratch: &mut Scratch) {
        match &self.work {
            Work::Conv { packed, .. } => packed.reserve(scratch),
            Work::Resample { kernel, .. } => {
                let from = tensors[self.inputs[0]];
                let out_width = self.output.map_or(mask_width, |place| tensors[place].width);
                scratch.reserve((kernel.scratch)(from.width, from.channels, out_width));
            }
            _ => {}
        }
    }

    /// Runs the step; labels go to `mask`.
    pub(super) fn run(
        &self,
        rgb: &[u8],
        tensors: &[Place],
        arena: &mut [u8],
        team: &mut Team,
        mask: &mut Mask,
    ) {
        let (target, rest) = match self.output {
            Some(output) => Rest::around(arena, tensors[output]),
            None => (labels(mask), Rest::whole(arena)),
        };
        let input = |n: usize| rest.source(tensors[self.inputs[n]]);
        match &self.work {
            Work::Input { order, tables, run } => {
                team.pixels(target, |target, _| run(rgb, *order, tables, target));
            }
            Work::Conv { packed, residual } => {
                let source = input(0);
                let residual = residual.map(|add| Residual {
                    source: input(1),
                    add,
                });
                team.pixels(target, |target, scratch| {
                    packed.run(source, residual.as_ref(), target, scratch);
                });
            }
            Work::Add { args, run } => {
                let (a, b) = (input(0), input(1));
                team.pixels(target, |target, _| run(a, b, args, target));
            }
            Work::Mul { args, run } => {
                let (a, b) = (input(0), input(1));
                team.pixels(target, |target, _| run(a, b, args, target));
            }
            Work::Map { table, run } => {
                let source = input(0);
                team.pixels(target, |target, _| run(source, table, target));
            }
            Work::AveragePool { args, run } => {
                let source = input(0);
                team.rows(target, |target, _| run(source, args, target));
            }
            Work::MaxPool { window, run } => {
                let source = input(0);
                team.rows(target, |target, _| run(source, window, target));
            }
            Work::Maximum(run) => {
                let (a, b) = (input(0), input(1));
                team.pixels(target, |target, _| run(a, b, target));
            }
            Work::DepthToSpace { block, begin, run } => {
                let source = input(0);
                team.rows(target, |target, _| run(source, *block, *begin, target));
            }
            Work::Resample { resample, kernel } => {
                let source = input(0);
                team.rows(target, |target, scratch| {
                    (kernel.run)(source, *resample, target, scratch);
                });
            }
        }
    }
}

/// A mask's labels as a picture of one channel.
fn labels(mask: &mut Mask) -> Target<'_> {
    let (width, height) = (mask.width as usize, mask.height as usize);
    Target {
        data: &mut mask.labels,
        range: 0..width * height,
        height,
        width,
        channels: 1,
        pixel_stride: 1,
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
        b_first: false,
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
