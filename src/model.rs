//! A model: an ONNX file and the manifest that says how to feed and read it.
//!
//! [`Model::open`] takes a `model.toml`, a folder that holds one, or a bare ONNX file. The
//! models built into the binary are [artifacts](artifact), in [`bundled`].

use std::path::Path;

use sha2::{Digest, Sha256};
use thiserror::Error;

pub mod artifact;
use crate::input_file;

pub mod bundled;
mod checks;
pub mod graph;
pub mod manifest;

pub use graph::{Graph, GraphSummary};
pub use manifest::Manifest;

/// Largest model file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// The name of a manifest inside a model's folder.
pub const MANIFEST_NAME: &str = "model.toml";

/// A model's bytes with the manifest that belongs to them.
#[derive(Debug, Clone)]
pub struct Model {
    /// How to feed the model and read its output.
    pub manifest: Manifest,
    /// The ONNX protobuf.
    pub onnx: Vec<u8>,
    /// Where it came from, for messages: a path.
    pub origin: String,
}

/// Why a model was rejected. The program exits with code 4.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error("model '{path}': {reason}")]
    Read {
        /// The file.
        path: String,
        /// The cause and what to try.
        reason: String,
    },
    /// The manifest is not valid.
    #[error("manifest '{path}': {reason}")]
    Manifest {
        /// The manifest file.
        path: String,
        /// What is wrong, with line and column where known.
        reason: String,
    },
    /// The file is not the one the manifest was written for.
    #[error(
        "model '{path}': its SHA-256 is {got}, but the manifest says {expected}; \
         the file was changed or is incomplete: fetch it again, or correct the manifest"
    )]
    Digest {
        /// The model file.
        path: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// The file is not an ONNX model that can be used.
    #[error("model '{path}': {reason}")]
    Graph {
        /// The model file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Model {
    /// Opens a model by manifest, folder or ONNX file, and checks the file against the manifest's SHA-256.
    ///
    /// A bare ONNX file takes the `model.toml` or `STEM.toml` beside it if that
    /// names the file; else its manifest is derived from the graph
    /// (see [`Manifest::derived`]).
    ///
    /// # Errors
    /// [`ModelError`], naming the file at fault.
    pub fn open(spec: &str) -> Result<Self, ModelError> {
        Self::open_for(spec, None)
    }

    /// As [`open`](Self::open); `size`, width and height in pixels, stands in the
    /// derived manifest of a bare ONNX file for sides of its input that are open.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for(spec: &str, size: Option<(u32, u32)>) -> Result<Self, ModelError> {
        let path = Path::new(spec);
        if path.is_dir() {
            return Self::from_manifest(&path.join(MANIFEST_NAME));
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("toml") => Self::from_manifest(path),
            _ => Self::from_onnx(path, size),
        }
    }

    /// Opens the ONNX file that a manifest names.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_manifest(path: &Path) -> Result<Self, ModelError> {
        let text = read(path, MAX_MANIFEST_BYTES).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| ModelError::Manifest {
                path: path.display().to_string(),
                reason: "not a text file; a manifest is TOML in UTF-8".into(),
            })
        })?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = folder.join(&manifest.file);
        let onnx = read(&file, MAX_FILE_BYTES)?;
        Self::checked(manifest, onnx, file.display().to_string())
    }

    fn from_onnx(path: &Path, size: Option<(u32, u32)>) -> Result<Self, ModelError> {
        let onnx = read(path, MAX_FILE_BYTES)?;
        let name = path.display().to_string();
        let mut beside = vec![
            path.with_file_name(MANIFEST_NAME),
            path.with_extension("toml"),
        ];
        beside.dedup();
        for manifest in beside {
            match names_file(&manifest, path) {
                Ok(true) => return Self::from_manifest(&manifest),
                Ok(false) => {}
                Err(reason) => log::warn!(
                    "manifest '{}' beside the model is ignored: {reason}",
                    manifest.display()
                ),
            }
        }
        let graph = Graph::parse(&onnx, &name)?;
        let mut summary = graph.summary();
        if let Some(size) = size {
            summary.close_sides(size);
        }
        let manifest = Manifest::derived(&summary, path, &sha256_hex(&onnx))?;
        log::warn!(
            "{name}: no manifest beside it names it, so its input scaling and class names are \
             assumed; write a {MANIFEST_NAME} to set them"
        );
        Self::checked(manifest, onnx, name)
    }

    /// Joins a manifest with the bytes it was written for.
    ///
    /// # Errors
    /// [`ModelError::Digest`] where they do not belong together.
    pub fn checked(manifest: Manifest, onnx: Vec<u8>, origin: String) -> Result<Self, ModelError> {
        let got = sha256_hex(&onnx);
        if !got.eq_ignore_ascii_case(&manifest.sha256) {
            return Err(ModelError::Digest {
                path: origin,
                expected: manifest.sha256,
                got,
            });
        }
        Ok(Self {
            manifest,
            onnx,
            origin,
        })
    }
}

/// Whether `manifest` exists and its `file` is the model at `onnx`.
///
/// # Errors
/// Why it could not be read, in words.
fn names_file(manifest: &Path, onnx: &Path) -> Result<bool, String> {
    let bytes = match input_file::read(manifest, MAX_MANIFEST_BYTES) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        bytes => bytes.map_err(|e| e.to_string())?,
    };
    let text = String::from_utf8(bytes).map_err(|_| "not a text file".to_owned())?;
    let table = text
        .parse::<toml::Table>()
        .map_err(|e| e.to_string().trim_end().to_owned())?;
    let file = table.get("file").and_then(|v| v.as_str());
    Ok(file.is_some_and(|f| Path::new(f).file_name() == onnx.file_name()))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    input_file::read(path, limit).map_err(|e| ModelError::Read {
        path: path.display().to_string(),
        reason: read_reason(&e),
    })
}

fn read_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "no such file; give a manifest ({MANIFEST_NAME}), its folder, an .onnx file{}",
            match bundled::names().collect::<Vec<_>>() {
                names if names.is_empty() => String::new(),
                names => format!(", or a built-in model: {}", names.join(", ")),
            }
        ),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".into(),
        _ => error.to_string(),
    }
}

/// The SHA-256 of some bytes as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_published_one() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
    }

    #[test]
    fn a_missing_model_names_the_file_and_the_forms() {
        let error = Model::open("no/such.onnx").unwrap_err().to_string();
        assert!(
            error.contains("no/such.onnx") && error.contains("model.toml"),
            "{error}"
        );
    }
    #[test]
    fn a_device_is_no_model() {
        let error = Model::open("/dev/zero").unwrap_err().to_string();
        assert!(
            error.contains("/dev/zero") && error.contains("regular file"),
            "{error}"
        );
    }

    #[test]
    fn a_manifest_beside_counts_if_it_names_the_file_and_is_told_of_if_broken() {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, onnx) = (
            folder.path().join(MANIFEST_NAME),
            folder.path().join("a.onnx"),
        );
        assert_eq!(names_file(&manifest, &onnx), Ok(false));
        for (text, names) in [("file = \"a.onnx\"", true), ("file = \"b.onnx\"", false)] {
            std::fs::write(&manifest, text).unwrap();
            assert_eq!(names_file(&manifest, &onnx), Ok(names));
        }
        std::fs::write(&manifest, "file = \"a.onnx\"\nname = \n").unwrap();
        let reason = names_file(&manifest, &onnx).unwrap_err();
        assert!(reason.contains("line 2"), "{reason}");
        std::fs::write(&manifest, [0xff]).unwrap();
        assert!(names_file(&manifest, &onnx).is_err());
        let link = Path::new("/dev/zero");
        assert!(names_file(link, &onnx).unwrap_err().contains("regular"));
    }
}
