//! What a camera's lists of formats, sizes and rates say.

use v4l::fraction::Fraction;
use v4l::frameinterval::{FrameInterval, FrameIntervalEnum};
use v4l::framesize::{FrameSize, FrameSizeEnum};

/// A format on offer, as far as it concerns one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// The format's four characters.
    pub(super) fourcc: [u8; 4],
    /// Whether the wanted size is listed; `None` if the driver lists no sizes.
    pub(super) has_size: Option<bool>,
    /// Whether the wanted rate is listed at that size; `None` if none is wanted or
    /// the driver lists no rates.
    pub(super) has_rate: Option<bool>,
}

/// Whether `width` x `height` is among `sizes`; `None` if there are none.
pub(super) fn lists_size(sizes: &[FrameSize], width: u32, height: u32) -> Option<bool> {
    if sizes.is_empty() {
        return None;
    }
    Some(sizes.iter().any(|listed| match &listed.size {
        FrameSizeEnum::Discrete(size) => (size.width, size.height) == (width, height),
        FrameSizeEnum::Stepwise(range) => {
            steps_to(width, range.min_width, range.max_width, range.step_width)
                && steps_to(
                    height,
                    range.min_height,
                    range.max_height,
                    range.step_height,
                )
        }
    }))
}

fn steps_to(wanted: u32, min: u32, max: u32, step: u32) -> bool {
    // A step of 0 is a driver's way to say "any".
    (min..=max).contains(&wanted) && (wanted - min).is_multiple_of(step.max(1))
}

/// Whether `fps` can be reached with one of `intervals`; `None` if there are none.
pub(super) fn lists_rate(intervals: &[FrameInterval], fps: f32) -> Option<bool> {
    if intervals.is_empty() {
        return None;
    }
    Some(intervals.iter().any(|listed| match &listed.interval {
        FrameIntervalEnum::Discrete(interval) => {
            rate(*interval).is_some_and(|listed| same_rate(listed, f64::from(fps)))
        }
        // Intervals, so the shortest is the fastest.
        FrameIntervalEnum::Stepwise(range) => {
            rate(range.min).is_none_or(|most| f64::from(fps) <= most * 1.01)
                && rate(range.max).is_none_or(|least| f64::from(fps) >= least * 0.99)
        }
    }))
}

/// Frames a second for an interval in seconds; `None` if it is no number.
pub(super) fn rate(interval: Fraction) -> Option<f64> {
    (interval.numerator > 0 && interval.denominator > 0)
        .then(|| f64::from(interval.denominator) / f64::from(interval.numerator))
}

/// Whether two rates mean the same: drivers give 30 where 29.97 was asked for.
pub(super) fn same_rate(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.abs().max(other.abs()) * 0.01
}

/// A rate with at most two decimals and no trailing zeros.
pub(super) fn rate_text(fps: f64) -> String {
    let text = format!("{fps:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A size entry as text, such as `640x480` or `48x48 to 1920x1080`.
pub(super) fn size_text(size: &FrameSizeEnum) -> String {
    match size {
        FrameSizeEnum::Discrete(size) => format!("{}x{}", size.width, size.height),
        FrameSizeEnum::Stepwise(range) => format!(
            "{}x{} to {}x{}",
            range.min_width, range.min_height, range.max_width, range.max_height
        ),
    }
}

/// A rate entry as text, such as `30` or `1 to 60`, in frames a second.
pub(super) fn interval_text(interval: &FrameIntervalEnum) -> Option<String> {
    match interval {
        FrameIntervalEnum::Discrete(interval) => rate(*interval).map(rate_text),
        FrameIntervalEnum::Stepwise(range) => Some(format!(
            "{} to {}",
            rate_text(rate(range.max)?),
            rate_text(rate(range.min)?)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::FourCC;
    use v4l::frameinterval::Stepwise as Intervals;
    use v4l::framesize::{Discrete, Stepwise};

    fn size(size: FrameSizeEnum) -> FrameSize {
        FrameSize {
            index: 0,
            fourcc: FourCC::new(b"YUYV"),
            typ: 0,
            size,
        }
    }

    fn interval(interval: FrameIntervalEnum) -> FrameInterval {
        FrameInterval {
            index: 0,
            fourcc: FourCC::new(b"YUYV"),
            width: 640,
            height: 480,
            typ: 0,
            interval,
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(lists_size(&[], 640, 480), None);
        let one = [size(FrameSizeEnum::Discrete(Discrete {
            width: 640,
            height: 480,
        }))];
        assert_eq!(lists_size(&one, 640, 480), Some(true));
        assert_eq!(lists_size(&one, 640, 360), Some(false));
        let range = |step| {
            [size(FrameSizeEnum::Stepwise(Stepwise {
                min_width: 32,
                max_width: 1920,
                step_width: step,
                min_height: 32,
                max_height: 1080,
                step_height: step,
            }))]
        };
        assert_eq!(lists_size(&range(16), 640, 480), Some(true));
        assert_eq!(lists_size(&range(16), 641, 480), Some(false));
        assert_eq!(lists_size(&range(0), 641, 480), Some(true));
        assert_eq!(lists_size(&range(16), 3840, 480), Some(false));
        assert_eq!(size_text(&range(16)[0].size), "32x32 to 1920x1080");
    }

    #[test]
    fn rates() {
        assert_eq!(lists_rate(&[], 30.0), None);
        let one = [interval(FrameIntervalEnum::Discrete(Fraction::new(1, 30)))];
        assert_eq!(lists_rate(&one, 30.0), Some(true));
        assert_eq!(lists_rate(&one, 29.97), Some(true));
        assert_eq!(lists_rate(&one, 15.0), Some(false));
        let range = [interval(FrameIntervalEnum::Stepwise(Intervals {
            min: Fraction::new(1, 60),
            max: Fraction::new(1, 1),
            step: Fraction::new(1, 1),
        }))];
        assert_eq!(lists_rate(&range, 30.0), Some(true));
        assert_eq!(lists_rate(&range, 61.0), Some(false));
        assert_eq!(
            interval_text(&range[0].interval).as_deref(),
            Some("1 to 60")
        );
        assert_eq!(rate(Fraction::new(0, 30)), None);
        assert_eq!(rate(Fraction::new(1, 0)), None);
        assert_eq!(rate_text(30_000.0 / 1001.0), "29.97");
        assert_eq!(rate_text(7.5), "7.5");
    }
}
