//! Frames from a byte stream: Y4M (raw) or MJPEG (JPEG pictures end to end).

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use super::{FrameSource, Pace, SourceError};

pub(super) mod jpeg;
mod mjpeg;
mod y4m;

pub use mjpeg::MjpegSource;
pub use y4m::Y4mSource;

/// Bytes asked of the stream at a time.
const BUFFER: usize = 64 << 10;

/// How to make a stream, for messages.
const HINT: &str = "pipe in Y4M or MJPEG, for example: rpicam-vid -t 0 --codec mjpeg -o - | \
     atrous run '-?pace=live', or: ffmpeg -i FILE -f yuv4mpegpipe -pix_fmt yuv420p - | \
     atrous run -";

/// The stream on standard input, in the format its first bytes tell.
///
/// A pipe cannot say whether a camera or a file feeds it. With [`Pace::OnDemand`]
/// every frame is delivered and a writer that is too fast waits; with [`Pace::Live`]
/// the stream is drained as it comes and only the newest frame matters.
///
/// # Errors
/// [`SourceError::Open`] if standard input is a terminal; else as [`from_reader`].
pub fn open_stdin(pace: Pace) -> Result<Box<dyn FrameSource>, SourceError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(SourceError::Open {
            uri: "-".to_owned(),
            reason: format!("standard input is a terminal; {HINT}"),
        });
    }
    from_reader(stdin, "-", pace)
}

/// A stream from any reader, in the format its first bytes tell. Waits for them.
///
/// # Errors
/// [`SourceError::Broken`] if the stream is empty, is neither Y4M nor MJPEG, or has
/// a Y4M header that cannot be accepted.
pub fn from_reader<R: Read + Send + 'static>(
    reader: R,
    uri: &str,
    pace: Pace,
) -> Result<Box<dyn FrameSource>, SourceError> {
    let mut input = BufReader::with_capacity(BUFFER, reader);
    // One byte tells the two apart, and a pipe's first read may bring no more.
    let first = match first_byte(&mut input) {
        Ok(first) => first,
        Err(error) => return Err(broken(uri, format!("cannot be read: {error}"))),
    };
    match first {
        None => Err(broken(uri, format!("the stream is empty; {HINT}"))),
        Some(b'Y') => Ok(Box::new(Y4mSource::new(input, uri, pace)?)),
        Some(0xff) => Ok(Box::new(MjpegSource::new(input, uri, pace))),
        Some(_) => Err(broken(
            uri,
            format!("neither Y4M nor MJPEG by its first byte; {HINT}"),
        )),
    }
}

/// A recorded stream, if the file at `path` is one: Y4M by its first bytes, MJPEG by
/// its name (`.mjpeg`, `.mjpg`), since its first bytes are those of a picture.
///
/// # Errors
/// As [`from_reader`], once the file is known to be a stream.
pub fn open_recording(path: &Path) -> Result<Option<Box<dyn FrameSource>>, SourceError> {
    if !path.is_file() {
        return Ok(None);
    }
    // What cannot be opened is told by the source that takes the file otherwise.
    let Ok(file) = File::open(path) else {
        return Ok(None);
    };
    let named_mjpeg = path.extension().is_some_and(|ending| {
        ending.eq_ignore_ascii_case("mjpeg") || ending.eq_ignore_ascii_case("mjpg")
    });
    let mut start = Vec::new();
    let is_y4m = (&file)
        .take(y4m::MAGIC.len() as u64)
        .read_to_end(&mut start)
        .is_ok()
        && start == y4m::MAGIC;
    if !named_mjpeg && !is_y4m {
        return Ok(None);
    }
    let uri = path.display().to_string();
    let whole = io::Cursor::new(start).chain(file);
    from_reader(whole, &uri, Pace::OnDemand).map(Some)
}

fn first_byte(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match input.fill_buf() {
            Ok(bytes) => return Ok(bytes.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn broken(uri: &str, reason: String) -> SourceError {
    SourceError::Broken {
        uri: uri.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_stream_says_what_would_be() {
        for (bytes, part) in [
            (&b""[..], "empty"),
            (b"\x89PNG", "neither Y4M nor MJPEG"),
            (b"YES\n", "YUV4MPEG2"),
        ] {
            match from_reader(bytes, "-", Pace::OnDemand).map(|source| source.info()) {
                Err(error @ SourceError::Broken { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains(part) && text.contains("atrous run"), "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
