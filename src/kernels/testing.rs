//! Pictures to test with, and the definitions of the formulas, written for reading
//! and independent of the kernels.

use std::ops::Range;

use proptest::prelude::*;

use crate::kernels::{AddArgs, Coordinates, NearestRule, Resample, Source, Target, Window};

/// A picture of its own memory. Equality covers the bytes between pixels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    data: Vec<u8>,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pixel_stride: usize,
}

impl Picture {
    pub(crate) fn new(height: usize, width: usize, channels: usize, pixel_stride: usize) -> Self {
        Self {
            // No byte more than promised.
            data: vec![0xa5; (height * width - 1) * pixel_stride + channels],
            height,
            width,
            channels,
            pixel_stride,
        }
    }

    fn index(&self, y: usize, x: usize, c: usize) -> usize {
        assert!(y < self.height && x < self.width && c < self.channels);
        (y * self.width + x) * self.pixel_stride + c
    }

    pub(crate) fn at(&self, y: usize, x: usize, c: usize) -> u8 {
        self.data[self.index(y, x, c)]
    }

    /// Sets every code, and no byte between pixels.
    pub(crate) fn fill(&mut self, code: impl Fn(usize, usize, usize) -> u8) {
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..self.channels {
                    let index = self.index(y, x, c);
                    self.data[index] = code(y, x, c);
                }
            }
        }
    }

    pub(crate) fn cut_to_one_pixel(&self) -> Self {
        Self {
            data: self.data[..self.channels].to_vec(),
            height: 1,
            width: 1,
            ..*self
        }
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            data: &self.data,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.pixel_stride,
        }
    }

    pub(crate) fn target(&mut self) -> Target<'_> {
        self.part(0..self.height * self.width)
    }

    /// Some pixels, and no byte after the last one's channels.
    pub(crate) fn part(&mut self, range: Range<usize>) -> Target<'_> {
        let start = (range.start * self.pixel_stride).min(self.data.len());
        let end = match range.len() {
            0 => start,
            count => start + (count - 1) * self.pixel_stride + self.channels,
        };
        Target {
            data: &mut self.data[start..end],
            range,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixel_stride: self.pixel_stride,
        }
    }
}

/// Bytes that look random (xorshift), with many of the extreme ones.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state >> 60 {
            0 => 0,
            1 => 255,
            2 => 127,
            3 => 128,
            _ => (state >> 32) as u8,
        }
    };
    (0..len).map(|_| next()).collect()
}

/// A picture of this shape, in most cases with bytes between its pixels.
pub(crate) fn picture_of(
    height: usize,
    width: usize,
    channels: usize,
) -> impl Strategy<Value = Picture> {
    (0usize..4, any::<u64>()).prop_map(move |(between, seed)| {
        let mut picture = Picture::new(height, width, channels, channels + between);
        picture.data = bytes(seed, picture.data.len());
        picture
    })
}

/// A picture of random codes without bytes between its pixels.
pub(crate) fn seeded(seed: u64, height: usize, width: usize, channels: usize) -> Picture {
    let mut picture = Picture::new(height, width, channels, channels);
    picture.data = bytes(seed, picture.data.len());
    picture
}

/// A picture of any size, 1x1 included.
pub(crate) fn picture(channels: usize) -> impl Strategy<Value = Picture> {
    (1usize..12, 1usize..12).prop_flat_map(move |(h, w)| picture_of(h, w, channels))
}

/// A window; paddings and dilations exceed the pictures.
pub(crate) fn window() -> impl Strategy<Value = Window> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let dilation = || prop_oneof![3 => Just(1usize), 1 => 1usize..16];
    (
        pair(1..5),
        pair(1..4),
        [dilation(), dilation()],
        prop_oneof![pair(0..3), pair(0..30)],
    )
        .prop_map(|(kernel, stride, dilation, pad)| Window {
            kernel,
            stride,
            dilation,
            pad,
        })
}

pub(crate) fn clamp() -> impl Strategy<Value = [u8; 2]> {
    prop_oneof![
        Just([0, 255]),
        any::<[u8; 2]>().prop_map(|[a, b]| [a.min(b), a.max(b)])
    ]
}

/// A scale; powers of two make ties.
pub(crate) fn scale() -> impl Strategy<Value = f32> {
    prop_oneof![1e-3f32..4.0, Just(0.5), Just(0.25), Just(1.0), Just(3e38)]
}

pub(crate) fn add_args() -> impl Strategy<Value = AddArgs> {
    let scale = || prop_oneof![1e-3f32..4.0, Just(0.5), Just(0.25)];
    let scales = (scale(), scale());
    (any::<[u8; 3]>(), scales, clamp(), any::<bool>()).prop_map(
        |(zeros, (a_scale, b_scale), clamp, b_first)| AddArgs {
            a_zero_point: zeros[0],
            b_zero_point: zeros[1],
            a_scale,
            b_scale,
            output_zero_point: zeros[2],
            clamp,
            b_first,
        },
    )
}

pub(crate) fn coordinates() -> impl Strategy<Value = Coordinates> {
    prop_oneof![
        Just(Coordinates::AlignCorners),
        Just(Coordinates::HalfPixel),
        Just(Coordinates::Asymmetric),
        Just(Coordinates::Middle)
    ]
}

pub(crate) fn nearest_rule() -> impl Strategy<Value = NearestRule> {
    prop_oneof![
        Just(NearestRule::Floor),
        Just(NearestRule::Ceil),
        Just(NearestRule::RoundPreferFloor),
        Just(NearestRule::RoundPreferCeil)
    ]
}

pub(crate) fn resample() -> impl Strategy<Value = Resample> {
    prop_oneof![
        (coordinates(), nearest_rule()).prop_map(|(c, rule)| Resample::Nearest(c, rule)),
        coordinates().prop_map(Resample::Bilinear),
        coordinates().prop_map(Resample::Unrounded)
    ]
}

/// The definition of rounding to a code.
pub(crate) fn code(value: f32, zero_point: u8, clamp: [u8; 2]) -> u8 {
    let rounded = value.round_ties_even() as i32;
    let code = rounded.saturating_add(i32::from(zero_point));
    code.clamp(i32::from(clamp[0]), i32::from(clamp[1])) as u8
}

/// The definition of a sum.
pub(crate) fn added(a: u8, b: u8, args: &AddArgs) -> u8 {
    if args.b_first {
        let exchanged = AddArgs {
            a_zero_point: args.b_zero_point,
            b_zero_point: args.a_zero_point,
            a_scale: args.b_scale,
            b_scale: args.a_scale,
            b_first: false,
            ..*args
        };
        return added(b, a, &exchanged);
    }
    let fma = f32::mul_add;
    let zero_b = f32::from(args.b_zero_point) * args.b_scale;
    let zeros = fma(f32::from(args.a_zero_point), args.a_scale, zero_b);
    let offset = f32::from(args.output_zero_point) - zeros;
    let b_and_offset = fma(f32::from(b), args.b_scale, offset);
    let value = fma(f32::from(a), args.a_scale, b_and_offset);
    code(value, 0, args.clamp)
}

/// The taps of an output pixel inside the picture: kernel row and column, input row
/// and column.
pub(crate) fn taps(
    window: &Window,
    oy: usize,
    ox: usize,
    source: &Picture,
) -> Vec<(usize, usize, usize, usize)> {
    let mut taps = Vec::new();
    for ky in 0..window.kernel[0] {
        for kx in 0..window.kernel[1] {
            let y = (oy * window.stride[0] + ky * window.dilation[0]) as i64;
            let x = (ox * window.stride[1] + kx * window.dilation[1]) as i64;
            let (y, x) = (y - window.pad[0] as i64, x - window.pad[1] as i64);
            let inside = (0..source.height as i64).contains(&y);
            if inside && (0..source.width as i64).contains(&x) {
                taps.push((ky, kx, y as usize, x as usize));
            }
        }
    }
    taps
}

/// The position of output pixel `o` of `n` among `m`, a ratio.
fn position(coordinates: Coordinates, o: usize, n: usize, m: usize) -> (i128, i128) {
    let (o, n, m) = (o as i128, n as i128, m as i128);
    match coordinates {
        Coordinates::AlignCorners if n == 1 => (0, 1),
        Coordinates::AlignCorners => (o * (m - 1), n - 1),
        // (o + 1/2) * m / n - 1/2, all times 2n.
        Coordinates::HalfPixel => ((2 * o + 1) * m - n, 2 * n),
        Coordinates::Asymmetric => (o * m, n),
        Coordinates::Middle => (o - (n - m).div_euclid(2), 1),
    }
}

/// The definition of the nearest pixel.
pub(crate) fn nearest(
    coordinates: Coordinates,
    rule: NearestRule,
    o: usize,
    n: usize,
    m: usize,
) -> usize {
    let (a, d) = position(coordinates, o, n, m);
    let (before, rest) = (a.div_euclid(d), a.rem_euclid(d));
    let after = before + i128::from(rest > 0);
    let chosen = match rule {
        NearestRule::Floor => before,
        NearestRule::Ceil => after,
        NearestRule::RoundPreferFloor if 2 * rest <= d => before,
        NearestRule::RoundPreferCeil if 2 * rest < d => before,
        NearestRule::RoundPreferFloor | NearestRule::RoundPreferCeil => after,
    };
    chosen.clamp(0, m as i128 - 1) as usize
}

/// The definition of a bilinear position: pixel and fraction.
pub(crate) fn bilinear_position(
    coordinates: Coordinates,
    o: usize,
    n: usize,
    m: usize,
) -> (usize, u32) {
    let (a, d) = position(coordinates, o, n, m);
    let last = m as i128 - 1;
    if a <= 0 {
        return (0, 0);
    }
    if a >= last * d {
        return (last as usize, 0);
    }
    let (mut before, rest) = (a / d, a % d);
    let parts = rest * 2048;
    let mut fraction = parts / d + i128::from(2 * (parts % d) >= d);
    if fraction == 2048 {
        (before, fraction) = (before + 1, 0);
    }
    (before as usize, fraction as u32)
}

/// The definition of one code of a resized picture.
pub(crate) fn resized(
    source: &Picture,
    resample: Resample,
    (oy, ox): (usize, usize),
    (height, width): (usize, usize),
    c: usize,
) -> u8 {
    match resample {
        Resample::Nearest(coordinates, rule) => source.at(
            nearest(coordinates, rule, oy, height, source.height),
            nearest(coordinates, rule, ox, width, source.width),
            c,
        ),
        Resample::Bilinear(coordinates) | Resample::Unrounded(coordinates) => {
            ((sum(source, coordinates, (oy, ox), (height, width), c) + (1 << 21)) >> 22) as u8
        }
    }
}

/// The definition of what a choice of the class compares.
pub(crate) fn compared(
    source: &Picture,
    resample: Resample,
    at: (usize, usize),
    size: (usize, usize),
    c: usize,
) -> u32 {
    match resample {
        Resample::Unrounded(coordinates) => sum(source, coordinates, at, size, c) >> 8,
        _ => u32::from(resized(source, resample, at, size, c)),
    }
}

/// The definition of a bilinear sum.
fn sum(
    source: &Picture,
    coordinates: Coordinates,
    (oy, ox): (usize, usize),
    (height, width): (usize, usize),
    c: usize,
) -> u32 {
    let (y, fy) = bilinear_position(coordinates, oy, height, source.height);
    let (x, fx) = bilinear_position(coordinates, ox, width, source.width);
    let below = (y + 1).min(source.height - 1);
    let right = (x + 1).min(source.width - 1);
    let code = |y, x| u32::from(source.at(y, x, c));
    code(y, x) * (2048 - fy) * (2048 - fx)
        + code(y, right) * (2048 - fy) * fx
        + code(below, x) * fy * (2048 - fx)
        + code(below, right) * fy * fx
}
