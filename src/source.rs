//! Where frames come from: cameras, files, streams and drawn scenes, all behind
//! [`FrameSource`] and chosen by a URI or a path (see [`open`]).

use std::time::Duration;

use thiserror::Error;

use crate::frame::Frame;

pub mod picture;
pub mod scene;
pub mod stream;
pub mod uri;
#[cfg(target_os = "linux")]
pub mod v4l2;

pub use uri::SourceUri;

/// What [`FrameSource::next_frame`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The frame was overwritten with a new picture.
    Frame,
    /// Nothing came for a moment; the caller may look around and ask again. The
    /// frame's content is unspecified.
    Pending,
    /// There is no further picture; the frame's content is unspecified.
    End,
}

/// How a source paces its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Frames come in their own time; one that is not taken is lost, and only
    /// the newest matters (cameras, paced scenes).
    Live,
    /// Frames wait until asked for, and every one matters (files, streams).
    OnDemand,
}

/// A source in words and numbers, for logs and reports.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// What it is, such as `/dev/video0 (uvcvideo: HD Webcam) 640x480 YUYV 30 fps`.
    pub description: String,
    /// Pacing of the frames.
    pub pace: Pace,
    /// How many frames will come, where that is known.
    pub frames: Option<u64>,
}

/// How often a source had to be set going again, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recoveries {
    /// A stream was stopped and started.
    pub restarts: u64,
    /// A device was closed, opened again, and gave a frame.
    pub reopens: u64,
}

/// A supply of frames.
pub trait FrameSource: Send {
    /// Waits for the next picture and writes it into `frame`, reusing its buffers. A
    /// camera waits for a moment only, see [`Next::Pending`].
    ///
    /// # Errors
    /// After [`SourceError::Stalled`], [`SourceError::Away`] and
    /// [`SourceError::Corrupt`] the call may be repeated (see [`SourceError::is_recoverable`]); any other error ends the
    /// source. On an error the content of `frame` is unspecified.
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError>;

    /// What this source is.
    fn info(&self) -> SourceInfo;

    /// How often it recovered from a fault by itself.
    fn recoveries(&self) -> Recoveries {
        Recoveries::default()
    }
}

/// Opens the source that `uri` names: a picture, a recorded stream, a folder, a
/// pattern, `-`, a camera or a drawn scene (see [`SourceUri`]).
///
/// # Errors
/// [`SourceError::BadUri`], [`SourceError::NotFound`], [`SourceError::Open`], for a
/// stream [`SourceError::Broken`], for a camera [`SourceError::Lost`].
pub fn open(uri: &str) -> Result<Box<dyn FrameSource>, SourceError> {
    open_parsed(SourceUri::parse(uri)?)
}

/// Opens a source that was named and taken apart before; see [`open`].
///
/// # Errors
/// As [`open`].
pub fn open_parsed(source: SourceUri) -> Result<Box<dyn FrameSource>, SourceError> {
    open_as(source, false)
}

/// As [`open_parsed`], for pictures that are taken row by row: a PNG file is not decoded
/// but comes as [`PixelFormat::Png`](crate::frame::PixelFormat::Png), where it can.
///
/// # Errors
/// As [`open`].
pub fn open_for_tiles(source: SourceUri) -> Result<Box<dyn FrameSource>, SourceError> {
    open_as(source, true)
}

fn open_as(source: SourceUri, by_rows: bool) -> Result<Box<dyn FrameSource>, SourceError> {
    let pictures = |source: picture::PictureSource| Box::new(source.by_rows(by_rows));
    match source {
        SourceUri::Path(path) => match stream::open_recording(&path)? {
            Some(recording) => Ok(recording),
            None => Ok(pictures(picture::PictureSource::open(&path)?)),
        },
        SourceUri::Pattern(pattern) => {
            Ok(pictures(picture::PictureSource::open_pattern(&pattern)?))
        }
        SourceUri::Stdin(pace) => stream::open_stdin(pace),
        SourceUri::Scene(request) => Ok(Box::new(scene::SceneSource::new(request)?)),
        #[cfg(target_os = "linux")]
        SourceUri::Camera(request) => Ok(Box::new(v4l2::Camera::open(&request)?)),
        #[cfg(not(target_os = "linux"))]
        SourceUri::Camera(request) => Err(SourceError::Open {
            uri: request.path.display().to_string(),
            reason: "cameras need Linux".to_owned(),
        }),
    }
}

/// What can go wrong with a source. Every message names the source and what to try.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URI or path cannot mean a source.
    #[error("source '{uri}': {reason}")]
    BadUri {
        /// As given by the user.
        uri: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The file, folder or pattern names nothing.
    #[error("source '{uri}': {reason}")]
    NotFound {
        /// As given by the user.
        uri: String,
        /// What was looked for, and what to try.
        reason: String,
    },
    /// The source exists but could not be opened or set up.
    #[error("source '{uri}': {reason}")]
    Open {
        /// As given by the user.
        uri: String,
        /// The cause and what to try.
        reason: String,
    },
    /// A camera is absent, went away or failed for good.
    #[error("camera '{uri}': {reason}")]
    Lost {
        /// The device.
        uri: String,
        /// The cause and what to try.
        reason: String,
    },
    /// A camera went away or failed; it is tried again, and frames may come later.
    #[error("camera '{uri}': {reason}; it is opened again as soon as that is possible")]
    Away {
        /// The device.
        uri: String,
        /// The cause and what to try.
        reason: String,
    },
    /// No frame came in time; the source still exists.
    #[error("source '{uri}': no frame for {waited:?}")]
    Stalled {
        /// The device or stream.
        uri: String,
        /// How long was waited.
        waited: Duration,
    },
    /// This one picture is unusable; the next may be fine.
    #[error("{what}: {reason}")]
    Corrupt {
        /// The file or frame.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream's own structure is broken beyond this frame.
    #[error("stream '{uri}': {reason}")]
    Broken {
        /// The stream.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// Whether [`FrameSource::next_frame`] may be called again after this error.
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            Self::Stalled { .. } | Self::Away { .. } | Self::Corrupt { .. }
        )
    }
}
