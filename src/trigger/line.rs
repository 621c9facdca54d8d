//! One rule bound to one pin.

use core::time::Duration;

use embedded_hal::digital::OutputPin;

use super::rate::Rate;
use super::{Level, RuleSpec, State};

/// A level that a pin has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The caller's `now` of the call that drove the pin.
    pub at: Duration,
    /// The new level.
    pub level: Level,
    /// The state that asked for it.
    pub state: State,
}

/// One rule bound to one pin.
#[derive(Debug)]
pub struct Line<P> {
    spec: RuleSpec,
    pin: P,
    state: State,
    /// The level that the pin is known to have; none after a failed write.
    driven: Option<Level>,
    /// The state that the fractions ask for, and since which capture.
    candidate: Option<(State, Duration)>,
    /// Capture stamp of the last believed result.
    captured: Option<Duration>,
    /// When the last believed results came.
    rate: Rate,
    /// The latest `now` seen, so that a clock that goes back makes nothing younger.
    latest: Duration,
}

impl<P: OutputPin> Line<P> {
    /// Takes the pin and, before anything else, drives it to `spec.safe`.
    ///
    /// The caller has [checked](RuleSpec::check) the spec; a line with a bad one
    /// never leaves its safe level.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn new(spec: RuleSpec, pin: P) -> Result<Self, P::Error> {
        let mut line = Self {
            spec,
            pin,
            state: State::Safe,
            driven: None,
            candidate: None,
            captured: None,
            rate: Rate::default(),
            latest: Duration::ZERO,
        };
        line.settle(Duration::ZERO)?;
        Ok(line)
    }

    /// Takes the area fraction of the frame captured at `captured`.
    ///
    /// The line goes safe at once if the fraction is no number from 0 to 1, if the
    /// frame has already reached `max_age`, or if results come at less than
    /// `min_rate`. If the result before has reached `max_age` by now,
    /// the line counts as safe before this one is looked at, and its dwell starts
    /// anew: nothing is known of the time between. A `captured` after `now` is taken as `now`.
    ///
    /// Returns an edge if the pin took a level that it was not known to have.
    ///
    /// # Errors
    /// The pin could not be driven. The state stands, and the next call of any kind
    /// drives the pin again.
    pub fn update(
        &mut self,
        fraction: f32,
        captured: Duration,
        now: Duration,
    ) -> Result<Option<Edge>, P::Error> {
        let now = self.advance(now);
        let captured = captured.min(now);
        let number = (0.0..=1.0).contains(&fraction) && self.spec.check().is_ok();
        if !number || self.too_old(captured, now) {
            return self.fail_safe(now);
        }
        self.rate.note(now);
        if self.too_few(now) {
            return self.fail_safe(now);
        }
        if self.captured.is_some_and(|last| self.too_old(last, now)) {
            self.state = State::Safe;
            self.candidate = None;
        }
        self.captured = Some(captured);

        let asked = if fraction >= self.spec.on {
            Some(State::On)
        } else if fraction < self.spec.off || fraction == 0.0 {
            Some(State::Off)
        } else {
            None
        };
        self.candidate = match asked {
            Some(state) if state != self.state => {
                let since = match self.candidate {
                    Some((same, since)) if same == state => since,
                    _ => captured,
                };
                if captured.saturating_sub(since) >= self.spec.dwell {
                    self.state = state;
                    None
                } else {
                    Some((state, since))
                }
            }
            _ => None,
        };
        self.settle(now)
    }

    /// Goes safe if the last result has reached `max_age`, counted from its capture,
    /// or if results have come at less than `min_rate`.
    ///
    /// Returns an edge if the pin took a level that it was not known to have.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn expire(&mut self, now: Duration) -> Result<Option<Edge>, P::Error> {
        let now = self.advance(now);
        if self
            .captured
            .is_some_and(|last| self.too_old(last, now) || self.too_few(now))
        {
            return self.fail_safe(now);
        }
        self.settle(now)
    }

    /// Goes safe now. Results that come later bring the line back by the usual
    /// rules, dwell included.
    ///
    /// Returns an edge if the pin took a level that it was not known to have.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn fail_safe(&mut self, now: Duration) -> Result<Option<Edge>, P::Error> {
        let now = self.advance(now);
        self.state = State::Safe;
        self.candidate = None;
        self.captured = None;
        self.settle(now)
    }

    /// When [`expire`](Self::expire) must be called if no result comes before; none
    /// while there is no result to grow old, or neither `max_age` nor `min_rate`.
    ///
    /// A failed write sets no deadline: [`level`](Self::level) is none then, and the
    /// caller chooses when to try again.
    pub fn next_deadline(&self) -> Option<Duration> {
        let captured = self.captured?;
        // A sum past the end of time is a deadline that never comes.
        let old = self.spec.max_age.and_then(|age| captured.checked_add(age));
        let few = self.spec.min_rate.and_then(|min| self.rate.kept_until(min));
        match (old, few) {
            (Some(old), Some(few)) => Some(old.min(few)),
            (one, other) => one.or(other),
        }
    }

    /// Whether the line has a result that is young enough, and enough of them: it is
    /// at its safe level if not.
    pub fn is_fresh(&self) -> bool {
        self.captured.is_some()
    }

    /// The same pin under another rule, of which nothing is known yet: the state is
    /// safe, and the next call of any kind drives the pin to the new safe level.
    pub fn rebind(self, spec: RuleSpec) -> Self {
        Self {
            spec,
            state: State::Safe,
            driven: None,
            candidate: None,
            captured: None,
            rate: Rate::default(),
            ..self
        }
    }

    /// The rule.
    pub fn spec(&self) -> &RuleSpec {
        &self.spec
    }

    /// The state, whether or not the pin could be driven to its level.
    pub fn state(&self) -> State {
        self.state
    }

    /// The level that the pin is known to have; none after a failed write.
    pub fn level(&self) -> Option<Level> {
        self.driven
    }

    fn advance(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn too_old(&self, captured: Duration, now: Duration) -> bool {
        self.spec
            .max_age
            .is_some_and(|max_age| now.saturating_sub(captured) >= max_age)
    }

    fn too_few(&self, now: Duration) -> bool {
        self.spec
            .min_rate
            .is_some_and(|min| self.rate.kept_until(min).is_none_or(|until| now >= until))
    }

    /// Brings the pin to the state's level unless it is known to be there.
    fn settle(&mut self, now: Duration) -> Result<Option<Edge>, P::Error> {
        let level = self.spec.level(self.state);
        if self.driven == Some(level) {
            return Ok(None);
        }
        // A failed write leaves the level unknown, not at what it was.
        self.driven = None;
        match level {
            Level::Low => self.pin.set_low()?,
            Level::High => self.pin.set_high()?,
        }
        self.driven = Some(level);
        Ok(Some(Edge {
            at: now,
            level,
            state: self.state,
        }))
    }
}
