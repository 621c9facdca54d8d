//! Questions to a camera's driver.
//!
//! `v4l` panics on answers it does not know (an unlisted colour space, a name that
//! is not UTF-8), so every question is asked through [`Device::call`].

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use v4l::capability::Flags;
use v4l::control::{Description, Flags as ControlFlags, Type as ControlType};
use v4l::format::FieldOrder;
use v4l::fraction::Fraction;
use v4l::frameinterval::FrameInterval;
use v4l::framesize::FrameSize;
use v4l::parameters::Capabilities;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

use super::control::{self, ControlInfo, ControlKind, Controls, MenuEntry};
use super::fingerprint::Fingerprint;
use super::negotiate::{self, Answer};
use super::nodes;
use super::offer::{self, Offer};
use crate::guard;

/// Errno values of a device that has no controls.
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;

/// An open device node.
pub(super) struct Device(v4l::Device);

/// What a device says it is.
pub(super) struct Identity {
    pub(super) driver: String,
    pub(super) card: String,
    pub(super) bus: String,
    capabilities: Flags,
}

impl Identity {
    /// Whether it is a camera of any kind.
    pub(super) fn captures(&self) -> bool {
        // A memory-to-memory device (a codec, a scaler) captures only what it is fed.
        !self.is_converter()
            && self
                .capabilities
                .intersects(Flags::VIDEO_CAPTURE | Flags::VIDEO_CAPTURE_MPLANE)
    }

    fn is_converter(&self) -> bool {
        self.capabilities
            .intersects(Flags::VIDEO_M2M | Flags::VIDEO_M2M_MPLANE)
    }

    /// Why frames cannot be captured from it, if they cannot. `path` is its node.
    pub(super) fn problem(&self, path: &str) -> Option<String> {
        let has = |flag| self.capabilities.contains(flag);
        let problem = if self.is_converter() {
            "not a camera but a codec or scaler; `atrous devices` lists the cameras there are"
        } else if has(Flags::VIDEO_CAPTURE) && has(Flags::STREAMING) {
            return None;
        } else if has(Flags::VIDEO_CAPTURE) {
            "its driver cannot stream into mapped buffers, which this program needs"
        } else if has(Flags::VIDEO_CAPTURE_MPLANE) {
            return Some(format!(
                "its driver has only the multi-planar interface, which this program does not \
                 speak; pipe it in: gst-launch-1.0 -q v4l2src device={path} ! videoconvert ! \
                 y4menc ! fdsink | atrous run '-?pace=live'"
            ));
        } else if has(Flags::META_CAPTURE) {
            "this node carries the camera's metadata, not its pictures; try the node before it, \
             or see `atrous devices`"
        } else {
            "not a capture device; `atrous devices` lists the cameras there are"
        };
        Some(problem.to_owned())
    }
}

impl Device {
    /// Opens the device at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Opening something else for writing can have effects of its own.
        if !fs::metadata(path)?.file_type().is_char_device() {
            return Err(io::Error::other(
                "not a device; a picture or stream is named without v4l2://",
            ));
        }
        v4l::Device::with_path(path).map(Self)
    }

    /// Asks the driver, with a panic in `v4l` as an error.
    pub(super) fn call<T>(
        &self,
        question: impl FnOnce(&v4l::Device) -> io::Result<T>,
    ) -> io::Result<T> {
        guard::contain(|| question(&self.0)).unwrap_or_else(|panic| {
            Err(io::Error::other(format!(
                "the driver's answer is not understood ({panic})"
            )))
        })
    }

    /// Name, driver and abilities.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        let answer = self.call(v4l::Device::query_caps)?;
        // A shorter name may leave another's tail behind its zero byte.
        let name = |text: String| text.split('\0').next().unwrap_or_default().to_owned();
        Ok(Identity {
            driver: name(answer.driver),
            card: name(answer.card),
            bus: name(answer.bus),
            capabilities: answer.capabilities,
        })
    }

    /// What tells it from other cameras; `node` is where it was opened.
    pub(super) fn fingerprint(&self, node: &Path) -> io::Result<Fingerprint> {
        let identity = self.identity()?;
        // sysfs knows the node, not the links to it.
        let node = fs::canonicalize(node)?;
        Ok(Fingerprint {
            driver: identity.driver,
            card: identity.card,
            bus: identity.bus,
            serial: nodes::unique_serial(&node),
            index: nodes::index(&node),
        })
    }

    /// The controls that it lists, without headings and those that are switched off
    /// for good.
    pub(super) fn controls(&self) -> io::Result<Vec<ControlInfo>> {
        let listed = match self.call(v4l::Device::query_controls) {
            Ok(listed) => listed,
            // It has none.
            Err(error) if matches!(error.raw_os_error(), Some(EINVAL | ENOTTY)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut controls: Vec<ControlInfo> = listed
            .into_iter()
            .filter(|control| {
                control.typ != ControlType::CtrlClass
                    && !control.flags.contains(ControlFlags::DISABLED)
            })
            .map(describe)
            .collect();
        for control in &mut controls {
            control.current = self.value_of(control);
        }
        Ok(controls)
    }

    fn value_of(&self, control: &ControlInfo) -> Option<i64> {
        if matches!(control.kind, ControlKind::Button | ControlKind::Other) {
            return None;
        }
        let answer = self.call(|device| device.control(control.id)).ok()?;
        match answer.value {
            v4l::control::Value::Integer(value) => Some(value),
            v4l::control::Value::Boolean(value) => Some(value.into()),
            _ => None,
        }
    }

    /// The formats listed: four characters and the driver's description.
    pub(super) fn formats(&self) -> io::Result<Vec<([u8; 4], String)>> {
        let formats = self.call(Capture::enum_formats)?;
        Ok(formats
            .into_iter()
            .map(|format| (format.fourcc.repr, format.description))
            .collect())
    }

    /// The sizes listed for a format; none if the driver does not list them.
    pub(super) fn sizes(&self, fourcc: [u8; 4]) -> Vec<FrameSize> {
        self.call(|device| device.enum_framesizes(FourCC::new(&fourcc)))
            .unwrap_or_default()
    }

    /// The frame intervals listed; none if the driver does not list them.
    pub(super) fn intervals(&self, fourcc: [u8; 4], width: u32, height: u32) -> Vec<FrameInterval> {
        self.call(|device| device.enum_frameintervals(FourCC::new(&fourcc), width, height))
            .unwrap_or_default()
    }

    /// Every listed format, seen from a request.
    pub(super) fn offers(
        &self,
        width: u32,
        height: u32,
        fps: Option<f32>,
    ) -> io::Result<Vec<Offer>> {
        let formats = self.formats()?;
        Ok(formats
            .into_iter()
            .map(|(fourcc, _)| Offer {
                fourcc,
                has_size: offer::lists_size(&self.sizes(fourcc), width, height),
                has_rate: fps
                    .and_then(|fps| offer::lists_rate(&self.intervals(fourcc, width, height), fps)),
            })
            .collect())
    }

    /// Asks for a format; returns what the driver made of it.
    pub(super) fn set_format(
        &self,
        fourcc: [u8; 4],
        width: u32,
        height: u32,
    ) -> io::Result<Answer> {
        let asked = Format::new(width, height, FourCC::new(&fourcc));
        Ok(answer(self.call(|device| device.set_format(&asked))?))
    }

    /// The format that is set.
    pub(super) fn format(&self) -> io::Result<Answer> {
        Ok(answer(self.call(Capture::format)?))
    }

    /// Asks for a frame rate where one is given and can be set; returns the rate
    /// that the driver will keep, where it tells.
    pub(super) fn set_rate(&self, fps: Option<f32>) -> Option<f64> {
        let current = self.call(Capture::params).ok()?;
        let settable = current.capabilities.contains(Capabilities::TIME_PER_FRAME);
        let Some(fps) = fps else {
            return offer::rate(current.interval);
        };
        if !settable {
            return None;
        }
        // The rate is at most 1000, so this is far from the limit.
        let interval = Fraction::new(1000, (fps * 1000.0).round() as u32);
        let answer = self
            .call(|device| device.set_params(&Parameters::new(interval)))
            .ok()?;
        offer::rate(answer.interval)
    }
}

/// What the driver set, in plain numbers.
fn answer(format: Format) -> Answer {
    Answer {
        width: format.width,
        height: format.height,
        fourcc: format.fourcc.repr,
        stride: format.stride,
        bytes: format.size,
        colour: negotiate::colour(
            format.fourcc.repr,
            format.colorspace as u32,
            format.quantization as u32,
        ),
        interlaced: !matches!(
            format.field_order,
            FieldOrder::Any | FieldOrder::Progressive
        ),
    }
}

impl Controls for Device {
    fn list(&self) -> Result<Vec<ControlInfo>, String> {
        self.controls()
            .map_err(|error| format!("its controls cannot be listed: {error}"))
    }

    fn set(&self, control: &ControlInfo, value: i64) -> Result<(), String> {
        let value = match control.kind {
            ControlKind::Button => v4l::control::Value::None,
            _ => v4l::control::Value::Integer(value),
        };
        let id = control.id;
        self.call(|device| device.set_control(v4l::Control { id, value }))
            .map_err(|error| format!("setting the control {} failed: {error}", control.name))
    }
}

/// A control in plain words; its value now is asked for by the caller.
fn describe(control: Description) -> ControlInfo {
    let flags = control.flags;
    ControlInfo {
        name: control::snake_case(&control.name),
        kind: match control.typ {
            // A list of values under one name.
            _ if flags.contains(ControlFlags::HAS_PAYLOAD) => ControlKind::Other,
            ControlType::Integer | ControlType::Integer64 => ControlKind::Integer,
            ControlType::Boolean => ControlKind::Boolean,
            ControlType::Menu => ControlKind::Menu,
            ControlType::IntegerMenu => ControlKind::IntegerMenu,
            ControlType::Bitmask => ControlKind::Bitmask,
            ControlType::Button => ControlKind::Button,
            _ => ControlKind::Other,
        },
        min: control.minimum,
        max: control.maximum,
        step: control.step,
        default: control.default,
        current: None,
        menu: (control.items.into_iter().flatten())
            .map(|(value, text)| MenuEntry {
                value: value.into(),
                text: text.to_string(),
            })
            .collect(),
        read_only: flags.contains(ControlFlags::READ_ONLY),
        inactive: flags.contains(ControlFlags::INACTIVE),
        grabbed: flags.contains(ControlFlags::GRABBED),
        id: control.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_no_usable_camera_says_why() {
        let problem = |capabilities| {
            let identity = Identity {
                driver: String::new(),
                card: String::new(),
                bus: String::new(),
                capabilities,
            };
            identity.problem("/dev/video4")
        };
        let streams = Flags::STREAMING;
        assert_eq!(problem(Flags::VIDEO_CAPTURE | streams), None);
        for (capabilities, part) in [
            (Flags::VIDEO_CAPTURE, "mapped buffers"),
            (
                Flags::VIDEO_CAPTURE_MPLANE | streams,
                "v4l2src device=/dev/video4 !",
            ),
            (Flags::META_CAPTURE | streams, "metadata"),
            (Flags::VIDEO_OUTPUT | streams, "not a capture device"),
            (Flags::VIDEO_M2M | streams, "codec or scaler"),
        ] {
            let text = problem(capabilities).unwrap();
            assert!(text.contains(part), "{text}");
        }
    }
}
