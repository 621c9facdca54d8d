//! Memory.

use serde::Serialize;

use super::{Sysfs, text};

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
        let bytes = |key: &str| {
            let mut pairs = meminfo.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = pairs.find(|(name, _)| *name == key)?;
            let kib: u64 = value.trim().trim_end_matches("kB").trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        MemoryInfo {
            total_bytes: bytes("MemTotal"),
            available_bytes: bytes("MemAvailable"),
        }
    }
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
}
