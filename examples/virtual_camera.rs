//! Works the kernel's virtual camera (vivid), so that known pictures reach a program through V4L2.
//!
//! ```text
//! virtual_camera controls DEVICE              lists its controls with their values
//! virtual_camera set DEVICE NAME VALUE        sets one, by the name that the list shows
//! virtual_camera play DEVICE NAME=PICTURE…    shows pictures on an output node
//! ```
//!
//! `play` shows the first picture until a name of another comes on stdin, and ends with stdin. It
//! writes YUYV (BT.601, limited range) of the pictures' size; all must have the same. Chroma is the
//! mean of two pixels.

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use image::RgbImage;
use v4l::buffer::Type as BufferType;
use v4l::control::{Control, Type, Value};
use v4l::format::{Colorspace, FieldOrder, FourCC, Quantization};
use v4l::io::mmap::Stream;
use v4l::io::traits::OutputStream;
use v4l::video::Output;
use v4l::{Device, Format};

/// Frames on their way to the node: with fewer the driver runs dry in between.
const BUFFERS: u32 = 8;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the controls of a device.
    Controls { device: String },
    /// Set a control; buttons are pressed, whatever the value.
    Set {
        device: String,
        name: String,
        value: i64,
    },
    /// Show pictures on an output node, the first one first.
    Play {
        device: String,
        #[arg(required = true, value_name = "NAME=PICTURE")]
        pictures: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Controls { device } => list(&device),
        Command::Set {
            device,
            name,
            value,
        } => set(&device, &name, value),
        Command::Play { device, pictures } => play(&device, &pictures),
    }
}

fn open(device: &str) -> Result<Device> {
    Device::with_path(device).with_context(|| format!("opening {device}"))
}

fn list(device: &str) -> Result<()> {
    let camera = open(device)?;
    for control in camera.query_controls()? {
        let value = camera.control(control.id).map(|c| c.value);
        println!(
            "{}: {} to {}, now {value:?}",
            control.name, control.minimum, control.maximum
        );
    }
    Ok(())
}

fn set(device: &str, name: &str, value: i64) -> Result<()> {
    let camera = open(device)?;
    let known = camera.query_controls()?;
    let control = known
        .iter()
        .find(|control| control.name == name)
        .with_context(|| format!("{device} has no control '{name}'"))?;
    let value = match control.typ {
        Type::Boolean => Value::Boolean(value != 0),
        _ => Value::Integer(value),
    };
    let id = control.id;
    camera
        .set_control(Control { id, value })
        .with_context(|| format!("setting '{name}' of {device}"))
}

fn play(device: &str, pictures: &[String]) -> Result<()> {
    let mut scenes = BTreeMap::new();
    let (mut size, mut first) = (None, None);
    for argument in pictures {
        let (name, path) = argument
            .split_once('=')
            .with_context(|| format!("'{argument}' is not NAME=PICTURE"))?;
        let picture = image::open(path)
            .with_context(|| format!("reading {path}"))?
            .into_rgb8();
        let dimensions = *size.get_or_insert(picture.dimensions());
        ensure!(
            dimensions == picture.dimensions(),
            "{path} has another size than the first picture"
        );
        first.get_or_insert(name);
        scenes.insert(name.to_owned(), yuyv(&picture));
    }
    let ((width, height), first) = size.zip(first).context("no picture")?;

    let camera = open(device)?;
    let mut format = Format::new(width, height, FourCC::new(b"YUYV"));
    format.field_order = FieldOrder::Progressive;
    format.colorspace = Colorspace::SMPTE170M;
    format.quantization = Quantization::LimitedRange;
    let set = Output::set_format(&camera, &format).context("setting the format")?;
    if (set.width, set.height, set.fourcc) != (width, height, format.fourcc) {
        bail!("{device} gives {}x{} {}", set.width, set.height, set.fourcc);
    }

    let (sender, names) = channel();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line.trim().to_owned()).is_err() {
                break;
            }
        }
    });
    let mut stream = Stream::with_buffers(&camera, BufferType::VideoOutput, BUFFERS)
        .context("getting buffers")?;
    // The first buffer is handed out below. With no other in its queue the driver would show
    // noise in between.
    for index in 1..BUFFERS as usize {
        OutputStream::queue(&mut stream, index).context("queueing a buffer")?;
    }
    let mut shown = first;
    let mut held: BTreeMap<usize, &str> = BTreeMap::new();
    println!("showing {shown}");
    loop {
        let (bytes, metadata) = OutputStream::next(&mut stream).context("showing a frame")?;
        // Most buffers come back with the picture that they are to show again.
        if held.insert(bytes.as_ptr() as usize, shown) != Some(shown) {
            let picture = &scenes[shown];
            ensure!(bytes.len() >= picture.len(), "{device} has short buffers");
            bytes[..picture.len()].copy_from_slice(picture);
            metadata.bytesused = u32::try_from(picture.len())?;
        }
        match names.try_recv() {
            Ok(name) => {
                let (name, _) = scenes
                    .get_key_value(&name)
                    .with_context(|| format!("there is no picture '{name}'"))?;
                shown = name;
                println!("showing {shown}");
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

/// YUYV of a picture: ITU-R BT.601, luma 16..=235, chroma 16..=240.
fn yuyv(picture: &RgbImage) -> Vec<u8> {
    let code = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    let luma = |[r, g, b]: [f32; 3]| 16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0;
    let mut bytes = Vec::with_capacity(picture.len() / 3 * 2);
    for row in picture.rows() {
        let pixels: Vec<[f32; 3]> = row.map(|p| p.0.map(f32::from)).collect();
        for pair in pixels.chunks(2) {
            let (left, right) = (pair[0], pair[pair.len() - 1]);
            let mean: [f32; 3] = std::array::from_fn(|i| (left[i] + right[i]) / 2.0);
            let [r, g, b] = mean;
            let u = 128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0;
            let v = 128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0;
            bytes.extend([code(luma(left)), code(u), code(luma(right)), code(v)]);
        }
    }
    bytes
}
