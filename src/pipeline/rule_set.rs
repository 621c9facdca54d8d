//! The rules of a run at one time.

use crate::config::CompiledRule;

/// Rules in the order of their lines.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// Which set of the run it is, from 0. Results of one set mean nothing to the
    /// lines of another.
    pub generation: u64,
    /// The rules.
    pub rules: Vec<CompiledRule>,
    /// Whether anything outside hangs on the run: a rule's pin or the heartbeat.
    pub drives_pins: bool,
}

impl RuleSet {
    /// The name of the rule at an index.
    pub fn name(&self, index: usize) -> &str {
        self.rules.get(index).map_or("?", |rule| &rule.name)
    }
}
