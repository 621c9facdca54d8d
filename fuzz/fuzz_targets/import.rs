//! Any bytes as an ONNX model.
#![no_main]

use std::sync::LazyLock;

use fuzzing::seed::Seed;
use fuzzing::{Rng, import, seed};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static GOOD: LazyLock<Seed> = LazyLock::new(seed::seed);

fuzz_target!(|bytes: &[u8]| {
    // The same choices for the same bytes.
    let mut rng = Rng::new(bytes.len() as u64, 0);
    import::check(bytes, &GOOD.manifest, &mut rng);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::new(seed.into(), 0);
    if rng.one_in(2) && size > 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let known = data[..size].to_vec();
    let mutated = import::mutated(&known, &mut rng);
    // What is no model comes back as it was.
    let next = if mutated == known {
        import::mutated(&GOOD.onnx, &mut rng)
    } else {
        mutated
    };
    let size = next.len().min(max_size);
    data[..size].copy_from_slice(&next[..size]);
    size
});
