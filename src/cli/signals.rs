//! Signals that end a run, and the one that reads its rules anew.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use atrous::proc_status;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Makes SIGINT, SIGTERM and SIGQUIT set `stop`, however often they come.
///
/// None of them kills the process, not even the second of them: the pins have to go
/// to their safe level first, and the pipeline itself gives up on a thread that hangs
/// after a few seconds.
pub fn end(stop: &Arc<AtomicBool>) -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGQUIT] {
        watch(signal, stop)?;
    }
    Ok(())
}

/// Makes SIGHUP set `flag`, beside the flags of earlier calls. One that is ignored, as
/// `nohup` has it, stays ignored.
pub fn hangup(flag: &Arc<AtomicBool>) -> Result<()> {
    if is_ignored(SIGHUP, &proc_status::of_this_process()) {
        return Ok(());
    }
    watch(SIGHUP, flag)
}

fn watch(signal: i32, flag: &Arc<AtomicBool>) -> Result<()> {
    signal_hook::flag::register(signal, Arc::clone(flag))
        .with_context(|| format!("cannot watch for signal {signal}"))?;
    Ok(())
}

/// Whether the process ignores a signal, by what `/proc/self/status` says.
fn is_ignored(signal: i32, status: &str) -> bool {
    proc_status::mask(status, "SigIgn").is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_counts_signals_from_one() {
        let status = "Name:\tatrous\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(is_ignored(SIGHUP, status));
        assert!(!is_ignored(SIGINT, status));
        assert!(!is_ignored(SIGHUP, ""));
    }
}
