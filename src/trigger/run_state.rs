//! What a run as a whole can be relied on for.

use core::fmt;

/// The state of a run.
///
/// | state | meaning |
/// |---|---|
/// | `starting` | no result has come yet that a rule believes; every line is at its safe level |
/// | `live` | every rule has a result in time, and no fault is known |
/// | `degraded` | at least one rule has a result in time, but another has none (it is too old, results come too slowly, its region is empty) and its line is safe, or the source or a pin has reported a fault less than [`FAULT_HOLD`](super::FAULT_HOLD) ago; or a pin cannot be driven, and its level is unknown |
/// | `safe` | no rule has a result in time, or the run is about to end: every line is at its safe level |
/// | `stopped` | the run is over; every line was left at its safe level |
///
/// A pin that cannot be driven even at the end is an error of the run. A run without rules has one result in time if it is younger than
/// [`PULSE`](super::PULSE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RunState {
    /// Before the first believed result.
    #[default]
    Starting,
    /// All is well.
    Live,
    /// Some lines are safe, or a fault is known.
    Degraded,
    /// All lines are safe.
    Safe,
    /// The run is over.
    Stopped,
}

impl RunState {
    /// The state in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Safe => "safe",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a run goes by, and the cause of each transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Every rule has a result in time.
    Fresh,
    /// Some rules have a result in time, others have none.
    Late,
    /// Every rule has a result in time, but the source has reported a fault.
    SourceFault,
    /// A pin cannot be driven, or could not be a moment ago.
    PinFault,
    /// No rule has a result in time.
    Silence,
    /// The run is about to end, and its lines have gone safe.
    Failure,
    /// The run has ended.
    Stop,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "every rule has a result in time",
            Self::Late => "a rule has no result in time",
            Self::SourceFault => "the source reports faults",
            Self::PinFault => "a pin cannot be driven",
            Self::Silence => "no result in time",
            Self::Failure => "the run is about to end",
            Self::Stop => "the run has ended",
        })
    }
}

/// A change of a run's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: RunState,
    /// The state after, another one.
    pub to: RunState,
    /// What led to it.
    pub cause: Event,
}

impl Transition {
    /// Whether less can be relied on than before, without anybody having wanted so.
    pub fn is_for_the_worse(&self) -> bool {
        matches!(self.to, RunState::Degraded | RunState::Safe) && self.cause != Event::Failure
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state {} -> {}: {}", self.from, self.to, self.cause)
    }
}

/// The state of a run and the way from one to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateMachine {
    state: RunState,
}

impl StateMachine {
    /// The state now.
    pub const fn state(&self) -> RunState {
        self.state
    }

    /// Takes an event; gives the transition if it led to another state.
    ///
    /// | | fresh | late | fault | silence | failure | stop |
    /// |---|---|---|---|---|---|---|
    /// | `starting` | live | degraded | degraded | - | safe | stopped |
    /// | `live` | - | degraded | degraded | safe | safe | stopped |
    /// | `degraded` | live | - | - | safe | safe | stopped |
    /// | `safe` | live | degraded | degraded | - | - | stopped |
    /// | `stopped` | - | - | - | - | - | - |
    pub fn on(&mut self, event: Event) -> Option<Transition> {
        use RunState::{Degraded, Live, Safe, Starting, Stopped};
        let from = self.state;
        let to = match (from, event) {
            (Stopped, _) | (_, Event::Stop) => Stopped,
            (_, Event::Failure) => Safe,
            (Starting, Event::Silence) => Starting,
            (_, Event::Silence) => Safe,
            (_, Event::Fresh) => Live,
            (_, Event::Late | Event::SourceFault | Event::PinFault) => Degraded,
        };
        self.state = to;
        (to != from).then_some(Transition {
            from,
            to,
            cause: event,
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::Event::{Failure, Fresh, Late, PinFault, Silence, SourceFault, Stop};
    use super::RunState::{Degraded, Live, Safe, Starting, Stopped};
    use super::*;

    const STATES: [RunState; 5] = [Starting, Live, Degraded, Safe, Stopped];
    const EVENTS: [Event; 7] = [Fresh, Late, SourceFault, PinFault, Silence, Failure, Stop];

    /// Where each event of [`EVENTS`] leads, for each state of [`STATES`].
    const NEXT: [[RunState; 7]; 5] = [
        [Live, Degraded, Degraded, Degraded, Starting, Safe, Stopped],
        [Live, Degraded, Degraded, Degraded, Safe, Safe, Stopped],
        [Live, Degraded, Degraded, Degraded, Safe, Safe, Stopped],
        [Live, Degraded, Degraded, Degraded, Safe, Safe, Stopped],
        [Stopped; 7],
    ];

    #[test]
    fn every_event_in_every_state_leads_where_the_table_says() {
        assert_eq!(StateMachine::default().state(), Starting);
        for (from, row) in STATES.into_iter().zip(NEXT) {
            for (event, to) in EVENTS.into_iter().zip(row) {
                let mut machine = StateMachine { state: from };
                let transition = machine.on(event);
                assert_eq!(machine.state(), to, "{from} {event:?}");
                let expected = (from != to).then_some(Transition {
                    from,
                    to,
                    cause: event,
                });
                assert_eq!(transition, expected);
            }
        }
    }

    #[test]
    fn every_state_can_be_reached_and_only_stopped_is_final() {
        for to in STATES {
            let reached = NEXT.iter().flatten().any(|&next| next == to);
            assert!(reached, "{to}");
        }
        for (from, row) in STATES.into_iter().zip(NEXT) {
            let leaves = row.iter().any(|&to| to != from);
            assert_eq!(leaves, from != Stopped, "{from}");
        }
    }

    #[test]
    fn a_transition_tells_both_states_and_the_cause() {
        let text = StateMachine { state: Live }
            .on(Silence)
            .unwrap()
            .to_string();
        assert_eq!(text, "state live -> safe: no result in time");
    }
}
