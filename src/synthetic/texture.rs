//! Pictures made in advance, kept at every halving of each axis so that a wall seen at a grazing
//! angle stays sharp along the axis that is not foreshortened.

use super::math::{Rgb, floor};

/// A texture: four bytes a texel (red, green, blue, and a fourth whose meaning is the user's:
/// coverage for cut-outs with colour premultiplied, own light for walls).
pub struct Texture {
    width_bits: u32,
    height_bits: u32,
    /// Repeats along v as well as along u.
    tile_v: bool,
    offsets: Vec<usize>,
    texels: Vec<u32>,
    /// Which tiles of a cut-out hold nothing, [`TILES`] a row; tiles next to it hold nothing
    /// near the common edge either.
    clear: Vec<bool>,
}

/// Tiles along each side of a texture, for [`Level::clear`].
const TILES: usize = 16;

/// Packs a colour in 0..1 and a fourth value in 0..1.
pub fn pack(colour: Rgb, fourth: f32) -> u32 {
    let byte = |v: f32| u32::from((v * 255.0 + 0.5) as u8);
    byte(colour[0]) | byte(colour[1]) << 8 | byte(colour[2]) << 16 | byte(fourth) << 24
}

const PAIRS: u32 = 0x00ff_00ff;

/// Both outer bytes of two words blended at once; `t` in 0..=256.
fn blend(a: u32, b: u32, t: u32) -> u32 {
    let even = ((a & PAIRS) * (256 - t) + (b & PAIRS) * t) >> 8 & PAIRS;
    let odd = ((a >> 8 & PAIRS) * (256 - t) + (b >> 8 & PAIRS) * t) & !PAIRS;
    even | odd
}

/// The halving to use for a footprint of `texels` texels a pixel.
pub fn level(texels: f32) -> u32 {
    ((texels * 1.25).to_bits() >> 23 & 0xff).saturating_sub(127)
}

impl Texture {
    /// From `1 << width_bits` by `1 << height_bits` texels, top row first.
    pub fn new(width_bits: u32, height_bits: u32, tile_v: bool, base: Vec<u32>) -> Self {
        let (width, height) = (1usize << width_bits, 1usize << height_bits);
        assert_eq!(base.len(), width * height, "texture size");
        let clear = clear_tiles(width, height, &base);
        let mut offsets = vec![0];
        let mut texels = base;
        for v in 0..=height_bits {
            for u in 0..=width_bits {
                if (u, v) == (0, 0) {
                    continue;
                }
                let start = texels.len();
                let (w, h) = (width >> u, height >> v);
                let columns = width_bits as usize + 1;
                if u > 0 {
                    let from = offsets[v as usize * columns + u as usize - 1];
                    for i in 0..w * h {
                        let at = from + i / w * 2 * w + i % w * 2;
                        texels.push(blend(texels[at], texels[at + 1], 128));
                    }
                } else {
                    let from = offsets[(v as usize - 1) * columns];
                    for i in 0..w * h {
                        let at = from + i / w * 2 * w + i % w;
                        texels.push(blend(texels[at], texels[at + w], 128));
                    }
                }
                offsets.push(start);
            }
        }
        Self {
            width_bits,
            height_bits,
            tile_v,
            offsets,
            texels,
            clear,
        }
    }

    /// Texels along u and v.
    pub fn size(&self) -> (f32, f32) {
        (
            (1u32 << self.width_bits) as f32,
            (1u32 << self.height_bits) as f32,
        )
    }

    /// The picture at the given halvings, for [`Level::walk`].
    pub fn at(&self, level_u: u32, level_v: u32) -> Level<'_> {
        let (u, v) = (level_u.min(self.width_bits), level_v.min(self.height_bits));
        let (wb, hb) = (self.width_bits - u, self.height_bits - v);
        let start = self.offsets[(v * (self.width_bits + 1) + u) as usize];
        Level {
            texels: &self.texels[start..start + (1usize << (wb + hb))],
            width_bits: wb,
            width: (1u32 << wb) as f32,
            height: (1u32 << hb) as f32,
            mask_u: (1i32 << wb) - 1,
            mask_v: (1i32 << hb) - 1,
            tile_v: self.tile_v,
            clear: &self.clear,
        }
    }
}

/// One halving of a [`Texture`].
#[derive(Clone, Copy)]
pub struct Level<'a> {
    texels: &'a [u32],
    width_bits: u32,
    width: f32,
    height: f32,
    mask_u: i32,
    mask_v: i32,
    tile_v: bool,
    clear: &'a [bool],
}

/// A tile counts as clear if it and the texels around it have no coverage.
fn clear_tiles(width: usize, height: usize, texels: &[u32]) -> Vec<bool> {
    let mut clear = vec![true; TILES * TILES];
    let (tw, th) = ((width / TILES).max(1), (height / TILES).max(1));
    for (i, _) in texels
        .iter()
        .enumerate()
        .filter(|(_, texel)| *texel >> 24 != 0)
    {
        let (x, y) = (i % width, i / width);
        let tile = |at: usize, size: usize| (at / size).min(TILES - 1);
        for y in [y.saturating_sub(th / 2), y + th / 2] {
            for x in [x.saturating_sub(tw / 2), x + tw / 2] {
                clear[tile(y, th) * TILES + tile(x, tw)] = false;
            }
        }
    }
    clear
}

impl Level<'_> {
    /// Whether nothing is covered on the way from one `(u, v)` to another; says no when in doubt.
    pub fn clear(&self, u: [f32; 2], v: [f32; 2]) -> bool {
        let tile = |at: f32| floor(at * TILES as f32).clamp(0, TILES as i32 - 1) as usize;
        let range = |[a, b]: [f32; 2]| (tile(a.min(b)), tile(a.max(b)));
        let ((x0, x1), (y0, y1)) = (range(u), range(v));
        // A far picture is coarser than its tiles; a long way would take long to check.
        if self.mask_u < 63 || self.mask_v < 63 || (x1 - x0) * (y1 - y0) > 8 {
            return false;
        }
        (y0..=y1).all(|y| {
            self.clear[y * TILES + x0..=y * TILES + x1]
                .iter()
                .all(|&clear| clear)
        })
    }

    /// Calls `each` with `count` texels from `from` on, `step` apart; `(u, v)` are 0..1 over the
    /// whole texture, v downwards. Texels are blended with their neighbours unless `nearest`.
    #[inline]
    pub fn walk(
        &self,
        from: [f32; 2],
        step: [f32; 2],
        count: usize,
        nearest: bool,
        mut each: impl FnMut(usize, u32),
    ) {
        // Sixteen bits of fraction; whole turns wrap off the top, which suits a tiling texture.
        let fixed = |at: f32| (at * 65_536.0) as i64 as i32;
        let half = if nearest { 0.0 } else { 0.5 };
        let mut x = fixed(from[0] * self.width - half);
        let mut y = fixed(from[1] * self.height - half);
        let (dx, dy) = (fixed(step[0] * self.width), fixed(step[1] * self.height));
        let high = |y: i32| {
            if self.tile_v {
                y & self.mask_v
            } else {
                y.clamp(0, self.mask_v)
            }
        };
        let at = |x: i32, y: i32| self.texels[((y as usize) << self.width_bits) + x as usize];
        for i in 0..count {
            let (ix, iy) = (x >> 16, y >> 16);
            let (x0, y0) = (ix & self.mask_u, high(iy));
            let texel = if nearest {
                at(x0, y0)
            } else {
                let (x1, y1) = ((ix + 1) & self.mask_u, high(iy + 1));
                let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
                let (tx, ty) = ((x >> 8 & 0xff) as u32, (y >> 8 & 0xff) as u32);
                if a | b | c | d == 0 {
                    // Most of a tree's picture is clear.
                    0
                } else {
                    blend(blend(a, b, tx), blend(c, d, tx), ty)
                }
            };
            each(i, texel);
            x = x.wrapping_add(dx);
            y = y.wrapping_add(dy);
        }
    }

    /// The blended texel at `(u, v)`.
    #[cfg(test)]
    fn sample(&self, u: f32, v: f32) -> u32 {
        let mut out = 0;
        self.walk([u, v], [0.0; 2], 1, false, |_, texel| out = texel);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halvings_average() {
        let texture = Texture::new(1, 1, true, vec![0x00, 0x40, 0x80, 0xc0]);
        assert_eq!(texture.at(1, 1).sample(0.3, 0.9), 0x60);
        assert_eq!(texture.at(0, 0).sample(0.25, 0.25), 0x00);
        assert_eq!(texture.at(9, 9).sample(0.0, 0.0), 0x60);
    }

    #[test]
    fn levels_follow_the_footprint() {
        assert_eq!(
            [level(0.1), level(1.0), level(2.0), level(9.0)],
            [0, 0, 1, 3]
        );
    }
}
