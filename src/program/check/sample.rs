//! A small valid program with every kind of operation, for tests.

use crate::program::*;

/// Names of the sample's tensors, in their order.
pub(crate) const IMAGE: TensorId = TensorId(0);
pub(crate) const STEM: TensorId = TensorId(1);
pub(crate) const LEFT: TensorId = TensorId(2);
pub(crate) const RIGHT: TensorId = TensorId(3);
pub(crate) const BOTH: TensorId = TensorId(4);
pub(crate) const ACTIVE: TensorId = TensorId(5);
pub(crate) const MEAN: TensorId = TensorId(6);
pub(crate) const SCALED: TensorId = TensorId(7);
pub(crate) const LARGEST: TensorId = TensorId(8);
pub(crate) const SUM: TensorId = TensorId(9);
pub(crate) const BLOCK: TensorId = TensorId(10);
pub(crate) const SCORES: TensorId = TensorId(11);
pub(crate) const FINE: TensorId = TensorId(12);

const QUANT: Quant = Quant {
    scale: 0.1,
    zero_point: 3,
};

#[derive(Default)]
struct Builder {
    constants: Vec<u8>,
    tensors: Vec<Tensor>,
    arena: u64,
}

impl Builder {
    fn constant<const N: usize>(&mut self, len: u64, element: [u8; N]) -> Span {
        let offset = self.constants.len().next_multiple_of(64);
        self.constants.resize(offset, 0);
        self.constants
            .extend(element.repeat(usize::try_from(len).unwrap()));
        Span {
            offset: offset as u64,
            len,
        }
    }

    fn tensor(&mut self, name: &str, size: [u32; 3]) {
        let offset = self.arena;
        self.part(name, size, offset, size[2]);
        let bytes = size.iter().map(|&s| u64::from(s)).product::<u64>();
        self.arena = (offset + bytes).next_multiple_of(64);
    }

    fn part(&mut self, name: &str, [width, height, channels]: [u32; 3], offset: u64, stride: u32) {
        self.tensors.push(Tensor {
            name: name.into(),
            height,
            width,
            channels,
            quant: QUANT,
            offset,
            pixel_stride: stride,
        });
    }

    fn conv(&mut self, input: TensorId, output: TensorId, groups: u32, window: Window) -> Op {
        let channels = |id: TensorId| u64::from(self.tensors[id.0 as usize].channels);
        let (from, to) = (channels(input), channels(output));
        let terms = u64::from(window.kernel[0] * window.kernel[1]) * from / u64::from(groups);
        Op::Conv(Conv {
            input,
            output,
            groups,
            window,
            weights: self.constant(terms * to, [0xfe]),
            weight_zero_points: Span::default(),
            bias: self.constant(to, 100i32.to_le_bytes()),
            multipliers: self.constant(to, 0.01f32.to_le_bytes()),
            clamp: [3, 255],
            quant: QUANT,
            residual: None,
        })
    }
}

fn window(kernel: u32, stride: u32, dilation: u32, pad: u32) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [dilation; 2],
        pad: [pad; 2],
    }
}

/// Takes 9x7 pixels to a mask of that size with three classes. It holds a
/// concatenation ([`BOTH`] of [`LEFT`] and [`RIGHT`]), a residual, and a tensor
/// ([`FINE`]) in memory that another one ([`IMAGE`]) has left.
pub(crate) fn program() -> Program {
    let mut b = Builder::default();
    b.tensor("image", [9, 7, 3]);
    b.tensor("stem", [5, 4, 4]);
    let both = b.arena;
    b.part("left", [5, 4, 4], both, 6);
    b.part("right", [5, 4, 2], both + 4, 6);
    for name in ["both", "active"] {
        b.tensor(name, [5, 4, 6]);
    }
    b.tensor("mean", [1, 1, 6]);
    for name in ["scaled", "largest", "sum", "block"] {
        b.tensor(name, [5, 4, 6]);
    }
    b.tensor("scores", [5, 4, 3]);
    b.part("fine", [9, 7, 3], 0, 3);

    let point = window(1, 1, 1, 0);
    let tables = b.constant(768, [7]);
    let table = b.constant(256, [9]);
    let mut block = b.conv(SUM, BLOCK, 1, point);
    if let Op::Conv(conv) = &mut block {
        conv.quant.scale = 0.2;
        conv.residual = Some(Residual {
            tensor: ACTIVE,
            clamp: [0, 255],
            first: false,
        });
    }
    let clamp = [0, 255];
    let ops = vec![
        Op::Input {
            output: IMAGE,
            order: [2, 1, 0],
            tables,
        },
        b.conv(IMAGE, STEM, 1, window(3, 2, 1, 1)),
        b.conv(STEM, LEFT, 4, window(3, 1, 2, 2)),
        b.conv(STEM, RIGHT, 2, point),
        Op::Map {
            input: BOTH,
            output: ACTIVE,
            table,
        },
        Op::AveragePool {
            input: ACTIVE,
            output: MEAN,
            window: Window {
                kernel: [4, 5],
                ..point
            },
            count_outside: false,
        },
        Op::Mul {
            a: ACTIVE,
            b: MEAN,
            output: SCALED,
            clamp,
        },
        Op::MaxPool {
            input: SCALED,
            output: LARGEST,
            window: window(3, 1, 1, 1),
        },
        Op::Add {
            a: LARGEST,
            b: ACTIVE,
            output: SUM,
            clamp,
        },
        block,
        b.conv(BLOCK, SCORES, 1, point),
        Op::Resize {
            input: SCORES,
            output: FINE,
            resample: Resample::Bilinear(Coordinates::AlignCorners),
        },
        Op::Argmax {
            input: FINE,
            resample: Resample::Nearest(Coordinates::HalfPixel, NearestRule::Floor),
        },
    ];
    Program {
        width: 9,
        height: 7,
        tensors: b.tensors,
        ops,
        output: Output::Labels {
            width: 9,
            height: 7,
        },
        arena_bytes: b.arena,
        constants: b.constants.into(),
    }
}
