//! Y4M: raw frames behind a line of text (`ffmpeg -f yuv4mpegpipe`, mjpegtools).

use std::io::{BufRead, Read};

use super::broken;
use crate::clock;
use crate::frame::{
    ColourSpace, Frame, MAX_SIDE, Matrix, PixelFormat, Range, Stamp, size_is_allowed,
};
use crate::source::{FrameSource, Next, Pace, SourceError, SourceInfo};

/// What every stream starts with.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// Longest header or frame line, in bytes.
const MAX_LINE: usize = 4096;

/// A stream of raw frames. Rows have no padding.
///
/// The colours are limited-range BT.601, or BT.709 from 720 rows on; the header's
/// `XCOLORRANGE` decides the range where present. An end inside a frame gives
/// [`SourceError::Corrupt`] and then the end.
pub struct Y4mSource<R> {
    input: R,
    uri: String,
    pace: Pace,
    header: Header,
    line: Vec<u8>,
    sequence: u64,
    ended: bool,
}

impl<R: BufRead + Send> Y4mSource<R> {
    /// Reads the header; `uri` names the stream in messages.
    ///
    /// # Errors
    /// [`SourceError::Broken`] if the header is not one that can be accepted.
    pub fn new(mut input: R, uri: &str, pace: Pace) -> Result<Self, SourceError> {
        let mut line = Vec::new();
        let header = read_line(&mut input, &mut line)
            .and_then(|()| Header::parse(&line))
            .map_err(|reason| broken(uri, reason))?;
        if header.interlaced {
            log::warn!("{uri}: interlaced; both fields are taken as one picture");
        }
        Ok(Self {
            input,
            uri: uri.to_owned(),
            pace,
            header,
            line,
            sequence: 0,
            ended: false,
        })
    }

    fn read_frame(&mut self, data: &mut Vec<u8>) -> Result<Next, SourceError> {
        read_line(&mut self.input, &mut self.line).map_err(|reason| broken(&self.uri, reason))?;
        if self.line.is_empty() {
            return Ok(Next::End);
        }
        if self.line != b"FRAME" && !self.line.starts_with(b"FRAME ") {
            return Err(broken(
                &self.uri,
                format!(
                    "'FRAME' must come before frame {}; the data is out of step with the \
                     header's size or format",
                    self.sequence
                ),
            ));
        }
        // Grows with what comes: the header alone must not make it allocate.
        data.clear();
        let expected = self.header.bytes;
        let came = self
            .input
            .by_ref()
            .take(expected as u64)
            .read_to_end(data)
            .map_err(|error| broken(&self.uri, format!("cannot be read: {error}")))?;
        if came < expected {
            return Err(SourceError::Corrupt {
                what: format!("{}: frame {}", self.uri, self.sequence),
                reason: format!(
                    "the stream ended inside it: {expected} bytes expected, {came} came"
                ),
            });
        }
        Ok(Next::Frame)
    }
}

impl<R: BufRead + Send> FrameSource for Y4mSource<R> {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        if self.ended {
            return Ok(Next::End);
        }
        let outcome = self.read_frame(&mut frame.data);
        if outcome != Ok(Next::Frame) {
            self.ended = true;
            return outcome;
        }
        frame.width = self.header.width;
        frame.height = self.header.height;
        frame.stride = self.header.width as usize;
        frame.format = self.header.format;
        frame.colour = self.header.colour;
        frame.sequence = self.sequence;
        frame.captured = clock::now();
        frame.stamp = Stamp::Arrival;
        frame.truth = None;
        frame.name = None;
        self.sequence += 1;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        let Header {
            width,
            height,
            format,
            fps,
            ..
        } = self.header;
        let rate = fps.map_or(String::new(), |fps| format!(" {fps} fps"));
        SourceInfo {
            description: format!("{} (Y4M) {width}x{height} {format:?}{rate}", self.uri),
            pace: self.pace,
            frames: None,
        }
    }
}

/// Reads up to a line feed, which is dropped; an empty line only at the end of the
/// stream.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<(), String> {
    line.clear();
    input
        .by_ref()
        .take(MAX_LINE as u64)
        .read_until(b'\n', line)
        .map_err(|error| format!("cannot be read: {error}"))?;
    match line.pop() {
        None => Ok(()),
        Some(b'\n') if line.is_empty() => Err("a line is empty where text must be".to_owned()),
        Some(b'\n') => Ok(()),
        Some(_) if line.len() + 1 >= MAX_LINE => Err(format!(
            "a line is longer than {MAX_LINE} bytes, so this is not Y4M"
        )),
        Some(_) => Err("the stream ended inside a line of text".to_owned()),
    }
}

/// What the stream's first line says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    format: PixelFormat,
    colour: ColourSpace,
    /// Frames a second, where the header knows.
    fps: Option<f64>,
    interlaced: bool,
    /// Bytes in a frame.
    bytes: usize,
}

impl Header {
    /// Takes the line apart, without its line feed.
    fn parse(line: &[u8]) -> Result<Self, String> {
        let Some(parameters) = line.strip_prefix(MAGIC) else {
            return Err(format!(
                "the header does not start with 'YUV4MPEG2 '; {}",
                super::HINT
            ));
        };
        let parameters =
            std::str::from_utf8(parameters).map_err(|_| "the Y4M header is not text".to_owned())?;
        let (mut width, mut height, mut chroma) = (None, None, None);
        let mut fps = None;
        let mut interlaced = false;
        let mut range = Range::Limited;
        for parameter in parameters.split(' ').filter(|part| !part.is_empty()) {
            // Only ASCII letters are looked at, so a split inside a character cannot
            // happen where it matters.
            let Some((tag, value)) = parameter.split_at_checked(1) else {
                continue;
            };
            match tag {
                "W" => set_once(&mut width, side('W', value)?, 'W')?,
                "H" => set_once(&mut height, side('H', value)?, 'H')?,
                "C" => set_once(&mut chroma, chroma_format(value)?, 'C')?,
                "F" => fps = frame_rate(value)?,
                "I" => interlaced = !matches!(value, "p" | "?"),
                "X" => match value {
                    "COLORRANGE=FULL" => range = Range::Full,
                    "COLORRANGE=LIMITED" => range = Range::Limited,
                    _ => {}
                },
                // The pixels' aspect ratio and tags of later versions change nothing here.
                _ => {}
            }
        }
        let width = width.ok_or("the Y4M header gives no width (W)")?;
        let height = height.ok_or("the Y4M header gives no height (H)")?;
        if !size_is_allowed(width, height) {
            return Err(format!(
                "the Y4M header says {width}x{height}, which is more than this program reads"
            ));
        }
        let format = chroma.unwrap_or(PixelFormat::I420);
        let matrix = if height >= 720 {
            Matrix::Bt709
        } else {
            Matrix::Bt601
        };
        Ok(Self {
            width,
            height,
            format,
            colour: ColourSpace { matrix, range },
            fps,
            interlaced,
            bytes: frame_bytes(format, width as usize, height as usize),
        })
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, tag: char) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("the Y4M header gives {tag} twice")),
    }
}

fn side(tag: char, value: &str) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|side| (1..=MAX_SIDE).contains(side))
        .ok_or_else(|| {
            format!(
                "the Y4M header has {tag}{value}; a number from 1 to {MAX_SIDE} must follow {tag}"
            )
        })
}

fn chroma_format(value: &str) -> Result<PixelFormat, String> {
    match value {
        // These four differ only in where the chroma samples sit.
        "420jpeg" | "420mpeg2" | "420paldv" | "420" => Ok(PixelFormat::I420),
        "422" => Ok(PixelFormat::I422),
        "444" => Ok(PixelFormat::I444),
        "mono" => Ok(PixelFormat::Grey8),
        _ => Err(format!(
            "the Y4M header has the pixel format C{value}; accepted are C420jpeg, C420mpeg2, \
             C420paldv, C420, C422, C444 and Cmono (ffmpeg: -pix_fmt yuv420p)"
        )),
    }
}

/// Reads `30000:1001`; `0:0` says that the rate is unknown.
fn frame_rate(value: &str) -> Result<Option<f64>, String> {
    let rate = value.split_once(':').and_then(|(count, seconds)| {
        Some((count.parse::<u32>().ok()?, seconds.parse::<u32>().ok()?))
    });
    match rate {
        Some((0, _) | (_, 0)) => Ok(None),
        Some((count, seconds)) => Ok(Some(f64::from(count) / f64::from(seconds))),
        None => Err(format!(
            "the Y4M header has F{value}; a rate is two numbers, as in F30:1"
        )),
    }
}

/// Bytes in a frame of a planar format without padding. The size was checked, so
/// nothing overflows.
fn frame_bytes(format: PixelFormat, width: usize, height: usize) -> usize {
    let luma = width * height;
    match format {
        PixelFormat::I422 => luma + 2 * width.div_ceil(2) * height,
        PixelFormat::I444 => luma * 3,
        PixelFormat::Grey8 => luma,
        _ => luma + 2 * width.div_ceil(2) * height.div_ceil(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: &str) -> Result<Header, String> {
        Header::parse(format!("YUV4MPEG2 {parameters}").as_bytes())
    }

    #[test]
    fn headers() {
        let header = parse("W5 H3 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG").unwrap();
        assert_eq!((header.width, header.height), (5, 3));
        assert_eq!(header.format, PixelFormat::I420);
        assert_eq!(header.bytes, 15 + 2 * 3 * 2);
        assert_eq!(header.colour, ColourSpace::default());
        assert!(header.fps.is_some_and(|fps| (fps - 29.97).abs() < 0.01));
        assert!(!header.interlaced);
        assert_eq!(parse("W5 H3").unwrap().format, PixelFormat::I420);
        assert_eq!(parse("W5 H3 C422").unwrap().bytes, 15 + 2 * 3 * 3);
        assert_eq!(parse("W5 H3 C444").unwrap().bytes, 45);
        assert_eq!(parse("W5 H3 Cmono").unwrap().bytes, 15);
        let full = parse("W1280 H720 XCOLORRANGE=FULL It F0:0").unwrap();
        assert_eq!(full.colour.range, Range::Full);
        assert_eq!(full.colour.matrix, Matrix::Bt709);
        assert!(full.interlaced && full.fps.is_none());
    }

    #[test]
    fn lying_headers_are_refused() {
        for (parameters, part) in [
            ("W0 H3", "W0"),
            ("W100000 H3", "W100000"),
            ("W5 H99999999999999999999", "1 to 16384"),
            ("W16384 H16384", "16384x16384"),
            ("W-5 H3", "W-5"),
            ("Wfive H3", "Wfive"),
            ("H3", "no width"),
            ("W5", "no height"),
            ("W5 W6 H3", "W twice"),
            ("W5 H3 C420p10", "yuv420p"),
            ("W5 H3 C444alpha", "C444alpha"),
            ("W5 H3 F30", "F30:1"),
            ("\u{e9} W5 H", "1 to 16384"),
        ] {
            let error = parse(parameters).unwrap_err();
            assert!(error.contains(part), "{parameters}: {error}");
        }
        assert!(Header::parse(b"YUV4MPEG2 W5 H3 X\xff").is_err());
    }

    fn outcome(bytes: &[u8]) -> Result<u64, SourceError> {
        let mut source = Y4mSource::new(bytes, "-", Pace::OnDemand)?;
        let mut frame = Frame::default();
        while source.next_frame(&mut frame)? == Next::Frame {}
        assert_eq!(source.next_frame(&mut frame), Ok(Next::End));
        Ok(source.sequence)
    }

    #[test]
    fn frames_follow_their_lines() {
        assert_eq!(outcome(b"YUV4MPEG2 W2 H1 Cmono\n"), Ok(0));
        let two = b"YUV4MPEG2 W2 H1 Cmono\nFRAME\nabFRAME Ip\ncd";
        assert_eq!(outcome(two), Ok(2));
        let short = outcome(&two[..two.len() - 1]).unwrap_err();
        assert!(short.is_recoverable());
        assert!(
            short.to_string().contains("2 bytes expected, 1 came"),
            "{short}"
        );
        let stray = outcome(b"YUV4MPEG2 W2 H1 Cmono\nFRAMES\nab").unwrap_err();
        assert!(matches!(stray, SourceError::Broken { .. }), "{stray}");
        let mut long = b"YUV4MPEG2 W2 H1 X".to_vec();
        long.resize(5000, b'a');
        let long = outcome(&long).unwrap_err();
        assert!(long.to_string().contains("4096"), "{long}");
    }

    #[test]
    fn an_unkept_promise_allocates_nothing() {
        let bytes = &b"YUV4MPEG2 W12000 H10000\nFRAME\nabc"[..];
        let mut source = Y4mSource::new(bytes, "-", Pace::OnDemand).unwrap();
        let mut frame = Frame::default();
        assert!(source.next_frame(&mut frame).is_err());
        assert!(frame.data.capacity() < 1 << 16);
    }
}
