//! What an output showed before this program came.

use std::io;

use ::drm::control::{Device as _, connector, crtc};

use super::card::Card;

/// A buffer, where it begins, in which mode, and on which connectors.
#[derive(Debug)]
pub struct Shown {
    crtc: crtc::Info,
    connectors: Vec<connector::Handle>,
}

impl Shown {
    /// Reads what `crtc` shows. `connectors` are all of the card's.
    pub fn read(
        card: &Card,
        crtc: crtc::Handle,
        connectors: &[connector::Info],
    ) -> io::Result<Self> {
        let mut fed = Vec::new();
        for connector in connectors {
            if card.crtc_of(connector)? == Some(crtc) {
                fed.push(connector.handle());
            }
        }
        Ok(Self {
            crtc: card.get_crtc(crtc)?,
            connectors: fed,
        })
    }

    /// Shows it again. What showed nothing is switched off; so is what showed a buffer
    /// that is gone by now.
    pub fn give_back(&self, card: &Card) -> io::Result<()> {
        let crtc = self.crtc.handle();
        let off = || card.set_crtc(crtc, None, (0, 0), &[], None);
        match (self.crtc.framebuffer(), self.crtc.mode()) {
            (Some(buffer), Some(mode)) => card
                .set_crtc(
                    crtc,
                    Some(buffer),
                    self.crtc.position(),
                    &self.connectors,
                    Some(mode),
                )
                .or_else(|_| off()),
            _ => off(),
        }
    }
}
