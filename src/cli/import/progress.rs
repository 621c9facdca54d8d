//! What is told while an import takes its time.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::{tell, visible};

/// An import that is quicker than this is not told of.
const PATIENCE: Duration = Duration::from_millis(400);

/// A spinner on a terminal; one line elsewhere.
pub struct Progress {
    text: String,
    start: Instant,
    wanted: bool,
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is shown yet, and nothing at all unless `wanted`.
    pub fn new(text: String, wanted: bool) -> Self {
        Self {
            text,
            start: Instant::now(),
            wanted,
            spinner: None,
        }
    }

    /// To be called again and again.
    pub fn tick(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.tick();
        } else if self.wanted && self.start.elapsed() >= PATIENCE {
            if std::io::stderr().is_terminal() {
                let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                let spinner = ProgressBar::new_spinner().with_style(style);
                self.spinner = Some(spinner.with_message(visible(&self.text).into_owned()));
            } else {
                tell(&self.text);
                self.wanted = false;
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
