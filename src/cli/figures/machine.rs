//! How the machine bears up: what decides whether figures of one minute hold for the
//! next.

use atrous::devices::{CpuFreq, Sysfs, ThermalZone, Throttle};
use serde::Serialize;

/// What the machine says of itself; `None` where it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Machine {
    /// The hottest sensor, in °C.
    pub celsius: Option<f32>,
    /// The clock of the fastest cores now, in MHz.
    pub mhz: Option<u32>,
    /// Whether the machine slows itself down: now, by a Raspberry Pi's firmware; since
    /// the reading before, by a PC's counters.
    pub throttled: Option<bool>,
}

/// Reads the machine again and again.
#[derive(Debug, Default)]
pub struct Reader {
    sysfs: Sysfs,
    /// Thermal events counted at the reading before.
    events: Option<u64>,
}

impl Reader {
    /// Reads now.
    pub fn read(&mut self) -> Machine {
        let throttled = self.sysfs.throttled().and_then(|t| self.is_throttled(&t));
        Machine {
            celsius: hottest(&self.sysfs.thermal()),
            mhz: fastest(&self.sysfs.governors()),
            throttled,
        }
    }

    fn is_throttled(&mut self, throttle: &Throttle) -> Option<bool> {
        match throttle {
            Throttle::Firmware { .. } => Some(throttle.is_active()),
            Throttle::Counters { core, package } => {
                let events = core.saturating_add(*package);
                self.events.replace(events).map(|before| events > before)
            }
        }
    }
}

fn hottest(zones: &[ThermalZone]) -> Option<f32> {
    let known = zones.iter().filter_map(|zone| zone.celsius);
    known.max_by(f32::total_cmp)
}

fn fastest(policies: &[CpuFreq]) -> Option<u32> {
    policies
        .iter()
        .filter_map(|policy| policy.current_mhz)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_sensor_counts_and_one_that_is_off_does_not() {
        let zone = |celsius| ThermalZone {
            kind: "cpu".into(),
            celsius,
            trips: Vec::new(),
        };
        assert_eq!(hottest(&[]), None);
        let zones = [zone(Some(40.0)), zone(None), zone(Some(61.5))];
        assert_eq!(hottest(&zones), Some(61.5));
    }

    #[test]
    fn a_pc_is_throttled_while_its_counters_grow() {
        let mut reader = Reader::default();
        let counted = |core| Throttle::Counters { core, package: 1 };
        assert_eq!(reader.is_throttled(&counted(5)), None);
        assert_eq!(reader.is_throttled(&counted(5)), Some(false));
        assert_eq!(reader.is_throttled(&counted(6)), Some(true));
        let firmware = Throttle::from_firmware(4);
        assert_eq!(reader.is_throttled(&firmware), Some(true));
    }
}
