//! `atrous doctor`.

use std::fmt::{self, Write};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use serde::Serialize;

use atrous::devices::{CpuFreq, DeviceGroups, DisplayInfo, GpuInfo, Sysfs, ThermalZone, Throttle};
use atrous::engine::device::cuda;
use atrous::engine::program::Options;
use atrous::gpio;
use atrous::mask::Mask;
use atrous::model::bundled;
use atrous::preprocess::{PAD, Placement, Preprocessor};
use atrous::realtime::{self, Rights};
use atrous::sink::score;
use atrous::source::{Next, open, v4l2};

use super::import::{ImportLimits, Importer};
use super::output::{self, visible};
use super::runtime::{self, Wanted};
use super::warm::Cache;
use super::{Global, model};

/// The scene of the model's self-check.
const SCENE: &str = "synthetic://road?seed=1&size=640x480&pace=demand&frames=1";

/// Share of the scene's pixels that a street model must get right to be taken
/// for working. A model that sees nothing scores about 0.3: the largest class.
const WORKING: f64 = 0.6;

/// A processor this hot is close to slowing down, in degrees Celsius. Raspberry
/// Pis start at 80, Jetsons a little higher.
const HOT: f32 = 75.0;

/// Arguments of `atrous doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Model to check: a built-in name, a model.toml, its folder, or an ONNX file.
    #[arg(short, long)]
    model: Option<String>,
    #[command(flatten)]
    limits: ImportLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    /// What to type or do, where something is not right.
    fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            found: found.into(),
            fix: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, fix: &str) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, fix: &str) -> Self {
        Self {
            name,
            verdict: Verdict::Fail,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }
}

/// Runs every check; an error where one failed.
pub fn run(args: &DoctorArgs, global: &Global) -> Result<()> {
    let sysfs = Sysfs::default();
    let groups = sysfs.user_groups();
    let checks = vec![
        cpu(&sysfs),
        cameras(&groups),
        gpio_chips(&groups),
        displays(&sysfs.displays(), &groups),
        gpu(sysfs.gpu()),
        governor(&sysfs.governors()),
        temperature(&sysfs.thermal()),
        throttling(sysfs.throttled()),
        realtime(&Rights::find()),
        model_check(args.model.as_deref(), &args.limits.importer(global)),
    ];
    if global.json {
        output::print_json(&serde_json::json!({ "checks": checks }))?;
    } else {
        let mut text = String::new();
        for check in &checks {
            write(&mut text, check, global.colour_stdout())?;
        }
        output::print_coloured(&text)?;
    }
    let failed = checks.iter().filter(|c| c.verdict == Verdict::Fail).count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(())
}

fn write(out: &mut String, check: &Check, colour: bool) -> fmt::Result {
    let (word, code) = match check.verdict {
        Verdict::Ok => ("ok  ", 32),
        Verdict::Warn => ("warn", 33),
        Verdict::Fail => ("FAIL", 31),
    };
    let word = if colour {
        format!("\x1b[{code}m{word}\x1b[0m")
    } else {
        word.to_owned()
    };
    writeln!(out, "{word}  {:<12} {}", check.name, visible(&check.found))?;
    if let Some(fix) = &check.fix {
        writeln!(out, "      {:<12} -> {fix}", "")?;
    }
    Ok(())
}

fn cpu(sysfs: &Sysfs) -> Check {
    let cpu = sysfs.cpu();
    let model = cpu.model.unwrap_or_else(|| cpu.arch.clone());
    Check::ok("cpu", format!("{model}, {} cores", cpu.cores))
}

fn cameras(groups: &[String]) -> Check {
    let cameras = v4l2::cameras();
    let usable = cameras.iter().filter(|c| c.problem.is_none());
    let usable: Vec<String> = usable.map(|c| c.path.clone()).collect();
    if !usable.is_empty() {
        return Check::ok("cameras", usable.join(", "));
    }
    match cameras
        .iter()
        .find_map(|c| c.problem.as_deref().map(|e| (c, e)))
    {
        Some((camera, error)) if !in_group(groups, |g| g.video) => Check::fail(
            "cameras",
            format!("{}: {error}", camera.path),
            "sudo usermod -aG video $USER, then log in again",
        ),
        Some((camera, error)) => Check::warn(
            "cameras",
            format!("{}: {error}", camera.path),
            "`atrous devices` shows what each one says",
        ),
        None => Check::warn(
            "cameras",
            "none",
            "plug one in; a Pi's CSI camera: rpicam-vid -t 0 --codec mjpeg -o - | \
             atrous run '-?pace=live'",
        ),
    }
}

fn in_group(groups: &[String], which: impl Fn(&DeviceGroups) -> bool) -> bool {
    which(&DeviceGroups::among(groups)) || groups.iter().any(|g| g == "root")
}

fn gpio_chips(groups: &[String]) -> Check {
    let chips = match gpio::chips() {
        Ok(chips) => chips,
        Err(error) => return Check::fail("gpio", error.to_string(), "mount /dev and try again"),
    };
    let labels: Vec<&str> = chips.iter().filter_map(|c| c.label.as_deref()).collect();
    let error = chips.iter().find_map(|c| c.error.as_deref());
    match (labels.is_empty(), error) {
        (false, _) => Check::ok("gpio", labels.join(", ")),
        (true, Some(error)) if !in_group(groups, |g| g.gpio) => Check::fail(
            "gpio",
            error,
            "sudo usermod -aG gpio $USER, then log in again",
        ),
        (true, Some(error)) => Check::warn("gpio", error, "see the message"),
        (true, None) => Check::warn(
            "gpio",
            "no chip",
            "rules can be tried with --dry-run-gpio; in a container pass /dev/gpiochip* in",
        ),
    }
}

/// What `display:` and `fb:` would find. Nothing is opened: that alone would take a card
/// away from the next program that wants it.
fn displays(displays: &[DisplayInfo], groups: &[String]) -> Check {
    let usable: Vec<&DisplayInfo> = displays
        .iter()
        .filter(|d| d.connected != Some(false))
        .collect();
    if usable.is_empty() {
        let found = match displays.len() {
            0 => "none",
            _ => "no monitor is plugged in",
        };
        return Check::ok(
            "displays",
            format!("{found}; only display: and fb: need one"),
        );
    }
    let names: Vec<String> = usable
        .iter()
        .map(|d| format!("{} ({})", d.name, d.device))
        .collect();
    let barred = usable.iter().find(|d| !may_open(&d.device));
    match barred {
        Some(display) if !in_group(groups, |g| g.video) => Check::warn(
            "displays",
            format!("no permission for {}", display.device),
            "for display: and fb: sudo usermod -aG video $USER, then log in again",
        ),
        Some(display) => Check::warn(
            "displays",
            format!("no permission for {}", display.device),
            "for display: and fb: see who may use it: ls -l /dev/dri /dev/fb*",
        ),
        None => Check::ok("displays", names.join(", ")),
    }
}

/// What `--runtime cuda` would find.
fn gpu(gpu: Option<GpuInfo>) -> Check {
    let Some(gpu) = gpu else {
        return Check::ok("gpu", "none; only --runtime cuda needs one");
    };
    let name = gpu.name.as_deref().unwrap_or("NVIDIA");
    let driver = gpu.driver.as_deref().unwrap_or("unknown");
    let found = format!("{name}, driver {driver}");
    if !cuda::IS_BUILT {
        return Check::ok("gpu", format!("{found}; this build runs models on the CPU"));
    }
    if let Err(reason) = runtime::is_ready() {
        let fix = "on a Jetson with JetPack 6.1 or later: sudo apt install nvidia-jetpack; \
                   `atrous devices` lists each piece";
        return Check::warn("gpu", format!("{found}: {reason}"), fix);
    }
    match Cache::find() {
        Some(cache) if cache.files > 0 => Check::ok("gpu", format!("{found}; {cache}")),
        _ => Check::warn(
            "gpu",
            format!("{found}; its kernels are not compiled yet"),
            "atrous warm MODEL, as the user who runs it; else the first run takes minutes",
        ),
    }
}

/// Whether this user may open a device; a device that is absent bars nobody.
fn may_open(device: &str) -> bool {
    let allowed = access(device, Access::READ_OK | Access::WRITE_OK);
    allowed != Err(Errno::ACCESS)
}

fn governor(clocks: &[CpuFreq]) -> Check {
    let governors: Vec<&str> = clocks
        .iter()
        .filter_map(|c| c.governor.as_deref())
        .collect();
    if governors.is_empty() {
        return Check::ok(
            "governor",
            "this machine does not tell (virtual, or fixed clock)",
        );
    }
    if governors.iter().all(|g| *g == "performance") {
        return Check::ok("governor", "performance");
    }
    Check::warn(
        "governor",
        format!(
            "{}: the clock follows the load, so times vary",
            governors.join(", ")
        ),
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )
}

fn temperature(zones: &[ThermalZone]) -> Check {
    let known = zones.iter().filter_map(|z| z.celsius.map(|c| (z, c)));
    match known.max_by(|a, b| a.1.total_cmp(&b.1)) {
        None => Check::ok("temperature", "this machine does not tell"),
        Some((zone, celsius)) => {
            let found = format!("{celsius:.1} C ({})", zone.kind);
            if celsius < HOT {
                Check::ok("temperature", found)
            } else {
                Check::warn(
                    "temperature",
                    found,
                    "add a heat sink or a fan, or lower the frame rate",
                )
            }
        }
    }
}

fn throttling(throttle: Option<Throttle>) -> Check {
    match throttle {
        None => Check::ok("throttling", "this machine does not tell"),
        Some(throttle @ Throttle::Firmware { .. }) => {
            let active = throttle.is_active();
            let Throttle::Firmware {
                now, since_boot, ..
            } = throttle
            else {
                return Check::ok("throttling", "none");
            };
            let fix = "use the board's own power supply and a short cable; cool the processor";
            match (active, since_boot.is_empty()) {
                (true, _) => Check::fail("throttling", format!("now: {}", now.join(", ")), fix),
                (false, false) => {
                    let found = format!("earlier since power-on: {}", since_boot.join(", "));
                    Check::warn("throttling", found, fix)
                }
                (false, true) => Check::ok("throttling", "never since power-on"),
            }
        }
        Some(Throttle::Counters { core, package }) => {
            let events = core.max(package);
            if events == 0 {
                Check::ok("throttling", "never since power-on")
            } else {
                let found = format!("{events} thermal events since power-on");
                Check::warn(
                    "throttling",
                    found,
                    "clean the fan; compare runs only when cool",
                )
            }
        }
    }
}

/// What a config's `[realtime]` table would be granted. Nobody needs it.
fn realtime(rights: &Rights) -> Check {
    let cores = realtime::ranges(&rights.cores);
    let refusals: Vec<&str> = [&rights.no_priority, &rights.no_lock]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let word = |refused: &Option<String>| match refused {
        None => "granted",
        Some(_) => "refused",
    };
    let found = format!(
        "SCHED_FIFO {}, locked memory {}, processors {cores}",
        word(&rights.no_priority),
        word(&rights.no_lock)
    );
    Check {
        fix: (!refusals.is_empty())
            .then(|| format!("for [realtime] in a config: {}", refusals.join("; "))),
        ..Check::ok("realtime", found)
    }
}

fn model_check(name: Option<&str>, importer: &Importer) -> Check {
    let Some(name) = name.or(bundled::names().next()) else {
        return Check::warn("model", "none is built in", "name one with --model PATH");
    };
    match self_check(name, importer) {
        Ok(check) => check,
        Err(error) => Check::fail("model", error.to_string(), "`atrous inspect` tells more"),
    }
}

/// Runs the model on a drawn street and compares with the truth.
fn self_check(name: &str, importer: &Importer) -> Result<Check> {
    let start = Instant::now();
    let mut opened = model::open(name, Wanted::CPU, importer, Options::default())?;
    let loaded = start.elapsed();
    model::verify(&mut opened)?;
    let segmenter = &mut opened.segmenter;
    let mut source = open(SCENE)?;
    let mut frame = atrous::frame::Frame::default();
    if source.next_frame(&mut frame)? != Next::Frame {
        bail!("the drawn scene gave no frame");
    }
    let shape = segmenter.shape();
    let fit = opened.manifest.input.fit;
    let mut preprocessor = Preprocessor::new((shape.width, shape.height), fit, PAD);
    let prepared = preprocessor.run(&frame)?;
    let placement: Placement = prepared.placement;
    let (mut labels, mut mask) = (Mask::default(), Mask::default());
    let start = Instant::now();
    segmenter.segment(prepared.model_rgb, &mut labels)?;
    let took = start.elapsed();
    placement.mask_to_source(&labels, &mut mask);
    let times = format!(
        "{}: ready in {:.0} ms, a frame in {:.0} ms",
        opened.manifest.name,
        loaded.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3
    );
    let truth = frame.truth.as_ref().filter(|_| {
        opened
            .manifest
            .classes
            .have_names_of(&atrous::source::scene::classes())
    });
    let Some(score) = truth.and_then(|t| score(&mask, t, shape.classes)) else {
        return Ok(Check::ok("model", times));
    };
    let found = format!(
        "{times}, {:.1} % of a drawn street right",
        score.pixel_accuracy * 1e2
    );
    if score.pixel_accuracy >= WORKING {
        Ok(Check::ok("model", found))
    } else {
        Ok(Check::fail(
            "model",
            found,
            "the model or this build is damaged; install it again",
        ))
    }
}
