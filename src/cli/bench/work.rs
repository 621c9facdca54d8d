//! What an operation has to do, whatever kernel does it.

use serde::{Serialize, Serializer};

use atrous::program::{Conv, Op, Program, Resample, Tensor, TensorId, Window};

/// Operations that have one limit and, far above it, one cause.
///
/// A concatenation is none: its parts are written in place. A sum that follows a
/// convolution directly is part of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The picture through its tables.
    Input,
    /// A convolution of single pixels.
    Pointwise,
    /// A convolution with a larger window, the first one's among them.
    Windowed,
    /// A convolution of each channel by itself.
    Depthwise,
    /// A sum on its own.
    Add,
    /// A product of two tensors.
    Mul,
    /// Codes through a table.
    Map,
    /// Means.
    AveragePool,
    /// Largest codes.
    MaxPool,
    /// The larger of two codes.
    Max,
    /// Channels that become pixels.
    DepthToSpace,
    /// Another size.
    Resize,
    /// Labels, with the resize before them.
    Argmax,
}

impl Class {
    /// What people and JSON are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Pointwise => "conv 1x1",
            Self::Windowed => "conv kxk",
            Self::Depthwise => "depthwise",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Map => "map",
            Self::AveragePool => "average pool",
            Self::MaxPool => "max pool",
            Self::Max => "max",
            Self::DepthToSpace => "depth to space",
            Self::Resize => "resize",
            Self::Argmax => "argmax",
        }
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The size of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// What kind it is.
    pub class: Class,
    /// Multiplications of a convolution; 0 of anything else.
    pub macs: u64,
    /// Codes, or labels, that it writes.
    pub codes: u64,
    /// What they are made of, all together: the products of a convolution, the codes under
    /// a pool's windows, the codes that those of another size are mixed from and that
    /// labels are chosen from; otherwise one for each.
    pub terms: u64,
    /// Bytes it reads and writes, each of them once, its constants included.
    pub bytes: u64,
}

impl Work {
    /// The work of an operation of a program that has passed its check.
    pub fn of(program: &Program, op: &Op) -> Self {
        let tensor = |id: TensorId| &program.tensors[id.0 as usize];
        match op {
            Op::Input { output, tables, .. } => {
                let codes = codes(tensor(*output));
                let picture = u64::from(program.width) * u64::from(program.height) * 3;
                Self::by_code(Class::Input, codes, picture + tables.len)
            }
            Op::Conv(conv) => Self::of_conv(program, conv, program.macs(op)),
            Op::Add { a, b, output, .. } => {
                let read = codes(tensor(*a)) + codes(tensor(*b));
                Self::by_code(Class::Add, codes(tensor(*output)), read)
            }
            Op::Mul { a, b, output, .. } => {
                let read = codes(tensor(*a)) + codes(tensor(*b));
                Self::by_code(Class::Mul, codes(tensor(*output)), read)
            }
            Op::Map {
                input,
                output,
                table,
            } => {
                let read = codes(tensor(*input)) + table.len;
                Self::by_code(Class::Map, codes(tensor(*output)), read)
            }
            Op::AveragePool {
                input,
                output,
                window,
                ..
            } => Self::of_pool(Class::AveragePool, tensor(*input), tensor(*output), window),
            Op::Max { a, b, output } => {
                let read = codes(tensor(*a)) + codes(tensor(*b));
                Self::by_code(Class::Max, codes(tensor(*output)), read)
            }
            Op::DepthToSpace { output, .. } => {
                let moved = codes(tensor(*output));
                Self::by_code(Class::DepthToSpace, moved, moved)
            }
            Op::MaxPool {
                input,
                output,
                window,
            } => Self::of_pool(Class::MaxPool, tensor(*input), tensor(*output), window),
            Op::Resize {
                input,
                output,
                resample,
            } => {
                let (from, to) = (tensor(*input), tensor(*output));
                let corners = corners(*resample);
                let read = seen(from, pixels(to), corners);
                Self {
                    terms: codes(to) * corners,
                    ..Self::by_code(Class::Resize, codes(to), read)
                }
            }
            Op::Argmax { input, resample } => {
                let from = tensor(*input);
                let labels = u64::from(program.width) * u64::from(program.height);
                let read = seen(from, labels, corners(*resample));
                Self {
                    terms: labels * u64::from(from.channels),
                    ..Self::by_code(Class::Argmax, labels, read)
                }
            }
        }
    }

    fn of_conv(program: &Program, conv: &Conv, macs: u64) -> Self {
        let tensor = |id: TensorId| &program.tensors[id.0 as usize];
        let (from, to) = (tensor(conv.input), tensor(conv.output));
        let class = if conv.groups > 1 && conv.groups == from.channels {
            Class::Depthwise
        } else if conv.window.kernel == [1, 1] {
            Class::Pointwise
        } else {
            Class::Windowed
        };
        let residual = conv.residual.map_or(0, |sum| codes(tensor(sum.tensor)));
        let constants = conv.weights.len
            + conv.weight_zero_points.len
            + 4 * (conv.bias.len + conv.multipliers.len);
        let read = seen(from, pixels(to), taps(&conv.window)) + residual + constants;
        Self {
            macs,
            terms: macs,
            ..Self::by_code(class, codes(to), read)
        }
    }

    fn of_pool(class: Class, from: &Tensor, to: &Tensor, window: &Window) -> Self {
        let taps = taps(window).min(pixels(from));
        Self {
            terms: codes(to) * taps,
            ..Self::by_code(class, codes(to), seen(from, pixels(to), taps))
        }
    }

    /// Work without products that makes each code of one value.
    fn by_code(class: Class, codes: u64, read: u64) -> Self {
        Self {
            class,
            macs: 0,
            codes,
            terms: codes,
            bytes: read + codes,
        }
    }
}

fn pixels(tensor: &Tensor) -> u64 {
    u64::from(tensor.height) * u64::from(tensor.width)
}

fn codes(tensor: &Tensor) -> u64 {
    pixels(tensor) * u64::from(tensor.channels)
}

/// Codes of `from` that are read for `outputs` pixels, each made from so many: with a
/// stride, or for a smaller picture, not all of them.
fn seen(from: &Tensor, outputs: u64, each: u64) -> u64 {
    pixels(from).min(outputs * each) * u64::from(from.channels)
}

fn taps(window: &Window) -> u64 {
    window.kernel.into_iter().map(u64::from).product()
}

/// Pixels that one of another size is made from.
fn corners(resample: Resample) -> u64 {
    match resample {
        Resample::Nearest(..) => 1,
        Resample::Bilinear(_) | Resample::Unrounded(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use atrous::program::{Constants, Coordinates, NearestRule, Output, Quant, Residual, Span};

    use super::*;

    const QUANT: Quant = Quant {
        scale: 1.0,
        zero_point: 0,
    };

    fn tensor(height: u32, width: u32, channels: u32) -> Tensor {
        Tensor {
            name: String::new(),
            height,
            width,
            channels,
            quant: QUANT,
            offset: 0,
            pixel_stride: channels,
        }
    }

    fn span(len: u64) -> Span {
        Span { offset: 0, len }
    }

    fn window(kernel: u32, stride: u32) -> Window {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            pad: [0; 2],
        }
    }

    fn conv(window: Window, groups: u32, weights: u64, outputs: u64) -> Conv {
        Conv {
            input: TensorId(0),
            output: TensorId(1),
            groups,
            window,
            weights: span(weights),
            weight_zero_points: span(0),
            bias: span(outputs),
            multipliers: span(outputs),
            clamp: [0, 255],
            quant: QUANT,
            residual: None,
        }
    }

    /// The work of an operation on these tensors, for a mask 10 wide and 20 high.
    fn work(tensors: Vec<Tensor>, op: Op) -> Work {
        let program = Program {
            width: 10,
            height: 20,
            tensors,
            ops: vec![op],
            output: Output::Codes,
            arena_bytes: 0,
            constants: Constants::default(),
        };
        Work::of(&program, &program.ops[0])
    }

    #[test]
    fn a_convolution_is_told_by_window_and_groups() {
        let of = |channels: [u32; 2], conv: Conv| {
            let [from, to] = channels.map(|channels| tensor(4, 4, channels));
            work(vec![from, to], Op::Conv(conv))
        };
        let pointwise = of([8, 16], conv(window(1, 1), 1, 128, 16));
        let expected = Work {
            class: Class::Pointwise,
            macs: 16 * 128,
            codes: 16 * 16,
            terms: 16 * 128,
            bytes: 16 * 8 + 128 + 8 * 16 + 16 * 16,
        };
        assert_eq!(pointwise, expected);
        let with_sum = Conv {
            residual: Some(Residual {
                tensor: TensorId(1),
                clamp: [0, 255],
                first: false,
            }),
            ..conv(window(1, 1), 1, 128, 16)
        };
        let with_sum = of([8, 16], with_sum);
        assert_eq!(with_sum.class, Class::Pointwise);
        assert_eq!(with_sum.bytes, pointwise.bytes + 16 * 16);

        assert_eq!(
            of([8, 16], conv(window(3, 1), 1, 1152, 16)).class,
            Class::Windowed
        );
        assert_eq!(
            of([8, 16], conv(window(3, 1), 2, 576, 16)).class,
            Class::Windowed
        );
        // Two outputs of each channel, and one channel that is a group by itself.
        assert_eq!(
            of([8, 16], conv(window(3, 1), 8, 144, 16)).class,
            Class::Depthwise
        );
        assert_eq!(
            of([1, 1], conv(window(3, 1), 1, 9, 1)).class,
            Class::Windowed
        );
    }

    #[test]
    fn what_a_stride_leaves_out_is_not_read() {
        let of = |window| {
            let tensors = vec![tensor(8, 8, 4), tensor(4, 4, 4)];
            work(tensors, Op::Conv(conv(window, 1, 0, 0))).bytes - 4 * 4 * 4
        };
        assert_eq!(of(window(1, 2)), 4 * 4 * 4);
        assert_eq!(of(window(3, 2)), 8 * 8 * 4);
    }

    #[test]
    fn a_pool_reads_its_window_and_no_more_than_the_picture() {
        let pool = |to, window| {
            let (input, output) = (TensorId(0), TensorId(1));
            let op = Op::MaxPool {
                input,
                output,
                window,
            };
            work(vec![tensor(6, 6, 5), to], op)
        };
        let halved = pool(tensor(3, 3, 5), window(2, 2));
        assert_eq!(
            (halved.terms, halved.bytes),
            (3 * 3 * 5 * 4, 36 * 5 + 9 * 5)
        );
        // A window larger than the picture.
        let whole = pool(tensor(1, 1, 5), window(9, 1));
        assert_eq!((whole.terms, whole.bytes), (36 * 5, 36 * 5 + 5));
    }

    #[test]
    fn labels_are_chosen_from_every_channel() {
        let resample = Resample::Bilinear(Coordinates::HalfPixel);
        let input = TensorId(0);
        let labels = work(vec![tensor(5, 5, 21)], Op::Argmax { input, resample });
        assert_eq!(labels.class, Class::Argmax);
        assert_eq!((labels.codes, labels.terms), (200, 200 * 21));
        assert_eq!(labels.bytes, 5 * 5 * 21 + 200);
    }

    #[test]
    fn another_size_reads_what_it_is_mixed_from() {
        let of = |resample| {
            let (input, output) = (TensorId(0), TensorId(1));
            let op = Op::Resize {
                input,
                output,
                resample,
            };
            work(vec![tensor(8, 8, 3), tensor(2, 2, 3)], op)
        };
        let mixed = of(Resample::Bilinear(Coordinates::HalfPixel));
        assert_eq!((mixed.terms, mixed.bytes), (4 * 12, 16 * 3 + 12));
        let nearest = Resample::Nearest(Coordinates::Asymmetric, NearestRule::Floor);
        let nearest = of(nearest);
        assert_eq!((nearest.terms, nearest.bytes), (12, 4 * 3 + 12));
    }

    #[test]
    fn the_picture_and_its_tables_are_read() {
        let op = Op::Input {
            output: TensorId(0),
            order: [0, 1, 2],
            tables: span(768),
        };
        let input = work(vec![tensor(20, 10, 3)], op);
        assert_eq!((input.class, input.bytes), (Class::Input, 600 + 768 + 600));
    }
}
