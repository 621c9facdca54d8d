//! Results as picture files.
//!
//! Every file is written under a temporary name in its folder and then renamed:
//! a reader never sees half a picture, and a failed write leaves nothing. In a
//! folder or numbered, a file of an earlier run is replaced (a symbolic link by a
//! file: what it led to stays); within one run nothing is overwritten. A picture of
//! the source is never replaced, and a single file not at all: a shell that expands
//! a pattern makes such sinks of pictures that were meant as sources.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::fault::fault;
use super::options::SinkOptions;
use super::visual::Painter;
use super::{Effect, Outcome, Sink, SinkError, Visual};
use crate::classes::Classes;
use crate::output_file::Partial;
use crate::postprocess::effect::Change;

mod encode;
mod target;

use encode::Format;
use target::Target;

/// What to try where pictures turn up as sinks.
pub(super) const SHELL_HINT: &str = "did the shell expand a pattern? quote it: '*.jpg'";

/// A path and options that fit together; nothing is touched yet.
#[derive(Debug)]
pub struct FilesPlan {
    target: Target,
    options: SinkOptions,
}

impl FilesPlan {
    /// Reads a folder, a numbered pattern or a single file, as
    /// [`open`](super::open) describes.
    ///
    /// # Errors
    /// [`SinkError::BadUri`] where path and options do not fit together.
    pub fn new(path: &str, options: &SinkOptions) -> Result<Self, SinkError> {
        let bad = |reason: String| SinkError::BadUri {
            uri: path.into(),
            reason,
        };
        let target = Target::parse(path, options.visualize.len() > 1).map_err(bad)?;
        if options.visualize.is_empty() {
            return Err(bad(
                "no picture is chosen: name at least one, such as overlay".into(),
            ));
        }
        let effect = options.shows_effect().map_err(bad)?;
        if target.format() == Format::Jpeg {
            let change = options.effect.as_ref().map(|effect| &effect.change);
            if effect && change == Some(&Change::Cutout) {
                return Err(bad("JPEG has no alpha: write a cutout as .png".into()));
            }
            if options.visualize.contains(&Visual::Index) {
                return Err(bad(
                    "JPEG changes class indices: write 'index' as .png".into()
                ));
            }
            if !(1..=100).contains(&options.jpeg_quality) {
                let quality = options.jpeg_quality;
                return Err(bad(format!(
                    "the JPEG quality is {quality}, not in 1..=100"
                )));
            }
        }
        let plan = Self {
            target,
            options: options.clone(),
        };
        plan.check_single().map_err(bad)?;
        Ok(plan)
    }

    /// The effect that is shown, where one is.
    pub fn effect(&self) -> Option<&Effect> {
        let shown = self.options.visualize.contains(&Visual::Effect);
        self.options.effect.as_ref().filter(|_| shown)
    }

    /// Whether this is one file for one result.
    pub fn is_single(&self) -> bool {
        self.target.single().is_some()
    }

    /// Refuses a single file that is there already.
    fn check_single(&self) -> Result<(), String> {
        let Some(names) = self.target.single() else {
            return Ok(());
        };
        for &visual in &self.options.visualize {
            let path = names.path(visual);
            if is_kept(&self.options.keep, &path) {
                return Err(format!(
                    "{} is the source itself; name a folder (out/) or another file",
                    path.display()
                ));
            }
            // A link that leads nowhere exists, too, and would be replaced.
            if path.symlink_metadata().is_ok() {
                return Err(format!(
                    "{} exists already; name a folder (out/) or another file; {SHELL_HINT}",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// Creates the folder.
    ///
    /// # Errors
    /// [`SinkError::Write`] where that fails.
    pub fn open(self) -> Result<FilesSink, SinkError> {
        let folder = self.target.folder();
        fs::create_dir_all(folder).map_err(|error| fault(folder.display().to_string(), &error))?;
        Ok(FilesSink {
            target: self.target,
            painter: Painter::new(self.options.effect.clone()),
            options: self.options,
            encoded: Vec::new(),
            missed_truth: false,
        })
    }
}

/// Writes the chosen pictures of every result to files.
#[derive(Debug)]
pub struct FilesSink {
    target: Target,
    options: SinkOptions,
    painter: Painter,
    encoded: Vec<u8>,
    missed_truth: bool,
}

impl Sink for FilesSink {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        if self.wants_picture() {
            outcome.check()?;
        } else {
            outcome.check_masks()?;
        }
        let format = self.target.format();
        let names = self.target.next(outcome.index, outcome.name.as_deref())?;
        for &visual in &self.options.visualize {
            let alpha = self.options.alpha;
            let Some(painting) = self.painter.paint(visual, outcome, classes, alpha) else {
                if !std::mem::replace(&mut self.missed_truth, true) {
                    log::warn!(
                        "the source knows no truth for some pictures: no '{visual}' of them"
                    );
                }
                continue;
            };
            let path = names.path(visual);
            let write_error = |reason: String| SinkError::Write {
                what: path.display().to_string(),
                reason,
            };
            if is_kept(&self.options.keep, &path) {
                return Err(write_error(
                    "this is a picture of the source, which is never replaced: name \
                     another folder"
                        .into(),
                ));
            }
            let quality = self.options.jpeg_quality;
            encode::encode(&painting, format, quality, &mut self.encoded).map_err(write_error)?;
            replace(&path, &self.encoded)?;
        }
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        true
    }

    fn wants_picture(&self) -> bool {
        self.options.visualize.iter().any(|v| v.needs_picture())
    }
}

/// Whether `path` is one of the files that must stay.
fn is_kept(keep: &HashSet<PathBuf>, path: &Path) -> bool {
    // A path that leads nowhere has nothing to be kept.
    !keep.is_empty() && path.canonicalize().is_ok_and(|path| keep.contains(&path))
}

/// Writes a whole file or, on failure, none; without waiting for the disk, since the next
/// result waits for this one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    let write = || {
        let (partial, mut file) = Partial::beside(path)?;
        file.write_all(bytes)?;
        partial.rename(path)
    };
    write().map_err(|error| fault(path.display().to_string(), &error))
}
