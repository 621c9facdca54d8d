//! The NVIDIA GPU, as its driver shows it in the file system. Nothing is opened.

use serde::Serialize;

use super::{Sysfs, is_numbered, text};

/// Device nodes of a Jetson's own GPU, from the newest driver to the oldest.
const INTEGRATED: [&str; 3] = [
    "dev/nvgpu/igpu0/ctrl",
    "dev/nvhost-gpu",
    "dev/nvhost-ctrl-gpu",
];

/// An NVIDIA GPU with a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuInfo {
    /// What it, or the board around it, is called.
    pub name: Option<String>,
    /// The driver's version.
    pub driver: Option<String>,
    /// Version of Jetson Linux, such as `R36 (release), REVISION: 4.3`.
    pub jetson_linux: Option<String>,
    /// The device nodes it is used through.
    pub nodes: Vec<String>,
}

impl Sysfs {
    /// The NVIDIA GPU; `None` where no driver shows one.
    pub fn gpu(&self) -> Option<GpuInfo> {
        let cards = self.entries("dev", |name| is_numbered(name, "nvidia"));
        let mut nodes: Vec<String> = cards
            .into_iter()
            .map(|(name, _)| format!("/dev/{name}"))
            .collect();
        let integrated = INTEGRATED.iter().filter(|node| self.path(node).exists());
        nodes.extend(integrated.map(|node| format!("/{node}")));
        if nodes.is_empty() {
            return None;
        }
        Some(GpuInfo {
            name: self.gpu_name(),
            driver: self.gpu_driver(),
            jetson_linux: self.jetson_linux(),
            nodes,
        })
    }

    fn gpu_name(&self) -> Option<String> {
        let cards = self.entries("proc/driver/nvidia/gpus", |_| true);
        let named = cards.into_iter().find_map(|(_, folder)| {
            let information = text(&folder.join("information"))?;
            let mut pairs = information.lines().filter_map(|line| line.split_once(':'));
            let (_, model) = pairs.find(|(key, _)| key.trim() == "Model")?;
            Some(model.trim().to_owned())
        });
        named.or_else(|| text(&self.path("proc/device-tree/model")))
    }

    fn gpu_driver(&self) -> Option<String> {
        let module = text(&self.path("sys/module/nvidia/version"));
        module.or_else(|| {
            // NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb ...
            let version = text(&self.path("proc/driver/nvidia/version"))?;
            let line = version.lines().find(|line| line.starts_with("NVRM"))?;
            let is_version = |word: &&str| {
                word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            };
            line.split_whitespace().find(is_version).map(Into::into)
        })
    }

    /// The first line of `/etc/nv_tegra_release` up to its second comma.
    fn jetson_linux(&self) -> Option<String> {
        let release = text(&self.path("etc/nv_tegra_release"))?;
        let line = release.lines().next()?.trim_start_matches(['#', ' ']);
        let mut parts = line.split(',').map(str::trim);
        let (major, minor) = (parts.next()?, parts.next()?);
        Some(format!("{major}, {minor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn a_card_says_its_name_and_driver() {
        let (_folder, sysfs) = tree(&[
            ("dev/nvidia0", ""),
            ("dev/nvidiactl", ""),
            (
                "proc/driver/nvidia/gpus/0000:01:00.0/information",
                "Model: \t\t NVIDIA RTX A2000\nIRQ:   \t\t 128\n",
            ),
            (
                "proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\nGCC: 12.2.0\n",
            ),
        ]);
        let expected = GpuInfo {
            name: Some("NVIDIA RTX A2000".into()),
            driver: Some("550.54.14".into()),
            jetson_linux: None,
            nodes: vec!["/dev/nvidia0".into()],
        };
        assert_eq!(sysfs.gpu(), Some(expected));
    }

    #[test]
    fn a_jetson_says_its_board_and_release() {
        let (_folder, sysfs) = tree(&[
            ("dev/nvgpu/igpu0/ctrl", ""),
            ("dev/nvhost-gpu", ""),
            (
                "proc/device-tree/model",
                "NVIDIA Jetson Orin Nano Developer Kit\0",
            ),
            ("sys/module/nvidia/version", "540.4.0\n"),
            (
                "etc/nv_tegra_release",
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
            ),
        ]);
        let gpu = sysfs.gpu().unwrap();
        assert_eq!(
            gpu.name.as_deref(),
            Some("NVIDIA Jetson Orin Nano Developer Kit")
        );
        assert_eq!(gpu.driver.as_deref(), Some("540.4.0"));
        assert_eq!(
            gpu.jetson_linux.as_deref(),
            Some("R36 (release), REVISION: 4.3")
        );
        assert_eq!(gpu.nodes, ["/dev/nvgpu/igpu0/ctrl", "/dev/nvhost-gpu"]);
    }

    #[test]
    fn a_board_without_a_driver_has_no_gpu() {
        let (_folder, sysfs) = tree(&[
            ("dev/nvidia-uvm", ""),
            (
                "proc/device-tree/model",
                "NVIDIA Jetson Nano Developer Kit\0",
            ),
            ("etc/nv_tegra_release", "garbage"),
        ]);
        assert_eq!(sysfs.gpu(), None);
    }
}
