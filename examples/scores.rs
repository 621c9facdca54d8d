//! What a model says of a picture, for comparing it with other runtimes.
//!
//! `cargo run --release --example scores -- MODEL PICTURE.png OUT` runs a float model (model.toml,
//! ONNX) or an artifact that ends in scores (`atrous compile --labels logits`) in this process,
//! writes its scores to OUT, 32-bit floats in the order row, column, class, and prints rows,
//! columns and classes. The picture has the model's size, so that nothing is resized.

use std::path::Path;

use atrous::engine::Segmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::engine::tract::TractSegmenter;
use atrous::logits::Logits;
use atrous::model::Model;
use atrous::model::artifact::{Artifact, is_artifact_path};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, picture, out] = args.as_slice() else {
        return Err("scores MODEL PICTURE.png OUT".into());
    };
    let mut segmenter: Box<dyn Segmenter> = if is_artifact_path(Path::new(model)) {
        let artifact = Artifact::read(Path::new(model))?;
        Box::new(ProgramSegmenter::new(&artifact.manifest, &artifact.program))
    } else {
        Box::new(TractSegmenter::new(&Model::open(model)?)?)
    };
    let picture = image::open(picture)?.into_rgb8();
    let mut scores = Logits::default();
    segmenter.logits(picture.as_raw(), &mut scores)?;
    let bytes: Vec<u8> = (scores.values.iter())
        .flat_map(|value| value.to_le_bytes())
        .collect();
    std::fs::write(out, bytes)?;
    println!("{} {} {}", scores.height, scores.width, scores.classes);
    Ok(())
}
