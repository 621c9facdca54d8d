//! `atrous warm`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use atrous::engine::device::cuda;
use atrous::engine::program::Options;
use atrous::mask::Mask;
use atrous::model::artifact::golden;

use super::import::ImportLimits;
use super::output::{self, tell};
use super::runtime::{self, Wanted};
use super::{Global, model};

/// The library that says which kernels it compiles.
pub const TELLS: &str = "tract_cuda";

/// Seed of the picture that is segmented.
const PICTURE_SEED: u64 = 1;

/// Arguments of `atrous warm`.
#[derive(Debug, Args)]
#[command(
    after_help = "The first run on a GPU compiles its kernels, which takes minutes on a small board. They\n\
    are kept below ~/.cache/tract (or $XDG_CACHE_HOME/tract): run this as the user of the\n\
    service, once after each installation and each update of CUDA or of this program."
)]
pub struct WarmArgs {
    /// A float model: a model.toml, its folder, or an ONNX file.
    model: String,
    /// Compute with floats of 16 bits.
    #[arg(long)]
    cuda_f16: bool,
    #[command(flatten)]
    limits: ImportLimits,
}

#[derive(Serialize)]
struct Report {
    model: String,
    /// From the start to the first mask.
    first_ms: f64,
    /// A run after it.
    run_ms: f64,
    cache: Option<Cache>,
}

/// Compiled kernels.
#[derive(Serialize)]
pub struct Cache {
    pub folder: PathBuf,
    pub files: u64,
    pub bytes: u64,
}

impl Cache {
    /// The folder of this build's kernels and what is in it; `None` in a build without a
    /// GPU backend.
    pub fn find() -> Option<Self> {
        let folder = cuda::cache()?;
        let (mut files, mut bytes) = (0, 0);
        count(&folder, &mut files, &mut bytes, DEEPEST);
        Some(Self {
            folder,
            files,
            bytes,
        })
    }
}

/// Folders in the cache: one for the GPU's kind, in it one for the compiler's version.
const DEEPEST: u32 = 3;

fn count(folder: &Path, files: &mut u64, bytes: &mut u64, depth: u32) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(found) if found.is_file() => {
                *files += 1;
                *bytes += found.len();
            }
            Ok(found) if found.is_dir() && depth > 0 => {
                count(&entry.path(), files, bytes, depth - 1);
            }
            _ => {}
        }
    }
}

/// Runs a model on the GPU twice.
pub fn run(args: &WarmArgs, global: &Global) -> Result<()> {
    let start = Instant::now();
    runtime::ready()?;
    if global.chatty() && Cache::find().is_some_and(|cache| cache.files == 0) {
        tell("the GPU's kernels are compiled now, which takes minutes");
    }
    let wanted = Wanted::cuda(args.cuda_f16);
    let importer = args.limits.importer(global);
    let mut opened = model::open(&args.model, wanted, &importer, Options::default())?;
    let shape = opened.segmenter.shape();
    let picture = golden::picture(PICTURE_SEED, shape.width, shape.height);
    let mut mask = Mask::default();
    opened.segmenter.segment(&picture, &mut mask)?;
    let first = start.elapsed();
    let start = Instant::now();
    opened.segmenter.segment(&picture, &mut mask)?;
    let report = Report {
        model: opened.manifest.name.clone(),
        first_ms: first.as_secs_f64() * 1e3,
        run_ms: start.elapsed().as_secs_f64() * 1e3,
        cache: Cache::find(),
    };
    if global.json {
        return output::print_json(&report);
    }
    let mut text = format!(
        "{}: {}\n  first mask after {:.1} s, the next in {:.1} ms\n",
        report.model,
        opened.segmenter.describe(),
        report.first_ms / 1e3,
        report.run_ms
    );
    if let Some(cache) = &report.cache {
        writeln!(text, "  {cache}")?;
    }
    output::print(&text)
}

impl std::fmt::Display for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            folder,
            files,
            bytes,
        } = self;
        let megabytes = *bytes as f64 / 1e6;
        let folder = folder.display();
        write!(
            f,
            "{files} compiled kernel files, {megabytes:.1} MB, in {folder}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_cache_are_counted_with_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("sm_87/nvrtc-12.6");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("nn_1.cubin"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("x"), [0; 3]).unwrap();
        let (mut files, mut bytes) = (0, 0);
        count(folder.path(), &mut files, &mut bytes, DEEPEST);
        assert_eq!((files, bytes), (2, 13));
        count(&folder.path().join("none"), &mut files, &mut bytes, DEEPEST);
        assert_eq!((files, bytes), (2, 13));
    }
}
