//! Rules that turn area fractions into pin levels: hysteresis, dwell, fail-safe.
//!
//! No std, no clock and no allocator: time comes in as a [`core::time::Duration`] since any
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
//!   any state ── result too old, too few results, no number, fail_safe() ──> Safe
//! ```
//!
//! What all lines together make of a run is its [`RunState`]. A [`Controller`] holds
//! the lines, that state and the heartbeat: times and results go in, levels and
//! [`Notice`]s come out.
//!
//! Polarity lives here and nowhere else: [`RuleSpec::active`] is the level that the
//! pin has while the rule is on.

// Each with its path: examples/trigger_no_std.rs includes this file from elsewhere.
#[path = "trigger/bank.rs"]
mod bank;
#[path = "trigger/controller.rs"]
mod controller;
#[path = "trigger/heartbeat.rs"]
mod heartbeat;
#[path = "trigger/level.rs"]
mod level;
#[path = "trigger/line.rs"]
mod line;
#[path = "trigger/rate.rs"]
mod rate;
#[path = "trigger/rule.rs"]
mod rule;
#[path = "trigger/run_state.rs"]
mod run_state;
#[cfg(test)]
#[path = "trigger/tests.rs"]
mod tests;

pub use bank::{Bank, Fault};
pub use controller::{Controller, FAULT_HOLD, Notice, PULSE, RETRY};
pub use heartbeat::{Heartbeat, HeartbeatSpec};
pub use level::Level;
pub use line::{Edge, Line};
pub use rate::RATE_RESULTS;
pub use rule::{MIN_RATES, RuleSpec, SpecError, State};
pub use run_state::{Event, RunState, StateMachine, Transition};
