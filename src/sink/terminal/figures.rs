//! A line below the drawing that is renewed from outside of the sink.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CLEAR_TO_LINE_END, RESTORE_CURSOR, SAVE_CURSOR, move_to_row};

/// A handle on the line of figures: who counts sets its text, and the sink says
/// where it stands. It is renewed even while no result comes.
#[derive(Debug, Clone, Default)]
pub struct FiguresLine(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    text: String,
    /// Row from 1 and width in columns, while the sink draws on the terminal.
    place: Option<(u16, usize)>,
}

impl FiguresLine {
    /// Sets the text and shows it on stdout, where the sink has drawn.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn set(&self, text: &str) -> io::Result<()> {
        self.set_on(text, &mut io::stdout())
    }

    fn set_on(&self, text: &str, out: &mut impl Write) -> io::Result<()> {
        // Held while writing, so that the sink does not give the row away meanwhile.
        let mut line = self.lock();
        line.text = text.chars().filter(|c| !c.is_control()).collect();
        let Some((row, width)) = line.place else {
            return Ok(());
        };
        let mut renewed = SAVE_CURSOR.to_owned();
        move_to_row(row, &mut renewed);
        renewed.extend(line.text.chars().take(width));
        renewed.push_str(CLEAR_TO_LINE_END);
        renewed.push_str(RESTORE_CURSOR);
        out.write_all(renewed.as_bytes())?;
        out.flush()
    }

    /// Says where the line stands; gives its text, cut to the width.
    pub(super) fn place_at(&self, row: u16, width: usize) -> String {
        let mut line = self.lock();
        line.place = Some((row, width));
        line.text.chars().take(width).collect()
    }

    /// Says that the line stands nowhere.
    pub(super) fn hide(&self) {
        self.lock().place = None;
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_written_only_where_the_sink_has_put_it() {
        let (line, mut out) = (FiguresLine::default(), Vec::new());
        line.set_on("before", &mut out).unwrap();
        assert!(out.is_empty());
        assert_eq!(line.place_at(7, 3), "bef");
        line.set_on("after\x1b", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(std::mem::take(&mut out)).unwrap(),
            "\x1b7\x1b[7;1Haft\x1b[K\x1b8"
        );
        line.hide();
        line.set_on("later", &mut out).unwrap();
        assert!(out.is_empty());
    }
}
