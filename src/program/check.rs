//! Proof that a program can be run by kernels that check nothing.
//!
//! A program may come from a file that anyone wrote. [`Program::check`] is the one
//! gate: after it every index, size and number is one that a kernel may trust.

use thiserror::Error;

use super::constants::ALIGN;
use super::{Conv, Op, Output, Program, Quant, Region, Span, Tensor, TensorId, Window};
use crate::frame;
use memory::{Memory, Place};

mod memory;
mod window;

/// Most bytes in the arena.
pub const MAX_ARENA_BYTES: u64 = 1 << 31;
/// Most tensors.
pub const MAX_TENSORS: usize = 4096;
/// Most operations.
pub const MAX_OPS: usize = 4096;
/// Longest name of a tensor, in bytes.
pub const MAX_NAME: usize = 1024;
/// Most channels of a tensor, and most bytes from one pixel to the next.
pub const MAX_CHANNELS: u32 = 1 << 16;
/// Largest kernel side, stride and dilation of a window.
pub const MAX_WINDOW: u32 = frame::MAX_SIDE;
/// Most rows or columns a kernel may span, its dilation included.
pub const MAX_EXTENT: u32 = 1 << 20;
/// Most rows or columns of a border on one side of a picture. It may be wider than the window,
/// as before the first convolution of FCN.
pub const MAX_BORDER: u32 = 1 << 10;
/// Most channels where each is a class: a label is one byte.
pub const MAX_CLASSES: u32 = 256;

/// Largest factor between two quantizations. Far beyond any of use, and small enough
/// that no product with a 32-bit number, and no sum of two, is infinite.
pub const MAX_FACTOR: f32 = 1e24;

/// Largest product of a shifted code (0..=255) and a shifted weight (-255..=255).
const MAX_PRODUCT: u64 = 255 * 255;

/// Why a program cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Something about the program as a whole.
    #[error("program: {reason}")]
    Whole {
        /// What is wrong.
        reason: String,
    },
    /// A tensor.
    #[error("program: tensor {index} {name:?}: {reason}")]
    Tensor {
        /// Its index.
        index: usize,
        /// Its name, cut to [`MAX_NAME`] bytes.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An operation.
    #[error("program: operation {index} ({kind}) at tensor {tensor:?}: {reason}")]
    Op {
        /// Its index.
        index: usize,
        /// What it does.
        kind: &'static str,
        /// Name of the tensor at fault, or of the operation's main tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
}

impl Program {
    /// Proves that the program can be run safely by kernels that check nothing.
    ///
    /// # Errors
    /// [`ProgramError`], naming the first operation or tensor at fault.
    pub fn check(&self) -> Result<(), ProgramError> {
        let whole = |reason: &str| {
            let reason = reason.to_owned();
            Err(ProgramError::Whole { reason })
        };
        if !matches!(self.ops.first(), Some(Op::Input { .. })) {
            return whole("its first operation is not the input");
        }
        if self.output == Output::Codes {
            return whole("it ends in codes, as a part of a model does");
        }
        self.check_between(&[], &[])
    }

    /// Proves that the operations can be run once the caller has written `inputs`, and
    /// that they leave `outputs`.
    fn check_between(&self, inputs: &[TensorId], outputs: &[TensorId]) -> Result<(), ProgramError> {
        self.check_whole()
            .map_err(|reason| ProgramError::Whole { reason })?;
        for (index, tensor) in self.tensors.iter().enumerate() {
            check_tensor(tensor, self.arena_bytes).map_err(|reason| ProgramError::Tensor {
                index,
                name: tensor.name.chars().take(MAX_NAME / 4).collect(),
                reason,
            })?;
        }
        let places = self.tensors.iter().map(Place::of).collect();
        let written = self.ops.iter().filter_map(write);
        let mut memory = Memory::new(places, written.chain(inputs.iter().copied()));
        for &id in inputs {
            self.check_exists("input", id)?;
            memory
                .write(id, 0)
                .map_err(|reason| self.edge_error("input", id, &reason))?;
        }
        for &id in inputs {
            memory
                .read(id)
                .map_err(|_| self.edge_error("input", id, "another input overlaps it"))?;
        }
        for (index, op) in self.ops.iter().enumerate() {
            Checker {
                program: self,
                index,
            }
            .check(op, &mut memory)
            .map_err(|fault| self.op_error(index, op, fault))?;
        }
        self.check_output(&memory)?;
        for &id in outputs {
            self.check_exists("output", id)?;
            memory
                .read(id)
                .map_err(|reason| self.edge_error("output", id, &reason))?;
        }
        Ok(())
    }

    fn check_exists(&self, what: &str, id: TensorId) -> Result<(), ProgramError> {
        if (id.0 as usize) < self.tensors.len() {
            return Ok(());
        }
        let reason = format!("its {what} is tensor {}, which does not exist", id.0);
        Err(ProgramError::Whole { reason })
    }

    fn edge_error(&self, what: &str, id: TensorId, reason: &str) -> ProgramError {
        let name = self.tensors.get(id.0 as usize).map(|t| t.name.as_str());
        let reason = format!("its {what} {:?}: {reason}", name.unwrap_or_default());
        ProgramError::Whole { reason }
    }

    fn check_whole(&self) -> Result<(), String> {
        if !frame::size_is_allowed(self.width, self.height) {
            return Err(format!(
                "its input is {}x{}; each side must be in 1..={}, and at most {} pixels in all",
                self.width,
                self.height,
                frame::MAX_SIDE,
                frame::MAX_PIXELS
            ));
        }
        at_most("tensors", self.tensors.len(), MAX_TENSORS)?;
        at_most("operations", self.ops.len(), MAX_OPS)?;
        if self.arena_bytes > MAX_ARENA_BYTES {
            return Err(format!(
                "its arena is {} MiB; at most {} MiB are allowed",
                self.arena_bytes >> 20,
                MAX_ARENA_BYTES >> 20
            ));
        }
        if let Output::Labels { width, height } = self.output {
            if !frame::size_is_allowed(width, height) {
                return Err(format!("its mask is {width}x{height}, which is not a size"));
            }
            if !matches!(self.ops.last(), Some(Op::Argmax { .. })) {
                return Err("it ends in labels, but its last operation is not argmax".into());
            }
        }
        Ok(())
    }

    fn check_output(&self, memory: &Memory) -> Result<(), ProgramError> {
        let Output::Logits { scores: id, .. } = self.output else {
            return Ok(());
        };
        let fail = |reason| ProgramError::Whole { reason };
        let tensor = (self.tensors.get(id.0 as usize)).ok_or_else(|| {
            fail(format!(
                "its output is tensor {}, which does not exist",
                id.0
            ))
        })?;
        if tensor.channels > MAX_CLASSES {
            return Err(fail(format!(
                "its output {:?} has {} channels; a label names at most {MAX_CLASSES}",
                tensor.name, tensor.channels
            )));
        }
        memory
            .read(id)
            .map_err(|reason| fail(format!("its output {:?}: {reason}", tensor.name)))
    }

    fn op_error(&self, index: usize, op: &Op, fault: Fault) -> ProgramError {
        let tensor = fault.tensor.unwrap_or_else(|| main_tensor(op));
        let name = (self.tensors.get(tensor.0 as usize))
            .map_or_else(|| format!("#{}", tensor.0), |t| t.name.clone());
        ProgramError::Op {
            index,
            kind: kind(op),
            tensor: name,
            reason: fault.reason,
        }
    }
}

impl Region {
    /// Proves that the region can be run safely by kernels that check nothing.
    ///
    /// # Errors
    /// As [`Program::check`].
    pub fn check(&self) -> Result<(), ProgramError> {
        let whole = |reason: String| Err(ProgramError::Whole { reason });
        let ports = self.inputs.len() + self.outputs.len();
        if ports > MAX_TENSORS {
            return whole(format!("a region has {ports} inputs and outputs; too many"));
        }
        if matches!(self.body.output, Output::Logits { .. }) {
            return whole("a region ends in codes or in labels, not in logits".into());
        }
        let is_input = |op: &Op| matches!(op, Op::Input { .. });
        if self.body.ops.iter().any(is_input) {
            return whole("a region does not read the picture".into());
        }
        self.body.check_between(&self.inputs, &self.outputs)
    }
}

fn at_most(what: &str, got: usize, limit: usize) -> Result<(), String> {
    if got > limit {
        return Err(format!("it has {got} {what}; at most {limit} are allowed"));
    }
    Ok(())
}

fn check_tensor(tensor: &Tensor, arena_bytes: u64) -> Result<(), String> {
    let Tensor {
        name,
        height,
        width,
        channels,
        quant,
        offset,
        pixel_stride,
    } = tensor;
    if name.len() > MAX_NAME {
        return Err(format!("its name is longer than {MAX_NAME} bytes"));
    }
    if !frame::size_is_allowed(*width, *height) || !(1..=MAX_CHANNELS).contains(channels) {
        return Err(format!(
            "its size {width}x{height}x{channels} is out of range: sides in 1..={}, \
             channels in 1..={MAX_CHANNELS}",
            frame::MAX_SIDE
        ));
    }
    if pixel_stride < channels || *pixel_stride > MAX_CHANNELS {
        return Err(format!(
            "its pixel stride is {pixel_stride}; it must be in {channels}..={MAX_CHANNELS}"
        ));
    }
    // No overflow: less than 2^27 pixels of at most 2^16 bytes.
    let pixels = u64::from(*width) * u64::from(*height);
    let bytes = (pixels - 1) * u64::from(*pixel_stride) + u64::from(*channels);
    if offset
        .checked_add(bytes)
        .is_none_or(|end| end > arena_bytes)
    {
        return Err(format!(
            "its {bytes} bytes at {offset} do not lie in the arena of {arena_bytes} bytes"
        ));
    }
    check_scale(quant.scale)
}

fn check_scale(scale: f32) -> Result<(), String> {
    if scale.is_finite() && scale > 0.0 {
        return Ok(());
    }
    Err(format!("its scale {scale} is not a finite number above 0"))
}

fn check_factor(what: &str, factor: f32) -> Result<(), String> {
    if factor > 0.0 && factor <= MAX_FACTOR {
        return Ok(());
    }
    Err(format!(
        "{what} {factor} is not above 0 and at most {MAX_FACTOR:e}"
    ))
}

/// What is wrong with an operation, and with which of its tensors.
#[derive(Debug)]
struct Fault {
    tensor: Option<TensorId>,
    reason: String,
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self {
            tensor: None,
            reason,
        }
    }
}

/// The rules of one operation.
struct Checker<'a> {
    program: &'a Program,
    index: usize,
}

impl Checker<'_> {
    fn check(&self, op: &Op, memory: &mut Memory) -> Result<(), Fault> {
        let at = |tensor| {
            move |reason| Fault {
                tensor: Some(tensor),
                reason,
            }
        };
        let (reads, write) = (reads(op), write(op));
        for id in reads.iter().flatten().copied().chain(write) {
            self.tensor(id).map_err(at(id))?;
        }
        self.check_rules(op)?;
        for id in reads.into_iter().flatten() {
            memory.read(id).map_err(at(id))?;
            if write.is_some_and(|output| memory.overlap(id, output)) {
                return Err(at(id)("it overlaps the operation's output".into()));
            }
            // An operation's output is lent to it as one stretch of bytes.
            if write.is_some_and(|output| memory.mingle(id, output)) {
                return Err(at(id)(
                    "its pixels lie between those of the operation's output".into(),
                ));
            }
        }
        match write {
            Some(output) => memory.write(output, self.index).map_err(at(output)),
            None => Ok(()),
        }
    }

    fn check_rules(&self, op: &Op) -> Result<(), Fault> {
        match *op {
            Op::Input {
                output,
                order,
                tables,
            } => self.check_input(output, order, tables),
            Op::Conv(ref conv) => self.check_conv(conv),
            Op::Add {
                a,
                b,
                output,
                clamp,
            } => {
                self.same_shape(a, output)?;
                self.check_sum(a, b, output, clamp)
            }
            Op::Mul {
                a,
                b,
                output,
                clamp,
            } => self.check_mul(a, b, output, clamp),
            Op::Map {
                input,
                output,
                table,
            } => {
                self.same_shape(input, output)?;
                self.span("table", table, 256, 1)
            }
            Op::AveragePool {
                input,
                output,
                ref window,
                ..
            } => self.check_average(input, output, window),
            Op::MaxPool {
                input,
                output,
                ref window,
            } => {
                self.same_quant(input, output)?;
                self.check_pool(input, output, window)
            }
            Op::Max { a, b, output } => {
                for input in [a, b] {
                    self.same_shape(input, output)?;
                    self.same_quant(input, output)?;
                }
                Ok(())
            }
            Op::DepthToSpace {
                input,
                output,
                block,
                begin,
            } => self.check_depth_to_space(input, output, block, begin),
            Op::Resize { input, output, .. } => {
                self.same_quant(input, output)?;
                self.same_channels(input, output)
            }
            Op::Argmax { input, .. } => self.check_argmax(input),
        }
    }

    fn check_input(&self, output: TensorId, order: [u8; 3], tables: Span) -> Result<(), Fault> {
        if self.index != 0 {
            return Err("the input picture is read once, by the first operation".to_owned())?;
        }
        let tensor = self.tensor(output)?;
        let size = (tensor.width, tensor.height, tensor.channels);
        let (width, height) = (self.program.width, self.program.height);
        if size != (width, height, 3) {
            return Err(format!(
                "it is {}, but the input picture is {width}x{height}x3",
                shape(tensor)
            ))?;
        }
        if order.iter().any(|&byte| byte > 2) {
            return Err(format!("channel order {order:?} holds a number above 2"))?;
        }
        self.span("tables", tables, 768, 1)
    }

    fn check_depth_to_space(
        &self,
        input: TensorId,
        output: TensorId,
        block: [u32; 2],
        begin: [u32; 2],
    ) -> Result<(), Fault> {
        self.same_quant(input, output)?;
        let (from, to) = (self.tensor(input)?, self.tensor(output)?);
        let pixels = u64::from(block[0]) * u64::from(block[1]);
        if pixels == 0 || u64::from(from.channels) != pixels * u64::from(to.channels) {
            return Err(format!(
                "{} is not {} with blocks of {}x{} pixels in its channels",
                shape(from),
                shape(to),
                block[1],
                block[0]
            ))?;
        }
        let whole = [from.height, from.width];
        let part = [to.height, to.width];
        for side in 0..2 {
            let ends = u64::from(begin[side]) + u64::from(part[side]);
            if ends > u64::from(whole[side]) * u64::from(block[side]) {
                return Err(format!(
                    "{} from row {} and column {} reaches beyond {} in blocks of {}x{}",
                    shape(to),
                    begin[0],
                    begin[1],
                    shape(from),
                    block[1],
                    block[0]
                ))?;
            }
        }
        Ok(())
    }

    fn check_conv(&self, conv: &Conv) -> Result<(), Fault> {
        let (input, output) = (self.tensor(conv.input)?, self.tensor(conv.output)?);
        window::check(input, output, &conv.window)?;
        let groups = conv.groups;
        if groups == 0
            || !input.channels.is_multiple_of(groups)
            || !output.channels.is_multiple_of(groups)
        {
            return Err(format!(
                "{groups} groups do not divide {} input and {} output channels",
                input.channels, output.channels
            ))?;
        }
        check_clamp(conv.clamp)?;
        check_scale(conv.quant.scale)?;
        // No overflow: each side of a kernel spans at most 2^14, a group 2^16.
        let [rows, columns] = conv.window.kernel.map(u64::from);
        let terms = rows * columns * u64::from(input.channels / groups);
        let channels = u64::from(output.channels);
        self.span("weights", conv.weights, terms * channels, 1)?;
        let zero_points = if conv.weight_zero_points.len == 0 {
            0
        } else {
            channels
        };
        self.span("zero points", conv.weight_zero_points, zero_points, 1)?;
        self.check_accumulator(conv.bias, channels, terms)?;
        self.check_multipliers(conv.multipliers, channels)?;
        match conv.residual {
            Some(residual) => {
                self.check_sum_of(conv.quant, residual.tensor, conv.output, residual.clamp)
            }
            None if conv.quant != output.quant => {
                Err("its quantization is not the output's, yet no residual follows".to_owned())?
            }
            None => Ok(()),
        }
    }

    /// Whether i32 holds every sum, whatever weights and picture are.
    fn check_accumulator(&self, bias: Span, channels: u64, terms: u64) -> Result<(), Fault> {
        self.span("bias", bias, channels, 4)?;
        let bias = self.program.constants.i32s(bias).unwrap_or_default();
        let largest = bias.iter().map(|b| b.unsigned_abs()).max().unwrap_or(0);
        let bound = terms
            .saturating_mul(MAX_PRODUCT)
            .saturating_add(u64::from(largest));
        if bound > i32::MAX as u64 {
            return Err(format!(
                "its sums of {terms} products and a bias of up to {largest} may not fit 32 bits"
            ))?;
        }
        Ok(())
    }

    fn check_multipliers(&self, span: Span, channels: u64) -> Result<(), Fault> {
        self.span("multipliers", span, channels, 4)?;
        let multipliers = self.program.constants.f32s(span).unwrap_or_default();
        for (channel, multiplier) in multipliers.into_iter().enumerate() {
            check_factor(&format!("the multiplier of channel {channel}"), multiplier)?;
        }
        Ok(())
    }

    /// `a`, of the output's shape, and `b` make a sum.
    fn check_sum(
        &self,
        a: TensorId,
        b: TensorId,
        output: TensorId,
        clamp: [u8; 2],
    ) -> Result<(), Fault> {
        self.check_sum_of(self.tensor(a)?.quant, b, output, clamp)
    }

    fn check_sum_of(
        &self,
        a: Quant,
        b: TensorId,
        output: TensorId,
        clamp: [u8; 2],
    ) -> Result<(), Fault> {
        check_clamp(clamp)?;
        self.same_shape(b, output)?;
        let to = self.tensor(output)?.quant.scale;
        check_factor("the first summand's factor", a.scale / to)?;
        check_factor(
            "the second summand's factor",
            self.tensor(b)?.quant.scale / to,
        )?;
        Ok(())
    }

    fn check_mul(
        &self,
        a: TensorId,
        b: TensorId,
        output: TensorId,
        clamp: [u8; 2],
    ) -> Result<(), Fault> {
        check_clamp(clamp)?;
        self.same_shape(a, output)?;
        let (factor, to) = (self.tensor(b)?, self.tensor(output)?);
        if (factor.width, factor.height) == (1, 1) {
            self.same_channels(b, output)?;
        } else {
            self.same_shape(b, output)?;
        }
        let scale = self.tensor(a)?.quant.scale * factor.quant.scale / to.quant.scale;
        check_factor("the product's factor", scale)?;
        Ok(())
    }

    fn check_average(
        &self,
        input: TensorId,
        output: TensorId,
        window: &Window,
    ) -> Result<(), Fault> {
        if window.dilation != [1, 1] {
            return Err("an average pool has no dilation".to_owned())?;
        }
        self.check_pool(input, output, window)?;
        // The sum of codes is made in 32 bits; check_pool has bounded both sides.
        let count = u64::from(window.kernel[0]) * u64::from(window.kernel[1]);
        if count * 255 > i32::MAX as u64 {
            return Err(format!(
                "a sum of {count} codes does not fit 32 bits: the kernel is too large"
            ))?;
        }
        let (from, to) = (
            self.tensor(input)?.quant.scale,
            self.tensor(output)?.quant.scale,
        );
        check_factor("its factor", from / (to * count as f32))?;
        check_factor("its factor at a border", from / to)?;
        Ok(())
    }

    fn check_pool(&self, input: TensorId, output: TensorId, window: &Window) -> Result<(), Fault> {
        self.same_channels(input, output)?;
        let (input, output) = (self.tensor(input)?, self.tensor(output)?);
        window::check(input, output, window)?;
        Ok(window::check_taps(input, output, window)?)
    }

    fn check_argmax(&self, input: TensorId) -> Result<(), Fault> {
        if !matches!(self.program.output, Output::Labels { .. }) {
            return Err("the program does not end in labels".to_owned())?;
        }
        if self.index + 1 != self.program.ops.len() {
            return Err("it is not the last operation".to_owned())?;
        }
        let channels = self.tensor(input)?.channels;
        if channels > MAX_CLASSES {
            return Err(format!(
                "{channels} channels; a label names at most {MAX_CLASSES} classes"
            ))?;
        }
        Ok(())
    }

    fn tensor(&self, id: TensorId) -> Result<&Tensor, String> {
        let tensors = &self.program.tensors;
        tensors.get(id.0 as usize).ok_or_else(|| {
            format!(
                "there is no tensor {}; there are {}",
                id.0,
                self.program.tensors.len()
            )
        })
    }

    fn span(&self, what: &str, span: Span, elements: u64, size: u64) -> Result<(), Fault> {
        if span.len != elements {
            return Err(format!("its {what} are {}, not {elements}", span.len))?;
        }
        if !span.offset.is_multiple_of(ALIGN) {
            return Err(format!(
                "its {what} begin at byte {}, which is no multiple of {ALIGN}",
                span.offset
            ))?;
        }
        let bytes = elements.checked_mul(size);
        let end = bytes.and_then(|bytes| span.offset.checked_add(bytes));
        let held = self.program.constants.len() as u64;
        if end.is_none_or(|end| end > held) {
            return Err(format!(
                "its {what} at byte {} do not lie within the {held} bytes of constants",
                span.offset
            ))?;
        }
        Ok(())
    }

    fn same_shape(&self, a: TensorId, b: TensorId) -> Result<(), Fault> {
        let (a, b) = (self.tensor(a)?, self.tensor(b)?);
        if (a.height, a.width, a.channels) != (b.height, b.width, b.channels) {
            return Err(format!(
                "{:?} is {}, but {:?} is {}",
                a.name,
                shape(a),
                b.name,
                shape(b)
            ))?;
        }
        Ok(())
    }

    fn same_channels(&self, a: TensorId, b: TensorId) -> Result<(), Fault> {
        let (a, b) = (self.tensor(a)?, self.tensor(b)?);
        if a.channels != b.channels {
            return Err(format!(
                "{:?} has {} channels, but {:?} has {}",
                a.name, a.channels, b.name, b.channels
            ))?;
        }
        Ok(())
    }

    fn same_quant(&self, a: TensorId, b: TensorId) -> Result<(), Fault> {
        let (a, b) = (self.tensor(a)?, self.tensor(b)?);
        if a.quant != b.quant {
            return Err(format!(
                "{:?} and {:?} differ in quantization",
                a.name, b.name
            ))?;
        }
        Ok(())
    }
}

fn check_clamp([low, high]: [u8; 2]) -> Result<(), String> {
    if low > high {
        return Err(format!("its codes are clamped to {low}..={high}"));
    }
    Ok(())
}

fn shape(tensor: &Tensor) -> String {
    format!("{}x{}x{}", tensor.width, tensor.height, tensor.channels)
}

/// The tensors an operation reads.
fn reads(op: &Op) -> [Option<TensorId>; 2] {
    match *op {
        Op::Input { .. } => [None, None],
        Op::Conv(ref conv) => [Some(conv.input), conv.residual.map(|r| r.tensor)],
        Op::Add { a, b, .. } | Op::Mul { a, b, .. } | Op::Max { a, b, .. } => [Some(a), Some(b)],
        Op::Map { input, .. }
        | Op::AveragePool { input, .. }
        | Op::MaxPool { input, .. }
        | Op::DepthToSpace { input, .. }
        | Op::Resize { input, .. }
        | Op::Argmax { input, .. } => [Some(input), None],
    }
}

/// The tensor an operation writes; argmax writes the mask instead.
fn write(op: &Op) -> Option<TensorId> {
    match *op {
        Op::Conv(ref conv) => Some(conv.output),
        Op::Input { output, .. }
        | Op::Add { output, .. }
        | Op::Mul { output, .. }
        | Op::Map { output, .. }
        | Op::AveragePool { output, .. }
        | Op::MaxPool { output, .. }
        | Op::Max { output, .. }
        | Op::DepthToSpace { output, .. }
        | Op::Resize { output, .. } => Some(output),
        Op::Argmax { .. } => None,
    }
}

/// The tensor by which a report finds the operation in the model.
fn main_tensor(op: &Op) -> TensorId {
    match *op {
        Op::Argmax { input, .. } => input,
        ref op => write(op).unwrap_or(TensorId(0)),
    }
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Input { .. } => "input",
        Op::Conv(_) => "convolution",
        Op::Add { .. } => "sum",
        Op::Mul { .. } => "product",
        Op::Map { .. } => "table",
        Op::AveragePool { .. } => "average pool",
        Op::MaxPool { .. } => "max pool",
        Op::Max { .. } => "maximum",
        Op::DepthToSpace { .. } => "depth to space",
        Op::Resize { .. } => "resize",
        Op::Argmax { .. } => "argmax",
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
