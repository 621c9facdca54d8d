//! Checks that the entropy-coded data of a sequential JPEG are all there.
//!
//! Decoders fill what is missing with grey and report success. Walking the
//! Huffman codes (ITU-T T.81 Annex F.2.2) without computing coefficients costs a
//! fraction of decoding and tells a whole picture from one that lost its middle.

use super::marker;

/// The data end, or run into a marker, before the last block.
const CUT: &str = "the JPEG is cut short";
const DAMAGED: &str = "the JPEG's data are damaged";

/// Codes up to this length are looked up at once.
const FAST_BITS: u32 = 9;

/// One Huffman table.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// For each start of a code, its value and length; length 0 where the code is
    /// longer or does not exist.
    fast: [(u8, u8); 1 << FAST_BITS],
    /// For each length from 1, one past its last code, aligned to 16 bits; and
    /// what to add to a code to get its value's index.
    limits: [(u32, i32); 16],
    values: [u8; 256],
    count: usize,
}

impl Huffman {
    /// Reads a table's counts and values; returns it and the bytes it took.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let counts = bytes.get(..16)?;
        let count: usize = counts.iter().map(|&n| usize::from(n)).sum();
        let listed = bytes.get(16..16 + count)?;
        let mut values = [0; 256];
        values.get_mut(..count)?.copy_from_slice(listed);
        let mut fast = [(0, 0); 1 << FAST_BITS];
        let mut limits = [(0, 0); 16];
        let (mut code, mut index) = (0u32, 0usize);
        for (length, (&n, limit)) in (1u32..).zip(counts.iter().zip(&mut limits)) {
            let first = code;
            let codes = u32::from(n);
            if code + codes > 1 << length {
                return None;
            }
            if length <= FAST_BITS {
                let spread = 1 << (FAST_BITS - length);
                for &value in &values[index..index + usize::from(n)] {
                    let start = code as usize * spread;
                    fast[start..start + spread].fill((value, length as u8));
                    code += 1;
                }
            } else {
                code += codes;
            }
            *limit = (code << (16 - length), index as i32 - first as i32);
            index += usize::from(n);
            code <<= 1;
        }
        Some((
            Self {
                fast,
                limits,
                values,
                count,
            },
            16 + count,
        ))
    }
}

/// The Huffman tables in force, DC and AC, four of each.
#[derive(Debug, Default)]
pub(super) struct Tables([[Option<Box<Huffman>>; 4]; 2]);

impl Tables {
    /// Takes the tables of a DHT segment.
    pub(super) fn define(&mut self, mut segment: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "the JPEG has a bad Huffman table";
        while let [id, rest @ ..] = segment {
            let slot = self.0.get_mut(usize::from(id >> 4)).ok_or(BAD)?;
            let slot = slot.get_mut(usize::from(id & 15)).ok_or(BAD)?;
            let (table, length) = Huffman::parse(rest).ok_or(BAD)?;
            *slot = Some(Box::new(table));
            segment = &rest[length..];
        }
        Ok(())
    }

    fn get(&self, class: usize, id: u8) -> Result<&Huffman, &'static str> {
        let table = self.0[class]
            .get(usize::from(id))
            .and_then(Option::as_deref);
        table.ok_or("the JPEG lacks a Huffman table")
    }
}

/// One colour component of a frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) id: u8,
    /// Sampling factors, 1..=4.
    pub(super) across: u32,
    pub(super) down: u32,
}

/// Walks the scan whose header `segment` ends at `at`; returns where its data
/// end.
///
/// `size` is the picture's width and height, `parts` all its components and
/// `restart` the number of MCUs between restart markers, or 0.
pub(super) fn check_scan(
    data: &[u8],
    at: usize,
    segment: &[u8],
    size: (u32, u32),
    parts: &[Part],
    tables: &Tables,
    restart: u32,
) -> Result<usize, &'static str> {
    const BAD: &str = "the JPEG has a bad scan header";
    let (&count, rest) = segment.split_first().ok_or(BAD)?;
    let (selectors, _) = rest.as_chunks::<2>();
    let selectors = selectors.get(..usize::from(count)).ok_or(BAD)?;
    let most = |side: fn(&Part) -> u32| parts.iter().map(side).max().unwrap_or(1);
    let (across, down) = (most(|part| part.across), most(|part| part.down));
    // Tables of each block of an MCU, in order; at most 10 (T.81 B.2.3).
    let mut blocks = Vec::with_capacity(10);
    let mut grid = (size.0.div_ceil(8 * across), size.1.div_ceil(8 * down));
    for &[id, table] in selectors {
        let part = parts.iter().find(|part| part.id == id).ok_or(BAD)?;
        let pair = (tables.get(0, table >> 4)?, tables.get(1, table & 15)?);
        let mut repeat = part.across * part.down;
        if selectors.len() == 1 {
            // Alone in its scan, a component has one block in each MCU.
            let blocks = |side: u32, own: u32, most: u32| (side * own).div_ceil(most).div_ceil(8);
            grid = (
                blocks(size.0, part.across, across),
                blocks(size.1, part.down, down),
            );
            repeat = 1;
        }
        blocks.extend((0..repeat).map(|_| pair));
    }
    if blocks.is_empty() || blocks.len() > 10 {
        return Err(BAD);
    }
    let mut bits = Bits {
        data,
        at,
        buffer: 0,
        count: 0,
    };
    // Sizes were checked: at most 16384 / 8 either way.
    for mcu in 0..grid.0 * grid.1 {
        if restart != 0 && mcu != 0 && mcu % restart == 0 {
            bits.restart((mcu / restart - 1) % 8)?;
        }
        for (dc, ac) in &blocks {
            bits.skip_block(dc, ac)?;
        }
    }
    Ok(bits.at)
}

/// Reads bits up to the next marker.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// Bits not yet used, from the top; zeros below.
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// Tops the buffer up to more than 32 bits where the data allow.
    #[inline]
    fn fill(&mut self) {
        if let Some(&bytes) = self.data[self.at..].first_chunk::<4>() {
            let word = u32::from_be_bytes(bytes);
            // No byte is FF: no byte of the inverse is 0.
            let inverse = !word;
            if self.count <= 32 && inverse.wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.buffer |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        while self.count <= 32 {
            let (byte, length) = match self.data.get(self.at..) {
                Some([0xFF, 0x00, ..]) => (0xFF, 2),
                Some([0xFF, ..] | []) | None => return,
                Some(&[byte, ..]) => (byte, 1),
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }

    /// Reads a code, and skips as many bits after it as the low half of its value
    /// says (its whole value for DC, where it is below 16). Returns the value.
    #[inline(always)]
    fn skip_value(&mut self, table: &Huffman) -> Result<u8, &'static str> {
        // A code and its bits are at most 16 + 15.
        if self.count < 32 {
            self.fill();
        }
        let (mut value, length) = table.fast[(self.buffer >> (64 - FAST_BITS)) as usize];
        let mut length = u32::from(length);
        if length == 0 {
            let code = (self.buffer >> 48) as u32;
            let fits = |(limit, _): &(u32, i32)| code < *limit;
            let Some(index) = table.limits.iter().position(fits) else {
                return Err(if self.count < 16 { CUT } else { DAMAGED });
            };
            length = index as u32 + 1;
            let at = (code >> (16 - length)) as i32 + table.limits[index].1;
            value = *table.values[..table.count]
                .get(at as usize)
                .ok_or(DAMAGED)?;
        }
        let used = length + u32::from(value & 15);
        if used > self.count {
            return Err(CUT);
        }
        self.buffer <<= used;
        self.count -= used;
        Ok(value)
    }

    fn skip_block(&mut self, dc: &Huffman, ac: &Huffman) -> Result<(), &'static str> {
        if self.skip_value(dc)? > 15 {
            return Err(DAMAGED);
        }
        let mut index = 1;
        while index < 64 {
            let value = self.skip_value(ac)?;
            let run = u32::from(value >> 4);
            if value & 15 == 0 && run < 15 {
                // End of block.
                return Ok(());
            }
            index += run + 1;
        }
        if index > 64 { Err(DAMAGED) } else { Ok(()) }
    }

    /// Passes over the restart marker of this number.
    fn restart(&mut self, number: u32) -> Result<(), &'static str> {
        // What is buffered beyond the padding of a byte should not be there.
        self.fill();
        if self.count >= 8 {
            return Err(DAMAGED);
        }
        (self.buffer, self.count) = (0, 0);
        while self.data.get(self.at..self.at + 2) == Some(&[0xFF, 0xFF]) {
            self.at += 1;
        }
        match self.data.get(self.at..self.at + 2) {
            Some(&[0xFF, code]) if u32::from(code) == u32::from(marker::RST0) + number => {
                self.at += 2;
                Ok(())
            }
            Some(&[0xFF, _]) => Err("the JPEG lost a part between restart markers"),
            _ => Err(CUT),
        }
    }
}
