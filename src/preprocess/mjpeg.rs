//! One JPEG picture to RGB.
//!
//! The decoder is zune-jpeg. What it is lenient about, this module checks
//! before: sizes are bounded before anything is allocated, a picture that lacks
//! its end or a part of its middle is refused, and one without Huffman tables
//! (Motion JPEG as many webcams send it) gets the standard's.
//!
//! Damage that leaves a valid Huffman stream cannot be told from a picture, and
//! of a progressive picture (no camera sends those) only the end is looked for.
//! The decoder's transform uses the CPU's vector unit, so the last bit of a
//! colour may depend on the CPU.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use self::entropy::{Part, Tables, check_scan};
use super::PreprocessError;
use crate::frame::{Frame, MAX_SIDE};

mod entropy;

/// The Huffman tables of ITU-T T.81 Annex K.3.3 as one DHT segment: for each
/// table its class and number, the count of codes of each length from 1 to 16,
/// and the values (tables K.3, K.5, K.4 and K.6, in the order in which libjpeg
/// writes them).
#[rustfmt::skip]
const STANDARD_TABLES: [u8; 420] = [
    0xFF, 0xC4, 0x01, 0xA2,
    // Luminance DC.
    0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    // Luminance AC.
    0x10, 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
    // Chrominance DC.
    0x01, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    // Chrominance AC.
    0x11, 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0,
    0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26,
    0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5,
    0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3,
    0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];

/// Most scans of a progressive picture; libjpeg's own script has 10.
const MAX_SCANS: usize = 64;

/// Marker codes of ITU-T T.81 table B.1.
mod marker {
    pub const TEM: u8 = 0x01;
    pub const SOF0: u8 = 0xC0;
    pub const SOF2: u8 = 0xC2;
    pub const DHT: u8 = 0xC4;
    pub const JPG: u8 = 0xC8;
    pub const DAC: u8 = 0xCC;
    pub const SOF15: u8 = 0xCF;
    pub const RST0: u8 = 0xD0;
    pub const RST7: u8 = 0xD7;
    pub const SOI: u8 = 0xD8;
    pub const EOI: u8 = 0xD9;
    pub const SOS: u8 = 0xDA;
    pub const DRI: u8 = 0xDD;
}

/// Decodes JPEG frames; its buffer is reused.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The picture with the standard tables put in.
    completed: Vec<u8>,
}

impl Decoder {
    /// Decodes the picture in a frame's data to RGB: `height * width * 3` bytes,
    /// row-major, red first. `out` is resized and wholly written. Returns the
    /// picture's width and height.
    ///
    /// Baseline and progressive Huffman pictures are taken, in grey or colour.
    /// The decoder itself allocates a few rows' worth for each picture, and for a
    /// progressive one six bytes a pixel.
    ///
    /// # Errors
    /// [`PreprocessError::Jpeg`] where the data are no complete picture of a kind
    /// that this takes; [`PreprocessError::Geometry`] where it is larger than
    /// [`crate::frame`] allows. What `out` then holds is unspecified.
    pub fn decode(
        &mut self,
        frame: &Frame,
        out: &mut Vec<u8>,
    ) -> Result<(u32, u32), PreprocessError> {
        let sequence = frame.sequence;
        let broken = |reason| PreprocessError::Jpeg { sequence, reason };
        let mut walk = Walk::start(&frame.data).map_err(|reason| broken(reason.to_owned()))?;
        let (width, height) = walk.size;
        super::check_size(sequence, width, height)?;
        let end = walk.finish().map_err(|reason| broken(reason.to_owned()))?;
        let picture = &frame.data[..end];
        let picture = if walk.has_tables {
            picture
        } else {
            let (head, scans) = picture.split_at(walk.first_scan);
            self.completed.clear();
            self.completed.extend_from_slice(head);
            self.completed.extend_from_slice(&STANDARD_TABLES);
            self.completed.extend_from_slice(scans);
            &self.completed
        };
        // Strict: otherwise the decoder fills what it cannot decode with grey and
        // calls that a success.
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(MAX_SIDE as usize)
            .set_max_height(MAX_SIDE as usize)
            .jpeg_set_max_scans(MAX_SCANS)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
        decoder
            .decode_headers()
            .map_err(|e| broken(format!("bad JPEG header: {e}")))?;
        // The decoder must have understood the header as the checks above did.
        let bytes = width as usize * height as usize * 3;
        if decoder.dimensions() != Some((width as usize, height as usize))
            || decoder.output_buffer_size() != Some(bytes)
        {
            return Err(broken("the JPEG has more than one frame header".to_owned()));
        }
        out.resize(bytes, 0);
        decoder
            .decode_into(out)
            .map_err(|e| broken(format!("bad JPEG data: {e}")))?;
        Ok((width, height))
    }
}

const CUT: &str = "the JPEG is cut short";

/// A walk along a picture's markers, which gathers what must be known before it
/// is decoded.
struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    /// Width and height, once there was a frame header.
    size: (u32, u32),
    parts: Vec<Part>,
    progressive: bool,
    tables: Tables,
    /// Whether a Huffman table comes before the first scan.
    has_tables: bool,
    /// MCUs between restart markers, or 0.
    restart: u32,
    /// Offset of the first scan's marker.
    first_scan: usize,
}

impl<'a> Walk<'a> {
    /// Walks up to the first scan.
    fn start(data: &'a [u8]) -> Result<Self, &'static str> {
        if data.get(..2) != Some(&[0xFF, marker::SOI]) {
            return Err("no JPEG: it does not begin with FF D8");
        }
        let mut walk = Self {
            data,
            at: 2,
            size: (0, 0),
            parts: Vec::new(),
            progressive: false,
            tables: Tables::default(),
            has_tables: false,
            restart: 0,
            first_scan: 0,
        };
        loop {
            match walk.next_marker()? {
                marker::EOI => return Err("the JPEG holds no picture"),
                marker::SOS if walk.parts.is_empty() => {
                    return Err("the JPEG has no frame header before its data");
                }
                marker::SOS => break,
                marker::DHT => walk.has_tables = true,
                _ => {}
            }
            walk.pass_segment()?;
        }
        walk.first_scan = walk.at;
        if !walk.has_tables {
            walk.tables.define(&STANDARD_TABLES[4..])?;
        }
        Ok(walk)
    }

    /// Walks from the first scan to the end of the picture, checks the data on
    /// the way, and returns the length up to and with the end-of-image marker.
    fn finish(&mut self) -> Result<usize, &'static str> {
        loop {
            match self.next_marker()? {
                marker::EOI => break,
                marker::SOS => {
                    let segment = self.pass_segment()?;
                    if !self.progressive {
                        let (size, restart) = (self.size, self.restart);
                        let (parts, tables) = (&self.parts, &self.tables);
                        self.at =
                            check_scan(self.data, self.at, segment, size, parts, tables, restart)?;
                    }
                    self.pass_data()?;
                }
                _ => {
                    self.pass_segment()?;
                }
            }
        }
        let end = self.at + 2;
        // Each block of luma takes a bit at least: a progressive header that
        // promises more than the data can hold must not be allocated.
        let blocks = u64::from(self.size.0.div_ceil(8)) * u64::from(self.size.1.div_ceil(8));
        if self.progressive && ((end - self.first_scan) as u64) * 8 < blocks {
            return Err(CUT);
        }
        Ok(end)
    }

    /// Goes to the next marker and returns its code. Bytes between segments are
    /// passed over, as are repeated FF before a marker.
    fn next_marker(&mut self) -> Result<u8, &'static str> {
        loop {
            let skipped = self.data[self.at..]
                .iter()
                .position(|&b| b == 0xFF)
                .ok_or(CUT)?;
            self.at += skipped;
            match *self.data.get(self.at + 1).ok_or(CUT)? {
                0xFF => self.at += 1,
                marker::RST0..=marker::RST7 | marker::TEM => self.at += 2,
                0x00 | marker::SOI => return Err("the JPEG has a marker where none may be"),
                code => return Ok(code),
            }
        }
    }

    /// Takes in the segment at a marker and goes to its end.
    fn pass_segment(&mut self) -> Result<&'a [u8], &'static str> {
        let code = self.data[self.at + 1];
        let length = self.data.get(self.at + 2..self.at + 4).ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let segment = self
            .data
            .get(self.at + 4..self.at + 2 + length)
            .ok_or(CUT)?;
        match code {
            marker::DHT => self.tables.define(segment)?,
            marker::DRI => {
                let &[high, low] = segment else {
                    return Err("the JPEG has a bad restart interval");
                };
                self.restart = u32::from(u16::from_be_bytes([high, low]));
            }
            marker::SOF0..=marker::SOF15 if code != marker::JPG && code != marker::DAC => {
                self.take_frame_header(code, segment)?;
            }
            _ => {}
        }
        self.at += 2 + length;
        Ok(segment)
    }

    fn take_frame_header(&mut self, code: u8, segment: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "the JPEG has a bad frame header";
        if code > marker::SOF2 {
            return Err(
                "the JPEG is of a kind that cameras do not send (lossless, hierarchical \
                        or arithmetic); baseline and progressive are taken",
            );
        }
        if !self.parts.is_empty() {
            return Err("the JPEG has more than one frame header");
        }
        let &[precision, h1, h0, w1, w0, count, ref parts @ ..] = segment else {
            return Err(BAD);
        };
        if precision != 8 {
            return Err("the JPEG has more than 8 bits a sample");
        }
        if count != 1 && count != 3 {
            return Err("the JPEG is neither grey nor YCbCr (perhaps CMYK)");
        }
        let (parts, _) = parts.as_chunks::<3>();
        for &[id, sampling, _] in parts.get(..usize::from(count)).ok_or(BAD)? {
            let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(BAD);
            }
            // Chroma finer than luma, or in between its samples, is legal but not
            // in use, and the decoder's upsampling panics on some of it.
            let luma = self
                .parts
                .first()
                .map_or((across, down), |luma| (luma.across, luma.down));
            if !luma.0.is_multiple_of(across) || !luma.1.is_multiple_of(down) {
                return Err("the JPEG's chroma has an unusual sampling");
            }
            self.parts.push(Part { id, across, down });
        }
        self.progressive = code == marker::SOF2;
        self.size = (
            u16::from_be_bytes([w1, w0]).into(),
            u16::from_be_bytes([h1, h0]).into(),
        );
        Ok(())
    }

    /// Goes over entropy-coded data to the next marker that is none of theirs.
    fn pass_data(&mut self) -> Result<(), &'static str> {
        loop {
            let skipped = self.data[self.at..]
                .iter()
                .position(|&b| b == 0xFF)
                .ok_or(CUT)?;
            self.at += skipped;
            match *self.data.get(self.at + 1).ok_or(CUT)? {
                0x00 | marker::RST0..=marker::RST7 => self.at += 2,
                0xFF => self.at += 1,
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::ExtendedColorType;
    use image::codecs::jpeg::JpegEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{ColourSpace, Matrix, PixelFormat, Range};
    use crate::preprocess::colour;

    fn frame(data: Vec<u8>) -> Frame {
        Frame {
            format: PixelFormat::Mjpeg,
            sequence: 3,
            data,
            ..Frame::default()
        }
    }

    fn decode(data: Vec<u8>) -> Result<(Vec<u8>, (u32, u32)), PreprocessError> {
        let mut out = vec![1; 5];
        let size = Decoder::default().decode(&frame(data), &mut out)?;
        assert_eq!(out.len(), size.0 as usize * size.1 as usize * 3);
        Ok((out, size))
    }

    fn reason(data: Vec<u8>) -> String {
        decode(data).unwrap_err().to_string()
    }

    /// A picture with detail, encoded in colour or grey.
    fn encode(width: u32, height: u32, channels: usize) -> (Vec<u8>, Vec<u8>) {
        let at = |i: u32| {
            let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
            ((x * 9 + y * 5 * (c + 1)) % 256) as u8
        };
        let mut pixels: Vec<u8> = (0..width * height * 3).map(at).collect();
        let colour = if channels == 1 {
            ExtendedColorType::L8
        } else {
            ExtendedColorType::Rgb8
        };
        if channels == 1 {
            pixels = pixels.chunks(3).map(|pixel| pixel[0]).collect();
        }
        let mut data = Vec::new();
        JpegEncoder::new_with_quality(&mut data, 90)
            .encode(&pixels, width, height, colour)
            .unwrap();
        (data, pixels)
    }

    /// Takes all segments with this marker code out of a picture's header.
    fn without(data: &[u8], code: u8) -> Vec<u8> {
        let mut out = data[..2].to_vec();
        let mut at = 2;
        while data[at + 1] != marker::SOS {
            let length = 2 + usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
            if data[at + 1] != code {
                out.extend_from_slice(&data[at..at + length]);
            }
            at += length;
        }
        out.extend_from_slice(&data[at..]);
        out
    }

    struct Bits {
        bytes: Vec<u8>,
        pending: u32,
        count: u32,
    }

    impl Bits {
        fn put(&mut self, code: u32, length: u32) {
            for bit in (0..length).rev() {
                self.pending = self.pending << 1 | (code >> bit & 1);
                self.count += 1;
                if self.count == 8 {
                    self.bytes.push(self.pending as u8);
                    if self.pending == 0xFF {
                        self.bytes.push(0);
                    }
                    (self.pending, self.count) = (0, 0);
                }
            }
        }

        fn flush(&mut self) {
            while self.count != 0 {
                self.put(1, 1);
            }
        }

        /// Puts a value's code of the standard table at `offset`.
        fn put_huffman(&mut self, offset: usize, value: u8) {
            let counts = &STANDARD_TABLES[offset + 1..offset + 17];
            let mut values = STANDARD_TABLES[offset + 17..].iter();
            let mut code = 0;
            for (length, &count) in (1..).zip(counts) {
                for _ in 0..count {
                    if values.next() == Some(&value) {
                        self.put(code, length);
                        return;
                    }
                    code += 1;
                }
                code <<= 1;
            }
            panic!("no code for {value}");
        }
    }

    /// A baseline picture in which every MCU is plain: `levels` gives its Y, Cb
    /// and Cr. `sampling` is that of luma; chroma has 1x1.
    fn plain(
        size: (u32, u32),
        sampling: (u8, u8),
        restart: u16,
        levels: impl Fn(u32) -> [u8; 3],
    ) -> Vec<u8> {
        let mut data = vec![0xFF, marker::SOI];
        data.extend([0xFF, 0xDB, 0, 67, 0]);
        // A step of 8 makes the DC coefficient the level itself.
        data.extend([8; 64]);
        data.extend([0xFF, marker::SOF0, 0, 17, 8]);
        data.extend((size.1 as u16).to_be_bytes());
        data.extend((size.0 as u16).to_be_bytes());
        data.extend([
            3,
            1,
            sampling.0 << 4 | sampling.1,
            0,
            2,
            0x11,
            0,
            3,
            0x11,
            0,
        ]);
        data.extend([0xFF, 0xDD, 0, 4]);
        data.extend(restart.to_be_bytes());
        data.extend([
            0xFF,
            marker::SOS,
            0,
            12,
            3,
            1,
            0x00,
            2,
            0x11,
            3,
            0x11,
            0,
            63,
            0,
        ]);
        let mut bits = Bits {
            bytes: Vec::new(),
            pending: 0,
            count: 0,
        };
        let mcus =
            size.0.div_ceil(8 * u32::from(sampling.0)) * size.1.div_ceil(8 * u32::from(sampling.1));
        let mut last = [128u8; 3];
        for mcu in 0..mcus {
            if restart != 0 && mcu != 0 && mcu % u32::from(restart) == 0 {
                bits.flush();
                let index = (mcu / u32::from(restart) - 1) % 8;
                bits.bytes.extend([0xFF, marker::RST0 + index as u8]);
                last = [128; 3];
            }
            for (component, level) in levels(mcu).into_iter().enumerate() {
                let blocks = if component == 0 {
                    sampling.0 * sampling.1
                } else {
                    1
                };
                // Offsets of the tables' class bytes in the segment.
                let (dc, ac) = if component == 0 { (4, 33) } else { (212, 241) };
                for _ in 0..blocks {
                    let step = i32::from(level) - i32::from(last[component]);
                    last[component] = level;
                    let length = 32 - step.unsigned_abs().leading_zeros();
                    bits.put_huffman(dc, length as u8);
                    let low = if step < 0 { step - 1 } else { step };
                    bits.put(low as u32, length);
                    bits.put_huffman(ac, 0);
                }
            }
        }
        bits.flush();
        data.extend(bits.bytes);
        data.extend([0xFF, marker::EOI]);
        data
    }

    fn rgb_of(levels: [u8; 3]) -> Vec<u8> {
        let mut out = Vec::new();
        let colour = ColourSpace {
            matrix: Matrix::Bt601,
            range: Range::Full,
        };
        let format = PixelFormat::I444;
        let data = levels.to_vec();
        let pixel = Frame {
            width: 1,
            height: 1,
            stride: 1,
            format,
            colour,
            data,
            ..Frame::default()
        };
        colour::Rows::of(&pixel)
            .unwrap()
            .convert_all(crate::kernels::scalar::colour, &mut out);
        out
    }

    #[test]
    fn colour_and_grey_come_back() {
        for channels in [1, 3] {
            let (data, pixels) = encode(37, 21, channels);
            let (rgb, size) = decode(data).unwrap();
            assert_eq!(size, (37, 21));
            for (got, want) in rgb.chunks(3).zip(pixels.chunks(channels)) {
                let want = [want[0], want[channels / 2], want[channels - 1]];
                for (got, want) in got.iter().zip(want) {
                    assert!(got.abs_diff(want) < 40, "{got} {want}");
                }
            }
        }
    }

    #[test]
    fn subsampled_and_restarted_pictures_come_out_in_order() {
        for sampling in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            for restart in [0, 1, 3] {
                let size = (50u32, 37u32);
                let width = 8 * u32::from(sampling.0);
                let across = size.0.div_ceil(width);
                let level = |mcu: u32| [(mcu * 40 % 256) as u8, 90, 160];
                let (rgb, got_size) = decode(plain(size, sampling, restart, level)).unwrap();
                assert_eq!(got_size, size);
                for y in 0..size.1 {
                    for x in 0..size.0 {
                        let mcu = y / (8 * u32::from(sampling.1)) * across + x / width;
                        let got = &rgb[(y * size.0 + x) as usize * 3..][..3];
                        for (got, want) in got.iter().zip(rgb_of(level(mcu))) {
                            assert!(
                                got.abs_diff(want) <= 2,
                                "{sampling:?} {restart} {x} {y}: {got} {want}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn missing_huffman_tables_are_the_standard_ones() {
        let (data, _) = encode(64, 48, 3);
        let bare = without(&data, marker::DHT);
        assert!(bare.len() < data.len());
        assert_eq!(decode(bare.clone()).unwrap(), decode(data).unwrap());
        // As webcams send it, with AVI1 in place of JFIF.
        let mut avi = without(&bare, 0xE0);
        avi.splice(2..2, *b"\xFF\xE0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(decode(avi).unwrap(), decode(bare).unwrap());
    }

    #[test]
    fn bytes_after_the_end_do_not_matter() {
        let (mut data, _) = encode(20, 20, 3);
        let want = decode(data.clone()).unwrap();
        data.extend([0xFF, marker::SOI, 0, 0, 1]);
        assert_eq!(decode(data).unwrap(), want);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let (data, _) = encode(40, 24, 3);
        for data in [
            data.clone(),
            without(&data, marker::DHT),
            plain((40, 24), (2, 2), 2, |i| [i as u8; 3]),
        ] {
            for length in 0..data.len() {
                let error = decode(data[..length].to_vec()).unwrap_err();
                assert!(
                    matches!(error, PreprocessError::Jpeg { sequence: 3, .. }),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_lost_middle_is_an_error() {
        let (data, _) = encode(64, 64, 3);
        let scan = Walk::start(&data).unwrap().first_scan + 14;
        for end in scan..data.len() - 2 {
            let mut cut = data[..end].to_vec();
            cut.extend([0xFF, marker::EOI]);
            assert!(reason(cut).contains("cut short"), "{end} of {}", data.len());
            let mut cut = data[..end].to_vec();
            cut.extend(&data[(end + 100).min(data.len() - 2)..]);
            // What follows a gap may by chance be valid to the end, but not often.
            let _ = decode(cut);
        }
    }

    #[test]
    fn a_lost_restart_interval_is_an_error() {
        let data = plain((64, 64), (1, 1), 4, |mcu| {
            [(mcu * 37 % 256) as u8, 120, 130]
        });
        let markers: Vec<usize> = (0..data.len() - 1)
            .filter(|&i| data[i] == 0xFF && (marker::RST0..=marker::RST7).contains(&data[i + 1]))
            .collect();
        assert_eq!(markers.len(), 15);
        for pair in markers.windows(2) {
            let mut lost = data.clone();
            lost.drain(pair[0]..pair[1]);
            assert!(reason(lost).contains("restart"));
        }
    }

    #[test]
    fn what_is_not_taken_is_named() {
        let (data, _) = encode(16, 16, 3);
        let header = data
            .windows(2)
            .position(|w| w == [0xFF, marker::SOF0])
            .unwrap();
        let edited = |at: usize, value: u8| {
            let mut data = data.clone();
            data[header + at] = value;
            reason(data)
        };
        assert!(edited(9, 4).contains("CMYK"));
        assert!(edited(4, 12).contains("8 bits"));
        assert!(edited(14, 0x22).contains("sampling"));
        assert!(edited(1, 0xC9).contains("arithmetic"));
        assert!(edited(1, 0xE5).contains("no frame header"));
        assert!(reason(b"GIF89a".to_vec()).contains("FF D8"));
        assert!(reason(vec![0xFF, marker::SOI, 0xFF, marker::EOI]).contains("no picture"));
    }

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        let (data, _) = encode(16, 16, 3);
        let header = data
            .windows(2)
            .position(|w| w == [0xFF, marker::SOF0])
            .unwrap();
        let sized = |height: u16, width: u16| {
            let mut data = data.clone();
            data[header + 5..][..2].copy_from_slice(&height.to_be_bytes());
            data[header + 7..][..2].copy_from_slice(&width.to_be_bytes());
            decode(data).unwrap_err()
        };
        assert!(matches!(sized(0, 16), PreprocessError::Geometry { .. }));
        assert!(matches!(sized(1, 16385), PreprocessError::Geometry { .. }));
        assert!(sized(7000, 16384).to_string().contains("cut short"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            channels in prop::sample::select(vec![1usize, 3]), bare in any::<bool>(),
        ) {
            let (mut data, _) = encode(24, 17, channels);
            if bare {
                data = without(&data, marker::DHT);
            }
            for (at, value) in flips {
                let at = at.index(data.len());
                data[at] = value;
            }
            let _ = decode(data);
        }

        #[test]
        fn noise_never_panics(mut data in prop::collection::vec(any::<u8>(), 0..400)) {
            data.splice(..0, [0xFF, marker::SOI]);
            data.extend([0xFF, marker::EOI]);
            let _ = decode(data);
        }
    }
}
