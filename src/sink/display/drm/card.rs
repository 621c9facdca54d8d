//! A graphics card's device file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use ::drm::Device as _;
use ::drm::control::{Device as _, connector, crtc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// `EBUSY`, the same on every Linux that Rust knows.
const EBUSY: i32 = 16;

/// Room for the events that a driver reports at a time.
const EVENTS: usize = 1024;

/// An open card.
#[derive(Debug)]
pub struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ::drm::Device for Card {}
impl ::drm::control::Device for Card {}

impl Card {
    /// Opens a card and becomes its master, which whoever opens it first is at once.
    ///
    /// # Errors
    /// As opening does; busy where another program is master.
    pub fn take(path: &Path) -> io::Result<Self> {
        let card = Self(OpenOptions::new().read(true).write(true).open(path)?);
        match card.acquire_master_lock() {
            Err(error) if error.raw_os_error() == Some(EBUSY) => Err(error),
            // Kernels before 5.8 let only root ask, even whoever is master already.
            // Setting the mode will tell.
            _ => Ok(card),
        }
    }

    /// All connectors. Monitors are asked what they are, which takes a moment.
    pub fn connectors(&self) -> io::Result<Vec<connector::Info>> {
        let handles = self.resource_handles()?;
        let connectors = handles.connectors().iter();
        connectors
            .map(|&handle| self.get_connector(handle, true))
            .collect()
    }

    /// What can feed a connector: what feeds it now, or else something that feeds no
    /// other connector. `None` where there is nothing.
    pub fn crtc_for(
        &self,
        connector: &connector::Info,
        all: &[connector::Info],
    ) -> io::Result<Option<crtc::Handle>> {
        if let Some(now) = self.crtc_of(connector)? {
            return Ok(Some(now));
        }
        let mut busy = Vec::new();
        for other in all {
            busy.extend(self.crtc_of(other)?);
        }
        let handles = self.resource_handles()?;
        for &encoder in connector.encoders() {
            let possible = handles.filter_crtcs(self.get_encoder(encoder)?.possible_crtcs());
            if let Some(free) = possible.into_iter().find(|crtc| !busy.contains(crtc)) {
                return Ok(Some(free));
            }
        }
        Ok(None)
    }

    /// What feeds a connector now.
    pub fn crtc_of(&self, connector: &connector::Info) -> io::Result<Option<crtc::Handle>> {
        match connector.current_encoder() {
            Some(encoder) => Ok(self.get_encoder(encoder)?.crtc()),
            None => Ok(None),
        }
    }

    /// Waits until the card reports something, and takes it. Page flips are all that
    /// this program asks to be told of. Gives whether something came.
    pub fn wait_for_event(&self, limit: Duration) -> io::Result<bool> {
        let mut cards = [PollFd::new(&self.0, PollFlags::IN)];
        // A duration of this program's making fits.
        let limit = Timespec::try_from(limit).ok();
        if poll(&mut cards, limit.as_ref())? == 0 {
            return Ok(false);
        }
        let read = (&self.0).read(&mut [0; EVENTS])?;
        Ok(read > 0)
    }
}
