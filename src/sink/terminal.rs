//! The newest result, drawn in the terminal.
//!
//! On a terminal the drawing stays at the top and is renewed in place. Below the
//! picture stand the legend, a status line (rate, age, rules), the line of figures
//! and a hint, where there are any. The bottom lines are a region that scrolls by
//! itself, where the log goes on. Away from a terminal (a pipe, a file) one drawing
//! is printed at the end.

use std::io::{self, IsTerminal, Stdout, Write};

use super::fault::fault;
use super::rate::Rate;
use super::{Outcome, Sink, SinkError};
use crate::classes::Classes;

mod canvas;
mod cells;
mod colour;
mod figures;
mod legend;
mod letters;
mod scale;

pub use canvas::Canvas;
pub use cells::render;
pub use colour::ColourMode;
pub use figures::FiguresLine;
pub use legend::status;

/// Size that is assumed where the terminal tells none: columns, rows.
const UNKNOWN_SIZE: (u16, u16) = (80, 24);

/// Lines at the bottom that are left to the log and the cursor.
const LOG_LINES: u16 = 3;

/// Below this height there is no room for a drawing above a log.
const MIN_ROWS_FOR_LOG: u16 = LOG_LINES + 3;

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// A terminal that knows these shows the whole drawing at once; others ignore them.
const BEGIN_UPDATE: &str = "\x1b[?2026h";
const END_UPDATE: &str = "\x1b[?2026l";
const SAVE_CURSOR: &str = "\x1b7";
const RESTORE_CURSOR: &str = "\x1b8";
const SCROLL_ALL: &str = "\x1b[r";
const PLAIN: &str = "\x1b[0m";
const CLEAR_ALL: &str = "\x1b[2J";
const CLEAR_TO_LINE_END: &str = "\x1b[K";

/// Draws results on a writer that is a terminal or stands for one.
pub struct TerminalSink<W: Write + Send> {
    out: W,
    what: &'static str,
    size: fn(&W) -> Option<(u16, u16)>,
    live: bool,
    mode: ColourMode,
    alpha: f32,
    /// The size that the terminal has been divided for, while it is.
    divided: Option<(u16, u16)>,
    /// Lines of the drawing that is on the terminal.
    lines: usize,
    /// The newest drawing, where it is printed at the end only.
    pending: Option<String>,
    rate: Rate,
    figures: Option<FiguresLine>,
    hint: Option<String>,
}

impl TerminalSink<Stdout> {
    /// A sink on this program's stdout, live if [`stdout_is_live`]. `alpha` is the
    /// overlay's weight, 0..=1.
    pub fn stdout(colour: bool, alpha: f32) -> Self {
        let mode = ColourMode::detect(colour && !is_dumb(), |name| std::env::var(name).ok());
        let mut sink = Self::new(io::stdout(), window_size, stdout_is_live(), mode, alpha);
        sink.what = "stdout";
        sink
    }
}

/// Whether stdout is a terminal that can move its cursor, so that the drawing is
/// renewed in place.
pub fn stdout_is_live() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn window_size(out: &Stdout) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(out).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

impl<W: Write + Send> TerminalSink<W> {
    /// A sink on `out`. `size` tells columns and rows, asked before each
    /// drawing; `live` renews the drawing in place, otherwise one is printed at
    /// the end. `alpha` is the overlay's weight, 0..=1.
    pub fn new(
        out: W,
        size: fn(&W) -> Option<(u16, u16)>,
        live: bool,
        mode: ColourMode,
        alpha: f32,
    ) -> Self {
        Self {
            out,
            what: "the terminal",
            size,
            live,
            mode,
            alpha,
            divided: None,
            lines: 0,
            pending: None,
            rate: Rate::default(),
            figures: None,
            hint: None,
        }
    }

    /// With lines that stay below the drawing while it is renewed in place.
    #[must_use]
    pub fn with_lines(mut self, figures: Option<FiguresLine>, hint: Option<String>) -> Self {
        self.figures = figures;
        self.hint = hint;
        self
    }

    /// How many of the lines below the drawing there is room for.
    fn lines_below(&self, rows: u16) -> u16 {
        let wanted = u16::from(self.figures.is_some()) + u16::from(self.hint.is_some());
        if self.live && rows >= MIN_ROWS_FOR_LOG + wanted {
            wanted
        } else {
            0
        }
    }

    /// Figures and hint, for a drawing that ends above them.
    fn write_below(&self, drawing: &mut String, width: usize) {
        if let Some(figures) = &self.figures {
            // A terminal has no more rows than a u16 counts.
            let row = u16::try_from(drawing.lines().count() + 1).unwrap_or(u16::MAX);
            drawing.push_str(&figures.place_at(row, width));
            drawing.push('\n');
        }
        if let Some(hint) = &self.hint {
            drawing.extend(hint.chars().take(width));
            drawing.push('\n');
        }
    }

    fn write(&mut self, text: &str) -> Result<(), SinkError> {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        written.map_err(|error| fault(self.what, &error))
    }

    /// The drawing with what brings it to its place. There is no newline between
    /// its lines: line-buffered streams would write it in pieces, and the log
    /// could come between them while the cursor is away.
    fn in_place(&mut self, drawing: &str, size: (u16, u16)) -> String {
        let mut text = String::with_capacity(drawing.len() * 5 / 4);
        text.push_str(BEGIN_UPDATE);
        if self.divided != Some(size) {
            self.divide(size, &mut text);
        }
        text.push_str(SAVE_CURSOR);
        let lines = drawing.lines().count();
        // Empty lines wipe what a taller drawing has left.
        let blank = std::iter::repeat_n("", self.lines.saturating_sub(lines));
        for (row, line) in (1..).zip(drawing.lines().chain(blank)) {
            move_to_row(row, &mut text);
            text.push_str(line);
            text.push_str(CLEAR_TO_LINE_END);
        }
        text.push_str(RESTORE_CURSOR);
        text.push_str(END_UPDATE);
        self.lines = lines;
        text
    }

    /// Clears the terminal and gives its bottom lines to the log.
    fn divide(&mut self, size: (u16, u16), text: &mut String) {
        let rows = size.1;
        match self.divided.replace(size) {
            // What was there stays in the terminal's history.
            None => text.extend(std::iter::repeat_n('\n', rows.into())),
            Some(_) => {
                text.push_str(SCROLL_ALL);
                text.push_str(CLEAR_ALL);
            }
        }
        text.push_str(HIDE_CURSOR);
        if rows >= MIN_ROWS_FOR_LOG {
            let top = rows - LOG_LINES + 1;
            text.push_str(&format!("\x1b[{top};{rows}r"));
            move_to_row(top, text);
        } else {
            move_to_row(rows, text);
        }
    }

    /// Gives the terminal back as it was, with the cursor on a new line below the
    /// log. A `^C` drops what the terminal has not taken yet, so the last drawing may
    /// have ended anywhere, without its own restoring of cursor and colour.
    fn undivide(&mut self) -> Result<(), SinkError> {
        let Some((_, rows)) = self.divided.take() else {
            return Ok(());
        };
        if let Some(figures) = &self.figures {
            figures.hide();
        }
        let mut text = [END_UPDATE, PLAIN, SCROLL_ALL].concat();
        move_to_row(rows, &mut text);
        text.push('\n');
        text.push_str(SHOW_CURSOR);
        self.write(&text)
    }
}

fn move_to_row(row: u16, text: &mut String) {
    text.push_str(&format!("\x1b[{row};1H"));
}

impl<W: Write + Send> Sink for TerminalSink<W> {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        outcome.check()?;
        let size = (self.size)(&self.out).unwrap_or(UNKNOWN_SIZE);
        let below = self.lines_below(size.1);
        let canvas = Canvas {
            columns: size.0,
            rows: size.1 - below,
            mode: self.mode,
            alpha: self.alpha,
        };
        let mut drawing = render(outcome, classes, canvas);
        self.rate.count(outcome);
        drawing.push_str(&status(outcome, self.rate.per_second(), canvas.width()));
        drawing.push('\n');
        if below > 0 {
            self.write_below(&mut drawing, canvas.width());
        } else if let Some(figures) = &self.figures {
            figures.hide();
        }
        if self.live {
            let text = self.in_place(&drawing, size);
            self.write(&text)
        } else {
            self.pending = Some(drawing);
            Ok(())
        }
    }

    fn wants_every_result(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.undivide()?;
        match self.pending.take() {
            Some(drawing) => self.write(&drawing),
            None => Ok(()),
        }
    }
}

impl<W: Write + Send> Drop for TerminalSink<W> {
    fn drop(&mut self) {
        // After an error or panic nobody calls finish, and a terminal without
        // cursor and with a divided screen is a nuisance; if this fails too,
        // there is nobody left to tell.
        let _ = self.undivide();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mask::Mask;

    fn outcome(index: u64) -> Outcome {
        Outcome {
            index,
            width: 4,
            height: 4,
            rgb: vec![90; 48],
            mask: Mask::new(4, 4),
            finished: Duration::from_millis(100 * index),
            ..Outcome::default()
        }
    }

    fn drawn(sizes: &'static str, live: bool, results: u64) -> String {
        let mut bytes = Vec::new();
        let size = if sizes == "small" {
            |_: &_| Some((20, 8))
        } else {
            |_: &_| None
        };
        let mut sink = TerminalSink::new(&mut bytes, size, live, ColourMode::True, 0.5);
        for index in 0..results {
            sink.consume(&outcome(index), &Classes::default()).unwrap();
        }
        sink.finish().unwrap();
        sink.finish().unwrap();
        drop(sink);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_log_keeps_the_bottom_lines() {
        let text = drawn("small", true, 3);
        assert_eq!(
            text.matches("\x1b[6;8r").count(),
            1,
            "rows 6 to 8 of 8 scroll"
        );
        assert_eq!(
            text.matches("\x1b[5;1H").count(),
            3,
            "each drawing ends above"
        );
        let drawings = text.split(BEGIN_UPDATE).skip(2);
        let drawings = drawings.map(|drawing| drawing.split(END_UPDATE).next().unwrap());
        assert!(drawings.clone().count() == 2);
        for drawing in drawings {
            assert!(!drawing.contains('\n') && drawing.contains(SAVE_CURSOR));
            assert!(!drawing.contains("\x1b[6;1H"));
        }
    }

    #[test]
    fn the_terminal_is_given_back_once() {
        let text = drawn("small", true, 3);
        assert_eq!(text.matches(HIDE_CURSOR).count(), 1);
        assert_eq!(text.matches(SHOW_CURSOR).count(), 1);
        assert_eq!(text.matches(SCROLL_ALL).count(), 1);
        assert!(text.ends_with(SHOW_CURSOR));
    }

    #[test]
    fn figures_and_hint_stand_between_drawing_and_log() {
        let (mut bytes, figures) = (Vec::new(), FiguresLine::default());
        figures.set("12 fps").unwrap();
        let mut sink = TerminalSink::new(
            &mut bytes,
            |_| Some((20, 10)),
            true,
            ColourMode::Letters,
            0.5,
        )
        .with_lines(Some(figures), Some("try a camera".into()));
        sink.consume(&outcome(0), &Classes::default()).unwrap();
        drop(sink);
        let text = String::from_utf8(bytes).unwrap();
        let drawing = text.split(BEGIN_UPDATE).nth(1).unwrap();
        assert!(drawing.contains("\x1b[8;10r"), "{drawing:?}");
        let mut lines = drawing.split(CLEAR_TO_LINE_END);
        let (figures, hint) = ("\x1b[6;1H12 fps", "\x1b[7;1Htry a camera");
        assert!(lines.any(|line| line == figures), "{drawing:?}");
        assert_eq!(lines.next(), Some(hint), "{drawing:?}");
    }

    #[test]
    fn a_low_terminal_has_no_room_for_more_lines() {
        let mut bytes = Vec::new();
        let mut sink = TerminalSink::new(
            &mut bytes,
            |_| Some((20, 6)),
            true,
            ColourMode::Letters,
            0.5,
        )
        .with_lines(None, Some("try a camera".into()));
        sink.consume(&outcome(0), &Classes::default()).unwrap();
        drop(sink);
        assert!(!String::from_utf8(bytes).unwrap().contains("camera"));
    }

    #[test]
    fn the_cursor_comes_back_without_finish() {
        let mut bytes = Vec::new();
        let mut sink = TerminalSink::new(&mut bytes, |_| None, true, ColourMode::True, 0.5);
        sink.consume(&outcome(0), &Classes::default()).unwrap();
        drop(sink);
        assert!(String::from_utf8(bytes).unwrap().ends_with(SHOW_CURSOR));
    }

    #[test]
    fn away_from_a_terminal_only_the_last_is_drawn() {
        let text = drawn("unknown", false, 3);
        assert!(text.contains("#2") && !text.contains("#1"), "{text}");
        assert!(!text.contains("\x1b[?"), "no cursor play in a log");
        assert_eq!(drawn("unknown", false, 0), "");
    }

    #[test]
    fn a_resize_starts_over() {
        struct Window(Vec<u8>, std::cell::Cell<u16>);
        impl Write for Window {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let size = |window: &Window| {
            window.1.set(window.1.get() + 10);
            Some((window.1.get(), 8))
        };
        let window = Window(Vec::new(), 10.into());
        let mut sink = TerminalSink::new(window, size, true, ColourMode::True, 0.5);
        sink.consume(&outcome(0), &Classes::default()).unwrap();
        sink.consume(&outcome(1), &Classes::default()).unwrap();
        assert!(String::from_utf8_lossy(&sink.out.0).contains(CLEAR_ALL));
    }
}
