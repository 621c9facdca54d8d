//! An output of a graphics card, driven through DRM/KMS with dumb buffers: memory that
//! every driver gives and no graphics library is needed for.
//!
//! Only one program at a time may set what a card shows, its master. While this sink
//! has the card, the text console is not seen and goes on unseen. At the end the output
//! gets back the buffer, mode and connectors that it had. No cursor is touched. Where
//! the process is killed (SIGKILL), the kernel takes its buffers away and shows the
//! console again, if nobody else has the card open.
//!
//! A monitor that is unplugged and plugged in again gets the mode that the run began
//! with.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::drm::control::{ClipRect, Device as _, Mode, PageFlipFlags, connector, crtc};

use super::{Canvas, OutputRequest, Screen};
use crate::devices::Sysfs;

mod buffer;
mod card;
mod choice;
mod fault;
mod state;

use buffer::Buffer;
use card::Card;
use state::Shown;

/// How long a new buffer may take to be shown. The slowest monitors show 24 a second.
const FLIP_LIMIT: Duration = Duration::from_millis(500);

/// How often the connector is looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Errno values, the same on every Linux that Rust knows.
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// An output that shows this program's buffers.
pub struct Output {
    name: String,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    /// What to give back; `None` while there is nothing to.
    before: Option<Shown>,
    /// The one that is seen and the one that is drawn to.
    buffers: [Buffer; 2],
    front: usize,
    update: Update,
    /// Whether a flip has been asked for and not been reported yet.
    flipping: bool,
    /// Whether the last picture could not be shown.
    failed: bool,
    monitor: Monitor,
    // Last: the memory of the buffers is unmapped before the card is closed, which
    // frees it.
    card: Card,
}

/// How a picture is brought to the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Update {
    /// The other buffer is shown from the next vertical blank on.
    Flip,
    /// The buffer that is shown is drawn to, and the driver told.
    Dirty,
    /// The buffer that is shown is drawn to: what the driver does not want to be told of.
    Silent,
}

impl Output {
    /// Takes the card and shows black on the output that is asked for.
    ///
    /// # Errors
    /// That there is no such output or no monitor at it, that another program has the
    /// card, or that this one may not have it.
    pub fn open(request: &OutputRequest) -> Result<Self, String> {
        let path = match &request.card {
            Some(path) => path.clone(),
            None => first_card(request.connector.as_deref())?,
        };
        Self::take(&path, request)
    }

    fn take(path: &Path, request: &OutputRequest) -> Result<Self, String> {
        let card = Card::take(path).map_err(|error| fault::open(path, &error))?;
        let fault = |step: &str, error| fault::setup(path, step, &error);
        let connectors = card
            .connectors()
            .map_err(|error| fault("listing its connectors", error))?;
        let offers: Vec<choice::Offer> = connectors.iter().map(choice::Offer::from).collect();
        let chosen = choice::connector(&offers, request.connector.as_deref())
            .map_err(|reason| format!("{}: {reason}", path.display()))?;
        let connector = &connectors[chosen];
        let name = format!("{} ({})", path.display(), offers[chosen].name);
        let mode = choice::mode(&offers[chosen].modes, request.mode)
            .map_err(|reason| format!("{name}: {reason}"))?;
        let mode = connector.modes()[mode];
        let crtc = card
            .crtc_for(connector, &connectors)
            .map_err(|error| fault("looking for a free CRTC", error))?
            .ok_or_else(|| {
                format!("{name}: all that could drive it is busy with other connectors")
            })?;
        let (width, height) = mode.size();
        let size = (u32::from(width), u32::from(height));
        let buffer = || Buffer::new(&card, size).map_err(|reason| format!("{name}: {reason}"));
        let buffers = [buffer()?, buffer()?];
        let before = Shown::read(&card, crtc, &connectors)
            .map_err(|error| fault("reading what it shows", error))?;
        let mut output = Self {
            monitor: Monitor::new(),
            connector: connector.handle(),
            crtc,
            mode,
            before: None,
            buffers,
            front: 0,
            update: Update::Flip,
            flipping: false,
            failed: false,
            name,
            card,
        };
        output
            .begin()
            .map_err(|error| fault("setting the mode", error))?;
        output.before = Some(before);
        log::info!("{}: {width}x{height}", output.name);
        Ok(output)
    }

    /// Sets the mode and shows the front buffer.
    fn begin(&mut self) -> io::Result<()> {
        self.card.set_crtc(
            self.crtc,
            Some(self.buffers[self.front].id()),
            (0, 0),
            &[self.connector],
            Some(self.mode),
        )?;
        self.flipping = false;
        // A flip that was given up may have been reported since.
        while self.card.wait_for_event(Duration::ZERO)? {}
        Ok(())
    }

    /// Shows the front buffer again after it was lost or given back.
    fn begin_again(&mut self) -> io::Result<()> {
        if self.before.is_none() {
            let connectors = self.card.connectors()?;
            self.before = Some(Shown::read(&self.card, self.crtc, &connectors)?);
        }
        self.begin()
    }

    /// Waits until the flip that was asked for has been done.
    fn end_flip(&mut self) -> Result<(), String> {
        if !self.flipping {
            return Ok(());
        }
        match self.card.wait_for_event(FLIP_LIMIT) {
            Ok(true) => {
                self.flipping = false;
                Ok(())
            }
            Ok(false) => Err(format!(
                "it has not shown the last picture after {} ms; is the monitor switched off?",
                FLIP_LIMIT.as_millis()
            )),
            Err(error) => Err(format!("it does not say what it shows: {error}")),
        }
    }

    fn try_show(&mut self, draw: &mut dyn FnMut(&mut Canvas<'_>)) -> Result<(), String> {
        self.end_flip()?;
        if self.update == Update::Flip {
            let back = 1 - self.front;
            draw(&mut self.buffers[back].canvas()?);
            let id = self.buffers[back].id();
            match self
                .card
                .page_flip(self.crtc, id, PageFlipFlags::EVENT, None)
            {
                Ok(()) => {
                    (self.front, self.flipping) = (back, true);
                    return Ok(());
                }
                Err(error) if is_unsupported(&error) => {
                    log::info!("{}: no page flips; drawing where it is seen", self.name);
                    self.update = Update::Dirty;
                }
                Err(error) => return Err(format!("the picture cannot be shown: {error}")),
            }
        }
        let buffer = &mut self.buffers[self.front];
        draw(&mut buffer.canvas()?);
        if self.update == Update::Dirty {
            let (width, height) = self.mode.size();
            // An empty list of clips would mean all, but some drivers refuse it.
            let all = ClipRect::new(0, 0, width, height);
            match self.card.dirty_framebuffer(buffer.id(), &[all]) {
                Ok(()) => {}
                Err(error) if is_unsupported(&error) => self.update = Update::Silent,
                Err(error) => return Err(format!("the picture cannot be shown: {error}")),
            }
        }
        Ok(())
    }
}

impl Screen for Output {
    fn name(&self) -> &str {
        &self.name
    }

    fn show(&mut self, draw: &mut dyn FnMut(&mut Canvas<'_>)) -> Result<(), String> {
        let returned = self.monitor.look(&self.card, self.connector, &self.name);
        if self.before.is_none() || returned || self.failed {
            // Until all has gone well.
            self.failed = true;
            self.begin_again()
                .map_err(|error| format!("the mode cannot be set: {error}"))?;
        }
        let shown = self.try_show(draw);
        self.failed = shown.is_err();
        shown
    }

    fn restore(&mut self) -> Result<(), String> {
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        // Setting a mode waits for the flip; should it never be reported, nothing is
        // lost by going on.
        let _ = self.end_flip();
        self.flipping = false;
        before
            .give_back(&self.card)
            .map_err(|error| format!("what it showed cannot be given back: {error}"))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After an error or panic nobody calls finish. If this fails, there is nobody
        // left to tell, and the kernel shows the console when the card is closed.
        let _ = self.restore();
    }
}

/// Whether a driver says that it does not do this, not that it failed.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(EINVAL | ENOSYS | EOPNOTSUPP))
}

/// Whether something is plugged in.
struct Monitor {
    next_look: Instant,
    gone: bool,
}

impl Monitor {
    fn new() -> Self {
        Self {
            next_look: Instant::now() + WATCH,
            gone: false,
        }
    }

    /// Looks once a second, and tells what has changed. Gives whether a monitor has
    /// come back, which needs its mode to be set.
    fn look(&mut self, card: &Card, connector: connector::Handle, name: &str) -> bool {
        let now = Instant::now();
        if now < self.next_look {
            return false;
        }
        self.next_look = now + WATCH;
        let gone = match card.get_connector(connector, false) {
            Ok(info) => info.state() == connector::State::Disconnected,
            // Showing a picture will tell what is wrong.
            Err(_) => return false,
        };
        let returned = self.gone && !gone;
        if gone && !self.gone {
            log::warn!("{name}: the monitor was unplugged; the run goes on");
        } else if returned {
            log::warn!("{name}: a monitor was plugged in again");
        }
        self.gone = gone;
        returned
    }
}

/// The card of the first connector that something is plugged into, by sysfs: no card
/// is opened that will not be used.
fn first_card(connector: Option<&str>) -> Result<PathBuf, String> {
    choice::card(&Sysfs::default().displays(), connector).map(PathBuf::from)
}
