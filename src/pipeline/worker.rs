//! The inference thread: a frame in, an outcome out.

use std::time::Instant;

use super::capture::log_bad;
use super::mailbox::{CloseOnDrop, Put};
use super::stats::Stats;
use super::{Links, PipelineError};
use crate::classes::Classes;
use crate::clock;
use crate::config::CompiledRule;
use crate::engine::Segmenter;
use crate::frame::Frame;
use crate::kernels::cpu::Cpu;
use crate::mask::Mask;
use crate::postprocess::components::{Connectivity, Fill, Labeller};
use crate::postprocess::coverage;
use crate::postprocess::region::RegionSpans;
use crate::preprocess::{Fit, PAD, Preprocessor, WayBack};
use crate::sink::{Outcome, RuleState, Stages};

/// The steps from a frame to an outcome, with their buffers.
pub struct Worker {
    segmenter: Box<dyn Segmenter>,
    preprocessor: Preprocessor,
    wants_picture: bool,
    way_back: WayBack,
    classes: usize,
    min_area: u32,
    rules: Vec<CompiledRule>,
    /// The rules' regions for frames of this size.
    spans: Vec<RegionSpans>,
    spans_size: (u32, u32),
    model_mask: Mask,
    labeller: Labeller,
    index: u64,
}

impl Worker {
    /// A worker around a segmenter. Regions of fewer than `min_area` source
    /// pixels are merged into their surroundings; 0 keeps all.
    pub fn new(
        segmenter: Box<dyn Segmenter>,
        fit: Fit,
        classes: &Classes,
        min_area: u32,
        rules: Vec<CompiledRule>,
    ) -> Self {
        let shape = segmenter.shape();
        Self {
            segmenter,
            preprocessor: Preprocessor::new((shape.width, shape.height), fit, PAD),
            wants_picture: false,
            way_back: WayBack::new(Cpu::detect()),
            classes: classes.len(),
            min_area,
            rules,
            spans: Vec::new(),
            spans_size: (0, 0),
            model_mask: Mask::default(),
            labeller: Labeller::default(),
            index: 0,
        }
    }

    /// The same with the kernels that `cpu` allows. Results do not depend on it.
    pub fn with_cpu(mut self, cpu: Cpu) -> Self {
        self.preprocessor = self.preprocessor.with_cpu(cpu);
        self.way_back = WayBack::new(cpu);
        self
    }

    /// Whether outcomes hold the picture; without it a frame is not converted whole.
    pub fn with_picture(mut self, wanted: bool) -> Self {
        self.preprocessor.keep_picture(wanted);
        self.wants_picture = wanted;
        self
    }

    /// Takes frames until there are none or `limit` became outcomes.
    ///
    /// # Errors
    /// [`PipelineError::Engine`] where the model fails. A frame that cannot be
    /// decoded is counted and skipped.
    pub fn work(
        &mut self,
        links: &Links,
        stats: &Stats,
        limit: Option<u64>,
    ) -> Result<(), PipelineError> {
        let Links {
            frames,
            spare_frames,
            outcomes,
            spare_outcomes,
            ..
        } = links;
        let _close = CloseOnDrop(outcomes);
        let _stop_capture = CloseOnDrop(frames);
        while limit.is_none_or(|limit| self.index < limit) {
            let Some(mut frame) = frames.take() else {
                break;
            };
            let Some(mut outcome) = spare_outcomes.take() else {
                break;
            };
            if self.process(&mut frame, &mut outcome, stats)? {
                match outcomes.put(outcome) {
                    Put::Stored => {}
                    Put::Displaced(old) => {
                        spare_outcomes.put(old);
                    }
                    Put::Closed(_) => break,
                }
            } else {
                spare_outcomes.put(outcome);
            }
            spare_frames.put(frame);
        }
        Ok(())
    }

    /// Makes an outcome of a frame; `false` where the frame is unusable, which is
    /// counted.
    ///
    /// # Errors
    /// As [`work`](Self::work).
    pub fn process(
        &mut self,
        frame: &mut Frame,
        outcome: &mut Outcome,
        stats: &Stats,
    ) -> Result<bool, PipelineError> {
        let start = Instant::now();
        let prepared = match self.preprocessor.run(frame) {
            Ok(prepared) => prepared,
            Err(error) => {
                let mut bad = 0;
                stats.count(|c| {
                    c.bad += 1;
                    bad = c.bad;
                });
                log_bad(&error, bad);
                return Ok(false);
            }
        };
        let (width, height, placement) = (prepared.width, prepared.height, prepared.placement);
        outcome.rgb.clear();
        if self.wants_picture {
            outcome
                .rgb
                .extend_from_slice(prepared.source_rgb.unwrap_or_default());
        }
        let preprocessed = Instant::now();

        if let Some(truth) = &frame.truth {
            self.segmenter.hint(truth);
        }
        self.segmenter
            .segment(prepared.model_rgb, &mut self.model_mask)?;
        let inferred = Instant::now();

        self.way_back
            .run(&placement, &self.model_mask, &mut outcome.mask);
        if self.min_area > 0 {
            self.labeller.remove_small(
                &mut outcome.mask,
                Connectivity::Eight,
                self.min_area.into(),
                Fill::Neighbours,
            );
        }
        coverage::shares(&outcome.mask, self.classes, &mut outcome.coverage);
        self.fit_regions(width, height);
        outcome.rules.clear();
        for (rule, spans) in self.rules.iter().zip(&self.spans) {
            outcome.rules.push(RuleState {
                name: rule.name.clone(),
                // Nothing is known of a region without a pixel: no number, so that
                // the line is safe.
                fraction: if spans.is_empty() {
                    f32::NAN
                } else {
                    spans.fraction(&outcome.mask, &rule.classes)
                },
                active: false,
            });
        }
        let done = Instant::now();

        outcome.index = self.index;
        outcome.sequence = frame.sequence;
        outcome.name.clone_from(&frame.name);
        (outcome.width, outcome.height) = (width, height);
        std::mem::swap(&mut outcome.truth, &mut frame.truth);
        outcome.captured = frame.captured;
        outcome.finished = clock::now();
        outcome.stages = Stages {
            preprocess: preprocessed - start,
            inference: inferred - preprocessed,
            postprocess: done - inferred,
        };
        let age = outcome.finished.saturating_sub(outcome.captured);
        outcome.counters = stats.result(age, &outcome.stages);
        self.index += 1;
        Ok(true)
    }

    fn fit_regions(&mut self, width: u32, height: u32) {
        if self.spans_size != (width, height) || self.spans.len() != self.rules.len() {
            self.spans = self
                .rules
                .iter()
                .map(|r| r.region.rasterize(width, height))
                .collect();
            self.spans_size = (width, height);
            for (rule, spans) in self.rules.iter().zip(&self.spans) {
                if spans.is_empty() {
                    log::warn!(
                        "rule '{}': its region holds no pixel of a {width}x{height} picture, \
                         so its line stays safe",
                        rule.name
                    );
                }
            }
        }
    }
}
