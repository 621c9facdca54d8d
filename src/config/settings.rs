//! The effective settings of a run, each with where its value came from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::pipeline::Part;
use super::{
    CameraConfig, ConfigError, DEFAULT_NAME, EffectConfig, EffectKind, EngineUse, FreeSpaceConfig,
    HeartbeatConfig, RealtimeConfig, RuleConfig, RunConfig, Tiling,
};
use crate::board::Board;
use crate::engine::MAX_THREADS;
use crate::model::bundled;
use crate::postprocess::vote;
use crate::sink::Visual;

/// Where a value came from, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag or argument on the command line.
    Flag,
    /// An environment variable.
    Environment(&'static str),
    /// The run config at this path.
    Config(PathBuf),
    /// The file of the board of this name: its camera is the source `camera`, and a
    /// model gets its cores but one.
    Board(String),
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Config(path) => write!(f, "{}", path.display()),
            Self::Board(name) => write!(f, "board {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<T> {
    /// The effective value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// What the command line gave; `None` where it said nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// The config file.
    pub config: Option<PathBuf>,
    /// Source URI or path.
    pub source: Option<String>,
    /// Model name or path.
    pub model: Option<String>,
    /// Board name or path.
    pub board: Option<String>,
    /// Sinks; empty where none was named.
    pub sinks: Vec<String>,
    /// Comma separated list of pictures to make.
    pub visualize: Option<String>,
    /// Opacity of the overlay.
    pub alpha: Option<f32>,
    /// Threads that share the work on one picture.
    pub threads: Option<usize>,
    /// Number of results.
    pub frames: Option<u64>,
    /// Smallest region kept, in pixels.
    pub min_area: Option<u32>,
    /// Masks that vote over each pixel.
    pub vote: Option<u32>,
    /// What the picture `effect` shows.
    pub effect: Option<EffectConfig>,
    /// Whether large pictures are cut into tiles.
    pub tile: Option<Tiling>,
    /// Print edges instead of driving pins.
    pub dry_run_gpio: bool,
}

/// The effective settings of a run, or of one pipeline of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pipeline's name, where the config has several.
    pub name: Option<String>,
    /// Whether the pipeline shares its model with others.
    pub engine_use: EngineUse,
    /// Source URI or path.
    pub source: Setting<String>,
    /// Model name or path.
    pub model: Setting<String>,
    /// The board.
    pub board: Setting<Board>,
    /// Where results go.
    pub sinks: Setting<Vec<String>>,
    /// Which pictures are made.
    pub visualize: Setting<Vec<Visual>>,
    /// Opacity of the overlay, 0..=1.
    pub alpha: Setting<f32>,
    /// Threads that share the work on one picture, 1 to
    /// [`MAX_THREADS`].
    pub threads: Setting<usize>,
    /// Stop after this many results.
    pub frames: Setting<Option<u64>>,
    /// Smallest region kept, in pixels.
    pub min_area: Setting<u32>,
    /// Masks that vote over each pixel, 1 for no vote; see [`vote::is_allowed`].
    pub vote: Setting<u32>,
    /// What the picture `effect` shows, not yet checked against a model.
    pub effect: Setting<Option<EffectConfig>>,
    /// Whether large pictures are cut into tiles, not yet checked against a model.
    pub tile: Setting<Tiling>,
    /// The free ground, not yet checked against a model.
    pub free_space: Setting<Option<FreeSpaceConfig>>,
    /// Print edges instead of driving pins.
    pub dry_run_gpio: Setting<bool>,
    /// How long one picture may take, in milliseconds, 100 to an hour's.
    pub watchdog_ms: Setting<u64>,
    /// The heartbeat, not yet checked against a board.
    pub heartbeat: Setting<Option<HeartbeatConfig>>,
    /// What holds for the camera, where the source is one.
    pub camera: Setting<CameraConfig>,
    /// Rules, not yet checked against a model.
    pub rules: Setting<Vec<RuleConfig>>,
    /// What is asked of the scheduler, if anything, for all pipelines.
    pub realtime: Setting<Option<RealtimeConfig>>,
}

/// The source that stands for the camera in the board file. A file of this name is
/// written `./camera`.
pub const CAMERA: &str = "camera";

/// How long one picture may take where nobody says: far longer than the slowest model
/// on the slowest board.
pub const DEFAULT_WATCHDOG_MS: u64 = 60_000;

/// Where results go where no sink is named.
const DEFAULT_SINK: &str = "terminal:";

/// The drawn street that is segmented where no source is named.
pub const DEFAULT_SOURCE: &str = "synthetic://road";

impl Settings {
    /// Reads the config file (the one named, or `atrous.toml` here if there is
    /// one) and settles every value. `env` looks an environment variable up.
    ///
    /// # Errors
    /// [`ConfigError`], naming the value at fault and where it came from; a config with
    /// several pipelines is one, too.
    pub fn resolve(
        flags: &Flags,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut all = Self::resolve_all(flags, env)?;
        let first = all.swap_remove(0);
        match &first.name {
            None => Ok(first),
            Some(name) => Err(ConfigError::Pipeline {
                path: first.source.origin.to_string(),
                name: name.clone(),
                reason: "this command takes a config without [[pipeline]] tables".into(),
            }),
        }
    }

    /// The settings of each pipeline, in the order of the config: at least one, and that
    /// without a name where there are no `[[pipeline]]` tables. All have the same board,
    /// threads, GPIO and realtime settings.
    ///
    /// # Errors
    /// [`ConfigError`], naming the value at fault and where it came from.
    pub fn resolve_all(
        flags: &Flags,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>, ConfigError> {
        let named = flags
            .config
            .clone()
            .or_else(|| given(&env, "ATROUS_CONFIG").map(PathBuf::from));
        let found = named.or_else(|| {
            let usual = Path::new(DEFAULT_NAME);
            usual.is_file().then(|| usual.to_owned())
        });
        let config = match &found {
            Some(path) => RunConfig::load(path)?,
            None => RunConfig::default(),
        };
        let layers = Layers {
            env: &env,
            path: found.unwrap_or_default(),
        };
        let pipelines = config.split(&layers.path.display().to_string())?;
        let settle = |part: Part| {
            if let Some(name) = &part.name {
                layers.refuse_places(flags, name)?;
            }
            Self::settle(flags, &layers, part)
        };
        pipelines.into_iter().map(settle).collect()
    }

    /// Settles the values of one pipeline.
    fn settle(flags: &Flags, layers: &Layers<'_>, part: Part) -> Result<Self, ConfigError> {
        let Part {
            name,
            engine_use,
            config,
        } = part;
        let board = layers.text(flags.board.clone(), "ATROUS_BOARD", config.board, || {
            "auto".into()
        });
        let board = find_board(board)?;

        let mut source = layers.text(flags.source.clone(), "ATROUS_SOURCE", config.source, || {
            DEFAULT_SOURCE.into()
        });
        if source.value == CAMERA {
            source = Setting {
                value: board.value.camera.default.clone(),
                origin: Origin::Board(board.value.name.clone()),
            };
        }

        let threads = layers.threads(flags.threads, config.threads, &board.value)?;
        let effect = layers.plain(
            flags.effect.clone().map(Some),
            config.effect.map(Some),
            None,
        );
        let postprocess = config.postprocess.unwrap_or_default();

        let settings = Self {
            name,
            engine_use,
            source,
            threads,
            model: layers.text(flags.model.clone(), "ATROUS_MODEL", config.model, || {
                bundled::names().next().unwrap_or_default().into()
            }),
            board,
            sinks: layers.plain(
                (!flags.sinks.is_empty()).then(|| flags.sinks.clone()),
                config.sinks,
                vec![DEFAULT_SINK.into()],
            ),
            visualize: visualize(layers, flags, config.visualize, effect.value.is_some())?,
            effect,
            alpha: layers.plain(flags.alpha, config.alpha, 0.5),
            frames: layers.plain(flags.frames.map(Some), config.frames.map(Some), None),
            min_area: layers.plain(flags.min_area, config.min_area, 0),
            vote: layers.plain(flags.vote, postprocess.vote, 1),
            tile: layers.plain(flags.tile, postprocess.tile, Tiling::default()),
            free_space: layers.plain(None, config.free_space.map(Some), None),
            dry_run_gpio: layers.plain(
                flags.dry_run_gpio.then_some(true),
                config.dry_run_gpio,
                false,
            ),
            watchdog_ms: layers.plain(None, config.watchdog_ms, DEFAULT_WATCHDOG_MS),
            heartbeat: layers.plain(None, config.heartbeat.map(Some), None),
            camera: layers.plain(None, config.camera, CameraConfig::default()),
            rules: layers.plain(
                None,
                (!config.rules.is_empty()).then_some(config.rules),
                Vec::new(),
            ),
            realtime: layers.plain(None, config.realtime.map(Some), None),
        };
        settings.check()?;
        Ok(settings)
    }

    /// The keys, other than the rules, whose values differ in `other`.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("source", self.source.value == other.source.value),
            ("model", self.model.value == other.model.value),
            ("board", self.board.value == other.board.value),
            ("sinks", self.sinks.value == other.sinks.value),
            ("visualize", self.visualize.value == other.visualize.value),
            ("alpha", self.alpha.value == other.alpha.value),
            ("threads", self.threads.value == other.threads.value),
            ("frames", self.frames.value == other.frames.value),
            ("min_area", self.min_area.value == other.min_area.value),
            (
                "dry_run_gpio",
                self.dry_run_gpio.value == other.dry_run_gpio.value,
            ),
            (
                "watchdog_ms",
                self.watchdog_ms.value == other.watchdog_ms.value,
            ),
            ("heartbeat", self.heartbeat.value == other.heartbeat.value),
            ("camera", self.camera.value == other.camera.value),
            ("vote", self.vote.value == other.vote.value),
            ("effect", self.effect.value == other.effect.value),
            ("tile", self.tile.value == other.tile.value),
            (
                "free_space",
                self.free_space.value == other.free_space.value,
            ),
            ("engine", self.engine_use == other.engine_use),
            ("realtime", self.realtime.value == other.realtime.value),
        ];
        let changed = keys.into_iter().filter(|(_, same)| !same);
        changed.map(|(key, _)| key).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fail = |key: &str, origin: &Origin, reason: &str| {
            Err(ConfigError::Value {
                key: key.into(),
                origin: origin.to_string(),
                reason: reason.into(),
            })
        };
        if !(0.0..=1.0).contains(&self.alpha.value) {
            return fail("alpha", &self.alpha.origin, "must be in 0..=1");
        }
        if !(1..=MAX_THREADS).contains(&self.threads.value) {
            let reason = format!("must be in 1..={MAX_THREADS}");
            return fail("threads", &self.threads.origin, &reason);
        }
        if let Some(reason) = self.camera.value.problem() {
            return fail("camera", &self.camera.origin, &reason);
        }
        if self.frames.value == Some(0) {
            return fail("frames", &self.frames.origin, "must be 1 or more");
        }
        if !(100..=3_600_000).contains(&self.watchdog_ms.value) {
            return fail(
                "watchdog_ms",
                &self.watchdog_ms.origin,
                "must be in 100..=3600000 (an hour)",
            );
        }
        if self.vote.value != 1 && !vote::is_allowed(self.vote.value) {
            let reason = "must be an odd number from 3 to 15, or 1 for no vote";
            return fail("vote", &self.vote.origin, reason);
        }
        if let Some(effect) = &self.effect.value
            && let Err(reason) = EffectKind::parse(&effect.kind)
        {
            return fail("effect", &self.effect.origin, &reason);
        }
        if self.vote.value != 1 && self.tile.value.is_on() {
            let reason = "masks of tiles do not vote; leave out tile or vote";
            return fail("tile", &self.tile.origin, reason);
        }
        if self.sinks.value.is_empty() {
            return fail(
                "sinks",
                &self.sinks.origin,
                "the list is empty; use null: for none",
            );
        }
        if self.model.value.is_empty() {
            let reason = match self.model.origin {
                Origin::Default => "this build has no built-in model; name one with --model PATH",
                _ => "the name is empty; give a built-in name (road), a model.toml or an ONNX file",
            };
            return fail("model", &self.model.origin, reason);
        }
        Ok(())
    }
}

/// An environment variable that says something: an empty one counts as unset.
fn given(env: &dyn Fn(&str) -> Option<String>, variable: &str) -> Option<String> {
    env(variable).filter(|value| !value.is_empty())
}

/// The places a value may come from besides the command line.
struct Layers<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    path: PathBuf,
}

impl Layers<'_> {
    /// Refuses a source and sinks from outside of the config, where it has several
    /// pipelines: nobody could say which are meant.
    fn refuse_places(&self, flags: &Flags, name: &str) -> Result<(), ConfigError> {
        let fail = |key: &str, origin: Origin| {
            Err(ConfigError::Value {
                key: key.into(),
                origin: origin.to_string(),
                reason: format!(
                    "'{}' has pipelines ('{name}' and so on) with sources and sinks of their \
                     own; leave it out, or name another config with --config",
                    self.path.display()
                ),
            })
        };
        if flags.source.is_some() {
            return fail("source", Origin::Flag);
        }
        if !flags.sinks.is_empty() {
            return fail("sinks", Origin::Flag);
        }
        match given(self.env, "ATROUS_SOURCE") {
            Some(_) => fail("source", Origin::Environment("ATROUS_SOURCE")),
            None => Ok(()),
        }
    }

    fn text(
        &self,
        flag: Option<String>,
        variable: &'static str,
        config: Option<String>,
        default: impl FnOnce() -> String,
    ) -> Setting<String> {
        if let Some(value) = flag {
            return Setting {
                value,
                origin: Origin::Flag,
            };
        }
        if let Some(value) = given(self.env, variable) {
            return Setting {
                value,
                origin: Origin::Environment(variable),
            };
        }
        match config {
            Some(value) => Setting {
                value,
                origin: Origin::Config(self.path.clone()),
            },
            None => Setting {
                value: default(),
                origin: Origin::Default,
            },
        }
    }

    fn threads(
        &self,
        flag: Option<usize>,
        config: Option<usize>,
        board: &Board,
    ) -> Result<Setting<usize>, ConfigError> {
        const VARIABLE: &str = "ATROUS_THREADS";
        let named = flag.is_none().then(|| given(self.env, VARIABLE)).flatten();
        if let Some(text) = named {
            let origin = Origin::Environment(VARIABLE);
            let value = text.parse().map_err(|_| ConfigError::Value {
                key: "threads".into(),
                origin: origin.to_string(),
                reason: format!("'{text}' is no number of threads"),
            })?;
            return Ok(Setting { value, origin });
        }
        let mut threads = self.plain(flag, config, board.cpu.threads());
        if threads.origin == Origin::Default {
            threads.origin = Origin::Board(board.name.clone());
        }
        Ok(threads)
    }

    fn plain<T>(&self, flag: Option<T>, config: Option<T>, default: T) -> Setting<T> {
        match (flag, config) {
            (Some(value), _) => Setting {
                value,
                origin: Origin::Flag,
            },
            (None, Some(value)) => Setting {
                value,
                origin: Origin::Config(self.path.clone()),
            },
            (None, None) => Setting {
                value: default,
                origin: Origin::Default,
            },
        }
    }
}

fn find_board(name: Setting<String>) -> Result<Setting<Board>, ConfigError> {
    let origin = name.origin;
    let board = match name.value.as_str() {
        "auto" => Board::detect(),
        path if path.contains('/') || path.ends_with(".toml") => Board::load(Path::new(path)),
        known => Board::by_name(known),
    };
    let board = board.map_err(|e| ConfigError::Value {
        key: "board".into(),
        origin: origin.to_string(),
        reason: e.to_string(),
    })?;
    Ok(Setting {
        value: board,
        origin,
    })
}

fn visualize(
    layers: &Layers<'_>,
    flags: &Flags,
    config: Option<Vec<String>>,
    effect: bool,
) -> Result<Setting<Vec<Visual>>, ConfigError> {
    let text = layers.plain(
        flags.visualize.clone(),
        config.map(|list| list.join(",")),
        if effect { "effect" } else { "overlay" }.to_owned(),
    );
    let value = Visual::parse_list(&text.value).map_err(|e| ConfigError::Value {
        key: "visualize".into(),
        origin: text.origin.to_string(),
        reason: e.to_string(),
    })?;
    Ok(Setting {
        value,
        origin: text.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &Flags, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::resolve(flags, |key| {
            env.iter()
                .find(|(k, _)| *k == key)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn the_strongest_layer_wins_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(
            &path,
            "source = \"a.png\"\nmodel = \"m.onnx\"\nalpha = 0.25\n",
        )
        .unwrap();
        let mut flags = Flags {
            config: Some(path.clone()),
            ..Flags::default()
        };

        let settings = resolve(&flags, &[]).unwrap();
        assert_eq!(settings.source.value, "a.png");
        assert_eq!(settings.source.origin, Origin::Config(path));
        assert_eq!(settings.alpha.value, 0.25);
        assert_eq!(settings.frames.origin, Origin::Default);

        let settings = resolve(&flags, &[("ATROUS_SOURCE", "b.png")]).unwrap();
        assert_eq!(settings.source.value, "b.png");
        assert_eq!(settings.source.origin, Origin::Environment("ATROUS_SOURCE"));

        flags.source = Some("c.png".into());
        let settings = resolve(&flags, &[("ATROUS_SOURCE", "b.png")]).unwrap();
        assert_eq!(settings.source.value, "c.png");
        assert_eq!(settings.source.origin, Origin::Flag);
    }

    #[test]
    fn what_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        let flags = Flags {
            config: Some(path.clone()),
            ..Flags::default()
        };
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            resolve(&flags, &[]).unwrap()
        };
        let before = with("alpha = 0.25\n");
        assert!(before.changed(&with("alpha = 0.25\n")).is_empty());
        let rule = "[[rule]]\nname = \"a\"\nclasses = []\non = 1\noff = 1\n";
        assert!(
            before
                .changed(&with(&format!("alpha = 0.25\n{rule}")))
                .is_empty()
        );
        let after = with("min_area = 3\nwatchdog_ms = 500\n[heartbeat]\npin = 3\n");
        assert_eq!(
            before.changed(&after),
            ["alpha", "min_area", "watchdog_ms", "heartbeat"]
        );
        std::fs::write(&path, "watchdog_ms = 99\n").unwrap();
        let text = resolve(&flags, &[]).unwrap_err().to_string();
        assert!(text.contains("watchdog_ms"), "{text}");
    }

    #[test]
    fn the_source_camera_is_the_board_files() {
        let flags = Flags {
            source: Some("camera".into()),
            board: Some("host".into()),
            ..Flags::default()
        };
        let settings = resolve(&flags, &[("ATROUS_CONFIG", "")]).unwrap();
        assert_eq!(settings.source.value, "/dev/video0");
        assert_eq!(settings.source.origin, Origin::Board("host".into()));
    }

    #[test]
    fn an_empty_model_name_is_not_taken_for_a_missing_built_in_one() {
        let flags = Flags {
            model: Some(String::new()),
            ..Flags::default()
        };
        let text = resolve(&flags, &[]).unwrap_err().to_string();
        assert!(
            text.contains("name is empty") && text.contains("command line"),
            "{text}"
        );
    }

    #[test]
    fn bad_values_name_the_key_and_the_origin() {
        let flags = Flags {
            alpha: Some(1.5),
            ..Flags::default()
        };
        let text = resolve(&flags, &[]).unwrap_err().to_string();
        assert!(
            text.contains("alpha") && text.contains("command line"),
            "{text}"
        );
        for vote in [0, 2, 4, 17] {
            let flags = Flags {
                vote: Some(vote),
                ..Flags::default()
            };
            let text = resolve(&flags, &[]).unwrap_err().to_string();
            assert!(text.contains("vote (from command line)"), "{text}");
        }
        let flags = Flags {
            board: Some("toaster".into()),
            ..Flags::default()
        };
        assert!(
            resolve(&flags, &[])
                .unwrap_err()
                .to_string()
                .contains("toaster")
        );
    }
}
