//! Rules that turn area fractions into pin levels: hysteresis, dwell, fail-safe.
//!
//! No std, no clock and no allocator: time comes in as a [`Duration`] since any
//! fixed start, the same for capture stamps and for `now`. A caller that waits asks
//! [`Line::next_deadline`] how long it may.
//!
//! A line is in one of three states:
//!
//! ```text
//!            >= on for dwell            < off for dwell
//!   Safe ───────────────────────> On ───────────────────> Off
//!    │                             ^                       │
//!    │        < off for dwell      └─── >= on for dwell ───┘
//!    └──────────────────────────────────────────────────> Off
//!   any state ── result too old, no number, fail_safe() ──> Safe
//! ```
//!
//! Polarity lives here and nowhere else: [`RuleSpec::active`] is the level that the
//! pin has while the rule is on.

use core::fmt;
use core::time::Duration;

use embedded_hal::digital::OutputPin;
use heapless::Vec;

/// The electrical level of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// 0 V.
    Low,
    /// The supply voltage of the pin.
    High,
}

impl Level {
    /// The other level.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::High => "high",
        })
    }
}

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
}

impl RuleSpec {
    /// Checks the thresholds.
    ///
    /// # Errors
    /// A threshold is no finite number or out of its range, or `on` lies below `off`.
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
        Ok(())
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
        }
    }
}

impl core::error::Error for SpecError {}

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
            latest: Duration::ZERO,
        };
        line.settle(Duration::ZERO)?;
        Ok(line)
    }

    /// Takes the area fraction of the frame captured at `captured`.
    ///
    /// The line goes safe at once if the fraction is no number from 0 to 1 or if
    /// the frame has already reached `max_age`. The dwell starts anew if the frame
    /// follows the one before by `max_age` or more, since nothing is known of the
    /// time between. A `captured` after `now` is taken as `now`.
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
        if self
            .captured
            .is_some_and(|last| self.too_old(last, captured))
        {
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

    /// Goes safe if the last result has reached `max_age`, counted from its capture.
    ///
    /// Returns an edge if the pin took a level that it was not known to have.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn expire(&mut self, now: Duration) -> Result<Option<Edge>, P::Error> {
        let now = self.advance(now);
        if self.captured.is_some_and(|last| self.too_old(last, now)) {
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
    /// while there is no result to grow old, or no `max_age`.
    ///
    /// A failed write sets no deadline: [`level`](Self::level) is none then, and the
    /// caller chooses when to try again.
    pub fn next_deadline(&self) -> Option<Duration> {
        // A sum past the end of time is a deadline that never comes.
        self.captured?.checked_add(self.spec.max_age?)
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

/// A pin of a [`Bank`] that could not be driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<E> {
    /// Index of the line in its bank.
    pub line: usize,
    /// What the pin said.
    pub error: E,
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.error)
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Fault<E> {}

/// All lines of a run, at most `N`.
///
/// Dropping a bank drives nothing: whoever owns it calls
/// [`fail_safe_all`](Self::fail_safe_all) before it lets go.
#[derive(Debug)]
pub struct Bank<P, const N: usize> {
    lines: Vec<Line<P>, N>,
}

impl<P, const N: usize> Default for Bank<P, N> {
    fn default() -> Self {
        Self { lines: Vec::new() }
    }
}

impl<P: OutputPin, const N: usize> Bank<P, N> {
    /// A bank without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line; its index is the number of lines before.
    ///
    /// # Errors
    /// Gives the line back if the bank already holds `N`.
    pub fn push(&mut self, line: Line<P>) -> Result<(), Line<P>> {
        self.lines.push(line)
    }

    /// The lines in the order of their indices.
    pub fn lines(&self) -> &[Line<P>] {
        &self.lines
    }

    /// [`Line::update`] for every line, with the fraction at its index. A line for
    /// which there is no fraction goes safe; fractions beyond the lines are ignored.
    ///
    /// `on_edge` is told index and edge of every pin that moved.
    ///
    /// # Errors
    /// The first pin that could not be driven; the others were driven all the same.
    pub fn update_all(
        &mut self,
        fractions: &[f32],
        captured: Duration,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |index, line| {
            let fraction = fractions.get(index).copied().unwrap_or(f32::NAN);
            line.update(fraction, captured, now)
        })
    }

    /// [`Line::expire`] for every line.
    ///
    /// # Errors
    /// As [`update_all`](Self::update_all).
    pub fn expire_all(
        &mut self,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |_, line| line.expire(now))
    }

    /// [`Line::fail_safe`] for every line.
    ///
    /// # Errors
    /// As [`update_all`](Self::update_all).
    pub fn fail_safe_all(
        &mut self,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |_, line| line.fail_safe(now))
    }

    /// The earliest [`Line::next_deadline`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lines.iter().filter_map(Line::next_deadline).min()
    }

    /// Runs `call` on every line, also after one has failed.
    fn for_all(
        &mut self,
        mut on_edge: impl FnMut(usize, Edge),
        mut call: impl FnMut(usize, &mut Line<P>) -> Result<Option<Edge>, P::Error>,
    ) -> Result<(), Fault<P::Error>> {
        let mut first = Ok(());
        for (index, line) in self.lines.iter_mut().enumerate() {
            match call(index, line) {
                Ok(Some(edge)) => on_edge(index, edge),
                Ok(None) => {}
                Err(error) if first.is_ok() => first = Err(Fault { line: index, error }),
                // Only the first is told; each is tried again at the next call.
                Err(_) => {}
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::convert::Infallible;
    use core::fmt;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use embedded_hal::digital::{ErrorKind, ErrorType};
    use proptest::prelude::*;

    use super::*;

    /// A pin whose levels the test sees.
    #[derive(Debug, Clone, Default)]
    struct Probe(Rc<RefCell<Vec<Level>>>);

    impl Probe {
        fn last(&self) -> Level {
            *self.0.borrow().last().unwrap()
        }
    }

    impl ErrorType for Probe {
        type Error = Infallible;
    }

    impl OutputPin for Probe {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().push(Level::Low);
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().push(Level::High);
            Ok(())
        }
    }

    /// A pin that fails while told so.
    #[derive(Debug, Clone, Default)]
    struct Loose {
        broken: Rc<RefCell<bool>>,
        probe: Probe,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("broken")
        }
    }

    impl embedded_hal::digital::Error for Broken {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    impl ErrorType for Loose {
        type Error = Broken;
    }

    impl OutputPin for Loose {
        fn set_low(&mut self) -> Result<(), Broken> {
            if *self.broken.borrow() {
                return Err(Broken);
            }
            self.probe.set_low().map_err(|never| match never {})
        }

        fn set_high(&mut self) -> Result<(), Broken> {
            if *self.broken.borrow() {
                return Err(Broken);
            }
            self.probe.set_high().map_err(|never| match never {})
        }
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const SPEC: RuleSpec = RuleSpec {
        on: 0.2,
        off: 0.1,
        dwell: ms(100),
        active: Level::High,
        safe: Level::Low,
        max_age: Some(ms(500)),
    };

    fn line(spec: RuleSpec) -> (Line<Probe>, Probe) {
        let probe = Probe::default();
        (Line::new(spec, probe.clone()).unwrap(), probe)
    }

    #[test]
    fn thresholds_are_checked() {
        let with = |on: f32, off: f32| RuleSpec { on, off, ..SPEC }.check();
        for (on, off) in [
            (0.2, 0.1),
            (0.2, 0.2),
            (1.0, 0.0),
            (1.0, 1.0),
            (f32::MIN_POSITIVE, 0.0),
        ] {
            assert_eq!(with(on, off), Ok(()));
        }
        assert_eq!(with(0.0, 0.0), Err(SpecError::On { on: 0.0 }));
        assert_eq!(with(-0.1, 0.0), Err(SpecError::On { on: -0.1 }));
        assert_eq!(with(1.1, 0.0), Err(SpecError::On { on: 1.1 }));
        assert_eq!(with(0.5, -0.1), Err(SpecError::Off { off: -0.1 }));
        assert_eq!(with(0.5, 1.5), Err(SpecError::Off { off: 1.5 }));
        assert_eq!(
            with(0.1, 0.2),
            Err(SpecError::OnBelowOff { on: 0.1, off: 0.2 })
        );
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(with(bad, 0.1), Err(SpecError::On { .. })));
            assert!(matches!(with(0.5, bad), Err(SpecError::Off { .. })));
        }
        let text = SpecError::OnBelowOff { on: 0.1, off: 0.2 }.to_string();
        assert!(
            text.contains("on = 0.1") && text.contains("below off = 0.2"),
            "{text}"
        );
    }

    #[test]
    fn safe_is_driven_first_of_all() {
        for safe in [Level::Low, Level::High] {
            for active in [Level::Low, Level::High] {
                let (line, probe) = line(RuleSpec {
                    safe,
                    active,
                    ..SPEC
                });
                assert_eq!(*probe.0.borrow(), [safe]);
                assert_eq!(line.state(), State::Safe);
                assert_eq!(line.level(), Some(safe));
                assert_eq!(line.next_deadline(), None);
            }
        }
    }

    /// What the test does to a line at a time in milliseconds.
    enum Do {
        /// A result of that fraction, captured now.
        See(f32),
        /// A result of that fraction, captured at that time.
        SeeFrom(f32, u64),
        Expire,
        FailSafe,
    }
    use Do::{Expire, FailSafe, See, SeeFrom};
    use Level::{High, Low};
    use State::{Off, On, Safe};

    /// Runs steps and compares state and edge after each.
    fn play(spec: RuleSpec, steps: &[(u64, Do, State, Option<Level>)]) {
        let (mut line, probe) = line(spec);
        for (index, (at, action, state, edge)) in steps.iter().enumerate() {
            let now = ms(*at);
            let got = match action {
                See(fraction) => line.update(*fraction, now, now),
                SeeFrom(fraction, captured) => line.update(*fraction, ms(*captured), now),
                Expire => line.expire(now),
                FailSafe => line.fail_safe(now),
            }
            .unwrap();
            assert_eq!(line.state(), *state, "state after step {index}");
            assert_eq!(got.map(|edge| edge.level), *edge, "edge of step {index}");
            if let Some(edge) = got {
                assert_eq!((edge.at, edge.state), (now, *state), "step {index}");
            }
            assert_eq!(probe.last(), spec.level(*state), "pin after step {index}");
        }
    }

    #[test]
    fn on_and_off_after_dwell() {
        play(
            SPEC,
            &[
                (0, See(0.0), Safe, None),
                (99, See(0.05), Safe, None),
                // Off has the safe level here: a new state, no edge.
                (100, See(0.05), Off, None),
                (200, See(0.2), Off, None),
                (299, See(0.9), Off, None),
                (300, See(0.2), On, Some(High)),
                (400, See(0.05), On, None),
                (499, See(0.0), On, None),
                (500, See(0.0999), Off, Some(Low)),
            ],
        );
    }

    #[test]
    fn exactly_at_the_thresholds() {
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        play(
            spec,
            &[
                (0, See(0.1), Safe, None),
                (1, See(0.2), On, Some(High)),
                (2, See(0.1), On, None),
                (3, See(0.0999), Off, Some(Low)),
                (4, See(0.1999), Off, None),
            ],
        );
        // One threshold for both ways.
        play(
            RuleSpec { off: 0.2, ..spec },
            &[
                (0, See(0.19), Off, None),
                (1, See(0.2), On, Some(High)),
                (2, See(0.19), Off, Some(Low)),
            ],
        );
        // off = 0 means: not one pixel left.
        play(
            RuleSpec { off: 0.0, ..spec },
            &[
                (0, See(0.2), On, Some(High)),
                (1, See(0.0001), On, None),
                (2, See(0.0), Off, Some(Low)),
            ],
        );
    }

    #[test]
    fn dwell_starts_anew_when_the_condition_breaks() {
        play(
            SPEC,
            &[
                (0, See(0.3), Safe, None),
                (90, See(0.3), Safe, None),
                (95, See(0.15), Safe, None),
                (100, See(0.3), Safe, None),
                (190, See(0.3), Safe, None),
                (195, See(0.0), Safe, None),
                (200, See(0.3), Safe, None),
                (300, See(0.3), On, Some(High)),
                (310, See(0.05), On, None),
                (400, See(0.1), On, None),
                (410, See(0.05), On, None),
                (509, See(0.05), On, None),
                (510, See(0.05), Off, Some(Low)),
            ],
        );
    }

    #[test]
    fn dwell_counts_captures_not_arrivals() {
        play(
            SPEC,
            &[
                (200, SeeFrom(0.3, 0), Safe, None),
                (400, SeeFrom(0.3, 99), Safe, None),
                (401, SeeFrom(0.3, 100), On, Some(High)),
            ],
        );
    }

    #[test]
    fn expires_at_max_age_counted_from_capture() {
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        play(
            spec,
            &[
                (100, SeeFrom(0.3, 0), On, Some(High)),
                (499, Expire, On, None),
                (500, Expire, Safe, Some(Low)),
                (501, Expire, Safe, None),
                // A result that comes too late changes nothing, a new one does.
                (502, SeeFrom(0.9, 2), Safe, None),
                (503, SeeFrom(0.9, 4), On, Some(High)),
                (504, Expire, Safe, Some(Low)),
            ],
        );
        // The safe level may be the active one.
        play(
            RuleSpec { safe: High, ..spec },
            &[
                (0, See(0.0), Off, Some(Low)),
                (500, Expire, Safe, Some(High)),
                (501, See(0.15), Safe, None),
                (502, See(0.3), On, None),
                (503, See(0.0), Off, Some(Low)),
            ],
        );
        play(
            RuleSpec {
                max_age: None,
                ..spec
            },
            &[(0, See(0.3), On, Some(High)), (1 << 40, Expire, On, None)],
        );
    }

    #[test]
    fn an_unobserved_gap_breaks_the_dwell() {
        play(
            SPEC,
            &[
                (0, See(0.3), Safe, None),
                (500, See(0.3), Safe, None),
                (599, See(0.3), Safe, None),
                (600, See(0.3), On, Some(High)),
            ],
        );
    }

    #[test]
    fn fail_safe_forgets_everything() {
        play(
            SPEC,
            &[
                (0, See(0.3), Safe, None),
                (100, See(0.3), On, Some(High)),
                (110, FailSafe, Safe, Some(Low)),
                (111, FailSafe, Safe, None),
                (120, See(0.3), Safe, None),
                (220, See(0.3), On, Some(High)),
            ],
        );
    }

    #[test]
    fn no_number_is_fail_safe() {
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.01, 1.01] {
            play(
                spec,
                &[
                    (0, See(0.3), On, Some(High)),
                    (1, See(bad), Safe, Some(Low)),
                ],
            );
        }
    }

    #[test]
    fn an_unchecked_spec_never_leaves_safe() {
        for (on, off) in [(0.0, 0.0), (f32::NAN, 0.1), (0.1, 0.2), (0.5, -1.0)] {
            let spec = RuleSpec {
                on,
                off,
                dwell: ms(0),
                ..SPEC
            };
            play(
                spec,
                &[(0, See(0.0), Safe, None), (1, See(1.0), Safe, None)],
            );
        }
    }

    #[test]
    fn polarity_is_applied_once() {
        let spec = RuleSpec {
            dwell: ms(0),
            active: Low,
            safe: High,
            ..SPEC
        };
        play(
            spec,
            &[
                (0, See(0.0), Off, None),
                (1, See(0.3), On, Some(Low)),
                (2, FailSafe, Safe, Some(High)),
            ],
        );
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_younger() {
        let (mut line, _) = line(RuleSpec {
            dwell: ms(0),
            ..SPEC
        });
        line.update(0.3, ms(1000), ms(1000)).unwrap();
        assert_eq!(line.expire(ms(1499)).unwrap(), None);
        // Taken as 1499, the latest seen.
        assert_eq!(line.expire(ms(10)).unwrap(), None);
        let edge = line.fail_safe(ms(10)).unwrap().unwrap();
        assert_eq!(edge.at, ms(1499));
        // A stamp from the future is as young as now, no younger.
        line.update(0.3, ms(9000), ms(1500)).unwrap();
        assert_eq!(line.next_deadline(), Some(ms(2000)));
    }

    #[test]
    fn the_deadline_is_when_expire_acts() {
        let (mut line, _) = line(SPEC);
        line.update(0.0, ms(100), ms(130)).unwrap();
        assert_eq!(line.next_deadline(), Some(ms(600)));
        line.expire(ms(599)).unwrap();
        assert!(line.next_deadline().is_some());
        line.expire(ms(600)).unwrap();
        assert_eq!(line.state(), Safe);
        assert_eq!(line.next_deadline(), None);
        // No deadline past the end of time.
        line.update(0.0, Duration::MAX, Duration::MAX).unwrap();
        assert_eq!(line.next_deadline(), None);
    }

    #[test]
    fn a_failed_pin_is_tried_again() {
        let pin = Loose::default();
        *pin.broken.borrow_mut() = true;
        assert_eq!(Line::new(SPEC, pin.clone()).unwrap_err(), Broken);

        *pin.broken.borrow_mut() = false;
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        let mut line = Line::new(spec, pin.clone()).unwrap();
        *pin.broken.borrow_mut() = true;
        assert_eq!(line.update(0.3, ms(1), ms(1)), Err(Broken));
        assert_eq!((line.state(), line.level()), (On, None));
        assert_eq!(line.update(0.3, ms(2), ms(2)), Err(Broken));
        assert_eq!(line.expire(ms(3)), Err(Broken));
        *pin.broken.borrow_mut() = false;
        let edge = Edge {
            at: ms(4),
            level: High,
            state: On,
        };
        assert_eq!(line.expire(ms(4)), Ok(Some(edge)));

        // The level after a failure is unknown, so even the old one is driven again.
        *pin.broken.borrow_mut() = true;
        assert_eq!(line.fail_safe(ms(5)), Err(Broken));
        *pin.broken.borrow_mut() = false;
        let edge = Edge {
            at: ms(6),
            level: High,
            state: On,
        };
        assert_eq!(line.update(0.3, ms(6), ms(6)), Ok(Some(edge)));
    }

    #[test]
    fn a_bank_drives_every_line_though_one_fails() {
        let pins: Vec<Loose> = (0..3).map(|_| Loose::default()).collect();
        let mut bank: Bank<Loose, 3> = Bank::new();
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        for pin in &pins {
            bank.push(Line::new(spec, pin.clone()).unwrap()).unwrap();
        }
        let extra = Line::new(spec, Loose::default()).unwrap();
        assert!(bank.push(extra).is_err(), "a full bank gives the line back");

        let mut edges = vec![];
        bank.update_all(&[0.3, 0.0, 0.3], ms(1), ms(1), |line, edge| {
            edges.push((line, edge.level))
        })
        .unwrap();
        assert_eq!(edges, [(0, High), (2, High)]);
        assert_eq!(bank.next_deadline(), Some(ms(501)));

        *pins[0].broken.borrow_mut() = true;
        edges.clear();
        let fault = bank
            .fail_safe_all(ms(2), |line, edge| edges.push((line, edge.level)))
            .unwrap_err();
        assert_eq!(
            fault,
            Fault {
                line: 0,
                error: Broken
            }
        );
        assert_eq!(fault.to_string(), "line 0: broken");
        assert_eq!(edges, [(2, Low)]);
        assert_eq!(bank.lines()[2].state(), Safe);

        *pins[0].broken.borrow_mut() = false;
        edges.clear();
        bank.expire_all(ms(3), |line, edge| edges.push((line, edge.level)))
            .unwrap();
        assert_eq!(edges, [(0, Low)]);
    }

    #[test]
    fn a_line_without_a_fraction_goes_safe() {
        let mut bank: Bank<Probe, 2> = Bank::new();
        let spec = RuleSpec {
            dwell: ms(0),
            ..SPEC
        };
        for _ in 0..2 {
            bank.push(line(spec).0).unwrap();
        }
        bank.update_all(&[0.3, 0.3], ms(1), ms(1), |_, _| {})
            .unwrap();
        bank.update_all(&[0.3], ms(2), ms(2), |_, _| {}).unwrap();
        let states: Vec<State> = bank.lines().iter().map(Line::state).collect();
        assert_eq!(states, [On, Safe]);
        bank.expire_all(ms(502), |_, _| {}).unwrap();
        assert!(bank.lines().iter().all(|line| line.state() == Safe));
        assert_eq!(bank.next_deadline(), None);
    }

    #[derive(Debug, Clone)]
    enum Event {
        Result { fraction: f32, latency: u64 },
        Expire,
        FailSafe,
    }

    fn fraction() -> impl Strategy<Value = f32> {
        prop_oneof![
            6 => 0.0f32..=1.0,
            // Values around the thresholds, the thresholds themselves and no number.
            4 => prop::sample::select(&[0.0, 0.0999, 0.1, 0.15, 0.1999, 0.2, 1.0, f32::NAN][..]),
        ]
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let event = prop_oneof![
            8 => (fraction(), 0u64..700).prop_map(|(fraction, latency)| Event::Result { fraction, latency }),
            2 => Just(Event::Expire),
            1 => Just(Event::FailSafe),
        ];
        prop::collection::vec((0u64..200, event), 0..80)
    }

    fn spec() -> impl Strategy<Value = RuleSpec> {
        let level = || prop::sample::select(&[Low, High][..]);
        let age = prop::option::of((1u64..600).prop_map(ms));
        (0u64..300, level(), level(), age).prop_map(|(dwell, active, safe, max_age)| RuleSpec {
            dwell: ms(dwell),
            active,
            safe,
            max_age,
            ..SPEC
        })
    }

    proptest! {
        /// On only after `dwell` of results at or over `on`; safe after every expiry
        /// that is due; the pin always at the state's level.
        #[test]
        fn promises_hold(spec in spec(), events in events()) {
            let (mut line, probe) = line(spec);
            let mut now = Duration::ZERO;
            let mut newest = Duration::ZERO;
            // Captures of the unbroken run of results at or over `on`.
            let mut run: Option<Duration> = None;
            for (wait, event) in events {
                now += ms(wait);
                let before = line.state();
                match event {
                    Event::Result { fraction, latency } => {
                        // Captures come in order, as sources deliver them.
                        let captured = now.saturating_sub(ms(latency)).max(newest);
                        newest = captured;
                        line.update(fraction, captured, now).unwrap();
                        let stale = spec.max_age.is_some_and(|max| now - captured >= max);
                        if fraction >= spec.on && !stale {
                            let since = *run.get_or_insert(captured);
                            if line.state() == On && before != On {
                                prop_assert!(captured - since >= spec.dwell);
                            }
                        } else {
                            run = None;
                            prop_assert!(line.state() != On || before == On);
                        }
                        if stale || fraction.is_nan() {
                            prop_assert_eq!(line.state(), Safe);
                        }
                    }
                    Event::Expire => {
                        let due = line.next_deadline().is_some_and(|deadline| deadline <= now);
                        line.expire(now).unwrap();
                        if due {
                            prop_assert_eq!(line.state(), Safe);
                            run = None;
                        } else {
                            prop_assert_eq!(line.state(), before);
                        }
                    }
                    Event::FailSafe => {
                        line.fail_safe(now).unwrap();
                        prop_assert_eq!(line.state(), Safe);
                        run = None;
                    }
                }
                prop_assert_eq!(probe.last(), spec.level(line.state()));
                prop_assert_eq!(line.level(), Some(probe.last()));
            }
            // The pin is written for real changes only.
            let levels = probe.0.borrow();
            prop_assert!(levels.windows(2).all(|pair| pair[0] != pair[1]));
        }

        /// Noise between the thresholds moves nothing, whatever the state was.
        #[test]
        fn no_chatter_between_the_thresholds(
            start in prop::sample::select(&[0.0f32, 1.0][..]),
            noise in prop::collection::vec(0.1f32..0.2, 1..100),
        ) {
            let (mut line, probe) = line(RuleSpec { dwell: ms(0), ..SPEC });
            line.update(start, ms(0), ms(0)).unwrap();
            let state = line.state();
            let writes = probe.0.borrow().len();
            for (index, fraction) in noise.into_iter().enumerate() {
                let now = ms(index as u64);
                line.update(fraction, now, now).unwrap();
                prop_assert_eq!(line.state(), state);
            }
            prop_assert_eq!(probe.0.borrow().len(), writes);
        }
    }
}
