//! The newest result on a screen, without a desktop: on an output of a graphics card
//! (DRM/KMS) or on a framebuffer device.
//!
//! The picture fills the screen as far as its proportions let it; below it stands a
//! line with the rate, the age of the picture and the rules' states. When the sink is
//! finished or dropped, after an error or panic too, the screen is given back as it
//! was found.
//!
//! A screen that fails while a run goes on does not end the run: what it shows is worth
//! less than the lines that the run drives. That is logged once, and it is tried again
//! every second.

use std::time::Instant;

use super::rate::Rate;
use super::visual::Painter;
use super::{Outcome, Sink, SinkError, SinkOptions, Visual};
use crate::classes::Classes;

mod address;
mod canvas;
pub mod drm;
pub mod fbdev;
mod layout;
mod outage;
mod picture;
mod text;

pub use address::{Address, OutputRequest};
pub use canvas::{Canvas, Geometry, PixelFormat};
pub use layout::Area;

use layout::Layout;
use outage::Outage;
use picture::Scaler;

/// Something that shows pictures.
pub trait Screen: Send {
    /// What the user knows it by: its device, and its connector if it has one.
    fn name(&self) -> &str;

    /// Lets `draw` fill a canvas, all of it, and shows that. `draw` may be called more
    /// than once.
    ///
    /// # Errors
    /// Why the picture is not shown. The next one may be.
    fn show(&mut self, draw: &mut dyn FnMut(&mut Canvas<'_>)) -> Result<(), String>;

    /// Shows what was there before the first picture. A picture after that is shown
    /// again.
    ///
    /// # Errors
    /// Why that was not possible.
    fn restore(&mut self) -> Result<(), String>;
}

/// Draws results on a [`Screen`].
pub struct DisplaySink {
    screen: Box<dyn Screen>,
    visualize: Vec<Visual>,
    alpha: f32,
    painter: Painter,
    scaler: Scaler,
    line: String,
    rate: Rate,
    outage: Outage,
}

impl DisplaySink {
    /// A sink on `screen` that shows the first of the pictures in
    /// [`SinkOptions::visualize`] that can be drawn: `truth` is passed over where the
    /// source does not know it. Where none is left it is the source's picture.
    pub fn new(screen: Box<dyn Screen>, options: &SinkOptions) -> Self {
        Self {
            screen,
            visualize: options.visualize.clone(),
            alpha: options.alpha,
            painter: Painter::new(options.effect.clone()),
            scaler: Scaler::default(),
            line: String::new(),
            rate: Rate::default(),
            outage: Outage::default(),
        }
    }

    /// Opens the screen at `address`; `uri` is the user's name for it.
    ///
    /// # Errors
    /// [`SinkError::Open`] where there is none, it is in use, or may not be used.
    pub fn open(uri: &str, address: &Address, options: &SinkOptions) -> Result<Self, SinkError> {
        let screen: Result<Box<dyn Screen>, String> = match address {
            Address::Output(request) => {
                drm::Output::open(request).map(|output| Box::new(output) as _)
            }
            Address::Framebuffer(path) => {
                fbdev::Framebuffer::open(path).map(|buffer| Box::new(buffer) as _)
            }
        };
        match screen {
            Ok(screen) => Ok(Self::new(screen, options)),
            Err(reason) => Err(SinkError::Open {
                uri: uri.into(),
                reason,
            }),
        }
    }
}

impl Sink for DisplaySink {
    fn consume(&mut self, outcome: &Outcome, classes: &Classes) -> Result<(), SinkError> {
        outcome.check()?;
        self.rate.count(outcome);
        let now = Instant::now();
        if self.outage.lasts(now) {
            return Ok(());
        }
        let Self {
            screen,
            painter,
            scaler,
            line,
            ..
        } = self;
        let drawable = |v: &Visual| *v != Visual::Truth || outcome.truth.is_some();
        let visual = self.visualize.iter().copied().find(drawable);
        let visual = visual.unwrap_or(Visual::Frame);
        let Some(picture) = painter.paint(visual, outcome, classes, self.alpha) else {
            return Ok(());
        };
        let per_second = self.rate.per_second();
        let shown = screen.show(&mut |canvas| {
            let size = canvas.size();
            let layout = Layout::new(size, (picture.width, picture.height));
            for border in layout.borders(size) {
                canvas.fill(border, [0; 3]);
            }
            scaler.draw(canvas, layout.picture, &picture);
            if let Some(place) = &layout.text {
                text::compose(outcome, per_second, place.columns(), line);
                text::draw(canvas, place, line);
            }
        });
        if let Some(news) = self.outage.note(shown, now) {
            log::warn!("{}: {news}", self.screen.name());
        }
        Ok(())
    }

    fn wants_every_result(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if let Err(reason) = self.screen.restore() {
            log::warn!("{}: {reason}", self.screen.name());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::classes::Class;
    use crate::mask::Mask;

    /// A screen in memory that fails as the test says.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        memory: Vec<u8>,
        shown: u32,
        restored: u32,
        fails: bool,
    }

    const GEOMETRY: Geometry = Geometry {
        width: 64,
        height: 96,
        stride: 64 * 4,
        format: PixelFormat::Xrgb8888,
    };

    impl Screen for Fake {
        fn name(&self) -> &str {
            "a fake"
        }

        fn show(&mut self, draw: &mut dyn FnMut(&mut Canvas<'_>)) -> Result<(), String> {
            let mut state = self.0.lock().unwrap();
            if state.fails {
                return Err("unplugged".into());
            }
            state.memory.resize(GEOMETRY.length()?, 1);
            draw(&mut Canvas::new(&mut state.memory, GEOMETRY)?);
            state.shown += 1;
            Ok(())
        }

        fn restore(&mut self) -> Result<(), String> {
            let mut state = self.0.lock().unwrap();
            state.restored += 1;
            if state.fails {
                return Err("still unplugged".into());
            }
            Ok(())
        }
    }

    fn outcome() -> Outcome {
        Outcome {
            width: 2,
            height: 2,
            rgb: vec![100; 12],
            mask: Mask {
                width: 2,
                height: 2,
                labels: vec![0, 1, 0, 1],
            },
            ..Outcome::default()
        }
    }

    fn sink(visualize: &[Visual]) -> (Fake, DisplaySink) {
        let screen = Fake::default();
        let options = SinkOptions {
            visualize: visualize.to_vec(),
            alpha: 1.0,
            ..SinkOptions::default()
        };
        let sink = DisplaySink::new(Box::new(screen.clone()), &options);
        (screen, sink)
    }

    fn classes() -> Classes {
        let class = |colour| Class {
            name: "c".into(),
            colour,
        };
        Classes::new(vec![class([200, 0, 0]), class([0, 0, 50])])
    }

    #[test]
    fn the_whole_screen_is_drawn_with_the_picture_in_its_place() {
        let (screen, mut sink) = sink(&[Visual::Truth, Visual::Overlay]);
        sink.consume(&outcome(), &classes()).unwrap();
        let state = screen.0.lock().unwrap();
        let pixel = |x: usize, y: usize| &state.memory[y * GEOMETRY.stride + x * 4..][..4];
        // The line takes 19 of 96 rows; of the rest the picture takes 64, from row 6.
        assert_eq!(pixel(0, 5), [0; 4]);
        assert_eq!(pixel(0, 6), [0, 0, 200, 0]);
        assert_eq!(pixel(31, 69), [0, 0, 200, 0]);
        assert_eq!(pixel(32, 69), [50, 0, 0, 0]);
        assert_eq!(pixel(63, 70), [0; 4]);
        assert!(state.memory.chunks_exact(4).all(|pixel| pixel[3] == 0));
        assert!(state.memory[77 * GEOMETRY.stride..].contains(&255), "text");
    }

    #[test]
    fn a_truth_that_is_not_known_leaves_the_picture() {
        let (screen, mut sink) = sink(&[Visual::Truth]);
        let mut outcome = outcome();
        sink.consume(&outcome, &classes()).unwrap();
        let middle = |screen: &Fake| {
            let state = screen.0.lock().unwrap();
            state.memory[30 * GEOMETRY.stride..][..4].to_vec()
        };
        assert_eq!(middle(&screen), [100, 100, 100, 0]);
        outcome.truth = Some(Mask {
            labels: vec![1; 4],
            ..outcome.mask.clone()
        });
        sink.consume(&outcome, &classes()).unwrap();
        assert_eq!(middle(&screen), [50, 0, 0, 0]);
    }

    #[test]
    fn a_screen_that_fails_does_not_end_the_run() {
        let (screen, mut sink) = sink(&[Visual::Overlay]);
        screen.0.lock().unwrap().fails = true;
        assert_eq!(sink.consume(&outcome(), &classes()), Ok(()));
        screen.0.lock().unwrap().fails = false;
        // It is left alone for a second.
        assert_eq!(sink.consume(&outcome(), &classes()), Ok(()));
        assert_eq!(screen.0.lock().unwrap().shown, 0);
        sink.outage = Outage::default();
        assert_eq!(sink.consume(&outcome(), &classes()), Ok(()));
        assert_eq!(screen.0.lock().unwrap().shown, 1);
        screen.0.lock().unwrap().fails = true;
        assert_eq!(sink.finish(), Ok(()));
        assert_eq!(screen.0.lock().unwrap().restored, 1);
    }
}
