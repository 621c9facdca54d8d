//! Temperatures.

use std::path::Path;

use serde::Serialize;

use super::{Sysfs, is_numbered, number, text};

/// A temperature at which the kernel does something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TripPoint {
    /// What it does: `passive` and `active` cool, `hot` warns, `critical` shuts
    /// down.
    pub kind: String,
    /// The temperature in °C.
    pub celsius: f32,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThermalZone {
    /// What it measures, such as `cpu-thermal`.
    pub kind: String,
    /// The temperature in °C; `None` where the sensor is off or fails.
    pub celsius: Option<f32>,
    /// Where the kernel reacts, in its order.
    pub trips: Vec<TripPoint>,
}

impl Sysfs {
    /// Every thermal zone.
    pub fn thermal(&self) -> Vec<ThermalZone> {
        let zones = self.entries("sys/class/thermal", |name| {
            is_numbered(name, "thermal_zone")
        });
        let read = zones.into_iter().map(|(name, path)| ThermalZone {
            kind: text(&path.join("type")).unwrap_or(name),
            celsius: celsius(&path.join("temp")),
            trips: trips(&path),
        });
        read.collect()
    }
}

fn trips(zone: &Path) -> Vec<TripPoint> {
    // Numbered without gaps.
    let points = (0..).map_while(|i| {
        let kind = text(&zone.join(format!("trip_point_{i}_type")))?;
        Some((kind, celsius(&zone.join(format!("trip_point_{i}_temp")))))
    });
    // A point that is switched off has a temperature no chip reaches.
    let real = |celsius: &f32| (-100.0..=250.0).contains(celsius);
    points
        .filter_map(|(kind, celsius)| {
            Some(TripPoint {
                kind,
                celsius: celsius.filter(real)?,
            })
        })
        .collect()
}

/// The kernel tells thousandths.
fn celsius(path: &Path) -> Option<f32> {
    number::<i32>(path).map(|thousandths| thousandths as f32 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn zones_and_trips_are_read() {
        let (_folder, sysfs) = tree(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "51850\n"),
            (
                "sys/class/thermal/thermal_zone0/trip_point_0_type",
                "critical\n",
            ),
            (
                "sys/class/thermal/thermal_zone0/trip_point_0_temp",
                "110000\n",
            ),
            (
                "sys/class/thermal/thermal_zone0/trip_point_1_type",
                "active\n",
            ),
            (
                "sys/class/thermal/thermal_zone0/trip_point_1_temp",
                "-274000\n",
            ),
            ("sys/class/thermal/thermal_zone1/temp", "no\n"),
            ("sys/class/thermal/cooling_device0/type", "pwm-fan\n"),
        ]);
        let zones = sysfs.thermal();
        assert_eq!(zones.len(), 2);
        let critical = TripPoint {
            kind: "critical".into(),
            celsius: 110.0,
        };
        assert_eq!(
            (zones[0].celsius, &zones[0].trips),
            (Some(51.85), &vec![critical])
        );
        assert_eq!(
            (zones[1].kind.as_str(), zones[1].celsius),
            ("thermal_zone1", None)
        );
    }
}
