//! Which bytes of the arena hold what, as the operations run one after another.

use crate::program::{Quant, Tensor, TensorId};

/// Where a tensor lies. All numbers are below 2^32, so sums of them fit i64.
pub(super) struct Place {
    start: i64,
    end: i64,
    pixels: i64,
    stride: i64,
    channels: i64,
    quant: Quant,
}

impl Place {
    /// Of a tensor that is known to lie in the arena.
    pub(super) fn of(tensor: &Tensor) -> Self {
        let pixels = i64::from(tensor.width) * i64::from(tensor.height);
        let (stride, channels) = (tensor.pixel_stride.into(), tensor.channels.into());
        // The arena's bound is far below i64's.
        let start = tensor.offset.cast_signed();
        Self {
            start,
            end: start + (pixels - 1) * stride + channels,
            pixels,
            stride,
            channels,
            quant: tensor.quant,
        }
    }

    /// Whether a byte belongs to both.
    fn overlaps(&self, other: &Self) -> bool {
        if self.end <= other.start || other.end <= self.start {
            return false;
        }
        // Slices of one concatenation: their bytes take turns, pixel by pixel.
        let shift = (other.start - self.start).rem_euclid(self.stride);
        let take_turns = self.stride == other.stride
            && shift >= self.channels
            && shift + other.channels <= self.stride;
        !take_turns
    }

    /// Which of this tensor's channels `other` holds, pixel for pixel and with the
    /// same meaning; empty where none.
    fn channels_in(&self, other: &Self) -> (i64, i64) {
        let pixel_for_pixel =
            self.pixels == other.pixels && (self.pixels == 1 || self.stride == other.stride);
        if !pixel_for_pixel || self.quant != other.quant {
            return (0, 0);
        }
        let shift = other.start - self.start;
        (shift.max(0), (shift + other.channels).min(self.channels))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// No operation writes it: it is made of others' bytes, as a concatenation.
    View,
    Unwritten,
    Held,
    /// By the output of the operation of that index.
    Overwritten(usize),
}

/// What the arena holds after some operations.
pub(super) struct Memory {
    places: Vec<Place>,
    states: Vec<State>,
    /// The tensors that are held, in the order they were written.
    held: Vec<usize>,
}

impl Memory {
    /// Nothing is written yet; `outputs` are the tensors that will be.
    pub(super) fn new(places: Vec<Place>, outputs: impl Iterator<Item = TensorId>) -> Self {
        let mut states = vec![State::View; places.len()];
        for id in outputs {
            // An output that does not exist is an error of its operation.
            if let Some(state) = states.get_mut(id.0 as usize) {
                *state = State::Unwritten;
            }
        }
        Self {
            places,
            states,
            held: Vec::new(),
        }
    }

    /// Whether a byte belongs to both tensors.
    pub(super) fn overlap(&self, a: TensorId, b: TensorId) -> bool {
        self.places[a.0 as usize].overlaps(&self.places[b.0 as usize])
    }

    /// Whether two tensors lie in the same stretch of the arena, even where no byte
    /// belongs to both.
    pub(super) fn mingle(&self, a: TensorId, b: TensorId) -> bool {
        let (a, b) = (&self.places[a.0 as usize], &self.places[b.0 as usize]);
        a.start < b.end && b.start < a.end
    }

    /// Operation `op` writes a tensor; what it overlaps is lost.
    pub(super) fn write(&mut self, id: TensorId, op: usize) -> Result<(), String> {
        let at = id.0 as usize;
        if self.states[at] != State::Unwritten {
            return Err("it is written twice".into());
        }
        let (places, states) = (&self.places, &mut self.states);
        self.held.retain(|&other| {
            let lost = places[at].overlaps(&places[other]);
            if lost {
                states[other] = State::Overwritten(op);
            }
            !lost
        });
        self.states[at] = State::Held;
        self.held.push(at);
        Ok(())
    }

    /// Whether all of a tensor is held: by itself, or, where no operation writes
    /// it, by its parts or by a tensor it is a part of.
    pub(super) fn read(&self, id: TensorId) -> Result<(), String> {
        match self.states[id.0 as usize] {
            State::Held => Ok(()),
            State::Unwritten => Err("it is read before it is written".into()),
            State::Overwritten(op) => Err(format!(
                "it is read after operation {op} has overwritten it"
            )),
            State::View if self.is_covered(&self.places[id.0 as usize]) => Ok(()),
            State::View => Err(
                "it is read before all parts of it are written, or after one was overwritten"
                    .into(),
            ),
        }
    }

    fn is_covered(&self, view: &Place) -> bool {
        let held = self.held.iter().map(|&part| &self.places[part]);
        let mut parts: Vec<(i64, i64)> = held
            .map(|part| view.channels_in(part))
            .filter(|(from, to)| from < to)
            .collect();
        parts.sort_unstable();
        let mut reached = 0;
        for (from, to) in parts {
            if from > reached {
                return false;
            }
            reached = reached.max(to);
        }
        reached == view.channels
    }
}
