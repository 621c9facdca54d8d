//! Several pipelines in one run: the `[[pipeline]]` tables.

use serde::{Deserialize, Serialize};

use super::{
    CameraConfig, ConfigError, FreeSpaceConfig, HeartbeatConfig, PostprocessConfig, RuleConfig,
    RunConfig,
};

/// Most pipelines of one run.
pub const MAX_PIPELINES: usize = 16;

/// Longest name of a pipeline, in bytes.
const MAX_NAME: usize = 32;

/// One `[[pipeline]]` table: a source with what becomes of its frames. A key that is left
/// out has the value that stands outside of the tables.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Its name in messages, figures and results: letters, digits, `-` and `_`.
    pub name: String,
    /// Source URI or path.
    pub source: String,
    /// Model name or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether it shares the model with the others that name the same one.
    #[serde(default)]
    pub engine: EngineUse,
    /// Where results go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<String>>,
    /// Which pictures are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visualize: Option<Vec<String>>,
    /// Opacity of the overlay, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Stop this pipeline after so many results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Regions of fewer pixels than this are merged into their surroundings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_area: Option<u32>,
    /// What is done with masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postprocess: Option<PostprocessConfig>,
    /// What holds for the camera, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<CameraConfig>,
    /// A line that toggles while this pipeline's results are fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatConfig>,
    /// What is measured of the free ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_space: Option<FreeSpaceConfig>,
    /// Rules on this pipeline's masks.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
}

/// Whose engine a pipeline uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineUse {
    /// One engine for all pipelines with the same model: it is in memory once, all its
    /// threads work on one picture at a time, and the pipelines take turns.
    #[default]
    Shared,
    /// One of its own, which works at the same time as the others.
    Own,
}

/// One pipeline's part of a run config.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name; none where the config has no `[[pipeline]]` tables.
    pub name: Option<String>,
    /// Whose engine it uses.
    pub engine_use: EngineUse,
    /// Everything else, as if it were alone.
    pub config: RunConfig,
}

impl RunConfig {
    /// The config of each pipeline; one without a name where there are no `[[pipeline]]`
    /// tables. `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError::Pipeline`] where tables do not fit together.
    pub fn split(mut self, path: &str) -> Result<Vec<Part>, ConfigError> {
        let pipelines = std::mem::take(&mut self.pipelines);
        if pipelines.is_empty() {
            return Ok(vec![Part {
                name: None,
                engine_use: EngineUse::Own,
                config: self,
            }]);
        }
        let fail = |name: &str, reason: String| {
            Err(ConfigError::Pipeline {
                path: path.to_owned(),
                name: name.to_owned(),
                reason,
            })
        };
        let outside = [
            ("source", self.source.is_some()),
            ("heartbeat", self.heartbeat.is_some()),
            ("free_space", self.free_space.is_some()),
            ("rule", !self.rules.is_empty()),
        ];
        if let Some((key, _)) = outside.iter().find(|(_, there)| *there) {
            let reason =
                format!("'{key}' stands outside of the [[pipeline]] tables; move it into one");
            return fail(&pipelines[0].name, reason);
        }
        if pipelines.len() > MAX_PIPELINES {
            let reason = format!(
                "there are {} pipelines; at most {MAX_PIPELINES} are allowed",
                pipelines.len()
            );
            return fail(&pipelines[MAX_PIPELINES].name, reason);
        }
        for (at, pipeline) in pipelines.iter().enumerate() {
            let name = &pipeline.name;
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
                let reason = format!("a name is 1 to {MAX_NAME} letters, digits, '-' and '_'");
                return fail(name, reason);
            }
            if pipelines[..at].iter().any(|other| other.name == *name) {
                return fail(
                    name,
                    "another pipeline has this name; choose a new one".into(),
                );
            }
        }
        Ok(pipelines.into_iter().map(|p| self.with(p)).collect())
    }

    /// This config with what a pipeline says in its place.
    fn with(&self, pipeline: PipelineConfig) -> Part {
        let outside = self.clone();
        let config = Self {
            source: Some(pipeline.source),
            model: pipeline.model.or(outside.model),
            sinks: pipeline.sinks.or(outside.sinks),
            visualize: pipeline.visualize.or(outside.visualize),
            alpha: pipeline.alpha.or(outside.alpha),
            frames: pipeline.frames.or(outside.frames),
            min_area: pipeline.min_area.or(outside.min_area),
            postprocess: pipeline.postprocess.or(outside.postprocess),
            camera: pipeline.camera.or(outside.camera),
            heartbeat: pipeline.heartbeat,
            free_space: pipeline.free_space,
            rules: pipeline.rules,
            ..outside
        };
        Part {
            name: Some(pipeline.name),
            engine_use: pipeline.engine,
            config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<Part>, String> {
        let config = RunConfig::parse(text, "a.toml").map_err(|e| e.to_string())?;
        config.split("a.toml").map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_pipeline_leaves_out_stands_outside() {
        let text = "model = 'road'\nmin_area = 5\n\
            [[pipeline]]\nname = 'front'\nsource = '/dev/video0'\nmin_area = 9\n\
            [[pipeline.rule]]\nname = 'near'\nclasses = ['Car']\non = 0.1\noff = 0.05\nmax_age_ms = 500\n\
            [[pipeline]]\nname = 'rear'\nsource = '/dev/video2'\nmodel = 'nuclei'\nengine = 'own'\n";
        let found = split(text).unwrap();
        let [front, rear] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(front.name.as_deref(), Some("front"));
        assert_eq!(front.engine_use, EngineUse::Shared);
        assert_eq!(front.config.model.as_deref(), Some("road"));
        assert_eq!(
            (front.config.min_area, front.config.rules.len()),
            (Some(9), 1)
        );
        assert_eq!(rear.name.as_deref(), Some("rear"));
        assert_eq!(rear.engine_use, EngineUse::Own);
        assert_eq!(rear.config.source.as_deref(), Some("/dev/video2"));
        assert_eq!(rear.config.model.as_deref(), Some("nuclei"));
        assert_eq!(
            (rear.config.min_area, rear.config.rules.len()),
            (Some(5), 0)
        );
    }

    #[test]
    fn a_config_without_tables_is_one_pipeline() {
        let found = split("source = 'a.png'").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, None);
    }

    #[test]
    fn tables_that_do_not_fit_together_are_named() {
        let two = |a: &str, b: &str| {
            format!(
                "[[pipeline]]\nname = '{a}'\nsource = '-'\n[[pipeline]]\nname = '{b}'\nsource = '-'\n"
            )
        };
        for (text, word) in [
            (two("a", "a"), "another pipeline"),
            (two("a", "b c"), "letters"),
            (two("", "b"), "letters"),
            (format!("source = '-'\n{}", two("a", "b")), "'source'"),
            (
                format!("[heartbeat]\npin = 1\n{}", two("a", "b")),
                "heartbeat",
            ),
            ("[[pipeline]]\nname = 'a'\n".into(), "source"),
            (format!("{}board = 'host'\n", two("a", "b")), "board"),
            (
                "[[pipeline]]\nname = 'a'\nsource = '-'\n".repeat(17),
                "at most 16",
            ),
        ] {
            let error = split(&text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
