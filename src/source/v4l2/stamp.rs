//! When a buffer was captured, and by whose clock.

use std::time::Duration;

use v4l::buffer::{Flags, Metadata};

use crate::frame::Stamp;

/// How far a driver's stamps may lie ahead of the clock, or go back, before its
/// clock counts as another one.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Judges the stamps of one stream.
///
/// A driver's stamp counts only if it is on the monotonic clock, was set, and does
/// not lie ahead of the present. A clock that was seen to be another one, because it
/// was far ahead, went back, or told of a time before the stream began, is not
/// believed again before the stream is restarted. Short of that, an old stamp is
/// believed: calling a stale picture fresh is the worse mistake.
#[derive(Debug)]
pub(super) struct DriverClock {
    /// When the stream began, or the last stamp that was believed.
    last: Duration,
    refuted: bool,
}

impl DriverClock {
    /// For a stream that begins at `now`.
    pub(super) fn started(now: Duration) -> Self {
        Self {
            last: now,
            refuted: false,
        }
    }

    /// When the buffer that arrived at `now` was captured.
    pub(super) fn judge(&mut self, metadata: &Metadata, now: Duration) -> (Duration, Stamp) {
        let arrival = (now, Stamp::Arrival);
        let Some((captured, stamp)) = stamp(metadata) else {
            return arrival;
        };
        if captured > now + TOLERANCE || captured + TOLERANCE < self.last {
            self.refuted = true;
        }
        if self.refuted || captured > now {
            return arrival;
        }
        self.last = self.last.max(captured);
        (captured, stamp)
    }
}

/// The driver's stamp, if it claims to be on the monotonic clock.
fn stamp(metadata: &Metadata) -> Option<(Duration, Stamp)> {
    let flags = metadata.flags.bits();
    if flags & Flags::TIMESTAMP_MASK.bits() != Flags::TIMESTAMP_MONOTONIC.bits() {
        return None;
    }
    let seconds = u64::try_from(metadata.timestamp.sec).ok()?;
    let micros = u32::try_from(metadata.timestamp.usec).ok()?;
    if micros >= 1_000_000 || (seconds, micros) == (0, 0) {
        return None;
    }
    // Far enough from the end of time to be added to.
    let captured = Duration::new(seconds.min(u64::MAX / 2), micros * 1000);
    let exposure = flags & Flags::TSTAMP_SRC_MASK.bits() == Flags::TSTAMP_SRC_SOE.bits();
    let stamp = if exposure {
        Stamp::Exposure
    } else {
        Stamp::Driver
    };
    Some((captured, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::Timestamp;

    const START: Duration = Duration::from_secs(98);

    fn metadata(flags: u32, sec: i64, usec: i64) -> Metadata {
        Metadata {
            flags: v4l::buffer::Flags::from(flags),
            timestamp: Timestamp::new(sec, usec),
            ..Metadata::default()
        }
    }

    #[test]
    fn only_a_sane_monotonic_stamp_counts() {
        let now = Duration::from_secs(100);
        let judge =
            |flags, sec, usec| DriverClock::started(START).judge(&metadata(flags, sec, usec), now);
        let at = Duration::new(99, 5000);
        assert_eq!(judge(0x2000, 99, 5), (at, Stamp::Driver));
        assert_eq!(judge(0x12000, 99, 5), (at, Stamp::Exposure));
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
            assert_eq!(judge(flags, sec, usec), (now, Stamp::Arrival));
        }
    }

    /// Stamps in seconds, each judged a tenth of a second after the one before.
    fn judge_all(stamps: &[i64]) -> Vec<Stamp> {
        let mut clock = DriverClock::started(START);
        let mut now = Duration::from_secs(100);
        let mut judged = Vec::new();
        for &sec in stamps {
            judged.push(clock.judge(&metadata(0x2000, sec, 1), now).1);
            now += Duration::from_millis(100);
        }
        judged
    }

    #[test]
    fn another_clock_is_not_believed_again() {
        use Stamp::{Arrival, Driver};
        // Ahead, as one that is about to wrap; what follows the wrap looks only old.
        assert_eq!(judge_all(&[i64::MAX, 1, 99]), [Arrival; 3]);
        // From before the stream began.
        assert_eq!(judge_all(&[5, 99]), [Arrival; 2]);
        // Set back while it streams.
        assert_eq!(judge_all(&[99, 97, 99]), [Driver, Arrival, Arrival]);
    }

    #[test]
    fn a_moment_ahead_or_back_is_no_other_clock() {
        use Stamp::{Arrival, Driver};
        assert_eq!(judge_all(&[100, 99, 99]), [Arrival, Driver, Driver]);
        assert_eq!(judge_all(&[99, 98, 99]), [Driver; 3]);
    }
}
