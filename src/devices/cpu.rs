//! The processor.

use serde::Serialize;

use super::{Sysfs, text};

/// The processor and what of it counts for the kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuInfo {
    /// Instruction set this program was built for, such as `aarch64`.
    pub arch: String,
    /// The processor's name, such as `4x Cortex-A76`.
    pub model: Option<String>,
    /// The board's name, where the firmware tells it.
    pub board: Option<String>,
    /// Logical cores that are online.
    pub cores: usize,
    /// Instructions that all cores have, of those that matter to the kernels,
    /// in the kernel's spelling.
    pub features: Vec<String>,
}

/// The flags of `/proc/cpuinfo` that matter, widest last.
const FEATURES: [&str; 25] = [
    // x86
    "sse4_1",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "avx_vnni",
    "avx_vnni_int8",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    // 32-bit ARM
    "neon",
    "vfpv4",
    // 64-bit ARM; asimdhp is half-precision arithmetic, asimddp the dot product
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "svei8mm",
    "sme",
];

/// ARM's own cores by part number (implementer 0x41).
const ARM_PARTS: [(u16, &str); 27] = [
    (0xc07, "Cortex-A7"),
    (0xc08, "Cortex-A8"),
    (0xc09, "Cortex-A9"),
    (0xc0f, "Cortex-A15"),
    (0xd01, "Cortex-A32"),
    (0xd03, "Cortex-A53"),
    (0xd04, "Cortex-A35"),
    (0xd05, "Cortex-A55"),
    (0xd07, "Cortex-A57"),
    (0xd08, "Cortex-A72"),
    (0xd09, "Cortex-A73"),
    (0xd0a, "Cortex-A75"),
    (0xd0b, "Cortex-A76"),
    (0xd0c, "Neoverse-N1"),
    (0xd0d, "Cortex-A77"),
    (0xd40, "Neoverse-V1"),
    (0xd41, "Cortex-A78"),
    (0xd42, "Cortex-A78AE"),
    (0xd44, "Cortex-X1"),
    (0xd46, "Cortex-A510"),
    (0xd47, "Cortex-A710"),
    (0xd48, "Cortex-X2"),
    (0xd49, "Neoverse-N2"),
    (0xd4b, "Cortex-A78C"),
    (0xd4d, "Cortex-A715"),
    (0xd4f, "Neoverse-V2"),
    (0xd80, "Cortex-A520"),
];

impl Sysfs {
    /// Reads `/proc/cpuinfo` and the device tree.
    pub fn cpu(&self) -> CpuInfo {
        let cpuinfo = text(&self.path("proc/cpuinfo")).unwrap_or_default();
        let cores: Vec<Core<'_>> = cpuinfo.split("\n\n").filter_map(Core::parse).collect();
        let everywhere =
            |feature: &&str| !cores.is_empty() && cores.iter().all(|core| core.has(feature));
        CpuInfo {
            arch: std::env::consts::ARCH.into(),
            model: model(&cores),
            board: text(&self.path("proc/device-tree/model")),
            cores: cores.len(),
            features: FEATURES
                .iter()
                .copied()
                .filter(everywhere)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// One block of `/proc/cpuinfo`.
struct Core<'a> {
    model_name: Option<&'a str>,
    implementer: Option<u16>,
    part: Option<u16>,
    flags: Vec<&'a str>,
}

impl<'a> Core<'a> {
    /// `None` for a block that describes no core (ARM kernels add one for the
    /// board).
    fn parse(block: &'a str) -> Option<Self> {
        let value = |key: &str| {
            let mut pairs = block.lines().filter_map(|line| line.split_once(':'));
            pairs
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim())
        };
        value("processor")?;
        let hex = |key| u16::from_str_radix(value(key)?.trim_start_matches("0x"), 16).ok();
        let flags = value("flags")
            .or_else(|| value("Features"))
            .unwrap_or_default();
        Some(Self {
            model_name: value("model name").filter(|name| !name.is_empty()),
            implementer: hex("CPU implementer"),
            part: hex("CPU part"),
            flags: flags.split_whitespace().collect(),
        })
    }

    fn has(&self, feature: &str) -> bool {
        self.flags.contains(&feature)
    }

    fn name(&self) -> Option<String> {
        if let (Some(implementer), Some(part)) = (self.implementer, self.part) {
            let known = ARM_PARTS
                .iter()
                .find(|&&(number, _)| implementer == 0x41 && number == part);
            return Some(known.map_or_else(
                || format!("ARM core {implementer:#04x}/{part:#05x}"),
                |&(_, name)| name.into(),
            ));
        }
        self.model_name.map(str::to_owned)
    }
}

/// `4x Cortex-A55, 4x Cortex-A76`; on x86 the name alone, which all cores share.
fn model(cores: &[Core<'_>]) -> Option<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for name in cores.iter().filter_map(Core::name) {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let is_arm = cores.iter().any(|core| core.part.is_some());
    let names = counts
        .into_iter()
        .map(|(name, count)| match (is_arm, count) {
            (true, count) => format!("{count}x {name}"),
            (false, _) => name,
        });
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;

    #[test]
    fn a_raspberry_pi_5() {
        let core = "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp\n\
                    CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n";
        let cpuinfo = format!("{}Revision\t: d04170\nModel\t: x\n", core.repeat(4));
        let board = "Raspberry Pi 5 Model B Rev 1.0\0";
        let (_folder, sysfs) = tree(&[
            ("proc/cpuinfo", &cpuinfo),
            ("proc/device-tree/model", board),
        ]);
        let cpu = sysfs.cpu();
        assert_eq!(cpu.model.as_deref(), Some("4x Cortex-A76"));
        assert_eq!(cpu.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(cpu.cores, 4);
        assert_eq!(cpu.features, ["asimd", "asimdhp", "asimddp"]);
    }

    #[test]
    fn a_feature_of_some_cores_does_not_count() {
        let cpuinfo = "processor: 0\nFeatures: asimd\nCPU implementer: 0x41\nCPU part: 0xd03\n\n\
                       processor: 1\nFeatures: asimd asimddp\nCPU implementer: 0x51\nCPU part: 0x1\n";
        let (_folder, sysfs) = tree(&[("proc/cpuinfo", cpuinfo)]);
        assert_eq!(sysfs.cpu().features, ["asimd"]);
        assert_eq!(
            sysfs.cpu().model.as_deref(),
            Some("1x Cortex-A53, 1x ARM core 0x51/0x001")
        );
    }

    #[test]
    fn a_pc() {
        let core =
            "processor : 0\nmodel name : Fast CPU @ 3 GHz\nflags : fpu avx2 avx_vnni fma\n\n";
        let (_folder, sysfs) = tree(&[("proc/cpuinfo", &core.repeat(2))]);
        let cpu = sysfs.cpu();
        assert_eq!(cpu.model.as_deref(), Some("Fast CPU @ 3 GHz"));
        assert_eq!(cpu.features, ["fma", "avx2", "avx_vnni"]);
    }
}
