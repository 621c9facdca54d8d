//! Whether the machine has slowed itself down.

use std::path::Path;

use serde::Serialize;

use super::{Sysfs, is_numbered, number, text};

/// How the machine says that it slows, or has slowed, itself down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Throttle {
    /// The Raspberry Pi's firmware.
    Firmware {
        /// The word as read.
        bits: u32,
        /// What is the case now.
        now: Vec<String>,
        /// What has been the case at some time since power-on.
        since_boot: Vec<String>,
    },
    /// Counts of a PC's processor since power-on.
    Counters {
        /// Thermal events of the core that had most.
        core: u64,
        /// Thermal events of the processor as a whole.
        package: u64,
    },
}

/// The firmware's bits; the same meaning 16 bits higher is "has occurred".
const MEANINGS: [&str; 4] = [
    "under-voltage (the power supply or its cable is too weak)",
    "clock capped (because of the voltage or the temperature)",
    "throttled (too hot, or too little power)",
    "soft temperature limit (better cooling keeps the clock up)",
];

impl Throttle {
    /// Decodes the firmware's word.
    pub fn from_firmware(bits: u32) -> Self {
        let set = |shift: usize| {
            let meanings = MEANINGS.iter().enumerate();
            let set = meanings.filter(|(bit, _)| (bits >> (bit + shift)) & 1 == 1);
            set.map(|(_, &meaning)| meaning.to_owned()).collect()
        };
        Self::Firmware {
            bits,
            now: set(0),
            since_boot: set(16),
        }
    }

    /// Whether measurements of now, or of this run, are not to be trusted.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Firmware { now, .. } if !now.is_empty())
    }
}

impl Sysfs {
    /// The firmware's word on a Raspberry Pi, else the processor's counters;
    /// `None` where the machine tells neither.
    pub fn throttled(&self) -> Option<Throttle> {
        self.firmware_throttle().or_else(|| self.counted_throttle())
    }

    fn firmware_throttle(&self) -> Option<Throttle> {
        // Models differ in the address after the `@`.
        let buses = self.entries("sys/devices/platform", |name| {
            name == "soc" || name.starts_with("soc@")
        });
        let places = buses
            .iter()
            .map(|(_, bus)| bus.join("soc:firmware/get_throttled"));
        let word = places.chain([self.path("sys/devices/platform/firmware/get_throttled")]);
        let word = word.map(|path| text(&path)).find_map(|word| word)?;
        let bits = u32::from_str_radix(word.trim_start_matches("0x"), 16).ok()?;
        Some(Throttle::from_firmware(bits))
    }

    fn counted_throttle(&self) -> Option<Throttle> {
        let cpus = self.entries("sys/devices/system/cpu", |name| is_numbered(name, "cpu"));
        let most = |file: &str| {
            let count = |cpu: &Path| number::<u64>(&cpu.join("thermal_throttle").join(file));
            cpus.iter().filter_map(|(_, cpu)| count(cpu)).max()
        };
        let (core, package) = (most("core_throttle_count"), most("package_throttle_count"));
        (core.is_some() || package.is_some()).then(|| Throttle::Counters {
            core: core.unwrap_or(0),
            package: package.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn a_raspberry_pi_says_why() {
        for path in ["soc/soc:firmware", "soc@107c000000/soc:firmware"] {
            let path = format!("sys/devices/platform/{path}/get_throttled");
            let (_folder, sysfs) = tree(&[(&path, "50005\n")]);
            let throttle = sysfs.throttled().unwrap();
            assert!(throttle.is_active());
            let Throttle::Firmware {
                bits,
                now,
                since_boot,
            } = throttle
            else {
                panic!("{throttle:?}")
            };
            assert_eq!(bits, 0x5_0005);
            assert!(now.len() == 2 && now[0].contains("voltage") && now[1].contains("throttled"));
            assert_eq!(now, since_boot);
        }
        assert!(!Throttle::from_firmware(0x4_0000).is_active());
    }

    #[test]
    fn a_pc_counts() {
        let (_folder, sysfs) = tree(&[
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
                "3\n",
            ),
            (
                "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
                "7\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
                "5\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count",
                "7\n",
            ),
        ]);
        assert_eq!(
            sysfs.throttled(),
            Some(Throttle::Counters {
                core: 5,
                package: 7
            })
        );
    }

    #[test]
    fn it_serializes_flat() {
        let json = serde_json::to_string(&Throttle::from_firmware(0)).unwrap();
        assert_eq!(
            json,
            r#"{"source":"firmware","bits":0,"now":[],"since_boot":[]}"#
        );
    }
}
