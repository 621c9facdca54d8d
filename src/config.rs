//! The run config: the choices of one installation, in TOML.
//!
//! Facts about hardware are in a board file ([`crate::board`]), facts about a
//! model in its manifest ([`crate::model::manifest`]). Where several say the same
//! thing, the order is: flag, environment, run config, default (see [`settings`]).
//! The source `camera` stands for the camera that the board file names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::input_file;

pub mod camera;
pub mod effect;
pub mod free_space;
pub mod heartbeat;
pub mod pipeline;
pub mod realtime;
pub mod rule;
pub mod settings;
pub mod tiling;

pub use camera::{CameraConfig, ControlValue};
pub use effect::{EffectConfig, EffectKind};
pub use free_space::FreeSpaceConfig;
pub use heartbeat::{CompiledHeartbeat, HeartbeatConfig};
pub use pipeline::{EngineUse, PipelineConfig};
pub use realtime::RealtimeConfig;
pub use rule::{CompiledRule, RuleConfig};
pub use settings::{Flags, Origin, Setting, Settings};
pub use tiling::Tiling;

/// The config format this version reads.
pub const FORMAT: u32 = 1;

/// The file that is read when it exists and no other is named.
pub const DEFAULT_NAME: &str = "atrous.toml";

/// Largest config file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A parsed run config. Every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Version of this format; see [`FORMAT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// Source URI or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Model name or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Board name or path of a board file; `auto` detects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Where results go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<String>>,
    /// Which pictures are made: `mask`, `overlay`, `index`, `truth`, `frame`, `side`, `effect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visualize: Option<Vec<String>>,
    /// Opacity of the overlay, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Threads that share the work on one picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Stop after this many results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Regions of fewer pixels than this are merged into their surroundings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_area: Option<u32>,
    /// Print edges instead of driving pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run_gpio: Option<bool>,
    /// How long one picture may take before the run counts as stuck and ends, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog_ms: Option<u64>,
    /// A line that toggles while results are fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatConfig>,
    /// What holds for the camera, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<CameraConfig>,
    /// What is done with masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postprocess: Option<PostprocessConfig>,
    /// An edited picture of each result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectConfig>,
    /// What is measured of the free ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_space: Option<FreeSpaceConfig>,
    /// Rules that turn masks into levels.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
    /// Which processors and what priority threads have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime: Option<RealtimeConfig>,
    /// Several sources in one run, each with its own sinks and rules.
    #[serde(default, rename = "pipeline", skip_serializing_if = "Vec::is_empty")]
    pub pipelines: Vec<PipelineConfig>,
}

/// The `[postprocess]` table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PostprocessConfig {
    /// Masks that vote over each pixel, an odd number from 3 to 15; 1 for no vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote: Option<u32>,
    /// Pictures larger than the model's input are cut into tiles: `true`, or by how many
    /// pixels tiles overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<Tiling>,
}

/// What is wrong with a config. The program exits with code 2.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("config '{path}': {reason}")]
    Read {
        /// The file.
        path: String,
        /// The cause and what to try.
        reason: String,
    },
    /// The file is not a valid config.
    #[error("config '{path}': {reason}")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A value is out of range or means nothing.
    #[error("{key} (from {origin}): {reason}")]
    Value {
        /// The setting.
        key: String,
        /// Where its value came from.
        origin: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The heartbeat cannot work.
    #[error("heartbeat: {reason}")]
    Heartbeat {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The free ground cannot be measured so.
    #[error("free_space: {reason}")]
    FreeSpace {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// What is asked of the scheduler cannot be.
    #[error("realtime: {reason}")]
    Realtime {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Pipelines do not fit together.
    #[error("config '{path}': pipeline '{name}': {reason}")]
    Pipeline {
        /// The file.
        path: String,
        /// The pipeline.
        name: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A rule cannot work.
    #[error("rule '{name}': {reason}")]
    Rule {
        /// The rule's name.
        name: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl RunConfig {
    /// Reads a config file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let fail = |reason: String| ConfigError::Read {
            path: name.clone(),
            reason,
        };
        let bytes = input_file::read(path, MAX_BYTES).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                fail("no such file; `atrous config init` writes one to start from".into())
            }
            _ => fail(e.to_string()),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text".into()))?;
        Self::parse(&text, &name)
    }

    /// Parses a config. `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError::Parse`], with line and column or the key at fault.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let fail = |reason: String| ConfigError::Parse {
            path: path.to_owned(),
            reason,
        };
        let config: Self =
            toml::from_str(text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
        match config.format {
            None | Some(FORMAT) => Ok(config),
            Some(other) => Err(fail(format!(
                "format is {other}; this version reads {FORMAT}"
            ))),
        }
    }
}

/// A commented config to start from; it parses to working settings.
pub const TEMPLATE: &str = include_str!("config/template.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_parses_and_has_a_rule() {
        let config = RunConfig::parse(TEMPLATE, "template").unwrap();
        assert_eq!(config.rules.len(), 1);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = RunConfig::parse("source = \"-\"\nmodle = \"road\"\n", "a.toml").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("modle") && text.contains("line 2"), "{text}");
    }

    #[test]
    fn a_device_is_no_config() {
        let error = RunConfig::load(Path::new("/dev/zero")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/dev/zero") && text.contains("regular file"),
            "{text}"
        );
    }

    #[test]
    fn a_later_format_is_refused() {
        assert!(RunConfig::parse("format = 2", "a.toml").is_err());
    }
}
