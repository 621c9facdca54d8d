//! A screen's memory as something to draw on.

use std::convert::Infallible;

use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel, Size};
use embedded_graphics::primitives::Rectangle;

use super::layout::Area;
use crate::frame::size_is_allowed;

/// Largest memory of a screen in bytes. The widest screens take a quarter of it.
const MAX_LENGTH: usize = 512 << 20;

/// How a pixel stands in memory. All are little-endian words, the way that DRM and
/// framebuffers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Four bytes: blue, green, red, and one that nobody looks at.
    Xrgb8888,
    /// Three bytes: blue, green, red.
    Rgb888,
    /// Two bytes: five bits red in the highest place, six green, five blue.
    Rgb565,
}

impl PixelFormat {
    /// Bytes a pixel.
    pub fn bytes(self) -> usize {
        match self {
            Self::Xrgb8888 => 4,
            Self::Rgb888 => 3,
            Self::Rgb565 => 2,
        }
    }

    /// Writes a colour, red first, to as many bytes as a pixel has.
    #[inline(always)]
    fn put(self, [red, green, blue]: [u8; 3], pixel: &mut [u8]) {
        match self {
            Self::Xrgb8888 => pixel.copy_from_slice(&[blue, green, red, 0]),
            Self::Rgb888 => pixel.copy_from_slice(&[blue, green, red]),
            Self::Rgb565 => {
                let word =
                    u16::from(red >> 3) << 11 | u16::from(green >> 2) << 5 | u16::from(blue >> 3);
                pixel.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// Where a screen's pixels stand in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// How a pixel is stored.
    pub format: PixelFormat,
}

impl Geometry {
    /// Bytes from the first pixel to the end of the last one.
    ///
    /// # Errors
    /// What is wrong with the numbers: a side that is zero or too long, or rows that
    /// overlap.
    pub fn length(&self) -> Result<usize, String> {
        let Self { width, height, .. } = *self;
        if !size_is_allowed(width, height) {
            return Err(format!("no screen has {width}x{height} pixels"));
        }
        let row = width as usize * self.format.bytes();
        if self.stride < row {
            return Err(format!(
                "a row of {width} pixels takes {row} bytes, but rows are said to be {} apart",
                self.stride
            ));
        }
        self.stride
            .checked_mul(height as usize - 1)
            .and_then(|above| above.checked_add(row))
            .filter(|&length| length <= MAX_LENGTH)
            .ok_or_else(|| {
                format!(
                    "{height} rows that are {} bytes apart take too much memory",
                    self.stride
                )
            })
    }
}

/// A screen's memory. It is written only, never read: reading a graphics card's
/// memory is very slow.
pub struct Canvas<'a> {
    memory: &'a mut [u8],
    geometry: Geometry,
}

impl<'a> Canvas<'a> {
    /// A canvas on `memory`.
    ///
    /// # Errors
    /// Where the geometry makes no sense or does not fit into the memory.
    pub fn new(memory: &'a mut [u8], geometry: Geometry) -> Result<Self, String> {
        let (needed, there) = (geometry.length()?, memory.len());
        if there < needed {
            return Err(format!("{needed} bytes are needed, {there} are there"));
        }
        Ok(Self { memory, geometry })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.geometry.width, self.geometry.height)
    }

    /// How a pixel is stored.
    pub fn format(&self) -> PixelFormat {
        self.geometry.format
    }

    /// Fills an area, cut to the canvas, with a colour, red first.
    pub fn fill(&mut self, area: Area, colour: [u8; 3]) {
        let area = area.cut_to(self.size());
        let format = self.geometry.format;
        for y in area.y..area.y + area.height {
            for pixel in self
                .span(area.x, y, area.width)
                .chunks_exact_mut(format.bytes())
            {
                format.put(colour, pixel);
            }
        }
    }

    /// Writes `pixels`, stored as [`encode`](Self::encode) does, to the right of
    /// `x`, `y`. What does not fit into the row is left out.
    pub fn write_row(&mut self, x: u32, y: u32, pixels: &[u8]) {
        let bytes = self.geometry.format.bytes();
        // A row has no more pixels than a u32 counts; what is more is cut anyway.
        let count = u32::try_from(pixels.len() / bytes).unwrap_or(u32::MAX);
        let area = Area {
            x,
            y,
            width: count,
            height: 1,
        };
        let area = area.cut_to(self.size());
        if area.height > 0 {
            let span = self.span(area.x, area.y, area.width);
            span.copy_from_slice(&pixels[..span.len()]);
        }
    }

    /// Stores colours, red first, one after the other. `pixels` gets as many bytes as
    /// they take.
    pub fn encode(&self, colours: impl ExactSizeIterator<Item = [u8; 3]>, pixels: &mut Vec<u8>) {
        /// With the format known at compile time there is no choice in the loop.
        fn store<const N: usize>(
            format: PixelFormat,
            colours: impl Iterator<Item = [u8; 3]>,
            pixels: &mut [u8],
        ) {
            for (pixel, colour) in pixels.as_chunks_mut::<N>().0.iter_mut().zip(colours) {
                format.put(colour, pixel);
            }
        }
        let format = self.geometry.format;
        pixels.resize(colours.len() * format.bytes(), 0);
        match format {
            PixelFormat::Xrgb8888 => store::<4>(PixelFormat::Xrgb8888, colours, pixels),
            PixelFormat::Rgb888 => store::<3>(PixelFormat::Rgb888, colours, pixels),
            PixelFormat::Rgb565 => store::<2>(PixelFormat::Rgb565, colours, pixels),
        }
    }

    /// The bytes of `count` pixels from `x`, `y`, which lie on the canvas.
    fn span(&mut self, x: u32, y: u32, count: u32) -> &mut [u8] {
        let bytes = self.geometry.format.bytes();
        let start = y as usize * self.geometry.stride + x as usize * bytes;
        &mut self.memory[start..][..count as usize * bytes]
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.geometry.width, self.geometry.height)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, colour) in pixels {
            self.fill_solid(&Rectangle::new(point, Size::new_equal(1)), colour)?;
        }
        Ok(())
    }

    fn fill_solid(&mut self, rectangle: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        if let Some(area) = Area::visible(rectangle) {
            self.fill(area, [colour.r(), colour.g(), colour.b()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::prelude::{Drawable, Point, Primitive};
    use embedded_graphics::primitives::{Circle, PrimitiveStyle};

    use super::*;

    fn geometry(width: u32, height: u32, stride: usize, format: PixelFormat) -> Geometry {
        Geometry {
            width,
            height,
            stride,
            format,
        }
    }

    #[test]
    fn pixels_are_stored_as_the_formats_say() {
        for (format, bytes) in [
            (PixelFormat::Xrgb8888, &[30, 20, 250, 0][..]),
            (PixelFormat::Rgb888, &[30, 20, 250]),
            // 11111 000101 00011
            (PixelFormat::Rgb565, &[0b1010_0011, 0b1111_1000]),
        ] {
            let mut memory = [7; 4];
            let mut canvas = Canvas::new(&mut memory, geometry(1, 1, 4, format)).unwrap();
            let area = Area {
                width: 1,
                height: 1,
                ..Area::default()
            };
            canvas.fill(area, [250, 20, 30]);
            let mut encoded = Vec::new();
            canvas.encode([[250, 20, 30]].into_iter(), &mut encoded);
            assert_eq!(encoded, bytes);
            assert_eq!(memory[..bytes.len()], *bytes);
            assert!(memory[bytes.len()..].iter().all(|&b| b == 7), "{format:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let format = PixelFormat::Rgb888;
        // The last row needs no room after its last pixel.
        assert_eq!(geometry(3, 2, 12, format).length(), Ok(21));
        assert!(Canvas::new(&mut [0; 21], geometry(3, 2, 12, format)).is_ok());
        assert!(Canvas::new(&mut [0; 20], geometry(3, 2, 12, format)).is_err());
        for (width, height, stride) in [
            (0, 2, 12),
            (3, 0, 12),
            (3, 2, 8),
            (u32::MAX, 1, usize::MAX),
            (1, 16_385, 3),
            (1, 3, usize::MAX),
        ] {
            let geometry = geometry(width, height, stride, format);
            assert!(geometry.length().is_err(), "{geometry:?}");
        }
    }

    #[test]
    fn nothing_is_drawn_between_and_beyond_the_rows() {
        for format in [
            PixelFormat::Xrgb8888,
            PixelFormat::Rgb888,
            PixelFormat::Rgb565,
        ] {
            let row = 5 * format.bytes();
            let mut memory = vec![9; 64 + 4];
            let mut canvas = Canvas::new(&mut memory, geometry(5, 3, 21, format)).unwrap();
            let everywhere = Area {
                x: 0,
                y: 0,
                width: u32::MAX,
                height: u32::MAX,
            };
            canvas.fill(everywhere, [0; 3]);
            canvas.write_row(3, 1, &[255; 400]);
            canvas.write_row(0, 3, &[255; 400]);
            canvas.write_row(5, 0, &[255; 400]);
            let circle = Circle::with_center(Point::new(5, 0), 9);
            let style = PrimitiveStyle::with_stroke(Rgb888::WHITE, 1);
            let Ok(()) = circle.into_styled(style).draw(&mut canvas);
            for (at, &byte) in memory.iter().enumerate() {
                let outside = at / 21 > 2 || at % 21 >= row;
                assert_eq!(byte == 9, outside, "{format:?}, byte {at}");
            }
        }
    }
}
