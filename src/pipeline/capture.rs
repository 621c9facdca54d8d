//! The capture thread: drains the source, always.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Links;
use super::mailbox::{CloseOnDrop, Mailbox, Put};
use super::stats::Stats;
use crate::frame::Frame;
use crate::source::{FrameSource, Next, Recoveries, SourceError};

/// Bad frames that are logged one by one before only the count goes on.
const LOGGED_BAD_FRAMES: u64 = 10;

/// Reads frames until the source ends, fails or `stop` is set.
///
/// # Errors
/// What ended the source, unless it ended by itself.
pub fn drain(
    source: &mut dyn FrameSource,
    links: &Links,
    stats: &Stats,
    stop: &AtomicBool,
) -> Result<(), SourceError> {
    let (frames, spare) = (&links.frames, &links.spare_frames);
    let _close = CloseOnDrop(frames);
    let mut expected = None;
    let mut frame = Frame::default();
    let mut recoveries = Recoveries::default();
    let mut stalled = false;
    while !stop.load(Ordering::Relaxed) {
        let next = source.next_frame(&mut frame);
        let now = source.recoveries();
        if now != recoveries {
            recoveries = now;
            stats.count(|c| (c.restarts, c.reopens) = (now.restarts, now.reopens));
        }
        match next {
            Ok(Next::End) => break,
            Ok(Next::Pending) => {}
            Ok(Next::Frame) => {
                stalled = false;
                let lost = expected.map_or(0, |e| frame.sequence.saturating_sub(e));
                expected = Some(frame.sequence.saturating_add(1));
                stats.count(|c| {
                    c.frames_in += 1;
                    c.driver_lost += lost;
                });
                frame = match frames.put(frame) {
                    Put::Stored => spare_frame(spare),
                    Put::Displaced(old) => {
                        stats.count(|c| c.superseded += 1);
                        old
                    }
                    Put::Closed(_) => {
                        stats.count(|c| c.superseded += 1);
                        break;
                    }
                };
            }
            Err(error @ SourceError::Corrupt { .. }) => {
                let mut bad = 0;
                stats.count(|c| {
                    c.frames_in += 1;
                    c.bad += 1;
                    bad = c.bad;
                });
                // The bad frame had a number too; it is not one the driver lost.
                expected = expected.map(|e: u64| e.saturating_add(1));
                log_bad(&error, bad);
            }
            Err(error @ SourceError::Stalled { .. }) => {
                stats.count(|c| c.stalls += 1);
                // A camera may stand still for days.
                let level = if stalled {
                    log::Level::Debug
                } else {
                    log::Level::Warn
                };
                log::log!(level, "{error}");
                stalled = true;
            }
            Err(error) if error.is_recoverable() => log::warn!("{error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Tells of a bad frame, but does not flood the log with them.
pub fn log_bad(error: &dyn std::fmt::Display, bad: u64) {
    match bad {
        ..=LOGGED_BAD_FRAMES => log::warn!("{error}; skipped"),
        n if n == LOGGED_BAD_FRAMES + 1 => log::warn!("further bad frames are only counted"),
        _ => log::debug!("{error}; skipped"),
    }
}

fn spare_frame(spare: &Mailbox<Frame>) -> Frame {
    match spare.take_until(Some(std::time::Duration::ZERO)) {
        super::mailbox::Taken::Value(frame) => frame,
        _ => Frame::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Counters;
    use crate::source::{Pace, SourceInfo};
    use std::time::Duration;

    /// What a source does in one call, and how often it has recovered by then.
    #[derive(Clone, Copy)]
    enum Step {
        Frame(u64),
        Pending,
        Stalled,
        Away,
        Corrupt,
        Reopened(u64),
    }

    struct Script {
        steps: Vec<Step>,
        recoveries: Recoveries,
    }

    impl FrameSource for Script {
        fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
            let uri = "test".to_owned();
            match self.steps.pop() {
                None => Ok(Next::End),
                Some(Step::Pending) => Ok(Next::Pending),
                Some(Step::Frame(sequence)) => {
                    frame.sequence = sequence;
                    Ok(Next::Frame)
                }
                Some(Step::Reopened(sequence)) => {
                    self.recoveries.reopens += 1;
                    self.recoveries.restarts += 2;
                    frame.sequence = sequence;
                    Ok(Next::Frame)
                }
                Some(Step::Stalled) => Err(SourceError::Stalled {
                    uri,
                    waited: Duration::from_secs(1),
                }),
                Some(Step::Away) => Err(SourceError::Away {
                    uri,
                    reason: "unplugged".into(),
                }),
                Some(Step::Corrupt) => Err(SourceError::Corrupt {
                    what: uri,
                    reason: "made so".into(),
                }),
            }
        }

        fn info(&self) -> SourceInfo {
            SourceInfo {
                description: "script".into(),
                pace: Pace::Live,
                frames: None,
            }
        }

        fn recoveries(&self) -> Recoveries {
            self.recoveries
        }
    }

    fn counted(steps: &[Step]) -> Counters {
        let mut source = Script {
            // The first is taken first.
            steps: steps.iter().rev().copied().collect(),
            recoveries: Recoveries::default(),
        };
        let (links, stats) = (Links::new(true, false), Stats::default());
        drain(&mut source, &links, &stats, &AtomicBool::new(false)).unwrap();
        stats.counters()
    }

    #[test]
    fn every_trouble_is_counted_once_and_ends_nothing() {
        use Step::{Away, Corrupt, Frame, Pending, Reopened, Stalled};
        let counters = counted(&[
            Frame(0),
            Pending,
            Stalled,
            Pending,
            Stalled,
            // One lost, one damaged.
            Frame(2),
            Corrupt,
            Frame(4),
            Away,
            Pending,
            Reopened(5),
            Frame(6),
        ]);
        let expected = Counters {
            frames_in: 6,
            superseded: 4,
            driver_lost: 1,
            bad: 1,
            stalls: 2,
            restarts: 2,
            reopens: 1,
            ..Counters::default()
        };
        assert_eq!(counters, expected);
    }
}
