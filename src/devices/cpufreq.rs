//! Clock rates of the cores and who governs them.

use serde::Serialize;

use super::{Sysfs, is_numbered, number, text};

/// A set of cores that share a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuFreq {
    /// The policy's name, such as `policy0`.
    pub policy: String,
    /// Its cores as the kernel lists them, such as `0 1 2 3`.
    pub cpus: Option<String>,
    /// The governor, such as `ondemand` or `performance`.
    pub governor: Option<String>,
    /// The clock now, in MHz.
    pub current_mhz: Option<u32>,
    /// The slowest clock, in MHz.
    pub min_mhz: Option<u32>,
    /// The fastest clock, in MHz.
    pub max_mhz: Option<u32>,
}

impl Sysfs {
    /// Every clock policy; empty where the kernel or a hypervisor keeps them to
    /// itself.
    pub fn governors(&self) -> Vec<CpuFreq> {
        let folder = "sys/devices/system/cpu/cpufreq";
        let policies = self.entries(folder, |name| is_numbered(name, "policy"));
        let read = policies.into_iter().map(|(policy, path)| {
            // The kernel tells kHz.
            let mhz = |file: &str| number::<u32>(&path.join(file)).map(|khz| khz / 1000);
            CpuFreq {
                cpus: text(&path.join("affected_cpus")),
                governor: text(&path.join("scaling_governor")),
                current_mhz: mhz("scaling_cur_freq"),
                min_mhz: mhz("cpuinfo_min_freq"),
                max_mhz: mhz("cpuinfo_max_freq"),
                policy,
            }
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;

    #[test]
    fn policies_are_read_in_order() {
        let (_folder, sysfs) = tree(&[
            (
                "sys/devices/system/cpu/cpufreq/policy10/scaling_governor",
                "performance\n",
            ),
            (
                "sys/devices/system/cpu/cpufreq/policy4/scaling_governor",
                "ondemand\n",
            ),
            (
                "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq",
                "1500000\n",
            ),
            (
                "sys/devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq",
                "2400000\n",
            ),
            (
                "sys/devices/system/cpu/cpufreq/policy4/affected_cpus",
                "4 5\n",
            ),
            ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ]);
        let policies = sysfs.governors();
        assert_eq!(policies.len(), 2);
        assert_eq!(policies[0].policy, "policy4");
        assert_eq!(policies[0].governor.as_deref(), Some("ondemand"));
        assert_eq!(policies[0].cpus.as_deref(), Some("4 5"));
        assert_eq!(
            (policies[0].current_mhz, policies[0].max_mhz),
            (Some(1500), Some(2400))
        );
        assert_eq!(policies[0].min_mhz, None);
    }
}
