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
