//! Memory that a graphics card shows.

use ::drm::buffer::{Buffer as _, DrmFourcc};
use ::drm::control::Device as _;
use ::drm::control::dumbbuffer::DumbMapping;
use ::drm::control::framebuffer;

use super::super::{Canvas, Geometry, PixelFormat};
use super::card::Card;

/// A dumb buffer of XRGB8888 pixels that can be shown. It is freed when the card is
/// closed.
pub struct Buffer {
    id: framebuffer::Handle,
    geometry: Geometry,
    memory: DumbMapping<'static>,
}

impl Buffer {
    /// Gets a black buffer of this size.
    ///
    /// # Errors
    /// That the driver has no dumb buffers or no memory left.
    pub fn new(card: &Card, size: (u32, u32)) -> Result<Self, String> {
        let fault = |error| {
            format!(
                "no buffer for {}x{} pixels: {error}; `mode=` may ask for a smaller size",
                size.0, size.1
            )
        };
        let buffer = card
            .create_dumb_buffer(size, DrmFourcc::Xrgb8888, 32)
            .map_err(fault)?;
        let id = card.add_framebuffer(&buffer, 24, 32).map_err(fault)?;
        let geometry = Geometry {
            width: size.0,
            height: size.1,
            stride: buffer.pitch() as usize,
            format: PixelFormat::Xrgb8888,
        };
        // The mapping borrows the description of the buffer, some bytes, for as long as
        // it lives. Leaking them once a run spares a new mapping for every picture.
        let mut memory = card
            .map_dumb_buffer(Box::leak(Box::new(buffer)))
            .map_err(fault)?;
        memory.fill(0);
        Canvas::new(&mut memory, geometry)?;
        Ok(Self {
            id,
            geometry,
            memory,
        })
    }

    /// The card's name for it.
    pub fn id(&self) -> framebuffer::Handle {
        self.id
    }

    /// The buffer to draw on.
    ///
    /// # Errors
    /// None after [`new`](Self::new) went well.
    pub fn canvas(&mut self) -> Result<Canvas<'_>, String> {
        Canvas::new(&mut self.memory, self.geometry)
    }
}
