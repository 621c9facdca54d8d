//! Pictures as they turn up: every kind of PNG and JPEG, every orientation, and sizes that
//! no model was made for.
//!
//! The JPEG files in `tests/pictures` are 16x16, red on the left and green on the right,
//! written with Pillow: encoders in Rust make neither CMYK nor progressive pictures.

use std::io::Cursor;
use std::path::Path;

use atrous::frame::{Frame, PixelFormat};
use atrous::source::picture::PictureSource;
use atrous::source::{FrameSource, Next, SourceError};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

const RED: [u8; 3] = [250, 10, 10];
const GREEN: [u8; 3] = [10, 200, 30];

fn read(path: &Path) -> Result<Frame, SourceError> {
    let mut frame = Frame::default();
    let next = PictureSource::open(path)?.next_frame(&mut frame)?;
    assert_eq!(next, Next::Frame);
    assert_eq!(frame.format, PixelFormat::Rgb8);
    let bytes = frame.width as usize * frame.height as usize * 3;
    assert_eq!(frame.data.len(), bytes);
    Ok(frame)
}

fn read_bytes(bytes: &[u8]) -> Result<Frame, SourceError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
    let at = (y * frame.width + x) as usize * 3;
    frame.data[at..at + 3].try_into().unwrap()
}

#[track_caller]
fn about(got: [u8; 3], wanted: [u8; 3]) {
    let near = got.iter().zip(wanted).all(|(&a, b)| a.abs_diff(b) <= 4);
    assert!(near, "{got:?}, not {wanted:?}");
}

#[test]
fn jpeg_in_every_colour_space() {
    let folder = Path::new("tests/pictures");
    let names = [
        "progressive.jpg",
        "rgb.jpg",
        "cmyk.jpg",
        "cmyk_plain.jpg",
        "ycck.jpg",
    ];
    for name in names {
        let frame = read(&folder.join(name)).unwrap();
        assert_eq!((frame.width, frame.height), (16, 16), "{name}");
        about(pixel(&frame, 2, 2), RED);
        about(pixel(&frame, 13, 13), GREEN);
    }
    let grey = read(&folder.join("grey.jpg")).unwrap();
    about(pixel(&grey, 2, 2), [82; 3]);
    about(pixel(&grey, 13, 13), [124; 3]);
}

/// One pixel of a PNG: colour type, bit depth and the row's bytes.
fn png(colour: png::ColorType, depth: png::BitDepth, row: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == png::ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
        encoder.set_trns(vec![255, 0]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(row).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn png_in_every_colour_type_and_depth() {
    use png::BitDepth::{Eight, Four, One, Sixteen, Two};
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    for (colour, depth, row, wanted) in [
        (Grayscale, One, &[0x80][..], [255; 3]),
        (Grayscale, Two, &[0x40], [85; 3]),
        (Grayscale, Four, &[0x30], [51; 3]),
        (Grayscale, Eight, &[77], [77; 3]),
        // 16 bits are rounded to the nearest of 8.
        (Grayscale, Sixteen, &[0x80, 0x00], [128; 3]),
        (Grayscale, Sixteen, &[0x7f, 0xf0], [127; 3]),
        (Rgb, Eight, &[1, 2, 3], [1, 2, 3]),
        (Rgb, Sixteen, &[0, 0, 0xff, 0xff, 1, 1], [0, 255, 1]),
        // Alpha is dropped: what lies below is what a camera would have seen.
        (GrayscaleAlpha, Eight, &[9, 0], [9; 3]),
        (GrayscaleAlpha, Sixteen, &[9, 9, 0, 0], [9; 3]),
        (Rgba, Eight, &[1, 2, 3, 0], [1, 2, 3]),
        (Rgba, Eight, &[1, 2, 3, 128], [1, 2, 3]),
        (Rgba, Sixteen, &[1, 1, 2, 2, 3, 3, 0, 0], [1, 2, 3]),
        // The palette's second colour is transparent.
        (Indexed, One, &[0x80], [40, 50, 60]),
        (Indexed, Eight, &[0], [1, 2, 3]),
    ] {
        let frame = read_bytes(&png(colour, depth, row)).unwrap();
        assert_eq!((frame.width, frame.height), (1, 1));
        assert_eq!(pixel(&frame, 0, 0), wanted, "{colour:?} {depth:?} {row:?}");
    }
}

#[test]
fn an_interlaced_png_is_put_in_order() {
    // 3x2 grey pixels. Adam7: pass 1 holds (0,0), pass 4 (2,0), pass 6 (1,0), pass 7 row 1;
    // each pass row begins with its filter, none.
    let scanlines = [0u8, 10, 0, 30, 0, 20, 0, 40, 50, 60];
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(
        &mut bytes,
        b"IHDR",
        &[0, 0, 0, 3, 0, 0, 0, 2, 8, 0, 0, 0, 1],
    );
    chunk(&mut bytes, b"IDAT", &stored(&scanlines));
    chunk(&mut bytes, b"IEND", &[]);
    let frame = read_bytes(&bytes).unwrap();
    let greys: Vec<u8> = frame.data.chunks(3).map(|p| p[0]).collect();
    assert_eq!(greys, [10, 20, 30, 40, 50, 60]);
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let start = out.len();
    out.extend(kind);
    out.extend(data);
    let crc = !out[start..].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    out.extend(crc.to_be_bytes());
}

/// A zlib stream of one stored block.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut out = vec![0x78, 0x01, 0x01];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// EXIF data whose one entry is the orientation, in either byte order.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    if big_endian {
        let mut data = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
        data[19] = orientation;
        data
    } else {
        let mut data = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        data[18] = orientation;
        data
    }
}

/// Where the top left pixel, the top right one and the bottom left one of the stored
/// picture are in the upright one of `width` x `height`: EXIF 2.32, table of tag 0x0112.
fn corners(orientation: u8, width: u32, height: u32) -> [(u32, u32); 3] {
    let (right, low) = (width - 1, height - 1);
    match orientation {
        2 => [(right, 0), (0, 0), (right, low)],
        3 => [(right, low), (0, low), (right, 0)],
        4 => [(0, low), (right, low), (0, 0)],
        5 => [(0, 0), (0, low), (right, 0)],
        6 => [(right, 0), (right, low), (0, 0)],
        7 => [(right, low), (right, 0), (0, low)],
        8 => [(0, low), (0, 0), (right, low)],
        _ => [(0, 0), (right, 0), (0, low)],
    }
}

#[test]
fn every_orientation_is_turned_upright() {
    // Blocks of 8 pixels survive JPEG: red, green and blue in three corners.
    let colours = [RED, GREEN, [10, 10, 240]];
    let image = RgbImage::from_fn(32, 16, |x, y| {
        Rgb(match (x / 8, y / 8) {
            (0, 0) => colours[0],
            (3, 0) => colours[1],
            (0, 1) => colours[2],
            _ => [255; 3],
        })
    });
    // 0 and 9 mean nothing: the picture stays as it is.
    for orientation in 0..=9u8 {
        for big_endian in [false, true] {
            let exif = exif(orientation, big_endian);
            let (mut jpeg, mut png) = (Vec::new(), Vec::new());
            let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
            encoder.set_exif_metadata(exif.clone()).unwrap();
            encoder.encode_image(&image).unwrap();
            let mut encoder = PngEncoder::new(Cursor::new(&mut png));
            encoder.set_exif_metadata(exif).unwrap();
            let rgb = ExtendedColorType::Rgb8;
            encoder.write_image(&image, 32, 16, rgb).unwrap();
            for bytes in [jpeg, png] {
                let frame = read_bytes(&bytes).unwrap();
                let size = match orientation {
                    5..=8 => (16, 32),
                    _ => (32, 16),
                };
                assert_eq!((frame.width, frame.height), size, "{orientation}");
                let places = corners(orientation, size.0, size.1);
                for ((x, y), colour) in places.into_iter().zip(colours) {
                    about(pixel(&frame, x, y), colour);
                }
            }
        }
    }
}

#[test]
fn broken_pictures_are_errors_that_say_so() {
    let whole = png(png::ColorType::Rgb, png::BitDepth::Eight, &[1, 2, 3]);
    for cut in [9, 30, whole.len() - 20] {
        let error = read_bytes(&whole[..cut]).unwrap_err();
        assert!(error.is_recoverable(), "{error}");
        assert!(error.to_string().contains("a.png"), "{error}");
    }
    let folder = Path::new("tests/pictures");
    let jpeg = std::fs::read(folder.join("ycck.jpg")).unwrap();
    let error = read_bytes(&jpeg[..jpeg.len() / 2]).unwrap_err().to_string();
    assert!(error.contains("ends before"), "{error}");
}
