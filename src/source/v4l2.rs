//! V4L2 cameras: memory-mapped streaming through the `v4l` crate.
//!
//! A stream that fails is restarted, a camera that fails or goes away is opened again:
//!
//! ```text
//! streaming ──fault──> restart the stream ──fault again──> away ──attempts──> streaming
//!     └──────────────────── gone ──────────────────────────^  └──too long──> lost
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use v4l::buffer::{Flags, Metadata};

use super::uri::{CameraRequest, Reopen};
use super::{FrameSource, Next, Pace, Recoveries, SourceError, SourceInfo};
use crate::clock;
use crate::frame::Frame;

mod backoff;
mod capture;
mod control;
mod device;
mod fault;
mod fingerprint;
mod holders;
mod list;
mod negotiate;
mod nodes;
mod offer;
mod recovery;
mod sequence;
mod session;
mod stamp;

pub use control::{ControlInfo, ControlKind, MenuEntry};
pub use list::{CameraInfo, FormatInfo, SizeInfo, cameras};

use backoff::Backoff;
use device::Device;
use fingerprint::Fingerprint;
use recovery::{Recovery, Remedy, Wait};
use sequence::Sequence;
use session::Session;
use stamp::DriverClock;

/// Longest sleep inside one call.
const SLICE: Duration = Duration::from_millis(100);

/// A camera that is streaming, or was and is waited for.
///
/// The driver is started by the first call for a frame. The first picture after a
/// start is dropped.
pub struct Camera {
    /// As the user named it.
    uri: String,
    request: CameraRequest,
    /// Whether the user named a link, which is followed anew whenever the camera is
    /// opened.
    by_link: bool,
    state: State,
    /// What the camera is that must come back.
    fingerprint: Fingerprint,
    description: String,
    /// What was told about the driver's choices.
    notes: Vec<String>,
    outage: Option<Outage>,
    backoff: Backoff,
    recovery: Recovery,
    recoveries: Recoveries,
    sequence: Sequence,
    driver_clock: DriverClock,
}

enum State {
    Streaming(Box<Session>),
    Away {
        /// What is still to be released, because the driver refused to stop.
        held: Option<Box<Session>>,
        /// When to try again.
        attempt: Duration,
    },
    Ended,
}

/// The time without a camera, up to the first good frame of one that is back.
struct Outage {
    since: Duration,
    /// The last reason told, so that each is told once.
    reason: String,
}

impl Camera {
    /// Opens the camera, sets format, size, rate and controls, and asks for buffers.
    ///
    /// What was not asked for is chosen here: 640x480, in the first of YUYV, NV12,
    /// MJPEG, RGB and grey that the camera offers at that size and rate. A driver
    /// that answers with another size or rate is followed, with a warning.
    ///
    /// # Errors
    /// [`SourceError::Lost`] if there is no such camera; [`SourceError::BadUri`] for a
    /// control that cannot be set; [`SourceError::Open`] if it may not be used, is
    /// busy, is no capture device, or has no format that can be read.
    pub fn open(request: &CameraRequest) -> Result<Self, SourceError> {
        let session = Session::open(request, &request.path)?;
        let uri = request.path.display().to_string();
        warn_of(&uri, &session.notes);
        Ok(Self {
            uri,
            by_link: fs::canonicalize(&request.path).is_ok_and(|node| node != request.path),
            request: request.clone(),
            fingerprint: session.fingerprint.clone(),
            description: session.description.clone(),
            notes: session.notes.clone(),
            state: State::Streaming(Box::new(session)),
            outage: None,
            backoff: Backoff::default(),
            recovery: Recovery::default(),
            recoveries: Recoveries::default(),
            sequence: Sequence::default(),
            driver_clock: DriverClock::started(clock::now()),
        })
    }

    fn end(&mut self, reason: String) -> SourceError {
        self.state = State::Ended;
        SourceError::Lost {
            uri: self.uri.clone(),
            reason,
        }
    }

    /// A buffer came with `data` in it: makes a frame of it.
    fn deliver(&mut self, metadata: &Metadata, frame: &mut Frame) -> Result<Next, SourceError> {
        let State::Streaming(session) = &self.state else {
            return Ok(Next::Pending);
        };
        let now = clock::now();
        self.recovery.buffer(now);
        // A refused frame keeps its number, so that it does not also count as lost.
        let sequence = self.sequence.widen(metadata.sequence, now);
        let plan = &session.plan;
        let flagged = metadata.flags.contains(Flags::ERROR);
        if let Some(reason) = negotiate::unusable(plan, &frame.data, flagged) {
            return Err(SourceError::Corrupt {
                what: format!("{}: frame {sequence}", self.uri),
                reason,
            });
        }
        frame.width = plan.width;
        frame.height = plan.height;
        frame.stride = plan.stride;
        frame.format = plan.format;
        frame.colour = plan.colour;
        frame.sequence = sequence;
        (frame.captured, frame.stamp) = self.driver_clock.judge(metadata, now);
        frame.truth = None;
        frame.name = None;
        self.recovery.frame();
        self.backoff.frame(now);
        if let Some(outage) = self.outage.take() {
            self.recoveries.reopens += 1;
            let seconds = now.saturating_sub(outage.since).as_secs_f64();
            log::warn!(
                "{}: back after {seconds:.1} s: {}",
                self.uri,
                self.description
            );
        }
        Ok(Next::Frame)
    }

    /// Nothing came for a moment.
    fn wait(&mut self) -> Result<Next, SourceError> {
        let now = clock::now();
        if let Some(error) = self.give_up(now) {
            return Err(error);
        }
        let timeout = self.request.timeout;
        match self.recovery.nothing(now, timeout) {
            Wait::Short => return Ok(Next::Pending),
            Wait::Stall => {}
            Wait::StallAndRestart => {
                log::warn!("{}: it stands still; restarting the stream", self.uri);
                if let Err(reason) = self.restart(now) {
                    return self.lose(reason, now);
                }
            }
        }
        Err(SourceError::Stalled {
            uri: self.uri.clone(),
            waited: timeout,
        })
    }

    /// The stream failed.
    fn repair(&mut self, error: &io::Error) -> Result<Next, SourceError> {
        let now = clock::now();
        if fault::is_gone(error) {
            return self.lose(fault::GONE.to_owned(), now);
        }
        match self.recovery.fault(now) {
            Remedy::Reopen => self.lose(fault::stream(error), now),
            Remedy::Restart => {
                log::warn!("{}: {error}; restarting the stream", self.uri);
                match self.restart(now) {
                    Ok(()) => Ok(Next::Pending),
                    Err(reason) => self.lose(reason, now),
                }
            }
        }
    }

    fn restart(&mut self, now: Duration) -> Result<(), String> {
        let State::Streaming(session) = &mut self.state else {
            return Ok(());
        };
        self.recoveries.restarts += 1;
        self.sequence.restarted();
        self.driver_clock = DriverClock::started(now);
        session.restart()
    }

    /// The camera cannot be read any more: lets go of it, to open it again later.
    fn lose(&mut self, reason: String, now: Duration) -> Result<Next, SourceError> {
        self.backoff.broke();
        let attempt = now + self.backoff.next_wait();
        let mut held = None;
        if let State::Streaming(mut session) = std::mem::replace(&mut self.state, State::Ended)
            && session.capture.release().is_err()
        {
            held = Some(session);
        }
        if self.request.reopen == Some(Reopen::For(Duration::ZERO)) {
            return Err(self.end(reason));
        }
        self.state = State::Away { held, attempt };
        if self.outage.is_some() {
            self.note(reason);
            return Ok(Next::Pending);
        }
        self.outage = Some(Outage {
            since: now,
            reason: reason.clone(),
        });
        Err(SourceError::Away {
            uri: self.uri.clone(),
            reason,
        })
    }

    /// Tells why the camera is still away, where that is news.
    fn note(&mut self, reason: String) {
        if let Some(outage) = &mut self.outage
            && outage.reason != reason
        {
            log::warn!("{}: still away: {reason}", self.uri);
            outage.reason = reason;
        }
    }

    /// The end of it, if it was away for too long.
    fn give_up(&mut self, now: Duration) -> Option<SourceError> {
        let outage = self.outage.as_ref()?;
        let Some(Reopen::For(limit)) = self.request.reopen else {
            return None;
        };
        if now.saturating_sub(outage.since) < limit {
            return None;
        }
        let reason = format!(
            "{}; it was not back after {} s, the limit set by reopen",
            outage.reason,
            limit.as_secs()
        );
        Some(self.end(reason))
    }

    /// Waits a moment while the camera is away, or tries to open it.
    fn seek(&mut self, attempt: Duration) -> Result<Next, SourceError> {
        let now = clock::now();
        if let Some(error) = self.give_up(now) {
            return Err(error);
        }
        let left = attempt.saturating_sub(now);
        if !left.is_zero() {
            std::thread::sleep(left.min(SLICE));
            return Ok(Next::Pending);
        }
        if let Err(reason) = self.reopen() {
            self.note(reason);
            if let State::Away { attempt, .. } = &mut self.state {
                *attempt = now + self.backoff.next_wait();
            }
        }
        Ok(Next::Pending)
    }

    fn reopen(&mut self) -> Result<(), String> {
        if let State::Away { held, .. } = &mut self.state {
            // While it is held, the camera is busy.
            if let Some(session) = held {
                (session.capture.release())
                    .map_err(|error| format!("its driver does not let go of it: {error}"))?;
            }
            *held = None;
        }
        let node = self.locate()?;
        let session =
            Session::open(&self.request, &node).map_err(|error| reason_of(&error).to_owned())?;
        if !self.fingerprint.is_of(&session.fingerprint) {
            if !self.by_link {
                return Err("another camera took its place and is not taken".to_owned());
            }
            log::warn!("{}: leads to another camera now", self.uri);
        }
        if session.notes != self.notes {
            warn_of(&self.uri, &session.notes);
        }
        self.notes.clone_from(&session.notes);
        self.fingerprint = session.fingerprint.clone();
        if session.description != self.description {
            log::warn!(
                "{}: it was {}, it is {}",
                self.uri,
                self.description,
                session.description
            );
        }
        self.description.clone_from(&session.description);
        self.recovery.reopened();
        self.sequence.restarted();
        self.driver_clock = DriverClock::started(clock::now());
        self.state = State::Streaming(Box::new(session));
        Ok(())
    }

    /// The node that the camera has now.
    fn locate(&self) -> Result<PathBuf, String> {
        let named = &self.request.path;
        if self.by_link {
            return Ok(named.clone());
        }
        let mut found = Vec::new();
        let mut refused = None;
        for node in nodes::all() {
            match fingerprint_at(&node) {
                Ok(fingerprint) => found.push((node, fingerprint)),
                // It may be the one, and this user may not look at it.
                Err(error) if node == *named => refused = Some(error),
                Err(_) => {}
            }
        }
        fingerprint::choose(&self.fingerprint, named, &found).map_err(|reason| match refused {
            Some(error) => {
                let error = fault::setup(named, "asking what it is", &error);
                reason_of(&error).to_owned()
            }
            None => reason,
        })
    }
}

fn fingerprint_at(node: &Path) -> io::Result<Fingerprint> {
    Device::open(node)?.fingerprint(node)
}

fn warn_of(uri: &str, notes: &[String]) {
    for note in notes {
        log::warn!("{uri}: {note}");
    }
}

/// The part of an error that does not name the camera.
fn reason_of(error: &SourceError) -> &str {
    match error {
        SourceError::Lost { reason, .. }
        | SourceError::Open { reason, .. }
        | SourceError::BadUri { reason, .. } => reason,
        _ => "it cannot be opened",
    }
}

impl FrameSource for Camera {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        let filled = match &mut self.state {
            State::Ended => return Ok(Next::End),
            State::Away { attempt, .. } => {
                let attempt = *attempt;
                return self.seek(attempt);
            }
            State::Streaming(session) => session.capture.next(&mut frame.data),
        };
        match filled {
            Ok(metadata) => self.deliver(&metadata, frame),
            Err(error) if capture::is_timeout(&error) => self.wait(),
            Err(error) => self.repair(&error),
        }
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: self.description.clone(),
            pace: Pace::Live,
            frames: None,
        }
    }

    fn recoveries(&self) -> Recoveries {
        self.recoveries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_camera_says_how_to_find_others() {
        let error = Camera::open(&CameraRequest::new("/dev/video-none")).err();
        match error {
            Some(SourceError::Lost { uri, reason }) => {
                assert_eq!(uri, "/dev/video-none");
                assert!(reason.contains("atrous devices"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_camera_is_refused() {
        for path in ["/dev/null", "/dev/zero"] {
            match Camera::open(&CameraRequest::new(path)).err() {
                Some(SourceError::Open { reason, .. }) => {
                    assert!(reason.contains("not a video device"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
