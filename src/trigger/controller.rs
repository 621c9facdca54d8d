//! All that decides about levels: the lines, the heartbeat and the state of the run.

use core::time::Duration;

use embedded_hal::digital::OutputPin;

use super::{Bank, Edge, Event, Fault, Heartbeat, Level, Line, RunState, StateMachine, Transition};

/// How long after a fault of the source or of a pin a run counts as degraded.
pub const FAULT_HOLD: Duration = Duration::from_secs(1);

/// How long a pin that could not be driven is left before it is tried again.
pub const RETRY: Duration = Duration::from_millis(10);

/// How long a result counts where no rule says so: in a run without rules, and for
/// the heartbeat.
pub const PULSE: Duration = Duration::from_secs(1);

/// What a call of a [`Controller`] brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice<E> {
    /// A line's pin took a level that it was not known to have.
    Edge {
        /// Index of the line.
        line: usize,
        /// The level and the state that asked for it.
        edge: Edge,
    },
    /// The heartbeat changed its level.
    Beat(Level),
    /// The run is in another state.
    Changed(Transition),
    /// A pin could not be driven: a line's, by its index, or the heartbeat's. Of
    /// several lines at once, the first is told.
    PinFault {
        /// The line; none for the heartbeat.
        line: Option<usize>,
        /// What the pin said.
        error: E,
    },
}

/// The lines of a run, its heartbeat and its [state](RunState): results and times in, levels and
/// notices out.
///
/// Times are those of one clock; one that goes back counts as standing still.
#[derive(Debug)]
pub struct Controller<P, const N: usize> {
    bank: Bank<P, N>,
    heartbeat: Option<Heartbeat<P>>,
    machine: StateMachine,
    /// Capture stamp of the newest result.
    captured: Option<Duration>,
    /// The last fault, and when it happened.
    fault: Option<(Event, Duration)>,
    /// Since when a line's pin cannot be driven.
    failing: Option<Duration>,
    /// The lines went safe for good.
    over: bool,
    latest: Duration,
}

impl<P: OutputPin, const N: usize> Controller<P, N> {
    /// A controller of these lines, which are at their safe levels.
    pub fn new(bank: Bank<P, N>, heartbeat: Option<Heartbeat<P>>) -> Self {
        Self {
            bank,
            heartbeat,
            machine: StateMachine::default(),
            captured: None,
            fault: None,
            failing: None,
            over: false,
            latest: Duration::ZERO,
        }
    }

    /// Takes a result: a number for each line, from the frame captured at `captured`.
    /// A line without one goes safe, and after [`fail_safe`](Self::fail_safe) all do.
    pub fn result(
        &mut self,
        values: &[f32],
        captured: Duration,
        now: Duration,
        mut tell: impl FnMut(Notice<P::Error>),
    ) {
        if self.over {
            return self.expire(now, tell);
        }
        let now = self.advance(now);
        let captured = captured.min(now);
        self.captured = Some(self.captured.map_or(captured, |last| last.max(captured)));
        let told = |line, edge| tell(Notice::Edge { line, edge });
        let driven = self.bank.update_all(values, captured, now, told);
        self.judge(driven, now, &mut tell);

        if self.state() == RunState::Live {
            let beat = self
                .heartbeat
                .as_mut()
                .map(|heart| heart.beat(captured, now));
            match beat {
                None | Some(Ok(None)) => {}
                Some(Ok(Some(level))) => tell(Notice::Beat(level)),
                Some(Err(error)) => {
                    tell(Notice::PinFault { line: None, error });
                    self.fault = Some((Event::PinFault, now));
                    self.judge(Ok(()), now, &mut tell);
                }
            }
        }
    }

    /// Does what is due: lines without a result in time go safe, and pins that could
    /// not be driven are tried again.
    pub fn expire(&mut self, now: Duration, mut tell: impl FnMut(Notice<P::Error>)) {
        let now = self.advance(now);
        let told = |line, edge| tell(Notice::Edge { line, edge });
        let driven = self.bank.expire_all(now, told);
        self.judge(driven, now, &mut tell);
    }

    /// Notes that the source has reported a fault, though results may go on, and does
    /// what is due.
    pub fn source_fault(&mut self, now: Duration, tell: impl FnMut(Notice<P::Error>)) {
        let now = self.advance(now);
        self.fault = Some((Event::SourceFault, now));
        self.expire(now, tell);
    }

    /// Every line goes safe and stays so, whatever comes: the run is about to end.
    pub fn fail_safe(&mut self, now: Duration, mut tell: impl FnMut(Notice<P::Error>)) {
        let now = self.advance(now);
        self.over = true;
        let told = |line, edge| tell(Notice::Edge { line, edge });
        let driven = self.bank.fail_safe_all(now, told);
        self.judge(driven, now, &mut tell);
    }

    /// The run has ended; the lines have [gone safe](Self::fail_safe) before.
    pub fn stop(&mut self, mut tell: impl FnMut(Notice<P::Error>)) {
        if let Some(transition) = self.machine.on(Event::Stop) {
            tell(Notice::Changed(transition));
        }
    }

    /// Puts other lines in the place of those there are. `exchange` gets these in
    /// the order of their indices; one that it does not give back it has made safe.
    pub fn exchange(&mut self, exchange: impl FnOnce(heapless::Vec<Line<P>, N>) -> Bank<P, N>) {
        self.bank = exchange(self.bank.take());
    }

    /// When [`expire`](Self::expire) must be called if no result comes before.
    pub fn next_deadline(&self) -> Option<Duration> {
        let retry = self.failing.map(|_| self.latest.saturating_add(RETRY));
        let pulse = self
            .captured
            .filter(|_| self.bank.lines().is_empty() && self.running())
            .and_then(|captured| captured.checked_add(PULSE));
        [retry, pulse, self.bank.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Since when some line's pin cannot be driven; none where all can.
    pub fn failing_since(&self) -> Option<Duration> {
        self.failing
    }

    /// The state of the run.
    pub fn state(&self) -> RunState {
        self.machine.state()
    }

    /// The lines in the order of their indices.
    pub fn lines(&self) -> &[Line<P>] {
        self.bank.lines()
    }

    fn running(&self) -> bool {
        matches!(self.state(), RunState::Live | RunState::Degraded)
    }

    fn advance(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Settles the state after the lines were driven.
    fn judge(
        &mut self,
        driven: Result<(), Fault<P::Error>>,
        now: Duration,
        tell: &mut impl FnMut(Notice<P::Error>),
    ) {
        if let Err(Fault { line, error }) = driven {
            self.fault = Some((Event::PinFault, now));
            tell(Notice::PinFault {
                line: Some(line),
                error,
            });
        }
        let failing = self.bank.lines().iter().any(|line| line.level().is_none());
        self.failing = failing.then(|| self.failing.unwrap_or(now));
        if let Some(transition) = self.machine.on(self.event(now)) {
            tell(Notice::Changed(transition));
        }
    }

    /// What the run goes by now.
    fn event(&self, now: Duration) -> Event {
        if self.over {
            return Event::Failure;
        }
        let lines = self.bank.lines();
        let fresh = lines.iter().filter(|line| line.is_fresh()).count();
        let none = match lines {
            [] => self
                .captured
                .is_none_or(|captured| now.saturating_sub(captured) >= PULSE),
            _ => fresh == 0,
        };
        match self.fault {
            _ if self.failing.is_some() => Event::PinFault,
            _ if none => Event::Silence,
            _ if fresh < lines.len() => Event::Late,
            Some((fault, at)) if now.saturating_sub(at) < FAULT_HOLD => fault,
            _ => Event::Fresh,
        }
    }
}
