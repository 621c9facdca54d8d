//! The picture as character cells.

use super::canvas::Canvas;
use super::colour::{ColourMode, Pen};
use super::legend::legend;
use super::letters::letters;
use super::scale::{averaged, majority};
use crate::classes::Classes;
use crate::sink::Outcome;
use crate::sink::proportions::fitted;
use crate::sink::visual::blend;

/// Lines that the picture leaves free: legend, status, and the log's.
const OTHER_LINES: u32 = 2 + super::LOG_LINES as u32;

/// Draws the overlay, as large as it fits, and the legend below it. Every line
/// ends in a newline, and there is room below for the status and a little log.
///
/// With colour a cell shows two pixels, one above the other; without, the letter
/// of the class that fills most of it. The outcome must pass
/// [`Outcome::check`]; of any other only the legend is drawn.
pub fn render(outcome: &Outcome, classes: &Classes, canvas: Canvas) -> String {
    let mut text = String::new();
    if outcome.check().is_ok() {
        match canvas.mode {
            ColourMode::Letters => draw_letters(outcome, classes, canvas, &mut text),
            ColourMode::True | ColourMode::Palette => {
                draw_blocks(outcome, classes, canvas, &mut text);
            }
        }
    }
    text.push_str(&legend(outcome, classes, canvas));
    text.push('\n');
    text
}

/// Columns and rows of cells that the picture may take.
fn room(canvas: Canvas) -> (u32, u32) {
    let rows = u32::from(canvas.rows).saturating_sub(OTHER_LINES).max(1);
    (canvas.width() as u32, rows)
}

fn draw_letters(outcome: &Outcome, classes: &Classes, canvas: Canvas, text: &mut String) {
    let (columns, rows) = room(canvas);
    let size = fitted(outcome.width, outcome.height, columns, rows, 2);
    let letters = letters(classes);
    for row in majority(&outcome.mask, size).chunks_exact(size.0 as usize) {
        text.extend(row.iter().map(|&label| letters[usize::from(label)]));
        text.push('\n');
    }
}

fn draw_blocks(outcome: &Outcome, classes: &Classes, canvas: Canvas, text: &mut String) {
    let (columns, rows) = room(canvas);
    let size = fitted(outcome.width, outcome.height, columns, rows * 2, 1);
    let mut blended = Vec::new();
    blend(outcome, classes, canvas.alpha, &mut blended);
    let pixels = averaged(&blended, (outcome.width, outcome.height), size);
    let width = size.0 as usize;
    for pair in pixels.chunks(width * 2) {
        let mut pen = Pen::new(canvas.mode);
        let (upper, lower) = pair.split_at(width);
        for (x, &above) in upper.iter().enumerate() {
            pen.fore(text, above);
            // An odd last row has nothing below: the terminal's own colour.
            if let Some(&below) = lower.get(x) {
                pen.back(text, below);
            }
            text.push('▀');
        }
        pen.reset(text);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::mask::Mask;

    fn classes() -> Classes {
        let class = |name: &str, colour| Class {
            name: name.into(),
            colour,
        };
        Classes::new(vec![
            class("background", [0; 3]),
            class("road", [255, 0, 0]),
        ])
    }

    /// Left half background on black, right half road.
    fn outcome(width: u32, height: u32) -> Outcome {
        let mut mask = Mask::new(width, height);
        for y in 0..height {
            mask.row_mut(y)[width as usize / 2..].fill(1);
        }
        Outcome {
            width,
            height,
            rgb: vec![0; (width * height * 3) as usize],
            mask,
            coverage: vec![0.5, 0.5],
            ..Outcome::default()
        }
    }

    fn canvas(columns: u16, rows: u16, mode: ColourMode) -> Canvas {
        Canvas {
            columns,
            rows,
            mode,
            alpha: 1.0,
        }
    }

    #[test]
    fn letters_show_the_classes() {
        let text = render(
            &outcome(40, 40),
            &classes(),
            canvas(9, 30, ColourMode::Letters),
        );
        assert_eq!(text, "....rrrr\n....rrrr\n....rrrr\n....rrrr\n\n");
    }

    #[test]
    fn blocks_show_two_pixels_a_cell() {
        let text = render(&outcome(2, 3), &classes(), canvas(3, 30, ColourMode::True));
        let full =
            "\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m▀\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m▀\x1b[0m\n";
        let last = "\x1b[38;2;0;0;0m▀\x1b[38;2;255;0;0m▀\x1b[0m\n";
        assert_eq!(text, format!("{full}{last}\n"));
    }

    #[test]
    fn the_drawing_fits_every_window() {
        for size in [(1, 1), (7, 5), (641, 481), (3, 2000), (2000, 3)] {
            for (columns, rows) in [(1, 1), (2, 4), (80, 24), (300, 90)] {
                for mode in [ColourMode::True, ColourMode::Palette, ColourMode::Letters] {
                    let text = render(
                        &outcome(size.0, size.1),
                        &classes(),
                        canvas(columns, rows, mode),
                    );
                    let lines = text.lines().count();
                    assert!(
                        lines + 4 <= usize::from(rows).max(6),
                        "{size:?} {columns}x{rows}: {lines}"
                    );
                    let widest = text.lines().map(|line| {
                        let cells = line.matches('▀').count();
                        if mode == ColourMode::Letters {
                            line.chars().count()
                        } else {
                            cells
                        }
                    });
                    assert!(
                        widest.max() <= Some(usize::from(columns).max(2)),
                        "{size:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_broken_outcome_is_not_drawn() {
        let broken = Outcome {
            rgb: vec![1, 2],
            ..outcome(4, 4)
        };
        let text = render(&broken, &classes(), canvas(80, 24, ColourMode::Letters));
        assert_eq!(text.lines().count(), 1);
    }
}
