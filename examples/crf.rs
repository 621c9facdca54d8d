//! Runs the dense CRF on scores in a file, for `benches/crf/compare.py`.
//!
//! ```text
//! crf PICTURE WIDTH HEIGHT SCORES CLASSES MARGINALS PARAMETERS
//! ```
//!
//! PICTURE holds 8-bit red, green and blue, SCORES little-endian f32 (a logarithm of a
//! probability for each pixel and class, the classes of a pixel together), PARAMETERS is
//! what stands in the `[crf]` table of a manifest. A line tells that the files have been
//! read. For each line on standard input the picture is then refined once, and a line
//! tells the lattices' vertices; at its end the probabilities of a further run are
//! written to MARGINALS as the scores are laid out.

use std::error::Error;
use std::io::BufRead;

use atrous::kernels::cpu::Cpu;
use atrous::postprocess::crf::{CrfParams, DenseCrf};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        picture,
        width,
        height,
        scores,
        classes,
        marginals,
        parameters,
    ] = arguments.as_slice()
    else {
        return Err("usage: crf PICTURE WIDTH HEIGHT SCORES CLASSES MARGINALS PARAMETERS".into());
    };
    let size: (u32, u32) = (width.parse()?, height.parse()?);
    let classes: usize = classes.parse()?;
    let rgb = std::fs::read(picture)?;
    let scores: Vec<f32> = std::fs::read(scores)?
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect();
    let pixels = size.0 as usize * size.1 as usize;
    if rgb.len() != pixels * 3 || scores.len() != pixels * classes {
        return Err("the files do not have the size that was given".into());
    }
    let params: CrfParams = toml::from_str(parameters)?;
    params.check()?;
    let mut crf = DenseCrf::new(params, Cpu::detect());
    let fill = |pixel: usize, row: &mut [f32]| {
        row.copy_from_slice(&scores[pixel * classes..][..classes]);
    };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        crf.refine(&rgb, size, classes, fill)?;
        let [appearance, smoothness] = crf.vertices();
        println!("{appearance} {smoothness}");
    }
    let result = crf.refine(&rgb, size, classes, fill)?;
    let rows = result.pixels().flatten();
    std::fs::write(
        marginals,
        rows.flat_map(|p| p.to_le_bytes()).collect::<Vec<u8>>(),
    )?;
    Ok(())
}
