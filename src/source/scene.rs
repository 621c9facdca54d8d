//! A drawn scene as a camera: with ground truth, on the wall clock or on demand.

use std::thread;
use std::time::Duration;

use super::uri::SceneRequest;
use super::{FrameSource, Next, Pace, SourceError, SourceInfo};
use crate::classes::{Class, Classes};
use crate::clock;
use crate::frame::{ColourSpace, Frame, PixelFormat, Stamp, size_is_allowed};
use crate::mask::Mask;
use crate::synthetic::{CLASSES, Road, SceneConfig};

/// Colours of [`CLASSES`], red first: CamVid's own.
const COLOURS: [[u8; 3]; CLASSES.len()] = [
    [128, 128, 128],
    [128, 0, 0],
    [192, 192, 128],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [192, 128, 128],
    [64, 64, 128],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
];

/// The classes of a drawn scene's true mask.
pub fn classes() -> Classes {
    let classes = CLASSES.iter().zip(COLOURS).map(|(name, colour)| Class {
        name: (*name).into(),
        colour,
    });
    Classes::new(classes.collect())
}

/// The road scene as a source of RGB frames with their true masks.
///
/// Live, it behaves like a camera: frame `n` is due `n / fps` after the first call,
/// that is also its capture time, and a reader that is more than one interval late
/// gets the newest frame due and a gap in the sequence. On demand, every frame
/// comes at once. Both draw the same picture for the same number.
pub struct SceneSource {
    road: Road,
    request: SceneRequest,
    /// The next frame that no one has seen.
    next: u64,
    /// When frame 0 was due.
    start: Option<Duration>,
}

impl SceneSource {
    /// A source of the scene that `request` describes.
    ///
    /// # Errors
    /// [`SourceError::Open`] if the size or rate is outside the limits that
    /// [`SourceUri::parse`](super::SourceUri::parse) states.
    pub fn new(request: SceneRequest) -> Result<Self, SourceError> {
        let (width, height, fps) = (request.width, request.height, request.fps);
        if !size_is_allowed(width, height) || !(0.01..=1000.0).contains(&fps) {
            return Err(SourceError::Open {
                uri: "synthetic://road".to_owned(),
                reason: format!("cannot draw {width}x{height} at {fps} fps"),
            });
        }
        Ok(Self {
            road: Road::new(SceneConfig {
                seed: request.seed,
                width,
                height,
                fps,
            }),
            request,
            next: 0,
            start: None,
        })
    }
}

impl FrameSource for SceneSource {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        let mut index = self.next;
        let (captured, stamp) = match self.request.pace {
            Pace::OnDemand => (clock::now(), Stamp::Arrival),
            Pace::Live => {
                let now = clock::now();
                let start = *self.start.get_or_insert(now);
                let elapsed = now.saturating_sub(start);
                index = newest_due(index, elapsed, self.request.fps);
                (
                    start.saturating_add(due(index, self.request.fps)),
                    Stamp::Exposure,
                )
            }
        };
        if self.request.frames.is_some_and(|frames| index >= frames) {
            // Later calls must find the end too, whatever the clock says then.
            self.next = index;
            return Ok(Next::End);
        }
        if self.request.pace == Pace::Live {
            thread::sleep(captured.saturating_sub(clock::now()));
        }
        let (width, height) = (self.request.width, self.request.height);
        let truth = frame.truth.get_or_insert_with(Mask::default);
        self.road.render(index, &mut frame.data, &mut truth.labels);
        (truth.width, truth.height) = (width, height);
        (frame.width, frame.height) = (width, height);
        frame.stride = width as usize * 3;
        frame.format = PixelFormat::Rgb8;
        frame.colour = ColourSpace::default();
        frame.sequence = index;
        frame.captured = captured;
        frame.stamp = stamp;
        frame.name = None;
        self.next = index.saturating_add(1);
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        let SceneRequest {
            seed,
            width,
            height,
            fps,
            frames,
            pace,
        } = self.request;
        SourceInfo {
            description: format!("synthetic://road (seed {seed}) {width}x{height} {fps} fps"),
            pace,
            // A live scene may skip frames, so its count is only a bound.
            frames: frames.filter(|_| pace == Pace::OnDemand),
        }
    }
}

/// When frame `index` is due, since frame 0 was.
fn due(index: u64, fps: f32) -> Duration {
    Duration::try_from_secs_f64(index as f64 / f64::from(fps)).unwrap_or(Duration::MAX)
}

/// The frame to deliver `elapsed` after the start: `next`, unless the one behind it
/// is due as well.
fn newest_due(next: u64, elapsed: Duration, fps: f32) -> u64 {
    if elapsed < due(next.saturating_add(1), fps) {
        return next;
    }
    ((elapsed.as_secs_f64() * f64::from(fps)) as u64).max(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_readers_get_the_newest_frame() {
        let at = |next, millis| newest_due(next, Duration::from_millis(millis), 10.0);
        assert_eq!(at(0, 0), 0);
        // Early, on time, and less than one interval late.
        assert_eq!(at(3, 250), 3);
        assert_eq!(at(3, 300), 3);
        assert_eq!(at(3, 399), 3);
        assert_eq!(at(3, 450), 4);
        assert_eq!(at(3, 1990), 19);
    }

    #[test]
    fn far_times_saturate() {
        assert_eq!(due(u64::MAX, 0.01), Duration::MAX);
        assert_eq!(newest_due(u64::MAX, Duration::ZERO, 0.01), u64::MAX);
    }

    #[test]
    fn live_frames_keep_to_the_clock() {
        let mut source = SceneSource::new(SceneRequest {
            width: 8,
            height: 8,
            fps: 200.0,
            frames: Some(8),
            ..SceneRequest::default()
        })
        .unwrap();
        let mut frame = Frame::default();
        let mut previous: Option<(u64, Duration)> = None;
        while source.next_frame(&mut frame).unwrap() == Next::Frame {
            assert!(clock::now() >= frame.captured);
            assert_eq!(frame.stamp, Stamp::Exposure);
            if let Some((sequence, captured)) = previous {
                let frames = frame.sequence - sequence;
                let error = (frame.captured - captured).as_secs_f64() - frames as f64 / 200.0;
                assert!(error.abs() < 1e-6);
            }
            previous = Some((frame.sequence, frame.captured));
        }
        assert!(previous.is_some());
        assert_eq!(source.next_frame(&mut frame), Ok(Next::End));
    }

    #[test]
    fn sizes_that_cannot_be_drawn_are_refused() {
        for (width, fps) in [(0, 1.0), (100_000, 1.0), (8, 0.0), (8, f32::NAN)] {
            let request = SceneRequest {
                width,
                fps,
                ..SceneRequest::default()
            };
            assert!(SceneSource::new(request).is_err());
        }
    }
}
