//! V4L2 cameras: memory-mapped streaming through the `v4l` crate.

use std::io;
use std::time::Duration;

use v4l::buffer::{Flags, Metadata};

use super::uri::CameraRequest;
use super::{FrameSource, Next, Pace, SourceError, SourceInfo};
use crate::clock;
use crate::frame::{Frame, Stamp};

mod capture;
mod device;
mod fault;
mod holders;
mod list;
mod negotiate;
mod offer;
mod sequence;

pub use list::{CameraInfo, FormatInfo, SizeInfo, cameras};

use capture::Capture;
use device::Device;
use negotiate::Plan;
use sequence::Sequence;

/// A camera that is streaming.
///
/// The driver is started by the first call for a frame. The first picture after a
/// start is dropped. A stream that fails is restarted once; a second failure before
/// a good frame is [`SourceError::Lost`].
pub struct Camera {
    uri: String,
    description: String,
    capture: Capture,
    plan: Plan,
    timeout: Duration,
    sequence: Sequence,
    /// Whether the stream was restarted since the last good frame.
    restarted: bool,
    ended: bool,
}

impl Camera {
    /// Opens the camera, sets format, size and rate, and asks for buffers.
    ///
    /// What was not asked for is chosen here: 640x480, in the first of YUYV, NV12,
    /// MJPEG, RGB and grey that the camera offers at that size and rate. A driver
    /// that answers with another size or rate is followed, with a warning.
    ///
    /// # Errors
    /// [`SourceError::Lost`] if there is no such camera; [`SourceError::Open`] if it
    /// may not be used, is busy, is no capture device, or has no format that can be
    /// read.
    pub fn open(request: &CameraRequest) -> Result<Self, SourceError> {
        let uri = request.path.display().to_string();
        let open = |reason| SourceError::Open {
            uri: uri.clone(),
            reason,
        };
        let setup = |what: &str, error: io::Error| fault::setup(&request.path, what, &error);
        let device = Device::open(&request.path).map_err(|error| setup("opening it", error))?;
        let identity = device
            .identity()
            .map_err(|error| setup("asking what it is", error))?;
        if let Some(problem) = identity.problem(&uri) {
            return Err(open(problem));
        }
        let (width, height) = request.size.unwrap_or((640, 480));
        let offers = device
            .offers(width, height, request.fps)
            .map_err(|error| setup("listing its formats", error))?;
        let fourcc = negotiate::choose(&offers, request.format, &uri).map_err(open)?;
        let ask = negotiate::size_to_ask(fourcc, width, height);
        let answer = device
            .set_format(fourcc, ask.0, ask.1)
            .map_err(|error| setup("setting its format", error))?;
        let plan = negotiate::plan(&answer, fourcc, &offers).map_err(open)?;
        if request
            .size
            .is_some_and(|size| size != (plan.width, plan.height))
        {
            log::warn!(
                "{uri}: {width}x{height} was asked for, the driver gives {}x{}",
                plan.width,
                plan.height
            );
        }
        if answer.interlaced {
            log::warn!("{uri}: interlaced; both fields are taken as one picture");
        }
        let fps = device.set_rate(request.fps);
        if let Some(warning) = negotiate::rate_warning(request.fps, fps) {
            log::warn!("{uri}: {warning}");
        }
        let rate = fps.map_or(String::new(), |fps| {
            format!(" {} fps", offer::rate_text(fps))
        });
        let description = format!(
            "{uri} ({}: {}) {}x{} {}{rate}",
            identity.driver,
            identity.card,
            plan.width,
            plan.height,
            negotiate::fourcc_text(answer.fourcc),
        );
        let capture = Capture::new(device, request.buffers, request.timeout)
            .map_err(|error| setup("getting buffers", error))?;
        Ok(Self {
            uri,
            description,
            capture,
            plan,
            timeout: request.timeout,
            sequence: Sequence::default(),
            restarted: false,
            ended: false,
        })
    }

    fn lost(&mut self, reason: String) -> SourceError {
        self.ended = true;
        SourceError::Lost {
            uri: self.uri.clone(),
            reason,
        }
    }
}

impl FrameSource for Camera {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        if self.ended {
            return Ok(Next::End);
        }
        let metadata = loop {
            match self.capture.next(&mut frame.data) {
                Ok(metadata) => break metadata,
                Err(error) if capture::is_timeout(&error) => {
                    return Err(SourceError::Stalled {
                        uri: self.uri.clone(),
                        waited: self.timeout,
                    });
                }
                Err(error) if fault::is_gone(&error) => {
                    return Err(self.lost(fault::GONE.to_owned()));
                }
                Err(error) if self.restarted => {
                    return Err(self.lost(fault::stream(&error)));
                }
                Err(error) => {
                    log::warn!("{}: {error}; restarting the stream", self.uri);
                    self.restarted = true;
                    self.sequence.restarted();
                    if let Err(error) = self.capture.stop() {
                        return Err(self.lost(if fault::is_gone(&error) {
                            fault::GONE.to_owned()
                        } else {
                            format!("it cannot be restarted: {error}")
                        }));
                    }
                }
            }
        };
        // A refused frame keeps its number, so that it does not also count as lost.
        let sequence = self.sequence.widen(metadata.sequence);
        let flagged = metadata.flags.contains(Flags::ERROR);
        if let Some(reason) = negotiate::unusable(&self.plan, &frame.data, flagged) {
            return Err(SourceError::Corrupt {
                what: format!("{}: frame {sequence}", self.uri),
                reason,
            });
        }
        self.restarted = false;
        frame.width = self.plan.width;
        frame.height = self.plan.height;
        frame.stride = self.plan.stride;
        frame.format = self.plan.format;
        frame.colour = self.plan.colour;
        frame.sequence = sequence;
        (frame.captured, frame.stamp) = stamp(&metadata, clock::now());
        frame.truth = None;
        frame.name = None;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: self.description.clone(),
            pace: Pace::Live,
            frames: None,
        }
    }
}

/// When a buffer was captured, and by whose clock.
///
/// A driver's stamp counts only if it is on the monotonic clock, was set, and does
/// not lie ahead of `now`. An old stamp is believed: calling a stale picture fresh
/// is the worse mistake.
fn stamp(metadata: &Metadata, now: Duration) -> (Duration, Stamp) {
    let flags = metadata.flags.bits();
    let monotonic = flags & Flags::TIMESTAMP_MASK.bits() == Flags::TIMESTAMP_MONOTONIC.bits();
    let seconds = u64::try_from(metadata.timestamp.sec);
    let micros = u32::try_from(metadata.timestamp.usec);
    match (seconds, micros) {
        (Ok(seconds), Ok(micros)) if monotonic && micros < 1_000_000 => {
            let captured = Duration::new(seconds, micros * 1000);
            if captured.is_zero() || captured > now {
                (now, Stamp::Arrival)
            } else if flags & Flags::TSTAMP_SRC_MASK.bits() == Flags::TSTAMP_SRC_SOE.bits() {
                (captured, Stamp::Exposure)
            } else {
                (captured, Stamp::Driver)
            }
        }
        _ => (now, Stamp::Arrival),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::Timestamp;

    fn metadata(flags: u32, sec: i64, usec: i64) -> Metadata {
        Metadata {
            flags: Flags::from(flags),
            timestamp: Timestamp::new(sec, usec),
            ..Metadata::default()
        }
    }

    #[test]
    fn only_a_sane_monotonic_stamp_counts() {
        let now = Duration::from_secs(100);
        let arrival = (now, Stamp::Arrival);
        let at = Duration::new(99, 5000);
        assert_eq!(stamp(&metadata(0x2000, 99, 5), now), (at, Stamp::Driver));
        assert_eq!(stamp(&metadata(0x12000, 99, 5), now), (at, Stamp::Exposure));
        for (flags, sec, usec) in [
            (0x0000, 99, 5),
            (0x4000, 99, 5),
            (0x2000, 0, 0),
            (0x2000, 101, 0),
            (0x2000, -1, 0),
            (0x2000, 99, -1),
            (0x2000, 99, 1_000_000),
            (0x2000, i64::MAX, 999_999),
        ] {
            assert_eq!(stamp(&metadata(flags, sec, usec), now), arrival);
        }
    }

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
