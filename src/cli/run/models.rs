//! The models of a run: one that several pipelines share is opened once.

use std::sync::Arc;

use anyhow::{Result, bail};

use atrous::classes::Classes;
use atrous::config::{ConfigError, EngineUse, Origin, Settings};
use atrous::engine::fake::{FakeSegmenter, Faults};
use atrous::engine::refine::Refiner;
use atrous::engine::shared::SharedSegmenter;
use atrous::engine::{Segmenter, Shape};
use atrous::pipeline::turns::Turns;
use atrous::postprocess::crf::CrfParams;
use atrous::postprocess::upsample::Upsample;
use atrous::preprocess::Fit;
use atrous::source::uri::SceneRequest;
use atrous::source::{SourceUri, scene};

use crate::cli::crf::CrfArgs;
use crate::cli::import::Importer;
use crate::cli::model::{self, CpuArgs};
use crate::cli::runtime::Wanted;

/// A model name that stands for the scene's own truth.
const TRUTH: &str = "truth";

/// What the command line asks of every model.
#[derive(Clone, Copy)]
pub struct Asked {
    pub wanted: Wanted,
    pub cpu: CpuArgs,
    pub crf: CrfArgs,
}

/// A model, ready for one pipeline.
pub struct Model {
    pub segmenter: Box<dyn Segmenter>,
    /// What refines its masks.
    pub crf: Option<Refiner>,
    pub classes: Classes,
    pub fit: Fit,
    /// The turns at it, where it is shared.
    pub turns: Option<Arc<Turns>>,
}

/// Opens the models of a run.
pub struct Models {
    asked: Asked,
    importer: Importer,
    /// Threads for each engine.
    threads: usize,
    /// How many pipelines share the model of this key.
    users: Vec<(Key, usize)>,
    shared: Vec<(Key, Shared)>,
}

/// What makes two pipelines' models the same: the name, and the scene's size where the
/// scene is the model.
type Key = (String, Option<(u32, u32)>);

struct Shared {
    handle: SharedSegmenter,
    of: Facts,
    turns: Arc<Turns>,
}

/// What its manifest says of a model.
#[derive(Clone)]
struct Facts {
    classes: Classes,
    fit: Fit,
    upsample: Upsample,
    crf: Option<CrfParams>,
}

impl Models {
    /// Counts who shares what. Several engines share the processors that nobody has
    /// chosen a number of threads for.
    pub fn new(pipelines: &[Settings], asked: Asked, importer: Importer) -> Result<Self> {
        let (mut users, mut engines): (Vec<(Key, usize)>, _) = (Vec::new(), 0);
        for settings in pipelines {
            let key = key(settings)?;
            let known = users.iter_mut().find(|(other, _)| *other == key);
            match (settings.engine_use, known) {
                (EngineUse::Own, _) => engines += 1,
                (EngineUse::Shared, Some((_, users))) => *users += 1,
                (EngineUse::Shared, None) => {
                    users.push((key, 1));
                    engines += 1;
                }
            }
        }
        let threads = &pipelines[0].threads;
        let threads = match threads.origin {
            Origin::Board(_) => (threads.value / engines).max(1),
            _ => threads.value,
        };
        Ok(Self {
            asked,
            importer,
            threads,
            users,
            shared: Vec::new(),
        })
    }

    /// The model of a pipeline.
    pub fn open(&mut self, settings: &Settings) -> Result<Model> {
        let key = key(settings)?;
        let users = self.users.iter().find(|(other, _)| *other == key);
        let users = users.map_or(1, |(_, users)| *users);
        if settings.engine_use == EngineUse::Own || users == 1 {
            let (segmenter, facts) = self.open_alone(settings)?;
            return self.model(segmenter, facts, None);
        }
        let at = match self.shared.iter().position(|(other, _)| *other == key) {
            Some(at) => at,
            None => {
                let (segmenter, of) = self.open_alone(settings)?;
                let shared = Shared {
                    handle: SharedSegmenter::new(segmenter),
                    of,
                    turns: Arc::new(Turns::new(users)),
                };
                self.shared.push((key, shared));
                self.shared.len() - 1
            }
        };
        let shared = &self.shared[at].1;
        let handle = Box::new(shared.handle.another());
        self.model(handle, shared.of.clone(), Some(Arc::clone(&shared.turns)))
    }

    fn model(
        &self,
        segmenter: Box<dyn Segmenter>,
        facts: Facts,
        turns: Option<Arc<Turns>>,
    ) -> Result<Model> {
        let options = self.asked.cpu.options(self.threads)?;
        let classes = facts.classes.len();
        Ok(Model {
            segmenter,
            crf: (self.asked.crf).refiner(facts.crf, facts.upsample, classes, options)?,
            classes: facts.classes,
            fit: facts.fit,
            turns,
        })
    }

    fn open_alone(&self, settings: &Settings) -> Result<(Box<dyn Segmenter>, Facts)> {
        if let Some((SceneRequest { width, height, .. }, faults)) = truth_of(settings)? {
            let classes = scene::classes();
            let shape = Shape {
                width,
                height,
                classes: classes.len(),
            };
            let facts = Facts {
                classes,
                fit: Fit::Stretch,
                upsample: Upsample::AlignCorners,
                crf: None,
            };
            let fake = FakeSegmenter::new(shape).with_faults(faults);
            return Ok((Box::new(fake), facts));
        }
        let opened = model::open(
            &settings.model.value,
            self.asked.wanted,
            &self.importer,
            self.asked.cpu.options(self.threads)?,
        )?;
        let manifest = opened.manifest;
        let facts = Facts {
            fit: manifest.input.fit,
            upsample: manifest.output.upsample,
            crf: manifest.crf,
            classes: manifest.classes,
        };
        Ok((opened.segmenter, facts))
    }
}

fn key(settings: &Settings) -> Result<Key> {
    let scene = truth_of(settings)?.map(|(scene, _)| (scene.width, scene.height));
    Ok((settings.model.value.clone(), scene))
}

/// The scene whose own truth is taken for a model, where the settings say so, and what
/// is to go wrong with it.
pub fn truth_of(settings: &Settings) -> Result<Option<(SceneRequest, Faults)>> {
    let model = settings.model.value.as_str();
    let (name, faults) = model.split_once('?').unwrap_or((model, ""));
    if name != TRUTH {
        return Ok(None);
    }
    let wrong = |reason: String| ConfigError::Value {
        key: "model".into(),
        origin: settings.model.origin.to_string(),
        reason,
    };
    let faults = Faults::parse(faults).map_err(|reason| wrong(format!("'{model}': {reason}")))?;
    let source = settings.source.value.as_str();
    match SourceUri::parse(source)? {
        SourceUri::Scene(request) => Ok(Some((request, faults))),
        _ => bail!(wrong(format!(
            "'{TRUTH}' needs a synthetic:// source, not '{source}'"
        ))),
    }
}
