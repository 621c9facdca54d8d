//! What the machine has: processor, memory, displays, temperatures, clocks, a GPU and
//! what of CUDA is installed, and the groups that open its devices.
//!
//! All of it is read from `/proc`, `/sys` and other folders below a root, so that tests
//! run over trees of their own. Nothing here fails: what a machine does not tell
//! is `None` or empty.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

mod cpu;
mod cpufreq;
mod cuda;
mod display;
mod gpu;
mod groups;
mod memory;
mod thermal;
mod throttle;

pub use cpu::CpuInfo;
pub use cpufreq::CpuFreq;
pub use cuda::{CudaEnvironment, CudaPiece, PieceState};
pub use display::{DisplayInfo, DisplayKind};
pub use gpu::GpuInfo;
pub use groups::DeviceGroups;
pub use memory::MemoryInfo;
pub use thermal::{ThermalZone, TripPoint};
pub use throttle::Throttle;

/// Longest file that is read: `/proc/cpuinfo` of a large server has less.
const MAX_FILE: u64 = 4 << 20;

/// The root of `/proc`, `/sys`, `/etc` and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysfs {
    /// `/` on the machine itself.
    pub root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Sysfs {
    /// A tree elsewhere.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The folders and files in a folder whose names pass, by their numbers:
    /// `zone2` comes before `zone10`.
    fn entries(&self, relative: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, PathBuf)> {
        let entries = fs::read_dir(self.path(relative))
            .into_iter()
            .flatten()
            .flatten();
        let mut entries: Vec<(String, PathBuf)> = entries
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .filter(|(name, _)| wanted(name))
            .collect();
        entries.sort_by_cached_key(|(name, _)| {
            let digits = name
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(name.len());
            let (word, rest) = name.split_at(digits);
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (
                word.to_owned(),
                number.parse().unwrap_or(0u64),
                name.clone(),
            )
        });
        entries
    }
}

/// A file's text without surrounding blanks and zeros; `None` where it cannot be
/// read or is empty.
fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    // A driver may fail half-way: what it gave until then is no value.
    fs::File::open(path)
        .ok()?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A file's text as a number.
fn number<T: FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// A name such as `prefix12`, and nothing after the number.
fn is_numbered(name: &str, prefix: &str) -> bool {
    let number = name.strip_prefix(prefix).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// Trees for the tests of the submodules.
#[cfg(test)]
mod fake {
    use super::*;

    /// A root with these files; it is removed with the returned folder.
    pub fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Sysfs) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let sysfs = Sysfs::new(folder.path());
        (folder, sysfs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_there_is_no_fault() {
        for root in ["/no/such/root", "/dev/null"] {
            let sysfs = Sysfs::new(root);
            assert_eq!(sysfs.cpu().cores, 0);
            assert!(sysfs.displays().is_empty() && sysfs.thermal().is_empty());
            assert!(sysfs.governors().is_empty() && sysfs.throttled().is_none());
            assert_eq!(sysfs.memory(), MemoryInfo::default());
        }
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let sysfs = Sysfs::default();
        assert!(sysfs.cpu().cores > 0);
        assert!(sysfs.memory().total_bytes > Some(0));
        assert!(!sysfs.user_groups().is_empty());
        sysfs.displays();
        sysfs.thermal();
        sysfs.governors();
        sysfs.throttled();
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let (folder, sysfs) = fake::tree(&[("sys/class/thermal/thermal_zone0/type", "x")]);
        let zone = folder.path().join("sys/class/thermal/thermal_zone0");
        fs::write(zone.join("temp"), [0xff, 0xfe, b'1']).unwrap();
        fs::create_dir_all(folder.path().join("proc/cpuinfo")).unwrap();
        assert_eq!(sysfs.thermal()[0].celsius, None);
        assert_eq!(sysfs.cpu().cores, 0);
    }
}
