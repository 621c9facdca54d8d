//! Where a run's results go, and which files they must not replace.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use atrous::classes::Classes;
use atrous::config::{ConfigError, EffectConfig, EffectKind, Origin, Setting, Settings};
use atrous::frame::Frame;
use atrous::postprocess::effect::{Backdrop, Change};
use atrous::sink::terminal::{FiguresLine, stdout_is_live};
use atrous::sink::{self, ClassNames, Effect, Sink, SinkOptions};
use atrous::source::picture::PictureSource;
use atrous::source::{FrameSource, SourceUri};

use super::Global;

/// Said below or before the drawn street.
const DRAWN: &str =
    "This is a drawn street; yours: atrous run photo.jpg out/, or atrous run camera";

/// Said where no sink was named and there is no terminal to draw on.
const NOWHERE: &str = "stdout is no terminal and no sink was named, so results are only counted; \
     --json prints a line a result, a folder (out/) gets pictures";

/// The sinks of a run, not yet opened.
pub struct Places {
    names: Vec<String>,
    options: SinkOptions,
    /// What to tell on stderr before the run.
    pub hints: Vec<&'static str>,
    /// The line of figures below the drawing, where one is renewed in the terminal.
    pub figures: Option<FiguresLine>,
}

impl Places {
    /// Settles and checks the sinks; nothing is created.
    pub fn new(settings: &Settings, global: &Global) -> Result<Self> {
        let default = settings.sinks.origin == Origin::Default;
        let mut names = settings.sinks.value.clone();
        let mut hints = Vec::new();
        // One of several draws nothing unless asked to.
        let alone = settings.name.is_none();
        if global.json {
            if default {
                names.clear();
            }
            if !names.iter().any(|n| n.starts_with("json:")) {
                names.push("json:".into());
            }
        } else if default && !alone {
            names = vec!["null:".into()];
        } else if default && !std::io::stdout().is_terminal() {
            names = vec!["null:".into()];
            hints.push(NOWHERE);
        }
        let live = names.iter().any(|n| n.starts_with("term")) && stdout_is_live();
        let drawn = settings.source.origin == Origin::Default;
        let figures = (live && global.chatty()).then(FiguresLine::default);
        let mut options = sink_options(settings)?;
        options.colour = global.colour_stdout();
        options.figures = figures.clone();
        if drawn && live && global.chatty() {
            options.hint = Some(DRAWN.into());
        } else if drawn {
            hints.push(DRAWN);
        }
        sink::check(&names, &options)?;
        Ok(Self {
            names,
            options,
            hints,
            figures,
        })
    }

    /// Checks the sinks against the model's classes.
    pub fn check_classes(&self, classes: &Classes) -> Result<()> {
        Ok(sink::check_classes(&self.names, &self.options, classes)?)
    }

    /// Opens the sinks.
    pub fn open(&self) -> Result<Vec<Box<dyn Sink>>> {
        let open = |name: &String| Ok(sink::open(name, &self.options)?);
        self.names.iter().map(open).collect()
    }
}

/// What the settings say about pictures, and the source's own, which must stay.
pub fn sink_options(settings: &Settings) -> Result<SinkOptions> {
    Ok(SinkOptions {
        visualize: settings.visualize.value.clone(),
        alpha: settings.alpha.value,
        keep: source_files(&SourceUri::parse(&settings.source.value)?),
        effect: effect(&settings.effect)?,
        pipeline: settings.name.clone(),
        ..SinkOptions::default()
    })
}

/// The effect of the settings, with its picture.
fn effect(setting: &Setting<Option<EffectConfig>>) -> Result<Option<Effect>> {
    let Some(config) = &setting.value else {
        return Ok(None);
    };
    let wrong = |reason: String| ConfigError::Value {
        key: "effect".into(),
        origin: setting.origin.to_string(),
        reason,
    };
    let kept = ClassNames::parse(&config.classes).map_err(wrong)?;
    let change = match EffectKind::parse(&config.kind).map_err(wrong)? {
        EffectKind::Cutout => Change::Cutout,
        EffectKind::Blur => Change::Blur,
        EffectKind::Grayscale => Change::Grayscale,
        EffectKind::Replace(path) => {
            let mut frame = Frame::default();
            let read = PictureSource::open(&path).and_then(|mut s| s.next_frame(&mut frame));
            read.map_err(|error| wrong(error.to_string()))?;
            Change::Replace(Backdrop {
                width: frame.width,
                height: frame.height,
                rgb: Arc::new(frame.data),
            })
        }
    };
    Ok(Some(Effect { change, kept }))
}

/// The files that a source reads. What cannot be listed, the source itself will tell.
fn source_files(source: &SourceUri) -> HashSet<PathBuf> {
    let files: Vec<PathBuf> = match source {
        SourceUri::Path(path) => files_at(path),
        // A name that merely looks like a pattern.
        SourceUri::Pattern(name) if Path::new(name).exists() => files_at(Path::new(name)),
        SourceUri::Pattern(pattern) => glob::glob(pattern)
            .map(|paths| paths.flatten().collect())
            .unwrap_or_default(),
        SourceUri::Stdin(_) | SourceUri::Camera(_) | SourceUri::Scene(_) => Vec::new(),
    };
    let canonical = files.iter().filter_map(|path| path.canonicalize().ok());
    canonical.collect()
}

fn files_at(path: &Path) -> Vec<PathBuf> {
    match path.read_dir() {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_by_file_folder_and_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        for name in ["a.png", "b.png", "c.jpg"] {
            std::fs::write(at.join(name), "").unwrap();
        }
        let files = |uri: &str| source_files(&SourceUri::parse(uri).unwrap());
        let name = at.display().to_string();
        assert_eq!(files(&name).len(), 3);
        assert_eq!(files(&format!("{name}/*.png")).len(), 2);
        assert_eq!(
            files(&format!(
                "{name}/../{}/a.png",
                at.file_name().unwrap().display()
            )),
            HashSet::from([at.join("a.png")])
        );
        assert!(files("synthetic://road").is_empty());
    }
}
