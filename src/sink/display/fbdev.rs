//! A framebuffer device, for boards without a KMS driver.
//!
//! It is used as it is found: no mode is set, and its memory is written through the
//! file. sysfs tells size, stride and bits a pixel but not the order of the colours:
//! red is taken to be in the highest place, as nearly all have it (XRGB8888, RGB888,
//! RGB565).
//!
//! The text console, if there is one, goes on in the same memory: what it prints during
//! a run is seen until the next picture. What the screen showed is put back at the end;
//! after a SIGKILL the last picture stays until the console prints over it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Canvas, Geometry, PixelFormat, Screen};

/// The kernel's number for framebuffer devices.
const MAJOR: u32 = 29;

/// The blinking of the text console's cursor, which would be seen in the picture.
const CURSOR_BLINK: &str = "/sys/class/graphics/fbcon/cursor_blink";

/// A framebuffer's memory behind a file.
pub struct Framebuffer {
    name: String,
    file: File,
    geometry: Geometry,
    /// Where in the file the first pixel is seen.
    start: u64,
    /// The picture, before it is written at once.
    drawn: Vec<u8>,
    /// What was there before the first picture.
    before: Option<Vec<u8>>,
    cursor: Option<Cursor>,
}

impl Framebuffer {
    /// Opens the framebuffer device at `path`.
    ///
    /// # Errors
    /// That it is none, may not be used, or has pixels of an unknown kind.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let fault = |error| fault(&name, &error);
        let metadata = fs::metadata(path).map_err(fault)?;
        let device = metadata.rdev();
        if !metadata.file_type().is_char_device() || rustix::fs::major(device) != MAJOR {
            return Err(format!(
                "{name} is no framebuffer; `atrous devices` lists those there are"
            ));
        }
        let minor = rustix::fs::minor(device);
        let (geometry, start) = read_geometry(Path::new(&format!("/sys/dev/char/{MAJOR}:{minor}")))
            .map_err(|reason| format!("{name}: {reason}"))?;
        let file = OpenOptions::new().read(true).write(true).open(path);
        let mut buffer = Self::new(file.map_err(fault)?, &name, geometry, start)?;
        buffer.cursor = Cursor::stop_blinking(CURSOR_BLINK.into());
        Ok(buffer)
    }

    /// A framebuffer behind `file`, with the first visible pixel at byte `start`.
    ///
    /// # Errors
    /// That the geometry makes no sense.
    pub fn new(
        file: File,
        name: impl Into<String>,
        geometry: Geometry,
        start: u64,
    ) -> Result<Self, String> {
        let name = name.into();
        let length = geometry
            .length()
            .map_err(|reason| format!("{name}: {reason}"))?;
        Ok(Self {
            name,
            file,
            geometry,
            start,
            drawn: vec![0; length],
            before: None,
            cursor: None,
        })
    }

    /// Keeps what is there, unless that is known already.
    fn save(&mut self) {
        if self.before.is_none() {
            let mut before = vec![0; self.drawn.len()];
            // A driver that cannot be read loses what it shows, no more.
            if let Err(error) = self.file.read_exact_at(&mut before, self.start) {
                log::warn!(
                    "{}: what it shows cannot be read ({error}); it is black after the run",
                    self.name
                );
                before.fill(0);
            }
            self.before = Some(before);
        }
    }
}

impl Screen for Framebuffer {
    fn name(&self) -> &str {
        &self.name
    }

    fn show(&mut self, draw: &mut dyn FnMut(&mut Canvas<'_>)) -> Result<(), String> {
        self.save();
        draw(&mut Canvas::new(&mut self.drawn, self.geometry)?);
        let written = self.file.write_all_at(&self.drawn, self.start);
        written.map_err(|error| format!("the picture cannot be written: {error}"))
    }

    fn restore(&mut self) -> Result<(), String> {
        if let Some(cursor) = self.cursor.take() {
            cursor.restore();
        }
        let Some(before) = self.before.take() else {
            return Ok(());
        };
        let written = self.file.write_all_at(&before, self.start);
        written.map_err(|error| format!("what it showed cannot be put back: {error}"))
    }
}

impl Drop for Framebuffer {
    fn drop(&mut self) {
        // After an error or panic nobody calls finish. If this fails, there is nobody
        // left to tell.
        let _ = self.restore();
    }
}

/// The setting that makes the console's cursor blink.
struct Cursor {
    path: PathBuf,
    before: String,
}

impl Cursor {
    /// Stops the blinking; `None` where it does not blink or only root may say so.
    fn stop_blinking(path: PathBuf) -> Option<Self> {
        let before = fs::read_to_string(&path).ok()?;
        let stops = before.trim() != "0" && fs::write(&path, "0").is_ok();
        stops.then_some(Self { path, before })
    }

    fn restore(self) {
        if let Err(error) = fs::write(&self.path, self.before.trim()) {
            log::warn!("{}: {error}", self.path.display());
        }
    }
}

/// The geometry in a framebuffer's folder in sysfs, and where in its memory the first
/// visible pixel is.
fn read_geometry(folder: &Path) -> Result<(Geometry, u64), String> {
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let numbers = |file: &str| {
        let text = text(file);
        let (first, second) = text.trim().split_once(',')?;
        Some((first.parse::<u32>().ok()?, second.parse::<u32>().ok()?))
    };
    let unknown = |file: &str| {
        format!(
            "'{}' does not tell what it should; is the driver too old?",
            folder.join(file).display()
        )
    };
    let (width, height) = numbers("virtual_size").ok_or_else(|| unknown("virtual_size"))?;
    let (width, height) = visible(&text("mode"))
        .filter(|seen| seen.0 <= width && seen.1 <= height)
        .unwrap_or((width, height));
    let stride: usize = text("stride")
        .trim()
        .parse()
        .map_err(|_| unknown("stride"))?;
    let format = match text("bits_per_pixel").trim() {
        "32" => PixelFormat::Xrgb8888,
        "24" => PixelFormat::Rgb888,
        "16" => PixelFormat::Rgb565,
        other => {
            return Err(format!(
                "it has '{other}' bits a pixel; 16, 24 and 32 can be drawn. `fbset -depth 32` \
                 may change that"
            ));
        }
    };
    let (left, top) = numbers("pan").unwrap_or((0, 0));
    let start = u64::from(top) * stride as u64 + u64::from(left) * format.bytes() as u64;
    let geometry = Geometry {
        width,
        height,
        stride,
        format,
    };
    Ok((geometry, start))
}

/// The size in a mode such as `U:1024x768p-60`, which is what is seen of a virtual
/// size that may be larger.
fn visible(mode: &str) -> Option<(u32, u32)> {
    let (_, size) = mode.trim().split_once(':')?;
    let (width, rest) = size.split_once('x')?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    Some((width.parse().ok()?, rest[..end].parse().ok()?))
}

fn fault(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no {name}; `atrous devices` lists the displays. A graphics card's output \
             is display:"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "permission denied for {name}; join the group 'video' (sudo usermod -aG video \
             $USER) and log in again"
        ),
        _ => format!("{name} cannot be opened: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Geometry = Geometry {
        width: 3,
        height: 2,
        stride: 10,
        format: PixelFormat::Rgb565,
    };

    fn sysfs(files: &[(&str, &str)]) -> Result<(Geometry, u64), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        read_geometry(folder.path())
    }

    #[test]
    fn sysfs_tells_the_geometry() {
        let mut files = vec![
            ("virtual_size", "800,960\n"),
            ("stride", "1664\n"),
            ("bits_per_pixel", "16\n"),
        ];
        let (geometry, start) = sysfs(&files).unwrap();
        let size = (geometry.width, geometry.height);
        assert_eq!((size, geometry.stride, start), ((800, 960), 1664, 0));
        assert_eq!(geometry.format, PixelFormat::Rgb565);
        files.extend([("mode", "U:800x480p-60\n"), ("pan", "4,480\n")]);
        let (geometry, start) = sysfs(&files).unwrap();
        assert_eq!((geometry.width, geometry.height), (800, 480));
        assert_eq!(start, 480 * 1664 + 8);
    }

    #[test]
    fn what_sysfs_does_not_tell_is_named() {
        let good = [
            ("virtual_size", "800,480"),
            ("stride", "3200"),
            ("bits_per_pixel", "32"),
        ];
        assert!(sysfs(&good).is_ok());
        for (file, text) in [
            ("virtual_size", "800"),
            ("virtual_size", "-1,480"),
            ("stride", ""),
            ("stride", "99999999999999999999999"),
            ("bits_per_pixel", "8"),
            ("bits_per_pixel", ""),
        ] {
            let mut files = good.to_vec();
            files.push((file, text));
            let error = sysfs(&files).unwrap_err();
            let word = file.split('_').next().unwrap();
            assert!(error.contains(word), "{file}={text}: {error}");
        }
        assert!(sysfs(&[]).is_err());
    }

    #[test]
    fn a_mode_that_cannot_be_is_ignored() {
        assert_eq!(visible("U:1024x768p-60\n"), Some((1024, 768)));
        for mode in [
            "",
            "U:",
            "U:x",
            "U:1024x768",
            "U:99999999999x1p-0",
            "1024x768p",
        ] {
            assert_eq!(visible(mode), None, "{mode}");
        }
        let files = [
            ("virtual_size", "100,100"),
            ("stride", "400"),
            ("bits_per_pixel", "32"),
            ("mode", "U:101x100p-0"),
        ];
        assert_eq!(sysfs(&files).unwrap().0.width, 100);
    }

    #[test]
    fn a_picture_is_shown_and_what_was_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let before: Vec<u8> = (0..40).collect();
        fs::write(&path, &before).unwrap();
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(&path);
            Framebuffer::new(file.unwrap(), "memory", SMALL, 4).unwrap()
        };
        let area = super::super::Area {
            x: 1,
            y: 0,
            width: 9,
            height: 9,
        };
        let mut buffer = open();
        buffer
            .show(&mut |canvas| canvas.fill(area, [255; 3]))
            .unwrap();
        let shown = fs::read(&path).unwrap();
        assert_eq!(shown[..4], before[..4]);
        assert_eq!(shown[4..10], [0, 0, 255, 255, 255, 255]);
        assert_eq!(
            shown[14..],
            [&[0, 0, 255, 255, 255, 255][..], &before[20..]].concat()
        );
        buffer.restore().unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        buffer
            .show(&mut |canvas| canvas.fill(area, [1; 3]))
            .unwrap();
        drop(buffer);
        assert_eq!(fs::read(&path).unwrap(), before);
        // One that is never shown on is not touched.
        fs::write(&path, "short").unwrap();
        drop(open());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn the_cursor_blinks_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor_blink");
        assert!(Cursor::stop_blinking(path.clone()).is_none());
        fs::write(&path, "1\n").unwrap();
        let cursor = Cursor::stop_blinking(path.clone()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
        assert!(Cursor::stop_blinking(path.clone()).is_none());
        cursor.restore();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    }

    #[test]
    fn what_is_no_framebuffer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Framebuffer::open(path).err().unwrap();
        assert!(refused(folder.path()).contains("no framebuffer"));
        assert!(refused(Path::new("/dev/null")).contains("no framebuffer"));
        assert!(refused(&folder.path().join("fb9")).contains("there is no"));
    }
}
