//! What a run tells while it goes: a line a second on stderr or, where results are
//! drawn in the terminal, below the drawing; or a progress bar where the number of
//! pictures is known and a person is watching.

use std::io::IsTerminal;

use atrous::pipeline::stats::Snapshot;
use atrous::sink::Counters;
use atrous::sink::terminal::FiguresLine;
use atrous::source::SourceInfo;
use atrous::trigger::RunState;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::tell;

mod line;
mod machine;

use line::Span;
use machine::{Machine, Reader};

/// The figures of one run.
pub struct Figures {
    form: Form,
    /// The pipeline's name, where there are several.
    pipeline: Option<String>,
    /// The counts and the state told last.
    told: Option<(Counters, RunState)>,
    machine: Reader,
    /// What the run ended with.
    end: Option<Snapshot>,
}

enum Form {
    /// Nothing is told.
    Silent,
    /// A line for each snapshot that brings something new.
    Lines,
    /// A JSON object for each snapshot.
    Json,
    /// A line that is renewed below the drawing.
    Drawn(FiguresLine),
    /// A bar on the terminal.
    Bar(ProgressBar),
}

impl Figures {
    /// Chooses the form. `drawn` is the line below the drawing, where there is one;
    /// `limit` is the number of results asked for, if any. With `json` the lines are
    /// objects for a program.
    pub fn new(
        wanted: bool,
        json: bool,
        drawn: Option<FiguresLine>,
        info: &SourceInfo,
        limit: Option<u64>,
    ) -> Self {
        let form = match drawn {
            _ if !wanted => Form::Silent,
            Some(line) => Form::Drawn(line),
            None if json => Form::Json,
            None => Self::on_stderr(info, limit),
        };
        Self {
            form,
            pipeline: None,
            told: None,
            machine: Reader::default(),
            end: None,
        }
    }

    /// The figures of one pipeline of several: each line says which.
    pub fn named(mut self, pipeline: Option<&str>) -> Self {
        self.pipeline = pipeline.map(str::to_owned);
        // Several bars would be drawn over one another.
        if let (Some(_), Form::Bar(_)) = (pipeline, &self.form) {
            self.form = Form::Lines;
        }
        self
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
            Form::Lines | Form::Json | Form::Drawn(_) if ending => {
                self.end = Some(snapshot.clone());
            }
            Form::Silent => {}
            Form::Lines => {
                let new = Some((snapshot.counters, snapshot.state));
                if snapshot.ages.result.is_some() || self.told != new {
                    self.tell(snapshot, Span::Window);
                }
                self.told = new;
            }
            Form::Json => self.tell(snapshot, Span::Window),
            Form::Drawn(place) => {
                // A terminal that is gone ends the run through the sink.
                let _ = place.set(&line::text(snapshot, Span::Window, &self.machine.read()));
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
        if let Some(end) = self.end.take() {
            self.tell(&end, Span::Run);
        }
    }

    fn tell(&mut self, snapshot: &Snapshot, span: Span) {
        let (machine, pipeline): (Machine, _) = (self.machine.read(), self.pipeline.as_deref());
        match (&self.form, pipeline) {
            (Form::Json, _) => tell(line::json(snapshot, span, &machine, pipeline)),
            (_, None) => tell(line::text(snapshot, span, &machine)),
            (_, Some(name)) => tell(format_args!(
                "{name}: {}",
                line::text(snapshot, span, &machine)
            )),
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
