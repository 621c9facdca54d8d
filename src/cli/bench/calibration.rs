//! Measures what this machine can do at most, on as many threads as the model has.
//!
//! Other work on the machine makes a measurement slow and never fast, so the best of
//! several counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use atrous::engine::Workers;
use atrous::engine::program::Options;
use atrous::kernels::cpu::{Cpu, Tier};
use atrous::kernels::scratch::Scratch;
use atrous::kernels::variants::{Convolution, pack_conv};
use atrous::kernels::{AlignedBytes, ConvArgs, Source, Target, Window};

use super::ceilings::{Ceilings, CopyRate, IdealShape, Peak};

/// Least time that is measured at once: far above what the clock and the waking of
/// threads take.
const ROUND: Duration = Duration::from_micros(500);
/// Measurements of which the best counts.
const ROUNDS: u32 = 8;

/// Convolutions that suit kernels: many products for each code, a multiple of every
/// tile's pixels and channels, and codes and weights that stay in a first cache of
/// 32 KiB, or stream through it where there are more. Which one is best depends on the
/// kernel.
const IDEAL_SHAPES: [IdealShape; 3] = [
    IdealShape {
        pixels: 48,
        inputs: 256,
        outputs: 64,
    },
    IdealShape {
        pixels: 192,
        inputs: 512,
        outputs: 64,
    },
    IdealShape {
        pixels: 192,
        inputs: 1024,
        outputs: 256,
    },
];

/// Working sets of copies: from one that stays in any first cache to one that stays in
/// the caches of no board.
const WORKING_SETS: std::ops::RangeInclusive<u64> = 16 << 10..=64 << 20;

/// Measures the peak of the kernels, and copies up to the first working set that is
/// not smaller than `most_bytes`.
///
/// # Errors
/// The system's, where it gives no more threads.
pub fn measure(options: Options, most_bytes: u64) -> std::io::Result<Ceilings> {
    let mut workers = Workers::new(options.threads)?;
    let peak = match options.cpu.best() {
        Tier::Scalar => None,
        _ => {
            let peaks = IDEAL_SHAPES.map(|shape| peak(shape, options.cpu, &mut workers));
            let best = |a: &Peak, b: &Peak| a.gops.total_cmp(&b.gops);
            peaks.into_iter().max_by(best)
        }
    };
    let copies = working_sets(most_bytes).map(|bytes| copy(bytes, &mut workers));
    Ok(Ceilings {
        peak,
        copies: copies.collect(),
    })
}

/// Doubling ones up to `most`; the first one always.
fn working_sets(most: u64) -> impl Iterator<Item = u64> {
    let (first, last) = (*WORKING_SETS.start(), *WORKING_SETS.end());
    let doubled = std::iter::successors(Some(first), |bytes| Some(bytes * 2));
    doubled.take_while(move |&bytes| bytes <= last.min(most.max(first)))
}

/// One thread's part of a convolution.
struct Pixels {
    codes: AlignedBytes,
    out: AlignedBytes,
    scratch: Scratch,
}

/// The speed of the kernel that a processor allows for a convolution; each thread has
/// its own pixels, and all share the weights.
fn peak(shape: IdealShape, cpu: Cpu, workers: &mut Workers) -> Peak {
    let IdealShape {
        pixels,
        inputs,
        outputs,
    } = shape;
    // Small ones, which no kernel refuses.
    let weights: Vec<i8> = (0..31).cycle().take(inputs * outputs).collect();
    let args = ConvArgs {
        groups: 1,
        window: Window {
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        },
        weights: &weights,
        weight_zero_points: &[],
        bias: &vec![0; outputs],
        multipliers: &vec![1e-3; outputs],
        input_zero_point: 0,
        output_zero_point: 0,
        clamp: [0, 255],
    };
    let (kernel, packed) = pack_conv(&args, cpu);
    let part = |_| {
        let mut scratch = Scratch::default();
        packed.reserve(&mut scratch);
        Pixels {
            codes: written(pixels * inputs),
            out: written(pixels * outputs),
            scratch,
        }
    };
    let mut parts: Vec<Pixels> = (0..workers.count()).map(part).collect();
    let seconds = least_seconds(workers, &mut parts, |part| convolve(&*packed, shape, part));
    let macs = parts.len() * pixels * inputs * outputs;
    Peak {
        kernel,
        gops: 2e-9 * macs as f64 / seconds,
        shape,
    }
}

fn convolve(conv: &dyn Convolution, shape: IdealShape, part: &mut Pixels) {
    let source = Source {
        data: black_box(part.codes.get()),
        height: 1,
        width: shape.pixels,
        channels: shape.inputs,
        pixel_stride: shape.inputs,
    };
    let target = Target {
        data: black_box(part.out.get_mut()),
        range: 0..shape.pixels,
        height: 1,
        width: shape.pixels,
        channels: shape.outputs,
        pixel_stride: shape.outputs,
    };
    conv.run(source, None, target, &mut part.scratch);
}

/// The speed of a copy; the threads share the working set.
fn copy(working_set: u64, workers: &mut Workers) -> CopyRate {
    let threads = workers.count();
    let len = (working_set as usize / 2 / threads).max(1);
    let part = |_| (written(len), written(len));
    let mut parts: Vec<_> = (0..threads).map(part).collect();
    let seconds = least_seconds(workers, &mut parts, |(from, to)| {
        let to = black_box(to.get_mut());
        to.copy_from_slice(black_box(from.get()));
    });
    CopyRate {
        working_set,
        gb_per_s: 2e-9 * (len * threads) as f64 / seconds,
    }
}

/// Memory that is there: a page that nobody has written may be one that all such share.
fn written(len: usize) -> AlignedBytes {
    let mut bytes = AlignedBytes::new(len);
    bytes.get_mut().fill(1);
    bytes
}

/// Seconds in which each of the tasks, one for each thread, is done once.
fn least_seconds<T: Send>(
    workers: &mut Workers,
    tasks: &mut [T],
    once: impl Fn(&mut T) + Sync,
) -> f64 {
    let mut states = vec![(); workers.count()];
    let mut round = |repeats: u32| {
        let start = Instant::now();
        workers.for_each(&mut states, tasks, |(), task| {
            (0..repeats).for_each(|_| once(task));
        });
        start.elapsed()
    };
    let mut repeats = 1;
    while round(repeats) < ROUND && repeats < 1 << 20 {
        repeats *= 2;
    }
    let rounds = (0..ROUNDS).map(|_| round(repeats));
    let least = rounds.min().unwrap_or(ROUND);
    // A clock that did not move gives no infinite speed.
    least.as_secs_f64().max(1e-9) / f64::from(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_sets_double_as_far_as_is_asked() {
        let sets = |most| working_sets(most).collect::<Vec<_>>();
        assert_eq!(sets(0), [16 << 10]);
        assert_eq!(sets(70_000), [16 << 10, 32 << 10, 64 << 10]);
        assert_eq!(sets(u64::MAX).last(), Some(&(64 << 20)));
    }

    #[test]
    fn what_is_measured_can_be_divided_by() {
        for threads in [1, 2] {
            let of = |tier| {
                let cpu = Cpu::limited(tier).unwrap();
                measure(Options { cpu, threads }, 1 << 16).unwrap()
            };
            let ceilings = of(Cpu::detect().best());
            assert_eq!(ceilings.copies.len(), 3);
            let rates = ceilings.copies.iter().map(|copy| copy.gb_per_s);
            assert!(
                rates
                    .chain([1.0])
                    .all(|rate| rate > 0.0 && rate.is_finite())
            );
            match &ceilings.peak {
                Some(peak) => {
                    assert!(peak.gops > 0.0 && peak.gops.is_finite());
                    assert!(!peak.kernel.contains("scalar"), "{}", peak.kernel);
                }
                None => assert_eq!(Cpu::detect().best(), Tier::Scalar),
            }
            assert_eq!(of(Tier::Scalar).peak, None);
        }
    }
}
