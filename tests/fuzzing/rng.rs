//! Random numbers that a seed repeats.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// Numbers at which sizes and indices go wrong.
const EDGES: [i64; 22] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    63,
    64,
    127,
    255,
    256,
    65_535,
    65_536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    u32::MAX as i64,
    1 << 32,
    i64::MAX,
    i64::MIN,
];

impl Rng {
    /// The numbers of input `index` of a run with this seed.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = Self(seed);
        let start = rng.bits() ^ index;
        Self(start)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % (end.max(1) as u64)) as usize
    }

    /// Whether one in `n` says so.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of a list.
    ///
    /// # Panics
    /// If it is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A number to put in the place of `old`: an edge, a neighbour, or any.
    pub fn number(&mut self, old: i64) -> i64 {
        match self.below(8) {
            0..=3 => *self.pick(&EDGES),
            4 => old.wrapping_add(1),
            5 => old.wrapping_sub(1),
            6 => old.wrapping_mul(2),
            _ => self.bits() as i64,
        }
    }

    /// A float to put in the place of another.
    pub fn float(&mut self) -> f32 {
        match self.below(6) {
            0 => 0.0,
            1 => -1.0,
            2 => f32::NAN,
            3 => f32::INFINITY,
            4 => 1e-42,
            _ => f32::from_bits(self.bits() as u32),
        }
    }

    /// Changes bytes in place: a few bits, a run, or the length.
    pub fn spoil(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.bits() as u8);
            return;
        }
        let at = self.below(bytes.len());
        match self.below(6) {
            0 | 1 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            2 => {
                let end = (at + 1 + self.below(16)).min(bytes.len());
                for byte in &mut bytes[at..end] {
                    *byte = self.bits() as u8;
                }
            }
            3 => bytes.truncate(at),
            // A splice of itself: something right in a wrong place.
            4 => {
                let from = self.below(bytes.len());
                let len = 1 + self.below(64);
                let part: Vec<u8> = bytes[from..].iter().copied().take(len).collect();
                bytes.splice(at..at, part);
            }
            _ => {
                let end = (at + 1 + self.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}
