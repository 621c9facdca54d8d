//! Pools, and the borders that a Pad makes for them and for convolutions.

use super::super::import::SourceNode;
use super::super::net::{Kind, Size, ValueId};
use super::super::shape;
use super::super::transpose::{Axes, Axis};
use super::{Border, Codes, PendingKind, Rejected, State, Walk, not_quantized, refused};
use crate::program::Window;

/// The state inside a border, and the border: none is one of no width.
pub(super) fn without_border(state: &State) -> (&State, Border) {
    match state {
        State::Bordered(inner, border) => (inner, *border),
        other => (other, [0; 4]),
    }
}

/// A window over a bordered picture as a window over the picture itself.
fn widened(window: Window, border: Border) -> Result<Window, Rejected> {
    let [top, left, ..] = border;
    let pad = [
        window.pad[0].checked_add(top),
        window.pad[1].checked_add(left),
    ];
    let [Some(top), Some(left)] = pad else {
        return refused("its border is too wide");
    };
    Ok(Window {
        pad: [top, left],
        ..window
    })
}

impl Walk<'_> {
    /// The picture that a window moves over, with ONNX's own axes, and the window,
    /// with a border before it taken in.
    pub(super) fn windowed(
        &mut self,
        node: &SourceNode,
        state: &State,
        window: Window,
    ) -> Result<(ValueId, Window), Rejected> {
        let (state, border) = without_border(state);
        let codes = self.settled(state)?;
        if codes.axes != Axes::NCHW {
            return refused("its input's axes are not batch, channel, row, column");
        }
        let window = widened(window, border)?;
        let from = self.net.value(codes.value).size;
        let to = self.result_size(node, Axes::NCHW)?;
        let sides = |size: Size| [size.height, size.width];
        if !shape::is_runnable(&window, sides(from), sides(to)) {
            return refused(format!(
                "its windows of {:?} do not take {:?} with a border of {:?} to {:?}",
                window.kernel,
                sides(from),
                window.pad,
                sides(to)
            ));
        }
        Ok((codes.value, window))
    }

    /// As [`windowed`](Self::windowed), for a pool.
    fn pooled(
        &mut self,
        node: &SourceNode,
        state: &State,
        window: Window,
    ) -> Result<(ValueId, Window), Rejected> {
        let (input, window) = self.windowed(node, state, window)?;
        let from = self.net.value(input).size;
        let to = self.result_size(node, Axes::NCHW)?;
        let sides = |size: Size| [size.height, size.width];
        if !shape::begins_and_ends_inside(&window, sides(from), sides(to)) {
            return refused("some of its windows lie outside the picture");
        }
        Ok((input, window))
    }

    pub(super) fn average_pool(
        &mut self,
        node: &SourceNode,
        state: &State,
        window: Window,
        count_outside: bool,
    ) -> Result<State, Rejected> {
        let (_, border) = without_border(state);
        let is_bordered = border != [0; 4];
        // What Pad adds counts, what the pool adds itself only where it says so.
        if is_bordered && !count_outside && window.pad != [0, 0] {
            return refused("it has a border of its own beside that of Pad; merge the two");
        }
        let (input, inner) = self.pooled(node, state, window)?;
        if is_bordered {
            self.check_counted(node, input, inner, border)?;
        }
        let kind = PendingKind::AveragePool {
            input,
            window: inner,
            count_outside: count_outside || is_bordered,
        };
        self.pending(node, kind, Axes::NCHW)
    }

    /// That every window ends inside the border, where all of it counts.
    fn check_counted(
        &self,
        node: &SourceNode,
        input: ValueId,
        window: Window,
        border: Border,
    ) -> Result<(), Rejected> {
        let (from, to) = (
            self.net.value(input).size,
            self.result_size(node, Axes::NCHW)?,
        );
        let ends = |side: usize, from: u32, to: u32| {
            let reach =
                u64::from(to - 1) * u64::from(window.stride[side]) + u64::from(window.kernel[side]);
            let whole = u64::from(window.pad[side]) + u64::from(from) + u64::from(border[side + 2]);
            reach <= whole
        };
        if ends(0, from.height, to.height) && ends(1, from.width, to.width) {
            return Ok(());
        }
        refused("its windows reach beyond the border that Pad has made; merge the two")
    }

    pub(super) fn max_pool(
        &mut self,
        node: &SourceNode,
        state: &State,
        window: Window,
    ) -> Result<State, Rejected> {
        let (inner, border) = without_border(state);
        let real = match inner {
            State::Codes(codes) => State::Real(*codes),
            other => other.clone(),
        };
        let settled = self.settled(&real)?;
        if border != [0; 4] && !self.is_never_negative(settled.value) {
            return refused(
                "the zeros that Pad has put around its input may be the largest; pad with the \
                 pool's own pads",
            );
        }
        let bordered = State::Bordered(Box::new(State::Real(settled)), border);
        let (_, window) = self.pooled(node, &bordered, window)?;
        let settled = match inner {
            State::Codes(codes) => State::Codes(*codes),
            _ => State::Real(settled),
        };
        self.moved(node, &settled, |input| Kind::MaxPool { input, window })
    }

    /// Whether no code of a value stands for less than 0.
    fn is_never_negative(&self, value: ValueId) -> bool {
        let zero = self.net.value(value).quant.zero_point;
        let maker = (self.net.steps.iter()).find(|step| step.output == Some(value));
        zero == 0
            || match maker.map(|step| &step.kind) {
                Some(Kind::Conv(conv)) => conv.clamp[0] >= zero,
                Some(Kind::Add { clamp, .. } | Kind::Mul { clamp, .. }) => clamp[0] >= zero,
                Some(Kind::Map { table, .. }) => table.iter().all(|&code| code >= zero),
                _ => false,
            }
    }

    /// Mean over whole rows and columns: a pool of the picture's size.
    pub(super) fn mean(
        &mut self,
        node: &SourceNode,
        state: &State,
        axes: &[usize],
        keep: bool,
    ) -> Result<State, Rejected> {
        let codes = self.settled(state)?;
        let mut over: Vec<Axis> = axes.iter().filter_map(|&i| codes.axes.meaning(i)).collect();
        over.sort_by_key(|axis| *axis == Axis::Column);
        if over != [Axis::Row, Axis::Column] {
            return refused("it is a mean over something other than rows and columns");
        }
        let size = self.net.value(codes.value).size;
        let kind = PendingKind::AveragePool {
            input: codes.value,
            window: Window {
                kernel: [size.height, size.width],
                stride: [1, 1],
                dilation: [1, 1],
                pad: [0, 0],
            },
            count_outside: false,
        };
        let left = if keep {
            Some(codes.axes)
        } else {
            codes.axes.without(&over)
        };
        match left {
            Some(axes) => self.pending(node, kind, axes),
            None => refused("its result has no axes left"),
        }
    }

    /// A border of zeros, which the operator behind it takes in.
    pub(super) fn padded(
        &self,
        state: &State,
        value: Option<&State>,
        around: &[[usize; 2]],
    ) -> Result<State, Rejected> {
        if around.iter().all(|pads| *pads == [0, 0]) {
            return Ok(state.clone());
        }
        let (inner, old) = without_border(state);
        let (axes, zero) = match inner {
            State::Picture(picture) if !picture.is_codes => (picture.axes, 0),
            State::Real(codes) => (codes.axes, 0),
            State::Codes(codes) => {
                let shift = if codes.signed { 128 } else { 0 };
                let zero = self.net.value(codes.value).quant.zero_point;
                (codes.axes, i64::from(zero) - shift)
            }
            other => return refused(not_quantized(other)),
        };
        let is_zero = match value.map(|value| (value, self.constant(value))) {
            None => zero == 0,
            // Of codes: the zero point.
            Some((_, Some(constant))) if constant.floats().is_none() => {
                constant.len() == 1 && constant.integers() == Some(vec![zero])
            }
            Some((value, _)) => zero == 0 && self.is_zero(value),
        };
        if !is_zero {
            return refused("its value is not 0: only a border of zeros is supported");
        }
        let mut border = old;
        for (index, &pads) in around.iter().enumerate() {
            let [first, last] = match axes.meaning(index) {
                Some(Axis::Row) => [0, 2],
                Some(Axis::Column) => [1, 3],
                _ if pads == [0, 0] => continue,
                _ => return refused("it pads something other than rows and columns"),
            };
            for (at, pad) in [(first, pads[0]), (last, pads[1])] {
                let sum = u32::try_from(pad)
                    .ok()
                    .and_then(|pad| border[at].checked_add(pad));
                border[at] = match sum {
                    Some(sum) => sum,
                    None => return refused("its border is too wide"),
                };
            }
        }
        Ok(State::Bordered(Box::new(inner.clone()), border))
    }

    /// An operation that keeps the quantization of what it moves.
    pub(super) fn moved(
        &mut self,
        node: &SourceNode,
        state: &State,
        kind: impl FnOnce(ValueId) -> Kind,
    ) -> Result<State, Rejected> {
        if let State::Real(codes) | State::Codes(codes) = state
            && self.result_size(node, codes.axes)?.channels
                != self.net.value(codes.value).size.channels
        {
            return refused("it changes the number of channels");
        }
        self.placed(node, state, kind)
    }

    /// As [`moved`](Self::moved), and the channels may be others.
    pub(super) fn placed(
        &mut self,
        node: &SourceNode,
        state: &State,
        kind: impl FnOnce(ValueId) -> Kind,
    ) -> Result<State, Rejected> {
        let (State::Real(codes) | State::Codes(codes)) = state else {
            return refused(not_quantized(state));
        };
        let size = self.result_size(node, codes.axes)?;
        let quant = self.net.value(codes.value).quant;
        let name = &self.source.value(node.output).name;
        let value = self.net.add_value(name, size, quant)?;
        self.net
            .add_step(&node.name, kind(codes.value), Some(value))?;
        let moved = Codes { value, ..*codes };
        Ok(match state {
            State::Real(_) => State::Real(moved),
            _ => State::Codes(moved),
        })
    }
}
