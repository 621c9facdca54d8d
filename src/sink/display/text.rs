//! The line of text below the picture.

use std::convert::Infallible;
use std::fmt::Write;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};

use super::canvas::Canvas;
use super::layout::TextLine;
use crate::sink::Outcome;

/// Writes rate, age and the rules' states to `line`, without allocating once it has
/// grown. What `columns` have no room for is left out.
pub fn compose(outcome: &Outcome, per_second: Option<f64>, columns: usize, line: &mut String) {
    line.clear();
    // Writing to a string does not fail.
    if let Some(rate) = per_second {
        let _ = write!(line, "{rate:.1} fps  ");
    }
    let _ = write!(line, "age {:.0} ms", outcome.age().as_secs_f64() * 1e3);
    for rule in &outcome.rules {
        line.push_str("  ");
        line.extend(rule.name.chars().filter(|c| !c.is_control()));
        let state = if rule.active { "ON" } else { "off" };
        let _ = write!(line, " {state} {:.0}%", rule.fraction * 100.0);
    }
    if let Some((end, _)) = line.char_indices().nth(columns) {
        line.truncate(end);
    }
}

/// Draws the line, white on black. A letter that the font does not have becomes a
/// question mark.
pub fn draw(canvas: &mut Canvas<'_>, place: &TextLine, line: &str) {
    canvas.fill(place.area, [0; 3]);
    let mut target = Magnified {
        origin: (place.area.x + place.margin, place.area.y + place.margin),
        factor: place.magnify,
        canvas,
    };
    let style = MonoTextStyle::new(place.font, Rgb888::WHITE);
    let Ok(_) = Text::with_baseline(line, Point::zero(), style, Baseline::Top).draw(&mut target);
}

/// A part of a canvas, each pixel of which is a square of the canvas's.
struct Magnified<'t, 'c> {
    canvas: &'t mut Canvas<'c>,
    origin: (u32, u32),
    factor: u32,
}

impl OriginDimensions for Magnified<'_, '_> {
    fn size(&self) -> Size {
        let (width, height) = self.canvas.size();
        Size::new(
            width.saturating_sub(self.origin.0) / self.factor,
            height.saturating_sub(self.origin.1) / self.factor,
        )
    }
}

impl DrawTarget for Magnified<'_, '_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let size = OriginDimensions::size(self);
        for Pixel(point, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) else {
                continue;
            };
            if x < size.width && y < size.height {
                // Both are on the canvas, whose sides an i32 counts.
                let left = (self.origin.0 + x * self.factor) as i32;
                let top = (self.origin.1 + y * self.factor) as i32;
                let square = Rectangle::new(Point::new(left, top), Size::new_equal(self.factor));
                self.canvas.fill_solid(&square, colour)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Geometry, PixelFormat};
    use super::super::layout::Layout;
    use super::*;
    use crate::sink::RuleState;

    fn outcome() -> Outcome {
        let rule = |name: &str, fraction, active| RuleState {
            name: name.into(),
            fraction,
            active,
        };
        Outcome {
            finished: std::time::Duration::from_millis(44),
            rules: vec![rule("near", 0.251, true), rule("fa\nr", f32::NAN, false)],
            ..Outcome::default()
        }
    }

    #[test]
    fn the_line_tells_rate_age_and_rules() {
        let mut line = "what was there".to_owned();
        compose(&outcome(), Some(12.34), 80, &mut line);
        assert_eq!(line, "12.3 fps  age 44 ms  near ON 25%  far off NaN%");
        compose(&outcome(), None, 14, &mut line);
        assert_eq!(line, "age 44 ms  nea");
        let mut wide = outcome();
        wide.rules[0].name = "Straßenübergang".into();
        compose(&wide, None, 17, &mut line);
        assert_eq!(line, "age 44 ms  Straße");
    }

    /// The screen rows of a line, a letter for a pixel.
    fn drawn(screen: (u32, u32), line: &str) -> Vec<String> {
        let geometry = Geometry {
            width: screen.0,
            height: screen.1,
            stride: screen.0 as usize * 4,
            format: PixelFormat::Xrgb8888,
        };
        let mut memory = vec![1; geometry.length().unwrap()];
        let mut canvas = Canvas::new(&mut memory, geometry).unwrap();
        let place = Layout::new(screen, (4, 3)).text.unwrap();
        draw(&mut canvas, &place, line);
        let letter = |pixel: &[u8]| match pixel {
            [255, 255, 255, 0] => '#',
            [0, 0, 0, 0] => '.',
            [1, 1, 1, 1] => ' ',
            other => panic!("{other:?}"),
        };
        let rows = memory.chunks_exact(geometry.stride);
        rows.map(|row| row.chunks_exact(4).map(letter).collect())
            .collect()
    }

    #[test]
    fn letters_stand_in_their_line() {
        let rows = drawn((200, 100), "L");
        let letter: Vec<&str> = rows[81..].iter().map(|row| &row[..12]).collect();
        assert!(rows[..81].iter().all(|row| row.trim().is_empty()));
        // Free pixels around it, and inside an upright and a foot.
        assert!(letter[..3].iter().all(|row| *row == "............"));
        assert!(letter.iter().filter(|row| row.contains('#')).count() >= 8);
        assert!(letter.iter().any(|row| row.contains("####")));
        assert!(letter.iter().all(|row| row.starts_with("...")));
    }

    #[test]
    fn magnified_letters_are_made_of_squares() {
        let rows = drawn((2560, 300), "Ä?\u{1f600}");
        let text = &rows[300 - 52..];
        assert!(text.iter().any(|row| row.contains('#')));
        for pair in text.chunks_exact(2) {
            assert_eq!(pair[0], pair[1]);
            let pixels = pair[0].as_bytes();
            assert!(pixels.chunks_exact(2).all(|two| two[0] == two[1]));
        }
        // What the font lacks looks like the question mark before it.
        let letter = |at: usize| -> Vec<&str> {
            let from = 6 + at * 20;
            text.iter().map(|row| &row[from..from + 20]).collect()
        };
        assert_eq!(letter(1), letter(2));
        assert_ne!(letter(0), letter(1));
    }

    #[test]
    fn a_line_that_is_too_long_ends_at_the_edge() {
        let rows = drawn((200, 100), &"W".repeat(500));
        assert_eq!(rows.len(), 100);
        assert!(rows[..81].iter().all(|row| row.trim().is_empty()));
    }
}
