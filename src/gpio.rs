//! GPIO lines: real ones through the kernel's character device, dry ones on paper.
//!
//! A chip is found by its label (`pinctrl-rp1`), never by its number, which kernels
//! change. Lines are requested without the kernel's active-low inversion, so that a
//! level here is the electrical one; polarity belongs to [`crate::trigger`] alone.
//! A line can be driven by any thread, so that one may take over where another hangs.
//!
//! **When the process dies** nothing here runs any more, and the chip's driver decides
//! what becomes of the line. Some make it an input again, and a pull resistor then
//! sets its level. Others keep the last level driven: so does the PL061's, and so do
//! Raspberry Pi's kernels unless `dtparam=strict_gpiod` is in config.txt. A fail-safe
//! that must survive a crash needs both: a driver that lets go (on a Raspberry Pi that
//! setting) and a resistor towards the safe level.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_hal::digital::ErrorKind;
use gpio_cdev::{Chip, LineDirection, LineHandle, LineRequestFlags};
use serde::Serialize;
use thiserror::Error;

use crate::trigger::Level;

/// Where the kernel's chips are.
const DEV: &str = "/dev";

/// Why a line cannot be had or driven.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GpioError {
    /// The device folder cannot be read.
    #[error("cannot look for GPIO chips in {path}: {reason}")]
    Scan {
        /// The folder.
        path: String,
        /// The cause.
        reason: String,
    },
    /// No chip has that label.
    #[error(
        "no GPIO chip is labelled '{label}'; here are: {present}. \
         Name one of these, or check that the board is the right one"
    )]
    NoChip {
        /// The label wanted.
        label: String,
        /// Labels of the chips there are, or "none".
        present: String,
    },
    /// More than one chip has that label.
    #[error("two GPIO chips are labelled '{label}': {first} and {second}; remove or rename one")]
    AmbiguousChip {
        /// The label wanted.
        label: String,
        /// Device path of one.
        first: String,
        /// Device path of another.
        second: String,
    },
    /// A chip exists, but this user may not open it.
    #[error(
        "no permission to open {path}: join the group that owns it, usually gpio \
         (sudo usermod -aG gpio $USER, then log in again). If root owns it, put \
         SUBSYSTEM==\"gpio\", KERNEL==\"gpiochip*\", GROUP=\"gpio\", MODE=\"0660\" \
         into /etc/udev/rules.d/60-gpio.rules and reboot"
    )]
    PermissionDenied {
        /// The device path.
        path: String,
    },
    /// A chip exists, but opening it failed.
    #[error("cannot open GPIO chip {path}: {reason}")]
    Chip {
        /// The device path.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The chip has fewer lines.
    #[error("GPIO {chip} has {lines} lines, so there is no line {line}: the first is 0")]
    NoLine {
        /// The chip's label.
        chip: String,
        /// The offset wanted.
        line: u32,
        /// Number of lines.
        lines: u32,
    },
    /// Someone else has the line.
    #[error("GPIO {chip}:{line} is in use by {consumer}: end that user or take another line")]
    Busy {
        /// The chip's label.
        chip: String,
        /// The line's offset.
        line: u32,
        /// Who has it, as the kernel tells.
        consumer: String,
    },
    /// The kernel inverts the line although it was not asked to.
    #[error(
        "GPIO {chip}:{line} is inverted by the kernel (active low), which would undo the \
         rule's own polarity: take the inversion out of the device tree"
    )]
    Inverted {
        /// The chip's label.
        chip: String,
        /// The line's offset.
        line: u32,
    },
    /// The kernel refused the line.
    #[error("cannot take GPIO {chip}:{line} as output: {reason}")]
    Request {
        /// The chip's label.
        chip: String,
        /// The line's offset.
        line: u32,
        /// The cause.
        reason: String,
    },
    /// The level could not be set.
    #[error("cannot drive GPIO {chip}:{line} {level}: {reason}")]
    Drive {
        /// The chip's label.
        chip: String,
        /// The line's offset.
        line: u32,
        /// The level wanted.
        level: Level,
        /// The cause.
        reason: String,
    },
}

impl embedded_hal::digital::Error for GpioError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// An output line of the kernel. Dropping it gives it back; see the module on what
/// its level is then.
pub struct GpioLine {
    handle: LineHandle,
    chip: String,
    line: u32,
}

impl fmt::Debug for GpioLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpioLine({}:{})", self.chip, self.line)
    }
}

impl GpioLine {
    /// Sets the level. Any thread may, also while another does: the kernel has the
    /// last word of the two.
    ///
    /// # Errors
    /// [`GpioError::Drive`].
    pub fn drive(&self, level: Level) -> Result<(), GpioError> {
        let result = self.handle.set_value(value(level));
        result.map_err(|error| GpioError::Drive {
            chip: self.chip.clone(),
            line: self.line,
            level,
            reason: error.to_string(),
        })
    }
}

/// Takes line `line` (offset from 0) of the chip labelled `label` as an output.
///
/// The line has the level `safe` from the moment it becomes an output: the kernel
/// gets both in one request. `consumer` is what other programs see as its user; the
/// kernel keeps the first 31 bytes.
///
/// # Errors
/// No such chip or line, two chips of that label, no permission, or a line that
/// is in use; each says what to do.
pub fn open_line(
    label: &str,
    line: u32,
    safe: Level,
    consumer: &str,
) -> Result<GpioLine, GpioError> {
    let mut chip = find_chip(Path::new(DEV), label)?;
    let lines = chip.num_lines();
    let request = chip.get_line(line).map_err(|_| GpioError::NoLine {
        chip: label.to_owned(),
        line,
        lines,
    })?;
    let failed = |reason: gpio_cdev::Error| GpioError::Request {
        chip: label.to_owned(),
        line,
        reason: reason.to_string(),
    };
    let handle = match request.request(LineRequestFlags::OUTPUT, value(safe), consumer) {
        Ok(handle) => handle,
        Err(error) => {
            // Asked after the request, not before: the answer belongs to this failure.
            return Err(match request.info() {
                Ok(info) if info.is_kernel() => GpioError::Busy {
                    chip: label.to_owned(),
                    line,
                    consumer: info.consumer().unwrap_or("the kernel").to_owned(),
                },
                _ => failed(error),
            });
        }
    };
    // No inversion was asked for; should there be one all the same, the initial level
    // is wrong already.
    if handle.line().info().map_err(failed)?.is_active_low() {
        return Err(GpioError::Inverted {
            chip: label.to_owned(),
            line,
        });
    }
    Ok(GpioLine {
        handle,
        chip: label.to_owned(),
        line,
    })
}

/// The kernel's number for a level of a line that it does not invert.
fn value(level: Level) -> u8 {
    match level {
        Level::Low => 0,
        Level::High => 1,
    }
}

/// A level that a dry line would have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryEdge {
    /// The chip's label.
    pub chip: String,
    /// The line's offset.
    pub line: u32,
    /// The rule's name.
    pub consumer: String,
    /// The new level.
    pub level: Level,
}

impl fmt::Display for DryEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gpio {}:{} {} -> {}",
            self.chip, self.line, self.consumer, self.level
        )
    }
}

/// A line that touches nothing and tells each change of its level.
pub struct DryLine {
    chip: String,
    line: u32,
    consumer: String,
    is_high: AtomicBool,
    report: Box<dyn Fn(&DryEdge) + Send + Sync>,
}

impl fmt::Debug for DryLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DryLine({}:{})", self.chip, self.line)
    }
}

impl DryLine {
    /// Stands in for [`open_line`] with the same arguments, on any machine. `report`
    /// is told the safe level at once and every change later.
    pub fn new(
        chip: &str,
        line: u32,
        safe: Level,
        consumer: &str,
        report: impl Fn(&DryEdge) + Send + Sync + 'static,
    ) -> Self {
        let dry = Self {
            chip: chip.to_owned(),
            line,
            consumer: consumer.to_owned(),
            is_high: AtomicBool::new(safe == Level::High),
            report: Box::new(report),
        };
        dry.tell(safe);
        dry
    }

    /// Changes the level, from any thread. Like a real line it has the new one only
    /// once the change has been told.
    pub fn drive(&self, level: Level) {
        let high = level == Level::High;
        if self.is_high.load(Ordering::SeqCst) != high {
            self.tell(level);
            self.is_high.store(high, Ordering::SeqCst);
        }
    }

    fn tell(&self, level: Level) {
        (self.report)(&DryEdge {
            chip: self.chip.clone(),
            line: self.line,
            consumer: self.consumer.clone(),
            level,
        });
    }
}

/// A line of either kind, as `--dry-run-gpio` chooses.
#[derive(Debug)]
pub enum Pin {
    /// A line of the kernel.
    Line(GpioLine),
    /// A line on paper.
    Dry(DryLine),
}

impl Pin {
    /// Sets the level, from any thread.
    ///
    /// # Errors
    /// [`GpioError::Drive`].
    pub fn drive(&self, level: Level) -> Result<(), GpioError> {
        match self {
            Self::Line(line) => line.drive(level),
            Self::Dry(dry) => {
                dry.drive(level);
                Ok(())
            }
        }
    }
}

/// Which way a line works now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Input.
    In,
    /// Output.
    Out,
}

/// One line of a chip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineInfo {
    /// Offset in its chip, from 0.
    pub line: u32,
    /// Name by the device tree, where it has one.
    pub name: Option<String>,
    /// Whether someone has the line.
    pub used: bool,
    /// Who has it, where the kernel tells.
    pub consumer: Option<String>,
    /// Which way it works now.
    pub direction: Direction,
}

/// One GPIO chip, or the reason why it cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChipInfo {
    /// The device.
    pub path: PathBuf,
    /// The kernel's name (`gpiochip0`), which may change with the kernel.
    pub name: Option<String>,
    /// The label by which a board file names the chip.
    pub label: Option<String>,
    /// Its lines in order; those up to the failure where there is an `error`.
    pub lines: Vec<LineInfo>,
    /// What went wrong and what to do, where the chip cannot be read.
    pub error: Option<String>,
}

/// All GPIO chips of this machine with their lines, in the order of their device
/// names; an empty list where there is none.
///
/// # Errors
/// The device folder cannot be read. A chip that cannot be opened is no error but
/// tells its own.
pub fn chips() -> Result<Vec<ChipInfo>, GpioError> {
    chips_in(Path::new(DEV))
}

fn chips_in(dev: &Path) -> Result<Vec<ChipInfo>, GpioError> {
    let chips = open_chips(dev)?.into_iter().map(|(path, opened)| {
        let mut info = ChipInfo {
            path,
            name: None,
            label: None,
            lines: Vec::new(),
            error: None,
        };
        match opened {
            Ok(chip) => {
                info.name = Some(chip.name().to_owned());
                info.label = Some(chip.label().to_owned());
                for line in chip.lines() {
                    match line.info() {
                        Ok(found) => info.lines.push(LineInfo {
                            line: line.offset(),
                            name: found.name().map(str::to_owned),
                            used: found.is_kernel(),
                            consumer: found.consumer().map(str::to_owned),
                            direction: match found.direction() {
                                LineDirection::In => Direction::In,
                                LineDirection::Out => Direction::Out,
                            },
                        }),
                        Err(error) => {
                            info.error = Some(format!("line {}: {error}", line.offset()));
                            break;
                        }
                    }
                }
            }
            Err(error) => info.error = Some(error.to_string()),
        }
        info
    });
    Ok(chips.collect())
}

/// The one chip of that label.
fn find_chip(dev: &Path, label: &str) -> Result<Chip, GpioError> {
    let mut found: Option<Chip> = None;
    let mut present = Vec::new();
    let mut unopened = None;
    for (_, opened) in open_chips(dev)? {
        match opened {
            Ok(chip) if chip.label() == label => {
                if let Some(first) = found {
                    return Err(GpioError::AmbiguousChip {
                        label: label.to_owned(),
                        first: first.path().display().to_string(),
                        second: chip.path().display().to_string(),
                    });
                }
                found = Some(chip);
            }
            Ok(chip) => present.push(chip.label().to_owned()),
            Err(error) => unopened = unopened.or(Some(error)),
        }
    }
    match (found, unopened) {
        (Some(chip), _) => Ok(chip),
        // The chip wanted may well be the one that could not be opened.
        (None, Some(error)) => Err(error),
        (None, None) => Err(GpioError::NoChip {
            label: label.to_owned(),
            present: if present.is_empty() {
                "none".to_owned()
            } else {
                present.join(", ")
            },
        }),
    }
}

/// A device path and what opening it gave.
type Opened = (PathBuf, Result<Chip, GpioError>);

/// Opens every chip in a folder, in the order of names.
fn open_chips(dev: &Path) -> Result<Vec<Opened>, GpioError> {
    let scan = |error: io::Error| GpioError::Scan {
        path: dev.display().to_string(),
        reason: error.to_string(),
    };
    let mut devices = BTreeSet::new();
    for entry in std::fs::read_dir(dev).map_err(scan)? {
        let entry = entry.map_err(scan)?;
        if entry.file_name().to_string_lossy().starts_with("gpiochip") {
            // Raspberry Pi OS links gpiochip4 to gpiochip0: one chip, not two. A link
            // to nowhere keeps its own name, so that opening it tells what is wrong.
            let path = entry.path();
            devices.insert(std::fs::canonicalize(&path).unwrap_or(path));
        }
    }
    let open = |path: PathBuf| {
        let opened = Chip::new(&path).map_err(|error| chip_error(&path, &error));
        (path, opened)
    };
    Ok(devices.into_iter().map(open).collect())
}

fn chip_error(path: &Path, error: &gpio_cdev::Error) -> GpioError {
    let path = path.display().to_string();
    let cause = std::error::Error::source(error);
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    if io.is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
        return GpioError::PermissionDenied { path };
    }
    GpioError::Chip {
        path,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What every pin must do: have the safe level from the start, then the level
    /// set last, also when it is set twice.
    fn conforms(open: impl Fn(Level) -> (Pin, Box<dyn Fn() -> Level>)) {
        for safe in [Level::Low, Level::High] {
            let (pin, level) = open(safe);
            assert_eq!(level(), safe, "initial level");
            for wanted in [
                Level::High,
                Level::High,
                Level::Low,
                Level::Low,
                Level::High,
            ] {
                pin.drive(wanted).unwrap();
                assert_eq!(level(), wanted);
            }
        }
    }

    fn dry(safe: Level) -> (DryLine, Arc<Mutex<Vec<DryEdge>>>) {
        let edges = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&edges);
        let line = DryLine::new("pinctrl-rp1", 17, safe, "stop", move |edge| {
            sink.lock().unwrap().push(edge.clone());
        });
        (line, edges)
    }

    #[test]
    fn dry_line_conforms() {
        conforms(|safe| {
            let (line, edges) = dry(safe);
            let level = move || edges.lock().unwrap().last().unwrap().level;
            (Pin::Dry(line), Box::new(level) as Box<dyn Fn() -> Level>)
        });
    }

    /// Needs the kernel module gpio-sim with a chip labelled `atrous-test`.
    #[test]
    fn kernel_line_conforms() {
        const LABEL: &str = "atrous-test";
        let found = chips()
            .unwrap()
            .into_iter()
            .find(|chip| chip.label.as_deref() == Some(LABEL));
        let Some(name) = found.and_then(|chip| chip.name) else {
            eprintln!("skipped: no gpio-sim chip labelled {LABEL}");
            return;
        };
        let file = format!("/sys/bus/gpio/devices/{name}/sim_gpio0/value");
        conforms(|safe| {
            let line = open_line(LABEL, 0, safe, "atrous conformance").unwrap();
            let file = file.clone();
            let level = move || match std::fs::read_to_string(&file).unwrap().trim() {
                "0" => Level::Low,
                _ => Level::High,
            };
            (Pin::Line(line), Box::new(level) as Box<dyn Fn() -> Level>)
        });
    }

    #[test]
    fn dry_line_tells_changes_only() {
        let (line, edges) = dry(Level::Low);
        line.drive(Level::Low);
        line.drive(Level::High);
        line.drive(Level::High);
        let told: Vec<String> = edges
            .lock()
            .unwrap()
            .iter()
            .map(DryEdge::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "gpio pinctrl-rp1:17 stop -> low",
                "gpio pinctrl-rp1:17 stop -> high"
            ]
        );
    }

    #[test]
    fn a_machine_without_chips_has_an_empty_list() {
        let dev = tempfile::tempdir().unwrap();
        std::fs::write(dev.path().join("null"), "").unwrap();
        assert_eq!(chips_in(dev.path()), Ok(Vec::new()));
        assert_eq!(
            find_chip(dev.path(), "pinctrl-rp1").unwrap_err(),
            GpioError::NoChip {
                label: "pinctrl-rp1".to_owned(),
                present: "none".to_owned()
            }
        );
    }

    #[test]
    fn an_unreadable_chip_is_told_once_however_many_links_lead_to_it() {
        let dev = tempfile::tempdir().unwrap();
        // A plain file is a chip that answers no ioctl.
        let chip = dev.path().join("gpiochip0");
        std::fs::write(&chip, "").unwrap();
        std::os::unix::fs::symlink("gpiochip0", dev.path().join("gpiochip4")).unwrap();
        let chips = chips_in(dev.path()).unwrap();
        assert_eq!(chips.len(), 1);
        let error = chips[0].error.as_deref().unwrap();
        assert!(error.contains("gpiochip0"), "{error}");
        let error = find_chip(dev.path(), "pinctrl-rp1").unwrap_err();
        assert!(matches!(&error, GpioError::Chip { path, .. } if path.ends_with("gpiochip0")));
    }

    #[test]
    fn a_dangling_link_is_told() {
        let dev = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("gone", dev.path().join("gpiochip4")).unwrap();
        let chips = chips_in(dev.path()).unwrap();
        assert!(chips[0].error.as_deref().unwrap().contains("gpiochip4"));
    }

    #[test]
    fn no_device_folder_is_an_error_that_names_it() {
        let error = chips_in(Path::new("/no/such/folder")).unwrap_err();
        assert!(matches!(&error, GpioError::Scan { path, .. } if path == "/no/such/folder"));
    }

    #[test]
    fn permission_denied_names_group_and_rule() {
        let denied = gpio_cdev::Error::from(io::Error::from(io::ErrorKind::PermissionDenied));
        let error = chip_error(Path::new("/dev/gpiochip0"), &denied);
        assert_eq!(
            error,
            GpioError::PermissionDenied {
                path: "/dev/gpiochip0".to_owned()
            }
        );
        let text = error.to_string();
        for part in ["/dev/gpiochip0", "usermod -aG gpio", "udev"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn open_line_names_a_missing_chip() {
        let Err(error) = open_line("atrous-no-such-chip", 3, Level::Low, "stop") else {
            panic!("there is no such chip");
        };
        // On a machine with chips that this user may not open, that is told instead.
        if let GpioError::NoChip { label, .. } = error {
            assert_eq!(label, "atrous-no-such-chip");
        }
    }

    #[test]
    fn chip_info_serializes() {
        let info = ChipInfo {
            path: "/dev/gpiochip0".into(),
            name: Some("gpiochip0".to_owned()),
            label: Some("pinctrl-rp1".to_owned()),
            lines: vec![LineInfo {
                line: 17,
                name: Some("GPIO17".to_owned()),
                used: false,
                consumer: None,
                direction: Direction::In,
            }],
            error: None,
        };
        let json = serde_json::to_value(info).unwrap();
        assert_eq!(json["lines"][0]["direction"], "in");
        assert_eq!(json["label"], "pinctrl-rp1");
    }
}
