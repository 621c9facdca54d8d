//! A pin that can be taken out of the hands of the thread that drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_hal::digital::{ErrorType, OutputPin};

use crate::gpio::{GpioError, Pin};
use crate::trigger::Level;

/// A line's pin, with a [`Guard`] in other hands.
#[derive(Debug)]
pub struct GuardedPin(Arc<Shared>);

/// The other end of a [`GuardedPin`]: drives the pin safe, without a lock, even while
/// its own thread hangs in a write.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pin: Pin,
    safe_is_high: AtomicBool,
    revoked: AtomicBool,
}

impl GuardedPin {
    /// Takes a pin whose safe level is `safe`.
    pub fn new(pin: Pin, safe: Level) -> (Self, Guard) {
        let shared = Arc::new(Shared {
            pin,
            safe_is_high: AtomicBool::new(safe == Level::High),
            revoked: AtomicBool::new(false),
        });
        (Self(Arc::clone(&shared)), Guard(shared))
    }
}

impl Guard {
    /// Changes what counts as safe. The pin is not driven.
    pub fn set_safe(&self, safe: Level) {
        self.0
            .safe_is_high
            .store(safe == Level::High, Ordering::SeqCst);
    }

    /// Drives the pin to its safe level and lets it have no other from now on: a
    /// write that is under way is followed by one of the safe level.
    ///
    /// # Errors
    /// The pin could not be driven.
    pub fn revoke(&self) -> Result<(), GpioError> {
        self.0.revoked.store(true, Ordering::SeqCst);
        self.0.pin.drive(self.0.safe())
    }
}

impl Shared {
    fn safe(&self) -> Level {
        if self.safe_is_high.load(Ordering::SeqCst) {
            Level::High
        } else {
            Level::Low
        }
    }

    fn drive(&self, level: Level) -> Result<(), GpioError> {
        if !self.revoked.load(Ordering::SeqCst) {
            self.pin.drive(level)?;
        }
        // Asked again: it may have been revoked while the write was under way.
        if self.revoked.load(Ordering::SeqCst) {
            self.pin.drive(self.safe())?;
        }
        Ok(())
    }
}

impl ErrorType for GuardedPin {
    type Error = GpioError;
}

impl OutputPin for GuardedPin {
    fn set_low(&mut self) -> Result<(), GpioError> {
        self.0.drive(Level::Low)
    }

    fn set_high(&mut self) -> Result<(), GpioError> {
        self.0.drive(Level::High)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};
    use std::thread;

    use super::*;
    use crate::gpio::{DryEdge, DryLine};

    #[test]
    fn a_revoked_pin_is_safe_though_a_write_hangs_and_comes_back() {
        let (hung, in_write) = mpsc::channel();
        let (release, go_on) = mpsc::channel::<()>();
        let go_on = Mutex::new(go_on);
        let levels = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&levels);
        let line = DryLine::new("test", 0, Level::Low, "test", move |edge| {
            if edge.level == Level::High {
                hung.send(()).unwrap();
                go_on.lock().unwrap().recv().unwrap();
            }
            seen.lock().unwrap().push(edge.level);
        });
        let (mut pin, guard) = GuardedPin::new(Pin::Dry(line), Level::Low);
        let writer = thread::spawn(move || {
            pin.set_high().unwrap();
            // Without effect by now.
            pin.set_high().unwrap();
        });
        in_write.recv().unwrap();
        guard.revoke().unwrap();
        assert_eq!(levels.lock().unwrap().last(), Some(&Level::Low));
        release.send(()).unwrap();
        writer.join().unwrap();
        // The late write has its effect, and is undone at once.
        let levels = levels.lock().unwrap();
        assert_eq!(*levels, [Level::Low, Level::High, Level::Low]);
    }

    #[test]
    fn the_safe_level_can_change() {
        let levels = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&levels);
        let report = move |edge: &DryEdge| seen.lock().unwrap().push(edge.level);
        let line = DryLine::new("test", 0, Level::Low, "test", report);
        let (mut pin, guard) = GuardedPin::new(Pin::Dry(line), Level::Low);
        guard.set_safe(Level::High);
        guard.revoke().unwrap();
        pin.set_low().unwrap();
        assert_eq!(*levels.lock().unwrap(), [Level::Low, Level::High]);
    }
}
