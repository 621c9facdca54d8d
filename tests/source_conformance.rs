//! One contract for every source that runs without hardware, and hostile input for
//! those that read bytes.

use std::fs;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::time::Duration;

use atrous::clock;
use atrous::frame::{Frame, Matrix, PixelFormat, Range, Stamp};
use atrous::mask::Mask;
use atrous::source::{FrameSource, Next, Pace, SourceError, open, stream};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use proptest::prelude::*;
use tempfile::TempDir;

fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8])
    })
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image(width, height)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode_image(&image(width, height))
        .unwrap();
    bytes
}

/// A stream of `count` frames in 4:2:0, 6x4.
fn y4m(count: u8) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W6 H4 F25:1 Ip C420jpeg XCOLORRANGE=FULL\n".to_vec();
    for number in 0..count {
        bytes.extend(b"FRAME\n");
        bytes.extend([number; 24 + 2 * 6]);
    }
    bytes
}

fn mjpeg(count: usize) -> Vec<u8> {
    jpeg(16, 8).repeat(count)
}

fn uri(path: &Path) -> String {
    path.display().to_string()
}

/// Every source, with the number of frames it must give.
fn sources(folder: &TempDir) -> Vec<(&'static str, Box<dyn FrameSource>, usize)> {
    let root = folder.path();
    for (name, bytes) in [
        ("a.png", png(12, 8)),
        ("b.JPG", jpeg(10, 6)),
        ("c.jpeg", jpeg(12, 8)),
        ("d.PNG", png(12, 8)),
        ("notes.txt", b"no picture".to_vec()),
    ] {
        fs::write(root.join(name), bytes).unwrap();
    }
    fs::create_dir(root.join("folder.png")).unwrap();
    let recordings = root.join("recordings");
    fs::create_dir(&recordings).unwrap();
    fs::write(recordings.join("film.y4m"), y4m(5)).unwrap();
    fs::write(recordings.join("film.mjpeg"), mjpeg(3)).unwrap();

    let open = |text: &str| open(text).unwrap();
    let demand = "synthetic://road?size=48x32&frames=4&pace=demand";
    vec![
        ("picture", open(&uri(&root.join("a.png"))), 1),
        (
            "picture by URI",
            open(&format!("file://{}", uri(&root.join("b.JPG")))),
            1,
        ),
        ("folder", open(&uri(root)), 4),
        ("pattern", open(&uri(&root.join("?.[pP]*"))), 2),
        ("Y4M file", open(&uri(&recordings.join("film.y4m"))), 5),
        ("MJPEG file", open(&uri(&recordings.join("film.mjpeg"))), 3),
        (
            "Y4M stream",
            stream::from_reader(Cursor::new(y4m(7)), "-", Pace::OnDemand).unwrap(),
            7,
        ),
        (
            "MJPEG stream",
            stream::from_reader(Cursor::new(mjpeg(6)), "-", Pace::Live).unwrap(),
            6,
        ),
        ("scene", open(demand), 4),
    ]
}

/// A frame in which every field holds something no source here gives.
fn dirty() -> Frame {
    Frame {
        width: 99_999,
        height: 99_999,
        stride: 99_999,
        format: PixelFormat::I444,
        colour: atrous::frame::ColourSpace {
            matrix: Matrix::Bt709,
            range: Range::Limited,
        },
        data: vec![0xaa; 3],
        sequence: u64::MAX,
        captured: Duration::MAX,
        stamp: Stamp::Driver,
        truth: Some(Mask::new(3, 3)),
        name: Some("stale".to_owned()),
    }
}

/// Bytes that a frame's fields promise.
fn promised(frame: &Frame) -> Option<usize> {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let chroma = frame.stride.div_ceil(2);
    match frame.format {
        PixelFormat::Rgb8 => Some(width * height * 3),
        PixelFormat::Grey8 => Some(width * height),
        PixelFormat::I420 => Some(frame.stride * height + 2 * chroma * height.div_ceil(2)),
        PixelFormat::I422 => Some(frame.stride * height + 2 * chroma * height),
        PixelFormat::I444 => Some(frame.stride * height * 3),
        PixelFormat::Mjpeg | PixelFormat::Png => None,
        PixelFormat::Yuyv | PixelFormat::Nv12 => panic!("no such source here"),
    }
}

fn check_fields(name: &str, frame: &Frame, started: Duration) {
    assert!(
        atrous::frame::size_is_allowed(frame.width, frame.height),
        "{name}"
    );
    match promised(frame) {
        Some(bytes) => {
            assert_eq!(frame.data.len(), bytes, "{name}");
            let row = frame.data.len() / frame.height as usize;
            assert!(frame.stride > 0 && frame.stride <= row, "{name}");
        }
        None => {
            assert_eq!(frame.stride, 0, "{name}");
            assert!(frame.data.starts_with(&[0xff, 0xd8]), "{name}");
            assert!(frame.data.ends_with(&[0xff, 0xd9]), "{name}");
        }
    }
    assert_eq!(frame.colour.matrix, Matrix::Bt601, "{name}");
    assert_ne!(frame.stamp, Stamp::Driver, "{name}");
    assert!(
        frame.captured >= started && frame.captured <= clock::now(),
        "{name}"
    );
    assert_ne!(frame.name.as_deref(), Some("stale"), "{name}");
    if let Some(truth) = &frame.truth {
        assert_eq!((truth.width, truth.height), (frame.width, frame.height));
        assert_eq!(truth.labels.len(), (frame.width * frame.height) as usize);
    }
}

#[test]
fn every_source_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    for (name, mut source, count) in sources(&folder) {
        let info = source.info();
        assert!(!info.description.is_empty());
        if let Some(frames) = info.frames {
            assert_eq!(frames, count as u64, "{name}");
        }
        let started = clock::now();
        let mut frame = dirty();
        let mut next = 0;
        let mut seen = 0;
        while source.next_frame(&mut frame).unwrap() == Next::Frame {
            check_fields(name, &frame, started);
            assert!(frame.sequence >= next, "{name}");
            next = frame.sequence + 1;
            seen += 1;
            // Spoiled again, but with its buffers, as the pipeline hands them back.
            let (data, truth) = (std::mem::take(&mut frame.data), frame.truth.take());
            frame = Frame {
                data,
                truth: truth.or_else(|| Some(Mask::new(3, 3))),
                ..dirty()
            };
        }
        assert_eq!(seen, count, "{name}");
        for _ in 0..3 {
            assert_eq!(source.next_frame(&mut frame), Ok(Next::End), "{name}");
        }
    }
}

#[test]
fn buffers_are_reused() {
    for bytes in [y4m(20), mjpeg(20)] {
        let mut source = stream::from_reader(Cursor::new(bytes), "-", Pace::OnDemand).unwrap();
        steady(source.as_mut());
    }
    let folder = TempDir::new().unwrap();
    for number in 0..5 {
        fs::write(folder.path().join(format!("{number}.png")), png(12, 8)).unwrap();
    }
    steady(open(&uri(folder.path())).unwrap().as_mut());
    steady(
        open("synthetic://road?size=48x32&frames=5&pace=demand")
            .unwrap()
            .as_mut(),
    );
}

/// Runs a source dry and checks that frames after the first stay where it was.
fn steady(source: &mut dyn FrameSource) {
    let mut frame = Frame::default();
    let mut place = None;
    while source.next_frame(&mut frame).unwrap() == Next::Frame {
        let labels = frame.truth.as_ref().map(|truth| truth.labels.as_ptr());
        let now = (frame.data.as_ptr(), frame.data.capacity(), labels);
        assert_eq!(*place.get_or_insert(now), now, "{:?}", source.info());
    }
    assert!(place.is_some());
}

#[test]
fn a_live_scene_skips_what_was_missed_and_ends() {
    let mut source = open("synthetic://road?size=16x16&fps=100&frames=60").unwrap();
    assert_eq!(source.info().pace, Pace::Live);
    let mut frame = Frame::default();
    let mut sequences = Vec::new();
    while source.next_frame(&mut frame).unwrap() == Next::Frame {
        if sequences.len() == 3 {
            std::thread::sleep(Duration::from_millis(100));
        }
        sequences.push(frame.sequence);
    }
    assert_eq!(sequences[0], 0);
    assert!(sequences.is_sorted_by(|a, b| a < b));
    assert!(sequences.len() <= 60 && sequences.last() < Some(&60));
    assert!(
        sequences.windows(2).any(|pair| pair[1] - pair[0] > 5),
        "{sequences:?}"
    );
    assert_eq!(source.next_frame(&mut frame), Ok(Next::End));
}

#[test]
fn scenes_repeat() {
    let all = |uri: &str| {
        let mut source = open(uri).unwrap();
        let mut frame = Frame::default();
        let mut found = Vec::new();
        while source.next_frame(&mut frame).unwrap() == Next::Frame {
            found.push((frame.data.clone(), frame.truth.clone()));
        }
        found
    };
    let uri = |seed| format!("synthetic://road?size=64x48&frames=3&pace=demand&seed={seed}");
    assert_eq!(all(&uri(3)), all(&uri(3)));
    assert_ne!(all(&uri(3)), all(&uri(4)));
}

#[test]
fn pictures_come_sorted_with_their_names() {
    let folder = TempDir::new().unwrap();
    for name in ["b.png", "a.b.png", "c.png"] {
        fs::write(folder.path().join(name), png(4, 4)).unwrap();
    }
    let mut source = open(&uri(folder.path())).unwrap();
    let mut frame = Frame::default();
    for name in ["a.b", "b", "c"] {
        assert_eq!(source.next_frame(&mut frame), Ok(Next::Frame));
        assert_eq!(frame.name.as_deref(), Some(name));
        assert_eq!(frame.data, *image(4, 4).as_raw());
    }
}

#[test]
fn a_bad_picture_does_not_stop_the_folder() {
    let folder = TempDir::new().unwrap();
    let good = jpeg(32, 32);
    for (name, bytes) in [
        ("1.png", &png(4, 4)[..]),
        ("2.jpg", &good[..good.len() / 2]),
        ("3.png", b"not a picture"),
        ("4.jpg", &good),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut source = open(&uri(folder.path())).unwrap();
    let mut frame = Frame::default();
    let mut outcomes = Vec::new();
    loop {
        match source.next_frame(&mut frame) {
            Ok(Next::Frame) => outcomes.push(frame.name.clone().unwrap_or_default()),
            Ok(Next::Pending) => {}
            Ok(Next::End) => break,
            Err(error) => {
                assert!(matches!(error, SourceError::Corrupt { .. }), "{error}");
                assert!(error.is_recoverable());
                outcomes.push(error.to_string());
            }
        }
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    assert_eq!(outcomes[0], "1");
    assert!(outcomes[1].contains("2.jpg") && outcomes[1].contains("ends before"));
    assert!(outcomes[2].contains("3.png") && outcomes[2].contains("neither PNG nor JPEG"));
    assert_eq!(outcomes[3], "4");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let fails = |text: &str| match open(text) {
        Err(error) => error,
        Ok(source) => panic!("{text}: {:?}", source.info()),
    };
    let missing = uri(&folder.path().join("none.png"));
    for (text, part) in [
        (missing.as_str(), "no such file"),
        (&uri(folder.path()), ".png, .jpg, .jpeg"),
        (&uri(&folder.path().join("*.png")), "matches"),
    ] {
        let error = fails(text);
        assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(part) && message.contains(text),
            "{message}"
        );
    }
    assert!(matches!(fails("[.png"), SourceError::BadUri { .. }));
    assert!(matches!(fails("/dev/null"), SourceError::Open { .. }));
    assert!(matches!(fails("gopher://x"), SourceError::BadUri { .. }));
    let empty = folder.path().join("empty.mjpeg");
    fs::write(&empty, b"").unwrap();
    assert!(matches!(fails(&uri(&empty)), SourceError::Broken { .. }));
    #[cfg(target_os = "linux")]
    assert!(matches!(fails("/dev/video-none"), SourceError::Lost { .. }));
}

#[test]
fn a_name_that_looks_like_a_pattern_is_found() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("shot[1].png");
    fs::write(&path, png(4, 4)).unwrap();
    assert_eq!(open(&uri(&path)).unwrap().info().frames, Some(1));
}

/// Reads a source to its end; gives up if it never comes. Returns frames and
/// refused frames.
fn exhaust(source: &mut dyn FrameSource, most: usize) -> (usize, usize) {
    let mut frame = Frame::default();
    let (mut good, mut bad) = (0, 0);
    loop {
        assert!(good + bad <= most, "no end after {good} good, {bad} bad");
        match source.next_frame(&mut frame) {
            Ok(Next::Frame) => good += 1,
            Ok(Next::Pending) => {}
            Ok(Next::End) => break,
            Err(error) => {
                bad += 1;
                if !error.is_recoverable() {
                    break;
                }
            }
        }
    }
    assert_eq!(source.next_frame(&mut frame), Ok(Next::End));
    (good, bad)
}

fn exhaust_stream(bytes: Vec<u8>) -> Option<(usize, usize)> {
    let most = bytes.len() + 1;
    let mut source = stream::from_reader(Cursor::new(bytes), "-", Pace::OnDemand).ok()?;
    Some(exhaust(source.as_mut(), most))
}

#[test]
fn streams_cut_at_every_byte_end_in_order() {
    for (bytes, frames) in [(y4m(3), 3), (mjpeg(3), 3)] {
        for end in 0..bytes.len() {
            if let Some((good, bad)) = exhaust_stream(bytes[..end].to_vec()) {
                assert!(good < frames, "{end}");
                assert!(bad <= 1, "{end}");
            }
        }
        assert_eq!(exhaust_stream(bytes), Some((frames, 0)));
    }
}

#[test]
fn pictures_cut_at_every_byte_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut");
    for bytes in [png(9, 7), jpeg(9, 7)] {
        // The last chunk of a PNG (12 bytes) holds no pixels and may be missed.
        for end in 0..bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            let (good, bad) = exhaust(open(&uri(&path)).unwrap().as_mut(), 2);
            assert!(bad == 1 || good == 1 && end + 16 >= bytes.len(), "{end}");
        }
    }
}

#[test]
fn a_stream_that_comes_in_drips_is_the_same() {
    struct Drip(Cursor<Vec<u8>>);
    impl Read for Drip {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            let some = bytes.len().min(1);
            self.0.read(&mut bytes[..some])
        }
    }
    for bytes in [y4m(3), mjpeg(3)] {
        let whole = Cursor::new(bytes.clone());
        let drip = BufReader::with_capacity(1, Drip(Cursor::new(bytes)));
        let mut one = stream::from_reader(whole, "-", Pace::OnDemand).unwrap();
        let mut other = stream::from_reader(drip, "-", Pace::OnDemand).unwrap();
        let (mut a, mut b) = (Frame::default(), Frame::default());
        loop {
            let next = one.next_frame(&mut a);
            assert_eq!(next, other.next_frame(&mut b));
            if next == Ok(Next::End) {
                break;
            }
            assert_eq!(a.data, b.data);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        exhaust_stream(bytes.clone());
        for start in [&b"YUV4MPEG2 "[..], b"YUV4MPEG2 W6 H4\nFRAME\n", &[0xff, 0xd8]] {
            exhaust_stream([start, &bytes].concat());
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = atrous::source::SourceUri::parse(&text);
        let _ = atrous::source::SourceUri::parse(&format!("v4l2:///dev/video0?{text}"));
    }

    #[test]
    fn damaged_streams_end(
        position in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..8),
        of_jpeg in any::<bool>(),
    ) {
        let mut bytes = if of_jpeg { mjpeg(3) } else { y4m(3) };
        let at = position.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        exhaust_stream(bytes);
    }

    #[test]
    fn damaged_pictures_never_panic(
        position in any::<prop::sample::Index>(),
        with in any::<[u8; 4]>(),
        of_jpeg in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("damaged");
        let mut bytes = if of_jpeg { jpeg(17, 9) } else { png(17, 9) };
        let at = position.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        fs::write(&path, bytes).unwrap();
        exhaust(open(&uri(&path)).unwrap().as_mut(), 2);
    }
}
