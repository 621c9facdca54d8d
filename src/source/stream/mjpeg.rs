//! JPEG pictures end to end, as cameras and `ffmpeg -f mjpeg` write them.

use std::io::{self, BufRead};

use super::broken;
use super::jpeg::{Event, SOI, Scanner};
use crate::clock;
use crate::frame::{ColourSpace, Frame, Matrix, PixelFormat, Range, Stamp, size_is_allowed};
use crate::source::{FrameSource, Next, Pace, SourceError, SourceInfo};

/// Largest picture, and the most bytes skipped in search of one.
const MAX_PICTURE: usize = 32 << 20;

/// Splits a stream of JPEG pictures into frames; decoding is left to later.
///
/// Bytes between pictures are skipped. A damaged or cut picture gives
/// [`SourceError::Corrupt`] and the stream goes on with the next.
pub struct MjpegSource<R> {
    input: R,
    uri: String,
    pace: Pace,
    scanner: Scanner,
    /// Pictures seen, damaged ones included.
    pictures: u64,
    ended: bool,
}

impl<R: BufRead + Send> MjpegSource<R> {
    /// A source over `input`; `uri` names it in messages.
    pub fn new(input: R, uri: &str, pace: Pace) -> Self {
        Self {
            input,
            uri: uri.to_owned(),
            pace,
            scanner: Scanner::new(),
            pictures: 0,
            ended: false,
        }
    }

    fn corrupt(&mut self, reason: impl Into<String>) -> SourceError {
        let number = self.pictures;
        self.pictures += 1;
        SourceError::Corrupt {
            what: format!("{}: picture {number}", self.uri),
            reason: reason.into(),
        }
    }

    /// Reads the next whole picture into `data`; `false` at the end of the stream.
    fn picture(&mut self, data: &mut Vec<u8>) -> Result<bool, SourceError> {
        let mut skipped = 0;
        data.clear();
        // A picture that cut the last one short has begun already.
        if self.scanner.in_picture() {
            data.extend(SOI);
        }
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.ended = true;
                    return Err(broken(&self.uri, format!("cannot be read: {error}")));
                }
            };
            if bytes.is_empty() {
                self.ended = true;
                if self.scanner.in_picture() {
                    let got = data.len();
                    return Err(self.corrupt(format!(
                        "the stream ended inside it, {got} bytes after its start"
                    )));
                }
                return Ok(false);
            }
            let inside = self.scanner.in_picture();
            let (used, event) = self.scanner.feed(bytes);
            if inside {
                data.extend_from_slice(&bytes[..used]);
            } else {
                skipped += used;
            }
            self.input.consume(used);
            match event {
                Some(Event::Started) => data.extend(SOI),
                Some(Event::Complete) => return Ok(true),
                Some(Event::Cut) => {
                    return Err(self.corrupt("cut short by the start of the next one"));
                }
                Some(Event::Malformed(reason)) => {
                    return Err(self.corrupt(format!("not a JPEG's structure: {reason}")));
                }
                None => {}
            }
            if data.len() > MAX_PICTURE {
                self.scanner.abandon();
                return Err(self.corrupt(format!(
                    "longer than the limit of {} MiB",
                    MAX_PICTURE >> 20
                )));
            }
            if skipped > MAX_PICTURE {
                self.ended = true;
                return Err(broken(
                    &self.uri,
                    format!("no JPEG picture in {} MiB", MAX_PICTURE >> 20),
                ));
            }
        }
    }
}

impl<R: BufRead + Send> FrameSource for MjpegSource<R> {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        if self.ended || !self.picture(&mut frame.data)? {
            return Ok(Next::End);
        }
        let Some((width, height)) = self.scanner.size() else {
            return Err(self.corrupt("it has no frame header, so no size"));
        };
        if !size_is_allowed(width, height) {
            return Err(self.corrupt(format!(
                "its header says {width}x{height}, which is not a size this program reads"
            )));
        }
        (frame.width, frame.height) = (width, height);
        frame.stride = 0;
        frame.format = PixelFormat::Mjpeg;
        frame.colour = ColourSpace {
            matrix: Matrix::Bt601,
            range: Range::Full,
        };
        frame.sequence = self.pictures;
        frame.captured = clock::now();
        frame.stamp = Stamp::Arrival;
        frame.truth = None;
        frame.name = None;
        self.pictures += 1;
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            description: format!("{} (MJPEG stream)", self.uri),
            pace: self.pace,
            frames: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::jpeg::tests::skeleton;
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Result<Vec<u8>, String>> {
        let mut source = MjpegSource::new(bytes, "-", Pace::OnDemand);
        let mut frame = Frame::default();
        let mut found = Vec::new();
        loop {
            match source.next_frame(&mut frame) {
                Ok(Next::Frame) => found.push(Ok(frame.data.clone())),
                Ok(Next::Pending) => {}
                Ok(Next::End) => return found,
                Err(error) => found.push(Err(error.to_string())),
            }
        }
    }

    #[test]
    fn pictures_come_out_as_they_went_in() {
        let first = skeleton(64, 48, &skeleton(8, 8, b""));
        let second = skeleton(64, 48, b"second");
        let mut bytes = first.clone();
        bytes.extend(b"--boundary\r\n");
        bytes.extend(&second);
        assert_eq!(all(&bytes), [Ok(first), Ok(second)]);
    }

    #[test]
    fn a_cut_picture_does_not_take_the_next_along() {
        let good = skeleton(64, 48, b"");
        let mut bytes = good[..good.len() - 2].to_vec();
        bytes.extend(&good);
        bytes.extend(&good[..good.len() - 1]);
        let found = all(&bytes);
        assert_eq!(found.len(), 3);
        assert!(
            found[0]
                .as_ref()
                .is_err_and(|e| e.contains("picture 0: cut"))
        );
        assert_eq!(found[1], Ok(good));
        assert!(found[2].as_ref().is_err_and(|e| e.contains("stream ended")));
    }

    #[test]
    fn sizes_outside_the_limits_are_refused() {
        for (width, height) in [(0, 8), (8, 0), (65_535, 8), (16_384, 16_384)] {
            let found = all(&skeleton(width, height, b""));
            assert!(found[0].as_ref().is_err_and(|e| e.contains("header says")));
        }
        assert!(
            all(&[0xff, 0xd8, 0xff, 0xd9])[0]
                .as_ref()
                .is_err_and(|e| e.contains("no frame header"))
        );
    }

    #[test]
    fn endless_rubbish_ends() {
        let input = io::BufReader::new(io::repeat(0));
        let mut source = MjpegSource::new(input, "-", Pace::OnDemand);
        let error = source.next_frame(&mut Frame::default()).unwrap_err();
        assert!(error.to_string().contains("no JPEG picture"), "{error}");
        assert_eq!(source.next_frame(&mut Frame::default()), Ok(Next::End));

        let start = io::Cursor::new(skeleton(8, 8, b"")[..38].to_vec());
        let input = io::BufReader::new(io::Read::chain(start, io::repeat(1)));
        let mut source = MjpegSource::new(input, "-", Pace::OnDemand);
        let error = source.next_frame(&mut Frame::default()).unwrap_err();
        assert!(error.to_string().contains("limit of 32 MiB"), "{error}");
    }
}
