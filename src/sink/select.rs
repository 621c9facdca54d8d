//! Which sink a name on the command line means.

use std::io::stdout;
use std::path::{Path, PathBuf};

use super::coco::CocoPlan;
#[cfg(target_os = "linux")]
use super::display::{Address, DisplaySink};
use super::files::{FilesPlan, SHELL_HINT};
use super::json::JsonSink;
use super::measure::MeasurePlan;
use super::null::NullSink;
use super::terminal::TerminalSink;
use super::{Effect, Sink, SinkError, SinkOptions};
use crate::classes::Classes;

const FORMS: &str = "known are null:, terminal: (or term:), display: (or \
                     display:///dev/dri/card1?connector=HDMI-A-1), fb:///dev/fb0, json:, \
                     measure:FILE.csv, coco:FILE.json, a folder (out/), numbered files \
                     (out/mask_%05d.png) and one file (mask.png)";

/// Opens the sink that `uri` names:
///
/// - `null:` takes results and keeps none;
/// - `terminal:` (or `term:`) draws the newest result in the terminal;
/// - `display:` shows the newest result on the first output of a graphics card that a
///   monitor is plugged into; `display:///dev/dri/card1?connector=HDMI-A-1&mode=1280x720`
///   names the card, the connector and the mode, each of which may go;
/// - `fb:///dev/fb0` shows it on a framebuffer device;
/// - `json:` prints a line of JSON a result on stdout;
/// - `measure:cells.csv` (or `.json`) measures every component, see [`super::measure`];
///   options are `classes`, `min_area`, `mm_per_pixel` and `neighbours`;
/// - `coco:annotations.json` writes annotations in COCO's format, see [`super::coco`];
///   options are `classes`, `min_area`, `per`, `segmentation` and `neighbours`;
/// - a path that ends in `/`, has no extension or is an existing folder: a
///   folder of pictures;
/// - a `.png`, `.jpg` or `.jpeg` path with one printf-style counter in its file
///   name (`%d`, `%05d`; `%%` is a percent sign): numbered pictures;
/// - such a path without a counter: one picture; a second result is an error, and
///   so is a file that exists already.
///
/// The folder that files go to is created. An earlier run's files in a folder or of
/// a pattern are replaced, except those in [`SinkOptions::keep`]; where one of them
/// is a symbolic link, a file takes the link's place and what it led to stays.
///
/// # Errors
/// [`SinkError::BadUri`] where the name or the options make no sense together,
/// [`SinkError::Write`] where the folder cannot be created, [`SinkError::Open`] where a
/// display cannot be had.
pub fn open(uri: &str, options: &SinkOptions) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match Kind::parse(uri, options)? {
        Kind::Null => Box::new(NullSink),
        Kind::Json => {
            Box::new(JsonSink::new(stdout(), "stdout").of_pipeline(options.pipeline.clone()))
        }
        Kind::Terminal => Box::new(
            TerminalSink::stdout(options.colour, options.alpha)
                .with_lines(options.figures.clone(), options.hint.clone()),
        ),
        #[cfg(target_os = "linux")]
        Kind::Display(address) => Box::new(DisplaySink::open(uri, &address, options)?),
        Kind::Measure(plan) => Box::new(plan.open()?),
        Kind::Coco(plan) => Box::new(plan.open()?),
        Kind::Files(plan) => Box::new(plan.open()?),
    })
}

/// Whether `names` can be the sinks of one run, without opening any: nothing is
/// created.
///
/// # Errors
/// [`SinkError::BadUri`] as [`open`], for a second single file, which is what a shell
/// makes of a pattern that was meant for the source, and for a second sink on a display
/// that may be the first one's: a card and a framebuffer have one user.
pub fn check(names: &[String], options: &SinkOptions) -> Result<(), SinkError> {
    let mut single = None;
    let mut records: Vec<(&String, PathBuf)> = Vec::new();
    #[cfg(target_os = "linux")]
    let mut displays: Vec<(&String, Address)> = Vec::new();
    for name in names {
        let clash = |reason| SinkError::BadUri {
            uri: name.clone(),
            reason,
        };
        let kind = Kind::parse(name, options)?;
        if let Some(path) = kind.record() {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if let Some((first, _)) = records.iter().find(|(_, other)| *other == path) {
                return Err(clash(format!(
                    "is the file of '{first}' as well; give each its own"
                )));
            }
            records.push((name, path));
        }
        match kind {
            Kind::Files(plan) if plan.is_single() => {
                if let Some(first) = single.replace(name) {
                    return Err(clash(format!(
                        "is a second single file beside '{first}'; name a folder (out/) for \
                         several pictures; {SHELL_HINT}"
                    )));
                }
            }
            #[cfg(target_os = "linux")]
            Kind::Display(address) => {
                let taken = displays.iter().find(|d| d.1.may_share_device(&address));
                if let Some((first, _)) = taken {
                    return Err(clash(format!(
                        "may be the device of '{first}', and a device shows one sink's pictures; \
                         leave one out, or name another card for each, as in \
                         display:///dev/dri/card1"
                    )));
                }
                displays.push((name, address));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The one file that the sink `uri` writes for a whole run; `None` for sinks of another
/// kind. Nothing is opened.
///
/// # Errors
/// [`SinkError::BadUri`] as [`open`].
pub fn record(uri: &str, options: &SinkOptions) -> Result<Option<PathBuf>, SinkError> {
    let kind = Kind::parse(uri, options)?;
    Ok(kind.record().map(Path::to_owned))
}

/// Whether the model has every class that the sinks name, which only a model can tell.
///
/// # Errors
/// [`SinkError::BadUri`], naming the class and those there are.
pub fn check_classes(
    names: &[String],
    options: &SinkOptions,
    classes: &Classes,
) -> Result<(), SinkError> {
    let of_effect = |effect: &Effect| effect.kept.resolve(classes).map(drop);
    for name in names {
        let kind = Kind::parse(name, options)?;
        let resolved = match &kind {
            Kind::Measure(plan) => plan.classes().resolve(classes).map(drop),
            Kind::Coco(plan) => plan.classes().resolve(classes).map(drop),
            #[cfg(target_os = "linux")]
            Kind::Display(_) => options.effect.iter().try_for_each(&of_effect),
            Kind::Files(plan) => plan.effect().map_or(Ok(()), &of_effect),
            _ => continue,
        };
        resolved.map_err(|reason| SinkError::BadUri {
            uri: name.clone(),
            reason,
        })?;
    }
    Ok(())
}

enum Kind {
    Null,
    Json,
    Terminal,
    #[cfg(target_os = "linux")]
    Display(Address),
    Measure(MeasurePlan),
    Coco(CocoPlan),
    Files(Box<FilesPlan>),
}

impl Kind {
    /// The one file that it writes for a whole run, where it is of that kind.
    fn record(&self) -> Option<&Path> {
        match self {
            Self::Measure(plan) => Some(plan.path()),
            Self::Coco(plan) => Some(plan.path()),
            _ => None,
        }
    }

    fn parse(uri: &str, options: &SinkOptions) -> Result<Self, SinkError> {
        let bad = |reason: String| SinkError::BadUri {
            uri: uri.into(),
            reason,
        };
        if !(0.0..=1.0).contains(&options.alpha) {
            return Err(bad(format!(
                "the overlay's alpha is {}, not in 0..=1",
                options.alpha
            )));
        }
        let Some((scheme, rest)) = split_scheme(uri) else {
            return match uri {
                "" | "-" => Err(bad(format!("names nothing to write to; {FORMS}"))),
                "null" | "terminal" | "term" | "json" | "display" | "fb" | "measure" | "coco" => {
                    Err(bad(format!(
                        "write '{uri}:' for the sink, '{uri}/' for a folder"
                    )))
                }
                path => FilesPlan::new(path, options).map(|plan| Self::Files(Box::new(plan))),
            };
        };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "measure" => return MeasurePlan::parse(rest).map(Self::Measure).map_err(bad),
            "coco" => return CocoPlan::parse(rest).map(Self::Coco).map_err(bad),
            _ => {}
        }
        #[cfg(target_os = "linux")]
        if let Some(address) = Address::parse(&scheme, rest) {
            let address = address.map_err(bad)?;
            options.shows_effect().map_err(bad)?;
            return Ok(Self::Display(address));
        }
        let kind = match scheme.as_str() {
            "null" => Self::Null,
            "json" => Self::Json,
            "terminal" | "term" => Self::Terminal,
            #[cfg(not(target_os = "linux"))]
            "display" | "fb" => return Err(bad("displays need Linux".into())),
            _ => return Err(bad(format!("there is no '{scheme}:'; {FORMS}"))),
        };
        if !matches!(rest, "" | "//") {
            return Err(bad(format!("nothing may follow '{scheme}:'")));
        }
        Ok(kind)
    }
}

/// The scheme before the first colon and what follows, if `uri` starts with one.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let letters = scheme
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b));
    (letters && scheme.starts_with(|c: char| c.is_ascii_alphabetic())).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Visual;
    use super::*;

    fn refusal(uri: &str, options: &SinkOptions) -> String {
        match open(uri, options) {
            Err(error @ SinkError::BadUri { .. }) => error.to_string(),
            Err(error) => panic!("{uri}: {error}"),
            Ok(_) => panic!("{uri} was opened"),
        }
    }

    #[test]
    fn the_schemes_open() {
        for uri in ["null:", "null://", "json:", "JSON:", "term:", "terminal:"] {
            assert!(open(uri, &SinkOptions::default()).is_ok(), "{uri}");
        }
    }

    #[test]
    fn a_file_has_one_sink_and_classes_are_the_models() {
        let options = SinkOptions::default();
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let twice = names(&["measure:a.json", "coco:./a.json?per=class"]);
        let error = check(&twice, &options).unwrap_err().to_string();
        assert!(error.contains("'measure:a.json'"), "{error}");
        let apart = names(&["measure:a.csv", "coco:a.json", "measure:a.json?classes=x"]);
        assert_eq!(check(&apart[..2], &options), Ok(()));
        assert_eq!(
            check_classes(&apart[..2], &options, &Classes::default()),
            Ok(())
        );
        let error = check_classes(&apart, &options, &Classes::default()).unwrap_err();
        assert!(error.to_string().contains("class 'x'"), "{error}");
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let options = SinkOptions::default();
        for uri in ["http://0.0.0.0:80", "foo:", "", "-"] {
            assert!(refusal(uri, &options).contains("terminal:"), "{uri}");
        }
        assert!(refusal("json:a.txt", &options).contains("nothing may follow"));
        assert!(refusal("null", &options).contains("'null:'"));
        assert!(refusal("display://?mode=1", &options).contains("1280x720"));
    }

    #[test]
    fn checking_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            check(&names, &SinkOptions::default())
        };
        let name = format!("{}/", path.display());
        assert_eq!(check(&[&name, "term:", "no_such.png"]), Ok(()));
        assert!(!path.exists());
        let displays = ["display:", "fb:", "fb:///dev/fb1"];
        assert_eq!(check(&displays), Ok(()));
        let error = check(&["display:///dev/dri/card0", "display:"]).unwrap_err();
        assert!(error.to_string().contains("one sink's"), "{error}");
        assert!(check(&["a.bmp"]).is_err() && check(&["null:", "nope:"]).is_err());
        let error = check(&["no_such_a.png", "no_such_b.png"]).unwrap_err();
        assert!(error.to_string().contains("quote it"), "{error}");
    }

    #[test]
    fn an_effect_that_is_to_be_shown_must_be_chosen() {
        let options = SinkOptions {
            visualize: vec![Visual::Effect],
            ..SinkOptions::default()
        };
        for uri in ["display:", "fb:", "out/"] {
            assert!(
                refusal(uri, &options).contains("no effect is chosen"),
                "{uri}"
            );
        }
        assert!(open("null:", &options).is_ok());
    }

    #[test]
    fn a_record_is_known_by_its_decoded_path() {
        let options = SinkOptions::default();
        let file = |uri: &str| record(uri, &options).unwrap();
        let path = Some(PathBuf::from("a?b.json"));
        assert_eq!(file("measure:a%3Fb.json?min_area=3"), path);
        assert_eq!(file("COCO:a%3Fb.json"), path);
        assert_eq!((file("null:"), file("out/")), (None, None));
        assert!(record("coco:a.txt", &options).is_err());
    }

    #[test]
    fn alpha_is_a_fraction() {
        for alpha in [-0.1, 1.1, f32::NAN] {
            let options = SinkOptions {
                alpha,
                ..SinkOptions::default()
            };
            assert!(refusal("null:", &options).contains("alpha"));
        }
    }
}
