//! The pictures that a model does worst on, drawn.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};

use atrous::classes::Classes;
use atrous::frame::Frame;
use atrous::mask::Mask;

use super::super::exit::Misused;
use atrous::output_file::Partial;

/// Longest part of a picture's name that is taken into a file name, in bytes.
const MAX_STEM: usize = 160;

/// The drawings with the lowest mean IoU so far, each in a file that has no name yet: one
/// picture is in memory at a time.
#[derive(Debug)]
pub struct Worst {
    count: usize,
    /// Lowest first; of equal ones the earlier first.
    kept: Vec<Kept>,
    drawn: u64,
    /// Dropped last: it goes only when it is empty.
    folder: Folder,
}

#[derive(Debug)]
struct Kept {
    name: String,
    miou: f64,
    partial: Partial,
}

/// A drawing that was kept.
#[derive(Debug, serde::Serialize)]
pub struct Drawing {
    /// The picture's name without its ending.
    pub name: String,
    /// Its mean IoU.
    pub miou: f64,
    /// The drawing.
    pub file: PathBuf,
}

/// A picture to draw: masks of its size, in the classes that are scored.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Tightly packed RGB.
    pub frame: &'a Frame,
    /// The true classes.
    pub truth: &'a Mask,
    /// Which of them are known; the others are drawn black.
    pub judged: &'a [bool],
    /// The predicted classes.
    pub prediction: &'a Mask,
}

impl Worst {
    /// Keeps `count` drawings in a folder that is empty or not there yet, so that those
    /// of another run are not taken for this one's.
    pub fn create(folder: &Path, count: usize) -> Result<Self> {
        let folder = Folder::create(folder)?;
        Ok(Self {
            folder,
            count,
            kept: Vec::new(),
            drawn: 0,
        })
    }

    /// Draws a picture if it is among the worst so far.
    pub fn offer(
        &mut self,
        name: &str,
        miou: f64,
        scene: Scene<'_>,
        classes: &Classes,
    ) -> Result<()> {
        let rank = self.kept.partition_point(|kept| kept.miou <= miou);
        if rank >= self.count {
            return Ok(());
        }
        let folder = &self.folder.path;
        let what = || cannot_write(folder);
        let (partial, file) =
            Partial::create(folder, &self.drawn.to_string()).with_context(what)?;
        self.drawn += 1;
        draw(scene, classes, file).with_context(what)?;
        let name = name.to_owned();
        self.kept.insert(
            rank,
            Kept {
                name,
                miou,
                partial,
            },
        );
        self.kept.truncate(self.count);
        Ok(())
    }

    /// Gives the drawings their names, the worst first.
    pub fn finish(mut self) -> Result<Vec<Drawing>> {
        let folder = &self.folder.path;
        let digits = self.kept.len().to_string().len().max(2);
        let mut drawings = Vec::new();
        for (rank, kept) in (1..).zip(self.kept.drain(..)) {
            let file = folder.join(format!("{rank:0digits$}_{}.png", safe(&kept.name)));
            kept.partial
                .rename(&file)
                .with_context(|| cannot_write(folder))?;
            drawings.push(Drawing {
                name: kept.name,
                miou: kept.miou,
                file,
            });
        }
        Ok(drawings)
    }
}

fn cannot_write(folder: &Path) -> String {
    format!(
        "--worst {}: cannot write there; name a folder that this user may write to, with \
         room in it",
        folder.display()
    )
}

/// A folder for drawings. If it was made for them and stays empty it goes again.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    made: bool,
}

impl Folder {
    fn create(path: &Path) -> Result<Self> {
        let made = !path.exists();
        fs::create_dir_all(path).with_context(|| cannot_write(path))?;
        let folder = Self {
            path: path.to_owned(),
            made,
        };
        let mut entries = fs::read_dir(path).with_context(|| cannot_write(path))?;
        if entries.next().is_some() {
            let text = format!(
                "--worst {}: this folder is not empty; name a new one, or empty it",
                path.display()
            );
            return Err(Misused(text).into());
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.made {
            // It stays if there is something in it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// A picture's name as part of a file name that no file system stumbles over.
fn safe(name: &str) -> String {
    let safe = |c: char| match c {
        c if c.is_alphanumeric() || "-_.+".contains(c) => c,
        _ => '_',
    };
    let mut stem: String = name.chars().map(safe).collect();
    stem.truncate(stem.floor_char_boundary(MAX_STEM));
    stem
}

/// Writes picture, truth and prediction side by side as a PNG, a row at a time.
fn draw(scene: Scene<'_>, classes: &Classes, file: File) -> io::Result<()> {
    let Scene {
        frame,
        truth,
        judged,
        prediction,
    } = scene;
    let failed = |error: EncodingError| match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    };
    let palette: [[u8; 3]; 256] = std::array::from_fn(|label| classes.colour(label as u8));
    let mut encoder = Encoder::new(BufWriter::new(file), 3 * truth.width, truth.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut out = writer.stream_writer().map_err(failed)?;
    let width = truth.width as usize;
    let mut row = Vec::with_capacity(9 * width);
    for y in 0..truth.height {
        let start = y as usize * width;
        row.clear();
        row.extend_from_slice(&frame.data[3 * start..][..3 * width]);
        for (&label, &judged) in truth.row(y).iter().zip(&judged[start..]) {
            row.extend(if judged {
                palette[usize::from(label)]
            } else {
                [0; 3]
            });
        }
        for &label in prediction.row(y) {
            row.extend(palette[usize::from(label)]);
        }
        out.write_all(&row)?;
    }
    out.finish().map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atrous::classes::Class;

    fn offer(worst: &mut Worst, name: &str, miou: f64) {
        let class = |colour| Class {
            name: "a".into(),
            colour,
        };
        let classes = Classes::new(vec![class([1, 2, 3]), class([4, 5, 6])]);
        let frame = Frame {
            data: vec![9, 8, 7, 6, 5, 4],
            ..Frame::default()
        };
        let mask = |labels: &[u8]| Mask {
            width: 1,
            height: 2,
            labels: labels.to_vec(),
        };
        let scene = Scene {
            frame: &frame,
            truth: &mask(&[0, 1]),
            judged: &[true, false],
            prediction: &mask(&[1, 0]),
        };
        worst.offer(name, miou, scene, &classes).unwrap();
    }

    #[test]
    fn the_lowest_stay_in_order() {
        let at = tempfile::tempdir().unwrap();
        let folder = at.path().join("new");
        let mut worst = Worst::create(&folder, 3).unwrap();
        for (name, miou) in [
            ("a", 0.5),
            ("b", 0.9),
            ("c/..", 0.5),
            ("d", 0.1),
            ("e", 0.6),
        ] {
            offer(&mut worst, name, miou);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        let drawings = worst.finish().unwrap();
        let files: Vec<_> = drawings.iter().map(|d| d.file.clone()).collect();
        let want = ["01_d.png", "02_a.png", "03_c_...png"].map(|name| folder.join(name));
        assert_eq!(files, want);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);

        let picture = image::open(&files[0]).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (3, 2));
        let rows = [[9, 8, 7, 1, 2, 3, 4, 5, 6], [6, 5, 4, 0, 0, 0, 1, 2, 3]];
        assert_eq!(picture.as_raw(), &rows.concat());
    }

    #[test]
    fn a_run_that_fails_leaves_nothing() {
        let at = tempfile::tempdir().unwrap();
        let folder = at.path().join("new");
        let mut worst = Worst::create(&folder, 3).unwrap();
        offer(&mut worst, "a", 0.5);
        drop(worst);
        assert!(!folder.exists());

        fs::create_dir(&folder).unwrap();
        drop(Worst::create(&folder, 3).unwrap());
        assert!(folder.exists());
        fs::write(folder.join("mine"), "").unwrap();
        let error = Worst::create(&folder, 3).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
    }
}
