//! The lines of a run, in reach of the threads that may have to drive them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use super::PipelineError;
use super::guarded_pin::{Guard, GuardedPin};
use super::journal::Journal;
use super::progress::Progress;
use super::rule_set::RuleSet;
use crate::clock;
use crate::config::CompiledRule;
use crate::config::rule::MAX_RULES;
use crate::gpio::{GpioError, Pin};
use crate::sink::Outcome;
use crate::trigger::{
    Bank, Controller, Heartbeat, HeartbeatSpec, Level, Line, Notice, RETRY, RunState, State,
};

/// How long a pin may fail before the run ends.
pub const PIN_PATIENCE: Duration = Duration::from_secs(1);

/// How often every line is tried at the end of a run.
const LAST_TRIES: u32 = 10;

/// The lines, the heartbeat and the state of a run.
///
/// Notices go to a [`Journal`]: nothing here writes to a terminal or a file, other
/// than dry lines, which exist for that. What other threads ask for has locks of its
/// own, so that none of them waits for a pin.
#[derive(Debug)]
pub struct Control {
    /// Held while pins are driven: a matter of the trigger thread.
    lines: Mutex<Lines>,
    guards: Mutex<Vec<Guard>>,
    rules: Mutex<Arc<RuleSet>>,
    state: Mutex<RunState>,
    /// What there is to log.
    pub journal: Journal,
    /// How the trigger thread gets on.
    pub trigger: Progress,
    /// How the inference thread gets on.
    pub inference: Progress,
}

#[derive(Debug)]
struct Lines {
    controller: Controller<GuardedPin, MAX_RULES>,
    rules: Arc<RuleSet>,
    /// Space for a result's numbers.
    values: Vec<f32>,
}

/// What a result did to the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Whether a line's pin took another level.
    pub moved: bool,
    /// The state of the run after it.
    pub state: RunState,
}

impl Control {
    /// Takes a pin for each rule and drives it to the rule's safe level; takes the
    /// heartbeat's pin, with the least time between two edges.
    ///
    /// # Errors
    /// [`PipelineError::Gpio`], naming the rule and the line.
    pub fn new(
        rules: Vec<CompiledRule>,
        pins: Vec<Pin>,
        heartbeat: Option<(Pin, HeartbeatSpec)>,
    ) -> Result<Self, PipelineError> {
        let (mut bank, mut guards) = (Bank::new(), Vec::new());
        for (rule, pin) in rules.iter().zip(pins) {
            let (line, guard) = take_line(rule, pin)?;
            guards.push(guard);
            bank.push(line).map_err(|_| {
                gpio_error(&rule.name, format!("there are more than {MAX_RULES} rules"))
            })?;
        }
        let drives_pins = heartbeat.is_some() || rules.iter().any(|rule| rule.line.is_some());
        let heartbeat = heartbeat
            .map(|(pin, spec)| Heartbeat::new(GuardedPin::new(pin, Level::Low).0, spec))
            .transpose()
            .map_err(|e| gpio_error("heartbeat", e.to_string()))?;
        let rules = Arc::new(RuleSet {
            generation: 0,
            rules,
            drives_pins,
        });
        Ok(Self {
            rules: Mutex::new(Arc::clone(&rules)),
            lines: Mutex::new(Lines {
                controller: Controller::new(bank, heartbeat),
                rules,
                values: Vec::with_capacity(MAX_RULES),
            }),
            guards: Mutex::new(guards),
            state: Mutex::default(),
            journal: Journal::default(),
            trigger: Progress::default(),
            inference: Progress::default(),
        })
    }

    /// The same with a name of the run for the log, where there are several.
    pub fn named(mut self, run: Option<&str>) -> Self {
        self.journal = Journal::of(run);
        self
    }

    /// The rules now.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&whole(&self.rules))
    }

    /// The state of the run.
    pub fn state(&self) -> RunState {
        *whole(&self.state)
    }

    /// When [`expire`](Self::expire) must be called if no result comes before.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lock().controller.next_deadline()
    }

    /// Gives a result to the lines, and writes their states and the run's into it.
    /// `faulty` tells that the source has reported a fault since the result before.
    ///
    /// # Errors
    /// [`PipelineError::Gpio`] where a pin has failed for [`PIN_PATIENCE`].
    pub fn result(&self, outcome: &mut Outcome, faulty: bool) -> Result<Effect, PipelineError> {
        let now = clock::now();
        let (captured, mut moved) = (outcome.captured, false);
        let mut lines = self.lock();
        if faulty {
            self.drive(&mut lines, now, |controller, tell| {
                controller.source_fault(now, tell);
            })?;
        }
        // A result made under rules that are gone says nothing about these.
        if outcome.rule_set == lines.rules.generation {
            let mut values = std::mem::take(&mut lines.values);
            values.clear();
            values.extend(outcome.rules.iter().map(|rule| rule.fraction));
            let driven = self.drive(&mut lines, now, |controller, tell| {
                controller.result(&values, captured, now, |notice| {
                    moved |= matches!(notice, Notice::Edge { .. });
                    tell(notice);
                });
            });
            lines.values = values;
            driven?;
            for (rule, line) in outcome.rules.iter_mut().zip(lines.controller.lines()) {
                rule.active = line.state() == State::On;
            }
        } else {
            self.drive(&mut lines, now, |controller, tell| {
                controller.expire(now, tell)
            })?;
        }
        let state = lines.controller.state();
        outcome.state = state;
        Ok(Effect { moved, state })
    }

    /// Does what is due at this time.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn expire(&self) -> Result<(), PipelineError> {
        let now = clock::now();
        let mut lines = self.lock();
        self.drive(&mut lines, now, |controller, tell| {
            controller.expire(now, tell)
        })
    }

    /// Every line goes safe for good.
    ///
    /// # Errors
    /// [`PipelineError::Gpio`] for a line that could not be driven, though it was
    /// tried several times.
    pub fn end(&self) -> Result<(), PipelineError> {
        let mut result = Ok(());
        for _ in 0..LAST_TRIES {
            let now = clock::now();
            let mut failed = None;
            let mut lines = self.lock();
            let rules = Arc::clone(&lines.rules);
            lines.controller.fail_safe(now, |notice| match notice {
                Notice::PinFault { line, error } => failed = Some((line, error)),
                notice => self.journal.push(&rules, notice),
            });
            *whole(&self.state) = lines.controller.state();
            drop(lines);
            result = match failed {
                None => return Ok(()),
                Some((line, error)) => Err(fault(&rules, line, &error)),
            };
            thread::sleep(RETRY);
        }
        result
    }

    /// The run is over.
    pub fn stop(&self) {
        // A thread that hangs with the lines has lost their pins.
        if let Some(mut lines) = self.try_lock() {
            let Lines {
                controller, rules, ..
            } = &mut *lines;
            controller.stop(|notice| self.journal.push(rules, notice));
        }
        *whole(&self.state) = RunState::Stopped;
    }

    /// Drives every line safe past the thread that holds them, which may hang, and
    /// lets none of them move again. Gives what became of the lines, in words.
    pub fn revoke(&self) -> String {
        let mut left = "the lines were driven safe".to_owned();
        for guard in whole(&self.guards).iter() {
            if let Err(error) = guard.revoke() {
                left = format!("a line may not be safe: {error}");
            }
        }
        left
    }

    /// Other rules, with lines and guards in their order, in the place of those there
    /// are. `exchange` gets the lines as they are.
    ///
    /// # Errors
    /// Where the trigger thread does not let go of the lines.
    pub(super) fn exchange(
        &self,
        rules: RuleSet,
        exchange: impl FnOnce(
            heapless::Vec<Line<GuardedPin>, MAX_RULES>,
        ) -> (Bank<GuardedPin, MAX_RULES>, Vec<Guard>),
    ) -> Result<(), String> {
        let tries = (0..LAST_TRIES).find_map(|_| {
            let lines = self.try_lock();
            if lines.is_none() {
                thread::sleep(RETRY);
            }
            lines
        });
        let Some(mut lines) = tries else {
            return Err("the lines are busy; try again".into());
        };
        let mut guards = Vec::new();
        lines.controller.exchange(|taken| {
            let (bank, of_bank) = exchange(taken);
            guards = of_bank;
            bank
        });
        lines.rules = Arc::new(rules);
        *whole(&self.guards) = guards;
        *whole(&self.rules) = Arc::clone(&lines.rules);
        Ok(())
    }

    /// Calls the controller, keeps what it tells, and gives up on a pin that fails
    /// for too long.
    fn drive(
        &self,
        lines: &mut Lines,
        now: Duration,
        call: impl FnOnce(&mut Controller<GuardedPin, MAX_RULES>, &mut dyn FnMut(Notice<GpioError>)),
    ) -> Result<(), PipelineError> {
        let Lines {
            controller, rules, ..
        } = lines;
        let failing = controller.failing_since().is_some();
        let mut failed = None;
        call(controller, &mut |notice| match notice {
            Notice::PinFault {
                line: Some(line),
                error,
            } if failing => failed = Some((line, error)),
            notice => self.journal.push(rules, notice),
        });
        *whole(&self.state) = controller.state();
        let since = controller.failing_since();
        match failed {
            Some((line, error))
                if since.is_some_and(|since| now.saturating_sub(since) >= PIN_PATIENCE) =>
            {
                Err(fault(rules, Some(line), &error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        whole(&self.lines)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Lines>> {
        match self.lines.try_lock() {
            Ok(lines) => Some(lines),
            Err(TryLockError::Poisoned(lines)) => Some(lines.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The guards of all lines, in their order.
    pub(super) fn guards(&self) -> Vec<Guard> {
        whole(&self.guards).clone()
    }
}

/// What a mutex holds, also where a thread panicked meanwhile: all that is kept here is
/// whole at any time, and each line at a known level or known not to be.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a line of a rule and its pin, at its safe level.
pub(super) fn take_line(
    rule: &CompiledRule,
    pin: Pin,
) -> Result<(Line<GuardedPin>, Guard), PipelineError> {
    let (pin, guard) = GuardedPin::new(pin, rule.spec.safe);
    let line = Line::new(rule.spec, pin).map_err(|e| gpio_error(&rule.name, e.to_string()))?;
    Ok((line, guard))
}

fn fault(rules: &RuleSet, line: Option<usize>, error: &GpioError) -> PipelineError {
    gpio_error(
        line.map_or("heartbeat", |line| rules.name(line)),
        error.to_string(),
    )
}

fn gpio_error(rule: &str, reason: String) -> PipelineError {
    PipelineError::Gpio {
        rule: rule.to_owned(),
        reason,
    }
}
