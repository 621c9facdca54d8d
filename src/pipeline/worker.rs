//! The inference thread: a frame in, an outcome out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::log_bad;
use super::control::Control;
use super::mailbox::{CloseOnDrop, Put, Taken};
use super::rule_set::RuleSet;
use super::stats::Stats;
use super::tiler::{Fault, Tiler};
use super::turns::{Turn, Turns};
use super::{Links, PipelineError};
use crate::classes::Classes;
use crate::clock;
use crate::config::CompiledRule;
use crate::engine::Segmenter;
use crate::engine::refine::Refiner;
use crate::frame::Frame;
use crate::kernels::cpu::Cpu;
use crate::mask::Mask;
use crate::postprocess::components::{Connectivity, Fill, Labeller};
use crate::postprocess::coverage;
use crate::postprocess::free_space::{FreeSpace, Meter, Plan};
use crate::postprocess::region::RegionSpans;
use crate::postprocess::vote::Vote;
use crate::preprocess::{Fit, PAD, Preprocessor, WayBack};
use crate::sink::{Outcome, RuleState, Stages};

/// The steps from a frame to an outcome, with their buffers.
pub struct Worker {
    segmenter: Box<dyn Segmenter>,
    preprocessor: Preprocessor,
    wants_picture: bool,
    way_back: WayBack,
    crf: Option<Refiner>,
    classes: usize,
    min_area: u32,
    rules: Arc<RuleSet>,
    /// The regions of these rules for frames of this size.
    spans: Vec<RegionSpans>,
    spans_of: Option<(u64, (u32, u32))>,
    model_mask: Mask,
    vote: Option<Vote>,
    tiler: Option<Tiler>,
    meter: Option<Meter>,
    labeller: Labeller,
    turns: Option<Arc<Turns>>,
    /// Held from taking a frame until the model has seen it.
    turn: Option<Turn>,
    index: u64,
}

impl Worker {
    /// A worker around a segmenter. Regions of fewer than `min_area` source
    /// pixels are merged into their surroundings; 0 keeps all.
    pub fn new(segmenter: Box<dyn Segmenter>, fit: Fit, classes: &Classes, min_area: u32) -> Self {
        let shape = segmenter.shape();
        Self {
            segmenter,
            preprocessor: Preprocessor::new((shape.width, shape.height), fit, PAD),
            wants_picture: false,
            way_back: WayBack::new(Cpu::detect()),
            crf: None,
            classes: classes.len(),
            min_area,
            rules: Arc::default(),
            spans: Vec::new(),
            spans_of: None,
            model_mask: Mask::default(),
            vote: None,
            tiler: None,
            meter: None,
            labeller: Labeller::default(),
            turns: None,
            turn: None,
            index: 0,
        }
    }

    /// The same with the kernels that `cpu` allows. Results do not depend on it.
    pub fn with_cpu(mut self, cpu: Cpu) -> Self {
        self.preprocessor = self.preprocessor.with_cpu(cpu);
        self.way_back = WayBack::new(cpu);
        self
    }

    /// With masks that are refined; a frame is then always converted whole.
    pub fn with_crf(mut self, crf: Option<Refiner>) -> Self {
        self.crf = crf;
        self.preprocessor
            .keep_picture(self.wants_picture || self.crf.is_some());
        self
    }

    /// Whether outcomes hold the picture; without it, and without the CRF, a frame is
    /// not converted whole.
    pub fn with_picture(mut self, wanted: bool) -> Self {
        self.preprocessor.keep_picture(wanted || self.crf.is_some());
        self.wants_picture = wanted;
        self
    }

    /// So many masks vote over each pixel, see [`Vote::new`]; 1 for no vote.
    pub fn with_vote(mut self, masks: u32) -> Self {
        self.vote = (masks > 1).then(|| Vote::new(masks));
        self
    }

    /// Cuts pictures that are larger than the model's input into tiles, which overlap by
    /// so many pixels (horizontally, vertically); none for the whole picture at once.
    pub fn with_tiles(mut self, overlap: Option<(u32, u32)>) -> Self {
        self.tiler = overlap.map(Tiler::new);
        self
    }

    /// Measures the free ground.
    pub fn with_free_space(mut self, plan: Option<Plan>) -> Self {
        self.meter = plan.map(Meter::new);
        self
    }

    /// Shares the model with others, one picture at a time.
    pub fn with_turns(mut self, turns: Option<Arc<Turns>>) -> Self {
        self.turns = turns;
        self
    }

    /// Takes frames until there are none or `limit` became outcomes.
    ///
    /// # Errors
    /// [`PipelineError::Engine`] where the model fails. A frame that cannot be
    /// decoded is counted and skipped.
    pub fn work(
        &mut self,
        control: &Control,
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
                // The run ends: it came too late to matter.
                stats.count(|c| c.superseded += 1);
                break;
            };
            if !self.take_turn(&mut frame, links, stats) {
                stats.count(|c| c.superseded += 1);
                break;
            }
            control.inference.work();
            self.rules = control.rules();
            // A picture of many tiles gets on with each.
            let keep_on = || {
                control.inference.work();
                !outcomes.is_closed()
            };
            let usable = self.process_while(&mut frame, &mut outcome, stats, &keep_on);
            self.turn = None;
            control.inference.wait(None);
            if usable? {
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

    /// Waits for the model where it is shared, and then looks for a newer frame. `false`
    /// where the run ends before.
    fn take_turn(&mut self, frame: &mut Frame, links: &Links, stats: &Stats) -> bool {
        let Some(turns) = &self.turns else {
            return true;
        };
        self.turn = turns.take(|| links.outcomes.is_closed());
        if self.turn.is_none() {
            return false;
        }
        let at_once = Some(Duration::ZERO);
        if links.live
            && let Taken::Value(newer) = links.frames.take_until(at_once)
        {
            let old = std::mem::replace(frame, newer);
            links.spare_frames.put(old);
            stats.count(|c| c.superseded += 1);
        }
        true
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
        self.process_while(frame, outcome, stats, &|| true)
    }

    /// As [`process`](Self::process); `keep_on` is asked before each tile, where a picture
    /// has several, and a frame that was given up is counted as superseded.
    fn process_while(
        &mut self,
        frame: &mut Frame,
        outcome: &mut Outcome,
        stats: &Stats,
        keep_on: &dyn Fn() -> bool,
    ) -> Result<bool, PipelineError> {
        let Segmented {
            width,
            height,
            preprocess,
            inference,
            end: inferred,
        } = match self.segment(frame, outcome, keep_on) {
            Ok(segmented) => segmented,
            Err(Fault::Engine(error)) => return Err(error.into()),
            Err(Fault::Refine(error)) => return Err(error.into()),
            Err(Fault::Stopped) => {
                stats.count(|c| c.superseded += 1);
                return Ok(false);
            }
            Err(Fault::Picture(error)) => {
                let mut bad = 0;
                stats.count(|c| {
                    c.bad += 1;
                    bad = c.bad;
                });
                log_bad(&error, bad);
                return Ok(false);
            }
        };
        if self.min_area > 0 {
            self.labeller.remove_small(
                &mut outcome.mask,
                Connectivity::Eight,
                self.min_area.into(),
                Fill::Neighbours,
            );
        }
        coverage::shares(&outcome.mask, self.classes, &mut outcome.coverage);
        match &mut self.meter {
            Some(meter) => {
                let space = outcome.free_space.get_or_insert_default();
                meter.run(&outcome.mask, space);
            }
            None => outcome.free_space = None,
        }
        self.fit_regions(width, height);
        outcome.rule_set = self.rules.generation;
        // Not cleared: the names' memory is used again.
        outcome
            .rules
            .resize_with(self.rules.rules.len(), RuleState::default);
        let rules = self.rules.rules.iter().zip(&self.spans);
        for (state, (rule, spans)) in outcome.rules.iter_mut().zip(rules) {
            state.name.clone_from(&rule.name);
            state.fraction = measure(rule, spans, &outcome.mask, outcome.free_space.as_ref());
            state.active = false;
        }
        let done = Instant::now();

        outcome.index = self.index;
        outcome.sequence = frame.sequence;
        outcome.name.clone_from(&frame.name);
        (outcome.width, outcome.height) = (width, height);
        std::mem::swap(&mut outcome.truth, &mut frame.truth);
        outcome.stamp = frame.stamp;
        outcome.finished = clock::now();
        outcome.stages = Stages {
            preprocess,
            inference,
            postprocess: done - inferred,
        };
        let age = outcome.finished.saturating_sub(outcome.captured);
        outcome.counters = stats.result(age, frame.stamp, &outcome.stages);
        self.index += 1;
        Ok(true)
    }

    /// Fits the whole picture into the model's input, and its mask back.
    fn segment_whole(
        &mut self,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) -> Result<Segmented, Fault> {
        let start = Instant::now();
        let prepared = self.preprocessor.run(frame)?;
        let (width, height, placement) = (prepared.width, prepared.height, prepared.placement);
        let preprocessed = Instant::now();

        if let Some(truth) = &frame.truth {
            self.segmenter.hint(truth);
        }
        match &mut self.crf {
            None => self
                .segmenter
                .segment(prepared.model_rgb, &mut self.model_mask),
            Some(crf) => crf.infer(&mut *self.segmenter, prepared.model_rgb),
        }
        .map_err(Fault::Engine)?;
        self.turn = None;
        let inferred = Instant::now();
        let mut voted = |mask: &mut Mask| match &mut self.vote {
            Some(vote) => vote.run(mask, (width, height), frame.captured),
            None => frame.captured,
        };
        match (&mut self.crf, prepared.source_rgb) {
            (Some(crf), Some(rgb)) => {
                crf.refine(rgb, &placement, &mut self.way_back, &mut outcome.mask)
                    .map_err(Fault::Refine)?;
                outcome.captured = voted(&mut outcome.mask);
            }
            _ => {
                outcome.captured = voted(&mut self.model_mask);
                self.way_back
                    .run(&placement, &self.model_mask, &mut outcome.mask);
            }
        }
        self.take_picture(frame, outcome);
        Ok(Segmented {
            width,
            height,
            preprocess: preprocessed - start,
            inference: inferred - preprocessed,
            end: inferred,
        })
    }

    /// Runs the model on each tile of a picture that is to be cut and larger than the
    /// model's input, and on any other as a whole.
    fn segment(
        &mut self,
        frame: &mut Frame,
        outcome: &mut Outcome,
        keep_on: &dyn Fn() -> bool,
    ) -> Result<Segmented, Fault> {
        let shape = self.segmenter.shape();
        let is_larger = Tiler::takes(frame.width, frame.height, shape);
        let Some(tiler) = self.tiler.as_mut().filter(|_| is_larger) else {
            return self.segment_whole(frame, outcome);
        };
        let start = Instant::now();
        let mut rows = self.preprocessor.rows(frame)?;
        let (width, height) = (rows.width, rows.height);
        let segmenter = self.segmenter.as_mut();
        let inference = tiler.run(&mut rows, segmenter, keep_on, &mut outcome.mask)?;
        drop(rows);
        self.turn = None;
        self.take_picture(frame, outcome);
        outcome.captured = frame.captured;
        let end = Instant::now();
        Ok(Segmented {
            width,
            height,
            preprocess: (end - start).saturating_sub(inference),
            inference,
            end,
        })
    }

    fn take_picture(&mut self, frame: &mut Frame, outcome: &mut Outcome) {
        if self.wants_picture {
            self.preprocessor.take_source(frame, &mut outcome.rgb);
        } else {
            outcome.rgb.clear();
        }
    }

    fn fit_regions(&mut self, width: u32, height: u32) {
        let wanted = Some((self.rules.generation, (width, height)));
        if self.spans_of == wanted {
            return;
        }
        let rules = &self.rules.rules;
        let spans = rules.iter().map(|r| r.region.rasterize(width, height));
        self.spans = spans.collect();
        self.spans_of = wanted;
        for (rule, spans) in rules.iter().zip(&self.spans) {
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

/// What is known of a frame that has its mask.
struct Segmented {
    width: u32,
    height: u32,
    preprocess: Duration,
    inference: Duration,
    /// When the model was done with it, from where on its time counts as postprocessing.
    end: Instant,
}

/// What a rule's thresholds are compared with.
fn measure(
    rule: &CompiledRule,
    spans: &RegionSpans,
    mask: &Mask,
    free_space: Option<&FreeSpace>,
) -> f32 {
    // Nothing is known of a region without a pixel, nor of what is not measured: no
    // number, so that the line is safe.
    match (&rule.measure, free_space) {
        (Some(measure), Some(space)) => measure.danger(space),
        (Some(_), None) => f32::NAN,
        (None, _) if spans.is_empty() => f32::NAN,
        (None, _) => spans.fraction(mask, &rule.classes),
    }
}
