//! Which card, connector and mode a request means.

use ::drm::control::{ModeFlags, ModeTypeFlags, connector};

use crate::devices::{DisplayInfo, DisplayKind};

/// A connector as the choice sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The kernel's name for it, such as `HDMI-A-1`.
    pub name: String,
    /// Whether something is plugged in; `None` where it cannot know.
    pub connected: Option<bool>,
    /// What it can show.
    pub modes: Vec<ModeOffer>,
}

/// A mode as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeOffer {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Pictures a second.
    pub rate: u32,
    /// Whether it is the monitor's favourite.
    pub preferred: bool,
    /// Whether it shows every other row at a time.
    pub interlaced: bool,
}

impl From<&connector::Info> for Offer {
    fn from(info: &connector::Info) -> Self {
        let mode = |mode: &::drm::control::Mode| ModeOffer {
            size: (mode.size().0.into(), mode.size().1.into()),
            rate: mode.vrefresh(),
            preferred: mode.mode_type().contains(ModeTypeFlags::PREFERRED),
            interlaced: mode.flags().contains(ModeFlags::INTERLACE),
        };
        Self {
            name: info.to_string(),
            connected: match info.state() {
                connector::State::Connected => Some(true),
                connector::State::Disconnected => Some(false),
                connector::State::Unknown => None,
            },
            modes: info.modes().iter().map(mode).collect(),
        }
    }
}

/// The device of the first connected connector, or of the one that is named.
///
/// # Errors
/// That there is none; the connectors there are, and their state.
pub fn card<'a>(displays: &'a [DisplayInfo], named: Option<&str>) -> Result<&'a str, String> {
    let connectors: Vec<&DisplayInfo> = displays
        .iter()
        .filter(|display| display.kind == DisplayKind::Connector)
        .collect();
    let with = |state| {
        let found = connectors
            .iter()
            .find(|c| named.map_or(c.connected == state && !c.modes.is_empty(), |n| c.name == n));
        found.map(|connector| connector.device.as_str())
    };
    // A panel that cannot tell is taken where nothing is known to be plugged in.
    if let Some(device) = with(Some(true)).or_else(|| with(None)) {
        return Ok(device);
    }
    if connectors.is_empty() {
        return Err(
            "no graphics card here has a connector; is its driver loaded? `atrous devices` \
             lists the displays, and fb:///dev/fb0 names a framebuffer"
                .to_owned(),
        );
    }
    let seen = connectors.iter().map(|c| {
        let name = format!("{} ({})", c.name, c.device);
        state(&name, c.connected)
    });
    Err(none(named, seen.collect()))
}

/// The index of the first connected connector, or of the one that is named.
///
/// # Errors
/// As [`card`].
pub fn connector(offers: &[Offer], named: Option<&str>) -> Result<usize, String> {
    let index = match named {
        Some(name) => offers.iter().position(|offer| offer.name == name),
        None => {
            let with = |state| {
                let usable = |o: &Offer| o.connected == state && !o.modes.is_empty();
                offers.iter().position(usable)
            };
            with(Some(true)).or_else(|| with(None))
        }
    };
    let seen = || -> Vec<String> {
        let seen = offers.iter().map(|o| state(&o.name, o.connected));
        seen.collect()
    };
    match index {
        Some(index) if offers[index].connected == Some(false) => Err(format!(
            "no monitor is plugged in at {}; seen: {}",
            offers[index].name,
            seen().join(", ")
        )),
        Some(index) => Ok(index),
        None if offers.is_empty() => Err(
            "this card has no connector: it computes only; `atrous devices` lists the displays"
                .to_owned(),
        ),
        None => Err(none(named, seen())),
    }
}

fn none(named: Option<&str>, seen: Vec<String>) -> String {
    let seen = seen.join(", ");
    match named {
        Some(name) => format!("there is no connector '{name}'; seen: {seen}"),
        None => format!("no monitor is plugged in; seen: {seen}"),
    }
}

fn state(name: &str, connected: Option<bool>) -> String {
    let state = match connected {
        Some(true) => "connected",
        Some(false) => "no monitor",
        None => "state unknown",
    };
    format!("{name} {state}")
}

/// The index of the mode of this size, the quickest first and whole pictures before
/// halves; without a size the monitor's favourite, or else the first it offers.
///
/// # Errors
/// That there is none; the sizes there are.
pub fn mode(modes: &[ModeOffer], size: Option<(u32, u32)>) -> Result<usize, String> {
    let Some(size) = size else {
        let favourite = modes.iter().position(|mode| mode.preferred);
        return match favourite.or((!modes.is_empty()).then_some(0)) {
            Some(index) => Ok(index),
            None => Err("the monitor offers no mode; is it switched on?".to_owned()),
        };
    };
    let indices = (0..modes.len()).filter(|&i| modes[i].size == size);
    // The last of equals, so that the order of the list is kept by going backwards.
    let best = indices
        .rev()
        .max_by_key(|&i| (!modes[i].interlaced, modes[i].rate));
    best.ok_or_else(|| {
        let mut sizes: Vec<String> = Vec::new();
        for mode in modes {
            let size = format!("{}x{}", mode.size.0, mode.size.1);
            if !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        format!(
            "it has no mode of {}x{} pixels; it offers {}",
            size.0,
            size.1,
            sizes.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(width: u32, rate: u32, preferred: bool, interlaced: bool) -> ModeOffer {
        ModeOffer {
            size: (width, width / 2),
            rate,
            preferred,
            interlaced,
        }
    }

    fn offer(name: &str, connected: Option<bool>) -> Offer {
        Offer {
            name: name.into(),
            connected,
            modes: match connected {
                Some(false) => Vec::new(),
                _ => vec![mode_of(640, 60, false, false)],
            },
        }
    }

    fn display(name: &str, card: u32, connected: Option<bool>) -> DisplayInfo {
        DisplayInfo {
            kind: DisplayKind::Connector,
            name: name.into(),
            device: format!("/dev/dri/card{card}"),
            connected,
            modes: match connected {
                Some(false) => Vec::new(),
                _ => vec!["640x480".into()],
            },
            bits_per_pixel: None,
        }
    }

    #[test]
    fn what_is_plugged_in_comes_before_what_cannot_tell() {
        let offers = [
            offer("HDMI-A-1", Some(false)),
            offer("DPI-1", None),
            offer("HDMI-A-2", Some(true)),
        ];
        assert_eq!(connector(&offers, None), Ok(2));
        assert_eq!(connector(&offers[..2], None), Ok(1));
        assert_eq!(connector(&offers, Some("DPI-1")), Ok(1));
    }

    #[test]
    fn without_a_monitor_the_connectors_are_named() {
        let offers = [
            offer("HDMI-A-1", Some(false)),
            offer("HDMI-A-2", Some(true)),
        ];
        let error = connector(&offers[..1], None).unwrap_err();
        assert!(error.contains("HDMI-A-1 no monitor"), "{error}");
        let error = connector(&offers, Some("HDMI-A-1")).unwrap_err();
        assert!(error.contains("at HDMI-A-1") && error.contains("HDMI-A-2 connected"));
        let error = connector(&offers, Some("VGA-1")).unwrap_err();
        assert!(error.contains("'VGA-1'") && error.contains("HDMI-A-2"));
        assert!(connector(&[], None).unwrap_err().contains("computes only"));
        // Nothing can be shown where no mode is known.
        let mut strange = offer("Writeback-1", None);
        strange.modes.clear();
        assert!(connector(&[strange], None).is_err());
    }

    #[test]
    fn the_card_is_the_one_with_a_monitor() {
        let mut framebuffer = display("fb", 7, None);
        framebuffer.kind = DisplayKind::Framebuffer;
        let displays = [
            framebuffer,
            display("HDMI-A-1", 0, Some(false)),
            display("DSI-1", 1, None),
            display("HDMI-A-2", 2, Some(true)),
        ];
        assert_eq!(card(&displays, None), Ok("/dev/dri/card2"));
        assert_eq!(card(&displays[..3], None), Ok("/dev/dri/card1"));
        // Named, it may have no monitor: the card itself will tell.
        assert_eq!(card(&displays, Some("HDMI-A-1")), Ok("/dev/dri/card0"));
        let error = card(&displays[..2], None).unwrap_err();
        assert!(
            error.contains("HDMI-A-1 (/dev/dri/card0) no monitor"),
            "{error}"
        );
        assert!(card(&displays, Some("X")).unwrap_err().contains("'X'"));
        assert!(card(&displays[..1], None).unwrap_err().contains("fb:"));
    }

    #[test]
    fn the_favourite_mode_or_the_size_that_is_asked_for() {
        let modes = [
            mode_of(1920, 60, false, false),
            mode_of(1280, 60, true, false),
            mode_of(1280, 75, false, true),
            mode_of(1280, 60, false, false),
            mode_of(640, 60, false, false),
            mode_of(640, 75, false, false),
        ];
        assert_eq!(mode(&modes, None), Ok(1));
        assert_eq!(mode(&modes[..1], None), Ok(0));
        assert_eq!(mode(&modes, Some((1280, 640))), Ok(1));
        assert_eq!(mode(&modes, Some((640, 320))), Ok(5));
        let error = mode(&modes, Some((800, 600))).unwrap_err();
        assert!(error.ends_with("1920x960, 1280x640, 640x320"), "{error}");
        assert!(mode(&[], None).unwrap_err().contains("no mode"));
    }
}
