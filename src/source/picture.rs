//! Pictures from files: one, a folder of them, or those a pattern names.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::stream::jpeg;
use super::{FrameSource, Next, Pace, SourceError, SourceInfo};
use crate::frame::{ColourSpace, Frame, MAX_PIXELS, MAX_SIDE, PixelFormat, Stamp, size_is_allowed};
use crate::{clock, guard};

/// Largest picture file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Largest number of bytes the decoder may allocate: four for each pixel allowed.
const MAX_DECODED: u64 = MAX_PIXELS * 4;

/// The file name endings a folder is searched for.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// PNG and JPEG files as frames, in order. Every frame is RGB, or a PNG as it is in the file
/// where its rows are to be decoded one by one. Grey is repeated, 16 bits are rounded to 8,
/// palettes looked up, CMYK and YCCK converted without a profile. Alpha is dropped, so that
/// what lies below it shows, however transparent.
///
/// A file that cannot be decoded gives [`SourceError::Corrupt`] and keeps its number;
/// the next call goes on with the next file. An orientation in the file's EXIF data is applied.
pub struct PictureSource {
    uri: String,
    files: Vec<PathBuf>,
    next: usize,
    /// Whether a PNG stays as it is in the file.
    by_rows: bool,
    /// The encoded file, kept for its allocation.
    encoded: Vec<u8>,
}

impl PictureSource {
    /// A picture file, or the PNG and JPEG files in a folder (not below it), sorted
    /// by name.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] if nothing is there or a folder has no pictures;
    /// [`SourceError::Open`] if it may not be read or is neither file nor folder.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let uri = path.display().to_string();
        let fault = |error: io::Error| open_fault(&uri, &error);
        let metadata = fs::metadata(path).map_err(fault)?;
        let files = if metadata.is_dir() {
            let files = pictures_in(path).map_err(fault)?;
            if files.is_empty() {
                return Err(SourceError::NotFound {
                    uri,
                    reason: format!(
                        "no picture in this folder; looked for names that end in {}",
                        endings()
                    ),
                });
            }
            files
        } else if metadata.is_file() {
            // Opened once now so that a missing permission shows before the run starts.
            File::open(path).map_err(fault)?;
            vec![path.to_owned()]
        } else {
            return Err(SourceError::Open {
                uri: uri.clone(),
                reason: format!(
                    "neither a file nor a folder; a stream is piped in: atrous run - < {uri}"
                ),
            });
        };
        Ok(Self::over(uri, files))
    }

    /// The files that `pattern` names (`*`, `?`, `[…]`, `**`), sorted by name.
    /// Folders among them are passed over.
    ///
    /// # Errors
    /// [`SourceError::BadUri`] if the pattern is malformed,
    /// [`SourceError::NotFound`] if it names no file.
    pub fn open_pattern(pattern: &str) -> Result<Self, SourceError> {
        // A name that merely looks like a pattern, such as `shot[1].png`.
        if Path::new(pattern).exists() {
            return Self::open(Path::new(pattern));
        }
        let paths = glob::glob(pattern).map_err(|error| SourceError::BadUri {
            uri: pattern.to_owned(),
            reason: format!("the pattern is malformed: {error}"),
        })?;
        let mut files = Vec::new();
        for entry in paths {
            match entry {
                Ok(path) if path.is_file() => files.push(path),
                Ok(_) => {}
                // An unreadable folder beside readable ones should not hide those.
                Err(error) => log::warn!("{pattern}: {error}"),
            }
        }
        if files.is_empty() {
            return Err(SourceError::NotFound {
                uri: pattern.to_owned(),
                reason: "no file matches this pattern; quote it so that the shell leaves it alone"
                    .to_owned(),
            });
        }
        Ok(Self::over(pattern.to_owned(), files))
    }

    /// The same pictures but for at most `count` of them, evenly spread over their order.
    pub fn thinned(mut self, count: usize) -> Self {
        let all = self.files.len();
        if count < all {
            let kept = (0..count).map(|i| std::mem::take(&mut self.files[i * all / count]));
            self.files = kept.collect();
        }
        self
    }

    /// Whether PNG files come as [`PixelFormat::Png`], for whoever takes them row by row;
    /// those that are interlaced, or turned by EXIF data, come as RGB all the same.
    pub fn by_rows(mut self, by_rows: bool) -> Self {
        self.by_rows = by_rows;
        self
    }

    fn over(uri: String, files: Vec<PathBuf>) -> Self {
        Self {
            uri,
            files,
            next: 0,
            by_rows: false,
            encoded: Vec::new(),
        }
    }
}

impl FrameSource for PictureSource {
    fn next_frame(&mut self, frame: &mut Frame) -> Result<Next, SourceError> {
        let Some(path) = self.files.get(self.next) else {
            return Ok(Next::End);
        };
        let sequence = self.next as u64;
        self.next += 1;
        let read = read_picture(path, &mut self.encoded, self.by_rows, frame);
        read.map_err(|reason| SourceError::Corrupt {
            what: path.display().to_string(),
            reason,
        })?;
        frame.colour = ColourSpace::default();
        frame.sequence = sequence;
        frame.captured = clock::now();
        frame.stamp = Stamp::Arrival;
        frame.truth = None;
        let name = frame.name.get_or_insert_default();
        name.clear();
        name.push_str(&path.file_stem().unwrap_or_default().to_string_lossy());
        Ok(Next::Frame)
    }

    fn info(&self) -> SourceInfo {
        let count = self.files.len();
        let plural = if count == 1 { "" } else { "s" };
        SourceInfo {
            description: format!("{} ({count} picture{plural})", self.uri),
            pace: Pace::OnDemand,
            frames: Some(count as u64),
        }
    }
}

pub(super) fn open_fault(uri: &str, error: &io::Error) -> SourceError {
    let uri = uri.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::NotFound {
            uri,
            reason: "there is no such file or folder".to_owned(),
        },
        io::ErrorKind::PermissionDenied => SourceError::Open {
            uri,
            reason: "permission denied; the user who runs this may not read it".to_owned(),
        },
        _ => SourceError::Open {
            uri,
            reason: error.to_string(),
        },
    }
}

fn endings() -> String {
    ENDINGS.map(|ending| format!(".{ending}")).join(", ")
}

fn pictures_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_picture = path.extension().is_some_and(|found| {
            ENDINGS
                .iter()
                .any(|ending| found.eq_ignore_ascii_case(ending))
        });
        if is_picture && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads and decodes one file; sets the frame's size and data.
fn read_picture(
    path: &Path,
    encoded: &mut Vec<u8>,
    by_rows: bool,
    frame: &mut Frame,
) -> Result<(), String> {
    // Asked by name: opening a pipe that took the file's place would wait for ever.
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
        Err(error) => return Err(error.to_string()),
    }
    encoded.clear();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(encoded))
        .map_err(|error| error.to_string())?;
    if encoded.len() as u64 > MAX_FILE {
        return Err(format!("larger than the limit of {} MiB", MAX_FILE >> 20));
    }
    // The decoders have a history of panics on files made to break them.
    let decoded = guard::contain(|| {
        if by_rows && let Some((width, height)) = size_of_plain_png(encoded) {
            (frame.width, frame.height) = (width, height);
            return Ok(PixelFormat::Png);
        }
        decode(encoded, frame).map(|()| PixelFormat::Rgb8)
    });
    frame.format = decoded.unwrap_or_else(|panic| Err(format!("the decoder failed: {panic}")))?;
    frame.stride = match frame.format {
        PixelFormat::Png => {
            std::mem::swap(&mut frame.data, encoded);
            0
        }
        _ => frame.width as usize * 3,
    };
    Ok(())
}

/// Width and height of a PNG whose rows are those of the upright picture in order. `None`
/// for everything else, broken files among it, and for what is larger than a frame may be.
fn size_of_plain_png(encoded: &[u8]) -> Option<(u32, u32)> {
    let reader = png::Decoder::new(Cursor::new(encoded)).read_info().ok()?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref();
    let orientation = exif.and_then(Orientation::from_exif_chunk);
    let turned = orientation.is_some_and(|found| found != Orientation::NoTransforms);
    let plain = !info.interlaced && !turned && size_is_allowed(info.width, info.height);
    plain.then_some((info.width, info.height))
}

/// Decodes a PNG or JPEG; sets the frame's size and data.
fn decode(encoded: &[u8], frame: &mut Frame) -> Result<(), String> {
    let mut reader = ImageReader::new(Cursor::new(encoded))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    match reader.format() {
        Some(ImageFormat::Png) => {}
        Some(ImageFormat::Jpeg) if jpeg::is_cut_short(encoded) => {
            return Err("the JPEG ends before its picture does".to_owned());
        }
        Some(ImageFormat::Jpeg) => {}
        _ => {
            return Err(
                "neither PNG nor JPEG by its content; a video is piped in: ffmpeg -i \
                 FILE -f yuv4mpegpipe -pix_fmt yuv420p - | atrous run -"
                    .to_owned(),
            );
        }
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if !size_is_allowed(width, height) || decoder.total_bytes() > MAX_DECODED {
        return Err(format!(
            "{width}x{height} is larger than this program reads"
        ));
    }
    // EXIF data is an extra: what cannot be read of it leaves the picture as it is.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if orientation == Orientation::NoTransforms && decoder.color_type() == ColorType::Rgb8 {
        frame.data.resize(width as usize * height as usize * 3, 0);
        decoder
            .read_image(&mut frame.data)
            .map_err(|error| error.to_string())?;
        (frame.width, frame.height) = (width, height);
        return Ok(());
    }
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    (frame.width, frame.height) = picture.dimensions();
    frame.data.clear();
    frame.data.extend_from_slice(picture.as_raw());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ImageBuffer, ImageEncoder, Luma, Rgb, RgbImage, Rgba};

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        image
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut frame = Frame::default();
        decode(bytes, &mut frame).unwrap();
        (frame.width, frame.height, frame.data)
    }

    #[test]
    fn every_colour_type_becomes_rgb() {
        let grey = ImageBuffer::from_pixel(2, 1, Luma([77u8]));
        assert_eq!(decoded(&png(&grey.into())), (2, 1, vec![77; 6]));
        let clear = ImageBuffer::from_pixel(1, 1, Rgba([1u8, 2, 3, 0]));
        assert_eq!(decoded(&png(&clear.into())), (1, 1, vec![1, 2, 3]));
        let deep = ImageBuffer::from_pixel(1, 1, Rgb([0u16, 0x8080, 0xffff]));
        assert_eq!(decoded(&png(&deep.into())), (1, 1, vec![0, 128, 255]));
    }

    #[test]
    fn orientation_is_applied() {
        // Left half black, right half white; orientation 6 turns it clockwise, so
        // that black comes on top.
        let image = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 0 } else { 255 }; 3]));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
        let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder.encode_image(&image).unwrap();
        let (width, height, data) = decoded(&bytes);
        assert_eq!((width, height), (16, 32));
        assert!(data[0] < 30 && data[data.len() - 1] > 225);
    }

    #[test]
    fn size_limits_hold_before_anything_is_allocated() {
        let mut bytes = png(&RgbImage::new(1, 1).into());
        // Width and height sit behind the signature and the chunk's head; the chunk's
        // checksum must follow the lie.
        bytes[16..20].copy_from_slice(&20_000u32.to_be_bytes());
        let crc = crc32(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&crc);
        let error = decode(&bytes, &mut Frame::default()).unwrap_err();
        assert!(
            error.contains("limit") || error.contains("larger"),
            "{error}"
        );
        bytes[16..20].copy_from_slice(&16_000u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&16_000u32.to_be_bytes());
        let crc = crc32(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&crc);
        let error = decode(&bytes, &mut Frame::default()).unwrap_err();
        assert!(error.contains("16000x16000"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn other_content_is_refused_with_a_way_out() {
        for bytes in [&b""[..], b"GIF89a", b"plain text", b"\0\0\0\x18ftypmp42"] {
            let error = decode(bytes, &mut Frame::default()).unwrap_err();
            assert!(error.contains("neither PNG nor JPEG"), "{error}");
        }
    }
}
