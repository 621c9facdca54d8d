//! Renders pairs of picture and labels from the procedural street, to train or check a model.
//!
//! ```text
//! cargo run --release --example render_scenes -- OUT --count 600 --seed 1000 --size 640x480
//! ```
//!
//! Writes `OUT/images/NAME.png` (RGB) and `OUT/labels/NAME.png` (8-bit grey, a CamVid class index
//! 0..=10). Every pair has a seed of its own, counted up from `--seed`, and a frame drawn from
//! that seed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use atrous::synthetic::{Road, SceneConfig};
use clap::Parser;
use image::{GrayImage, RgbImage};

/// Frames a second: only spaces the moments that frames are taken at.
const FPS: f32 = 15.0;
/// Frames are taken from the first minutes of each scene.
const FRAMES: u64 = 6000;

/// Render pairs of picture and labels from the procedural street.
#[derive(Parser)]
struct Args {
    /// Folder to write images/ and labels/ into.
    out: PathBuf,
    /// How many pairs.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Seed of the first pair.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Picture size, WIDTHxHEIGHT, each 16 to 4096.
    #[arg(long, default_value = "640x480", value_parser = size)]
    size: (u32, u32),
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let (width, height) = text.split_once('x').ok_or("expected WIDTHxHEIGHT")?;
    let side = |text: &str| match text.parse() {
        Ok(side @ 16..=4096) => Ok(side),
        _ => Err(format!("{text:?} is not a number from 16 to 4096")),
    };
    Ok((side(width)?, side(height)?))
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (images, labels) = (args.out.join("images"), args.out.join("labels"));
    for folder in [&images, &labels] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let (width, height) = args.size;
    for seed in (args.seed..).take(usize::try_from(args.count)?) {
        let mut road = Road::new(SceneConfig {
            seed,
            width,
            height,
            fps: FPS,
        });
        // Knuth's multiplicative hash: neighbouring seeds take unrelated moments.
        let index = (seed.wrapping_mul(2_654_435_761) >> 7) % FRAMES;
        let (mut rgb, mut classes) = (Vec::new(), Vec::new());
        road.render(index, &mut rgb, &mut classes);
        let name = format!("{seed:06}.png");
        RgbImage::from_raw(width, height, rgb)
            .context("picture size")?
            .save(images.join(&name))?;
        GrayImage::from_raw(width, height, classes)
            .context("label size")?
            .save(labels.join(&name))?;
    }
    Ok(())
}
