//! A few hundred hostile files, the same each time. `examples/fuzz.rs` makes more.

use atrous::compile::Ending;

mod fuzzing;

use fuzzing::{Rng, Verdict, artifact, import, seed};

/// Runs `check` on inputs of one seed; how many were accepted.
fn accepted(inputs: u64, mut check: impl FnMut(&mut Rng) -> Verdict) -> usize {
    let verdicts = (0..inputs).map(|index| {
        println!("seed 1, input {index}");
        check(&mut Rng::new(1, index))
    });
    verdicts.filter(|v| *v == Verdict::Accepted).count()
}

#[test]
fn the_seeds_are_good() {
    let seed = seed::seed();
    let mut rng = Rng::new(0, 0);
    for _ in 0..8 {
        let verdict = import::check(&seed.onnx, &seed.manifest, &mut rng);
        assert_eq!(verdict, Verdict::Accepted);
    }
    for ending in [Ending::Labels, Ending::Logits] {
        let verdict = artifact::check(&seed.artifact(ending));
        assert_eq!(verdict, Verdict::Accepted);
    }
}

#[test]
fn artifacts_that_lie_are_refused_or_run() {
    let seed = seed::seed();
    let good = [Ending::Labels, Ending::Logits].map(|ending| seed.artifact(ending));
    let inputs = 1500;
    let count = accepted(inputs, |rng| {
        let file = artifact::mutated(&good[rng.below(2)], rng);
        artifact::check(&file)
    });
    // Neither all is refused at the door, nor does nothing matter.
    assert!((10..inputs as usize / 2).contains(&count), "{count}");
}

#[test]
fn models_that_lie_are_refused_or_run() {
    let seed = seed::seed();
    let inputs = 600;
    let count = accepted(inputs, |rng| {
        let file = import::mutated(&seed.onnx, rng);
        import::check(&file, &seed.manifest, rng)
    });
    assert!((10..inputs as usize / 2).contains(&count), "{count}");
}
