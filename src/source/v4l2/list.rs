//! The cameras of this machine, for the commands that list them.

use std::fs;
use std::path::Path;

use serde::Serialize;
use v4l::framesize::FrameSizeEnum;

use super::control::ControlInfo;
use super::device::Device;
use super::{fault, negotiate, nodes, offer};

/// Longest list of formats, sizes or rates that is collected, against a driver
/// that lists without end.
const MAX_LISTED: usize = 128;

/// A camera found, or a video device that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameraInfo {
    /// The device node, such as `/dev/video0`.
    pub path: String,
    /// The camera's name as its driver tells it.
    pub card: String,
    /// The driver's name, such as `uvcvideo`.
    pub driver: String,
    /// Where it is plugged in, such as `usb-0000:01:00.0-1.2`.
    pub bus: String,
    /// Names that stay the same when devices are numbered anew, from
    /// `/dev/v4l/by-id` and `/dev/v4l/by-path`.
    pub links: Vec<String>,
    /// The formats it lists.
    pub formats: Vec<FormatInfo>,
    /// The controls it lists.
    pub controls: Vec<ControlInfo>,
    /// Why it cannot be used and what to try, if it cannot.
    pub problem: Option<String>,
}

/// A pixel format that a camera lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatInfo {
    /// Its four characters, such as `YUYV`.
    pub fourcc: String,
    /// The driver's description.
    pub description: String,
    /// Whether this program reads it.
    pub readable: bool,
    /// The sizes listed for it.
    pub sizes: Vec<SizeInfo>,
}

/// A picture size, or a range of them, that a camera lists for a format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeInfo {
    /// Such as `640x480`, or `48x48 to 1920x1080`, in pixels.
    pub size: String,
    /// Frames a second, such as `30`, or `1 to 60`.
    pub rates: Vec<String>,
}

/// Every camera of this machine, ordered by number. Video devices that are no
/// cameras (codecs, outputs, metadata) are left out; one that cannot be opened is
/// listed with its problem.
pub fn cameras() -> Vec<CameraInfo> {
    nodes::all()
        .iter()
        .filter_map(|path| examine(path))
        .collect()
}

fn examine(path: &Path) -> Option<CameraInfo> {
    let mut camera = CameraInfo {
        path: path.display().to_string(),
        card: String::new(),
        driver: String::new(),
        bus: String::new(),
        links: links_to(path),
        formats: Vec::new(),
        controls: Vec::new(),
        problem: None,
    };
    let asked = Device::open(path).and_then(|device| Ok((device.identity()?, device)));
    let (identity, device) = match asked {
        Ok(answers) => answers,
        Err(error) => {
            let fault = fault::setup(path, "asking what it is", &error);
            camera.problem = Some(fault.to_string());
            return Some(camera);
        }
    };
    if !identity.captures() {
        return None;
    }
    camera.problem = identity.problem(&camera.path);
    if camera.problem.is_none() {
        match formats_of(&device) {
            Ok(formats) => camera.formats = formats,
            Err(error) => {
                camera.problem =
                    Some(fault::setup(path, "listing its formats", &error).to_string());
            }
        }
        // Asked of the same rule that opening it asks.
        let offers = device.offers(640, 480, None).unwrap_or_default();
        if let Err(reason) = negotiate::choose(&offers, None, &camera.path) {
            camera.problem = Some(reason);
        }
    }
    match device.controls() {
        Ok(controls) => camera.controls = controls,
        Err(error) => log::warn!("{}: its controls cannot be listed: {error}", camera.path),
    }
    camera.card = identity.card;
    camera.driver = identity.driver;
    camera.bus = identity.bus;
    Some(camera)
}

fn formats_of(device: &Device) -> std::io::Result<Vec<FormatInfo>> {
    let formats = device.formats()?;
    Ok(formats
        .into_iter()
        .take(MAX_LISTED)
        .map(|(fourcc, description)| FormatInfo {
            fourcc: negotiate::fourcc_text(fourcc),
            description,
            readable: negotiate::is_understood(fourcc),
            sizes: sizes_of(device, fourcc),
        })
        .collect())
}

fn sizes_of(device: &Device, fourcc: [u8; 4]) -> Vec<SizeInfo> {
    let sizes = device.sizes(fourcc);
    sizes
        .iter()
        .take(MAX_LISTED)
        .map(|listed| {
            // A range is asked for the rates of its largest size.
            let (width, height) = match &listed.size {
                FrameSizeEnum::Discrete(size) => (size.width, size.height),
                FrameSizeEnum::Stepwise(range) => (range.max_width, range.max_height),
            };
            SizeInfo {
                size: offer::size_text(&listed.size),
                rates: device
                    .intervals(fourcc, width, height)
                    .iter()
                    .take(MAX_LISTED)
                    .filter_map(|listed| offer::interval_text(&listed.interval))
                    .collect(),
            }
        })
        .collect()
}

fn links_to(device: &Path) -> Vec<String> {
    let mut links: Vec<String> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|link| fs::canonicalize(link).is_ok_and(|target| target == device))
        .map(|link| link.display().to_string())
        .collect();
    links.sort();
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_no_camera_keeps_its_problem() {
        let found = examine(Path::new("/dev/null")).unwrap();
        assert!(
            found
                .problem
                .is_some_and(|text| text.contains("not a video device"))
        );
        // Whatever this machine has, listing it works.
        for camera in cameras() {
            assert!(camera.path.starts_with("/dev/video"));
        }
    }
}
