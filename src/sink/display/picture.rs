//! A picture enlarged or reduced to its place on a screen.

use super::canvas::Canvas;
use super::layout::Area;
use crate::sink::visual::Painting;

/// Draws pictures at any size. Each screen pixel takes the picture's pixel under its
/// centre, so that borders between classes stay sharp.
///
/// A row is put together in ordinary memory, once for all screen rows that show the
/// same row of the picture. The buffers are reused from one picture to the next.
#[derive(Debug, Default)]
pub struct Scaler {
    /// Widths that `columns` was made for: the picture's and the area's.
    widths: (u32, u32),
    /// For each of the area's columns, the picture's.
    columns: Vec<u32>,
    row: Vec<u8>,
}

impl Scaler {
    /// Draws the picture over all of `area`. Both have sides of 1 or more.
    pub fn draw(&mut self, canvas: &mut Canvas<'_>, area: Area, picture: &Painting<'_>) {
        let widths = (picture.width, area.width);
        if self.widths != widths {
            self.columns.clear();
            let columns = (0..area.width).map(|x| nearest(x, area.width, picture.width));
            self.columns.extend(columns);
            self.widths = widths;
        }
        let mut drawn = None;
        for y in 0..area.height {
            let source = nearest(y, area.height, picture.height);
            if drawn != Some(source) {
                self.encode(canvas, picture, source);
                drawn = Some(source);
            }
            canvas.write_row(area.x, area.y + y, &self.row);
        }
    }

    /// Makes `row` of a row of the picture.
    fn encode(&mut self, canvas: &Canvas<'_>, picture: &Painting<'_>, y: u32) {
        let width = picture.width as usize;
        let columns = self.columns.iter();
        let length = width * picture.channels;
        let row = &picture.pixels[y as usize * length..][..length];
        match picture.channels {
            1 => canvas.encode(columns.map(|&x| [row[x as usize]; 3]), &mut self.row),
            3 => {
                let (colours, _) = row.as_chunks::<3>();
                canvas.encode(columns.map(|&x| colours[x as usize]), &mut self.row);
            }
            _ => {
                let (colours, _) = row.as_chunks::<4>();
                let on_black = columns.map(|&x| {
                    let [red, green, blue, alpha] = colours[x as usize].map(u16::from);
                    // A product of two bytes over 255 is a byte.
                    [red, green, blue].map(|value| ((value * alpha + 127) / 255) as u8)
                });
                canvas.encode(on_black, &mut self.row);
            }
        }
    }
}

/// The source pixel under the centre of target pixel `at` of `targets`.
fn nearest(at: u32, targets: u32, sources: u32) -> u32 {
    let (at, targets, sources) = (u128::from(at), u128::from(targets), u128::from(sources));
    // Less than `sources`, because `at` is less than `targets`.
    ((2 * at + 1) * sources / (2 * targets)) as u32
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Geometry, PixelFormat};
    use super::*;

    /// What a screen pixel shows, worked out for it alone in real numbers.
    fn reference(picture: &Painting<'_>, area: Area, x: u32, y: u32) -> [u8; 3] {
        let under = |at: u32, targets: u32, sources: u32| {
            ((f64::from(at) + 0.5) * f64::from(sources) / f64::from(targets)).floor() as usize
        };
        let x = under(x, area.width, picture.width);
        let y = under(y, area.height, picture.height);
        let at = y * picture.width as usize + x;
        let pixel = &picture.pixels[at * picture.channels..][..picture.channels];
        match *pixel {
            [grey] => [grey; 3],
            [red, green, blue] => [red, green, blue],
            [red, green, blue, alpha] => [red, green, blue].map(|value| {
                let shown = f64::from(value) * f64::from(alpha) / 255.0;
                shown.round() as u8
            }),
            _ => panic!("{} channels", picture.channels),
        }
    }

    #[test]
    fn every_pixel_is_the_reference_s() {
        // One scaler for all: its buffers must follow.
        let mut scaler = Scaler::default();
        for (width, height) in [(1, 1), (7, 5), (64, 48), (33, 90)] {
            let pixels: Vec<u8> = (0..width * height * 4)
                .map(|i| (i * 37 % 251) as u8)
                .collect();
            for channels in [1, 3, 4] {
                let picture = Painting {
                    width,
                    height,
                    channels,
                    pixels: &pixels,
                };
                for (columns, rows) in [(1, 1), (7, 5), (40, 60), (64, 48), (19, 100)] {
                    let area = Area {
                        x: 3,
                        y: 2,
                        width: columns,
                        height: rows,
                    };
                    let geometry = Geometry {
                        width: columns + 5,
                        height: rows + 4,
                        stride: 500,
                        format: PixelFormat::Xrgb8888,
                    };
                    let mut memory = vec![1; geometry.length().unwrap()];
                    let mut canvas = Canvas::new(&mut memory, geometry).unwrap();
                    scaler.draw(&mut canvas, area, &picture);
                    for y in 0..geometry.height {
                        for x in 0..geometry.width {
                            let got = &memory[y as usize * 500 + x as usize * 4..][..4];
                            let inside = x.wrapping_sub(3) < columns && y.wrapping_sub(2) < rows;
                            let want = if inside {
                                let [r, g, b] = reference(&picture, area, x - 3, y - 2);
                                [b, g, r, 0]
                            } else {
                                [1; 4]
                            };
                            assert_eq!(got, want, "{width}x{height} in {columns}x{rows}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_sides_do_not_overflow() {
        assert_eq!(nearest(16_383, 16_384, 49_152), 49_150);
        assert_eq!(nearest(16_383, 16_384, 1), 0);
        assert_eq!(nearest(u32::MAX - 1, u32::MAX, u32::MAX), u32::MAX - 1);
    }
}
