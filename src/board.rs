//! Boards: facts about the hardware, one TOML file each, built into the binary.
//!
//! A board file says what is there (chip labels, pins, cores), never what to do with
//! it; choices belong to the run config.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;

use crate::input_file;

/// The version of the board file format that this program reads.
pub const FORMAT: u32 = 1;

/// Largest board file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where the kernel tells the board's model.
const MODEL_FILE: &str = "/proc/device-tree/model";

/// Pins of the 40-pin header that carry power or ground on every board here.
const POWER_PINS: [u8; 12] = [1, 2, 4, 6, 9, 14, 17, 20, 25, 30, 34, 39];

/// The board of any machine that is not recognized.
const HOST: &str = "host";

/// The boards built in: name and file.
const BOARDS: [(&str, &str); 6] = [
    (HOST, include_str!("../board/host.toml")),
    ("jetson-nano", include_str!("../board/jetson-nano.toml")),
    (
        "jetson-orin-nano",
        include_str!("../board/jetson-orin-nano.toml"),
    ),
    (
        "raspberry-pi-3",
        include_str!("../board/raspberry-pi-3.toml"),
    ),
    (
        "raspberry-pi-4",
        include_str!("../board/raspberry-pi-4.toml"),
    ),
    (
        "raspberry-pi-5",
        include_str!("../board/raspberry-pi-5.toml"),
    ),
];

/// A board's facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Board {
    /// The name by which commands and configs call it.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// Where the facts come from.
    pub source: Vec<String>,
    /// What a user of this board should know, and what is left out.
    pub note: Option<String>,
    /// The processor.
    pub cpu: Cpu,
    /// The camera.
    pub camera: Endpoint,
    /// The display.
    pub display: Endpoint,
    /// How the board is recognized.
    pub identify: Identify,
    /// Pins that can be GPIO outputs, in the file's order.
    #[serde(rename = "pin")]
    pub pins: Vec<Pin>,
}

/// A board's processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Number of cores; none where it is left to the system.
    pub cores: Option<usize>,
    /// The core's name.
    pub model: Option<String>,
    /// The best kernels that it can run.
    pub tier: Tier,
}

impl Cpu {
    /// Threads for a model: the cores but one, which is left to the camera, the pins and
    /// the rest of the system; at least 1.
    pub fn threads(&self) -> usize {
        (self.count() - 1).max(1)
    }

    /// Processors that this program may use: the board's, where the system gives as many;
    /// at least 1.
    pub fn count(&self) -> usize {
        // As it was at first: later the thread that asks may have been confined to some.
        static SYSTEM: OnceLock<usize> = OnceLock::new();
        let found = || std::thread::available_parallelism().map_or(1, usize::from);
        let system = *SYSTEM.get_or_init(found);
        self.cores.map_or(system, |cores| cores.min(system))
    }
}

/// What a processor can do for integer kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Found out at start-up.
    Detect,
    /// No vector instructions.
    Scalar,
    /// Armv8.0.
    Neon,
    /// Armv8.2 with dot product.
    NeonDotprod,
    /// Armv8.6 with int8 matrix multiply.
    #[serde(rename = "neon-i8mm")]
    NeonI8mm,
    /// x86-64 with AVX2.
    Avx2,
    /// AVX-VNNI, 256 bits.
    AvxVnni,
    /// AVX-512 VNNI.
    #[serde(rename = "avx512-vnni")]
    Avx512Vnni,
}

/// A board's camera or display.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The source or sink taken unless the user names one.
    pub default: String,
    /// What a user should know about it.
    pub note: Option<String>,
}

/// How a board is recognized.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identify {
    /// First characters of the device tree's model.
    pub device_tree_models: Vec<String>,
}

/// A header pin that can be a GPIO output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its number on the 40-pin header, 1 to 40.
    pub header: u8,
    /// Its name in the board's documentation.
    pub name: String,
    /// Label of the GPIO chip that drives it.
    pub chip: String,
    /// Its line's offset in that chip, from 0.
    pub line: u32,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (header pin {}, {}:{})",
            self.name, self.header, self.chip, self.line
        )
    }
}

/// Why a board or pin cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BoardError {
    /// No board has that name.
    #[error(
        "no board is called '{name}'; there are: {known}. For another board give the path of a board file"
    )]
    Unknown {
        /// The name wanted.
        name: String,
        /// All names.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read board file {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The file is of another format version.
    #[error("board file {path}: format = {found}, but this program reads format = {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file is not what a board file must be.
    #[error("board file {path}, line {line}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The board has no such pin.
    #[error("board {board} has no GPIO pin '{pin}'{hint}")]
    NoPin {
        /// The board's name.
        board: String,
        /// The pin wanted.
        pin: String,
        /// What would be right, from a separator on.
        hint: String,
    },
}

/// The version alone, read before the rest so that a newer file is refused as such.
#[derive(Deserialize)]
struct Version {
    format: i64,
}

/// A board file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: i64,
    name: Spanned<String>,
    title: String,
    source: Vec<String>,
    note: Option<String>,
    cpu: Spanned<Cpu>,
    camera: Endpoint,
    display: Endpoint,
    #[serde(default)]
    identify: Identify,
    #[serde(default, rename = "pin")]
    pins: Vec<Spanned<Pin>>,
}

impl Board {
    /// The names of the boards built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BOARDS.iter().map(|(name, _)| *name)
    }

    /// The board that this program runs on, by the device tree's model; `host` where
    /// there is no device tree or its model is not known.
    ///
    /// # Errors
    /// None that a released program gives: a file built in would have to be wrong.
    pub fn detect() -> Result<Self, BoardError> {
        // No such file is the usual case off ARM boards, and no other cause of not
        // reading it makes the board better known.
        let model = std::fs::read(MODEL_FILE).unwrap_or_default();
        Self::by_model(&String::from_utf8_lossy(&model))
    }

    /// The board for a device tree's model; `host` where it is not known.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn by_model(model: &str) -> Result<Self, BoardError> {
        // The kernel ends the text with a NUL.
        let model = model.trim_end_matches('\0').trim();
        for name in Self::names() {
            let board = Self::by_name(name)?;
            let mut models = board.identify.device_tree_models.iter();
            if models.any(|known| model.starts_with(known.as_str())) {
                return Ok(board);
            }
        }
        Self::by_name(HOST)
    }

    /// The board built in under that name.
    ///
    /// # Errors
    /// There is none; the error lists all.
    pub fn by_name(name: &str) -> Result<Self, BoardError> {
        let Some((_, text)) = BOARDS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = Self::names().collect();
            return Err(BoardError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        Self::parse(Path::new(&format!("board/{name}.toml")), text)
    }

    /// Reads a board file.
    ///
    /// # Errors
    /// The file cannot be read or is no valid board file; the error names the line
    /// and what is allowed there.
    pub fn load(path: &Path) -> Result<Self, BoardError> {
        let fail = |reason: String| BoardError::Read {
            path: path.to_owned(),
            reason,
        };
        let bytes = input_file::read(path, MAX_BYTES).map_err(|e| fail(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text".into()))?;
        Self::parse(path, &text)
    }

    /// Reads the text of a board file; `path` is for messages.
    ///
    /// # Errors
    /// As [`load`](Self::load), reading aside.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BoardError> {
        let invalid = |span: Option<Range<usize>>, reason: String| BoardError::Invalid {
            path: path.to_owned(),
            line: line_of(text, span.map_or(0, |span| span.start)),
            reason,
        };
        let refused = |error: toml::de::Error| invalid(error.span(), error.message().to_owned());

        let version: Version = toml::from_str(text).map_err(refused)?;
        if version.format != i64::from(FORMAT) {
            return Err(BoardError::Format {
                path: path.to_owned(),
                found: version.format,
            });
        }
        let file: File = toml::from_str(text).map_err(refused)?;
        if file.name.get_ref().trim().is_empty() {
            let reason = "name is empty: a board needs one".to_owned();
            return Err(invalid(Some(file.name.span()), reason));
        }
        if file.cpu.get_ref().cores == Some(0) {
            let reason = "cores = 0: give 1 or more, or leave it out for 'as the system tells'";
            return Err(invalid(Some(file.cpu.span()), reason.to_owned()));
        }
        let mut taken: HashMap<String, usize> = HashMap::new();
        for pin in &file.pins {
            let refuse = |reason: String| invalid(Some(pin.span()), reason);
            let line = line_of(text, pin.span().start);
            let pin = pin.get_ref();
            if !(1..=40).contains(&pin.header) {
                return Err(refuse(format!(
                    "header = {}: the header has pins 1 to 40",
                    pin.header
                )));
            }
            if POWER_PINS.contains(&pin.header) {
                return Err(refuse(format!(
                    "header = {}: that pin carries power or ground, no GPIO",
                    pin.header
                )));
            }
            if pin.name.is_empty() || pin.name.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(refuse(format!(
                    "name = \"{}\": a name needs a letter, since a bare number means a header pin",
                    pin.name
                )));
            }
            for fact in [
                format!("header = {}", pin.header),
                format!("name = \"{}\"", pin.name.to_ascii_lowercase()),
                format!("chip = \"{}\", line = {}", pin.chip, pin.line),
            ] {
                if let Some(first) = taken.get(&fact) {
                    return Err(refuse(format!("{fact} is already the pin of line {first}")));
                }
                taken.insert(fact, line);
            }
        }
        Ok(Self {
            name: file.name.into_inner(),
            title: file.title,
            source: file.source,
            note: file.note,
            cpu: file.cpu.into_inner(),
            camera: file.camera,
            display: file.display,
            identify: file.identify,
            pins: file.pins.into_iter().map(Spanned::into_inner).collect(),
        })
    }

    /// The pin of that name (case does not count) or of that header number: `GPIO17`
    /// and `11` are the same pin of a Raspberry Pi.
    ///
    /// # Errors
    /// There is none; the error lists the nearest.
    pub fn find_pin(&self, wanted: &str) -> Result<&Pin, BoardError> {
        let wanted = wanted.trim();
        let header: Option<u8> = wanted.parse().ok();
        let found = self.pins.iter().find(|pin| match header {
            Some(header) => pin.header == header,
            None => pin.name.eq_ignore_ascii_case(wanted),
        });
        found.ok_or_else(|| BoardError::NoPin {
            board: self.name.clone(),
            pin: wanted.to_owned(),
            hint: self.hint(wanted, header),
        })
    }

    /// What to say to someone who asked for a pin that is not there.
    fn hint(&self, wanted: &str, header: Option<u8>) -> String {
        if self.pins.is_empty() {
            return ": it names none. Give the chip's label and the line instead".to_owned();
        }
        let list = |pins: &[&Pin]| {
            let names: Vec<String> = pins.iter().map(|pin| pin.to_string()).collect();
            names.join(", ")
        };
        if let Some(header) = header {
            // Someone who writes 17 may mean GPIO17.
            let same = format!("GPIO{header}");
            let meant = self.pins.iter().find(|pin| pin.name == same);
            let meant = meant.map_or_else(String::new, |pin| format!(". Did you mean {pin}?"));
            return if POWER_PINS.contains(&header) {
                format!(": that header pin carries power or ground{meant}")
            } else {
                let all: Vec<String> = self.pins.iter().map(|p| p.header.to_string()).collect();
                format!(": its header pins are {}{meant}", all.join(", "))
            };
        }
        let distances = self
            .pins
            .iter()
            .map(|pin| (distance(wanted, &pin.name), pin));
        let mut near: Vec<(usize, &Pin)> = distances.filter(|(far, _)| *far <= 2).collect();
        near.sort_by_key(|(far, _)| *far);
        let mut near: Vec<&Pin> = near.into_iter().map(|(_, pin)| pin).collect();
        near.truncate(5);
        if near.is_empty() {
            format!(
                ": its pins are {}",
                list(&self.pins.iter().collect::<Vec<_>>())
            )
        } else {
            format!(". Did you mean {}?", list(&near))
        }
    }
}

/// The line, from 1, in which a byte of a text lies.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// How many letters must be put in, taken out or changed to make `a` into `b`; case
/// does not count.
fn distance(a: &str, b: &str) -> usize {
    let a = a.to_ascii_lowercase();
    let b = b.to_ascii_lowercase();
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn parse(text: &str) -> Result<Board, BoardError> {
        Board::parse(Path::new("my.toml"), text)
    }

    fn with(pins: &str) -> String {
        format!(
            "format = 1\nname = \"b\"\ntitle = \"B\"\nsource = []\n\
             [cpu]\ntier = \"neon\"\n[camera]\ndefault = \"/dev/video0\"\n\
             [display]\ndefault = \"display://\"\n{pins}"
        )
    }

    fn reason(text: &str) -> (usize, String) {
        match parse(text).unwrap_err() {
            BoardError::Invalid { path, line, reason } => {
                assert_eq!(path, Path::new("my.toml"));
                (line, reason)
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_board_names_each_pin_once() {
        for name in Board::names() {
            let board = Board::by_name(name).unwrap();
            assert_eq!(board.name, name);
            assert!(!board.source.is_empty(), "{name}");
            let headers: HashSet<u8> = board.pins.iter().map(|pin| pin.header).collect();
            let names: HashSet<&str> = board.pins.iter().map(|pin| pin.name.as_str()).collect();
            let lines: HashSet<(&str, u32)> = board
                .pins
                .iter()
                .map(|pin| (pin.chip.as_str(), pin.line))
                .collect();
            for distinct in [headers.len(), names.len(), lines.len()] {
                assert_eq!(distinct, board.pins.len(), "{name}");
            }
            for header in headers {
                assert!((1..=40).contains(&header), "{name}: {header}");
                assert!(!POWER_PINS.contains(&header), "{name}: {header}");
            }
        }
    }

    #[test]
    fn facts_spot_checked() {
        let pin = |board: &str, header: &str| {
            let board = Board::by_name(board).unwrap();
            let pin = board.find_pin(header).unwrap();
            (pin.name.clone(), pin.chip.clone(), pin.line)
        };
        let is = |name: &str, chip: &str, line| (name.to_owned(), chip.to_owned(), line);
        assert_eq!(
            pin("raspberry-pi-3", "40"),
            is("GPIO21", "pinctrl-bcm2835", 21)
        );
        assert_eq!(
            pin("raspberry-pi-4", "3"),
            is("GPIO2", "pinctrl-bcm2711", 2)
        );
        assert_eq!(pin("raspberry-pi-5", "11"), is("GPIO17", "pinctrl-rp1", 17));
        assert_eq!(pin("jetson-nano", "33"), is("GPIO13", "tegra-gpio", 38));
        assert_eq!(
            pin("jetson-orin-nano", "29"),
            is("GPIO01", "tegra234-gpio", 105)
        );
        for (name, pins) in [
            ("raspberry-pi-3", 26),
            ("raspberry-pi-4", 26),
            ("raspberry-pi-5", 26),
            ("jetson-nano", 22),
            ("jetson-orin-nano", 22),
            (HOST, 0),
        ] {
            assert_eq!(Board::by_name(name).unwrap().pins.len(), pins, "{name}");
        }
    }

    #[test]
    fn models_are_recognized() {
        for (model, name) in [
            ("Raspberry Pi 3 Model B Plus Rev 1.3\0", "raspberry-pi-3"),
            ("Raspberry Pi 4 Model B Rev 1.4\0", "raspberry-pi-4"),
            ("Raspberry Pi 5 Model B Rev 1.0\0", "raspberry-pi-5"),
            ("NVIDIA Jetson Nano Developer Kit", "jetson-nano"),
            ("NVIDIA Orin Nano Developer Kit", "jetson-orin-nano"),
            (
                "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
                "jetson-orin-nano",
            ),
            ("NVIDIA Jetson Nano 2GB Developer Kit", HOST),
            ("Raspberry Pi Compute Module 4 Rev 1.0", HOST),
            ("linux,dummy-virt", HOST),
            ("", HOST),
        ] {
            assert_eq!(Board::by_model(model).unwrap().name, name, "{model}");
        }
    }

    #[test]
    fn detects_something_everywhere() {
        let board = Board::detect().unwrap();
        assert!(Board::names().any(|name| name == board.name));
    }

    #[test]
    fn an_unknown_board_lists_all() {
        let error = Board::by_name("raspberry-pi-6").unwrap_err();
        for name in Board::names() {
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn finds_pins_by_name_and_number() {
        let board = Board::by_name("raspberry-pi-5").unwrap();
        assert_eq!(board.find_pin(" gpio17 "), board.find_pin("11"));
        assert_eq!(board.find_pin("GPIO17").unwrap().line, 17);
    }

    #[test]
    fn a_wrong_pin_gets_a_hint() {
        let board = Board::by_name("raspberry-pi-5").unwrap();
        let hint = |pin: &str| board.find_pin(pin).unwrap_err().to_string();
        let power = hint("17");
        assert!(power.contains("power or ground"), "{power}");
        assert!(
            power.contains("Did you mean GPIO17 (header pin 11"),
            "{power}"
        );
        assert!(
            hint("27").contains("header pins are 3, 5"),
            "{}",
            hint("27")
        );
        assert!(hint("GPOI17").contains("GPIO17"), "{}", hint("GPOI17"));
        assert!(
            hint("nonsense").contains("GPIO2 (header"),
            "{}",
            hint("nonsense")
        );
        let host = Board::by_name(HOST).unwrap();
        let none = host.find_pin("GPIO17").unwrap_err().to_string();
        assert!(none.contains("label"), "{none}");
    }

    #[test]
    fn loads_a_file_and_names_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        std::fs::write(&path, with("")).unwrap();
        assert_eq!(Board::load(&path).unwrap().name, "b");
        let missing = folder.path().join("none.toml");
        let error = Board::load(&missing).unwrap_err();
        assert!(matches!(error, BoardError::Read { path, .. } if path == missing));
        let error = Board::load(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("regular file"), "{error}");
    }

    #[test]
    fn faults_name_line_and_cure() {
        let (line, text) = reason(&with("[cpus]\ncores = 4\n"));
        assert_eq!(line, 11);
        assert!(text.contains("cpus") && text.contains("camera"), "{text}");

        let (line, text) = reason(&with("").replace("neon", "neom"));
        assert_eq!(line, 6);
        assert!(
            text.contains("neom") && text.contains("neon-dotprod"),
            "{text}"
        );

        let (_, text) = reason("name = \"b\"\n");
        assert!(text.contains("format"), "{text}");

        let (line, text) = reason("format = 1\nname = \n");
        assert_eq!(line, 2, "{text}");

        let pin = |header: i64, name: &str, line: u32| {
            format!("[[pin]]\nheader = {header}\nname = \"{name}\"\nchip = \"c\"\nline = {line}\n")
        };
        for (pins, line, part) in [
            (pin(41, "A", 1), 11, "1 to 40"),
            (pin(0, "A", 1), 11, "1 to 40"),
            (pin(300, "A", 1), 12, "300"),
            (pin(39, "A", 1), 11, "power or ground"),
            (pin(11, "11", 1), 11, "letter"),
            (
                pin(11, "A", 1) + &pin(11, "B", 2),
                16,
                "header = 11 is already",
            ),
            (
                pin(11, "A", 1) + &pin(12, "a", 2),
                16,
                "name = \"a\" is already",
            ),
            (
                pin(11, "A", 1) + &pin(12, "B", 1),
                16,
                "line = 1 is already",
            ),
        ] {
            let (found, text) = reason(&with(&pins));
            assert!(text.contains(part), "{text}");
            assert_eq!(found, line, "{text}");
        }
        let (_, text) = reason(&with("").replace("tier", "cores = 0\ntier"));
        assert!(text.contains("cores = 0"), "{text}");
    }

    #[test]
    fn a_newer_format_is_refused_as_such() {
        let text = with("[future]\n").replace("format = 1", "format = 2");
        assert_eq!(
            parse(&text).unwrap_err(),
            BoardError::Format {
                path: "my.toml".into(),
                found: 2
            }
        );
    }

    #[test]
    fn distance_counts_letters() {
        for (a, b, far) in [
            ("", "", 0),
            ("GPIO1", "gpio1", 0),
            ("", "abc", 3),
            ("GPOI17", "GPIO17", 2),
        ] {
            assert_eq!(distance(a, b), far);
            assert_eq!(distance(b, a), far);
        }
    }
}
