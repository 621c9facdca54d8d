//! Running what a reader accepted.

use atrous::engine::Segmenter;
use atrous::engine::program::ProgramSegmenter;
use atrous::engine::scores::Scores;
use atrous::logits::Logits;
use atrous::mask::Mask;
use atrous::model::Manifest;
use atrous::model::artifact::golden;
use atrous::program::{Op, Output, Program};

/// Most bytes of a program's tensors together, and most multiplications, for it to be
/// run: any program may be accepted, but not any is quick.
const MOST: u64 = 1 << 22;

/// Runs a program that passed its check, if it is small.
///
/// # Panics
/// If it gives labels that its manifest or its scores do not name, or others the second
/// time; and where the engine does.
pub fn run(manifest: &Manifest, program: &Program) {
    let cells = |t: &atrous::program::Tensor| {
        u64::from(t.height) * u64::from(t.width) * u64::from(t.channels)
    };
    let work = |op: &Op| match op {
        Op::AveragePool { input, window, .. } | Op::MaxPool { input, window, .. } => {
            let kernel = u64::from(window.kernel[0]) * u64::from(window.kernel[1]);
            kernel.saturating_mul(cells(&program.tensors[input.0 as usize]))
        }
        op => program.macs(op),
    };
    let tensors: u64 = program.tensors.iter().map(cells).sum();
    let work = program.ops.iter().map(work).fold(0, u64::saturating_add);
    let mask = u64::from(program.width) * u64::from(program.height);
    if tensors.max(work).max(mask).max(program.arena_bytes) > MOST {
        return;
    }
    let mut segmenter = ProgramSegmenter::new(manifest, program);
    let picture = golden::picture(1, program.width, program.height);
    let (mut first, mut second) = (Mask::default(), Mask::default());
    segmenter
        .segment(&picture, &mut first)
        .expect("the picture fits");
    segmenter
        .segment(&picture, &mut second)
        .expect("the picture fits");
    assert_eq!(first, second, "the same picture, another mask");
    let classes = manifest.classes.len();
    assert!(
        first
            .labels
            .iter()
            .all(|&label| usize::from(label) < classes)
    );
    // What the labels were chosen from, at their own size.
    let mut scores = Scores::default();
    segmenter
        .segment_scored(&picture, &mut second, &mut scores)
        .expect("a program that is no part of a graph has scores");
    assert_eq!(first, second, "another mask with its scores");
    let mut row = vec![0.0; program.width as usize * scores.classes()];
    for y in [0, program.height / 2, program.height - 1] {
        scores.row(y, 0..program.width, &mut row);
        let pixels = row.chunks_exact(scores.classes()).zip(first.row(y));
        for (scores, &label) in pixels {
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let best = scores.iter().position(|&score| score == most);
            assert_eq!(
                best,
                Some(usize::from(label)),
                "another class by its scores"
            );
        }
    }
    if let Output::Logits { .. } = program.output {
        let mut logits = Logits::default();
        segmenter
            .logits(&picture, &mut logits)
            .expect("the picture fits");
    }
}
