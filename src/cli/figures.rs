//! What a run tells while it goes: a line a second on stderr or, where results are
//! drawn in the terminal, below the drawing; or a progress bar where the number of
//! pictures is known and a person is watching.

use std::io::IsTerminal;
use std::time::Duration;

use atrous::pipeline::stats::Snapshot;
use atrous::sink::Counters;
use atrous::sink::terminal::FiguresLine;
use atrous::source::SourceInfo;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::tell;

/// The figures of one run.
pub struct Figures {
    form: Form,
    /// The counts told last.
    told: Option<Counters>,
    /// What the run ended with.
    end: Option<Snapshot>,
}

enum Form {
    /// Nothing is told.
    Silent,
    /// A line for each snapshot that brings something new.
    Lines,
    /// A line that is renewed below the drawing.
    Drawn(FiguresLine),
    /// A bar on the terminal.
    Bar(ProgressBar),
}

impl Figures {
    /// Chooses the form. `drawn` is the line below the drawing, where there is one;
    /// `limit` is the number of results asked for, if any.
    pub fn new(
        wanted: bool,
        drawn: Option<FiguresLine>,
        info: &SourceInfo,
        limit: Option<u64>,
    ) -> Self {
        let form = match drawn {
            _ if !wanted => Form::Silent,
            Some(line) => Form::Drawn(line),
            None => Self::on_stderr(info, limit),
        };
        Self {
            form,
            told: None,
            end: None,
        }
    }

    fn on_stderr(info: &SourceInfo, limit: Option<u64>) -> Form {
        match info.frames {
            Some(frames) if frames > 1 && std::io::stderr().is_terminal() => {
                Form::Bar(picture_bar(limit.map_or(frames, |limit| frames.min(limit))))
            }
            _ => Form::Lines,
        }
    }

    /// Tells what is new. Once the run is `ending`, [`finish`](Self::finish) does.
    pub fn show(&mut self, snapshot: &Snapshot, ending: bool) {
        match &self.form {
            Form::Lines | Form::Drawn(_) if ending => self.end = Some(snapshot.clone()),
            Form::Silent => {}
            Form::Lines => {
                if snapshot.age.is_some() || self.told != Some(snapshot.counters) {
                    tell(line(snapshot, snapshot.rate));
                }
                self.told = Some(snapshot.counters);
            }
            Form::Drawn(place) => {
                // A terminal that is gone ends the run through the sink.
                let _ = place.set(&line(snapshot, snapshot.rate));
                self.told = Some(snapshot.counters);
            }
            Form::Bar(bar) => {
                let Counters { inferred, bad, .. } = snapshot.counters;
                show_pictures(bar, inferred + bad, bad);
            }
        }
    }

    /// Tells the figures of the whole run.
    pub fn finish(&mut self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish();
        }
        if let Some(mut end) = self.end.take() {
            if self.told.is_some() {
                // Ages are of the time since they were told last, not of the run.
                end.age = None;
            }
            tell(line(&end, end.mean_rate));
        }
    }
}

/// A progress bar over a known number of pictures, where a person is watching.
pub struct Pictures(Option<ProgressBar>);

impl Pictures {
    /// A bar over `total` pictures, if it is `wanted` and stderr a terminal.
    pub fn new(wanted: bool, total: u64) -> Self {
        let shown = wanted && total > 1 && std::io::stderr().is_terminal();
        Self(shown.then(|| picture_bar(total)))
    }

    /// Shows how many pictures are done, and how many of them were bad.
    pub fn show(&self, done: u64, bad: u64) {
        if let Some(bar) = &self.0 {
            show_pictures(bar, done, bad);
        }
    }

    /// Tells a line above the bar.
    pub fn warn(&self, text: impl std::fmt::Display) {
        match &self.0 {
            Some(bar) => bar.suspend(|| log::warn!("{text}")),
            None => log::warn!("{text}"),
        }
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn picture_bar(pictures: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} pictures, {eta} left  {msg}");
    // The template above is a constant that parses.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(pictures).with_style(style)
}

fn show_pictures(bar: &ProgressBar, done: u64, bad: u64) {
    bar.set_position(done);
    if bad > 0 {
        bar.set_message(format!("{bad} bad"));
    }
}

/// One line: rate, counts, ages, where the time goes.
fn line(snapshot: &Snapshot, rate: f64) -> String {
    let c = &snapshot.counters;
    let mut line = format!(
        "{:5.1} fps  in {}  results {}  superseded {}  lost {}  bad {}",
        rate, c.frames_in, c.inferred, c.superseded, c.driver_lost, c.bad
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
        let text = line(&snapshot, 4.5);
        assert!(
            text.contains("4.5 fps  in 31") && text.contains("superseded 7"),
            "{text}"
        );
        assert!(!text.contains("age"), "{text}");
        snapshot.age = Some(Ages {
            p50: Duration::from_micros(1500),
            ..Ages::default()
        });
        assert!(line(&snapshot, 0.0).contains("p50 1.5"));
    }
}
