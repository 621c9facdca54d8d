//! Each kernel that this processor has, on the shapes of a DeepLab v3+ (MobileNetV2,
//! output stride 16) at 257x257.
//!
//! ```sh
//! cargo bench --bench kernels -- --quick                # all, in some minutes
//! cargo bench --bench kernels -- depthwise/             # one group
//! cargo bench --bench kernels -- dotprod --save-baseline before
//! ```
//!
//! A name is `group/kernel/shape`, the shape as height x width x channels. Criterion
//! prints the throughput in elements a second: of a convolution these are multiply-adds
//! (taps outside the picture included, as everybody counts), so Gelem/s reads GMAC/s;
//! of the other kernels they are the codes that the comment beside says. One thread
//! works, on pictures that stay in the cache from one run to the next.

use std::hint::black_box;
use std::time::Duration;

use atrous::kernels::cpu::Cpu;
use atrous::kernels::scratch::Scratch;
use atrous::kernels::variants::{
    ADD, ARGMAX, AVERAGE_POOL, CONV, INPUT, MAP, MAX_POOL, MUL, RESIZE, Resampler, Variant, allowed,
};
use atrous::kernels::{
    AddArgs, AlignedBytes, ConvArgs, Coordinates, MulArgs, PoolArgs, Resample, Source, Target,
    Window,
};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

/// How feature maps and logits are enlarged.
const BILINEAR: Resample = Resample::Bilinear(Coordinates::HalfPixel);

/// A picture without bytes between its pixels, at a cache line as in an arena.
struct Picture {
    bytes: AlignedBytes,
    height: usize,
    width: usize,
    channels: usize,
}

impl Picture {
    /// Codes that look random.
    fn new(height: usize, width: usize, channels: usize) -> Self {
        let mut bytes = AlignedBytes::new(height * width * channels);
        fill(bytes.get_mut());
        Self {
            bytes,
            height,
            width,
            channels,
        }
    }

    fn codes(&self) -> usize {
        self.bytes.len()
    }

    fn source(&self) -> Source<'_> {
        Source {
            data: self.bytes.get(),
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.channels,
        }
    }

    fn target(&mut self) -> Target<'_> {
        Target {
            data: self.bytes.get_mut(),
            range: 0..self.height * self.width,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.channels,
        }
    }

    fn shape(&self) -> String {
        format!("{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// Bytes that look random (xorshift), the same each time.
fn fill(bytes: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 32) as u8;
    }
}

/// A square window with the border of ONNX's `SAME_UPPER` for odd sizes.
fn window(kernel: usize, stride: usize, dilation: usize) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [dilation; 2],
        pad: [kernel / 2 * dilation; 2],
    }
}

/// The names and kernels that this processor can run, best first.
fn available<K: Copy>(table: &'static [Variant<K>]) -> impl Iterator<Item = (&'static str, K)> {
    allowed(table, Cpu::detect())
}

/// A benchmark of a group; `elements` are those of one run.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kernel: &str,
    shape: &str,
    elements: usize,
    mut run: impl FnMut(),
) {
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(BenchmarkId::new(kernel, shape), |b| b.iter(&mut run));
}

/// A convolution of a square picture; as many groups as channels where `depthwise`.
#[derive(Clone, Copy)]
struct Conv {
    size: usize,
    inputs: usize,
    outputs: usize,
    window: Window,
    depthwise: bool,
}

impl Conv {
    fn dense(size: usize, inputs: usize, outputs: usize, window: Window) -> Self {
        Self {
            size,
            inputs,
            outputs,
            window,
            depthwise: false,
        }
    }

    fn depthwise(size: usize, channels: usize, window: Window) -> Self {
        Self {
            depthwise: true,
            ..Self::dense(size, channels, channels, window)
        }
    }

    /// Benches all variants that are made for it.
    fn bench(self, group: &mut BenchmarkGroup<'_, WallTime>) {
        let [stride, _] = self.window.stride;
        let [dilation, _] = self.window.dilation;
        let size = self.size.div_ceil(stride);
        let groups = if self.depthwise { self.inputs } else { 1 };
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let mut weights = vec![0; self.outputs * taps * self.inputs / groups];
        fill(&mut weights);
        let weights: Vec<i8> = weights.into_iter().map(|w| (w as i8).max(-127)).collect();
        let args = ConvArgs {
            groups,
            window: self.window,
            weights: &weights,
            weight_zero_points: &[],
            bias: &vec![500; self.outputs],
            multipliers: &vec![1e-4; self.outputs],
            input_zero_point: 0,
            output_zero_point: 0,
            clamp: [0, 255],
        };
        let source = Picture::new(self.size, self.size, self.inputs);
        let mut target = Picture::new(size, size, self.outputs);
        let mut shape = source.shape();
        if !self.depthwise {
            shape += &format!("-{}", self.outputs);
        }
        if dilation > 1 {
            shape += &format!("-rate{dilation}");
        }
        let mut scratch = Scratch::default();
        for (name, pack) in available(CONV) {
            let Some(packed) = pack(&args) else {
                continue;
            };
            packed.reserve(&mut scratch);
            let multiply_adds = size * size * weights.len();
            bench(group, name, &shape, multiply_adds, || {
                packed.run(
                    black_box(source.source()),
                    None,
                    black_box(target.target()),
                    &mut scratch,
                );
            });
        }
    }
}

fn convolutions(criterion: &mut Criterion) {
    let mut bench = |name: &str, convs: &[Conv]| {
        let mut group = criterion.benchmark_group(name);
        for conv in convs {
            conv.bench(&mut group);
        }
        group.finish();
    };
    bench("stem", &[Conv::dense(257, 3, 32, window(3, 2, 1))]);
    let pointwise = |(size, inputs, outputs)| Conv::dense(size, inputs, outputs, window(1, 1, 1));
    bench(
        "conv-1x1",
        &[
            (129, 32, 16),
            (129, 16, 96),
            (65, 24, 144),
            (33, 192, 32),
            (17, 64, 384),
            (17, 960, 160),
            (17, 1280, 256),
            (65, 304, 256),
            (65, 256, 21),
        ]
        .map(pointwise),
    );
    // As in the pyramid of DeepLab v3, before its convolutions were made separable.
    bench("conv-3x3", &[Conv::dense(17, 320, 256, window(3, 1, 6))]);
    let depthwise =
        |(size, channels, stride, rate)| Conv::depthwise(size, channels, window(3, stride, rate));
    bench(
        "depthwise",
        &[
            (129, 32, 1, 1),
            (65, 144, 1, 1),
            (65, 304, 1, 1),
            (17, 384, 1, 1),
        ]
        .map(depthwise),
    );
    bench(
        "depthwise-stride-2",
        &[(129, 96, 2, 1), (65, 144, 2, 1), (33, 192, 2, 1)].map(depthwise),
    );
    bench(
        "depthwise-dilated",
        &[
            (17, 960, 1, 2),
            (17, 320, 1, 6),
            (17, 320, 1, 12),
            (17, 320, 1, 18),
        ]
        .map(depthwise),
    );
}

/// Benches all variants of a table of resamplers.
fn resample(
    group: &mut BenchmarkGroup<'_, WallTime>,
    table: &'static [Variant<Resampler>],
    source: &Picture,
    target: &mut Picture,
) {
    let shape = format!("{}-{}x{}", source.shape(), target.height, target.width);
    let codes = target.height * target.width * source.channels;
    let mut scratch = Scratch::default();
    for (name, kernel) in available(table) {
        let Resampler { run, scratch: need } = kernel;
        scratch.reserve(need(source.width, source.channels, target.width));
        bench(group, name, &shape, codes, || {
            run(
                black_box(source.source()),
                BILINEAR,
                black_box(target.target()),
                &mut scratch,
            );
        });
    }
}

fn resampling(criterion: &mut Criterion) {
    // Elements: codes written. The pyramid's features, and the pooled ones of 1x1.
    let mut group = criterion.benchmark_group("resize");
    for source in [Picture::new(17, 17, 256), Picture::new(1, 1, 256)] {
        resample(&mut group, RESIZE, &source, &mut Picture::new(65, 65, 256));
    }
    group.finish();
    // Elements: codes of the enlarged logits, which are compared but not written.
    let mut group = criterion.benchmark_group("argmax");
    let (logits, mut mask) = (Picture::new(65, 65, 21), Picture::new(257, 257, 1));
    resample(&mut group, ARGMAX, &logits, &mut mask);
    group.finish();
}

/// Elements: codes written.
fn elementwise(criterion: &mut Criterion) {
    let mut table = [0; 768];
    fill(&mut table);
    let mut group = criterion.benchmark_group("input");
    let (source, mut target) = (Picture::new(257, 257, 3), Picture::new(257, 257, 3));
    for (name, run) in available(INPUT) {
        bench(&mut group, name, &source.shape(), source.codes(), || {
            let rgb = black_box(source.bytes.get());
            run(rgb, [0, 1, 2], &table, black_box(target.target()));
        });
    }
    group.finish();

    let (a, b) = (Picture::new(65, 65, 144), Picture::new(65, 65, 144));
    let factors = Picture::new(1, 1, 144);
    let mut target = Picture::new(65, 65, 144);
    let (shape, codes) = (a.shape(), a.codes());

    let mut group = criterion.benchmark_group("map");
    let (table, _) = table.as_chunks::<256>();
    for (name, run) in available(MAP) {
        bench(&mut group, name, &shape, codes, || {
            run(black_box(a.source()), &table[0], black_box(target.target()));
        });
    }
    group.finish();

    let args = AddArgs {
        a_zero_point: 120,
        b_zero_point: 130,
        a_scale: 0.7,
        b_scale: 0.6,
        output_zero_point: 125,
        clamp: [0, 255],
        b_first: false,
    };
    let mut group = criterion.benchmark_group("add");
    for (name, run) in available(ADD) {
        bench(&mut group, name, &shape, codes, || {
            run(
                black_box(a.source()),
                b.source(),
                &args,
                black_box(target.target()),
            );
        });
    }
    group.finish();

    let args = MulArgs {
        a_zero_point: 120,
        b_zero_point: 130,
        scale: 0.01,
        output_zero_point: 125,
        clamp: [0, 255],
    };
    let mut group = criterion.benchmark_group("mul");
    for (other, shape) in [(&b, shape.clone()), (&factors, format!("{shape}-by-1x1"))] {
        for (name, run) in available(MUL) {
            bench(&mut group, name, &shape, codes, || {
                run(
                    black_box(a.source()),
                    other.source(),
                    &args,
                    black_box(target.target()),
                );
            });
        }
    }
    group.finish();
}

/// Elements: codes read, those outside the picture included.
fn pools(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("average-pool");
    let (source, mut target) = (Picture::new(17, 17, 320), Picture::new(1, 1, 320));
    let args = PoolArgs {
        window: Window {
            kernel: [17; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [0; 2],
        },
        count_outside: false,
        input_zero_point: 120,
        scale: 1.1,
        output_zero_point: 125,
        clamp: [0, 255],
    };
    for (name, run) in available(AVERAGE_POOL) {
        bench(&mut group, name, &source.shape(), source.codes(), || {
            run(
                black_box(source.source()),
                &args,
                black_box(target.target()),
            );
        });
    }
    group.finish();

    // The stem of a ResNet; a MobileNet has no such pool.
    let mut group = criterion.benchmark_group("max-pool");
    let (source, mut target) = (Picture::new(129, 129, 64), Picture::new(65, 65, 64));
    let codes = 9 * target.codes();
    for (name, run) in available(MAX_POOL) {
        bench(&mut group, name, &source.shape(), codes, || {
            run(
                black_box(source.source()),
                &window(3, 2, 1),
                black_box(target.target()),
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = kernels;
    // A slow scalar kernel takes half a second a run.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = convolutions, resampling, elementwise, pools
}
criterion_main!(kernels);
