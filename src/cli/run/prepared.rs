//! One pipeline of a run, checked, before it takes its pins and sinks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use atrous::config::{CompiledHeartbeat, CompiledRule, Flags, Settings, free_space, tiling};
use atrous::pipeline::Parts;
use atrous::postprocess::free_space::Plan;
use atrous::source::{self, FrameSource, SourceInfo, SourceUri};

use super::lines;
use super::models::{Model, Models};
use crate::cli::Global;
use crate::cli::apart::Claims;
use crate::cli::exit::Misused;
use crate::cli::figures::Figures;
use crate::cli::places::Places;

/// A pipeline that may start: its source and model are open, its lines are known.
pub struct Prepared {
    pub places: Places,
    pub info: SourceInfo,
    settings: Settings,
    rules: Vec<CompiledRule>,
    heartbeat: Option<CompiledHeartbeat>,
    source: Box<dyn FrameSource>,
    model: Model,
    free_space: Option<Plan>,
    tile: Option<(u32, u32)>,
}

impl Prepared {
    /// Opens source and model, and looks every name up.
    pub fn new(settings: Settings, models: &mut Models, global: &Global) -> Result<Self> {
        let places = Places::new(&settings, global)?;
        let mut source = SourceUri::parse(&settings.source.value)?;
        if let SourceUri::Camera(request) = &mut source {
            settings.camera.value.complete(request);
        }
        let source = if settings.tile.value.is_on() {
            source::open_for_tiles(source)?
        } else {
            source::open_parsed(source)?
        };
        let info = source.info();
        let model = models.open(&settings)?;
        places.check_classes(&model.classes)?;
        let (rules, heartbeat) = lines::compile(&settings, &model.classes)?;
        let tile = tiling::compile(&settings.tile, model.segmenter.shape())?;
        if model.crf.is_some() && tile.is_some() {
            let text =
                "--crf looks at a picture as a whole, and tiles cut it; leave one of them out";
            return Err(Misused(text.to_owned()).into());
        }
        if tile.is_some_and(|overlap| overlap != (0, 0))
            && model.segmenter.scored_classes().is_none()
        {
            log::warn!(
                "model '{}' gives labels and no scores: tiles are not blended, each pixel has \
                 the label of the tile whose centre is nearest",
                settings.model.value
            );
        }
        let plan = settings.free_space.value.as_ref();
        let free_space = free_space::compile(plan, &model.classes, &rules)?;
        log::info!("source: {}", info.description);
        log::info!("engine: {}", model.segmenter.describe());
        Ok(Self {
            places,
            info,
            settings,
            rules,
            heartbeat,
            source,
            model,
            free_space,
            tile,
        })
    }

    /// What it wants for itself.
    pub fn claims(&self) -> Claims {
        Claims::new(&self.settings, &self.rules, self.heartbeat.as_ref())
    }

    /// What tells how it goes.
    pub fn figures(&self, global: &Global) -> Figures {
        let limit = self.settings.frames.value;
        let drawn = self.places.figures.clone();
        Figures::new(global.chatty(), global.json, drawn, &self.info, limit)
            .named(self.settings.name.as_deref())
    }

    /// Takes the pins and opens the sinks. `hangup` asks for its rules anew.
    pub fn open(
        self,
        flags: Flags,
        hangup: Arc<AtomicBool>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Parts> {
        let dry_run = self.settings.dry_run_gpio.value;
        let pins = lines::open_pins(&self.rules, dry_run)?;
        let heartbeat = lines::open_heartbeat(self.heartbeat, dry_run)?;
        let sinks = self.places.open()?;
        let Model {
            segmenter,
            crf,
            classes,
            fit,
            turns,
        } = self.model;
        let settings = self.settings;
        Ok(Parts {
            fit,
            rules: self.rules,
            pins,
            sinks,
            frames: settings.frames.value,
            min_area: settings.min_area.value,
            vote: settings.vote.value,
            tile: self.tile,
            free_space: self.free_space,
            crf,
            heartbeat,
            watchdog: Duration::from_millis(settings.watchdog_ms.value),
            name: settings.name.clone(),
            turns,
            reload: Some(lines::reload(
                hangup,
                stop,
                flags,
                settings,
                classes.clone(),
            )),
            ..Parts::new(self.source, segmenter, classes)
        })
    }
}
