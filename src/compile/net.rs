//! The compiler's own form of a quantized network, between the ONNX graph and
//! the [`Program`](crate::program::Program): unsigned codes in NHWC pictures,
//! one step for each operation, storage not decided yet.

use crate::frame;
use crate::program::{Quant, Resample, Window};

use super::{Fault, limits};

/// Index of a value in [`Net::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// Rows, columns and channels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub height: u32,
    pub width: u32,
    pub channels: u32,
}

impl Size {
    /// Elements in all; sizes are checked against [`limits`] when they are made.
    pub fn elements(self) -> u64 {
        u64::from(self.height) * u64::from(self.width) * u64::from(self.channels)
    }

    /// Whether it is one pixel.
    pub fn is_pixel(self) -> bool {
        self.height == 1 && self.width == 1
    }
}

/// Part of another value's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub of: ValueId,
    pub channel: u32,
}

/// A picture of codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub name: String,
    pub size: Size,
    pub quant: Quant,
    /// Set where it is stored in place, inside a concatenation.
    pub slice: Option<Slice>,
}

/// 256 codes.
pub type Table = Box<[u8; 256]>;

/// What a convolution multiplies with, in the program's layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    pub input: ValueId,
    pub groups: u32,
    pub window: Window,
    pub weights: Vec<i8>,
    pub weight_zero_points: Vec<i8>,
    pub bias: Vec<i32>,
    pub multipliers: Vec<f32>,
    pub clamp: [u8; 2],
    pub quant: Quant,
    pub residual: Option<Residual>,
}

/// What is added to a convolution's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    pub value: ValueId,
    pub clamp: [u8; 2],
    /// Whether it is the sum's first summand.
    pub first: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Input {
        order: [u8; 3],
        tables: [Table; 3],
    },
    /// Codes that the caller of a region writes, before anything else is done.
    Given,
    Conv(Box<Convolution>),
    Add {
        a: ValueId,
        b: ValueId,
        clamp: [u8; 2],
    },
    Mul {
        a: ValueId,
        b: ValueId,
        clamp: [u8; 2],
    },
    Map {
        input: ValueId,
        table: Table,
    },
    AveragePool {
        input: ValueId,
        window: Window,
        count_outside: bool,
    },
    MaxPool {
        input: ValueId,
        window: Window,
    },
    /// All of one quantization.
    Max {
        a: ValueId,
        b: ValueId,
    },
    /// See [`Op::DepthToSpace`](crate::program::Op::DepthToSpace).
    DepthToSpace {
        input: ValueId,
        block: [u32; 2],
        begin: [u32; 2],
    },
    Resize {
        input: ValueId,
        resample: Resample,
    },
    /// Parts of the output's quantization; gone once they are written in place.
    Concat {
        parts: Vec<ValueId>,
    },
    /// Codes that the caller of a region reads, after everything else is done.
    Kept {
        input: ValueId,
    },
    /// The mask of [`Net::mask`]'s size.
    Argmax {
        input: ValueId,
        resample: Resample,
    },
}

impl Kind {
    /// The kind in the terms of [`Op`](crate::program::Op).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "Input",
            Self::Given => "Given",
            Self::Kept { .. } => "Kept",
            Self::Conv(_) => "Conv",
            Self::Add { .. } => "Add",
            Self::Mul { .. } => "Mul",
            Self::Map { .. } => "Map",
            Self::AveragePool { .. } => "AveragePool",
            Self::MaxPool { .. } => "MaxPool",
            Self::Max { .. } => "Max",
            Self::DepthToSpace { .. } => "DepthToSpace",
            Self::Resize { .. } => "Resize",
            Self::Concat { .. } => "Concat",
            Self::Argmax { .. } => "Argmax",
        }
    }

    /// The values it reads, a value twice where it is read twice.
    pub fn inputs(&self) -> Vec<ValueId> {
        match self {
            Self::Input { .. } | Self::Given => Vec::new(),
            Self::Conv(conv) => {
                let residual = conv.residual.map(|residual| residual.value);
                [conv.input].into_iter().chain(residual).collect()
            }
            Self::Add { a, b, .. } | Self::Mul { a, b, .. } | Self::Max { a, b } => vec![*a, *b],
            Self::Map { input, .. }
            | Self::AveragePool { input, .. }
            | Self::MaxPool { input, .. }
            | Self::DepthToSpace { input, .. }
            | Self::Resize { input, .. }
            | Self::Kept { input }
            | Self::Argmax { input, .. } => vec![*input],
            Self::Concat { parts } => parts.clone(),
        }
    }

    /// Replaces every read of a value.
    pub fn replace_input(&mut self, from: ValueId, to: ValueId) {
        let swap = |value: &mut ValueId| {
            if *value == from {
                *value = to;
            }
        };
        match self {
            Self::Input { .. } | Self::Given => {}
            Self::Conv(conv) => {
                swap(&mut conv.input);
                if let Some(Residual { value, .. }) = &mut conv.residual {
                    swap(value);
                }
            }
            Self::Add { a, b, .. } | Self::Mul { a, b, .. } | Self::Max { a, b } => {
                swap(a);
                swap(b);
            }
            Self::Map { input, .. }
            | Self::AveragePool { input, .. }
            | Self::MaxPool { input, .. }
            | Self::DepthToSpace { input, .. }
            | Self::Resize { input, .. }
            | Self::Kept { input }
            | Self::Argmax { input, .. } => swap(input),
            Self::Concat { parts } => parts.iter_mut().for_each(swap),
        }
    }

    /// Bytes of constants it brings.
    fn constant_bytes(&self) -> u64 {
        match self {
            Self::Input { .. } => 768,
            Self::Map { .. } => 256,
            Self::Conv(conv) => {
                let outputs = conv.bias.len() as u64;
                conv.weights.len() as u64 + 9 * outputs
            }
            _ => 0,
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The ONNX nodes it came from, joined by `+`.
    pub node: String,
    pub kind: Kind,
    /// None for [`Kind::Argmax`] and [`Kind::Kept`].
    pub output: Option<ValueId>,
}

/// A quantized network; steps are in an order in which they can run.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    pub values: Vec<Value>,
    pub steps: Vec<Step>,
    /// Width and height of the mask.
    pub mask: (u32, u32),
    constant_bytes: u64,
}

impl Net {
    /// Nothing yet, for a mask of this width and height.
    pub fn new(mask: (u32, u32)) -> Self {
        Self {
            values: Vec::new(),
            steps: Vec::new(),
            mask,
            constant_bytes: 0,
        }
    }

    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Adds a value.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] where its size is not allowed.
    pub fn add_value(&mut self, name: &str, size: Size, quant: Quant) -> Result<ValueId, Fault> {
        let allowed = frame::size_is_allowed(size.width, size.height)
            && size.channels > 0
            && size.elements() <= limits::MAX_ELEMENTS;
        if !allowed {
            return Err(Fault::TooLarge {
                what: format!(
                    "tensor '{name}' of {}x{}x{}",
                    size.height, size.width, size.channels
                ),
                limit: limits::MAX_ELEMENTS,
            });
        }
        if self.values.len() >= limits::MAX_VALUES {
            return Err(Fault::TooLarge {
                what: "the list of tensors".into(),
                limit: limits::MAX_VALUES as u64,
            });
        }
        self.values.push(Value {
            name: name.to_owned(),
            size,
            quant,
            slice: None,
        });
        Ok(ValueId(self.values.len() - 1))
    }

    /// Adds a step at the end.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] where there are too many, or too many constants.
    pub fn add_step(
        &mut self,
        node: &str,
        kind: Kind,
        output: Option<ValueId>,
    ) -> Result<(), Fault> {
        self.constant_bytes += kind.constant_bytes();
        let too_large = |what: &str, limit| Fault::TooLarge {
            what: what.to_owned(),
            limit,
        };
        if self.constant_bytes > limits::MAX_CONSTANT_BYTES {
            return Err(too_large("all weights", limits::MAX_CONSTANT_BYTES));
        }
        if self.steps.len() >= limits::MAX_STEPS {
            return Err(too_large(
                "the list of operations",
                limits::MAX_STEPS as u64,
            ));
        }
        self.steps.push(Step {
            node: node.to_owned(),
            kind,
            output,
        });
        Ok(())
    }

    /// For each value, how often it is read.
    pub fn read_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.values.len()];
        for step in &self.steps {
            for value in step.kind.inputs() {
                counts[value.0] += 1;
            }
        }
        counts
    }

    /// For each value, the step that makes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            if let Some(output) = step.output {
                producers[output.0] = Some(index);
            }
        }
        producers
    }

    /// The value whose storage this one lies in.
    pub fn root(&self, mut id: ValueId) -> ValueId {
        while let Some(slice) = self.value(id).slice {
            id = slice.of;
        }
        id
    }

    /// Replaces every read of a value.
    pub fn replace_reads(&mut self, from: ValueId, to: ValueId) {
        for step in &mut self.steps {
            step.kind.replace_input(from, to);
        }
    }
}
