//! A line that shows by its edges that results are fresh.

use core::time::Duration;

use embedded_hal::digital::OutputPin;

use super::Level;

/// A pin that changes its level with fresh results, and with nothing else.
///
/// What watches it waits for the next edge: a level says nothing. When results stop
/// the pin keeps the level it has, since one more edge would be a sign of life.
#[derive(Debug)]
pub struct Heartbeat<P> {
    pin: P,
    interval: Duration,
    level: Level,
    last: Option<Duration>,
}

impl<P: OutputPin> Heartbeat<P> {
    /// Takes the pin and drives it low. Two edges are `interval` or more apart.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn new(mut pin: P, interval: Duration) -> Result<Self, P::Error> {
        pin.set_low()?;
        Ok(Self {
            pin,
            interval,
            level: Level::Low,
            last: None,
        })
    }

    /// Changes the level unless it was changed less than the interval ago; gives
    /// the new level.
    ///
    /// # Errors
    /// The pin could not be driven. The next beat asks for the same level.
    pub fn beat(&mut self, now: Duration) -> Result<Option<Level>, P::Error> {
        if self
            .last
            .is_some_and(|last| now.saturating_sub(last) < self.interval)
        {
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
