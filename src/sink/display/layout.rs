//! What stands where on a screen.

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X13, FONT_10X20};
use embedded_graphics::primitives::Rectangle;

use crate::sink::proportions::fitted;

/// Screens narrower than this get small letters.
const NARROW: u32 = 640;

/// Letters are drawn twice as large from twice this width on, and so forth.
const WIDE: u32 = 1280;

/// Free pixels around the line of text, of unmagnified letters.
const MARGIN: u32 = 3;

/// A line of text may take this part of the height at most; screens too low for it
/// show the picture alone.
const MAX_PART_OF_HEIGHT: u32 = 4;

/// A rectangle of pixels; x to the right, y down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Area {
    /// The leftmost column.
    pub x: u32,
    /// The uppermost row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Area {
    /// The part that lies on a screen of this size; empty where none does.
    pub fn cut_to(self, (width, height): (u32, u32)) -> Self {
        let cut = Self {
            width: self.width.min(width.saturating_sub(self.x)),
            height: self.height.min(height.saturating_sub(self.y)),
            ..self
        };
        if cut.width == 0 || cut.height == 0 {
            Self::default()
        } else {
            cut
        }
    }

    /// The part of a rectangle to the right of and below the origin, if there is one.
    pub fn visible(rectangle: &Rectangle) -> Option<Self> {
        let (left, top) = (rectangle.top_left.x, rectangle.top_left.y);
        let length = |start: i32, size: u32| size.saturating_sub(start.min(0).unsigned_abs());
        let area = Self {
            x: u32::try_from(left).unwrap_or(0),
            y: u32::try_from(top).unwrap_or(0),
            width: length(left, rectangle.size.width),
            height: length(top, rectangle.size.height),
        };
        (area.width > 0 && area.height > 0).then_some(area)
    }
}

/// A line of text.
#[derive(Debug, Clone, Copy)]
pub struct TextLine {
    /// All of the line, margins included.
    pub area: Area,
    /// Free pixels left of and above the letters.
    pub margin: u32,
    /// The letters.
    pub font: &'static MonoFont<'static>,
    /// Screen pixels a letter's pixel is wide and high.
    pub magnify: u32,
}

impl TextLine {
    /// How many letters there is room for.
    pub fn columns(&self) -> usize {
        let free = self.area.width.saturating_sub(2 * self.margin);
        (free / (self.font.character_size.width * self.magnify)) as usize
    }
}

/// The division of a screen: a line of text at the bottom, the picture centred in
/// what is above it.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Where the picture goes: as large as it fits with its proportions.
    pub picture: Area,
    /// The line of text, where the screen is high enough for one.
    pub text: Option<TextLine>,
}

impl Layout {
    /// Divides a screen for a picture of this size. All sides are 1 or more.
    pub fn new((width, height): (u32, u32), picture: (u32, u32)) -> Self {
        let font = if width < NARROW {
            &FONT_6X13
        } else {
            &FONT_10X20
        };
        let magnify = (width / WIDE).max(1);
        let margin = MARGIN * magnify;
        let line = font.character_size.height * magnify + 2 * margin;
        let text = (line <= height / MAX_PART_OF_HEIGHT).then(|| TextLine {
            area: Area {
                x: 0,
                y: height - line,
                width,
                height: line,
            },
            margin,
            font,
            magnify,
        });
        let free = text.map_or(height, |text| text.area.y);
        let (columns, rows) = fitted(picture.0, picture.1, width, free, 1);
        Self {
            picture: Area {
                x: (width - columns) / 2,
                y: (free - rows) / 2,
                width: columns,
                height: rows,
            },
            text,
        }
    }

    /// What the picture leaves free above the text: above, below, left and right of
    /// it. Some of them are empty.
    pub fn borders(&self, (width, height): (u32, u32)) -> [Area; 4] {
        let picture = self.picture;
        let free = self.text.map_or(height, |text| text.area.y);
        let (right, below) = (picture.x + picture.width, picture.y + picture.height);
        let across = |y, height| Area {
            x: 0,
            y,
            width,
            height,
        };
        let beside = |x, width| Area {
            x,
            y: picture.y,
            width,
            height: picture.height,
        };
        [
            across(0, picture.y),
            across(below, free - below),
            beside(0, picture.x),
            beside(right, width - right),
        ]
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::prelude::{Point, Size};

    use super::*;

    #[test]
    fn every_pixel_belongs_to_one_thing() {
        for screen in [
            (1, 1),
            (3, 200),
            (200, 3),
            (320, 240),
            (640, 480),
            (801, 601),
        ] {
            for picture in [(1, 1), (640, 480), (1, 97), (97, 1), (1920, 1080)] {
                let layout = Layout::new(screen, picture);
                let mut covered = vec![0u8; (screen.0 * screen.1) as usize];
                let mut areas = layout.borders(screen).to_vec();
                areas.push(layout.picture);
                areas.extend(layout.text.map(|text| text.area));
                for area in areas {
                    for y in area.y..area.y + area.height {
                        for x in area.x..area.x + area.width {
                            covered[(y * screen.0 + x) as usize] += 1;
                        }
                    }
                }
                assert!(covered.iter().all(|&n| n == 1), "{screen:?}, {picture:?}");
            }
        }
    }

    #[test]
    fn the_picture_keeps_its_proportions() {
        let layout = Layout::new((1280, 800), (320, 240));
        let (picture, text) = (layout.picture, layout.text.unwrap());
        assert_eq!(text.area.height, 26);
        assert_eq!((picture.width, picture.height), (1032, 774));
        assert_eq!((picture.x, picture.y), (124, 0));
        assert_eq!(text.columns(), 127);
    }

    #[test]
    fn letters_suit_the_screen() {
        let text = |screen| Layout::new(screen, (640, 480)).text;
        let small = text((320, 240)).unwrap();
        assert_eq!((small.font.character_size.width, small.magnify), (6, 1));
        let large = text((3840, 2160)).unwrap();
        assert_eq!((large.font.character_size.width, large.magnify), (10, 3));
        assert!(text((128, 64)).is_none());
    }

    #[test]
    fn areas_are_cut_to_what_is_visible() {
        let area = Area {
            x: 3,
            y: 4,
            width: 10,
            height: u32::MAX,
        };
        let cut = area.cut_to((5, 6));
        assert_eq!((cut.x, cut.y, cut.width, cut.height), (3, 4, 2, 2));
        assert_eq!(area.cut_to((3, 6)), Area::default());
        let at = |x, y| Area::visible(&Rectangle::new(Point::new(x, y), Size::new(4, 5)));
        assert_eq!(at(-1, -5), None);
        assert_eq!(
            at(-1, 2),
            Some(Area {
                x: 0,
                y: 2,
                width: 3,
                height: 5
            })
        );
    }
}
