//! Any bytes as an artifact, with the digest that belongs to them: the fuzzer would
//! not find one. An empty input stands for a good artifact.
#![no_main]

use std::sync::LazyLock;

use atrous::compile::Ending;
use fuzzing::{Rng, artifact, seed};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let seed = seed::seed();
    [Ending::Labels, Ending::Logits].map(|ending| seed.artifact(ending))
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let body = &bytes[..bytes.len().saturating_sub(32)];
    artifact::check(&artifact::seal(body.to_vec()));
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::new(seed.into(), 0);
    if rng.one_in(2) && size > 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let known = data[..size].to_vec();
    let mutated = artifact::mutated(&known, &mut rng);
    // What is no artifact comes back as it was.
    let next = if mutated == known {
        artifact::mutated(&GOOD[rng.below(2)], &mut rng)
    } else {
        mutated
    };
    let size = next.len().min(max_size);
    data[..size].copy_from_slice(&next[..size]);
    size
});
