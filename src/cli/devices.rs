//! `atrous devices`.

use std::fmt::{self, Write};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use atrous::board::Board;
use atrous::devices::{
    CpuFreq, CpuInfo, CudaPiece, DisplayInfo, GpuInfo, MemoryInfo, Sysfs, ThermalZone,
};
use atrous::engine::device::cuda;
use atrous::gpio::{self, ChipInfo};
use atrous::source::v4l2::{self, CameraInfo, ControlInfo, ControlKind};

use super::warm::Cache;
use super::{Global, output, runtime};

/// Arguments of `atrous devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Every line of every GPIO chip, too.
    #[arg(long)]
    lines: bool,
    /// The boards this program knows, and the pins of the one it runs on.
    #[arg(long)]
    boards: bool,
}

#[derive(Serialize)]
struct Report {
    board: String,
    cpu: CpuInfo,
    memory: MemoryInfo,
    clocks: Vec<CpuFreq>,
    temperatures: Vec<ThermalZone>,
    cameras: Vec<CameraInfo>,
    displays: Vec<DisplayInfo>,
    gpu: Option<GpuInfo>,
    cuda: Cuda,
    gpio: Vec<ChipInfo>,
}

/// What is there of CUDA.
#[derive(Serialize)]
struct Cuda {
    /// The level this build was made for; `None` in one without CUDA.
    built_for: Option<(u32, u32)>,
    pieces: Vec<CudaPiece>,
    cache: Option<Cache>,
}

/// Lists what this machine has.
pub fn run(args: &DevicesArgs, global: &Global) -> Result<()> {
    let board = Board::detect()?;
    let sysfs = Sysfs::default();
    let report = Report {
        board: board.name.clone(),
        cpu: sysfs.cpu(),
        memory: sysfs.memory(),
        clocks: sysfs.governors(),
        temperatures: sysfs.thermal(),
        cameras: v4l2::cameras(),
        displays: sysfs.displays(),
        gpu: sysfs.gpu(),
        cuda: Cuda {
            built_for: cuda::level(),
            pieces: runtime::pieces(),
            cache: Cache::find(),
        },
        gpio: gpio::chips()?,
    };
    if global.json {
        return output::print_json(&report);
    }
    let mut text = String::new();
    if args.boards {
        boards(&mut text, &board)?;
    } else {
        machine(&mut text, &board, &report)?;
        cameras(&mut text, &report.cameras)?;
        displays(&mut text, &report.displays)?;
        gpu(&mut text, report.gpu.as_ref(), &report.cuda)?;
        chips(&mut text, &report.gpio, args.lines)?;
    }
    output::print(&text)
}

fn machine(out: &mut String, board: &Board, report: &Report) -> fmt::Result {
    let cpu = &report.cpu;
    let model = cpu.model.as_deref().unwrap_or("unknown processor");
    writeln!(out, "board     {} ({})", board.title, board.name)?;
    writeln!(out, "cpu       {model}, {}, {} cores", cpu.arch, cpu.cores)?;
    writeln!(
        out,
        "          {}",
        list(&cpu.features, "no features known")
    )?;
    if let Some(total) = report.memory.total_bytes {
        let free = report.memory.available_bytes.unwrap_or_default();
        let (total, free) = (total >> 20, free >> 20);
        writeln!(out, "memory    {total} MiB, {free} MiB available")?;
    }
    for clock in &report.clocks {
        let mhz = |v: Option<u32>| v.map_or("?".into(), |v| v.to_string());
        writeln!(
            out,
            "clock     {}: {} MHz now, {} to {}, governor {}",
            clock.policy,
            mhz(clock.current_mhz),
            mhz(clock.min_mhz),
            mhz(clock.max_mhz),
            clock.governor.as_deref().unwrap_or("unknown")
        )?;
    }
    for zone in &report.temperatures {
        if let Some(celsius) = zone.celsius {
            writeln!(out, "heat      {}: {celsius:.1} C", zone.kind)?;
        }
    }
    Ok(())
}

fn cameras(out: &mut String, cameras: &[CameraInfo]) -> fmt::Result {
    if cameras.is_empty() {
        writeln!(out, "cameras   none (nothing under /dev/video*)")?;
    }
    for camera in cameras {
        writeln!(out, "camera    {}: {}", camera.path, identity(camera))?;
        for link in &camera.links {
            writeln!(out, "          {link}")?;
        }
        if let Some(error) = &camera.problem {
            writeln!(out, "          {error}")?;
        }
        for format in camera.formats.iter().filter(|format| format.readable) {
            writeln!(out, "          {} {}", format.fourcc, format.description)?;
            for size in &format.sizes {
                writeln!(
                    out,
                    "            {} at {} fps",
                    size.size,
                    size.rates.join(", ")
                )?;
            }
        }
        let others = camera.formats.iter().filter(|format| !format.readable);
        let others: Vec<&str> = others.map(|format| format.fourcc.as_str()).collect();
        if !others.is_empty() {
            writeln!(out, "          not understood: {}", others.join(", "))?;
        }
        let settable = |control: &&ControlInfo| control.kind != ControlKind::Other;
        if camera.controls.iter().any(|control| settable(&control)) {
            writeln!(out, "          controls")?;
        }
        for listed in camera.controls.iter().filter(settable) {
            writeln!(out, "            {}", control(listed))?;
        }
    }
    Ok(())
}

/// A line such as `gain = 64 (default 32): 0 to 255`.
fn control(control: &ControlInfo) -> String {
    let text = |value| control.value_text(value);
    let mut line = control.name.clone();
    if let Some(current) = control.current {
        line += &format!(" = {}", text(current));
        if current != control.default {
            line += &format!(" (default {})", text(control.default));
        }
    }
    line += &format!(": {}", control.range());
    for (state, is_so) in [
        ("read only", control.read_only),
        ("inactive", control.inactive),
        ("in use", control.grabbed),
    ] {
        if is_so {
            line += &format!(", {state}");
        }
    }
    line
}

/// Who a camera says it is; one that could not be asked has its problem on the next
/// line.
fn identity(camera: &CameraInfo) -> String {
    match (camera.card.as_str(), camera.driver.as_str()) {
        ("", "") => "did not say what it is".into(),
        (card, driver) => format!("{card} ({driver})"),
    }
}

fn displays(out: &mut String, displays: &[DisplayInfo]) -> fmt::Result {
    if displays.is_empty() {
        writeln!(out, "displays  none")?;
    }
    for display in displays {
        let state = match display.connected {
            Some(true) => "connected",
            Some(false) => "no monitor",
            None => "state unknown",
        };
        let mode = display
            .modes
            .first()
            .map_or(String::new(), |m| format!(", {m}"));
        writeln!(
            out,
            "display   {} ({}): {state}{mode}",
            display.name, display.device
        )?;
    }
    Ok(())
}

/// A machine that has no NVIDIA GPU, with a build that could not use one, is not bothered
/// with what of CUDA it lacks.
fn gpu(out: &mut String, gpu: Option<&GpuInfo>, cuda: &Cuda) -> fmt::Result {
    match gpu {
        None => writeln!(out, "gpu       none (no NVIDIA driver shows one)")?,
        Some(gpu) => {
            let unknown = || "unknown".to_owned();
            writeln!(
                out,
                "gpu       {}, driver {}",
                gpu.name.clone().unwrap_or_else(unknown),
                gpu.driver.clone().unwrap_or_else(unknown)
            )?;
            if let Some(release) = &gpu.jetson_linux {
                writeln!(out, "          Jetson Linux {release}")?;
            }
            writeln!(out, "          {}", gpu.nodes.join(", "))?;
        }
    }
    match cuda.built_for {
        Some((major, minor)) => writeln!(out, "cuda      built for {major}.{minor}")?,
        None if gpu.is_some() => writeln!(out, "cuda      this build has none")?,
        None => return Ok(()),
    }
    for piece in &cuda.pieces {
        writeln!(out, "          {}", runtime::line(piece))?;
    }
    if let Some(cache) = &cuda.cache {
        writeln!(out, "          {cache}")?;
    }
    Ok(())
}

fn chips(out: &mut String, chips: &[ChipInfo], lines: bool) -> fmt::Result {
    if chips.is_empty() {
        writeln!(out, "gpio      none (nothing at /dev/gpiochip*)")?;
    }
    for chip in chips {
        let label = chip.label.as_deref().unwrap_or("?");
        writeln!(
            out,
            "gpio      {label} at {}: {} lines",
            chip.path.display(),
            chip.lines.len()
        )?;
        if let Some(error) = &chip.error {
            writeln!(out, "          {error}")?;
        }
        for line in chip.lines.iter().filter(|_| lines) {
            let name = line.name.as_deref().unwrap_or("-");
            let user = match (&line.consumer, line.used) {
                (Some(consumer), _) => format!(", used by {consumer}"),
                (None, true) => ", in use".into(),
                (None, false) => String::new(),
            };
            writeln!(out, "          {:3} {name}{user}", line.line)?;
        }
    }
    Ok(())
}

fn boards(out: &mut String, board: &Board) -> fmt::Result {
    for name in Board::names() {
        writeln!(
            out,
            "{name}{}",
            if name == board.name {
                "  (this one)"
            } else {
                ""
            }
        )?;
    }
    for pin in &board.pins {
        writeln!(
            out,
            "  pin {:2}  {:<12} {}:{}",
            pin.header, pin.name, pin.chip, pin.line
        )?;
    }
    Ok(())
}

fn list(words: &[String], none: &str) -> String {
    if words.is_empty() {
        none.to_owned()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atrous::source::v4l2::FormatInfo;

    fn camera(card: &str, driver: &str, problem: Option<&str>) -> CameraInfo {
        CameraInfo {
            path: "/dev/video7".into(),
            card: card.into(),
            driver: driver.into(),
            bus: String::new(),
            links: Vec::new(),
            formats: Vec::new(),
            controls: Vec::new(),
            problem: problem.map(Into::into),
        }
    }

    #[test]
    fn a_camera_without_permission_says_what_to_do() {
        let mut text = String::new();
        let problem = "permission denied; join the group 'video'";
        cameras(&mut text, &[camera("", "", Some(problem))]).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            ["camera    /dev/video7: did not say what it is", problem]
        );
        text.clear();
        let mut plain = camera("HD Cam", "uvcvideo", None);
        cameras(&mut text, std::slice::from_ref(&plain)).unwrap();
        assert_eq!(text, "camera    /dev/video7: HD Cam (uvcvideo)\n");
        // What atrous cannot read is named, no more.
        let format = |fourcc: &str, readable| FormatInfo {
            fourcc: fourcc.into(),
            description: "a format".into(),
            readable,
            sizes: Vec::new(),
        };
        plain.formats = vec![
            format("H264", false),
            format("YUYV", true),
            format("HEVC", false),
        ];
        text.clear();
        cameras(&mut text, &[plain]).unwrap();
        assert!(
            text.ends_with("YUYV a format\n          not understood: H264, HEVC\n"),
            "{text}"
        );
    }
}
