//! Colours as escape sequences.

use std::fmt::Write;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMode {
    /// 24-bit colour.
    True,
    /// The 256-colour palette.
    Palette,
    /// No colour: a letter a class.
    Letters,
}

impl ColourMode {
    /// Decides from whether there is to be `colour` and what the environment says
    /// of the terminal (`COLORTERM`).
    pub fn detect(colour: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let deep = variable("COLORTERM");
        match (colour, deep.as_deref()) {
            (false, _) => Self::Letters,
            (true, Some("truecolor" | "24bit")) => Self::True,
            (true, _) => Self::Palette,
        }
    }
}

/// Ends all colour.
pub const RESET: &str = "\x1b[0m";

/// Writes cells and repeats no colour that is already set: a drawing shrinks to
/// a third, which matters on a serial line or over ssh.
#[derive(Debug)]
pub struct Pen {
    mode: ColourMode,
    fore: Option<[u8; 3]>,
    back: Option<[u8; 3]>,
}

impl Pen {
    /// A pen on a line without colour.
    pub fn new(mode: ColourMode) -> Self {
        Self {
            mode,
            fore: None,
            back: None,
        }
    }

    /// Sets the colour of what is written next.
    pub fn fore(&mut self, text: &mut String, colour: [u8; 3]) {
        let colour = self.shown(colour);
        if self.fore.replace(colour) != Some(colour) {
            self.set(text, 38, colour);
        }
    }

    /// Sets the colour behind what is written next.
    pub fn back(&mut self, text: &mut String, colour: [u8; 3]) {
        let colour = self.shown(colour);
        if self.back.replace(colour) != Some(colour) {
            self.set(text, 48, colour);
        }
    }

    /// Back to the terminal's own colours.
    pub fn reset(&mut self, text: &mut String) {
        if self.fore.take().is_some() | self.back.take().is_some() {
            text.push_str(RESET);
        }
    }

    /// The colour as the terminal will show it, so that two that look the same
    /// count as the same. For the palette the first byte is the number.
    fn shown(&self, colour: [u8; 3]) -> [u8; 3] {
        match self.mode {
            ColourMode::Palette => [palette_index(colour), 0, 0],
            _ => colour,
        }
    }

    fn set(&self, text: &mut String, code: u8, [r, g, b]: [u8; 3]) {
        // Writing to a string cannot fail.
        let _ = match self.mode {
            ColourMode::True => write!(text, "\x1b[{code};2;{r};{g};{b}m"),
            ColourMode::Palette => write!(text, "\x1b[{code};5;{r}m"),
            ColourMode::Letters => Ok(()),
        };
    }
}

/// The nearest of the palette's colour cube and grey ramp. The first 16 entries
/// are left out: users give them other colours.
fn palette_index(colour: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |other: [u8; 3]| -> u32 {
        let pairs = colour.iter().zip(other);
        pairs.map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let nearest = |value: u8| (0..6u8).min_by_key(|&i| LEVELS[usize::from(i)].abs_diff(value));
    let cube = colour.map(|value| nearest(value).unwrap_or(0));
    let cube_distance = distance(cube.map(|i| LEVELS[usize::from(i)]));
    let mean = colour.iter().map(|&value| u32::from(value)).sum::<u32>() / 3;
    let step = (mean.saturating_sub(3) / 10).min(23) as u8;
    if distance([8 + 10 * step; 3]) < cube_distance {
        232 + step
    } else {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_wish_and_environment() {
        let detect = |colour, value: &str| {
            ColourMode::detect(colour, |name| {
                (name == "COLORTERM").then(|| value.to_owned())
            })
        };
        assert_eq!(detect(true, "truecolor"), ColourMode::True);
        assert_eq!(detect(true, "24bit"), ColourMode::True);
        assert_eq!(detect(true, ""), ColourMode::Palette);
        assert_eq!(detect(false, "truecolor"), ColourMode::Letters);
        assert_eq!(ColourMode::detect(true, |_| None), ColourMode::Palette);
    }

    #[test]
    fn the_palette_is_met() {
        assert_eq!(palette_index([0, 0, 0]), 16);
        assert_eq!(palette_index([255, 255, 255]), 231);
        assert_eq!(palette_index([255, 0, 0]), 196);
        assert_eq!(palette_index([128, 128, 128]), 244);
        assert_eq!(palette_index([95, 135, 175]), 67);
    }

    #[test]
    fn a_colour_is_set_once() {
        let (mut pen, mut text) = (Pen::new(ColourMode::True), String::new());
        pen.fore(&mut text, [1, 2, 3]);
        pen.fore(&mut text, [1, 2, 3]);
        assert_eq!(text, "\x1b[38;2;1;2;3m");
        pen.reset(&mut text);
        pen.reset(&mut text);
        assert_eq!(text.matches(RESET).count(), 1);
    }
}
