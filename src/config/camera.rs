//! What a config says about the camera, where the source is one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::source::uri::{CameraRequest, Reopen};

/// The `[camera]` table. The source's own options (`?reopen=…&ctrl.NAME=…`) come first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CameraConfig {
    /// How long to try to open a camera that went away, in seconds, at most
    /// [`Reopen::MAX_SECONDS`]; 0 gives up at once. For ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopen: Option<u64>,
    /// Controls to set whenever it is opened, by their names in snake case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub controls: BTreeMap<String, ControlValue>,
}

/// A value of a control as a config writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ControlValue {
    /// On or off.
    Switch(bool),
    /// A number.
    Number(i64),
    /// A menu's text.
    Text(String),
}

impl ControlValue {
    fn text(&self) -> String {
        match self {
            Self::Switch(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

impl CameraConfig {
    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let reopen = self.reopen?;
        Reopen::for_seconds(reopen)
            .is_none()
            .then(|| format!("reopen must be in 0..={} seconds", Reopen::MAX_SECONDS))
    }

    /// Fills in what a request leaves open.
    pub fn complete(&self, request: &mut CameraRequest) {
        let controls = (self.controls.iter())
            .map(|(name, value)| (name.clone(), value.text()))
            .collect();
        request.complete(self.reopen.and_then(Reopen::for_seconds), controls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_reaches_the_request() {
        let config: CameraConfig = toml::from_str(
            "reopen = 30\n[controls]\nauto_exposure = \"Manual Mode\"\ngain = -3\nflip = true\n",
        )
        .unwrap();
        assert_eq!(config.problem(), None);
        let mut request = CameraRequest::new("/dev/video0");
        config.complete(&mut request);
        assert_eq!(request.reopen, Reopen::for_seconds(30));
        let pairs: Vec<(&str, &str)> = (request.controls.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("auto_exposure", "Manual Mode"),
                ("flip", "true"),
                ("gain", "-3")
            ]
        );
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in [
            "reopen = -1",
            "zoom = 1",
            "[controls]\ngain = 1.5",
            "controls = 3",
        ] {
            assert!(toml::from_str::<CameraConfig>(text).is_err(), "{text}");
        }
        let config: CameraConfig = toml::from_str("reopen = 604801").unwrap();
        assert!(config.problem().is_some_and(|text| text.contains("604800")));
    }
}
