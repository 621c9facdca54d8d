//! Memory.

use serde::Serialize;

use super::{Sysfs, text};
use crate::proc_status;

/// Main memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryInfo {
    /// What the kernel manages, in bytes.
    pub total_bytes: Option<u64>,
    /// What programs can still get without swapping, in bytes.
    pub available_bytes: Option<u64>,
}

impl Sysfs {
    /// Reads `/proc/meminfo`.
    pub fn memory(&self) -> MemoryInfo {
        let meminfo = text(&self.path("proc/meminfo")).unwrap_or_default();
        MemoryInfo {
            total_bytes: bytes(&meminfo, "MemTotal"),
            available_bytes: bytes(&meminfo, "MemAvailable"),
        }
    }

    /// Most memory this process has had at a time, in bytes (`/proc/self/status`).
    pub fn peak_bytes(&self) -> Option<u64> {
        bytes(&text(&self.path("proc/self/status"))?, "VmHWM")
    }
}

/// The value of a line such as `MemTotal:  2048 kB`, in bytes.
fn bytes(lines: &str, key: &str) -> Option<u64> {
    let value = proc_status::field(lines, key)?;
    let kib: u64 = value.trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn kib_become_bytes() {
        let (_folder, sysfs) = tree(&[(
            "proc/meminfo",
            "MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable: x kB\n",
        )]);
        let expected = MemoryInfo {
            total_bytes: Some(2 << 20),
            available_bytes: None,
        };
        assert_eq!(sysfs.memory(), expected);
    }

    #[test]
    fn the_peak_of_this_process_is_known() {
        let (_folder, sysfs) = tree(&[("proc/self/status", "Name:\tx\nVmHWM:\t    3 kB\n")]);
        assert_eq!(sysfs.peak_bytes(), Some(3 << 10));
    }
}
