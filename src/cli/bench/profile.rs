//! What each operation and each class of them took, beside the least it can take.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use atrous::engine::program::Options;
use atrous::kernels::cpu::Tier;
use atrous::program::Program;

use super::super::ops::{OpRow, op_rows};
use super::calibration;
use super::ceilings::Ceilings;
use super::ms;
use super::reason::{EXPLAINED_ABOVE, why};
use super::totals::{Sample, Totals};
use super::work::{Class, Work};

/// Where the time of a program goes.
#[derive(Serialize)]
pub struct Profile {
    ops: Vec<Timed>,
    classes: Vec<ClassRow>,
    ceilings: Ceilings,
    #[serde(skip)]
    threads: usize,
}

/// An operation and what it took.
#[derive(Serialize)]
struct Timed {
    #[serde(flatten)]
    row: OpRow,
    class: Class,
    ms: f64,
}

/// The operations of a class.
#[derive(Serialize)]
struct ClassRow {
    class: Class,
    ops: usize,
    macs: u64,
    bytes: u64,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// Only far above the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl ClassRow {
    fn of(totals: &Totals, threads: usize) -> Self {
        Self {
            class: totals.class,
            ops: totals.ops,
            macs: totals.macs,
            bytes: totals.bytes,
            ms: totals.ms,
            floor_ms: totals.floor_ms,
            ratio: totals.ratio(),
            why: why(totals, threads),
        }
    }
}

impl Profile {
    /// The profile of a program whose operations took so long, with these kernels; and
    /// measures what the machine can do with them at most.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    pub fn new(
        program: &Program,
        kernels: &[&'static str],
        times: &[Duration],
        options: Options,
    ) -> std::io::Result<Self> {
        let works: Vec<Work> = program.ops.iter().map(|op| Work::of(program, op)).collect();
        let largest = works.iter().map(|work| work.bytes).max().unwrap_or(0);
        let ceilings = calibration::measure(options, largest)?;
        let named = works.iter().zip(kernels).zip(times);
        let samples: Vec<Sample> = named
            .map(|((&work, kernel), &time)| Sample {
                work,
                is_portable: kernel.ends_with(Tier::Scalar.name()),
                time,
            })
            .collect();
        let rows = op_rows(program, kernels).into_iter().zip(&samples);
        Ok(Self {
            ops: rows
                .map(|(row, sample)| Timed {
                    row,
                    class: sample.work.class,
                    ms: ms(sample.time),
                })
                .collect(),
            classes: Totals::by_class(&samples, &ceilings)
                .iter()
                .map(|totals| ClassRow::of(totals, options.threads))
                .collect(),
            ceilings,
            threads: options.threads,
        })
    }

    /// A line for each operation, one for each class with its floor, what the floors are,
    /// and why a class is far above its own.
    pub fn write(&self, out: &mut String) -> Result<()> {
        let total: f64 = self.ops.iter().map(|op| op.ms).sum();
        writeln!(
            out,
            "{:<12} {:<14} {:<28} {:>8} {:>8} {:>5} {:>6}",
            "operation", "shape", "kernel", "MMAC", "ms", "%", "GOP/s"
        )?;
        for Timed { row, ms, .. } in &self.ops {
            let [height, width, channels] = row.shape;
            writeln!(
                out,
                "{:<12} {:<14} {:<28} {}",
                row.kind,
                format!("{height}x{width}x{channels}"),
                row.kernel,
                figures(row.macs, *ms, total)
            )?;
        }
        writeln!(
            out,
            "\n{:<12} {:<10} {:>8} {:>8} {:>5} {:>6} {:>9} {:>6}",
            "class", "operations", "MMAC", "ms", "%", "GOP/s", "floor ms", "ratio"
        )?;
        for row in &self.classes {
            let figures = figures(row.macs, row.ms, total);
            let name = row.class.name();
            write_class(out, name, row.ops, &figures, row.floor_ms, row.ms)?;
        }
        let floors: Option<f64> = self.classes.iter().map(|row| row.floor_ms).sum();
        let macs = self.classes.iter().map(|row| row.macs).sum();
        write_class(
            out,
            "all",
            self.ops.len(),
            &figures(macs, total, total),
            floors,
            total,
        )?;
        self.write_floors(out)?;
        for row in &self.classes {
            if let Some(why) = &row.why {
                writeln!(
                    out,
                    "{} above {EXPLAINED_ABOVE} times its floor: {why}",
                    row.class.name()
                )?;
            }
        }
        writeln!(out)?;
        Ok(())
    }

    /// What the floors are made of.
    fn write_floors(&self, out: &mut String) -> Result<()> {
        let threads = match self.threads {
            1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        };
        writeln!(
            out,
            "floor: operation by operation the more of its products at the peak and its bytes, \
             read and written, at a copy's speed"
        )?;
        match &self.ceilings.peak {
            Some(peak) => writeln!(
                out,
                "  peak {:.0} GOP/s: practical peak of {}, measured now on an ideal shape \
                 ({} pixels, {} to {} channels), {threads}",
                peak.gops, peak.kernel, peak.shape.pixels, peak.shape.inputs, peak.shape.outputs
            )?,
            None => writeln!(
                out,
                "  peak unknown: scalar kernels have no instructions of their own to measure, so \
                 convolutions have no floor"
            )?,
        }
        let copies = &self.ceilings.copies;
        let copies: Vec<String> = copies
            .iter()
            .map(|copy| format!("{:.0} ({} KiB)", copy.gb_per_s, copy.working_set >> 10))
            .collect();
        writeln!(
            out,
            "  copy {} GB/s by working set, measured now, {threads}",
            copies.join(", ")
        )?;
        Ok(())
    }
}

/// A line of the table of classes.
fn write_class(
    out: &mut String,
    name: &str,
    ops: usize,
    figures: &str,
    floor_ms: Option<f64>,
    ms: f64,
) -> Result<()> {
    let (floor, ratio) = match floor_ms {
        Some(floor) => (format!("{floor:.3}"), format!("{:.1}", ms / floor)),
        None => ("-".into(), "-".into()),
    };
    writeln!(out, "{name:<12} {ops:<10} {figures} {floor:>9} {ratio:>6}")?;
    Ok(())
}

/// Multiplications, time, share of all, and speed.
fn figures(macs: u64, ms: f64, total: f64) -> String {
    let speed = match macs {
        0 => "-".to_owned(),
        _ => format!("{:.0}", 2e-6 * macs as f64 / ms),
    };
    format!(
        "{:>8.2} {ms:>8.3} {:>5.1} {speed:>6}",
        macs as f64 / 1e6,
        100.0 * ms / total
    )
}
