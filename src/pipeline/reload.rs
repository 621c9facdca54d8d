//! Other rules while a run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::control::{Control, take_line};
use super::guarded_pin::{Guard, GuardedPin};
use super::rule_set::RuleSet;
use crate::clock;
use crate::config::CompiledRule;
use crate::config::rule::MAX_RULES;
use crate::gpio::Pin;
use crate::trigger::{Bank, Line, RuleSpec};

/// How often a line that is given up is tried until it is safe.
const TRIES: u32 = 5;

/// Opens a rule's pin, or says why it cannot be had.
pub type OpenPin = Box<dyn FnMut(&CompiledRule) -> Result<Pin, String> + Send>;

/// Where other rules come from, and who asks for them.
pub struct Reload {
    /// Set when rules are to be read anew.
    pub requested: Arc<AtomicBool>,
    /// Reads and checks the rules. None where they are no good, which it has said,
    /// or where there is nothing to change.
    pub read: Box<dyn FnMut() -> Option<Vec<CompiledRule>> + Send>,
    /// Opens a rule's pin at its safe level.
    pub open: OpenPin,
}

impl Reload {
    /// Takes other rules over if they were asked for. What is wrong with them is
    /// logged, and the rules stay as they were.
    pub fn poll(&mut self, control: &Control) {
        if !self.requested.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(rules) = (self.read)() else { return };
        let run = control.journal.prefix();
        match exchange(control, rules, &mut self.open) {
            Ok(changes) => log::warn!("{run}rules reloaded: {changes}"),
            Err(reason) => log::error!("{run}rules not reloaded, the old ones stay: {reason}"),
        }
    }
}

/// Where the line of a rule comes from.
enum Origin {
    /// The rule is unchanged: its line goes on.
    Kept(usize),
    /// Another rule on the pin of this one.
    Rebound(usize),
    /// A pin that was opened for it.
    New(Line<GuardedPin>, Guard),
}

/// Puts `rules` in the place of those there are. Lines of unchanged rules go on
/// undisturbed; those of removed rules go safe and are released.
fn exchange(
    control: &Control,
    rules: Vec<CompiledRule>,
    open: &mut OpenPin,
) -> Result<String, String> {
    let old = control.rules();
    if rules.len() > MAX_RULES {
        return Err(format!(
            "there are {} rules; at most {MAX_RULES} are allowed",
            rules.len()
        ));
    }
    let mut origins = Vec::with_capacity(rules.len());
    for rule in &rules {
        let same = |other: &CompiledRule| other == rule;
        let same_pin = |other: &CompiledRule| rule.line.is_some() && other.line == rule.line;
        origins.push(if let Some(at) = old.rules.iter().position(same) {
            Origin::Kept(at)
        } else if let Some(at) = old.rules.iter().position(same_pin) {
            Origin::Rebound(at)
        } else {
            let named = |reason: String| format!("rule '{}': {reason}", rule.name);
            let pin = open(rule).map_err(named)?;
            let (line, guard) = take_line(rule, pin).map_err(|e| e.to_string())?;
            Origin::New(line, guard)
        });
    }
    let kept = origins
        .iter()
        .filter(|o| matches!(o, Origin::Kept(_)))
        .count();
    let reused = origins
        .iter()
        .filter(|o| !matches!(o, Origin::New(..)))
        .count();
    let changes = format!(
        "{kept} unchanged, {} new or changed, {} pins released",
        rules.len() - kept,
        old.rules.len() - reused
    );

    let old_guards = control.guards();
    let specs: Vec<RuleSpec> = rules.iter().map(|rule| rule.spec).collect();
    let set = RuleSet {
        generation: old.generation + 1,
        drives_pins: old.drives_pins || rules.iter().any(|rule| rule.line.is_some()),
        rules,
    };
    control.exchange(set, |taken| {
        let now = clock::now();
        let mut taken: Vec<Option<Line<GuardedPin>>> = taken.into_iter().map(Some).collect();
        let (mut bank, mut guards) = (Bank::new(), Vec::new());
        for (origin, spec) in origins.into_iter().zip(specs) {
            let (line, guard) = match origin {
                Origin::Kept(at) => (taken[at].take(), old_guards[at].clone()),
                Origin::Rebound(at) => {
                    old_guards[at].set_safe(spec.safe);
                    let line = taken[at].take().map(|line| rebound(line, spec, now));
                    (line, old_guards[at].clone())
                }
                Origin::New(line, guard) => (Some(line), guard),
            };
            // No rule is in two places, and there is room for all.
            if let Some(line) = line
                && bank.push(line).is_ok()
            {
                guards.push(guard);
            }
        }
        for mut line in taken.into_iter().flatten() {
            let safe = (0..TRIES).any(|_| line.fail_safe(now).is_ok());
            if !safe {
                log::error!("the pin of a removed rule could not be driven safe");
            }
        }
        (bank, guards)
    })?;
    Ok(changes)
}

/// A line under another rule, driven to its safe level.
fn rebound(line: Line<GuardedPin>, spec: RuleSpec, now: Duration) -> Line<GuardedPin> {
    let mut line = line.rebind(spec);
    // A pin that cannot be driven now is tried again by the controller.
    let _ = line.expire(now);
    line
}
