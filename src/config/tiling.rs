//! Whether large pictures are cut into tiles: `tile` in the `[postprocess]` table.

use serde::{Deserialize, Serialize};

use super::{ConfigError, Setting};
use crate::engine::Shape;

/// What is done with a picture that is larger than the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Tiling {
    /// It is cut into tiles that overlap by a quarter of the model's sides (`true`), or
    /// fitted into the model's input (`false`).
    Switch(bool),
    /// It is cut into tiles that overlap by so many pixels.
    Overlap(u32),
}

impl Default for Tiling {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl Tiling {
    /// Whether anything is cut.
    pub fn is_on(self) -> bool {
        self != Self::Switch(false)
    }
}

/// By how many pixels tiles of a model of this shape overlap, horizontally and vertically;
/// none where pictures are not cut.
///
/// # Errors
/// [`ConfigError::Value`] where the overlap is more than half of one of the model's sides.
pub fn compile(setting: &Setting<Tiling>, shape: Shape) -> Result<Option<(u32, u32)>, ConfigError> {
    let (width, height) = (shape.width, shape.height);
    match setting.value {
        Tiling::Switch(false) => Ok(None),
        Tiling::Switch(true) => Ok(Some((width / 4, height / 4))),
        Tiling::Overlap(overlap) => {
            let most = width.min(height) / 2;
            if overlap <= most {
                return Ok(Some((overlap, overlap)));
            }
            Err(ConfigError::Value {
                key: "tile".into(),
                origin: setting.origin.to_string(),
                reason: format!(
                    "tiles of {width}x{height} pixels, the model's size, overlap by at most \
                     {most}, not by {overlap}"
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, RunConfig};

    #[test]
    fn the_overlap_is_within_the_model() {
        let shape = Shape {
            width: 40,
            height: 30,
            classes: 2,
        };
        let compiled = |value| {
            let origin = Origin::Flag;
            compile(&Setting { value, origin }, shape).map_err(|e| e.to_string())
        };
        assert_eq!(compiled(Tiling::Switch(false)), Ok(None));
        assert_eq!(compiled(Tiling::Switch(true)), Ok(Some((10, 7))));
        assert_eq!(compiled(Tiling::Overlap(0)), Ok(Some((0, 0))));
        assert_eq!(compiled(Tiling::Overlap(15)), Ok(Some((15, 15))));
        let error = compiled(Tiling::Overlap(16)).unwrap_err();
        assert!(error.contains("tile (from command line)") && error.contains("at most 15"));
    }

    #[test]
    fn the_config_says_true_or_a_number() {
        let tile = |text: &str| {
            let config = RunConfig::parse(&format!("[postprocess]\ntile = {text}\n"), "a.toml");
            config.map(|config| config.postprocess.and_then(|p| p.tile))
        };
        assert_eq!(tile("true").unwrap(), Some(Tiling::Switch(true)));
        assert_eq!(tile("64").unwrap(), Some(Tiling::Overlap(64)));
        for bad in ["-1", "'x'", "1.5"] {
            assert!(tile(bad).is_err(), "{bad}");
        }
    }
}
