//! Which file a result goes to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::encode::Format;
use crate::sink::{SinkError, Visual};

/// Longest stem taken from a picture's name, in bytes: file systems allow 255
/// for the whole name, and suffixes and the temporary name need room.
const MAX_STEM: usize = 160;

/// Widest counter a pattern may ask for; a `u64` has at most 20 digits.
const MAX_DIGITS: usize = 20;

/// Where results go.
#[derive(Debug)]
pub struct Target {
    folder: PathBuf,
    format: Format,
    extension: String,
    names: Names,
    suffixed: bool,
}

#[derive(Debug)]
enum Names {
    /// `<picture's name or frame_000000>`.
    Folder(Stems),
    /// Counter of that many digits at least, between two literal parts.
    Numbered {
        before: String,
        digits: usize,
        after: String,
    },
    /// One stem, for one result.
    Single { stem: String, taken: bool },
}

/// The files of one result.
#[derive(Debug)]
pub struct FileNames<'a> {
    target: &'a Target,
    stem: String,
}

impl FileNames<'_> {
    /// The file for one of the result's pictures.
    pub fn path(&self, visual: Visual) -> PathBuf {
        let (stem, extension) = (&self.stem, &self.target.extension);
        self.target.folder.join(if self.target.suffixed {
            format!("{stem}_{visual}.{extension}")
        } else {
            format!("{stem}.{extension}")
        })
    }
}

impl Target {
    /// Reads a path; `several` pictures of each result need a suffix.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn parse(text: &str, several: bool) -> Result<Self, String> {
        let path = Path::new(text);
        if text.ends_with('/') || path.is_dir() || path.extension().is_none() {
            if path.is_dir() || !text.contains('%') {
                return Ok(Self::folder_of(path));
            }
            return Err("a counter needs a file name: end the path in .png or .jpg".into());
        }
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let format = Format::of_extension(&extension).ok_or_else(|| {
            format!("cannot write '.{extension}': use .png or .jpg, or end a folder's name in '/'")
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if folder.to_string_lossy().contains('%') && !folder.is_dir() {
            return Err("the counter belongs into the file name, not the folder's".into());
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            folder: if folder.as_os_str().is_empty() {
                ".".into()
            } else {
                folder.into()
            },
            format,
            names: parse_pattern(&stem)?,
            extension,
            suffixed: several,
        })
    }

    fn folder_of(path: &Path) -> Self {
        Self {
            folder: path.into(),
            format: Format::Png,
            extension: "png".into(),
            names: Names::Folder(Stems::default()),
            suffixed: true,
        }
    }

    /// The folder of all files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The format of all files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The files of the one result, where there is a place for one only.
    pub fn single(&self) -> Option<FileNames<'_>> {
        match &self.names {
            Names::Single { stem, .. } => Some(FileNames {
                target: self,
                stem: stem.clone(),
            }),
            Names::Folder(_) | Names::Numbered { .. } => None,
        }
    }

    /// The files of the next result.
    ///
    /// # Errors
    /// A second result for a single file.
    pub fn next(&mut self, index: u64, name: Option<&str>) -> Result<FileNames<'_>, SinkError> {
        let stem = match &mut self.names {
            Names::Folder(stems) => stems.next(index, name),
            Names::Numbered {
                before,
                digits,
                after,
            } => {
                format!("{before}{index:0width$}{after}", width = *digits)
            }
            Names::Single { stem, taken: true } => {
                let (stem, extension) = (&stem, &self.extension);
                let what = self
                    .folder
                    .join(format!("{stem}.{extension}"))
                    .display()
                    .to_string();
                let reason = format!(
                    "there is more than one result: name a folder ('{stem}/') or a counter \
                     ('{stem}_%05d.{extension}')"
                );
                return Err(SinkError::Write { what, reason });
            }
            Names::Single { stem, taken } => {
                *taken = true;
                stem.clone()
            }
        };
        Ok(FileNames { target: self, stem })
    }
}

/// Reads a stem with at most one `%d`, `%5d` or `%05d`; `%%` is a percent sign.
fn parse_pattern(stem: &str) -> Result<Names, String> {
    let mut literals = [String::new(), String::new()];
    let mut counter = None;
    let mut rest = stem;
    while let Some((literal, after)) = rest.split_once('%') {
        let part = &mut literals[usize::from(counter.is_some())];
        part.push_str(literal);
        if let Some(after) = after.strip_prefix('%') {
            part.push('%');
            rest = after;
            continue;
        }
        let digits_end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        let Some(after) = after.strip_prefix('d') else {
            return Err("a counter is written %d or %05d, a percent sign %%".into());
        };
        let digits = if digits.is_empty() {
            Ok(1)
        } else {
            digits.parse()
        };
        let digits = digits.ok().filter(|&digits| digits <= MAX_DIGITS);
        let digits = digits.ok_or(format!("a counter has at most {MAX_DIGITS} digits"))?;
        if counter.replace(digits).is_some() {
            return Err("there may be one counter only".into());
        }
        rest = after;
    }
    literals[usize::from(counter.is_some())].push_str(rest);
    let [before, after] = literals;
    Ok(match counter {
        Some(digits) => Names::Numbered {
            before,
            digits,
            after,
        },
        None => Names::Single {
            stem: before,
            taken: false,
        },
    })
}

/// Stems that one run has given out.
#[derive(Debug, Default)]
struct Stems {
    /// Named ones, in lower case: SD cards are often formatted so that case does
    /// not count. Unnamed ones differ by their index and would only grow this
    /// in a run without end.
    used: HashSet<String>,
    unnamed: bool,
}

impl Stems {
    fn next(&mut self, index: u64, name: Option<&str>) -> String {
        let wanted = name.map(sanitized).filter(|stem| !stem.is_empty());
        let named = wanted.is_some();
        let wanted = wanted.unwrap_or_else(|| format!("frame_{index:06}"));
        let mut stem = wanted.clone();
        let mut count = 1u64;
        while self.is_taken(&stem, named) {
            count += 1;
            stem = format!("{wanted}_{count}");
        }
        if named {
            self.used.insert(stem.to_lowercase());
        }
        self.unnamed |= !named;
        stem
    }

    fn is_taken(&self, stem: &str, named: bool) -> bool {
        let key = stem.to_lowercase();
        let like_ours = |key: &str| {
            let digits = key.strip_prefix("frame_");
            digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        };
        (named && self.unnamed && like_ours(&key)) || self.used.contains(&key)
    }
}

/// A picture's name as part of a file name: no separators, nothing hidden,
/// nothing a shell or another file system stumbles over.
fn sanitized(name: &str) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "-_.+".contains(c) {
            c
        } else {
            '_'
        }
    };
    let mut stem: String = name.chars().map(safe).collect();
    stem.truncate(stem.floor_char_boundary(MAX_STEM));
    stem.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(target: &mut Target, index: u64, name: Option<&str>) -> String {
        target
            .next(index, name)
            .unwrap()
            .path(Visual::Mask)
            .display()
            .to_string()
    }

    fn target(text: &str) -> Target {
        Target::parse(text, false).unwrap()
    }

    #[test]
    fn folders_name_by_picture_or_index() {
        for text in ["no/such/", "no/such"] {
            let mut target = target(text);
            assert_eq!(file(&mut target, 7, None), "no/such/frame_000007_mask.png");
            assert_eq!(
                file(&mut target, 8, Some("street")),
                "no/such/street_mask.png"
            );
        }
    }

    #[test]
    fn names_cannot_leave_the_folder_or_hide() {
        for (name, stem) in [
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/abs", "_abs"),
            (".hidden", "hidden"),
            ("a\0b\\c:d e", "a_b_c_d_e"),
            ("..", "frame_000000"),
            ("", "frame_000000"),
            ("größe", "größe"),
        ] {
            let path = file(&mut target("o/"), 0, Some(name));
            assert_eq!(path, format!("o/{stem}_mask.png"));
        }
        let path = file(&mut target("o/"), 0, Some(&"ä".repeat(500)));
        assert!(path.len() < 200, "{path}");
    }

    #[test]
    fn a_stem_is_given_out_once() {
        let mut target = target("o/");
        let mut seen = HashSet::new();
        let names = [
            None,
            Some("a"),
            Some("A"),
            Some("a_2"),
            Some("frame_000000"),
            Some("a"),
        ];
        for (index, name) in names.into_iter().enumerate() {
            let path = file(&mut target, index as u64, name).to_lowercase();
            assert!(seen.insert(path.clone()), "{path} twice");
        }
        assert!(seen.contains("o/a_3_mask.png"), "{seen:?}");
    }

    #[test]
    fn patterns_count() {
        assert_eq!(
            file(&mut target("o/m_%05d.png"), 12, Some("x")),
            "o/m_00012.png"
        );
        assert_eq!(file(&mut target("100%%_%d.JPG"), 3, None), "./100%_3.JPG");
        assert_eq!(file(&mut target("%2d_x.jpeg"), 123, None), "./123_x.jpeg");
        let mut several = Target::parse("o/m_%d.png", true).unwrap();
        assert_eq!(file(&mut several, 1, None), "o/m_1_mask.png");
    }

    #[test]
    fn bad_paths_are_explained() {
        for (text, word) in [
            ("a_%d_%d.png", "one counter"),
            ("a_%s.png", "%05d"),
            ("a_%.png", "%%"),
            ("a_%99999999999999999999999d.png", "digits"),
            ("%d/a.png", "folder"),
            ("no/%d/", "file name"),
            ("a.bmp", ".png"),
        ] {
            let error = Target::parse(text, false).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_single_file_takes_one_result() {
        let mut target = target("no/mask.png");
        assert_eq!(file(&mut target, 5, None), "no/mask.png");
        let error = target.next(6, None).unwrap_err().to_string();
        assert!(
            error.contains("no/mask.png") && error.contains("'mask_%05d.png'"),
            "{error}"
        );
    }
}
