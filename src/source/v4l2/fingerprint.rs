//! Whether a camera is the one that was lost.

use std::path::{Path, PathBuf};

/// What tells one camera from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) driver: String,
    pub(super) card: String,
    /// Where it is plugged in.
    pub(super) bus: String,
    /// Its USB serial number, where it has one that no other camera here has.
    pub(super) serial: Option<String>,
    /// Which of the device's nodes it is, from 0, where known.
    pub(super) index: Option<u32>,
}

/// How another camera relates to the one that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// It is the same.
    Same,
    /// It is of the same make, with nothing to prove that it is the same.
    Alike,
    /// It is another one.
    Other,
}

impl Fingerprint {
    /// Whether `found` is this camera, wherever it is plugged in now.
    pub(super) fn is_of(&self, found: &Self) -> bool {
        self.likeness(found) == Likeness::Same
    }

    fn likeness(&self, found: &Self) -> Likeness {
        let make = |one: &Self| (one.driver.clone(), one.card.clone(), one.index);
        if make(self) != make(found) {
            return Likeness::Other;
        }
        match (&self.serial, &found.serial) {
            (Some(lost), Some(found)) if lost == found => Likeness::Same,
            (Some(_), Some(_)) => Likeness::Other,
            // Without a number of its own, only its place tells it from its kin.
            _ if self.bus == found.bus => Likeness::Same,
            _ => Likeness::Alike,
        }
    }
}

/// Which of the `found` nodes is the `lost` camera. `named` is the node that the
/// user named; it is preferred.
///
/// # Errors
/// Why none of them is taken.
pub(super) fn choose(
    lost: &Fingerprint,
    named: &Path,
    found: &[(PathBuf, Fingerprint)],
) -> Result<PathBuf, String> {
    let same: Vec<_> = found
        .iter()
        .filter(|(_, other)| lost.is_of(other))
        .collect();
    let preferred = (same.iter().find(|(node, _)| node == named))
        .or_else(|| same.iter().find(|(_, other)| other.bus == lost.bus));
    match (preferred, same.as_slice()) {
        (Some((node, _)), _) | (None, [(node, _)]) => return Ok(node.clone()),
        (None, []) => {}
        (None, several) => {
            let nodes: Vec<String> = (several.iter())
                .map(|(node, _)| node.display().to_string())
                .collect();
            return Err(format!(
                "{} have its name and serial number, and none is in its place; name the one \
                 meant by a link in /dev/v4l/by-path",
                nodes.join(" and ")
            ));
        }
    }
    let alike = (found.iter()).find(|(_, other)| lost.likeness(other) == Likeness::Alike);
    Err(match alike {
        Some((node, other)) => format!(
            "it is not where it was ({}); {} at {} has its name, but nothing proves that it is \
             the same camera, so it is not taken",
            lost.bus,
            node.display(),
            other.bus
        ),
        None => match found.iter().find(|(node, _)| node == named) {
            Some((_, other)) => format!(
                "what is there now is another camera ({} at {}), which is not taken",
                other.card, other.bus
            ),
            None => "it is not there".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(bus: &str, serial: Option<&str>) -> Fingerprint {
        Fingerprint {
            driver: "uvcvideo".into(),
            card: "HD Cam".into(),
            bus: bus.into(),
            serial: serial.map(Into::into),
            index: Some(0),
        }
    }

    fn chosen(lost: &Fingerprint, found: &[(&str, Fingerprint)]) -> Result<PathBuf, String> {
        let found: Vec<_> = found
            .iter()
            .map(|(node, other)| (PathBuf::from(node), other.clone()))
            .collect();
        choose(lost, Path::new("/dev/video0"), &found)
    }

    #[test]
    fn a_serial_number_is_followed_to_another_place() {
        let lost = camera("usb-1", Some("A7"));
        let moved = camera("usb-2", Some("A7"));
        let other = camera("usb-1", Some("B9"));
        let node = chosen(
            &lost,
            &[("/dev/video0", other.clone()), ("/dev/video4", moved)],
        );
        assert_eq!(node, Ok("/dev/video4".into()));
        let reason = chosen(&lost, &[("/dev/video0", other)]).unwrap_err();
        assert!(reason.contains("another camera"), "{reason}");
    }

    #[test]
    fn without_a_serial_number_the_place_decides() {
        let lost = camera("usb-1", None);
        let back = [
            ("/dev/video0", camera("usb-2", None)),
            ("/dev/video1", camera("usb-1", None)),
        ];
        assert_eq!(chosen(&lost, &back), Ok("/dev/video1".into()));
        let reason = chosen(&lost, &back[..1]).unwrap_err();
        assert!(
            reason.contains("usb-2") && reason.contains("not taken"),
            "{reason}"
        );
        assert_eq!(chosen(&lost, &[]), Err("it is not there".into()));
    }

    #[test]
    fn another_make_or_node_in_its_place_is_not_taken() {
        let lost = camera("usb-1", None);
        let mut other = lost.clone();
        other.card = "Other Cam".into();
        assert!(chosen(&lost, &[("/dev/video0", other)]).is_err());
        let mut second = lost.clone();
        second.index = Some(1);
        assert!(chosen(&lost, &[("/dev/video0", second)]).is_err());
    }

    #[test]
    fn of_two_with_one_serial_number_the_place_decides() {
        let lost = camera("usb-1", Some("0001"));
        let twins = [
            ("/dev/video2", camera("usb-2", Some("0001"))),
            ("/dev/video4", camera("usb-3", Some("0001"))),
        ];
        let reason = chosen(&lost, &twins).unwrap_err();
        assert!(reason.contains("/dev/video2 and /dev/video4"), "{reason}");
        let mut back = twins.to_vec();
        back.push(("/dev/video6", camera("usb-1", Some("0001"))));
        assert_eq!(chosen(&lost, &back), Ok("/dev/video6".into()));
    }

    #[test]
    fn the_named_node_is_preferred() {
        let lost = camera("usb-1", None);
        let both = [("/dev/video3", lost.clone()), ("/dev/video0", lost.clone())];
        assert_eq!(chosen(&lost, &both), Ok("/dev/video0".into()));
    }
}
