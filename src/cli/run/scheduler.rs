//! Asking the scheduler for what the config wants, and telling what came of it.

use anyhow::Result;

use atrous::config::Settings;
use atrous::realtime::{Realtime, Report};

use crate::cli::Global;
use crate::cli::exit::NotMet;
use crate::cli::output::tell;

/// Asks once, for all pipelines; gives what was granted.
///
/// # Errors
/// [`NotMet`] (exit code 5) where something is refused that the config insists on.
pub fn request(settings: &Settings, global: &Global) -> Result<Realtime> {
    let Some(config) = &settings.realtime.value else {
        return Ok(Realtime::default());
    };
    let (granted, report) = config.compile(&settings.board.value)?.request();
    if config.required == Some(true)
        && let Some(first) = report.refused.first()
    {
        let reason = format!("realtime ({}): {first}", settings.realtime.origin);
        return Err(NotMet(reason).into());
    }
    if global.chatty() {
        show(&report, global.json);
    }
    Ok(granted)
}

fn show(report: &Report, json: bool) {
    if json {
        let Report { granted, refused } = report;
        let object = serde_json::json!({ "realtime": { "granted": granted, "refused": refused } });
        return tell(object);
    }
    if !report.granted.is_empty() {
        tell(format_args!("realtime: {}", report.granted.join("; ")));
    }
    for refused in &report.refused {
        tell(format_args!("realtime refused: {refused}"));
    }
}
