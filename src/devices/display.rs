//! Displays: connectors of graphics cards, and framebuffers.

use serde::Serialize;

use super::{Sysfs, is_numbered, text};

/// What the kernel offers a display as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DisplayKind {
    /// A connector of a graphics card (DRM/KMS).
    Connector,
    /// A framebuffer device.
    Framebuffer,
}

/// A display or a socket for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisplayInfo {
    /// Connector or framebuffer.
    pub kind: DisplayKind,
    /// The connector's name (`HDMI-A-1`) or the framebuffer driver's.
    pub name: String,
    /// The device file to open, such as `/dev/dri/card0`.
    pub device: String,
    /// Whether something is plugged in; `None` where that is unknown.
    pub connected: Option<bool>,
    /// Sizes such as `1920x1080`, the display's favourite first.
    pub modes: Vec<String>,
    /// Bits a pixel, of framebuffers.
    pub bits_per_pixel: Option<u32>,
}

impl Sysfs {
    /// Connectors, then framebuffers.
    pub fn displays(&self) -> Vec<DisplayInfo> {
        let mut displays = self.connectors();
        displays.extend(self.framebuffers());
        displays
    }

    fn connectors(&self) -> Vec<DisplayInfo> {
        let entries = self.entries("sys/class/drm", |name| name.contains('-'));
        let read = entries.into_iter().filter_map(|(name, path)| {
            let (card, connector) = name.split_once('-')?;
            let status = is_numbered(card, "card").then(|| text(&path.join("status")))??;
            let mut modes: Vec<String> = Vec::new();
            for mode in text(&path.join("modes")).unwrap_or_default().lines() {
                // One size comes once for each refresh rate.
                if !modes.iter().any(|known| known == mode) {
                    modes.push(mode.into());
                }
            }
            Some(DisplayInfo {
                kind: DisplayKind::Connector,
                name: connector.into(),
                device: format!("/dev/dri/{card}"),
                connected: match status.as_str() {
                    "connected" => Some(true),
                    "disconnected" => Some(false),
                    _ => None,
                },
                modes,
                bits_per_pixel: None,
            })
        });
        read.collect()
    }

    fn framebuffers(&self) -> Vec<DisplayInfo> {
        let entries = self.entries("sys/class/graphics", |name| is_numbered(name, "fb"));
        let read = entries.into_iter().map(|(device, path)| DisplayInfo {
            kind: DisplayKind::Framebuffer,
            name: text(&path.join("name")).unwrap_or_else(|| device.clone()),
            device: format!("/dev/{device}"),
            connected: None,
            // The kernel writes `1920,1080`.
            modes: text(&path.join("virtual_size"))
                .map(|size| size.replace(',', "x"))
                .into_iter()
                .collect(),
            bits_per_pixel: super::number(&path.join("bits_per_pixel")),
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn connectors_and_framebuffers_are_found() {
        let (_folder, sysfs) = tree(&[
            ("sys/class/drm/version", "drm 1.1.0"),
            ("sys/class/drm/card1/dev", "226:1"),
            ("sys/class/drm/renderD128/dev", "226:128"),
            ("sys/class/drm/card1-HDMI-A-2/status", "disconnected\n"),
            ("sys/class/drm/card1-HDMI-A-1/status", "connected\n"),
            (
                "sys/class/drm/card1-HDMI-A-1/modes",
                "1920x1080\n1920x1080\n1280x720\n",
            ),
            ("sys/class/drm/card1-Writeback-1/status", "unknown\n"),
            ("sys/class/graphics/fb0/name", "vc4drmfb\n"),
            ("sys/class/graphics/fb0/virtual_size", "1920,1080\n"),
            ("sys/class/graphics/fb0/bits_per_pixel", "16\n"),
            ("sys/class/graphics/fbcon/rotate", "0\n"),
        ]);
        let displays = sysfs.displays();
        let names: Vec<&str> = displays
            .iter()
            .map(|display| display.name.as_str())
            .collect();
        assert_eq!(names, ["HDMI-A-1", "HDMI-A-2", "Writeback-1", "vc4drmfb"]);
        assert_eq!(displays[0].device, "/dev/dri/card1");
        assert_eq!(displays[0].modes, ["1920x1080", "1280x720"]);
        let connected: Vec<_> = displays.iter().map(|display| display.connected).collect();
        assert_eq!(connected, [Some(true), Some(false), None, None]);
        assert_eq!(displays[3].kind, DisplayKind::Framebuffer);
        assert_eq!(
            (displays[3].modes[0].as_str(), displays[3].bits_per_pixel),
            ("1920x1080", Some(16))
        );
        assert_eq!(displays[3].device, "/dev/fb0");
    }
}
