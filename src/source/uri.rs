//! What a source argument means: a path, a pattern, `-` or a URI.

use std::path::PathBuf;
use std::time::Duration;

use super::{Pace, SourceError};
use crate::frame::{self, MAX_SIDE};
use crate::query::{self, Query};

/// Every way to name a source, for messages.
const FORMS: &str = "a picture, a folder, a pattern such as 'shots/*.png', '-' (a Y4M or MJPEG \
     stream on standard input), /dev/videoN, or a URI with one of the schemes file, synthetic, \
     v4l2";

/// A source argument, taken apart. Nothing has been opened yet.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceUri {
    /// A picture, a recorded stream or a folder of pictures.
    Path(PathBuf),
    /// A pattern with `*`, `?` or `[…]` that names pictures.
    Pattern(String),
    /// A Y4M or MJPEG stream on standard input.
    Stdin(Pace),
    /// A V4L2 camera.
    Camera(CameraRequest),
    /// A drawn scene.
    Scene(SceneRequest),
}

/// The pixel formats that can be asked of a camera by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CameraFormat {
    /// Packed 4:2:2, written `yuyv`.
    Yuyv,
    /// Semi-planar 4:2:0, written `nv12`.
    Nv12,
    /// JPEG pictures, written `mjpeg`.
    Mjpeg,
    /// Packed 24-bit RGB, written `rgb24`.
    Rgb24,
    /// 8-bit luma, written `grey`.
    Grey,
}

impl CameraFormat {
    /// Every format, the one to prefer first: the least work before the model
    /// first, colour before grey.
    pub const ALL: [Self; 5] = [Self::Yuyv, Self::Nv12, Self::Mjpeg, Self::Rgb24, Self::Grey];

    /// The name used in URIs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "yuyv",
            Self::Nv12 => "nv12",
            Self::Mjpeg => "mjpeg",
            Self::Rgb24 => "rgb24",
            Self::Grey => "grey",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "yuyv" | "yuy2" => Some(Self::Yuyv),
            "nv12" => Some(Self::Nv12),
            "mjpeg" | "mjpg" | "jpeg" => Some(Self::Mjpeg),
            "rgb24" | "rgb3" => Some(Self::Rgb24),
            "grey" | "gray" => Some(Self::Grey),
            _ => None,
        }
    }
}

/// What is asked of a camera. The driver may answer with something else.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraRequest {
    /// The device node or a link to it.
    pub path: PathBuf,
    /// The pixel format, or `None` for the best one on offer.
    pub format: Option<CameraFormat>,
    /// Width and height in pixels, or `None` for 640x480.
    pub size: Option<(u32, u32)>,
    /// Frames a second, or `None` for the driver's own choice.
    pub fps: Option<f32>,
    /// How many buffers the driver is given, 2..=32.
    pub buffers: u32,
    /// How long to wait for a frame before the source counts as stalled.
    pub timeout: Duration,
    /// How long to try to open it again after it went away; `None` where nothing was
    /// said, which means for ever.
    pub reopen: Option<Reopen>,
    /// Controls to set whenever it is opened: names in snake case, values as text.
    pub controls: Vec<(String, String)>,
}

/// How long a camera that went away is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reopen {
    /// Until it is back.
    #[default]
    Forever,
    /// For so long; zero gives up at once.
    For(Duration),
}

impl Reopen {
    /// Longest time that can be given, in seconds: a week.
    pub const MAX_SECONDS: u64 = 604_800;

    /// A time in whole seconds, at most [`MAX_SECONDS`](Self::MAX_SECONDS).
    pub fn for_seconds(seconds: u64) -> Option<Self> {
        (seconds <= Self::MAX_SECONDS).then(|| Self::For(Duration::from_secs(seconds)))
    }
}

impl CameraRequest {
    /// A request for the camera at `path` that leaves every choice open.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            size: None,
            fps: None,
            buffers: 4,
            timeout: Duration::from_millis(2000),
            reopen: None,
            controls: Vec::new(),
        }
    }

    /// Fills in what this request leaves open.
    pub fn complete(&mut self, reopen: Option<Reopen>, controls: Vec<(String, String)>) {
        self.reopen = self.reopen.or(reopen);
        for (name, value) in controls {
            if !self.controls.iter().any(|(given, _)| *given == name) {
                self.controls.push((name, value));
            }
        }
    }
}

/// What scene to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneRequest {
    /// Chooses the scene; equal seeds give equal pictures.
    pub seed: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Scene frames a second.
    pub fps: f32,
    /// Frames until the end, or `None` for no end.
    pub frames: Option<u64>,
    /// Live keeps to the wall clock; on demand draws every frame without waiting.
    pub pace: Pace,
}

impl Default for SceneRequest {
    fn default() -> Self {
        Self {
            seed: 1,
            width: 640,
            height: 480,
            fps: 15.0,
            frames: None,
            pace: Pace::Live,
        }
    }
}

impl SourceUri {
    /// Takes a source argument apart.
    ///
    /// # Errors
    /// [`SourceError::BadUri`], which names the key and the accepted values.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let bad = |reason: String| SourceError::BadUri {
            uri: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(bad(format!("the name is empty; give {FORMS}")));
        }
        if text.contains('\0') {
            return Err(bad("a name cannot contain a zero byte".to_owned()));
        }
        if let Some((scheme, rest)) = scheme_of(text) {
            return match scheme.to_ascii_lowercase().as_str() {
                "file" => parse_file(rest),
                "synthetic" => parse_scene(rest),
                "v4l2" => parse_v4l2(rest),
                other => Err(unknown_scheme(other, text)),
            }
            .map_err(bad);
        }
        let (name, options) = query::split(text);
        if name == "-" {
            return parse_stdin(options).map_err(bad);
        }
        if name.starts_with("/dev/video") || name.starts_with("/dev/v4l/") {
            return parse_camera(PathBuf::from(name), options).map_err(bad);
        }
        if text.contains(['*', '?', '[']) {
            return Ok(Self::Pattern(text.to_owned()));
        }
        Ok(Self::Path(PathBuf::from(text)))
    }
}

/// Splits `scheme://rest`, where the scheme is spelled as RFC 3986 wants it.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let spelled = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    spelled.then_some((scheme, rest))
}

fn unknown_scheme(scheme: &str, text: &str) -> String {
    let hint = match scheme {
        "rtsp" | "rtsps" | "http" | "https" | "udp" | "tcp" | "srt" => format!(
            "; a network stream can be piped in: ffmpeg -i '{text}' -f yuv4mpegpipe \
             -pix_fmt yuv420p - | atrous run '-?pace=live'"
        ),
        "csi" | "libcamera" => "; a CSI camera can be piped in: rpicam-vid -t 0 --codec mjpeg \
             -o - | atrous run '-?pace=live'"
            .to_owned(),
        _ => String::new(),
    };
    format!("unknown scheme '{scheme}'; give {FORMS}{hint}")
}

fn parse_file(rest: &str) -> Result<SourceUri, String> {
    let path = match rest.find('/') {
        Some(at) if rest[..at].is_empty() || rest[..at].eq_ignore_ascii_case("localhost") => {
            &rest[at..]
        }
        _ => return Err("a file URI has three slashes, as in file:///home/pi/a.png".to_owned()),
    };
    if path.contains('?') {
        return Err(
            "a file URI takes no options; a question mark in a name is written %3F".to_owned(),
        );
    }
    Ok(SourceUri::Path(PathBuf::from(query::percent_decode(path)?)))
}

fn parse_stdin(options: Option<&str>) -> Result<SourceUri, String> {
    let query = Query::parse(options, &["pace"])?;
    Ok(SourceUri::Stdin(pace(&query)?.unwrap_or(Pace::OnDemand)))
}

fn parse_v4l2(rest: &str) -> Result<SourceUri, String> {
    let (path, options) = query::split(rest);
    if !path.starts_with('/') {
        return Err(
            "a v4l2 URI has three slashes and the device's path, as in v4l2:///dev/video0"
                .to_owned(),
        );
    }
    parse_camera(PathBuf::from(query::percent_decode(path)?), options)
}

fn parse_camera(path: PathBuf, options: Option<&str>) -> Result<SourceUri, String> {
    let query = Query::parse(
        options,
        &[
            "format",
            "size",
            "fps",
            "buffers",
            "timeout_ms",
            "reopen",
            "ctrl.NAME",
        ],
    )?;
    let mut request = CameraRequest::new(path);
    request.format = query.read("format", "yuyv, nv12, mjpeg, rgb24 or grey", |value| {
        CameraFormat::from_name(value)
    })?;
    request.size = size(&query)?;
    request.fps = fps(&query)?;
    if let Some(buffers) = query.read("buffers", "a whole number from 2 to 32", |value| {
        value.parse().ok().filter(|count| (2..=32).contains(count))
    })? {
        request.buffers = buffers;
    }
    if let Some(millis) = query.read(
        "timeout_ms",
        "a whole number of milliseconds from 1 to 600000",
        |value| {
            value
                .parse()
                .ok()
                .filter(|millis| (1..=600_000).contains(millis))
        },
    )? {
        request.timeout = Duration::from_millis(millis);
    }
    let accepted = format!(
        "a whole number of seconds from 0 to {}, or forever",
        Reopen::MAX_SECONDS
    );
    request.reopen = query.read("reopen", &accepted, |value| match value {
        "forever" => Some(Reopen::Forever),
        seconds => seconds.parse().ok().and_then(Reopen::for_seconds),
    })?;
    request.controls = query.named("ctrl.");
    Ok(SourceUri::Camera(request))
}

fn parse_scene(rest: &str) -> Result<SourceUri, String> {
    let (scene, options) = query::split(rest);
    if scene.trim_end_matches('/') != "road" {
        return Err(format!(
            "unknown scene '{scene}'; the one there is: synthetic://road"
        ));
    }
    let query = Query::parse(options, &["seed", "size", "fps", "frames", "pace"])?;
    let mut request = SceneRequest::default();
    let whole = |value: &str| value.parse::<u64>().ok();
    if let Some(seed) = query.read("seed", "a whole number", whole)? {
        request.seed = seed;
    }
    if let Some((width, height)) = size(&query)? {
        (request.width, request.height) = (width, height);
    }
    if let Some(fps) = fps(&query)? {
        request.fps = fps;
    }
    request.frames = query.read("frames", "a whole number from 1", |value| {
        whole(value).filter(|&count| count > 0)
    })?;
    if let Some(pace) = pace(&query)? {
        request.pace = pace;
    }
    Ok(SourceUri::Scene(request))
}

fn size(query: &Query) -> Result<Option<(u32, u32)>, String> {
    let accepted = format!(
        "WIDTHxHEIGHT in pixels, each from 1 to {MAX_SIDE}, at most {} in all, as in 640x480",
        frame::MAX_PIXELS
    );
    query.read("size", &accepted, |value| {
        let (width, height) = value.split_once(['x', 'X'])?;
        let (width, height) = (width.parse().ok()?, height.parse().ok()?);
        frame::size_is_allowed(width, height).then_some((width, height))
    })
}

fn fps(query: &Query) -> Result<Option<f32>, String> {
    query.read("fps", "a number from 0.01 to 1000", |value| {
        value
            .parse()
            .ok()
            .filter(|fps| (0.01..=1000.0).contains(fps))
    })
}

fn pace(query: &Query) -> Result<Option<Pace>, String> {
    query.read("pace", "live or demand", |value| match value {
        "live" => Some(Pace::Live),
        "demand" => Some(Pace::OnDemand),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match SourceUri::parse(text) {
            Err(SourceError::BadUri { uri, reason }) => {
                assert_eq!(uri, text);
                reason
            }
            other => panic!("'{text}' gave {other:?}"),
        }
    }

    #[test]
    fn plain_names() {
        let path = |text: &str| SourceUri::Path(PathBuf::from(text));
        assert_eq!(SourceUri::parse("a.png"), Ok(path("a.png")));
        assert_eq!(SourceUri::parse("/x/y z"), Ok(path("/x/y z")));
        // Only a URI is percent-decoded.
        assert_eq!(SourceUri::parse("a%20b.png"), Ok(path("a%20b.png")));
        assert_eq!(SourceUri::parse("file:///a%20b.png"), Ok(path("/a b.png")));
        assert_eq!(SourceUri::parse("FILE://localhost/a"), Ok(path("/a")));
        for pattern in ["*.png", "a?.png", "a[12].png"] {
            assert_eq!(
                SourceUri::parse(pattern),
                Ok(SourceUri::Pattern(pattern.to_owned()))
            );
        }
        assert_eq!(SourceUri::parse("-"), Ok(SourceUri::Stdin(Pace::OnDemand)));
        assert_eq!(
            SourceUri::parse("-?pace=live"),
            Ok(SourceUri::Stdin(Pace::Live))
        );
    }

    #[test]
    fn cameras() {
        for text in ["/dev/video2", "v4l2:///dev/video2"] {
            assert_eq!(
                SourceUri::parse(text),
                Ok(SourceUri::Camera(CameraRequest::new("/dev/video2")))
            );
        }
        let expected = CameraRequest {
            format: Some(CameraFormat::Mjpeg),
            size: Some((1280, 720)),
            fps: Some(29.97),
            buffers: 8,
            timeout: Duration::from_millis(500),
            reopen: Some(Reopen::For(Duration::from_secs(30))),
            controls: vec![
                ("auto_exposure".into(), "Manual Mode".into()),
                ("gain".into(), "-5".into()),
            ],
            ..CameraRequest::new("/dev/v4l/by-id/a cam")
        };
        assert_eq!(
            SourceUri::parse(
                "v4l2:///dev/v4l/by-id/a%20cam?format=MJPG&size=1280x720&fps=29.97&buffers=8\
                 &timeout_ms=500&reopen=30&ctrl.auto_exposure=Manual%20Mode&ctrl.gain=-5"
            ),
            Ok(SourceUri::Camera(expected))
        );
        for format in CameraFormat::ALL {
            assert_eq!(CameraFormat::from_name(format.name()), Some(format));
        }
    }

    #[test]
    fn a_request_is_completed_where_it_says_nothing() {
        let parse = |text: &str| match SourceUri::parse(text) {
            Ok(SourceUri::Camera(request)) => request,
            other => panic!("{other:?}"),
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let defaults = vec![pair("gain", "1"), pair("focus", "2")];
        let mut request = parse("/dev/video0?reopen=forever&ctrl.gain=9");
        request.complete(Reopen::for_seconds(5), defaults.clone());
        assert_eq!(request.reopen, Some(Reopen::Forever));
        assert_eq!(request.controls, [pair("gain", "9"), pair("focus", "2")]);
        let mut request = parse("/dev/video0");
        request.complete(Reopen::for_seconds(0), defaults.clone());
        assert_eq!(request.reopen, Some(Reopen::For(Duration::ZERO)));
        assert_eq!(request.controls, defaults);
    }

    #[test]
    fn scenes() {
        assert_eq!(
            SourceUri::parse("synthetic://road"),
            Ok(SourceUri::Scene(SceneRequest::default()))
        );
        assert_eq!(
            SourceUri::parse("synthetic://road?seed=7&size=32x16&fps=5&frames=3&pace=demand"),
            Ok(SourceUri::Scene(SceneRequest {
                seed: 7,
                width: 32,
                height: 16,
                fps: 5.0,
                frames: Some(3),
                pace: Pace::OnDemand,
            }))
        );
        assert!(reason("synthetic://sea").contains("synthetic://road"));
    }

    #[test]
    fn bad_values_name_the_key_and_what_is_accepted() {
        for (text, parts) in [
            ("/dev/video0?size=0x480", &["size", "16384", "0x480"][..]),
            ("/dev/video0?size=640x100000", &["size", "16384"]),
            ("/dev/video0?size=16384x16384", &["size", "120000000"]),
            ("/dev/video0?size=640", &["size", "640x480"]),
            ("/dev/video0?fps=0", &["fps", "1000"]),
            ("/dev/video0?fps=NaN", &["fps", "1000"]),
            ("/dev/video0?fps=1001", &["fps", "1000"]),
            ("/dev/video0?fps=-1", &["fps", "1000"]),
            ("/dev/video0?format=h264", &["format", "yuyv", "h264"]),
            ("/dev/video0?buffers=1", &["buffers", "2 to 32"]),
            ("/dev/video0?timeout_ms=0", &["timeout_ms", "600000"]),
            ("/dev/video0?reopen=-1", &["reopen", "604800", "forever"]),
            ("/dev/video0?reopen=604801", &["reopen", "604800"]),
            ("/dev/video0?ctrl.=1", &["unknown option", "ctrl.NAME"]),
            (
                "/dev/video0?ctrl.gain=1&ctrl.gain=2",
                &["ctrl.gain", "twice"],
            ),
            ("/dev/video0?zoom=2", &["zoom", "timeout_ms", "ctrl.NAME"]),
            ("/dev/video0?fps=5&fps=6", &["fps", "twice"]),
            ("/dev/video0?fps", &["fps", "="]),
            ("synthetic://road?frames=0", &["frames", "from 1"]),
            ("synthetic://road?pace=fast", &["pace", "live or demand"]),
            ("-?pace=", &["pace", "live or demand"]),
            ("v4l2://video0", &["v4l2:///dev/video0"]),
            ("file://host/a", &["file:///"]),
            ("file:///a?b=c", &["no options"]),
            ("file:///a%2", &["%2"]),
            ("file:///a%00b", &["zero byte"]),
            ("ftp://x/y", &["ftp", "file, synthetic, v4l2"]),
            ("rtsp://x/y", &["rtsp", "yuv4mpegpipe"]),
            ("csi://0", &["rpicam-vid"]),
            ("", &["empty"]),
            ("a\0b", &["zero byte"]),
        ] {
            let reason = reason(text);
            for part in parts {
                assert!(reason.contains(part), "'{text}': {reason} lacks '{part}'");
            }
        }
    }
}
