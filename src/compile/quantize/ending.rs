//! How a network ends: scores, probabilities or a mask.

use super::super::net::{Kind, Size};
use super::super::transpose::Axis;
use super::super::{Fault, Refusal};
use super::{COPY, Codes, Rejected, State, Walk, refused};
use crate::model::manifest::OutputKind;
use crate::program::Resample;

impl Walk<'_> {
    /// Softmax keeps the order of a pixel's channels, so the class is known without
    /// it. Where its quantized results are equal and the scores are not, the scores
    /// decide.
    pub(super) fn softmax(&mut self, state: &State, axis: usize) -> Result<State, Rejected> {
        let codes = self.scores(state)?;
        if codes.axes.meaning(axis) != Some(Axis::Channel) {
            return refused("it is not over the channels");
        }
        Ok(State::Probabilities(codes))
    }

    /// Codes whose largest channel is the class.
    fn scores(&mut self, state: &State) -> Result<Codes, Rejected> {
        match state {
            State::Codes(codes) | State::Probabilities(codes) => Ok(*codes),
            other => self.settled(other),
        }
    }

    pub(super) fn arg_max(&mut self, state: &State, axis: usize) -> Result<State, Rejected> {
        let codes = self.scores(state)?;
        let axes = codes.axes;
        if axes.meaning(axis) != Some(Axis::Channel)
            || axes.position(Axis::Row) > axes.position(Axis::Column)
        {
            return refused("it does not choose among the channels");
        }
        Ok(State::Labels(codes.value))
    }

    /// Adds the choice of the class, which every program ends in.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let output = self.source.output;
        let name = self.source.value(output).name.clone();
        let wrong = |reason: String| {
            Err(Fault::Shape {
                node: name.clone(),
                reason,
            })
        };
        let state = self.state(output);
        let is_mask = matches!(state, Some(State::Labels(_)));
        let scores = match &state {
            Some(State::Labels(scores)) => Ok(*scores),
            Some(state) => self.scores(state).map(|codes| codes.value),
            None => refused("it does not depend on the picture"),
        };
        let scores = match scores {
            Ok(scores) => scores,
            Err(Rejected::Failed(fault)) => return Err(fault),
            Err(Rejected::Refused(reason)) => {
                self.refusals.push(Refusal {
                    node: name,
                    op: "output".into(),
                    reason,
                });
                return Ok(());
            }
        };
        if is_mask != (self.manifest.output.kind == OutputKind::Labels) {
            let kind = if is_mask { "labels" } else { "logits" };
            return wrong(format!(
                "the graph ends in {kind}; set output.kind in the manifest to \"{kind}\""
            ));
        }
        let Size {
            height,
            width,
            channels,
        } = self.net.value(scores).size;
        let classes = self.manifest.classes.len();
        if channels as usize > classes {
            return wrong(format!(
                "it has {channels} classes, but the manifest has {classes}"
            ));
        }
        let resample = if (width, height) == self.net.mask {
            COPY
        } else if is_mask {
            return wrong(format!(
                "the mask is {width}x{height}, not of the input's size"
            ));
        } else if matches!(state, Some(State::Probabilities(_))) {
            self.refusals.push(Refusal {
                node: name,
                op: "output".into(),
                reason: format!(
                    "Softmax gives probabilities of {width}x{height}, which are not resampled as \
                     scores are; leave it out of the graph"
                ),
            });
            return Ok(());
        } else {
            Resample::Unrounded(self.manifest.output.upsample.into())
        };
        let kind = Kind::Argmax {
            input: scores,
            resample,
        };
        self.net.add_step(&name, kind, None)
    }
}
