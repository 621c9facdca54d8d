//! The kernels of each operation, best first and the scalar one last.
//!
//! Every variant gives the bytes that the scalar one gives; the tests run all that
//! this processor has. A new variant is chosen, tested and benched by being listed.

#[cfg(target_arch = "aarch64")]
use super::aarch64;
use super::cpu::{Cpu, Tier};
use super::imaging::{NearestColumns, RowRing, Taps, YuvFactors, YuvRow};
use super::mean_field::{BlurArgs, InferArgs, SendArgs};
use super::scratch::Scratch;
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{
    AddArgs, ConvArgs, MulArgs, PoolArgs, Resample, Residual, Source, Target, Window, scalar,
};

/// One way to do an operation.
#[derive(Debug, Clone, Copy)]
pub struct Variant<K> {
    /// `{op}-{types}-{tier}-{tile}`.
    pub name: &'static str,
    /// The instructions it needs.
    pub tier: Tier,
    /// Given out only where the processor has the instructions: see [`allowed`].
    kernel: K,
}

impl<K> Variant<K> {
    pub(super) const fn new(name: &'static str, tier: Tier, kernel: K) -> Self {
        Self { name, tier, kernel }
    }
}

/// A convolution's numbers as one kernel likes them: made once, when a program is
/// loaded.
pub trait Convolution: Send + Sync {
    /// Grows the memory to what a run needs, so that no run allocates.
    fn reserve(&self, scratch: &mut Scratch);

    /// Convolution, see [`ConvArgs`]; a [`Residual`] is added to its result.
    ///
    /// The source has `groups` times the channels of a group, the target as many as
    /// there are biases, and the residual the target's shape. Any range of pixels
    /// may be asked for.
    fn run(
        &self,
        source: Source<'_>,
        residual: Option<&Residual<'_>>,
        target: Target<'_>,
        scratch: &mut Scratch,
    );
}

/// Packs a convolution; `None` where the kernel is not made for it.
pub type PackConv = fn(&ConvArgs<'_>) -> Option<Box<dyn Convolution>>;
/// See [`scalar::input`].
pub type Input = fn(&[u8], [u8; 3], &[u8], Target<'_>);
/// See [`scalar::map`].
pub type Map = fn(Source<'_>, &[u8; 256], Target<'_>);
/// See [`scalar::add`].
pub type Add = fn(Source<'_>, Source<'_>, &AddArgs, Target<'_>);
/// See [`scalar::mul`].
pub type Mul = fn(Source<'_>, Source<'_>, &MulArgs, Target<'_>);
/// See [`scalar::maximum`].
pub type Maximum = fn(Source<'_>, Source<'_>, Target<'_>);
/// See [`scalar::depth_to_space`].
pub type DepthToSpace = fn(Source<'_>, [usize; 2], [usize; 2], Target<'_>);
/// See [`scalar::average_pool`].
pub type AveragePool = fn(Source<'_>, &PoolArgs, Target<'_>);
/// See [`scalar::max_pool`].
pub type MaxPool = fn(Source<'_>, &Window, Target<'_>);

/// See [`scalar::colour`].
pub type Colour = fn(&YuvFactors, YuvRow<'_>, &mut [u8]);
/// See [`scalar::filter_rows`].
pub type FilterRows = fn(RowRing<'_>, Taps<'_>, usize, &mut [i16]);
/// See [`scalar::filter_columns`].
pub type FilterColumns = fn(&[i16], Taps<'_>, &mut [u8]);
/// See [`scalar::nearest`].
pub type Nearest = fn(&NearestColumns, &[u8], &mut [u8]);

/// The kernels of mean field inference.
#[derive(Debug, Clone, Copy)]
pub struct MeanFieldKernels {
    /// See [`BlurArgs`].
    pub blur: fn(BlurArgs<'_>),
    /// See [`InferArgs`].
    pub infer: fn(InferArgs<'_>),
    /// See [`SendArgs`]; by position and colour.
    pub send_appearance: fn(SendArgs<'_, 6>),
    /// See [`SendArgs`]; by position.
    pub send_smoothness: fn(SendArgs<'_, 3>),
}

/// A kernel that gives a picture another size, or the classes of one.
#[derive(Debug, Clone, Copy)]
pub struct Resampler {
    /// See [`scalar::resize`] and [`scalar::argmax`].
    pub run: fn(Source<'_>, Resample, Target<'_>, &mut Scratch),
    /// Bytes of scratch for a source of a width and channels, and a target of a width.
    pub scratch: fn(usize, usize, usize) -> usize,
}

/// Convolutions.
pub static CONV: &[Variant<PackConv>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "depthwise-u8s8-avx512vnni-64",
        Tier::Avx512Vnni,
        x86_64::avx512::depthwise,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "conv-u8s8-avx512vnni-6x64",
        Tier::Avx512Vnni,
        x86_64::avx512::conv,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "depthwise-u8s8-avxvnni-32",
        Tier::AvxVnni,
        x86_64::avxvnni::depthwise,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "conv-u8s8-avxvnni-6x16",
        Tier::AvxVnni,
        x86_64::avxvnni::conv,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "depthwise-u8s8-avx2-32",
        Tier::Avx2,
        x86_64::avx2::depthwise,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new("conv-u8s8-avx2-6x16", Tier::Avx2, x86_64::avx2::conv),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "depthwise-u8s8-i8mm-16",
        Tier::I8mm,
        aarch64::i8mm::depthwise,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new("conv-u8s8-i8mm-12x8", Tier::I8mm, aarch64::i8mm::conv),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "depthwise-u8s8-dotprod-16",
        Tier::Dotprod,
        aarch64::dotprod::depthwise,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "conv-u8s8-dotprod-12x8",
        Tier::Dotprod,
        aarch64::dotprod::conv,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "depthwise-u8s8-neon-16",
        Tier::Neon,
        aarch64::neon::depthwise,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new("conv-u8s8-neon-4x4", Tier::Neon, aarch64::neon::conv),
    Variant::new("conv-u8s8-scalar", Tier::Scalar, scalar::pack),
];
/// The input picture through its tables.
pub static INPUT: &[Variant<Input>] = &[
    #[cfg(target_arch = "aarch64")]
    Variant::new("input-u8-neon-16", Tier::Neon, aarch64::table::input),
    Variant::new("input-u8-scalar", Tier::Scalar, scalar::input),
];
/// Tables.
pub static MAP: &[Variant<Map>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new("map-u8-avx512vbmi-64", Tier::Avx512Vbmi, x86_64::table::map),
    #[cfg(target_arch = "aarch64")]
    Variant::new("map-u8-neon-16", Tier::Neon, aarch64::table::map),
    Variant::new("map-u8-scalar", Tier::Scalar, scalar::map),
];
/// Sums.
pub static ADD: &[Variant<Add>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new("add-u8-avx2-8", Tier::Avx2, x86_64::portable::add),
    #[cfg(target_arch = "aarch64")]
    Variant::new("add-u8-neon-16", Tier::Neon, aarch64::elementwise::add),
    Variant::new("add-u8-scalar", Tier::Scalar, scalar::add),
];
/// Products.
pub static MUL: &[Variant<Mul>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new("mul-u8-avx2-8", Tier::Avx2, x86_64::portable::mul),
    #[cfg(target_arch = "aarch64")]
    Variant::new("mul-u8-neon-16", Tier::Neon, aarch64::elementwise::mul),
    Variant::new("mul-u8-scalar", Tier::Scalar, scalar::mul),
];
/// Means over a window.
pub static AVERAGE_POOL: &[Variant<AveragePool>] = &[Variant::new(
    "average_pool-u8-scalar",
    Tier::Scalar,
    scalar::average_pool,
)];
/// Largest codes over a window.
pub static MAX_POOL: &[Variant<MaxPool>] = &[Variant::new(
    "max_pool-u8-scalar",
    Tier::Scalar,
    scalar::max_pool,
)];
/// The larger of two codes. What compilers make of the loop is as fast as memory.
pub static MAXIMUM: &[Variant<Maximum>] =
    &[Variant::new("max-u8-scalar", Tier::Scalar, scalar::maximum)];
/// Channels that become pixels: copies.
pub static DEPTH_TO_SPACE: &[Variant<DepthToSpace>] = &[Variant::new(
    "depth_to_space-u8-scalar",
    Tier::Scalar,
    scalar::depth_to_space,
)];
/// Pictures of another size.
pub static RESIZE: &[Variant<Resampler>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "resize-u8-avx512vnni-16",
        Tier::Avx512Vnni,
        x86_64::resample::RESIZE_AVX512,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "resize-u8-avx2-8",
        Tier::Avx2,
        x86_64::resample::RESIZE_AVX2,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new("resize-u8-neon-4", Tier::Neon, aarch64::resample::RESIZE),
    Variant::new("resize-u8-scalar", Tier::Scalar, scalar::RESIZE),
];
/// Classes of a resized picture.
pub static ARGMAX: &[Variant<Resampler>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "argmax-u8-avx512vnni-16",
        Tier::Avx512Vnni,
        x86_64::resample::ARGMAX_AVX512,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "argmax-u8-avx2-8",
        Tier::Avx2,
        x86_64::resample::ARGMAX_AVX2,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new("argmax-u8-neon-4", Tier::Neon, aarch64::resample::ARGMAX),
    Variant::new("argmax-u8-scalar", Tier::Scalar, scalar::ARGMAX),
];
/// Rows of a camera's frame to red, green and blue.
pub static COLOUR: &[Variant<Colour>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "colour-u8-avx512vbmi-32",
        Tier::Avx512Vbmi,
        x86_64::imaging::colour_avx512,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new("colour-u8-avx2-16", Tier::Avx2, x86_64::imaging::colour),
    #[cfg(target_arch = "aarch64")]
    Variant::new("colour-u8-neon-16", Tier::Neon, aarch64::imaging::colour),
    Variant::new("colour-u8-scalar", Tier::Scalar, scalar::colour),
];
/// The first pass of a filter.
pub static FILTER_ROWS: &[Variant<FilterRows>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "filter_rows-u8-avx2-16",
        Tier::Avx2,
        x86_64::imaging::filter_rows,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "filter_rows-u8-neon-16",
        Tier::Neon,
        aarch64::imaging::filter_rows,
    ),
    Variant::new("filter_rows-u8-scalar", Tier::Scalar, scalar::filter_rows),
];
/// The second pass of a filter.
pub static FILTER_COLUMNS: &[Variant<FilterColumns>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "filter_columns-i16-avx2-4",
        Tier::Avx2,
        x86_64::imaging::filter_columns,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "filter_columns-i16-neon-4",
        Tier::Neon,
        aarch64::imaging::filter_columns,
    ),
    Variant::new(
        "filter_columns-i16-scalar",
        Tier::Scalar,
        scalar::filter_columns,
    ),
];
/// Rows that repeat the pixels of others.
pub static NEAREST: &[Variant<Nearest>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new("nearest-u8-avx2-16", Tier::Avx2, x86_64::imaging::nearest),
    #[cfg(target_arch = "aarch64")]
    Variant::new("nearest-u8-neon-16", Tier::Neon, aarch64::imaging::nearest),
    Variant::new("nearest-u8-scalar", Tier::Scalar, scalar::nearest),
];

/// Mean field inference.
pub static MEAN_FIELD: &[Variant<MeanFieldKernels>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "mean_field-f32-avx512vnni-8",
        Tier::Avx512Vnni,
        x86_64::mean_field::AVX512,
    ),
    #[cfg(target_arch = "x86_64")]
    Variant::new(
        "mean_field-f32-avx2-8",
        Tier::Avx2,
        x86_64::mean_field::AVX2,
    ),
    #[cfg(target_arch = "aarch64")]
    Variant::new(
        "mean_field-f32-neon-8",
        Tier::Neon,
        aarch64::mean_field::MEAN_FIELD,
    ),
    Variant::new(
        "mean_field-f32-scalar",
        Tier::Scalar,
        MeanFieldKernels {
            blur: scalar::mean_field::blur,
            infer: scalar::mean_field::infer,
            send_appearance: scalar::mean_field::send,
            send_smoothness: scalar::mean_field::send,
        },
    ),
];

/// The variants that a processor allows, best first: name and kernel.
pub fn allowed<K: Copy>(
    table: &'static [Variant<K>],
    cpu: Cpu,
) -> impl Iterator<Item = (&'static str, K)> {
    let allowed = table.iter().filter(move |variant| cpu.allows(variant.tier));
    allowed.map(|variant| (variant.name, variant.kernel))
}

/// The best variant that a processor allows: its name and its kernel.
///
/// # Panics
/// If the table has no scalar variant; all of this module's have.
pub fn best<K: Copy>(table: &'static [Variant<K>], cpu: Cpu) -> (&'static str, K) {
    let best = allowed(table, cpu).next();
    best.expect("a table of kernels without a scalar one")
}

/// A convolution packed for the best kernel that a processor allows, and its name.
///
/// # Panics
/// As [`best`].
pub fn pack_conv(args: &ConvArgs<'_>, cpu: Cpu) -> (&'static str, Box<dyn Convolution>) {
    let mut packed = allowed(CONV, cpu).filter_map(|(name, pack)| Some((name, pack(args)?)));
    packed
        .next()
        .expect("a table of kernels without a scalar one")
}

#[cfg(test)]
mod tests;
