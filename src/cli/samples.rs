//! Pictures with their labels, one at a time.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use atrous::eval::label::{self, LabelError};
use atrous::frame::Frame;
use atrous::mask::Mask;
use atrous::source::picture::PictureSource;
use atrous::source::{FrameSource, Next, SourceError};

use super::exit::Misused;
use super::figures::Pictures;

/// What is made of a folder of which more than one in so many pictures cannot be read says
/// little.
const ONE_IN: u64 = 10;

/// A folder of pictures, and the folder of their labels where there is one.
pub struct Samples {
    source: PictureSource,
    labels: Option<PathBuf>,
    total: u64,
    tried: u64,
    skipped: Skipped,
    /// The first label that was not there.
    missing: Option<String>,
}

/// Pictures that were not scored, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The picture or its label is damaged, or may not be read.
    pub unreadable: u64,
    /// There is no label.
    pub without_label: u64,
}

impl Skipped {
    /// All of them.
    pub fn all(self) -> u64 {
        self.unreadable + self.without_label
    }
}

/// One picture.
#[derive(Debug, Default)]
pub struct Sample {
    /// Tightly packed RGB.
    pub frame: Frame,
    /// Its label's values as they stand in the file; what is in here without labels says
    /// nothing.
    pub label: Mask,
    /// The label's file.
    pub label_path: PathBuf,
}

impl Sample {
    /// The picture's file name without its ending.
    pub fn name(&self) -> &str {
        self.frame.name.as_deref().unwrap_or_default()
    }
}

/// What [`Samples::next`] did.
pub enum Step {
    /// The sample was overwritten with the next one.
    Sample,
    /// A picture was skipped, and named in the log.
    Skipped,
    /// There are no more.
    End,
}

impl Samples {
    /// The pictures of a folder (or one picture), sorted by name: the first `limit`. Their
    /// labels are the PNG files of the same names in `labels`.
    pub fn open(images: &Path, labels: Option<&Path>, limit: Option<u64>) -> Result<Self> {
        Self::over(PictureSource::open(images)?, labels, limit)
    }

    /// The first `limit` pictures of a source, and their labels as in [`open`](Self::open).
    pub fn over(source: PictureSource, labels: Option<&Path>, limit: Option<u64>) -> Result<Self> {
        if let Some(labels) = labels
            && !labels.is_dir()
        {
            let text = format!("--labels {}: there is no such folder", labels.display());
            return Err(Misused(text).into());
        }
        let files = source.info().frames.unwrap_or_default();
        Ok(Self {
            source,
            labels: labels.map(Path::to_owned),
            total: limit.map_or(files, |limit| limit.min(files)),
            tried: 0,
            skipped: Skipped::default(),
            missing: None,
        })
    }

    /// How many pictures there are to try.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What was skipped so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Reads the next picture and its label.
    pub fn next(&mut self, sample: &mut Sample, shown: &Pictures) -> Result<Step> {
        if self.tried == self.total {
            return Ok(Step::End);
        }
        self.tried += 1;
        match self.source.next_frame(&mut sample.frame) {
            Ok(Next::Frame) => {}
            // Pictures do not keep anyone waiting.
            Ok(Next::End | Next::Pending) => return Ok(Step::End),
            Err(error @ SourceError::Corrupt { .. }) => {
                return self.skip_unreadable(&error, shown).map(|()| Step::Skipped);
            }
            Err(error) => return Err(error.into()),
        }
        let Some(labels) = &self.labels else {
            return Ok(Step::Sample);
        };
        sample.label_path = labels.join(format!("{}.png", sample.name()));
        let size = (sample.frame.width, sample.frame.height);
        match label::read(&sample.label_path, size, &mut sample.label) {
            Ok(()) => Ok(Step::Sample),
            Err(error @ LabelError::Missing { .. }) => {
                shown.warn(format_args!("{error}; its picture is skipped"));
                self.skipped.without_label += 1;
                self.missing
                    .get_or_insert_with(|| sample.label_path.display().to_string());
                Ok(Step::Skipped)
            }
            Err(error @ LabelError::Unreadable { .. }) => {
                self.skip_unreadable(&error, shown).map(|()| Step::Skipped)
            }
            // The whole folder will be so.
            Err(error) => Err(Misused(error.to_string()).into()),
        }
    }

    /// Counts a picture that could not be read, unless there are too many of them.
    pub fn skip_unreadable(&mut self, error: &dyn Display, shown: &Pictures) -> Result<()> {
        self.skipped.unreadable += 1;
        let (unreadable, total) = (self.skipped.unreadable, self.total);
        if unreadable * ONE_IN > total {
            bail!(
                "{error}; with it {unreadable} of {total} pictures could not be read, more than \
                 one in {ONE_IN}: mend or remove them"
            );
        }
        shown.warn(format_args!("{error}; skipped"));
        Ok(())
    }

    /// Why nothing was scored, once there is nothing left to try.
    pub fn nothing_scored(&self) -> Misused {
        let all = self.tried;
        Misused(match &self.missing {
            Some(missing) if self.skipped.without_label == all => format!(
                "no picture has a label: looked for {missing} and the like; a label has its \
                 picture's name and ends in .png"
            ),
            _ => format!(
                "no picture could be scored: of {all}, {} could not be read and {} have no label",
                self.skipped.unreadable, self.skipped.without_label
            ),
        })
    }
}
