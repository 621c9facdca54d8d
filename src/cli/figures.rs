//! What a run tells on stderr while it goes: a line a second, or a progress bar
//! where the number of pictures is known and a person is watching.

use std::io::IsTerminal;
use std::time::Duration;

use atrous::pipeline::stats::Snapshot;
use atrous::sink::Counters;
use atrous::source::SourceInfo;
use indicatif::{ProgressBar, ProgressStyle};

/// The figures of one run.
pub enum Figures {
    /// Nothing is told.
    Silent,
    /// A line for each snapshot that brings something new.
    Lines {
        /// The counts told last.
        last: Option<Counters>,
    },
    /// A bar on the terminal.
    Bar(ProgressBar),
}

impl Figures {
    /// Chooses the form. `limit` is the number of results asked for, if any.
    pub fn new(wanted: bool, info: &SourceInfo, limit: Option<u64>) -> Self {
        if !wanted {
            return Self::Silent;
        }
        match info.frames {
            Some(frames) if frames > 1 && std::io::stderr().is_terminal() => {
                let bar = ProgressBar::new(limit.map_or(frames, |limit| frames.min(limit)));
                let style = ProgressStyle::with_template(
                    "{wide_bar} {pos}/{len} pictures, {eta} left  {msg}",
                );
                // The template above is a constant that parses.
                Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
            }
            _ => Self::Lines { last: None },
        }
    }

    /// Tells what is new.
    pub fn show(&mut self, snapshot: &Snapshot) {
        match self {
            Self::Silent => {}
            Self::Lines { last } => {
                if snapshot.age.is_some() || *last != Some(snapshot.counters) {
                    eprintln!("{}", line(snapshot));
                }
                *last = Some(snapshot.counters);
            }
            Self::Bar(bar) => {
                let Counters { inferred, bad, .. } = snapshot.counters;
                bar.set_position(inferred + bad);
                if bad > 0 {
                    bar.set_message(format!("{bad} bad"));
                }
            }
        }
    }

    /// Leaves the terminal tidy.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}

/// One line: rate, counts, ages, where the time goes.
fn line(snapshot: &Snapshot) -> String {
    let c = &snapshot.counters;
    let mut line = format!(
        "{:5.1} fps  in {}  results {}  superseded {}  lost {}  bad {}",
        snapshot.rate, c.frames_in, c.inferred, c.superseded, c.driver_lost, c.bad
    );
    if c.undelivered > 0 {
        line += &format!("  undelivered {}", c.undelivered);
    }
    if let Some(age) = &snapshot.age {
        line += &format!(
            "  age p50 {} p95 {} max {} ms",
            ms(age.p50),
            ms(age.p95),
            ms(age.max)
        );
        let s = &snapshot.stages;
        line += &format!(
            "  (prepare {} + model {} + finish {} ms)",
            ms(s.preprocess),
            ms(s.inference),
            ms(s.postprocess)
        );
    }
    line
}

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atrous::pipeline::stats::Ages;

    #[test]
    fn a_line_has_every_count_and_only_known_ages() {
        let mut snapshot = Snapshot::default();
        snapshot.counters.frames_in = 31;
        snapshot.counters.superseded = 7;
        let text = line(&snapshot);
        assert!(
            text.contains("in 31") && text.contains("superseded 7"),
            "{text}"
        );
        assert!(!text.contains("age"), "{text}");
        snapshot.age = Some(Ages {
            p50: Duration::from_micros(1500),
            ..Ages::default()
        });
        assert!(line(&snapshot).contains("p50 1.5"));
    }
}
