//! How far a long command is.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::tell;

/// A bar on a terminal; a line for each stage elsewhere.
pub struct Bar {
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Bar {
    /// Nothing is ever shown unless `wanted`.
    pub fn new(wanted: bool) -> Self {
        let bar = (wanted && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg:32} {bar:30} {pos}/{len}, {eta} left");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, wanted }
    }

    /// `done` of `all` parts of a stage are done.
    pub fn show(&self, stage: &'static str, done: usize, all: usize) {
        match &self.bar {
            Some(bar) => {
                if done == 0 {
                    bar.reset();
                    bar.set_message(stage);
                }
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            }
            None if self.wanted && done == 0 => tell(format_args!("{stage}: {all} pictures")),
            None => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
