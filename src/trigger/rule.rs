//! What a rule asks of its line.

use core::fmt;
use core::time::Duration;

use super::Level;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing recent is known: the pin has [`RuleSpec::safe`].
    Safe,
    /// The rule does not hold: the pin has the opposite of [`RuleSpec::active`].
    Off,
    /// The rule holds: the pin has [`RuleSpec::active`].
    On,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::Off => "off",
            Self::On => "on",
        })
    }
}

/// The least and the greatest [`RuleSpec::min_rate`], in results a second.
pub const MIN_RATES: (f32, f32) = (0.001, 1000.0);

/// When a line goes on and off, and which levels it then has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuleSpec {
    /// Area fraction from which the rule holds, above 0, at most 1. A fraction
    /// equal to it counts.
    pub on: f32,
    /// Area fraction below which the rule no longer holds, 0 to `on`. A fraction
    /// equal to it does not count, except that a fraction of 0 always counts: with
    /// `off = 0` the rule ends when not one pixel is left.
    pub off: f32,
    /// How long a fraction must stay at or over `on`, or below `off`, before the
    /// state changes, measured between capture stamps. Zero: the first result counts.
    pub dwell: Duration,
    /// The level while the rule is on.
    pub active: Level,
    /// The level while nothing recent is known; any of the two, whatever `active` is.
    pub safe: Level,
    /// Age, counted from capture, at which a result no longer says anything. None:
    /// a result is believed until the next.
    pub max_age: Option<Duration>,
    /// Least number of results a second, [`MIN_RATES`]. A line leaves its safe level
    /// only while the last [`RATE_RESULTS`](super::RATE_RESULTS) believed results
    /// came within the time that so many take at this rate. None: one result is
    /// enough.
    pub min_rate: Option<f32>,
}

impl RuleSpec {
    /// Checks the thresholds and the rate.
    ///
    /// # Errors
    /// A threshold or the rate is no finite number or out of its range, or `on` lies
    /// below `off`.
    pub fn check(&self) -> Result<(), SpecError> {
        // Written so that NaN, for which every comparison is false, is refused.
        if !(self.on > 0.0 && self.on <= 1.0) {
            return Err(SpecError::On { on: self.on });
        }
        if !(self.off >= 0.0 && self.off <= 1.0) {
            return Err(SpecError::Off { off: self.off });
        }
        if self.on < self.off {
            return Err(SpecError::OnBelowOff {
                on: self.on,
                off: self.off,
            });
        }
        let (least, greatest) = MIN_RATES;
        match self.min_rate {
            Some(rate) if !(rate >= least && rate <= greatest) => {
                Err(SpecError::MinRate { min_rate: rate })
            }
            _ => Ok(()),
        }
    }

    /// The pin level that belongs to a state.
    pub const fn level(&self, state: State) -> Level {
        match state {
            State::Safe => self.safe,
            State::Off => self.active.opposite(),
            State::On => self.active,
        }
    }
}

/// Why a [`RuleSpec`] makes no sense.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum SpecError {
    /// `on` is out of range.
    On {
        /// The value.
        on: f32,
    },
    /// `off` is out of range.
    Off {
        /// The value.
        off: f32,
    },
    /// The thresholds are the wrong way round.
    OnBelowOff {
        /// The on threshold.
        on: f32,
        /// The off threshold.
        off: f32,
    },
    /// `min_rate` is out of range.
    MinRate {
        /// The value.
        min_rate: f32,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On { on } => write!(
                f,
                "on = {on}: must be above 0 and at most 1 (a share of the region's area)"
            ),
            Self::Off { off } => write!(
                f,
                "off = {off}: must be from 0 to 1 (a share of the region's area)"
            ),
            Self::OnBelowOff { on, off } => write!(
                f,
                "on = {on} is below off = {off}: raise on, or lower off to {on} or less"
            ),
            Self::MinRate { min_rate } => write!(
                f,
                "min_rate = {min_rate}: must be from {} to {} (results a second)",
                MIN_RATES.0, MIN_RATES.1
            ),
        }
    }
}

impl core::error::Error for SpecError {}
