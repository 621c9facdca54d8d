//! The `[realtime]` table: what a run asks of the kernel's scheduler.

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::board::Board;
use crate::realtime::{MAX_CORES, Realtime};

/// Priority of the trigger thread where the table names none: above ordinary interrupt
/// work of a desktop, below the 50 that a PREEMPT_RT kernel gives its interrupt threads.
const DEFAULT_PRIORITY: u8 = 40;

/// The `[realtime]` table. An empty one asks for everything, with the board's processors;
/// without the table a run asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RealtimeConfig {
    /// Whether all memory stays in RAM, so that nothing waits for a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_memory: Option<bool>,
    /// `SCHED_FIFO` priority of the trigger thread, 2..=98; the watchdog has one more and
    /// capture one less. 0 asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Processors, counted from 0, of the threads that run the model: left out, the
    /// board's but the first. An empty list leaves them to the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_cores: Option<Vec<usize>>,
    /// Processors of all other threads: left out, the board's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_cores: Option<Vec<usize>>,
    /// Whether a run that is refused any of it ends, instead of going on without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

impl RealtimeConfig {
    /// What to ask for on `board`.
    ///
    /// # Errors
    /// [`ConfigError::Realtime`] for numbers that no system takes.
    pub fn compile(&self, board: &Board) -> Result<Realtime, ConfigError> {
        let fail = |reason| Err(ConfigError::Realtime { reason });
        let priority = self.priority.unwrap_or(DEFAULT_PRIORITY);
        if priority != 0 && !(2..=98).contains(&priority) {
            return fail(format!(
                "priority = {priority}: must be in 2..=98, or 0 for none"
            ));
        }
        let cores = board.cpu.count();
        // One processor cannot be parted.
        let parted = |list: Vec<usize>| if cores > 1 { list } else { Vec::new() };
        let inference_cores = self.inference_cores.clone();
        let inference_cores = inference_cores.unwrap_or_else(|| parted((1..cores).collect()));
        let other_cores = self.other_cores.clone().unwrap_or_else(|| parted(vec![0]));
        for (key, list) in [
            ("inference_cores", &inference_cores),
            ("other_cores", &other_cores),
        ] {
            if let Some(core) = list.iter().find(|core| **core >= MAX_CORES) {
                return fail(format!(
                    "{key} names processor {core}; they are counted from 0, below {MAX_CORES}"
                ));
            }
        }
        Ok(Realtime {
            lock_memory: self.lock_memory.unwrap_or(true),
            priority: (priority != 0).then_some(priority),
            inference_cores,
            other_cores,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<Realtime, String> {
        let config: RealtimeConfig = toml::from_str(text).unwrap();
        let mut board = Board::by_name("raspberry-pi-5").unwrap();
        // Whatever machine this is.
        board.cpu.cores = Some(2);
        config.compile(&board).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_table_asks_for_everything() {
        let realtime = compile("").unwrap();
        assert!(realtime.lock_memory);
        assert_eq!(realtime.priority, Some(DEFAULT_PRIORITY));
        if std::thread::available_parallelism().unwrap().get() > 1 {
            assert_eq!(realtime.inference_cores, [1]);
            assert_eq!(realtime.other_cores, [0]);
        }
    }

    #[test]
    fn each_can_be_left_to_the_kernel() {
        let text = "lock_memory = false\npriority = 0\ninference_cores = []\nother_cores = []";
        assert_eq!(compile(text).unwrap(), Realtime::default());
    }

    #[test]
    fn numbers_that_no_system_takes_are_refused() {
        for priority in [1, 99, 255] {
            let error = compile(&format!("priority = {priority}")).unwrap_err();
            assert!(error.contains("2..=98"), "{error}");
        }
        let error = compile("other_cores = [0, 4096]").unwrap_err();
        assert!(
            error.contains("other_cores") && error.contains("4096"),
            "{error}"
        );
        assert!(toml::from_str::<RealtimeConfig>("fifo = true").is_err());
    }
}
