//! Where results go: files, the terminal, a display, JSON lines, or nowhere.

use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::classes::Classes;
use crate::frame::{MAX_SIDE, Stamp, size_is_allowed};
use crate::mask::Mask;
use crate::postprocess::free_space::FreeSpace;
use crate::trigger::RunState;

mod class_names;
pub mod coco;
#[cfg(target_os = "linux")]
pub mod display;
mod effect;
mod fault;
pub mod files;
pub mod json;
pub mod measure;
pub mod null;
mod options;
mod proportions;
mod rate;
mod record;
mod score;
mod select;
mod selection;
pub mod terminal;
mod visual;

pub use class_names::ClassNames;
pub use effect::Effect;
pub use options::SinkOptions;
pub use score::{Score, score};
pub use select::{check, check_classes, open, record};
pub use visual::{UnknownVisual, Visual};

/// Durations of the steps of one result.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stages {
    /// Colour conversion and resize.
    pub preprocess: Duration,
    /// The model.
    pub inference: Duration,
    /// Mask back to source geometry, coverage, rules.
    pub postprocess: Duration,
}

/// Frames counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames that the source delivered.
    pub frames_in: u64,
    /// Frames that became results.
    pub inferred: u64,
    /// Frames replaced by a newer one before inference took them.
    pub superseded: u64,
    /// Frames that the driver lost (gaps in its sequence).
    pub driver_lost: u64,
    /// Frames that could not be decoded.
    pub bad: u64,
    /// Results that no sink saw, because a sink was too slow.
    pub undelivered: u64,
    /// Times that no frame came for as long as the source may take.
    pub stalls: u64,
    /// Times that a camera's stream was stopped and started because it failed.
    pub restarts: u64,
    /// Times that a camera which went away was opened again and gave a frame.
    pub reopens: u64,
}

impl Counters {
    /// Faults that the source or its frames have shown: each makes a run degraded for
    /// a while.
    pub fn faults(&self) -> u64 {
        self.bad + self.stalls + self.restarts + self.reopens
    }
}

/// What a rule says after a frame.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RuleState {
    /// The rule's name.
    pub name: String,
    /// Area fraction of the rule's classes in its region, or the danger of its measure,
    /// 0..=1; NaN where it is unknown.
    pub fraction: f32,
    /// Whether the rule is on.
    pub active: bool,
}

/// One frame's result, in the geometry of the source.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Result count, from 0.
    pub index: u64,
    /// The source's sequence number.
    pub sequence: u64,
    /// The picture's name, where the source has one.
    pub name: Option<String>,
    /// Width of picture and mask in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The picture: `height * width * 3` bytes, red first; empty where no sink
    /// [wants](Sink::wants_picture) it.
    pub rgb: Vec<u8>,
    /// The class of every pixel.
    pub mask: Mask,
    /// The truth, where the source knows it.
    pub truth: Option<Mask>,
    /// Share of each class in the whole picture, 0..=1, in label order.
    pub coverage: Vec<f32>,
    /// The rules' states.
    pub rules: Vec<RuleState>,
    /// The free ground, where it is measured.
    pub free_space: Option<FreeSpace>,
    /// Which of the run's sets of rules these are, from 0: it grows when rules are
    /// reloaded.
    pub rule_set: u64,
    /// What the run can be relied on for after this result.
    pub state: RunState,
    /// When the picture was taken, on [`crate::clock::now`]'s clock; where masks vote,
    /// that of the median one ([`crate::postprocess::vote`]), as old as the mask's
    /// evidence.
    pub captured: Duration,
    /// What `captured` was read from.
    pub stamp: Stamp,
    /// When the result was ready, on the same clock.
    pub finished: Duration,
    /// Step durations.
    pub stages: Stages,
    /// Counts so far.
    pub counters: Counters,
}

impl Outcome {
    /// Whether the buffers have the sizes that width and height say, so that a
    /// sink that wants the picture may index them.
    ///
    /// # Errors
    /// [`SinkError::Write`] naming the result and the buffer at fault.
    pub fn check(&self) -> Result<(), SinkError> {
        self.check_masks()?;
        let (width, height) = (self.width, self.height);
        let bytes = width as usize * height as usize * 3;
        if self.rgb.len() != bytes {
            return Err(self.fault(format!(
                "the picture has {} bytes where {width}x{height} pixels take {bytes}",
                self.rgb.len(),
            )));
        }
        Ok(())
    }

    /// As [`check`](Self::check), for a sink that does not look at the picture.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_masks(&self) -> Result<(), SinkError> {
        let (width, height) = (self.width, self.height);
        if !size_is_allowed(width, height) {
            return Err(self.fault(format!(
                "no picture has {width}x{height} pixels; sides are 1 to {MAX_SIDE}"
            )));
        }
        let pixels = width as usize * height as usize;
        let masks = [("mask", Some(&self.mask)), ("truth", self.truth.as_ref())];
        for (what, mask) in masks.into_iter().filter_map(|(n, m)| Some((n, m?))) {
            if (mask.width, mask.height) != (width, height) || mask.labels.len() != pixels {
                return Err(self.fault(format!(
                    "the {what} is {}x{} with {} labels beside a picture of {width}x{height}",
                    mask.width,
                    mask.height,
                    mask.labels.len()
                )));
            }
        }
        Ok(())
    }

    fn fault(&self, reason: String) -> SinkError {
        SinkError::Write {
            what: format!("result {}", self.index),
            reason,
        }
    }

    /// From taking the picture to its result; zero where the stamps are swapped.
    pub fn age(&self) -> Duration {
        self.finished.saturating_sub(self.captured)
    }
}

/// A consumer of results.
pub trait Sink: Send {
    /// Takes one result.
    ///
    /// # Errors
    /// Ends the run: the sink says what it could not write and what to do.
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError>;

    /// Whether every result must reach it (files), or only the newest (a display).
    fn wants_every_result(&self) -> bool;

    /// Whether it looks at [`Outcome::rgb`]. Where no sink does, frames are not converted
    /// whole, which saves a good part of the time around the model.
    fn wants_picture(&self) -> bool {
        true
    }

    /// Writes out what is pending. Called once, after the last result.
    ///
    /// # Errors
    /// As [`consume`](Self::consume).
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why a result could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The name means no sink.
    #[error("sink '{uri}': {reason}")]
    BadUri {
        /// As given by the user.
        uri: String,
        /// What would be right.
        reason: String,
    },
    /// A device is absent, in use, or may not be used.
    #[error("sink '{uri}': {reason}")]
    Open {
        /// As given by the user.
        uri: String,
        /// The cause, and what to do.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write {what}: {reason}")]
    Write {
        /// The file or stream.
        what: String,
        /// The cause.
        reason: String,
    },
    /// The reader at the other end went away (`| head`): the run ends quietly.
    #[error("{what}: the reader has gone")]
    Closed {
        /// The stream.
        what: String,
    },
}
