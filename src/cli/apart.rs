//! Whether the pipelines of a run keep out of each other's way.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use atrous::config::rule::ChipLine;
use atrous::config::{CompiledHeartbeat, CompiledRule, ConfigError, Origin, Settings};
use atrous::sink::{self, SinkError, SinkOptions};

/// What one pipeline wants for itself.
pub struct Claims {
    pipeline: String,
    config: String,
    lines: Vec<ChipLine>,
    sinks: Vec<String>,
}

impl Claims {
    /// The claims of a pipeline with these rules and this heartbeat.
    pub fn new(
        settings: &Settings,
        rules: &[CompiledRule],
        heartbeat: Option<&CompiledHeartbeat>,
    ) -> Self {
        let of_rules = rules.iter().filter_map(|rule| rule.line.as_ref());
        // Where nobody names a sink one pipeline of several has none.
        let default = settings.sinks.origin == Origin::Default;
        Self {
            pipeline: settings.name.clone().unwrap_or_default(),
            config: settings.source.origin.to_string(),
            lines: of_rules
                .chain(heartbeat.iter().map(|heartbeat| &heartbeat.line))
                .cloned()
                .collect(),
            sinks: if default {
                Vec::new()
            } else {
                settings.sinks.value.clone()
            },
        }
    }
}

/// Nothing that can have one user only may be in two pipelines.
///
/// # Errors
/// [`ConfigError::Pipeline`] and [`SinkError::BadUri`], naming both.
pub fn check(pipelines: &[Claims]) -> Result<()> {
    if pipelines.len() > 1 {
        lines(pipelines)?;
        sinks(pipelines)?;
    }
    Ok(())
}

/// A line of a chip has one rule or heartbeat.
fn lines(pipelines: &[Claims]) -> Result<(), ConfigError> {
    for (at, one) in pipelines.iter().enumerate() {
        for line in &one.lines {
            let Some(other) = pipelines[..at].iter().find(|p| p.lines.contains(line)) else {
                continue;
            };
            return Err(ConfigError::Pipeline {
                path: one.config.clone(),
                name: one.pipeline.clone(),
                reason: format!(
                    "it drives {}:{}, and so does pipeline '{}'; give each its own pin",
                    line.chip, line.line, other.pipeline
                ),
            });
        }
    }
    Ok(())
}

/// The terminal is nobody's, and a display and a file have one user.
fn sinks(pipelines: &[Claims]) -> Result<(), SinkError> {
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    let mut devices = Vec::new();
    for one in pipelines {
        let pipeline = one.pipeline.as_str();
        for sink in &one.sinks {
            let fail = |reason| {
                Err(SinkError::BadUri {
                    uri: sink.clone(),
                    reason,
                })
            };
            if sink.starts_with("term") && sink.contains(':') {
                return fail(format!(
                    "pipeline '{pipeline}' is not alone, and the terminal shows one picture; \
                     use display:, a folder or json:"
                ));
            }
            if sink.starts_with("null:") || sink.starts_with("json:") {
                continue;
            }
            let path = match sink::record(sink, &SinkOptions::default())? {
                Some(record) => record,
                None if !sink.contains(':') => PathBuf::from(sink),
                None => {
                    devices.push(sink.clone());
                    continue;
                }
            };
            let path = plain(&path);
            if let Some((_, other)) = files.iter().find(|(known, _)| *known == path) {
                return fail(format!(
                    "pipelines '{other}' and '{pipeline}' would both write there; name a folder \
                     for each"
                ));
            }
            files.push((path, pipeline));
        }
    }
    sink::check(&devices, &SinkOptions::default())
}

/// A path in one of its spellings: `out/` and `./out` are the same.
fn plain(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.collect()
}
