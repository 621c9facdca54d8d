//! The trigger thread: drives the lines and waits with a deadline.

use super::mailbox::{CloseOnDrop, Put, Taken};
use super::stats::Stats;
use super::{Links, PipelineError};
use crate::clock;
use crate::config::CompiledRule;
use crate::config::rule::MAX_RULES;
use crate::gpio::{GpioError, Pin};
use crate::sink::Outcome;
use crate::trigger::{Bank, Fault, Line, State};

/// All lines of a run. However it ends, also by a panic, they are left safe.
pub struct Actuator {
    bank: Bank<Pin, MAX_RULES>,
    names: Vec<String>,
    fractions: Vec<f32>,
}

impl Actuator {
    /// Takes a pin for each rule and drives it to the rule's safe level.
    ///
    /// # Errors
    /// [`PipelineError::Gpio`], naming the rule and the line.
    pub fn new(rules: &[CompiledRule], pins: Vec<Pin>) -> Result<Self, PipelineError> {
        let mut bank = Bank::default();
        for (rule, pin) in rules.iter().zip(pins) {
            let fail = |reason: String| PipelineError::Gpio {
                rule: rule.name.clone(),
                reason,
            };
            let line = Line::new(rule.spec, pin).map_err(|e| fail(e.to_string()))?;
            bank.push(line)
                .map_err(|_| fail(format!("more than {MAX_RULES} rules")))?;
        }
        let names = rules.iter().map(|r| r.name.clone()).collect();
        Ok(Self {
            bank,
            names,
            fractions: Vec::new(),
        })
    }

    /// Feeds every outcome to the rules and hands it on with their states.
    /// Without an outcome in time the lines go safe; at the end they do as well.
    ///
    /// # Errors
    /// [`PipelineError::Gpio`] where a line cannot be driven.
    pub fn drive(mut self, links: &Links, stats: &Stats) -> Result<(), PipelineError> {
        let (outcomes, delivered, spare) =
            (&links.outcomes, &links.delivered, &links.spare_outcomes);
        let _close = CloseOnDrop(delivered);
        let _stop_worker = CloseOnDrop(outcomes);
        let _release_worker = CloseOnDrop(spare);
        loop {
            match outcomes.take_until(self.bank.next_deadline()) {
                Taken::Value(mut outcome) => {
                    self.update(&mut outcome)?;
                    match delivered.put(outcome) {
                        Put::Stored => {}
                        Put::Displaced(old) => {
                            stats.count(|c| c.undelivered += 1);
                            spare.put(old);
                        }
                        Put::Closed(_) => return Ok(()),
                    }
                }
                Taken::TimedOut => {
                    let names = &self.names;
                    self.bank
                        .expire_all(clock::now(), |i, edge| {
                            log::warn!("rule '{}': no result in time, line safe", names[i]);
                            log::debug!("{edge:?}");
                        })
                        .map_err(|fault| gpio_error(names, fault))?;
                }
                Taken::Closed => return Ok(()),
            }
        }
    }

    fn update(&mut self, outcome: &mut Outcome) -> Result<(), PipelineError> {
        self.fractions.clear();
        self.fractions
            .extend(outcome.rules.iter().map(|r| r.fraction));
        let names = &self.names;
        self.bank
            .update_all(
                &self.fractions,
                outcome.captured,
                clock::now(),
                |i, edge| {
                    log::debug!("rule '{}': {edge:?}", names[i]);
                },
            )
            .map_err(|fault| gpio_error(names, fault))?;
        for (rule, line) in outcome.rules.iter_mut().zip(self.bank.lines()) {
            rule.active = line.state() == State::On;
        }
        Ok(())
    }
}

impl Drop for Actuator {
    fn drop(&mut self) {
        if let Err(fault) = self.bank.fail_safe_all(clock::now(), |_, _| {}) {
            let name = &self.names[fault.line];
            log::error!("rule '{name}' could not be left safe: {}", fault.error);
        }
    }
}

fn gpio_error(names: &[String], fault: Fault<GpioError>) -> PipelineError {
    PipelineError::Gpio {
        rule: names[fault.line].clone(),
        reason: fault.error.to_string(),
    }
}
