//! A line that shows by its edges that results are fresh.

use core::time::Duration;

use embedded_hal::digital::OutputPin;

use super::Level;

/// How a [`Heartbeat`] beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatSpec {
    /// Least time between two edges.
    pub interval: Duration,
    /// A result whose frame is older than this gives no beat.
    pub max_age: Duration,
}

/// A pin that changes its level with fresh results, and with nothing else.
///
/// What watches it waits for the next edge: a level says nothing. When results stop
/// the pin keeps the level it has, since one more edge would be a sign of life.
#[derive(Debug)]
pub struct Heartbeat<P> {
    pin: P,
    spec: HeartbeatSpec,
    level: Level,
    last: Option<Duration>,
}

impl<P: OutputPin> Heartbeat<P> {
    /// Takes the pin and drives it low.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn new(mut pin: P, spec: HeartbeatSpec) -> Result<Self, P::Error> {
        pin.set_low()?;
        Ok(Self {
            pin,
            spec,
            level: Level::Low,
            last: None,
        })
    }

    /// Changes the level for a result from the frame captured at `captured`, unless
    /// that is too old or the level was changed less than the interval ago; gives the
    /// new level.
    ///
    /// # Errors
    /// The pin could not be driven. The next beat asks for the same level.
    pub fn beat(&mut self, captured: Duration, now: Duration) -> Result<Option<Level>, P::Error> {
        let since = |past: Duration| now.saturating_sub(past);
        let early = self
            .last
            .is_some_and(|last| since(last) < self.spec.interval);
        if early || since(captured) >= self.spec.max_age {
            return Ok(None);
        }
        let level = self.level.opposite();
        match level {
            Level::Low => self.pin.set_low()?,
            Level::High => self.pin.set_high()?,
        }
        self.level = level;
        self.last = Some(now);
        Ok(Some(level))
    }
}
