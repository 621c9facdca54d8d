//! Operations with what is worked out once, when a program is loaded.

use super::place::{Around, Place};
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
    work: Work,
}

enum Work {
    Input {
        output: usize,
        order: [u8; 3],
        tables: Vec<u8>,
        run: variants::Input,
    },
    Conv {
        input: usize,
        output: usize,
        packed: Box<dyn Convolution>,
        residual: Option<(usize, AddArgs)>,
    },
    Add {
        a: usize,
        b: usize,
        output: usize,
        args: AddArgs,
        run: variants::Add,
    },
    Mul {
        a: usize,
        b: usize,
        output: usize,
        args: MulArgs,
        run: variants::Mul,
    },
    Map {
        input: usize,
        output: usize,
        table: Box<[u8; 256]>,
        run: variants::Map,
    },
    AveragePool {
        input: usize,
        output: usize,
        args: PoolArgs,
        run: variants::AveragePool,
    },
    MaxPool {
        input: usize,
        output: usize,
        window: Window,
        run: variants::MaxPool,
    },
    Resize {
        input: usize,
        output: usize,
        resample: Resample,
        kernel: Resampler,
    },
    Argmax {
        input: usize,
        resample: Resample,
        kernel: Resampler,
    },
}

impl Step {
    pub(super) fn new(op: &Op, program: &Program, tensors: &[Place], cpu: Cpu) -> Self {
        let index = |id: TensorId| id.0 as usize;
        let quant = |id: TensorId| tensors[id.0 as usize].quant;
        let constants = &program.constants;
        match op {
            Op::Input {
                output,
                order,
                tables,
            } => {
                let variant = best(variants::INPUT, cpu);
                let work = Work::Input {
                    output: index(*output),
                    order: *order,
                    tables: checked(constants.u8s(*tables)).to_vec(),
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::Conv(conv) => Self::conv(conv, program, tensors, cpu),
            Op::Add {
                a,
                b,
                output,
                clamp,
            } => {
                let variant = best(variants::ADD, cpu);
                let work = Work::Add {
                    a: index(*a),
                    b: index(*b),
                    output: index(*output),
                    args: add_args(quant(*a), quant(*b), quant(*output), *clamp),
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::Mul {
                a,
                b,
                output,
                clamp,
            } => {
                let (qa, qb, q) = (quant(*a), quant(*b), quant(*output));
                let variant = best(variants::MUL, cpu);
                let work = Work::Mul {
                    a: index(*a),
                    b: index(*b),
                    output: index(*output),
                    args: MulArgs {
                        a_zero_point: qa.zero_point,
                        b_zero_point: qb.zero_point,
                        scale: qa.scale * qb.scale / q.scale,
                        output_zero_point: q.zero_point,
                        clamp: *clamp,
                    },
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::Map {
                input,
                output,
                table,
            } => {
                let mut codes = Box::new([0; 256]);
                codes.copy_from_slice(checked(constants.u8s(*table)));
                let variant = best(variants::MAP, cpu);
                let work = Work::Map {
                    input: index(*input),
                    output: index(*output),
                    table: codes,
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::AveragePool {
                input,
                output,
                window,
                count_outside,
            } => {
                let (from, to) = (quant(*input), quant(*output));
                let variant = best(variants::AVERAGE_POOL, cpu);
                let work = Work::AveragePool {
                    input: index(*input),
                    output: index(*output),
                    args: PoolArgs {
                        window: window_of(window),
                        count_outside: *count_outside,
                        input_zero_point: from.zero_point,
                        scale: from.scale / to.scale,
                        output_zero_point: to.zero_point,
                        clamp: [0, 255],
                    },
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::MaxPool {
                input,
                output,
                window,
            } => {
                let variant = best(variants::MAX_POOL, cpu);
                let work = Work::MaxPool {
                    input: index(*input),
                    output: index(*output),
                    window: window_of(window),
                    run: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::Resize {
                input,
                output,
                resample,
            } => {
                let variant = best(variants::RESIZE, cpu);
                let work = Work::Resize {
                    input: index(*input),
                    output: index(*output),
                    resample: *resample,
                    kernel: variant.kernel,
                };
                Self::of(variant.name, work)
            }
            Op::Argmax { input, resample } => Self::argmax(*input, *resample, cpu),
        }
    }

    /// The class of every pixel of a mask.
    pub(super) fn argmax(input: TensorId, resample: Resample, cpu: Cpu) -> Self {
        let variant = best(variants::ARGMAX, cpu);
        let work = Work::Argmax {
            input: input.0 as usize,
            resample,
            kernel: variant.kernel,
        };
        Self::of(variant.name, work)
    }

    fn conv(conv: &Conv, program: &Program, tensors: &[Place], cpu: Cpu) -> Self {
        let place = |id: TensorId| tensors[id.0 as usize];
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
            input_zero_point: place(conv.input).quant.zero_point,
            output_zero_point: conv.quant.zero_point,
            clamp: conv.clamp,
        };
        let (kernel, packed) = pack_conv(&args, cpu);
        let residual = conv.residual.map(|residual| {
            let other = place(residual.tensor).quant;
            let sum = place(conv.output).quant;
            let args = add_args(conv.quant, other, sum, residual.clamp);
            (residual.tensor.0 as usize, args)
        });
        let work = Work::Conv {
            input: conv.input.0 as usize,
            output: conv.output.0 as usize,
            packed,
            residual,
        };
        Self::of(kernel, work)
    }

    fn of(kernel: &'static str, work: Work) -> Self {
        Self { kernel, work }
    }

    /// Grows the memory to what the step needs.
    pub(super) fn reserve(&self, tensors: &[Place], mask_width: usize, scratch: &mut Scratch) {
        match &self.work {
            Work::Conv { packed, .. } => packed.reserve(scratch),
            Work::Resize {
                input,
                output,
                kernel,
                ..
            } => {
                let Place {
                    width, channels, ..
                } = tensors[*input];
                scratch.reserve((kernel.scratch)(width, channels, tensors[*output].width));
            }
            Work::Argmax { input, kernel, .. } => {
                let Place {
                    width, channels, ..
                } = tensors[*input];
                scratch.reserve((kernel.scratch)(width, channels, mask_width));
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
        match &self.work {
            Work::Input {
                output,
                order,
                tables,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                team.pixels(around.target, |target, _| run(rgb, *order, tables, target));
            }
            Work::Conv {
                input,
                output,
                packed,
                residual,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let source = around.source(tensors[*input]);
                let residual = residual.map(|(tensor, add)| Residual {
                    source: around.source(tensors[tensor]),
                    add,
                });
                team.pixels(around.target, |target, scratch| {
                    packed.run(source, residual.as_ref(), target, scratch);
                });
            }
            Work::Add {
                a,
                b,
                output,
                args,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let (a, b) = (around.source(tensors[*a]), around.source(tensors[*b]));
                team.pixels(around.target, |target, _| run(a, b, args, target));
            }
            Work::Mul {
                a,
                b,
                output,
                args,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let (a, b) = (around.source(tensors[*a]), around.source(tensors[*b]));
                team.pixels(around.target, |target, _| run(a, b, args, target));
            }
            Work::Map {
                input,
                output,
                table,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let source = around.source(tensors[*input]);
                team.pixels(around.target, |target, _| run(source, table, target));
            }
            Work::AveragePool {
                input,
                output,
                args,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let source = around.source(tensors[*input]);
                team.rows(around.target, |target, _| run(source, args, target));
            }
            Work::MaxPool {
                input,
                output,
                window,
                run,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let source = around.source(tensors[*input]);
                team.rows(around.target, |target, _| run(source, window, target));
            }
            Work::Resize {
                input,
                output,
                resample,
                kernel,
            } => {
                let around = Around::new(arena, tensors[*output]);
                let source = around.source(tensors[*input]);
                team.rows(around.target, |target, scratch| {
                    (kernel.run)(source, *resample, target, scratch);
                });
            }
            Work::Argmax {
                input,
                resample,
                kernel,
            } => {
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
                team.rows(labels, |target, scratch| {
                    (kernel.run)(source, *resample, target, scratch);
                });
            }
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
