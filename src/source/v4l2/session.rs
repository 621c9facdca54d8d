//! One opening of a camera: from its node to buffers.

use std::io;
use std::path::Path;

use super::capture::Capture;
use super::device::Device;
use super::fingerprint::Fingerprint;
use super::negotiate::{self, Answer, Plan};
use super::{control, fault, offer};
use crate::source::SourceError;
use crate::source::uri::CameraRequest;

/// An open camera with its buffers.
pub(super) struct Session {
    // Before the device: what it holds is freed first.
    pub(super) capture: Capture,
    device: Device,
    pub(super) plan: Plan,
    /// The format the buffers have.
    answer: Answer,
    pub(super) fingerprint: Fingerprint,
    /// Such as `/dev/video0 (uvcvideo: HD Webcam) 640x480 YUYV 30 fps`.
    pub(super) description: String,
    /// What is not as it was asked for.
    pub(super) notes: Vec<String>,
}

impl Session {
    /// Opens the camera at `node`, which the user named as `request.path`; sets format,
    /// size, rate and controls, and asks for buffers.
    ///
    /// # Errors
    /// [`SourceError::Lost`] if there is no such camera; [`SourceError::BadUri`] for a
    /// control that cannot be set; [`SourceError::Open`] if it may not be used, is
    /// busy, is no capture device, or has no format that can be read.
    pub(super) fn open(request: &CameraRequest, node: &Path) -> Result<Self, SourceError> {
        let uri = node.display().to_string();
        let open = |reason| SourceError::Open {
            uri: uri.clone(),
            reason,
        };
        let setup = |what: &str, error: io::Error| fault::setup(node, what, &error);
        let device = Device::open(node).map_err(|error| setup("opening it", error))?;
        let identity = device
            .identity()
            .map_err(|error| setup("asking what it is", error))?;
        if let Some(problem) = identity.problem(&uri) {
            return Err(open(problem));
        }
        let fingerprint = device
            .fingerprint(node)
            .map_err(|error| setup("asking what it is", error))?;
        let (width, height) = request.size.unwrap_or((640, 480));
        let offers = device
            .offers(width, height, request.fps)
            .map_err(|error| setup("listing its formats", error))?;
        let fourcc = negotiate::choose(&offers, request.format, &uri).map_err(open)?;
        let ask = negotiate::size_to_ask(fourcc, width, height);
        device
            .set_format(fourcc, ask.0, ask.1)
            .map_err(|error| setup("setting its format", error))?;
        let fps = device.set_rate(request.fps);
        control::apply(&device, &request.controls).map_err(|reason| SourceError::BadUri {
            uri: uri.clone(),
            reason,
        })?;
        let capture = Capture::new(&device, request.buffers)
            .map_err(|error| setup("getting buffers", error))?;
        // Asked for again: until there were buffers, another program could change it,
        // and some controls do.
        let answer = device
            .format()
            .map_err(|error| setup("asking for its format", error))?;
        let plan = negotiate::plan(&answer, fourcc, &offers).map_err(open)?;
        let rate = fps.map_or(String::new(), |fps| {
            format!(" {} fps", offer::rate_text(fps))
        });
        let description = format!(
            "{uri} ({}: {}) {}x{} {}{rate}",
            identity.driver,
            identity.card,
            plan.width,
            plan.height,
            negotiate::fourcc_text(answer.fourcc),
        );
        Ok(Self {
            notes: notes(request, &answer, fps),
            capture,
            device,
            plan,
            answer,
            fingerprint,
            description,
        })
    }

    /// Takes every buffer back, so that the next frame comes from a stream started
    /// anew.
    ///
    /// # Errors
    /// Why the camera has to be opened anew instead.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        let reason = |error: io::Error| {
            if fault::is_gone(&error) {
                fault::GONE.to_owned()
            } else {
                format!("it cannot be restarted: {error}")
            }
        };
        self.capture.stop().map_err(reason)?;
        // A signal that changed (another resolution on HDMI) changes the format.
        let now = self.device.format().map_err(reason)?;
        if now != self.answer {
            return Err("its format changed".to_owned());
        }
        Ok(())
    }
}

/// What the driver made of the request, where that is something else.
fn notes(request: &CameraRequest, answer: &Answer, fps: Option<f64>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((width, height)) = request.size
        && (width, height) != (answer.width, answer.height)
    {
        notes.push(format!(
            "{width}x{height} was asked for, the driver gives {}x{}",
            answer.width, answer.height
        ));
    }
    if answer.interlaced {
        notes.push("interlaced; both fields are taken as one picture".to_owned());
    }
    notes.extend(negotiate::rate_warning(request.fps, fps));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColourSpace;

    #[test]
    fn what_is_as_asked_for_is_not_noted() {
        let mut request = CameraRequest::new("/dev/video0");
        let mut answer = Answer {
            width: 640,
            height: 480,
            fourcc: *b"YUYV",
            stride: 1280,
            bytes: 614_400,
            colour: ColourSpace::default(),
            interlaced: false,
        };
        assert_eq!(notes(&request, &answer, Some(30.0)), [""; 0]);
        request.size = Some((640, 480));
        request.fps = Some(30.0);
        assert_eq!(notes(&request, &answer, Some(30.0)), [""; 0]);
        answer.height = 360;
        answer.interlaced = true;
        let notes = notes(&request, &answer, Some(25.0));
        let parts = [
            "640x480 was asked for, the driver gives 640x360",
            "interlaced",
            "gives 25",
        ];
        assert_eq!(notes.len(), parts.len());
        for (note, part) in notes.iter().zip(parts) {
            assert!(note.contains(part), "{note}");
        }
    }
}
