//! The dense CRF on a picture of 500x375 pixels with 21 classes, which is what its
//! authors and DeepLab's give times for.
//!
//! ```sh
//! cargo bench --bench dense_crf
//! ```
//!
//! Each kernel that this processor has is timed with 10 iterations on one thread, the best
//! one on two threads as well, and with none and one: the difference of the last two is the
//! lattice, the messages' first way, and one iteration. `benches/crf/compare.py` runs
//! it beside pydensecrf.

use std::hint::black_box;
use std::time::Duration;

use atrous::kernels::cpu::Cpu;
use atrous::kernels::variants::MEAN_FIELD;
use atrous::postprocess::crf::{CrfParams, DenseCrf};
use atrous::workers::Workers;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZE: (u32, u32) = (500, 375);
const CLASSES: usize = 21;

/// Shaded squares with some noise, and the class of each square.
fn picture() -> (Vec<u8>, Vec<usize>) {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut rgb, mut labels) = (Vec::new(), Vec::new());
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            let label = (x / 70 * 5 + y / 60 * 3) % CLASSES as u32;
            labels.push(label as usize);
            let shade = 20 + label * 9 + (x + y) / 40;
            for channel in 0..3 {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                rgb.push((shade + channel * label % 40 + (noise >> 60) as u32) as u8);
            }
        }
    }
    (rgb, labels)
}

fn dense_crf(criterion: &mut Criterion) {
    let (rgb, labels) = picture();
    let mut group = criterion.benchmark_group("dense-crf");
    let default = CrfParams::default().iterations;
    let variants = MEAN_FIELD.iter().filter_map(|variant| {
        let cpu = Cpu::limited(variant.tier).ok()?;
        Some((variant.name, cpu, 1, default))
    });
    let best = [
        ("two-threads", 2, default),
        ("one-thread", 1, 0),
        ("one-thread", 1, 1),
    ];
    let best = best.map(|(name, threads, iterations)| (name, Cpu::detect(), threads, iterations));
    for (name, cpu, threads, iterations) in variants.chain(best) {
        let params = CrfParams {
            iterations,
            ..CrfParams::default()
        };
        let workers = Workers::new(threads).expect("threads");
        let mut crf = DenseCrf::new(params, cpu).with_workers(workers);
        group.bench_function(BenchmarkId::new(name, iterations), |bencher| {
            bencher.iter(|| {
                let fill = |pixel: usize, row: &mut [f32]| {
                    row.fill(-3.0);
                    row[labels[pixel]] = 0.0;
                };
                let marginals = crf.refine(black_box(&rgb), SIZE, CLASSES, fill);
                black_box(marginals.expect("a picture within the limits"));
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = dense_crf
}
criterion_main!(benches);
