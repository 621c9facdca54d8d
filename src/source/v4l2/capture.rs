//! Buffers in and out of the driver.

use std::io;
use std::time::{Duration, Instant};

use v4l::buffer::{Metadata, Type};
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};

use super::device::Device;
use super::fault;
use crate::guard;

/// Most buffers a driver may give (`VIDEO_MAX_FRAME`).
const MAX_BUFFERS: usize = 32;

/// POLLIN.
const READABLE: i16 = 1;

/// Longest wait inside one call.
const SLICE: Duration = Duration::from_millis(100);

/// How often a driver is told to stop that was interrupted while it did.
const STOPS: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No buffer is with the driver.
    Stopped,
    /// Every buffer is with the driver and none came back yet.
    Started,
    /// One buffer is with the program: the one [`Stream::next`] hands back first.
    Running,
}

/// A camera's buffers.
///
/// `v4l`'s own `next` cannot be called again after a timeout: it queues the same
/// buffer twice, and the driver refuses. So the wait happens here, before it, and a
/// start queues the buffers by hand; the first picture is then dropped, because
/// `next` knows only a buffer that it or `dequeue` took.
///
/// `v4l` frees what it holds when the stream is dropped, and panics if it cannot. So
/// [`release`](Self::release) asks the driver to stop first, and drops only then.
pub(super) struct Capture {
    /// Present until released.
    stream: Option<Stream<'static>>,
    state: State,
}

impl Capture {
    /// Asks the driver for about `buffers` buffers of the format that is set.
    pub(super) fn new(device: &Device, buffers: u32) -> io::Result<Self> {
        let mut stream = device.call(|device| {
            // The stream shares the device's file; its lifetime is bound to nothing.
            Stream::with_buffers(device, Type::VideoCapture, buffers)
        })?;
        stream.set_timeout(SLICE);
        Ok(Self {
            stream: Some(stream),
            state: State::Stopped,
        })
    }

    /// Waits a moment for a filled buffer and copies what is used of it. Starts the
    /// stream if it is stopped.
    ///
    /// # Errors
    /// One that [`is_timeout`] knows if nothing came, which changes nothing.
    /// After any other error [`stop`](Self::stop) comes first.
    pub(super) fn next(&mut self, data: &mut Vec<u8>) -> io::Result<Metadata> {
        let Some(stream) = &mut self.stream else {
            return Err(io::Error::other("the stream is closed"));
        };
        if self.state == State::Stopped {
            start(stream)?;
            self.state = State::Started;
        }
        if self.state == State::Started {
            wait(stream, SLICE)?;
            CaptureStream::dequeue(stream)?;
            self.state = State::Running;
        }
        wait(stream, SLICE)?;
        let (bytes, metadata) = match CaptureStream::next(stream) {
            Ok(filled) => filled,
            // The wait was for nothing and the buffer is queued already: this is not
            // the timeout that may simply be repeated.
            Err(error) if is_timeout(&error) => {
                return Err(io::Error::other(
                    "the driver announced a frame and gave none",
                ));
            }
            Err(error) => return Err(error),
        };
        let used = bytes.len().min(metadata.bytesused as usize);
        data.clear();
        data.extend_from_slice(&bytes[..used]);
        Ok(*metadata)
    }

    /// Takes every buffer back from the driver, so that [`next`](Self::next) starts
    /// afresh.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.state = State::Stopped;
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        for _ in 1..STOPS {
            match stream.stop() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                stopped => return stopped,
            }
        }
        stream.stop()
    }

    /// Frees the buffers and lets go of the device, which need not be there any more.
    ///
    /// # Errors
    /// The driver refuses to stop, and everything is held as before; the call may be
    /// repeated.
    pub(super) fn release(&mut self) -> io::Result<()> {
        match self.stop() {
            Err(error) if !fault::is_gone(&error) => return Err(error),
            _ => {}
        }
        // Once stopped, at most one thing is left that can fail: freeing the buffers.
        // By then they are unmapped, so that closing the file frees them as well, and
        // the panic does not stop that.
        if let Err(panic) = guard::contain(|| drop(self.stream.take())) {
            log::debug!("a camera's buffers were not freed in the ordinary way: {panic}");
        }
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Dropped as it is, the stream would panic, and twice in a row, which would
        // abort. The kernel cleans up when the program ends.
        if let Err(error) = self.release() {
            log::warn!("a camera would not stop and stays open: {error}");
            std::mem::forget(self.stream.take());
        }
    }
}

/// Whether the error says that no frame came in time. A driver's own `ETIMEDOUT` is
/// a fault and not meant.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

fn start(stream: &mut Stream<'static>) -> io::Result<()> {
    let mut queued = 0;
    let mut refused = None;
    let mut lacks_one = false;
    // How many buffers there are is not told; an index beyond them is refused.
    for index in 0..MAX_BUFFERS {
        match CaptureStream::queue(stream, index) {
            Ok(()) if refused.is_none() => queued += 1,
            // One between others was refused: a fault, not the end of the list.
            Ok(()) => {
                lacks_one = true;
                break;
            }
            Err(error) => refused = Some(error),
        }
    }
    // One is always with the program, so another must be with the driver.
    if queued < 2 || lacks_one {
        return Err(refused.unwrap_or_else(|| io::Error::other("the driver gives no buffers")));
    }
    stream.start()
}

/// Waits until the driver has something to tell: a frame or a fault.
fn wait(stream: &Stream<'static>, timeout: Duration) -> io::Result<()> {
    let handle = stream.handle();
    let deadline = Instant::now() + timeout;
    loop {
        // Rounded up: a wait of 0 ms would spin.
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        match handle.poll(READABLE, millis) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_own_timeout_may_be_repeated() {
        assert!(is_timeout(&io::ErrorKind::TimedOut.into()));
        let etimedout = io::Error::from_raw_os_error(110);
        assert_eq!(etimedout.kind(), io::ErrorKind::TimedOut);
        assert!(!is_timeout(&etimedout));
    }
}
