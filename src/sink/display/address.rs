//! What `display:` and `fb:` names mean.

use std::path::{Path, PathBuf};

use crate::frame::MAX_SIDE;
use crate::query::{self, Query, percent_decode};

/// The framebuffer that `fb:` alone means.
const FIRST_FRAMEBUFFER: &str = "/dev/fb0";

/// A screen as the user named it. Nothing has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An output of a graphics card (DRM/KMS).
    Output(OutputRequest),
    /// A framebuffer device.
    Framebuffer(PathBuf),
}

/// What is asked of a graphics card. Whatever is `None` is chosen when it is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputRequest {
    /// The card's device file.
    pub card: Option<PathBuf>,
    /// The connector's name, as in `HDMI-A-1`.
    pub connector: Option<String>,
    /// Width and height in pixels.
    pub mode: Option<(u32, u32)>,
}

impl Address {
    /// Reads what follows `display:` or `fb:`; `None` where `scheme` (small letters)
    /// is neither.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse(scheme: &str, rest: &str) -> Option<Result<Self, String>> {
        match scheme {
            "display" => Some(output(rest).map(Self::Output)),
            "fb" => Some(framebuffer(rest).map(Self::Framebuffer)),
            _ => None,
        }
    }

    /// Whether both may mean the same device, which only one sink can have. A card
    /// that is not named may be any.
    pub fn may_share_device(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Output(a), Self::Output(b)) => match (&a.card, &b.card) {
                (Some(a), Some(b)) => is_same_file(a, b),
                _ => true,
            },
            (Self::Framebuffer(a), Self::Framebuffer(b)) => is_same_file(a, b),
            _ => false,
        }
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    // Below /dev/dri/by-path are links. A name without a file stands for itself.
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical(a) == canonical(b)
}

fn output(rest: &str) -> Result<OutputRequest, String> {
    let (path, options) = query::split(rest);
    let query = Query::parse(options, &["connector", "mode"])?;
    let accepted = format!("WIDTHxHEIGHT in pixels, each from 1 to {MAX_SIDE}, as in 1280x720");
    Ok(OutputRequest {
        card: device(path, "display:///dev/dri/card1")?,
        connector: query.read("connector", "a connector's name, as in HDMI-A-1", |name| {
            (!name.is_empty()).then(|| name.to_owned())
        })?,
        mode: query.read("mode", &accepted, |value| {
            let (width, height) = value.split_once(['x', 'X'])?;
            let (width, height) = (width.parse().ok()?, height.parse().ok()?);
            let sides = 1..=MAX_SIDE;
            (sides.contains(&width) && sides.contains(&height)).then_some((width, height))
        })?,
    })
}

fn framebuffer(rest: &str) -> Result<PathBuf, String> {
    if rest.contains('?') {
        return Err(
            "a framebuffer takes no options: it is used in the mode that it is in".to_owned(),
        );
    }
    let named = device(rest, "fb:///dev/fb0")?;
    Ok(named.unwrap_or_else(|| FIRST_FRAMEBUFFER.into()))
}

/// The path after the two slashes; `None` where there is none.
fn device(path: &str, example: &str) -> Result<Option<PathBuf>, String> {
    match path.strip_prefix("//") {
        None if path.is_empty() => Ok(None),
        Some("") => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(percent_decode(path)?.into())),
        _ => Err(format!(
            "a device is named with three slashes and its path, as in {example}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Address, String> {
        let (scheme, rest) = uri.split_once(':').unwrap();
        Address::parse(scheme, rest).unwrap()
    }

    #[test]
    fn the_forms_are_read() {
        for uri in ["display:", "display://", "display://?"] {
            assert_eq!(parse(uri), Ok(Address::Output(OutputRequest::default())));
        }
        assert_eq!(
            parse("display:///dev/dri/card1?connector=HDMI-A-1&mode=1280x720"),
            Ok(Address::Output(OutputRequest {
                card: Some("/dev/dri/card1".into()),
                connector: Some("HDMI-A-1".into()),
                mode: Some((1280, 720)),
            }))
        );
        for uri in ["fb:", "fb://", "fb:///dev/fb0", "fb:///dev%2ffb0"] {
            assert_eq!(parse(uri), Ok(Address::Framebuffer("/dev/fb0".into())));
        }
        assert_eq!(Address::parse("terminal", ""), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (uri, word) in [
            ("display://dev/dri/card0", "three slashes"),
            ("display:/dev/dri/card0", "three slashes"),
            ("display:card0", "three slashes"),
            ("display://?mode=big", "1280x720"),
            ("display://?mode=0x720", "1280x720"),
            ("display://?mode=99999999999x720", "1280x720"),
            ("display://?connector=", "HDMI-A-1"),
            ("display://?monitor=1", "known here: connector, mode"),
            ("display:///dev/%00", "zero byte"),
            ("fb:///dev/fb0?mode=1x1", "no options"),
            ("fb:fb0", "fb:///dev/fb0"),
        ] {
            let error = parse(uri).unwrap_err();
            assert!(error.contains(word), "{uri}: {error}");
        }
    }

    #[test]
    fn two_names_of_one_device_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("card0"), "").unwrap();
        std::os::unix::fs::symlink(at("card0"), at("link")).unwrap();
        let display = |name: &str| parse(&format!("display://{}", at(name).display())).unwrap();
        assert!(display("card0").may_share_device(&display("link")));
        assert!(!display("card0").may_share_device(&display("card1")));
        assert!(display("card0").may_share_device(&parse("display:").unwrap()));
        let connector = parse("display:?connector=HDMI-A-1").unwrap();
        assert!(connector.may_share_device(&parse("display:?connector=HDMI-A-2").unwrap()));
        let fb = |name| parse(name).unwrap();
        assert!(fb("fb:").may_share_device(&fb("fb:///dev/fb0")));
        assert!(!fb("fb:").may_share_device(&fb("fb:///dev/fb1")));
        assert!(!fb("fb:").may_share_device(&parse("display:").unwrap()));
    }
}
