//! How long a quantized model takes to be ready: from its artifact, and from its
//! ONNX file.
//!
//! `cargo run --release --example startup -- MODEL.onnx [ROUNDS]` compiles the model
//! once, then opens it in turn both ways, and prints medians in milliseconds. The
//! time of a process to start is no part of it.

use std::path::Path;
use std::time::Instant;

use atrous::compile::compile;
use atrous::engine::Segmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::engine::tract::TractSegmenter;
use atrous::mask::Mask;
use atrous::model::artifact::{Artifact, Golden, golden};
use atrous::model::{Graph, Model, sha256_hex};

type Failure = Box<dyn std::error::Error>;

/// Milliseconds of each round.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed().as_secs_f64() * 1e3);
        result
    }

    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[self.0.len() / 2]
    }
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("startup MODEL.onnx [ROUNDS]")?;
    let rounds: usize = args.next().map_or(Ok(21), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.atrous");
    write_artifact(&path, &file)?;
    let bytes = std::fs::read(&file)?;

    let [mut from_artifact, mut read, mut digest, mut pack] = [(); 4].map(|()| Times::default());
    let [mut from_onnx, mut open, mut lower, mut first] = [(); 4].map(|()| Times::default());
    let mut tract = Times::default();
    for _ in 0..rounds.max(1) {
        from_artifact.time(|| -> Result<(), Failure> {
            let artifact = read.time(|| Artifact::read(&file))?;
            pack.time(|| ProgramSegmenter::new(&artifact.manifest, &artifact.program));
            Ok(())
        })?;
        digest.time(|| sha256_hex(&bytes));
        from_onnx.time(|| -> Result<(), Failure> {
            let model = open.time(|| Model::open(&path))?;
            let compiled = lower.time(|| -> Result<_, Failure> {
                let graph = Graph::parse(&model.onnx, &path)?;
                Ok(compile(&graph, &model.manifest, &path)?)
            })?;
            ProgramSegmenter::new(&model.manifest, &compiled.program);
            Ok(())
        })?;
        let artifact = Artifact::read(&file)?;
        let mut segmenter = ProgramSegmenter::new(&artifact.manifest, &artifact.program);
        let rgb = golden::picture(1, artifact.program.width, artifact.program.height);
        let mut mask = Mask::default();
        first.time(|| segmenter.segment(&rgb, &mut mask))?;
        let model = Model::open(&path)?;
        tract.time(|| TractSegmenter::new(&model))?;
    }
    let (a, o) = (from_artifact.median(), from_onnx.median());
    println!("artifact to ready  {a:8.2} ms, of {} bytes", bytes.len());
    println!("  read and checked {:8.2} ms", read.median());
    println!("    SHA-256 alone  {:8.2} ms", digest.median());
    println!("  weights packed   {:8.2} ms", pack.median());
    println!("ONNX to ready      {o:8.2} ms");
    println!("  file and digest  {:8.2} ms", open.median());
    println!("  parse, compile   {:8.2} ms", lower.median());
    println!("tract, same file   {:8.2} ms", tract.median());
    println!("artifact / ONNX    {:8.3}", a / o);
    println!(
        "golden mask        {:8.2} ms more, where it is checked",
        first.median()
    );
    Ok(())
}

fn write_artifact(path: &str, file: &Path) -> Result<(), Failure> {
    let model = Model::open(path)?;
    let graph = Graph::parse(&model.onnx, path)?;
    let program = compile(&graph, &model.manifest, path)?.program;
    let artifact = Artifact {
        source_sha256: sha256_hex(&model.onnx),
        manifest: model.manifest,
        program,
        tool: "startup".into(),
        // Its mask is not looked at here.
        golden: Golden::new(0, &[]),
        calibration: None,
    };
    Ok(artifact.write(file)?)
}
